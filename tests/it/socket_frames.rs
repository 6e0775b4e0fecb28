//! Raw frames on the real program, as they were recorded (contract golden/ws, edge.json) and beyond.

use serde_json::{Value, json};
use toolgate::limits::{SOCKET_HELLO_BYTES, SOCKET_MESSAGE_BYTES_DEFAULT};
use toolgate::wire::frame::Opcode;
use toolgate::wire::message::Event;

use crate::rig::{CONFIG, Gateway, Setup};
use crate::socket::{Ws, config, hello, masked, req};

/// How the reference closed the socket in that case, if it did.
fn recorded(name: &str) -> Option<(u16, String)> {
    let rows = include_str!("../data/golden-ws/edge.jsonl").lines();
    let rows = rows.map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let row = rows.into_iter().find(|row| row["name"] == name)?;
    let close = &row["close"];
    Some((close["code"].as_u64()?.try_into().ok()?, close["reason"].as_str()?.to_owned()))
}

/// A frame's head with its first byte, announcing that many masked bytes.
fn head(first: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match u8::try_from(length) {
        Ok(length) if length < 126 => bytes.push(0x80 | length),
        _ => {
            bytes.push(0xff);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes
}

/// A frame whose mask changes nothing.
fn plain(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match u16::try_from(payload.len()) {
        Ok(length) if length < 126 => bytes.push(0x80 | payload.len() as u8),
        Ok(length) => {
            bytes.push(0xfe);
            bytes.extend(length.to_be_bytes());
        }
        Err(_) => {
            bytes.push(0xff);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

/// A good `connect` of exactly that many bytes.
fn connect_of(length: usize) -> Vec<u8> {
    let text = |pad: usize| {
        let params = hello(|params| params["permissions"] = json!({ "p": "x".repeat(pad) }));
        json!({ "type": "req", "id": "c", "method": "connect", "params": params }).to_string()
    };
    let text = text(length - text(0).len());
    assert_eq!(text.len(), length);
    text.into_bytes()
}

#[test]
fn violations_before_and_after_connect() {
    let gateway = Gateway::start();
    let check = |name: &str, bytes: &[u8], code: u16| {
        for inside in [false, true] {
            let mut ws = if inside { Ws::enter(&gateway) } else { Ws::open(&gateway) };
            ws.raw(bytes).expect("sent");
            assert_eq!(ws.closed(), (code, String::new()), "{name}, connected: {inside}");
        }
        if let Some(close) = recorded(name) {
            assert_eq!(close, (code, String::new()), "{name} as recorded");
        }
    };
    check("rsv1", &plain(0xc1, b"{}"), 1002);
    check("bad opcode", &plain(0x83, b"{}"), 1002);
    check("stray continuation", &plain(0x80, b"{}"), 1002);
    assert!(["rsv1", "bad opcode", "stray continuation"].iter().all(|name| recorded(name).is_some()));
    check("an unmasked frame", &[0x81, 2, b'{', b'}'], 1002);
    check("a long ping", &head(0x89, 126), 1002);
    check("a ping in parts", &plain(0x09, b"x"), 1002);
    check("a text within a text", &[plain(0x01, b"{"), plain(0x81, b"}")].concat(), 1002);
    check("a length that is longer than it need be", &[0x81, 0xfe, 0, 5, 0, 0, 0, 0], 1002);
    check("a close with the code 1005", &plain(0x88, &1005_u16.to_be_bytes()), 1002);
    check("a close with half a code", &plain(0x88, b"\x03"), 1002);
    check("text that is not UTF-8", &plain(0x81, b"\xff\xfe"), 1007);
    check("a reason that is not UTF-8", &plain(0x88, b"\x03\xe8\xff"), 1007);
    gateway.stop();
}

#[test]
fn sizes() {
    let gateway = Gateway::start();
    // "preauth 65536" and "preauth 65537": the last byte counts.
    let mut ws = Ws::open(&gateway);
    ws.say(Opcode::Text, &connect_of(SOCKET_HELLO_BYTES));
    assert_eq!(ws.answer("c")["ok"], true);
    let mut ws = Ws::open(&gateway);
    ws.say(Opcode::Text, &connect_of(SOCKET_HELLO_BYTES + 1));
    assert_eq!(ws.closed(), (1009, String::new()));
    // The head says enough.
    let too_big = (1009, String::new());
    for name in ["preauth 65537", "preauth 65537 fragmented"] {
        assert_eq!(recorded(name).as_ref(), Some(&too_big), "{name} as recorded");
    }
    for (inside, most) in [(false, SOCKET_HELLO_BYTES), (true, SOCKET_MESSAGE_BYTES_DEFAULT)] {
        let open = || if inside { Ws::enter(&gateway) } else { Ws::open(&gateway) };
        let beyond = most as u64 + 1;
        let mut ws = open();
        ws.raw(&head(0x81, beyond)).expect("sent");
        assert_eq!(ws.closed(), too_big, "announced, connected: {inside}");
        // "preauth 65537 fragmented"
        let mut ws = open();
        ws.raw(&[plain(0x01, b"{"), head(0x80, beyond - 1)].concat()).expect("sent");
        assert_eq!(ws.closed(), too_big, "in parts, connected: {inside}");
        let mut ws = open();
        ws.raw(&head(0x81, u64::MAX)).expect("sent");
        assert_eq!(ws.closed().0, 1002, "a length that is none, connected: {inside}");
    }
    // Difference on purpose: what is allowed is less than the reference's 25 MiB. Contract ws.md §8 item 6.
    let hello = Ws::open(&gateway).ask("connect", hello(|_| {}));
    assert_eq!(hello["payload"]["policy"]["maxPayload"], SOCKET_MESSAGE_BYTES_DEFAULT);
    gateway.stop();
}

#[test]
fn a_whole_message_of_the_largest_size_is_heard() {
    let gateway = Setup::new(&config("limits: { messageBytes: 65536 }")).start();
    let mut ws = Ws::enter(&gateway);
    let pad = |length: usize| {
        let text = |pad| json!({ "type": "req", "id": "h", "method": "health", "params": { "p": "x".repeat(pad) } });
        text(length - text(0).to_string().len()).to_string()
    };
    ws.say(Opcode::Text, pad(65_536).as_bytes());
    assert_eq!(ws.answer("h")["ok"], true);
    ws.say(Opcode::Text, pad(65_537).as_bytes());
    assert_eq!(ws.closed().0, 1009);
    gateway.stop();
}

#[test]
fn pings_are_answered_before_and_after_and_between() {
    let gateway = Gateway::start();
    let mut ws = Ws::open(&gateway);
    let pong = |ws: &mut Ws, payload: &[u8]| loop {
        match ws.hear() {
            Some(Event::Pong(found)) => return assert_eq!(found, payload),
            Some(Event::Message { .. }) => {}
            other => panic!("{other:?} instead of a pong"),
        }
    };
    ws.say(Opcode::Ping, b"before");
    pong(&mut ws, b"before");
    let connect = json!({ "type": "req", "id": "c", "method": "connect", "params": hello(|_| {}) }).to_string();
    let (one, two) = connect.as_bytes().split_at(50);
    ws.raw(&[plain(0x01, one), masked(Opcode::Ping, &[7; 125]), plain(0x00, b""), plain(0x80, two)].concat())
        .expect("sent");
    pong(&mut ws, &[7; 125]);
    assert_eq!(ws.answer("c")["ok"], true, "a message in parts");
    ws.say(Opcode::Ping, b"");
    pong(&mut ws, b"");
    ws.say(Opcode::Pong, b"unasked");
    // "post binary": parsed like text.
    let health = json!({ "type": "req", "id": "h", "method": "health" }).to_string();
    ws.say(Opcode::Binary, health.as_bytes());
    assert_eq!(ws.answer("h")["ok"], true, "a binary message");
    let mut binary = Ws::open(&gateway);
    binary.say(Opcode::Binary, connect.as_bytes());
    assert_eq!(binary.answer("c")["ok"], true, "a binary message before connect");
    gateway.stop();
}

#[test]
fn closes_are_echoed() {
    let gateway = Gateway::start();
    let check = |payload: &[u8], expected: u16| {
        for inside in [false, true] {
            let mut ws = if inside { Ws::enter(&gateway) } else { Ws::open(&gateway) };
            // What comes behind a goodbye is not answered.
            ws.raw(&[plain(0x88, payload), masked(Opcode::Ping, b"late"), req("h", "health", &Value::Null)].concat())
                .expect("sent");
            assert_eq!(ws.closed(), (expected, String::new()), "{payload:?}, connected: {inside}");
            assert!(ws.events.iter().all(|event| event["type"] == "event"), "{:?}", ws.events);
        }
    };
    check(b"", 1005);
    check(&1000_u16.to_be_bytes(), 1000);
    check(b"\x0f\xa0tick timeout", 4000);
    gateway.stop();
}

#[test]
fn what_is_no_request() {
    let gateway = Gateway::start();
    let first = |message: &str| {
        let mut ws = Ws::open(&gateway);
        ws.say(Opcode::Text, message.as_bytes());
        ws.closed()
    };
    for (message, name) in [
        ("{bad", "malformed json preauth"),
        ("", "preauth json empty"),
        ("[]", "preauth json array"),
        ("\"x\"", "preauth json string"),
    ] {
        assert_eq!(Some(first(message)), recorded(name), "{name}");
    }
    let mut ws = Ws::open(&gateway);
    let refused = ws.ask("health", json!({}));
    assert_eq!(refused["error"]["message"], "invalid handshake: first request must be connect");
    assert_eq!(Some(ws.closed()), recorded("first not connect"));
    // "malformed json post", "second connect": the socket stays open.
    let mut ws = Ws::enter(&gateway);
    ws.say(Opcode::Text, b"{bad");
    let again = ws.ask("connect", hello(|_| {}));
    assert_eq!(again["error"]["message"], "connect is only valid as the first request");
    ws.say(Opcode::Text, b"{\"type\":\"req\",\"id\":7}");
    let wrong = ws.next();
    assert!(wrong["id"] == 7 && wrong["error"]["message"].to_string().contains("invalid request frame:"), "{wrong}");
    assert_eq!(ws.ask("health", json!({}))["ok"], true);
    gateway.stop();
}

#[test]
fn origins_are_judged_again_by_what_the_client_calls_itself() {
    let gateway = Setup::new(CONFIG).start();
    let mut ws = Ws::open(&gateway);
    let refused = ws.ask("connect", hello(|params| params["client"]["id"] = json!("openclaw-control-ui")));
    assert_eq!(refused["error"]["details"]["code"], "CONTROL_UI_ORIGIN_NOT_ALLOWED", "{refused}");
    assert_eq!(ws.closed().0, 1008);
    gateway.stop();
}
