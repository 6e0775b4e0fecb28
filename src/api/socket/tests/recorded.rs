//! Clients and sockets as they were recorded, contract golden/ws. Where we differ, the row says why.

use super::*;
use crate::tool::Now;

const EDGE: &str = include_str!("../../../../tests/data/golden-ws/edge.jsonl");

/// The recorded answer to that case: error, close, scopes and calls, whatever it has.
fn golden(name: &str) -> Value {
    let rows = EDGE.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    rows.into_iter().find(|row| row["name"] == json!(name)).expect("a recorded case")
}

/// Asserts that `connect` with these changes ends as recorded.
fn check(name: &str, changes: &[(&str, Value)]) {
    check_params(name, params(changes));
}

fn check_params(name: &str, params: Value) {
    let (frame, closed) = Rig::new(Mode::Token).ask("connect", params);
    compare(name, &frame, closed);
}

fn compare(name: &str, frame: &Value, closed: Option<(u16, String)>) {
    let golden = golden(name);
    assert_eq!(frame.get("error"), golden.get("error"), "{name}");
    let expected = golden.get("close").map(|close| (close["code"].clone(), close["reason"].clone()));
    assert_eq!(closed.map(|(code, reason)| (json!(code), json!(reason))), expected, "{name}");
    if let Some(auth) = golden.get("auth") {
        assert_eq!(&frame["payload"]["auth"], auth, "{name}");
    }
}

#[test]
fn first_messages() {
    let check = |name: &str, message: &str| {
        let (frame, closed) = answer(Rig::new(Mode::Token).hear(message));
        compare(name, &frame, closed);
    };
    check("first not connect", r#"{"type":"req","id":"h1","method":"health"}"#);
    check("first is event", r#"{"type":"event","event":"x"}"#);
    check("malformed json preauth", "{bad");
    check("preauth json array", "[]");
    check("preauth json string", "\"x\"");
    check("preauth json empty", "");
    check("req without id", r#"{"type":"req","method":"connect","params":{}}"#);
}

#[test]
fn schemas() {
    check_params("schema params null", Value::Null);
    check("schema client.id ios-node (docs example)", &[("/client/id", json!("ios-node"))]);
    check("schema empty version", &[("/client/version", json!(""))]);
    check("schema no platform", &[("/client/platform", Value::Null)]);
    check("schema caps not array", &[("/caps", json!("x"))]);
    check("schema scopes non-string", &[("/scopes", json!([1]))]);
    check("schema min protocol string", &[("/minProtocol", json!("3"))]);
    let mut null = params(&[]);
    null["auth"] = Value::Null;
    check_params("schema auth null", null);
    check("role admin", &[("/role", json!("admin"))]);
    check("no role no scopes", &[("/role", Value::Null), ("/scopes", Value::Null), ("/caps", Value::Null)]);
    let device = json!({"id": "x", "publicKey": "x", "signature": "x", "signedAt": 1, "nonce": ""});
    check("device nonce empty", &[("/device", device)]);
    // Difference on purpose: unknown keys are ignored. Contract ws.md §2.2.
    let (frame, _) = Rig::new(Mode::Token).ask("connect", params(&[("/foo", json!(1))]));
    assert_eq!(
        (frame["ok"].clone(), golden("schema extra param")["close"]["code"].clone()),
        (json!(true), json!(1008))
    );
}

#[test]
fn secrets() {
    let client = |id: &str, mode: &str| [("/client/id", json!(id)), ("/client/mode", json!(mode))];
    let auth = |auth: Value| ("/auth", auth);
    let [id, mode] = client("cli", "cli");
    check("wrong token cli", &[id.clone(), mode.clone(), auth(json!({"token": "wrong"}))]);
    check("device token no device", &[id, mode, auth(json!({"token": "a-device-token"}))]);
    check("token trimmed", &[auth(json!({"token": format!(" {TOKEN} ")}))]);
    check("device token bad explicit", &[auth(json!({"deviceToken": "wrong"}))]);
    check("bootstrap bad", &[auth(json!({"bootstrapToken": "wrong"}))]);
    // Difference on purpose: what is missing is the secret; a device would not help. Contract ws.md §8 item 2.
    let (frame, _) = Rig::new(Mode::Token).ask("connect", params(&[auth(json!({"token": ""}))]));
    assert_eq!(frame["error"]["details"]["code"], json!("AUTH_TOKEN_MISSING"));
    assert_eq!(golden("empty token")["error"]["details"]["code"], json!("DEVICE_IDENTITY_REQUIRED"));
    // The same for user interfaces, and with the right secret they need none. Contract ws.md §8 item 2.
    let [id, mode] = client("openclaw-tui", "ui");
    let wrong = params(&[id.clone(), mode.clone(), auth(json!({"token": "wrong"}))]);
    let (frame, _) = Rig::new(Mode::Token).ask("connect", wrong);
    assert_eq!(frame["error"]["details"]["code"], json!("AUTH_TOKEN_MISMATCH"));
    assert_eq!(Rig::new(Mode::Token).enter(params(&[id, mode]))["auth"]["scopes"], json!(["operator.read"]));
    for name in ["wrong token tui", "control-ui no device"] {
        assert_eq!(golden(name)["error"]["details"]["code"], json!("CONTROL_UI_DEVICE_IDENTITY_REQUIRED"), "{name}");
    }
}

#[test]
fn protocols() {
    let version = |min: u8, max: u8| params(&[("/minProtocol", json!(min)), ("/maxProtocol", json!(max))]);
    // The details are those of both versions, so they hold what is recorded. Contract ws.md §2.3.
    let (frame, closed) = Rig::new(Mode::Token).ask("connect", version(1, 2));
    let expected = golden("protocol 1..2");
    assert_eq!(frame["error"]["details"]["expectedProtocol"], expected["error"]["details"]["expectedProtocol"]);
    assert_eq!(frame["error"]["message"], expected["error"]["message"]);
    assert_eq!(closed.map(|(code, _)| json!(code)), Some(expected["close"]["code"].clone()));
    // Difference on purpose: 4 is spoken too. Contract ws.md §8 item 1.
    assert_eq!(Rig::new(Mode::Token).enter(version(3, 4))["protocol"], json!(4));
    check("protocol 3..4", &[]);
}

#[test]
fn members() {
    let mut rig = Rig::new(Mode::Token);
    let (frame, closed) = rig.ask("connect", params(&[]));
    compare("token ok backend no device", &frame, closed);
    for (method, expected) in golden("token ok backend no device")["calls"].as_object().expect("calls") {
        let (frame, _) = rig.ask(method, json!({}));
        let got = if expected["ok"] == json!(true) { json!({"ok": frame["ok"]}) } else { frame["error"].clone() };
        assert_eq!(&got, expected, "{method}");
    }
    let (frame, closed) = rig.ask("connect", params(&[]));
    compare("second connect", &frame, closed);
    for _ in 0..12 {
        let (frame, closed) = rig.ask("config.set", json!({}));
        compare("missing scope x12", &frame, closed);
    }
}

/// A recorded session: what its client said, and the answers by their ids.
struct Tape {
    said: Vec<Value>,
    answers: Vec<Value>,
    rig: Rig,
}

/// Plays a session up to its `connect`, `late_ms` after it was recorded. The challenge is the recorded one.
fn play(tape: &str, late_ms: u64) -> Tape {
    let rows: Vec<Value> = tape.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let frames = |way: &str| {
        let of = |row: &&Value| row["kind"] == json!("frame") && row["dir"] == json!(way);
        rows.iter().filter(of).map(|row| row["data"].clone()).collect::<Vec<_>>()
    };
    let (said, answers) = (frames("c2s"), frames("s2c"));
    let challenge = &answers[0]["payload"];
    let nonce = challenge["nonce"].as_str().expect("a nonce").replace('-', "");
    let nonce = u128::from_str_radix(&nonce, 16).expect("a UUID").to_be_bytes();
    let mut rig = Rig::new(Mode::Token);
    let ts = challenge["ts"].as_u64().expect("a time");
    rig.world.now.set(Now { wall_ms: (ts + late_ms) as i64, boot_ms: 0 });
    rig.talk = Talk::new(claims(&rig.world.gate, "127.0.0.1", "").expect("claims"), nonce, [0; 16]);
    assert_eq!(serde_json::from_str::<Value>(&rig.talk.challenge(ts)).expect("JSON"), answers[0]);
    Tape { said, answers, rig }
}

#[test]
fn a_command_with_a_device_signs_what_we_verify() {
    const TAPE: &str = include_str!("../../../../tests/data/golden-ws/health.jsonl");
    let check = |late_ms: u64, change: &dyn Fn(&mut Value), expected: Option<[&str; 3]>| {
        let mut tape = play(TAPE, late_ms);
        let mut connect = tape.said[0].clone();
        change(&mut connect["params"]);
        let (frame, closed) = answer(tape.rig.hear(&connect.to_string()));
        match expected {
            None => {
                assert_eq!(frame["payload"]["auth"]["scopes"], json!(["operator.read"]), "{frame}");
                let (frame, _) = answer(tape.rig.hear(&tape.said[1].to_string()));
                assert_eq!((&frame["id"], &frame["ok"]), (&tape.said[1]["id"], &json!(true)));
            }
            Some([message, code, reason]) => {
                let details = json!({"code": code, "reason": reason});
                let error = json!({"code": "INVALID_REQUEST", "message": message, "details": details});
                assert_eq!((&frame["error"], closed), (&error, Some((1008, message.to_owned()))));
            }
        }
    };
    let as_is = |_: &mut Value| {};
    check(0, &as_is, None);
    check(118_000, &as_is, None);
    let stale = ["device signature expired", "DEVICE_AUTH_SIGNATURE_EXPIRED", "device-signature-stale"];
    check(121_000, &as_is, Some(stale));
    let invalid = ["device signature invalid", "DEVICE_AUTH_SIGNATURE_INVALID", "device-signature"];
    check(0, &|p| p["scopes"] = json!(["operator.admin"]), Some(invalid));
    check(0, &|p| p["client"]["platform"] = json!("darwin"), Some(invalid));
    check(0, &|p| p["auth"]["token"] = json!(format!("{TOKEN} ")), Some(invalid));
    check(0, &|p| p["device"]["signedAt"] = json!(1_795_319_961_101_u64), Some(invalid));
    check(0, &|p| p["client"]["platform"] = json!(" LINUX "), None);
    let mismatch = ["device identity mismatch", "DEVICE_AUTH_DEVICE_ID_MISMATCH", "device-id-mismatch"];
    let upper = |p: &mut Value| {
        let id = p["device"]["id"].as_str().expect("an id").to_ascii_uppercase();
        p["device"]["id"] = json!(id);
    };
    check(0, &upper, Some(mismatch));
    let nonce = ["device nonce mismatch", "DEVICE_AUTH_NONCE_MISMATCH", "device-nonce-mismatch"];
    check(0, &|p| p["device"]["nonce"] = json!("1fdffcce"), Some(nonce));
    let missing = ["device nonce required", "DEVICE_AUTH_NONCE_REQUIRED", "device-nonce-missing"];
    check(0, &|p| p["device"]["nonce"] = json!("  "), Some(missing));
    let key = ["device public key invalid", "DEVICE_AUTH_PUBLIC_KEY_INVALID", "device-public-key"];
    check(0, &|p| p["device"]["publicKey"] = json!("?"), Some(key));
    // Replayed on another socket, whose challenge is another.
    let tape = play(TAPE, 0);
    let (frame, _) = answer(Rig::new(Mode::Token).hear(&tape.said[0].to_string()));
    assert_eq!(frame["error"]["details"]["code"], json!("DEVICE_AUTH_NONCE_MISMATCH"));
}

#[test]
fn a_clock_that_nobody_keeps_refuses_no_device() {
    const TAPE: &str = include_str!("../../../../tests/data/golden-ws/health.jsonl");
    let hear = |synchronized: Option<bool>, wall_ms: i64| {
        let mut tape = play(TAPE, 0);
        tape.rig.world.synchronized = synchronized;
        tape.rig.world.now.set(Now { wall_ms, boot_ms: 0 });
        answer(tape.rig.hear(&tape.said[0].to_string())).0
    };
    let signed = i64::try_from(NOW).expect("a time");
    for wall_ms in [0, signed - 3_600_000, signed + 56 * 31_556_952_000, i64::MAX] {
        for unkept in [Some(false), None] {
            assert_eq!(hear(unkept, wall_ms)["ok"], json!(true), "{unkept:?} {wall_ms}");
        }
        let stale = json!("DEVICE_AUTH_SIGNATURE_EXPIRED");
        assert_eq!(hear(Some(true), wall_ms)["error"]["details"]["code"], stale, "{wall_ms}");
    }
}

#[test]
fn a_wrong_token_with_a_device() {
    let mut tape = play(include_str!("../../../../tests/data/golden-ws/bad-token.jsonl"), 0);
    let (frame, closed) = answer(tape.rig.hear(&tape.said[0].to_string()));
    assert_eq!(frame, tape.answers[1]);
    assert_eq!(closed.map(|(code, _)| code), Some(1008));
}

#[test]
fn a_newer_command_is_served() {
    // Difference on purpose: the reference of that time refused it. Contract ws.md §8 item 1.
    let mut tape = play(include_str!("../../../../tests/data/golden-ws/health-9.6.jsonl"), 0);
    let (frame, closed) = answer(tape.rig.hear(&tape.said[0].to_string()));
    assert_eq!((&frame["payload"]["protocol"], closed), (&json!(4), None));
    assert_eq!(frame["payload"]["auth"]["scopes"], json!(["operator.read"]), "scopes are kept without a device");
    assert_eq!(tape.answers[1]["error"]["message"], json!("protocol mismatch"));
}

#[test]
fn a_node_is_let_in_and_answered() {
    const TAPE: &str = include_str!("../../../../tests/data/golden-ws/node.jsonl");
    let mut tape = play(TAPE, 0);
    let (frame, _) = answer(tape.rig.hear(&tape.said[0].to_string()));
    assert_eq!(frame["payload"]["auth"], json!({"role": "node", "scopes": []}));
    let node = tape.said[0]["params"]["device"]["id"].as_str().expect("an id").to_owned();
    for said in &tape.said[1..] {
        let (frame, _) = answer(tape.rig.hear(&said.to_string()));
        let recorded = tape.answers.iter().find(|answer| answer["id"] == said["id"]).expect("an answer");
        assert_eq!((&frame["ok"], &frame["payload"]["ok"]), (&recorded["ok"], &recorded["payload"]["ok"]), "{said}");
    }
    let rig = &mut tape.rig;
    let payload = |rig: &mut Rig, method: &str, params: Value| rig.ask(method, params).0["payload"].clone();
    assert_eq!(payload(rig, "node.pending.pull", json!({})), json!({"nodeId": node, "actions": []}));
    let drained = json!({"nodeId": node, "revision": 0, "items": [], "hasMore": false});
    assert_eq!(payload(rig, "node.pending.drain", json!({"maxItems": 3})), drained);
    let acked = json!({"nodeId": node, "ackedIds": [], "remainingCount": 0});
    assert_eq!(payload(rig, "node.pending.ack", json!({"ids": ["a"]})), acked);
    assert_eq!(payload(rig, "skills.bins", json!({})), json!({"bins": []}));
    assert_eq!(
        payload(rig, "node.invoke.result", json!({"id": "a", "nodeId": "b", "ok": true}))["ignored"],
        json!(true)
    );
    let error = |rig: &mut Rig, method: &str| rig.ask(method, json!({})).0["error"]["message"].clone();
    assert_eq!(error(rig, "node.event"), json!("invalid node.event params: must have required property 'event'"));
    for method in ["status", "tools.invoke", "no.such", "node.invoke", "node.list", "node.pair.approve"] {
        assert_eq!(error(rig, method), json!("unauthorized role: node"), "{method}");
    }
    // What a newer node tells right after its hello. Contract ws.md §7.
    for method in ["node.runnerInventory.update", "node.skills.update", "node.pluginTools.update"].repeat(9) {
        assert_eq!(error(rig, method), json!(format!("unknown method: {method}")));
    }
    assert_eq!(rig.ask("health", json!({})).0["ok"], json!(true));
    assert_eq!(rig.talk.entry().expect("an entry").key(), node);
}
