//! Many strangers and some expensive friends at once: the memory promise holds and a well-behaved peer is served.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Peer, call, health};
use crate::rig::{CONFIG, Gateway, SOON, Setup, is_left_out, notice};

/// A body's largest size in bytes.
const BODY: usize = 2_097_152;

/// `open`, then `piece` until the body is full, then `close`.
fn filled(open: &str, piece: &str, close: &str) -> String {
    let room = BODY - open.len() - close.len();
    // A list's last comma makes way for the end.
    format!("{open}{}{close}", piece.repeat(room / piece.len()).trim_end_matches(','))
}

fn keys(open: &str, close: &str) -> String {
    let mut body = open.to_owned();
    for number in 0.. {
        let member = format!("\"k{number}\":{number},");
        if body.len() + member.len() + close.len() > BODY {
            break;
        }
        body += &member;
    }
    body.pop();
    body + close
}

/// The most expensive bodies there are: what a parser would turn into a tree many times its size.
fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    let list = "{\"tool\":\"sessions_list\",\"args\":{\"x\":[";
    let bodies = [
        ("many numbers", filled(list, "1,", "]}}")),
        ("many numbers where strings belong", filled("{\"tool\":\"sessions_list\",\"args\":{\"kinds\":[", "1,", "]}}")),
        ("many strings where they belong", filled("{\"tool\":\"sessions_list\",\"args\":{\"kinds\":[", "\"\",", "]}}")),
        ("many empty lists", filled(list, "[],", "]}}")),
        ("many small objects", filled(list, "{\"a\":0},", "]}}")),
        ("deep lists", filled("{\"tool\":\"sessions_list\",\"args\":", "[", "")),
        ("deep objects", filled("{\"tool\":\"sessions_list\",\"args\":", "{\"a\":", "")),
        ("many arguments", keys("{\"tool\":\"sessions_list\",\"args\":{", "}}")),
        ("many members", keys("{\"tool\":\"sessions_list\",", "}")),
        ("one member many times", filled("{\"tool\":\"sessions_list\",", "\"args\":{},", "}")),
        ("a long tool name", filled("{\"tool\":\"", "\\u0041", "\"}")),
        ("a long session key", filled("{\"tool\":\"agents_list\",\"sessionKey\":\"agent:", "\\u00e9", "\"}")),
        ("a long argument", filled("{\"tool\":\"sessions_list\",\"args\":{\"label\":\"", "\\ud83d\\ude00", "\"}}")),
        ("a long number", filled("{\"tool\":\"sessions_list\",\"args\":{\"limit\":1", "0", "}}")),
        ("nothing but commas", filled("{\"tool\":\"sessions_list\"", ", ", "}")),
        ("bytes that are no text", filled("{\"tool\":\"sessions_list\",\"args\":{\"x\":\"", "?", "\"}}")),
    ];
    let bytes = bodies.into_iter().map(|(name, body)| {
        let coded = call(&body);
        let odd = name == "bytes that are no text";
        (name, if odd { coded.iter().map(|b| if *b == b'?' { 0xff } else { *b }).collect() } else { coded })
    });
    bytes.collect()
}

/// Calls until the gateway has room, and returns the status that is not 503.
fn insist(gateway: &Gateway, last: u8, name: &str, bytes: &[u8]) -> u16 {
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        let mut peer = gateway.peer_from(last);
        peer.send(bytes).unwrap_or_else(|e| panic!("{name}: the upload was cut off: {e}"));
        let answer = peer.try_answer(false, Duration::from_secs(30)).unwrap_or_else(|e| panic!("{name}: {e}"));
        if answer.status != 503 {
            return answer.status;
        }
        assert!(answer.field("retry-after").is_some(), "{name}: {answer:?}");
        thread::sleep(Duration::from_millis(20));
    }
    panic!("{name}: no room for a minute");
}

/// A hundred connections that have said nothing, half a line, or nearly all that a head may hold.
fn half_open(gateway: &Gateway) -> Vec<Peer> {
    let head = [b"GET /health HTTP/1.1\r\nX: ", &[b'x'; 16_000][..]].concat();
    let open = |number: u8| {
        let mut peer = gateway.peer_from(40 + number / 25);
        let sent = match number % 4 {
            0 => peer.send(b""),
            1 => peer.send(b"POST /tools/inv"),
            _ => peer.send(&head),
        };
        sent.expect("send half a request");
        peer
    };
    (0..100).map(open).collect()
}

/// A peer that does everything right, again and again. How often it was served, and the longest it waited.
fn well_behaved(gateway: &Gateway, over: &AtomicBool) -> (u32, Duration) {
    let (mut count, mut longest) = (0, Duration::ZERO);
    while !over.load(Ordering::Relaxed) {
        for request in [health(), call("{\"tool\":\"sessions_list\"}")] {
            let start = Instant::now();
            let mut peer = gateway.peer_from(99);
            drop(peer.send(&request));
            let answer = peer.try_answer(false, SOON).unwrap_or_else(|e| panic!("a well-behaved peer: {e}"));
            assert_eq!(answer.status, 200, "a well-behaved peer: {answer:?}");
            longest = longest.max(start.elapsed());
            count += 1;
        }
        thread::sleep(Duration::from_millis(30));
    }
    (count, longest)
}

/// The three kinds of strangers, at once, against one gateway.
fn besiege(gateway: &Gateway, name: &str) {
    let bodies = bodies();
    let over = AtomicBool::new(false);
    let strangers = half_open(gateway);
    let mut deaf: Vec<Peer> = (0..2).map(|_| Peer::connect_narrow(gateway.addr()).expect("connect")).collect();
    let (count, longest) = thread::scope(|scope| {
        let good = scope.spawn(|| well_behaved(gateway, &over));
        let floods: Vec<_> =
            deaf.iter_mut().map(|p| scope.spawn(|| p.flood(&call("{\"tool\":\"agents_list\"}")))).collect();
        let bodies = &bodies;
        let friends = (0..20_u8).map(|number| {
            scope.spawn(move || {
                for round in 0..2 {
                    let (what, bytes) = &bodies[(usize::from(number) + round * 7) % bodies.len()];
                    let status = insist(gateway, 100 + number, what, bytes);
                    assert!(matches!(status, 200 | 400 | 404), "{what}: {status}");
                }
            })
        });
        let friends: Vec<_> = friends.collect();
        let failed = friends.into_iter().map(|f| f.join()).filter(Result::is_err).count();
        let flooded = floods.into_iter().map(|f| f.join()).filter(Result::is_err).count();
        over.store(true, Ordering::Relaxed);
        assert_eq!((failed, flooded), (0, 0), "{name}: see above; {}; log:\n{}", gateway.state(), gateway.tail());
        good.join().unwrap_or_else(|_| panic!("{name}: the well-behaved peer, see above"))
    });
    let (kept, memory) = gateway.memory();
    let figures = format!("{name}: {memory}, a good peer served {count} times, within {longest:?}");
    notice(&figures);
    assert!(kept, "{figures}");
    assert!(count >= 4, "{figures}");
    drop(strangers);
    assert_eq!(gateway.peer().ask(&health()).status, 200, "{name}: after the siege");
}

#[test]
fn siege() {
    let gateway = Gateway::start();
    besiege(&gateway, "a siege");
    gateway.stop();
}

#[test]
fn siege_with_little_memory() {
    if is_left_out("siege::siege_with_little_memory") {
        return;
    }
    let gateway = Setup::new(CONFIG).ulimit("-d 24576").start();
    besiege(&gateway, "a siege under ulimit -d 24576");
    gateway.stop();
}

#[test]
fn expensive_bodies_are_judged() {
    let gateway = Gateway::start();
    for (name, bytes) in bodies() {
        let start = Instant::now();
        let status = insist(&gateway, 2, name, &bytes);
        let expected: &[u16] = match name {
            "deep lists" | "deep objects" | "nothing but commas" => &[400],
            "a long tool name" => &[404],
            // Replacing each byte by U+FFFD would make three of it.
            "a long argument" | "a long number" | "a long session key" | "bytes that are no text" => &[200, 400],
            _ => &[200],
        };
        assert!(expected.contains(&status), "{name}: {status} instead of {expected:?}");
        assert!(start.elapsed() < SOON, "{name} took {:?}", start.elapsed());
    }
    gateway.stop();
}
