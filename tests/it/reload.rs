//! What changes while the gateway runs: the configuration, the token, and what a repeated call is answered.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::client::{Answer, Peer, call, call_framed, request};
use crate::rig::{CONFIG, Gateway, SOON, Setup, TOKEN, program, run, until};

/// [`CONFIG`] with more of `gateway` and, after a comma, more sections.
fn config(gateway: &str, more: &str) -> String {
    format!("{{ gateway: {{ auth: {{ mode: \"token\", token: \"{TOKEN}\" }}, {gateway} }}, {more} }}")
}

/// Writes another configuration.
fn write(gateway: &Gateway, text: &str) {
    gateway.dir().write("toolgate.json5", 0o600, text);
}

/// How often the log says `word`.
fn said(gateway: &Gateway, word: &str) -> usize {
    gateway.log().lines().filter(|line| line.contains(word)).count()
}

/// Sends SIGHUP and waits until the log says `word` once more.
#[track_caller]
fn reload(gateway: &Gateway, word: &str) {
    let before = said(gateway, word);
    gateway.signal(Signal::HUP);
    let more = until(SOON, || (said(gateway, word) > before).then_some(()));
    assert!(more.is_some(), "no further {word:?} in the log:\n{}", gateway.tail());
}

fn with_token(token: &str, body: &str) -> Vec<u8> {
    let fields = format!("Authorization: Bearer {token}\r\nContent-Length: {}\r\n", body.len());
    request("POST /tools/invoke HTTP/1.1", &fields, body.as_bytes())
}

fn status(peer: &mut Peer, tool: &str) -> u16 {
    peer.ask(&call(&json!({ "tool": tool }).to_string())).status
}

#[test]
fn a_tightened_policy_holds_at_once_and_connections_stay() {
    let gateway = Setup::new(CONFIG).start();
    let mut peer = gateway.peer();
    assert_eq!(status(&mut peer, "time_status"), 200);
    write(&gateway, &config("", "tools: { deny: [\"time_status\"] }"));
    assert_eq!(status(&mut peer, "time_status"), 200, "a file that nobody reloaded");
    reload(&gateway, "reload by=SIGHUP");
    assert_eq!(status(&mut peer, "time_status"), 404, "the same connection, the new policy");
    assert_eq!(status(&mut peer, "device_status"), 200);
    write(&gateway, &config("http: { securityHeaders: { strictTransportSecurity: \"max-age=7\" } }", ""));
    reload(&gateway, "reload by=SIGHUP");
    let answer = peer.ask(&call("{\"tool\":\"time_status\"}"));
    assert_eq!((answer.status, answer.field("strict-transport-security")), (200, Some("max-age=7")));
    gateway.stop();
}

#[test]
fn a_bad_file_changes_nothing_and_every_finding_is_logged() {
    let gateway = Setup::new(&config("", "tools: { deny: [\"time_status\"] }")).start();
    let mut peer = gateway.peer();
    let bad = config("prot: 1, bind: \"nowhere\"", "tools: { deny: [] }");
    for text in [bad.as_str(), "{", "{ gateway: { auth: { token: \"change-me-now\" } } }"] {
        write(&gateway, text);
        reload(&gateway, "reload_refused by=SIGHUP");
        assert_eq!(status(&mut peer, "time_status"), 404, "the old policy holds");
        assert_eq!(status(&mut peer, "device_status"), 200, "the old token holds");
    }
    let log = gateway.log();
    for finding in ["gateway.prot", "gateway.bind"] {
        assert!(log.lines().any(|l| l.contains("reload_refused") && l.contains(finding)), "{finding}:\n{log}");
    }
    fs::remove_file(gateway.dir().path("toolgate.json5")).expect("remove the file");
    reload(&gateway, "reload_refused by=SIGHUP");
    let pipe = gateway.dir().path("toolgate.json5");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a pipe");
    reload(&gateway, "is not a regular file");
    assert_eq!(status(&mut peer, "device_status"), 200, "a pipe nobody writes to does not hold the loop");
    gateway.stop();
}

#[test]
fn what_needs_a_restart_is_said() {
    let gateway = Setup::new(CONFIG).start();
    write(&gateway, &config("limits: { connections: 9, calls: 3 }, bind: \"lan\"", ""));
    reload(&gateway, "reload_needs_restart keys=gateway.bind,gateway.limits.connections");
    gateway.stop();
}

#[test]
fn listeners_move_when_they_can_and_connections_stay() {
    let gateway = Setup::new(CONFIG).start();
    let mut peer = gateway.peer();
    assert_eq!(status(&mut peer, "time_status"), 200);
    let (here, mut there) = (gateway.addr(), gateway.addr());
    there.set_ip([127, 0, 0, 2].into());
    let refused = |at| Peer::connect(at).is_err().then_some(());
    write(&gateway, &config("bind: \"custom\", customBindHost: \"127.0.0.2\"", ""));
    reload(&gateway, "reload by=SIGHUP");
    assert_eq!(status(&mut Peer::connect(there).expect("the new place"), "time_status"), 200);
    assert!(until(SOON, || refused(here)).is_some(), "the old place is still open");
    assert_eq!(status(&mut peer, "time_status"), 200, "a connection of the old place stays");
    assert!(gateway.log().contains(&format!("listen address={there}")), "{}", gateway.tail());
    write(&gateway, CONFIG);
    reload(&gateway, "reload by=SIGHUP");
    assert_eq!(status(&mut gateway.peer(), "time_status"), 200, "and back");
    assert!(until(SOON, || refused(there)).is_some(), "the other place is still open");
    gateway.stop();
}

#[test]
fn mode_none_does_not_come_into_force_on_addresses_of_others() {
    let gateway = Setup::new(&config("bind: \"lan\"", "")).start();
    write(&gateway, "{ gateway: { bind: \"loopback\", auth: { mode: \"none\" } } }");
    reload(&gateway, "reload_refused gateway.bind");
    let unproved = request("POST /tools/invoke HTTP/1.1", "Content-Length: 2\r\n", b"{}");
    assert_eq!(gateway.peer().ask(&unproved).status, 401);
    gateway.stop();
}

#[test]
fn a_rotated_token_comes_into_force() {
    let gateway = Setup::new("{}").start();
    let path = gateway.dir().path("state/token");
    let stored = || fs::read_to_string(&path).expect("the token").trim().to_owned();
    let mut peer = gateway.peer();
    let mut ask = |token: &str| peer.ask(&with_token(token, "{\"tool\":\"time_status\"}")).status;
    let first = stored();
    reload(&gateway, "reload by=SIGHUP");
    assert_eq!(ask(&first), 200);
    fs::rename(&path, gateway.dir().path("elsewhere")).expect("move the token");
    reload(&gateway, "reload by=SIGHUP");
    assert_eq!(ask(&first), 200, "a token made at start stays in force without its file");
    let (config, state) = (gateway.dir().path("toolgate.json5"), gateway.dir().path("state"));
    let args = ["token", "rotate", "--config", &config.to_string_lossy(), "--state-dir", &state.to_string_lossy()];
    let rotated = run(program(gateway.dir(), &args));
    assert!(rotated.code == 0 && rotated.log.contains("SIGHUP"), "{rotated:?}");
    let second = stored();
    assert_eq!((ask(&first), ask(&second)), (200, 401), "not before the reload");
    reload(&gateway, "reload by=SIGHUP");
    assert_eq!((ask(&first), ask(&second)), (401, 200));
    fs::remove_file(&path).expect("remove the token");
    reload(&gateway, "reload by=SIGHUP");
    assert_eq!((ask(&first), ask(&second)), (401, 200), "a token that was replaced does not come back");
    gateway.stop();
}

#[test]
fn a_body_that_comes_after_its_token_is_gone_runs_nothing() {
    let gateway = Gateway::start();
    let mut peer = gateway.peer();
    let body = b"{\"tool\":\"time_status\"}";
    let framed = call_framed("Expect: 100-continue\r\nContent-Length: 22\r\n", b"");
    assert_eq!(peer.ask(&framed).status, 100);
    reload(&gateway, "reload by=SIGHUP");
    assert_eq!(peer.ask(body).status, 200, "a reload that leaves the token");
    assert_eq!(peer.ask(&framed).status, 100);
    write(&gateway, &CONFIG.replace(TOKEN, "another-token-987654"));
    reload(&gateway, "reload by=SIGHUP");
    assert_eq!(peer.ask(body).status, 401);
    gateway.stop();
}

#[test]
fn a_call_that_waits_for_its_turn_is_not_run_by_what_held_before() {
    let script = "d=$(dirname $0); echo x >> $d/log; while [ ! -e $d/go ]; do sleep 0.02; done";
    for (token, refused) in [(TOKEN, 429), ("another-token-987654", 401)] {
        let command = "slow: { description: 'X', argv: ['DIR/slow'], timeoutMs: 60000 }";
        let gateway = crate::declared::gateway(command, &[("slow", script)]);
        let mut peers: Vec<Peer> = (0..3).map(|_| gateway.peer()).collect();
        for peer in &mut peers {
            peer.send(&call("{\"tool\":\"slow\"}")).expect("send");
        }
        let all = json!([{"name": "slow", "running": 1, "waiting": 2, "refused": 0}]);
        let status = || details(&gateway.peer().ask(&call("{\"tool\":\"gateway_status\"}")));
        assert!(until(SOON, || (status()["tools"] == all).then_some(())).is_some(), "{}", status());
        let text = fs::read_to_string(gateway.dir().path("toolgate.json5")).expect("the configuration");
        write(&gateway, &text.replace(TOKEN, token).replace("tools: {", "tools: { deny: ['slow'],"));
        reload(&gateway, "reload by=SIGHUP");
        gateway.dir().write("go", 0o644, "");
        let mut told: Vec<u16> = peers.iter_mut().map(|peer| peer.answer().status).collect();
        told.sort_unstable();
        assert_eq!(told, [200, refused, refused], "{}", gateway.tail());
        assert_eq!(fs::read_to_string(gateway.dir().path("log")).expect("log"), "x\n");
        gateway.stop();
    }
}

#[test]
fn failures_counted_so_far_still_count() {
    let text = config(
        "auth: { mode: \"token\", token: \"sekret-token-123456\", rateLimit: { maxAttempts: 2, exemptLoopback: false } }",
        "",
    );
    let text = text.replacen(&format!("auth: {{ mode: \"token\", token: \"{TOKEN}\" }}, "), "", 1);
    let gateway = Setup::new(&text).start();
    let mut peer = gateway.peer();
    let mut guess = || peer.ask(&with_token("wrong", "{}")).status;
    assert_eq!(guess(), 401);
    reload(&gateway, "reload by=SIGHUP");
    assert_eq!((guess(), guess()), (401, 429));
    reload(&gateway, "reload by=SIGHUP");
    assert_eq!(guess(), 429, "a reload gives no new tries");
    gateway.stop();
}

/// The details of a result.
#[track_caller]
fn details(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["result"]["details"].clone()
}

const OPEN: &str = "tools: { allow: [\"gateway\"] }";

#[test]
fn the_gateway_tool_is_for_owners_who_opened_it() {
    let gateway = Gateway::start();
    assert_eq!(status(&mut gateway.peer(), "gateway"), 404, "denied over HTTP by default");
    gateway.stop();
    let gateway = Setup::new(&format!("{{ gateway: {{ auth: {{ mode: \"none\" }}, {OPEN} }} }}")).start();
    let body = "{\"tool\":\"gateway\"}";
    let ask = |fields: &str| {
        let fields = format!("{fields}Content-Length: {}\r\n", body.len());
        gateway.peer().ask(&request("POST /tools/invoke HTTP/1.1", &fields, body.as_bytes()))
    };
    assert_eq!(ask("").error(), ("tool_error".into(), "action required".into()));
    assert_eq!(ask("x-openclaw-scopes: operator.write\r\n").status, 404, "not for others");
    gateway.stop();
}

#[test]
fn the_gateway_tool_shows_and_reloads() {
    let gateway = Setup::new(&config(OPEN, "models: { providers: { o: { apiKey: \"sk-model\" } } }")).start();
    let mut peer = gateway.peer();
    let mut ask = |body: Value| {
        let mut body = body;
        body["tool"] = "gateway".into();
        peer.ask(&call(&body.to_string()))
    };
    let shown = ask(json!({ "action": "config.get" }));
    assert!(!shown.text().contains(TOKEN) && !shown.text().contains("sk-model"), "{shown:?}");
    let shown = details(&shown);
    let keys: Vec<&String> = shown["result"].as_object().expect("an object").keys().collect();
    let mut expected = [
        "path",
        "exists",
        "raw",
        "parsed",
        "sourceConfig",
        "resolved",
        "valid",
        "runtimeConfig",
        "config",
        "hash",
        "issues",
        "warnings",
        "legacyIssues",
    ];
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!(shown["result"]["parsed"]["gateway"]["auth"]["token"], "__OPENCLAW_REDACTED__");
    assert_eq!((&shown["ok"], &shown["result"]["valid"]), (&Value::Bool(true), &Value::Bool(true)));
    let found = details(&ask(json!({ "action": "config.schema.lookup", "args": { "path": "gateway.port" } })));
    assert_eq!(found["result"]["schema"]["type"], "integer");
    assert_eq!(ask(json!({ "action": "frobnicate" })).status, 500);
    assert_eq!(ask(json!({ "args": { "action": "config.schema.lookup" } })).status, 400);
    let forbidden = details(&ask(json!({ "action": "config.patch", "args": { "raw": "{}" } })));
    assert_eq!(forbidden["status"], "forbidden");
    write(&gateway, &config(OPEN, "tools: { dney: [] }"));
    let refused = details(&ask(json!({ "action": "restart" })));
    assert_eq!(refused["status"], "error");
    assert!(refused["issues"].to_string().contains("tools.dney"), "{refused}");
    let shown = details(&ask(json!({ "action": "config.get" })));
    assert_eq!(
        (&shown["result"]["valid"], &shown["result"]["issues"][0]["path"]),
        (&false.into(), &"tools.dney".into())
    );
    write(&gateway, &config(OPEN, "tools: { deny: [\"time_status\"] }"));
    assert_eq!(details(&ask(json!({ "action": "restart" })))["ok"], true);
    assert_eq!(ask(json!({ "name": "time_status" })).status, 404);
    let log = gateway.stop().log;
    for event in ["reload by=gateway", "reload_refused by=gateway findings=1"] {
        assert_eq!(log.matches(event).count(), 1, "{event}:\n{log}");
    }
}

#[test]
fn a_repeated_key_repeats_the_answer() {
    let text = config("", "");
    let gateway = Setup::new(&text).start();
    let mut peer = gateway.peer();
    let mut ask = |body: &str| peer.ask(&call(body));
    let body = "{\"tool\":\"time_status\",\"idempotencyKey\":\"k1\"}";
    let first = ask(body);
    assert_eq!(first.status, 200);
    let again = ask(body);
    assert_eq!((again.status, again.text()), (200, first.text()), "time stands still for a repeated key");
    // Whatever keeps time in the answer has moved on by then, for every other key.
    let mut keys = 0..;
    let moved_on = until(SOON, || {
        let body = format!("{{\"tool\":\"time_status\",\"idempotencyKey\":\"other-{}\"}}", keys.next()?);
        (ask(&body).text() != first.text()).then_some(())
    });
    assert!(moved_on.is_some(), "another key gets the same answer");
    assert_eq!(ask(body).text(), first.text());
    let other = ask("{\"tool\":\"time_status\",\"idempotencyKey\":\"k1\",\"args\":{}}");
    assert_eq!((other.status, other.error().0.as_str()), (400, "invalid_request_error"));
    assert_eq!(ask(&format!("{{\"tool\":\"time_status\",\"idempotencyKey\":\"{}\"}}", "k".repeat(257))).status, 400);
    assert_eq!(ask("{\"tool\":\"time_status\",\"idempotencyKey\":7}").status, 200, "no text, no key");
    let refused = "{\"tool\":\"sessions_list\",\"idempotencyKey\":\"k3\"}";
    write(&gateway, &config("", "tools: { deny: [\"sessions_list\", \"time_status\"] }"));
    reload(&gateway, "reload by=SIGHUP");
    assert_eq!((ask(refused).status, ask(body).status), (404, 404), "a replay is no way around the policy");
    write(&gateway, &text);
    reload(&gateway, "reload by=SIGHUP");
    assert_eq!(ask(refused).status, 200, "a refusal is not remembered");
    assert_eq!(ask(body).text(), first.text(), "an answer is, also over a reload");
    let moved = text.replace(TOKEN, "another-token-987654");
    write(&gateway, &moved);
    reload(&gateway, "reload by=SIGHUP");
    let fresh = peer_with(&gateway, "another-token-987654", body);
    assert!(fresh.status == 200 && fresh.text() != first.text(), "another secret is another caller");
    let log = gateway.stop().log;
    assert_eq!(log.matches(" replay tool=time_status").count(), 3, "{log}");
}

fn peer_with(gateway: &Gateway, token: &str, body: &str) -> Answer {
    gateway.peer().ask(&with_token(token, body))
}

#[test]
fn no_secret_is_ever_printed() {
    let secrets = ["text-secret-5151", "file-secret-6262", "env-secret-7373", "wrong-secret-8484", "body-secret-9595"];
    let [text, file, env, wrong, body] = secrets;
    let at = |auth: &str, more: &str| format!("{{ gateway: {{ auth: {{ {auth} }}, {OPEN} }}, {more} }}");
    let gateway = Setup::new(&at("mode: \"token\", token: { env: \"GATE\" }", ""))
        .env("GATE", env)
        .arg("--log-level=debug")
        .start();
    let given = gateway.dir().write("given", 0o600, file);
    let ask = |token: &str, body: &str| peer_with(&gateway, token, body);
    let carried =
        format!("{{\"tool\":\"time_status\",\"args\":{{\"{body}\":\"{body}\"}},\"idempotencyKey\":\"{body}\"}}");
    let shown = ask(env, "{\"tool\":\"gateway\",\"action\":\"config.get\"}");
    assert!(secrets.iter().all(|secret| !shown.text().contains(secret)), "{shown:?}");
    assert_eq!((ask(env, "{\"tool\":\"time_status\"}").status, ask(wrong, "{}").status), (200, 401));
    assert_eq!((ask(env, &carried).status, ask(env, "{\"tool\":\"exec\"}").status), (400, 404));
    write(&gateway, &at(&format!("mode: \"token\", token: {{ file: {given:?} }}"), ""));
    reload(&gateway, "reload by=SIGHUP");
    assert_eq!((ask(file, "{\"tool\":\"time_status\"}").status, ask(env, "{}").status), (200, 401));
    let hidden = format!("models: {{ providers: {{ o: {{ apiKey: \"{wrong}\" }} }} }}");
    write(&gateway, &at(&format!("mode: \"password\", password: \"{text}\""), &hidden));
    reload(&gateway, "reload by=SIGHUP");
    assert_eq!(ask(text, "{\"tool\":\"time_status\"}").status, 200);
    for bad in [
        format!("mode: \"tokn\", token: \"{text}\""),
        format!("token: [\"{text}\"]"),
        format!("token: \"{text}\", password: \"{file}\""),
    ] {
        write(&gateway, &at(&bad, ""));
        reload(&gateway, "reload_refused by=SIGHUP");
    }
    let shown = ask(text, "{\"tool\":\"gateway\",\"action\":\"config.get\"}");
    assert_eq!(shown.status, 200);
    let all = gateway.stop().text();
    for event in ["call tool=time_status", "refuse peer=", "refuse tool=exec", "reload by=", "reload_refused by="] {
        assert!(all.contains(event), "{event}:\n{all}");
    }
    let leaked: Vec<&&str> = secrets.iter().filter(|secret| all.contains(**secret)).collect();
    assert!(leaked.is_empty(), "{leaked:?} in:\n{all}");
}

#[test]
fn a_hangup_while_stopping_cuts_nothing_off() {
    let gateway = Gateway::start();
    let mut peer = gateway.peer();
    let invited = peer.ask(&call_framed("Expect: 100-continue\r\nContent-Length: 22\r\n", b""));
    assert_eq!(invited.status, 100, "{invited:?}");
    gateway.signal(Signal::TERM);
    let closed = until(SOON, || Peer::connect(gateway.addr()).is_err().then_some(()));
    assert!(closed.is_some(), "the listener stays open after SIGTERM");
    gateway.signal(Signal::HUP);
    assert_eq!(peer.ask(b"{\"tool\":\"time_status\"}").status, 200);
    let finished = gateway.wait();
    assert!(finished.code == 0 && !finished.log.contains("reload by="), "{finished:?}");
}

#[test]
fn a_reload_with_a_key_happens_once() {
    let gateway = Setup::new(&config(OPEN, "")).start();
    let mut peer = gateway.peer();
    let body = "{\"tool\":\"gateway\",\"action\":\"restart\",\"idempotencyKey\":\"once\"}";
    assert_eq!((peer.ask(&call(body)).status, peer.ask(&call(body)).status), (200, 200));
    let log = gateway.stop().log;
    assert_eq!(log.matches(" reload by=gateway").count(), 1, "{log}");
}

#[test]
fn a_flood_of_hangups_is_survived() {
    let gateway = Gateway::start();
    for _ in 0..50 {
        gateway.signal(Signal::HUP);
    }
    reload(&gateway, "reload by=SIGHUP");
    assert_eq!(gateway.peer().ask(&call_framed("Content-Length: 2\r\n", b"{}")).status, 400);
    gateway.stop();
}
