//! A host and a port → a connection, within the rules of `border`: resolved once, every address judged, and only what was
//! judged connected to.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rustix::net::SocketType;

use super::border::{Border, Place, Who};
use super::host::Host;
use super::pipe::{self, Pipe};
use super::{Outcome, network, resolve};
use crate::gate::peer::Net;

/// Why there is no connection, or no answer over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The world is not so.
    Failed,
    /// A rule is against it.
    Forbidden,
    /// What was asked cannot be.
    Input,
}

/// The same in words for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault(pub Why, pub &'static str);

impl Fault {
    /// What a tool answers then.
    pub(super) fn outcome(self) -> Outcome {
        match self.0 {
            Why::Failed => Outcome::soft("error", self.1),
            Why::Forbidden => Outcome::soft("forbidden", self.1),
            Why::Input => Outcome::Input(String::from(self.1)),
        }
    }

    /// What the network said.
    pub(super) fn of(error: io::Error) -> Fault {
        Fault(Why::Failed, pipe::said(&error))
    }
}

/// The moment `millis` from now.
pub(super) fn deadline(millis: usize) -> Instant {
    Instant::now() + Duration::from_millis(millis as u64)
}

/// The rules of one call as they stand now: the operator's, and where this device is.
///
/// # Errors
/// That the kernel does not say where this device is.
async fn border(host: &Host, who: Who) -> Result<Border, Fault> {
    let targets = host.targets();
    let mut border =
        Border { who, forbidden: host.forbidden, allow: Vec::new(), links: Vec::new(), own: host.own.borrow().clone() };
    if who != Who::Operator {
        border.allow.clone_from(&targets.allow);
        let Some((net, _)) = network::ask(host).await else {
            return Err(Fault(Why::Failed, "the kernel did not say in time which networks this device is on"));
        };
        let addrs = net.links.into_iter().flat_map(|link| link.addrs);
        // A prefix of nothing is no network that a device could be on.
        border.links = addrs.filter(|(_, prefix)| *prefix > 0).map(|(addr, prefix)| Net { addr, prefix }).collect();
    }
    Ok(border)
}

/// The addresses at which a call of `who` may reach `port` of `host`. Never empty.
///
/// # Errors
/// The rule against `host` or, when every address is against one, against the first; or that it has none.
pub(super) async fn find(
    host: &Host,
    who: Who,
    name: &str,
    port: u16,
    until: Instant,
) -> Result<Vec<SocketAddr>, Fault> {
    let place = Place::read(name).map_err(|rule| Fault(Why::Forbidden, rule))?;
    let border = border(host, who).await?;
    let (addrs, literal) = match place {
        Place::Addr(addr) => (vec![addr], true),
        Place::Name(name) => match resolve::addresses(&host.root, &name, until).await {
            Ok(addrs) => (addrs, false),
            Err(why) => return Err(Fault(Why::Failed, why)),
        },
    };
    let mut good = Vec::new();
    let mut against = Fault(Why::Failed, "no such name");
    for addr in addrs {
        match border.judge(addr, port, literal) {
            Ok(()) => good.push(SocketAddr::new(addr.to_canonical(), port)),
            Err(rule) if against.0 == Why::Failed => against = Fault(Why::Forbidden, rule),
            Err(_) => {}
        }
    }
    if good.is_empty() { Err(against) } else { Ok(good) }
}

/// An open connection.
pub(super) struct Reached {
    /// The connection; its deadline is that of the call.
    pub pipe: Pipe,
    /// Whom it goes to.
    pub addr: IpAddr,
    /// How long connecting took.
    pub took: Duration,
}

/// Connects to the first of the addresses that [`find`] finds that answers; each has its share of the time that is left.
///
/// # Errors
/// Those of [`find`], and what the network says of the last address.
pub(super) async fn dial(host: &Host, who: Who, name: &str, port: u16, until: Instant) -> Result<Reached, Fault> {
    let addrs = find(host, who, name, port, until).await?;
    let mut why = io::Error::from(io::ErrorKind::TimedOut);
    let mut shares = addrs.len() as u32;
    for addr in addrs {
        let start = Instant::now();
        let share = start + until.saturating_duration_since(start) / shares;
        shares = shares.saturating_sub(1).max(1);
        match Pipe::open(addr, SocketType::STREAM, None, share) {
            Ok(mut pipe) => match pipe.connected().await {
                Ok(()) => {
                    pipe.until = until;
                    return Ok(Reached { pipe, addr: addr.ip(), took: start.elapsed() });
                }
                Err(error) => why = error,
            },
            Err(error) => why = error,
        }
    }
    Err(Fault::of(why))
}
