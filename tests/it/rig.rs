//! Starts the real program on port 0 in a private directory, watches it and stops it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use crate::client::Peer;

/// The token of the recorded exchanges.
pub const TOKEN: &str = "sekret-token-123456";
/// The configuration most tests run under.
pub const CONFIG: &str =
    "{ gateway: { bind: \"loopback\", auth: { mode: \"token\", token: \"sekret-token-123456\" } } }";
/// How long anything that should happen at once may take on a machine that stands still for seconds now and then. It is
/// longer than the gateway's own deadlines: what only they end is seen to end so, and not taken for silence.
pub const SOON: Duration = Duration::from_secs(35);

/// The program under test: `TOOLGATE_BIN`, else the one cargo built.
pub fn binary() -> PathBuf {
    // From the top of the repository: tests run in directories of their own.
    let named = std::env::var_os("TOOLGATE_BIN").map(|path| root().join(path));
    named.unwrap_or_else(|| env!("CARGO_BIN_EXE_toolgate").into())
}

/// Whether the program under test is a release build: only then do the promised figures hold.
pub fn is_release() -> bool {
    std::env::var_os("TOOLGATE_BIN").is_some() || !cfg!(debug_assertions)
}

/// A port that nobody listens at, nor gets by chance: it lies below those that Linux gives away by itself.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = || u16::try_from((std::process::id() * 61 + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000);
    loop {
        let port = 20_000 + next().expect("a small number");
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return port;
        }
    }
}

/// What the program under test may have resident, whatever is done to it, in KiB.
const PROMISED_KIB: u64 = 12 * 1024;

/// Says something about a test run that is not a failure.
pub fn notice(text: &str) {
    // The terminal may be gone; a notice is not worth a failure.
    drop(writeln!(std::io::stderr(), "notice: {text}"));
}

/// What nobody can judge where `TOOLGATE_EMULATED` says that an emulator runs the program, and why.
const NOT_UNDER_EMULATION: [(&str, &str); 7] = [
    ("declared: sessions of their own", "the emulator has no subreapers, so what leaves its group is nobody's"),
    ("declared: ignored signals", "the emulator keeps one signal for itself, ignored"),
    ("declared: a fork bomb", "the emulator has no subreapers, and its own memory under the bomb's limits"),
    ("bounds::idle_costs", "the emulator has a thread and memory of its own"),
    ("siege: resident memory", "the kernel counts the emulator's memory with the program's"),
    ("siege::siege_with_little_memory", "the emulator does not start under that limit"),
    ("wear: system calls", "those that are seen are the emulator's"),
];

/// Whether `what`, which stands in the list above, is left out of this run. Says so if it is.
pub fn is_left_out(what: &str) -> bool {
    let why = NOT_UNDER_EMULATION.iter().find(|(name, _)| *name == what).map(|(_, why)| why);
    let why = why.unwrap_or_else(|| panic!("{what} is judged under emulation too"));
    let emulated = std::env::var_os("TOOLGATE_EMULATED").is_some();
    if emulated {
        notice(&format!("{what} is left out: {why}"));
    }
    emulated
}

/// Polls `look` until it gives a value or the deadline is over.
pub fn until<T>(within: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + within;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        thread::sleep(Duration::from_millis(4));
    }
}

/// A private directory, removed at the end.
#[derive(Debug)]
pub struct Dir(PathBuf);

impl Dir {
    /// A fresh directory of mode 0700.
    pub fn new() -> Dir {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("toolgate-it-{}-{number}", std::process::id()));
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o700).create(&path).unwrap_or_else(|e| panic!("cannot create {}: {e}", path.display()));
        Dir(path)
    }

    /// The path of `name` in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file of that mode and returns its path.
    pub fn write(&self, name: &str, mode: u32, text: &str) -> PathBuf {
        let path = self.path(name);
        let mut options = fs::OpenOptions::new();
        let opened = options.write(true).create(true).truncate(true).mode(mode).open(&path);
        opened.and_then(|mut file| file.write_all(text.as_bytes())).expect("write a file of the test");
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("set the mode");
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// The program with these arguments and an empty environment.
pub fn program(dir: &Dir, args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(args).env_clear().current_dir(&dir.0).stdin(Stdio::null());
    command
}

/// What a finished program left behind.
#[derive(Debug)]
pub struct Finished {
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    /// Everything it printed.
    pub out: String,
    /// Everything it logged.
    pub log: String,
}

impl Finished {
    /// Both streams.
    pub fn text(&self) -> String {
        format!("{}{}", self.out, self.log)
    }
}

/// Runs a command to its end, which must come soon.
pub fn run(mut command: Command) -> Finished {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start the program");
    let mut gateway = Gateway::watch(child, Dir::new());
    let Some(status) = gateway.ended(SOON) else {
        panic!("{command:?} did not end; it logged:\n{}", gateway.tail());
    };
    gateway.finish(status)
}

/// How a gateway is started.
#[derive(Debug)]
pub struct Setup {
    config: String,
    dir: Dir,
    args: Vec<String>,
    env: Vec<(String, String)>,
    shell: Option<String>,
    stdin: Option<OwnedFd>,
    port: u16,
}

impl Setup {
    /// With that JSON5 text as its configuration.
    pub fn new(config: &str) -> Setup {
        let (args, env) = (Vec::new(), Vec::new());
        Setup { config: config.into(), dir: Dir::new(), args, env, shell: None, stdin: None, port: 0 }
    }

    /// With one more argument of `run`.
    pub fn arg(mut self, arg: impl Into<String>) -> Setup {
        self.args.push(arg.into());
        self
    }

    /// With one more environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Setup {
        self.env.push((name.into(), value.into()));
        self
    }

    /// On that port instead of any.
    pub fn port(mut self, port: u16) -> Setup {
        self.port = port;
        self
    }

    /// In another directory than a fresh one.
    pub fn dir(mut self, dir: Dir) -> Setup {
        self.dir = dir;
        self
    }

    /// Started by a shell that first says `ulimit` with these words.
    pub fn ulimit(mut self, words: &str) -> Setup {
        self.shell = Some(format!("ulimit {words} && exec \"$0\" \"$@\""));
        self
    }

    /// Started by a shell that has `descriptor` as its standard input and first runs `script`.
    pub fn shell(mut self, descriptor: impl Into<OwnedFd>, script: &str) -> Setup {
        self.stdin = Some(descriptor.into());
        self.shell = Some(format!("{script} exec \"$0\" \"$@\""));
        self
    }

    /// The command that starts it.
    fn command(&mut self) -> Command {
        let config = self.dir.write("toolgate.json5", 0o600, &self.config);
        let mut command = match &self.shell {
            Some(script) => {
                let mut command = Command::new("/bin/sh");
                command.args(["-c", script]).arg(binary());
                command
            }
            None => Command::new(binary()),
        };
        command.arg("run").arg("--config").arg(config).arg("--state-dir").arg(self.dir.path("state"));
        command.arg("--port").arg(self.port.to_string()).args(&self.args);
        command.env_clear().envs(self.env.iter().map(|(n, v)| (n, v))).current_dir(&self.dir.0);
        command.stdin(self.stdin.take().map_or_else(Stdio::null, Stdio::from));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts it and waits until it listens.
    pub fn start(mut self) -> Gateway {
        let child = self.command().spawn().expect("start the program");
        let mut gateway = Gateway::watch(child, self.dir);
        gateway.await_listener();
        gateway
    }

    /// Starts it where it is expected to refuse, and waits for its end.
    pub fn refuse(mut self) -> Finished {
        run(self.command())
    }
}

#[derive(Debug, Default)]
struct Stream {
    text: Mutex<String>,
    grew: Condvar,
}

impl Stream {
    /// Collects `source` line by line in a thread of its own.
    fn collect(source: impl Read + Send + 'static) -> (Arc<Stream>, thread::JoinHandle<()>) {
        let stream = Arc::new(Stream::default());
        let shared = Arc::clone(&stream);
        let handle = thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut line = Vec::new();
            while source.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                shared.text.lock().expect("stream").push_str(&String::from_utf8_lossy(&line));
                shared.grew.notify_all();
                line.clear();
            }
        });
        (stream, handle)
    }

    fn text(&self) -> String {
        self.text.lock().expect("stream").clone()
    }
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    dir: Option<Dir>,
    out: Arc<Stream>,
    log: Arc<Stream>,
    readers: Vec<thread::JoinHandle<()>>,
    addr: SocketAddr,
    ended: Option<ExitStatus>,
}

impl Gateway {
    /// One under [`CONFIG`].
    pub fn start() -> Gateway {
        Setup::new(CONFIG).start()
    }

    fn watch(mut child: Child, dir: Dir) -> Gateway {
        let (out, out_reader) = Stream::collect(child.stdout.take().expect("stdout"));
        let (log, log_reader) = Stream::collect(child.stderr.take().expect("stderr"));
        let readers = vec![out_reader, log_reader];
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Gateway { child, dir: Some(dir), out, log, readers, addr, ended: None }
    }

    fn await_listener(&mut self) {
        let listener = |out: &str| out.lines().next()?.strip_prefix("listening on http://")?.parse().ok();
        let found =
            until(SOON, || listener(&self.out.text()).or_else(|| self.child.try_wait().ok()?.map(|_| self.addr)));
        match found {
            Some(addr) if addr.port() != 0 => self.addr = addr,
            found => {
                let how = if found.is_some() { "ended instead of listening" } else { "does not listen" };
                drop(self.child.kill());
                panic!("the gateway {how}; it printed {:?} and logged:\n{}", self.out.text(), self.tail());
            }
        }
    }

    /// Where it listens (the first line it printed).
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://…` of [`Gateway::addr`].
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The directory it runs in.
    pub fn dir(&self) -> &Dir {
        self.dir.as_ref().expect("not yet stopped")
    }

    /// What it printed so far.
    pub fn out(&self) -> String {
        self.out.text()
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// The last lines of its log, for a failure's message.
    pub fn tail(&self) -> String {
        tail(&self.log())
    }

    /// A connection to it.
    pub fn peer(&self) -> Peer {
        Peer::connect(self.addr).expect("connect to the gateway")
    }

    /// A connection to it from 127.0.0.`last`.
    pub fn peer_from(&self, last: u8) -> Peer {
        Peer::connect_from(self.addr, Ipv4Addr::new(127, 0, 0, last)).expect("connect to the gateway")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("signal the gateway");
    }

    /// Sets a resource limit of the running process.
    pub fn limit(&self, resource: Resource, value: u64) -> Rlimit {
        let pid = Some(Pid::from_child(&self.child));
        let now = rustix::process::getrlimit(resource);
        let limit = Rlimit { current: Some(value), maximum: now.maximum };
        prlimit(pid, resource, limit).expect("set a resource limit")
    }

    /// Waits for its end.
    pub fn ended(&mut self, within: Duration) -> Option<ExitStatus> {
        let child = &mut self.child;
        self.ended = self.ended.or_else(|| until(within, || child.try_wait().ok().flatten()));
        self.ended
    }

    fn finish(&mut self, status: ExitStatus) -> Finished {
        for reader in self.readers.drain(..) {
            reader.join().expect("collect a stream");
        }
        Finished { code: status.code().unwrap_or(-1), out: self.out(), log: self.log() }
    }

    /// Waits for the end that is already under way.
    pub fn wait(mut self) -> Finished {
        match self.ended(SOON) {
            Some(status) => self.finish(status),
            None => panic!("the gateway does not end; it logged:\n{}", self.tail()),
        }
    }

    /// Waits for the end that is under way and lets calls finish first.
    pub fn wait_long(mut self) -> Finished {
        match self.ended(3 * SOON) {
            Some(status) => self.finish(status),
            None => panic!("the gateway does not end; it logged:\n{}", self.tail()),
        }
    }

    /// Stops it and keeps its directory. It must end with code 0.
    pub fn stop_keeping(mut self) -> (Finished, Dir) {
        let dir = self.dir.take().expect("not yet stopped");
        (self.stop(), dir)
    }

    /// Stops it. It must end with code 0.
    pub fn stop(self) -> Finished {
        self.signal(Signal::TERM);
        let finished = self.wait();
        assert_eq!(finished.code, 0, "exit code after SIGTERM; log:\n{}", tail(&finished.log));
        finished
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn proc(&self, file: &str) -> String {
        let path = format!("/proc/{}/{file}", self.child.id());
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}; log:\n{}", self.tail()))
    }

    /// A figure of `/proc/PID/status`: KiB or a count.
    pub fn status(&self, key: &str) -> u64 {
        figure(&self.proc("status"), key)
    }

    /// Whether what it had resident at most is what is promised, and both in words. Of a debug build, whose code alone is
    /// larger than a whole release, the code does not count.
    pub fn memory(&self) -> (bool, String) {
        let code = if is_release() { 0 } else { self.status("RssFile") };
        let most = self.status("VmHWM").saturating_sub(code);
        let kept = most <= PROMISED_KIB || is_left_out("siege: resident memory");
        (kept, format!("{most} KiB resident at most, {PROMISED_KIB} are promised"))
    }

    /// Private dirty memory in KiB.
    pub fn private_dirty(&self) -> u64 {
        // Pages of a program that was just linked count as dirty until the disk has them.
        rustix::fs::sync();
        figure(&self.proc("smaps_rollup"), "Private_Dirty")
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).map_or(0, Iterator::count)
    }

    /// Its state as the kernel names it, for a failure's message: `Z` is dead.
    pub fn state(&self) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        status
            .lines()
            .filter(|l| ["State", "VmHWM", "VmData"].iter().any(|k| l.starts_with(k)))
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// Processor time used so far, in clock ticks (100 a second).
    pub fn ticks(&self) -> u64 {
        let stat = self.proc("stat");
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let fields = after_name.split_whitespace().skip(11).take(2);
        fields.map(|f| f.parse::<u64>().expect("ticks")).sum()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if self.ended(Duration::ZERO).is_some() {
            return;
        }
        if !thread::panicking() {
            self.signal(Signal::TERM);
            if self.ended(SOON).is_some() {
                return;
            }
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn figure(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let value = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    value.unwrap_or_else(|| panic!("no {key} in:\n{text}"))
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
