//! A head → an answer, or the body's admission. Nothing of a body is read before this says so.
//!
//! Order of checks: known method, host and origin, path, method, authentication, scope, media type, expectation, declared length.
//! Source: contract http.md §0 item 2, §1.2, §1.3.

use std::borrow::Cow;
use std::time::Instant;

use super::{Admitted, Answer, Fault, Note, Opening, Settings, Vitals};
use crate::gate::tailnet::Caller;
use crate::gate::{Ask, Gate};
use crate::limits::{BODY_BYTES_MAX, CONTEXT_BYTES_MAX, SOCKET_CLAIMS_BYTES};
use crate::wire;
use crate::wire::body::Framing;
use crate::wire::head::{Head, Method};
use crate::wire::reply::Reply;

#[cfg(test)]
#[path = "open_tests.rs"]
mod tests;

/// The scope that invoking a tool takes. Source: contract http.md §2.8.
const INVOKE_SCOPE: &str = "operator.write";

/// What a head is judged by.
pub struct Scene<'s> {
    /// The gate. Mutable, because it counts failures.
    pub gate: &'s mut Gate,
    /// Names of fields that the configuration chooses.
    pub settings: &'s Settings,
    /// What probes may see, looked at only when asked for.
    pub vitals: &'s dyn Fn() -> Vitals,
    /// Where the request comes from.
    pub caller: &'s Caller,
    /// The time.
    pub now: Instant,
}

/// Judges a head whose body is framed as `framing`.
pub fn opening(head: &Head, framing: Framing, scene: Scene<'_>) -> Opening {
    if head.method() == Method::Unknown {
        return Opening::Answer(Fault::Message(wire::Fault::MethodUnknown).answer());
    }
    let claims = Claims::of(head, scene.settings, scene.caller);
    let ask = claims.ask(claims.credential.as_deref());
    if let Err(deny) = scene.gate.door(&ask) {
        return Opening::Answer(Fault::Denied(deny).answer());
    }
    let mut opening = judge(head, framing, &ask, scene).unwrap_or_else(|fault| Opening::Answer(fault.answer()));
    // The door lets no page in that the operator did not name, so this one may read what is said to it.
    let page = claims.origin.as_deref().map(str::trim).filter(|origin| !origin.is_empty()).map(Box::from);
    match &mut opening {
        Opening::Answer(answer) => answer.reply.page = page,
        Opening::Body(admitted) => admitted.page = page,
    }
    opening
}

fn judge(head: &Head, framing: Framing, ask: &Ask<'_>, scene: Scene<'_>) -> Result<Opening, Fault> {
    match head.path() {
        "/tools/invoke" if head.method() == Method::Post => invoke(head, framing, ask, scene),
        "/tools/invoke" => Err(Fault::Method("POST")),
        "/health" | "/healthz" => probe(head, r#"{"ok":true,"status":"live"}"#.into(), 200),
        "/startupz" => probe(head, r#"{"ok":true,"status":"started"}"#.into(), 200),
        "/ready" | "/readyz" => ready(head, ask, scene),
        _ => Err(Fault::NotFound),
    }
}

fn probe(head: &Head, json: Cow<'static, str>, status: u16) -> Result<Opening, Fault> {
    if !matches!(head.method(), Method::Get | Method::Head) {
        return Err(Fault::Method("GET, HEAD"));
    }
    let json: Cow<'static, [u8]> = match json {
        Cow::Borrowed(json) => Cow::Borrowed(json.as_bytes()),
        Cow::Owned(json) => Cow::Owned(json.into_bytes()),
    };
    let reply = Reply { no_store: true, ..Reply::json(status, json) };
    Ok(Opening::Answer(Answer { reply, note: Note::default() }))
}

/// Readiness; details only for direct local callers and those with a valid credential. Source: contract http.md §1.3.
fn ready(head: &Head, ask: &Ask<'_>, scene: Scene<'_>) -> Result<Opening, Fault> {
    let vitals = (scene.vitals)();
    let ready = vitals.failing.is_empty();
    let status = if ready { 200 } else { 503 };
    if !scene.gate.details(ask, scene.now) {
        return probe(head, format!(r#"{{"ready":{ready}}}"#).into(), status);
    }
    let failing = vitals.failing.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(",");
    let pulse = vitals.pulse;
    let reasons = if pulse.degraded { "\"event_loop_delay\"" } else { "" };
    let json = format!(
        r#"{{"ready":{ready},"failing":[{failing}],"uptimeMs":{},"eventLoop":{{"degraded":{},"reasons":[{reasons}],"intervalMs":{},"delayP99Ms":{},"delayMaxMs":{},"utilization":{},"cpuCoreRatio":{}}}}}"#,
        vitals.uptime_ms,
        pulse.degraded,
        pulse.interval_ms,
        thousandths(pulse.delay_p99.as_micros()),
        thousandths(pulse.delay_max.as_micros()),
        thousandths(pulse.utilization_permille.into()),
        thousandths(pulse.cores_permille.into()),
    );
    probe(head, json.into(), status)
}

/// A number of thousandths as a decimal number.
fn thousandths(number: u128) -> String {
    format!("{}.{:03}", number / 1000, number % 1000)
}

fn invoke(head: &Head, framing: Framing, ask: &Ask<'_>, scene: Scene<'_>) -> Result<Opening, Fault> {
    let principal = scene.gate.admit(ask, scene.now).map_err(Fault::Denied)?;
    scene.gate.require(&principal, INVOKE_SCOPE).map_err(Fault::Denied)?;
    if head.elements("content-encoding").any(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
        return Err(Fault::CodedContent);
    }
    if is_browser(head) && !is_json(head) {
        return Err(Fault::MediaType);
    }
    let expects = expects_continue(head)?;
    if let Framing::Length(length) = framing
        && length > BODY_BYTES_MAX as u64
    {
        return Err(Fault::Message(wire::Fault::BodyTooLarge));
    }
    let channel = context(head, "x-openclaw-message-channel");
    let account = context(head, "x-openclaw-account-id");
    Ok(Opening::Body(Admitted { principal, expects, page: None, channel, account }))
}

/// Whether a browser sent the request: it says so itself, and only it cannot be talked out of it.
fn is_browser(head: &Head) -> bool {
    head.values("origin").chain(head.values("sec-fetch-site")).next().is_some()
}

/// Whether the content is JSON, or of no declared type. Source: contract http.md, decisions, Content-Type.
fn is_json(head: &Head) -> bool {
    let mut types = head.values("content-type");
    let media = types.next().map(|value| value.split(|b| *b == b';').next().unwrap_or_default().trim_ascii());
    types.next().is_none() && media.is_none_or(|media| media.eq_ignore_ascii_case(b"application/json"))
}

/// Whether the caller waits for `100 Continue` before it sends its body. An HTTP/1.0 expectation is ignored.
///
/// # Errors
/// [`Fault::ExpectationUnknown`] for any other expectation.
///
/// Source: RFC 9110 §10.1.1.
pub fn expects_continue(head: &Head) -> Result<bool, Fault> {
    if head.is_http10() {
        return Ok(false);
    }
    let mut expects = false;
    for expectation in head.elements("expect") {
        if !expectation.eq_ignore_ascii_case(b"100-continue") {
            return Err(Fault::ExpectationUnknown);
        }
        expects = true;
    }
    Ok(expects)
}

fn context(head: &Head, field: &str) -> Option<Box<str>> {
    let text = std::str::from_utf8(head.values(field).next()?).ok()?;
    if text.is_empty() || text.len() > CONTEXT_BYTES_MAX { None } else { Some(text.into()) }
}

/// Bytes as text, read as Latin-1, as the reference does.
fn latin1(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => Cow::Borrowed(text),
        _ => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// A field's value as text; lines of one name are joined with `, `.
fn joined<'h>(head: &'h Head, field: &'h str) -> Option<Cow<'h, str>> {
    let mut values = head.values(field).map(latin1);
    let first = values.next()?;
    Some(values.fold(first, |mut text, value| {
        text.to_mut().push_str(", ");
        text.to_mut().push_str(&value);
        text
    }))
}

/// The claims of a head, as text the gate can read.
#[derive(Debug, Clone)]
pub struct Claims<'h> {
    caller: Caller,
    funnel: bool,
    host: Option<Cow<'h, str>>,
    credential: Option<Cow<'h, str>>,
    forwarded: bool,
    hops: Option<Cow<'h, str>>,
    origin: Option<Cow<'h, str>>,
    proxy_fields: bool,
    proxy_user: Option<Cow<'h, str>>,
    real: Option<Cow<'h, str>>,
    scopes: Option<Cow<'h, str>>,
    cross_site: bool,
}

impl<'h> Claims<'h> {
    fn of(head: &'h Head, settings: &'h Settings, caller: &Caller) -> Claims<'h> {
        let present = |field: &str| head.values(field).any(|value| !value.is_empty());
        let forwarding = ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip"];
        Claims {
            caller: caller.clone(),
            // Whatever its value: Tailscale sets it, takes away what callers send, and only a caller's loss comes of it.
            funnel: head.values("tailscale-funnel-request").next().is_some(),
            host: head.host().map(Cow::Borrowed),
            credential: bearer(head),
            forwarded: forwarding.iter().any(|field| present(field)),
            hops: joined(head, "x-forwarded-for"),
            origin: joined(head, "origin"),
            proxy_fields: settings.required_fields.iter().all(|field| present(field)),
            proxy_user: settings.user_field.as_deref().and_then(|field| joined(head, field)),
            real: joined(head, "x-real-ip"),
            scopes: joined(head, "x-openclaw-scopes"),
            cross_site: head.values("sec-fetch-site").any(|site| site.eq_ignore_ascii_case(b"cross-site")),
        }
    }

    /// What the gate is asked, with this credential.
    pub(super) fn ask<'a>(&'a self, credential: Option<&'a str>) -> Ask<'a> {
        Ask {
            peer: self.caller.addr,
            tailnet: &self.caller.tailnet,
            funnel: self.funnel,
            forwarded: self.forwarded,
            hops: self.hops.as_deref(),
            real: self.real.as_deref(),
            host: self.host.as_deref(),
            origin: self.origin.as_deref(),
            cross_site: self.cross_site,
            credential,
            scopes: self.scopes.as_deref(),
            proxy_user: self.proxy_user.as_deref(),
            proxy_fields: self.proxy_fields,
        }
    }

    /// Whether a browser says which page it is from.
    pub(super) fn has_page(&self) -> bool {
        self.origin.as_ref().is_some_and(|origin| !origin.trim().is_empty())
    }

    /// The claims of a socket, kept until its `connect`; `None` when they are longer than [`SOCKET_CLAIMS_BYTES`]. The
    /// credential goes: at the upgrade it means nothing. Source: contract ws.md §1.1.
    fn kept(self) -> Option<Claims<'static>> {
        let texts = [&self.host, &self.hops, &self.origin, &self.proxy_user, &self.real, &self.scopes];
        let bytes = texts.iter().filter_map(|text| text.as_ref()).map(|text| text.len());
        if bytes.fold(0, usize::saturating_add) > SOCKET_CLAIMS_BYTES {
            return None;
        }
        let own = |text: Option<Cow<'h, str>>| text.map(|text| Cow::Owned(text.into_owned()));
        Some(Claims {
            host: own(self.host),
            credential: None,
            hops: own(self.hops),
            origin: own(self.origin),
            proxy_user: own(self.proxy_user),
            real: own(self.real),
            scopes: own(self.scopes),
            ..self
        })
    }
}

/// Whether a head asks for a socket where there is one: everywhere but at the probes. Source: contract ws.md §1.1.
pub fn is_upgrade(head: &Head) -> bool {
    wire::upgrade::asked(head) && !matches!(head.path(), "/health" | "/healthz" | "/ready" | "/readyz" | "/startupz")
}

/// Judges a head that asks for a socket: its way, host and origin, and whether the tailnet's word lets it come. Who calls
/// is asked later, by the first message.
///
/// # Errors
/// The answer for a caller who may not come to the door, or claims more than is kept until its first message.
///
/// Source: contract ws.md §1.1, §1.3.
pub fn upgrade(head: &Head, scene: Scene<'_>) -> Result<Claims<'static>, Box<Answer>> {
    let claims = Claims::of(head, scene.settings, scene.caller);
    let answer = |fault: Fault| Box::new(fault.answer());
    let ask = claims.ask(None);
    scene.gate.door(&ask).and_then(|()| scene.gate.greet(&ask)).map_err(|deny| answer(Fault::Denied(deny)))?;
    claims.kept().ok_or_else(|| answer(Fault::Message(wire::Fault::HeadTooLarge)))
}

/// The bearer credential: the first line counts, `bearer` in any case, then a space. Source: contract http.md §2.3.
fn bearer(head: &Head) -> Option<Cow<'_, str>> {
    let value = head.values("authorization").next()?;
    let (scheme, rest) = value.split_at_checked(7)?;
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return None;
    }
    let secret = rest.trim_ascii();
    if secret.is_empty() { None } else { Some(latin1(secret)) }
}
