//! What a service manager is told: over its notification socket, from start to end.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};

use crate::client::call;
use crate::rig::{CONFIG, Dir, Gateway, SOON, Setup, until};

/// A manager that listens.
struct Manager(UnixDatagram);

impl Manager {
    fn at(address: &SocketAddr) -> Manager {
        let socket = UnixDatagram::bind_addr(address).expect("a manager's socket");
        socket.set_read_timeout(Some(SOON)).expect("a timeout");
        Manager(socket)
    }

    /// One whose socket is the file `notify` in `dir`, and what its service finds in the environment.
    fn in_dir(dir: &Dir) -> (Manager, String) {
        let path = dir.path("notify");
        let manager = Manager::at(&SocketAddr::from_pathname(&path).expect("a path"));
        (manager, path.to_string_lossy().into_owned())
    }

    fn try_hear(&self) -> Option<String> {
        let mut buffer = [0; 4096];
        let length = self.0.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].into()).expect("text"))
    }

    /// The next message, as lines.
    #[track_caller]
    fn hear(&self, gateway: &Gateway) -> Vec<String> {
        let Some(message) = self.try_hear() else { panic!("no message; log:\n{}", gateway.tail()) };
        message.lines().map(String::from).collect()
    }

    /// The next message that is no sign of life.
    #[track_caller]
    fn hear_news(&self, gateway: &Gateway) -> Vec<String> {
        loop {
            let message = self.hear(gateway);
            if message != ["WATCHDOG=1"] {
                return message;
            }
        }
    }
}

/// Where it says that it listens.
fn places(gateway: &Gateway) -> Vec<String> {
    gateway.out().lines().filter_map(|line| Some(line.strip_prefix("listening on http://")?.to_owned())).collect()
}

/// Microseconds of the clock that a manager compares with.
fn monotonic_micros() -> u128 {
    Duration::try_from(clock_gettime(ClockId::Monotonic)).expect("a time").as_micros()
}

/// Asks for a reload and hears what comes of it.
fn reload(manager: &Manager, gateway: &Gateway) -> Vec<String> {
    let asked = monotonic_micros();
    gateway.signal(Signal::HUP);
    let began = manager.hear_news(gateway);
    let [state, time] = began.as_slice() else { panic!("{began:?}") };
    assert_eq!(state, "RELOADING=1");
    let micros: u128 = time.strip_prefix("MONOTONIC_USEC=").expect("a time").parse().expect("a number");
    assert!((asked..=monotonic_micros()).contains(&micros), "{micros} is not between the signal and now");
    manager.hear_news(gateway)
}

/// A life under a manager at `address`, which its service knows as `name`.
fn life(dir: Dir, manager: &Manager, name: &str) {
    let micros = Duration::from_millis(200).as_micros().to_string();
    let setup = Setup::new(CONFIG).dir(dir).env("NOTIFY_SOCKET", name).env("WATCHDOG_USEC", &micros);
    let gateway = setup.start();
    let first = manager.hear(&gateway);
    let [ready, serving] = first.as_slice() else { panic!("{first:?}") };
    assert_eq!(ready, "READY=1", "the first message");
    // What is printed is printed before, but another thread collects it.
    let printed =
        || Some(places(&gateway).join(", ")).filter(|places| *serving == ["STATUS=listening on ", places].concat());
    assert!(until(SOON, printed).is_some(), "{serving} and {:?}", gateway.out());
    assert_eq!(gateway.peer().ask(&call("{\"tool\":\"time_status\"}")).status, 200, "ready means ready");
    for number in 1..=3 {
        assert_eq!(manager.hear(&gateway), ["WATCHDOG=1"], "sign of life {number}");
    }
    assert_eq!(reload(manager, &gateway), ["READY=1", serving], "a good reload");
    gateway.dir().write("toolgate.json5", 0o600, "{ gateway: { prot: 1, auth: { mode: \"tokn\" } } }");
    let refused = reload(manager, &gateway);
    let [ready, status] = refused.as_slice() else { panic!("{refused:?}") };
    assert_eq!(ready, "READY=1", "the old configuration serves on");
    assert_eq!(*status, format!("{serving}; the last reload was refused, findings in the log: 2"));
    gateway.dir().write("toolgate.json5", 0o600, CONFIG);
    assert_eq!(reload(manager, &gateway), ["READY=1", serving], "and is forgotten");
    gateway.signal(Signal::TERM);
    assert_eq!(manager.hear_news(&gateway), ["STOPPING=1", "STATUS=stopping"]);
    assert_eq!(gateway.wait().code, 0);
}

#[test]
fn a_manager_hears_of_a_whole_life() {
    let dir = Dir::new();
    let (manager, path) = Manager::in_dir(&dir);
    life(dir, &manager, &path);
    let dir = Dir::new();
    let name = format!("toolgate-it-{}", std::process::id());
    let manager = Manager::at(&SocketAddr::from_abstract_name(&name).expect("a name"));
    life(dir, &manager, &format!("@{name}"));
}

#[test]
fn a_process_that_hangs_gives_no_sign_of_life() {
    let dir = Dir::new();
    let (manager, path) = Manager::in_dir(&dir);
    let gateway = Setup::new(CONFIG).dir(dir).env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "100000").start();
    assert_eq!(manager.hear(&gateway)[0], "READY=1");
    assert_eq!(manager.hear(&gateway), ["WATCHDOG=1"]);
    gateway.signal(Signal::STOP);
    assert!(until(SOON, || gateway.state().contains("(stopped)").then_some(())).is_some(), "{}", gateway.state());
    manager.0.set_nonblocking(true).expect("no waiting");
    while manager.try_hear().is_some() {}
    manager.0.set_nonblocking(false).expect("waiting");
    manager.0.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    assert_eq!(manager.try_hear(), None, "ten intervals without a turn of the loop");
    manager.0.set_read_timeout(Some(SOON)).expect("a timeout");
    gateway.signal(Signal::CONT);
    assert_eq!(manager.hear(&gateway), ["WATCHDOG=1"]);
    gateway.stop();
}

#[test]
fn a_manager_that_takes_nothing_holds_nobody_up() {
    let dir = Dir::new();
    let (manager, path) = Manager::in_dir(&dir);
    let full = UnixDatagram::unbound().expect("a socket");
    full.set_nonblocking(true).expect("no waiting");
    while full.send_to(b"STATUS=noise", &path).is_ok() {}
    let gateway = Setup::new(CONFIG).dir(dir).env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000").start();
    let mut peer = gateway.peer();
    for _ in 0..5 {
        assert_eq!(peer.ask(&call("{\"tool\":\"time_status\"}")).status, 200);
    }
    // One that comes late is told from then on.
    until(SOON, || manager.try_hear().filter(|message| message == "WATCHDOG=1")).expect("a sign of life");
    gateway.stop();
}

#[test]
fn sockets_that_nobody_listens_at() {
    let dir = Dir::new();
    let file = dir.write("file", 0o600, "").to_string_lossy().into_owned();
    let missing = dir.path("missing").to_string_lossy().into_owned();
    let long = format!("/{}", "x".repeat(4_000));
    for name in ["", "@", "@toolgate-it-nobody", "relative", "vsock:2:1", "/", &file, &missing, &long] {
        let setup = Setup::new(CONFIG).env("NOTIFY_SOCKET", name).env("WATCHDOG_USEC", "100000");
        let gateway = setup.arg("--log-level").arg("debug").start();
        assert_eq!(gateway.peer().ask(&call("{\"tool\":\"time_status\"}")).status, 200, "{name:.40}");
        gateway.signal(Signal::HUP);
        assert!(until(SOON, || gateway.log().contains("reload by=SIGHUP").then_some(())).is_some(), "{name:.40}");
        let finished = gateway.stop();
        assert!(finished.log.contains("DEBUG notify_failed"), "{name:.40}: {}", finished.log);
        assert!(!finished.log.contains("ERROR"), "{name:.40}: {}", finished.log);
    }
}
