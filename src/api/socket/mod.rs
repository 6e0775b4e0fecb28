//! socket: one message of a WebSocket → one step. Pure.
//!
//! A [`Talk`] is what is remembered of one socket. It says a challenge, hears `connect`, and from then on hears
//! requests. Nothing waits in here: `connect` is judged at once, so what follows it in the same burst is heard in order,
//! where the reference closes the socket. Source: contract ws.md §2.1, §3, §8 item 7.

mod call;
mod connect;
mod device;
pub mod facts;
mod fault;
mod frame;
pub mod json;
pub mod methods;
mod node;
pub mod params;
pub mod roll;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::time::Instant;

use super::invoke::shown;
use super::open::Claims;
use super::replay::{self, Seeds};
use super::{Fault, Find, Note};
use crate::gate::scope::{ADMIN, READ, WRITE};
use crate::gate::{Gate, Permit};
use crate::limits::{SOCKET_QUEUE_BYTES, SOCKET_STRIKES, SOCKET_TICK_MS};
use crate::tool::{Checked, uuid};
use connect::Start;
use facts::Facts;
use frame::{Flop, Heard, Request};
use json::Json;
use methods::{Asked, Told};
use roll::Entry;

pub use call::{told, tool_event, tool_update};
pub use connect::{Member, Role};
pub use frame::event;

/// The events that are sent. Source: contract ws.md §5.
const EVENTS: [&str; 5] = ["connect.challenge", "health", "presence", "shutdown", "tick"];

/// What clients of protocol 4 look for before they ask: `models.list` answers from what is known, without asking any
/// provider. Source: contract ws.md §2.9.
const CAPABILITIES: [&str; 1] = ["published-model-catalog"];

/// What a message is judged by.
pub struct Scene<'s> {
    /// The gate. No borrow of it may be alive while a message is heard.
    pub gate: &'s RefCell<Gate>,
    /// What the methods tell of.
    pub facts: &'s dyn Facts,
    /// Looks up a tool that this device has.
    pub find: Find<'s>,
    /// The gateway's seeds, for calls with a key.
    pub seeds: &'s Seeds,
    /// The time.
    pub now: Instant,
}

/// What to do after a message.
#[derive(Debug)]
pub enum Act {
    /// It is a member now: say this frame, then raise the limit on messages, stop the handshake's deadline and put
    /// [`Talk::entry`] on the roll.
    Admit(String),
    /// Say this frame, then tell everybody of presence.
    Announce(String),
    /// Run the tool, then say what [`told`] makes of it.
    Call {
        /// The request's id, as JSON.
        id: Box<str>,
        /// The proof that the tool may run.
        permit: Permit,
        /// The tool and its checked arguments.
        checked: Checked,
        /// What the call is remembered by, when its caller gave it a key.
        name: Option<replay::Name>,
    },
    /// Say the last frame, if there is one, and close.
    Close {
        /// The last frame.
        last: Option<String>,
        /// The close code.
        code: u16,
        /// The close's reason, not yet cut.
        reason: String,
        /// For the log.
        note: Note,
    },
    /// Say this frame, and log that a call was refused.
    Refuse {
        /// The frame.
        said: String,
        /// For the log.
        note: Note,
    },
    /// Say this frame.
    Say(String),
    /// Nothing.
    Silent,
}

/// One socket's side of the talk.
#[derive(Debug)]
pub struct Talk {
    state: State,
    /// Calls in a row that were the other role's.
    strikes: u8,
}

#[derive(Debug)]
enum State {
    Member(Box<Member>),
    Stranger(Box<Start>),
}

impl Talk {
    /// A talk with whoever came with these claims. `nonce` and `id` are random bytes.
    pub fn new(claims: Claims<'static>, nonce: [u8; 16], id: [u8; 16]) -> Talk {
        let start = Start { claims, connection: uuid(id).into(), nonce: uuid(nonce).into(), ts: 0 };
        Talk { state: State::Stranger(Box::new(start)), strikes: 0 }
    }

    /// The first frame. Its time is remembered, because a device may sign it. Source: contract ws.md §2.1.
    pub fn challenge(&mut self, wall_ms: u64) -> String {
        let State::Stranger(start) = &mut self.state else { return String::new() };
        start.ts = wall_ms;
        let payload = Json::object().string("nonce", &start.nonce).count("ts", wall_ms).close("}").done();
        event("connect.challenge", &payload, None, None)
    }

    /// What presence tells of it; given once, after a good `connect`.
    pub fn entry(&mut self) -> Option<Entry> {
        match &mut self.state {
            State::Member(member) => member.entry.take().map(|entry| *entry),
            State::Stranger(_) => None,
        }
    }

    /// Who it is; `None` before a good `connect`.
    pub fn member(&self) -> Option<&Member> {
        match &self.state {
            State::Member(member) => Some(member),
            State::Stranger(_) => None,
        }
    }

    /// Hears one whole message, text or binary alike.
    pub fn hear(&mut self, message: &[u8], scene: &Scene<'_>) -> Act {
        let heard = frame::read(message);
        match &self.state {
            State::Member(member) => {
                let act = match heard {
                    Heard::Noise => return Act::Silent,
                    Heard::Faulty(id, why) => {
                        return Act::Say(refused(id, ["invalid request frame: ", &why].concat()));
                    }
                    Heard::Request(request) => asked(member, &request, scene),
                };
                self.count(act)
            }
            State::Stranger(start) => match heard {
                Heard::Noise => close(None, 1000, "", "socket_json_invalid"),
                Heard::Faulty(..) => close(None, 1008, "invalid request frame", "socket_frame_invalid"),
                Heard::Request(request) if request.method != "connect" => {
                    let message = "invalid handshake: first request must be connect";
                    close(Some(refused(request.id, message)), 1008, message, "socket_connect_missing")
                }
                Heard::Request(request) => match connect::connect(start, request.params, scene) {
                    Ok(member) => {
                        let hello = hello(&member, scene.facts);
                        self.state = State::Member(Box::new(member));
                        Act::Admit(frame::reply(request.id, &hello))
                    }
                    Err(why) => {
                        close(Some(frame::refusal(request.id, &why.flop)), why.close, &why.flop.message, why.word)
                    }
                },
            },
        }
    }

    /// Counts calls that were the other role's; too many in a row end the talk. Source: contract ws.md §1.5.
    fn count(&mut self, act: Result<Act, String>) -> Act {
        let said = match act {
            Ok(act) => {
                self.strikes = 0;
                return act;
            }
            Err(said) => said,
        };
        self.strikes = self.strikes.saturating_add(1);
        if self.strikes < SOCKET_STRIKES {
            return Act::Say(said);
        }
        close(Some(said), 1008, "repeated unauthorized calls", "role_unauthorized")
    }
}

#[inline(never)]
fn close(last: Option<String>, code: u16, reason: &str, word: &'static str) -> Act {
    Act::Close { last, code, reason: reason.into(), note: Note { reason: Some(word), ..Note::default() } }
}

/// The answer to a message when there is no memory for the one it should have got.
pub fn crowded(message: &[u8]) -> String {
    let id = match frame::read(message) {
        Heard::Faulty(id, _) => id,
        Heard::Noise => "\"invalid\"",
        Heard::Request(request) => request.id,
    };
    told(id, "", Err(Fault::AnswersFull))
}

#[inline(never)]
fn refused(id: &str, message: impl Into<String>) -> String {
    frame::refusal(id, &Flop::new(message))
}

/// Answers a member's request.
///
/// # Errors
/// The answer to a call that is the other role's.
#[inline(never)]
fn asked(member: &Member, request: &Request<'_>, scene: &Scene<'_>) -> Result<Act, String> {
    let (id, method) = (request.id, request.method.as_str());
    if method == "connect" {
        return Ok(Act::Say(refused(id, "connect is only valid as the first request")));
    }
    let stranger = |role: Role| refused(id, ["unauthorized role: ", role.word()].concat());
    let row = methods::find(method);
    match (member.role, node::answer(method, &member.device, request.params)) {
        (Role::Operator, Some(_)) => return Err(stranger(Role::Operator)),
        (Role::Node, Some(Ok(payload))) => return Ok(Act::Say(frame::reply(id, &payload))),
        (Role::Node, Some(Err(why))) => return Ok(Act::Say(refused(id, why))),
        // Newer nodes tell more than is known here; they must not be closed for it. Source: contract ws.md §7.
        (Role::Node, None) if row.is_none() && absent(method).is_none() && method.starts_with("node.") => {
            return Ok(Act::Say(refused(id, ["unknown method: ", &shown(method)].concat())));
        }
        // What no scope is asked for is for everybody.
        (Role::Node, None) if row.is_none_or(|row| row.scope.is_some()) => return Err(stranger(Role::Node)),
        (_, None) => {}
    }
    let asked = Asked { params: request.params, principal: &member.principal, protocol: member.protocol };
    let told = match row {
        Some(row) => methods::answer(row, &asked, scene.facts),
        None => Err(unknown(method, &asked)),
    };
    Ok(match told {
        Ok(Told::Announce(payload)) => Act::Announce(frame::reply(id, &payload)),
        Ok(Told::Invoke(values)) => call::order(member, id, &values, request.params, scene),
        Ok(Told::Payload(payload)) => Act::Say(frame::reply(id, &payload)),
        Err(fault) => {
            let methods::Fault { code, message, details } = fault;
            Act::Say(frame::refusal(id, &Flop { code, message, details, retry_secs: 0 }))
        }
    })
}

/// What the reference's methods that are not here ask for there: whole names, and prefixes that end in a dot; the first
/// row that has a method counts. A client asks for no more scopes than its call needs, so any other scope would hide
/// from it that the method is not here. Source: contract ws.md §3.1, and what clients of protocol 4 ask for.
const ABSENT: [(&str, &str); 6] = [
    (
        ADMIN,
        "chat.inject cron.add cron.remove cron.run cron.update sessions.cleanup sessions.compact sessions.delete sessions.patch sessions.reset skills.install skills.update",
    ),
    ("operator.approvals", "exec.approval. plugin.approval."),
    ("operator.pairing", "device. node.pair. node.rename"),
    (WRITE, "sessions.abort sessions.create sessions.send sessions.steer"),
    (
        READ,
        "audit. config.schema.lookup cron. doctor.memory.status hooks.status models. sessions. skills. system.info taskSuggestions.list talk.config tasks. tts. usage. users.list worktrees.list",
    ),
    (
        WRITE,
        "agent agent.wait chat. doctor.memory. message.action node.invoke node.pending.enqueue poll push. send talk. voicewake. wake",
    ),
];

/// The scope that a row of [`ABSENT`] has for the method.
fn absent(method: &str) -> Option<&'static str> {
    let named = |name: &str| method == name || name.ends_with('.') && method.starts_with(name);
    ABSENT.iter().find(|(_, names)| names.split(' ').any(named)).map(|(scope, _)| *scope)
}

/// A method that is not here: its scope is asked for first, as the reference does. Source: contract ws.md §3.
#[inline(never)]
fn unknown(method: &str, asked: &Asked<'_>) -> methods::Fault {
    let scope = absent(method).unwrap_or(ADMIN);
    if !asked.principal.scopes().covers(scope) {
        return methods::Fault::scope_missing(scope, asked.protocol);
    }
    let message = ["unknown method: ", &shown(method)].concat();
    methods::Fault { code: "INVALID_REQUEST", message, details: None }
}

/// The payload of a good `connect`. Source: contract ws.md §2.9.
#[inline(never)]
fn hello(member: &Member, facts: &dyn Facts) -> String {
    let mut json = Json::object();
    json.string("type", "hello-ok").count("protocol", member.protocol.into());
    json.key("server").raw("{").string("version", env!("CARGO_PKG_VERSION"));
    json.string("connId", &member.connection).close("}").key("features").raw("{");
    json.texts("methods", methods::METHODS.iter().map(|method| method.name).chain(node::names()));
    json.texts("events", EVENTS.into_iter()).texts("capabilities", CAPABILITIES.into_iter()).close("}");
    json.key("snapshot").raw("{");
    snapshot(&mut json, member, facts);
    json.close("}").key("auth").raw("{").string("role", member.role.word());
    json.texts("scopes", member.principal.scopes().names()).close("}").key("policy").raw("{");
    let bytes = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    json.count("maxPayload", bytes(facts.message_bytes())).count("maxBufferedBytes", bytes(SOCKET_QUEUE_BYTES));
    json.count("tickIntervalMs", SOCKET_TICK_MS).close("}}").done()
}

/// How the gateway is now; where it keeps its files only for the owner.
#[inline(never)]
fn snapshot(json: &mut Json, member: &Member, facts: &dyn Facts) {
    let (presence, health) = facts.roll().borrow().versions();
    json.key("presence").raw(&methods::presence(facts));
    json.key("health").raw(&methods::health(facts, member.principal.scopes()));
    json.key("stateVersion").raw("{").count("presence", presence).count("health", health).close("}");
    json.count("uptimeMs", facts.uptime_ms());
    let gate = facts.gate();
    let defaults = methods::defaults(&gate.rules().policy);
    json.key("sessionDefaults").raw("{").string("defaultAgentId", defaults.agent).string("mainKey", defaults.main_key);
    json.string("mainSessionKey", &defaults.main_session).string("scope", defaults.scope).close("}");
    if member.principal.owner() {
        for (key, path) in [("configPath", facts.config_path()), ("stateDir", facts.state_dir())] {
            if let Some(path) = path {
                json.string(key, &path);
            }
        }
        json.string("authMode", gate.rules().auth.mode.word());
    }
}
