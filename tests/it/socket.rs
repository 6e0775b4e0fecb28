//! The WebSocket of the running program: a client for the tests that follow, and what requests on it are answered.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use toolgate::cli::call::Place;
use toolgate::cli::socket::Socket;
use toolgate::limits::CLIENT_SECS;
use toolgate::wire::frame::Opcode;
use toolgate::wire::message::{Event, Kind};
use tungstenite::Message;
use tungstenite::protocol::{Role, WebSocket};

use crate::client::{Answer, End, Peer, call, request};
use crate::quick::quick;
use crate::rig::{CONFIG, Gateway, SOON, Setup, TOKEN, until};

/// The key of the upgrades in these tests, the sample of RFC 6455 §1.3, and what must be said to it.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The fields of an upgrade, with those that `more` has.
pub fn fields(more: &str) -> String {
    format!(
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{more}"
    )
}

/// An upgrade request.
pub fn upgrade(path: &str, more: &str) -> Vec<u8> {
    request(&format!("GET {path} HTTP/1.1"), &fields(more), b"")
}

/// A client's frame, final and masked.
pub fn masked(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    toolgate::wire::frame::push(&mut bytes, opcode, payload, Some([0x37, 0xfa, 0x21, 0x3d]));
    bytes
}

/// A request's frame.
pub fn req(id: &str, method: &str, params: &Value) -> Vec<u8> {
    let message = json!({ "type": "req", "id": id, "method": method, "params": params });
    masked(Opcode::Text, message.to_string().as_bytes())
}

/// The parameters of a good `connect`, changed by `change`.
pub fn hello(change: impl FnOnce(&mut Value)) -> Value {
    let mut params = json!({
        "minProtocol": 3, "maxProtocol": 4, "role": "operator", "scopes": ["operator.admin"],
        "client": { "id": "gateway-client", "version": "1", "platform": "linux", "mode": "backend" },
        "auth": { "token": TOKEN },
    });
    change(&mut params);
    params
}

/// A client of the socket.
pub struct Ws {
    socket: Socket,
    stream: TcpStream,
    /// Events that came while an answer was waited for.
    pub events: Vec<Value>,
}

impl Ws {
    /// Upgrades a connection.
    #[track_caller]
    pub fn over(stream: TcpStream) -> Ws {
        let authority = stream.peer_addr().map_or("127.0.0.1".into(), |address| address.to_string());
        let own = stream.try_clone().expect("the stream");
        let place = Place { authority, path: "/".into(), socket: true, patience: CLIENT_SECS };
        let socket = Socket::open(stream, &place).unwrap_or_else(|fault| panic!("no upgrade: {fault:?}"));
        Ws { socket, stream: own, events: Vec::new() }
    }

    /// A new socket, its challenge not yet read.
    #[track_caller]
    pub fn open(gateway: &Gateway) -> Ws {
        Ws::over(gateway.peer().stream().try_clone().expect("the stream"))
    }

    /// A new socket from 127.0.0.`last`.
    #[track_caller]
    pub fn open_from(gateway: &Gateway, last: u8) -> Ws {
        Ws::over(gateway.peer_from(last).stream().try_clone().expect("the stream"))
    }

    /// A socket whose handshake is over.
    #[track_caller]
    pub fn enter(gateway: &Gateway) -> Ws {
        Ws::open(gateway).entered(|_| {})
    }

    /// Ends the handshake.
    #[track_caller]
    pub fn entered(mut self, change: impl FnOnce(&mut Value)) -> Ws {
        let hello = self.ask("connect", hello(change));
        assert_eq!(hello["payload"]["type"], "hello-ok", "{hello}");
        assert_eq!(self.events.first().map(|event| &event["event"]), Some(&json!("connect.challenge")));
        self.events.clear();
        self
    }

    /// Sends bytes. An error is the caller's to judge.
    pub fn raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends one frame.
    #[track_caller]
    pub fn say(&mut self, opcode: Opcode, payload: &[u8]) {
        self.raw(&masked(opcode, payload)).expect("send a frame");
    }

    /// The next message or control frame; `None` when the connection is over.
    pub fn hear(&mut self) -> Option<Event> {
        self.socket.hear().ok()
    }

    /// The next message, which must be text.
    #[track_caller]
    pub fn next(&mut self) -> Value {
        loop {
            match self.socket.hear() {
                Ok(Event::Message { kind: Kind::Text, content }) => {
                    return serde_json::from_slice(&content).expect("JSON");
                }
                // On a machine under load a test may last until the next tick.
                Ok(Event::Ping(payload)) => self.say(Opcode::Pong, &payload),
                other => panic!("no message but {other:?}"),
            }
        }
    }

    /// The answer to the request with that id.
    #[track_caller]
    pub fn answer(&mut self, id: &str) -> Value {
        loop {
            let frame = self.next();
            match frame["type"].as_str() {
                Some("res") if frame["id"] == id => return frame,
                Some("event") => self.events.push(frame),
                _ => panic!("{frame} instead of the answer to {id}"),
            }
        }
    }

    /// Makes a request and returns its answer.
    #[track_caller]
    pub fn ask(&mut self, method: &str, params: Value) -> Value {
        self.raw(&req(method, method, &params)).expect("send a request");
        self.answer(method)
    }

    /// Calls a tool; what the answer's payload is.
    #[track_caller]
    pub fn invoke(&mut self, name: &str) -> Value {
        self.ask("tools.invoke", json!({ "name": name }))["payload"].clone()
    }

    /// The next event of that name; other events are passed over, and answers are not expected.
    #[track_caller]
    pub fn event(&mut self, name: &str) -> Value {
        loop {
            let frame = if self.events.is_empty() { self.next() } else { self.events.remove(0) };
            assert_eq!(frame["type"], "event", "{frame}");
            if frame["event"] == name {
                return frame;
            }
        }
    }

    /// Reads up to the close frame: its code, 1005 for none, and reason. The connection must end behind it.
    #[track_caller]
    pub fn closed(&mut self) -> (u16, String) {
        let (code, reason) = self.farewell();
        drop(self.stream.shutdown(std::net::Shutdown::Write));
        assert_eq!(self.hear(), None, "something comes after the close frame {code} {reason}");
        (code, reason)
    }

    /// Reads up to the close frame.
    #[track_caller]
    pub fn farewell(&mut self) -> (u16, String) {
        loop {
            match self.socket.hear() {
                Ok(Event::Close(reason)) => return reason.map_or((1005, String::new()), |(c, r)| (c, r.into())),
                Ok(Event::Message { content, .. }) => {
                    self.events.extend(serde_json::from_slice(&content).ok());
                }
                Ok(_) => {}
                Err(fault) => panic!("no close frame: {fault:?}"),
            }
        }
    }
}

/// The usual configuration with more of `gateway`.
pub fn config(more: &str) -> String {
    CONFIG.replacen("bind:", &format!("{more}, bind:"), 1)
}

#[test]
fn an_unrelated_client_is_served() {
    let gateway = Setup::new(&CONFIG.replacen("} }", "} }, tools: { deny: [\"agents_list\"] }", 1)).start();
    let mut peer = gateway.peer();
    peer.send(&upgrade("/", "")).expect("sent");
    let answer = peer.try_answer(true, SOON).expect("an answer");
    assert_eq!((answer.status, answer.field("sec-websocket-accept")), (101, Some(ACCEPT)), "{answer:?}");
    let read = peer.unread().to_vec();
    let stream = peer.stream().try_clone().expect("the stream");
    stream.set_read_timeout(Some(SOON)).expect("a deadline");
    let mut client = WebSocket::from_partially_read(stream, read, Role::Client, None);
    let text = |client: &mut WebSocket<TcpStream>| -> Value {
        serde_json::from_str(client.read().expect("a message").to_text().expect("text")).expect("JSON")
    };
    assert_eq!(text(&mut client)["event"], "connect.challenge");
    let mut ask = |method: &str, params: Value| {
        let request = json!({ "type": "req", "id": method, "method": method, "params": params });
        client.send(Message::text(request.to_string())).expect("sent");
        let answer = text(&mut client);
        assert_eq!((&answer["type"], &answer["id"]), (&json!("res"), &json!(method)), "{answer}");
        answer
    };
    let scopes = json!(["operator.write"]);
    let hello = ask("connect", hello(|params| params["scopes"] = scopes.clone()))["payload"].clone();
    assert_eq!((&hello["protocol"], &hello["auth"]["scopes"]), (&json!(4), &scopes), "{hello}");
    assert_eq!(ask("health", Value::Null)["payload"]["ok"], true);
    let payload = ask("tools.invoke", json!({ "name": "sessions_list", "args": {} }))["payload"].clone();
    let over_http = gateway.peer().ask(&call("{\"tool\":\"sessions_list\"}")).json();
    assert_eq!(shape(&payload["output"]), shape(&over_http["result"]), "{payload} {over_http}");
    assert_eq!((&payload["ok"], &payload["toolName"]), (&json!(true), &json!("sessions_list")));
    for name in ["agents_list", "no_such_tool"] {
        let denied = ask("tools.invoke", json!({ "name": name }))["payload"].clone();
        let expected = json!({ "code": "not_found", "message": format!("Tool not available: {name}") });
        assert_eq!((&denied["ok"], &denied["error"]), (&json!(false), &expected), "{denied}");
    }
    let denied = ask("system-event", json!({ "text": "x" }));
    assert_eq!(denied["error"]["code"], "FORBIDDEN", "protocol 4: {denied}");
    client.close(None).expect("closed");
    assert!(matches!(client.read(), Ok(Message::Close(_)) | Err(tungstenite::Error::ConnectionClosed)));
    gateway.stop();
}

/// A value with its times and numbers made alike.
fn shape(value: &Value) -> Value {
    match value {
        Value::Number(_) => json!(0),
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::Object(members) => members.iter().map(|(k, v)| (k.clone(), shape(v))).collect(),
        Value::String(text) => {
            serde_json::from_str::<Value>(text).map_or_else(|_| value.clone(), |inner| shape(&inner))
        }
        other => other.clone(),
    }
}

#[test]
fn whoever_has_no_secret_is_told_so() {
    let gateway = Gateway::start();
    let check = |auth: Value, code: &str, message: &str| {
        let mut ws = Ws::open(&gateway);
        let refused = ws.ask("connect", hello(|params| params["auth"] = auth.clone()));
        assert_eq!(refused["error"]["details"]["code"], code, "{auth}: {refused}");
        assert_eq!(refused["error"]["message"], message, "{auth}");
        assert_eq!(ws.closed(), (1008, message.into()), "{auth}");
    };
    let hint = "(provide gateway auth token)";
    let mismatch = format!("unauthorized: gateway token mismatch {hint}");
    check(json!({ "token": "wrong" }), "AUTH_TOKEN_MISMATCH", &mismatch);
    check(json!({}), "AUTH_TOKEN_MISSING", &format!("unauthorized: gateway token missing {hint}"));
    let cli = "unauthorized: gateway token mismatch (set gateway.remote.token to match gateway.auth.token)";
    let mut ws = Ws::open(&gateway);
    let refused = ws.ask(
        "connect",
        hello(|params| (params["client"]["mode"], params["auth"]["token"]) = (json!("cli"), json!("wrong"))),
    );
    assert_eq!((refused["error"]["message"].as_str(), ws.closed()), (Some(cli), (1008, cli.into())));
    let log = gateway.stop().log;
    assert!(!log.contains("wrong") && log.contains("refuse peer=127.0.0.1 reason="), "{log}");
}

#[test]
fn scopes_are_what_was_asked_for() {
    let gateway = Gateway::start();
    let with = |scopes: Value, max: u8| {
        Ws::open(&gateway).entered(|params| (params["scopes"], params["maxProtocol"]) = (scopes, max.into()))
    };
    let mut none = with(json!([]), 3);
    assert_eq!(none.ask("health", Value::Null)["ok"], true, "health needs nothing");
    for method in ["status", "tools.invoke", "no.such.method"] {
        let refused = none.ask(method, json!({}));
        let error = (refused["error"]["code"].as_str(), refused["error"]["message"].as_str().unwrap_or_default());
        assert!(error.0 == Some("INVALID_REQUEST") && error.1.starts_with("missing scope: operator."), "{refused}");
    }
    let mut read = with(json!(["operator.read"]), 4);
    assert_eq!(read.ask("status", json!({}))["ok"], true);
    let details = read.ask("tools.invoke", json!({ "name": "time_status" }))["error"]["details"].clone();
    assert_eq!(details["missingScope"], "operator.write", "{details}");
    let mut write = with(json!(["operator.write"]), 4);
    assert_eq!((write.invoke("time_status")["ok"].clone(), write.ask("status", json!({}))["ok"].clone()), {
        (json!(true), json!(true))
    });
    gateway.stop();
}

#[test]
fn a_repeated_key_repeats_the_answer_on_every_socket() {
    let gateway = Gateway::start();
    let ask = |ws: &mut Ws, key: &str, args: Value| {
        ws.ask("tools.invoke", json!({ "name": "time_status", "idempotencyKey": key, "args": args }))["payload"].clone()
    };
    let (mut one, mut two) = (Ws::enter(&gateway), Ws::enter(&gateway));
    let first = ask(&mut one, "k", json!({}));
    assert_eq!(first["ok"], true, "{first}");
    // Whatever keeps time in the answer has moved on by then, for every other key.
    let mut keys = 0..;
    let moved_on =
        until(SOON, || (ask(&mut two, &format!("other-{}", keys.next()?), json!({})) != first).then_some(()));
    assert!(moved_on.is_some(), "another key gets the same answer");
    assert_eq!((ask(&mut one, "k", json!({})), ask(&mut two, "k", json!({}))), (first.clone(), first.clone()));
    let other = ask(&mut two, "k", json!({ "x": 1 }));
    assert_eq!(other["error"]["code"], "validation_error", "other params: {other}");
    // Over HTTP the same key stands for another request, because its bytes are others.
    let http = gateway.peer().ask(&call("{\"tool\":\"time_status\",\"idempotencyKey\":\"k\",\"args\":{}}"));
    assert_eq!((http.status, http.error().0.as_str()), (400, "invalid_request_error"), "{http:?}");
    gateway.stop();
}

/// Sends a burst in one write and returns the answers by their ids.
fn burst(ws: &mut Ws, bytes: &[u8], count: usize) -> Vec<Value> {
    ws.raw(bytes).expect("send a burst");
    let mut answers: Vec<Value> = Vec::new();
    while answers.len() < count {
        let frame = ws.next();
        if frame["type"] == "res" {
            answers.push(frame);
        }
    }
    answers
}

#[test]
fn a_burst_behind_connect_is_answered_whole() {
    let gateway = Gateway::start();
    let mut bytes = req("c", "connect", &hello(|_| {}));
    for number in 0..20 {
        bytes.extend(req(&format!("t{number}"), "tools.invoke", &json!({ "name": "time_status" })));
        bytes.extend(req(&format!("h{number}"), "health", &Value::Null));
    }
    let answers = burst(&mut Ws::open(&gateway), &bytes, 41);
    assert_eq!(answers[0]["payload"]["type"], "hello-ok");
    let bad: Vec<&Value> = answers.iter().filter(|answer| answer["ok"] != true).collect();
    assert!(bad.is_empty(), "{bad:?}");
    let ids: std::collections::BTreeSet<String> = answers.iter().map(|answer| answer["id"].to_string()).collect();
    assert_eq!(ids.len(), 41, "each is answered once");
    gateway.stop();
}

/// Before the fix all requests of one read were answered into the queue, and the socket was cut when it was full.
#[test]
fn a_burst_of_large_answers_is_no_reason_to_cut_a_peer_that_reads() {
    let gateway = Gateway::start();
    let mut ws = Ws::enter(&gateway);
    let one = ws.ask("tools.catalog", json!({})).to_string().len();
    let count = 2 * toolgate::limits::SOCKET_QUEUE_BYTES / one;
    let bytes: Vec<u8> = (0..count).flat_map(|n| req(&n.to_string(), "tools.catalog", &json!({}))).collect();
    for (number, answer) in burst(&mut ws, &bytes, count).iter().enumerate() {
        assert_eq!((&answer["id"], &answer["ok"]), (&json!(number.to_string()), &json!(true)), "of {count}");
    }
    gateway.stop();
}

/// What takes time ends in any order and is answered all the same; how many may run is held by a test beside the code.
#[test]
fn requests_run_beside_each_other() {
    let gateway = Setup::new(&config("limits: { calls: 64 }")).start();
    let mut ws = Ws::enter(&gateway);
    let mut bytes: Vec<u8> =
        (0..8).flat_map(|n| req(&n.to_string(), "tools.invoke", &json!({ "name": "storage_status" }))).collect();
    bytes.extend(req("h", "health", &Value::Null));
    let answers = burst(&mut ws, &bytes, 9);
    let mut ids: Vec<&str> = answers.iter().filter_map(|answer| answer["id"].as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["0", "1", "2", "3", "4", "5", "6", "7", "h"], "{answers:?}");
    assert!(answers.iter().all(|answer| answer["ok"] == true), "{answers:?}");
    gateway.stop();
}

#[test]
fn http_goes_on_beside_sockets() {
    let gateway = Gateway::start();
    let mut ws = Ws::enter(&gateway);
    let answer: Answer = gateway.peer().ask(&call("{\"tool\":\"sessions_list\"}"));
    assert_eq!((answer.status, &ws.invoke("sessions_list")["ok"]), (200, &json!(true)));
    // Whoever leaves in the middle of a handshake is not waited for.
    quick(Duration::from_secs(5), || {
        let mut peer: Peer = gateway.peer();
        peer.send(&upgrade("/", "")).expect("sent");
        drop(peer.try_answer(true, SOON));
        peer.finish();
        assert!(matches!(peer.end(SOON), End::Closed | End::Reset));
    });
    gateway.stop();
}
