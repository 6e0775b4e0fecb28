//! Against a server that speaks the documented shapes of Home Assistant's REST interface.

use std::io::{Read, Write};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::gate::secret::Secret;
use crate::tool::fixture::{Scratch, call, details};
use crate::tool::servers::{head, serve_at};
use crate::tool::targets::Hidden;
use crate::tool::{Targets, fixture};

/// A Home Assistant that answers `answers` in turn, and what it is asked.
fn home(scratch: &Scratch, allow: &[&str], answers: &[&str]) -> (Host, Receiver<String>) {
    let mut answers: Vec<String> = answers.iter().rev().map(|answer| (*answer).to_owned()).collect();
    let (sender, receiver) = channel();
    let addr = serve_at("127.0.0.1:0", move |mut stream| {
        let mut request = head(&mut stream);
        let length = request.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).expect("a body");
        request += &String::from_utf8(body).expect("text");
        sender.send(request).expect("a test that listens");
        let (status, body) = answers.pop().map_or(("500 X".into(), String::new()), |answer| {
            let (status, body) = answer.split_once('|').expect("status|body");
            (status.to_owned(), body.to_owned())
        });
        let length = body.len();
        let _ = write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
    });
    let token = Hidden::default();
    token.fill(Secret::new("ha-secret").expect("a secret"));
    let allow = allow.iter().map(|entry| (*entry).to_owned()).collect();
    let home = Home { host: "127.0.0.1".into(), port: addr.port(), token, allow };
    let host = scratch.host();
    *host.targets.borrow_mut() = Rc::new(Targets { home: Some(home), ..Targets::default() });
    (host, receiver)
}

const STATE: &str = r#"200 OK|{"entity_id":"sensor.a","state":"21.5","attributes":{"unit":"°C"},"last_changed":"2026-01-01T00:00:00+00:00","last_updated":"x","context":{"id":"y"}}"#;

#[test]
fn a_state_is_told() {
    let scratch = Scratch::new("home-state");
    let bomb = STATE.replace("{\"unit\":\"°C\"}", &["[".repeat(64), "]".repeat(64)].concat());
    let missing = "404 Not Found|{\"message\":\"Entity not found.\"}";
    let (host, asked) = home(&scratch, &[], &[STATE, missing, "401 Unauthorized|401", "200 OK|[]", &bomb]);
    let ask = || details(call(&host, "home_assistant_state", r#"{"entity_id":"sensor.a"}"#));
    let told = r#"{"entity_id":"sensor.a","state":"21.5","attributes":{"unit":"°C"},"last_changed":"2026-01-01T00:00:00+00:00","truncated":false}"#;
    assert_eq!(ask(), told);
    let request = asked.recv().expect("a request");
    assert!(request.starts_with("GET /api/states/sensor.a HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nAuthorization: Bearer ha-secret\r\n"), "{request}");
    assert!(ask().contains("knows no such entity"));
    assert!(ask().contains("refuses the token"));
    assert!(ask().contains("is not Home Assistant"));
    assert!(ask().contains("is not Home Assistant"), "one that is nested too deeply");
    for name in ["../config", "a/../b", "sensor.a?x", "Sensor.A", "", "sensor"] {
        let args = format!("{{\"entity_id\":{}}}", quoted(name));
        assert!(matches!(call(&host, "home_assistant_state", &args), Outcome::Input(_)), "{name}");
    }
}

#[test]
fn only_allowed_services_are_called() {
    let scratch = Scratch::new("home-call");
    let changed = r#"200 OK|[{"entity_id":"light.a","state":"on","attributes":{}}]"#;
    let (host, asked) = home(&scratch, &["light.*", "lock.lock"], &[changed, "200 OK|[]", "400 Bad Request|x"]);
    let args = r#"{"domain":"light","service":"turn_on","entity_id":"light.a","data":{"brightness": 5, "entity_id": "lock.x"} }"#;
    assert_eq!(
        details(call(&host, "home_assistant_call", args)),
        r#"{"changed":[{"entity_id":"light.a","state":"on"}],"truncated":false}"#
    );
    let request = asked.recv().expect("a request");
    assert!(request.starts_with("POST /api/services/light/turn_on HTTP/1.1\r\n"), "{request}");
    assert!(request.ends_with(r#"{"brightness": 5, "entity_id": "lock.x","entity_id":"light.a"}"#), "{request}");
    details(call(&host, "home_assistant_call", r#"{"domain":"lock","service":"lock"}"#));
    assert!(asked.recv().expect("a request").ends_with("\r\n\r\n{}"));
    assert!(
        details(call(&host, "home_assistant_call", r#"{"domain":"lock","service":"lock"}"#)).contains("answered 400")
    );
    asked.recv().expect("a request");
    for (domain, service) in
        [("lock", "unlock"), ("homeassistant", "restart"), ("lights", "turn_on"), ("shell_command", "x")]
    {
        let args = format!(r#"{{"domain":"{domain}","service":"{service}"}}"#);
        assert!(
            details(call(&host, "home_assistant_call", &args)).starts_with("{\"status\":\"forbidden\""),
            "{domain}"
        );
    }
    assert!(asked.try_recv().is_err(), "a refused service was asked for");
}

#[test]
fn what_would_be_asked() {
    let scratch = Scratch::new("home-would");
    let (host, asked) = home(&scratch, &["light.*"], &[]);
    let would = fixture::rehearse(
        &host,
        "home_assistant_call",
        r#"{"domain":"light","service":"toggle","entity_id":"light.a"}"#,
    );
    let would = would.expect("a plan");
    assert!(
        would.contains("/api/services/light/toggle") && would.contains(r#""body":{"entity_id":"light.a"}"#),
        "{would}"
    );
    assert!(!would.contains("ha-secret") && asked.try_recv().is_err());
    assert!(fixture::rehearse(&host, "home_assistant_call", r#"{"domain":"lock","service":"unlock"}"#).is_err());
}

#[test]
fn without_a_target_there_is_no_tool() {
    let scratch = Scratch::new("home-absent");
    assert!(present(&scratch.host()).is_err() && callable(&scratch.host()).is_err());
    let (host, _) = home(&scratch, &[], &[]);
    assert!(present(&host).is_ok() && callable(&host).is_err());
}
