//! Children of all kinds, run for real. Those tests that count what belongs to the whole process do so in one of their own.

use std::cell::RefCell;
use std::fs;
use std::process::Command;
use std::time::Duration;

use super::*;
use crate::limits::KIB;
use crate::tool::fixture::{Scratch, bare, heir};

const CAP: usize = 64 * KIB;

pub fn program(argv: &[&str]) -> Plan {
    Plan {
        argv: argv.iter().map(|text| (*text).to_owned()).collect(),
        env: Vec::new(),
        cwd: String::from("/"),
        stdin: Vec::new(),
        user: None,
        // Whoever runs the tests has processes of their own.
        rlimits: Rlimits { processes: None, ..Rlimits::default() },
        output_bytes: CAP,
        timeout: Duration::from_secs(60),
        turns: None,
    }
}

pub fn script(text: &str) -> Plan {
    program(&["/bin/sh", "-c", text])
}

/// A script that has a deadline, and prints before it.
pub fn hasty(text: &str) -> Plan {
    Plan { timeout: Duration::from_secs(3), ..script(text) }
}

pub fn result(host: &Host, plan: Plan) -> Result<Report, String> {
    heir();
    smol::block_on(host.tasks.run(run(host, plan, None)))
}

pub fn go(plan: Plan) -> Report {
    result(&bare(&[]), plan).expect("a child that starts")
}

pub fn text(kept: &Kept) -> String {
    assert_eq!(kept.dropped, 0);
    String::from_utf8(kept.head.clone()).expect("text")
}

pub fn out(plan: Plan) -> String {
    let report = go(plan);
    assert_eq!((report.end, text(&report.stderr).as_str()), (End::Code(0), ""));
    text(&report.stdout)
}

pub fn there(pid: &str) -> bool {
    assert!(pid.parse::<u32>().is_ok_and(|pid| pid > 1), "no process: {pid:?}");
    fs::exists(["/proc/", pid].concat()).expect("/proc")
}

/// Runs the test `name` in a process of its own; `None` is what that one gets, what it printed the other.
pub fn alone(name: &str, before: &str) -> Option<String> {
    if std::env::var_os("TOOLGATE_ALONE").is_some() {
        return None;
    }
    let line = [before, r#"; exec "$0" --exact "$1" --nocapture --test-threads 1"#].concat();
    let exe = std::env::current_exe().expect("this program");
    let child = {
        let mut known = orphans::known();
        let mut command = Command::new("/bin/sh");
        let name = ["tool::child::", name].concat();
        command.args(["-c", &line]).arg(exe).arg(name).env("TOOLGATE_ALONE", "1");
        let child = command.stdout(std::process::Stdio::piped()).spawn().expect("a process");
        known.roots.push(Pid::from_child(&child));
        child
    };
    let pid = Pid::from_child(&child);
    let output = child.wait_with_output().expect("its end");
    orphans::known().roots.retain(|root| *root != pid);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    Some(said)
}

pub fn status(key: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("a line");
    line.trim_start_matches(':').split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number")
}

#[test]
fn ends_and_streams() {
    let check = |plan: &str, end: End, stdout: &str, stderr: &str| {
        let report = go(script(plan));
        let got = (report.end, text(&report.stdout), text(&report.stderr), report.timed_out);
        assert_eq!(got, (end, stdout.to_owned(), stderr.to_owned(), false), "{plan}");
    };
    check("true", End::Code(0), "", "");
    check("echo a; echo b >&2; exit 7", End::Code(7), "a\n", "b\n");
    check("exit 255", End::Code(255), "", "");
    check("kill -9 $$", End::Signal(9), "", "");
    check("kill -ABRT $$", End::Signal(6), "", "");
    // Nothing to read, and somebody else's end of a pipe: neither is waited for.
    check("cat", End::Code(0), "", "");
    check("exec >&- 2>&-; kill -TERM $$", End::Signal(15), "", "");
    check("sleep 1000 & echo a", End::Code(0), "a\n", "");
}

#[test]
fn arguments_are_no_shells() {
    let odd = ["; id", "$(id)", "a b", "", "-n", "'\"\\", "*", "\n", "é"];
    let argv = [&["/usr/bin/printf", "[%s]"], odd.as_slice()].concat();
    assert_eq!(out(program(&argv)), odd.map(|text| ["[", text, "]"].concat()).concat());
}

#[test]
fn the_environment_is_what_was_declared() {
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n";
    let with = |env: &[(&str, &str)]| {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        out(Plan { env, ..program(&["/usr/bin/env"]) })
    };
    assert_eq!(with(&[]), path);
    assert_eq!(with(&[("LANG", "C"), ("A", "b=c $HOME")]), [path, "LANG=C\nA=b=c $HOME\n"].concat());
    assert_eq!(with(&[("PATH", "/bin")]), "PATH=/bin\n");
    assert_eq!(out(Plan { cwd: String::from("/usr"), ..script("pwd") }), "/usr\n");
}

#[test]
fn nothing_is_inherited() {
    // Not closed at exec, as what a careless supervisor leaves open.
    let open = rustix::pipe::pipe().expect("a pipe");
    let fds = "for fd in /proc/$$/fd/*; do [ -e $fd ] || [ -L $fd ] && echo ${fd##*/}; done; readlink /proc/$$/fd/0; :";
    assert_eq!(out(script(fds)), "0\n1\n2\n/dev/null\n");
    drop(open);
    let status = out(program(&["/bin/cat", "/proc/self/status"]));
    for line in
        ["NoNewPrivs:\t1", "SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000", "SigCgt:\t0000000000000000"]
    {
        assert!(status.lines().any(|found| found == line), "{line} in {status}");
    }
    let stat = out(program(&["/bin/cat", "/proc/self/stat"]));
    let words: Vec<&str> = stat.split_whitespace().collect();
    assert_eq!((words[0], words[3]), (words[4], std::process::id().to_string().as_str()), "a group of its own: {stat}");
}

#[test]
fn signals_that_the_gateway_ignores_are_not_ignored() {
    let Some(_) = alone("tests::signals_that_the_gateway_ignores_are_not_ignored", "trap '' HUP INT CHLD USR1") else {
        adopt();
        assert!(out(program(&["/bin/cat", "/proc/self/status"])).contains("SigIgn:\t0000000000000000"));
        assert_eq!(go(script("exit 7")).end, End::Code(7));
        return;
    };
}

#[test]
fn limits_are_the_childs() {
    let limits = |rlimits: Rlimits| out(Plan { rlimits, ..program(&["/bin/cat", "/proc/self/limits"]) });
    let emulated = std::env::var_os("TOOLGATE_EMULATED").is_some();
    let check = |limits: &str, name: &str, soft: &str, hard: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).expect("a limit");
        assert!(emulated || line.split_whitespace().collect::<Vec<_>>()[..2] == [soft, hard], "{name} {line}");
    };
    let wanted = Rlimits {
        cpu_s: Some(7),
        address_bytes: Some(100_000_000),
        file_bytes: Some(12_345),
        processes: Some(77),
        open_files: Some(33),
    };
    let said = limits(wanted);
    check(&said, "Max cpu time", "7", "8");
    check(&said, "Max address space", "100000000", "100000000");
    check(&said, "Max file size", "12345", "12345");
    check(&said, "Max processes", "77", "77");
    check(&said, "Max open files", "33", "33");
    check(&said, "Max core file size", "0", "0");
    let none =
        Rlimits { cpu_s: None, address_bytes: None, file_bytes: None, processes: None, open_files: Some(u64::MAX) };
    let own = fs::read_to_string("/proc/self/limits").expect("limits");
    for name in ["Max cpu time", "Max address space", "Max file size", "Max processes"] {
        let line = |text: &str| text.lines().find(|line| line.starts_with(name)).map(str::to_owned);
        assert_eq!(line(&limits(none)), line(&own));
    }
    if emulated {
        return;
    }
    let tmp = Scratch::new("child-limits");
    let cwd = tmp.root().place(std::path::Path::new("")).to_str().expect("text").to_owned();
    let met = |rlimits: Rlimits, line: &str| go(Plan { rlimits, cwd: cwd.clone(), ..script(line) }).end;
    let file = Rlimits { file_bytes: Some(12_345), ..none };
    assert_eq!(met(file, "exec head -c 20000 /dev/zero >file"), End::Signal(Signal::XFSZ.as_raw()));
    assert_eq!(fs::metadata(tmp.root().place(std::path::Path::new("/file"))).expect("a file").len(), 12_345);
    let cpu = Rlimits { cpu_s: Some(1), ..none };
    assert_eq!(met(cpu, "while :; do :; done"), End::Signal(Signal::XCPU.as_raw()));
}

#[test]
fn sentences_about_what_does_not_start() {
    let tmp = Scratch::new("child-start");
    tmp.write("plain", b"#!/bin/sh\n");
    tmp.write("alien", b"#!/nonexistent/sh\n");
    tmp.write("text", b"echo\n");
    let place = |name: &str| tmp.root().place(std::path::Path::new(name)).to_str().expect("text").to_owned();
    for name in ["alien", "text"] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(place(name), mode).expect("a mode");
    }
    let host = bare(&[]);
    let check = |plan: Plan, expected: &str| {
        let text = result(&host, plan).expect_err(expected);
        assert!(text.contains(expected), "{text} for {expected}");
        assert!(!text.contains('/') && host.nursery.running.borrow().is_empty());
    };
    check(program(&["/nonexistent/x"]), "the program is not there");
    check(program(&[&place("plain")]), "the program may not be executed");
    check(program(&["/usr"]), "the program may not be executed");
    check(program(&[&place("alien")]), "interpreter is not there");
    check(program(&[&place("text")]), "none that this system can run");
    check(program(&["/bin/true", &"x".repeat(300_000)]), "longer than this system allows");
    check(program(&["true"]), "absolute");
    check(program(&[]), "absolute");
    check(program(&["/bin/true", "a\0b"]), "NUL");
    check(Plan { cwd: String::from("/nonexistent"), ..script("") }, "the working directory is not there");
    check(Plan { cwd: place("plain"), ..script("") }, "the working directory is no directory");
    check(Plan { cwd: String::from("usr"), ..script("") }, "absolute");
    check(Plan { env: vec![(String::from("A=B"), String::new())], ..script("") }, "equals sign");
    check(Plan { user: Some(Identity { uid: u32::MAX, gid: 5 }), ..script("") }, "no user");
    if !rustix::process::geteuid().is_root() {
        check(
            Plan { user: Some(Identity { uid: 65_534, gid: 65_534 }), ..script("") },
            "only a gateway that runs as root",
        );
    }
}

#[test]
fn users() {
    let tmp = Scratch::new("child-users");
    tmp.write(
        "etc/passwd",
        b"root:x:0:0:root:/root:/bin/sh\n:x:5:5::/:\nbad:x:y:0\nshort:x:1\nweb:x:33:44:w:/:/bin/false\n",
    );
    let check = |name: &str, expected: Option<(u32, u32)>| {
        let found = identity(&tmp.root(), name).ok().map(|identity| (identity.uid, identity.gid));
        assert_eq!(found, expected, "{name:?}");
    };
    check("root", Some((0, 0)));
    check("web", Some((33, 44)));
    for name in ["", "bad", "short", "we", "web:x", "33", "nobody"] {
        check(name, None);
    }
    let own = Identity { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() };
    assert_eq!(out(Plan { user: Some(own), ..script("echo up") }), "up\n");
    if rustix::process::geteuid().is_root() {
        let user = Some(Identity { uid: 65_534, gid: 65_533 });
        let status = out(Plan { user, ..program(&["/bin/cat", "/proc/self/status"]) });
        for line in
            ["Uid:\t65534\t65534\t65534\t65534", "Gid:\t65533\t65533\t65533\t65533", "CapEff:\t0000000000000000"]
        {
            assert!(status.lines().any(|found| found == line), "{line} in {status}");
        }
        assert!(status.lines().any(|line| line.trim() == "Groups:"), "{status}");
    }
}

#[test]
fn input_of_any_size_blocks_nobody() {
    let stdin: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
    let with = |text: &str| Plan { stdin: stdin.clone(), output_bytes: 2_000_000, ..script(text) };
    assert_eq!(out(with("wc -c")).trim(), "1000000");
    assert_eq!(go(with("cat")).stdout.head, stdin, "written and read at once");
    assert_eq!(out(with("exec <&-; echo up")), "up\n");
    assert_eq!(out(with("head -c 3 >/dev/null; echo up")), "up\n");
    let report = go(Plan { stdin, ..hasty("echo up; exec sleep 1000") });
    assert_eq!((text(&report.stdout).as_str(), report.timed_out), ("up\n", true));
}

#[test]
fn sixty_four_megabytes_cost_what_is_kept() {
    let Some(_) = alone("tests::sixty_four_megabytes_cost_what_is_kept", ":") else {
        go(script("head -c 100000 /dev/zero"));
        let before = status("VmHWM");
        let report = go(script("head -c 64000000 /dev/zero"));
        let kept = (report.stdout.head.len(), report.stdout.tail.len());
        assert_eq!((kept, report.stdout.total), ((CAP / 2, CAP / 2), 64_000_000));
        assert_eq!(report.stdout.dropped, 64_000_000 - CAP as u64);
        let endless = go(hasty("yes & exec yes >&2"));
        assert!(endless.timed_out && endless.stdout.total > 1_000_000 && endless.stderr.total > 1_000_000);
        assert_eq!(endless.stdout.head.len() + endless.stdout.tail.len(), CAP);
        let grown = status("VmHWM") - before;
        assert!(grown < 1024, "grown by {grown} KiB");
        return;
    };
}

#[test]
fn pieces_come_as_they_are_printed() {
    let pieces = RefCell::new((Vec::new(), Vec::new(), 0));
    let note = |stream: Stream, piece: &[u8]| {
        let mut pieces = pieces.borrow_mut();
        let to = if stream == Stream::Out { &mut pieces.0 } else { &mut pieces.1 };
        to.extend_from_slice(piece);
        pieces.2 += 1;
    };
    let host = bare(&[]);
    let plan = script("head -c 100000 /dev/zero; echo bad >&2");
    let report = smol::block_on(run(&host, plan, Some(&note))).expect("a child");
    let pieces = pieces.borrow();
    assert_eq!((pieces.0.len(), pieces.1.as_slice()), (100_000, b"bad\n".as_slice()));
    assert!(pieces.2 > 3 && report.stdout.total == 100_000);
}
