//! The gateway as a [`Service`]: hands what came to `api`, runs the tools it orders, writes one log line for each event.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use log::Level;

use smol::channel::{self, Receiver, Sender};

use super::audit::Audit;
use super::http::{Body, Opened, Service};
use super::listen::{self, Seats};
use super::log::Shown;
use super::pulse::Monitor;
use super::reload::{Hands, Last, Regime};
use super::report::{self, Report};
use crate::api::replay::{Name, Seeds, Table, Turn};
use crate::api::{self, Admitted, Answer, Fault, Opening, Scene, Settings, Step, Vitals};
use crate::gate::{Deny, Gate, Permit};
use crate::limits::{LOG_REFUSALS, LOG_WINDOW};
use crate::tool::{self, Desk, Host, Outcome, Reloaded};
use crate::wire::body::Framing;
use crate::wire::head::Head;

/// The gateway's state. What a reload changes stands in cells; the rest is the same from start to end.
pub struct Gateway {
    gate: RefCell<Gate>,
    settings: RefCell<Settings>,
    host: Host,
    calls_most: Cell<usize>,
    /// How often the secrets in force changed.
    era: Cell<u64>,
    started: Instant,
    monitor: Monitor,
    calls: Rc<Cell<usize>>,
    refusals: Quota,
    replays: RefCell<Table>,
    seeds: Seeds,
    audit: Audit,
    reload: Box<dyn Fn() -> Result<Regime, Vec<String>>>,
    last_reload: RefCell<Option<Last>>,
    addresses: RefCell<Vec<SocketAddr>>,
    moves: (Sender<Vec<TcpListener>>, Receiver<Vec<TcpListener>>),
    seats: RefCell<Option<Rc<Seats>>>,
}

impl Gateway {
    /// A gateway under `regime`, whose tools see `host` and which reads files and flags through `hands`.
    pub fn new(regime: Regime, mut host: Host, hands: Hands) -> Rc<Gateway> {
        let Hands { reload, document, lookup, addresses } = hands;
        Rc::new_cyclic(|own: &Weak<Gateway>| {
            // A tool runs in a gateway that is there, so the other arm is never taken.
            let owner = own.clone();
            let restart = move || owner.upgrade().map_or(Err(Vec::new()), |gateway| gateway.reload("gateway"));
            host.result_bytes.set(regime.result_bytes);
            let owner = own.clone();
            let status = move || owner.upgrade().map(|gateway| gateway.status()).unwrap_or_default();
            let (restart, status) = (Box::new(restart), Box::new(status));
            host.desk = Some(Desk { document, lookup, restart, status });
            Gateway {
                gate: RefCell::new(Gate::new(regime.rules)),
                settings: RefCell::new(regime.settings),
                host,
                calls_most: Cell::new(regime.calls),
                era: Cell::default(),
                started: Instant::now(),
                monitor: Monitor::default(),
                calls: Rc::default(),
                refusals: Quota::default(),
                replays: RefCell::default(),
                seeds: seeds(),
                audit: Audit::default(),
                reload,
                last_reload: RefCell::default(),
                addresses: RefCell::new(addresses),
                moves: channel::unbounded(),
                seats: RefCell::default(),
            }
        })
    }

    /// Reads the configuration again and puts it in force, all of it or nothing. `by` says who asked.
    ///
    /// # Errors
    /// Every reason why nothing changed. They are logged and remembered too.
    pub fn reload(&self, by: &'static str) -> Result<Reloaded, Vec<String>> {
        let began = Instant::now();
        match (self.reload)() {
            Ok(regime) => {
                let held = regime.held.clone();
                self.put(regime);
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
        }
    }

    /// Puts a regime in force. Nothing is waited for in here, so every call sees the old one or the new one. Calls that
    /// run keep their permits, connections stay, and failures counted so far still count.
    fn put(&self, regime: Regime) {
        let mut gate = self.gate.borrow_mut();
        let old = gate.replace(regime.rules).auth;
        let new = &gate.rules().auth;
        // Who holds another secret may be somebody else, and gets no answer that was meant for the one before.
        if (old.mode, &old.token, &old.password) != (new.mode, &new.token, &new.password) {
            self.replays.borrow_mut().clear();
            self.era.set(self.era.get().wrapping_add(1));
        }
        let policy = &gate.rules().policy;
        self.host.set_agents(&policy.agents);
        self.host.set_main_key(policy.session.main_key.as_deref());
        *self.settings.borrow_mut() = regime.settings;
        self.calls_most.set(regime.calls);
        self.host.result_bytes.set(regime.result_bytes);
        if !regime.listeners.is_empty() {
            *self.addresses.borrow_mut() = listen::addresses(&regime.listeners);
            // It cannot fail: the channel has no bound, and this gateway holds both its ends.
            _ = self.moves.0.try_send(regime.listeners);
        }
    }

    /// How the gateway is: compact JSON, and a card for people.
    fn status(&self) -> (String, String) {
        let (resident_kb, resident_peak_kb) = report::memory();
        let report = Report {
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: self.started.elapsed().as_secs(),
            resident_kb,
            resident_peak_kb,
            listeners: self.addresses.borrow().iter().map(ToString::to_string).collect(),
            connections: self.seats.borrow().as_ref().map_or(0, |seats| seats.taken()),
            calls_running: self.calls.get(),
            calls_most: self.calls_most.get(),
            last_reload: self.last_reload().map(Into::into),
            last_errors: report::errors(self.audit.tail(0, usize::MAX)),
        };
        (serde_json::to_string(&report).unwrap_or_default(), report.card())
    }

    /// How the last reload ended; `None` before the first.
    pub fn last_reload(&self) -> Option<Last> {
        self.last_reload.borrow().clone()
    }

    /// The latest events.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    fn find(&self, name: &str) -> Option<&'static tool::Tool> {
        tool::find(name).filter(|tool| (tool.present)(&self.host).is_ok())
    }

    /// Runs one permitted call, unless its name says that it has run, and logs it.
    async fn call(&self, permit: Permit, args: tool::Args, name: Option<Name>, peer: IpAddr) -> Answer {
        let began = Instant::now();
        match name.map_or(Ok(None), |name| self.replays.borrow_mut().look(&name, began)) {
            Ok(None) => {}
            Ok(Some(outcome)) => {
                let answer = api::outcome(outcome);
                let (tool, session) = (Shown(permit.tool()), Shown(&permit.session().key));
                let status = answer.reply.status;
                self.audit
                    .say(Level::Info, format_args!("replay tool={tool} session={session} peer={peer} status={status}"));
                return answer;
            }
            Err(fault) => return self.refuse(fault, peer),
        }
        let Some(_running) = Running::start(&self.calls, self.calls_most.get()) else {
            return self.refuse(Fault::CallsFull, peer);
        };
        let run = name.map(|name| Run { replays: &self.replays, turn: self.replays.borrow_mut().begin(name) });
        let (name, session) = (permit.tool().to_owned(), permit.session().key.clone());
        let outcome = tool::run(permit, args, &self.host).await;
        if let Some(run) = run {
            run.end(&outcome);
        }
        let answer = api::outcome(outcome);
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (tool, session, status) = (Shown(&name), Shown(&session), answer.reply.status);
        let level = if status >= 500 { Level::Error } else { Level::Info };
        let (reason, detail) = match (answer.note.reason, &answer.note.detail) {
            (Some(reason), Some(detail)) => (format!(" reason={reason}"), format!(" detail={}", Shown(detail))),
            _ => Default::default(),
        };
        self.audit.say(
            level,
            format_args!("call tool={tool} session={session} peer={peer} status={status} us={micros}{reason}{detail}"),
        );
        answer
    }

    fn refuse(&self, fault: Fault, peer: IpAddr) -> Answer {
        let answer = fault.answer();
        self.note(&answer, peer);
        answer
    }

    fn note(&self, answer: &Answer, peer: IpAddr) {
        let status = answer.reply.status;
        let Some(reason) = answer.note.reason else {
            return log::debug!("answer peer={peer} status={status}");
        };
        match self.refusals.take(Instant::now()) {
            None => return,
            Some(0) => {}
            Some(unsaid) => self.audit.say(Level::Warn, format_args!("refuse_many unsaid={unsaid}")),
        }
        match &answer.note.tool {
            Some(tool) => {
                let tool = Shown(tool);
                self.audit
                    .say(Level::Info, format_args!("refuse tool={tool} peer={peer} status={status} reason={reason}"));
            }
            None => self.audit.say(Level::Info, format_args!("refuse peer={peer} status={status} reason={reason}")),
        }
    }
}

/// Random bytes for the names of calls. They protect nothing but against chance, so an early boot without entropy may
/// give zeros.
fn seeds() -> Seeds {
    let mut bytes = [0_u8; 32];
    _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK);
    Seeds::new(bytes)
}

impl Service for Rc<Gateway> {
    /// Who was admitted, and by the secrets of which era.
    type Ticket = (Admitted, u64);

    fn open(&self, head: &Head, framing: Framing, peer: IpAddr) -> Opened<Self::Ticket> {
        let now = Instant::now();
        let vitals = || {
            let uptime = now.saturating_duration_since(self.started).as_millis();
            let uptime_ms = u64::try_from(uptime).unwrap_or(u64::MAX);
            Vitals { uptime_ms, failing: Vec::new(), pulse: self.monitor.look(now) }
        };
        let mut gate = self.gate.borrow_mut();
        let scene = Scene { gate: &mut gate, settings: &self.settings.borrow(), vitals: &vitals, peer, now };
        match api::opening(head, framing, scene) {
            Opening::Answer(answer) => Opened::Answer(answer),
            Opening::Body(admitted) => Opened::Body { expects: admitted.expects, ticket: (admitted, self.era.get()) },
        }
    }

    async fn answer(&self, (mut admitted, era): Self::Ticket, body: Body, peer: IpAddr) -> Answer {
        let page = admitted.page.take();
        let mut answer = if era == self.era.get() {
            let step =
                api::request(&admitted, &body.content, &self.gate.borrow(), &|name| self.find(name), &self.seeds);
            drop((admitted, body));
            match step {
                Step::Answer(answer) => {
                    Gateway::note(self, &answer, peer);
                    answer
                }
                Step::Call { permit, args, name } => self.call(permit, args, name, peer).await,
            }
        } else {
            // The secret was changed while the body was on its way; the one that opened the door opens nothing now.
            self.refuse(Fault::Denied(Deny::CredentialMismatch), peer)
        };
        answer.reply.page = page;
        answer
    }

    fn note(&self, answer: &Answer, peer: IpAddr) {
        Gateway::note(self, answer, peer);
    }

    fn seated(&self, seats: &Rc<Seats>) {
        *self.seats.borrow_mut() = Some(Rc::clone(seats));
    }

    fn moves(&self) -> Receiver<Vec<TcpListener>> {
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
/// because nobody knows how far it came.
struct Run<'g> {
    replays: &'g RefCell<Table>,
    turn: Turn,
}

impl Run<'_> {
    fn end(self, outcome: &Outcome) {
        self.replays.borrow_mut().end(self.turn, outcome, Instant::now());
        std::mem::forget(self);
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let outcome = Outcome::Failed("the call ran out of time".into());
        self.replays.borrow_mut().end(self.turn, &outcome, Instant::now());
    }
}

/// A call in progress, counted until dropped.
struct Running(Rc<Cell<usize>>);

impl Running {
    fn start(calls: &Rc<Cell<usize>>, most: usize) -> Option<Running> {
        if calls.get() >= most {
            return None;
        }
        calls.set(calls.get() + 1);
        Some(Running(Rc::clone(calls)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// How many refusals are logged in a second: strangers must not be able to fill a disk.
#[derive(Debug, Default)]
struct Quota {
    since: Cell<Option<Instant>>,
    said: Cell<u32>,
    unsaid: Cell<u32>,
}

impl Quota {
    /// Whether a refusal may be logged; if so, how many were left out before it.
    fn take(&self, now: Instant) -> Option<u32> {
        if self.since.get().is_none_or(|since| now.saturating_duration_since(since) >= LOG_WINDOW) {
            self.since.set(Some(now));
            self.said.set(0);
        }
        if self.said.get() >= LOG_REFUSALS {
            self.unsaid.set(self.unsaid.get().saturating_add(1));
            return None;
        }
        self.said.set(self.said.get() + 1);
        Some(self.unsaid.replace(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::replay;
    use crate::gate::auth::{Auth, Mode};
    use crate::gate::{Ask, Rules};

    #[test]
    fn a_named_call_that_runs_out_of_time_does_not_run_again() {
        let auth = Auth { mode: Mode::None, ..Auth::default() };
        let mut gate = Gate::new(Rules { auth, ..Rules::default() });
        let ask = Ask {
            peer: IpAddr::from([127, 0, 0, 1]),
            forwarded: false,
            hops: None,
            real: None,
            host: None,
            origin: None,
            cross_site: false,
            credential: None,
            scopes: None,
            proxy_user: None,
            proxy_fields: false,
        };
        let principal = gate.admit(&ask, Instant::now()).expect("admitted");
        let name = replay::name(&seeds(), &principal, "k", b"{}");
        let replays = RefCell::new(Table::default());
        let turn = replays.borrow_mut().begin(name);
        drop(Run { replays: &replays, turn });
        let found = replays.borrow_mut().look(&name, Instant::now());
        assert!(matches!(found, Ok(Some(Outcome::Failed(_)))), "{found:?}");
    }

    #[test]
    fn refusals_beyond_the_quota_are_counted_not_logged() {
        let (quota, start) = (Quota::default(), Instant::now());
        for _ in 0..LOG_REFUSALS {
            assert_eq!(quota.take(start), Some(0));
        }
        assert_eq!((quota.take(start), quota.take(start)), (None, None));
        assert_eq!(quota.take(start + LOG_WINDOW), Some(2));
        assert_eq!(quota.take(start + LOG_WINDOW), Some(0));
    }
}
