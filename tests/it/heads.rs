//! Request lines, targets, fields and hosts: what is refused, with which status, and what becomes of the connection.

use std::time::Duration;

use crate::client::{End, bearer, call_framed, health, request};
use crate::rig::{CONFIG, Gateway, SOON, Setup};
use crate::strict::{kept, refused};

/// Request lines with a valid `Host` beneath, and the status. 2xx, 404, 405 and 421 keep the connection.
const LINES: [(&str, u16); 57] = [
    ("GET /health HTTP/1.1", 200),
    ("GET /healthz HTTP/1.1", 200),
    ("GET /ready HTTP/1.1", 200),
    ("GET /readyz HTTP/1.1", 200),
    ("GET /startupz HTTP/1.1", 200),
    ("GET /health HTTP/1.2", 200),
    ("GET /health HTTP/1.9", 200),
    ("GET /health?x=%20&y HTTP/1.1", 200),
    ("GET /health#fragment HTTP/1.1", 200),
    ("GET /x/../health HTTP/1.1", 200),
    ("GET /./health HTTP/1.1", 200),
    ("GET \\health HTTP/1.1", 400),
    ("GET http://127.0.0.1/health HTTP/1.1", 200),
    ("GET HTTP://LocalHost/health HTTP/1.1", 200),
    ("GET http://evil.example/health HTTP/1.1", 421),
    ("GET http://127.0.0.1.evil.example/health HTTP/1.1", 421),
    ("GET http://127.0.0.1@evil.example/health HTTP/1.1", 400),
    ("GET http://[/health HTTP/1.1", 400),
    ("GET http:///health HTTP/1.1", 400),
    ("GET http://127.0.0.1:99999/health HTTP/1.1", 400),
    ("GET ftp://127.0.0.1/health HTTP/1.1", 400),
    ("GET // HTTP/1.1", 400),
    ("GET health HTTP/1.1", 400),
    ("GET * HTTP/1.1", 400),
    ("POST * HTTP/1.1", 400),
    ("OPTIONS * HTTP/1.1", 404),
    ("OPTIONS /tools/invoke HTTP/1.1", 405),
    ("GET /tools/invoke HTTP/1.1", 405),
    ("DELETE /tools/invoke HTTP/1.1", 405),
    ("TRACE /tools/invoke HTTP/1.1", 405),
    ("POST /health HTTP/1.1", 405),
    ("GET /healtH HTTP/1.1", 404),
    ("GET /health/ HTTP/1.1", 404),
    ("GET /%68ealth HTTP/1.1", 404),
    ("GET / HTTP/1.1", 404),
    ("CONNECT 127.0.0.1:80 HTTP/1.1", 400),
    ("CONNECT / HTTP/1.1", 400),
    ("get /health HTTP/1.1", 400),
    ("NONSENSE /health HTTP/1.1", 400),
    ("G\u{cb}T /health HTTP/1.1", 400),
    ("G(T /health HTTP/1.1", 400),
    (" GET /health HTTP/1.1", 400),
    ("GET  /health HTTP/1.1", 400),
    ("GET /health  HTTP/1.1", 400),
    ("GET /health HTTP/1.1 ", 400),
    ("GET\t/health HTTP/1.1", 400),
    ("GET /health\tHTTP/1.1", 400),
    ("GET /hea\tlth HTTP/1.1", 400),
    ("GET /health", 400),
    ("GET", 400),
    ("GET /health http/1.1", 400),
    ("GET /health HTTP/1.10", 400),
    ("GET /health HTTP/1", 400),
    ("GET /health HTTP 1.1", 400),
    ("GET /health HTTP/2.0", 505),
    ("GET /health HTTP/0.9", 505),
    ("PRI * HTTP/2.0", 505),
];

#[test]
fn request_lines() {
    let gateway = Gateway::start();
    for (line, status) in LINES {
        let sample = request(line, "", b"");
        if matches!(status, 400 | 505) {
            refused(&gateway, line, &sample, status)
        } else {
            kept(&gateway, line, &sample, status)
        }
    }
    for byte in [0_u8, 1, 8, 0x1b, 0x7f, 0x80, 0xc3, 0xff] {
        let sample = [b"GET /hea", &[byte][..], b"lth HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"].concat();
        refused(&gateway, &format!("byte {byte:#04x} in the target"), &sample, 400);
        let sample = [b"GE", &[byte][..], b"T /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"].concat();
        refused(&gateway, &format!("byte {byte:#04x} in the method"), &sample, 400);
    }
    refused(&gateway, "raw UTF-8 in the target", &request("GET /h\u{e9}alth HTTP/1.1", "", b""), 400);
    refused(&gateway, "a request of HTTP/0.9", b"GET /health\r\n", 400);
    gateway.stop();
}

#[test]
fn line_ends() {
    let gateway = Gateway::start();
    let get = "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    kept(&gateway, "one empty line first", format!("\r\n{get}").as_bytes(), 200);
    kept(&gateway, "two empty lines first", format!("\r\n\r\n{get}").as_bytes(), 200);
    for (name, sample) in [
        ("bare LF", "GET /health HTTP/1.1\nHost: 127.0.0.1\n\n"),
        ("bare LF after the line", "GET /health HTTP/1.1\nHost: 127.0.0.1\r\n\r\n"),
        ("bare LF after a field", "GET /health HTTP/1.1\r\nHost: 127.0.0.1\n\r\n"),
        ("bare LF at the end", "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\n"),
        ("LF first", "\nGET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
        ("CR first", "\rGET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
        ("bare CR in the line", "GET /health\r HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
        ("bare CR for a line end", "GET /health HTTP/1.1\rHost: 127.0.0.1\r\r"),
        ("CR CR LF", "GET /health HTTP/1.1\r\r\nHost: 127.0.0.1\r\n\r\n"),
        ("bare CR in a value", "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\rb\r\n\r\n"),
        ("CR before the colon", "GET /health HTTP/1.1\r\nHost\r: 127.0.0.1\r\n\r\n"),
        ("space after the line", "GET /health HTTP/1.1\r\n Host: 127.0.0.1\r\n\r\n"),
        ("TLS", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}aaaa"),
        ("a proxy's preface", "PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\nGET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
        ("a Redis command", "*1\r\n$4\r\nPING\r\n"),
        ("many empty lines", &"\r\n".repeat(50)),
    ] {
        refused(&gateway, name, sample.as_bytes(), 400);
    }
    gateway.stop();
}

/// Field lines beneath a valid `Host`, and the status.
const FIELDS: [(&str, u16); 29] = [
    ("X: y", 200),
    ("X:y", 200),
    ("X:", 200),
    ("X: \t y \t ", 200),
    ("!#$%&'*+-.^_`|~09Az: y", 200),
    ("X: \u{e9}\u{202e}", 200),
    ("X: a\tb", 200),
    ("X: \"a\\\"b\"", 200),
    ("X : y", 400),
    ("X\t: y", 400),
    (" X: y", 400),
    ("\tX: y", 400),
    (": y", 400),
    (":", 400),
    ("X", 400),
    ("X y", 400),
    ("X Y: z", 400),
    ("X(: y", 400),
    ("X\u{e9}: y", 400),
    ("X\0: y", 400),
    ("X: \0", 400),
    ("X: a\u{1}b", 400),
    ("X: \u{1b}[31m", 400),
    ("X: a\u{8}b", 400),
    ("X: a\u{7f}b", 400),
    ("X: y\r\n folded", 400),
    ("X: y\r\n\tfolded", 400),
    ("X: y\r\n \r\nZ: z", 400),
    ("\"X\": y", 400),
];

#[test]
fn field_lines() {
    let gateway = Gateway::start();
    for (field, status) in FIELDS {
        for (place, sample) in [
            ("after", format!("GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n{field}\r\n\r\n")),
            ("before", format!("GET /health HTTP/1.1\r\n{field}\r\nHost: 127.0.0.1\r\n\r\n")),
        ] {
            let name = format!("{field:?} {place} the host");
            if status == 200 {
                kept(&gateway, &name, sample.as_bytes(), 200);
            } else {
                refused(&gateway, &name, sample.as_bytes(), status);
            }
        }
    }
    gateway.stop();
}

/// The lines that name the host, and the status. 421: none of ours; the connection's fate is then the gateway's choice.
const HOSTS: [(&str, u16); 37] = [
    ("Host: 127.0.0.1", 200),
    ("host:127.0.0.1", 200),
    ("HOST: \t127.0.0.1 ", 200),
    ("Host: 127.0.0.1:1", 200),
    ("Host: 127.0.0.1:", 200),
    ("Host: localhost", 200),
    ("Host: LocalHost:18789", 200),
    ("Host: localhost.", 200),
    ("Host: pi.example.ts.net", 200),
    ("Host: PI.example.TS.net:443", 200),
    ("Host: pi.example.ts.net.", 200),
    ("Host: evil.example", 421),
    ("Host: evil.example:18789", 421),
    ("Host: 127.0.0.1.evil.example", 421),
    ("Host: localhost.evil.example", 421),
    ("Host: example.ts.net", 421),
    ("Host: 2130706433", 421),
    ("Host: 0177.0.0.1", 421),
    ("Host: 203.0.113.9", 421),
    ("Host: [2001:db8::1]:80", 421),
    ("X: y", 400),
    ("Host: 127.0.0.1\r\nHost: 127.0.0.1", 400),
    ("Host: 127.0.0.1\r\nhost: evil.example", 400),
    ("Host: evil.example\r\nHost: 127.0.0.1", 400),
    ("Host:", 400),
    ("Host: \t", 400),
    ("Host: 127.0.0.1 evil.example", 400),
    ("Host: 127.0.0.1, evil.example", 400),
    ("Host: user@127.0.0.1", 400),
    ("Host: user:word@127.0.0.1", 400),
    ("Host: 127.0.0.1:x", 400),
    ("Host: 127.0.0.1:65536", 400),
    ("Host: 127.0.0.1:80:80", 400),
    ("Host: :80", 400),
    ("Host: [::1", 400),
    ("Host: 127.0.0.1/health", 400),
    ("Host: http://127.0.0.1", 400),
];

#[test]
fn hosts() {
    let config =
        "{ gateway: { hosts: [\"pi.example.ts.net\"], auth: { mode: \"token\", token: \"sekret-token-123456\" } } }";
    let gateway = Setup::new(config).start();
    for (host, status) in HOSTS {
        // Every path asks for the host first, the probes too.
        for line in ["GET /health HTTP/1.1", "POST /tools/invoke HTTP/1.1", "GET /nowhere HTTP/1.1"] {
            let expected = match (status, line) {
                (200, "POST /tools/invoke HTTP/1.1") => 401,
                (200, "GET /nowhere HTTP/1.1") => 404,
                _ => status,
            };
            let (name, sample) = (format!("{line}, {host:?}"), format!("{line}\r\n{host}\r\n\r\n"));
            match status {
                400 => refused(&gateway, &name, sample.as_bytes(), 400),
                421 => {
                    let mut peer = gateway.peer();
                    let answer = peer.ask(sample.as_bytes());
                    assert_eq!(answer.status, 421, "{name}: {answer:?}");
                    answer.error();
                }
                _ => kept(&gateway, &name, sample.as_bytes(), expected),
            }
        }
    }
    // Whether the IPv6 loopback is ours depends on the machine; that it is a host does not.
    for host in ["[::1]", "[::1]:18789"] {
        let answer = gateway.peer().ask(format!("GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        assert!(matches!(answer.status, 200 | 421), "{host}: {answer:?}");
    }
    // The target's authority is the host; the field must still be one.
    let sample = "GET http://127.0.0.1/health HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    kept(&gateway, "the target wins over the field", sample.as_bytes(), 200);
    let sample = "GET http://evil.example/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    let answer = gateway.peer().ask(sample.as_bytes());
    assert_eq!(answer.status, 421, "a foreign target over our host: {answer:?}");
    refused(&gateway, "a target without a host field", b"GET http://127.0.0.1/health HTTP/1.1\r\n\r\n", 400);
    let answer = gateway.peer().ask(b"GET /health HTTP/1.0\r\n\r\n");
    assert_eq!(answer.status, 200, "HTTP/1.0 needs no host: {answer:?}");
    gateway.stop();
}

#[test]
fn head_sizes() {
    let gateway = Gateway::start();
    let sized = |length: usize| {
        let frame = request("GET /health HTTP/1.1", "X: \r\n", b"").len();
        request("GET /health HTTP/1.1", &format!("X: {}\r\n", "x".repeat(length - frame)), b"")
    };
    let targeted = |length: usize| {
        let frame = request("GET /health? HTTP/1.1", "", b"").len();
        request(&format!("GET /health?{} HTTP/1.1", "x".repeat(length - frame)), "", b"")
    };
    let counted = |fields: usize| request("GET /health HTTP/1.1", &"X: y\r\n".repeat(fields - 1), b"");
    assert_eq!((sized(16_384).len(), targeted(16_384).len()), (16_384, 16_384));
    for (name, sample, status) in [
        ("a head of 16384 bytes", sized(16_384), 200),
        ("a head of 16385 bytes", sized(16_385), 431),
        ("a head of 1 MB", sized(1_000_000), 431),
        ("a line of 16384 bytes", targeted(16_384), 200),
        ("a line of 16385 bytes", targeted(16_385), 431),
        ("100 fields", counted(100), 200),
        ("101 fields", counted(101), 431),
        ("2000 fields", counted(2000), 431),
    ] {
        if status == 200 { kept(&gateway, name, &sample, 200) } else { refused(&gateway, name, &sample, status) }
    }
    refused(&gateway, "an endless line", &b"GET /x ".repeat(10_000), 400);
    refused(&gateway, "an endless target", &[b"GET /", &[b'x'; 50_000][..]].concat(), 431);
    refused(&gateway, "an endless name", &[b"GET / HTTP/1.1\r\n", &[b'x'; 50_000][..]].concat(), 431);
    gateway.stop();
}

#[test]
fn heads_without_bodies() {
    let gateway = Gateway::start();
    for (line, status) in
        [("HEAD /health HTTP/1.1", 200), ("HEAD /tools/invoke HTTP/1.1", 405), ("HEAD /x HTTP/1.1", 404)]
    {
        let mut peer = gateway.peer();
        peer.send(&request(line, "", b"")).expect("send");
        let answer = peer.try_answer(true, SOON).unwrap_or_else(|e| panic!("{line}: {e}"));
        assert_eq!((answer.status, answer.body.len()), (status, 0), "{line}: {answer:?}");
        assert_eq!(answer.field("content-length"), None, "{line}: as recorded, without a length");
        // Nothing but the head came: the next answer begins where it ended.
        assert_eq!(peer.ask(&health()).status, 200, "{line}: the next request");
    }
    gateway.stop();
}

#[test]
fn usual_fields() {
    let config =
        CONFIG.replacen("bind:", "http: { securityHeaders: { strictTransportSecurity: \"max-age=1\" } }, bind:", 1);
    let gateway = Setup::new(&config).start();
    let answer = gateway.peer().ask(&call_framed("Content-Length: 2\r\n", b"{}"));
    let names: Vec<&str> = answer.fields.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "X-Content-Type-Options",
        "Referrer-Policy",
        "Permissions-Policy",
        "Strict-Transport-Security",
        "Content-Type",
        "Date",
        "Connection",
        "Keep-Alive",
        "Content-Length",
    ];
    assert_eq!(names, expected);
    let date = answer.field("date").expect("a date");
    assert!(date.len() == 29 && date.ends_with(" GMT"), "{date:?}");
    gateway.stop();
}

#[test]
fn first_authorization_counts() {
    let gateway = Gateway::start();
    let list = b"{\"tool\":\"sessions_list\"}";
    for (name, fields, status) in [
        ("right, then wrong", format!("{}Authorization: Bearer wrong\r\n", bearer()), 200),
        ("wrong, then right", format!("Authorization: Bearer wrong\r\n{}", bearer()), 401),
        ("a trailing byte", bearer().replace("\r\n", "7\r\n"), 401),
        ("another case", bearer().to_uppercase(), 401),
    ] {
        let sample = request("POST /tools/invoke HTTP/1.1", &format!("{fields}Content-Length: 24\r\n"), list);
        let answer = gateway.peer().ask(&sample);
        assert_eq!(answer.status, status, "{name}: {answer:?}");
    }
    let sample = request("POST /tools/invoke?token=sekret-token-123456 HTTP/1.1", "Content-Length: 24\r\n", list);
    assert_eq!(gateway.peer().ask(&sample).status, 401, "a token in the query");
    let mut peer = gateway.peer();
    drop(peer.send(&health()));
    assert_eq!(peer.answer().status, 200);
    assert_eq!(peer.end(Duration::ZERO), End::Open);
    gateway.stop();
}
