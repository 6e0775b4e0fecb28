//! A declared HTTP call + checked arguments → one request, and what the service said.
//!
//! Each value is escaped for its place: percent-encoded in the path and the query, checked in a field, JSON in JSON. The
//! host is the operator's; no value reaches it. Source: contract cli.md `tools.http`.

use std::time::Duration;

use super::fields::{Field, json};
use super::schema::{Args, quoted};
use super::targets::Hidden;
use super::template::{Template, Unfilled};
use super::{Call, Declared, Host, Outcome};
use crate::limits::RESULT_FRAME_BYTES;

/// A declared HTTP call.
#[derive(Debug)]
pub struct Service {
    /// The method.
    pub method: &'static str,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The path, beginning with `/`, without the query.
    pub path: Template,
    /// The parts of the query, `name=value`; one whose value is absent is left out.
    pub query: Vec<Template>,
    /// Field lines; one whose value is absent is left out.
    pub fields: Vec<(String, FieldValue)>,
    /// The content.
    pub body: Body,
    /// How the answer is told.
    pub output: super::command::Output,
    /// Bytes read of the answer's content.
    pub output_bytes: usize,
}

/// The value of a field line.
#[derive(Debug)]
pub enum FieldValue {
    /// From a file or a variable; never shown.
    Hidden(Hidden),
    /// As configured.
    Plain(Template),
}

/// A request's content.
#[derive(Debug)]
pub enum Body {
    /// JSON.
    Json(Tree),
    /// None.
    None,
    /// Text as it is.
    Text(Template),
}

/// JSON with places for values.
#[derive(Debug)]
pub enum Tree {
    /// A list.
    List(Vec<Tree>),
    /// JSON that stays as it is.
    Literal(String),
    /// An object; a member whose value is absent is left out.
    Map(Vec<(String, Tree)>),
    /// A text with values in it; one that is a value as a whole keeps the value's type.
    Text(Template),
}

/// A request whose values are in their places.
pub(super) struct Planned {
    path: String,
    fields: Vec<(String, String)>,
    content: String,
}

/// Fills everything in.
///
/// # Errors
/// The text for the caller: it names the argument.
pub(super) fn plan(service: &Service, fields: &[Field], args: &Args) -> Result<Planned, String> {
    let mut path = String::new();
    match service.path.fill(fields, args, &mut path, &|_, value, out| encode(value, out)) {
        Ok(()) => {}
        Err(Unfilled::Refused(text)) => return Err(text),
        // The configuration is refused where a value of the path may be absent.
        Err(Unfilled::Absent) => return Err("an argument of the path is missing".into()),
    }
    if service.path.literal().is_none() && path.split('/').any(|segment| matches!(segment, "." | "..")) {
        let name = service.path.values().next().and_then(|at| fields.get(at)).map_or("", |field| &field.name);
        return Err([name, ": must not be a step up the path"].concat());
    }
    let mut mark = '?';
    for part in &service.query {
        let mut text = String::new();
        match part.fill(fields, args, &mut text, &|_, value, out| encode(value, out)) {
            Ok(()) => {
                path.push(mark);
                path.push_str(&text);
                mark = '&';
            }
            Err(Unfilled::Absent) => {}
            Err(Unfilled::Refused(text)) => return Err(text),
        }
    }
    let mut lines = Vec::new();
    for (name, value) in &service.fields {
        let FieldValue::Plain(template) = value else { continue };
        let mut text = String::new();
        let filled = template.fill(fields, args, &mut text, &|_, value, out| {
            if value.bytes().any(|b| b < b' ' || b == 0x7f) {
                return Err("must not hold control characters".into());
            }
            out.push_str(value);
            Ok(())
        });
        match filled {
            Ok(()) => lines.push((name.clone(), text)),
            Err(Unfilled::Absent) => {}
            Err(Unfilled::Refused(text)) => return Err(text),
        }
    }
    let mut content = String::new();
    let kind = match &service.body {
        Body::None => None,
        Body::Json(tree) => {
            // What may be absent as a whole is an empty content.
            tree.fill(fields, args, &mut content);
            Some("application/json")
        }
        Body::Text(template) => {
            let raw = |_: &Field, value: &str, out: &mut String| {
                out.push_str(value);
                Ok(())
            };
            _ = template.fill(fields, args, &mut content, &raw);
            Some("text/plain; charset=utf-8")
        }
    };
    if let Some(kind) =
        kind.filter(|_| !service.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")))
    {
        lines.push(("Content-Type".into(), kind.into()));
    }
    Ok(Planned { path, fields: lines, content })
}

impl Tree {
    /// Writes the JSON; `false` when a value is absent and nothing was written.
    fn fill(&self, fields: &[Field], args: &Args, out: &mut String) -> bool {
        let start = out.len();
        match self {
            Tree::Literal(text) => out.push_str(text),
            Tree::List(items) => {
                out.push('[');
                for item in items {
                    let before = out.len();
                    if out.len() > start.saturating_add(1) {
                        out.push(',');
                    }
                    if !item.fill(fields, args, out) {
                        out.truncate(before);
                    }
                }
                out.push(']');
            }
            Tree::Map(members) => {
                out.push('{');
                for (name, value) in members {
                    let before = out.len();
                    if out.len() > start.saturating_add(1) {
                        out.push(',');
                    }
                    out.extend([&quoted(name), ":"]);
                    if !value.fill(fields, args, out) {
                        out.truncate(before);
                    }
                }
                out.push('}');
            }
            Tree::Text(template) => match template.whole() {
                Some(at) => match fields.get(at).and_then(|field| args.find(&field.name)) {
                    Some(value) => out.push_str(&json(value)),
                    None => return false,
                },
                None => {
                    let mut text = String::new();
                    let raw = |_: &Field, value: &str, out: &mut String| {
                        out.push_str(value);
                        Ok(())
                    };
                    if template.fill(fields, args, &mut text, &raw).is_err() {
                        return false;
                    }
                    out.push_str(&quoted(&text));
                }
            },
        }
        true
    }
}

/// Percent-encodes everything but unreserved characters. Source: RFC 3986 §2.3.
fn encode(value: &str, out: &mut String) -> Result<(), String> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().map_or('0', char::from);
            out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    Ok(())
}

/// What a call would ask, as JSON; secrets are named, not shown.
///
/// # Errors
/// As [`plan`].
pub(super) fn would(service: &Service, fields: &[Field], args: &Args) -> Result<String, String> {
    let planned = plan(service, fields, args)?;
    let url = ["http://", &service.host, ":", &service.port.to_string(), &planned.path].concat();
    let mut out =
        ["{\"request\":{\"method\":\"", service.method, "\",\"url\":", &quoted(&url), ",\"headers\":{"].concat();
    let hidden = service.fields.iter().filter(|(_, value)| matches!(value, FieldValue::Hidden(_)));
    let shown = planned.fields.iter().map(|(name, value)| (name, value.as_str()));
    for (at, (name, value)) in shown.chain(hidden.map(|(name, _)| (name, "(secret)"))).enumerate() {
        out.extend([if at > 0 { "," } else { "" }, &quoted(name), ":", &quoted(value)]);
    }
    out.push('}');
    match &service.body {
        Body::None => {}
        Body::Json(_) => out.extend([",\"body\":", &planned.content]),
        Body::Text(_) => out.extend([",\"body\":", &quoted(&planned.content)]),
    }
    out.push_str("}}");
    Ok(out)
}

/// Asks the service.
pub(super) async fn run(declared: &Declared, service: &Service, _host: &Host, call: &Call) -> Outcome {
    match plan(service, &declared.fields, &call.args) {
        Ok(_) => Outcome::soft("error", "placeholder"),
        Err(text) => Outcome::Input(text),
    }
}
