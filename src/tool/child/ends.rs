//! Nothing survives its call, however it ends.

use std::fs;
use std::io::Write;
use std::time::Duration;

use rustix::process::{WaitId, WaitIdOptions, waitid};
use smol::Timer;
use smol::channel::{Receiver, unbounded};
use smol::future::{or, zip};

use super::tests::{alone, go, hasty, out, program, result, script, status, text, there};
use super::*;
use crate::tool::fixture::{Scratch, bare, heir};

/// Starts another that outlives it, in one way or another; each prints the other's number.
const LEAVING: [&str; 6] = [
    "sleep 1000 & echo $!",
    "setsid sleep 1000 & echo $!",
    // Twice forked, in a session of its own, all descriptors closed: a daemon.
    "echo $( (setsid sh -c 'echo $$; exec sleep 1000 >&- 2>&- <&-' &) )",
    "sleep 1000 & kill -STOP $!; echo $!",
    "(trap '' TERM HUP; exec setsid sleep 1000) & echo $!",
    // A tree, in groups of their own.
    "echo $( (setsid sh -c 'setsid sh -c \"setsid sleep 1000 & sleep 1000\" >/dev/null & echo $!; exec >/dev/null; wait' &) )",
];

#[test]
fn nothing_survives_a_call() {
    for line in LEAVING {
        let pid = out(script(line));
        assert!(!there(pid.trim()), "{line}");
        let report = go(hasty(&[line, "; exec sleep 1000"].concat()));
        assert_eq!((report.timed_out, report.end), (true, End::Signal(15)), "{line}");
        assert!(!there(text(&report.stdout).trim()), "{line}");
    }
}

#[test]
fn no_child_is_left() {
    let Some(_) = alone("ends::no_child_is_left", ":") else {
        adopt();
        for line in LEAVING {
            out(script(line));
            let any = rustix::process::waitpid(None, rustix::process::WaitOptions::NOHANG);
            assert_eq!(any.err(), Some(rustix::io::Errno::CHILD), "{line}");
        }
        return;
    };
}

#[test]
fn without_pidfds_signals_tell() {
    let host = bare(&[]);
    host.nursery.pidfd.set(false);
    assert_eq!(result(&host, script("exit 7")).map(|report| report.end), Ok(End::Code(7)));
    let report = result(&host, hasty("exec sleep 1000")).expect("a child");
    assert_eq!((report.end, report.timed_out), (End::Signal(15), true));
}

#[test]
fn a_child_is_asked_before_it_is_killed() {
    let report = go(hasty("trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.01; done"));
    assert_eq!((report.end, report.timed_out, text(&report.stdout).as_str()), (End::Code(3), true, "up\nbye\n"));
    let report = go(hasty("trap '' TERM; echo up; while :; do sleep 1; done"));
    assert_eq!((report.end, report.timed_out, text(&report.stdout).as_str()), (End::Signal(9), true, "up\n"));
    assert!(report.duration_ms >= 3_000, "{}", report.duration_ms);
}

/// Runs `line` until it has printed its number.
async fn until_up(host: &Host, line: &str) -> String {
    heir();
    let (sender, receiver) = unbounded();
    let note = |_: Stream, piece: &[u8]| _ = sender.try_send(String::from_utf8_lossy(piece).trim().to_owned());
    let running = async {
        panic!("it ended: {:?}", run(host, script(line), Some(&note)).await);
    };
    or(async { receiver.recv().await.expect("a number") }, running).await
}

async fn until_gone(pid: &str) {
    while there(pid) {
        Timer::after(Duration::from_millis(5)).await;
    }
}

#[test]
fn a_caller_that_leaves_ends_its_child() {
    let host = bare(&[]);
    smol::block_on(host.tasks.run(async {
        for line in ["echo $$; exec sleep 1000", "trap '' TERM; echo $$; while :; do sleep 1; done"] {
            let pid = until_up(&host, line).await;
            assert!(there(&pid));
            until_gone(&pid).await;
        }
        for line in LEAVING {
            let pid = until_up(&host, &[line, "; exec sleep 1000"].concat()).await;
            until_gone(&pid).await;
        }
    }));
    assert!(host.nursery.running.borrow().is_empty());
}

async fn numbers(receiver: Receiver<String>, count: usize) -> Vec<String> {
    let mut pids = Vec::new();
    while pids.len() < count {
        pids.push(receiver.recv().await.expect("a number"));
    }
    pids
}

#[test]
fn the_end_of_all() {
    heir();
    let host = bare(&[]);
    let (sender, receiver) = unbounded();
    let note = |_: Stream, piece: &[u8]| _ = sender.try_send(String::from_utf8_lossy(piece).trim().to_owned());
    let polite = run(&host, script("setsid sleep 1000 & echo $!; exec sleep 1000"), Some(&note));
    let rude = run(&host, script("trap '' TERM; echo $$; while :; do sleep 1; done"), Some(&note));
    let end = async {
        let pids = numbers(receiver, 2).await;
        end_all(&host).await;
        pids
    };
    let ((polite, rude), pids) = smol::block_on(zip(zip(polite, rude), end));
    assert_eq!(polite.map(|report| report.end), Ok(End::Signal(15)));
    assert_eq!(rude.map(|report| report.end), Ok(End::Signal(9)));
    assert!(pids.iter().all(|pid| !there(pid)), "{pids:?}");
    assert_eq!(result(&host, script("")), Err(String::from("the gateway is stopping")));
}

#[test]
fn the_end_of_all_whose_callers_have_left() {
    let host = bare(&[]);
    // Nobody runs the tasks of the host meanwhile.
    let first = smol::block_on(until_up(&host, "trap '' TERM; echo $$; while :; do sleep 1; done"));
    let second = smol::block_on(until_up(&host, "setsid sleep 1000 & echo $!; exec sleep 1000"));
    assert!(there(&first) && there(&second));
    smol::block_on(end_all(&host));
    assert!(!there(&first) && !there(&second));
}

#[test]
fn a_host_that_goes_takes_its_children_along() {
    let host = bare(&[]);
    let pid = smol::block_on(until_up(&host, "trap '' TERM; echo $$; while :; do sleep 1; done"));
    drop(host);
    // What is left for a sweep is a zombie at most.
    smol::block_on(async {
        orphans::sweep().await;
        until_gone(&pid).await;
    });
}

#[test]
fn a_gateway_that_is_killed_takes_its_children_along() {
    let Some(said) = alone("ends::a_gateway_that_is_killed_takes_its_children_along", ":") else {
        let pid = smol::block_on(until_up(&bare(&[]), "trap '' TERM; echo $$; while :; do sleep 1; done"));
        writeln!(std::io::stdout(), "\npid {pid}").expect("a pipe");
        std::process::exit(0);
    };
    let pid = said.lines().find_map(|line| line.strip_prefix("pid ")).expect("a number");
    smol::block_on(until_gone(pid));
}

#[test]
fn no_thread_is_started() {
    let Some(_) = alone("ends::no_thread_is_started", ":") else {
        smol::block_on(Timer::after(Duration::from_millis(1)));
        let before = status("Threads");
        for pidfd in [true, false] {
            let host = bare(&[]);
            host.nursery.pidfd.set(pidfd);
            let note = |_: Stream, _: &[u8]| assert_eq!(status("Threads"), before);
            smol::block_on(run(&host, script("echo up"), Some(&note))).expect("a child");
            smol::block_on(until_up(&host, "echo $$; exec sleep 1000"));
            smol::block_on(end_all(&host));
        }
        assert_eq!(status("Threads"), before);
        return;
    };
}

#[test]
fn strangers_are_left_alone() {
    let Some(_) = alone("ends::strangers_are_left_alone", "sleep 1000 & echo stranger $!") else {
        // The shell before us had started one, as a supervisor's does for its log.
        let children = "/proc/thread-self/children";
        adopt();
        let stranger = orphans::known().strangers.first().copied().expect(children);
        out(script("setsid sleep 1000 & echo $!"));
        assert!(there(&stranger.as_raw_nonzero().to_string()));
        rustix::process::kill_process(stranger, Signal::KILL).expect("a stranger");
        while orphans::known().strangers.contains(&stranger) {
            // With another child there, so that somebody looks.
            out(script("sleep 0.01 & echo $!"));
        }
        return;
    };
}

#[test]
fn one_that_has_ended_may_have_left_another() {
    let Some(_) = alone("ends::one_that_has_ended_may_have_left_another", "sleep 1 & :") else {
        // The shell before us has started it.
        waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).expect("its end");
        let mut known = orphans::known();
        assert_eq!(orphans::orphans(&mut known), Some(Vec::new()));
        assert_eq!(orphans::orphans(&mut known), None);
        return;
    };
}

/// Processes, ended ones included, that run `name`.
fn alive(name: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let runs = |entry: &fs::DirEntry| fs::read(entry.path().join("cmdline")).is_ok_and(|line| contains(&line, name));
    entries.filter(runs).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn contains(line: &[u8], name: &str) -> bool {
    String::from_utf8_lossy(line).contains(name)
}

#[test]
fn a_fork_bomb_is_bounded_and_cleaned_up() {
    if !rustix::process::geteuid().is_root() {
        // The kernel counts all processes of a user, and whoever runs the tests has some.
        return;
    }
    let tmp = Scratch::new("child-bomb");
    let bombs: [&[u8]; 3] = [
        b"#!/bin/sh\nb() { b | b & }\nb\nexec sleep 1000\n",
        b"#!/bin/sh\ntrap '' TERM\nwhile :; do (setsid \"$0\" &) ; (\"$0\" &); done\n",
        // Each is gone before anybody can look at it, its successor is in a session of its own.
        b"#!/bin/sh\nsetsid \"$0\" &\n",
    ];
    for (number, bomb) in bombs.iter().enumerate() {
        let name = ["bomb", &number.to_string()].concat();
        tmp.write(&name, bomb);
        let path = tmp.root().place(std::path::Path::new(&name)).to_str().expect("text").to_owned();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&path, mode).expect("a mode");
        let rlimits = Rlimits { processes: Some(60), ..Rlimits::default() };
        let user = Some(Identity { uid: 65_534, gid: 65_534 });
        let report = go(Plan { rlimits, user, timeout: Duration::from_secs(3), ..program(&[&path]) });
        assert!(report.duration_ms < 30_000 && (number == 2 || report.stderr.total > 0), "{report:?}");
        // Killed they are, but where everything else runs as well it takes them a while.
        let ended = Instant::now();
        while !alive(&path).is_empty() && ended.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(alive(&path), Vec::<String>::new(), "{path}");
    }
}
