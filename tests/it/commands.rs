//! The commands other than `run`: what they print and how they end.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixStream;

use rustix::process::Signal;
use serde_json::Value;

use crate::doctor::{say, stranger};
use crate::rig::{CONFIG, Dir, Finished, Gateway, SOON, Setup, TOKEN, free_port, notice, program, root, run, until};

/// Runs a command in `dir` under the configuration and state directory there.
fn command(dir: &Dir, args: &[&str]) -> Finished {
    let (config, state) = (dir.path("toolgate.json5"), dir.path("state"));
    let mut all = args.to_vec();
    let (config, state) = (config.to_string_lossy(), state.to_string_lossy());
    if !args.contains(&"--config") {
        all.extend(["--config", &config]);
    }
    all.extend(["--state-dir", &state]);
    run(program(dir, &all))
}

fn under(config: &str) -> Dir {
    let dir = Dir::new();
    dir.write("toolgate.json5", 0o600, config);
    dir
}

/// Command lines and the code they end with; no configuration is needed.
const LINES: [(&[&str], i32); 26] = [
    (&["--help"], 0),
    (&["-h"], 0),
    (&["--version"], 0),
    (&["-V"], 0),
    (&["run", "--help"], 0),
    (&["run", "-h"], 0),
    (&["run", "-V"], 0),
    (&["check", "-h"], 0),
    (&["doctor", "-h"], 0),
    (&["tools", "-h"], 0),
    (&["call", "-h"], 0),
    (&["explain", "-h"], 0),
    (&["token", "-h"], 0),
    (&["--nonsense"], 64),
    (&["run", "--nonsense"], 64),
    (&["run", "--port"], 64),
    (&["run", "--port", "x"], 64),
    (&["run", "--port=65536"], 64),
    (&["run", "--log-level", "loud"], 64),
    (&["nonsense"], 64),
    (&["call"], 64),
    (&["explain"], 64),
    (&["explain", "tts", "more"], 64),
    (&["check", "--nonsense"], 64),
    (&["doctor", "more"], 64),
    (&["token", "nonsense"], 64),
];

#[test]
fn command_lines() {
    let dir = Dir::new();
    for (args, code) in LINES {
        let finished = run(program(&dir, args));
        assert_eq!(finished.code, code, "{args:?}: {finished:?}");
        let (said, silent) = if code == 0 { (&finished.out, &finished.log) } else { (&finished.log, &finished.out) };
        assert!(!said.trim().is_empty() && silent.is_empty(), "{args:?} speaks on the other stream: {finished:?}");
        assert!(!finished.text().contains('\u{1b}'), "{args:?}: colours without a terminal: {finished:?}");
    }
    let version = run(program(&dir, &["-V"])).out;
    assert_eq!(version, format!("toolgate {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_closed_pipe_is_no_error() {
    let dir = under(CONFIG);
    for args in [&["--help"][..], &["-V"], &["tools"], &["tools", "--json"], &["check"]] {
        let config = dir.path("toolgate.json5");
        let mut all = args.to_vec();
        let config = config.to_string_lossy();
        if !args[0].starts_with('-') {
            all.extend(["--config", &config]);
        }
        let (reader, writer) = UnixStream::pair().expect("a socket pair");
        drop(reader);
        let status = program(&dir, &all).stdout(OwnedFd::from(writer)).status().expect("start the program");
        assert_eq!(status.code(), Some(0), "{args:?} into a closed pipe");
    }
}

#[test]
fn check_says_everything_and_changes_nothing() {
    let dir = under(CONFIG);
    let finished = command(&dir, &["check"]);
    assert_eq!(finished.code, 0, "{finished:?}");
    assert!(!dir.path("state").exists(), "check made a state directory");
    let wrong = "{ // a comment
        gateway: { prot: 1, auth: { mode: \"tokn\" }, limits: { calls: -1 } }, tols: {}, models: { x: 1 },
    }";
    let dir = under(wrong);
    let finished = command(&dir, &["check"]);
    assert_eq!(finished.code, 78, "{finished:?}");
    for word in ["gateway.prot", "port", "gateway.auth.mode", "gateway.limits.calls", "tols", "tools", "models"] {
        assert!(finished.text().contains(word), "nothing about {word}: {finished:?}");
    }
    // `run` says the same.
    let ran = command(&dir, &["run", "--port=0"]);
    assert_eq!(ran.code, 78, "{ran:?}");
    for word in ["gateway.prot", "gateway.auth.mode", "gateway.limits.calls", "tols"] {
        assert!(ran.log.contains(word), "run says nothing about {word}: {ran:?}");
    }
    // A misspelt entry of a deny list leaves a tool open.
    let finished = command(&under(&CONFIG.replacen('{', "{ tools: { deny: ['wake_in_lan'] },", 1)), &["check"]);
    let warning = "toolgate: warning: tools.deny: wake_in_lan matches no tool and no group\n";
    assert_eq!((finished.code, finished.log.as_str()), (0, warning), "{finished:?}");
    // The reference's own sections are a warning, not an error.
    let finished =
        command(&under("{ models: { x: 1 }, gateway: { auth: { token: \"sekret-token-123456\" } } }"), &["check"]);
    assert_eq!(finished.code, 0, "{finished:?}");
    assert!(finished.text().contains("models"), "{finished:?}");
    let secret = command(&under(CONFIG), &["check"]);
    assert!(!secret.text().contains(TOKEN), "check prints the token: {secret:?}");
}

#[test]
fn the_example_configuration_is_good() {
    let dir = under(&fs::read_to_string(root().join("packaging/toolgate.json5")).expect("the example"));
    let finished = command(&dir, &["check"]);
    assert_eq!((finished.code, finished.log.as_str()), (0, ""), "{finished:?}");
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let (_, rest) = readme.split_once("```json5\n").expect("an example in README.md");
    // The example's token stands in a file that this machine does not have.
    let example = rest
        .split("```")
        .next()
        .expect("an end")
        .replace("{ file: \"/etc/toolgate/token\" }", "\"sekret-token-123456\"")
        // Nor need it have the program that the example runs.
        .replace("/usr/bin/wakeonlan", "/bin/sh");
    let finished = command(&under(&example), &["check"]);
    assert_eq!((finished.code, finished.log.as_str()), (0, ""), "{finished:?}");
}

#[test]
fn options_with_equals_signs_and_without_a_command() {
    let dir = under(CONFIG);
    let (config, state) = (dir.path("toolgate.json5"), dir.path("state"));
    let (config, state) = (format!("--config={}", config.display()), format!("--state-dir={}", state.display()));
    for args in
        [vec!["check", &config, &state], vec![&config, &state, "check"], vec!["tools", &config, &state, "--json"]]
    {
        let finished = run(program(&dir, &args));
        assert_eq!(finished.code, 0, "{args:?}: {finished:?}");
    }
    // `toolgate --port N` is `toolgate run --port N`: on a port that is taken it says so.
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = format!("--port={}", taken.local_addr().expect("its number").port());
    let finished = run(program(&dir, &[&port, &config, &state]));
    assert_eq!(finished.code, 1, "{finished:?}");
    // The environment names the configuration too.
    let mut check = program(&dir, &["check"]);
    check.env("TOOLGATE_CONFIG", dir.write("other.json5", 0o600, "{ gatway: {} }"));
    check.env("TOOLGATE_STATE_DIR", dir.path("state"));
    let finished = run(check);
    assert_eq!(finished.code, 78, "{finished:?}");
}

/// The rows of `tools --json`, wherever they stand in it.
pub fn rows(json: &str) -> Vec<Value> {
    let value: Value = serde_json::from_str(json).unwrap_or_else(|e| panic!("{e} in {json}"));
    let rows = value.as_array().or_else(|| value["tools"].as_array());
    rows.unwrap_or_else(|| panic!("no list of tools in {json}")).clone()
}

#[test]
fn tools_are_listed() {
    let dir = under(CONFIG);
    let listed = |args: &[&str]| {
        let finished = command(&dir, args);
        assert_eq!((finished.code, finished.log.as_str()), (0, ""), "{args:?}: {finished:?}");
        finished.out
    };
    let names = |json: &str| -> Vec<String> {
        let rows = rows(json);
        let named = rows.iter().map(|row| {
            assert!(!row["tier"].is_null(), "a tool without a tier: {row}");
            row["name"].as_str().unwrap_or_else(|| panic!("a tool without a name: {row}")).to_owned()
        });
        named.collect()
    };
    let (here, all) = (names(&listed(&["tools", "--json"])), names(&listed(&["tools", "--json", "--all"])));
    let known = [
        "agents_list",
        "device_status",
        "network_interfaces",
        "service_status",
        "session_status",
        "sessions_history",
        "sessions_list",
        "storage_status",
        "thermal_status",
        "time_status",
    ];
    for name in known {
        assert!(all.iter().any(|n| n == name), "{name} is unknown: {all:?}");
    }
    for name in ["agents_list", "device_status", "sessions_list", "time_status"] {
        assert!(here.iter().any(|n| n == name), "{name} is not here: {here:?}");
    }
    assert!(here.iter().all(|name| all.contains(name)), "{here:?} beyond {all:?}");
    assert!(here.is_sorted() && all.is_sorted(), "not in order");
    let text = listed(&["tools"]);
    assert!(here.iter().all(|name| text.contains(name.as_str())), "{text}");
    let text = listed(&["tools", "--all"]);
    assert!(all.iter().all(|name| text.contains(name.as_str())), "{text}");
    assert!(!dir.path("state").exists(), "tools made a state directory");
}

/// Calls a running gateway.
fn called(gateway: &Gateway, args: &[&str]) -> Finished {
    let (url, file) = (gateway.url(), gateway.dir().write("given", 0o600, TOKEN));
    let file = file.to_string_lossy();
    let mut all = vec!["call"];
    all.extend(args);
    if !args.contains(&"--url") {
        all.extend(["--url", &url]);
    }
    if !args.contains(&"--token-file") {
        all.extend(["--token-file", &file]);
    }
    run(program(gateway.dir(), &all))
}

#[test]
fn calls() {
    let gateway = Gateway::start();
    for args in [
        &["device_status"][..],
        &["time_status"],
        &["sessions_list", "{}"],
        &["sessions_list", "{\"limit\":1}"],
        &["sessions_list", "--arg", "limit=1", "--arg=search=x"],
        &["agents_list", "--session", "agent:ops:main"],
        &["agents_list", "--session=main", "--dry-run"],
        &["sessions_list", "--action", "list"],
    ] {
        let finished = called(&gateway, args);
        assert_eq!((finished.code, finished.log.as_str()), (0, ""), "{args:?}: {finished:?}");
        let printed: Result<Value, _> = serde_json::from_str(&finished.out);
        assert!(printed.is_ok_and(|v| v.is_object()), "{args:?} prints no result: {finished:?}");
        if !args.iter().any(|arg| ["--dry-run", "--action"].contains(arg)) {
            let over = called(&gateway, &[args, &["--ws"]].concat());
            let keys = |text: &str| serde_json::from_str::<Value>(text).map(|v| keys(&v)).unwrap_or_default();
            assert_eq!((over.code, over.log.as_str(), keys(&over.out)), (0, "", keys(&finished.out)), "{over:?}");
        }
    }
    let ops = called(&gateway, &["agents_list", "--session", "agent:ops:main"]);
    assert!(ops.out.contains("\"ops\""), "the session arrives: {ops:?}");
    let wrong = gateway.dir().write("wrong", 0o600, "wrong-wrong-wrong-wrong");
    let wrong = wrong.to_string_lossy();
    let nobody = format!("http://127.0.0.1:{}", free_port());
    for (args, code, word) in [
        (&["no_such_tool"][..], 1, "Tool not available: no_such_tool"),
        (&["device_status", "--token-file", &wrong], 1, "Unauthorized"),
        (&["device_status", "--arg", "nonsense=1"], 1, "nonsense"),
        (&["device_status", "--url", &nobody], 69, "127.0.0.1"),
        (&["device_status", "{"], 64, ""),
        (&["device_status", "[1]"], 64, ""),
        (&["device_status", "--arg", "novalue"], 64, "novalue"),
        (&["device_status", "--url", "nonsense"], 64, "nonsense"),
    ] {
        let finished = called(&gateway, args);
        assert_eq!((finished.code, finished.out.as_str()), (code, ""), "{args:?}: {finished:?}");
        assert!(finished.log.contains(word), "{args:?} says nothing about {word:?}: {finished:?}");
        assert!(!finished.log.contains(TOKEN) && !finished.log.contains("wrong-wrong"), "{args:?}: {finished:?}");
    }
    gateway.stop();
}

/// The names of an object's members.
fn keys(value: &Value) -> Vec<String> {
    value.as_object().map(|members| members.keys().cloned().collect()).unwrap_or_default()
}

#[test]
fn calls_over_the_socket() {
    let gateway = Gateway::start();
    let (url, ws) = (gateway.url(), gateway.url().replace("http://", "ws://"));
    let over = |args: &[&str]| called(&gateway, &[args, &["--ws"]].concat());
    let [http, socket] = [&url, &ws].map(|url| called(&gateway, &["agents_list", "--url", url]));
    assert_eq!((http.code, http.out.as_str(), http.log.as_str()), (0, socket.out.as_str(), ""), "{http:?} {socket:?}");
    // The log is collected by another thread.
    let opened = until(SOON, || Some(gateway.log().matches("socket_open").count()).filter(|count| *count > 0));
    assert_eq!(opened, Some(1), "{}", gateway.tail());
    let ops = over(&["agents_list", "--session", "agent:ops:main"]);
    assert!(ops.out.contains("\"ops\""), "the session arrives: {ops:?}");
    let wrong = gateway.dir().write("wrong", 0o600, "wrong-wrong-wrong-wrong");
    let wrong = wrong.to_string_lossy();
    let nobody = format!("ws://127.0.0.1:{}", free_port());
    for (args, code, word) in [
        (&["no_such_tool"][..], 1, "not_found: Tool not available: no_such_tool"),
        (&["device_status", "--token-file", &wrong], 1, "unauthorized: gateway token mismatch"),
        (&["device_status", "--arg", "nonsense=1"], 1, "nonsense"),
        (&["device_status", "--url", &format!("{url}/healthz")], 69, "not a gateway's"),
        (&["device_status", "--url", &nobody], 69, "127.0.0.1"),
        (&["device_status", "--url", "wss://127.0.0.1"], 64, "TLS is for the proxy"),
        (&["device_status", "--url", "https://127.0.0.1"], 64, "TLS is for the proxy"),
        (&["device_status", "--dry-run"], 64, "--dry-run"),
        (&["device_status", "--action", "list"], 64, "--action"),
        (&["device_status", "[1]"], 64, ""),
    ] {
        let finished = over(args);
        assert_eq!((finished.code, finished.out.as_str()), (code, ""), "{args:?}: {finished:?}");
        assert!(finished.log.contains(word), "{args:?} says nothing about {word:?}: {finished:?}");
        assert!(!finished.log.contains(TOKEN) && !finished.log.contains("wrong-wrong"), "{args:?}: {finished:?}");
    }
    let other = url.replace("127.0.0.1", "localhost");
    let page = called(&gateway, &["device_status", "--ws", "--url", &other]);
    assert_eq!(page.code, 0, "{page:?}");
    let card = command(gateway.dir(), &["status", "--url", &ws]);
    assert!(card.code == 0 && card.out.contains("connections  1"), "{card:?}");
    gateway.stop();
}

#[test]
fn a_call_over_the_socket_is_refused_at_the_door() {
    let gateway = Setup::new(&CONFIG.replacen("bind:", "limits: { connectionsPerPeer: 1 }, bind:", 1)).start();
    let keeps = gateway.peer();
    let finished = called(&gateway, &["device_status", "--ws"]);
    assert!(finished.code == 1 && finished.log.contains("Too many"), "{finished:?}");
    drop(keeps);
    gateway.stop();
}

#[test]
fn calls_find_the_generated_token() {
    let gateway = Setup::new("{}").start();
    let url = gateway.url();
    for over in ["--url", "--ws"] {
        let args = ["call", "device_status", "--url", &url, "--ws"];
        let finished = command(gateway.dir(), if over == "--ws" { &args } else { &args[..4] });
        assert_eq!(finished.code, 0, "{finished:?}");
    }
    gateway.stop();
}

#[test]
fn status_says_how_the_gateway_is() {
    let gateway = Gateway::start();
    let url = gateway.url();
    // The configuration that holds the token is about to break.
    let token = gateway.dir().write("secret", 0o600, TOKEN);
    let token = token.to_string_lossy();
    let asked =
        |more: &[&str]| command(gateway.dir(), &[&["status", "--url", &url, "--token-file", &token], more].concat());
    let card = asked(&[]);
    assert_eq!((card.code, card.log.as_str()), (0, ""), "{card:?}");
    for line in [&format!("listening    {url}"), "connections  1", "calls        1 running of 8", "reload       none"] {
        assert!(card.out.contains(line), "no {line:?}: {card:?}");
    }
    // A refused reload is remembered with its reason.
    gateway.dir().write("toolgate.json5", 0o600, "{ gateway: { prot: 1 } }");
    gateway.signal(Signal::HUP);
    let told = until(SOON, || Some(asked(&["--json"])).filter(|json| json.out.contains("gateway.prot")));
    let told = told.unwrap_or_else(|| panic!("nothing about the refused reload: {:?}", asked(&["--json"])));
    let json: Value = serde_json::from_str(&told.out).unwrap_or_else(|error| panic!("{error}: {told:?}"));
    assert_eq!((&json["last_reload"]["ok"], &json["last_reload"]["by"]), (&false.into(), &"SIGHUP".into()), "{json}");
    assert!(json["resident_kb"].as_u64().is_some_and(|kilobytes| kilobytes > 100), "{json}");
    let (_, dir) = gateway.stop_keeping();
    assert_eq!(command(&dir, &["status", "--url", "nonsense"]).code, 64);
    let gone = command(&dir, &["status", "--url", &url]);
    assert_eq!((gone.code, gone.out.as_str()), (69, ""), "{gone:?}");
    assert!(gone.log.contains("is the gateway running?"), "{gone:?}");
}

#[test]
fn tokens() {
    let dir = under("{}");
    let missing = command(&dir, &["token", "show"]);
    assert_eq!((missing.code, missing.out.as_str()), (1, ""), "no token yet: {missing:?}");
    assert!(!dir.path("state").exists(), "asking for the token made one");
    let gateway = Setup::new("{}").dir(dir).start();
    let (_, dir) = gateway.stop_keeping();
    let path = dir.path("state/token");
    let stored = || fs::read_to_string(&path).expect("the token").trim().to_owned();
    let first = stored();
    for args in [&["token"][..], &["token", "show"]] {
        let shown = command(&dir, args);
        assert_eq!((shown.code, shown.out.as_str()), (0, format!("{first}\n").as_str()), "{args:?}: {shown:?}");
    }
    let shown = command(&dir, &["token", "path"]);
    assert_eq!((shown.code, shown.out.trim_end()), (0, &*path.to_string_lossy()), "{shown:?}");
    let rotated = command(&dir, &["token", "rotate"]);
    assert_eq!(rotated.code, 0, "{rotated:?}");
    let second = stored();
    assert!(second != first && second.len() == 48, "rotate left {second:?}");
    assert_eq!(fs::metadata(&path).expect("the token").permissions().mode() & 0o7777, 0o600);
    let mut kept: Vec<_> = fs::read_dir(dir.path("state"))
        .expect("the state directory")
        .map(|e| e.expect("an entry").file_name())
        .collect();
    kept.sort();
    assert_eq!(kept, ["identity", "token"], "a draft is left behind");
    let shown = command(&dir, &["token", "show"]);
    assert_eq!(shown.out.trim(), second, "{shown:?}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("its mode");
    let refused = command(&dir, &["token", "show"]);
    assert!(refused.code != 0 && !refused.text().contains(&second), "a token others can read is shown: {refused:?}");
}

#[test]
fn a_secret_that_is_elsewhere_is_not_rotated() {
    let asked = |dir: &Dir, what: &str, variable: &str| {
        let (config, state) = (dir.path("toolgate.json5"), dir.path("state"));
        let (config, state) = (config.to_string_lossy(), state.to_string_lossy());
        let mut command = program(dir, &["token", what, "--config", &config, "--state-dir", &state]);
        command.env("OPENCLAW_GATEWAY_TOKEN", variable);
        run(command)
    };
    for (config, variable, words) in [
        (CONFIG, "", "token, in the configuration; change it there"),
        ("{}", TOKEN, "token, from the environment; change it there"),
        ("{ gateway: { auth: { mode: 'password', password: 'four-five-six-seven' } } }", "", "password, in the conf"),
        ("{ gateway: { auth: { mode: 'none' } } }", "", "none; set gateway.auth.mode: \"token\" first"),
    ] {
        let dir = under(config);
        for what in ["rotate", "path"] {
            let refused = asked(&dir, what, variable);
            assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{what} under {config}: {refused:?}");
            assert!(refused.log.contains(words), "{what} under {config}: {refused:?}");
        }
        assert!(!dir.path("state").exists(), "a token was made that never comes into force, under {config}");
    }
    // Where nothing can be told, the file of a gateway that makes its own is meant.
    let dir = under("{ gateway: { prot: 1 } }");
    assert_eq!(asked(&dir, "rotate", "").code, 0);
    assert!(dir.path("state/token").exists());
}

#[test]
fn a_configuration_that_broke_blinds_no_client() {
    let gateway = Setup::new("{}").start();
    let url = gateway.url();
    gateway.dir().write("toolgate.json5", 0o600, "{ gateway: { prot: 1 } }");
    let status = command(gateway.dir(), &["status", "--url", &url]);
    assert_eq!((status.code, status.log.as_str()), (0, ""), "{status:?}");
    let token = fs::read_to_string(gateway.dir().path("state/token")).expect("the token");
    let shown = command(gateway.dir(), &["token"]);
    assert_eq!((shown.code, shown.out.as_str()), (0, token.as_str()), "{shown:?}");
    let lost = command(gateway.dir(), &["call", "device_status"]);
    assert!(lost.log.contains("the default port is asked"), "{lost:?}");
    gateway.stop();
}

#[test]
fn root_looks_at_the_secrets_of_a_service() {
    if !rustix::process::geteuid().is_root() {
        return notice("commands: another user's secret is left out: only root can make one");
    }
    let dir = Dir::new();
    let secret = dir.write("secret", 0o600, TOKEN);
    let config = format!("{{ gateway: {{ auth: {{ token: {{ file: '{}' }} }} }} }}", secret.display());
    dir.write("toolgate.json5", 0o600, &config);
    chown(&secret, Some(65_534), None).expect("the owner");
    let checked = command(&dir, &["check"]);
    assert_eq!((checked.code, checked.log.as_str()), (0, ""), "{checked:?}");
    assert_eq!(command(&dir, &["token"]).out.trim(), TOKEN);
    let ran = command(&dir, &["run", "--port=0"]);
    assert!(ran.code == 78 && ran.log.contains("belongs to user 65534"), "{ran:?}");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o640)).expect("its mode");
    assert_eq!(command(&dir, &["check"]).code, 78, "others can read it");
}

#[test]
fn no_answer_controls_the_terminal() {
    let hostile = "\\u001b[2J\\u202e\u{9b}31m\u{202e}";
    let result =
        format!(r#"{{"ok":true,"result":{{"content":[{{"text":"a\n{hostile}"}}],"details":{{"x":"{hostile}"}}}}}}"#);
    let error = format!(r#"{{"ok":false,"error":{{"type":"x","message":"{hostile}"}}}}"#);
    for (status, body) in [("200 OK", result.as_str()), ("400 Bad Request", &error), ("404 Not Found", "\u{1b}[2J")] {
        let text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let port = stranger(move |stream| drop(say(stream, &text)));
        let (dir, url) = (under(CONFIG), format!("http://127.0.0.1:{port}"));
        for args in [&["call", "x"][..], &["status"], &["status", "--json"]] {
            let finished = command(&dir, &[args, &["--url", &url]].concat());
            let control = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
            assert!(!finished.text().contains(control), "{args:?} of {body:?}: {finished:?}");
            if finished.code == 0 && args.contains(&"--json") {
                let json: Value = serde_json::from_str(&finished.out).expect("JSON");
                assert_eq!(json["x"], "\u{1b}[2J\u{202e}\u{9b}31m\u{202e}");
            }
        }
    }
}

#[test]
fn a_token_beside_the_configuration_is_the_packages() {
    let dir = under("{}");
    let beside = dir.write("token", 0o600, "0123456789abcdef0123456789abcdef\n");
    let config = dir.path("toolgate.json5");
    let asked = |what: &str, state: bool| {
        let mut all = vec!["token", what, "--config", config.to_str().expect("a path")];
        let named = dir.path("state");
        if state {
            all.extend(["--state-dir", named.to_str().expect("a path")]);
        }
        let mut command = program(&dir, &all);
        command.env("XDG_STATE_HOME", dir.path("home"));
        run(command)
    };
    let shown = asked("show", false);
    assert_eq!((shown.code, shown.out.trim_end()), (0, "0123456789abcdef0123456789abcdef"), "{shown:?}");
    let path = asked("path", false);
    assert_eq!((path.code, path.out.trim_end()), (0, &*beside.to_string_lossy()), "{path:?}");
    let elsewhere = asked("path", true);
    assert_eq!(elsewhere.out.trim_end(), dir.path("state/token").to_string_lossy(), "a named directory comes first");
    let rotated = asked("rotate", false);
    assert_eq!(rotated.code, 0, "{rotated:?}");
    let fresh = fs::read_to_string(&beside).expect("the token");
    assert!(fresh.trim().len() == 48 && !dir.path("home").exists(), "rotate left {fresh:?}");
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o640)).expect("its mode");
    let refused = asked("show", false);
    assert!(refused.code != 0 && !refused.text().contains(fresh.trim()), "others can read it: {refused:?}");
}
