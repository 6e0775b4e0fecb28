//! Who is at the other end of a connection, as tailscaled says; remembered for a while. A failure means nobody knows.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use log::Level;
use rustix::time::{ClockId, clock_gettime};
use smol::lock::Semaphore;

use super::gateway::Gateway;
use super::listen::{Arrival, Door};
use super::log::{Named, Shown};
use crate::api;
use crate::gate::peer;
use crate::gate::tailnet::{Caller, Tailnet, Who};
use crate::limits::{LOOKUPS, WHOIS_ENTRIES, WHOIS_FAILED_SECS, WHOIS_SECS};
use crate::tool::localapi::{self, Missing, Status};
use crate::wire::head::Head;

/// The time since boot, time asleep included: what was learnt before a sleep is old after it.
fn now() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
}

/// An answer of tailscaled, and how long it holds.
#[derive(Debug, Clone)]
struct Learnt {
    about: SocketAddr,
    who: Answer,
    until: Duration,
}

/// What tailscaled says of an address.
#[derive(Debug, Clone, PartialEq)]
enum Answer {
    /// It did not say anything.
    Failed,
    Known(Rc<Who>),
    /// It does not know it.
    Stranger,
}

/// What was learnt so far.
pub(super) struct Directory {
    known: RefCell<Vec<Learnt>>,
    /// The last good answer about this device, and whether there was none because tailscaled does not run.
    status: RefCell<Option<Status>>,
    absent: Cell<bool>,
    /// Why the last question about this device failed.
    pub trouble: Cell<Option<&'static str>>,
    until: Cell<Duration>,
    /// Whether it is being asked beside everything else.
    asking: Cell<bool>,
    lookups: Semaphore,
}

impl Default for Directory {
    fn default() -> Directory {
        Directory {
            known: RefCell::default(),
            status: RefCell::default(),
            absent: Cell::new(true),
            trouble: Cell::default(),
            until: Cell::default(),
            asking: Cell::default(),
            lookups: Semaphore::new(LOOKUPS),
        }
    }
}

impl Directory {
    /// Nothing is known any more.
    pub fn forget(&self) {
        self.known.borrow_mut().clear();
        self.status.borrow_mut().take();
        self.absent.set(true);
        self.until.set(Duration::ZERO);
    }

    /// The addresses that tailscaled calls its own.
    pub fn own(&self) -> Vec<IpAddr> {
        self.status.borrow().as_ref().map_or(Vec::new(), |status| status.ips.clone())
    }

    /// The names that the tailnet has for this device: the full one and its first label.
    pub fn names(&self) -> Vec<String> {
        let status = self.status.borrow();
        let Some(name) = status.as_ref().and_then(|status| status.dns_name.as_ref()) else { return Vec::new() };
        let label = name.split('.').next().unwrap_or_default();
        vec![name.clone(), label.to_owned()]
    }

    /// Whether tailscaled passes its peers on from the loopback (userspace networking), as far as is known.
    pub fn relays(&self) -> bool {
        self.status.borrow().as_ref().is_some_and(|status| !status.tun)
    }

    /// Whether the last answer about this device, or that there was none, still holds.
    fn is_fresh(&self) -> bool {
        self.until.get() > now()
    }

    /// Whether nobody can say if it does: tailscaled is there and has never told.
    fn is_unclear(&self) -> bool {
        self.status.borrow().is_none() && !self.absent.get()
    }

    /// The last good answer about this device.
    pub fn with_status<T>(&self, look: impl FnOnce(Option<&Status>) -> T) -> T {
        look(self.status.borrow().as_ref())
    }

    fn recall(&self, about: SocketAddr) -> Option<Answer> {
        let now = now();
        let mut known = self.known.borrow_mut();
        let at = known.iter().position(|learnt| learnt.about == about && learnt.until > now)?;
        // Those that are asked for often stay longest.
        let learnt = known.remove(at);
        let who = learnt.who.clone();
        known.push(learnt);
        Some(who)
    }

    fn remember(&self, about: SocketAddr, who: Answer) {
        let span = if matches!(who, Answer::Known(_)) { WHOIS_SECS } else { WHOIS_FAILED_SECS };
        let mut known = self.known.borrow_mut();
        known.retain(|learnt| learnt.about != about);
        if known.len() >= WHOIS_ENTRIES {
            known.remove(0);
        }
        known.push(Learnt { about, who, until: now() + span });
    }
}

impl Gateway {
    /// Asks tailscaled about this device again, where the last answer is old; also when it is not but `fresh` is wanted.
    pub(super) async fn learn(&self, fresh: bool) {
        let directory = &self.tailnet.directory;
        if !fresh && directory.is_fresh() {
            return;
        }
        let path = self.host.tailscaled();
        let _turn = directory.lookups.acquire().await;
        // Somebody else may have asked while we waited.
        if !fresh && directory.is_fresh() {
            return;
        }
        let answer = localapi::status(&path).await;
        let span = if answer.is_ok() { WHOIS_SECS } else { WHOIS_FAILED_SECS };
        directory.until.set(now() + span);
        let trouble = match &answer {
            Err(Missing::Failed(why)) => Some(*why),
            _ => None,
        };
        if trouble != directory.trouble.replace(trouble)
            && let Some(why) = trouble
        {
            log::warn!("tailscale_api socket={} why={}", Shown(&path.to_string_lossy()), Shown(why));
        }
        directory.absent.set(matches!(answer, Err(Missing::Absent)));
        match answer {
            Ok(status) => {
                let other = directory.status.borrow().as_ref().is_none_or(|old| old.dns_name != status.dns_name);
                *directory.status.borrow_mut() = Some(status);
                if other {
                    self.rename();
                }
            }
            // Who is not there passes nobody on.
            Err(Missing::Absent) => _ = directory.status.borrow_mut().take(),
            // What it said before holds until it says something else.
            Err(Missing::Failed(_)) => {}
        }
    }

    async fn ask(&self, about: SocketAddr) -> Answer {
        let directory = &self.tailnet.directory;
        if let Some(who) = directory.recall(about) {
            return who;
        }
        // Whoever did not answer a moment ago is not waited for again.
        if directory.absent.get() || directory.trouble.get().is_some() {
            return Answer::Failed;
        }
        let _turn = directory.lookups.acquire().await;
        // Somebody else may have asked while we waited.
        if let Some(who) = directory.recall(about) {
            return who;
        }
        let who = self.whois(about).await;
        directory.remember(about, who.clone());
        who
    }

    /// What tailscaled says now.
    async fn whois(&self, about: SocketAddr) -> Answer {
        match localapi::whois(&self.host.tailscaled(), about).await {
            Ok(Some(who)) => Answer::Known(Rc::new(who)),
            Ok(None) => Answer::Stranger,
            Err(_) => Answer::Failed,
        }
    }

    /// Asks again where the last answer is old. As long as there is one nobody waits for the next.
    async fn keep_up(self: &Rc<Self>) {
        let directory = &self.tailnet.directory;
        if directory.is_fresh() {
            return;
        }
        if directory.status.borrow().is_none() {
            return self.learn(false).await;
        }
        if !directory.asking.replace(true) {
            let gateway = Rc::clone(self);
            let ask = async move {
                gateway.learn(false).await;
                gateway.tailnet.directory.asking.set(false);
            };
            self.host.tasks.spawn(ask).detach();
        }
    }

    /// Who is at the other end.
    pub(super) async fn identify(self: &Rc<Self>, head: &Head, from: Arrival) -> Caller {
        let addr = from.peer();
        let known = |answer| match answer {
            Answer::Known(who) => Tailnet::Known(who),
            Answer::Failed | Answer::Stranger => Tailnet::Unknown,
        };
        // No port: of a node that has an address of its own it says nothing.
        let by_address = SocketAddr::new(addr, 0);
        self.keep_up().await;
        let (tailnet, proven) = match from.door {
            Door::Serve => {
                // The socket's peer is tailscaled itself; whom it serves is in the head, and must be what it knows.
                let Some(addr) = api::served_for(head) else { return Caller { addr, tailnet: Tailnet::Unknown } };
                let tailnet = match self.ask(SocketAddr::new(addr, 0)).await {
                    Answer::Known(who) if api::served_as(head, &who) => Tailnet::Known(who),
                    _ => Tailnet::Unknown,
                };
                return Caller { addr, tailnet };
            }
            Door::Tailnet => (known(self.ask(by_address).await), true),
            Door::Unbound => (known(self.ask(by_address).await), false),
            Door::Open if peer::loopback(addr) => (self.relayed(from).await, true),
            Door::Open if self.tailnet.holds(addr) => (known(self.ask(by_address).await), false),
            Door::Open => (Tailnet::Outside, true),
        };
        // An address alone can be forged by a neighbour; it may narrow what a caller may do, but never be its proof.
        let believed = proven || !self.gate.borrow().rules().tailnet.identity;
        Caller { addr, tailnet: if believed { tailnet } else { Tailnet::Unknown } }
    }

    /// Ends the sockets of peers of whom tailscaled says something else by now: a grant that the tailnet has withdrawn must
    /// not outlive it by more than this. Peers that it passes on from the loopback have no address to ask for.
    pub(super) async fn recheck(&self) {
        for caller in self.hub.known() {
            let Tailnet::Known(who) = &caller.tailnet else { continue };
            if peer::loopback(caller.addr) {
                continue;
            }
            self.learn(false).await;
            match self.ask(SocketAddr::new(caller.addr, 0)).await {
                Answer::Known(now) if now == *who => {}
                // It says nothing, of anybody: what it said before holds.
                Answer::Failed => return,
                Answer::Known(_) | Answer::Stranger => {
                    let count = self.hub.dismiss(&caller, 4001, "tailnet identity changed");
                    self.audit.say(Level::Info, format_args!("socket_dismissed peer={} count={count}", Named(&caller)));
                }
            }
        }
    }

    /// What a caller from the loopback is: a program of this device, or a peer that tailscaled passes on.
    async fn relayed(&self, from: Arrival) -> Tailnet {
        let directory = &self.tailnet.directory;
        if directory.is_unclear() {
            return Tailnet::Unknown;
        }
        if !directory.relays() {
            return Tailnet::Outside;
        }
        // Asked each time: the next connection from that port may be somebody else's.
        let _turn = directory.lookups.acquire().await;
        match self.whois(from.from).await {
            Answer::Known(who) => Tailnet::Known(who),
            Answer::Stranger => Tailnet::Outside,
            Answer::Failed => Tailnet::Unknown,
        }
    }
}
