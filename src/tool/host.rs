//! What tools see of the world: the system root, the configured agents, the session table, the clock at start.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use rustix::time::{ClockId, Timespec, clock_gettime};
use smol::LocalExecutor;

use super::aside::Aside;
use super::border::forbidden;
use super::child::Nursery;
use super::declared::Declared;
use super::gateway::Desk;
use super::gpio::Pins;
use super::kernel::wall;
use super::lane::Lane;
use super::ledger::Sessions;
use super::localapi::LOCAL_API;
use super::root::Root;
use super::storage::Probes;
use super::targets::Targets;
use crate::gate::policy;
use crate::limits::TOOL_RESULT_BYTES;

/// Milliseconds since 1970-01-01T00:00:00Z by the wall clock, negative before.
pub fn wall_ms() -> i64 {
    // Not std's wall clock: it aborts where seconds have 32 bits (ARM and MIPS under musl) from 2038 on.
    millis(wall())
}

fn millis(time: Timespec) -> i64 {
    let nanos_per_ms = 1_000_000;
    time.tv_sec.saturating_mul(1_000).saturating_add(time.tv_nsec / nanos_per_ms)
}

/// A moment on both clocks. Wall time is for display only; every decision is taken on time since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Milliseconds since 1970-01-01T00:00:00Z by the wall clock, negative before.
    pub wall_ms: i64,
    /// Milliseconds since boot, time asleep included. Never steps.
    pub boot_ms: i64,
}

impl Now {
    /// Both clocks, read now.
    pub fn read() -> Now {
        Now { wall_ms: wall_ms(), boot_ms: millis(clock_gettime(ClockId::Boottime)) }
    }

    /// The wall clock as protocols show it: milliseconds since 1970, 0 before.
    pub fn shown(self) -> u64 {
        u64::try_from(self.wall_ms).unwrap_or(0)
    }

    /// What the wall clock is ahead of the time since boot, in milliseconds: changes only when somebody sets the clock.
    pub fn offset_ms(self) -> i64 {
        self.wall_ms.saturating_sub(self.boot_ms)
    }
}

/// Which sessions a session may look into. Source: the reference's `tools.sessions.visibility`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Visibility {
    /// `agent`: all sessions of the caller's agent.
    Agent,
    /// `all`: every session.
    All,
    /// `self`: the caller's own session.
    Own,
    /// `tree`: its own and those of its subagents.
    #[default]
    Tree,
}

/// A configured agent, as far as tools care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Agent {
    pub id: String,
    pub default: bool,
}

/// What tools see: made once at start, then shared by all calls on the one thread.
#[derive(Debug)]
pub struct Host {
    /// The prefix of every file a tool reads.
    pub root: Root,
    /// The sessions this gateway served.
    pub sessions: RefCell<Sessions>,
    /// What the `gateway` tool works with; `None` where no gateway runs, as in a listing.
    pub desk: Option<Desk>,
    /// Which sessions a session may look into.
    pub visibility: Visibility,
    /// One result as compact JSON, in bytes (`gateway.limits.toolResultBytes`).
    pub result_bytes: Cell<usize>,
    /// The tools that the operator declared, sorted by name.
    pub declared: RefCell<Vec<Rc<Declared>>>,
    /// How many calls of each tool run and wait, for tools that count them.
    pub lanes: RefCell<Vec<(Box<str>, Rc<Lane>)>>,
    /// What built-in tools may touch.
    pub targets: RefCell<Rc<Targets>>,
    /// Where the gateway listens: no tool reaches those ports at an address of its own. Whoever serves fills it.
    pub own: RefCell<Vec<SocketAddr>>,
    /// Work that goes on after its call: the end of a child process, a pulse on a line. Whoever serves runs it.
    pub tasks: LocalExecutor<'static>,
    /// The gateway's own files and directories (configuration, token, state), which no tool shows.
    pub private: RefCell<Vec<PathBuf>>,
    /// Where tailscaled's LocalAPI listens, below the root. Whoever serves fills it from the configuration.
    pub local_api: RefCell<PathBuf>,
    pub(super) start: Now,
    /// Whether the clock is kept in time, as of that second since boot.
    pub(super) synchronized: Cell<Option<(i64, Option<bool>)>>,
    pub(super) probes: Probes,
    pub(super) aside: Aside,
    /// Addresses that no caller may have reached, with the rule. Tests replace it: their servers are on the loopback.
    pub(super) forbidden: fn(IpAddr) -> Option<&'static str>,
    /// Itself, for work that goes on after a call; nothing where nobody runs such work.
    pub(super) itself: Weak<Host>,
    /// Whether a restart of the device is under way.
    pub(super) rebooting: Cell<bool>,
    pub(super) nursery: Rc<Nursery>,
    /// Like `aside`, for what the operator named: a dead network file system holds up no question about the network.
    pub(super) errands: Aside,
    pub(super) pins: Arc<Pins>,
    agents: RefCell<Vec<Agent>>,
    main_key: RefCell<String>,
}

impl Host {
    /// A host whose files are under `root` (`/` for the running system) and whose configured agents are `agents`.
    pub fn new(root: PathBuf, agents: &[policy::Agent]) -> Host {
        let root = Root::new(root);
        let host = Host {
            pins: Arc::new(Pins::new(root.clone())),
            root,
            sessions: RefCell::default(),
            desk: None,
            visibility: Visibility::default(),
            result_bytes: Cell::new(TOOL_RESULT_BYTES),
            declared: RefCell::default(),
            lanes: RefCell::default(),
            targets: RefCell::default(),
            own: RefCell::default(),
            tasks: LocalExecutor::new(),
            private: RefCell::default(),
            local_api: RefCell::new(PathBuf::from(LOCAL_API)),
            start: Now::read(),
            synchronized: Cell::default(),
            probes: Probes::default(),
            aside: Aside::default(),
            forbidden,
            itself: Weak::new(),
            rebooting: Cell::default(),
            nursery: Rc::default(),
            errands: Aside::default(),
            agents: RefCell::default(),
            main_key: RefCell::new(String::from("main")),
        };
        host.set_agents(agents);
        host
    }

    /// Lets `work` go on after the call. It is boxed, so that all tools share one copy of the road.
    pub(super) fn go_on(&self, work: Pin<Box<dyn Future<Output = ()>>>) {
        self.tasks.spawn(work).detach();
    }

    /// Runs such work, beside something that has an end.
    pub fn work<'a>(
        &'a self,
        beside: Pin<Box<dyn Future<Output = ()> + 'a>>,
    ) -> Pin<Box<dyn Future<Output = ()> + 'a>> {
        Box::pin(self.tasks.run(beside))
    }

    /// The real place of tailscaled's socket.
    pub fn tailscaled(&self) -> PathBuf {
        self.root.place(&self.local_api.borrow())
    }

    /// What built-in tools may touch, as it stands now.
    pub(super) fn targets(&self) -> Rc<Targets> {
        Rc::clone(&self.targets.borrow())
    }

    /// Puts other declared tools and targets in their place, after a reload. Calls that run keep theirs. `private` is
    /// what no tool shows.
    pub fn equip(&self, declared: Vec<Rc<Declared>>, targets: Rc<Targets>, private: Vec<PathBuf>) {
        let mut lanes = self.lanes.borrow_mut();
        // A tool that is gone and idle leaves nothing behind.
        lanes.retain(|(name, lane)| {
            let declared = declared.iter().find(|declared| declared.name == **name);
            if let Some(declared) = declared {
                lane.widen(declared.width);
            }
            let (running, waiting, _) = lane.counts();
            declared.is_some() || running > 0 || waiting > 0
        });
        drop(lanes);
        *self.declared.borrow_mut() = declared;
        *self.targets.borrow_mut() = targets;
        *self.private.borrow_mut() = private;
        self.release_lines();
    }

    /// This host, so that work that outlives a call can find it.
    pub fn shared(self) -> Rc<Host> {
        let mut host = self;
        Rc::new_cyclic(|itself| {
            host.itself = itself.clone();
            host
        })
    }

    /// Replaces the configured agents, after a reload.
    pub fn set_agents(&self, agents: &[policy::Agent]) {
        *self.agents.borrow_mut() = agents.iter().map(|a| Agent { id: a.id.clone(), default: a.default }).collect();
    }

    /// Replaces the session key's last part of an agent's main session (`session.mainKey`, normalised), after a reload.
    pub fn set_main_key(&self, key: Option<&str>) {
        key.unwrap_or("main").clone_into(&mut self.main_key.borrow_mut());
    }

    /// The session key's last part of an agent's main session.
    pub(super) fn main_key(&self) -> String {
        self.main_key.borrow().clone()
    }

    /// Whether `agents.list` names the agent `id`.
    pub(super) fn configured(&self, id: &str) -> bool {
        self.agents.borrow().iter().any(|agent| agent.id == id)
    }

    /// The agent that sessions without one belong to. Source: contract http.md §3.2.
    pub(super) fn default_agent(&self) -> String {
        let agents = self.agents.borrow();
        let chosen = agents.iter().find(|agent| agent.default).or(agents.first());
        chosen.map_or_else(|| String::from("main"), |agent| agent.id.clone())
    }
}
