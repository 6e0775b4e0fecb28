//! What the tests of this room share: the recorded devices, scratch system roots, and calls without a gate.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::{Args, Call, Host, Outcome, Root, Run, built_in};
use crate::gate::policy::Agent;
use crate::gate::session::Session;

/// The root of a recorded device in tests/data/sysroot.
pub fn device(name: &str) -> Host {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/sysroot").join(name);
    assert!(root.is_dir(), "{} is missing", root.display());
    Host::new(root, &[])
}

/// A host without files whose configured agents are `ids`.
pub fn bare(ids: &[&str]) -> Host {
    let agents: Vec<Agent> = ids.iter().map(|id| Agent { id: (*id).to_owned(), ..Agent::default() }).collect();
    Host::new(PathBuf::from("/nonexistent"), &agents)
}

/// Makes this process the heir of what children leave behind, as the gateway is. Every test of children needs it.
pub fn heir() {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).expect("Linux 3.4");
}

/// A session of `agent`.
pub fn session(key: &str, agent: &str) -> Session {
    Session { key: key.to_owned(), agent: agent.to_owned() }
}

/// Checks `args` against `tool` and runs its handler in the session `agent:main:main`.
pub fn call(host: &Host, tool: &str, args: &str) -> Outcome {
    call_in(host, tool, args, session("agent:main:main", "main"))
}

/// Checks `args` against `tool` and runs its handler in `session`.
pub fn call_in(host: &Host, tool: &str, args: &str, session: Session) -> Outcome {
    let tool = built_in(tool).expect("a tool of that name");
    let raw: &serde_json::value::RawValue = serde_json::from_str(args).expect("JSON");
    match super::schema::check(tool.params, tool.lenient, Some(raw), None) {
        Ok(args) => handle(host, tool.name, args, session),
        Err(message) => Outcome::Input(message),
    }
}

/// What a tool found out.
pub fn details(outcome: Outcome) -> String {
    let Outcome::Done { details, .. } = outcome else { panic!("{outcome:?}") };
    details
}

/// What `would` says of these arguments for `tool`.
pub fn planned(host: &Host, tool: &str, args: &str, would: super::Would) -> Result<String, Outcome> {
    would(host, &asked(tool, args))
}

/// A permitted call of `tool`.
pub fn asked(tool: &str, args: &str) -> Call {
    let raw: &serde_json::value::RawValue = serde_json::from_str(args).expect("JSON");
    let tool = built_in(tool).expect("a tool of that name");
    let args = super::schema::check(tool.params, tool.lenient, Some(raw), None).expect("arguments that fit");
    let now = super::host::Now::read();
    Call { session: session("agent:main:main", "main"), owner: true, args, now, progress: None, turns: None }
}

fn handle(host: &Host, tool: &str, args: Args, session: Session) -> Outcome {
    let tool = built_in(tool).expect("a tool of that name");
    let call = Call { session, owner: true, args, now: super::host::Now::read(), progress: None, turns: None };
    match tool.run {
        Run::Now(handler) => handler(host, &call),
        Run::Later(handler) => smol::block_on(handler(host, &call)),
    }
}

/// What `tool` would do with `args`, and nothing is done.
pub fn rehearse(host: &Host, tool: &str, args: &str) -> Result<String, Outcome> {
    planned(host, tool, args, built_in(tool).and_then(|tool| tool.would).expect("an acting tool"))
}

/// Asserts that `tool` on the recorded `device` answers exactly what its golden says; `UPDATE=1` rewrites the golden.
pub fn check(device_name: &str, tool: &str) {
    let mut host = device(device_name);
    // The recorded mount points are not on this machine: any file system answers the same.
    host.probes.ask = |_| Ok(super::storage::Space { size_kb: 30_000_000, avail_kb: 12_000_000, inodes_free: 900_000 });
    let got = match (built_in(tool).expect("a tool").present)(&host) {
        Err(why) => format!("{{\"absent\":\"{why}\"}}"),
        Ok(()) => match call(&host, tool, "{}") {
            Outcome::Done { details, text: None } => details,
            other => panic!("{tool} on {device_name}: {other:?}"),
        },
    };
    let golden =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/sysroot/{device_name}.{tool}.json"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&golden, format!("{got}\n")).expect("a golden");
    }
    let expected = std::fs::read_to_string(&golden).unwrap_or_default();
    assert_eq!(got, expected.trim_end(), "{tool} on {device_name}");
}

/// A directory that is removed when dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// A fresh directory; `name` must be unique among the tests.
    pub fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("toolgate-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a scratch directory");
        Scratch(path)
    }
    /// This directory as a system root.
    pub fn root(&self) -> Root {
        Root::new(self.0.clone())
    }
    /// This directory as a device.
    pub fn host(&self) -> Host {
        Host::new(self.0.clone(), &[])
    }
    /// Writes `bytes` at `path` below the directory.
    pub fn write(&self, path: &str, bytes: &[u8]) {
        self.write_raw(path.as_bytes(), bytes);
    }
    /// The same for a name that need not be UTF-8.
    pub fn write_raw(&self, path: &[u8], bytes: &[u8]) {
        let path = self.0.join(OsStr::from_bytes(path));
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, bytes).expect("a file");
    }
    /// Makes a FIFO nobody writes to.
    pub fn fifo(&self, path: &str) {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a fifo");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A session table in which `keys` worked, each once, one after another; `(key, agent, both clocks in ms)`.
pub(crate) fn remembered(keys: &[(&str, &str, i64)]) -> super::Sessions {
    let mut sessions = super::Sessions::default();
    for (key, agent, ms) in keys {
        let now = super::Now { wall_ms: *ms, boot_ms: *ms };
        sessions.record(&session(key, agent), now, "time_status".into(), true);
    }
    sessions
}
