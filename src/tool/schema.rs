//! Arguments as data: one table of [`Param`]s → checked [`Args`], or a JSON Schema. Pure.
//!
//! Arguments come as raw JSON of up to the body limit and may be hostile, so no tree is built: one pass over the
//! top-level keys keeps a *slice* of the raw text per declared parameter, skips everything else unread, and only
//! then are the kept slices turned into values, each within the bound its parameter names.
//! Depth needs no care here: skipping and slicing do not recurse.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::shape::Shape;
use crate::limits::{TOOL_NAME_ECHO_CHARS, TOOL_OBJECT_BYTES, TOOL_TEXT_CHARS};

/// One parameter of a tool.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    /// The argument's name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether a call without it is refused.
    pub required: bool,
    /// One line for readers of the schema.
    pub about: &'static str,
}

/// What an argument holds. Bounds are inclusive.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// `true` or `false`.
    Boolean {
        /// The value when absent.
        default: bool,
    },
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// A whole number.
    Integer {
        /// The least value.
        min: i64,
        /// The greatest value.
        max: i64,
        /// The value when absent.
        default: Option<i64>,
    },
    /// A number of the reference's schemas: fractions are cut, numeric strings read, smaller values raised to `min`.
    Number {
        /// The least value.
        min: i64,
    },
    /// An object, kept as raw JSON.
    Object {
        /// The greatest length of the raw JSON in bytes.
        bytes_max: usize,
    },
    /// A text, counted in characters.
    Text {
        /// The least length.
        min: usize,
        /// The greatest length.
        max: usize,
        /// What it must look like.
        shape: Option<Shape>,
    },
    /// A list of texts.
    Texts {
        /// The greatest number of items; a lenient tool reads the first ones.
        items_max: usize,
        /// The greatest length of one item in characters.
        chars_max: usize,
    },
}

impl Kind {
    /// Any text, as the reference's schemas say it.
    pub const ANY_TEXT: Kind = Kind::Text { min: 0, max: TOOL_TEXT_CHARS, shape: None };
    /// Any object.
    pub const ANY_OBJECT: Kind = Kind::Object { bytes_max: TOOL_OBJECT_BYTES };
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Boolean(bool),
    Integer(i64),
    Raw(Box<str>),
    Text(String),
    Texts(Vec<String>),
}

/// Checked arguments of one call: declared names with values of the declared kinds, defaults filled in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args(Vec<(&'static str, Value)>);

impl Args {
    /// The text called `name`, `None` when absent.
    pub fn text(&self, name: &str) -> Option<&str> {
        if let Some(Value::Text(text)) = self.find(name) { Some(text) } else { None }
    }
    /// The whole number called `name`.
    pub fn integer(&self, name: &str) -> Option<i64> {
        if let Some(Value::Integer(number)) = self.find(name) { Some(*number) } else { None }
    }
    /// The number called `name` as a count, `None` when absent or negative.
    pub fn count(&self, name: &str) -> Option<usize> {
        usize::try_from(self.integer(name)?).ok()
    }
    /// Whether the boolean called `name` is true.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.find(name), Some(Value::Boolean(true)))
    }
    /// The texts called `name`, empty when absent.
    pub fn texts(&self, name: &str) -> &[String] {
        if let Some(Value::Texts(texts)) = self.find(name) { texts } else { &[] }
    }
    /// The raw JSON of the object called `name`.
    pub fn object(&self, name: &str) -> Option<&str> {
        if let Some(Value::Raw(raw)) = self.find(name) { Some(raw) } else { None }
    }
    fn find(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

/// Checks raw `args` against `params`; `lenient` as in [`super::Tool::lenient`]. What is no object counts as `{}`.
/// `action` fills a declared, absent `action`. The last of duplicate keys wins.
///
/// # Errors
/// The text for the caller: it names the first argument that is wrong and what is wrong with it.
/// Source: contract http.md §0 item 2, §3.1, §5.2.
pub(super) fn check(
    params: &'static [Param],
    lenient: bool,
    args: Option<&RawValue>,
    action: Option<&str>,
) -> Result<Args, String> {
    let mut found = Found { params, raw: vec![None; params.len()], unknown: None };
    if let Some(raw) = args.filter(|raw| raw.get().trim_start().starts_with('{')) {
        // The text was valid JSON when it became a `RawValue`, so this cannot fail; if it did, nothing was found.
        let _ = serde_json::Deserializer::from_str(raw.get()).deserialize_map(&mut found);
    }
    if let (false, Some(name)) = (lenient, found.unknown.take()) {
        return Err(unknown(&name, params));
    }
    let mut values = Vec::with_capacity(params.len());
    for (param, raw) in params.iter().zip(&found.raw) {
        let value = match raw {
            Some(raw) => match param.kind.value(raw.get(), lenient) {
                Ok(value) => value,
                Err(Wrong::Junk(_)) if lenient => None,
                Err(Wrong::Junk(wrong) | Wrong::Large(wrong)) => return Err(format!("{}: {wrong}", param.name)),
            },
            None => merged(param, action),
        };
        match value.or(param.kind.default()) {
            Some(value) => values.push((param.name, value)),
            None if param.required => return Err(format!("{} required", param.name)),
            None => {}
        }
    }
    Ok(Args(values))
}

/// The raw values that the object `raw` has under the names of `params`; those of other names are skipped unread.
#[allow(dead_code, reason = "the journal's lines are read with it")]
pub(super) fn slices<'a>(params: &'static [Param], raw: &'a RawValue) -> Vec<Option<&'a RawValue>> {
    let mut found = Found { params, raw: vec![None; params.len()], unknown: None };
    // As above; what is no object has no values.
    let _ = serde_json::Deserializer::from_str(raw.get()).deserialize_map(&mut found);
    found.raw
}

fn merged(param: &Param, action: Option<&str>) -> Option<Value> {
    let action = action.map(str::trim).filter(|action| !action.is_empty() && param.name == "action")?;
    match param.kind {
        Kind::Choice(words) if !words.contains(&action) => None,
        _ => Some(Value::Text(action.to_owned())),
    }
}

fn unknown(name: &str, params: &[Param]) -> String {
    let name: String = name.chars().take(TOOL_NAME_ECHO_CHARS).collect();
    let known: Vec<&str> = params.iter().map(|param| param.name).collect();
    if known.is_empty() {
        format!("{name}: unknown argument (this tool takes none)")
    } else {
        format!("{name}: unknown argument (this tool takes {})", known.join(", "))
    }
}

/// The slices of the declared arguments, and the first key that is none of them.
struct Found<'a> {
    params: &'static [Param],
    raw: Vec<Option<&'a RawValue>>,
    unknown: Option<String>,
}

impl<'de> Visitor<'de> for &mut Found<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Bytes)? {
            match self.params.iter().position(|param| param.name.as_bytes() == &*key) {
                Some(at) => {
                    let value = map.next_value()?;
                    if let Some(slot) = self.raw.get_mut(at) {
                        *slot = Some(value);
                    }
                }
                None => {
                    self.unknown.get_or_insert_with(|| {
                        let head = key.get(..TOOL_NAME_ECHO_CHARS.saturating_mul(4)).unwrap_or(&key);
                        String::from_utf8_lossy(head).into_owned()
                    });
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// A string as bytes: unlike `str` this takes an escaped lone surrogate, which JSON allows and UTF-8 does not.
struct Bytes;

impl<'de> DeserializeSeed<'de> for Bytes {
    type Value = Cow<'de, [u8]>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl<'de> Visitor<'de> for Bytes {
    type Value = Cow<'de, [u8]>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }
    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(Cow::Owned(bytes.to_vec()))
    }
    fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(bytes))
    }
}

/// What is wrong with a value, in words that follow its name.
enum Wrong {
    /// It is not of the kind. The reference ignores such values.
    Junk(Cow<'static, str>),
    /// It is larger than anything of use. Ignoring it would answer another question than the one asked.
    Large(Cow<'static, str>),
}

impl From<&'static str> for Wrong {
    fn from(text: &'static str) -> Wrong {
        Wrong::Junk(Cow::Borrowed(text))
    }
}

impl From<String> for Wrong {
    fn from(text: String) -> Wrong {
        Wrong::Junk(Cow::Owned(text))
    }
}

impl Kind {
    fn default(&self) -> Option<Value> {
        match self {
            Kind::Boolean { default } => Some(Value::Boolean(*default)),
            Kind::Integer { default, .. } => default.map(Value::Integer),
            _ => None,
        }
    }

    /// The value in `raw`, one JSON value. `None` stands for a blank text, which to the reference is an absent one.
    fn value(&self, raw: &str, lenient: bool) -> Result<Option<Value>, Wrong> {
        match *self {
            Kind::Boolean { .. } => match raw {
                "true" => Ok(Some(Value::Boolean(true))),
                "false" => Ok(Some(Value::Boolean(false))),
                _ => Err("must be true or false".into()),
            },
            Kind::Choice(words) => match text(raw, TOOL_TEXT_CHARS)? {
                word if words.contains(&word.as_str()) => Ok(Some(Value::Text(word))),
                _ => Err(format!("must be one of {}", words.join(", ")).into()),
            },
            Kind::Integer { min, max, .. } => match whole(raw) {
                Some(number) if (min..=max).contains(&number) => Ok(Some(Value::Integer(number))),
                Some(_) => Err(format!("must be between {min} and {max}").into()),
                None => Err("must be a whole number".into()),
            },
            Kind::Number { min } => number(raw).map(|n| Some(Value::Integer(n.max(min)))),
            Kind::Object { .. } if !raw.starts_with('{') => Err("must be an object".into()),
            Kind::Object { bytes_max } if raw.len() > bytes_max => {
                Err(format!("must be at most {bytes_max} bytes").into())
            }
            Kind::Object { .. } => Ok(Some(Value::Raw(raw.into()))),
            Kind::Text { min, max, shape } => {
                let mut text = text(raw, max)?;
                if lenient {
                    text = text.trim().to_owned();
                    return Ok(if text.is_empty() { None } else { Some(Value::Text(text)) });
                }
                if text.chars().count() < min {
                    let plural = if min == 1 { "" } else { "s" };
                    return Err(format!("must be at least {min} character{plural}").into());
                }
                match shape {
                    Some(shape) if !(shape.matches)(&text) => Err(format!("must {}", shape.must).into()),
                    _ => Ok(Some(Value::Text(text))),
                }
            }
            Kind::Texts { items_max, chars_max } => {
                texts(raw, items_max, chars_max, lenient).map(|t| Some(Value::Texts(t)))
            }
        }
    }
}

/// The string in `raw`, an escaped lone surrogate replaced, if it has at most `max` characters.
fn text(raw: &str, max: usize) -> Result<String, Wrong> {
    if !raw.starts_with('"') {
        return Err("must be a string".into());
    }
    let long = || Wrong::Large(Cow::Owned(format!("must be at most {max} characters")));
    // The longest escape of one character is a surrogate pair, 12 bytes: what is longer than that need not be decoded.
    if raw.len() > max.saturating_mul(12).saturating_add(2) {
        return Err(long());
    }
    let bytes = Bytes.deserialize(&mut serde_json::Deserializer::from_str(raw)).map_err(|_| "must be a string")?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if text.chars().count() > max { Err(long()) } else { Ok(text) }
}

/// The whole number in `raw`; JSON Schema counts `5.0` as one.
fn whole(raw: &str) -> Option<i64> {
    raw.parse().ok().or_else(|| {
        let number: f64 = raw.parse().ok()?;
        if number.fract() == 0.0 { cut(number) } else { None }
    })
}

/// `number` without its fraction, if it is in the range in which a double is exact.
fn cut(number: f64) -> Option<i64> {
    let exact = 9_007_199_254_740_992.0;
    if number.abs() <= exact { Some(number.trunc() as i64) } else { None }
}

/// The number in `raw`, itself or in a string, fraction cut, as the reference reads them.
fn number(raw: &str) -> Result<i64, Wrong> {
    let plain = if raw.starts_with('"') { Cow::Owned(text(raw, TOOL_TEXT_CHARS)?) } else { Cow::Borrowed(raw) };
    let number: Option<f64> = plain.trim().parse().ok();
    number.and_then(cut).ok_or(Wrong::from("must be a number"))
}

fn texts(raw: &str, items_max: usize, chars_max: usize, lenient: bool) -> Result<Vec<String>, Wrong> {
    if lenient && raw.starts_with('"') {
        return Ok(vec![text(raw, chars_max)?]);
    }
    if !raw.starts_with('[') {
        return Err("must be an array of strings".into());
    }
    let mut list = List { items_max, chars_max, lenient, texts: Vec::new(), wrong: None };
    let _ = serde_json::Deserializer::from_str(raw).deserialize_seq(&mut list);
    list.wrong.map_or(Ok(list.texts), Err)
}

struct List {
    items_max: usize,
    chars_max: usize,
    lenient: bool,
    texts: Vec<String>,
    wrong: Option<Wrong>,
}

impl<'de> Visitor<'de> for &mut List {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        for _ in 0..self.items_max {
            let Some(raw) = seq.next_element::<&RawValue>()? else { return Ok(()) };
            match text(raw.get(), self.chars_max) {
                Ok(text) => self.texts.push(text),
                Err(_) if self.lenient => {}
                Err(Wrong::Junk(wrong) | Wrong::Large(wrong)) => {
                    self.wrong = Some(format!("each item {wrong}").into());
                    return Ok(());
                }
            }
        }
        if !self.lenient && seq.next_element::<IgnoredAny>()?.is_some() {
            self.wrong = Some(format!("must have at most {} items", self.items_max).into());
        }
        Ok(())
    }
}

/// The JSON Schema (2020-12) of `params`; `closed` refuses undeclared arguments.
pub(super) fn json(params: &[Param], closed: bool) -> String {
    let mut out = String::from("{\"type\":\"object\"");
    if closed {
        out.push_str(",\"additionalProperties\":false");
    }
    out.push_str(",\"properties\":{");
    for (at, param) in params.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str(&quoted(param.name));
        out.push_str(":{");
        out.push_str(&param.kind.json());
        out.push_str(&format!(",\"description\":{}}}", quoted(param.about)));
    }
    out.push('}');
    let required: Vec<String> = params.iter().filter(|p| p.required).map(|p| quoted(p.name)).collect();
    if !required.is_empty() {
        out.push_str(&format!(",\"required\":[{}]", required.join(",")));
    }
    out.push('}');
    out
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

impl Kind {
    fn json(&self) -> String {
        match *self {
            Kind::Boolean { default } => format!("\"type\":\"boolean\",\"default\":{default}"),
            Kind::Choice(words) => {
                let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
                format!("\"type\":\"string\",\"enum\":[{}]", words.join(","))
            }
            Kind::Integer { min, max, default } => {
                let default = default.map(|n| format!(",\"default\":{n}")).unwrap_or_default();
                format!("\"type\":\"integer\",\"minimum\":{min},\"maximum\":{max}{default}")
            }
            Kind::Number { min } => format!("\"type\":\"number\",\"minimum\":{min}"),
            Kind::Object { .. } => String::from("\"type\":\"object\""),
            Kind::Text { min: 0, max: TOOL_TEXT_CHARS, shape: None } => String::from("\"type\":\"string\""),
            Kind::Text { min, max, shape } => {
                let pattern = shape.map(|s| format!(",\"pattern\":{}", quoted(s.pattern))).unwrap_or_default();
                format!("\"type\":\"string\",\"minLength\":{min},\"maxLength\":{max}{pattern}")
            }
            Kind::Texts { items_max, chars_max } => format!(
                "\"type\":\"array\",\"maxItems\":{items_max},\"items\":{{\"type\":\"string\",\"maxLength\":{chars_max}}}"
            ),
        }
    }
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
