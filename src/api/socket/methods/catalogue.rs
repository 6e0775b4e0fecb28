//! `tools.catalog`, `tools.effective`: the tools of this device, and those a caller may call. Pure.

use super::super::facts::Facts;
use super::super::json::Json;
use super::super::params::Values;
use super::vitals::name_of;
use super::{Asked, Fault, Told};
use crate::gate::policy::{Policy, Profile};
use crate::gate::scope::WRITE;
use crate::gate::session::{self, Session};
use crate::gate::{Refusal, Subject};
use crate::tool::{Listed, Tier};

/// The profiles a tool can be in; `full` has all.
const PROFILES: [Profile; 3] = [Profile::Minimal, Profile::Coding, Profile::Messaging];

/// `tools.catalog`: every tool this device has, by group. Source: contract ws.md §4.4.
pub(super) fn all(_: &Asked<'_>, values: &Values<'_>, facts: &dyn Facts) -> Result<Told<'static>, Fault> {
    let gate = facts.gate();
    let session = resolve(&gate.rules().policy, values)?;
    let tools = facts.tools();
    let mut json = Json::object();
    json.string("agentId", &session.agent).raw("\"profiles\":[");
    for profile in PROFILES.iter().chain(&[Profile::Full]) {
        json.raw("{").string("id", profile.name()).string("label", &label(profile.name())).close("}");
    }
    json.close("]").raw("\"groups\":[");
    for (nth, group) in tools.iter().map(Listed::group).enumerate() {
        if tools.iter().take(nth).any(|tool| tool.group() == group) {
            continue;
        }
        json.raw("{").string("id", group).string("label", &label(group)).string("source", "core").raw("\"tools\":[");
        for tool in tools.iter().filter(|tool| tool.group() == group) {
            let within = |profile: &&Profile| profile.allow().is_some_and(|names| names.contains(&tool.name()));
            push(&mut json, tool);
            json.texts("defaultProfiles", PROFILES.iter().filter(within).map(|profile| profile.name())).close("}");
        }
        json.close("]}");
    }
    Ok(Told::Payload(json.close("]}").done()))
}

/// `tools.effective`: what the policy lets this caller call in this session. Source: contract ws.md §4.5.
pub(super) fn effective(asked: &Asked<'_>, values: &Values<'_>, facts: &dyn Facts) -> Result<Told<'static>, Fault> {
    let gate = facts.gate();
    let policy = &gate.rules().policy;
    let session = resolve(policy, values)?;
    let agent = policy.agents.iter().find(|agent| agent.id == session.agent);
    let profile = agent.and_then(|agent| agent.tools.profile).or(policy.tools.profile).unwrap_or(Profile::Full);
    let mut json = Json::object();
    json.string("agentId", &session.agent).string("profile", profile.name()).raw("\"groups\":[");
    json.raw(r#"{"id":"core","label":"Built-in tools","source":"core","tools":["#);
    for tool in facts.tools() {
        let subject = Subject {
            tool: tool.name(),
            session: Some(&session.key),
            agent: None,
            channel: None,
            account: None,
            exists: true,
            owner_only: tool.owner_only(),
        };
        if gate.may(asked.principal, &session, &subject).is_ok() {
            push(&mut json, &tool);
            json.string("rawDescription", tool.summary()).close("}");
        }
    }
    json.close("]}]");
    if !asked.principal.scopes().covers(WRITE) {
        json.raw(r#""notices":[{"id":"scope","severity":"info","message":"Calling tools needs operator.write."}]"#);
    }
    Ok(Told::Payload(json.close("}").done()))
}

/// Opens the object of a tool and writes what both lists say of it.
fn push(json: &mut Json, tool: &Listed) {
    let risk = match tool.tier() {
        Tier::Observe => "low",
        Tier::Probe | Tier::Act => "medium",
        Tier::Break => "high",
    };
    json.raw("{").string("id", tool.name()).string("label", tool.name()).string("description", tool.summary());
    json.string("source", "core").string("risk", risk).texts("tags", [tool.tier().word()].into_iter());
    json.key("inputSchema").raw(&tool.schema_json());
}

/// `text` with its first letter large.
fn label(text: &str) -> String {
    let mut label = text.to_owned();
    if let Some(first) = label.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    label
}

/// The session and agent that `sessionKey` and `agentId` mean.
///
/// # Errors
/// The agent is not known, or is not that of the session. Source: contract ws.md §4.4, §4.5.
pub(super) fn resolve(policy: &Policy, values: &Values<'_>) -> Result<Session, Fault> {
    within(policy, values.text("sessionKey").as_deref(), values.text("agentId").as_deref())
}

/// The session and agent that a key and an agent's id mean.
///
/// # Errors
/// As [`resolve`].
pub(super) fn within(policy: &Policy, key: Option<&str>, agent: Option<&str>) -> Result<Session, Fault> {
    if let Some(agent) = agent {
        let id = session::agent_id(agent);
        if name_of(policy, &id).is_none() {
            return Err(Fault::invalid(["unknown agent id \"", &id, "\""].concat()));
        }
    }
    session::resolve(policy, key, agent).map_err(|refusal| match refusal {
        Refusal::AgentConflict { agent, session } => {
            Fault::invalid(["agent id \"", &agent, "\" does not match session agent \"", &session, "\""].concat())
        }
        other => Fault::unavailable(other.word()),
    })
}
