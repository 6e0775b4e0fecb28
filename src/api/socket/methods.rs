//! The methods an operator client may call: name, scope and parameters as data, payloads as true for this device. Pure.
//!
//! A list of what this device has none of (channels, models, nodes, jobs) is empty, so that a user interface shows an
//! empty page rather than an error. Source: contract ws.md §3.1, §4, §7.

mod catalogue;
#[cfg(test)]
pub(crate) mod fixture;
mod journal;
mod presence;
#[cfg(test)]
mod tests;
mod vitals;

use serde_json::value::RawValue;

use super::facts::Facts;
use super::json::Json;
use super::params::{self, Kind, Param, Shape, Values};
use crate::gate::Principal;
use crate::gate::scope::{ADMIN, READ, WRITE};
use crate::limits::{LOGS_BYTES_CEILING, LOGS_LINES_CEILING, REPLAY_KEY_BYTES_MAX, SESSION_KEY_BYTES_MAX};

pub use vitals::{Defaults, defaults, health, hex};

const APPROVALS: &str = "operator.approvals";
const PAIRING: &str = "operator.pairing";

/// One method: a row of [`METHODS`].
#[derive(Debug)]
pub struct Method {
    /// The exact name.
    pub name: &'static str,
    /// The scope it needs; `None` = any client.
    pub scope: Option<&'static str>,
    /// Its parameters; `None` = whatever is sent is ignored or read leniently.
    pub shape: Option<&'static Shape>,
    run: Run,
}

/// How a payload is made.
#[derive(Debug)]
enum Run {
    /// Always this.
    Fixed(&'static str),
    /// It is for the gate.
    Invoke,
    /// Asks the world.
    Tell(fn(&Asked<'_>, &Values<'_>, &dyn Facts) -> Result<Told<'static>, Fault>),
    /// An object that begins with `ts`, the time, and ends with this.
    Timed(&'static str),
}

/// What was asked.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// `params` as sent.
    pub params: Option<&'a RawValue>,
    /// Who asks.
    pub principal: &'a Principal,
    /// The protocol spoken on this socket, 3 or 4.
    pub protocol: u8,
}

/// What a method answers.
#[derive(Debug)]
pub enum Told<'a> {
    /// The payload, compact JSON; and presence has changed, everybody is to be told.
    Announce(String),
    /// `tools.invoke` with these parameters of [`INVOKE`]: the gate goes on.
    Invoke(Values<'a>),
    /// The payload, compact JSON.
    Payload(String),
}

/// Why a method has no payload. Source: contract ws.md §3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// `FORBIDDEN`, `INVALID_REQUEST` or `UNAVAILABLE`.
    pub code: &'static str,
    /// For the caller.
    pub message: String,
    /// More for the caller: compact JSON.
    pub details: Option<String>,
}

impl Fault {
    fn invalid(message: String) -> Fault {
        Fault { code: "INVALID_REQUEST", message, details: None }
    }

    fn unavailable(message: &str) -> Fault {
        Fault { code: "UNAVAILABLE", message: message.to_owned(), details: None }
    }

    /// The caller holds no scope that covers `scope`. Unknown methods need [`ADMIN`]. Clients of both protocols look
    /// for the message, those of protocol 4 also for code and details. Source: contract ws.md §3, §8 item 3.
    pub fn scope_missing(scope: &str, protocol: u8) -> Fault {
        let message = ["missing scope: ", scope].concat();
        if protocol < 4 {
            return Fault::invalid(message);
        }
        let mut details = Json::object();
        details.string("code", "MISSING_SCOPE").string("missingScope", scope);
        details.texts("requiredScopes", [scope].into_iter()).close("}");
        Fault { code: "FORBIDDEN", message, details: Some(details.done()) }
    }
}

/// The parameters of `tools.invoke`. Source: contract ws.md §4.6.
pub static INVOKE: Shape = Shape {
    closed: true,
    params: &[
        Param::required("name", Kind::NAME),
        Param::optional("args", Kind::Object(&Shape::ANY)),
        Param::optional("sessionKey", SESSION_KEY),
        Param::optional("agentId", Kind::TEXT),
        Param::optional("confirm", Kind::Boolean),
        Param::optional("idempotencyKey", Kind::Text { min: 1, max: REPLAY_KEY_BYTES_MAX as u32 }),
        Param::optional("conversationReadOrigin", Kind::Word(&"direct-operator")),
        // Ours; the reference refuses it.
        Param::optional("dryRun", Kind::Boolean),
    ],
};

const SESSION_KEY: Kind = Kind::Text { min: 1, max: SESSION_KEY_BYTES_MAX as u32 };

static AGENT: Shape = Shape {
    closed: true,
    params: &[Param::optional("agentId", Kind::NAME), Param::optional("sessionKey", SESSION_KEY)],
};
static CATALOG: Shape = Shape {
    closed: true,
    params: &[Param::optional("agentId", Kind::NAME), Param::optional("includePlugins", Kind::Boolean)],
};
static EFFECTIVE: Shape = Shape {
    closed: true,
    params: &[Param::required("sessionKey", SESSION_KEY), Param::optional("agentId", Kind::NAME)],
};
/// Open, as there are no channels: whatever narrows the list leaves it as it is.
static CHANNELS: Shape = Shape {
    closed: false,
    params: &[
        Param::optional("probe", Kind::Boolean),
        Param::optional("timeoutMs", Kind::Integer { min: 0, max: None }),
    ],
};
static HEARTBEATS: Shape = Shape { closed: false, params: &[Param::required("enabled", Kind::Boolean)] };
static LOGS: Shape = Shape {
    closed: true,
    params: &[
        Param::optional("cursor", Kind::Integer { min: 0, max: None }),
        Param::optional("limit", Kind::Integer { min: 1, max: Some(LOGS_LINES_CEILING) }),
        Param::optional("maxBytes", Kind::Integer { min: 1, max: Some(LOGS_BYTES_CEILING) }),
    ],
};
/// Open, as there are no models: whatever narrows the list leaves it as it is, and protocol 4 has many such parameters.
static MODELS: Shape =
    Shape { closed: false, params: &[Param::optional("view", Kind::Word(&"default configured provider-config all"))] };
static NODE: Shape = Shape { closed: true, params: &[Param::required("nodeId", Kind::NAME)] };
static SESSION: Shape =
    Shape { closed: false, params: &[Param::required("key", SESSION_KEY), Param::optional("agentId", Kind::NAME)] };
static SESSIONS: Shape = Shape {
    closed: true,
    params: &[
        Param::optional("limit", Kind::Integer { min: 1, max: None }),
        Param::optional("activeMinutes", Kind::Integer { min: 1, max: None }),
        Param::optional("includeGlobal", Kind::Boolean),
        Param::optional("includeUnknown", Kind::Boolean),
        Param::optional("includeDerivedTitles", Kind::Boolean),
        Param::optional("includeLastMessage", Kind::Boolean),
        Param::optional("label", Kind::NAME),
        Param::optional("spawnedBy", Kind::NAME),
        Param::optional("agentId", Kind::NAME),
        Param::optional("search", Kind::TEXT),
    ],
};

/// Every method, sorted by name; `features.methods` lists exactly these.
pub static METHODS: [Method; 37] = [
    row("agent.identity.get", READ, Some(&AGENT), Run::Tell(vitals::agent)),
    row("agents.list", READ, Some(&Shape::EMPTY), Run::Tell(vitals::agents)),
    row(
        "channels.status",
        READ,
        Some(&CHANNELS),
        Run::Timed(
            r#""channelOrder":[],"channelLabels":{},"channelDetailLabels":{},"channelSystemImages":{},"channelMeta":[],"channels":{},"channelAccounts":{},"channelDefaultAccountId":{}}"#,
        ),
    ),
    row("chat.history", READ, None, Run::Fixed(r#"{"messages":[]}"#)),
    row("commands.list", READ, None, Run::Fixed(r#"{"commands":[]}"#)),
    row("config.get", READ, Some(&Shape::EMPTY), Run::Tell(vitals::config)),
    row(
        "cron.list",
        READ,
        None,
        Run::Fixed(
            r#"{"jobs":[],"total":0,"offset":0,"limit":50,"hasMore":false,"nextOffset":null,"snapshotRevision":"0","deliveryPreviews":{}}"#,
        ),
    ),
    row(
        "cron.runs",
        READ,
        None,
        Run::Fixed(r#"{"entries":[],"total":0,"offset":0,"limit":50,"hasMore":false,"nextOffset":null}"#),
    ),
    row("cron.status", READ, None, Run::Fixed(r#"{"enabled":false,"storePath":"","jobs":0,"nextWakeAtMs":null}"#)),
    row("device.pair.list", PAIRING, Some(&Shape::EMPTY), Run::Fixed(r#"{"pending":[],"paired":[]}"#)),
    row("diagnostics.stability", READ, None, Run::Tell(journal::stability)),
    row("exec.approval.list", APPROVALS, None, Run::Fixed("[]")),
    // There is nothing that executes, so no file says what it may; the hash is that of nothing, as the reference's.
    row(
        "exec.approvals.get",
        ADMIN,
        None,
        Run::Fixed(
            r#"{"path":"","exists":false,"hash":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","file":{"version":1}}"#,
        ),
    ),
    row("gateway.identity.get", READ, None, Run::Tell(vitals::identity)),
    Method { name: "health", scope: None, shape: None, run: Run::Tell(vitals::tell_health) },
    row("last-heartbeat", READ, None, Run::Fixed("null")),
    row("logs.tail", READ, Some(&LOGS), Run::Tell(journal::tail)),
    row("models.list", READ, Some(&MODELS), Run::Fixed(r#"{"models":[]}"#)),
    row("node.describe", READ, Some(&NODE), Run::Tell(presence::node)),
    row("node.list", READ, Some(&Shape::EMPTY), Run::Tell(presence::nodes)),
    row("node.pair.list", PAIRING, Some(&Shape::EMPTY), Run::Fixed(r#"{"pending":[],"paired":[]}"#)),
    row("plugin.approval.list", APPROVALS, None, Run::Fixed("[]")),
    row("question.list", "operator.questions", None, Run::Fixed(r#"{"questions":[]}"#)),
    row("sessions.describe", READ, Some(&SESSION), Run::Tell(vitals::session)),
    row("sessions.list", READ, Some(&SESSIONS), Run::Tell(vitals::sessions)),
    row("sessions.subscribe", READ, None, Run::Fixed(r#"{"subscribed":true}"#)),
    row("sessions.unsubscribe", READ, None, Run::Fixed(r#"{"subscribed":false}"#)),
    row("set-heartbeats", ADMIN, Some(&HEARTBEATS), Run::Tell(vitals::heartbeats)),
    row("skills.status", READ, None, Run::Fixed(r#"{"workspaceDir":"","managedSkillsDir":"","skills":[]}"#)),
    row("status", READ, None, Run::Tell(vitals::status)),
    row("system-event", ADMIN, None, Run::Tell(presence::event)),
    row("system-presence", READ, None, Run::Tell(|_, _, facts| Ok(Told::Payload(presence(facts))))),
    row("tools.catalog", READ, Some(&CATALOG), Run::Tell(catalogue::all)),
    row("tools.effective", READ, Some(&EFFECTIVE), Run::Tell(catalogue::effective)),
    row("tools.invoke", WRITE, Some(&INVOKE), Run::Invoke),
    row("update.status", ADMIN, None, Run::Fixed(r#"{"sentinel":null}"#)),
    row("voicewake.get", READ, None, Run::Fixed(r#"{"triggers":[]}"#)),
];

const fn row(name: &'static str, scope: &'static str, shape: Option<&'static Shape>, run: Run) -> Method {
    Method { name, scope: Some(scope), shape, run }
}

/// The method of exactly that name.
pub fn find(name: &str) -> Option<&'static Method> {
    let at = METHODS.binary_search_by(|method| method.name.cmp(name)).ok()?;
    METHODS.get(at)
}

/// Answers a call of `method`: its scope, its parameters, its payload.
///
/// # Errors
/// A [`Fault`] in the reference's words.
#[inline(never)]
pub fn answer<'a>(method: &Method, asked: &Asked<'a>, facts: &dyn Facts) -> Result<Told<'a>, Fault> {
    if let Some(scope) = method.scope.filter(|scope| !asked.principal.scopes().covers(scope)) {
        return Err(Fault::scope_missing(scope, asked.protocol));
    }
    let params = asked.params.filter(|_| method.shape.is_some());
    let values = params::read(method.shape.unwrap_or(&Shape::ANY), params)
        .map_err(|faults| Fault::invalid(["invalid ", method.name, " params: ", &faults].concat()))?;
    match method.run {
        Run::Fixed(payload) => Ok(Told::Payload(payload.to_owned())),
        Run::Invoke => Ok(Told::Invoke(values)),
        Run::Tell(tell) => tell(asked, &values, facts),
        Run::Timed(rest) => {
            let mut json = Json::object();
            json.count("ts", facts.wall_ms()).raw(rest);
            Ok(Told::Payload(json.done()))
        }
    }
}

/// The presence that `system-presence`, the event `presence` and a hello tell: an array.
pub fn presence(facts: &dyn Facts) -> String {
    facts.roll().borrow().json(&super::roll::own(facts), facts.now())
}
