//! What a program printed or a service answered → a part of a result, as the operator wants it told and within the room
//! there is. Pure.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::child::Kept;
use super::fetch::base64;
use super::object::{depth, quoted};
use crate::limits::JSON_DEPTH_MAX;

/// What stands where something is missing.
const GAP: &str = "\n…\n";

/// How output is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// As JSON; anything else is a failure.
    Json,
    /// As a list of lines.
    Lines,
    /// As one text.
    Text,
}

/// The members that text and bytes are told in.
#[derive(Clone, Copy)]
pub(super) struct Keys {
    pub text: &'static str,
    pub base64: &'static str,
}

/// One member of a result.
pub(super) struct Told {
    /// Its name.
    pub key: &'static str,
    /// Its value.
    pub json: String,
    /// Whether something is missing.
    pub cut: bool,
    /// What is wrong with the output, in words that follow "printed" or "answered".
    pub wrong: Option<&'static str>,
}

/// Tells `kept` in at most `room` bytes of JSON; `binary` says whether bytes that are no text may be told as base64.
pub(super) fn tell(kept: &Kept, output: Output, binary: bool, keys: Keys, room: usize) -> Told {
    let plain = |wrong| {
        let (json, cut) = text(kept, room);
        Told { key: keys.text, json, cut, wrong }
    };
    let (Ok(head), Ok(tail)) = (std::str::from_utf8(&kept.head), std::str::from_utf8(&kept.tail)) else {
        if !binary {
            return plain(Some("bytes that are no UTF-8 text; binary: \"base64\" would tell them"));
        }
        let most = room.saturating_sub(8) / 4 * 3;
        // Nothing can stand for what is missing between bytes, so only the beginning is told.
        let bytes = kept.head.get(..most).unwrap_or(&kept.head);
        let cut = kept.dropped > 0 || bytes.len() < kept.head.len();
        return Told { key: keys.base64, json: quoted(&base64(bytes)), cut, wrong: None };
    };
    match output {
        Output::Text => plain(None),
        Output::Json => match serde_json::from_str::<&RawValue>(head) {
            Ok(raw) if kept.dropped == 0 && raw.get().len() <= room && depth(raw.get()) <= JSON_DEPTH_MAX => {
                Told { key: "json", json: raw.get().to_owned(), cut: false, wrong: None }
            }
            Ok(_) => plain(Some("more JSON than a result may hold")),
            Err(_) if kept.dropped > 0 => plain(Some("more JSON than a result may hold")),
            Err(_) => plain(Some("something else than JSON")),
        },
        Output::Lines => lines(&joined(head, tail), kept.dropped > 0, room),
    }
}

/// Both ends of a text, with a mark where the middle is missing.
fn joined<'t>(head: &'t str, tail: &str) -> Cow<'t, str> {
    if tail.is_empty() { Cow::Borrowed(head) } else { Cow::Owned([head, GAP, tail].concat()) }
}

fn lines(whole: &str, mut cut: bool, room: usize) -> Told {
    let mut json = String::from("[");
    for line in whole.lines() {
        let line = quoted(line);
        if json.len().saturating_add(line.len()).saturating_add(2) > room {
            cut = true;
            break;
        }
        if json.len() > 1 {
            json.push(',');
        }
        json.push_str(&line);
    }
    json.push(']');
    Told { key: "lines", json, cut, wrong: None }
}

/// `kept` as a JSON text of at most `room` bytes, and whether something is missing. What does not fit is taken out of the
/// middle, at characters.
pub(super) fn text(kept: &Kept, room: usize) -> (String, bool) {
    let text = joined(&String::from_utf8_lossy(&kept.head), &String::from_utf8_lossy(&kept.tail)).into_owned();
    let json = quoted(&text);
    if json.len() <= room {
        return (json, kept.dropped > 0);
    }
    let mut half = text.len() / 2;
    loop {
        // Escapes may take six times the room of what they stand for: three or four rounds, each on half as much.
        half /= 2;
        let (mut head, mut tail) = (half, text.len().saturating_sub(half));
        while !text.is_char_boundary(head) {
            head = head.saturating_sub(1);
        }
        while !text.is_char_boundary(tail) {
            tail = tail.saturating_add(1);
        }
        let (head, tail) = (text.get(..head).unwrap_or_default(), text.get(tail..).unwrap_or_default());
        let json = quoted(&[head, GAP, tail].concat());
        if json.len() <= room || half == 0 {
            return (json, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(bytes: &[u8], dropped: u64) -> Kept {
        Kept { head: bytes.to_vec(), tail: Vec::new(), total: dropped + bytes.len() as u64, dropped }
    }

    fn check(bytes: &[u8], dropped: u64, output: Output, room: usize, expected: (&str, &str, bool)) {
        let told = tell(&kept(bytes, dropped), output, true, Keys { text: "text", base64: "base64" }, room);
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!((told.key, told.json.as_str(), told.cut), expected, "{shown}");
        assert!(told.json.len() <= room, "{shown}");
    }

    #[test]
    fn rows() {
        check(b"a\n", 0, Output::Text, 99, ("text", "\"a\\n\"", false));
        check(b"a\n", 5, Output::Text, 99, ("text", "\"a\\n\"", true));
        check(b"", 0, Output::Text, 99, ("text", "\"\"", false));
        check(b"\xff\0", 0, Output::Text, 99, ("base64", "\"/wA=\"", false));
        check(b"\xff\0\0\0", 0, Output::Json, 12, ("base64", "\"/wAA\"", true));
        check(b" {\"a\": 1}\n", 0, Output::Json, 99, ("json", "{\"a\": 1}", false));
        let deep = |levels| [b"[".repeat(levels), b"]".repeat(levels)].concat();
        check(&deep(64), 0, Output::Json, 999, ("json", &String::from_utf8(deep(64)).unwrap(), false));
        let told = format!("\"{}\"", String::from_utf8(deep(65)).unwrap());
        check(&deep(65), 0, Output::Json, 999, ("text", &told, false));
        check(b"1", 4, Output::Json, 99, ("text", "\"1\"", true));
        check(b"a\nb\r\n\nc", 0, Output::Lines, 99, ("lines", "[\"a\",\"b\",\"\",\"c\"]", false));
        check(b"aaa\nbbb\nccc", 0, Output::Lines, 15, ("lines", "[\"aaa\",\"bbb\"]", true));
        check("ää".repeat(20).as_bytes(), 0, Output::Text, 40, ("text", "\"äääää\\n…\\näääää\"", true));
        check(&[1; 100], 0, Output::Text, 200, ("text", &format!("\"{0}\\n…\\n{0}\"", "\\u0001".repeat(12)), true));
    }

    #[test]
    fn a_missing_middle_is_marked() {
        let kept = Kept { head: b"a\nb".to_vec(), tail: b"y\nz".to_vec(), total: 99, dropped: 93 };
        let keys = Keys { text: "text", base64: "base64" };
        assert_eq!(tell(&kept, Output::Text, true, keys, 99).json, "\"a\\nb\\n…\\ny\\nz\"");
        assert_eq!(tell(&kept, Output::Lines, true, keys, 99).json, "[\"a\",\"b\",\"…\",\"y\",\"z\"]");
        let kept = Kept { tail: vec![0xff], ..kept };
        assert_eq!(tell(&kept, Output::Text, true, keys, 99).json, "\"YQpi\"");
    }

    #[test]
    fn what_is_not_as_declared_is_said() {
        let wrong = |bytes: &[u8], dropped, binary| {
            tell(&kept(bytes, dropped), Output::Json, binary, Keys { text: "t", base64: "b" }, 99).wrong
        };
        assert_eq!(wrong(b"{", 0, true), Some("something else than JSON"));
        assert_eq!(wrong(b"{", 9, true), Some("more JSON than a result may hold"));
        assert!(
            wrong(b"\xff", 0, false).is_some() && wrong(b"\xff", 0, true).is_none() && wrong(b"1", 0, true).is_none()
        );
    }
}
