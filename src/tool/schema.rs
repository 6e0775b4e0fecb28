//! Arguments as data: one table of [`Param`]s → checked [`Args`], or a JSON Schema. Pure.
//!
//! Arguments come as raw JSON of up to the body limit and may be hostile, so no tree is built: one pass over the
//! top-level keys keeps a *slice* of the raw text per declared parameter, skips everything else unread, and only
//! then are the kept slices turned into values, each within the bound its parameter names.
//! Depth needs no care here: skipping and slicing do not recurse.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::object::quoted;
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
    /// An object of texts.
    Pairs {
        /// The greatest number of members.
        items_max: usize,
        /// The greatest length of one text in characters.
        chars_max: usize,
    },
    /// One of a few words, the first of them when absent.
    Preset(&'static [&'static str]),
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

/// One checked value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A boolean of a built-in tool.
    Boolean(bool),
    /// A whole number of a built-in tool.
    Integer(i64),
    /// Names with texts, in order.
    Pairs(Vec<(String, String)>),
    /// JSON as sent: an object, or a declared tool's number or boolean.
    Raw(Box<str>),
    /// A text.
    Text(String),
    /// A list of texts.
    Texts(Vec<String>),
}

/// Checked arguments of one call: declared names with values of the declared kinds, defaults filled in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args(pub(super) Vec<(Cow<'static, str>, Value)>);

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
    /// The members of the object of texts called `name`, empty when absent.
    pub fn pairs(&self, name: &str) -> &[(String, String)] {
        if let Some(Value::Pairs(pairs)) = self.find(name) { pairs } else { &[] }
    }
    /// The raw JSON of the object called `name`.
    pub fn object(&self, name: &str) -> Option<&str> {
        if let Some(Value::Raw(raw)) = self.find(name) { Some(raw) } else { None }
    }
    /// The value called `name`.
    pub(super) fn find(&self, name: &str) -> Option<&Value> {
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
    let names: Vec<&str> = params.iter().map(|param| param.name).collect();
    let (found, stranger) = slices(&names, args);
    if let (false, Some(name)) = (lenient, stranger) {
        return Err(unknown(&name, &names));
    }
    let mut values = Vec::with_capacity(params.len());
    for (param, raw) in params.iter().zip(&found) {
        let value = match raw {
            Some(raw) => match param.kind.value(raw.get(), lenient) {
                Ok(value) => value,
                Err(Wrong::Junk(_)) if lenient => None,
                Err(Wrong::Junk(wrong) | Wrong::Large(wrong)) => return Err(format!("{}: {wrong}", param.name)),
            },
            None => merged(param, action),
        };
        match value.or(param.kind.default()) {
            Some(value) => values.push((Cow::Borrowed(param.name), value)),
            None if param.required => return Err(format!("{} required", param.name)),
            None => {}
        }
    }
    Ok(Args(values))
}

fn merged(param: &Param, action: Option<&str>) -> Option<Value> {
    let action = action.map(str::trim).filter(|action| !action.is_empty() && param.name == "action")?;
    match param.kind {
        Kind::Choice(words) if !words.contains(&action) => None,
        _ => Some(Value::Text(action.to_owned())),
    }
}

/// What is said of an argument that is not declared.
pub(super) fn unknown(name: &str, known: &[&str]) -> String {
    let name: String = name.chars().take(TOOL_NAME_ECHO_CHARS).collect();
    if known.is_empty() {
        format!("{name}: unknown argument (this tool takes none)")
    } else {
        format!("{name}: unknown argument (this tool takes {})", known.join(", "))
    }
}

/// The slices of `args` that are called as in `names`, in that order, and the first key that is none of them. What is no
/// object has no keys.
pub fn slices<'a>(names: &[&str], args: Option<&'a RawValue>) -> (Vec<Option<&'a RawValue>>, Option<String>) {
    let (mut found, mut stranger) = (vec![None; names.len()], None);
    if let Some(raw) = args.filter(|raw| raw.get().trim_start().starts_with('{')) {
        members(raw.get(), &mut |key, value| {
            match names.iter().position(|name| name.as_bytes() == key).and_then(|at| found.get_mut(at)) {
                Some(slot) => *slot = Some(value),
                None => {
                    stranger.get_or_insert_with(|| {
                        let head = key.get(..TOOL_NAME_ECHO_CHARS.saturating_mul(4)).unwrap_or(key);
                        String::from_utf8_lossy(head).into_owned()
                    });
                }
            }
            Some(())
        });
    }
    (found, stranger)
}

/// Hands every member of an object to a function, as its key and a slice of raw JSON, until that returns `None`.
struct Members<'f, 'de>(&'f mut dyn FnMut(&[u8], &'de RawValue) -> Option<()>);

impl<'de> Visitor<'de> for Members<'_, 'de> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        while let Some(key) = map.next_key_seed(Bytes)? {
            if (self.0)(&key, map.next_value()?).is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Reads the object in `raw`. That was valid JSON when it became a [`RawValue`], so this cannot fail; if it did, what
/// follows was not found.
pub(super) fn members<'de>(raw: &'de str, each: &mut dyn FnMut(&[u8], &'de RawValue) -> Option<()>) {
    let _ = read_members(raw, each);
}

/// The same for what need not be JSON, and whether `each` took every member; what stands behind the object is not looked at.
///
/// # Errors
/// What is wrong with it, after the members before that.
pub fn read_members<'de>(
    json: &'de str,
    each: &mut dyn FnMut(&[u8], &'de RawValue) -> Option<()>,
) -> serde_json::Result<bool> {
    serde_json::Deserializer::from_str(json).deserialize_map(Members(each))
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
pub(super) enum Wrong {
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
            Kind::Preset(words) => words.first().map(|word| Value::Text((*word).to_owned())),
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
            Kind::Choice(words) | Kind::Preset(words) => match text(raw, TOOL_TEXT_CHARS)? {
                word if words.contains(&word.as_str()) => Ok(Some(Value::Text(word))),
                _ => Err(format!("must be one of {}", words.join(", ")).into()),
            },
            Kind::Integer { min, max, .. } => match whole(raw) {
                Some(number) if (min..=max).contains(&number) => Ok(Some(Value::Integer(number))),
                Some(_) => Err(format!("must be between {min} and {max}").into()),
                None => Err("must be a whole number".into()),
            },
            Kind::Number { min } => number(raw).map(|n| Some(Value::Integer(n.max(min)))),
            Kind::Object { .. } | Kind::Pairs { .. } if !raw.starts_with('{') => Err("must be an object".into()),
            Kind::Object { bytes_max } if raw.len() > bytes_max => {
                Err(format!("must be at most {bytes_max} bytes").into())
            }
            Kind::Object { .. } => Ok(Some(Value::Raw(raw.into()))),
            Kind::Pairs { items_max, chars_max } => pairs(raw, items_max, chars_max),
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
pub(super) fn text(raw: &str, max: usize) -> Result<String, Wrong> {
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
pub(super) fn whole(raw: &str) -> Option<i64> {
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

fn pairs(raw: &str, items_max: usize, chars_max: usize) -> Result<Option<Value>, Wrong> {
    let (mut pairs, mut wrong) = (Vec::new(), None);
    members(raw, &mut |key, value| {
        if pairs.len() == items_max {
            wrong = Some(format!("must have at most {items_max} members").into());
            return None;
        }
        match text(value.get(), chars_max) {
            Ok(text) => pairs.push((String::from_utf8_lossy(key).into_owned(), text)),
            Err(Wrong::Junk(words) | Wrong::Large(words)) => {
                wrong = Some(["each member ", &words].concat().into());
                return None;
            }
        }
        Some(())
    });
    wrong.map_or(Ok(Some(Value::Pairs(pairs))), Err)
}

fn texts(raw: &str, items_max: usize, chars_max: usize, lenient: bool) -> Result<Vec<String>, Wrong> {
    if lenient && raw.starts_with('"') {
        return Ok(vec![text(raw, chars_max)?]);
    }
    if !raw.starts_with('[') {
        return Err("must be an array of strings".into());
    }
    let (mut texts, mut wrong, mut seen) = (Vec::new(), None, 0);
    elements(raw, &mut |item| {
        if seen == items_max {
            if !lenient {
                wrong = Some(format!("must have at most {items_max} items").into());
            }
            return None;
        }
        seen += 1;
        match text(item.get(), chars_max) {
            Ok(text) => texts.push(text),
            Err(_) if lenient => {}
            Err(Wrong::Junk(words) | Wrong::Large(words)) => {
                wrong = Some(format!("each item {words}").into());
                return None;
            }
        }
        Some(())
    });
    wrong.map_or(Ok(texts), Err)
}

/// Hands every element of an array to a function, as a slice of raw JSON, until that returns `None`.
struct Elements<'f, 'de>(&'f mut dyn FnMut(&'de RawValue) -> Option<()>);

impl<'de> Visitor<'de> for Elements<'_, 'de> {
    type Value = bool;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<bool, A::Error> {
        while let Some(raw) = seq.next_element()? {
            if (self.0)(raw).is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether `raw` is an array and `each` took every element of it.
pub(super) fn elements<'de>(raw: &'de str, each: &mut dyn FnMut(&'de RawValue) -> Option<()>) -> bool {
    serde_json::Deserializer::from_str(raw).deserialize_seq(Elements(each)).unwrap_or(false)
}

/// The JSON Schema (2020-12) of `params`; `closed` refuses undeclared arguments.
pub(super) fn json(params: &[Param], closed: bool) -> String {
    let rows = params.iter().map(|param| (param.name, param.kind.json(), param.about, param.required));
    document(closed, rows.collect())
}

/// A schema of properties: name, keywords, description, whether required.
pub(super) fn document(closed: bool, rows: Vec<(&str, String, &str, bool)>) -> String {
    let mut out = String::from("{\"type\":\"object\"");
    if closed {
        out.push_str(",\"additionalProperties\":false");
    }
    out.push_str(",\"properties\":{");
    let mut required = Vec::new();
    for (at, (name, keywords, about, needed)) in rows.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.extend([&quoted(name), ":{", keywords, ",\"description\":", &quoted(about), "}"]);
        if *needed {
            required.push(quoted(name));
        }
    }
    out.push('}');
    if !required.is_empty() {
        out.extend([",\"required\":[", &required.join(","), "]"]);
    }
    out.push('}');
    out
}

impl Kind {
    fn json(&self) -> String {
        match *self {
            Kind::Boolean { default } => format!("\"type\":\"boolean\",\"default\":{default}"),
            Kind::Choice(words) | Kind::Preset(words) => {
                let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
                let default = match (self, words.first()) {
                    (Kind::Preset(_), Some(first)) => [",\"default\":", first].concat(),
                    _ => String::new(),
                };
                format!("\"type\":\"string\",\"enum\":[{}]{default}", words.join(","))
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
            Kind::Pairs { items_max, chars_max } => format!(
                "\"type\":\"object\",\"maxProperties\":{items_max},\"additionalProperties\":{{\"type\":\"string\",\"maxLength\":{chars_max}}}"
            ),
            Kind::Texts { items_max, chars_max } => format!(
                "\"type\":\"array\",\"maxItems\":{items_max},\"items\":{{\"type\":\"string\",\"maxLength\":{chars_max}}}"
            ),
        }
    }
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
