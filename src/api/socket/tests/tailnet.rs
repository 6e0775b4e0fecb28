//! Sockets of tailnet peers: who may have one, who needs no secret for it, and which tools it shows.

use std::rc::Rc;

use super::*;
use crate::gate::rate::Rule;
use crate::gate::tailnet::{self, Allow, Tailnet, Who};

const CAPABILITY: &str = "example.com/cap/toolgate";

fn peer(tailnet: Tailnet) -> Caller {
    Caller { addr: "100.64.0.7".parse().expect("an address"), port: 0, tailnet }
}

/// A person's phone, that may call these tools.
fn known(login: &str, tools: &[&str]) -> Caller {
    let tools = tools.iter().map(|tool| (*tool).into()).collect();
    let capabilities = vec![(CAPABILITY.into(), tools)];
    peer(Tailnet::Known(Rc::new(Who {
        node: "phone".into(),
        login: Some(login.into()),
        capabilities,
        ..Who::default()
    })))
}

/// Only Ann may come, and needs no secret.
fn identity() -> tailnet::Rules {
    let allow = Allow { logins: vec!["ann@example.com".into()], ..Allow::default() };
    tailnet::Rules { allow, identity: true, capability: None }
}

fn rules_of(tailnet: tailnet::Rules) -> Rules {
    Rules { tailnet, ..rules(Mode::Token) }
}

#[test]
fn who_is_not_listed_gets_no_socket() {
    let gate = RefCell::new(Gate::new(rules_of(identity())));
    let check = |caller: &Caller, fields: &str, expected: Option<u16>| {
        assert_eq!(claimed(&gate, caller, fields).err(), expected, "{caller:?} {fields}");
    };
    check(&known("ann@example.com", &[]), "", None);
    check(&known("bob@example.com", &[]), "", Some(403));
    check(&peer(Tailnet::Unknown), "", Some(403));
    check(&peer(Tailnet::Outside), "", None);
    check(&known("ann@example.com", &[]), "Tailscale-Funnel-Request: ?1\r\n", Some(403));
    check(&peer(Tailnet::Outside), "Tailscale-Funnel-Request: ?0\r\n", Some(403));
    check(&peer(Tailnet::Outside), "Tailscale-Funnel-Request:\r\n", Some(403));
    // A browser comes with its page's origin, whoever sits in front of it.
    check(&known("ann@example.com", &[]), "Origin: http://evil\r\n", Some(403));
}

#[test]
fn a_listed_peer_connects_without_a_secret_and_with_a_right_one_only() {
    let check = |caller: &Caller, fields: &str, auth: Value, expected: Result<&str, &str>| {
        let mut rig = Rig::of(rules_of(identity()), caller, fields);
        let (frame, closed) = rig.ask("connect", params(&[("/auth", auth.clone())]));
        match expected {
            Ok(scope) => {
                assert_eq!(frame["payload"]["auth"]["scopes"], json!([scope]), "{auth} {frame}");
                assert_eq!(rig.talk.entry().map(|entry| entry.text("ip").to_owned()).as_deref(), Some("100.64.0.7"));
            }
            Err(code) => assert_eq!(frame["error"]["details"]["code"], json!(code), "{auth} {frame}"),
        }
        assert_eq!(closed.is_none(), expected.is_ok());
    };
    let ann = known("Ann@Example.com", &[]);
    for blank in [Value::Null, json!({}), json!({"token": " "}), json!({"token": "", "password": "\t"})] {
        check(&ann, "", blank, Ok("operator.read"));
    }
    check(&ann, "", json!({"token": TOKEN}), Ok("operator.read"));
    check(&ann, "", json!({"token": "wrong"}), Err("AUTH_TOKEN_MISMATCH"));
    check(&ann, "", json!({"password": "wrong"}), Err("AUTH_TOKEN_MISMATCH"));
    check(&ann, "X-Forwarded-For: 100.64.0.7\r\nX-Forwarded-Proto: https\r\n", Value::Null, Ok("operator.read"));
    check(&ann, "X-Forwarded-For: 192.168.1.9\r\n", Value::Null, Err("AUTH_TOKEN_MISSING"));
    // Whoever merely says so is nobody.
    let outside = peer(Tailnet::Outside);
    let fields = "Tailscale-User-Login: ann@example.com\r\nX-Forwarded-For: 100.64.0.7\r\n";
    check(&outside, fields, Value::Null, Err("AUTH_TOKEN_MISSING"));
    let here = "127.0.0.1".parse::<IpAddr>().expect("an address").into();
    check(&here, fields, Value::Null, Err("AUTH_TOKEN_MISSING"));
}

#[test]
fn scopes_of_a_peer_without_a_secret_are_those_it_may_have() {
    let held = |fields: &str, wanted: Value| {
        let mut rig = Rig::of(rules_of(identity()), &known("ann@example.com", &[]), fields);
        rig.enter(params(&[("/auth", Value::Null), ("/scopes", wanted)]))["auth"]["scopes"].clone()
    };
    let all = json!(["operator.write", "operator.admin"]);
    assert_eq!(held("", all.clone()), all);
    assert_eq!(held("", json!([])), json!([]));
    assert_eq!(held("X-OpenClaw-Scopes: operator.write\r\n", all), json!(["operator.write"]));
}

#[test]
fn the_list_may_change_between_the_door_and_the_first_request() {
    let check = |caller: Caller, code: &str, reason: &str, message: &str| {
        let mut rules = rules(Mode::Token);
        rules.auth.rate = Some(Rule { max_attempts: 1, ..Rule::default() });
        let mut rig = Rig::of(rules, &caller, "");
        rig.world.gate.borrow_mut().replace(rules_of(identity()));
        let (frame, closed) = rig.ask("connect", params(&[]));
        let details = json!({
            "code": code, "authReason": reason, "canRetryWithDeviceToken": false,
            "recommendedNextStep": "review_auth_configuration",
        });
        let error = json!({"code": "INVALID_REQUEST", "message": message, "details": details});
        assert_eq!((&frame["error"], closed), (&error, Some((1008, message.to_owned()))));
    };
    let bob = known("bob@example.com", &[]);
    let words = ["AUTH_TAILSCALE_IDENTITY_MISMATCH", "tailscale_identity_mismatch"];
    check(bob, words[0], words[1], "unauthorized: tailscale identity mismatch");
    let words = ["AUTH_TAILSCALE_WHOIS_FAILED", "tailscale_whois_failed"];
    check(peer(Tailnet::Unknown), words[0], words[1], "unauthorized: tailscale identity check failed");
}

#[test]
fn a_peer_sees_and_calls_the_tools_that_its_tailnet_grants() {
    let rules = || rules_of(tailnet::Rules { capability: Some(CAPABILITY.into()), ..tailnet::Rules::default() });
    let write = [("/scopes", json!(["operator.admin"]))];
    let check = |caller: &Caller, expected: &[&str]| {
        let mut rig = Rig::of(rules(), caller, "");
        rig.enter(params(&write));
        let (frame, _) = rig.ask("tools.effective", json!({"sessionKey": "main"}));
        let tools = frame["payload"]["groups"][0]["tools"].as_array().expect("a list");
        let mut names: Vec<&str> = tools.iter().filter_map(|tool| tool["id"].as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, expected);
        for tool in ["device_status", "time_status", "exec"] {
            let message = json!({"type": "req", "id": "r", "method": "tools.invoke", "params": {"name": tool}});
            let act = rig.hear(&message.to_string());
            if names.contains(&tool) {
                assert!(matches!(act, Act::Call { .. }), "{tool}: {act:?}");
                continue;
            }
            // A tool that is not there, is refused, or is not granted: one answer, and three words in the log.
            let Act::Refuse { said, note } = act else { panic!("{tool}: {act:?}") };
            let frame: Value = serde_json::from_str(&said).expect("JSON");
            let error = json!({"code": "not_found", "message": format!("Tool not available: {tool}")});
            assert_eq!(frame["payload"]["error"], error);
            let word = if tool == "exec" { "policy_gateway_tools" } else { "tailnet_capability" };
            assert_eq!(note.reason, Some(word), "{tool}");
        }
    };
    check(&known("ann@example.com", &["device_status"]), &["device_status"]);
    check(&known("ann@example.com", &["time_*", "DEVICE_STATUS", "exec"]), &["device_status", "time_status"]);
    check(&known("ann@example.com", &[]), &[]);
    check(&peer(Tailnet::Unknown), &[]);
    let mut rig = Rig::of(rules(), &peer(Tailnet::Outside), "");
    rig.enter(params(&write));
    let (frame, _) = rig.ask("tools.effective", json!({"sessionKey": "main"}));
    assert!(frame["payload"]["groups"][0]["tools"].as_array().is_some_and(|tools| tools.len() > 10));
}
