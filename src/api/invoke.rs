//! A body → an answer or a call; what the tool said → the answer.
//!
//! Source: contract http.md §1.6, §3.1, §5.2.

use super::replay::{self, Seeds};
use super::{Admitted, Answer, Fault, Note, Step, envelope, faults, pretty};
use crate::gate::policy::Step as Link;
use crate::gate::{Gate, Refusal, Subject};
use crate::limits::{REPLAY_KEY_BYTES_MAX, SESSION_KEY_BYTES_MAX, TOOL_NAME_CHARS_MAX};
use crate::tool::{Outcome, Tool};

/// Looks up a tool that this device has.
pub type Find<'f> = &'f dyn Fn(&str) -> Option<&'static Tool>;

/// Reads the body of an admitted caller and decides what to do. `seeds` are the gateway's, for calls with a key.
pub fn request(admitted: &Admitted, body: &[u8], gate: &Gate, find: Find<'_>, seeds: &Seeds) -> Step {
    match order(admitted, body, gate, find, seeds) {
        Ok(step) => step,
        Err(fault) => Step::Answer(fault.answer()),
    }
}

fn order(admitted: &Admitted, body: &[u8], gate: &Gate, find: Find<'_>, seeds: &Seeds) -> Result<Step, Fault> {
    let text = envelope::text(body).map_err(Fault::JsonInvalid)?;
    let envelope = envelope::read(&text).map_err(Fault::JsonInvalid)?;
    let name = envelope::string(envelope.name).or_else(|| envelope::string(envelope.tool)).ok_or(Fault::ToolMissing)?;
    let session = envelope::string(envelope.session_key);
    if session.as_ref().is_some_and(|key| key.len() > SESSION_KEY_BYTES_MAX) {
        return Err(Fault::SessionKeyTooLong);
    }
    let agent = envelope::string(envelope.agent_id);
    let key = envelope::string(envelope.idempotency_key);
    if key.as_ref().is_some_and(|key| key.len() > REPLAY_KEY_BYTES_MAX) {
        return Err(Fault::IdempotencyKeyTooLong);
    }
    let tool = find(&name);
    let subject = Subject {
        tool: &name,
        session: session.as_deref(),
        agent: agent.as_deref(),
        channel: admitted.channel.as_deref(),
        account: admitted.account.as_deref(),
        exists: tool.is_some(),
        owner_only: tool.is_some_and(|tool| tool.owner_only),
    };
    let permit = gate.permit(&admitted.principal, &subject).map_err(|refusal| Fault::Refused(refusal, shown(&name)))?;
    // The gate has no permit for a tool that is not there; should it ever have one, there is still nothing to run.
    let tool = tool.ok_or_else(|| Fault::Refused(Refusal::Unavailable(Link::Exists), shown(&name)))?;
    let action = envelope::string(envelope.action);
    let args = tool.check(envelope.args, action.as_deref()).map_err(Fault::ArgumentInvalid)?;
    // Only a call that may run now has a name, so a rule that came in between is not passed by with an old key.
    let name = key.map(|key| replay::name(seeds, &admitted.principal, &key, body));
    Ok(Step::Call { permit, args, name })
}

/// A tool's name as it may stand in an answer: cut, because the answer must not grow with the request.
fn shown(name: &str) -> Box<str> {
    match name.char_indices().nth(TOOL_NAME_CHARS_MAX) {
        Some((cut, _)) => format!("{}…", name.get(..cut).unwrap_or_default()).into(),
        None => name.into(),
    }
}

/// Turns what a tool said into the answer.
pub fn outcome(outcome: Outcome) -> Answer {
    match outcome {
        Outcome::Done { details, text } => faults::success(result(&details, text.as_deref())),
        Outcome::Failed(cause) => Fault::ToolFailed(cause).answer(),
        Outcome::Input(text) => {
            let mut answer = Fault::ArgumentInvalid(text.clone()).answer();
            answer.note = Note { detail: Some(text.into()), ..answer.note };
            answer
        }
    }
}

/// `{"ok":true,"result":{"content":[{"type":"text","text":…}],"details":…}}`: the text is the indented details unless the
/// tool has a text of its own.
fn result(details: &str, text: Option<&str>) -> Vec<u8> {
    let mut json = Vec::with_capacity(details.len().saturating_mul(3).saturating_add(128));
    json.extend_from_slice(br#"{"ok":true,"result":{"content":[{"type":"text","text":"#);
    match text.map(serde_json::to_string) {
        Some(Ok(text)) => json.extend_from_slice(text.as_bytes()),
        Some(Err(_)) | None => {
            json.push(b'"');
            pretty::push_indented(&mut json, details);
            json.push(b'"');
        }
    }
    json.extend_from_slice(br#"}],"details":"#);
    json.extend_from_slice(details.as_bytes());
    json.extend_from_slice(b"}}");
    json
}
