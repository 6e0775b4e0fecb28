//! The listeners on the tailnet, seen from three machines: a peer of the tailnet, a neighbour on the LAN, the device.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::client::{Peer, bearer, request};
use crate::namespace::Namespace;
use crate::rig::{Gateway, SOON, Setup, until};

const CONFIG: &str = "{ gateway: { bind: \"tailnet\", auth: { token: \"sekret-token-123456\" }, tailnet: { localApi: \"/nonexistent/tailscaled.sock\" } } }";
pub const DEVICE: &str = "100.64.0.1";
const DEVICE_V6: &str = "fd7a:115c:a1e0::1";
/// How long a connection that must fail may take to do so.
const NEVER: Duration = Duration::from_millis(700);

/// The device with its LAN, a peer and a neighbour; no tailnet yet.
pub struct Home {
    pub device: Namespace,
    pub peer: Namespace,
    neighbour: Namespace,
}

impl Home {
    pub fn new() -> Option<Home> {
        let home = Home { device: Namespace::new()?, peer: Namespace::new()?, neighbour: Namespace::new()? };
        home.device.cable("eth0", &home.neighbour, "eth0");
        home.device.ip("address add 192.168.77.1/24 dev eth0");
        home.device.ip("link set eth0 up");
        home.neighbour.ip("address add 192.168.77.2/24 dev eth0");
        home.neighbour.ip("link set eth0 up");
        // What any neighbour can do: Linux answers on any interface for any address it has.
        home.neighbour.ip(&format!("route add {DEVICE}/32 via 192.168.77.1"));
        Some(home)
    }

    /// The tailnet comes up.
    pub fn join(&self) {
        self.device.cable("tailscale0", &self.peer, "tailscale0");
        for (namespace, own) in [(&self.device, "1"), (&self.peer, "2")] {
            namespace.ip(&format!("address add 100.64.0.{own}/10 dev tailscale0"));
            namespace.ip(&format!("address add fd7a:115c:a1e0::{own}/48 dev tailscale0 nodad"));
            namespace.ip("link set tailscale0 up");
        }
    }

    fn leave(&self) {
        self.device.ip("link delete tailscale0");
    }

    fn start(&self, config: &str) -> Gateway {
        self.device.enter(|| Setup::new(config).start())
    }

    fn ready(&self, gateway: &Gateway) -> (u16, Value) {
        let mut peer = self.device.enter(|| gateway.peer());
        let answer = peer.ask(&request("GET /readyz HTTP/1.1", "", b""));
        (answer.status, answer.json())
    }
}

/// Where the tailnet's listeners of `gateway` are.
pub fn at(gateway: &Gateway, host: &str) -> SocketAddr {
    SocketAddr::new(host.parse().expect("an address"), gateway.addr().port())
}

/// Waits until the gateway has said so many times that it listens on the tailnet.
pub fn listens(gateway: &Gateway, times: usize) {
    let lines = || gateway.out().matches("http://100.64.0.1:").count();
    let found = until(SOON, || (lines() == times).then_some(()));
    assert!(found.is_some(), "{} of {times}: {}\n{}", lines(), gateway.out(), gateway.tail());
}

/// Calls a tool from `from`; the status, or why there is none.
fn called(from: &Namespace, to: SocketAddr) -> Result<u16, std::io::ErrorKind> {
    let stream = from.enter(|| TcpStream::connect_timeout(&to, NEVER)).map_err(|error| error.kind())?;
    drop(stream);
    let mut peer = from.enter(|| Peer::connect(to)).map_err(|error| error.kind())?;
    let body = "{\"tool\":\"time_status\"}";
    let fields = [&bearer(), "Content-Type: application/json\r\nContent-Length: 22\r\n"].concat();
    let asked = format!("POST /tools/invoke HTTP/1.1\r\nHost: {to}\r\n{fields}\r\n{body}").into_bytes();
    peer.send(&asked).map_err(|error| error.kind())?;
    peer.try_answer(false, SOON).map(|answer| answer.status).map_err(|_| std::io::ErrorKind::ConnectionReset)
}

#[test]
fn peers_of_the_tailnet_are_served_and_neighbours_are_not() {
    let Some(home) = Home::new() else { return };
    let gateway = home.start(CONFIG);
    // It waits, and does not fall back: only the loopback is open.
    assert_eq!(gateway.addr().ip().to_string(), "127.0.0.1");
    let (status, ready) = home.ready(&gateway);
    assert_eq!((status, &ready["failing"]), (503, &serde_json::json!(["tailnet"])), "{ready}");
    assert!(called(&home.neighbour, at(&gateway, "192.168.77.1")).is_err());
    assert_eq!(called(&home.device, gateway.addr()), Ok(200));

    home.join();
    listens(&gateway, 1);
    assert_eq!(called(&home.peer, at(&gateway, DEVICE)), Ok(200), "{}", gateway.tail());
    assert_eq!(called(&home.peer, at(&gateway, DEVICE_V6)), Ok(200), "{}", gateway.tail());
    assert_eq!(called(&home.device, at(&gateway, DEVICE)), Ok(200), "from the device itself");
    assert_eq!(home.ready(&gateway).0, 200);
    // The address answers pings from the LAN, so the neighbour does reach it; the gateway it does not.
    assert!(called(&home.neighbour, at(&gateway, DEVICE)).is_err());
    assert!(called(&home.neighbour, at(&gateway, "192.168.77.1")).is_err());
    // A neighbour with an address of the tailnet: only the interface tells it from a peer.
    home.neighbour.ip("address add 100.64.0.9/32 dev eth0");
    home.device.ip("route add 100.64.0.9/32 via 192.168.77.2");
    home.neighbour.ip(&format!("route replace {DEVICE}/32 via 192.168.77.1 src 100.64.0.9"));
    assert!(called(&home.neighbour, at(&gateway, DEVICE)).is_err());
    drop(gateway.stop());
}

#[test]
fn a_source_outside_the_tailnet_is_not_listened_to() {
    let Some(home) = Home::new() else { return };
    home.join();
    let gateway = home.start(CONFIG);
    listens(&gateway, 1);
    // Behind the peer there is a network that it does not hide: a subnet router without address translation.
    home.peer.ip("address add 10.1.2.3/32 dev tailscale0");
    home.device.ip("route add 10.1.2.3/32 dev tailscale0");
    home.peer.ip(&format!("route add {DEVICE}/32 dev tailscale0 src 10.1.2.3"));
    assert!(called(&home.peer, at(&gateway, DEVICE)).is_err(), "{}", gateway.tail());
    let said =
        until(SOON, || gateway.log().contains("refuse peer=10.1.2.3 reason=tailnet_foreign_source").then_some(()));
    assert!(said.is_some(), "{}", gateway.tail());
    home.peer.ip(&format!("route delete {DEVICE}/32"));
    assert_eq!(called(&home.peer, at(&gateway, DEVICE)), Ok(200));
}

#[test]
fn listeners_follow_their_interface() {
    let Some(home) = Home::new() else { return };
    home.join();
    let gateway = home.start(CONFIG);
    listens(&gateway, 1);
    let descriptors = gateway.descriptors();
    for times in 2..6 {
        // A connection that is there when the interface goes does no harm.
        let kept = home.peer.enter(|| Peer::connect(at(&gateway, DEVICE)).expect("connect"));
        home.leave();
        let closed = until(SOON, || (gateway.log().matches("tailnet_closed").count() == 2 * (times - 1)).then_some(()));
        assert!(closed.is_some(), "{}", gateway.tail());
        assert_eq!(home.ready(&gateway).0, 503);
        assert_eq!(called(&home.device, gateway.addr()), Ok(200), "the loopback stays");
        home.join();
        listens(&gateway, times);
        assert_eq!(called(&home.peer, at(&gateway, DEVICE)), Ok(200), "{}", gateway.tail());
        assert_eq!(called(&home.peer, at(&gateway, DEVICE_V6)), Ok(200), "{}", gateway.tail());
        drop(kept);
    }
    let kept = until(SOON, || (gateway.descriptors() <= descriptors + 4).then_some(()));
    assert!(kept.is_some(), "{} descriptors, {descriptors} at first", gateway.descriptors());
}

#[test]
fn an_interface_of_another_name_is_found_when_tailscaled_answers() {
    let Some(home) = Home::new() else { return };
    home.device.cable("ts7", &home.peer, "tailscale0");
    home.device.ip(&format!("address add {DEVICE}/10 dev ts7"));
    home.device.ip("link set ts7 up");
    home.peer.ip("address add 100.64.0.2/10 dev tailscale0");
    home.peer.ip("link set tailscale0 up");
    let dir = crate::rig::Dir::new();
    let fake = crate::tailscaled::FakeTailscaled::start(&dir.path(""));
    fake.behaves(crate::tailscaled::Manner::Silent);
    let config = CONFIG.replace("/nonexistent/tailscaled.sock", &fake.socket().to_string_lossy());
    let gateway = home.device.enter(|| Setup::new(&config).dir(dir).start());
    let waits = || gateway.log().contains("waiting for tailscale0").then_some(());
    assert!(until(SOON, waits).is_some(), "{}", gateway.tail());
    // Nothing of the kernel's tells that it has come to itself.
    fake.behaves(crate::tailscaled::Manner::Right);
    listens(&gateway, 1);
    assert_eq!(called(&home.peer, at(&gateway, DEVICE)), Ok(200), "{}", gateway.tail());
}

#[test]
fn addresses_come_and_go_one_by_one() {
    let Some(home) = Home::new() else { return };
    let gateway = home.start(CONFIG);
    home.device.cable("tailscale0", &home.peer, "tailscale0");
    home.device.ip("link set tailscale0 up");
    home.peer.ip("link set tailscale0 up");
    home.peer.ip("address add 100.64.0.2/10 dev tailscale0");
    home.peer.ip("address add fd7a:115c:a1e0::2/48 dev tailscale0 nodad");
    assert_eq!(home.ready(&gateway).0, 503, "an interface without addresses is no tailnet");
    home.device.ip("address add 100.64.0.1/10 dev tailscale0");
    listens(&gateway, 1);
    assert_eq!(called(&home.peer, at(&gateway, DEVICE)), Ok(200));
    home.device.ip("address add fd7a:115c:a1e0::1/48 dev tailscale0 nodad");
    let second = until(SOON, || gateway.out().contains("[fd7a:115c:a1e0::1]").then_some(()));
    assert!(second.is_some(), "{}", gateway.tail());
    assert_eq!(called(&home.peer, at(&gateway, DEVICE_V6)), Ok(200));
    assert_eq!(gateway.log().matches("tailnet_closed").count(), 0, "the first listener stayed");
    home.device.ip("address delete 100.64.0.1/10 dev tailscale0");
    let closed = until(SOON, || gateway.log().contains("tailnet_closed address=100.64.0.1").then_some(()));
    assert!(closed.is_some(), "{}", gateway.tail());
    assert_eq!(called(&home.peer, at(&gateway, DEVICE_V6)), Ok(200));
}

#[test]
fn a_reload_joins_and_leaves_the_tailnet() {
    let Some(home) = Home::new() else { return };
    home.join();
    let gateway = home.start(&CONFIG.replace("\"tailnet\", auth", "\"loopback\", auth"));
    assert!(called(&home.peer, at(&gateway, DEVICE)).is_err());
    gateway.dir().write("toolgate.json5", 0o600, CONFIG);
    gateway.signal(rustix::process::Signal::HUP);
    listens(&gateway, 1);
    assert_eq!(called(&home.peer, at(&gateway, DEVICE)), Ok(200));
    let host = at(&gateway, DEVICE).to_string();
    let health = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
    let mut kept = home.peer.enter(|| Peer::connect(at(&gateway, DEVICE)).expect("connect"));
    let stream = home.peer.enter(|| TcpStream::connect(at(&gateway, DEVICE)).expect("connect"));
    let mut inside = crate::socket::Ws::over(stream).entered(|_| {});
    assert_eq!((kept.ask(&health).status, &inside.invoke("time_status")["ok"]), (200, &Value::Bool(true)));
    gateway.dir().write("toolgate.json5", 0o600, &CONFIG.replace("\"tailnet\", auth", "\"loopback\", auth"));
    gateway.signal(rustix::process::Signal::HUP);
    // Who came by it does not stay either.
    assert_eq!(inside.closed(), (4001, "tailnet changed".into()));
    drop(kept.send(&health));
    assert!(kept.try_answer(false, SOON).is_err(), "a kept connection outlives its listener");
    let closed = until(SOON, || gateway.log().contains("tailnet_closed address=100.64.0.1").then_some(()));
    assert!(closed.is_some(), "{}", gateway.tail());
    let refused = until(SOON, || called(&home.peer, at(&gateway, DEVICE)).is_err().then_some(()));
    assert!(refused.is_some(), "{}", gateway.tail());
    assert_eq!(called(&home.device, gateway.addr()), Ok(200));
}
