//! How a connection becomes a WebSocket, and how it does not. Source: contract ws.md §1.1.

use std::time::Duration;

use serde_json::{Value, json};
use toolgate::wire::frame::Opcode;

use crate::client::{Answer, End, Peer, health, request};
use crate::rig::{CONFIG, Gateway, SOON, Setup, until};
use crate::socket::{ACCEPT, KEY, Ws, config, fields, hello, masked, req, upgrade};

/// The answer to a request.
#[track_caller]
fn answer(gateway: &Gateway, bytes: &[u8]) -> (Answer, Peer) {
    let mut peer = gateway.peer();
    peer.send(bytes).expect("sent");
    let answer = peer.try_answer(bytes.starts_with(b"HEAD"), SOON).unwrap_or_else(|why| panic!("{why}"));
    (answer, peer)
}

#[test]
fn every_path_is_the_sockets() {
    let gateway = Gateway::start();
    for path in ["/", "/ws", "/foo?x=1", "/tools/invoke", "/v1/chat/completions", "/voiceclaw/realtime"] {
        let (answer, peer) = answer(&gateway, &upgrade(path, "Authorization: Bearer wrong\r\n"));
        assert_eq!((answer.status, answer.field("sec-websocket-accept")), (101, Some(ACCEPT)), "{path}: {answer:?}");
        let field = |name| answer.field(name).map(str::to_ascii_lowercase);
        assert_eq!((field("upgrade").as_deref(), field("connection").as_deref()), (Some("websocket"), Some("upgrade")));
        assert_eq!(answer.field("sec-websocket-extensions"), None, "{answer:?}");
        drop(peer);
    }
    // Difference on purpose: there is no canvas, whose socket asks for more. Contract ws.md §8 item 1.
    assert_eq!(answer(&gateway, &upgrade("/__openclaw__/ws", "")).0.status, 101);
    let offers = "Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: openclaw.v3, other\r\n";
    let (offered, _) = answer(&gateway, &upgrade("/", offers));
    assert_eq!(offered.field("sec-websocket-protocol"), Some("openclaw.v3"), "{offered:?}");
    assert_eq!(offered.field("sec-websocket-extensions"), None, "{offered:?}");
    gateway.stop();
}

#[test]
fn probes_and_other_protocols_are_http() {
    let gateway = Gateway::start();
    for path in ["/health", "/healthz", "/ready", "/readyz", "/startupz"] {
        let (answer, mut peer) = answer(&gateway, &upgrade(path, ""));
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert_eq!(peer.ask(&health()).status, 200, "{path}: the connection goes on");
    }
    let check = |line: &str, fields: &str, expected: u16| {
        let (answer, _) = answer(&gateway, &request(line, fields, b""));
        assert_eq!(answer.status, expected, "{line} {fields}: {answer:?}");
    };
    // Difference on purpose: the reference refuses what it does not know. Contract http.md, "swallowed requests".
    check("GET /healthz HTTP/1.1", "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n", 200);
    check("GET / HTTP/1.1", "Upgrade: h2c\r\nConnection: Upgrade\r\n", 404);
    check("GET / HTTP/1.1", &fields("").replace("Connection: Upgrade\r\n", ""), 404);
    check("GET / HTTP/1.0", &fields(""), 404);
    gateway.stop();
}

/// A refusal at the door: the status, the text and the fields. The connection ends.
#[track_caller]
fn refused(gateway: &Gateway, bytes: &[u8], status: u16, text: &str, fields: &[(&str, &str)]) {
    let shown = String::from_utf8_lossy(bytes);
    let (answer, mut peer) = answer(gateway, bytes);
    assert_eq!(answer.status, status, "{shown}: {answer:?}");
    assert!(answer.text().contains(text), "{shown}: {answer:?}");
    for (name, value) in fields {
        assert_eq!(answer.field(name), Some(*value), "{shown}: {answer:?}");
    }
    if answer.closes() {
        peer.finish();
        assert_eq!((peer.end(SOON), peer.unread()), (End::Closed, &b""[..]), "{shown}");
    }
}

#[test]
fn what_is_refused() {
    let gateway = Gateway::start();
    let get = |fields: &str| request("GET / HTTP/1.1", fields, b"");
    let closes = ("connection", "close");
    let key = "Missing or invalid Sec-WebSocket-Key header";
    let html = ("content-type", "text/html");
    refused(&gateway, &get(&fields("").replace(KEY, "short")), 400, key, &[closes, html]);
    refused(&gateway, &get(&fields("").replace("-Key", "-Kex")), 400, key, &[closes, html]);
    let version = "Missing or invalid Sec-WebSocket-Version header";
    let versions = ("sec-websocket-version", "13, 8");
    refused(&gateway, &get(&fields("").replace(": 13", ": 12")), 400, version, &[closes, html, versions]);
    let post = request("POST /tools/invoke HTTP/1.1", &fields("Content-Length: 0\r\n"), b"");
    refused(&gateway, &post, 405, "Invalid HTTP method", &[closes, html]);
    let strange = upgrade("/", "").iter().map(|b| char::from(*b)).collect::<String>();
    refused(&gateway, strange.replace("Host: 127.0.0.1", "Host: evil.example").as_bytes(), 421, "", &[]);
    for origin in ["https://evil.example", "null"] {
        refused(&gateway, &upgrade("/", &format!("Origin: {origin}\r\n")), 403, "Origin not allowed", &[]);
    }
    // What follows a body and what follows a head differ: frames could be hidden in it.
    let body = request("GET / HTTP/1.1", &fields("Content-Length: 5\r\n"), b"hello");
    refused(&gateway, &body, 400, "", &[closes]);
    let chunks = request("GET / HTTP/1.1", &fields("Transfer-Encoding: chunked\r\n"), b"0\r\n\r\n");
    refused(&gateway, &chunks, 400, "", &[closes]);
    let claims = format!("X-Forwarded-For: {}\r\n", "1, ".repeat(1000));
    refused(&gateway, &upgrade("/", &claims), 431, "", &[closes]);
    let log = gateway.stop().log;
    for word in ["socket_key_invalid", "socket_version_unknown", "socket_method_invalid"] {
        assert!(log.contains(&format!("reason={word}")), "{word}:\n{log}");
    }
}

#[test]
fn frames_right_behind_the_head_are_heard() {
    let gateway = Gateway::start();
    let mut bytes = upgrade("/", "");
    bytes.extend(masked(Opcode::Ping, b"early"));
    bytes.extend(req("c", "connect", &hello(|_| {})));
    bytes.extend(req("h", "health", &Value::Null));
    for singly in [false, true] {
        let mut peer = gateway.peer();
        if singly { peer.send_singly(&bytes) } else { peer.send(&bytes) }.expect("sent");
        let answer = peer.try_answer(true, SOON).expect("an answer");
        assert_eq!(answer.status, 101, "{answer:?}");
        let all = until(SOON, || {
            peer.end(Duration::from_millis(20));
            let text = String::from_utf8_lossy(peer.unread()).into_owned();
            text.contains("\"id\":\"h\"").then_some(text)
        });
        let all = all.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(peer.unread())));
        let at = |word: &str| all.find(word).unwrap_or_else(|| panic!("no {word} in {all}"));
        assert!(at("connect.challenge") < at("early") && at("early") < at("hello-ok"), "{all}");
    }
    gateway.stop();
}

#[test]
fn a_request_before_the_upgrade_is_answered_first() {
    let gateway = Gateway::start();
    let mut peer = gateway.peer();
    peer.send(&[health(), upgrade("/", "")].concat()).expect("sent");
    assert_eq!(peer.answer().status, 200);
    assert_eq!(peer.try_answer(true, SOON).map(|answer| answer.status), Ok(101));
    gateway.stop();
}

#[test]
fn sockets_that_have_not_shown_who_they_are_are_few() {
    let gateway = Setup::new(&config("limits: { connectionsPerPeer: 80 }")).start();
    let full = |gateway: &Gateway| {
        let text = "Too many unauthenticated sockets";
        refused(gateway, &upgrade("/", ""), 503, text, &[("connection", "close"), ("retry-after", "1")]);
    };
    let mut waiting: Vec<Ws> = (0..32).map(|_| Ws::open(&gateway)).collect();
    full(&gateway);
    assert_eq!(Ws::open_from(&gateway, 2).next()["event"], "connect.challenge", "another peer has its own");
    assert_eq!(gateway.peer().ask(&health()).status, 200, "HTTP has other places");
    // A handshake that is over makes room, and so does one that ends.
    let mut inside = waiting.pop().expect("one of them").entered(|_| {});
    waiting.push(Ws::open(&gateway));
    full(&gateway);
    waiting.pop().expect("one of them").say(Opcode::Close, &[]);
    let opened = until(SOON, || {
        let (answer, peer) = answer(&gateway, &upgrade("/", ""));
        (answer.status == 101).then_some(peer)
    });
    assert!(opened.is_some(), "no room again; log:\n{}", gateway.tail());
    full(&gateway);
    assert_eq!(inside.ask("health", json!(null))["ok"], true);
    gateway.stop();
}

#[test]
fn a_handshake_that_does_not_end_is_ended() {
    let gateway = Setup::new(&CONFIG.replacen("bind:", "handshakeTimeoutMs: 2000, bind:", 1)).start();
    let mut silent = Ws::open(&gateway);
    assert_eq!(silent.closed(), (1000, String::new()));
    // Pings are answered and gain nothing; nor does a byte at a time.
    let pings = vec![masked(Opcode::Ping, b"still here"); 100];
    let bytes = req("c", "connect", &hello(|_| {})).chunks(1).take(100).map(<[u8]>::to_vec).collect();
    for pieces in [pings, bytes] {
        let mut ws = Ws::open(&gateway);
        for piece in pieces {
            // Four seconds for all of them, twice as long as the handshake may take.
            std::thread::sleep(Duration::from_millis(40));
            drop(ws.raw(&piece));
        }
        assert_eq!(ws.farewell(), (1000, String::new()));
    }
    // Whoever ends it in time is not bothered by it any more.
    let mut inside = Ws::enter(&gateway);
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(inside.ask("health", Value::Null)["ok"], true);
    let log = gateway.stop().log;
    assert_eq!(log.matches("reason=socket_hello_timeout").count(), 3, "{log}");
}
