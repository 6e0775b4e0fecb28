//! A request's parameters against a table: raw JSON → checked values, or every fault in the reference's words. Pure.
//!
//! No tree is built: one pass over an object's keys keeps a slice of raw text for each declared parameter and skips the
//! rest unread, so what is held does not grow with what is sent. A key sent twice counts by its last value. The words
//! and their order are those of ajv, which real clients show and some parse. Source: contract ws.md §2.2, §3.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::api::envelope::{Key, plain};
use crate::limits::{PARAM_CHARS, PARAM_FAULTS, PARAM_ITEMS, TOOL_NAME_ECHO_CHARS};

/// An object's members.
#[derive(Debug)]
pub struct Shape {
    /// What is declared.
    pub params: &'static [Param],
    /// Whether other keys are faults.
    pub closed: bool,
}

impl Shape {
    /// Any object.
    pub const ANY: Shape = Shape { params: &[], closed: false };
    /// An object without members.
    pub const EMPTY: Shape = Shape { params: &[], closed: true };
}

/// One member.
#[derive(Debug)]
pub struct Param {
    /// Its key.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it must be there.
    pub required: bool,
}

impl Param {
    /// A member that may be absent.
    pub const fn optional(name: &'static str, kind: Kind) -> Param {
        Param { name, kind, required: false }
    }

    /// A member that must be there.
    pub const fn required(name: &'static str, kind: Kind) -> Param {
        Param { name, kind, required: true }
    }
}

/// What a member holds. Bounds are inclusive. `null` is none of these but [`Kind::Any`].
#[derive(Debug)]
pub enum Kind {
    /// Anything.
    Any,
    /// `true` or `false`.
    Boolean,
    /// A whole number; `5.0` is one.
    Integer {
        /// The least.
        min: u32,
        /// The greatest; `None` = any.
        max: Option<u32>,
    },
    /// An object.
    Object(&'static Shape),
    /// A text, counted in characters.
    Text {
        /// The least length.
        min: u32,
        /// The greatest length.
        max: u32,
    },
    /// A list of at most [`PARAM_ITEMS`] texts, none empty.
    Texts,
    /// One of a few words, which spaces part. Two references, because a fat one would make every kind longer.
    Word(&'static &'static str),
}

impl Kind {
    /// Any text of usual length.
    pub const TEXT: Kind = Kind::Text { min: 0, max: PARAM_CHARS as u32 };
    /// A text that says something.
    pub const NAME: Kind = Kind::Text { min: 1, max: PARAM_CHARS as u32 };
}

/// The declared members of an object, as sent. What was asked by a wrong name or as a wrong kind is absent.
#[derive(Debug)]
pub struct Values<'p> {
    shape: &'static Shape,
    raw: Vec<Option<&'p RawValue>>,
}

impl<'p> Values<'p> {
    /// The member as sent.
    pub fn raw(&self, name: &str) -> Option<&'p RawValue> {
        let at = self.shape.params.iter().position(|param| param.name == name)?;
        *self.raw.get(at)?
    }

    /// The text of a member, if it is one of at most [`PARAM_CHARS`] characters.
    pub fn text(&self, name: &str) -> Option<String> {
        text(self.raw(name)?, PARAM_CHARS)?.ok()
    }

    /// The same, empty when there is none.
    #[inline(never)]
    pub fn words(&self, name: &str) -> String {
        self.text(name).unwrap_or_default()
    }

    /// The whole number of a member; one beyond the range of an `i64` is its nearest end.
    pub fn integer(&self, name: &str) -> Option<i64> {
        whole(self.raw(name)?.get())
    }

    /// The boolean of a member.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.raw(name)?.get().parse().ok()
    }

    /// The texts of a member, the first [`PARAM_ITEMS`]; empty when it is no list.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let items = self.raw(name).and_then(items).unwrap_or_default();
        items.into_iter().take(PARAM_ITEMS).filter_map(|item| text(item, PARAM_CHARS)?.ok()).collect()
    }

    /// The members of a member that is declared as an object.
    pub fn object(&self, name: &str) -> Option<Values<'p>> {
        let param = self.shape.params.iter().find(|param| param.name == name)?;
        let Kind::Object(shape) = param.kind else { return None };
        scan(shape, self.raw(name)?).map(|found| found.values)
    }
}

/// Reads `raw` as an object of `shape`; nothing and `null` are `{}`.
///
/// # Errors
/// The faults, at most [`PARAM_FAULTS`], joined by `; `.
pub fn read<'p>(shape: &'static Shape, raw: Option<&'p RawValue>) -> Result<Values<'p>, String> {
    let found = match raw.filter(|raw| raw.get() != "null") {
        None => Some(Found::nothing(shape)),
        Some(raw) => scan(shape, raw),
    };
    let Some(found) = found else { return Err(String::from("must be object")) };
    let mut faults = Faults::default();
    faults.object(&found, "");
    if faults.0.is_empty() { Ok(found.values) } else { Err(faults.0.join("; ")) }
}

/// What one pass over an object found.
struct Found<'p> {
    values: Values<'p>,
    /// Keys that are not declared, the first few, cut.
    unknown: Vec<String>,
}

impl Found<'_> {
    fn nothing(shape: &'static Shape) -> Self {
        Found { values: Values { shape, raw: vec![None; shape.params.len()] }, unknown: Vec::new() }
    }
}

/// The members of `raw`; `None` when it is no object.
fn scan<'p>(shape: &'static Shape, raw: &'p RawValue) -> Option<Found<'p>> {
    let mut found = Found::nothing(shape);
    serde_json::Deserializer::from_str(raw.get()).deserialize_map(&mut found).ok()?;
    Some(found)
}

impl<'p> Visitor<'p> for &mut Found<'p> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'p>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Key(key)) = map.next_key()? {
            let at = self.values.shape.params.iter().position(|param| param.name == key);
            match at.and_then(|at| self.values.raw.get_mut(at)) {
                Some(place) => *place = Some(map.next_value()?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                    if self.unknown.len() < PARAM_FAULTS {
                        self.unknown.push(key.chars().take(TOOL_NAME_ECHO_CHARS).collect());
                    }
                }
            }
        }
        Ok(())
    }
}

/// The faults so far, in words.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    /// Adds a fault unless it is known or there are enough. `""` is the path of the whole.
    fn add(&mut self, path: &str, what: &str) {
        let fault = if path.is_empty() { what.to_owned() } else { ["at ", path, ": ", what].concat() };
        if self.0.len() < PARAM_FAULTS && !self.0.contains(&fault) {
            self.0.push(fault);
        }
    }

    /// What is wrong with an object: absent members, undeclared ones, then each declared one.
    fn object(&mut self, found: &Found<'_>, path: &str) {
        let shape = found.values.shape;
        let members = || shape.params.iter().zip(&found.values.raw);
        for (param, _) in members().filter(|(param, raw)| param.required && raw.is_none()) {
            self.add(path, &["must have required property '", param.name, "'"].concat());
        }
        for key in found.unknown.iter().filter(|_| shape.closed) {
            self.add(if path.is_empty() { "root" } else { path }, &["unexpected property '", key, "'"].concat());
        }
        for (param, raw) in members() {
            if let Some(raw) = raw {
                self.value(&param.kind, raw, &[path, "/", param.name].concat());
            }
        }
    }

    /// What is wrong with a value.
    fn value(&mut self, kind: &Kind, raw: &RawValue, path: &str) {
        let json = raw.get();
        let what = match *kind {
            Kind::Any => return,
            Kind::Boolean if matches!(json, "true" | "false") => return,
            Kind::Boolean => "must be boolean",
            Kind::Integer { min, max } => match whole(json) {
                None => "must be integer",
                Some(number) if number < i64::from(min) => return self.add(path, &said("be >= ", min as usize, "")),
                Some(number) => match max {
                    Some(max) if number > i64::from(max) => return self.add(path, &said("be <= ", max as usize, "")),
                    _ => return,
                },
            },
            Kind::Object(shape) => match scan(shape, raw) {
                Some(found) => return self.object(&found, path),
                None => "must be object",
            },
            Kind::Text { min, max } => match text(raw, max as usize) {
                None => "must be string",
                Some(Ok(text)) if text.chars().count() >= min as usize => return,
                Some(Ok(_)) => {
                    return self.add(path, &said("NOT have fewer than ", min as usize, " characters"));
                }
                Some(Err(())) => return self.add(path, &said("NOT have more than ", max as usize, " characters")),
            },
            Kind::Texts => match items(raw) {
                Some(items) if items.len() > PARAM_ITEMS => {
                    return self.add(path, &said("NOT have more than ", PARAM_ITEMS, " items"));
                }
                Some(items) => {
                    for (nth, item) in items.into_iter().enumerate() {
                        self.value(&Kind::NAME, item, &[path, "/", &nth.to_string()].concat());
                    }
                    return;
                }
                None => "must be array",
            },
            Kind::Word(words) => match text(raw, PARAM_CHARS) {
                Some(Ok(text)) if words.split(' ').any(|word| word == text) => return,
                _ if !words.contains(' ') => "must be equal to constant",
                _ => "must be equal to one of the allowed values",
            },
        };
        self.add(path, what);
    }
}

fn said(what: &str, bound: usize, of: &str) -> String {
    ["must ", what, &bound.to_string(), of].concat()
}

/// The text in `raw`, `Err` when it has more than `max` characters; `None` when it is no text.
fn text(raw: &RawValue, max: usize) -> Option<Result<String, ()>> {
    let json = raw.get();
    if !json.starts_with('"') {
        return None;
    }
    // The longest escape of one character is a surrogate pair, 12 bytes: what is longer than that need not be decoded.
    if json.len() > max.saturating_mul(12).saturating_add(2) {
        return Some(Err(()));
    }
    let text = plain(raw)?;
    Some(if text.chars().nth(max).is_some() { Err(()) } else { Ok(text) })
}

/// The whole number in `json`, one beyond the range as its nearest end; JSON Schema counts `5.0` as one, and infinity
/// (`1e400`) as none.
fn whole(json: &str) -> Option<i64> {
    if !json.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return None;
    }
    json.parse().ok().or_else(|| {
        let number: f64 = json.parse().ok()?;
        (number.is_finite() && number.trunc() == number).then_some(number as i64)
    })
}

/// The items of the list in `raw`, of too many the first ones, one more than are allowed; `None` when it is no list.
pub fn items(raw: &RawValue) -> Option<Vec<&RawValue>> {
    let mut list = List(Vec::new());
    serde_json::Deserializer::from_str(raw.get()).deserialize_seq(&mut list).ok()?;
    Some(list.0)
}

struct List<'p>(Vec<&'p RawValue>);

impl<'p> Visitor<'p> for &mut List<'p> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'p>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(item) = seq.next_element()? {
            if self.0.len() <= PARAM_ITEMS {
                self.0.push(item);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static INNER: Shape = Shape {
        closed: true,
        params: &[
            Param::required("id", Kind::Word(&"a b")),
            Param::required("version", Kind::NAME),
            Param::optional("build", Kind::Text { min: 2, max: 4 }),
        ],
    };
    static OUTER: Shape = Shape {
        closed: true,
        params: &[
            Param::required("min", Kind::Integer { min: 1, max: None }),
            Param::optional("most", Kind::Integer { min: 0, max: Some(9) }),
            Param::optional("client", Kind::Object(&INNER)),
            Param::optional("caps", Kind::Texts),
            Param::optional("on", Kind::Boolean),
            Param::optional("any", Kind::Any),
            Param::optional("flags", Kind::Object(&Shape::ANY)),
        ],
    };

    fn check(params: &str, expected: Result<(), &str>) {
        let raw: &RawValue = serde_json::from_str(params).expect("JSON");
        let got = read(&OUTER, Some(raw));
        assert_eq!(got.as_ref().map(|_| ()).map_err(String::as_str), expected, "{params:.80}");
    }

    #[test]
    fn faults_have_the_reference_s_words() {
        check(r#"{"min":1}"#, Ok(()));
        check(r#"{"min":5.0,"most":0,"caps":[],"on":false,"any":null,"flags":{"x":[1]}}"#, Ok(()));
        check(r#"{"min":1,"client":{"id":"b","version":"é","build":"abcd"},"caps":["x"]}"#, Ok(()));
        check("{}", Err("must have required property 'min'"));
        check("null", Err("must have required property 'min'"));
        for other in ["[]", "5", "\"x\"", "true", "[{}]"] {
            check(other, Err("must be object"));
        }
        check(r#"{"min":1,"foo":1}"#, Err("at root: unexpected property 'foo'"));
        check(r#"{"min":"1"}"#, Err("at /min: must be integer"));
        check(r#"{"min":0}"#, Err("at /min: must be >= 1"));
        check(r#"{"min":1,"most":10}"#, Err("at /most: must be <= 9"));
        check(r#"{"min":1,"client":[]}"#, Err("at /client: must be object"));
        check(r#"{"min":1,"client":{"id":"b"}}"#, Err("at /client: must have required property 'version'"));
        check(r#"{"min":1,"client":{"id":"b","version":"v","x":1}}"#, Err("at /client: unexpected property 'x'"));
        check(
            r#"{"min":1,"client":{"id":"c","version":""}}"#,
            Err(
                "at /client/id: must be equal to one of the allowed values; at /client/version: must NOT have fewer than 1 characters",
            ),
        );
        check(
            r#"{"min":1,"client":{"id":1,"version":null}}"#,
            Err("at /client/id: must be equal to one of the allowed values; at /client/version: must be string"),
        );
        check(
            r#"{"min":1,"client":{"id":"a","version":"v","build":"é"}}"#,
            Err("at /client/build: must NOT have fewer than 2 characters"),
        );
        check(
            r#"{"min":1,"client":{"id":"a","version":"v","build":"ééééé"}}"#,
            Err("at /client/build: must NOT have more than 4 characters"),
        );
        check(r#"{"min":1,"caps":{}}"#, Err("at /caps: must be array"));
        check(r#"{"min":1,"caps":[""]}"#, Err("at /caps/0: must NOT have fewer than 1 characters"));
        check(r#"{"min":1,"caps":["x",1]}"#, Err("at /caps/1: must be string"));
        check(r#"{"min":1,"on":"true"}"#, Err("at /on: must be boolean"));
        check(r#"{"min":1,"on":null,"most":null}"#, Err("at /most: must be integer; at /on: must be boolean"));
        check(r#"{"x":1,"min":"a"}"#, Err("at root: unexpected property 'x'; at /min: must be integer"));
    }

    #[test]
    fn numbers_are_those_of_json_schema() {
        for good in ["1", "1.0", "1e3", "10E2", "9007199254740993", "1e300", "99999999999999999999"] {
            check(&format!("{{\"min\":{good}}}"), Ok(()));
        }
        for bad in ["1.5", "1e400", "-1e400", "1e-3", "\"1\"", "[1]", "{}", "true", "null"] {
            check(&format!("{{\"min\":{bad}}}"), Err("at /min: must be integer"));
        }
        for low in ["-1", "0", "-0", "-0.0", "-1e300"] {
            check(&format!("{{\"min\":{low}}}"), Err("at /min: must be >= 1"));
        }
        let number = |json: &str| {
            let raw: Box<RawValue> = serde_json::from_str(&format!("{{\"min\":{json}}}")).unwrap();
            read(&OUTER, Some(&raw)).unwrap().integer("min")
        };
        assert_eq!((number("1e300"), number("7.0"), number("12")), (Some(i64::MAX), Some(7), Some(12)));
    }

    #[test]
    fn a_key_counts_by_its_last_value() {
        check(r#"{"min":"x","min":1}"#, Ok(()));
        check(r#"{"min":1,"m\u0069n":0}"#, Err("at /min: must be >= 1"));
        check(r#"{"x":1,"x":2,"min":1}"#, Err("at root: unexpected property 'x'"));
    }

    #[test]
    fn hostile_sizes_are_bounded() {
        let big = "a".repeat(1 << 21);
        check(&format!(r#"{{"min":1,"{big}":1}}"#), Err(&format!("at root: unexpected property '{}'", &big[..64])));
        check(&format!(r#"{{"min":1,"caps":["{big}"]}}"#), Err("at /caps/0: must NOT have more than 4096 characters"));
        check(
            &format!(r#"{{"min":1,"client":{{"id":"{big}","version":"{big}"}}}}"#),
            Err(
                "at /client/id: must be equal to one of the allowed values; at /client/version: must NOT have more than 4096 characters",
            ),
        );
        let items = format!(r#"{{"min":1,"caps":[{}1]}}"#, "\"x\",".repeat(100_000));
        check(&items, Err("at /caps: must NOT have more than 128 items"));
        let keys: Vec<String> = (0..100_000).map(|n| format!("\"k{n}\":0")).collect();
        let keys = format!("{{\"min\":1,{}}}", keys.join(","));
        let expected: Vec<String> = (0..PARAM_FAULTS).map(|n| format!("at root: unexpected property 'k{n}'")).collect();
        check(&keys, Err(&expected.join("; ")));
        let deep = format!(r#"{{"min":1,"any":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        check(&deep, Ok(()));
        let digits = format!(r#"{{"min":{}}}"#, "9".repeat(1 << 20));
        check(&digits, Err("at /min: must be integer"));
    }

    #[test]
    fn texts_with_lone_surrogates_are_texts() {
        let raw: &RawValue = serde_json::from_str(r#"{"min":1,"caps":["a\ud800"],"any":"\ud800x"}"#).unwrap();
        let values = read(&OUTER, Some(raw)).unwrap();
        assert!(values.texts("caps")[0].starts_with("a\u{fffd}") && values.text("any").unwrap().ends_with('x'));
        assert_eq!((values.text("nope"), values.flag("any"), values.integer("any")), (None, None, None));
        assert!(values.object("any").is_none() && values.object("client").is_none());
    }
}
