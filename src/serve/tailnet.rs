//! The listeners on the tailnet: they come with its interface, go with it, and come again; nothing takes their place.
//!
//! Linux answers on any interface for any address it has, so an address of the tailnet is reached from the LAN by
//! whoever adds a route to it. What keeps neighbours out is `SO_BINDTODEVICE`, and behind it a look at where each
//! connection comes from. A listener that is bound to an interface hears nothing more when that is made anew, so the
//! kernel's word on interfaces is waited for, and the listeners follow. Source: edge.md §0 items 1 to 3, §4 item 3.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;

use async_io::Timer;
use log::Level;
use smol::channel::{self, Receiver, Sender};
use smol::future;

use super::gateway::Gateway;
use super::listen::{Arrival, Door, Listener, Move};
use super::log::Shown;
use super::whois::Directory;
use super::{notify, report};
use crate::api::Note;
use crate::config::Tailnet as Terms;
use crate::limits::TAILNET_RETRY_SECS;
use crate::tool::interfaces::{self, Interface, Monitor};
use crate::tool::peer_user;

/// What is known of the tailnet, and what is open there.
pub(super) struct Tailnet {
    terms: RefCell<Terms>,
    /// The port to listen on; `None` when the configuration binds elsewhere.
    port: Cell<Option<u16>>,
    /// How often it became another one.
    pub era: Cell<u16>,
    /// A sign that the listeners want another look.
    changed: (Sender<()>, Receiver<()>),
    pub open: RefCell<Vec<Opened>>,
    /// Why nothing is open.
    pub why: RefCell<String>,
    /// The Unix socket for Tailscale Serve; from start to end.
    pub serve: Option<String>,
    /// Who is who, as tailscaled says.
    pub directory: Directory,
}

/// A listener on the tailnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Opened {
    /// The interface it is bound to; empty where the kernel does not permit that.
    pub interface: String,
    /// That interface's number; 0 where it is not bound.
    pub index: i64,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Tailnet {
    /// Nothing open yet.
    pub fn new(terms: Terms, port: Option<u16>) -> Tailnet {
        Tailnet {
            serve: terms.serve_socket.clone(),
            terms: RefCell::new(terms),
            port: Cell::new(port),
            era: Cell::default(),
            changed: channel::bounded(1),
            open: RefCell::default(),
            why: RefCell::default(),
            directory: Directory::default(),
        }
    }

    /// Other terms, after a reload. Whether it is another tailnet, or none: then nobody stays who came by the old one.
    pub fn replace(&self, terms: Terms, port: Option<u16>) -> bool {
        let old = self.terms.replace(terms);
        let terms = self.terms.borrow();
        let other_api = old.local_api != terms.local_api;
        if other_api {
            self.directory.forget();
        }
        let old_port = self.port.replace(port);
        let left = old_port.is_some() && port.is_none();
        let other = other_api || left || old.interface != terms.interface || old.prefixes != terms.prefixes;
        if other {
            self.era.set(self.era.get().wrapping_add(1));
        }
        if other || old_port != port {
            self.look_again();
        }
        other
    }

    /// The listeners are looked after as soon as may be.
    pub fn look_again(&self) {
        // A sign that is there already says the same.
        _ = self.changed.0.try_send(());
    }

    /// The interface that is waited for.
    pub fn interface(&self) -> String {
        self.terms.borrow().interface.clone()
    }

    /// Whether an address is of the tailnet: within its prefixes, or one that this device has there.
    pub fn holds(&self, addr: IpAddr) -> bool {
        self.terms.borrow().prefixes.iter().any(|prefix| prefix.contains(addr))
            || self.open.borrow().iter().any(|opened| opened.address.ip() == addr)
    }

    /// Whether the configuration wants listeners here and there are none.
    pub fn waits(&self) -> bool {
        self.port.get().is_some() && self.open.borrow().is_empty() && !self.directory.relays()
    }

    /// Whether a listener is open here. One that was is closed a moment later than that.
    fn listens(&self) -> bool {
        !self.open.borrow().is_empty()
    }

    /// Whether the configuration wants listeners here.
    pub fn wanted(&self) -> bool {
        self.port.get().is_some()
    }
}

impl Tailnet {
    /// How it stands, for `status`.
    pub fn report(&self) -> report::Tailnet {
        let open = self.open.borrow();
        let state = match self.port.get() {
            None => "off",
            Some(_) if !open.is_empty() => "listening",
            Some(_) if self.directory.relays() => "userspace",
            Some(_) => "waiting",
        };
        let (backend, name) = self.directory.with_status(|status| {
            (status.map(|status| status.backend.clone()), status.and_then(|status| status.dns_name.clone()))
        });
        report::Tailnet {
            state,
            interface: self.interface(),
            listeners: open.iter().map(|opened| (opened.address.to_string(), opened.interface.clone())).collect(),
            why: self.why.borrow().clone(),
            backend,
            name,
            trouble: self.directory.trouble.get(),
        }
    }
}

/// The interface to listen on: the one that is named, else the one that has an address which tailscaled calls its own.
fn choose<'i>(interfaces: &'i [Interface], name: &str, own: &[IpAddr]) -> Option<&'i Interface> {
    let has = |interface: &&Interface| interface.addrs.iter().any(|addr| own.contains(addr) && !addr.is_loopback());
    let named = interfaces.iter().find(|interface| interface.name == name);
    named.filter(|named| !named.addrs.is_empty()).or_else(|| interfaces.iter().find(has))
}

impl Gateway {
    /// Keeps the listeners on the tailnet, from start to end.
    pub(super) async fn keep_tailnet(&self) {
        let mut monitor = None;
        loop {
            let mut blind = false;
            if self.tailnet.wanted() && monitor.is_none() {
                match Monitor::open() {
                    Ok(opened) => monitor = Some(opened),
                    Err(error) => {
                        blind = true;
                        self.keep_all(&error);
                    }
                }
            }
            // What happens while we look is heard afterwards: the monitor listens already.
            let again = blind || self.follow().await;
            let event = async {
                match &monitor {
                    Some(monitor) => monitor.changed().await,
                    None => future::pending().await,
                }
            };
            let changed = async { _ = self.tailnet.changed.1.recv().await };
            let retry = async {
                if !again {
                    return future::pending().await;
                }
                _ = Timer::after(TAILNET_RETRY_SECS).await;
            };
            future::or(event, future::or(changed, retry)).await;
        }
    }

    /// Opens what should be open and closes the rest. Whether something failed that no event will tell the end of.
    async fn follow(&self) -> bool {
        let tailnet = &self.tailnet;
        let Some(port) = tailnet.port.get() else {
            self.settle(Vec::new(), Vec::new(), "");
            return false;
        };
        let interfaces = match interfaces::look(&self.host).await {
            Ok(interfaces) => interfaces,
            Err(error) => {
                self.keep_all(&error);
                return true;
            }
        };
        let name = tailnet.interface();
        self.learn(true).await;
        let own = tailnet.directory.own();
        let Some(interface) = choose(&interfaces, &name, &own) else {
            let why = ["waiting for ", &name].concat();
            // Without an interface of the kernel there is nothing to wait for: the loopback is where peers arrive.
            self.settle(Vec::new(), Vec::new(), if tailnet.directory.relays() { "" } else { &why });
            // Its interface may be there under another name, which only tailscaled tells.
            return tailnet.directory.trouble.get().is_some();
        };
        let (mut keep, mut open, mut failed) = (Vec::new(), Vec::new(), None);
        for addr in &interface.addrs {
            let address = SocketAddr::new(*addr, port);
            let stands = |opened: &&Opened| {
                opened.address == address && (opened.index == interface.index || opened.interface.is_empty())
            };
            if let Some(opened) = tailnet.open.borrow().iter().find(stands) {
                keep.push(opened.clone());
                continue;
            }
            match self.open_one(address, interface) {
                Ok((listener, opened)) => {
                    keep.push(opened.clone());
                    open.push((listener, opened));
                }
                Err(error) => failed = Some(format!("{address}: {error}")),
            }
        }
        let why = failed.as_deref().map_or(String::new(), |failed| ["cannot listen on ", failed].concat());
        self.settle(keep, open, &why);
        failed.is_some()
    }

    /// The kernel does not tell of interfaces. What is open stays: nobody knows anything worse of it.
    fn keep_all(&self, error: &io::Error) {
        let open = self.tailnet.open.borrow().clone();
        self.settle(open, Vec::new(), &["the kernel does not tell of interfaces: ", &error.to_string()].concat());
    }

    /// A listener on that interface alone, where the kernel permits it.
    fn open_one(&self, address: SocketAddr, interface: &Interface) -> io::Result<(Listener, Opened)> {
        let name = &interface.name;
        match Listener::open(address, Some(name)) {
            Ok(listener) => Ok((listener, Opened { interface: name.clone(), index: interface.index, address })),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let fix = "Linux before 5.7 wants CAP_NET_RAW for that; until then only the source of a connection is checked";
                log::warn!("tailnet_unbound address={address} interface={} fix=\"{fix}\"", Shown(name));
                let listener = Listener { door: Door::Unbound, ..Listener::open(address, None)? };
                Ok((listener, Opened { interface: String::new(), index: 0, address }))
            }
            Err(error) => Err(error),
        }
    }

    /// Puts the new state in force and tells of it.
    pub(super) fn settle(&self, keep: Vec<Opened>, open: Vec<(Listener, Opened)>, why: &str) {
        let tailnet = &self.tailnet;
        let closed: Vec<Opened> =
            tailnet.open.borrow().iter().filter(|opened| !keep.contains(opened)).cloned().collect();
        for Opened { address, interface, .. } in &closed {
            self.audit
                .say(Level::Warn, format_args!("tailnet_closed address={address} interface={}", Shown(interface)));
        }
        for (_, Opened { address, interface, .. }) in &open {
            self.audit.say(Level::Info, format_args!("listen address={address} interface={}", Shown(interface)));
            (self.listens)(*address);
        }
        let news = !closed.is_empty() || !open.is_empty() || *tailnet.why.borrow() != why;
        if !why.is_empty() && *tailnet.why.borrow() != why {
            self.audit.say(Level::Warn, format_args!("tailnet_waiting why={}", Shown(why)));
        }
        why.clone_into(&mut tailnet.why.borrow_mut());
        if !closed.is_empty() || !open.is_empty() {
            tailnet.open.borrow_mut().clone_from(&keep);
            // It cannot fail: the channel has no bound, and this gateway holds both its ends.
            _ = self.moves.0.try_send(Move::Tailnet {
                keep: keep.iter().map(|opened| (opened.index, opened.address)).collect(),
                open: open.into_iter().map(|(listener, opened)| ((opened.index, opened.address), listener)).collect(),
            });
            self.rename();
        }
        if news {
            notify::status(&self.summary());
        }
    }

    /// What the service manager is told of where we listen, in one line.
    pub(super) fn summary(&self) -> String {
        let listening = self.listening().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let why = self.tailnet.why.borrow();
        let comma = if why.is_empty() { "" } else { "; " };
        ["listening on ", &listening, comma, &why].concat()
    }

    /// Every address listened on.
    pub(super) fn listening(&self) -> Vec<SocketAddr> {
        let mut all = self.addresses.borrow().clone();
        all.extend(self.tailnet.open.borrow().iter().map(|opened| opened.address));
        all
    }

    /// The same as text, and the Unix socket.
    pub(super) fn places(&self) -> Vec<String> {
        let mut all: Vec<String> = self.listening().iter().map(ToString::to_string).collect();
        all.extend(self.tailnet.serve.iter().map(|path| ["unix:", path].concat()));
        all
    }

    /// Whether a connection may be listened to at all. Refusals are silent for the peer and told to the log.
    pub(super) fn welcomes(&self, from: Arrival, stream: BorrowedFd<'_>) -> bool {
        let reason = match from.door {
            Door::Open | Door::Carried => return true,
            Door::Tailnet | Door::Unbound if self.tailnet.listens() && self.tailnet.holds(from.peer()) => return true,
            Door::Tailnet | Door::Unbound => "tailnet_foreign_source",
            // Whoever runs tailscaled owns its socket; root may do everything anyway.
            Door::Serve => match peer_user(stream) {
                Some(user) if user == 0 || Some(user) == self.keeper() => return true,
                _ => "serve_stranger",
            },
        };
        self.note(&Note { reason: Some(reason), ..Note::default() }, None, from.peer());
        false
    }

    /// The user that tailscaled's socket belongs to.
    fn keeper(&self) -> Option<u32> {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(self.host.tailscaled()).ok().map(|meta| meta.uid())
    }

    /// Answers to the names and addresses that the tailnet has for this device, and keeps tools off its own listeners.
    pub(super) fn rename(&self) {
        let mut names = self.tailnet.directory.names();
        names.extend(self.tailnet.open.borrow().iter().map(|opened| opened.address.ip().to_string()));
        self.gate.borrow_mut().answer_to(names);
        *self.host.own.borrow_mut() = self.listening();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_interface_comes_first_then_the_one_with_our_address() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let make = |name: &str, index, addrs: &[&str]| Interface {
            name: name.into(),
            index,
            addrs: addrs.iter().map(|addr| ip(addr)).collect(),
        };
        let all = [
            make("lo", 1, &["127.0.0.1"]),
            make("eth0", 2, &["192.168.1.5"]),
            make("tailscale0", 3, &["100.64.0.1"]),
            make("ts1", 4, &["10.9.0.1"]),
        ];
        let check = |interfaces: &[Interface], own: &[&str], expected: Option<&str>| {
            let own: Vec<IpAddr> = own.iter().map(|addr| ip(addr)).collect();
            let chosen = choose(interfaces, "tailscale0", &own).map(|interface| interface.name.as_str());
            assert_eq!(chosen, expected, "{interfaces:?} {own:?}");
        };
        check(&all, &[], Some("tailscale0"));
        check(&all, &["10.9.0.1"], Some("tailscale0"));
        check(&all[..2], &[], None);
        check(&all[3..], &["10.9.0.1"], Some("ts1"));
        check(&[make("tailscale0", 3, &[])], &[], None);
        // An interface without addresses is one that is not there yet.
        check(&[make("tailscale0", 3, &[]), all[3].clone()], &["10.9.0.1"], Some("ts1"));
        // tailscaled does not make the loopback a place to listen on.
        check(&all[..2], &["127.0.0.1"], None);
    }
}
