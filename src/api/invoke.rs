//! A body → an answer or a call; what the tool said → the answer.
//!
//! Source: contract http.md §1.6, §3.1, §5.2.

use serde_json::value::RawValue;

use super::replay::{self, Seeds};
use super::socket::json::Json;
use super::{Admitted, Answer, Fault, Step, envelope, faults, pretty};
use crate::gate::policy::{Step as Link, Trace};
use crate::gate::{Gate, Permit, Principal, Refusal, Subject};
use crate::limits::{REPLAY_KEY_BYTES_MAX, SESSION_KEY_BYTES_MAX, TOOL_NAME_CHARS_MAX};
use crate::tool::{Checked, Listed, Outcome};

/// Looks up a tool that this device has.
pub type Find<'f> = &'f dyn Fn(&str) -> Option<Listed>;

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
    let order = Order {
        tool: &name,
        args: envelope.args,
        action: envelope::string(envelope.action),
        session: envelope::string(envelope.session_key),
        agent: envelope::string(envelope.agent_id),
        key: envelope::string(envelope.idempotency_key),
        channel: admitted.channel.as_deref(),
        account: admitted.account.as_deref(),
        content: body,
        rehearse: envelope.dry_run.is_some_and(|raw| raw.get() == "true"),
    };
    let (permit, checked, name) = order.place(&admitted.principal, gate, find, seeds)?;
    Ok(Step::Call { permit, checked, name })
}

/// What may run: its permit, the tool and its arguments, and what it is remembered by when it has a key.
pub(super) type Placed = (Permit, Checked, Option<replay::Name>);

/// What a caller wants to run, by either protocol: one road from here to the permit.
pub(super) struct Order<'o> {
    /// The tool's name, trimmed.
    pub tool: &'o str,
    /// Its arguments.
    pub args: Option<&'o RawValue>,
    /// `action`, beside the arguments.
    pub action: Option<String>,
    /// The session key.
    pub session: Option<String>,
    /// The agent named.
    pub agent: Option<String>,
    /// The `idempotencyKey`.
    pub key: Option<String>,
    /// The message channel the call came from.
    pub channel: Option<&'o str>,
    /// The account on that channel.
    pub account: Option<&'o str>,
    /// What must be the same when the same key comes again.
    pub content: &'o [u8],
    /// Whether the caller wants to know only what would be done.
    pub rehearse: bool,
}

impl Order<'_> {
    /// Asks the gate for the permit, checks the arguments and names the call.
    pub fn place(self, principal: &Principal, gate: &Gate, find: Find<'_>, seeds: &Seeds) -> Result<Placed, Fault> {
        let name = self.tool;
        if self.session.as_ref().is_some_and(|key| key.len() > SESSION_KEY_BYTES_MAX) {
            return Err(Fault::SessionKeyTooLong);
        }
        if self.key.as_ref().is_some_and(|key| key.len() > REPLAY_KEY_BYTES_MAX) {
            return Err(Fault::IdempotencyKeyTooLong);
        }
        let tool = find(name);
        let subject = Subject {
            tool: name,
            session: self.session.as_deref(),
            agent: self.agent.as_deref(),
            channel: self.channel,
            account: self.account,
            exists: tool.is_some(),
            owner_only: tool.as_ref().is_some_and(Listed::owner_only),
        };
        let permit = gate.permit(principal, &subject).map_err(|refusal| Fault::Refused(refusal, shown(name)))?;
        // The gate has no permit for a tool that is not there; should it ever have one, there is still nothing to run.
        let tool = tool.ok_or_else(|| Fault::Refused(Refusal::Unavailable(Link::Exists), shown(name)))?;
        let args = tool.check(self.args, self.action.as_deref()).map_err(Fault::ArgumentInvalid)?;
        let rehearsal = self.rehearse.then(|| gate.explain(principal.scopes(), &subject).ok()).flatten();
        let rehearsal = rehearsal.map(|(_, steps)| steps_json(&steps));
        let checked = Checked { tool, args, rehearsal, progress: None };
        // Only a call that may run now has a name, so a rule that came in between is not passed by with an old key.
        let name = self.key.map(|key| replay::name(seeds, principal, &key, self.content));
        Ok((permit, checked, name))
    }
}

/// The policy's steps as a JSON list: `{step, verdict, rule?, source?}` each. Source: contract cli.md, `explain --json`.
pub fn steps_json(steps: &[Trace]) -> String {
    let mut json = Json::default();
    json.raw("[");
    for trace in steps {
        json.raw("{").string("step", trace.step.name()).string("verdict", trace.verdict.word());
        for (key, text) in [("rule", &trace.rule), ("source", &trace.source)] {
            if let Some(text) = text {
                json.string(key, text);
            }
        }
        json.close("}");
    }
    json.close("]").done()
}

/// A tool's name as it may stand in an answer: cut, because the answer must not grow with the request.
pub(super) fn shown(name: &str) -> Box<str> {
    match name.char_indices().nth(TOOL_NAME_CHARS_MAX) {
        Some((cut, _)) => format!("{}…", name.get(..cut).unwrap_or_default()).into(),
        None => name.into(),
    }
}

/// What the log says of an outcome: the status of its answer, and for a bad one the reason word and what only the log
/// may say.
pub fn verdict(outcome: &Outcome) -> (u16, Option<(&'static str, &str)>) {
    match outcome {
        Outcome::Done { .. } => (200, None),
        Outcome::Failed(cause) => (500, Some(("tool_failed", cause))),
        Outcome::Input(text) => (400, Some(("argument_invalid", text))),
    }
}

/// Turns what a tool said into the answer.
pub fn outcome(outcome: Outcome) -> Answer {
    match outcome {
        Outcome::Done { details, text } => faults::success(result(&details, text.as_deref())),
        Outcome::Failed(_) => Fault::ToolFailed.answer(),
        Outcome::Input(text) => Fault::ArgumentInvalid(text).answer(),
    }
}

/// `{"ok":true,"result":…}`.
fn result(details: &str, text: Option<&str>) -> Vec<u8> {
    let mut json = Vec::with_capacity(details.len().saturating_mul(3).saturating_add(128));
    json.extend_from_slice(br#"{"ok":true,"result":"#);
    push_result(&mut json, details, text);
    json.push(b'}');
    json
}

/// `{"content":[{"type":"text","text":…}],"details":…}`: the text is the indented details unless the tool has a text of
/// its own.
pub(super) fn push_result(json: &mut Vec<u8>, details: &str, text: Option<&str>) {
    json.extend_from_slice(br#"{"content":[{"type":"text","text":""#);
    match text.map(serde_json::to_string) {
        // Its quotes stand around it already.
        Some(Ok(text)) => {
            json.extend_from_slice(text.as_bytes().get(1..text.len().saturating_sub(1)).unwrap_or_default())
        }
        Some(Err(_)) | None => pretty::push_indented(json, details),
    }
    json.extend_from_slice(br#""}],"details":"#);
    json.extend_from_slice(details.as_bytes());
    json.push(b'}');
}
