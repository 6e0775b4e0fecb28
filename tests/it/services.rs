//! Local services that an operator declared as tools, asked by the real program: the shapes that Home Assistant and ntfy
//! document, what comes of answers, and what never leaves.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Answer, call};
use crate::rig::{Dir, Gateway, SOON, Setup, TOKEN};

/// A server that answers each request as `answer` says, and what it was asked: head and body.
fn server(mut answer: impl FnMut(&str, &mut TcpStream) + Send + 'static) -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    let (sender, asked) = channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                request.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&request).into_owned();
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            stream.read_exact(&mut body).expect("a body");
            let whole = head + &String::from_utf8_lossy(&body);
            answer(&whole, &mut stream);
            if sender.send(whole).is_err() {
                return;
            }
        }
    });
    (port, asked)
}

/// An answer with that body.
fn reply(status: &str, kind: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// A gateway with these services; `PORT` in their text is the server's, `DIR` the gateway's directory.
fn gateway(services: &str, port: u16) -> Gateway {
    let dir = Dir::new();
    dir.write("ha.token", 0o600, "ha-secret-token\n");
    let path = dir.path("");
    let services = services
        .replace("PORT", &port.to_string())
        .replace("DIR", path.to_str().expect("a path").trim_end_matches('/'));
    let config = format!(
        "{{ gateway: {{ bind: \"loopback\", auth: {{ mode: \"token\", token: \"{TOKEN}\" }} }}, tools: {{ http: {{ {services} }} }} }}"
    );
    Setup::new(&config).dir(dir).start()
}

fn ask(gateway: &Gateway, body: &Value) -> Answer {
    gateway.peer().ask(&call(&body.to_string()))
}

fn details(gateway: &Gateway, tool: &str, args: Value) -> Value {
    let answer = ask(gateway, &json!({"tool": tool, "args": args}));
    assert_eq!(answer.status, 200, "{tool}: {}; log:\n{}", answer.text(), gateway.tail());
    answer.json()["result"]["details"].clone()
}

const LIGHT: &str = r#"light_on: { description: "Switch a light on", method: "POST",
    url: "http://127.0.0.1:PORT/api/services/light/turn_on",
    headers: { Authorization: { prefix: "Bearer ", file: "DIR/ha.token" } },
    body: { entity_id: "{entity}", brightness: "{level}", note: "set to {level}" },
    parameters: { entity: { type: "string", pattern: "^light\\.[a-z0-9_]+$" }, level: { type: "integer", minimum: 0, maximum: 255 } },
    required: ["entity"], output: "json" }"#;

#[test]
fn home_assistant_is_asked_as_it_documents() {
    let changed = r#"[{"entity_id":"light.kitchen","state":"on"}]"#;
    let (port, asked) = server(move |_, stream| {
        stream.write_all(&reply("200 OK", "application/json", changed)).expect("an answer");
    });
    let gateway = gateway(LIGHT, port);
    let said = details(&gateway, "light_on", json!({"entity": "light.kitchen", "level": 128}));
    assert_eq!((&said["httpStatus"], &said["json"][0]["state"]), (&json!(200), &json!("on")), "{said}");
    let request = asked.recv_timeout(SOON).expect("a request");
    let (head, body) = request.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("POST /api/services/light/turn_on HTTP/1.1\r\n"), "{head}");
    for field in [
        format!("Host: 127.0.0.1:{port}"),
        "Authorization: Bearer ha-secret-token".into(),
        "Content-Type: application/json".into(),
    ] {
        assert!(head.lines().any(|line| line == field), "{field} in {head}");
    }
    let body: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(body, json!({"entity_id": "light.kitchen", "brightness": 128, "note": "set to 128"}));
    // Without the level its members are left out.
    details(&gateway, "light_on", json!({"entity": "light.kitchen"}));
    let request = asked.recv_timeout(SOON).expect("a request");
    assert!(request.ends_with("\r\n\r\n{\"entity_id\":\"light.kitchen\"}"), "{request}");
    // What does not fit is not asked, and the secret is shown nowhere.
    for entity in ["lock.door", "light.a\r\nX: 1", "light.a/../b", ""] {
        assert_eq!(ask(&gateway, &json!({"tool": "light_on", "args": {"entity": entity}})).status, 400, "{entity:?}");
    }
    let dry = ask(&gateway, &json!({"tool": "light_on", "args": {"entity": "light.a"}, "dryRun": true}));
    let request = &dry.json()["result"]["details"]["wouldRun"]["request"];
    assert_eq!((&request["method"], &request["body"]), (&json!("POST"), &json!({"entity_id": "light.a"})), "{request}");
    assert_eq!(request["headers"]["Authorization"], json!("(secret)"));
    assert!(asked.try_recv().is_err(), "a refused call or a dry run was asked");
    assert!(!dry.text().contains("ha-secret") && !gateway.log().contains("ha-secret"));
    gateway.stop();
}

#[test]
fn ntfy_is_asked_as_it_documents() {
    let services = r#"
        notify: { description: "Notify", method: "POST", url: "http://127.0.0.1:PORT/{topic}?tag={tag}",
            headers: { Title: "{title}", Priority: "{priority}" }, body: "{message}",
            parameters: { topic: { enum: ["alerts", "a b/c"] }, title: {}, message: { maxLength: 4096 }, tag: {},
                priority: { type: "integer", minimum: 1, maximum: 5, default: 3 } },
            required: ["topic", "message"] },
        publish: { description: "Publish", method: "POST", url: "http://localhost:PORT/",
            body: { topic: "alerts", message: "{message}", tags: ["warning", "{tag}"] },
            parameters: { message: {}, tag: {} }, required: ["message"] }"#;
    let (port, asked) = server(|_, stream| {
        stream.write_all(&reply("200 OK", "application/json", "{\"id\":\"x\"}")).expect("an answer");
    });
    let gateway = gateway(services, port);
    let args = json!({"topic": "a b/c", "message": "line 1\nline 2 \"x\"", "title": "Über {topic}", "tag": "a&b=c"});
    let said = details(&gateway, "notify", args);
    assert_eq!((&said["body"], &said["contentType"]), (&json!("{\"id\":\"x\"}"), &json!("application/json")), "{said}");
    let request = asked.recv_timeout(SOON).expect("a request");
    assert!(request.starts_with("POST /a%20b%2Fc?tag=a%26b%3Dc HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nTitle: Über {topic}\r\n") && request.contains("\r\nPriority: 3\r\n"), "{request}");
    assert!(request.ends_with("\r\n\r\nline 1\nline 2 \"x\""), "{request}");
    details(&gateway, "notify", json!({"topic": "alerts", "message": "m"}));
    let request = asked.recv_timeout(SOON).expect("a request");
    assert!(request.starts_with("POST /alerts HTTP/1.1\r\n") && !request.contains("Title"), "{request}");
    let answer =
        ask(&gateway, &json!({"tool": "notify", "args": {"topic": "alerts", "message": "m", "title": "a\r\nX: 1"}}));
    assert_eq!((answer.status, answer.error().1.as_str()), (400, "title: must not hold control characters"));
    details(&gateway, "publish", json!({"message": "m"}));
    let request = asked.recv_timeout(SOON).expect("a request");
    assert!(request.ends_with("{\"topic\":\"alerts\",\"message\":\"m\",\"tags\":[\"warning\"]}"), "{request}");
    gateway.stop();
}

#[test]
fn bad_answers_cost_no_more_than_they_may() {
    let services = r#"
        get: { description: "Get", url: "http://127.0.0.1:PORT/{what}", parameters: { what: {} }, required: ["what"],
            timeoutMs: 5000, maxOutputBytes: 1000, concurrency: 8 },
        typed: { description: "Get", url: "http://127.0.0.1:PORT/text", output: "json" },
        closed: { description: "Get", url: "http://127.0.0.1:1/" }"#;
    let (port, _asked) = server(|request, stream| {
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut stream = stream.try_clone().expect("the stream");
        thread::spawn(move || match path.as_str() {
            "/missing" => drop(stream.write_all(&reply("404 Not Found", "text/plain", "no such thing"))),
            "/text" => drop(stream.write_all(&reply("200 OK", "text/plain", "plain"))),
            "/moved" => {
                let field = "Location: http://169.254.169.254/secret\r\nContent-Length: 0";
                drop(write!(stream, "HTTP/1.1 302 Found\r\n{field}\r\n\r\n"));
            }
            "/here" => drop(write!(stream, "HTTP/1.1 302 Found\r\nLocation: /text\r\nContent-Length: 0\r\n\r\n")),
            "/loop" => drop(write!(stream, "HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n")),
            "/endless" => {
                drop(write!(stream, "HTTP/1.1 200 OK\r\n\r\n"));
                while stream.write_all(&[b'x'; 4096]).is_ok() {}
            }
            "/slow" => {
                drop(write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"));
                while stream.write_all(b"x").is_ok() {
                    thread::sleep(Duration::from_millis(50));
                }
            }
            "/head" => {
                while stream.write_all(b"HTTP/1.1 200 OK\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n").is_ok() {}
            }
            "/bytes" => drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\x00")),
            _ => drop(stream.write_all(b"garbage\r\n\r\n")),
        });
    });
    let gateway = gateway(services, port);
    let get = |what: &str| details(&gateway, "get", json!({"what": what}));
    let said = get("missing");
    assert_eq!(
        (&said["status"], &said["httpStatus"], &said["body"]),
        (&json!("error"), &json!(404), &json!("no such thing"))
    );
    assert_eq!(get("text")["body"], "plain");
    assert_eq!(get("here")["body"], "plain", "a redirect to the same host is followed");
    assert_eq!(get("moved")["httpStatus"], json!(302), "a redirect to another host is told");
    assert_eq!(get("loop")["httpStatus"], json!(302));
    let said = get("endless");
    assert_eq!((&said["truncated"], said["body"].as_str().map(str::len)), (&json!(true), Some(1000)), "{said}");
    assert_eq!(get("bytes")["bodyBase64"], "/wA=");
    for what in ["slow", "head", "nonsense"] {
        assert_eq!(get(what)["status"], "error", "{what}");
    }
    let said = details(&gateway, "typed", json!({}));
    assert_eq!((&said["status"], &said["body"]), (&json!("error"), &json!("plain")), "{said}");
    assert_eq!(details(&gateway, "closed", json!({}))["status"], "error");
    for what in ["..", "."] {
        let answer = ask(&gateway, &json!({"tool": "get", "args": {"what": what}}));
        assert_eq!((answer.status, answer.error().1.as_str()), (400, "what: must not be a step up the path"));
    }
    gateway.stop();
}

#[test]
fn a_secret_that_others_can_read_stops_the_start() {
    let dir = Dir::new();
    let path = dir.write("loose.token", 0o644, "x");
    let config = format!(
        "{{ tools: {{ http: {{ a: {{ description: \"A\", url: \"http://127.0.0.1/\", headers: {{ X: {{ file: \"{}\" }} }} }} }} }} }}",
        path.display()
    );
    let finished = Setup::new(&config).dir(dir).refuse();
    assert_eq!(finished.code, 78, "{finished:?}");
    assert!(finished.log.contains("tools.http.a.headers.X"), "{finished:?}");
}
