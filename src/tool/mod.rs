//! tool: a [`Permit`] and checked arguments → what a tool found out. The handlers do the IO, nothing else here does.
//!
//! To add a tool: one row in `table.rs`, one handler in the file of its family. Everything else (argument checking,
//! JSON Schema, listings, policy groups) follows from the row. A row that is misplaced, doubled or takes a name that
//! the policy reserves does not compile.
//!
//! ```compile_fail,E0451
//! // A call cannot be made up outside this room, so no handler runs without a permit.
//! use toolgate::gate::session::Session;
//! use toolgate::tool::{Args, Call, Now};
//! fn forge(session: Session, args: Args, now: Now) -> Call {
//!     Call { session, owner: true, args, now }
//! }
//! ```

mod adjtimex;
mod agents;
mod aside;
mod beneath;
mod chips;
mod clock;
mod device;
mod dial;
mod files;
#[cfg(test)]
pub(crate) mod fixture;
mod gateway;
mod gpio;
mod host;
mod ioctl;
mod leases;
mod ledger;
mod logs;
mod mounts;
mod mqtt;
mod neighbors;
mod netfiles;
mod netlink;
mod network;
mod object;
mod redact;
mod root;
pub mod schema;
mod service;
mod sessions;
pub mod shape;
mod storage;
mod table;
pub mod targets;
mod thermal;
mod wake;

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;

use serde::Serialize;
use serde_json::value::RawValue;

pub use clock::iso;
pub use gateway::{Desk, LookUp, Reloaded, Restart, Show, Status};
pub use host::{Host, Now, Visibility};
pub use ledger::{Entry, Sessions, uuid};
pub use root::Root;
pub use schema::{Args, Kind, Param};
pub use table::TOOLS;
pub use targets::Targets;

use crate::gate::Permit;
use crate::gate::session::Session;

/// How far a tool reaches. Source: edge.md §3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Reads this device only: no packets, nothing personal.
    Observe,
    /// Reads, but sends packets or shows other people's data.
    Probe,
    /// Changes something bounded that the operator has named.
    Act,
    /// Can take the device away or run programs.
    Break,
}

impl Tier {
    /// The tier in one word, as configuration and listings write it.
    pub fn word(self) -> &'static str {
        match self {
            Tier::Observe => "observe",
            Tier::Probe => "probe",
            Tier::Act => "act",
            Tier::Break => "break",
        }
    }
}

/// One tool: a row of [`TOOLS`].
pub struct Tool {
    /// The exact, case-sensitive name.
    pub name: &'static str,
    /// How far it reaches.
    pub tier: Tier,
    /// The policy group it belongs to, without `group:`.
    pub group: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Its arguments, in the order errors are reported.
    pub params: &'static [Param],
    /// Whether undeclared arguments and junk in optional ones are ignored: only for tools that keep a name of the
    /// reference. Our own refuse both.
    pub lenient: bool,
    /// Whether only owners may call it.
    pub owner_only: bool,
    /// Whether a call puts its session into the session table.
    pub records: bool,
    /// Whether this device has what the tool needs; why not, otherwise.
    pub present: fn(&Host) -> Result<(), String>,
    /// The handler.
    pub run: Run,
}

impl Tool {
    /// Checks a request's `args` and `action` against the parameters.
    ///
    /// # Errors
    /// The text for the caller (400): the argument and what is wrong with it. Source: contract http.md §3.1, §5.2.
    pub fn check(&self, args: Option<&RawValue>, action: Option<&str>) -> Result<Args, String> {
        schema::check(self.params, self.lenient, args, action)
    }

    /// The parameters as a JSON Schema (2020-12).
    pub fn schema_json(&self) -> String {
        schema::json(self.params, !self.lenient)
    }
}

impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tool").field("name", &self.name).field("tier", &self.tier).finish_non_exhaustive()
    }
}

/// What a handler will have found out, later.
pub type Later<'a> = Pin<Box<dyn Future<Output = Outcome> + 'a>>;

/// A handler.
#[derive(Clone, Copy)]
pub enum Run {
    /// Answers after a pause, without holding the loop.
    Later(for<'a> fn(&'a Host, &'a Call) -> Later<'a>),
    /// Answers at once: reads clocks, memory and files that cannot hang.
    Now(fn(&Host, &Call) -> Outcome),
}

/// One permitted call. Only [`run`] makes one, from a permit.
#[derive(Debug)]
pub struct Call {
    session: Session,
    #[allow(dead_code, reason = "tools of tier act and above ask it")]
    owner: bool,
    args: Args,
    now: Now,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The tool answered, also when it said no (`details.status`, `details.error`).
    Done {
        /// The result: compact JSON, keys in the order of the contract.
        details: String,
        /// The content's text when it is not the pretty-printed details.
        text: Option<String>,
    },
    /// The tool broke. The cause is for the log; the caller gets the constant text (500).
    Failed(String),
    /// The caller's mistake, in words for the caller (400).
    Input(String),
}

impl Outcome {
    /// The answer `details`.
    fn done(details: &impl Serialize) -> Outcome {
        match serde_json::to_string(details) {
            Ok(details) => Outcome::Done { details, text: None },
            Err(error) => Outcome::Failed(error.to_string()),
        }
    }

    /// The answer that says no: a 200 with `status` (`error`, `forbidden`). Source: contract http.md §5.2.
    fn soft(status: &'static str, error: &str) -> Outcome {
        #[derive(Serialize)]
        struct Soft<'a> {
            status: &'static str,
            error: &'a str,
        }
        Outcome::done(&Soft { status, error })
    }

    /// Whether the tool gave what was asked. Soft failures begin with their status, and no other result does.
    fn good(&self) -> bool {
        matches!(self, Outcome::Done { details, .. } if !details.starts_with("{\"status\":"))
    }
}

/// The tool of exactly that name.
pub fn find(name: &str) -> Option<&'static Tool> {
    let at = TOOLS.binary_search_by(|tool| tool.name.cmp(name)).ok()?;
    TOOLS.get(at)
}

/// Whether this device has the tool of exactly that name.
pub fn exists(host: &Host, name: &str) -> bool {
    find(name).is_some_and(|tool| (tool.present)(host).is_ok())
}

/// Every tool and whether this device has it; why not, otherwise.
pub fn survey(host: &Host) -> Vec<(&'static Tool, Result<(), String>)> {
    TOOLS.iter().map(|tool| (tool, (tool.present)(host))).collect()
}

/// The policy groups that the reference does not know (`group:device`, `group:net`) and their tools, sorted.
pub fn groups() -> Vec<(String, Vec<String>)> {
    let own = || TOOLS.iter().filter(|tool| !tool.lenient);
    let mut groups: Vec<&str> = own().map(|tool| tool.group).collect();
    groups.sort_unstable();
    groups.dedup();
    let members = |group| own().filter(|tool| tool.group == group).map(|tool| tool.name.to_owned()).collect();
    groups.into_iter().map(|group| (format!("group:{group}"), members(group))).collect()
}

/// Runs the tool that `permit` is for, and no other, and remembers the session.
pub async fn run(permit: Permit, args: Args, host: &Host) -> Outcome {
    let Some(tool) = find(permit.tool()) else {
        return Outcome::Failed(format!("a permit for a tool that is not there: {}", permit.tool()));
    };
    let call = Call { owner: permit.owner(), session: permit.spend(), args, now: Now::read() };
    act(tool, &call, host).await
}

async fn act(tool: &'static Tool, call: &Call, host: &Host) -> Outcome {
    let mut record = Record { tool, call, host, good: false };
    let outcome = match tool.run {
        Run::Later(handler) => handler(host, call).await,
        Run::Now(handler) => handler(host, call),
    };
    record.good = outcome.good();
    outcome
}

/// Writes the call into the session table when it ends, also when it ends by being dropped at its deadline.
struct Record<'a> {
    tool: &'static Tool,
    call: &'a Call,
    host: &'a Host,
    good: bool,
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        if self.tool.records {
            let mut sessions = self.host.sessions.borrow_mut();
            sessions.record(&self.call.session, self.call.now, self.tool.name, self.good);
        }
    }
}

/// Cuts `items` to what fits into `room` bytes of compact JSON and to `max` items; whether anything was cut.
/// `room` shrinks by what the kept items take.
fn fit<T: Serialize>(items: &mut Vec<T>, max: usize, room: &mut usize) -> bool {
    let all = items.len();
    let mut keep = 0;
    for item in items.iter().take(max) {
        let mut size = Size(1);
        if serde_json::to_writer(&mut size, item).is_err() || size.0 > *room {
            break;
        }
        *room -= size.0;
        keep += 1;
    }
    items.truncate(keep);
    keep < all
}

/// Counts what is written.
struct Size(usize);

impl io::Write for Size {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::fixture::{bare, session};
    use super::*;

    #[test]
    fn names_are_exact() {
        assert_eq!(find("time_status").map(|tool| tool.name), Some("time_status"));
        for absent in ["Time_Status", "time_statu", "time_status ", "", "zzz", "exec"] {
            assert!(find(absent).is_none(), "{absent}");
        }
        for tool in &TOOLS {
            assert_eq!(find(tool.name).map(|found| found.name), Some(tool.name));
        }
    }

    #[test]
    fn groups_are_those_of_our_own_tools() {
        let groups = groups();
        let names: Vec<&str> = groups.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["group:device", "group:net"]);
        let net = ["dhcp_leases", "mqtt_publish", "network_interfaces", "network_neighbors", "wake_on_lan"];
        assert_eq!(groups[1].1, net);
    }

    #[test]
    fn lists_are_cut_to_room_and_count() {
        let mut items = vec!["aaaa", "bbbb", "cccc"];
        let mut room = 14;
        assert!(fit(&mut items, 9, &mut room));
        assert_eq!((items.as_slice(), room), (["aaaa", "bbbb"].as_slice(), 0));
        let mut room = 100;
        assert!(!fit(&mut items, 2, &mut room));
        assert!(fit(&mut items, 1, &mut room));
        assert_eq!(items, ["aaaa"]);
    }

    #[test]
    fn only_working_tools_put_a_session_into_the_table() {
        let host = bare(&[]);
        let now = Now::read();
        for tool in &TOOLS {
            let call = Call { session: session(tool.name, "main"), owner: false, args: Args::default(), now };
            smol::block_on(act(tool, &call, &host));
        }
        let seen: Vec<&str> =
            TOOLS.iter().map(|t| t.name).filter(|n| host.sessions.borrow().find(n).is_some()).collect();
        let silent = ["agents_list", "gateway", "session_status", "sessions_history", "sessions_list"];
        let expected: Vec<&str> = TOOLS.iter().map(|t| t.name).filter(|n| !silent.contains(n)).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_call_dropped_at_its_deadline_is_remembered_as_failed() {
        let host = bare(&[]);
        let tool = find("storage_status").expect("a tool");
        let call = Call { session: session("a", "main"), owner: false, args: Args::default(), now: Now::read() };
        drop(Record { tool, call: &call, host: &host, good: false });
        let sessions = host.sessions.borrow();
        assert!(!sessions.find("a").expect("a session").calls().next().expect("a call").good);
    }

    #[test]
    fn recorded_devices() {
        for device in ["openwrt", "pi-zero", "pi4", "vm"] {
            let tools = ["device_status", "network_interfaces", "network_neighbors"];
            for tool in tools.into_iter().chain(["service_status", "storage_status", "thermal_status"]) {
                fixture::check(device, tool);
            }
        }
    }

    #[test]
    fn absent_interfaces_say_why() {
        let host = bare(&[]);
        let absent: Vec<&str> =
            survey(&host).into_iter().filter(|(_, present)| present.is_err()).map(|(tool, _)| tool.name).collect();
        assert!(absent.contains(&"service_status"));
        assert!(exists(&host, "time_status") && !exists(&host, "service_status") && !exists(&host, "nope"));
    }
}
