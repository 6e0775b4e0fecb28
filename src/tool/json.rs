//! A result's JSON, member by member. Where every tool derived its own, the machine code would be several times as large.

use super::Outcome;

/// An object that is being written.
pub(super) struct Object(String);

impl Object {
    /// One without members.
    pub(super) fn new() -> Object {
        Object(String::from("{"))
    }

    /// Adds a member whose value is JSON already.
    #[inline(never)]
    pub(super) fn raw(&mut self, name: &str, value: &str) {
        let comma = if self.0.len() > 1 { ",\"" } else { "\"" };
        for part in [comma, name, "\":", value] {
            self.0.push_str(part);
        }
    }

    /// Adds a text.
    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.raw(name, &quoted(value));
    }

    /// Adds a truth.
    pub(super) fn flag(&mut self, name: &str, value: bool) {
        self.raw(name, if value { "true" } else { "false" });
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The whole object.
    pub(super) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }

    /// The whole object as what a tool found out.
    pub(super) fn done(self) -> Outcome {
        Outcome::Done { details: self.end(), text: None }
    }
}

/// `text` as a JSON string.
#[inline(never)]
pub(super) fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// As many of `items`, which are JSON already, as take at most `room` bytes, as an array; whether any were left out.
pub(super) fn array(items: &[String], mut room: usize) -> (String, bool) {
    let mut out = String::from("[");
    for item in items {
        let size = item.len().saturating_add(1);
        if size > room {
            return (out + "]", true);
        }
        room = room.saturating_sub(size);
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(item);
    }
    (out + "]", false)
}

/// As much of `text` as takes at most `room` bytes as a JSON string without its quotation marks.
pub(super) fn clip(text: &str, mut room: usize) -> &str {
    for (at, letter) in text.char_indices() {
        let size = match letter {
            '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
            '\0'..='\u{1f}' => 6,
            _ => letter.len_utf8(),
        };
        if size > room {
            return text.get(..at).unwrap_or_default();
        }
        room = room.saturating_sub(size);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects() {
        assert_eq!(Object::new().end(), "{}");
        let mut object = Object::new();
        object.text("a", "b\"\n");
        object.raw("c", "[1]");
        object.flag("d", false);
        assert_eq!(object.end(), "{\"a\":\"b\\\"\\n\",\"c\":[1],\"d\":false}");
        let items = ["1", "22", "333"].map(String::from);
        assert_eq!(array(&items, 100), (String::from("[1,22,333]"), false));
        assert_eq!(array(&items, 5), (String::from("[1,22]"), true));
        assert_eq!(array(&items, 4), (String::from("[1]"), true));
        assert_eq!(array(&[], 0), (String::from("[]"), false));
    }

    #[test]
    fn texts_are_cut_to_what_they_take() {
        for text in ["plain", "\u{e4}\u{1f600}", "\"\\\n\r\t\u{8}\u{c}\0\u{1f}\u{7f}", ""] {
            for room in 0..60 {
                let cut = clip(text, room);
                assert!(text.starts_with(cut) && quoted(cut).len() - 2 <= room, "{text:?} {room}");
                let more = text.chars().nth(cut.chars().count()).map(String::from).unwrap_or_default();
                assert!(more.is_empty() || quoted(&[cut, &more].concat()).len() - 2 > room, "{text:?} {room}");
            }
        }
    }
}
