//! Peers of the tailnet that tailscaled brings from the loopback, having no interface of its own: none of them passes for
//! a program of this device, whatever tailscaled has forgotten, and whatever it was a moment ago.

use std::time::Duration;

use rustix::process::Signal;

use crate::client::{Peer, bearer};
use crate::identity::{ANN, asked, config, logged};
use crate::rig::{Dir, Gateway, SOON, Setup, until};
use crate::socket::Ws;
use crate::tailscaled::{FakeTailscaled, Manner, person, status};

fn userspace() -> String {
    status("pi", &["100.64.0.1"], "").replace("\"TUN\": true", "\"TUN\": false")
}

/// The name by which tailscaled knows a connection.
fn name(peer: &Peer) -> String {
    peer.stream().local_addr().expect("an address").to_string()
}

/// A configuration under which everybody on this device may do anything.
fn open(fake: &FakeTailscaled) -> String {
    config(fake, "loopback", "mode: \"none\"", "").replace("token: \"sekret-token-123456\", ", "")
}

fn start(fake: &FakeTailscaled) -> Gateway {
    fake.tells(&userspace(), "");
    Setup::new(&open(fake)).start()
}

/// A call that carries no secret.
fn call() -> Vec<u8> {
    asked("time_status", "127.0.0.1", "")
}

#[test]
fn a_peer_whose_connection_is_forgotten_is_no_program_of_this_device() {
    let dir = Dir::new();
    let fake = FakeTailscaled::start(&dir.path(""));
    let gateway = start(&fake);
    let mut own = gateway.peer();
    assert_eq!(own.ask(&call()).status, 200, "{}", gateway.tail());
    // tailscaled forgets a connection as it ends it: one that has ended proves nothing.
    let mut half = gateway.peer();
    half.send(&call()).expect("sent");
    half.finish();
    assert_eq!(half.answer().status, 401, "{}", gateway.tail());
    // One that was a peer's remains one.
    let mut peer = gateway.peer();
    fake.knows(&name(&peer), Some(&person("phone", ANN, "null")));
    assert_eq!(peer.ask(&call()).status, 401);
    fake.knows(&name(&peer), None);
    assert_eq!(peer.ask(&call()).status, 401, "{}", gateway.tail());
    fake.tells(&status("pi", &["100.64.0.1"], ""), "");
    assert_eq!(own.ask(&call()).status, 200);
}

#[test]
fn a_program_that_came_while_nobody_could_tell_is_one_when_somebody_can() {
    let dir = Dir::new();
    let fake = FakeTailscaled::start(&dir.path(""));
    fake.behaves(Manner::Silent);
    let gateway = Setup::new(&open(&fake)).dir(dir).start();
    let mut own = gateway.peer();
    assert_eq!(own.ask(&call()).status, 401, "{}", gateway.tail());
    fake.behaves(Manner::Right);
    let served = until(SOON, || (own.ask(&call()).status == 200).then_some(()));
    assert!(served.is_some(), "the connection stays a stranger's: {}", gateway.tail());
}

#[test]
fn a_tailscaled_that_comes_later_brings_peers_at_once() {
    let (dir, place) = (Dir::new(), Dir::new());
    let fake = FakeTailscaled::start(&place.path(""));
    let socket = fake.socket().to_owned();
    drop(fake);
    let allow = format!("tailnet: {{ allow: {{ logins: [\"{ANN}\"] }} }}");
    let text = format!(
        "{{ gateway: {{ bind: \"loopback\", auth: {{ token: \"sekret-token-123456\", {allow} }}, \
         tailnet: {{ localApi: \"{}\" }} }} }}",
        socket.display()
    );
    let gateway = Setup::new(&text).dir(dir).start();
    let mut early = Ws::enter(&gateway);
    assert_eq!(early.invoke("time_status")["ok"], true);
    let fake = FakeTailscaled::start(&place.path(""));
    fake.tells(&userspace(), "");
    let mut bob = gateway.peer();
    fake.knows(&name(&bob), Some(&person("pad", "bob@example.com", "null")));
    let answer = bob.ask(&asked("time_status", "127.0.0.1", &bearer()));
    assert_eq!(answer.status, 403, "{}: {}", answer.text(), gateway.tail());
    logged(&gateway, "reason=tailnet_forbidden");
    // Whoever came before may have been a peer.
    assert_eq!(early.closed(), (4001, "tailnet identity changed".into()));
}

#[test]
fn what_another_tailscaled_says_too_late_counts_for_nothing() {
    let (dir, place) = (Dir::new(), Dir::new());
    let new = FakeTailscaled::start(&place.path(""));
    new.tells(&userspace(), "");
    let old = FakeTailscaled::start(&dir.path(""));
    let said = status("old", &["100.64.0.9"], "");
    let slow = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{said}", said.len());
    let span = Duration::from_micros(500_000 / slow.len() as u64);
    old.behaves(Manner::Slow(slow.into_bytes(), span));
    let gateway = Setup::new(&open(&old)).dir(dir).start();
    let mut first = gateway.peer();
    first.send(&call()).expect("sent");
    assert!(until(SOON, || (old.asked() > 0).then_some(())).is_some(), "nobody asks");
    gateway.dir().write("toolgate.json5", 0o600, &open(&new));
    gateway.signal(Signal::HUP);
    logged(&gateway, "reload by=SIGHUP");
    assert_eq!(first.answer().status, 200, "{}", gateway.tail());
    let mut peer = gateway.peer();
    new.knows(&name(&peer), Some(&person("phone", ANN, "null")));
    assert_eq!(peer.ask(&call()).status, 401, "{}", gateway.tail());
    assert!(new.asked() > 0);
}
