//! What the gateway gives away at most: connections, time, descriptors, idle memory.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Resource;

use crate::client::{End, Peer, bearer, call, call_framed, health, request};
use crate::rig::{CONFIG, Gateway, SOON, Setup, is_left_out, is_release, notice, until};

const PER_PEER: usize = 32;
const IN_TOTAL: usize = 256;

/// Opens a connection from 127.0.0.`last` that has been served and is kept.
fn served(gateway: &Gateway, last: u8) -> Peer {
    let mut peer = gateway.peer_from(last);
    let answer = peer.ask(&health());
    assert_eq!((answer.status, answer.closes()), (200, false), "127.0.0.{last}: {answer:?}");
    peer
}

/// Checks that a new connection from 127.0.0.`last` is told 503 and closed.
fn turned_away(gateway: &Gateway, last: u8) {
    let mut peer = gateway.peer_from(last);
    drop(peer.send(&health()));
    let answer = peer.answer();
    assert_eq!((answer.status, answer.closes()), (503, true), "127.0.0.{last}: {answer:?}");
    assert!(answer.field("retry-after").is_some_and(|v| v.parse::<u32>().is_ok()), "{answer:?}");
    assert_eq!((peer.end(SOON), peer.unread()), (End::Closed, &b""[..]), "127.0.0.{last}");
}

/// Waits until a new connection from 127.0.0.`last` is served.
fn served_again(gateway: &Gateway, last: u8) {
    let look = || {
        let mut peer = gateway.peer_from(last);
        drop(peer.send(&health()));
        peer.try_answer(false, SOON).ok().filter(|a| a.status == 200)
    };
    assert!(until(SOON, look).is_some(), "127.0.0.{last} is never served again; log:\n{}", gateway.tail());
}

#[test]
fn connections_of_one_peer() {
    let gateway = Gateway::start();
    let mut peers: Vec<Peer> = (0..PER_PEER).map(|_| served(&gateway, 2)).collect();
    turned_away(&gateway, 2);
    drop(served(&gateway, 3));
    assert_eq!(peers[0].ask(&health()).status, 200, "a connection that was there before");
    drop(peers.pop());
    served_again(&gateway, 2);
    gateway.stop();
}

#[test]
fn connections_in_total() {
    let gateway = Gateway::start();
    let mut peers: Vec<Peer> = Vec::new();
    for last in (10..).take(IN_TOTAL / PER_PEER) {
        peers.extend((0..PER_PEER).map(|_| served(&gateway, last)));
    }
    turned_away(&gateway, 2);
    assert_eq!(peers[IN_TOTAL - 1].ask(&health()).status, 200, "a connection that was there before");
    peers.clear();
    served_again(&gateway, 2);
    gateway.stop();
}

#[test]
fn configured_connections() {
    let config = CONFIG.replacen("bind:", "limits: { connections: 4, connectionsPerPeer: 2 }, bind:", 1);
    let gateway = Setup::new(&config).start();
    let peers: Vec<Peer> = [2, 2, 3, 3].map(|last| served(&gateway, last)).into();
    turned_away(&gateway, 2);
    turned_away(&gateway, 4);
    drop(peers);
    served_again(&gateway, 4);
    gateway.stop();
}

/// Seconds from `start` until the gateway's part is over, checked against a span.
fn took(name: &str, start: Instant, span: (f64, f64)) {
    let seconds = start.elapsed().as_secs_f64();
    assert!((span.0..span.1).contains(&seconds), "{name} after {seconds:.1} s instead of {} to {} s", span.0, span.1);
}

/// Sends one byte a second until an answer comes.
fn trickle(peer: &mut Peer, bytes: &[u8]) -> crate::client::Answer {
    for byte in bytes.chunks(1) {
        drop(peer.send(byte));
        if let Ok(answer) = peer.try_answer(false, Duration::from_secs(1)) {
            return answer;
        }
    }
    panic!("{} bytes, one a second, and no answer", bytes.len());
}

fn idle_keep_alive(gateway: &Gateway) {
    let mut peer = served(gateway, 1);
    let start = Instant::now();
    assert_eq!((peer.end(Duration::from_secs(12)), peer.unread()), (End::Closed, &b""[..]), "an idle connection");
    took("an idle connection closed", start, (4.0, 9.5));
}

fn slow_head(gateway: &Gateway, before: &[u8]) {
    let mut peer = gateway.peer();
    if !before.is_empty() {
        assert_eq!(peer.ask(before).status, 200);
    }
    let start = Instant::now();
    let answer = trickle(&mut peer, &request("GET /health HTTP/1.1", "", b""));
    assert_eq!((answer.status, answer.closes()), (408, true), "a slow head: {answer:?}");
    took("a slow head refused", start, (8.0, 25.0));
    assert_eq!(peer.end(SOON), End::Closed, "a slow head");
}

fn slow_body(gateway: &Gateway, fields: &str, piece: &[u8]) {
    let mut peer = gateway.peer();
    peer.send(&call_framed(fields, b"")).expect("send the head");
    let start = Instant::now();
    let answer = trickle(&mut peer, &piece.repeat(99));
    assert_eq!((answer.status, answer.closes()), (408, true), "a slow body: {answer:?}");
    assert_eq!(answer.error(), ("invalid_request_error".into(), "Request body timeout".into()));
    took("a slow body refused", start, (28.0, 80.0));
    assert_eq!(peer.end(SOON), End::Closed, "a slow body");
}

fn never_reading() {
    let gateway = Gateway::start();
    let idle = gateway.descriptors();
    let mut peer = Peer::connect_narrow(gateway.addr()).expect("connect");
    let start = Instant::now();
    let count = peer.flood(&call("{\"tool\":\"sessions_list\"}"));
    assert!(count < 999_999, "a peer that never reads is served without end");
    // The kernel may take one more answer when the first deadline is over, but not two.
    let given_up = until(Duration::from_secs(70), || (gateway.descriptors() == idle).then_some(()));
    assert!(given_up.is_some(), "a peer that never reads is never given up; log:\n{}", gateway.tail());
    took("a peer that never reads given up", start, (20.0, 70.0));
    gateway.stop();
}

/// All that only time shows, at the same time.
#[test]
fn deadlines() {
    let gateway = Gateway::start();
    thread::scope(|scope| {
        scope.spawn(|| idle_keep_alive(&gateway));
        scope.spawn(|| slow_head(&gateway, b""));
        scope.spawn(|| slow_head(&gateway, &health()));
        scope.spawn(|| slow_body(&gateway, "Content-Length: 99\r\n", b" "));
        scope.spawn(|| slow_body(&gateway, "Transfer-Encoding: chunked\r\n", b"1\r\n \r\n"));
        scope.spawn(never_reading);
    });
    gateway.stop();
}

/// Processor time the gateway takes over a second, in ticks.
fn ticks_over_a_second(gateway: &Gateway) -> u64 {
    let before = gateway.ticks();
    thread::sleep(Duration::from_secs(1));
    gateway.ticks() - before
}

/// Opens more connections than there are descriptors and checks that the gateway rests, then recovers.
fn exhaust(gateway: &Gateway, name: &str) {
    let peers: Vec<Peer> = (0..40).map(|n| gateway.peer_from(if n % 2 == 0 { 2 } else { 3 })).collect();
    let spent = ticks_over_a_second(gateway);
    assert!(spent <= 10, "{name}: {spent} of 100 ticks spent on nothing; log:\n{}", gateway.tail());
    let lines = gateway.log().lines().count();
    assert!(lines < 200, "{name}: {lines} lines logged");
    drop(peers);
    served_again(gateway, 4);
}

#[test]
fn descriptors_run_out() {
    let gateway = Gateway::start();
    gateway.limit(Resource::Nofile, gateway.descriptors() as u64 + 3);
    exhaust(&gateway, "all descriptors taken");
    gateway.stop();
}

#[test]
fn few_descriptors_from_the_start() {
    let gateway = Setup::new(CONFIG).ulimit("-n 24").start();
    assert!(gateway.log().contains("connections_fit count="), "{}", gateway.tail());
    exhaust(&gateway, "ulimit -n 24");
    let answer = gateway.peer().ask(&call("{\"tool\":\"device_status\"}"));
    assert_eq!(answer.status, 200, "a tool that opens files: {answer:?}");
    gateway.stop();
}

#[test]
fn idle_costs() {
    if is_left_out("bounds::idle_costs") {
        return;
    }
    let gateway = Gateway::start();
    drop(served(&gateway, 2));
    let call = gateway.peer().ask(&call("{\"tool\":\"sessions_list\"}"));
    assert_eq!(call.status, 200, "{call:?}");
    assert_eq!(gateway.status("Threads"), 2, "threads: the program's own and async-io's");
    let idle = gateway.private_dirty();
    let peers: Vec<Peer> = (0..200).map(|n| served(&gateway, 10 + n / 25)).collect();
    let each = gateway.private_dirty().saturating_sub(idle) as f64 / peers.len() as f64;
    let figures = format!("idle {idle} KiB of private dirty memory, {each:.2} KiB more for each idle connection");
    let (idle_most, each_most) = if is_release() { (400, 1.0) } else { (2048, 4.0) };
    if !is_release() {
        notice(&format!("{figures}; a debug build is held to {idle_most} and {each_most} KiB only"));
    }
    assert!(idle <= idle_most && each <= each_most, "{figures}, instead of {idle_most} and {each_most}");
    drop(peers);
    gateway.stop();
}

#[test]
fn unread_bodies_are_drained_or_end_the_connection() {
    let gateway = Gateway::start();
    let check = |name: &str, length: usize, kept: bool| {
        let fields = format!("Content-Length: {length}\r\n");
        let mut peer = gateway.peer();
        peer.send(&request("POST /nowhere HTTP/1.1", &fields, &vec![b'x'; length])).expect("send");
        let answer = peer.answer();
        assert_eq!(answer.status, 404, "{name}: {answer:?}");
        if kept {
            assert_eq!(peer.ask(&health()).status, 200, "{name}: the next request");
        } else {
            assert_eq!((answer.closes(), peer.end(SOON)), (true, End::Closed), "{name}");
        }
    };
    check("a body over the limit that nobody reads", 2_097_153, true);
    check("an endless body that nobody reads", 40_000_000, false);
    // A body that is promised and does not come holds nothing up.
    let mut peer = gateway.peer();
    let answer = peer.ask(&request("POST /tools/invoke HTTP/1.1", "Content-Length: 1000\r\n", b""));
    assert_eq!(answer.status, 401, "{answer:?}");
    let fields = format!("{}Content-Length: 0\r\n", bearer());
    drop(peer.send(&vec![b'x'; 1000]));
    assert_eq!(peer.ask(&request("POST /tools/invoke HTTP/1.1", &fields, b"")).status, 400);
    gateway.stop();
}
