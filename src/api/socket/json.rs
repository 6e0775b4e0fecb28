//! Values → compact JSON, written from front to back. Pure.
//!
//! A comma stands before a key or an item unless a bracket or a colon does, so the last byte written decides. What is
//! called everywhere is not inlined: that saves 3 KiB of the binary and costs a call no more than 100 instructions.

use crate::limits::JSON_ROOM_BYTES;

/// JSON that is being written.
#[derive(Debug, Default)]
pub struct Json(String);

impl Json {
    /// JSON that begins with an open object.
    pub fn object() -> Json {
        let mut json = Json::sized(0);
        json.0.push('{');
        json
    }

    /// Nothing yet, with room for some `bytes` and what stands around them.
    #[inline(never)]
    pub fn sized(bytes: usize) -> Json {
        Json(String::with_capacity(bytes.saturating_add(JSON_ROOM_BYTES)))
    }

    /// A comma, unless what comes is the first.
    fn comma(&mut self) {
        if !matches!(self.0.as_bytes().last(), None | Some(b'{' | b'[' | b':')) {
            self.0.push(',');
        }
    }

    /// Appends JSON as it stands: an item, a bracket that opens, or some members of an object.
    #[inline(never)]
    pub fn raw(&mut self, json: &str) -> &mut Json {
        self.comma();
        self.0.push_str(json);
        self
    }

    /// Closes what was opened: `}`, `]` or several of them.
    #[inline(never)]
    pub fn close(&mut self, brackets: &str) -> &mut Json {
        self.0.push_str(brackets);
        self
    }

    /// Appends a text.
    #[inline(never)]
    pub fn text(&mut self, text: &str) -> &mut Json {
        self.comma();
        // Nearly every text, and every key of ours, is one that only needs its quotes.
        if text.bytes().all(|byte| byte >= b' ' && !matches!(byte, b'"' | b'\\')) {
            self.0.push('"');
            self.0.push_str(text);
            self.0.push('"');
        } else {
            // A text cannot fail to be written.
            self.0.push_str(&serde_json::to_string(text).unwrap_or_default());
        }
        self
    }

    /// Appends a whole number.
    pub fn number(&mut self, number: u64) -> &mut Json {
        self.raw(&number.to_string())
    }

    /// Appends a key; a value must follow.
    pub fn key(&mut self, key: &str) -> &mut Json {
        self.text(key).close(":")
    }

    /// Appends a member that holds a text.
    pub fn string(&mut self, key: &str, text: &str) -> &mut Json {
        self.key(key).text(text)
    }

    /// Appends a member that holds a whole number.
    pub fn count(&mut self, key: &str, number: u64) -> &mut Json {
        self.key(key).number(number)
    }

    /// Appends a member that holds a text, or null.
    #[inline(never)]
    pub fn maybe(&mut self, key: &str, text: Option<&str>) -> &mut Json {
        match text {
            Some(text) => self.string(key, text),
            None => self.key(key).raw("null"),
        }
    }

    /// Appends a member that holds a whole number, or null.
    #[inline(never)]
    pub fn maybe_count(&mut self, key: &str, number: Option<u64>) -> &mut Json {
        match number {
            Some(number) => self.count(key, number),
            None => self.key(key).raw("null"),
        }
    }

    /// Appends a member that holds `true` or `false`.
    pub fn flag(&mut self, key: &str, flag: bool) -> &mut Json {
        self.key(key).raw(if flag { "true" } else { "false" })
    }

    /// Appends a member that holds a list of texts.
    pub fn texts<'t>(&mut self, key: &str, mut texts: impl Iterator<Item = &'t str>) -> &mut Json {
        self.list(key, &mut texts)
    }

    fn list(&mut self, key: &str, texts: &mut dyn Iterator<Item = &str>) -> &mut Json {
        self.key(key).raw("[");
        for text in texts {
            self.text(text);
        }
        self.close("]")
    }

    /// What was written.
    #[inline(never)]
    pub fn done(&mut self) -> String {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(write: impl Fn(&mut Json), expected: &str) {
        let mut json = Json::default();
        write(&mut json);
        let json = json.done();
        assert_eq!(json, expected);
        serde_json::from_str::<serde_json::Value>(&json).expect("JSON");
    }

    #[test]
    fn commas_stand_where_they_must() {
        check(|j| _ = j.raw("{").close("}"), "{}");
        check(|j| _ = j.raw("[").raw("[").close("]").raw("{").close("}]"), "[[],{}]");
        check(
            |j| _ = j.raw("{").string("a:", "{").count("b", 0).flag("c", true).close("}"),
            r#"{"a:":"{","b":0,"c":true}"#,
        );
        check(
            |j| _ = j.raw("{").texts("a", ["x", "["].into_iter()).raw(r#""b":{}"#).close("}"),
            r#"{"a":["x","["],"b":{}}"#,
        );
        check(|j| _ = j.raw("{").texts("a", [].into_iter()).key("b").raw("null").close("}"), r#"{"a":[],"b":null}"#);
        check(|j| _ = j.text("\"\\\n\u{1}é\u{2028}"), "\"\\\"\\\\\\n\\u0001é\u{2028}\"");
        check(|j| _ = j.number(u64::MAX), "18446744073709551615");
    }
}
