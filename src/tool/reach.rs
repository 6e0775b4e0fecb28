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

/// Why there is no connection, in words for the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// A rule is against it.
    Forbidden(&'static str),
    /// The world is not so.
    Failed(&'static str),
    /// What was asked cannot be.
    Input(&'static str),
}

impl Fault {
    /// The soft failure that a tool answers with.
    pub(super) fn outcome(self) -> Outcome {
        match self {
            Fault::Forbidden(rule) => Outcome::soft("forbidden", rule),
            Fault::Failed(why) => Outcome::soft("error", why),
            Fault::Input(why) => Outcome::Input(String::from(why)),
        }
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
            return Err(Fault::Failed("the kernel did not say in time which networks this device is on"));
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
    let place = Place::read(name).map_err(Fault::Forbidden)?;
    let border = border(host, who).await?;
    let (addrs, literal) = match place {
        Place::Addr(addr) => (vec![addr], true),
        Place::Name(name) => (resolve::addresses(&host.root, &name, until).await.map_err(Fault::Failed)?, false),
    };
    let mut good = Vec::new();
    let mut against = Fault::Failed("no such name");
    for addr in addrs {
        match border.judge(addr, port, literal) {
            Ok(()) => good.push(SocketAddr::new(addr.to_canonical(), port)),
            Err(rule) if matches!(against, Fault::Failed(_)) => against = Fault::Forbidden(rule),
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

/// Connects to the first of `addrs` that answers; each has its share of the time that is left.
///
/// # Errors
/// What the network says of the last one.
pub(super) async fn connect(addrs: &[SocketAddr], until: Instant) -> Result<Reached, Fault> {
    let mut why = "no answer in time";
    for (at, addr) in addrs.iter().enumerate() {
        let start = Instant::now();
        let shares = u32::try_from(addrs.len() - at).unwrap_or(1);
        let share = start + until.saturating_duration_since(start) / shares;
        match dial(*addr, share).await {
            Ok(mut pipe) => {
                pipe.until = until;
                return Ok(Reached { pipe, addr: addr.ip(), took: start.elapsed() });
            }
            Err(error) => why = pipe::said(&error),
        }
    }
    Err(Fault::Failed(why))
}

async fn dial(addr: SocketAddr, until: Instant) -> io::Result<Pipe> {
    let pipe = Pipe::open(addr, SocketType::STREAM, None, until)?;
    pipe.connect(addr).await?;
    Ok(pipe)
}
