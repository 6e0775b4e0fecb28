//! Wear: what the gateway writes to disks, which is nothing once it runs; and that it runs where nothing can be written.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::json;
use toolgate::wire::message::Event;

use crate::client::{call, call_framed, health};
use crate::declared::config;
use crate::rig::{CONFIG, Dir, Gateway, SOON, Setup, TOKEN, is_left_out, notice, until};
use crate::socket::Ws;

/// Calls that change a file or its name, or ask a disk to keep one.
const CHANGES: &str = "creat rename renameat renameat2 unlink unlinkat mkdir mkdirat rmdir link linkat symlink symlinkat \
    mknod mknodat truncate truncate64 ftruncate ftruncate64 fallocate fsync fdatasync sync syncfs sync_file_range msync \
    chmod fchmod fchmodat fchmodat2 chown lchown fchown fchownat utime utimes utimensat futimesat setxattr fsetxattr \
    lsetxattr removexattr fremovexattr lremovexattr io_uring_setup mount";
/// Calls that open one.
const OPENS: &str = "open openat openat2";
/// Calls that may write to one.
const WRITES: &str =
    "write writev pwrite64 pwritev pwritev2 sendfile sendfile64 copy_file_range splice vmsplice tee mmap mmap2";

/// Whether one call, as strace writes it, changes what is on a disk.
fn wears(call: &str) -> bool {
    let name = call.split('(').next().unwrap_or_default();
    let one_of = |names: &str| names.split_whitespace().any(|known| known == name);
    let is_failed = call.contains(") = -1 E");
    let has = |word: &str| call.contains(word);
    // Devices wear nothing out.
    let file = call.split("</").skip(1).any(|path| !path.starts_with("dev/"));
    if one_of(CHANGES) {
        return !is_failed;
    }
    if one_of(OPENS) {
        let written = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND", "O_TMPFILE"].into_iter().any(has);
        return written && !is_failed && !has("\"/dev/");
    }
    if name.starts_with("mmap") {
        return file && has("MAP_SHARED") && has("PROT_WRITE");
    }
    one_of(WRITES) && file
}

/// The calls in a trace of several threads, each whole.
fn calls(trace: &str) -> Vec<String> {
    let (mut halves, mut whole) = (HashMap::new(), Vec::new());
    for line in trace.lines() {
        let (thread, text) = line.split_once(' ').unwrap_or_default();
        let text = text.trim_start();
        if let Some(half) = text.strip_suffix("<unfinished ...>") {
            halves.insert(thread, half.to_owned());
        } else if let Some((_, rest)) = text.strip_prefix("<... ").and_then(|text| text.split_once(" resumed>")) {
            whole.push(halves.remove(thread).unwrap_or_default() + rest);
        } else {
            whole.push(text.to_owned());
        }
    }
    // Whoever was killed in the middle of a call may have made it.
    whole.extend(halves.into_values());
    whole
}

#[test]
fn calls_that_wear_are_known() {
    let check = |text: &str, expected: bool| assert_eq!(wears(text), expected, "{text}");
    check(r#"openat(AT_FDCWD</tmp/x>, "/etc/hosts", O_RDONLY|O_CLOEXEC) = 3</etc/hosts>"#, false);
    check(r#"openat(AT_FDCWD</tmp/x>, "a", O_WRONLY|O_CREAT|O_CLOEXEC, 0600) = 3</tmp/x/a>"#, true);
    check(
        r#"openat(AT_FDCWD</tmp/x>, "a", O_WRONLY|O_CREAT|O_CLOEXEC, 0600) = -1 EROFS (Read-only file system)"#,
        false,
    );
    check(r#"open("/dev/null", O_RDWR|O_LARGEFILE) = 3</dev/null>"#, false);
    check(r#"openat(AT_FDCWD</tmp>, "a", O_RDWR"#, true);
    check(r#"write(2<pipe:[7]>, "a </tmp", 7) = 7"#, true);
    check(r#"write(2<pipe:[7]>, "a", 1) = 1"#, false);
    check(r#"writev(9<socket:[7]>, [{iov_base="x", iov_len=1}], 1) = 1"#, false);
    check(r#"write(3</var/log/x>, "a", 1) = 1"#, true);
    check(r#"write(3</dev/null>, "a", 1) = 1"#, false);
    check(r#"mkdir("/x", 0700) = 0"#, true);
    check(r#"mkdirat(AT_FDCWD</tmp>, "x", 0700) = -1 EEXIST (File exists)"#, false);
    check(r#"fsync(3</x>"#, true);
    check(r#"mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, 3</x>, 0) = 0x7f0000000000"#, true);
    check(r#"mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE, 3</lib/x>, 0) = 0x7f0000000000"#, false);
    check("--- SIGHUP {si_signo=SIGHUP, si_code=SI_USER} ---", false);
    check("+++ exited with 0 +++", false);
    let split =
        "7 mkdir(\"/x\" <unfinished ...>\n8 write(3</x>, \"\", 0 <unfinished ...>\n7 <... mkdir resumed>, 0700) = 0\n";
    assert_eq!(calls(split), [r#"mkdir("/x" , 0700) = 0"#, r#"write(3</x>, "", 0 "#]);
}

/// Whether a command ends well, and says nothing.
fn works(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Traces `setup` into the file at `trace` from its first instruction, in the process that the test knows.
fn traced(setup: Setup, trace: &Path) -> Setup {
    let names: Vec<String> = [CHANGES, OPENS, WRITES]
        .iter()
        .flat_map(|names| names.split_whitespace())
        .map(|name| format!("?{name}"))
        .collect();
    let strace = format!("exec strace -D -f -y -o '{}' -e trace='{}'", trace.display(), names.join(","));
    setup.shell(fs::File::open("/dev/null").expect("/dev/null"), &format!("{strace} \"$0\" \"$@\";"))
}

/// What a trace shows of wear, once its process has ended.
fn worn(trace: &Path, id: u32) -> Vec<String> {
    // Short numbers are filled up with spaces.
    let (id, last) = (id.to_string(), "+++ exited with 0 +++");
    let ends = |line: &str| line.split_once(' ').is_some_and(|(own, what)| own == id && what.trim_start() == last);
    let text = || fs::read_to_string(trace).ok().filter(|text| text.lines().any(ends));
    let text = until(SOON, text).unwrap_or_else(|| panic!("{}: no end of the trace", trace.display()));
    let calls = calls(&text);
    assert!(calls.iter().any(|call| call.starts_with("write")), "nothing is traced:\n{text}");
    calls.into_iter().filter(|call| wears(call)).collect()
}

/// Does what a gateway sees in its life: calls of every tool that observes, a program, a stranger, a socket, reloads.
fn live(gateway: &Gateway) {
    let ask = |body: &str| gateway.peer().ask(&call(body)).status;
    let listed = gateway.peer().ask(&health());
    assert_eq!(listed.status, 200);
    for tool in
        ["time_status", "device_status", "storage_status", "network_interfaces", "gateway_status", "agents_list"]
    {
        assert_eq!(ask(&json!({"tool": tool, "idempotencyKey": tool}).to_string()), 200, "{tool}");
    }
    assert_eq!(ask("{\"tool\":\"run\"}"), 200);
    assert_eq!(ask("{\"tool\":\"none\"}"), 404);
    let stranger =
        String::from_utf8(call_framed("Content-Length: 0\r\n", b"")).expect("text").replace(TOKEN, "another");
    assert_eq!(gateway.peer().ask(stranger.as_bytes()).status, 401);
    let reloaded = |word: &str| until(SOON, || gateway.log().contains(word).then_some(())).expect(word);
    gateway.signal(Signal::HUP);
    reloaded("reload by=SIGHUP");
    let mut socket = Ws::enter(gateway);
    assert_eq!(socket.invoke("time_status")["ok"], true);
    assert_eq!(socket.ask("system-event", json!({"text": "a", "host": "b"}))["ok"], true);
}

/// Commands of the traced gateway.
fn commands() -> String {
    config("run: { description: 'Run', argv: ['/bin/true'] }")
}

#[test]
fn nothing_is_written_once_it_runs() {
    if is_left_out("wear: system calls") {
        return;
    }
    if !works(Command::new("strace").args(["-D", "-f", "-o", "/dev/null", "true"])) {
        return notice("strace is missing or may not trace: nobody looks at what is written to disks");
    }
    let traces = Dir::new();
    // The first start makes the identity, which shows that such things are seen.
    let gateway = traced(Setup::new(&commands()), &traces.path("first")).start();
    let id = gateway.id();
    let (_, dir) = gateway.stop_keeping();
    let first = worn(&traces.path("first"), id);
    assert!(first.iter().any(|call| call.contains("identity")), "the first start: {first:#?}");
    let gateway = traced(Setup::new(&commands()).dir(dir), &traces.path("second")).start();
    let id = gateway.id();
    let mut waiting = Ws::enter(&gateway);
    live(&gateway);
    gateway.dir().write("toolgate.json5", 0o600, "{ gateway: { prot: 1 } }");
    gateway.signal(Signal::HUP);
    let refused = || gateway.log().contains("reload_refused by=SIGHUP").then_some(());
    assert!(until(SOON, refused).is_some(), "{}", gateway.tail());
    // The longest rest that the gateway takes by itself is over when the next tick comes.
    let tick = b"{\"type\":\"event\",\"event\":\"tick\"";
    let is_tick = |event: Event| matches!(event, Event::Message { content, .. } if content.starts_with(tick));
    while !is_tick(waiting.hear().expect("a tick")) {}
    drop(waiting);
    gateway.stop();
    let second = worn(&traces.path("second"), id);
    assert!(second.is_empty(), "written by a gateway that had everything: {second:#?}");
}

/// Makes every file system read-only for a process and what it starts, then starts `"$0"`.
const READ_ONLY: &str = r#"
    while read -r _ _ _ _ place _; do mount -o remount,bind,ro "$place"; done </proc/self/mountinfo 2>/dev/null
    if touch "$PROBE" 2>/dev/null; then echo 'still writable' >&2; exit 99; fi
    exec "$0" "$@""#;

/// The words that give a process mounts of its own, where that is permitted.
fn own_mounts() -> Option<&'static str> {
    let ways = ["unshare -m", "unshare -rm"];
    ways.into_iter().find(|way| {
        let script = format!("exec {way} sh -c 'mount -o remount,bind,ro /'");
        works(Command::new("sh").args(["-c", &script]))
    })
}

/// `setup`, started where nothing can be written.
fn read_only(setup: Setup, way: &str, probe: &Path) -> Setup {
    let script = format!("exec {way} sh -c '{}' \"$0\" \"$@\";", READ_ONLY.replace('\'', "'\\''"));
    setup.env("PROBE", &probe.to_string_lossy()).shell(fs::File::open("/dev/null").expect("/dev/null"), &script)
}

#[test]
fn it_runs_where_nothing_can_be_written() {
    let Some(way) = own_mounts() else {
        return notice("no mounts of our own are permitted: nobody looks at how it runs on a read-only root");
    };
    let commands = commands().replacen(&format!("token: \"{TOKEN}\""), "", 1);
    let dir = Dir::new();
    let token = dir.write("token", 0o600, &format!("{TOKEN}\n"));
    for credential in [false, true] {
        let setup = read_only(Setup::new(&commands), way, &dir.path("probe"));
        let setup = if credential {
            setup.env("CREDENTIALS_DIRECTORY", &dir.path("").to_string_lossy())
        } else {
            setup.arg("--token-file").arg(token.to_string_lossy())
        };
        let gateway = setup.start();
        live(&gateway);
        let finished = gateway.stop();
        assert!(finished.log.contains("identity_missing"), "that much it says: {}", finished.log);
        assert!(!finished.log.contains("ERROR"), "{}", finished.log);
    }
    let finished = read_only(Setup::new(&commands), way, &dir.path("probe")).refuse();
    assert_eq!(finished.code, 78, "a token that cannot be kept: {finished:?}");
    assert!(finished.log.contains("--token-file"), "{finished:?}");
    assert!(CONFIG.contains(TOKEN) && !commands.contains(TOKEN), "the token came from the file");
}
