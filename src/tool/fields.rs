//! Parameters of declared tools: an operator's schema → checked [`Args`], or a JSON Schema. Pure.
//!
//! The subset of JSON Schema 2020-12 that fits a value into one argument: `type`, `enum`, `pattern`, `minimum`,
//! `maximum`, `minLength`, `maxLength`, `default`, `description`. Undeclared arguments are always refused. A number stays
//! the text it was sent as, so nothing is rounded on its way into a command.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::object::quoted;
use super::pattern::Pattern;
use super::schema::{self, Args, Value, Wrong};
use crate::limits::NUMBER_BYTES;

/// The JSON type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// A text.
    String,
}

impl Type {
    /// The word of JSON Schema.
    pub fn word(self) -> &'static str {
        match self {
            Type::Boolean => "boolean",
            Type::Integer => "integer",
            Type::Number => "number",
            Type::String => "string",
        }
    }
}

/// One parameter of a declared tool.
#[derive(Debug)]
pub struct Field {
    /// The argument's name.
    pub name: String,
    /// One line for readers of the schema.
    pub about: String,
    /// What it holds.
    pub kind: Type,
    /// The only values allowed; empty = any.
    pub choices: Vec<Value>,
    /// What a text must match.
    pub pattern: Option<Pattern>,
    /// The least number, as JSON.
    pub least: Option<Box<str>>,
    /// The greatest number, as JSON.
    pub most: Option<Box<str>>,
    /// The least length of a text in characters.
    pub chars_min: usize,
    /// The greatest length of a text in characters.
    pub chars_max: usize,
    /// Whether a call without it is refused.
    pub required: bool,
    /// Whether its value may begin with `-` in a command.
    pub allow_dash: bool,
    /// The value when absent.
    pub default: Option<Value>,
}

impl Field {
    /// The value in `raw`, one JSON value, if it fits.
    ///
    /// # Errors
    /// What is wrong with it, in words that follow its name.
    pub fn value(&self, raw: &str) -> Result<Value, String> {
        let value = match self.kind {
            Type::Boolean if matches!(raw, "true" | "false") => Value::Raw(raw.into()),
            Type::Boolean => return Err("must be true or false".into()),
            Type::Integer | Type::Number => self.number(raw)?,
            Type::String => self.text(raw)?,
        };
        if self.choices.is_empty() || self.choices.contains(&value) {
            return Ok(value);
        }
        let words: Vec<Cow<'_, str>> = self.choices.iter().map(plain).collect();
        Err(["must be one of ", &words.join(", ")].concat())
    }

    fn number(&self, raw: &str) -> Result<Value, String> {
        if !raw.starts_with(|c: char| c == '-' || c.is_ascii_digit()) || raw.len() > NUMBER_BYTES {
            return Err("must be a number".into());
        }
        let text: Box<str> = match self.kind {
            Type::Integer => schema::whole(raw).ok_or("must be a whole number")?.to_string().into(),
            _ => raw.into(),
        };
        let within = |bound: &Option<Box<str>>, out: fn(f64, f64) -> bool| match bound {
            Some(bound) => !matches!((text.parse(), bound.parse()), (Ok(n), Ok(bound)) if out(n, bound)),
            None => true,
        };
        if !within(&self.least, |n, least| n < least) {
            return Err(["must be at least ", self.least.as_deref().unwrap_or_default()].concat());
        }
        if !within(&self.most, |n, most| n > most) {
            return Err(["must be at most ", self.most.as_deref().unwrap_or_default()].concat());
        }
        Ok(Value::Raw(text))
    }

    fn text(&self, raw: &str) -> Result<Value, String> {
        let text = schema::text(raw, self.chars_max).map_err(|(Wrong::Junk(wrong) | Wrong::Large(wrong))| wrong)?;
        if text.chars().count() < self.chars_min {
            return Err(["must be at least ", &self.chars_min.to_string(), " characters"].concat());
        }
        match &self.pattern {
            Some(pattern) if !pattern.matches(&text) => Err(["must match ", pattern.source()].concat()),
            _ => Ok(Value::Text(text)),
        }
    }

    /// The keywords of this parameter's schema.
    fn json(&self) -> String {
        let mut out = ["\"type\":\"", self.kind.word(), "\""].concat();
        let mut add = |key: &str, json: &str| out.extend([",\"", key, "\":", json]);
        if !self.choices.is_empty() {
            let choices: Vec<Cow<'_, str>> = self.choices.iter().map(json).collect();
            add("enum", &["[", &choices.join(","), "]"].concat());
        }
        if let Some(pattern) = &self.pattern {
            add("pattern", &quoted(pattern.source()));
        }
        for (key, bound) in [("minimum", &self.least), ("maximum", &self.most)] {
            if let Some(bound) = bound {
                add(key, bound);
            }
        }
        if self.kind == Type::String {
            add("minLength", &self.chars_min.to_string());
            add("maxLength", &self.chars_max.to_string());
        }
        if let Some(default) = &self.default {
            add("default", &json(default));
        }
        out
    }
}

/// Checks raw `args` against `fields`. `action` fills a declared, absent `action`.
///
/// # Errors
/// The text for the caller: it names the first argument that is wrong and what is wrong with it.
pub(super) fn check(fields: &[Field], args: Option<&RawValue>, action: Option<&str>) -> Result<Args, String> {
    let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    let (found, stranger) = schema::slices(&names, args);
    if let Some(name) = stranger {
        return Err(schema::unknown(&name, &names));
    }
    let mut values = Vec::with_capacity(fields.len());
    for (field, raw) in fields.iter().zip(&found) {
        let action = action.filter(|_| field.name == "action").map(quoted);
        let raw = raw.map(RawValue::get).or(action.as_deref());
        let value = match raw {
            Some(raw) => Some(field.value(raw).map_err(|wrong| [&field.name, ": ", &wrong].concat())?),
            None => field.default.clone(),
        };
        match value {
            Some(value) => values.push((Cow::Owned(field.name.clone()), value)),
            None if field.required => return Err([&field.name, " required"].concat()),
            None => {}
        }
    }
    Ok(Args(values))
}

/// The JSON Schema (2020-12) of `fields`.
pub(super) fn schema_json(fields: &[Field]) -> String {
    let rows = fields.iter().map(|field| (field.name.as_str(), field.json(), field.about.as_str(), field.required));
    schema::document(true, rows.collect())
}

/// A value as it stands in a command or a path: a text as it is, everything else as its JSON.
pub(super) fn plain(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Raw(raw) => Cow::Borrowed(raw),
        Value::Text(text) => Cow::Borrowed(text),
        Value::Boolean(flag) => Cow::Borrowed(if *flag { "true" } else { "false" }),
        Value::Integer(number) => Cow::Owned(number.to_string()),
        Value::Texts(_) | Value::Pairs(_) => json(value),
    }
}

/// A value as JSON.
pub(super) fn json(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Text(text) => Cow::Owned(quoted(text)),
        Value::Texts(texts) => Cow::Owned(serde_json::to_string(texts).unwrap_or_default()),
        Value::Pairs(pairs) => {
            let pairs: Vec<String> =
                pairs.iter().map(|(name, text)| [&quoted(name), ":", &quoted(text)].concat()).collect();
            Cow::Owned(["{", &pairs.join(","), "}"].concat())
        }
        other => plain(other),
    }
}

/// Arguments as one JSON object.
pub(super) fn object(args: &Args) -> String {
    let mut out = String::from("{");
    for (at, (name, value)) in args.0.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.extend([&quoted(name), ":", &json(value)]);
    }
    out.push('}');
    out
}
