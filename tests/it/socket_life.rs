//! What sockets are told without asking, and how they end when the gateway stops or changes.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::client::{End, call, request};
use crate::quick::quick;
use crate::rig::{CONFIG, Gateway, SOON, Setup, TOKEN, until};
use crate::socket::{Ws, config, hello, upgrade};

/// A user interface that calls itself `name`.
fn guest(gateway: &Gateway, name: &str) -> Ws {
    Ws::open(gateway).entered(|params| {
        params["client"]["mode"] = json!("ui");
        params["client"]["id"] = json!("test");
        params["client"]["instanceId"] = json!(name);
        params["client"]["displayName"] = json!(name);
    })
}

/// The entry of `name` in a list of presence.
fn entry<'v>(presence: &'v Value, name: &str) -> &'v Value {
    let entries = presence.as_array().unwrap_or_else(|| panic!("no list: {presence}"));
    entries.iter().find(|entry| entry["host"] == name).unwrap_or_else(|| panic!("no {name}: {presence}"))
}

/// Sends SIGHUP and waits until the log says that it was done once more.
#[track_caller]
fn reload(gateway: &Gateway, text: &str) {
    gateway.dir().write("toolgate.json5", 0o600, text);
    let before = gateway.log().matches("reload by=SIGHUP").count();
    gateway.signal(Signal::HUP);
    let done = until(SOON, || (gateway.log().matches("reload by=SIGHUP").count() > before).then_some(()));
    assert!(done.is_some(), "no reload:\n{}", gateway.tail());
}

#[test]
fn who_comes_and_goes_is_told() {
    let gateway = Gateway::start();
    let mut first = guest(&gateway, "first");
    for (seq, how) in [(1, "a close frame"), (2, "a lost connection")] {
        let mut second = guest(&gateway, "second");
        let there = second.ask("system-presence", Value::Null)["payload"].clone();
        assert_eq!(entry(&there, "second")["reason"], "connect", "{there}");
        if seq == 1 {
            second.say(toolgate::wire::frame::Opcode::Close, &[]);
        }
        drop(second);
        let told = first.event("presence");
        assert_eq!(told["seq"], seq, "{how}: {told}");
        assert_eq!(entry(&told["payload"]["presence"], "second")["reason"], "disconnect", "{how}: {told}");
        assert_eq!(entry(&told["payload"]["presence"], "first")["reason"], "connect", "{how}: {told}");
        assert!(told["stateVersion"]["presence"].is_u64() && told["stateVersion"]["health"].is_u64(), "{told}");
    }
    // A client's word is told to everybody, itself included.
    let mut second = guest(&gateway, "second");
    assert_eq!(second.ask("system-event", json!({ "text": "hello there", "host": "elsewhere" }))["ok"], true);
    let (one, two) = (first.event("presence"), second.event("presence"));
    assert_eq!((&one["seq"], &two["seq"]), (&json!(3), &json!(1)), "each socket counts for itself, without a gap");
    assert_eq!(entry(&two["payload"]["presence"], "elsewhere")["text"], "hello there");
    gateway.stop();
}

/// Before the fix every command that ended made the gateway tell all others of presence, which had not changed.
#[test]
fn a_command_that_ends_is_nothing_to_tell_of() {
    let gateway = Gateway::start();
    let mut first = guest(&gateway, "first");
    for _ in 0..3 {
        drop(Ws::open(&gateway).entered(|params| params["client"]["mode"] = json!("cli")));
    }
    // The gateway sees a connection's end before it answers what comes later on another one.
    drop(guest(&gateway, "second"));
    let told = first.event("presence");
    assert_eq!(
        (&told["seq"], &entry(&told["payload"]["presence"], "second")["reason"]),
        (&json!(1), &json!("disconnect"))
    );
    gateway.stop();
}

#[test]
fn a_stop_is_told_and_ends_sockets() {
    // One that never answers the close is not waited for.
    quick(Duration::from_secs(4), stop_with_sockets);
}

fn stop_with_sockets() {
    let gateway = Gateway::start();
    let (mut one, mut deaf) = (guest(&gateway, "one"), guest(&gateway, "deaf"));
    let mut waiting = gateway.peer();
    waiting.send(&upgrade("/", "")).expect("sent");
    assert_eq!(waiting.try_answer(true, SOON).map(|answer| answer.status), Ok(101));
    gateway.signal(Signal::TERM);
    let told = one.event("shutdown");
    assert_eq!(told["payload"], json!({ "reason": "gateway stopping", "restartExpectedMs": null }), "{told}");
    assert_eq!(one.closed(), (1012, "service restart".into()));
    // A handshake is cut without a word.
    assert!(matches!(waiting.end(SOON), End::Closed | End::Reset));
    assert!(!waiting.unread().windows(2).any(|pair| pair == b"\x88\x11"), "a close frame in a handshake");
    let finished = gateway.wait();
    assert_eq!(finished.code, 0, "log:\n{}", finished.log);
    assert_eq!(deaf.farewell(), (1012, "service restart".into()));
}

#[test]
fn another_token_ends_every_socket() {
    let gateway = Gateway::start();
    let (mut inside, mut waiting) = (Ws::enter(&gateway), gateway.peer());
    waiting.send(&upgrade("/", "")).expect("sent");
    assert_eq!(waiting.try_answer(true, SOON).map(|answer| answer.status), Ok(101));
    reload(&gateway, &CONFIG.replace(TOKEN, "another-token-987654"));
    assert_eq!(inside.closed(), (4001, "gateway auth changed".into()));
    assert!(matches!(waiting.end(SOON), End::Closed | End::Reset), "a handshake under the old token goes on");
    let mut old = Ws::open(&gateway);
    assert_eq!(old.ask("connect", hello(|_| {}))["error"]["details"]["code"], "AUTH_TOKEN_MISMATCH");
    assert_eq!(old.closed().0, 1008);
    let mut new = Ws::open(&gateway).entered(|params| params["auth"]["token"] = json!("another-token-987654"));
    assert_eq!(new.invoke("time_status")["ok"], true);
    gateway.stop();
}

#[test]
fn a_reload_that_leaves_the_token_leaves_sockets_and_changes_the_policy() {
    let gateway = Gateway::start();
    let mut ws = Ws::enter(&gateway);
    assert_eq!(ws.invoke("time_status")["ok"], true);
    let denied = CONFIG.replacen("} }", "} }, tools: { deny: [\"time_status\"] }", 1);
    reload(&gateway, &denied);
    assert_eq!(ws.invoke("time_status")["error"]["code"], "not_found", "the same socket, the new policy");
    reload(&gateway, CONFIG);
    assert_eq!(ws.invoke("time_status")["ok"], true);
    reload(&gateway, &config("limits: { messageBytes: 70000 }"));
    assert_eq!(ws.ask("health", Value::Null)["ok"], true);
    gateway.stop();
}

#[test]
fn a_reload_over_the_socket_itself_is_survived() {
    let open = CONFIG.replacen("bind:", "tools: { allow: [\"gateway\"] }, bind:", 1);
    let gateway = Setup::new(&open).start();
    let mut ws = Ws::enter(&gateway);
    let restart = json!({ "name": "gateway", "args": { "action": "restart" } });
    assert_eq!(ws.ask("tools.invoke", restart.clone())["payload"]["ok"], true);
    gateway.dir().write("toolgate.json5", 0o600, &open.replace(TOKEN, "another-token-987654"));
    ws.raw(&crate::socket::req("r", "tools.invoke", &restart)).expect("sent");
    assert_eq!(ws.closed(), (4001, "gateway auth changed".into()), "whoever changes the token has to show the new one");
    let fields = "Authorization: Bearer another-token-987654\r\nContent-Length: 22\r\n";
    let answer = gateway.peer().ask(&request("POST /tools/invoke HTTP/1.1", fields, b"{\"tool\":\"time_status\"}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(gateway.peer().ask(&call("{\"tool\":\"time_status\"}")).status, 401);
    gateway.stop();
}
