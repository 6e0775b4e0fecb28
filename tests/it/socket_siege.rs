//! What sockets cost, idle and under siege.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Peer, health};
use crate::rig::{Gateway, SOON, Setup, is_left_out, is_release, notice, until};
use crate::socket::{Ws, config, hello, req, upgrade};

/// Private dirty memory of an idle socket at most, in KiB.
const EACH: f64 = 2.0;
const EACH_DEBUG: f64 = 4.0;

#[test]
fn idle_sockets_cost() {
    if is_left_out("bounds::idle_costs") {
        return;
    }
    let gateway = Setup::new(&config("limits: { connections: 1024, connectionsPerPeer: 1024 }")).start();
    let mut one = Ws::enter(&gateway);
    assert_eq!(one.invoke("sessions_list")["ok"], true);
    // What is remembered of sockets (the latest events, who was here) is bounded, and full after these.
    for _ in 0..300 {
        drop(Ws::enter(&gateway));
    }
    let idle = gateway.private_dirty();
    let count = 1_000;
    let sockets: Vec<Ws> = (0..count).map(|n| Ws::open_from(&gateway, 10 + (n / 100) as u8).entered(|_| {})).collect();
    let each = gateway.private_dirty().saturating_sub(idle) as f64 / f64::from(count);
    assert_eq!(gateway.status("Threads"), 2, "threads: the program's own and async-io's");
    let (limit, figures) =
        (if is_release() { EACH } else { EACH_DEBUG }, format!("{each:.2} KiB for each idle socket"));
    notice(&format!("{figures} of {count}"));
    assert!(each <= limit, "{figures}, instead of {limit}");
    // All of them leave at once, and each is told of to those who stay.
    let start = Instant::now();
    drop(sockets);
    let connections = |one: &mut Ws| one.ask("system-presence", Value::Null)["payload"].as_array().map(Vec::len);
    assert!(connections(&mut one).is_some());
    let gone = until(SOON, || (gateway.descriptors() < 40).then_some(()));
    assert!(gone.is_some(), "{} descriptors are still open", gateway.descriptors());
    notice(&format!("{count} sockets left within {:?}", start.elapsed()));
    gateway.stop();
}

/// Two hundred connections that want a socket and do not get to the end of their handshake.
fn half_open(gateway: &Gateway) -> Vec<Peer> {
    let whole = upgrade("/", "");
    let connect = req("c", "connect", &hello(|_| {}));
    let open = |number: u8| {
        let mut peer = gateway.peer_from(40 + number / 25);
        let sent = match number % 4 {
            0 => peer.send(&whole[..whole.len() - 2]),
            1 => peer.send(&whole),
            2 => peer.send(&[&whole, &connect[..connect.len() - 1]].concat()),
            // A message of the largest size that never ends.
            _ => peer.send(&[&whole, &[0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &[b'x'; 60_000]].concat()),
        };
        sent.expect("send half a handshake");
        peer
    };
    (0..200).map(open).collect()
}

/// A client that does everything right, again and again; how often, and the longest it waited.
fn well_behaved(gateway: &Gateway, over: &AtomicBool) -> (u32, Duration) {
    let (mut count, mut longest) = (0, Duration::ZERO);
    while !over.load(Ordering::Relaxed) {
        let start = Instant::now();
        let mut ws = Ws::open_from(gateway, 99).entered(|_| {});
        assert_eq!(ws.invoke("sessions_list")["ok"], true, "a well-behaved client");
        let mut peer = gateway.peer_from(99);
        assert_eq!(peer.ask(&health()).status, 200, "a well-behaved client over HTTP");
        longest = longest.max(start.elapsed());
        count += 1;
    }
    (count, longest)
}

/// One that asks for the largest answer over and over and never reads: how often, before it was no longer listened to.
fn never_reading(gateway: &Gateway) -> (usize, Peer) {
    let mut peer = Peer::connect_narrow(gateway.addr()).expect("connect");
    peer.send(&[upgrade("/", ""), req("c", "connect", &hello(|_| {}))].concat()).expect("sent");
    let count = peer.flood(&req("t", "tools.catalog", &json!({})));
    (count, peer)
}

#[test]
fn siege_of_sockets() {
    let gateway = Setup::new(&config("limits: { messageBytes: 26214400 }")).start();
    let over = AtomicBool::new(false);
    let (count, longest) = thread::scope(|scope| {
        let good = scope.spawn(|| well_behaved(&gateway, &over));
        let strangers = half_open(&gateway);
        // 25 MiB, of which some bytes come one at a time, and some megabytes at once.
        let announced = [0x81, 0xff, 0, 0, 0, 0, 1, 0x90, 0, 0, 0, 0, 0, 0];
        let mut slow = Ws::enter(&gateway);
        let mut large = Ws::enter(&gateway);
        for byte in announced.iter().chain([b'x'; 200].iter()) {
            slow.raw(std::slice::from_ref(byte)).expect("sent");
        }
        drop(large.raw(&[&announced[..], &vec![b'x'; 8 << 20]].concat()));
        let deaf: Vec<(usize, Peer)> = (0..3).map(|_| never_reading(&gateway)).collect();
        assert!(deaf.iter().all(|(count, _)| *count < 100_000), "a peer that never reads is listened to without end");
        let mut ws = Ws::enter(&gateway);
        assert_eq!(ws.ask("tools.catalog", json!({}))["ok"], true, "whoever reads is still answered");
        over.store(true, Ordering::Relaxed);
        let figures = good.join().expect("the well-behaved client, see above");
        drop((strangers, deaf, slow, large));
        figures
    });
    let (kept, memory) = gateway.memory();
    let figures = format!("{memory}, a good client served {count} times, within {longest:?}");
    notice(&figures);
    assert!(kept, "{figures}");
    assert!(count >= 2, "{figures}");
    assert_eq!(Ws::enter(&gateway).ask("health", Value::Null)["ok"], true, "after the siege");
    gateway.stop();
}
