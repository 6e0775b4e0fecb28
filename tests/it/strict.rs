//! Bodies and connections: what is refused, with which status, and what becomes of the connection.
//!
//! Every sample is sent whole and byte by byte, each time followed by one more request that ends the connection: a
//! gateway that lost its place in the stream is found out, and so is one that answers after a refusal.

use std::io::{Read, Write};

use crate::client::{Answer, End, bearer, call, call_framed, health, parse, request};
use crate::rig::{Gateway, SOON, Setup};

/// The request after every sample.
fn last() -> Vec<u8> {
    request("GET /health HTTP/1.1", "Connection: close\r\n", b"")
}

/// Sends `sample` and one more request, and returns all answers up to the end of the connection.
fn exchange(gateway: &Gateway, name: &str, sample: &[u8], singly: bool, head: bool) -> Vec<Answer> {
    let mut peer = gateway.peer();
    // The gateway may refuse before it has heard everything.
    drop(if singly { peer.send_singly(sample) } else { peer.send(sample) });
    drop(peer.send(&last()));
    let (answers, end) = peer.answers(head, SOON).unwrap_or_else(|e| panic!("{name} (singly: {singly}): {e}"));
    assert_eq!(end, End::Closed, "{name} (singly: {singly}): the connection after {answers:#?}");
    answers
}

/// The statuses that answer `sample` and the request after it. After a refusal nothing is answered.
fn check(gateway: &Gateway, name: &str, sample: &[u8], expected: &[u16]) {
    // Byte by byte only where it is worth the time.
    for singly in [false, true].into_iter().filter(|singly| !singly || sample.len() < 4096) {
        let answers = exchange(gateway, name, sample, singly, false);
        let got: Vec<u16> = answers.iter().map(|a| a.status).collect();
        assert_eq!(got, expected, "{name} (singly: {singly}): {answers:#?}");
        let (end, before) = answers.split_last().expect("an answer");
        assert!(end.closes(), "{name} (singly: {singly}): the last answer does not close: {end:?}");
        assert!(before.iter().all(|a| !a.closes()), "{name} (singly: {singly}): an answer before the last closes");
    }
}

/// Checks that a sample is refused with `status` and the connection closed.
pub fn refused(gateway: &Gateway, name: &str, sample: &[u8], status: u16) {
    check(gateway, name, sample, &[status]);
}

/// Checks that a sample is answered with `status` and the connection goes on.
pub fn kept(gateway: &Gateway, name: &str, sample: &[u8], status: u16) {
    check(gateway, name, sample, &[status, 200]);
}

const LIST: &str = "{\"tool\":\"sessions_list\"}";
const LIST_CHUNKED: &str = "18\r\n{\"tool\":\"sessions_list\"}\r\n0\r\n\r\n";

/// Values of `Content-Length` and the status; 200 means that exactly 24 bytes are taken.
const LENGTHS: [(&str, u16); 22] = [
    ("24", 200),
    ("  24 \t", 200),
    ("000000000000000000024", 200),
    ("", 400),
    (" ", 400),
    ("+24", 400),
    ("-1", 400),
    ("-0", 400),
    ("24, 24", 400),
    ("24,24", 400),
    ("24,", 400),
    ("2 4", 400),
    ("24 24", 400),
    ("0x18", 400),
    ("18h", 400),
    ("24.0", 400),
    ("2.4e1", 400),
    ("\"24\"", 400),
    ("24;q=1", 400),
    ("99999999999999999999", 400),
    ("18446744073709551640", 400),
    ("340282366920938463463374607431768211480", 400),
];

#[test]
fn content_lengths() {
    let gateway = Gateway::start();
    for (value, status) in LENGTHS {
        let sample = call_framed(&format!("Content-Length: {value}\r\n"), LIST.as_bytes());
        let name = format!("Content-Length: {value:?}");
        if status == 200 {
            kept(&gateway, &name, &sample, 200)
        } else {
            refused(&gateway, &name, &sample, status)
        }
        // A request that has no use for a body is no safer.
        if status != 200 {
            let sample = request("GET /health HTTP/1.1", &format!("Content-Length: {value}\r\n"), b"");
            refused(&gateway, &format!("GET with {name}"), &sample, status);
        }
    }
    for (a, b) in [("24", "24"), ("24", "25"), ("0", "24"), ("24", ""), ("", "24")] {
        let sample = call_framed(&format!("Content-Length: {a}\r\ncontent-length: {b}\r\n"), LIST.as_bytes());
        refused(&gateway, &format!("two lengths {a:?} {b:?}"), &sample, 400);
    }
    gateway.stop();
}

/// Field lines that frame [`LIST_CHUNKED`] and the status.
const CODINGS: [(&str, u16); 27] = [
    ("Transfer-Encoding: chunked", 200),
    ("transfer-encoding: CHUNKED", 200),
    ("Transfer-Encoding: Chunked", 200),
    ("Transfer-Encoding: chunked \t", 200),
    ("Transfer-Encoding:chunked", 200),
    ("Transfer-Encoding: chunked, chunked", 400),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
    ("Transfer-Encoding: chunked, gzip", 400),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip", 400),
    ("Transfer-Encoding: ", 400),
    ("Transfer-Encoding: ,", 400),
    ("Transfer-Encoding: chunked;q=1", 400),
    ("Transfer-Encoding: \"chunked\"", 400),
    ("Transfer-Encoding: chun ked", 400),
    ("Transfer-Encoding: chunk\u{e9}d", 400),
    ("Transfer-Encoding: chunked\r\nContent-Length: 24", 400),
    ("Content-Length: 24\r\nTransfer-Encoding: chunked", 400),
    ("Content-Length: 0\r\nTransfer-Encoding: chunked", 400),
    ("Content-Length: 24\r\nTransfer-Encoding: identity", 400),
    ("Content-Length: 24\r\nTransfer-Encoding: gzip", 400),
    ("Transfer-Encoding: gzip", 501),
    ("Transfer-Encoding: gzip, chunked", 501),
    ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", 501),
    ("Transfer-Encoding: deflate", 501),
    ("Transfer-Encoding: identity", 501),
    ("Transfer-Encoding: xchunked", 501),
    ("Transfer-Encoding: chunkedx", 501),
];

#[test]
fn transfer_codings() {
    let gateway = Gateway::start();
    for (lines, status) in CODINGS {
        let sample = call_framed(&format!("{lines}\r\n"), LIST_CHUNKED.as_bytes());
        if status == 200 {
            kept(&gateway, lines, &sample, 200)
        } else {
            refused(&gateway, lines, &sample, status)
        }
        if status != 200 {
            let sample = request("GET /health HTTP/1.1", &format!("{lines}\r\n"), b"");
            refused(&gateway, &format!("GET with {lines}"), &sample, status);
        }
    }
    let fields = format!("{}Transfer-Encoding: chunked\r\n", bearer());
    let sample = request("POST /tools/invoke HTTP/1.0", &fields, LIST_CHUNKED.as_bytes());
    refused(&gateway, "a coding in HTTP/1.0", &sample, 400);
    gateway.stop();
}

/// Chunked bodies around `{"tool":"sessions_list"}` and the status.
const CHUNKS: [(&str, u16); 36] = [
    (LIST_CHUNKED, 200),
    ("018\r\n{\"tool\":\"sessions_list\"}\r\n000\r\n\r\n", 200),
    ("1\r\n{\r\n17\r\n\"tool\":\"sessions_list\"}\r\n0\r\n\r\n", 200),
    ("18;ext\r\n{\"tool\":\"sessions_list\"}\r\n0\r\n\r\n", 200),
    ("18;a=b;c=\"d;\\\"e\"\r\n{\"tool\":\"sessions_list\"}\r\n0;f\r\n\r\n", 200),
    ("18\r\n{\"tool\":\"sessions_list\"}\r\n0\r\nX-Trailer: a\r\n\r\n", 200),
    ("18\r\n{\"tool\":\"sessions_list\"}\r\n0\r\nContent-Length: 5\r\n\r\n", 200),
    ("18\r\n{\"tool\":\"sessions_list\"}\r\n0\r\nTransfer-Encoding: gzip\r\nHost: evil\r\n\r\n", 200),
    ("18\r\n{\"tool\":\"sessions_list\"}\r\n0\r\nConnection: close\r\n\r\n", 200),
    ("\r\n{\"tool\":\"sessions_list\"}\r\n0\r\n\r\n", 400),
    (";ext\r\n{\"tool\":\"sessions_list\"}\r\n0\r\n\r\n", 400),
    ("0x18\r\n{\"tool\":\"sessions_list\"}\r\n0\r\n\r\n", 400),
    ("-1\r\n{\"tool\":\"sessions_list\"}\r\n0\r\n\r\n", 400),
    ("+18\r\n{\"tool\":\"sessions_list\"}\r\n0\r\n\r\n", 400),
    ("g\r\n{\"tool\":\"sessions_list\"}\r\n0\r\n\r\n", 400),
    ("18_\r\n{\"tool\":\"sessions_list\"}\r\n0\r\n\r\n", 400),
    (" 18\r\n{\"tool\":\"sessions_list\"}\r\n0\r\n\r\n", 400),
    ("18 \r\n{\"tool\":\"sessions_list\"}\r\n0\r\n\r\n", 400),
    ("1 8\r\n{\"tool\":\"sessions_list\"}\r\n0\r\n\r\n", 400),
    ("\t18\r\n{\"tool\":\"sessions_list\"}\r\n0\r\n\r\n", 400),
    ("10000000000000018\r\n{\"tool\":\"sessions_list\"}\r\n0\r\n\r\n", 400),
    ("00000000000000018\r\n{\"tool\":\"sessions_list\"}\r\n0\r\n\r\n", 400),
    ("18\n{\"tool\":\"sessions_list\"}\r\n0\r\n\r\n", 400),
    ("18\r\n{\"tool\":\"sessions_list\"}\n0\r\n\r\n", 400),
    ("18\r\n{\"tool\":\"sessions_list\"}0\r\n\r\n", 400),
    ("18\r\n{\"tool\":\"sessions_list\"} \r\n0\r\n\r\n", 400),
    ("18\r\n{\"tool\":\"sessions_list\"}\r0\r\n\r\n", 400),
    ("18\r{\"tool\":\"sessions_list\"}\r\n0\r\n\r\n", 400),
    ("18\r\n{\"tool\":\"sessions_list\"}\r\n0\n\n", 400),
    ("18;a\n\r\n{\"tool\":\"sessions_list\"}\r\n0\r\n\r\n", 400),
    ("18;a\0b\r\n{\"tool\":\"sessions_list\"}\r\n0\r\n\r\n", 400),
    ("18;a=\"b\r\n{\"tool\":\"sessions_list\"}\r\n0\r\n\r\n", 400),
    ("18\r\n{\"tool\":\"sessions_list\"}\r\n0\r\nX-Trailer : a\r\n\r\n", 400),
    ("18\r\n{\"tool\":\"sessions_list\"}\r\n0\r\nno colon\r\n\r\n", 400),
    ("18\r\n{\"tool\":\"sessions_list\"}\r\n0\r\nX-Trailer: a\r\n folded\r\n\r\n", 400),
    ("18\r\n{\"tool\":\"sessions_list\"}\r\n0\r\nX-Trailer: a\n\r\n", 400),
];

#[test]
fn chunks() {
    let gateway = Gateway::start();
    let check = |body: &str, status: u16| {
        let sample = call_framed("Transfer-Encoding: chunked\r\n", body.as_bytes());
        let name = format!("chunks {:?}", &body[..body.len().min(120)]);
        if status == 200 { kept(&gateway, &name, &sample, 200) } else { refused(&gateway, &name, &sample, status) }
    };
    for (body, status) in CHUNKS {
        check(body, status);
    }
    let extended = |bytes: usize| format!("18;{}\r\n{LIST}\r\n0\r\n\r\n", "x".repeat(bytes));
    check(&extended(1000), 200);
    check(&extended(100_000), 400);
    // The bound holds for the body, not for each chunk.
    let many = (0..2000).map(|_| "1;xxxxxxxxxx\r\n \r\n").collect::<String>();
    check(&format!("{many}{LIST_CHUNKED}"), 400);
    let trailed = |bytes: usize| format!("18\r\n{LIST}\r\n0\r\nX-Trailer: {}\r\n\r\n", "x".repeat(bytes));
    check(&trailed(1000), 200);
    check(&trailed(100_000), 431);
    gateway.stop();
}

/// Sends a head that expects, and returns the first answer; the body follows only after `100 Continue`.
fn expecting(gateway: &Gateway, name: &str, version: &str, fields: &str, expected: &[u16]) {
    let mut peer = gateway.peer();
    let fields = format!("Connection: close\r\n{fields}");
    peer.send(&request(&format!("POST /tools/invoke HTTP/{version}"), &fields, b"")).expect("send the head");
    let mut got = Vec::new();
    let mut answer = peer.answer();
    got.push(answer.status);
    if answer.status == 100 {
        assert_eq!(answer.fields, [], "{name}: the interim answer");
        answer = peer.ask(LIST.as_bytes());
        got.push(answer.status);
    }
    assert_eq!(got, expected, "{name}: {answer:?}");
    assert_eq!((peer.end(SOON), peer.unread()), (End::Closed, &b""[..]), "{name}: the connection");
}

#[test]
fn expectations() {
    let gateway = Gateway::start();
    let check = |fields: &str, expected: &[u16]| {
        expecting(&gateway, fields, "1.1", &format!("{}{fields}", bearer()), expected);
    };
    check("Expect: 100-continue\r\nContent-Length: 24\r\n", &[100, 200]);
    check("expect: 100-CONTINUE\r\nContent-Length: 24\r\n", &[100, 200]);
    // Nothing invites a body that will not be read.
    check("Expect: 100-continue\r\nContent-Length: 2097153\r\n", &[413]);
    check("Expect: 100-continue\r\nContent-Length: 3000000\r\n", &[413]);
    check("Expect: nonsense\r\nContent-Length: 24\r\n", &[417]);
    check("Expect: 100-continue, nonsense\r\nContent-Length: 24\r\n", &[417]);
    check("Expect: 100-continue\r\nContent-Length: x\r\n", &[400]);
    let wrong = "Authorization: Bearer wrong\r\nExpect: 100-continue\r\nContent-Length: 24\r\n";
    expecting(&gateway, "a wrong token expects", "1.1", wrong, &[401]);
    expecting(&gateway, "no token expects", "1.1", "Expect: 100-continue\r\nContent-Length: 24\r\n", &[401]);
    let mut peer = gateway.peer();
    let fields = format!("{}Expect: 100-continue\r\nContent-Length: 24\r\n", bearer());
    let answer = peer.ask(&request("POST /tools/invoke HTTP/1.0", &fields, LIST.as_bytes()));
    assert_eq!(answer.status, 200, "HTTP/1.0 knows no expectation: {answer:?}");
    // A body that is already there needs no invitation, but may have one.
    let mut peer = gateway.peer();
    let mut answer = peer.ask(&call_framed("Expect: 100-continue\r\nContent-Length: 24\r\n", LIST.as_bytes()));
    if answer.status == 100 {
        answer = peer.answer();
    }
    assert_eq!(answer.status, 200, "the body came with the head: {answer:?}");
    gateway.stop();
}

/// A call whose body has exactly that length.
fn sized(length: usize) -> String {
    let (open, close) = ("{\"tool\":\"no_such_tool\",\"args\":{\"x\":\"", "\"}}");
    format!("{open}{}{close}", "a".repeat(length - open.len() - close.len()))
}

fn chunked(body: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in body.as_bytes().chunks(50_000) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

const TOO_LARGE: (&str, &str) = ("invalid_request_error", "Payload too large");

/// Sends everything before it reads anything, and returns the one answer.
fn upload(gateway: &Gateway, name: &str, bytes: &[u8]) -> Answer {
    let mut peer = gateway.peer();
    peer.send(bytes).unwrap_or_else(|e| panic!("{name}: the upload was cut off: {e}"));
    let answer = peer.try_answer(false, SOON).unwrap_or_else(|e| panic!("{name}: {e}"));
    if answer.closes() {
        assert_eq!((peer.end(SOON), peer.unread()), (End::Closed, &b""[..]), "{name}: the connection");
    }
    answer
}

#[test]
fn body_sizes() {
    let gateway = Gateway::start();
    let check = |name: &str, bytes: &[u8], too_large: bool| {
        let answer = upload(&gateway, name, bytes);
        let expected = if too_large { 413 } else { 404 };
        assert_eq!(answer.status, expected, "{name}: {answer:?}");
        if too_large {
            assert_eq!(answer.error(), (TOO_LARGE.0.into(), TOO_LARGE.1.into()), "{name}");
            assert!(answer.closes(), "{name}: {answer:?}");
        }
    };
    let declared = |length: usize| call(&sized(length));
    let counted = |length: usize| call_framed("Transfer-Encoding: chunked\r\n", &chunked(&sized(length)));
    check("2097152 declared", &declared(2_097_152), false);
    check("2097152 counted", &counted(2_097_152), false);
    check("2097153 declared", &declared(2_097_153), true);
    check("2097153 counted", &counted(2_097_153), true);
    check("10 MB declared", &declared(10_000_000), true);
    check("10 MB counted", &counted(10_000_000), true);
    let one = call_framed("Transfer-Encoding: chunked\r\n", b"7fffffffffffffff\r\n");
    check("one endless chunk", &[one, sized(3_000_000).into_bytes()].concat(), true);
    // A declared length is judged before any of it comes.
    let mut peer = gateway.peer();
    let answer = peer.ask(&call_framed("Content-Length: 18446744073709551615\r\n", b""));
    assert_eq!((answer.status, answer.closes()), (413, true), "an absurd length: {answer:?}");
    assert_eq!(peer.end(SOON), End::Closed, "an absurd length");
    gateway.stop();
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let gateway = Gateway::start();
    for singly in [false, true] {
        let mut peer = gateway.peer();
        let mut bytes = Vec::new();
        for number in 0..10 {
            bytes.extend(match number % 3 {
                0 => call(&format!("{{\"tool\":\"none_{number}\"}}")),
                1 => call_framed(
                    "Transfer-Encoding: chunked\r\n",
                    &chunked(&format!("{{\"tool\":\"none_{number}\",\"args\":{{\"x\":\"{}\"}}}}", "y".repeat(99))),
                ),
                _ => health(),
            });
        }
        if singly { peer.send_singly(&bytes) } else { peer.send(&bytes) }.expect("send ten requests");
        for number in 0..10 {
            let answer = peer.answer();
            let expected = match number % 3 {
                2 => "{\"ok\":true,\"status\":\"live\"}".to_owned(),
                _ => crate::client::error_body("not_found", &format!("Tool not available: none_{number}")),
            };
            assert_eq!(answer.text(), expected, "answer {number} (singly: {singly})");
            assert!(!answer.closes(), "answer {number} (singly: {singly}) closes");
        }
        assert_eq!(peer.unread(), b"");
    }
    gateway.stop();
}

#[test]
fn half_closed_connections() {
    let gateway = Gateway::start();
    let check = |name: &str, bytes: &[u8], expected: Option<u16>| {
        let mut peer = gateway.peer();
        peer.send(bytes).expect("send");
        peer.finish();
        let (answers, end) = peer.answers(false, SOON).unwrap_or_else(|e| panic!("{name}: {e}"));
        let got: Vec<u16> = answers.iter().map(|a| a.status).collect();
        assert_eq!((got, end), (expected.into_iter().collect(), End::Closed), "{name}");
    };
    check("nothing", b"", None);
    check("an empty line", b"\r\n", None);
    check("a complete request", &health(), Some(200));
    check("a complete call", &call(LIST), Some(200));
    check("half a request line", b"GET /hea", Some(400));
    check("half a head", b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n", Some(400));
    check("half a body", &call_framed("Content-Length: 99\r\n", LIST.as_bytes()), Some(400));
    check("half a chunk", &call_framed("Transfer-Encoding: chunked\r\n", b"18\r\n{\"tool\""), Some(400));
    check(
        "no last chunk",
        &call_framed("Transfer-Encoding: chunked\r\n", b"18\r\n{\"tool\":\"sessions_list\"}\r\n"),
        Some(400),
    );
    gateway.stop();
}

#[test]
fn who_closes() {
    let gateway = Gateway::start();
    let check = |name: &str, line: &str, fields: &str, closes: bool| {
        let mut peer = gateway.peer();
        let answer = peer.ask(&request(line, fields, b""));
        assert_eq!((answer.status, answer.closes()), (200, closes), "{name}: {answer:?}");
        let kept = (answer.field("connection"), answer.field("keep-alive"));
        let expected = if closes { (Some("close"), None) } else { (Some("keep-alive"), Some("timeout=5")) };
        assert_eq!(kept, expected, "{name}");
        if closes {
            assert_eq!(peer.end(SOON), End::Closed, "{name}");
        } else {
            assert_eq!(peer.ask(&health()).status, 200, "{name}: the next request");
        }
    };
    let line = "GET /health HTTP/1.1";
    check("nothing said", line, "", false);
    check("keep-alive", line, "Connection: keep-alive\r\n", false);
    check("close", line, "Connection: close\r\n", true);
    check("Close in a list", line, "Connection: x, Close\r\n", true);
    check("close in a second line", line, "Connection: keep-alive\r\nConnection: close\r\n", true);
    check("a word that only begins with close", line, "Connection: closed\r\n", false);
    check("HTTP/1.0", "GET /health HTTP/1.0", "", true);
    check("HTTP/1.0 keep-alive", "GET /health HTTP/1.0", "Connection: keep-alive\r\n", true);
    let upgrade =
        "Connection: keep-alive, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n";
    check("an unknown upgrade", line, upgrade, false);
    check("an upgrade nobody connected", line, "Upgrade: websocket\r\n", false);
    gateway.stop();
}

#[test]
fn refused_callers_keep_their_connection() {
    let gateway = Gateway::start();
    for (name, fields) in [("no token", ""), ("a wrong token", "Authorization: Bearer wrong\r\n")] {
        for (framing, body) in [
            ("Content-Length: 24\r\n".to_owned(), LIST.as_bytes().to_vec()),
            ("Content-Length: 100000\r\n".to_owned(), vec![b'x'; 100_000]),
            ("Transfer-Encoding: chunked\r\n".to_owned(), chunked(&sized(100_000))),
        ] {
            let mut peer = gateway.peer();
            let sample = request("POST /tools/invoke HTTP/1.1", &format!("{fields}{framing}"), &body);
            let answer = peer.ask(&sample);
            assert_eq!(answer.error(), ("unauthorized".into(), "Unauthorized".into()), "{name}, {framing:?}");
            assert!(!answer.closes(), "{name}, {framing:?}: {answer:?}");
            assert_eq!(peer.ask(&call(LIST)).status, 200, "{name}, {framing:?}: the next call");
        }
    }
    let mut peer = gateway.peer();
    let answer = peer.ask(&request("PUT /tools/invoke HTTP/1.1", "Content-Length: 24\r\n", LIST.as_bytes()));
    assert_eq!((answer.status, answer.field("allow")), (405, Some("POST")), "405 comes before 401: {answer:?}");
    assert_eq!(peer.ask(&call(LIST)).status, 200, "after a 405");
    gateway.stop();
}

/// Fields of a call and the status under an allowed origin list.
const BROWSERS: [(&str, u16); 17] = [
    ("", 200),
    ("Content-Type: text/plain\r\n", 200),
    ("Content-Type: application/x-www-form-urlencoded\r\n", 200),
    ("Origin: http://ui.example\r\n", 200),
    ("Origin: http://ui.example\r\nContent-Type: application/json\r\n", 200),
    ("Origin: http://ui.example\r\nContent-Type: Application/JSON; charset=utf-8\r\n", 200),
    ("Origin: http://ui.example\r\nContent-Type: text/plain\r\n", 415),
    ("Origin: http://ui.example\r\nContent-Type: application/x-www-form-urlencoded\r\n", 415),
    ("Origin: http://ui.example\r\nContent-Type: multipart/form-data; boundary=x\r\n", 415),
    ("Origin: http://ui.example\r\nContent-Type: application/jsonx\r\n", 415),
    ("Sec-Fetch-Site: same-origin\r\nContent-Type: text/plain\r\n", 415),
    ("Sec-Fetch-Site: none\r\nContent-Type: text/plain\r\n", 415),
    ("Origin: http://evil.example\r\nContent-Type: application/json\r\n", 403),
    ("Origin: http://evil.example\r\nContent-Type: text/plain\r\n", 403),
    ("Origin: http://ui.example.evil.example\r\nContent-Type: application/json\r\n", 403),
    ("Origin: null\r\nContent-Type: application/json\r\n", 403),
    ("Sec-Fetch-Site: cross-site\r\nContent-Type: application/json\r\n", 403),
];

#[test]
fn browsers_are_fenced() {
    let config = "{ gateway: { controlUi: { allowedOrigins: [\"http://ui.example\"] },
        auth: { mode: \"token\", token: \"sekret-token-123456\" } } }";
    let gateway = Setup::new(config).start();
    for (fields, status) in BROWSERS {
        let sample = call_framed(&format!("{fields}Content-Length: 24\r\n"), LIST.as_bytes());
        kept(&gateway, fields, &sample, status);
    }
    // The fence stands before the token.
    let fields = "Origin: http://evil.example\r\nContent-Length: 24\r\n";
    kept(
        &gateway,
        "a foreign origin without a token",
        &request("POST /tools/invoke HTTP/1.1", fields, LIST.as_bytes()),
        403,
    );
    gateway.stop();
}

#[test]
fn answers_come_whole() {
    let gateway = Gateway::start();
    let peer = gateway.peer();
    peer.stream().set_read_timeout(Some(SOON)).expect("a read timeout");
    for _ in 0..20 {
        peer.stream().write_all(&call(LIST)).expect("send");
        let mut buffer = [0; 4096];
        let length = peer.stream().read(&mut buffer).expect("receive");
        let whole = parse(&buffer[..length], false, false).expect("an answer");
        assert!(whole.is_some_and(|(_, used)| used == length), "one answer is one write: {length} bytes came first");
    }
    gateway.stop();
}
