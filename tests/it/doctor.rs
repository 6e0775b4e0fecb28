//! `toolgate doctor`: what it says of good and of bad installations, and what it never says.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType};
use serde_json::Value;

use crate::rig::{CONFIG, Dir, Finished, Gateway, Setup, TOKEN, free_port, notice, program, run};

/// The arguments of `doctor` in `dir`.
fn args(dir: &Dir, more: &[&str]) -> Vec<String> {
    let text = |name: &str| dir.path(name).to_string_lossy().into_owned();
    let mut args: Vec<String> = ["doctor", "--config"].map(String::from).into();
    args.push(text("toolgate.json5"));
    // A state directory that somebody names comes before a token that a package put beside the configuration.
    if !dir.path("token").exists() {
        args.extend(["--state-dir".into(), text("state")]);
    }
    args.extend(more.iter().map(|arg| (*arg).to_owned()));
    args
}

pub fn doctor(dir: &Dir, more: &[&str]) -> Finished {
    let args = args(dir, more);
    run(program(dir, &args.iter().map(String::as_str).collect::<Vec<_>>()))
}

/// What it says to programs; `code` is how it must end.
#[track_caller]
pub fn told(dir: &Dir, more: &[&str], code: i32) -> Value {
    let finished = doctor(dir, &[&["--json"], more].concat());
    assert_eq!((finished.code, finished.log.as_str()), (code, ""), "{finished:?}");
    let json: Value = serde_json::from_str(&finished.out).unwrap_or_else(|e| panic!("{e}: {finished:?}"));
    assert_eq!((json["ok"] == true, finished.out.lines().count()), (code == 0, 1), "{finished:?}");
    json
}

/// The same beside a gateway that answers, if need be the fifth time: a machine under load does not always give it its time.
#[track_caller]
pub fn beside_gateway(dir: &Dir, url: &str) -> Value {
    let ask = |_| told(dir, &["--url", url], 0);
    let late = |json: &Value| json["findings"].to_string().contains("not overloaded");
    (0..5).map(ask).find(|json| !late(json)).expect("an answer in time")
}

/// The findings of that level, as `about: message`.
pub fn findings(json: &Value, level: &str) -> Vec<String> {
    let all = json["findings"].as_array().expect("findings");
    let text = |finding: &Value, key: &str| finding[key].as_str().expect("a text").to_owned();
    for finding in all {
        assert!(finding["level"] == "ok" || !text(finding, "fix").is_empty(), "no fix: {finding}");
    }
    let of = all.iter().filter(|finding| finding["level"] == level);
    of.map(|finding| format!("{}: {}", text(finding, "about"), text(finding, "message"))).collect()
}

/// One finding of that level, and only one, that holds `words`.
#[track_caller]
pub fn one(json: &Value, level: &str, words: &str) {
    let found = findings(json, level);
    assert_eq!(found.iter().filter(|text| text.contains(words)).count(), 1, "{words:?} among {found:#?}");
}

pub fn under(config: &str) -> Dir {
    let dir = Dir::new();
    dir.write("toolgate.json5", 0o600, config);
    dir
}

fn at_port(more: &str) -> String {
    format!("{{ gateway: {{ port: {}, auth: {{ token: \"{TOKEN}\" }} }}, {more} }}", free_port())
}

#[test]
fn a_good_installation() {
    let gateway = Gateway::start();
    let url = gateway.url();
    let dir = gateway.dir();
    let json = beside_gateway(dir, &url);
    assert_eq!((findings(&json, "critical"), findings(&json, "warning")), (vec![], vec![]), "{json}");
    let keys: Vec<&str> = json.as_object().expect("an object").keys().map(String::as_str).collect();
    for key in [
        "ok",
        "findings",
        "config",
        "gateway",
        "listeners",
        "tailscale",
        "secret",
        "state",
        "clock",
        "limits",
        "policy",
        "tools",
    ] {
        assert!(keys.contains(&key), "no {key} in {keys:?}");
    }
    assert_eq!(json["config"]["path"], dir.path("toolgate.json5").to_string_lossy().as_ref());
    assert_eq!((&json["config"]["ok"], &json["config"]["mode"]), (&true.into(), &"0600".into()));
    assert_eq!(
        (&json["gateway"]["running"], &json["gateway"]["version"]),
        (&true.into(), &env!("CARGO_PKG_VERSION").into())
    );
    let first = &json["listeners"][0];
    assert_eq!(
        (&first["address"], &first["reach"]),
        (&gateway.addr().to_string().into(), &"programs on this device".into())
    );
    assert_eq!((&json["secret"]["mode"], &json["secret"]["source"]), (&"token".into(), &"configuration".into()));
    assert!(json["clock"]["now"].as_str().is_some_and(|now| now.ends_with('Z')), "{json}");
    assert_eq!(json["limits"]["connections"], 256);
    assert_eq!((&json["policy"]["profile"], &json["policy"]["break"]), (&"full".into(), &Value::Array(vec![])));
    let absent = json["tools"]["absent"].as_array().expect("absent tools");
    let wake = absent.iter().find(|tool| tool["name"] == "wake_on_lan").expect("wake_on_lan");
    assert!(wake["why"].as_str().is_some_and(|why| why.contains("tools.device.wake_on_lan")), "{wake}");
    // The same for people.
    let card = doctor(dir, &["--url", &url]);
    assert_eq!((card.code, card.log.as_str()), (0, ""), "{card:?}");
    for words in ["programs on this device", "absent: wake_on_lan: ", "token, in the configuration", "up "] {
        assert!(card.out.contains(words), "no {words:?}: {card:?}");
    }
    assert!(!card.text().contains(TOKEN) && !json.to_string().contains(TOKEN), "the token is shown");
    gateway.stop();
}

#[test]
fn it_changes_nothing_and_needs_no_gateway() {
    let dir = under(&format!("{{ gateway: {{ port: {} }} }}", free_port()));
    let json = told(&dir, &[], 0);
    one(&json, "note", "gateway: what follows is what would be");
    assert_eq!((&json["gateway"]["running"], &json["secret"]["source"]), (&false.into(), &"none".into()));
    assert_eq!(json["listeners"][0]["reach"], "programs on this device");
    assert_eq!(fs::read_dir(dir.path(".")).expect("the directory").count(), 1, "something was made");
    // A token that the gateway once made is found, and its file described.
    let gateway = Setup::new("{}").dir(dir).start();
    let url = gateway.url();
    let json = beside_gateway(gateway.dir(), &url);
    assert_eq!((&json["gateway"]["running"], &json["secret"]["source"]), (&true.into(), &"generated".into()));
    assert_eq!(json["secret"]["file"]["mode"], "0600");
    let token = fs::read_to_string(gateway.dir().path("state/token")).expect("the token");
    assert!(!json.to_string().contains(token.trim()), "the token is shown");
    gateway.stop();
}

#[test]
fn what_must_not_be_is_critical() {
    let check = |config: &str, mode: u32, prepare: &dyn Fn(&Dir), about: &str| {
        let dir = Dir::new();
        dir.write("toolgate.json5", mode, config);
        prepare(&dir);
        let json = told(&dir, &[], 1);
        let found = findings(&json, "critical");
        assert!(found.len() == 1 && found[0].starts_with(about), "{about:?}: {found:#?}");
        let card = doctor(&dir, &[]);
        assert!(card.code == 1 && card.out.contains("\n1 critical"), "{card:?}");
        assert!(!card.text().contains(TOKEN) && !json.to_string().contains(TOKEN), "{card:?} {json}");
    };
    let good = at_port("");
    let nothing = |_: &Dir| {};
    check(&good, 0o644, &nothing, "secret: a secret stands in /");
    check(&good, 0o666, &nothing, "config: ");
    check("{ gateway: { prot: 1 } }", 0o600, &nothing, "config: gateway.prot");
    check("{", 0o600, &nothing, "config: ");
    let none = "{ gateway: { bind: 'lan', auth: { mode: 'none' } } }";
    check(none, 0o600, &nothing, "config: gateway.bind: mode none lets everybody in");
    let port = free_port();
    let generated = format!("{{ gateway: {{ port: {port} }} }}");
    let token = |mode: u32| {
        move |dir: &Dir| {
            fs::create_dir(dir.path("state")).expect("the state directory");
            dir.write("state/token", mode, TOKEN);
        }
    };
    check(&generated, 0o600, &token(0o644), "config: ");
    let open = |dir: &Dir| {
        token(0o600)(dir);
        fs::set_permissions(dir.path("state"), fs::Permissions::from_mode(0o755)).expect("the mode");
        fs::set_permissions(dir.path("state/token"), fs::Permissions::from_mode(0o666)).expect("the mode");
    };
    check(&generated, 0o600, &open, "config: ");
    // The token of a service lies beside its configuration.
    let beside = |dir: &Dir| _ = dir.write("token", 0o644, TOKEN);
    check(&generated, 0o600, &beside, "config: ");
    let sample = format!("{{ gateway: {{ port: {port}, auth: {{ token: 'undefined' }} }} }}");
    check(&sample, 0o600, &nothing, "config: gateway.auth.token");
}

#[test]
fn what_is_doubtful_is_a_warning() {
    let check = |config: String, mode: u32, words: &str| {
        let dir = Dir::new();
        dir.write("toolgate.json5", mode, &config);
        let json = told(&dir, &[], 0);
        one(&json, "warning", words);
    };
    let port = free_port();
    let bound = |words: &str| format!("{{ gateway: {{ port: {port}, {words}, auth: {{ token: \"{TOKEN}\" }} }} }}");
    check(bound("bind: 'lan'"), 0o600, "listeners: 0.0.0.0:");
    check(
        bound("bind: 'tailnet', tailnet: { localApi: '/nonexistent/x' }"),
        0o600,
        "tailscale: tailscaled does not answer",
    );
    check(at_port("tols: 1, models: {}").replace("tols: 1,", ""), 0o600, "config: models");
    check(at_port(""), 0o640, "secret: a secret stands in /");
    check(
        format!("{{ gateway: {{ port: {port}, auth: {{ token: 'four' }} }} }}"),
        0o600,
        "secret: it has fewer than 16 bytes",
    );
    check(
        format!("{{ gateway: {{ port: {port}, auth: {{ mode: 'none' }} }} }}"),
        0o600,
        "secret: every program on this device",
    );
    check(at_port("tools: { deny: ['wake_in_lan'] }"), 0o600, "policy: tools.deny: wake_in_lan");
    check(at_port("tools: { deny: ['*'] }"), 0o600, "policy: no tool can be called");
}

#[test]
fn declared_tools_that_cannot_work() {
    let command = |name: &str, program: &Path, cwd: &str| {
        format!("{name}: {{ description: 'x', argv: ['{}'], cwd: '{cwd}' }}", program.display())
    };
    let dir = Dir::new();
    let (runs, file) = (dir.write("runs", 0o755, "#!/bin/sh\n"), dir.write("file", 0o644, "x"));
    let commands = [
        command("good", &runs, "/"),
        command("gone", &dir.path("gone"), "/"),
        command("dead", &file, "/"),
        command("lost", &runs, "/nonexistent"),
    ];
    dir.write("toolgate.json5", 0o600, &at_port(&format!("tools: {{ commands: {{ {} }} }}", commands.join(", "))));
    let expected = [
        format!("tools.commands.dead: {} is not executable", file.display()),
        format!("tools.commands.gone: {} is not there", dir.path("gone").display()),
        "tools.commands.lost: its working directory /nonexistent is not there".to_owned(),
    ];
    // The order of names, and nothing of the one that works.
    let config = dir.path("toolgate.json5").to_string_lossy().into_owned();
    let checked = run(program(&dir, &["check", "--config", &config]));
    let warnings: Vec<&str> = checked.log.lines().collect();
    assert_eq!(
        (checked.code, warnings),
        (0, expected.each_ref().map(|text| format!("toolgate: warning: {text}")).iter().map(String::as_str).collect()),
        "{checked:?}"
    );
    let json = told(&dir, &[], 0);
    for text in &expected {
        one(&json, "warning", &format!("config: {text}"));
    }
    let absent = json["tools"]["absent"].as_array().expect("absent tools");
    let gone = absent.iter().find(|tool| tool["name"] == "gone").expect("the absent tool");
    assert!(gone["why"].as_str().is_some_and(|why| why.ends_with("gone is not there")), "{gone}");
}

/// What a program does with a connection.
type Manners = fn(TcpStream);

/// A program at a port that does so with each connection.
pub fn stranger(act: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (port, act) = (listener.local_addr().expect("its port").port(), Arc::new(act));
    thread::spawn(move || {
        listener.incoming().flatten().for_each(|stream| {
            let act = Arc::clone(&act);
            drop(thread::spawn(move || act(stream)));
        });
    });
    port
}

/// Reads a head, then says `text`. Returns what it read.
pub fn say(mut stream: TcpStream, text: &str) -> String {
    let mut head = [0; 4096];
    let length = stream.read(&mut head).unwrap_or_default();
    drop(stream.write_all(text.as_bytes()));
    String::from_utf8_lossy(&head[..length]).into_owned()
}

#[test]
fn something_else_at_the_port() {
    let says = |json: &Value| format!("{:?}", [findings(json, "critical"), findings(json, "warning")].concat());
    let taken = "[\"gateway: what listens there does not answer as a gateway does\"]";
    let silent = "[\"gateway: a gateway that is not overloaded answers at once\"]";
    let strangers: [(Manners, i32, &str); 5] = [
        (drop, 1, taken),
        (|stream| drop(say(stream, "SSH-2.0-x\r\n")), 1, taken),
        (|stream| drop(say(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno")), 1, taken),
        // It says nothing, as long as it is waited for.
        (|mut stream| drop(stream.read_to_end(&mut Vec::new())), 0, silent),
        // A byte now and then keeps no answer alive for ever.
        (
            |mut stream| {
                while stream.write_all(b"H").is_ok() {
                    thread::sleep(Duration::from_millis(50))
                }
            },
            0,
            silent,
        ),
    ];
    for (number, (act, code, expected)) in strangers.into_iter().enumerate() {
        let port = stranger(act);
        let dir = under(&format!("{{ gateway: {{ port: {port}, auth: {{ token: \"{TOKEN}\" }} }} }}"));
        let json = told(&dir, &[], code);
        assert_eq!(says(&json), expected, "{number}");
    }
}

/// A gateway that says this of itself, at a port.
fn liar(details: &'static str) -> u16 {
    let answer = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stranger(move |stream| {
        let mut start = [0; 4];
        let result = format!("{{\"ok\":true,\"result\":{{\"content\":[],\"details\":{details}}}}}");
        let asks = stream.peek(&mut start).is_ok() && start.starts_with(b"GET");
        say(stream, &answer(if asks { "{\"ok\":true,\"status\":\"live\"}" } else { &result }));
    })
}

#[test]
fn no_stranger_is_given_the_secret() {
    let (heard, hears) = mpsc::channel();
    let heard = Mutex::new(heard);
    let port = stranger(move |stream| {
        let text = say(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno");
        drop(heard.lock().expect("the channel").send(text));
    });
    let dir = under(&format!("{{ gateway: {{ port: {port}, auth: {{ token: \"{TOKEN}\" }} }} }}"));
    one(&told(&dir, &[], 1), "critical", "gateway: what listens there");
    let heard: Vec<String> = hears.try_iter().collect();
    assert!(heard.iter().all(|text| text.starts_with("GET /healthz ") && !text.contains(TOKEN)), "{heard:?}");
}

#[test]
fn a_listener_that_takes_no_connection() {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    rustix::net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
    rustix::net::listen(&socket, 0).expect("a listener");
    let address: SocketAddr = rustix::net::getsockname(&socket).expect("its name").try_into().expect("an address");
    // One waits to be taken, and there is no place for another.
    let _waits = TcpStream::connect(address).expect("a connection");
    let dir = under(&format!("{{ gateway: {{ port: {}, auth: {{ token: \"{TOKEN}\" }} }} }}", address.port()));
    one(&told(&dir, &[], 0), "warning", "gateway: a gateway that is not overloaded");
}

#[test]
fn a_file_that_is_not_what_the_gateway_read() {
    let check = |details: &'static str, words: &str| {
        let port = liar(details);
        let dir = under(&format!("{{ gateway: {{ port: {port}, auth: {{ token: \"{TOKEN}\" }} }} }}"));
        one(&told(&dir, &[], 0), "warning", words);
    };
    // The gateway may have been started beside its file.
    check(r#"{"config":"toolgate.json5","config_age_s":600}"#, "gateway: the configuration file was changed");
    check(r#"{"config":"/other\u001b/toolgate.json5","config_age_s":0}"#, "gateway: it read another configuration: /o");
    check(r#"{"config":null,"config_age_s":0}"#, "gateway: it read another configuration: none");
}

#[test]
fn what_run_could_not_do_is_critical() {
    let check = |config: String, words: &str| one(&told(&under(&config), &[], 1), "critical", words);
    let bound =
        |words: &str| format!("{{ gateway: {{ port: {}, {words}, auth: {{ token: '{TOKEN}' }} }} }}", free_port());
    check(bound("bind: 'custom', customBindHost: '192.0.2.1'"), "listeners: 192.0.2.1:");
    // A token is to be made where no directory can be.
    let dir = under(&format!("{{ gateway: {{ port: {} }} }}", free_port()));
    dir.write("state", 0o600, "a file");
    one(&told(&dir, &[], 1), "critical", "state: it cannot be written");
    let json = told(&under(&bound("tailnet: { serveSocket: '/nonexistent/x' }")), &[], 0);
    one(&json, "warning", "listeners: /nonexistent: No such file");
    // No file is waited for.
    let dir = Dir::new();
    let pipe = dir.path("toolgate.json5");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a pipe");
    let json = told(&dir, &["--token-file", "/nonexistent/x"], 1);
    one(&json, "critical", "toolgate.json5: is not a regular file");
    one(&json, "note", "gateway: the file that does not load may name another port");
}

#[test]
fn a_gateway_that_knows_more_than_the_doctor() {
    let gateway = Setup::new("{ gateway: { auth: { token: { env: 'ITS_TOKEN' } } } }").env("ITS_TOKEN", TOKEN).start();
    let json = beside_gateway(gateway.dir(), &gateway.url());
    one(&json, "warning", "config: gateway.auth.token: the environment variable ITS_TOKEN is not set");
    gateway.stop();
    let config = CONFIG.replacen('{', "{ tools: { allow: ['time_status'] },", 1);
    let gateway = Setup::new(&config).start();
    let json = beside_gateway(gateway.dir(), &gateway.url());
    let all = json["findings"].as_array().expect("findings");
    let found = all.iter().find(|finding| finding["about"] == "gateway" && finding["level"] == "warning");
    let fix = found.and_then(|found| found["fix"].as_str()).unwrap_or_default();
    assert!(fix.starts_with("add \"gateway_status\" to tools.allow"), "{json}");
    gateway.stop();
}

#[test]
fn a_gateway_that_says_strange_things() {
    let hostile = r#"{"version":"\u001b[2J\n","uptime_s":-1,"listeners":["\u001b]0;x\u0007\n",{}],"tailnet":{"state":"waiting",
            "why":"the interface\u0000 is not there","trouble":"\u202ex"},"last_reload":{"ok":false,"findings":["a\nb"],
            "needs_restart":["gateway.x"]},"last_errors":[{"event":"\u001b[31m"}]}"#;
    let port = liar(hostile);
    let dir = under(&format!("{{ gateway: {{ port: {port}, auth: {{ token: \"{TOKEN}\" }} }} }}"));
    let card = doctor(&dir, &[]);
    assert_eq!(card.code, 0, "{card:?}");
    let control = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    assert!(!card.text().contains(control), "{card:?}");
    for words in [
        "another version runs",
        "the last reload was refused",
        "gateway.x",
        "not all of the tailnet is served (waiting)",
    ] {
        assert!(card.out.contains(words), "no {words:?}: {card:?}");
    }
    told(&dir, &[], 0);
}

#[test]
fn a_hostile_environment() {
    let dir = under("{ gateway: { port: 0 } }");
    let odd = "odd\n\u{1b}[2J\u{202e}";
    let named = dir.path(odd).with_extension("json5");
    fs::write(&named, "{ gateway: { port: 0, } }").expect("a file of an odd name");
    let port = free_port().to_string();
    let mut command = program(&dir, &["doctor", "--url", &format!("http://127.0.0.1:{port}")]);
    command.env("TOOLGATE_CONFIG", &named).env("HOME", dir.path(odd)).env("OPENCLAW_GATEWAY_TOKEN", "\u{1b}[31m");
    command.env("CREDENTIALS_DIRECTORY", "/nonexistent/\n").env("STATE_DIRECTORY", ":::").env("LANG", "\u{1b}");
    let finished = run(command);
    assert_eq!(finished.code, 0, "{finished:?}");
    let control = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    assert!(!finished.text().contains(control) && finished.out.contains("odd\\u{a}\\u{1b}"), "{finished:?}");
    // Nothing says where anything is.
    let finished = run(program(&dir, &["doctor", "--json", "--url", &format!("http://127.0.0.1:{port}")]));
    let json: Value = serde_json::from_str(&finished.out).unwrap_or_else(|e| panic!("{e}: {finished:?}"));
    assert_eq!(finished.code, 1, "{finished:?}");
    one(&json, "critical", "config: no state directory");
    // A command line that is wrong is not a finding.
    assert_eq!(doctor(&dir, &["--url", "nonsense"]).code, 64);
    assert_eq!(doctor(&dir, &["--nonsense"]).code, 64);
}

#[test]
fn another_user_is_told_whom_to_be() {
    if !rustix::process::geteuid().is_root() {
        return notice("doctor: another user is left out: only root can become one");
    }
    let dir = Dir::new();
    let config = dir.write("toolgate.json5", 0o640, CONFIG);
    fs::set_permissions(dir.path("."), fs::Permissions::from_mode(0o755)).expect("the mode");
    chown(&config, Some(0), Some(0)).expect("the owner");
    // The program itself may lie where that user cannot go.
    let copy = dir.path("program");
    fs::copy(crate::rig::binary(), &copy).expect("a copy of the program");
    let mut command = std::process::Command::new(&copy);
    let port = format!("http://127.0.0.1:{}", free_port());
    command.args(["doctor", "--json", "--url", &port, "--config"]).arg(&config).env_clear().uid(65_534).gid(65_534);
    let finished = run(command);
    let json: Value = serde_json::from_str(&finished.out).unwrap_or_else(|e| panic!("{e}: {finished:?}"));
    assert_eq!(finished.code, 1, "{finished:?}");
    let found = json["findings"].as_array().expect("findings");
    let config = found.iter().find(|finding| finding["about"] == "config").expect("a finding");
    assert!(config["message"].as_str().is_some_and(|text| text.contains("Permission denied")), "{config}");
    assert!(config["fix"].as_str().is_some_and(|fix| fix.contains("sudo -u toolgate toolgate doctor")), "{config}");
    assert_eq!((&json["secret"], &json["policy"], &json["tools"]), (&Value::Null, &Value::Null, &Value::Null));
}

#[test]
fn the_token_of_a_service_opens_its_gateway() {
    // As the package does it: the token beside the configuration reaches the gateway as a credential.
    let credentials = Dir::new();
    credentials.write("token", 0o400, TOKEN);
    let dir = Dir::new();
    dir.write("token", 0o600, TOKEN);
    let gateway = Setup::new("{}").dir(dir);
    let gateway = gateway.env("CREDENTIALS_DIRECTORY", &credentials.path(".").to_string_lossy()).start();
    let url = gateway.url();
    let json = beside_gateway(gateway.dir(), &url);
    assert_eq!((&json["gateway"]["running"], &json["secret"]["source"]), (&true.into(), &"service".into()), "{json}");
    assert!(!json.to_string().contains(TOKEN));
    // Another token, and the gateway does not say how it is.
    gateway.dir().write("token", 0o600, "another-token-of-some-length");
    let json = beside_gateway(gateway.dir(), &url);
    one(&json, "warning", "gateway: unauthorized");
    gateway.stop();
}
