//! Replays the recorded exchanges of the reference and compares what a client can see.
//!
//! Masked: dates, the figures of `/readyz`, the wording of JSON syntax errors, and lengths where an error's shape is
//! ours. Where we decided to differ, [`DECIDED`] says how and by which decision. Every file is either compared or there.
//! The exchanges about policy, modes and limits are replayed in `policy`.

use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{Answer, End, Peer, error_body, health, parse_any};
use crate::rig::{Gateway, SOON, Setup, root};

/// What comes instead of the recorded answer.
#[derive(Debug, Clone, Copy)]
enum Instead {
    /// An answer with these fields besides the usual ones and that body.
    Answer { status: u16, body: Body },
    /// The recorded answer or that one: both follow from the contract.
    Either { status: u16, body: Body },
}

#[derive(Debug, Clone, Copy)]
pub enum Body {
    /// None.
    Empty,
    /// An error of the one shape, of that type and message.
    Error(&'static str, &'static str),
    /// An error of the one shape.
    SomeError,
    /// A successful result.
    Result,
    /// That text.
    Text(&'static str),
}

/// A decided difference.
struct Decided {
    name: &'static str,
    instead: Instead,
    /// The row of the contract's table of decisions, or the sentence, that says so.
    #[expect(dead_code, reason = "it is there to be read")]
    because: &'static str,
}

const fn decided(name: &'static str, status: u16, body: Body, because: &'static str) -> Decided {
    Decided { name, instead: Instead::Answer { status, body }, because }
}

const STRICT: &str = "leniencies of its HTTP library → RFC 9112/9110 strictness";
const UNSERVED: &str = "web pages, /v1/*, /hooks, /sessions/*, canvas → not served: 404 text";
const SWALLOWED: &str = "swallowed requests → answered as the plain HTTP request they are";

const DECIDED: [Decided; 13] = [
    decided("body-gzip-ce", 415, Body::SomeError, "Content-Encoding → 415 for a content coding"),
    decided("expect-other", 417, Body::Empty, "as recorded, but not in chunks"),
    decided("host-garbage-health", 400, Body::Empty, STRICT),
    decided("route-sessions-history", 404, Body::Text("Not Found"), UNSERVED),
    decided("route-sessions-kill-noauth", 404, Body::Text("Not Found"), UNSERVED),
    decided("route-tools-get", 404, Body::Text("Not Found"), UNSERVED),
    decided(
        "route-url-unparsable2",
        400,
        Body::Error("bad_request", "Invalid request URL"),
        "CONNECT, unparsable target → 400",
    ),
    decided("route-v1-models", 404, Body::Text("Not Found"), UNSERVED),
    decided(
        "slow-body-stall",
        408,
        Body::Error("invalid_request_error", "Request body timeout"),
        "body over the limit, body too slow → a visible 413 / 408",
    ),
    decided("te-gzip-chunked", 501, Body::Empty, "501 for an unknown transfer coding"),
    decided("upgrade-header-no-connection-upgrade", 200, Body::Result, SWALLOWED),
    decided(
        "upgrade-header-without-connection-stall",
        400,
        Body::Error("invalid_request_error", "tools.invoke requires body.tool"),
        SWALLOWED,
    ),
    Decided {
        name: "field-unknown-keys",
        instead: Instead::Either { status: 400, body: Body::Error("invalid_request_error", "Unknown agent id \"x\"") },
        because: "9.6 additions are accepted on the same endpoint: agentId (400 on conflict); 4.29 ignores the key",
    },
];

/// Exchanges whose point is a deadline: each waits in a thread of its own. Name, earliest and latest answer in seconds.
const SLOW: [(&str, u64, u64); 2] = [("idle-connection", 9, 20), ("slow-body-stall", 28, 60)];

/// One recorded exchange.
pub struct Recorded {
    /// Its name, which is its file's.
    pub name: String,
    /// All of it.
    pub json: Value,
}

impl Recorded {
    /// Those whose name `wanted` says yes to, by name.
    pub fn all(wanted: fn(&str) -> bool) -> Vec<Recorded> {
        let folder = root().join("tests/data/golden");
        let mut all = Vec::new();
        for entry in fs::read_dir(&folder).expect("the recorded exchanges").flatten() {
            let text = fs::read_to_string(entry.path()).expect("a recorded exchange");
            let json: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{:?}: {e}", entry.path()));
            let name = json["name"].as_str().expect("a name").to_owned();
            assert_eq!(
                entry.file_name().to_string_lossy(),
                format!("{name}.json"),
                "a file is named after its exchange"
            );
            if wanted(&name) {
                all.push(Recorded { name, json });
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// The request in the pieces between its pauses.
    fn pieces(&self) -> Vec<Vec<u8>> {
        let request = &self.json["request"];
        let Some(raw) = request["raw"].as_str() else { return vec![self.composed()] };
        let raw =
            match raw.rsplit_once("...<").and_then(|(start, end)| Some((start, end.strip_suffix(" bytes total>")?))) {
                Some((start, total)) => self.expanded(start, total.parse().expect("a length")),
                None => raw.to_owned(),
            };
        let mut pieces = Vec::new();
        for (number, piece) in raw.split("<sleep ").enumerate() {
            let piece = if number == 0 { piece } else { piece.split_once('>').expect("a pause").1 };
            pieces.push(piece.chars().map(|c| u8::try_from(c).expect("a byte")).collect());
        }
        pieces
    }

    fn composed(&self) -> Vec<u8> {
        let request = &self.json["request"];
        let word = |key: &str| request[key].as_str().unwrap_or_else(|| panic!("{}: no {key}", self.name));
        let mut bytes = format!("{} {} HTTP/1.1\r\n", word("method"), word("path")).into_bytes();
        for field in request["headers"].as_array().expect("headers") {
            let [name, value] = [0, 1].map(|n| field[n].as_str().expect("a header"));
            bytes.extend(format!("{name}: {value}\r\n").chars().map(|c| u8::try_from(c).expect("a Latin-1 header")));
        }
        bytes.extend_from_slice(b"\r\n");
        // The recorder shows a byte that is no UTF-8 as U+FFFD.
        let body = request["body"].as_str().unwrap_or_default().as_bytes();
        let mut rest = body;
        while let Some(at) = rest.windows(3).position(|w| w == "\u{fffd}".as_bytes()) {
            bytes.extend_from_slice(&rest[..at]);
            bytes.push(0xff);
            rest = &rest[at + 3..];
        }
        bytes.extend_from_slice(rest);
        bytes
    }

    /// A long request that the recorder shortened, at its full length.
    fn expanded(&self, start: &str, total: usize) -> String {
        let head = start.find("\r\n\r\n").map(|at| at + 4);
        let content = |length: usize| {
            let (open, close) = ("{\"tool\":\"no_such_tool\",\"args\":{\"x\":\"", "\"}}");
            format!("{open}{}{close}", "a".repeat(length - open.len() - close.len()))
        };
        let full = match self.name.as_str() {
            "chunked-exact-2mib" => {
                let mut chunks = start[..head.expect("a head")].to_owned();
                for chunk in content(2_097_152).as_bytes().chunks(0x10000) {
                    chunks += &format!("{:x}\r\n{}\r\n", chunk.len(), std::str::from_utf8(chunk).expect("ASCII"));
                }
                chunks + "0\r\n\r\n"
            }
            "oversize-unauthorized-withbody" => format!("{}{}", &start[..head.expect("a head")], content(2_097_153)),
            "header-15k" => {
                let body = "{\"tool\":\"sessions_list\"}";
                let end = "\r\nContent-Type: application/json\r\nContent-Length: 24\r\nConnection: close\r\n\r\n";
                format!("{start}{}{end}{body}", "a".repeat(total - start.len() - end.len() - body.len()))
            }
            "header-too-large" => {
                let end = "\r\nContent-Length: 0\r\n\r\n";
                format!("{start}{}{end}", "a".repeat(total - start.len() - end.len()))
            }
            other => panic!("{other}: nobody says how to restore the shortened request"),
        };
        assert!(full.starts_with(start) && full.len() == total, "{}: not the recorded request", self.name);
        full
    }

    /// The recorded answers, `None` where the reference sent no bytes.
    pub fn answers(&self, head: bool) -> Vec<Answer> {
        let raw = self.json["raw_response"].as_str().unwrap_or_default();
        if raw.matches("HTTP/1.1 ").count() > 1 {
            let (mut rest, mut answers) = (raw.as_bytes(), Vec::new());
            while !rest.is_empty() {
                let (answer, used) =
                    parse_any(rest, head, true).expect("a recorded answer").expect("a whole recorded answer");
                rest = &rest[used..];
                answers.push(answer);
            }
            return answers;
        }
        let response = &self.json["response"];
        let Some(line) = response["status_line"].as_str() else { return Vec::new() };
        let fields = response["headers"].as_array().expect("headers").iter();
        let fields = fields.map(|f| [0, 1].map(|n| f[n].as_str().expect("a header").to_owned()).into()).collect();
        let status = u16::try_from(response["status"].as_u64().expect("a status")).expect("a status");
        vec![Answer { status, line: line.into(), fields, body: response["body"].as_str().unwrap_or_default().into() }]
    }
}

/// The recorded body in our shape: an error's members move, its type and message stay.
fn in_our_shape(body: &str) -> String {
    let json: Value = serde_json::from_str(body).unwrap_or_default();
    match (json["error"]["type"].as_str(), json["error"]["message"].as_str()) {
        (Some(kind), Some(message)) => error_body(kind, message),
        _ => body.to_owned(),
    }
}

/// Numbers, truth values and lists of `/readyz` → placeholders, the order of its members kept.
fn masked(body: &str) -> String {
    let (mut out, mut quoted, mut depth) = (String::new(), false, 0_u32);
    let mut number = false;
    for c in body.replace("true", "false").chars() {
        let digit = !quoted && (c.is_ascii_digit() || (number && "+-.eE".contains(c)));
        match c {
            '"' if depth == 0 => quoted = !quoted,
            '[' if !quoted => depth += 1,
            ']' if !quoted => depth -= 1,
            _ => {}
        }
        let kept = if digit { if number { None } else { Some('0') } } else { Some(c) };
        if depth == 0 || c == '[' {
            out.extend(kept);
        }
        number = digit;
    }
    out
}

/// Fields as they are compared.
fn comparable(answer: &Answer, skip: &[&str]) -> Vec<(String, String)> {
    let kept = answer.fields.iter().filter(|(name, _)| !skip.contains(&name.as_str()));
    let masked = |name: &str| name == "Date" || name == "Retry-After";
    kept.map(|(n, v)| (n.clone(), if masked(n) { "masked".into() } else { v.clone() })).collect()
}

/// Compares one answer with the recorded one.
pub fn compare(name: &str, got: &Answer, want: &Answer, http10: bool) -> Result<(), String> {
    if got.line != want.line {
        return Err(format!("{:?} instead of {:?}", got.line, want.line));
    }
    let wait = |answer: &Answer| answer.field("retry-after").map(|seconds| seconds.parse::<u32>().unwrap_or_default());
    // Time goes by between a lock and the answer that speaks of it.
    if wait(got).is_some_and(|seconds| seconds == 0 || wait(want).is_some_and(|most| seconds > most)) {
        return Err(format!("Retry-After {:?} instead of at most {:?}", wait(got), wait(want)));
    }
    let (got_text, want_text) = (got.text(), in_our_shape(std::str::from_utf8(&want.body).unwrap_or_default()));
    let bodies = match name {
        _ if name.starts_with("route-ready") => (masked(got_text), masked(&want_text)),
        "body-invalid-json-trailing" | "body-invalid-json-truncated" | "body-json5" => {
            let (kind, message) = got.error();
            if message.is_empty() {
                return Err("a syntax error without a message".into());
            }
            let want: Value = serde_json::from_str(&want_text).unwrap_or_default();
            (kind, want["error"]["type"].as_str().unwrap_or_default().to_owned())
        }
        _ => (got_text.to_owned(), want_text.clone()),
    };
    if bodies.0 != bodies.1 {
        return Err(format!("body {:?}\n   instead of {:?}", bodies.0, bodies.1));
    }
    // To bytes that are no request the reference answers a status and `Connection: close`; more does no harm.
    let bare = want.body.is_empty() && want.field("content-type").is_none();
    let security = ["X-Content-Type-Options", "Referrer-Policy", "Permissions-Policy", "Date", "Content-Length"];
    let same_length = want.body.len() == got.body.len() && !http10;
    let skip: &[&str] = match (bare, same_length) {
        (true, _) => &security,
        (false, true) => &[],
        (false, false) => &["Content-Length"],
    };
    let (got, want) = (comparable(got, skip), comparable(want, skip));
    if got != want { Err(format!("fields {got:#?}\n   instead of {want:#?}")) } else { Ok(()) }
}

/// Compares one answer with what was decided.
pub fn compare_decided(got: &Answer, status: u16, body: Body) -> Result<(), String> {
    if got.status != status {
        return Err(format!("{:?} instead of {status}", got.line));
    }
    let (text, kind) = (got.text(), got.field("content-type").unwrap_or_default());
    let fits = match body {
        Body::Empty => text.is_empty() || kind.starts_with("application/json"),
        Body::Error(kind, message) => got.error() == (kind.to_owned(), message.to_owned()),
        Body::SomeError => !got.error().1.is_empty(),
        Body::Result => text.starts_with("{\"ok\":true,\"result\":{\"content\":[{\"type\":\"text\",\"text\":"),
        Body::Text(want) => text == want && kind == "text/plain; charset=utf-8",
    };
    if fits { Ok(()) } else { Err(format!("{kind} {text:?} instead of {body:?}")) }
}

/// Sends the recorded request and returns every answer, and how the connection stands.
pub fn replay(gateway: &Gateway, recorded: &Recorded, within: Duration) -> Result<(Vec<Answer>, Peer), String> {
    let mut peer = gateway.peer();
    let pieces = recorded.pieces();
    let head = pieces[0].starts_with(b"HEAD ");
    let mut answers = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        // A pause in the recording waits for what the gateway says next.
        if number > 0 {
            answers.push(peer.try_answer(head, within)?);
        }
        // The gateway may refuse before it has heard everything.
        drop(peer.send(piece));
    }
    if recorded.name.ends_with("half-close") {
        peer.finish();
    }
    answers.push(peer.try_answer(head, within)?);
    Ok((answers, peer))
}

fn check(gateway: &Gateway, recorded: &Recorded) -> Result<(), String> {
    let slow = SLOW.iter().find(|(name, ..)| *name == recorded.name);
    let start = Instant::now();
    let within = slow.map_or(SOON, |(_, _, latest)| Duration::from_secs(*latest));
    let (got, mut peer) = replay(gateway, recorded, within)?;
    if let Some((_, earliest, latest)) = slow {
        let took = start.elapsed();
        if took < Duration::from_secs(*earliest) || took > Duration::from_secs(*latest) {
            return Err(format!("answered after {took:?} instead of {earliest} to {latest} s"));
        }
    }
    let pieces = recorded.pieces();
    let want = recorded.answers(pieces[0].starts_with(b"HEAD "));
    let as_recorded = || match got.len() == want.len() {
        true => got
            .iter()
            .zip(&want)
            .try_for_each(|(g, w)| compare(&recorded.name, g, w, pieces[0].windows(8).any(|w| w == b"HTTP/1.0"))),
        false => Err(format!("{} answers instead of {}", got.len(), want.len())),
    };
    let last = got.last().expect("an answer");
    match DECIDED.iter().find(|d| d.name == recorded.name).map(|d| d.instead) {
        None => as_recorded()?,
        Some(Instead::Answer { status, body }) => compare_decided(last, status, body)?,
        Some(Instead::Either { status, body }) => as_recorded().or_else(|_| compare_decided(last, status, body))?,
    }
    // What the last answer promised about the connection is what happens.
    if last.closes() {
        match (peer.end(SOON), peer.unread()) {
            (End::Closed, []) => Ok(()),
            (end, rest) => {
                Err(format!("after `Connection: close` the connection is {end:?}, {} bytes follow", rest.len()))
            }
        }
    } else {
        drop(peer.send(&health()));
        let next = peer.try_answer(false, SOON).map_err(|e| format!("on the kept connection: {e}"))?;
        if next.status == 200 { Ok(()) } else { Err(format!("on the kept connection: {}", next.line)) }
    }
}

#[test]
fn recorded_exchanges() {
    let all = Recorded::all(|name| !crate::policy::replays(name));
    assert!(all.len() >= 71, "{} recorded exchanges", all.len());
    let names: BTreeSet<&str> = all.iter().map(|r| r.name.as_str()).collect();
    for name in DECIDED.iter().map(|d| d.name).chain(SLOW.iter().map(|s| s.0)) {
        assert!(names.contains(name), "{name} is in a table but was never recorded");
    }
    let config = all[0].json["config"].as_str().expect("a configuration").to_owned();
    let gateway = Setup::new(&config).start();
    let (slow, quick): (Vec<_>, Vec<_>) = all.iter().partition(|r| SLOW.iter().any(|(name, ..)| *name == r.name));
    let failures = thread::scope(|scope| {
        let waiting: Vec<_> = slow.into_iter().map(|r| (r, scope.spawn(|| check(&gateway, r)))).collect();
        let mut results: Vec<_> = Vec::new();
        for recorded in quick {
            assert_eq!(
                recorded.json["config"].as_str(),
                Some(config.as_str()),
                "{}: another configuration",
                recorded.name
            );
            results.push((recorded, check(&gateway, recorded)));
        }
        results.extend(waiting.into_iter().map(|(r, handle)| (r, handle.join().expect("a replay"))));
        let failures = results.into_iter().filter_map(|(r, result)| Some(format!("{}: {}", r.name, result.err()?)));
        failures.collect::<Vec<_>>()
    });
    assert!(failures.is_empty(), "{} of {} differ:\n{}", failures.len(), all.len(), failures.join("\n"));
    gateway.stop();
}

#[test]
fn masking_keeps_what_is_compared() {
    let check = |text: &str, expected: &str| assert_eq!(masked(text), expected);
    check(
        "{\"a\":1.5e-3,\"b\":true,\"c\":[\"x\",2],\"d\":{\"e2\":10}}",
        "{\"a\":0,\"b\":false,\"c\":[],\"d\":{\"e2\":0}}",
    );
    assert_eq!(in_our_shape("{\"error\":{\"message\":\"m\",\"type\":\"t\"}}"), error_body("t", "m"));
    assert_eq!(in_our_shape("Not Found"), "Not Found");
}
