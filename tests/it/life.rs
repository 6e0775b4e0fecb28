//! A process's life: how it starts, what it refuses to start with, what it says, how it ends.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::client::{End, Peer, call, call_framed, health, request};
use crate::quick::quick;
use crate::rig::{CONFIG, Dir, Finished, Gateway, SOON, Setup, TOKEN, free_port, program, run, until};

/// A configuration that leaves the secret to other sources.
const PLAIN: &str = "{ gateway: { auth: { mode: \"token\" } } }";

/// A call with another token than the usual one.
fn call_as(token: &str) -> Vec<u8> {
    let body = b"{\"tool\":\"sessions_list\"}";
    let fields = format!("Authorization: Bearer {token}\r\nContent-Length: {}\r\n", body.len());
    request("POST /tools/invoke HTTP/1.1", &fields, body)
}

#[test]
fn what_is_printed() {
    let gateway = Setup::new(CONFIG).arg("--log-level").arg("debug").start();
    assert_eq!(gateway.peer().ask(&health()).status, 200);
    assert_eq!(gateway.peer().ask(&call("{\"tool\":\"sessions_list\"}")).status, 200);
    let finished = gateway.stop();
    for line in finished.out.lines() {
        let addr = line.strip_prefix("listening on http://").and_then(|a| a.parse::<std::net::SocketAddr>().ok());
        assert!(addr.is_some_and(|a| a.ip().is_loopback() && a.port() != 0), "stdout says {line:?}");
    }
    assert!(!finished.log.is_empty(), "nothing was logged");
    assert!(!finished.log.contains(TOKEN), "the token was logged:\n{}", finished.log);
}

#[test]
fn signals_end_it_at_once() {
    let end = |signal| {
        let gateway = Gateway::start();
        // Accepted before the next one was, and nothing was ever asked on it.
        let mut silent = gateway.peer();
        let mut idle = gateway.peer();
        assert_eq!(idle.ask(&health()).status, 200);
        gateway.signal(signal);
        let finished = gateway.wait();
        assert_eq!(finished.code, 0, "{signal:?}; log:\n{}", finished.log);
        assert_eq!((idle.end(SOON), idle.unread()), (End::Closed, &b""[..]), "{signal:?}: an idle connection");
        assert_eq!((silent.end(SOON), silent.unread()), (End::Closed, &b""[..]), "{signal:?}: a silent connection");
    };
    // Nor do idle connections hold it up.
    for signal in [Signal::TERM, Signal::INT] {
        quick(Duration::from_secs(3), || end(signal));
    }
}

#[test]
fn requests_in_flight_finish() {
    let gateway = Gateway::start();
    let mut peer = gateway.peer();
    let body = b"{\"tool\":\"sessions_list\"}";
    let invited = peer.ask(&call_framed("Expect: 100-continue\r\nContent-Length: 24\r\n", b""));
    assert_eq!(invited.status, 100, "{invited:?}");
    gateway.signal(Signal::TERM);
    let closed = until(SOON, || Peer::connect(gateway.addr()).is_err().then_some(()));
    assert!(closed.is_some(), "the listener stays open after SIGTERM");
    let answer = peer.ask(body);
    assert_eq!((answer.status, answer.closes()), (200, true), "the call in flight: {answer:?}");
    assert_eq!(peer.end(SOON), End::Closed);
    let finished = gateway.wait();
    assert_eq!(finished.code, 0, "log:\n{}", finished.log);
}

#[test]
fn nobody_holds_up_the_end() {
    let gateway = Gateway::start();
    let mut peer = gateway.peer();
    let invited = peer.ask(&call_framed("Expect: 100-continue\r\nContent-Length: 24\r\n", b""));
    assert_eq!(invited.status, 100, "{invited:?}");
    let start = Instant::now();
    gateway.signal(Signal::TERM);
    let finished = gateway.wait();
    assert_eq!(finished.code, 0, "log:\n{}", finished.log);
    // A body may take 30 s.
    assert!(start.elapsed() < Duration::from_secs(25), "a body that never comes held it {:?}", start.elapsed());
}

/// Checks a refusal to start: the code, words that must be said, and that no secret is.
fn refuses(name: &str, setup: Setup, code: i32, words: &[&str]) -> Finished {
    let finished = setup.refuse();
    assert_eq!(finished.code, code, "{name}: {finished:?}");
    for word in words {
        assert!(finished.log.contains(word), "{name}: nothing is said about {word:?}:\n{}", finished.log);
    }
    assert!(!finished.log.trim().is_empty(), "{name}: not a word");
    assert!(!finished.text().contains("listening on"), "{name}: {finished:?}");
    assert!(!finished.text().contains("panicked"), "{name}: {finished:?}");
    finished
}

#[test]
fn a_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its number").port();
    refuses("a port in use", Setup::new(CONFIG).port(port), 1, &[&port.to_string(), "in use"]);
}

/// Configurations and what must be said about each.
const WRONG: [(&str, &str, &[&str]); 9] = [
    (
        "three findings at once",
        "{ gateway: { prot: 1, auth: { mode: \"tokn\" }, limits: { connections: \"many\" } } }",
        &["gateway.prot", "port", "gateway.auth.mode", "gateway.limits.connections"],
    ),
    ("a misspelt section", "{ gatway: {} }", &["gatway", "gateway"]),
    ("a port that is none", "{ gateway: { port: 70000 } }", &["gateway.port"]),
    ("a negative port", "{ gateway: { port: -1 } }", &["gateway.port"]),
    ("no JSON5", "{ gateway: ", &["line 1"]),
    ("not even text", "\u{0}\u{1}\u{2}", &["line 1"]),
    ("a list", "[]", &[]),
    (
        "a known placeholder",
        "{ gateway: { auth: { mode: \"token\", token: \"change-me-now\" } } }",
        &["gateway.auth.token"],
    ),
    (
        "two secrets and no mode",
        "{ gateway: { auth: { token: \"abcdefgh12345678\", password: \"abcdefgh87654321\" } } }",
        &["gateway.auth"],
    ),
];

#[test]
fn wrong_configurations() {
    for (name, config, words) in WRONG {
        refuses(name, Setup::new(config), 78, words);
    }
    let deep = format!("{{ gateway: {}{} }}", "[".repeat(100_000), "]".repeat(100_000));
    refuses("a configuration nested 100 000 deep", Setup::new(&deep), 78, &["nested"]);
    let dir = Dir::new();
    let missing = dir.path("none.json5");
    let missing = missing.to_string_lossy();
    let finished = run(program(&dir, &["run", "--port", "0", "--config", &missing]));
    assert_eq!(finished.code, 78, "a missing file that was named: {finished:?}");
    assert!(finished.log.contains("none.json5"), "{finished:?}");
}

#[test]
fn configuration_files_that_cannot_be_trusted() {
    let dir = Dir::new();
    let check = |name: &str, path: &str| {
        let path = dir.path(path);
        let finished = run(program(&dir, &["run", "--port", "0", "--config", &path.to_string_lossy()]));
        assert_eq!(finished.code, 78, "{name}: {finished:?}");
    };
    dir.write("writable", 0o666, CONFIG);
    check("a file others can write", "writable");
    rustix::fs::mknodat(rustix::fs::CWD, dir.path("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .expect("a pipe");
    check("a pipe, which must not be waited for", "pipe");
    fs::create_dir(dir.path("folder")).expect("a folder");
    check("a folder", "folder");
}

#[test]
fn token_files_that_cannot_be_trusted() {
    let secret = "4ba7ad4cfdc9ca50a9c7f4bcbd3cabcd";
    let check = |name: &str, make: &dyn Fn(&Dir)| {
        let dir = Dir::new();
        make(&dir);
        let path = dir.path("secret/token");
        let setup = Setup::new(PLAIN).dir(dir).arg("--token-file").arg(path.to_string_lossy());
        let finished = refuses(name, setup, 78, &["secret"]);
        assert!(!finished.text().contains(secret), "{name}: the secret is printed");
    };
    let folder = |dir: &Dir, mode: u32| {
        fs::create_dir(dir.path("secret")).expect("a folder");
        fs::set_permissions(dir.path("secret"), fs::Permissions::from_mode(mode)).expect("its mode");
    };
    for mode in [0o644, 0o640, 0o604, 0o660, 0o666] {
        check(&format!("mode {mode:o}"), &|dir| {
            folder(dir, 0o700);
            dir.write("secret/token", mode, secret);
        });
    }
    check("a link", &|dir| {
        folder(dir, 0o700);
        dir.write("elsewhere", 0o600, secret);
        symlink(dir.path("elsewhere"), dir.path("secret/token")).expect("a link");
    });
    check("a folder others can write", &|dir| {
        folder(dir, 0o777);
        dir.write("secret/token", 0o600, secret);
    });
    check("blank", &|dir| {
        folder(dir, 0o700);
        dir.write("secret/token", 0o600, " \n");
    });
    check("a folder", &|dir| {
        folder(dir, 0o700);
        fs::create_dir(dir.path("secret/token")).expect("a folder");
    });
    check("missing", &|dir| folder(dir, 0o700));
}

#[test]
fn the_first_start_makes_a_token() {
    let gateway = Setup::new("{}").arg("--log-level").arg("debug").start();
    let path = gateway.dir().path("state/token");
    let mode = fs::metadata(&path).expect("the token file").permissions().mode() & 0o7777;
    assert_eq!(mode, 0o600, "the token file's mode is {mode:o}");
    let text = fs::read_to_string(&path).expect("the token");
    let token = text.trim().to_owned();
    assert!(token.len() == 48 && token.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{text:?}");
    assert_eq!(gateway.peer().ask(&call_as(&token)).status, 200, "the token is the gateway's");
    assert_eq!(gateway.peer().ask(&call_as(TOKEN)).status, 401, "another is not");
    let (first, dir) = gateway.stop_keeping();
    assert!(!first.text().contains(&token), "the token is printed:\n{}", first.text());
    let said = |log: &str| log.lines().filter(|line| line.contains("toolgate token")).count();
    assert_eq!(said(&first.log), 1, "once, where the token is and how to see it:\n{}", first.log);
    assert!(first.log.contains(&*path.to_string_lossy()), "where the token is:\n{}", first.log);
    let gateway = Setup::new("{}").dir(dir).start();
    assert_eq!(gateway.peer().ask(&call_as(&token)).status, 200, "the second start keeps it");
    let (second, dir) = gateway.stop_keeping();
    assert_eq!(said(&second.log), 0, "nothing was made:\n{}", second.log);
    // And it is judged like any secret.
    fs::set_permissions(dir.path("state/token"), fs::Permissions::from_mode(0o644)).expect("its mode");
    refuses("a generated token others can read", Setup::new("{}").dir(dir), 78, &["token"]);
}

#[test]
fn sources_of_the_secret() {
    let [a, b] = ["0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"];
    let check = |name: &str, config: &str, files: [bool; 2], env: Option<&str>, works: &str, fails: &str| {
        let dir = Dir::new();
        dir.write("given", 0o600, &format!("{a}\n"));
        fs::create_dir(dir.path("credentials")).expect("a folder");
        dir.write("credentials/token", 0o440, b);
        let (given, credentials) = (dir.path("given"), dir.path("credentials"));
        let mut setup = Setup::new(config).dir(dir);
        if files[0] {
            setup = setup.arg("--token-file").arg(given.to_string_lossy());
        }
        if files[1] {
            setup = setup.env("CREDENTIALS_DIRECTORY", &credentials.to_string_lossy());
        }
        if let Some(value) = env {
            setup = setup.env("OPENCLAW_GATEWAY_TOKEN", value);
        }
        let gateway = setup.start();
        assert_eq!(gateway.peer().ask(&call_as(works)).status, 200, "{name}");
        assert_eq!(gateway.peer().ask(&call_as(fails)).status, 401, "{name}: another secret");
        gateway.stop();
    };
    check("configuration first", CONFIG, [true, true], Some(b), TOKEN, a);
    check("then the file that is named", PLAIN, [true, true], Some(b), a, b);
    check("then the credential", PLAIN, [false, true], Some(a), b, a);
    check("then the environment", PLAIN, [false, false], Some(a), a, b);
    let config = "{ gateway: { auth: { mode: \"token\", token: \"${OPENCLAW_GATEWAY_TOKEN}\" } } } // JSON5";
    check("an environment variable in the configuration", config, [true, false], Some(b), b, a);
}

/// Everything that a line of the log may not hold raw.
fn controls(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Sends whatever might forge a line of the log.
fn forge(gateway: &Gateway) {
    let bodies = [
        r#"{"tool":"x\n<0>fake"}"#,
        r#"{"tool":"x\r\n<0>fake\u001b[31m"}"#,
        r#"{"tool":"x\u0000\u0007\u007f\u0085\u009b31m"}"#,
        r#"{"tool":"x\u202e\u2066\u2028<0>fake"}"#,
        r#"{"tool":"sessions_list","sessionKey":"agent:a\n<0>fake:b"}"#,
        r#"{"tool":"device_status","sessionKey":"agent:a\n<0>fake:b"}"#,
        "{\"tool\":\"x\u{202e}\n<0>fake\"}",
        r#"{"tool":"device_status","args":{"a\n<0>fake":1}}"#,
    ];
    for body in bodies {
        let answer = gateway.peer().ask(&call(body));
        assert!(matches!(answer.status, 200 | 400 | 404), "{body}: {answer:?}");
    }
    let long = format!("{{\"tool\":\"{}\"}}", "long".repeat(1000));
    assert_eq!(gateway.peer().ask(&call(&long)).status, 404);
    for fields in [
        "Authorization: Bearer guess\u{202e}me\u{2028}<0>fake\r\n",
        "X-Forwarded-For: 1.2.3.4\u{85}<0>fake\r\n",
        "X-OpenClaw-Message-Channel: \u{9b}31m<0>fake\r\n",
        "Origin: http://\u{202e}<0>fake\r\n",
        "User-Agent: \u{feff}<0>fake\r\n",
    ] {
        let sample = request("POST /tools/invoke HTTP/1.1", &format!("{fields}Content-Length: 0\r\n"), b"");
        assert!(gateway.peer().ask(&sample).status < 500);
    }
    for sample in [
        &b"GET /x%0a<0>fake HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nHost: a%0a<0>fake\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a%0afake\r\n\r\n",
        b"GET /\n<0>fake HTTP/1.1\r\n\r\n",
        b"\n<0>fake\r\n\r\n",
    ] {
        assert!(gateway.peer().ask(sample).status < 500);
    }
}

#[test]
fn log_lines_cannot_be_forged() {
    for journal in [false, true] {
        let mut setup = Setup::new(CONFIG).arg("--log-level").arg("debug");
        if journal {
            setup = setup.env("JOURNAL_STREAM", "1:1");
        }
        let gateway = setup.start();
        forge(&gateway);
        let finished = gateway.stop();
        assert!(finished.log.lines().count() > 5, "too little was logged:\n{}", finished.log);
        for line in finished.log.lines() {
            assert!(!line.starts_with("<0>") && !line.starts_with("fake"), "a forged line {line:?}");
            assert!(!line.contains(controls), "a raw control in {line:?}");
            assert!(line.len() < 1500, "a line of {} bytes: {line:?}", line.len());
        }
        assert!(!finished.log.contains("guess"), "a credential is logged:\n{}", finished.log);
        assert!(!finished.log.contains(TOKEN), "the token is logged:\n{}", finished.log);
    }
}

#[test]
fn the_journal_gets_priorities() {
    let dir = Dir::new();
    let config = dir.write("toolgate.json5", 0o600, CONFIG);
    let (config, state) = (config.to_string_lossy().into_owned(), dir.path("state"));
    let (mut ours, theirs) = UnixStream::pair().expect("a socket pair");
    let stat = rustix::fs::fstat(&theirs).expect("its identity");
    let mut command =
        program(&dir, &["run", "--port", "0", "--config", &config, "--state-dir", &state.to_string_lossy()]);
    command.env("JOURNAL_STREAM", format!("{}:{}", stat.st_dev, stat.st_ino));
    let mut child = command.stdout(Stdio::piped()).stderr(OwnedFd::from(theirs)).spawn().expect("start the program");
    drop(command);
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("stdout")).read_line(&mut line).expect("a listener");
    let addr = line.trim().strip_prefix("listening on http://").and_then(|a| a.parse().ok()).expect("an address");
    let refused = Peer::connect(addr).expect("connect").ask(&request(
        "POST /tools/invoke HTTP/1.1",
        "Content-Length: 0\r\n",
        b"",
    ));
    assert_eq!(refused.status, 401);
    kill_process(Pid::from_child(&child), Signal::TERM).expect("signal");
    assert!(child.wait().expect("its end").success());
    let mut log = String::new();
    ours.read_to_string(&mut log).expect("the log");
    assert!(!log.is_empty(), "nothing was logged");
    for line in log.lines() {
        let prefix = line.split_at_checked(3).map(|(prefix, _)| prefix);
        assert!(matches!(prefix, Some("<3>" | "<4>" | "<5>" | "<6>" | "<7>")), "no priority: {line:?}");
        assert!(!line.contains(" GMT"), "the journal keeps its own time: {line:?}");
    }
}

#[test]
fn streams_that_are_gone() {
    // Nobody reads what it prints and logs; it serves all the same.
    let dir = Dir::new();
    let port = free_port();
    let config = dir.write("toolgate.json5", 0o600, CONFIG);
    let (config, state) = (config.to_string_lossy().into_owned(), dir.path("state"));
    let port_text = port.to_string();
    let mut command =
        program(&dir, &["run", "--port", &port_text, "--config", &config, "--state-dir", &state.to_string_lossy()]);
    let closed = || OwnedFd::from(UnixStream::pair().expect("a socket pair").0);
    let mut child = command.stdout(closed()).stderr(closed()).spawn().expect("start the program");
    let addr = (std::net::Ipv4Addr::LOCALHOST, port).into();
    let peer = until(SOON, || Peer::connect(addr).ok());
    let Some(mut peer) = peer else {
        drop(child.kill());
        panic!("it does not listen without its streams: {:?}", child.wait());
    };
    for _ in 0..3 {
        let sample = request("POST /tools/invoke HTTP/1.1", "Content-Length: 0\r\n", b"");
        assert_eq!(peer.ask(&sample).status, 401);
        assert_eq!(peer.ask(&call("{\"tool\":\"device_status\"}")).status, 200);
    }
    kill_process(Pid::from_child(&child), Signal::TERM).expect("signal");
    assert_eq!(child.wait().expect("its end").code(), Some(0));
}
