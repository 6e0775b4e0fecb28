//! Commands that an operator declared, run by the real program: what becomes of values, output, time and processes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::client::{Answer, call};
use crate::rig::{Dir, Finished, Gateway, SOON, Setup, TOKEN, is_left_out, program, run, until};
use crate::socket::Ws;

/// A gateway with these commands; `DIR` in their text is its directory. `scripts` are programs in it.
pub fn gateway(commands: &str, scripts: &[(&str, &str)]) -> Gateway {
    let dir = Dir::new();
    // Commands of other users must reach their programs.
    fs::set_permissions(dir.path(""), fs::Permissions::from_mode(0o711)).expect("open the directory");
    for (name, text) in scripts {
        dir.write(name, 0o755, &format!("#!/bin/sh\n{text}\n"));
    }
    let commands = commands.replace("DIR", dir.path("").to_str().expect("a path").trim_end_matches('/'));
    Setup::new(&config(&commands)).dir(dir).start()
}

/// A configuration with these commands.
pub fn config(commands: &str) -> String {
    format!(
        "{{ gateway: {{ bind: \"loopback\", auth: {{ mode: \"token\", token: \"{TOKEN}\" }} }}, \
         tools: {{ commands: {{ {commands} }} }} }}"
    )
}

/// The answer to a call with these fields.
fn ask(gateway: &Gateway, body: &Value) -> Answer {
    gateway.peer().ask(&call(&body.to_string()))
}

/// The details of a call that is answered 200.
fn details(gateway: &Gateway, tool: &str, args: Value) -> Value {
    let answer = ask(gateway, &json!({"tool": tool, "args": args}));
    assert_eq!(answer.status, 200, "{tool} {args}: {}; log:\n{}", answer.text(), gateway.tail());
    answer.json()["result"]["details"].clone()
}

/// Processes, zombies too, whose command line or name has `word` in it.
pub fn processes(word: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        if !entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(word) {
            found.push(format!("{} {line}", entry.file_name().to_string_lossy()));
        }
    }
    found
}

/// Children of the gateway, zombies too.
fn children(gateway: &Gateway) -> Vec<String> {
    let of = format!("{}", gateway.id());
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let Some((name, rest)) = stat.rsplit_once(')') else { continue };
        if rest.split_whitespace().nth(1) == Some(&of) {
            found.push(name.to_owned());
        }
    }
    found
}

/// Waits until no process has `word` in its command line and the gateway has no child.
#[track_caller]
pub fn gone(gateway: &Gateway, word: &str) {
    let clean = until(SOON, || (processes(word).is_empty() && children(gateway).is_empty()).then_some(()));
    assert!(clean.is_some(), "left: {:?}, {:?}; log:\n{}", processes(word), children(gateway), gateway.tail());
}

/// The whole path of a script of this gateway: another test may have one of the same name.
pub fn script(gateway: &Gateway, name: &str) -> String {
    gateway.dir().path(name).to_string_lossy().into_owned()
}

const SHOW: (&str, &str) = ("show", "for word; do printf '<%s>' \"$word\"; done");

#[test]
fn a_command_gets_its_arguments_and_nothing_else() {
    let gateway = gateway(
        "show: { description: 'Show', argv: ['DIR/show', 'a b', '--', '{x}', 'p{x}q'], parameters: { x: {} }, required: ['x'] }",
        &[SHOW],
    );
    let hostile =
        [";id", "$(id)", "`id`", "-oProxyCommand=x", "a\nb", "--", "{x}", "\u{2013}x", "*", "~", "'\"", "%n", ""];
    for value in hostile {
        let said = details(&gateway, "show", json!({"x": value}));
        assert_eq!(said["stdout"], format!("<a b><--><{value}><p{value}q>"), "{value:?}: {said}");
        assert_eq!((&said["exitCode"], &said["truncated"]), (&json!(0), &json!(false)), "{said}");
    }
    for (value, text) in
        [("a\0b", "x: must not hold a NUL byte"), (&*"x".repeat(1 << 20), "x: must be at most 1000 characters")]
    {
        let answer = ask(&gateway, &json!({"tool": "show", "args": {"x": value}}));
        assert_eq!((answer.status, answer.error().1.as_str()), (400, text));
    }
    let answer = ask(&gateway, &json!({"tool": "show", "args": {"x": "a", "y": "b"}}));
    assert_eq!((answer.status, answer.error().1), (400, "y: unknown argument (this tool takes x)".into()));
    assert_eq!(ask(&gateway, &json!({"tool": "show"})).error().1, "x required");
    gone(&gateway, &script(&gateway, "show"));
    gateway.stop();
}

#[test]
fn a_command_sees_an_empty_world() {
    let script = "env | sort; pwd; ls -l /proc/self/fd | wc -l; grep -E 'NoNewPrivs|SigIgn' /proc/self/status; \
        ulimit -n; ulimit -c; cat; cut -d' ' -f5 /proc/self/stat";
    let gateway = gateway(
        "world: { description: 'World', argv: ['DIR/world'], env: { LANG: 'C' }, output: 'lines', limits: { openFiles: 20 } }",
        &[("world", script)],
    );
    let said = details(&gateway, "world", json!({}));
    let lines: Vec<&str> = said["lines"].as_array().expect("lines").iter().filter_map(Value::as_str).collect();
    let env: Vec<&str> = lines.iter().take_while(|line| line.contains('=')).copied().collect();
    // A shell sets PWD and its like by itself.
    assert!(
        env.iter()
            .all(|line| ["LANG=C", "PATH=", "PWD=", "OLDPWD=", "SHLVL=", "_="].iter().any(|own| line.starts_with(own))),
        "{lines:?}"
    );
    assert!(env.contains(&"LANG=C") && !said.to_string().contains(TOKEN), "{lines:?}");
    let rest = &lines[env.len()..];
    // The total, 0, 1, 2, and the one that ls reads the directory by.
    assert_eq!((rest[0], rest[1]), ("/", "5"), "{lines:?}");
    let ignored = rest[2].strip_prefix("SigIgn:\t").expect("the signals that are ignored");
    assert!(ignored == "0000000000000000" || is_left_out("declared: ignored signals"), "{lines:?}");
    assert!(rest[3].starts_with("NoNewPrivs") && rest[3].ends_with('1'), "{lines:?}");
    assert_eq!((rest[4], rest[5]), ("20", "0"), "{lines:?}");
    gateway.stop();
}

#[test]
fn the_end_of_a_command_is_told() {
    let gateway = gateway(
        "fail: { description: 'Fail', argv: ['DIR/fail'] }, \
         dies: { description: 'Dies', argv: ['DIR/dies'] }, \
         json: { description: 'JSON', argv: ['DIR/json', '{n}'], parameters: { n: { type: 'integer' } }, required: ['n'], output: 'json' }, \
         bytes: { description: 'Bytes', argv: ['DIR/bytes'] }, \
         strict: { description: 'Bytes', argv: ['DIR/bytes'], binary: 'refuse' }, \
         echo: { description: 'Echo', argv: ['/bin/cat'], stdin: 'args', output: 'json', parameters: { a: {}, n: { type: 'number' } } }, \
         absent: { description: 'Absent', argv: ['/nonexistent/x'] }, \
         nowhere: { description: 'Nowhere', argv: ['/bin/cat'], cwd: '/nonexistent' }, \
         nobody: { description: 'Nobody', argv: ['/bin/cat'], user: 'no-such-user' }",
        &[
            ("fail", "echo out; echo err >&2; exit 3"),
            ("dies", "kill -KILL $$"),
            ("json", "[ $1 = 1 ] && echo '{\"a\": [1, 2]}' || echo nonsense"),
            ("bytes", "printf 'a\\377\\000b'"),
        ],
    );
    let said = details(&gateway, "fail", json!({}));
    assert!(said.to_string().starts_with("{\"status\":\"error\"") || said["status"] == "error", "{said}");
    assert_eq!((&said["exitCode"], &said["stdout"], &said["stderr"]), (&json!(3), &json!("out\n"), &json!("err\n")));
    assert_eq!(said["error"], "the program ended with exit code 3");
    let said = details(&gateway, "dies", json!({}));
    assert_eq!((&said["exitCode"], &said["signal"], &said["status"]), (&Value::Null, &json!(9), &json!("error")));
    assert_eq!(details(&gateway, "json", json!({"n": 1}))["json"], json!({"a": [1, 2]}));
    let said = details(&gateway, "json", json!({"n": 2}));
    assert_eq!((&said["status"], &said["stdout"]), (&json!("error"), &json!("nonsense\n")), "{said}");
    assert_eq!(details(&gateway, "bytes", json!({}))["stdoutBase64"], "Yf8AYg==");
    assert_eq!(details(&gateway, "strict", json!({}))["status"], "error");
    assert_eq!(details(&gateway, "echo", json!({"n": 1.50, "a": "ä"}))["json"], json!({"a": "ä", "n": 1.5}));
    // A tool whose program is not there does not exist.
    assert_eq!(ask(&gateway, &json!({"tool": "absent"})).status, 404);
    for tool in ["nowhere", "nobody"] {
        let said = details(&gateway, tool, json!({}));
        assert_eq!(said["status"], "error", "{said}");
        assert!(said["error"].as_str().is_some_and(|text| text.contains("no")), "{said}");
    }
    gateway.stop();
}

#[test]
fn output_beyond_the_cap_is_counted_and_dropped() {
    let gateway = gateway(
        "flood: { description: 'Flood', argv: ['DIR/flood'], maxOutputBytes: 4096, timeoutMs: 60000 }, \
         endless: { description: 'Endless', argv: ['/usr/bin/yes'], timeoutMs: 3000 }",
        &[("flood", "printf HEAD; head -c 67108864 /dev/zero | tr '\\0' x; printf TAIL")],
    );
    let before = gateway.status("VmHWM");
    let said = details(&gateway, "flood", json!({}));
    let out = said["stdout"].as_str().expect("text");
    assert!(out.starts_with("HEADxx") && out.ends_with("xxTAIL") && out.len() < 5000, "{} bytes", out.len());
    assert_eq!((&said["truncated"], &said["stdoutBytes"]), (&json!(true), &json!(67_108_872)));
    assert_eq!(said["droppedBytes"], json!(67_108_872 - 4096));
    let said = details(&gateway, "endless", json!({}));
    assert_eq!((&said["timedOut"], &said["status"], &said["truncated"]), (&json!(true), &json!("error"), &json!(true)));
    if !is_left_out("siege: resident memory") {
        let grown = gateway.status("VmHWM") - before;
        assert!(grown < 1024, "64 MB of output cost {grown} KiB");
    }
    gone(&gateway, &script(&gateway, "flood"));
    gateway.stop();
}

/// Programs that do not want to end: each leaves a grandchild that sleeps for as long as `word` says.
const STUBBORN: [(&str, &str); 4] = [
    ("grandchild", "sleep $1 & wait"),
    ("session", "setsid sleep $1 & wait"),
    ("daemon", "(setsid sh -c \"sleep $1 & sleep $1\" &) ; sleep $1"),
    ("deaf", "trap '' TERM INT HUP; while :; do sleep $1; done"),
];

/// Those of them that this run can judge.
fn judged() -> impl Iterator<Item = &'static str> {
    let all = !crate::rig::is_left_out("declared: sessions of their own");
    STUBBORN.iter().map(|(name, _)| *name).filter(move |name| all || !matches!(*name, "session" | "daemon"))
}

/// Commands of those programs with the sleep of `seconds`, a number that no other test has.
fn stubborn(seconds: u32, more: &str) -> String {
    let one = |(name, _): &(&str, &str)| {
        format!("{name}: {{ description: 'X', argv: ['DIR/{name}', '{seconds}'], concurrency: 4, {more} }}")
    };
    STUBBORN.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[test]
fn no_process_survives_its_deadline() {
    let gateway = gateway(&stubborn(86_401, "timeoutMs: 300"), &STUBBORN);
    for name in judged() {
        let said = details(&gateway, name, json!({}));
        assert_eq!((&said["timedOut"], &said["status"]), (&json!(true), &json!("error")), "{name}: {said}");
        gone(&gateway, "sleep 86401");
    }
    gateway.stop();
}

#[test]
fn no_process_survives_its_own_end() {
    let setsid = if crate::rig::is_left_out("declared: sessions of their own") { "" } else { "setsid" };
    let quick = format!("({setsid} sleep 86402 &); sleep 86402 & echo done");
    let quick = [("leaves", quick.as_str())];
    let gateway = gateway("leaves: { description: 'X', argv: ['DIR/leaves'] }", &quick);
    let said = details(&gateway, "leaves", json!({}));
    assert_eq!((&said["exitCode"], &said["stdout"]), (&json!(0), &json!("done\n")), "{said}");
    gone(&gateway, "sleep 86402");
    gateway.stop();
}

#[test]
fn no_process_survives_a_caller_that_leaves() {
    let gateway = gateway(&stubborn(86_403, "timeoutMs: 600000"), &STUBBORN);
    for name in judged() {
        let mut peer = gateway.peer();
        peer.send(&call(&json!({"tool": name}).to_string())).expect("send");
        assert!(
            until(SOON, || (!processes("sleep 86403").is_empty()).then_some(())).is_some(),
            "{name} does not start"
        );
        drop(peer);
        gone(&gateway, "sleep 86403");
        let mut socket = Ws::enter(&gateway);
        socket.raw(&crate::socket::req("1", "tools.invoke", &json!({"name": name}))).expect("send");
        assert!(
            until(SOON, || (!processes("sleep 86403").is_empty()).then_some(())).is_some(),
            "{name} does not start"
        );
        drop(socket);
        gone(&gateway, "sleep 86403");
    }
    assert!(gateway.log().contains("reason=caller_gone"), "{}", gateway.tail());
    gateway.stop();
}

/// A place is free when nothing is left of the call that had it, not when its caller has left.
#[test]
fn who_leaves_frees_no_place_that_its_program_still_has() {
    let script = "d=$(dirname $0); trap '' TERM; for p in $(cat $d/log); do kill -0 $p && echo two >> $d/two; done; \
        echo $$ >> $d/log; while :; do sleep 86411; done";
    let gateway = gateway(
        "deaf: { description: 'X', argv: ['DIR/deaf'], concurrency: 1, queue: 0, timeoutMs: 600000 }",
        &[("deaf", script)],
    );
    let log = gateway.dir().write("log", 0o644, "");
    let begun = |count| fs::read_to_string(&log).is_ok_and(|text| text.lines().count() == count);
    let mut first = gateway.peer();
    first.send(&call("{\"tool\":\"deaf\"}")).expect("send");
    assert!(until(SOON, || begun(1).then_some(())).is_some(), "{}", gateway.tail());
    drop(first);
    assert!(until(SOON, || gateway.log().contains("reason=caller_gone").then_some(())).is_some(), "{}", gateway.tail());
    let mut waiting = Vec::new();
    let second = until(SOON, || {
        let mut peer = gateway.peer();
        peer.send(&call("{\"tool\":\"deaf\"}")).expect("send");
        match peer.try_answer(false, Duration::from_millis(300)) {
            Ok(answer) => assert_eq!(answer.error().0, "tool_busy", "{}", answer.text()),
            Err(_) => waiting.push(peer),
        }
        begun(2).then_some(())
    });
    assert!(second.is_some(), "the place is free in the end; {}", gateway.tail());
    assert!(!gateway.dir().path("two").exists(), "both ran at once");
    gateway.stop();
}

#[test]
fn who_has_only_finished_sending_gets_its_answer() {
    let gateway = gateway("slow: { description: 'X', argv: ['/bin/sleep', '1'] }", &[]);
    let mut peer = gateway.peer();
    peer.send(&call("{\"tool\":\"slow\"}")).expect("send");
    peer.finish();
    let (answers, _) = peer.answers(false, SOON).expect("answers");
    let last = answers.last().expect("an answer");
    assert_eq!((last.status, &last.json()["result"]["details"]["exitCode"]), (200, &json!(0)));
    gateway.stop();
}

#[test]
fn no_process_survives_the_gateway() {
    let gateway = gateway(&stubborn(86_404, "timeoutMs: 600000"), &STUBBORN);
    let mut peers = Vec::new();
    for name in judged() {
        let mut peer = gateway.peer();
        peer.send(&call(&json!({"tool": name}).to_string())).expect("send");
        peers.push(peer);
    }
    assert!(
        until(SOON, || (processes("sleep 86404").len() >= judged().count()).then_some(())).is_some(),
        "{:?}",
        processes("86404")
    );
    gateway.signal(Signal::TERM);
    let finished = gateway.wait_long();
    assert_eq!(finished.code, 0, "{}", finished.log);
    assert_eq!(processes("sleep 86404"), [""; 0]);
}

#[test]
fn callers_wait_in_line_or_are_sent_away() {
    let commands = "slow: { description: 'X', argv: ['DIR/slow'], concurrency: 2, queue: 3, timeoutMs: 60000 }, \
        rare: { description: 'X', argv: ['/bin/true'], minIntervalMs: 60000 }";
    let script = "d=$(dirname $0); echo x >> $d/log; while [ ! -e $d/go ]; do sleep 0.02; done";
    let gateway = gateway(commands, &[("slow", script)]);
    let mut peers: Vec<_> = (0..30).map(|at| gateway.peer_from(2 + at)).collect();
    for peer in &mut peers {
        peer.send(&call("{\"tool\":\"slow\"}")).expect("send");
    }
    let mut busy = 0;
    until(SOON, || {
        peers.retain_mut(|peer| {
            let Ok(answer) = peer.try_answer(false, Duration::from_millis(20)) else { return true };
            assert_eq!((answer.status, answer.field("retry-after")), (429, Some("1")), "{}", answer.text());
            assert_eq!(answer.error(), ("tool_busy".into(), "slow is busy. Please try again.".into()));
            busy += 1;
            false
        });
        (busy >= 25).then_some(())
    });
    // The others say nothing, however long they are listened to.
    let answered = |peer: &mut crate::client::Peer| peer.try_answer(false, Duration::from_millis(100)).is_ok();
    assert_eq!((busy, peers.len(), peers.iter_mut().any(answered)), (25, 5, false));
    let status = details(&gateway, "gateway_status", json!({}));
    assert_eq!(status["tools"], json!([{"name": "slow", "running": 2, "waiting": 3, "refused": 25}]), "{status}");
    gateway.dir().write("go", 0o644, "");
    for mut peer in peers {
        let answer = peer.answer();
        assert_eq!(answer.status, 200, "{}; log:\n{}", answer.text(), gateway.tail());
    }
    assert_eq!(fs::read_to_string(gateway.dir().path("log")).expect("log"), "x\n".repeat(5));
    assert_eq!(details(&gateway, "rare", json!({}))["exitCode"], json!(0));
    let answer = ask(&gateway, &json!({"tool": "rare"}));
    let secs: u32 = answer.field("retry-after").and_then(|text| text.parse().ok()).expect("Retry-After");
    assert!(answer.status == 429 && (50..=60).contains(&secs), "{} {secs}", answer.status);
    gateway.stop();
}

#[test]
fn a_dry_run_runs_nothing_and_a_key_runs_once() {
    let commands = "once: { description: 'X', argv: ['DIR/once', '{x}'], parameters: { x: {} }, required: ['x'], env: { A: 'secret-b' } }";
    let gateway = gateway(commands, &[("once", "echo $1 >> $(dirname $0)/log")]);
    let log = || fs::read_to_string(gateway.dir().path("log")).unwrap_or_default();
    let answer = ask(&gateway, &json!({"tool": "once", "args": {"x": "1"}, "dryRun": true}));
    let said = &answer.json()["result"]["details"];
    assert_eq!(
        (&said["dryRun"], &said["tool"], &said["wouldRun"]["argv"][1]),
        (&json!(true), &json!("once"), &json!("1"))
    );
    assert!(said["policy"].as_array().is_some_and(|steps| steps.len() > 5 && steps[0]["step"] == "profile"), "{said}");
    assert!(!answer.text().contains("secret-b"), "{}", answer.text());
    assert_eq!(ask(&gateway, &json!({"tool": "once", "args": {"x": 1}, "dryRun": true})).status, 400);
    let said = Ws::enter(&gateway).ask("tools.invoke", json!({"name": "once", "args": {"x": "1"}, "dryRun": true}));
    assert_eq!(said["payload"]["output"]["details"]["dryRun"], json!(true), "{said}");
    let line = cli(&gateway, &["call", "once", "--arg", "x=one", "--dry-run"]);
    assert!(line.code == 0 && line.out.contains("\"dryRun\": true"), "{line:?}");
    // Looking is not acting: a tool that only observes does it all the same.
    assert!(ask(&gateway, &json!({"tool": "time_status", "dryRun": true})).text().contains("epoch_ms"));
    assert_eq!(log(), "", "a dry run ran");
    for _ in 0..3 {
        let answer = ask(&gateway, &json!({"tool": "once", "args": {"x": "2"}, "idempotencyKey": "k"}));
        assert_eq!(answer.json()["result"]["details"]["exitCode"], json!(0));
    }
    assert_eq!(log(), "2\n");
    gateway.stop();
}

/// A command of the program that asks this gateway.
fn cli(gateway: &Gateway, args: &[&str]) -> Finished {
    let mut command = program(gateway.dir(), args);
    command.arg("--url").arg(gateway.url()).env("OPENCLAW_GATEWAY_TOKEN", TOKEN);
    run(command)
}

#[test]
fn progress_is_told_to_the_callers_socket_and_nobody_else() {
    let commands = "steps: { description: 'X', argv: ['DIR/steps'], progress: true }";
    let gateway = gateway(commands, &[("steps", "echo one; sleep 0.3; echo two >&2; exit 4")]);
    let mut other = Ws::enter(&gateway);
    let mut socket = Ws::enter(&gateway);
    let said = socket.ask("tools.invoke", json!({"name": "steps"}));
    assert_eq!(said["payload"]["output"]["details"]["exitCode"], json!(4), "{said}");
    let told: Vec<&Value> = socket.events.iter().filter(|event| event["event"] == "session.tool").collect();
    let pieces: Vec<(&str, &str)> = told
        .iter()
        .map(|event| &event["payload"])
        .map(|told| (told["stream"].as_str().unwrap_or("end"), told["text"].as_str().unwrap_or_default()))
        .collect();
    assert_eq!(pieces, [("stdout", "one\n"), ("stderr", "two\n"), ("end", "")]);
    let end = &told[2]["payload"];
    assert_eq!(
        (&end["phase"], &end["isError"], &end["toolName"]),
        (&json!("end"), &json!(true), &json!("steps")),
        "{end}"
    );
    assert!(told.iter().all(|event| event.get("seq").is_none()), "events to one are not numbered");
    other.ask("health", json!({}));
    assert!(other.events.iter().all(|event| event["event"] != "session.tool"));
    gateway.stop();
}

#[test]
fn declared_tools_are_under_the_policy() {
    let gateway = gateway(
        "one: { description: 'One', argv: ['/bin/true'] }, two: { description: 'Two', argv: ['/bin/true'], tier: 'break' }",
        &[],
    );
    assert_eq!(ask(&gateway, &json!({"tool": "one"})).status, 200);
    // What can take the device away is off over HTTP until it is named.
    assert_eq!(ask(&gateway, &json!({"tool": "two"})).status, 404);
    let put = |more: &str| {
        let text = config(
            "one: { description: 'One', argv: ['/bin/true'] }, two: { description: 'Two', argv: ['/bin/true'], tier: 'break' }",
        );
        gateway.dir().write("toolgate.json5", 0o600, &text.replacen("tools: {", &format!("tools: {{ {more}"), 1));
        gateway.signal(Signal::HUP);
    };
    put("deny: ['group:commands'],");
    assert!(until(SOON, || (ask(&gateway, &json!({"tool": "one"})).status == 404).then_some(())).is_some());
    put("allow: ['one'],");
    assert!(until(SOON, || (ask(&gateway, &json!({"tool": "one"})).status == 200).then_some(())).is_some());
    assert_eq!(ask(&gateway, &json!({"tool": "time_status"})).status, 404);
    gateway.stop();
}

#[test]
fn a_reload_brings_and_takes_tools() {
    let gateway = gateway("one: { description: 'One', argv: ['/bin/true'] }", &[]);
    assert_eq!(ask(&gateway, &json!({"tool": "one"})).status, 200);
    gateway.dir().write("toolgate.json5", 0o600, &config("two: { description: 'Two', argv: ['/bin/true'] }"));
    gateway.signal(Signal::HUP);
    let came = until(SOON, || (ask(&gateway, &json!({"tool": "two"})).status == 200).then_some(()));
    assert!(came.is_some(), "{}", gateway.tail());
    assert_eq!(ask(&gateway, &json!({"tool": "one"})).status, 404);
    let said = Ws::enter(&gateway).ask("tools.catalog", json!({}));
    assert!(said.to_string().contains("\"two\"") && said.to_string().contains("commands"), "{said}");
    // What cannot be read changes nothing.
    gateway.dir().write("toolgate.json5", 0o600, &config("three: { description: 'Three', argv: ['true'] }"));
    gateway.signal(Signal::HUP);
    assert!(until(SOON, || gateway.log().contains("reload_refused").then_some(())).is_some());
    assert_eq!(ask(&gateway, &json!({"tool": "two"})).status, 200);
    gateway.stop();
}

#[test]
fn a_fork_bomb_ends_with_its_call() {
    if crate::rig::is_left_out("declared: a fork bomb") {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        return crate::rig::notice(
            "a fork bomb is left out: only root can run it as somebody who has no other process",
        );
    }
    assert!(Path::new("/etc/passwd").exists());
    // Each process starts two more in sessions of their own, for as long as the kernel lets them.
    let bomb = "while :; do setsid \"$0\" 86405 & setsid \"$0\" 86405 & sleep 0.01; done";
    let commands = "bomb: { description: 'X', argv: ['DIR/bomb', '86405'], user: 'nobody', timeoutMs: 1000, limits: { processes: 40 } }";
    let gateway = gateway(commands, &[("bomb", bomb)]);
    let mut peer = gateway.peer();
    peer.send(&call("{\"tool\":\"bomb\"}")).expect("send");
    // A good caller is served meanwhile.
    assert_eq!(ask(&gateway, &json!({"tool": "time_status"})).status, 200);
    let answer = peer.try_answer(false, Duration::from_secs(30)).expect("an answer");
    // A shell that can start nothing more may give up before its time is over.
    assert_eq!(answer.json()["result"]["details"]["status"], json!("error"), "{}", answer.text());
    gone(&gateway, "bomb 86405");
    gateway.stop();
}
