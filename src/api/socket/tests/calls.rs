use super::*;
use crate::api::Fault;
use crate::tool::Outcome;

fn member(scopes: Value) -> Rig {
    let mut rig = Rig::new(Mode::Token);
    rig.enter(params(&[("/scopes", scopes)]));
    rig
}

/// The error's text of a call by a member with these scopes; the socket stays open.
fn check(rig: &mut Rig, method: &str, expected: &str) {
    let (frame, closed) = rig.ask(method, json!({}));
    assert_eq!((&frame["error"]["message"], closed), (&json!(expected), None), "{method}: {frame}");
}

#[test]
fn messages_before_connect() {
    let check = |message: &str, said: Option<&str>, code: u16, reason: &str| {
        let (frame, closed) = answer(Rig::new(Mode::Token).hear(message));
        assert_eq!(frame["error"]["message"].as_str(), said, "{message:.60}");
        assert_eq!(closed, Some((code, reason.to_owned())), "{message:.60}");
    };
    for noise in ["", "{bad", "[[[", "{\"type\":\"req\"}}"] {
        check(noise, None, 1000, "");
    }
    for other in ["[]", "\"x\"", "null", r#"{"type":"event","event":"x"}"#, r#"{"type":"req","method":"connect"}"#] {
        check(other, None, 1008, "invalid request frame");
    }
    let deep = format!("{}{}", "[".repeat(32 * 1024), "]".repeat(32 * 1024));
    check(&deep, None, 1008, "invalid request frame");
    let text = "invalid handshake: first request must be connect";
    check(r#"{"type":"req","id":"h1","method":"health"}"#, Some(text), 1008, text);
    check(r#"{"type":"req","id":"h1","method":"Connect"}"#, Some(text), 1008, text);
    let text = "invalid connect params: must be object";
    for bare in ["", r#","params":null"#, r#","params":[]"#, r#","params":"x""#] {
        check(&format!(r#"{{"type":"req","id":"c1","method":"connect"{bare}}}"#), Some(text), 1008, text);
    }
}

#[test]
fn messages_after_connect() {
    let mut rig = member(json!(["operator.read"]));
    for noise in ["", "{bad", "[", "\u{1}"] {
        assert!(matches!(rig.hear(noise), Act::Silent), "{noise:?}");
    }
    let check = |rig: &mut Rig, message: &str, id: Value, text: &str| {
        let (frame, closed) = answer(rig.hear(message));
        assert_eq!((&frame["id"], &frame["error"]["message"]), (&id, &json!(text)), "{message:.60}");
        assert_eq!(closed, None);
    };
    check(&mut rig, "[]", json!("invalid"), "invalid request frame: must be object");
    let text = "invalid request frame: at /id: must be string";
    for id in [json!(5), json!({"a": [null]}), json!(false)] {
        check(&mut rig, &json!({"type": "req", "id": id, "method": "health"}).to_string(), id, text);
    }
    let long = json!({"type": "req", "id": "x".repeat(1 << 20), "method": "health"}).to_string();
    let text = "invalid request frame: at /id: must NOT have more than 256 characters";
    check(&mut rig, &long, json!("invalid"), text);
    let text = "invalid request frame: must have required property 'method'";
    check(&mut rig, r#"{"type":"req","id":"a"}"#, json!("a"), text);
    let text = "invalid request frame: nested deeper than 64 levels";
    let deep = format!(r#"{{"id":"a","x":{}{}}}"#, "[".repeat(64), "]".repeat(64));
    check(&mut rig, &deep, json!("a"), text);
    // The same id twice gets two answers; duplicate keys count by the last.
    for _ in 0..2 {
        let (frame, _) = answer(rig.hear(r#"{"type":"x","type":"req","id":"a","method":"no","method":"health"}"#));
        assert_eq!((&frame["id"], &frame["ok"]), (&json!("a"), &json!(true)));
    }
}

#[test]
fn connect_comes_once() {
    let mut rig = member(json!([]));
    check(&mut rig, "connect", "connect is only valid as the first request");
    let (frame, _) = rig.ask("health", Value::Null);
    assert_eq!(frame["ok"], json!(true));
}

#[test]
fn what_comes_with_connect_in_one_burst_is_heard() {
    // Difference on purpose: the reference closes. Contract ws.md §2.1, §8 item 7.
    let mut rig = member(json!(["operator.read"]));
    for method in ["health", "status"] {
        assert_eq!(rig.ask(method, json!({})).0["ok"], json!(true), "{method}");
    }
}

#[test]
fn scopes_come_before_existence() {
    let mut rig = member(json!(["operator.read"]));
    check(&mut rig, "no.such", "missing scope: operator.admin");
    check(&mut rig, "system-event", "missing scope: operator.admin");
    check(&mut rig, "tools.invoke", "missing scope: operator.write");
    check(&mut rig, "device.pair.approve", "missing scope: operator.pairing");
    check(&mut rig, "cron.run", "missing scope: operator.admin");
    check(&mut rig, "cron.get", "unknown method: cron.get");
    check(&mut rig, "skills.search", "unknown method: skills.search");
    for method in ["agent", "chat.send", "node.invoke", "sessions.send", "wake"] {
        check(&mut rig, method, "missing scope: operator.write");
    }
    let mut rig = member(json!(["operator.write"]));
    check(&mut rig, "wake", "unknown method: wake");
    check(&mut rig, "wake.up", "missing scope: operator.admin");
    check(&mut rig, "agents.create", "missing scope: operator.admin");
    let mut rig = member(json!(["operator.admin"]));
    check(&mut rig, "no.such", "unknown method: no.such");
    check(&mut rig, "config.set", "unknown method: config.set");
    check(&mut rig, "Health", "unknown method: Health");
    let (frame, _) = rig.ask(&"x".repeat(4000), json!({}));
    assert!(frame["error"]["message"].as_str().is_some_and(|text| text.len() < 200));
    let mut rig = member(json!([]));
    check(&mut rig, "status", "missing scope: operator.read");
    assert_eq!(rig.ask("health", json!({})).0["ok"], json!(true));
}

#[test]
fn each_protocol_has_its_dialect() {
    let error = |protocol: u64| {
        let mut rig = Rig::new(Mode::Token);
        let changes = [("/minProtocol", json!(protocol)), ("/maxProtocol", json!(protocol))];
        assert_eq!(rig.enter(params(&changes))["protocol"], json!(protocol));
        rig.ask("tools.invoke", json!({})).0["error"].clone()
    };
    let message = "missing scope: operator.write";
    assert_eq!(error(3), json!({"code": "INVALID_REQUEST", "message": message}));
    let scope = "operator.write";
    let details = json!({"code": "MISSING_SCOPE", "missingScope": scope, "requiredScopes": [scope]});
    assert_eq!(error(4), json!({"code": "FORBIDDEN", "message": message, "details": details}));
}

#[test]
fn eleven_calls_of_the_other_role_end_the_talk() {
    let mut rig = member(json!(["operator.admin"]));
    let text = "unauthorized role: operator";
    for _ in 0..10 {
        check(&mut rig, "node.event", text);
    }
    // Any other request begins the count anew; what is no request does not.
    assert_eq!(rig.ask("health", json!({})).0["ok"], json!(true));
    for method in ["node.event", "node.invoke.result", "node.pending.ack", "node.pending.drain", "node.pending.pull"] {
        check(&mut rig, method, text);
        check(&mut rig, "skills.bins", text);
        assert!(matches!(rig.hear("noise"), Act::Silent));
    }
    let (frame, closed) = rig.ask("node.event", json!({}));
    assert_eq!(frame["error"]["message"], json!(text));
    assert_eq!(closed, Some((1008, "repeated unauthorized calls".into())));
    // Missing scopes never do.
    let mut rig = member(json!([]));
    for _ in 0..30 {
        check(&mut rig, "status", "missing scope: operator.read");
    }
}

/// What `tools.invoke` says: its payload, or the text of its error.
fn invoke(rig: &mut Rig, params: Value, expected: Result<Value, &str>) {
    let (frame, closed) = rig.ask("tools.invoke", params.clone());
    assert_eq!(closed, None);
    match expected {
        Ok(payload) => assert_eq!(frame["payload"], payload, "{params}"),
        Err(text) => assert_eq!(frame["error"]["message"], json!(text), "{params}"),
    }
}

#[test]
fn tools_are_invoked_by_the_road_of_http() {
    let mut rules = rules(Mode::Token);
    rules.policy.http_deny = vec!["device_status".into()];
    let mut rig = Rig::from(rules, "127.0.0.1", "");
    rig.enter(params(&[("/scopes", json!(["operator.write"]))]));
    let wrong = |text: &str| format!("invalid tools.invoke params: {text}");
    invoke(&mut rig, json!({}), Err(&wrong("must have required property 'name'")));
    invoke(&mut rig, json!({"name": ""}), Err(&wrong("at /name: must NOT have fewer than 1 characters")));
    invoke(&mut rig, json!({"name": "a", "tool": "b"}), Err(&wrong("at root: unexpected property 'tool'")));
    invoke(&mut rig, json!({"name": "a", "args": []}), Err(&wrong("at /args: must be object")));
    invoke(&mut rig, json!({"name": "a", "confirm": 1}), Err(&wrong("at /confirm: must be boolean")));
    let long = json!({"name": "a", "idempotencyKey": "k".repeat(257)});
    invoke(&mut rig, long, Err(&wrong("at /idempotencyKey: must NOT have more than 256 characters")));
    let failed = |tool: &str, code: &str, message: &str| {
        Ok(json!({"ok": false, "toolName": tool, "error": {"code": code, "message": message}}))
    };
    // Refused, or not there: the caller cannot tell which.
    for name in ["device_status", "no_such_tool", "exec", "TIME_STATUS"] {
        let text = format!("Tool not available: {name}");
        invoke(&mut rig, json!({"name": name}), failed(name, "not_found", &text));
    }
    let owner_only = tool::TOOLS.iter().find(|tool| tool.owner_only).expect("a tool for owners").name;
    let text = format!("Tool not available: {owner_only}");
    invoke(&mut rig, json!({"name": owner_only}), failed(owner_only, "not_found", &text));
    let conflict = json!({"name": "time_status", "sessionKey": "agent:a:x", "agentId": "b"});
    let text = "agent \"b\" does not match session key agent \"a\"";
    invoke(&mut rig, conflict, failed("time_status", "validation_error", text));
    let (frame, _) = rig.ask("tools.invoke", json!({"name": "time_status", "args": {"junk": 1}}));
    assert_eq!(frame["payload"]["error"]["code"], json!("validation_error"), "{frame}");
    for key in ["idempotencyKey", "sessionKey"] {
        let mut long = json!({"name": "time_status"});
        long[key] = json!("ä".repeat(if key == "sessionKey" { 300 } else { 200 }));
        let text = format!("{key} is too long");
        invoke(&mut rig, long, failed("time_status", "validation_error", &text));
    }
    let name = "x".repeat(4000);
    let (frame, _) = rig.ask("tools.invoke", json!({"name": name}));
    assert!(frame.to_string().len() < 1000, "an answer does not grow with the request");
    let refused =
        rig.hear(&json!({"type": "req", "id": "r", "method": "tools.invoke", "params": {"name": "exec"}}).to_string());
    let Act::Refuse { note, .. } = refused else { panic!("{refused:?}") };
    assert_eq!((note.reason.is_some(), note.tool.as_deref()), (true, Some("exec")));
}

#[test]
fn a_call_is_ordered_with_its_session_and_its_name() {
    let mut rig = member(json!(["operator.write"]));
    let mut call = |id: &str, params: Value| {
        let message = json!({"type": "req", "id": id, "method": "tools.invoke", "params": params}).to_string();
        match rig.hear(&message) {
            Act::Call { id, permit, name, .. } => {
                (id.into_string(), permit.tool().to_owned(), permit.session().key.clone(), permit.owner(), name)
            }
            act => panic!("{act:?}"),
        }
    };
    let plain = call("7\"", json!({"name": " time_status "}));
    assert_eq!(plain, ("\"7\\\"\"".into(), "time_status".into(), "agent:main:main".into(), false, None));
    let named = |session: &str| {
        json!({"name": "time_status", "args": {}, "sessionKey": session, "confirm": true, "idempotencyKey": "k",
               "conversationReadOrigin": "direct-operator"})
    };
    let first = call("1", named("cron:7"));
    assert_eq!((first.2.as_str(), first.4.is_some()), ("cron:7", true));
    assert_eq!(call("2", named("cron:7")).4, first.4, "the frame's id is no part of the name");
    assert_ne!(call("3", named("cron:8")).4, first.4);
    let mut other = Rig::new(Mode::Token);
    other.enter(params(&[("/scopes", json!(["operator.admin"]))]));
    let message = json!({"type": "req", "id": "1", "method": "tools.invoke", "params": named("cron:7")}).to_string();
    let Act::Call { name, permit, .. } = other.hear(&message) else { panic!("a call") };
    assert!(permit.owner());
    assert_ne!(name, first.4, "the owner is another caller");
}

#[test]
fn what_a_tool_said_is_told() {
    let check = |outcome: Result<Outcome, Fault>, expected: Value| {
        let shown = format!("{outcome:?}");
        let (frame, _) = answer(Act::Say(told("\"r\"", "t", outcome)));
        assert_eq!(frame["id"], json!("r"));
        let got = if frame["ok"] == json!(true) { &frame["payload"] } else { &frame["error"] };
        assert_eq!(got, &expected, "{shown}");
    };
    let output = json!({"content": [{"type": "text", "text": "{\n  \"a\": 1\n}"}], "details": {"a": 1}});
    let done = |output: Value| json!({"ok": true, "toolName": "t", "source": "core", "output": output});
    check(Ok(Outcome::Done { details: "{\"a\":1}".into(), text: None }), done(output));
    let output = json!({"content": [{"type": "text", "text": "card \"ä\""}], "details": null});
    check(Ok(Outcome::Done { details: "null".into(), text: Some("card \"ä\"".into()) }), done(output));
    let failed =
        |code: &str, message: &str| json!({"ok": false, "toolName": "t", "error": {"code": code, "message": message}});
    check(Ok(Outcome::Failed("/etc/passwd".into())), failed("internal_error", "tool execution failed"));
    check(Ok(Outcome::Input("action required".into())), failed("validation_error", "action required"));
    let reused = "idempotencyKey was used before with other params";
    check(Err(Fault::IdempotencyKeyReused), failed("validation_error", reused));
    let busy =
        |message: &str| json!({"code": "UNAVAILABLE", "message": message, "retryable": true, "retryAfterMs": 1000});
    check(Err(Fault::ToolBusy("".into(), 1)), busy("Too many tools are running. Please try again."));
    check(Err(Fault::ToolBusy("wake".into(), 1)), busy("wake is busy. Please try again."));
    check(Err(Fault::CallInProgress), busy("a call with this idempotencyKey is still running"));
    check(Err(Fault::AnswersFull), busy("too many answers are waiting to be read"));
    check(Err(Fault::Stopping), busy("the gateway is stopping"));
}
