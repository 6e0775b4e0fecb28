//! The gateway as a [`Service`]: hands what came to `api`, runs the tools it orders, writes one log line for each event.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use async_io::Timer;
use log::Level;

use smol::channel::{self, Receiver, Sender};

use super::audit::Audit;
use super::deadline::{Deadline, Deadlines};
use super::http::{Body, Opened, Service};
use super::hub::{Hub, Urgency};
use super::listen::{self, Arrival, Move, Seats};
use super::log::{Named, Shown};
use super::notify;
use super::pulse::Monitor;
use super::quota::Quota;
use super::reload::{Hands, Last, Places, Regime};
use super::report::{self, Report, Traffic};
use super::socket::Pipe;
use super::tailnet::Tailnet;
use super::visitor::{Knock, Visitor};
use crate::api::replay::{self, Name, Seeds, Table};
use crate::api::socket::facts::Facts;
use crate::api::socket::methods;
use crate::api::{self, Admitted, Answer, Fault, Note, Opening, Scene, Settings, Step, Vitals};
use crate::gate::scope::Scopes;
use crate::gate::tailnet::Caller;
use crate::gate::{Deny, Gate, Permit};
use crate::limits::{CALLS_WAITING, RETRY_SECS, SOCKET_TICK_MS, SOCKETS_WAITING_PER_PEER, TURN_SECS};
use crate::tool::lane::{Busy, Lane, Turns, Width};
use crate::tool::{self, Checked, Desk, Host, Listed, Outcome, Reloaded};
use crate::wire::body::Framing;
use crate::wire::head::Head;
use crate::wire::upgrade;

/// The gateway's state. What a reload changes stands in cells; the rest is the same from start to end.
pub struct Gateway {
    pub(super) gate: RefCell<Gate>,
    settings: RefCell<Settings>,
    pub(super) host: Rc<Host>,
    /// How often the secrets in force changed.
    pub(super) era: Cell<u64>,
    pub(super) started: Instant,
    monitor: Monitor,
    /// All calls together.
    calls: Rc<Lane>,
    refusals: Quota,
    replays: RefCell<Table>,
    pub(super) seeds: Seeds,
    pub(super) audit: Audit,
    reload: Box<dyn Fn() -> Result<Regime, Vec<String>>>,
    last_reload: RefCell<Option<Last>>,
    /// When what is in force was read.
    read: Cell<Instant>,
    /// Those that the configuration names; [`Gateway::listening`] has all.
    pub(super) addresses: RefCell<Vec<SocketAddr>>,
    pub(super) moves: (Sender<Move>, Receiver<Move>),
    pub(super) tailnet: Tailnet,
    /// Tells the operator of one more listener.
    pub(super) listens: Box<dyn Fn(SocketAddr)>,
    pub(super) seats: RefCell<Option<Rc<Seats>>>,
    deadlines: RefCell<Rc<Deadlines>>,
    /// Everybody connected by socket.
    pub(super) hub: Hub,
    /// Places for sockets whose handshake is not over.
    waiting: Rc<Seats>,
    /// Bytes of one message of a socket.
    pub(super) message_bytes: Cell<usize>,
    /// The gateway's own ed25519 key.
    pub(super) public_key: Option<[u8; 32]>,
    pub(super) places: Places,
}

impl Gateway {
    /// A gateway under `regime`, whose tools see `host` and which reads files and flags through `hands`.
    pub fn new(regime: Regime, mut host: Host, hands: Hands) -> Rc<Gateway> {
        let Hands { reload, document, lookup, addresses, listens, public_key, places } = hands;
        Rc::new_cyclic(|own: &Weak<Gateway>| {
            // A tool runs in a gateway that is there, so the other arm is never taken.
            let owner = own.clone();
            let restart = move || owner.upgrade().map_or(Err(Vec::new()), |gateway| gateway.reload("gateway"));
            host.result_bytes.set(regime.result_bytes);
            host.equip(regime.declared, regime.targets, regime.private);
            host.own.borrow_mut().clone_from(&addresses);
            *host.local_api.borrow_mut() = PathBuf::from(&regime.tailnet.local_api);
            let owner = own.clone();
            let status = move || owner.upgrade().map(|gateway| gateway.status()).unwrap_or_default();
            let (restart, status) = (Box::new(restart), Box::new(status));
            host.desk = Some(Desk { document, lookup, restart, status });
            Gateway {
                gate: RefCell::new(Gate::new(regime.rules)),
                settings: RefCell::new(regime.settings),
                host: host.shared(),
                era: Cell::default(),
                started: Instant::now(),
                monitor: Monitor::default(),
                calls: Lane::new(all_calls(regime.calls)),
                refusals: Quota::default(),
                replays: RefCell::default(),
                seeds: Seeds::new(super::random()),
                audit: Audit::default(),
                reload,
                last_reload: RefCell::default(),
                read: Cell::new(Instant::now()),
                addresses: RefCell::new(addresses),
                moves: channel::unbounded(),
                tailnet: Tailnet::new(regime.tailnet, regime.tailnet_port),
                listens,
                seats: RefCell::default(),
                deadlines: RefCell::default(),
                hub: Hub::default(),
                waiting: Seats::new(usize::MAX, SOCKETS_WAITING_PER_PEER),
                message_bytes: Cell::new(regime.message_bytes),
                public_key,
                places,
            }
        })
    }

    /// Reads the configuration again and puts it in force, all of it or nothing. `by` says who asked.
    ///
    /// # Errors
    /// Every reason why nothing changed. They are logged and remembered too.
    pub fn reload(&self, by: &'static str) -> Result<Reloaded, Vec<String>> {
        let began = Instant::now();
        notify::reloading();
        let done = match (self.reload)() {
            Ok(regime) => {
                let held = regime.held.clone();
                self.put(regime);
                self.read.set(began);
                let micros = began.elapsed().as_micros();
                self.audit.say(Level::Info, format_args!("reload by={by} us={micros}"));
                if !held.is_empty() {
                    self.audit.say(Level::Warn, format_args!("reload_needs_restart keys={}", held.join(",")));
                }
                *self.last_reload.borrow_mut() = Some(Last::now(by, &[], &held));
                Ok(Reloaded { held: held.into_iter().map(String::from).collect() })
            }
            Err(findings) => {
                let count = findings.len();
                self.audit.say(Level::Error, format_args!("reload_refused by={by} findings={count}"));
                for finding in &findings {
                    log::error!("reload_refused {finding}");
                }
                *self.last_reload.borrow_mut() = Some(Last::now(by, &findings, &[]));
                Err(findings)
            }
        };
        notify::reloaded(done.as_ref().map_or_else(Vec::len, |_| 0));
        done
    }

    /// Puts a regime in force. Nothing is waited for in here, so every call sees the old one or the new one. Calls that
    /// run keep their permits, connections stay, and failures counted so far still count.
    fn put(&self, regime: Regime) {
        let mut gate = self.gate.borrow_mut();
        let old = gate.replace(regime.rules);
        // Who holds another secret may be somebody else, and gets no answer that was meant for the one before.
        if !old.admits_as(gate.rules()) {
            self.replays.borrow_mut().clear();
            self.era.set(self.era.get().wrapping_add(1));
            self.hub.close(4001, "gateway auth changed");
        }
        let policy = &gate.rules().policy;
        self.host.set_agents(&policy.agents);
        self.host.set_main_key(policy.session.main_key.as_deref());
        *self.settings.borrow_mut() = regime.settings;
        self.calls.widen(all_calls(regime.calls));
        self.host.equip(regime.declared, regime.targets, regime.private);
        self.host.result_bytes.set(regime.result_bytes);
        self.message_bytes.set(regime.message_bytes);
        if !regime.listeners.is_empty() {
            *self.addresses.borrow_mut() = listen::addresses(&regime.listeners);
            // It cannot fail: the channel has no bound, and this gateway holds both its ends.
            _ = self.moves.0.try_send(Move::Base(regime.listeners));
        }
        drop(gate);
        *self.host.local_api.borrow_mut() = PathBuf::from(&regime.tailnet.local_api);
        if self.tailnet.replace(regime.tailnet, regime.tailnet_port) {
            self.settle(Vec::new(), Vec::new(), "");
            self.era.set(self.era.get().wrapping_add(1));
            self.hub.close(4001, "tailnet changed");
        }
        self.rename();
        notify::status(&self.summary());
    }

    /// How the gateway is: compact JSON, and a card for people.
    fn status(&self) -> (String, String) {
        let (resident_kb, resident_peak_kb) = report::memory();
        let report = Report {
            version: env!("CARGO_PKG_VERSION"),
            user: rustix::process::geteuid().as_raw(),
            uptime_s: self.started.elapsed().as_secs(),
            config: self.places.config.clone(),
            config_age_s: self.read.get().elapsed().as_secs(),
            resident_kb,
            resident_peak_kb,
            listeners: self.places(),
            tailnet: self.tailnet.report(),
            connections: self.seats.borrow().as_ref().map_or(0, |seats| seats.taken()),
            sockets: self.hub.count(),
            calls_running: self.calls.counts().0,
            calls_waiting: self.calls.counts().1,
            calls_most: self.calls.width().running,
            tools: self.host.lanes.borrow().iter().map(|(name, lane)| Traffic::of(name, lane)).collect(),
            last_reload: self.last_reload().map(Into::into),
            last_errors: report::errors(self.audit.tail(0, usize::MAX)),
        };
        (report.json(), report.card())
    }

    /// How the last reload ended; `None` before the first.
    pub fn last_reload(&self) -> Option<Last> {
        self.last_reload.borrow().clone()
    }

    /// The latest events.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Every deadline of this process.
    pub(super) fn deadlines(&self) -> Rc<Deadlines> {
        Rc::clone(&self.deadlines.borrow())
    }

    pub(super) fn find(&self, name: &str) -> Option<Listed> {
        tool::find(&self.host, name).filter(|tool| tool.present(&self.host).is_ok())
    }

    /// Runs one permitted call, unless its name says that it has run, and logs it.
    ///
    /// # Errors
    /// Why it did not run; not logged yet.
    pub(super) async fn call(
        &self,
        permit: Permit,
        checked: Checked,
        name: Option<Name>,
        caller: &Caller,
    ) -> Result<Outcome, Fault> {
        let began = Instant::now();
        if let Some(name) = &name
            && let Some(outcome) = self.replays.borrow_mut().look(name, began)?
        {
            let (tool, session, peer) = (Shown(permit.tool()), Shown(&permit.session().key), Named(caller));
            let status = api::verdict(&outcome).0;
            self.audit
                .say(Level::Info, format_args!("replay tool={tool} session={session} peer={peer} status={status}"));
            return Ok(outcome);
        }
        let tool = checked.tool.clone();
        let deadline = self.deadlines().deadline();
        // Before it waits: the same key that comes again meanwhile must not wait beside it.
        let mut run =
            name.map(|name| Run { replays: &self.replays, turn: self.replays.borrow_mut().begin(name), began: false });
        let turns = self.turns(&tool, &deadline).await?;
        if let Some(run) = &mut run {
            run.began = true;
        }
        let session = permit.session().key.clone();
        let mut told = Told { gateway: self, tool: tool.name(), session: &session, caller, began, said: false };
        deadline.start(Duration::from_millis(tool.span_ms()));
        let Ok(outcome) = deadline.race(pin!(tool::run(permit, checked, turns, &self.host))).await else {
            told.say(500, Some(("call_timeout", "")));
            return Ok(Outcome::Failed("the call ran out of time".into()));
        };
        if let Some(run) = run {
            run.end(&outcome);
        }
        let (status, bad) = api::verdict(&outcome);
        told.say(status, bad);
        Ok(outcome)
    }

    /// Waits until the call may run: its tool's turn first, so that who waits for a busy tool keeps nobody else waiting.
    ///
    /// # Errors
    /// [`Fault::ToolBusy`], also when a reload came between; what was decided before it is not decided any more.
    async fn turns(&self, tool: &Listed, deadline: &Deadline) -> Result<Turns, Fault> {
        let (era, read) = (self.era.get(), self.read.get());
        let now_ms = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        let own = match tool.lane(&self.host) {
            Some(lane) => Some(lane.enter(now_ms).map_err(|Busy(secs)| Fault::ToolBusy(tool.name().into(), secs))?),
            None => None,
        };
        deadline.start(TURN_SECS);
        let waits = async {
            let own = match own {
                Some(waiting) => Some(waiting.await),
                None => None,
            };
            let all = self.calls.enter(now_ms).map_err(|Busy(secs)| Fault::ToolBusy("".into(), secs))?;
            Ok(Rc::new((own, all.await)))
        };
        match deadline.race(waits).await {
            Ok(turns) if read == self.read.get() => turns,
            Ok(_) if era != self.era.get() => Err(Fault::Denied(Deny::CredentialMismatch)),
            _ => Err(Fault::ToolBusy(tool.name().into(), RETRY_SECS)),
        }
    }

    fn refuse(&self, fault: Fault, peer: IpAddr) -> Answer {
        let answer = fault.answer();
        self.note(&answer.note, Some(answer.reply.status), peer);
        answer
    }

    /// Logs a refusal; a socket's has no status.
    pub(super) fn note(&self, note: &Note, status: Option<u16>, peer: IpAddr) {
        let status = status.map_or(String::new(), |status| format!(" status={status}"));
        let Some(reason) = note.reason else {
            return log::debug!("answer peer={peer}{status}");
        };
        match self.refusals.take(Instant::now()) {
            None => return,
            Some(0) => {}
            Some(unsaid) => self.audit.say(Level::Warn, format_args!("refuse_many unsaid={unsaid}")),
        }
        let tool = note.tool.as_ref().map_or(String::new(), |tool| format!(" tool={}", Shown(tool)));
        self.audit.say(Level::Info, format_args!("refuse{tool} peer={peer}{status} reason={reason}"));
    }

    /// Judges a head that asks for a socket.
    fn knock(&self, head: &Head, caller: &Caller) -> Result<(Vec<u8>, Box<Knock>), Box<Answer>> {
        let (mut gate, settings) = (self.gate.borrow_mut(), self.settings.borrow());
        let scene =
            Scene { gate: &mut gate, settings: &settings, vitals: &Vitals::default, caller, now: Instant::now() };
        let claims = api::upgrade(head, scene)?;
        let accept = upgrade::check(head).map_err(|refused| Box::new(Fault::Upgrade(refused).answer()))?;
        let seat = self.waiting.take(caller.addr).map_err(|_| Box::new(Fault::SocketsFullForPeer.answer()))?;
        Ok((accept.answer(), Box::new(Knock { claims, caller: caller.clone(), seat, era: self.era.get() })))
    }

    /// What happens at every tick: the dead are cut off, the living told that we live.
    pub(super) fn tick(&self, number: u64) {
        let dead = self.hub.ping();
        if dead > 0 {
            self.audit.say(Level::Info, format_args!("socket_dead count={dead}"));
        }
        if !self.hub.is_empty() {
            self.hub.tell("tick", &format!("{{\"ts\":{}}}", self.wall_ms()), false, Urgency::Needed);
            if number.is_multiple_of(2) {
                self.hub.roll.borrow_mut().refresh();
                self.hub.tell("health", &methods::health(self, &Scopes::default()), true, Urgency::Needed);
            }
        }
    }
}

impl Service for Rc<Gateway> {
    /// Who was admitted, and by the secrets of which era.
    type Ticket = (Admitted, u64);
    // In a box, because every connection has room for it, and few are at that point.
    type Knock = Box<Knock>;
    type Talk = Visitor;

    async fn meet(&self, head: &Head, from: Arrival, stream: BorrowedFd<'_>) -> Caller {
        self.identify(head, from, stream).await
    }

    fn open(&self, head: &Head, framing: Framing, caller: &Caller) -> Opened<Self::Ticket, Box<Knock>> {
        if api::is_upgrade(head) {
            return match self.knock(head, caller) {
                Ok((reply, knock)) => Opened::Upgrade { reply, knock },
                Err(answer) => Opened::Answer(*answer),
            };
        }
        let now = Instant::now();
        let vitals = || {
            let uptime = now.saturating_duration_since(self.started).as_millis();
            let uptime_ms = u64::try_from(uptime).unwrap_or(u64::MAX);
            let failing = if self.tailnet.waits() { vec!["tailnet"] } else { Vec::new() };
            Vitals { uptime_ms, failing, pulse: self.monitor.look(now) }
        };
        let mut gate = self.gate.borrow_mut();
        let scene = Scene { gate: &mut gate, settings: &self.settings.borrow(), vitals: &vitals, caller, now };
        match api::opening(head, framing, scene) {
            Opening::Answer(answer) => Opened::Answer(answer),
            Opening::Body(admitted) => Opened::Body { expects: admitted.expects, ticket: (admitted, self.era.get()) },
        }
    }

    fn talk(&self, knock: Box<Knock>, pipe: &Rc<Pipe>) -> Visitor {
        Visitor::new(self, knock, pipe)
    }

    async fn answer(&self, (mut admitted, era): Self::Ticket, body: Body, caller: Caller) -> Answer {
        let page = admitted.page.take();
        let mut answer = if era == self.era.get() {
            let step =
                api::request(&admitted, &body.content, &self.gate.borrow(), &|name| self.find(name), &self.seeds);
            drop((admitted, body));
            match step {
                Step::Answer(answer) => {
                    Service::note(self, &answer, caller.addr);
                    answer
                }
                Step::Call { permit, checked, name } => match self.call(permit, checked, name, &caller).await {
                    Ok(outcome) => api::outcome(outcome),
                    Err(fault) => self.refuse(fault, caller.addr),
                },
            }
        } else {
            // The secret was changed while the body was on its way; the one that opened the door opens nothing now.
            self.refuse(Fault::Denied(Deny::CredentialMismatch), caller.addr)
        };
        answer.reply.page = page;
        answer
    }

    fn note(&self, answer: &Answer, peer: IpAddr) {
        Gateway::note(self, &answer.note, Some(answer.reply.status), peer);
    }

    fn seated(&self, seats: &Rc<Seats>, deadlines: &Rc<Deadlines>) {
        *self.seats.borrow_mut() = Some(Rc::clone(seats));
        *self.deadlines.borrow_mut() = Rc::clone(deadlines);
    }

    fn live(&self) -> impl Future<Output = ()> + 'static {
        let gateway = Rc::clone(self);
        async move {
            let ticks = async {
                for number in 1.. {
                    Timer::after(Duration::from_millis(SOCKET_TICK_MS)).await;
                    gateway.tick(number);
                }
            };
            // What tailscaled takes its time for is waited for beside the ticks.
            let rechecks = async {
                loop {
                    Timer::after(Duration::from_millis(SOCKET_TICK_MS)).await;
                    gateway.recheck().await;
                }
            };
            let rechecks = smol::future::zip(rechecks, gateway.keep_tailnet());
            let both = smol::future::zip(ticks, rechecks);
            gateway.host.work(Box::pin(async { _ = both.await })).await;
        }
    }

    fn welcomes(&self, from: Arrival, stream: BorrowedFd<'_>) -> bool {
        Gateway::welcomes(self, from, stream)
    }

    fn era(&self) -> u16 {
        self.tailnet.era.get()
    }

    fn stop(&self) {
        let payload = r#"{"reason":"gateway stopping","restartExpectedMs":null}"#;
        self.hub.tell("shutdown", payload, false, Urgency::Needed);
        self.hub.close(1012, "service restart");
    }

    fn end(&self) -> impl Future<Output = ()> {
        tool::child::end_all(&self.host)
    }

    fn moves(&self) -> Receiver<Move> {
        self.moves.1.clone()
    }

    fn late(&self, by: Duration) {
        self.monitor.record(by);
    }

    fn transport_security(&self) -> Option<Rc<str>> {
        self.settings.borrow().transport_security.clone()
    }
}

/// A named call in progress. If it is dropped at its deadline, it has failed: it must not run again under its name,
/// because nobody knows how far it came. If it never got its turn, its name is as good as new.
struct Run<'g> {
    replays: &'g RefCell<Table>,
    turn: replay::Turn,
    began: bool,
}

impl Run<'_> {
    fn end(self, outcome: &Outcome) {
        self.replays.borrow_mut().end(self.turn, outcome, Instant::now());
        std::mem::forget(self);
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        if !self.began {
            return self.replays.borrow_mut().forget(self.turn);
        }
        let outcome = Outcome::Failed("the call ran out of time".into());
        self.replays.borrow_mut().end(self.turn, &outcome, Instant::now());
    }
}

/// What the log will say of a call; also when it is dropped because its caller has left.
struct Told<'t> {
    gateway: &'t Gateway,
    tool: &'t str,
    session: &'t str,
    caller: &'t Caller,
    began: Instant,
    said: bool,
}

impl Told<'_> {
    fn say(&mut self, status: u16, bad: Option<(&'static str, &str)>) {
        self.said = true;
        let micros = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (tool, session, peer) = (Shown(self.tool), Shown(self.session), Named(self.caller));
        let level = if status >= 500 { Level::Error } else { Level::Info };
        let bad = bad.map_or(String::new(), |(reason, detail)| format!(" reason={reason} detail={}", Shown(detail)));
        self.gateway.audit.say(
            level,
            format_args!("call tool={tool} session={session} peer={peer} status={status} us={micros}{bad}"),
        );
    }
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if !self.said {
            self.say(499, Some(("caller_gone", "")));
        }
    }
}

/// How many calls of all tools run and wait.
fn all_calls(running: usize) -> Width {
    Width { running, waiting: CALLS_WAITING, interval_ms: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::replay;
    use crate::gate::auth::{Auth, Mode};
    use crate::gate::tailnet::Tailnet;
    use crate::gate::{Ask, Rules};

    #[test]
    fn a_named_call_that_runs_out_of_time_does_not_run_again() {
        let auth = Auth { mode: Mode::None, ..Auth::default() };
        let mut gate = Gate::new(Rules { auth, ..Rules::default() });
        let ask = Ask::bare("127.0.0.1", &Tailnet::Outside);
        let principal = gate.admit(&ask, Instant::now()).expect("admitted");
        let name = replay::name(&Seeds::new(super::super::random()), &principal, "k", b"{}");
        let replays = RefCell::new(Table::default());
        let turn = replays.borrow_mut().begin(name);
        drop(Run { replays: &replays, turn, began: true });
        let found = replays.borrow_mut().look(&name, Instant::now());
        assert!(matches!(found, Ok(Some(Outcome::Failed(_)))), "{found:?}");
        replays.borrow_mut().clear();
        let turn = replays.borrow_mut().begin(name);
        drop(Run { replays: &replays, turn, began: false });
        assert_eq!(replays.borrow_mut().look(&name, Instant::now()), Ok(None), "one that never got its turn may");
    }
}
