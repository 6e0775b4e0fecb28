//! Listening sockets → connections, never more than there are seats for.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use async_io::Timer;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use smol::LocalExecutor;

use super::Job;
use super::http::{self, Service, Shared};
use super::reactor::{Reactor, Watched};
use crate::api::Fault;
use crate::config::Bind;
use crate::limits::{ACCEPT_REST, BACKLOG, CONNECTIONS_REFUSED, DESCRIPTORS_RESERVED, SOCKET_BYTES};

/// Opens one listening socket. Port 0 lets the kernel choose.
///
/// # Errors
/// What the kernel said: address in use, not available, not permitted.
pub fn open_one(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bound_buffers(&socket)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// Bounds what the kernel buffers for each connection: accepted sockets inherit it. Without it each buffer may grow to
/// megabytes, which is memory too.
pub(super) fn bound_buffers(socket: &OwnedFd) -> rustix::io::Result<()> {
    sockopt::set_socket_recv_buffer_size(socket, SOCKET_BYTES)?;
    sockopt::set_socket_send_buffer_size(socket, SOCKET_BYTES)
}

/// Opens the listeners that `bind` asks for. Loopback is 127.0.0.1, and ::1 where the machine has it.
///
/// # Errors
/// One sentence that names the fix.
pub fn open(bind: Bind, port: u16) -> Result<Vec<TcpListener>, String> {
    let first = match bind {
        Bind::Custom(address) => address,
        Bind::Lan => Ipv4Addr::UNSPECIFIED,
        // `tailnet` was refused before; what it falls back to is never wider than this machine.
        Bind::Auto | Bind::Loopback | Bind::Tailnet => Ipv4Addr::LOCALHOST,
    };
    let listen = |address: IpAddr, port: u16| open_one(SocketAddr::new(address, port));
    let listener = listen(first.into(), port).map_err(|error| {
        let fix = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "another program listens there, maybe another toolgate; stop it or choose another --port"
            }
            io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address; look at `ip address` and gateway.customBindHost"
            }
            io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege; choose another --port",
            _ => "the address cannot be listened on",
        };
        format!("{first}:{port}: {error}: {fix}")
    })?;
    let port = listener.local_addr().map_or(port, |address| address.port());
    let mut listeners = vec![listener];
    if first == Ipv4Addr::LOCALHOST {
        match listen(Ipv6Addr::LOCALHOST.into(), port) {
            Ok(listener) => listeners.push(listener),
            Err(error) => ::log::debug!("listen_skipped address=[::1]:{port} error=\"{error}\""),
        }
    }
    Ok(listeners)
}

/// Where they listen.
pub fn addresses(listeners: &[TcpListener]) -> Vec<SocketAddr> {
    listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
}

/// How many connections fit below the process's limit on open files.
pub fn fit_to_descriptors(connections: usize) -> usize {
    match rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        Some(files) => {
            let files = usize::try_from(files).unwrap_or(usize::MAX);
            connections.min(files.saturating_sub(DESCRIPTORS_RESERVED).max(1))
        }
        None => connections,
    }
}

/// The places connections sit in: so many in all, so many for each peer.
#[derive(Debug)]
pub struct Seats {
    most: usize,
    most_per_peer: usize,
    taken: RefCell<Vec<(IpAddr, usize)>>,
}

/// A taken place, free again when dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Rc<Seats>,
    peer: IpAddr,
}

impl Seats {
    /// Places for `most` connections, `most_per_peer` of them for one peer.
    pub fn new(most: usize, most_per_peer: usize) -> Rc<Seats> {
        Rc::new(Seats { most, most_per_peer, taken: RefCell::default() })
    }

    /// How many places are taken.
    pub fn taken(&self) -> usize {
        self.taken.borrow().iter().map(|(_, count)| count).sum()
    }

    /// Takes a place for `peer`.
    ///
    /// # Errors
    /// Why there is none.
    pub fn take(self: &Rc<Self>, peer: IpAddr) -> Result<Seat, Fault> {
        if self.taken() >= self.most {
            return Err(Fault::ConnectionsFull);
        }
        let peer = household(peer);
        let mut taken = self.taken.borrow_mut();
        match taken.iter_mut().find(|(known, _)| *known == peer) {
            Some((_, count)) if *count >= self.most_per_peer => return Err(Fault::ConnectionsFullForPeer),
            Some((_, count)) => *count += 1,
            None => taken.push((peer, 1)),
        }
        Ok(Seat { seats: Rc::clone(self), peer })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.borrow_mut();
        if let Some(at) = taken.iter().position(|(known, _)| *known == self.peer) {
            match taken.get_mut(at) {
                Some((_, count)) if *count > 1 => *count -= 1,
                _ => _ = taken.swap_remove(at),
            }
        }
    }
}

/// What counts as one peer: an IPv4 address, or the /64 of an IPv6 address, which one host has to itself.
fn household(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    }
}

/// Accepts connections for ever and gives each a task.
pub async fn accept<S: Service>(
    listener: Watched<TcpListener>,
    reactor: Rc<Reactor>,
    shared: Rc<Shared<S>>,
    seats: Rc<Seats>,
    executor: Rc<LocalExecutor<'static>>,
) {
    let refused = Rc::new(());
    let mut exhausted = false;
    loop {
        poll_fn(|cx| listener.poll_readable(cx)).await;
        let (stream, peer) = match take(listener.get_ref(), &reactor) {
            Ok(taken) => taken,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                listener.drained();
                continue;
            }
            Err(error) if is_peers(&error) => continue,
            Err(error) => {
                // Out of descriptors or memory. The connection stays in the kernel's queue; asking again at once would spin.
                if !std::mem::replace(&mut exhausted, true) {
                    ::log::error!("accept_pause error={}", super::log::Shown(&error.to_string()));
                }
                Timer::after(ACCEPT_REST).await;
                continue;
            }
        };
        exhausted = false;
        let shared = Rc::clone(&shared);
        match seats.take(peer) {
            Ok(seat) => {
                let task = async move {
                    http::serve(shared, stream, peer).await;
                    drop(seat);
                };
                executor.spawn(task).detach();
            }
            Err(fault) => {
                let answer = fault.answer();
                shared.service.note(&answer, peer);
                if Rc::strong_count(&refused) <= CONNECTIONS_REFUSED {
                    let guard = Rc::clone(&refused);
                    let task: Job = Box::pin(async move {
                        http::turn_away(shared, stream, peer, answer).await;
                        drop(guard);
                    });
                    executor.spawn(task).detach();
                }
            }
        }
    }
}

/// Takes one connection from the kernel's queue.
fn take(listener: &TcpListener, reactor: &Rc<Reactor>) -> io::Result<(Watched<TcpStream>, IpAddr)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (socket, address) = rustix::net::acceptfrom_with(listener, flags)?;
    let peer =
        address.and_then(|address| SocketAddr::try_from(address).ok()).map(|address| address.ip().to_canonical());
    let stream = TcpStream::from(socket);
    // A peer that is already gone has no address: it reads as broken at once.
    let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    _ = stream.set_nodelay(true);
    Ok((reactor.watch(stream)?, peer))
}

/// Whether an error of accept(2) is about one connection, not about this process. Source: accept(2), "Error handling".
fn is_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted | ErrorKind::WouldBlock
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_counted_by_household() {
        let seats = Seats::new(3, 2);
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = seats.take(at("2001:db8::1")).unwrap();
        let second = seats.take(at("2001:db8::2")).unwrap();
        assert_eq!(seats.take(at("2001:db8::3")).unwrap_err(), Fault::ConnectionsFullForPeer);
        let third = seats.take(at("10.0.0.1")).unwrap();
        assert_eq!(seats.take(at("10.0.0.2")).unwrap_err(), Fault::ConnectionsFull);
        drop((first, second, third));
        assert_eq!(seats.taken(), 0);
        assert!(seats.taken.borrow().is_empty(), "nothing is kept for peers that left");
    }
}
