//! A request's body → the fields of a call, borrowed. No tree is built: values stay raw until somebody asks for them.
//!
//! Source: contract http.md §1.5, §3.1, §3.3.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::limits::{BODY_BYTES_MAX, JSON_DEPTH_MAX};
use crate::tool::depth;

/// The fields of a call, as sent. A field given twice counts by its last value; unknown fields are ignored.
#[derive(Debug, Default)]
pub struct Envelope<'b> {
    /// `tool`
    pub tool: Option<&'b RawValue>,
    /// `name`: the newer spelling of `tool`; it wins.
    pub name: Option<&'b RawValue>,
    /// `action`
    pub action: Option<&'b RawValue>,
    /// `args`
    pub args: Option<&'b RawValue>,
    /// `sessionKey`
    pub session_key: Option<&'b RawValue>,
    /// `agentId`
    pub agent_id: Option<&'b RawValue>,
    /// `idempotencyKey`
    pub idempotency_key: Option<&'b RawValue>,
    /// `dryRun`
    pub dry_run: Option<&'b RawValue>,
}

/// The body as text: invalid UTF-8 becomes U+FFFD, a byte-order mark and surrounding white space go.
///
/// # Errors
/// A text for the caller when replacing would make the body larger than [`BODY_BYTES_MAX`], so that repair cannot multiply memory.
pub fn text(body: &[u8]) -> Result<Cow<'_, str>, String> {
    let text = match std::str::from_utf8(body) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            let repaired: usize = body
                .utf8_chunks()
                .map(|c| c.valid().len().saturating_add(if c.invalid().is_empty() { 0 } else { 3 }))
                .sum();
            if repaired > BODY_BYTES_MAX {
                return Err("Invalid JSON: the body is not UTF-8".into());
            }
            String::from_utf8_lossy(body)
        }
    };
    let blank = |c: char| c.is_whitespace() || c == '\u{feff}';
    Ok(match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim_matches(blank)),
        Cow::Owned(text) => match text.trim_matches(blank) {
            trimmed if trimmed.len() == text.len() => Cow::Owned(text),
            trimmed => Cow::Owned(trimmed.to_owned()),
        },
    })
}

/// Reads the fields of `text`, which [`text`] gave. Whatever is not an object has no fields; nothing at all is `{}`.
///
/// # Errors
/// A text for the caller: where the JSON is malformed, or that it is nested deeper than [`JSON_DEPTH_MAX`].
pub fn read(text: &str) -> Result<Envelope<'_>, String> {
    if text.is_empty() {
        return Ok(Envelope::default());
    }
    if depth(text) > JSON_DEPTH_MAX {
        return Err(format!("Invalid JSON: nested deeper than {JSON_DEPTH_MAX} levels"));
    }
    serde_json::from_str(text).map_err(|error| format!("Invalid JSON: {error}"))
}

/// The value as a trimmed string; `None` when it is absent, another type or blank. A lone surrogate becomes U+FFFD.
pub fn string(value: Option<&RawValue>) -> Option<String> {
    let text = plain(value?)?;
    let trimmed = text.trim();
    if trimmed.is_empty() { None } else { Some(if trimmed.len() == text.len() { text } else { trimmed.to_owned() }) }
}

/// The value as a string; `None` when it is another type. A lone surrogate becomes U+FFFD.
#[inline(never)]
pub fn plain(value: &RawValue) -> Option<String> {
    struct Bytes;
    impl Visitor<'_> for Bytes {
        type Value = String;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }
        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<String, E> {
            Ok(String::from_utf8_lossy(bytes).into_owned())
        }
    }
    let raw = value.get();
    let inner = raw.strip_prefix('"')?;
    // Nearly every text is what stands between its quotes.
    if let Some(text) = inner.strip_suffix('"').filter(|text| !text.contains('\\')) {
        return Some(text.to_owned());
    }
    // `deserialize_bytes` is serde_json's way to read strings whose escapes are no valid UTF-16.
    serde_json::Deserializer::from_str(raw).deserialize_bytes(Bytes).ok()
}

impl<'de> Deserialize<'de> for Envelope<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope<'de>, A::Error> {
        let mut envelope = Envelope::default();
        while let Some(Key(key)) = map.next_key()? {
            let field = match &*key {
                "tool" => &mut envelope.tool,
                "name" => &mut envelope.name,
                "action" => &mut envelope.action,
                "args" => &mut envelope.args,
                "sessionKey" => &mut envelope.session_key,
                "agentId" => &mut envelope.agent_id,
                "idempotencyKey" => &mut envelope.idempotency_key,
                "dryRun" => &mut envelope.dry_run,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *field = Some(map.next_value()?);
        }
        Ok(envelope)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Envelope<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Envelope::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Envelope<'de>, E> {
        Ok(Envelope::default())
    }
    fn visit_i64<E>(self, _: i64) -> Result<Envelope<'de>, E> {
        Ok(Envelope::default())
    }
    fn visit_u64<E>(self, _: u64) -> Result<Envelope<'de>, E> {
        Ok(Envelope::default())
    }
    fn visit_f64<E>(self, _: f64) -> Result<Envelope<'de>, E> {
        Ok(Envelope::default())
    }
    fn visit_str<E>(self, _: &str) -> Result<Envelope<'de>, E> {
        Ok(Envelope::default())
    }
    fn visit_unit<E>(self) -> Result<Envelope<'de>, E> {
        Ok(Envelope::default())
    }
}

/// An object's key, borrowed unless it has escapes.
pub(super) struct Key<'k>(pub(super) Cow<'k, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &[u8], expected: Result<(Option<&str>, Option<&str>), &str>) {
        let text = match text(body) {
            Ok(text) => text,
            Err(error) => return assert!(expected.is_err_and(|e| error.contains(e)), "{error}"),
        };
        let got = read(&text).map(|e| (string(e.tool), e.args.map(|a| a.get().to_owned())));
        match (got, expected) {
            (Ok((tool, args)), Ok(expected)) => assert_eq!((tool.as_deref(), args.as_deref()), expected, "{text:.60}"),
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{text:.60}: {error}"),
            (got, _) => panic!("{text:.60}: {got:?}"),
        }
    }

    #[test]
    fn bodies() {
        check(b"", Ok((None, None)));
        check(b" \r\n", Ok((None, None)));
        check(b"{}", Ok((None, None)));
        for scalar in ["[]", "[1,[2]]", "null", "42", "-1", "1.5", "\"x\"", "true"] {
            check(scalar.as_bytes(), Ok((None, None)));
        }
        check(br#"{"tool":"a"}"#, Ok((Some("a"), None)));
        check("\u{feff}{\"tool\":\" a \"}".as_bytes(), Ok((Some("a"), None)));
        check(br#"{"tool":"a","tool":"b"}"#, Ok((Some("b"), None)));
        check(br#"{"t\u006fol":"a","x":{"tool":"z"},"args":{"k":[1]}}"#, Ok((Some("a"), Some(r#"{"k":[1]}"#))));
        check(br#"{"tool":5}"#, Ok((None, None)));
        check(br#"{"tool":"  "}"#, Ok((None, None)));
        check(b"{\"tool\":\"sess\xffions\"}", Ok((Some("sess\u{fffd}ions"), None)));
        check(br#"{"tool":"a\ud800"}"#, Ok((Some("a\u{fffd}\u{fffd}\u{fffd}"), None)));
        check(br#"{"tool":"a","args":1e999}"#, Ok((Some("a"), Some("1e999"))));
        check(br#"{"tool":"a"} x"#, Err("trailing characters"));
        check(br#"{"tool":"a""#, Err("EOF"));
        check(br#"{tool:'a'}"#, Err("key must be a string"));
        check("[".repeat(100_000).as_bytes(), Err("nested deeper"));
        check(&vec![0xff; BODY_BYTES_MAX], Err("not UTF-8"));
    }

    /// nst/JSONTestSuite, where it lies beside the repository: `y_` is accepted, `n_` refused, `i_` never breaks anything.
    #[test]
    #[allow(clippy::print_stdout, reason = "a notice for whoever reads a test's output")]
    fn json_test_suite() {
        let suites = std::env::var_os("TOOLGATE_SUITES").map_or_else(
            || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
            std::path::PathBuf::from,
        );
        let Ok(files) = std::fs::read_dir(suites.join("json-test-suite/test_parsing")) else {
            return println!("notice: no json-test-suite beside the repository, nothing is tried");
        };
        let mut count = 0;
        for file in files.flatten() {
            let (name, json) = (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap());
            // As a request's `args`, where nothing but JSON can make it well-formed.
            let body = [br#"{"tool":"a","args":"#, json.as_slice(), b"}"].concat();
            let read = text(&body).and_then(|text| read(&text).map(|envelope| string(envelope.tool)));
            match name.as_bytes().first() {
                Some(b'y') => assert_eq!(read.as_ref().map(Option::as_deref), Ok(Some("a")), "{name}"),
                Some(b'n') => assert!(read.is_err(), "{name} is accepted: {read:?}"),
                _ => {}
            }
            count += 1;
        }
        assert!(count > 300, "{count} files");
    }

    #[test]
    fn depth_looks_past_strings() {
        let check = |text: &str, expected: usize| assert_eq!(depth(text), expected, "{text}");
        check("1", 0);
        check("[[]]", 2);
        check(r#"{"[[[\"[[":["\\"]}"#, 2);
    }
}
