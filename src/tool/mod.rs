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

mod agents;
mod aside;
mod beneath;
mod border;
pub mod child;
mod chips;
mod clock;
pub mod command;
pub mod declared;
mod device;
pub mod dns;
mod fetch;
pub mod fields;
mod files;
#[cfg(test)]
pub(crate) mod fixture;
pub mod forwards;
mod gateway;
mod gpio;
mod home;
mod host;
pub mod interfaces;
mod ioctl;
mod kernel;
pub mod lane;
mod leases;
mod ledger;
mod listed;
pub mod localapi;
mod logs;
mod manager;
mod mounts;
mod mqtt;
mod neighbors;
mod netfiles;
mod netlink;
mod network;
mod object;
pub mod outlook;
pub mod pattern;
mod pipe;
mod probe;
#[cfg(test)]
#[path = "../../tests/it/quick.rs"]
mod quick;
mod reach;
pub mod redact;
pub mod remote;
mod resolve;
mod root;
pub mod schema;
#[cfg(test)]
mod servers;
mod service;
mod sessions;
pub mod shape;
mod storage;
mod table;
mod tailscale;
#[cfg(test)]
#[allow(dead_code, reason = "the rest is for the integration tests")]
#[path = "../../tests/it/tailscaled.rs"]
pub(crate) mod tailscaled;
pub mod targets;
pub mod telling;
pub mod template;
mod thermal;
pub mod url;
mod wake;
pub mod watch;
mod web;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

pub use child::Rlimits;
pub use clock::{iso, synchronized};
pub use declared::Declared;
pub use gateway::{Desk, LookUp, Reloaded, Restart, Show, Status};
pub use host::{Host, Now, Visibility, wall_ms};
pub(crate) use kernel::{bind_to_device, inherit, peer_user};
pub use ledger::{Entry, Sessions, uuid};
pub use listed::{Checked, Listed, Progress, built_in, find, groups, survey};
pub use object::depth;
pub use resolve::look_up;
pub use root::Root;
pub use schema::{Args, Kind, Param};
pub use table::{TOOLS, is_taken};
pub use targets::Targets;

use self::lane::Turns;
use crate::gate::Permit;
use crate::gate::session::Session;
use declared::Work;

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
    /// The tier of that word.
    pub fn named(word: &str) -> Option<Tier> {
        [Tier::Observe, Tier::Probe, Tier::Act, Tier::Break].into_iter().find(|tier| tier.word() == word)
    }

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
    /// What a call would do, as one JSON object, for `dryRun`. Every tool of our own of tier act and above has one.
    pub would: Option<Would>,
}

/// Says what a call would do, without doing it; an [`Outcome`] when it would do nothing.
pub type Would = fn(&Host, &Call) -> Result<String, Outcome>;

impl Tool {
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
pub struct Call {
    session: Session,
    #[allow(dead_code, reason = "tools of tier act and above ask it")]
    owner: bool,
    args: Args,
    now: Now,
    progress: Option<Progress>,
    turns: Option<Turns>,
}

impl Call {
    /// Tells the caller's socket what a program printed, if it listens.
    fn tell(&self, stream: &'static str, bytes: &[u8]) {
        if let Some(progress) = &self.progress {
            progress(stream, bytes);
        }
    }
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
    /// The answer that says no: a 200 with `status` (`error`, `forbidden`). Source: contract http.md §5.2.
    fn soft(status: &'static str, error: &str) -> Outcome {
        object::Object::new().text("status", status).text("error", error).done()
    }

    /// Whether the tool gave what was asked. Soft failures begin with their status, and no other result does.
    pub fn good(&self) -> bool {
        matches!(self, Outcome::Done { details, .. } if !details.starts_with("{\"status\":"))
    }
}

/// Runs the tool that `permit` is for, and no other, and remembers the session. `checked` says what to do: the arguments,
/// and whether only to tell what would be done.
pub async fn run(permit: Permit, checked: Checked, turns: Turns, host: &Host) -> Outcome {
    let Checked { tool, args, rehearsal, progress } = checked;
    if permit.tool() != tool.name() {
        return Outcome::Failed(["a permit for another tool: ", permit.tool()].concat());
    }
    let call =
        Call { owner: permit.owner(), session: permit.spend(), args, now: Now::read(), progress, turns: Some(turns) };
    let mut record = Record { tool: tool.clone(), call: &call, host, good: false };
    let outcome = match rehearsal.filter(|_| tool.tier() >= Tier::Act) {
        Some(policy) => rehearse(&tool, &call, host, &policy),
        None => act(&tool, &call, host).await,
    };
    record.good = outcome.good();
    outcome
}

async fn act(tool: &Listed, call: &Call, host: &Host) -> Outcome {
    match tool {
        Listed::BuiltIn(tool) => match tool.run {
            Run::Later(handler) => handler(host, call).await,
            Run::Now(handler) => handler(host, call),
        },
        Listed::Declared(declared) => match &declared.work {
            // In a box each: most calls are of other tools, and every call has room for the largest of them.
            Work::Command(command) => Box::pin(command::run(declared, command, host, call)).await,
            Work::Http(service) => Box::pin(remote::run(declared, service, host, call)).await,
        },
    }
}

/// What the call would do. Source: contract cli.md, `dryRun`.
fn rehearse(tool: &Listed, call: &Call, host: &Host, policy: &str) -> Outcome {
    let would = match tool {
        Listed::BuiltIn(tool) => match tool.would {
            Some(would) => would(host, call),
            None => Ok(["{\"args\":", &fields::object(&call.args), "}"].concat()),
        },
        Listed::Declared(declared) => match &declared.work {
            Work::Command(command) => command::would(command, &declared.fields, &call.args),
            Work::Http(service) => remote::would(service, &declared.fields, &call.args),
        }
        .map_err(Outcome::Input),
    };
    match would {
        Ok(would) => {
            let name = object::quoted(tool.name());
            let json = ["{\"dryRun\":true,\"tool\":", &name, ",\"wouldRun\":", &would, ",\"policy\":", policy, "}"];
            Outcome::Done { details: json.concat(), text: None }
        }
        Err(outcome) => outcome,
    }
}

/// Writes the call into the session table when it ends, also when it ends by being dropped at its deadline.
struct Record<'a> {
    tool: Listed,
    call: &'a Call,
    host: &'a Host,
    good: bool,
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        if self.tool.records() {
            let mut sessions = self.host.sessions.borrow_mut();
            sessions.record(&self.call.session, self.call.now, self.tool.kept_name(), self.good);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fixture::{bare, session};
    use super::*;

    #[test]
    fn names_are_exact() {
        assert_eq!(built_in("time_status").map(|tool| tool.name), Some("time_status"));
        for absent in ["Time_Status", "time_statu", "time_status ", "", "zzz", "exec"] {
            assert!(built_in(absent).is_none(), "{absent}");
        }
        for tool in &TOOLS {
            assert_eq!(built_in(tool.name).map(|found| found.name), Some(tool.name));
        }
    }

    #[test]
    fn groups_are_those_of_our_own_tools() {
        let groups = groups(&[]);
        let names: Vec<&str> = groups.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["group:device", "group:home", "group:net"]);
        let net = [
            "dhcp_leases",
            "dns_lookup",
            "http_fetch",
            "mqtt_publish",
            "network_interfaces",
            "network_neighbors",
            "ping",
            "tailscale_status",
            "tailscale_whois",
            "tcp_check",
            "wake_on_lan",
        ];
        assert_eq!(groups[2].1, net);
    }

    #[test]
    fn only_working_tools_put_a_session_into_the_table() {
        let host = bare(&[]);
        let now = Now::read();
        for tool in &TOOLS {
            let call = Call {
                session: session(tool.name, "main"),
                owner: false,
                args: Args::default(),
                now,
                progress: None,
                turns: None,
            };
            let tool = Listed::BuiltIn(tool);
            let _record = Record { tool: tool.clone(), call: &call, host: &host, good: true };
            smol::block_on(act(&tool, &call, &host));
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
        let tool = find(&host, "storage_status").expect("a tool");
        let call = Call {
            session: session("a", "main"),
            owner: false,
            args: Args::default(),
            now: Now::read(),
            progress: None,
            turns: None,
        };
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
        let absent: Vec<String> = survey(&host)
            .into_iter()
            .filter(|(_, present)| present.is_err())
            .map(|(tool, _)| tool.name().to_owned())
            .collect();
        assert!(absent.iter().any(|name| name == "service_status"));
        let exists = |name: &str| find(&host, name).is_some_and(|tool| tool.present(&host).is_ok());
        assert!(exists("time_status") && !exists("service_status") && !exists("nope"));
    }
}
