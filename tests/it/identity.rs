//! Who a caller is in the tailnet's own words: in the log, as a filter in front of the token, and as proof where the
//! operator says so. With a fake tailscaled, whose word it is.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use crate::client::{self, Answer, Peer, bearer};
use crate::rig::{Dir, Gateway, SOON, Setup, until};
use crate::tailnet::{DEVICE, Home, at, listens};
use crate::tailscaled::{FakeTailscaled, Manner, person, status, tagged};

pub const ANN: &str = "ann@example.com";

/// A configuration whose tailscaled is `fake`; `auth` and `gateway` are further members there.
pub fn config(fake: &FakeTailscaled, bind: &str, auth: &str, gateway: &str) -> String {
    let api = fake.socket().display();
    format!(
        "{{ gateway: {{ bind: \"{bind}\", auth: {{ token: \"sekret-token-123456\", {auth} }}, \
         tailnet: {{ localApi: \"{api}\", {gateway} }} }} }}"
    )
}

/// Waits until the gateway has logged `text`.
pub fn logged(gateway: &Gateway, text: &str) {
    let found = until(SOON, || gateway.log().contains(text).then_some(()));
    assert!(found.is_some(), "{text:?} is not in the log:\n{}", gateway.tail());
}

/// The bytes of a call of `tool`, with `Host: host` and further fields.
pub fn asked(tool: &str, host: &str, fields: &str) -> Vec<u8> {
    let body = format!("{{\"tool\":\"{tool}\"}}");
    let length = body.len();
    format!("POST /tools/invoke HTTP/1.1\r\nHost: {host}\r\n{fields}Content-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

fn ask(home: &Home, to: SocketAddr, tool: &str, fields: &str) -> Answer {
    let mut peer = home.peer.enter(|| Peer::connect(to)).expect("a peer connects");
    peer.ask(&asked(tool, &to.to_string(), fields))
}

/// A home in a tailnet, and its gateway.
fn start(auth: &str) -> Option<(Home, FakeTailscaled, Gateway)> {
    let home = Home::new()?;
    home.join();
    let dir = Dir::new();
    let fake = FakeTailscaled::start(&dir.path(""));
    let config = config(&fake, "tailnet", auth, "");
    let gateway = home.device.enter(|| Setup::new(&config).dir(dir).start());
    listens(&gateway, 1);
    Some((home, fake, gateway))
}

#[test]
fn peers_are_named_in_the_log() {
    let Some((home, fake, gateway)) = start("") else { return };
    fake.knows("100.64.0.2", Some(&person("phone", ANN, "null")));
    let to = at(&gateway, DEVICE);
    let before = fake.asked();
    for _ in 0..20 {
        assert_eq!(ask(&home, to, "time_status", &bearer()).status, 200, "{}", gateway.tail());
    }
    assert_eq!(fake.heads().iter().skip(before).filter(|head| head.contains("whois")).count(), 1, "it is remembered");
    let named = " peer=100.64.0.2 who=\"ann@example.com\" node=phone.example.ts.net status=200 ";
    logged(&gateway, named);
    // The device is called by its names in the tailnet.
    let mut peer = home.peer.enter(|| Peer::connect(to)).expect("a peer connects");
    for (host, expected) in
        [("pi.example.ts.net", 200), ("PI", 200), ("pi.example.ts.net.:1", 200), ("evil.ts.net", 421)]
    {
        let answer = peer.ask(&asked("time_status", host, &bearer()));
        assert_eq!(answer.status, expected, "{host}: {}", answer.text());
    }
    // A name that would write lines of its own.
    home.peer.ip("address add 100.64.0.3/32 dev tailscale0");
    home.peer.ip("route add 100.64.0.1/32 dev tailscale0 src 100.64.0.3");
    fake.knows("100.64.0.3", Some(&person("phone", "ann\\n<0>fake@example.com", "null")));
    assert_eq!(ask(&home, to, "time_status", &bearer()).status, 200, "nobody needs a name here");
    assert!(!gateway.log().contains("\n<0>fake"), "{}", gateway.tail());
    logged(&gateway, "peer=100.64.0.3 who=unknown");
}

#[test]
fn whoever_is_not_on_the_list_stays_outside() {
    let allow = format!("tailnet: {{ allow: {{ logins: [\"{ANN}\"], tags: [\"tag:home\"] }} }}");
    let Some((home, fake, gateway)) = start(&allow) else { return };
    let to = at(&gateway, DEVICE);
    let mut last = 2;
    let mut check = |node: Option<String>, expected: u16, reason: &str| {
        // Each is another peer, because what is known of one is remembered.
        last += 1;
        let addr = format!("100.64.0.{last}");
        home.peer.ip(&format!("address add {addr}/32 dev tailscale0"));
        home.peer.ip(&format!("route replace 100.64.0.1/32 dev tailscale0 src {addr}"));
        fake.knows(&addr, node.as_deref());
        let answer = ask(&home, to, "time_status", &bearer());
        assert_eq!(answer.status, expected, "{addr} {node:?}: {}; {}", answer.text(), gateway.tail());
        if expected != 200 {
            logged(&gateway, &format!("refuse peer={addr}"));
        }
        logged(&gateway, reason);
        // The list stands in front of the token: it takes the place of none.
        let expected = if expected == 200 { 401 } else { expected };
        assert_eq!(ask(&home, to, "time_status", "").status, expected);
    };
    check(Some(person("phone", "Ann@Example.com", "null")), 200, "");
    check(Some(tagged("hub", r#"["tag:home"]"#, "null")), 200, "");
    check(Some(person("phone", "bob@example.com", "null")), 403, "reason=tailnet_forbidden");
    check(Some(tagged("hub", r#"["tag:guest"]"#, "null")), 403, "reason=tailnet_forbidden");
    // The login of every tagged node is the same word, and nobody's.
    check(Some(person("hub", "tagged-devices", "null")), 403, "reason=tailnet_");
    check(None, 403, "reason=tailnet_unknown");
    fake.behaves(Manner::Silent);
    let began = Instant::now();
    check(Some(person("phone", ANN, "null")), 403, "reason=tailnet_unknown");
    assert!(began.elapsed() < SOON, "nobody waits for tailscaled for long");
    fake.behaves(Manner::Says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_vec()));
    check(Some(person("phone", ANN, "null")), 403, "reason=tailnet_unknown");
    // Programs on the device are no peers of the tailnet.
    let mut local = home.device.enter(|| gateway.peer());
    assert_eq!(local.ask(&client::call(r#"{"tool":"time_status"}"#)).status, 200);
}

#[test]
fn identity_is_proof_only_where_the_operator_says_so() {
    let auth = format!("tailnet: {{ allow: {{ logins: [\"{ANN}\"] }}, identity: true }}");
    let Some((home, fake, gateway)) = start(&auth) else { return };
    fake.knows("100.64.0.2", Some(&person("phone", ANN, "null")));
    let to = at(&gateway, DEVICE);
    assert_eq!(ask(&home, to, "time_status", "").status, 200, "{}", gateway.tail());
    assert_eq!(ask(&home, to, "time_status", "Authorization: Bearer wrong\r\n").status, 401);
    assert_eq!(ask(&home, to, "time_status", &bearer()).status, 200);
    // A program on the device says that it is Ann.
    let mut local = home.device.enter(|| gateway.peer());
    let forged = format!("Tailscale-User-Login: {ANN}\r\nX-Forwarded-For: 100.64.0.2\r\n");
    assert_eq!(local.ask(&asked("time_status", "127.0.0.1", &forged)).status, 401);
    // One that comes by the device's own address is not the person whose device this is.
    fake.knows(DEVICE, Some(&person("pi", ANN, "null")));
    let mut own = home.device.enter(|| Peer::connect(to)).expect("the device connects");
    assert_eq!(own.ask(&asked("time_status", &to.to_string(), "")).status, 401, "{}", gateway.tail());
    assert_eq!(own.ask(&asked("time_status", &to.to_string(), &bearer())).status, 200, "{}", gateway.tail());
    // So does a peer that is somebody else.
    home.peer.ip("address add 100.64.0.3/32 dev tailscale0");
    home.peer.ip("route add 100.64.0.1/32 dev tailscale0 src 100.64.0.3");
    fake.knows("100.64.0.3", Some(&person("pad", "bob@example.com", "null")));
    assert_eq!(ask(&home, to, "time_status", &forged).status, 403);
}

#[test]
fn an_address_without_its_interface_narrows_and_proves_nothing() {
    let Some(home) = Home::new() else { return };
    home.join();
    let dir = Dir::new();
    let fake = FakeTailscaled::start(&dir.path(""));
    let auth = format!("tailnet: {{ allow: {{ logins: [\"{ANN}\"] }}, identity: true }}");
    let text = config(&fake, "lan", &auth, "");
    let gateway = home.device.enter(|| Setup::new(&text).dir(dir).start());
    let to = at(&gateway, DEVICE);
    fake.knows("100.64.0.2", Some(&person("phone", ANN, "null")));
    assert_eq!(ask(&home, to, "time_status", "").status, 401, "{}", gateway.tail());
    assert_eq!(ask(&home, to, "time_status", &bearer()).status, 200, "{}", gateway.tail());
    logged(&gateway, "peer=100.64.0.2 who=\"ann@example.com\"");
    home.peer.ip("address add 100.64.0.3/32 dev tailscale0");
    home.peer.ip("route add 100.64.0.1/32 dev tailscale0 src 100.64.0.3");
    fake.knows("100.64.0.3", Some(&person("pad", "bob@example.com", "null")));
    assert_eq!(ask(&home, to, "time_status", &bearer()).status, 403);
}

#[test]
fn the_tailnet_names_the_tools() {
    let auth = "tailnet: { capability: \"example.com/cap/toolgate\" }";
    let Some((home, fake, gateway)) = start(auth) else { return };
    let granted = r#"{"example.com/cap/toolgate":[{"tools":["time_status","wake_*"]}],"other":[{"tools":["*"]}]}"#;
    fake.knows("100.64.0.2", Some(&person("phone", ANN, granted)));
    let to = at(&gateway, DEVICE);
    assert_eq!(ask(&home, to, "time_status", &bearer()).status, 200, "{}", gateway.tail());
    assert_eq!(ask(&home, to, "device_status", &bearer()).status, 404);
    logged(&gateway, "reason=tailnet_capability");
    home.peer.ip("address add 100.64.0.3/32 dev tailscale0");
    home.peer.ip("route add 100.64.0.1/32 dev tailscale0 src 100.64.0.3");
    fake.knows("100.64.0.3", Some(&person("pad", ANN, "null")));
    assert_eq!(ask(&home, to, "time_status", &bearer()).status, 404, "no grant, no tool");
}

/// A gateway that only the loopback reaches, and what tailscaled says of itself.
fn local(auth: &str, tailnet: &str, said: &str) -> (FakeTailscaled, Gateway) {
    let dir = Dir::new();
    let fake = FakeTailscaled::start(&dir.path(""));
    fake.tells(said, said);
    let text = config(&fake, "loopback", auth, tailnet);
    let gateway = Setup::new(&text).dir(dir).start();
    (fake, gateway)
}

#[test]
fn without_an_interface_the_loopback_is_no_privilege() {
    let userspace = status("pi", &["100.64.0.1"], "").replace("\"TUN\": true", "\"TUN\": false");
    let auth = format!("tailnet: {{ allow: {{ logins: [\"{ANN}\"] }} }}");
    let (fake, gateway) = local(&auth, "", &userspace);
    let relayed = |node: &str| {
        let peer = gateway.peer();
        fake.knows(&peer.stream().local_addr().expect("an address").to_string(), Some(node));
        peer
    };
    let mut ann = relayed(&person("phone", ANN, "null"));
    assert_eq!(ann.ask(&asked("time_status", "127.0.0.1", &bearer())).status, 200, "{}", gateway.tail());
    logged(&gateway, "peer=127.0.0.1 who=\"ann@example.com\"");
    let mut bob = relayed(&person("pad", "bob@example.com", "null"));
    assert_eq!(bob.ask(&asked("time_status", "127.0.0.1", &bearer())).status, 403);
    // A program on the device stays one.
    let mut own = gateway.peer();
    assert_eq!(own.ask(&asked("time_status", "127.0.0.1", &bearer())).status, 200, "{}", gateway.tail());
    let details = |peer: &mut Peer| {
        let answer = peer.ask(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        answer.json().get("uptimeMs").is_some()
    };
    assert!(details(&mut own) && !details(&mut ann), "readiness in detail is for programs on the device");
    // Guesses of a relayed peer are counted, those of a program on the device are not.
    let wrong = asked("time_status", "127.0.0.1", "Authorization: Bearer wrong\r\n");
    let guesses: Vec<u16> = (0..12).map(|_| ann.ask(&wrong).status).collect();
    assert!(guesses.starts_with(&[401; 10]) && guesses.ends_with(&[429]), "{guesses:?}");
    let guesses: Vec<u16> = (0..12).map(|_| own.ask(&wrong).status).collect();
    assert_eq!(guesses, [401; 12]);
    // Mode none is for programs on the device.
    gateway.dir().write(
        "toolgate.json5",
        0o600,
        &config(&fake, "loopback", "mode: \"none\"", "").replace("token: \"sekret-token-123456\", ", ""),
    );
    gateway.signal(rustix::process::Signal::HUP);
    logged(&gateway, "reload by=SIGHUP");
    let mut ann = relayed(&person("phone", ANN, "null"));
    assert_eq!(ann.ask(&asked("time_status", "127.0.0.1", "")).status, 401);
    assert_eq!(gateway.peer().ask(&asked("time_status", "127.0.0.1", "")).status, 200);
    gateway.dir().write("toolgate.json5", 0o600, &config(&fake, "loopback", &auth, ""));
    gateway.signal(rustix::process::Signal::HUP);
    assert!(until(SOON, || (gateway.log().matches("reload by=SIGHUP").count() == 2).then_some(())).is_some());
    // Where tailscaled does not say who it is, nobody is trusted for coming from the loopback.
    fake.behaves(Manner::Silent);
    let answer = gateway.peer().ask(&asked("time_status", "127.0.0.1", &bearer()));
    assert_eq!(answer.status, 403, "{}", answer.text());
    logged(&gateway, "reason=tailnet_unknown");
}

/// Asks over the socket of Tailscale Serve.
fn served(path: &std::path::Path, bytes: &[u8]) -> Result<Answer, String> {
    let mut stream = UnixStream::connect(path).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(SOON)).expect("a timeout");
    stream.write_all(bytes).map_err(|error| error.to_string())?;
    let mut heard = Vec::new();
    loop {
        let mut buffer = [0; 4_096];
        let length = stream.read(&mut buffer).map_err(|error| error.to_string())?;
        heard.extend(&buffer[..length]);
        if let Some((answer, _)) = client::parse(&heard, false, length == 0)? {
            return Ok(answer);
        }
        if length == 0 {
            return Err("it ended".into());
        }
    }
}

#[test]
fn headers_of_serve_count_on_its_own_socket_only() {
    let dir = Dir::new();
    let fake = FakeTailscaled::start(&dir.path(""));
    let socket = dir.path("serve.sock");
    let auth = format!("tailnet: {{ allow: {{ logins: [\"{ANN}\"], tags: [\"tag:home\"] }}, identity: true }}");
    let text = config(&fake, "loopback", &auth, &format!("serveSocket: \"{}\"", socket.display()));
    let gateway = Setup::new(&text).dir(dir).start();
    assert!(until(SOON, || gateway.out().contains("listening on unix:").then_some(())).is_some(), "{}", gateway.out());
    fake.knows("100.64.0.2", Some(&person("phone", ANN, "null")));
    fake.knows("100.64.0.3", Some(&tagged("hub", r#"["tag:home"]"#, "null")));
    fake.knows("100.64.0.4", Some(&person("pad", "bob@example.com", "null")));
    let host = "pi.example.ts.net";
    let check = |fields: &str, expected: u16| {
        let answer = served(&socket, &asked("time_status", host, fields)).expect(fields);
        assert_eq!(answer.status, expected, "{fields:?}: {}; {}", answer.text(), gateway.tail());
    };
    let ann = "Tailscale-User-Login: ann@example.com\r\n";
    check(&format!("X-Forwarded-For: 100.64.0.2\r\n{ann}"), 200);
    logged(&gateway, "peer=100.64.0.2 who=\"ann@example.com\"");
    check("X-Forwarded-For: 100.64.0.3\r\n", 200);
    // What the header says and what tailscaled says must agree, and somebody must be named.
    check(&format!("X-Forwarded-For: 100.64.0.4\r\n{ann}"), 403);
    check(&format!("X-Forwarded-For: 100.64.0.3\r\n{ann}"), 403);
    check("X-Forwarded-For: 100.64.0.2\r\n", 403);
    check("X-Forwarded-For: 100.64.0.2\r\nTailscale-User-Login: bob@example.com\r\n", 403);
    check(&format!("X-Forwarded-For: 100.64.0.2, 100.64.0.2\r\n{ann}"), 403);
    check(&format!("X-Forwarded-For: 100.64.0.2\r\nX-Forwarded-For: 100.64.0.2\r\n{ann}"), 403);
    check(&format!("X-Forwarded-For: 127.0.0.1\r\n{ann}"), 403);
    // A program of this device that comes round by Serve is not the person whose device this is.
    fake.knows("100.64.0.1", Some(&person("pi", ANN, "null")));
    check(&format!("X-Forwarded-For: 100.64.0.1\r\n{ann}"), 403);
    check(ann, 403);
    check("", 403);
    check(&bearer(), 403);
    // The internet, by Funnel.
    check(&format!("X-Forwarded-For: 100.64.0.2\r\n{ann}Tailscale-Funnel-Request: ?1\r\n"), 403);
    logged(&gateway, "reason=funnel_refused");
    // Everywhere else they are noise, whoever says them.
    let mut tcp = gateway.peer();
    assert_eq!(tcp.ask(&asked("time_status", host, &format!("X-Forwarded-For: 100.64.0.2\r\n{ann}"))).status, 401);
    assert_eq!(tcp.ask(&asked("time_status", host, &format!("{ann}{}", bearer()))).status, 200);
    let funnel = format!("Tailscale-Funnel-Request: ?1\r\n{}", bearer());
    assert_eq!(tcp.ask(&asked("time_status", host, &funnel)).status, 403);
    let status = tcp.ask(&asked("gateway_status", host, &bearer()));
    assert!(status.text().contains(&format!("unix:{}", socket.display())), "{}", status.text());
    let wrong = served(&socket, &asked("time_status", "evil.example", "")).expect("an answer");
    assert_eq!(wrong.status, 421);
}

#[test]
fn a_directory_that_others_reach_is_no_place_for_serve() {
    let dir = Dir::new();
    let fake = FakeTailscaled::start(&dir.path(""));
    let open = dir.path("open");
    std::fs::create_dir(&open).expect("a directory");
    std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
    let socket = open.join("serve.sock");
    let text = config(&fake, "loopback", "", &format!("serveSocket: \"{}\"", socket.display()));
    let finished = Setup::new(&text).refuse();
    assert_eq!(finished.code, 78, "{}", finished.log);
    assert!(
        finished.log.contains("gateway.tailnet.serveSocket") && finished.log.contains("chmod 700"),
        "{}",
        finished.log
    );
    std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("a mode");
    // A socket that a killed gateway left behind is in nobody's way; one that is in use stays.
    let gateway = Setup::new(&text).start();
    gateway.signal(rustix::process::Signal::KILL);
    let _ = gateway.wait();
    let gateway = Setup::new(&text).start();
    let second = Setup::new(&text).refuse();
    assert_eq!(second.code, 78, "{}", second.log);
    assert!(second.log.contains("another"), "{}", second.log);
    assert!(
        served(&socket, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").is_ok_and(|answer| answer.status == 200)
    );
    drop(gateway);
}
