//! Who is at the other end of a connection, as tailscaled says; remembered for a while. A failure means nobody knows.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use log::Level;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
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

/// What tells a socket from one that takes its place: one tailscaled from the next.
type Mark = Option<(u64, i64, i64)>;

fn mark(socket: &Path) -> Mark {
    std::fs::metadata(socket).ok().map(|meta| (meta.ino(), meta.ctime(), meta.ctime_nsec()))
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
    /// The socket that it was learnt by: where it is, and which one.
    place: RefCell<PathBuf>,
    mark: Cell<Mark>,
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
            place: RefCell::default(),
            mark: Cell::default(),
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
        let until = directory.until.get();
        let _turn = directory.lookups.acquire().await;
        // Somebody else may have asked while we waited.
        if directory.until.get() != until {
            return;
        }
        let (path, answer) = loop {
            let path = self.host.tailscaled();
            directory.mark.set(mark(&path));
            directory.place.borrow_mut().clone_from(&path);
            let answer = localapi::status(&path).await;
            // After a reload it is another tailscaled that counts.
            if path == self.host.tailscaled() {
                break (path, answer);
            }
        };
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
            Ok(status) => self.relearn(status),
            // Who is not there passes nobody on, and knows nobody.
            Err(Missing::Absent) => {
                directory.status.borrow_mut().take();
                directory.known.borrow_mut().clear();
            }
            // What it said before holds until it says something else.
            Err(Missing::Failed(_)) => {}
        }
    }

    /// Puts in force what tailscaled says of this device.
    fn relearn(&self, status: Status) {
        let directory = &self.tailnet.directory;
        // From now on peers come from the loopback too: whoever came from there before may have been one.
        if !status.tun && !directory.relays() {
            self.hub.close(4001, "tailnet identity changed");
        }
        let old = directory.status.borrow_mut().replace(status.clone());
        let same = |what: fn(&Status, &Status) -> bool| old.as_ref().is_some_and(|old| what(old, &status));
        if !same(|old, new| old.dns_name == new.dns_name) {
            self.rename();
        }
        if !same(|old, new| old.ips == new.ips && old.tun == new.tun) {
            // Another node, maybe of another tailnet.
            directory.known.borrow_mut().clear();
            self.tailnet.look_again();
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
        loop {
            let path = self.host.tailscaled();
            let answer = localapi::whois(&path, about).await;
            if path == self.host.tailscaled() {
                return match answer {
                    Ok(Some(who)) => Answer::Known(Rc::new(who)),
                    Ok(None) => Answer::Stranger,
                    Err(_) => Answer::Failed,
                };
            }
        }
    }

    /// Asks again where the last answer is old. As long as there is one nobody waits for the next.
    async fn keep_up(self: &Rc<Self>) {
        let directory = &self.tailnet.directory;
        // Another one, or one that was not there, may pass peers on: only a look at its socket tells.
        let other = mark(&directory.place.borrow()) != directory.mark.get();
        if directory.is_fresh() && !other {
            return;
        }
        if other || directory.status.borrow().is_none() {
            return self.learn(other).await;
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

    /// Who is at the other end of `stream`.
    pub(super) async fn identify(self: &Rc<Self>, head: &Head, from: Arrival, stream: BorrowedFd<'_>) -> Caller {
        self.keep_up().await;
        // The socket's peer is tailscaled itself; whom it serves is in the head, and must be what it knows.
        let served = from.door == Door::Serve;
        let addr = if served { api::served_for(head).unwrap_or(from.peer()) } else { from.peer() };
        let mut port = 0;
        let tailnet = if matches!(from.door, Door::Open | Door::Carried) {
            if self.may_be_carried(addr, stream) {
                self.relayed(from, stream, &mut port).await
            } else if self.tailnet.holds(addr) && !self.is_own(addr) {
                self.named(addr, Tailnet::Claimed).await
            } else {
                Tailnet::Outside
            }
        } else if addr.is_unspecified() {
            Tailnet::Unknown
        } else if self.is_own(addr) {
            // A program of this device that comes by its address on the tailnet. It is not the person whose device this is.
            if served { Tailnet::Unknown } else { Tailnet::Outside }
        } else {
            // An address alone can be forged by a neighbour; it narrows what a caller may do, but is no proof.
            self.named(addr, if from.door == Door::Unbound { Tailnet::Claimed } else { Tailnet::Known }).await
        };
        let lies = served && tailnet.who().is_some_and(|who| !api::served_as(head, who));
        Caller { addr, port, tailnet: if lies { Tailnet::Unknown } else { tailnet } }
    }

    /// Whether an address of the tailnet is this device's own.
    fn is_own(&self, addr: IpAddr) -> bool {
        self.tailnet.directory.own().contains(&addr)
            || self.tailnet.open.borrow().iter().any(|opened| opened.address.ip() == addr)
    }

    /// Whose node has that address. Without a port: of a node that has an address of its own it says nothing.
    async fn named(&self, addr: IpAddr, known: fn(Rc<Who>) -> Tailnet) -> Tailnet {
        match self.ask(SocketAddr::new(addr, 0)).await {
            Answer::Known(who) => known(who),
            Answer::Failed | Answer::Stranger => Tailnet::Unknown,
        }
    }

    /// Ends the sockets of peers of whom tailscaled says something else by now: a grant that the tailnet has withdrawn must
    /// not outlive it by more than this.
    pub(super) async fn recheck(&self) {
        let directory = &self.tailnet.directory;
        for caller in self.hub.known() {
            let about = SocketAddr::new(caller.addr, caller.port);
            self.learn(false).await;
            // What it said of a port of the loopback was said of one connection.
            let mut now = if about.port() == 0 { self.ask(about).await } else { self.whois(about).await };
            if now == Answer::Failed {
                self.learn(true).await;
                // It says nothing, of anybody: what it said before holds.
                if directory.absent.get() || directory.trouble.get().is_some() {
                    return;
                }
                now = self.whois(about).await;
            }
            if !matches!(&now, Answer::Known(now) if Some(now) == caller.tailnet.who()) {
                let count = self.hub.dismiss(&caller, 4001, "tailnet identity changed");
                self.audit.say(Level::Info, format_args!("socket_dismissed peer={} count={count}", Named(&caller)));
            }
        }
    }

    /// What a caller from the loopback is: a program of this device, or a peer that tailscaled passes on.
    async fn relayed(&self, from: Arrival, stream: BorrowedFd<'_>, port: &mut u16) -> Tailnet {
        let directory = &self.tailnet.directory;
        // A connection that once brought a peer brings no program of this device later.
        let stranger = if from.door == Door::Carried { Tailnet::Unknown } else { Tailnet::Outside };
        if directory.is_unclear() {
            return Tailnet::Unknown;
        }
        if !directory.relays() {
            return stranger;
        }
        *port = from.from.port();
        // Asked each time: the next connection from that port may be somebody else's.
        let _turn = directory.lookups.acquire().await;
        // And twice: tailscaled forgets whom it carries a moment before it ends the connection.
        for _ in 0..2 {
            match self.whois(from.from).await {
                Answer::Known(who) => return Tailnet::Known(who),
                Answer::Stranger if !is_ending(stream) => {}
                Answer::Stranger | Answer::Failed => return Tailnet::Unknown,
            }
        }
        *port = if stranger == Tailnet::Outside { 0 } else { *port };
        stranger
    }

    /// Whether tailscaled may have brought a caller: from the loopback, or, as a subnet router, from where it went.
    fn may_be_carried(&self, addr: IpAddr, stream: BorrowedFd<'_>) -> bool {
        let here = || rustix::net::getsockname(stream).ok().and_then(|own| SocketAddr::try_from(own).ok());
        peer::loopback(addr)
            || (self.tailnet.directory.relays() && here().is_some_and(|own| own.ip().to_canonical() == addr))
    }
}

/// Whether the other end has finished sending, or is gone.
fn is_ending(stream: BorrowedFd<'_>) -> bool {
    let mut asked = [PollFd::from_borrowed_fd(stream, PollFlags::RDHUP)];
    poll(&mut asked, Some(&Timespec::default())).map_or(true, |count| count > 0)
}
