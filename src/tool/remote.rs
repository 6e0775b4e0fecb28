//! A declared HTTP call + checked arguments → one request, and what the service said.
//!
//! Each value is escaped for its place: percent-encoded in the path and the query, checked in a field, JSON in JSON. The
//! host is the operator's; no value reaches it. Source: contract cli.md `tools.http`.

use std::time::Instant;

use super::border::Who;
use super::child::Kept;
use super::fetch::{self, Answer, Request};
use super::fields::{Field, json};
use super::object::{Object, quoted};
use super::reach::deadline;
use super::schema::Args;
use super::targets::Hidden;
use super::telling::{self, Keys, Output};
use super::template::{Template, Unfilled};
use super::url::Url;
use super::{Call, Declared, Host, Outcome};
use crate::limits::RESULT_FRAME_BYTES;

/// A declared HTTP call.
#[derive(Debug)]
pub struct Service {
    /// The method.
    pub method: &'static str,
    /// Host name or address, an IPv6 address in its brackets.
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
    pub output: Output,
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
    if service.path.literal().is_none() && climbs(&path) {
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

/// Whether a server may find a step up in `path`: some take an encoded slash for a slash, and some decode it twice.
fn climbs(path: &str) -> bool {
    path.as_bytes().split(|byte| matches!(byte, b'/' | b'%')).any(|step| {
        let step = step.strip_prefix(b"25").unwrap_or(step);
        let ([b'2', b'f' | b'F', step @ ..] | [b'5', b'c' | b'C', step @ ..] | step) = step;
        matches!(step, b"." | b"..")
    })
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
    let mut headers = Object::new();
    for (name, value) in &planned.fields {
        headers.text(name, value);
    }
    for (name, _) in service.fields.iter().filter(|(_, value)| matches!(value, FieldValue::Hidden(_))) {
        headers.text(name, "(secret)");
    }
    let mut request = Object::new();
    request.text("method", service.method);
    request.text("url", &url);
    request.raw("headers", &headers.end());
    match &service.body {
        Body::None => &mut request,
        Body::Json(_) => request.raw("body", &planned.content),
        Body::Text(_) => request.text("body", &planned.content),
    };
    let mut json = Object::new();
    json.raw("request", &request.end());
    Ok(json.end())
}

/// Asks the service.
pub(super) async fn run(declared: &Declared, service: &Service, host: &Host, call: &Call) -> Outcome {
    let planned = match plan(service, &declared.fields, &call.args) {
        Ok(planned) => planned,
        Err(text) => return Outcome::Input(text),
    };
    let mut fields = planned.fields;
    for (name, value) in &service.fields {
        if let FieldValue::Hidden(hidden) = value {
            let Some(secret) = hidden.reveal() else {
                return Outcome::soft("error", "a secret of this tool has not been read");
            };
            fields.push((name.clone(), String::from_utf8_lossy(secret).into_owned()));
        }
    }
    let began = Instant::now();
    let request = Request {
        who: Who::Operator,
        method: service.method,
        url: Url { host: service.host.clone(), port: service.port, path: planned.path },
        fields: &fields,
        content: planned.content.as_bytes(),
        most: service.output_bytes,
        until: deadline(usize::try_from(declared.timeout_ms).unwrap_or(usize::MAX)),
    };
    match fetch::fetch(host, request).await {
        Ok((answer, _)) => told(service, answer, began.elapsed().as_millis(), host.result_bytes.get()),
        Err(fault) => fault.outcome(),
    }
}

/// What is said of an answer; `room` is what the result may take, in bytes of JSON.
fn told(service: &Service, answer: Answer, took_ms: u128, room: usize) -> Outcome {
    let kind = answer.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let kind = kind.map(|(_, value)| String::from_utf8_lossy(value.get(..RESULT_FRAME_BYTES / 8).unwrap_or(value)));
    let kept = answer.content.len() as u64;
    let total = answer.total.unwrap_or(kept);
    let content = Kept {
        head: answer.content,
        tail: Vec::new(),
        total,
        dropped: u64::from(answer.cut).max(total.saturating_sub(kept)),
    };
    let keys = Keys { text: "body", base64: "bodyBase64" };
    let bad = answer.status >= 400;
    // A service that refuses says so in its own words, whatever it was expected to say.
    let output = if bad { Output::Text } else { service.output };
    let told = telling::tell(&content, output, true, keys, room.saturating_sub(RESULT_FRAME_BYTES));
    let status = answer.status.to_string();
    let failure = match told.wrong {
        _ if bad => Some(["the service answered ", &status].concat()),
        Some(wrong) => Some(["the service answered ", wrong].concat()),
        None => None,
    };
    let mut json = Object::new();
    if let Some(failure) = &failure {
        json.text("status", "error");
        json.text("error", failure);
    }
    json.raw("httpStatus", &status);
    if let Some(kind) = kind {
        json.text("contentType", &kind);
    }
    json.raw(told.key, &told.json);
    json.flag("truncated", told.cut);
    json.raw("durationMs", &took_ms.to_string());
    json.done()
}
