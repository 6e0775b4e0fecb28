//! Sockets that a service manager opened: what is taken over, what is refused, and what stays when the gateway goes.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use rustix::process::Signal;

use crate::client::{Peer, call, health};
use crate::rig::{CONFIG, Dir, Gateway, SOON, Setup, TOKEN, notice, until};

/// What a shell does to be a service manager: its standard input becomes the first socket.
const ONE: &str = "exec 3<&0 </dev/null; export LISTEN_FDS=1; LISTEN_PID=$$";

/// A gateway's start under [`CONFIG`] with `socket`, after `script`.
fn with(socket: impl Into<OwnedFd>, script: &str) -> Setup {
    Setup::new(CONFIG).shell(socket, script)
}

fn listener(address: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(address).expect("a socket that listens");
    let address = listener.local_addr().expect("its address");
    (listener, address)
}

fn twin(listener: &TcpListener) -> TcpListener {
    listener.try_clone().expect("another descriptor")
}

/// Whether whoever connects there, and names that place, is served.
fn serves(address: SocketAddr) -> bool {
    let call = String::from_utf8(call("{\"tool\":\"time_status\"}")).expect("text");
    let call = call.replacen("Host: 127.0.0.1", &format!("Host: {address}"), 1);
    Peer::connect(address).is_ok_and(|mut peer| peer.ask(call.as_bytes()).status == 200)
}

/// The flags of an open descriptor. Source: proc_pid_fdinfo(5).
fn flags(gateway: &Gateway, descriptor: u32) -> u32 {
    let text = fs::read_to_string(format!("/proc/{}/fdinfo/{descriptor}", gateway.id())).expect("fdinfo");
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:")).expect("flags");
    u32::from_str_radix(flags.trim(), 8).expect("an octal number")
}

#[test]
fn an_inherited_socket_stands_in_place_of_the_configured() {
    let (manager, address) = listener("127.0.0.1:0");
    // The port of the configuration is taken, which would stop the start if it were asked for.
    let gateway = with(twin(&manager), ONE).port(address.port()).start();
    assert_eq!(gateway.addr(), address);
    assert!(serves(address));
    let flags = flags(&gateway, 3);
    assert_eq!(
        (flags & 0o2_000_000 != 0, flags & 0o4_000 != 0),
        (true, true),
        "closed at exec, non-blocking: {flags:o}"
    );
    let finished = gateway.stop();
    assert_eq!(finished.out, format!("listening on http://{address}\n"), "nothing else is opened");
    assert!(finished.log.contains("listeners_inherited count=1"), "{}", finished.log);
}

#[test]
fn who_comes_between_two_lives_is_served_by_the_next() {
    let (manager, address) = listener("127.0.0.1:0");
    let gateway = with(twin(&manager), ONE).start();
    assert!(serves(address));
    gateway.stop();
    let mut early = Peer::connect(address).expect("the manager's socket listens on");
    early.send(&health()).expect("send");
    let gateway = with(twin(&manager), ONE).start();
    assert_eq!(early.answer().status, 200);
    gateway.stop();
}

#[test]
fn several_sockets_and_other_families() {
    let (manager, address) = listener("127.0.0.1:0");
    let two = ONE.replace("3<&0", "3<&0 4<&0").replace("FDS=1", "FDS=2 LISTEN_FDNAMES=a:b");
    let gateway = with(twin(&manager), &two).start();
    assert!(serves(address));
    let finished = gateway.stop();
    assert_eq!(finished.out.lines().count(), 2, "{}", finished.out);
    for place in ["[::1]:0", "[::]:0"] {
        let Ok(manager) = TcpListener::bind(place) else {
            notice(&format!("no socket of IPv6 is passed: this machine has no {place}"));
            continue;
        };
        let port = manager.local_addr().expect("its address").port();
        let gateway = with(manager, ONE).start();
        assert!(serves(SocketAddr::new("::1".parse().expect("an address"), port)), "{place}");
        // The kernel takes the old protocol there too.
        assert_eq!(serves(SocketAddr::from(([127, 0, 0, 1], port))), place == "[::]:0", "{place}");
        gateway.stop();
    }
}

#[test]
fn what_is_not_for_us_is_left_alone() {
    let scripts = [
        ONE.replace("$$", "1"),
        ONE.replace("$$", "$PPID"),
        ONE.replace("$$", ""),
        ONE.replace("LISTEN_PID=$$", ""),
        ONE.replace("FDS=1", "FDS=0"),
        ONE.replace("export LISTEN_FDS=1;", ""),
    ];
    for script in scripts {
        let (manager, address) = listener("127.0.0.1:0");
        let gateway = with(twin(&manager), &script).start();
        assert_ne!(gateway.addr(), address, "{script}");
        assert!(serves(gateway.addr()), "{script}");
        drop(manager);
        // Nobody ever accepts there, but it is open for as long as the process has it.
        assert!(TcpStream::connect(address).is_ok(), "{script}");
        gateway.stop();
    }
}

/// Checks that a start with `socket` after `script` is refused as a wrong configuration, with a word about `why`.
#[track_caller]
fn refused(config: &str, socket: impl Into<OwnedFd>, script: &str, why: &str) {
    let finished = Setup::new(config).shell(socket, script).refuse();
    assert_eq!(finished.code, 78, "{script}: {finished:?}");
    assert!(finished.log.contains(why), "{script}: not a word of {why:?} in {:?}", finished.log);
    assert_eq!(finished.out, "", "{script}");
}

#[test]
fn what_cannot_be_served_stops_the_start() {
    let tcp = || listener("127.0.0.1:0").0;
    let dir = Dir::new();
    let file = || fs::File::open(dir.write("file", 0o600, "")).expect("a file");
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    refused(CONFIG, udp, ONE, "descriptor 3: it is no stream socket");
    refused(CONFIG, file(), ONE, "descriptor 3: it is no socket");
    refused(CONFIG, file(), &ONE.replace("3<&0 <", "3<&- <"), "descriptor 3: nothing was passed");
    let (manager, address) = listener("127.0.0.1:0");
    refused(CONFIG, TcpStream::connect(address).expect("a connection"), ONE, "Accept=no");
    drop(manager);
    let unix = UnixListener::bind(dir.path("socket")).expect("a socket");
    refused(CONFIG, unix, ONE, "FileDescriptorName=serve");
    refused(CONFIG, tcp(), &ONE.replace("FDS=1", "FDS=2"), "descriptor 4: nothing was passed");
    let second = ONE.replace("3<&0 <", "3<&0 4</dev/null <").replace("FDS=1", "FDS=2");
    refused(CONFIG, tcp(), &second, "descriptor 4: it is no socket");
    for count in ["-1", "x", "9", "1000000000", "99999999999999999999"] {
        refused(CONFIG, tcp(), &ONE.replace("FDS=1", &format!("FDS={count}")), "LISTEN_FDS must be a count");
    }
}

#[test]
fn mode_none_is_served_on_inherited_loopback_only() {
    let open = "{ gateway: { auth: { mode: \"none\" } } }";
    for place in ["0.0.0.0:0", "[::]:0"] {
        if let Ok(manager) = TcpListener::bind(place) {
            let address = manager.local_addr().expect("its address");
            refused(
                open,
                manager,
                ONE,
                &format!(
                    "gateway.bind: mode none lets everybody in, so it is served on loopback only; set a token or bind loopback (the service manager passed: {address})"
                ),
            );
        }
    }
    let gateway = Setup::new(open).shell(listener("127.0.0.1:0").0, ONE).start();
    assert!(serves(gateway.addr()));
    gateway.stop();
}

#[test]
fn a_reload_neither_moves_nor_opens_inherited_sockets() {
    let gateway = with(listener("0.0.0.0:0").0, ONE).start();
    let address = SocketAddr::from(([127, 0, 0, 1], gateway.addr().port()));
    let said = |word: &str| until(SOON, || gateway.log().contains(word).then_some(()));
    gateway.dir().write("toolgate.json5", 0o600, "{ gateway: { auth: { mode: \"none\" } } }");
    gateway.signal(Signal::HUP);
    assert!(said("reload_refused gateway.bind: mode none").is_some(), "{}", gateway.tail());
    let custom = format!(
        "{{ gateway: {{ bind: \"custom\", customBindHost: \"127.0.0.2\", port: 1, auth: {{ mode: \"token\", token: \"{TOKEN}\" }} }} }}"
    );
    gateway.dir().write("toolgate.json5", 0o600, &custom);
    gateway.signal(Signal::HUP);
    assert!(said("reload by=SIGHUP").is_some(), "{}", gateway.tail());
    assert!(serves(address));
    let finished = gateway.stop();
    assert_eq!(finished.log.matches("listen address=").count(), 1, "{}", finished.log);
    assert!(!finished.log.contains("reload_needs_restart"), "{}", finished.log);
}
