//! `tools.invoke`: a request → a permit, and what the tool said → the answer. Pure.
//!
//! The road is that of HTTP, from the same order to the same permit. An answer is a good frame also when the call did
//! not go well; only what is wrong with the frame itself, or passes by itself, is an error. Source: contract ws.md
//! §4.6, http.md §3.3.

use serde_json::value::RawValue;

use super::connect::Member;
use super::frame::{self, Flop};
use super::json::Json;
use super::params::Values;
use super::{Act, Scene};
use crate::api::faults::busy_text;
use crate::api::invoke::{Order, push_result, shown};
use crate::api::{Fault, Note};
use crate::gate::Refusal;
use crate::limits::RETRY_SECS;
use crate::tool::Outcome;

/// Orders the call that `values` ask for; `params` is what they were read from.
#[inline(never)]
pub(super) fn order(
    member: &Member,
    id: &str,
    values: &Values<'_>,
    params: Option<&RawValue>,
    scene: &Scene<'_>,
) -> Act {
    let text = |name| values.text(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let tool = text("name").unwrap_or_default();
    let order = Order {
        tool: &tool,
        args: values.raw("args"),
        action: None,
        session: text("sessionKey"),
        agent: text("agentId"),
        key: text("idempotencyKey"),
        channel: None,
        account: None,
        content: params.map_or("", RawValue::get).as_bytes(),
        rehearse: values.flag("dryRun") == Some(true),
    };
    match order.place(&member.principal, &scene.gate.borrow(), scene.find, scene.seeds) {
        Ok((permit, checked, name)) => Act::Call { id: id.into(), permit, checked, name },
        Err(fault) => {
            let note = Note { reason: Some(fault.word()), tool: Some(shown(&tool)) };
            Act::Refuse { said: told(id, &tool, Err(fault)), note }
        }
    }
}

/// The answer to a `tools.invoke` that ran, or that did not; `tool` is the name that was asked for.
pub fn told(id: &str, tool: &str, outcome: Result<Outcome, Fault>) -> String {
    let tool = shown(tool);
    let (code, message) = match outcome {
        Ok(Outcome::Done { details, text }) => return done(id, &tool, &details, text.as_deref()),
        Ok(Outcome::Failed(_)) => ("internal_error", "tool execution failed".into()),
        Ok(Outcome::Input(text)) => ("validation_error", text),
        Err(fault) => match failed(fault, &tool) {
            Ok(words) => words,
            Err(flop) => return frame::refusal(id, &flop),
        },
    };
    let mut json = Json::object();
    json.flag("ok", false).string("toolName", &tool).key("error").raw("{");
    frame::reply(id, &json.string("code", code).string("message", &message).close("}}").done())
}

/// The event that tells of a call in progress; `what` is the members that differ. Like those of subscriptions it has no
/// number. Source: contract ws.md §3.
pub fn tool_event(session: &str, id: &str, tool: &str, what: &str) -> String {
    let mut json = Json::object();
    json.string("sessionKey", session).key("toolCallId").raw(id).string("toolName", tool).raw(what);
    frame::event("session.tool", &json.close("}").done(), None, None)
}

/// The members that tell what a program printed.
pub fn tool_update(stream: &str, bytes: &[u8]) -> String {
    let mut json = Json::default();
    json.string("phase", "update").string("stream", stream).string("text", &String::from_utf8_lossy(bytes));
    json.done()
}

/// What the answer says of a call that did not run.
///
/// # Errors
/// The error for what has no code of its own and passes by itself.
#[inline(never)]
fn failed(fault: Fault, tool: &str) -> Result<(&'static str, String), Flop> {
    let busy = |message: &str| Err(Flop { code: "UNAVAILABLE", retry_secs: RETRY_SECS, ..Flop::new(message) });
    match fault {
        Fault::AnswersFull | Fault::BodiesFull => busy("too many answers are waiting to be read"),
        Fault::ArgumentInvalid(text) => Ok(("validation_error", text)),
        Fault::CallInProgress => busy("a call with this idempotencyKey is still running"),
        Fault::ToolBusy(tool, seconds) => {
            Err(Flop { code: "UNAVAILABLE", retry_secs: seconds, ..Flop::new(busy_text(&tool)) })
        }
        Fault::IdempotencyKeyReused => {
            Ok(("validation_error", "idempotencyKey was used before with other params".into()))
        }
        // Characters are counted before, bytes here.
        Fault::IdempotencyKeyTooLong => Ok(("validation_error", "idempotencyKey is too long".into())),
        Fault::SessionKeyTooLong => Ok(("validation_error", "sessionKey is too long".into())),
        Fault::Refused(Refusal::AgentConflict { agent, session }, _) => {
            let words = ["agent \"", &agent, "\" does not match session key agent \"", &session, "\""];
            Ok(("validation_error", words.concat()))
        }
        // The caller cannot tell a tool that is refused from one that is not there.
        Fault::Refused(Refusal::TailnetCapability | Refusal::Unavailable(_), _) => {
            Ok(("not_found", ["Tool not available: ", tool].concat()))
        }
        Fault::Stopping => busy("the gateway is stopping"),
        // Faults of bytes, heads and bodies do not come here.
        _ => Ok(("internal_error", "tool execution failed".into())),
    }
}

/// The whole frame is written at once: an answer may be long, and here nothing of it is copied again.
#[inline(never)]
fn done(id: &str, tool: &str, details: &str, text: Option<&str>) -> String {
    // The details come twice, once as they are and once as an indented text.
    let size = text.map_or(details.len(), str::len).saturating_add(details.len()).saturating_mul(2);
    let mut json = Json::sized(size);
    frame::begin(&mut json, id)
        .raw("{")
        .flag("ok", true)
        .string("toolName", tool)
        .string("source", "core")
        .key("output");
    let mut frame = json.done().into_bytes();
    push_result(&mut frame, details, text);
    frame.extend_from_slice(b"}}");
    // What was pushed is text, as its parts were.
    String::from_utf8(frame).unwrap_or_default()
}
