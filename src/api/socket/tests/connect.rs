use super::*;
use crate::gate::rate::Rule;

/// What `connect` with these changes says: the error's text on failure, the scopes held on success.
fn check(rig: &mut Rig, changes: &[(&str, Value)], expected: Result<&[&str], &str>) {
    let params = params(changes);
    let (frame, closed) = rig.ask("connect", params.clone());
    match expected {
        Ok(scopes) => {
            assert_eq!((&frame["payload"]["auth"]["scopes"], closed), (&json!(scopes), None), "{params} {frame}");
        }
        Err(message) => {
            assert_eq!(frame["error"]["message"], json!(message), "{params} {frame}");
            let code = if message == "protocol mismatch" { 1002 } else { 1008 };
            assert_eq!(closed, Some((code, message.to_owned())), "{params}");
        }
    }
}

fn token(changes: &[(&str, Value)], expected: Result<&[&str], &str>) {
    check(&mut Rig::new(Mode::Token), changes, expected);
}

#[test]
fn the_challenge_is_a_uuid_and_a_time() {
    let rig = Rig::new(Mode::Token);
    let mut talk = Talk::new(claims(&rig.world.gate, "127.0.0.1", "").expect("claims"), [0xff; 16], [0; 16]);
    let frame = talk.challenge(5);
    let nonce = "ffffffff-ffff-4fff-bfff-ffffffffffff";
    let expected = format!(r#"{{"type":"event","event":"connect.challenge","payload":{{"nonce":"{nonce}","ts":5}}}}"#);
    assert_eq!(frame, expected);
}

#[test]
fn protocols_meet_or_do_not() {
    let check = |min: Value, max: Value, expected: Result<u64, u64>| {
        let mut rig = Rig::new(Mode::Token);
        let (frame, closed) =
            rig.ask("connect", params(&[("/minProtocol", min.clone()), ("/maxProtocol", max.clone())]));
        match expected {
            Ok(protocol) => assert_eq!(frame["payload"]["protocol"], json!(protocol), "{min}..{max}"),
            Err(expected) => {
                let details = json!({
                    "code": "PROTOCOL_MISMATCH", "clientMinProtocol": min, "clientMaxProtocol": max,
                    "expectedProtocol": expected, "minimumProbeProtocol": 3,
                });
                assert_eq!(frame["error"]["details"], details);
                assert_eq!(closed, Some((1002, "protocol mismatch".into())));
            }
        }
    };
    for (min, max, expected) in
        [(3, 3, Ok(3)), (3, 4, Ok(4)), (4, 4, Ok(4)), (1, 3, Ok(3)), (1, 99, Ok(4)), (4, 9, Ok(4))]
    {
        check(json!(min), json!(max), expected);
    }
    check(json!(1), json!(2), Err(3));
    check(json!(4), json!(3), Err(3));
    check(json!(5), json!(9), Err(4));
    check(json!(5), json!(4), Err(4));
    check(json!(i64::MAX), json!(i64::MAX), Err(4));
}

#[test]
fn parameters_that_do_not_fit() {
    let invalid = |changes: &[(&str, Value)], expected: &str| {
        token(changes, Err(&format!("invalid connect params: {expected}")));
    };
    let text = |at: &str| format!("at {at}: must be string");
    for at in ["/client/version", "/client/platform", "/client/displayName", "/client/deviceFamily"] {
        invalid(&[(at, json!(7))], &text(at));
        invalid(&[(at, json!(""))], &format!("at {at}: must NOT have fewer than 1 characters"));
    }
    for at in ["/client/modelIdentifier", "/client/instanceId", "/client/buildId", "/client/timeZone", "/role"] {
        invalid(&[(at, json!([]))], &text(at));
    }
    for at in ["/pathEnv", "/locale", "/userAgent", "/auth/token", "/auth/password", "/auth/deviceToken"] {
        invalid(&[(at, json!({}))], &text(at));
    }
    for at in ["/auth/bootstrapToken", "/auth/approvalRuntimeToken", "/auth/agentRuntimeIdentityToken"] {
        invalid(&[(at, json!(true))], &text(at));
    }
    for at in ["/client", "/auth", "/device", "/permissions", "/modelCatalog", "/computerUse", "/workerRuns"] {
        invalid(&[(at, json!("x"))], &format!("at {at}: must be object"));
    }
    for at in ["/caps", "/commands", "/scopes"] {
        invalid(&[(at, json!("x"))], &format!("at {at}: must be array"));
        invalid(&[(at, json!(["a", 1]))], &format!("at {at}/1: must be string"));
        invalid(&[(at, json!([""]))], &format!("at {at}/0: must NOT have fewer than 1 characters"));
        invalid(&[(at, json!(vec!["a"; 129]))], &format!("at {at}: must NOT have more than 128 items"));
    }
    for at in ["/minProtocol", "/maxProtocol"] {
        invalid(&[(at, json!(1.5))], &format!("at {at}: must be integer"));
        invalid(&[(at, json!(0))], &format!("at {at}: must be >= 1"));
        invalid(&[(at, Value::Null)], &format!("must have required property '{}'", &at[1..]));
    }
    let word = "must be equal to one of the allowed values";
    for word_at in ["/client/id", "/client/mode"] {
        for bad in [json!("operator"), json!("CLI"), json!(1)] {
            invalid(&[(word_at, bad)], &format!("at {word_at}: {word}"));
        }
    }
    invalid(&[("/client/buildId", json!("x".repeat(97)))], "at /client/buildId: must NOT have more than 96 characters");
    invalid(&[("/device", json!({}))], &{
        let missing = |name| format!("at /device: must have required property '{name}'");
        ["id", "publicKey", "signature", "signedAt", "nonce"].map(missing).join("; ")
    });
    invalid(&[("/scopes", json!(vec!["operator.made.up.scope"; 100]))], "at /scopes: must NOT have so many characters");
    let both = "at /client: must have required property 'version'; at /caps: must be array";
    invalid(&[("/client/version", Value::Null), ("/caps", json!(1))], both);
}

#[test]
fn parameters_of_every_client_fit() {
    let ids =
        ["openclaw-browser-copilot", "openclaw-linux", "openclaw-watchos", "openclaw-worker", "fingerprint", "test"];
    for id in ids {
        token(&[("/client/id", json!(id))], Ok(&["operator.read"]));
    }
    for mode in ["cli", "ui", "backend", "node", "probe", "test", "worker"] {
        token(&[("/client/mode", json!(mode))], Ok(&["operator.read"]));
    }
    // Difference on purpose, contract ws.md §2.2: unknown keys are ignored at every level.
    token(&[("/new", json!([1])), ("/client/new", json!(1)), ("/auth/new", json!({}))], Ok(&["operator.read"]));
    token(&[("/role", Value::Null), ("/scopes", Value::Null), ("/caps", Value::Null)], Ok(&[]));
    token(
        &[("/permissions", json!({"screen": true})), ("/pathEnv", json!("/bin:".repeat(2000)))],
        Ok(&["operator.read"]),
    );
    let everything = ["operator.admin", "operator.read", "made.up"];
    token(&[("/scopes", json!(everything))], Ok(&everything));
}

#[test]
fn roles() {
    token(&[("/role", json!("admin"))], Err("invalid role"));
    token(&[("/role", json!("Operator"))], Err("invalid role"));
    token(&[("/role", json!("node"))], Err("device identity required"));
    let (frame, _) = Rig::new(Mode::Token).ask("connect", params(&[("/role", json!("node"))]));
    let details = json!({"code": "DEVICE_IDENTITY_REQUIRED"});
    assert_eq!((&frame["error"]["code"], &frame["error"]["details"]), (&json!("NOT_PAIRED"), &details));
}

/// The error of a `connect`: detail code, reason, next step, whether to retry, and the text behind `unauthorized`.
fn denied(rig: &mut Rig, changes: &[(&str, Value)], expected: [&str; 4], retry: bool) {
    let (frame, closed) = rig.ask("connect", params(changes));
    let [code, reason, next, text] = expected;
    let details =
        json!({"code": code, "authReason": reason, "canRetryWithDeviceToken": retry, "recommendedNextStep": next});
    let message = format!("unauthorized{text}");
    let error = json!({"code": "INVALID_REQUEST", "message": message, "details": details});
    assert_eq!((&frame["error"], closed), (&error, Some((1008, message))), "{changes:?}");
}

#[test]
fn secrets_that_are_missing_or_wrong() {
    let (configure, update) = ("update_auth_configuration", "update_auth_credentials");
    let none = [("/auth", Value::Null)];
    let wrong = [("/auth", json!({"token": "wrong"}))];
    let with =
        |id: &str, mode: &str, auth: Value| [("/client/id", json!(id)), ("/client/mode", json!(mode)), ("/auth", auth)];
    let new = || Rig::new(Mode::Token);
    let missing = |hint| ["AUTH_TOKEN_MISSING", "token_missing", configure, hint];
    denied(&mut new(), &none, missing(": gateway token missing (provide gateway auth token)"), false);
    for blank in [json!({}), json!({"token": ""}), json!({"token": " \t", "password": ""})] {
        denied(&mut new(), &[("/auth", blank)], missing(": gateway token missing (provide gateway auth token)"), false);
    }
    let hint = ": gateway token missing (set gateway.remote.token to match gateway.auth.token)";
    denied(&mut new(), &with("cli", "cli", json!({})), missing(hint), false);
    let hint = ": gateway token missing (open the dashboard URL and paste the token in Control UI settings)";
    denied(&mut new(), &with("openclaw-tui", "ui", json!({})), missing(hint), false);
    let mismatch = |hint| ["AUTH_TOKEN_MISMATCH", "token_mismatch", update, hint];
    denied(&mut new(), &wrong, mismatch(": gateway token mismatch (provide gateway auth token)"), false);
    let missing = |hint| ["AUTH_PASSWORD_MISSING", "password_missing", configure, hint];
    let password = ": gateway password missing (provide gateway auth password)";
    denied(&mut Rig::new(Mode::Password), &none, missing(password), false);
    let words = ["AUTH_PASSWORD_MISMATCH", "password_mismatch", update];
    let [code, reason, next] = words;
    let password = ": gateway password mismatch (set gateway.remote.password to match gateway.auth.password)";
    denied(
        &mut Rig::new(Mode::Password),
        &with("cli", "cli", json!({"password": "x"})),
        [code, reason, next, password],
        false,
    );
    let words = ["AUTH_UNAUTHORIZED", "unauthorized", "review_auth_configuration", ""];
    denied(&mut Rig::new(Mode::TrustedProxy), &none, words, false);
    // No device or bootstrap token was ever given out, so one that comes alone is wrong; beside another it is nothing.
    let text = ": device token mismatch (rotate/reissue device token)";
    let words = ["AUTH_DEVICE_TOKEN_MISMATCH", "device_token_mismatch", update, text];
    denied(&mut new(), &[("/auth", json!({"deviceToken": TOKEN}))], words, false);
    denied(&mut Rig::new(Mode::TrustedProxy), &[("/auth", json!({"deviceToken": TOKEN}))], words, false);
    let text = ": bootstrap token invalid or expired (scan a fresh setup code)";
    let words = ["AUTH_BOOTSTRAP_TOKEN_INVALID", "bootstrap_token_invalid", "review_auth_configuration", text];
    denied(&mut new(), &[("/auth", json!({"bootstrapToken": TOKEN}))], words, false);
    token(&[("/auth", json!({"token": TOKEN, "deviceToken": "x", "bootstrapToken": "y"}))], Ok(&["operator.read"]));
}

#[test]
fn the_right_secret_counts_in_either_field() {
    let check = |mode: Mode, auth: Value, good: bool| {
        let (frame, _) = Rig::new(mode).ask("connect", params(&[("/auth", auth.clone())]));
        assert_eq!(frame["ok"], json!(good), "{mode:?} {auth}");
    };
    check(Mode::Token, json!({"token": format!("  {TOKEN}\n")}), true);
    check(Mode::Token, json!({"password": TOKEN}), true);
    check(Mode::Token, json!({"token": " ", "password": TOKEN}), true);
    check(Mode::Token, json!({"token": "wrong", "password": TOKEN}), false);
    check(Mode::Token, json!({"token": "pass"}), false);
    check(Mode::Password, json!({"password": " pass "}), true);
    check(Mode::Password, json!({"token": "pass"}), true);
    check(Mode::Password, json!({"token": TOKEN, "password": "pass"}), true);
    check(Mode::Password, json!({"token": TOKEN}), false);
    check(Mode::None, json!({}), true);
    check(Mode::None, json!({"token": "whatever"}), true);
}

#[test]
fn failures_are_counted_and_lock() {
    let mut rules = rules(Mode::Token);
    rules.auth.rate = Some(Rule { max_attempts: 2, ..Rule::default() });
    let mut rig = Rig::from(rules, "192.0.2.1", "");
    for _ in 0..2 {
        rig.ask("connect", params(&[("/auth", json!({"token": "x"}))]));
    }
    let text = ": too many failed authentication attempts (retry later)";
    denied(&mut rig, &[], ["AUTH_RATE_LIMITED", "rate_limited", "wait_then_retry", text], false);
}

#[test]
fn scopes_are_those_the_caller_may_have() {
    let held = |mode: Mode, peer: &str, fields: &str, wanted: Value| {
        let mut rig = Rig::from(rules(mode), peer, fields);
        let hello = rig.enter(params(&[("/scopes", wanted)]));
        hello["auth"]["scopes"].clone()
    };
    let all = json!(["operator.write", "operator.admin"]);
    assert_eq!(held(Mode::Token, "192.0.2.1", "X-OpenClaw-Scopes: operator.read\r\n", all.clone()), all);
    assert_eq!(held(Mode::None, "127.0.0.1", "", all.clone()), all);
    assert_eq!(held(Mode::TrustedProxy, "10.0.0.1", "X-User: ann\r\n", all.clone()), all);
    // What the proxy lets its user have cannot be widened by the user.
    let narrowed = held(Mode::TrustedProxy, "10.0.0.1", "X-User: ann\r\nX-OpenClaw-Scopes: operator.write\r\n", all);
    assert_eq!(narrowed, json!(["operator.write"]));
    assert_eq!(held(Mode::Token, "127.0.0.1", "", json!([])), json!([]));
}

#[test]
fn doors_and_pages() {
    let gate = RefCell::new(Gate::new(rules(Mode::Token)));
    let check = |fields: &str, expected: Option<u16>| {
        assert_eq!(claims(&gate, "127.0.0.1", fields).err(), expected, "{fields:.60}");
    };
    check("", None);
    check("Origin: http://ui\r\n", None);
    check("Origin: null\r\n", Some(403));
    check("Origin: http://evil\r\n", Some(403));
    check("Sec-Fetch-Site: cross-site\r\n", Some(403));
    check(&format!("X-Forwarded-For: {}\r\n", "1.1.1.1, ".repeat(300)), Some(431));
    gate.borrow_mut().replace(Rules { names: Names::default(), ..rules(Mode::Token) });
    check("", Some(421));
    let text = "origin not allowed (open the Control UI from the gateway host or allow it in gateway.controlUi.allowedOrigins)";
    for change in [("/client/id", "openclaw-control-ui"), ("/client/id", "webchat-ui"), ("/client/mode", "webchat")] {
        let change = [(change.0, json!(change.1))];
        let (frame, closed) = Rig::new(Mode::Token).ask("connect", params(&change));
        let details = json!({"code": "CONTROL_UI_ORIGIN_NOT_ALLOWED", "reason": "origin missing or invalid"});
        assert_eq!((&frame["error"]["details"], closed), (&details, Some((1008, text.to_owned()))));
        let mut rig = Rig::from(rules(Mode::Token), "127.0.0.1", "Origin: http://ui\r\n");
        super::connect::check(&mut rig, &change, Ok(&["operator.read"]));
    }
    // The rules may change between the door and the first request.
    let mut rig = Rig::from(rules(Mode::Token), "127.0.0.1", "Origin: http://ui\r\n");
    let names = Names { hosts: vec!["pi".into()], ..Names::default() };
    rig.world.gate.borrow_mut().replace(Rules { names, ..rules(Mode::Token) });
    check_page(&mut rig, text);
}

fn check_page(rig: &mut Rig, text: &str) {
    let (frame, closed) = rig.ask("connect", params(&[]));
    assert_eq!(frame["error"]["details"]["reason"], json!("origin not allowed"));
    assert_eq!(closed, Some((1008, text.to_owned())));
}

#[test]
fn a_wrong_secret_is_refused_before_a_device_is_looked_at() {
    let device = json!({"id": "x", "publicKey": "x", "signature": "x", "signedAt": 0, "nonce": "x"});
    let both = [("/auth", json!({"token": "wrong"})), ("/device", device.clone())];
    let text = ": gateway token mismatch (provide gateway auth token)";
    let words = ["AUTH_TOKEN_MISMATCH", "token_mismatch", "retry_with_device_token", text];
    denied(&mut Rig::new(Mode::Token), &both, words, true);
    let text = "device public key invalid";
    token(&[("/device", device)], Err(text));
}

#[test]
fn the_hello_is_a_closed_shape() {
    let mut rig = Rig::new(Mode::Token);
    let hello = rig.enter(params(&[("/scopes", json!(["operator.admin"])), ("/client/instanceId", json!("i-1"))]));
    let keys = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&hello), ["auth", "features", "policy", "protocol", "server", "snapshot", "type"]);
    let snapshot = ["authMode", "configPath", "health", "presence", "sessionDefaults", "stateVersion", "uptimeMs"];
    assert_eq!(keys(&hello["snapshot"]), snapshot);
    assert_eq!(hello["server"]["connId"], json!("22222222-2222-4222-a222-222222222222"));
    assert_eq!(hello["policy"], json!({"maxPayload": 2_097_152, "maxBufferedBytes": 262144, "tickIntervalMs": 30_000}));
    assert_eq!(hello["auth"], json!({"role": "operator", "scopes": ["operator.admin"]}));
    assert_eq!(hello["snapshot"]["stateVersion"], json!({"presence": 1, "health": 1}));
    let methods = hello["features"]["methods"].as_array().expect("a list");
    for method in methods::METHODS.iter().map(|method| method.name).chain(["node.event", "skills.bins"]) {
        assert!(methods.contains(&json!(method)), "{method}");
    }
    let entry = rig.talk.entry().expect("an entry");
    assert_eq!((entry.key(), entry.text("host"), entry.text("ip")), ("i-1", "gateway-client", ""));
    // Who is not the owner is not told where the gateway keeps its files.
    let hello = Rig::from(rules(Mode::Token), "192.0.2.1", "").enter(params(&[]));
    assert_eq!(keys(&hello["snapshot"]), ["health", "presence", "sessionDefaults", "stateVersion", "uptimeMs"]);
}

#[test]
fn what_is_kept_of_a_client_is_bounded() {
    let long = json!("ä".repeat(4000));
    let mut rig = Rig::from(rules(Mode::Token), "192.0.2.1", "");
    let names = ["displayName", "version", "platform", "deviceFamily", "modelIdentifier", "instanceId"];
    let changes: Vec<(String, Value)> = names.iter().map(|name| (format!("/client/{name}"), long.clone())).collect();
    let changes: Vec<(&str, Value)> = changes.iter().map(|(at, value)| (at.as_str(), value.clone())).collect();
    rig.enter(params(&changes));
    let entry = rig.talk.entry().expect("an entry");
    assert!(format!("{entry:?}").len() < 2_000, "{entry:?}");
    assert_eq!((entry.text("ip"), rig.talk.entry()), ("192.0.2.1", None), "it is given once");
    assert!(size_of::<Talk>() <= 32, "{}", size_of::<Talk>());
}
