//! JSON5 text → an ordered tree, or where the text breaks off and what was expected there. Pure.
//!
//! The parser recurses and has no limit of its own, so size and depth are counted before it runs.

use std::fmt::{self, Write as _};

use json5::{ErrorCode, Position};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Findings;
use crate::limits::{CONFIG_BYTES_MAX, CONFIG_DEPTH_MAX, FINDING_QUOTE_CHARS_MAX};
use crate::tool::redact::turns;

/// A JSON5 value that keeps the order of its keys. Its `Debug` shows shapes only: any text may be a secret.
#[derive(Clone, PartialEq)]
pub enum Node {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number without a fraction.
    Int(i64),
    /// Every other number, infinities and NaN included.
    Float(f64),
    /// Text.
    Text(String),
    /// An array.
    List(Vec<Node>),
    /// An object; keys in the order written.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Parses JSON5 text. A byte-order mark is skipped; keys written twice are kept, for the check to find.
    ///
    /// # Errors
    /// One sentence with line and column (from 1) and what was expected there. It quotes nothing of the text.
    pub fn parse(text: &str) -> Result<Node, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.len() > CONFIG_BYTES_MAX {
            return Err(format!("the text has {} bytes; at most {CONFIG_BYTES_MAX} are read", text.len()));
        }
        if let Some(place) = too_deep(text) {
            return Err(format!("{}: nested more than {CONFIG_DEPTH_MAX} levels deep", line_and_column(place)));
        }
        json5::from_str(text).map_err(|error| {
            let end = || Position::from_offset(text.len(), text);
            // Where a list or object is cut off, the parser says where it began; everything else is cut off at the end.
            let place = match error.code() {
                Some(ErrorCode::EofParsingArray | ErrorCode::EofParsingObject) => error.position(),
                Some(code) if cut_off(code) => None,
                _ => error.position(),
            };
            let place = place.unwrap_or_else(end);
            format!("{}: {}", line_and_column(place), complaint(error.code()))
        })
    }

    /// The value of `key`, when this is an object that has it.
    #[inline(never)]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// The entries of an object; empty for everything else.
    pub fn entries(&self) -> &[(String, Node)] {
        if let Node::Map(entries) = self { entries } else { &[] }
    }

    /// The elements of an array; empty for everything else.
    pub fn items(&self) -> &[Node] {
        if let Node::List(items) = self { items } else { &[] }
    }

    /// The text, when this is text.
    pub fn text(&self) -> Option<&str> {
        if let Node::Text(text) = self { Some(text) } else { None }
    }

    /// What this is, for a finding.
    pub(super) fn noun(&self) -> &'static str {
        match self {
            Node::Null => "null",
            Node::Bool(_) => "true or false",
            Node::Int(_) | Node::Float(_) => "a number",
            Node::Text(_) => "text",
            Node::List(_) => "a list",
            Node::Map(_) => "an object",
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Null | Node::Bool(_) | Node::Int(_) | Node::Float(_) | Node::Text(_) => f.write_str(self.noun()),
            Node::List(items) => f.debug_list().entries(items).finish(),
            Node::Map(entries) => f.debug_map().entries(entries.iter().map(|(key, node)| (key, node))).finish(),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(Build)
    }
}

struct Build;

impl<'de> Visitor<'de> for Build {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Int(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(i64::try_from(value).map_or(Node::Float(value as f64), Node::Int))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        // 1e4 and 10000.0 are the whole number they look like, as in JavaScript. Below 2^53 the cast is exact.
        let whole = value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0;
        Ok(if whole { Node::Int(value as i64) } else { Node::Float(value) })
    }
    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }
    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Text(value))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }
    fn visit_bytes<E: serde::de::Error>(self, _: &[u8]) -> Result<Node, E> {
        Err(E::custom("expected a value"))
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Node::Null => serializer.serialize_unit(),
            Node::Bool(value) => serializer.serialize_bool(*value),
            Node::Int(value) => serializer.serialize_i64(*value),
            Node::Float(value) => serializer.serialize_f64(*value),
            Node::Text(text) => serializer.serialize_str(text),
            Node::List(items) => serializer.collect_seq(items),
            Node::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, node) in entries {
                    map.serialize_entry(key, node)?;
                }
                map.end()
            }
        }
    }
}

/// Reports every key that an object holds twice and keeps the last of them, as the reference's parser does.
pub(super) fn dedupe(node: &mut Node, path: &str, findings: &mut Findings) {
    match node {
        Node::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                dedupe(item, &element(path, index), findings);
            }
        }
        Node::Map(entries) => {
            let mut order: Vec<(&str, usize)> = Vec::with_capacity(entries.len());
            order.extend(entries.iter().enumerate().map(|(at, (key, _))| (key.as_str(), at)));
            order.sort_unstable();
            // Of equal keys the last stays.
            let mut gone = vec![false; entries.len()];
            for pair in order.windows(2) {
                if let [(key, at), (next, _)] = pair
                    && key == next
                    && let Some(gone) = gone.get_mut(*at)
                {
                    *gone = true;
                }
            }
            for ((key, _), gone) in entries.iter().zip(&gone).rev() {
                if *gone {
                    findings.error(&member(path, key), "this key is written twice; keep one of them");
                }
            }
            let mut gone = gone.into_iter();
            entries.retain(|_| gone.next() != Some(true));
            for (key, child) in entries {
                dedupe(child, &member(path, key), findings);
            }
        }
        Node::Null | Node::Bool(_) | Node::Int(_) | Node::Float(_) | Node::Text(_) => {}
    }
}

/// Whether `text` holds nothing but letters and digits of ASCII and these others.
#[inline(never)]
pub(super) fn made_of(text: &str, others: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || others.as_bytes().contains(&b))
}

/// Whether `text` holds control characters.
#[inline(never)]
pub(super) fn controls(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// The path of `key` in the object at `path` (`""` = the root). Keys that are no plain word stand quoted in brackets.
#[inline(never)]
pub(super) fn member(path: &str, key: &str) -> String {
    let plain = !key.is_empty() && made_of(key, "_-$");
    match (plain && key.len() <= FINDING_QUOTE_CHARS_MAX, path.is_empty()) {
        (true, true) => key.to_owned(),
        (true, false) => [path, ".", key].concat(),
        (false, _) => [path, "[", &quoted(key), "]"].concat(),
    }
}

/// The path of element `index` of the array at `path`.
#[inline(never)]
pub(super) fn element(path: &str, index: usize) -> String {
    [path, "[", &index.to_string(), "]"].concat()
}

/// `text` in double quotes, cut, with everything escaped that a terminal or a log could trip over.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for (count, c) in text.chars().enumerate() {
        if count == FINDING_QUOTE_CHARS_MAX {
            out.push('…');
            break;
        }
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            _ if c.is_control() || turns(c) || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Where the text first nests deeper than allowed. Brackets in strings and comments do not count.
fn too_deep(text: &str) -> Option<Position> {
    let mut depth = 0_usize;
    let mut chars = text.char_indices().peekable();
    while let Some((offset, c)) = chars.next() {
        match c {
            '[' | '{' => {
                depth += 1;
                if depth > CONFIG_DEPTH_MAX {
                    return Some(Position::from_offset(offset, text));
                }
            }
            ']' | '}' => depth = depth.saturating_sub(1),
            '"' | '\'' => {
                while let Some((_, inner)) = chars.next() {
                    if inner == '\\' {
                        chars.next();
                    } else if inner == c {
                        break;
                    }
                }
            }
            '/' => match chars.peek() {
                Some((_, '/')) => {
                    while chars.next_if(|(_, c)| !matches!(c, '\n' | '\r' | '\u{2028}' | '\u{2029}')).is_some() {}
                }
                Some((_, '*')) => {
                    chars.next();
                    while let Some((_, inner)) = chars.next() {
                        if inner == '*' && chars.peek().is_some_and(|(_, c)| *c == '/') {
                            break;
                        }
                    }
                    chars.next();
                }
                _ => {}
            },
            _ => {}
        }
    }
    None
}

/// Whether the text ended too early.
fn cut_off(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::EofParsingBool
            | ErrorCode::EofParsingComment
            | ErrorCode::EofParsingEscapeSequence
            | ErrorCode::EofParsingIdentifier
            | ErrorCode::EofParsingNull
            | ErrorCode::EofParsingNumber
            | ErrorCode::EofParsingString
            | ErrorCode::EofParsingValue
    )
}

fn line_and_column(place: Position) -> String {
    format!("line {}, column {}", place.line + 1, place.column + 1)
}

/// The parser's complaint in plain words. Its free texts are not passed on: they could quote the text.
fn complaint(code: Option<ErrorCode>) -> String {
    let Some(code) = code else {
        return "this number or escape sequence is malformed".to_owned();
    };
    match code {
        ErrorCode::EofParsingArray => "this list is not closed when the text ends; expected \"]\"",
        ErrorCode::EofParsingComment => "the text ends inside a comment; expected \"*/\"",
        ErrorCode::EofParsingObject => "this object is not closed when the text ends; expected \"}\"",
        ErrorCode::EofParsingString | ErrorCode::EofParsingEscapeSequence => {
            "the text ends inside a quoted text; expected its closing quote"
        }
        ErrorCode::EofParsingValue => "the text ends where a value was expected",
        ErrorCode::EofParsingIdentifier => "the text ends inside a key; expected \":\"",
        ErrorCode::EofParsingNumber => "the text ends inside a number",
        ErrorCode::EofParsingBool | ErrorCode::EofParsingNull => "the text ends inside a word",
        ErrorCode::ExpectedClosingBrace => "expected \",\" or \"}\"",
        ErrorCode::ExpectedClosingBracket => "expected \",\" or \"]\"",
        ErrorCode::ExpectedColon => "expected \":\" after the key",
        ErrorCode::ExpectedComma => "expected \",\"; a comma is missing before this",
        ErrorCode::ExpectedComment => "expected a comment (\"//\" or \"/*\") after \"/\"",
        ErrorCode::ExpectedIdentifier => "expected a key or \"}\"; put a key of other characters in quotes",
        ErrorCode::ExpectedValue | ErrorCode::ExpectedString => "expected a value; put text in quotes",
        ErrorCode::ExpectedBool => "expected true or false; put text in quotes",
        ErrorCode::ExpectedNull => "expected null; put text in quotes",
        ErrorCode::ExpectedNumber => "expected a number",
        ErrorCode::InvalidEscapeSequence => "this escape sequence is not valid; write \"\\\\\" for a backslash",
        ErrorCode::LeadingZero => "a number may not begin with 0",
        ErrorCode::LineTerminatorInString => "a quoted text may not hold a line break; write \"\\n\"",
        ErrorCode::OverflowParsingNumber => "this number is too large",
        ErrorCode::TrailingCharacters => "expected the end of the text",
        _ => return code.to_string(),
    }
    .to_owned()
}
