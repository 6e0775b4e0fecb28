//! Every error → status, the caller's text and the log's reason word. One `match`, no `_`: a new error cannot be forgotten.
//!
//! The caller's text never holds a path, an address, a secret or an operating system's error.
//! Source: contract http.md §1.5, §1.6 and the decisions at its head.

use std::borrow::Cow;

use super::{Answer, Note};
use crate::gate::{Deny, Refusal};
use crate::limits::RETRY_SECS;
use crate::wire;
use crate::wire::reply::{Content, Reply};
use crate::wire::upgrade::{self, Refused};

/// Everything that ends an exchange other than a tool's result. Sorted by whose fault it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    // The peer's.
    /// A tool's arguments do not fit its schema; the text names the argument.
    ArgumentInvalid(String),
    /// The body did not come in time.
    BodyTimeout,
    /// A content coding, which is never taken off.
    CodedContent,
    /// The gate refused the caller.
    Denied(Deny),
    /// An expectation other than `100-continue`.
    ExpectationUnknown,
    /// The head did not come in time.
    HeadTimeout,
    /// An `idempotencyKey` that came before with another body.
    IdempotencyKeyReused,
    /// An `idempotencyKey` that is too long.
    IdempotencyKeyTooLong,
    /// The body is not JSON; the text says where.
    JsonInvalid(String),
    /// A browser sent something other than JSON.
    MediaType,
    /// The bytes are no message.
    Message(wire::Fault),
    /// The resource does not take the method; the methods it takes.
    Method(&'static str),
    /// No such resource.
    NotFound,
    /// The gate refused the call; the tool's name as sent.
    Refused(Refusal, Box<str>),
    /// A session key that is too long to keep.
    SessionKeyTooLong,
    /// The body names no tool.
    ToolMissing,
    /// A request for the WebSocket protocol that cannot be granted.
    Upgrade(Refused),
    // Ours.
    /// The tool failed; the cause is for the log only ([`super::verdict`]).
    ToolFailed,
    // The world's.
    /// No memory for another answer.
    AnswersFull,
    /// No memory for another body.
    BodiesFull,
    /// The first call with this `idempotencyKey` still runs.
    CallInProgress,
    /// No room for another connection.
    ConnectionsFull,
    /// No room for another connection of this peer.
    ConnectionsFullForPeer,
    /// No room for another WebSocket of this peer that has not shown who it is.
    SocketsFullForPeer,
    /// The gateway is stopping.
    Stopping,
    /// As many calls of the tool, or of all when no name is given, run and wait as may; the seconds until a new try.
    ToolBusy(Box<str>, u32),
}

/// The error types of the wire. Source: contract http.md §1.6.
mod kind {
    pub const BAD_REQUEST: &str = "bad_request";
    pub const BUSY: &str = "tool_busy";
    pub const FORBIDDEN: &str = "forbidden";
    pub const INVALID: &str = "invalid_request_error";
    pub const NOT_FOUND: &str = "not_found";
    pub const OVERLOADED: &str = "overloaded";
    pub const RATE_LIMITED: &str = "rate_limited";
    pub const TOOL: &str = "tool_error";
    pub const UNAUTHORIZED: &str = "unauthorized";
}

/// The one shape of a JSON error: `{"ok":false,"error":{"type":…,"message":…}}`.
fn error(status: u16, kind: &str, message: &str) -> Reply {
    let message = serde_json::to_string(message).unwrap_or_else(|_| "\"\"".into());
    Reply::json(status, format!(r#"{{"ok":false,"error":{{"type":"{kind}","message":{message}}}}}"#).into_bytes())
}

fn closing(mut reply: Reply) -> Reply {
    reply.close = true;
    reply
}

/// An answer to bytes that were no request: as bare as the reference's.
fn bare(status: u16) -> Reply {
    Reply { close: true, bare: true, ..Reply::new(status, Content::None) }
}

fn overloaded(what: &str) -> Reply {
    Reply { retry_after: Some(RETRY_SECS), ..error(503, kind::OVERLOADED, what) }
}

impl Fault {
    /// The answer to the caller and what the log says.
    pub fn answer(self) -> Answer {
        let reason = Some(self.word());
        match self {
            Fault::Refused(refusal, name) => {
                let reply = refused(&refusal, &name);
                Answer { reply, note: Note { reason, tool: Some(name) } }
            }
            other => Answer { reply: other.reply(), note: Note { reason, tool: None } },
        }
    }

    fn reply(self) -> Reply {
        match self {
            Fault::AnswersFull => overloaded("Too many answers are waiting to be read. Please try again."),
            Fault::ArgumentInvalid(text) => error(400, kind::TOOL, &text),
            Fault::BodiesFull => overloaded("Too much request data in flight. Please try again."),
            Fault::BodyTimeout => closing(error(408, kind::INVALID, "Request body timeout")),
            Fault::CallInProgress => overloaded("A call with this idempotencyKey is still running. Please try again."),
            Fault::ToolFailed => error(500, kind::TOOL, "tool execution failed"),
            Fault::CodedContent => {
                error(415, kind::INVALID, "Content-Encoding is not supported: send the body as it is")
            }
            Fault::ConnectionsFull => closing(overloaded("Too many connections. Please try again.")),
            Fault::ConnectionsFullForPeer => {
                closing(overloaded("Too many connections from your address. Please close some."))
            }
            Fault::Denied(deny) => denied(deny),
            Fault::ExpectationUnknown => closing(Reply::new(417, Content::None)),
            Fault::HeadTimeout => bare(408),
            Fault::IdempotencyKeyReused => {
                error(400, kind::INVALID, "idempotencyKey was used before with another request body")
            }
            Fault::IdempotencyKeyTooLong => error(400, kind::INVALID, "idempotencyKey is too long"),
            Fault::JsonInvalid(text) => error(400, kind::INVALID, &text),
            Fault::MediaType => error(415, kind::INVALID, "Content-Type must be application/json"),
            Fault::Message(fault) => message(fault),
            Fault::Method(allow) => Reply { allow: Some(allow), ..Reply::text(405, "Method Not Allowed") },
            Fault::NotFound => Reply::text(404, "Not Found"),
            Fault::Refused(refusal, name) => refused(&refusal, &name),
            Fault::SessionKeyTooLong => error(400, kind::INVALID, "sessionKey is too long"),
            Fault::SocketsFullForPeer => {
                let reply = Reply::text(503, "Too many unauthenticated sockets");
                closing(Reply { retry_after: Some(RETRY_SECS), ..reply })
            }
            Fault::Stopping => closing(overloaded("The gateway is stopping.")),
            Fault::ToolBusy(tool, seconds) => {
                Reply { retry_after: Some(seconds), ..error(429, kind::BUSY, &busy_text(&tool)) }
            }
            Fault::ToolMissing => error(400, kind::INVALID, "tools.invoke requires body.tool"),
            Fault::Upgrade(refused) => not_upgraded(refused),
        }
    }

    /// The stable reason word.
    pub fn word(&self) -> &'static str {
        match self {
            Fault::AnswersFull => "answers_full",
            Fault::ArgumentInvalid(_) => "argument_invalid",
            Fault::BodiesFull => "bodies_full",
            Fault::BodyTimeout => "body_timeout",
            Fault::CallInProgress => "call_in_progress",
            Fault::CodedContent => "coded_content",
            Fault::ConnectionsFull => "connections_full",
            Fault::ConnectionsFullForPeer => "connections_full_for_peer",
            Fault::Denied(deny) => deny.word(),
            Fault::ExpectationUnknown => "expectation_unknown",
            Fault::HeadTimeout => "head_timeout",
            Fault::IdempotencyKeyReused => "idempotency_key_reused",
            Fault::IdempotencyKeyTooLong => "idempotency_key_too_long",
            Fault::JsonInvalid(_) => "json_invalid",
            Fault::MediaType => "media_type",
            Fault::Message(fault) => fault.word(),
            Fault::Method(_) => "method_not_allowed",
            Fault::NotFound => "not_found",
            Fault::Refused(refusal, _) => refusal.word(),
            Fault::SessionKeyTooLong => "session_key_too_long",
            Fault::SocketsFullForPeer => "sockets_full_for_peer",
            Fault::Stopping => "stopping",
            Fault::ToolBusy(..) => "tool_busy",
            Fault::ToolFailed => "tool_failed",
            Fault::ToolMissing => "tool_missing",
            Fault::Upgrade(refused) => refused.word(),
        }
    }
}

/// What is said of a tool that has no room for one more call.
pub(super) fn busy_text(tool: &str) -> String {
    match tool {
        "" => "Too many tools are running. Please try again.".into(),
        _ => [tool, " is busy. Please try again."].concat(),
    }
}

fn message(fault: wire::Fault) -> Reply {
    use wire::Fault::*;
    match fault {
        BodyTooLarge => closing(error(413, kind::INVALID, "Payload too large")),
        ChunkInvalid | FieldInvalid | FramingConflict | HostInvalid | LengthInvalid | LineInvalid | MethodUnknown
        | Truncated => bare(400),
        CodingUnknown => bare(501),
        HeadTooLarge | TooManyFields => bare(431),
        TargetInvalid => closing(error(400, kind::BAD_REQUEST, "Invalid request URL")),
        VersionUnknown => bare(505),
    }
}

fn denied(deny: Deny) -> Reply {
    match deny {
        Deny::CredentialMismatch | Deny::CredentialMissing | Deny::ProxyRefused => {
            error(401, kind::UNAUTHORIZED, "Unauthorized")
        }
        Deny::FunnelRefused => error(403, kind::FORBIDDEN, "This gateway does not answer over Tailscale Funnel"),
        Deny::HostUnknown => error(
            421,
            kind::FORBIDDEN,
            "This gateway does not answer to that host name. Add it to gateway.hosts to allow it.",
        ),
        Deny::OriginForbidden => error(403, kind::FORBIDDEN, "Origin not allowed"),
        Deny::RateLimited(seconds) => {
            let text = "Too many failed authentication attempts. Please try again later.";
            Reply { retry_after: Some(seconds), ..error(429, kind::RATE_LIMITED, text) }
        }
        Deny::ScopeMissing(scope) => error(403, kind::FORBIDDEN, &format!("missing scope: {scope}")),
        // Which of the two it is tells what this machine knows of its tailnet.
        Deny::TailnetForbidden | Deny::TailnetUnknown => error(403, kind::FORBIDDEN, "Not allowed from your address"),
    }
}

fn refused(refusal: &Refusal, name: &str) -> Reply {
    match refusal {
        Refusal::AgentConflict { agent, session } => {
            error(400, kind::INVALID, &format!("agent \"{agent}\" does not match session key agent \"{session}\""))
        }
        Refusal::TailnetCapability | Refusal::Unavailable(_) => {
            error(404, kind::NOT_FOUND, &format!("Tool not available: {name}"))
        }
    }
}

/// The answer to a request for the WebSocket protocol that cannot be granted. Source: contract ws.md §1.1.
fn not_upgraded(refused: Refused) -> Reply {
    let html = |status, text| closing(Reply::new(status, Content::Html(text)));
    match refused {
        Refused::Key => html(400, "Missing or invalid Sec-WebSocket-Key header"),
        Refused::Method => Reply { allow: Some("GET"), ..html(405, "Invalid HTTP method") },
        Refused::Version => {
            Reply { versions: Some(upgrade::VERSIONS), ..html(400, "Missing or invalid Sec-WebSocket-Version header") }
        }
    }
}

/// A tool's result as the answer's body. Source: contract http.md §1.6.
pub(super) fn success(json: Vec<u8>) -> Answer {
    Answer { reply: Reply::json(200, Cow::Owned(json)), note: Note::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::reply::Terms;

    #[test]
    fn upgrades_that_are_not_granted() {
        let html = "Content-Type: text/html";
        check(Fault::Upgrade(Refused::Key), 400, "Missing or invalid Sec-WebSocket-Key header", &[html]);
        check(Fault::Upgrade(Refused::Method), 405, "Invalid HTTP method", &[html, "Allow: GET"]);
        let versions = "Sec-WebSocket-Version: 13, 8";
        check(
            Fault::Upgrade(Refused::Version),
            400,
            "Missing or invalid Sec-WebSocket-Version header",
            &[html, versions],
        );
        let text = "Content-Type: text/plain; charset=utf-8";
        check(Fault::SocketsFullForPeer, 503, "Too many unauthenticated sockets", &[text, "Retry-After: 1"]);
    }

    fn check(fault: Fault, status: u16, text: &str, fields: &[&str]) {
        let reply = fault.answer().reply;
        let head = reply.head(&Terms { date: "D", keep_secs: None, head_only: false, transport_security: None });
        let head = String::from_utf8(head).expect("text");
        assert_eq!((reply.status, reply.content.bytes(), reply.close), (status, text.as_bytes(), true), "{head}");
        for field in fields {
            assert!(head.contains(&format!("\r\n{field}\r\n")), "{field} in {head}");
        }
    }
}
