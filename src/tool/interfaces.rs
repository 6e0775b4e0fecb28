//! The network interfaces as they are now, and a sign whenever one of them changes. No polling.

use std::io;
use std::net::IpAddr;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::host::Host;
use super::netlink;
use super::network::Link;
use super::watch::{self, Watched, Way};
use crate::limits::{INTERFACES_REST, NETLINK_BYTES};

/// An interface that is up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// The kernel's number for it; an interface that went and came again has another.
    pub index: i64,
    /// Its addresses, sorted; without link-local ones.
    pub addrs: Vec<IpAddr>,
}

/// All interfaces that are up.
///
/// # Errors
/// When the kernel denies the question or does not answer it in time.
pub async fn look(host: &Host) -> io::Result<Vec<Interface>> {
    // Asked aside: a driver that hangs with the kernel's network lock in its hand hangs everybody who asks.
    let links = host.aside.run(netlink::interfaces).await.ok_or(io::ErrorKind::TimedOut)??;
    let interface = |Link { name, index, addrs, .. }: Link| {
        let local = |addr: &IpAddr| matches!(addr, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let mut addrs: Vec<IpAddr> = addrs.into_iter().map(|(addr, _)| addr).filter(|addr| !local(addr)).collect();
        addrs.sort_unstable();
        addrs.dedup();
        Interface { name, index, addrs }
    };
    Ok(links.into_iter().filter(|link| link.up).map(interface).collect())
}

/// Hears of changes.
pub struct Monitor(Box<dyn Watched>);

impl Monitor {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the kernel denies it.
    pub fn open() -> io::Result<Monitor> {
        watch::descriptor(netlink::changes()?).map(Monitor)
    }

    /// Waits for the next change. Those that come in quick succession count once.
    pub async fn changed(&self) {
        loop {
            let heard = self.drain();
            if heard {
                break;
            }
            std::future::poll_fn(|cx| self.0.poll_retry(Way::Read, cx)).await;
        }
        watch::alarm(INTERFACES_REST).await;
        self.drain();
    }

    /// Takes what is there; whether there was anything. What the kernel had to leave out counts as well.
    fn drain(&self) -> bool {
        let mut buffer = vec![0; NETLINK_BYTES];
        let mut heard = false;
        loop {
            match recv(self.0.fd(), &mut *buffer, RecvFlags::empty()) {
                Ok(_) | Err(Errno::NOBUFS) => heard = true,
                Err(Errno::INTR) => {}
                Err(_) => return heard,
            }
        }
    }
}
