//! A result as it is written: keys and values → one compact JSON object. Pure.
//!
//! A derived serializer costs about a kilobyte of machine code for each structure; this one is paid for once.

use super::Outcome;

/// An object that is being written. Keys are ours and need no escapes.
pub(super) struct Object(String);

impl Object {
    /// An object without members.
    pub fn new() -> Object {
        Object(String::from("{"))
    }

    /// A member whose value is JSON already.
    pub fn raw(&mut self, key: &str, json: &str) -> &mut Object {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        for part in ["\"", key, "\":", json] {
            self.0.push_str(part);
        }
        self
    }

    /// A text.
    pub fn text(&mut self, key: &str, text: &str) -> &mut Object {
        self.raw(key, &quoted(text))
    }

    /// A text or null.
    pub fn maybe(&mut self, key: &str, text: Option<&str>) -> &mut Object {
        match text {
            Some(text) => self.text(key, text),
            None => self.raw(key, "null"),
        }
    }

    /// A whole number.
    pub fn number(&mut self, key: &str, number: i64) -> &mut Object {
        self.raw(key, &number.to_string())
    }

    /// A count, or null.
    pub fn count(&mut self, key: &str, count: Option<u64>) -> &mut Object {
        match count {
            Some(count) => self.raw(key, &count.to_string()),
            None => self.raw(key, "null"),
        }
    }

    /// A boolean.
    pub fn flag(&mut self, key: &str, flag: bool) -> &mut Object {
        self.raw(key, if flag { "true" } else { "false" })
    }

    /// The member `truncated`, which a list has only when something was left out.
    pub fn truncated(&mut self, cut: bool) -> &mut Object {
        if cut { self.flag("truncated", true) } else { self }
    }

    /// A list of values that are JSON already.
    pub fn list(&mut self, key: &str, rows: &[String]) -> &mut Object {
        let rows = ["[", &rows.join(","), "]"].concat();
        self.raw(key, &rows)
    }

    /// The object as text.
    pub fn end(&mut self) -> String {
        self.0.push('}');
        std::mem::take(&mut self.0)
    }

    /// The object as a tool's answer.
    pub fn done(&mut self) -> Outcome {
        Outcome::Done { details: self.end(), text: None }
    }
}

/// A text as JSON.
#[inline(never)]
pub(super) fn quoted(text: &str) -> String {
    // Writing a text as JSON cannot fail.
    serde_json::to_string(text).unwrap_or_default()
}

/// The deepest nesting of arrays and objects, counted before anything parses.
pub fn depth(text: &str) -> usize {
    let (mut deepest, mut now) = (0_usize, 0_usize);
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                now = now.saturating_add(1);
                deepest = deepest.max(now);
            }
            b']' | b'}' => now = now.saturating_sub(1),
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'\\' => _ = bytes.next(),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    deepest
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

/// Cuts `rows` to `max` of them and to what fits into `room` bytes; whether anything was cut.
pub(super) fn fit(rows: &mut Vec<String>, max: usize, mut room: usize) -> bool {
    fill(rows, max, &mut room)
}

/// The same, and `room` shrinks by what the kept rows take.
pub(super) fn fill(rows: &mut Vec<String>, max: usize, room: &mut usize) -> bool {
    let mut keep = 0;
    for row in rows.iter().take(max) {
        let Some(rest) = room.checked_sub(row.len().saturating_add(1)) else { break };
        *room = rest;
        keep += 1;
    }
    let cut = keep < rows.len();
    rows.truncate(keep);
    cut
}

/// Puts `item` into its place among `sorted`, of which the first `max` are kept; whether one was left out. Where there is
/// one list to sort of each kind, this is a tenth of the machine code of sorting it afterwards.
pub(super) fn insert<T: Ord>(sorted: &mut Vec<T>, item: T, max: usize) -> bool {
    let at = sorted.partition_point(|other| *other <= item);
    if at < max {
        sorted.insert(at, item);
    }
    let cut = at >= max || sorted.len() > max;
    sorted.truncate(max);
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_to_what_they_take() {
        let size = |text: &str| serde_json::to_string(text).expect("JSON").len() - 2;
        for text in ["plain", "\u{e4}\u{1f600}", "\"\\\n\r\t\u{8}\u{c}\0\u{1f}\u{7f}", ""] {
            for room in 0..60 {
                let cut = clip(text, room);
                assert!(text.starts_with(cut) && size(cut) <= room, "{text:?} {room}");
                let more = text.chars().nth(cut.chars().count()).map(String::from).unwrap_or_default();
                assert!(more.is_empty() || size(&[cut, &more].concat()) > room, "{text:?} {room}");
            }
        }
    }

    #[test]
    fn members() {
        let rows = [Object::new().number("n", -1).end(), Object::new().end()];
        let mut object = Object::new();
        object.text("a", "\"\u{1}é").maybe("b", None).maybe("c", Some("x")).flag("d", true).list("e", &rows);
        let expected = "{\"a\":\"\\\"\\u0001é\",\"b\":null,\"c\":\"x\",\"d\":true,\"e\":[{\"n\":-1},{}]}";
        assert_eq!(object.truncated(false).end(), expected);
        assert_eq!(Object::new().list("e", &[]).truncated(true).end(), "{\"e\":[],\"truncated\":true}");
    }

    #[test]
    fn the_first_are_kept_in_order() {
        let mut sorted = Vec::new();
        let cuts: Vec<bool> = [5, 3, 9, 4, 3, 7].into_iter().map(|n| insert(&mut sorted, n, 3)).collect();
        assert_eq!((sorted, cuts), (vec![3, 3, 4], vec![false, false, false, true, true, true]));
        assert!(insert(&mut Vec::new(), 1, 0));
    }

    #[test]
    fn rows_are_cut_to_count_and_room() {
        let check = |max, room, expected, cut| {
            let mut rows = vec![String::from("{}"); 3];
            assert_eq!((fit(&mut rows, max, room), rows.len()), (cut, expected), "{max} {room}");
        };
        check(9, 9, 3, false);
        check(9, 8, 2, true);
        check(2, 99, 2, true);
        check(9, 0, 0, true);
    }

    #[test]
    fn what_is_kept_takes_its_room() {
        let mut rows: Vec<String> = ["aaaa", "bbbb", "cccc"].into_iter().map(quoted).collect();
        let mut room = 14;
        assert!(fill(&mut rows, 9, &mut room));
        assert_eq!((rows.len(), room), (2, 0));
    }
}
