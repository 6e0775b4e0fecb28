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

/// A gateway under that, beside such a tailscaled, and the connection of a program that it has served.
fn start() -> (FakeTailscaled, Gateway, Peer) {
    let dir = Dir::new();
    let fake = FakeTailscaled::start(&dir.path(""));
    fake.tells(&userspace(), "");
    let gateway = Setup::new(&open(&fake)).dir(dir).start();
    let mut own = gateway.peer();
    assert_eq!(own.ask(&call()).status, 200, "{}", gateway.tail());
    (fake, gateway, own)
}

/// A call that carries no secret.
fn call() -> Vec<u8> {
    asked("time_status", "127.0.0.1", "")
}

#[test]
fn a_peer_whose_connection_is_forgotten_is_no_program_of_this_device() {
    let (fake, gateway, mut own) = start();
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
fn another_tailscaled_in_the_same_place_is_asked_at_once() {
    let (dir, place) = (Dir::new(), Dir::new());
    let fake = FakeTailscaled::start(&place.path(""));
    let gateway = Setup::new(&open(&fake)).dir(dir).start();
    assert_eq!(gateway.peer().ask(&call()).status, 200);
    drop(fake);
    // It found no way to have an interface this time.
    let fake = FakeTailscaled::start(&place.path(""));
    fake.tells(&userspace(), "");
    let mut bob = gateway.peer();
    fake.knows(&name(&bob), Some(&person("pad", "bob@example.com", "null")));
    assert_eq!(bob.ask(&call()).status, 401, "{}", gateway.tail());
}

#[test]
fn a_connection_of_nobody_is_not_kept() {
    let (fake, gateway, mut own) = start();
    fake.behaves(Manner::Says(b"HTTP/1.1 500 No\r\n\r\n".to_vec()));
    // What was sent behind it is not judged by another answer.
    own.send(&[call(), call()].concat()).expect("sent");
    let (answers, _) = own.answers(false, SOON).expect("answers");
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [401]);
    fake.behaves(Manner::Right);
    assert!(until(SOON, || (gateway.peer().ask(&call()).status == 200).then_some(())).is_some(), "{}", gateway.tail());
}

#[test]
fn another_tailnet_ends_what_was_open_and_another_socket_for_serve_does_not() {
    let dir = Dir::new();
    let fake = FakeTailscaled::start(&dir.path(""));
    let text = |more: &str| config(&fake, "loopback", "", more);
    let gateway = Setup::new(&text("")).dir(dir).start();
    let mut inside = Ws::enter(&gateway);
    let mut kept = gateway.peer();
    let reload = |more: &str, times: usize| {
        gateway.dir().write("toolgate.json5", 0o600, &text(more));
        gateway.signal(Signal::HUP);
        let done = || (gateway.log().matches("reload by=SIGHUP").count() == times).then_some(());
        assert!(until(SOON, done).is_some(), "{}", gateway.tail());
    };
    assert_eq!(kept.ask(&asked("time_status", "127.0.0.1", &bearer())).status, 200);
    reload("serveSocket: \"/run/nowhere/serve.sock\"", 1);
    assert_eq!(inside.invoke("time_status")["ok"], true);
    assert_eq!(kept.ask(&asked("time_status", "127.0.0.1", &bearer())).status, 200);
    reload("prefixes: [\"10.7.0.0/16\"]", 2);
    assert_eq!(inside.closed(), (4001, "tailnet changed".into()));
    drop(kept.send(&asked("time_status", "127.0.0.1", &bearer())));
    assert!(kept.try_answer(false, SOON).is_err(), "it may have come by the tailnet that is left");
}

#[test]
fn a_peer_that_comes_from_where_it_goes_is_no_program_of_this_device() {
    let Some(home) = crate::tailnet::Home::new() else { return };
    let dir = Dir::new();
    let fake = FakeTailscaled::start(&dir.path(""));
    fake.tells(&userspace(), "");
    let text = config(&fake, "lan", &format!("tailnet: {{ allow: {{ logins: [\"{ANN}\"] }} }}"), "");
    let gateway = home.device.enter(|| Setup::new(&text).dir(dir).start());
    let to = format!("192.168.77.1:{}", gateway.addr().port());
    let connect = || home.device.enter(|| Peer::connect(to.parse().expect("an address")).expect("connect"));
    let (mut own, mut bob) = (connect(), connect());
    fake.knows(&name(&bob), Some(&person("pad", "bob@example.com", "null")));
    let call = asked("time_status", &to, &bearer());
    assert_eq!((own.ask(&call).status, bob.ask(&call).status), (200, 403), "{}", gateway.tail());
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
    // Nobody who was asked about there is answered.
    assert!(first.try_answer(false, SOON).is_err(), "{}", gateway.tail());
    let mut peer = gateway.peer();
    new.knows(&name(&peer), Some(&person("phone", ANN, "null")));
    assert_eq!(peer.ask(&call()).status, 401, "{}", gateway.tail());
    assert!(new.asked() > 0);
}
