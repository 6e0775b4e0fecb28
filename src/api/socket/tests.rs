//! What the tests of a talk share: a gateway that is made up, and a client. The attributes tell tidy.rs what is a test.

#[cfg(test)]
mod calls;
#[cfg(test)]
mod clocks;
#[cfg(test)]
mod connect;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod tailnet;

use std::cell::RefCell;
use std::net::IpAddr;
use std::time::Instant;

use serde_json::{Value, json};

use super::methods::fixture::{NOW, World};
use super::*;
use crate::api::Settings;
use crate::gate::Rules;
use crate::gate::auth::{Auth, Mode};
use crate::gate::peer::Names;
use crate::gate::policy::Policy;
use crate::gate::secret::Secret;
use crate::gate::tailnet::Caller;
use crate::tool;
use crate::wire::head::Head;

/// The token of the recordings.
const TOKEN: &str = "tok-ws-contract-123456";
/// A gateway and a socket that has been told its challenge.
pub struct Rig {
    pub world: World,
    pub talk: Talk,
    seeds: Seeds,
}

/// The claims of an upgrade from `peer` with these fields, through the door of `gate`.
pub fn claims(gate: &RefCell<Gate>, peer: &str, fields: &str) -> Result<Claims<'static>, u16> {
    claimed(gate, &peer.parse::<IpAddr>().expect("an address").into(), fields)
}

/// The same of a caller of whom more is known.
pub fn claimed(gate: &RefCell<Gate>, caller: &Caller, fields: &str) -> Result<Claims<'static>, u16> {
    let text = format!("GET / HTTP/1.1\r\nHost: pi\r\n{fields}\r\n");
    let head = Head::parse(text.into_bytes()).expect("a head");
    let settings = Settings { user_field: Some("x-user".into()), ..Settings::default() };
    let scene = crate::api::Scene {
        gate: &mut gate.borrow_mut(),
        settings: &settings,
        vitals: &crate::api::Vitals::default,
        caller,
        now: Instant::now(),
    };
    crate::api::upgrade(&head, scene).map_err(|answer| answer.reply.status)
}

/// Rules of that mode, for a gateway called `pi`.
pub fn rules(mode: Mode) -> Rules {
    let proxies = vec![crate::gate::peer::Net::parse("10.0.0.0/8").expect("a net")];
    let auth = Auth { mode, token: Secret::new(TOKEN), password: Secret::new("pass"), proxies, ..Auth::default() };
    let names = Names { hosts: vec!["pi".into()], origins: vec!["http://ui".into()], ..Names::default() };
    Rules { auth, names, ..Rules::default() }
}

impl Rig {
    pub fn new(mode: Mode) -> Rig {
        Rig::from(rules(mode), "127.0.0.1", "")
    }

    pub fn from(rules: Rules, peer: &str, fields: &str) -> Rig {
        Rig::of(rules, &peer.parse::<IpAddr>().expect("an address").into(), fields)
    }

    pub fn of(rules: Rules, caller: &Caller, fields: &str) -> Rig {
        let world = World { gate: RefCell::new(Gate::new(rules)), ..World::new(Policy::default()) };
        let claims = claimed(&world.gate, caller, fields).expect("an open door");
        let mut talk = Talk::new(claims, [0x11; 16], [0x22; 16]);
        talk.challenge(NOW);
        Rig { world, talk, seeds: Seeds::new([1; 32]) }
    }

    pub fn hear(&mut self, message: &str) -> Act {
        let find = |name: &str| tool::built_in(name).map(tool::Listed::BuiltIn);
        let (gate, facts) = (&self.world.gate, &self.world);
        let scene = Scene { gate, facts, find: &find, seeds: &self.seeds, now: Instant::now() };
        self.talk.hear(message.as_bytes(), &scene)
    }

    /// Sends a request with the id `r`; its answer and how the socket was closed, if it was.
    pub fn ask(&mut self, method: &str, params: Value) -> (Value, Option<(u16, String)>) {
        let message = json!({"type": "req", "id": "r", "method": method, "params": params}).to_string();
        answer(self.hear(&message))
    }

    /// Connects with `params`.
    pub fn enter(&mut self, params: Value) -> Value {
        let (hello, closed) = self.ask("connect", params);
        assert_eq!((hello["ok"].as_bool(), closed), (Some(true), None), "{hello}");
        hello["payload"].clone()
    }
}

/// The frame an act says, and how it closes.
pub fn answer(act: Act) -> (Value, Option<(u16, String)>) {
    let (said, closed) = match act {
        Act::Admit(said) | Act::Announce(said) | Act::Say(said) | Act::Refuse { said, .. } => (Some(said), None),
        Act::Close { last, code, reason, note } => {
            assert!(note.reason.is_some_and(|word| !word.is_empty()));
            (last, Some((code, reason)))
        }
        Act::Silent => (None, None),
        Act::Call { .. } => panic!("a call where none was expected"),
    };
    let frame = said.map_or(Value::Null, |said| serde_json::from_str(&said).expect("JSON"));
    closed_shape(&frame);
    (frame, closed)
}

/// Clients drop what is not exactly of this shape. Source: contract ws.md §3.
fn closed_shape(frame: &Value) {
    let Some(frame) = frame.as_object() else { return };
    let known = ["type", "id", "ok", "payload", "error"];
    assert!(frame.keys().all(|key| known.contains(&key.as_str())), "{frame:?}");
    assert_eq!(frame.contains_key("error"), frame["ok"] == json!(false), "{frame:?}");
    assert_eq!(frame.contains_key("payload"), frame["ok"] == json!(true), "{frame:?}");
    let Some(error) = frame.get("error").and_then(Value::as_object) else { return };
    let known = ["code", "message", "details", "retryable", "retryAfterMs"];
    assert!(error.iter().all(|(key, value)| known.contains(&key.as_str()) && !value.is_null()), "{error:?}");
    assert!(error["code"].as_str().is_some_and(|code| !code.is_empty()), "{error:?}");
    assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{error:?}");
}

/// The parameters of a client without a device, changed at a JSON pointer; `Null` takes the member away.
pub fn params(changes: &[(&str, Value)]) -> Value {
    let mut params = json!({
        "minProtocol": 3, "maxProtocol": 3,
        "client": {"id": "gateway-client", "version": "0.0.1", "platform": "linux", "mode": "backend"},
        "caps": [], "role": "operator", "scopes": ["operator.read"], "auth": {"token": TOKEN},
    });
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        let parent = params.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
        match value {
            Value::Null => drop(parent.remove(key)),
            value => drop(parent.insert(key.into(), value.clone())),
        }
    }
    params
}
