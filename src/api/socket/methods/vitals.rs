//! How the gateway is and whom it serves: health, status, agents, sessions, configuration, identity. Pure.

use hmac_sha256::Hash;

use super::super::facts::Facts;
use super::super::json::Json;
use super::super::params::{self, Kind, Param, Shape, Values};
use super::{Asked, Fault, Told};
use crate::gate::policy::Policy;
use crate::gate::scope::{READ, Scopes};
use crate::gate::session;
use crate::limits::SESSIONS_RECENT;
use crate::tool::{Entry, Now, Sessions};
use crate::wire::base64::encode_url;

/// Where the sessions are kept, for fields that ask for a path.
const MEMORY: &str = "toolgate:memory";
/// The beginning of an object that counts them.
const IN_MEMORY: &str = r#""sessions":{"path":"toolgate:memory""#;
/// What stands for a path that a caller may not see. Source: contract ws.md §4.2.
const HIDDEN: &str = "[redacted]";
/// No model runs here, so nothing beats.
const NO_HEARTBEAT: &str = r#""enabled":false,"every":"disabled","everyMs":null"#;

type Answer = Result<Told<'static>, Fault>;

fn payload(json: &mut Json) -> Answer {
    Ok(Told::Payload(json.done()))
}

/// What sessions are when a client names none. Source: contract ws.md §2.9 `sessionDefaults`, §4.8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults<'p> {
    /// The agent of sessions without one.
    pub agent: &'p str,
    /// The last part of an agent's main session's key.
    pub main_key: &'p str,
    /// `global` or `per-sender`.
    pub scope: &'static str,
    /// The key of the default agent's main session.
    pub main_session: String,
}

/// The defaults under `policy`.
pub fn defaults(policy: &Policy) -> Defaults<'_> {
    let agent = session::default_agent(&policy.agents);
    let main_key = policy.session.main_key.as_deref().unwrap_or("main");
    let (scope, main_session) = if policy.session.global {
        ("global", String::from("global"))
    } else {
        ("per-sender", ["agent:", agent, ":", main_key].concat())
    };
    Defaults { agent, main_key, scope, main_session }
}

/// The name of the agent `id`; `None` when it is not known. Where none is configured, `main` is.
pub(super) fn name_of<'p>(policy: &'p Policy, id: &str) -> Option<Option<&'p str>> {
    if policy.agents.is_empty() {
        return (id == "main").then_some(None);
    }
    policy.agents.iter().find(|agent| agent.id == id).map(|agent| agent.name.as_deref())
}

/// Writes a list of the agents under `list`, each by its id under `key`, its name if it has one, and what `more` adds.
fn push(json: &mut Json, policy: &Policy, list: &str, key: &str, more: &mut dyn FnMut(&mut Json, &str)) {
    json.key(list).raw("[");
    for nth in 0..policy.agents.len().max(1) {
        let agent = policy.agents.get(nth);
        let id = agent.map_or("main", |agent| &agent.id);
        json.raw("{").string(key, id);
        if let Some(name) = agent.and_then(|agent| agent.name.as_deref()) {
            json.string("name", name);
        }
        more(json, id);
        json.close("}");
    }
    json.close("]");
}

/// `agents.list`.
pub(super) fn agents(_: &Asked<'_>, _: &Values<'_>, facts: &dyn Facts) -> Answer {
    let gate = facts.gate();
    let policy = &gate.rules().policy;
    let defaults = defaults(policy);
    let mut json = Json::object();
    json.string("defaultId", defaults.agent).string("mainKey", defaults.main_key).string("scope", defaults.scope);
    push(&mut json, policy, "agents", "id", &mut |_, _| ());
    payload(json.close("}"))
}

/// `agent.identity.get`: the agent named, or that of the session named.
pub(super) fn agent(_: &Asked<'_>, values: &Values<'_>, facts: &dyn Facts) -> Answer {
    let gate = facts.gate();
    let policy = &gate.rules().policy;
    let session = super::catalogue::resolve(policy, values)?;
    let mut json = Json::object();
    json.string("agentId", &session.agent);
    if let Some(Some(name)) = name_of(policy, &session.agent) {
        json.string("name", name);
    }
    payload(json.close("}"))
}

/// `gateway.identity.get`.
pub(super) fn identity(_: &Asked<'_>, _: &Values<'_>, facts: &dyn Facts) -> Answer {
    let key = facts.public_key().ok_or_else(|| Fault::unavailable("this gateway has no identity"))?;
    let mut json = Json::object();
    json.string("deviceId", &hex(&Hash::hash(&key))).string("publicKey", &encode_url(&key));
    payload(json.close("}"))
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(nibble.into(), 16).unwrap_or_default());
        }
    }
    text
}

/// `health` for a caller with these scopes: who may not read gets counts only. Source: contract ws.md §4.1.
pub fn health(facts: &dyn Facts, scopes: &Scopes) -> String {
    let began = facts.uptime_ms();
    let now = facts.now();
    let gate = facts.gate();
    let policy = &gate.rules().policy;
    let default = defaults(policy).agent;
    let most = if scopes.covers(READ) { SESSIONS_RECENT } else { 0 };
    let table = facts.sessions();
    let mut json = Json::object();
    json.flag("ok", true).count("ts", now.shown()).count("durationMs", facts.uptime_ms().saturating_sub(began));
    json.raw(r#""channels":{},"channelOrder":[],"channelLabels":{},"heartbeatSeconds":0"#);
    json.string("defaultAgentId", default);
    push(&mut json, policy, "agents", "agentId", &mut |json, id| {
        json.flag("isDefault", id == default).raw("\"heartbeat\":{").raw(NO_HEARTBEAT).close("}");
        summary(json.raw(IN_MEMORY), &table, Some(id), now, most, "");
        json.close("}");
    });
    summary(json.raw(IN_MEMORY), &table, None, now, most, "");
    json.close("}").raw("\"toolgate\":{").string("version", env!("CARGO_PKG_VERSION"));
    json.count("uptimeMs", facts.uptime_ms()).count("connections", count(facts.connections()));
    json.count("tools", count(facts.tools().len())).close("}}").done()
}

/// `health`.
pub(super) fn tell_health(asked: &Asked<'_>, _: &Values<'_>, facts: &dyn Facts) -> Answer {
    Ok(Told::Payload(health(facts, asked.principal.scopes())))
}

/// Writes how many sessions an agent (`None` = all) has, and the latest used; each row ends with `more`.
fn summary(json: &mut Json, table: &Sessions, agent: Option<&str>, now: Now, most: usize, more: &str) {
    let mut seen = 0_usize;
    json.raw("\"recent\":[");
    for entry in table.latest() {
        if agent.is_some_and(|agent| entry.session.agent != agent) {
            continue;
        }
        seen = seen.saturating_add(1);
        if seen > most {
            continue;
        }
        json.raw("{").string("key", &entry.session.key).count("updatedAt", entry.used.shown());
        json.count("age", age(now, entry));
        if !more.is_empty() {
            json.string("agentId", &entry.session.agent).string("kind", kind(&entry.session.key));
            json.string("sessionId", &entry.id).raw(more);
        }
        json.close("}");
    }
    json.close("]").count("count", count(seen));
}

/// `status`: of what the reference tells, what is true without a model. Source: contract ws.md §4.2.
pub(super) fn status(asked: &Asked<'_>, _: &Values<'_>, facts: &dyn Facts) -> Answer {
    const ROW: &str = r#""totalTokens":null,"totalTokensFresh":false,"remainingTokens":null,"percentUsed":null,"model":null,"contextTokens":null,"flags":[]"#;
    let now = facts.now();
    let gate = facts.gate();
    let policy = &gate.rules().policy;
    let table = facts.sessions();
    let (path, paths) = if asked.principal.owner() { (MEMORY, Some(MEMORY)) } else { (HIDDEN, None) };
    let mut json = Json::object();
    json.string("runtimeVersion", env!("CARGO_PKG_VERSION"));
    json.raw("\"heartbeat\":{").string("defaultAgentId", defaults(policy).agent);
    push(&mut json, policy, "agents", "agentId", &mut |json, _| _ = json.raw(NO_HEARTBEAT));
    json.close("}").raw(NO_TASKS).raw("\"sessions\":{").texts("paths", paths.into_iter());
    json.raw(r#""defaults":{"model":null,"contextTokens":null}"#);
    summary(&mut json, &table, None, now, SESSIONS_RECENT, ROW);
    push(&mut json, policy, "byAgent", "agentId", &mut |json, id| {
        summary(json.string("path", path), &table, Some(id), now, SESSIONS_RECENT, ROW);
    });
    payload(json.close("}}"))
}

/// The reference's queues, of which there are none here.
const NO_TASKS: &str = r#""channelSummary":[],"queuedSystemEvents":[],"tasks":{"total":0,"active":0,"terminal":0,"failures":0,"byStatus":{"queued":0,"running":0,"succeeded":0,"failed":0,"timed_out":0,"cancelled":0,"lost":0},"byRuntime":{"subagent":0,"acp":0,"cli":0,"cron":0}},"taskAudit":{"total":0,"warnings":0,"errors":0,"byCode":{"stale_queued":0,"stale_running":0,"lost":0,"delivery_failed":0,"missing_cleanup":0,"inconsistent_timestamps":0}}"#;

/// `sessions.list`. Sessions here have no labels and no parents. Source: contract ws.md §4.7.
pub(super) fn sessions(_: &Asked<'_>, values: &Values<'_>, facts: &dyn Facts) -> Answer {
    let now = facts.now();
    let mut left = values.integer("limit").unwrap_or(i64::MAX);
    let minutes = values.integer("activeMinutes").and_then(|minutes| u64::try_from(minutes).ok());
    let oldest = minutes.map_or(u64::MAX, |minutes| minutes.saturating_mul(60_000));
    let agent = values.text("agentId").map(|agent| session::agent_id(&agent));
    let search = values.text("search").unwrap_or_default();
    let none = values.raw("label").is_some() || values.raw("spawnedBy").is_some();
    let table = facts.sessions();
    let wanted = |entry: &Entry| {
        let kind = kind(&entry.session.key);
        !none
            && age(now, entry) <= oldest
            && agent.as_ref().is_none_or(|agent| entry.session.agent == *agent)
            && (kind != "global" || values.flag("includeGlobal") == Some(true))
            && (kind != "unknown" || values.flag("includeUnknown") == Some(true))
            && entry.matches(search.trim())
    };
    let mut json = Json::object();
    json.count("ts", now.shown()).string("path", MEMORY);
    json.raw(r#""defaults":{"modelProvider":null,"model":null,"contextTokens":null}"#).raw("\"sessions\":[");
    let mut told = 0_u64;
    for entry in table.latest() {
        if left > 0 && wanted(entry) {
            left = left.saturating_sub(1);
            told = told.saturating_add(1);
            row(&mut json, entry);
        }
    }
    payload(json.close("]").count("count", told).close("}"))
}

/// `sessions.describe`: the session of that key, or `null`.
pub(super) fn session(_: &Asked<'_>, values: &Values<'_>, facts: &dyn Facts) -> Answer {
    let (key, agent) = (values.text("key"), values.text("agentId"));
    let wanted = super::catalogue::within(&facts.gate().rules().policy, key.as_deref(), agent.as_deref())?;
    let table = facts.sessions();
    let mut json = Json::object();
    json.key("session");
    match table.latest().into_iter().find(|entry| entry.session.key == wanted.key) {
        Some(entry) => row(&mut json, entry),
        None => _ = json.raw("null"),
    }
    payload(json.close("}"))
}

/// Writes what is told of a session.
fn row(json: &mut Json, entry: &Entry) {
    let key = &entry.session.key;
    json.raw("{").string("key", key).string("kind", kind(key)).count("updatedAt", entry.used.shown());
    json.string("sessionId", &entry.id).string("agentId", &entry.session.agent).count("calls", entry.total);
    json.close("}");
}

/// What a key says about its session, in the reference's words for the socket.
fn kind(key: &str) -> &'static str {
    match key {
        "global" => "global",
        "unknown" => "unknown",
        _ if session::conversation(key).is_some() => "group",
        _ => "direct",
    }
}

/// How long ago a session was used last, in milliseconds, whatever the wall clock did since.
fn age(now: Now, entry: &Entry) -> u64 {
    u64::try_from(now.boot_ms.saturating_sub(entry.used.boot_ms)).unwrap_or(0)
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// `set-heartbeats`. There are none to set: off they are, on they do not go.
pub(super) fn heartbeats(_: &Asked<'_>, values: &Values<'_>, _: &dyn Facts) -> Answer {
    let mut json = Json::object();
    payload(json.flag("ok", values.flag("enabled") == Some(false)).flag("enabled", false).close("}"))
}

/// The members of a configuration document, in the order they are told.
static DOCUMENT: Shape = Shape {
    closed: false,
    params: &[
        Param::optional("path", Kind::Any),
        Param::optional("exists", Kind::Any),
        Param::optional("raw", Kind::Any),
        Param::optional("parsed", Kind::Any),
        Param::optional("sourceConfig", Kind::Any),
        Param::optional("resolved", Kind::Any),
        Param::optional("valid", Kind::Any),
        Param::optional("runtimeConfig", Kind::Any),
        Param::optional("config", Kind::Any),
        Param::optional("issues", Kind::Any),
        Param::optional("warnings", Kind::Any),
        Param::optional("legacyIssues", Kind::Any),
    ],
};

/// `config.get`: the document of the tool `gateway`, with a hash of the usual length. It is of what is shown, not of the
/// file: from a hash of secrets, secrets can be guessed. Source: contract ws.md §4.17.
pub(super) fn config(asked: &Asked<'_>, _: &Values<'_>, facts: &dyn Facts) -> Answer {
    let document = facts.document().map_err(|why| Fault::unavailable(&why))?;
    let broken = || Fault::unavailable("the configuration cannot be shown");
    let raw = serde_json::from_str(&document).map_err(|_| broken())?;
    let shown = params::read(&DOCUMENT, Some(raw)).map_err(|_| broken())?;
    let mut json = Json::object();
    for param in DOCUMENT.params {
        let value = shown.raw(param.name).map_or("null", |value| value.get());
        let hidden = param.name == "path" && value != "null" && !asked.principal.owner();
        json.key(param.name);
        if hidden {
            json.text(HIDDEN)
        } else {
            json.raw(value)
        };
    }
    let config = shown.raw("config").map_or("null", |config| config.get());
    payload(json.string("hash", &hex(&Hash::hash(config.as_bytes()))).close("}"))
}
