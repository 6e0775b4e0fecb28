//! Listening sockets → connections, never more than there are seats for.

use std::cell::RefCell;
use std::fmt::{self, Display};
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use async_io::Timer;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use smol::LocalExecutor;

use super::Job;
use super::files::Seen;
use super::http::{self, Service, Shared};
use super::reactor::{Reactor, Watched};
use crate::api::Fault;
use crate::config::Bind;
use crate::limits::{ACCEPT_REST, BACKLOG, CONNECTIONS_REFUSED, DESCRIPTORS_RESERVED, SOCKET_BYTES};
use crate::tool::bind_to_device;

/// Which door a connection came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// One that anybody on its network may knock at.
    Open,
    /// The same, of which it turned out that tailscaled brought a peer of the tailnet by it.
    Carried,
    /// The Unix socket that only Tailscale Serve comes to.
    Serve,
    /// One that is bound to the tailnet's interface.
    Tailnet,
    /// One at an address of the tailnet that the kernel does not let us bind to the interface.
    Unbound,
}

/// What a listener on an interface is known by: the interface's number, and where it listens.
pub type Place = (i64, SocketAddr);

/// Which listeners change.
#[derive(Debug)]
pub enum Move {
    /// These take the place of those that the configuration names, which are open from start to end.
    Base(Vec<Listener>),
    /// Of those on the tailnet's interface these places stay, and these are added.
    Tailnet {
        /// The places that stay.
        keep: Vec<Place>,
        /// What is added.
        open: Vec<(Place, Listener)>,
    },
}

/// Where a connection comes from, as the kernel says.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// The peer's address, never IPv4-mapped; unspecified for a Unix socket.
    pub from: SocketAddr,
    /// The door.
    pub door: Door,
}

impl Arrival {
    /// The peer's address.
    pub fn peer(self) -> IpAddr {
        self.from.ip()
    }
}

/// A socket that listens.
#[derive(Debug)]
pub struct Listener {
    /// The socket, non-blocking.
    pub socket: OwnedFd,
    /// Where it listens.
    pub address: Address,
    /// What it means to have come in here.
    pub door: Door,
}

/// Where a listener is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A Unix socket's path.
    Unix(PathBuf),
}

impl Address {
    /// The address, of one that has one.
    pub fn tcp(&self) -> Option<SocketAddr> {
        if let Address::Tcp(address) = self { Some(*address) } else { None }
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Listener {
    /// Opens one listening socket; on `device` only, when one is named. Port 0 lets the kernel choose.
    ///
    /// # Errors
    /// What the kernel said: address in use, not available, not permitted.
    pub fn open(address: SocketAddr, device: Option<&str>) -> io::Result<Listener> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        if address.is_ipv6() {
            sockopt::set_ipv6_v6only(&socket, true)?;
        }
        bound_buffers(&socket)?;
        if let Some(device) = device {
            bind_to_device(socket.as_fd(), device)?;
        }
        rustix::net::bind(&socket, &address)?;
        rustix::net::listen(&socket, BACKLOG)?;
        let bound = rustix::net::getsockname(&socket)?.try_into().unwrap_or(address);
        let door = if device.is_some() { Door::Tailnet } else { Door::Open };
        Ok(Listener { socket, address: Address::Tcp(bound), door })
    }
}

/// Bounds what the kernel buffers for each connection: accepted sockets inherit it. Without it each buffer may grow to
/// megabytes, which is memory too.
pub(super) fn bound_buffers(socket: &OwnedFd) -> rustix::io::Result<()> {
    sockopt::set_socket_recv_buffer_size(socket, SOCKET_BYTES)?;
    sockopt::set_socket_send_buffer_size(socket, SOCKET_BYTES)
}

/// Opens the listeners that `bind` asks for from the start. Loopback is 127.0.0.1, and ::1 where the machine has it.
///
/// # Errors
/// One sentence that names the fix.
pub fn open(bind: Bind, port: u16) -> Result<Vec<Listener>, String> {
    let first = match bind {
        Bind::Custom(address) => address,
        Bind::Lan => Ipv4Addr::UNSPECIFIED,
        // In a container its own network is all there is, and loopback would reach nobody.
        Bind::Auto if contained(Path::new("/")) => Ipv4Addr::UNSPECIFIED,
        // The tailnet's own listeners come when its interface does.
        Bind::Auto | Bind::Loopback | Bind::Tailnet => Ipv4Addr::LOCALHOST,
    };
    let listen = |address: IpAddr, port: u16| Listener::open(SocketAddr::new(address, port), None);
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
    let port = listener.address.tcp().map_or(port, |address| address.port());
    let mut listeners = vec![listener];
    if first == Ipv4Addr::LOCALHOST {
        match listen(Ipv6Addr::LOCALHOST.into(), port) {
            Ok(listener) => listeners.push(listener),
            Err(error) => ::log::debug!("listen_skipped address=[::1]:{port} error=\"{error}\""),
        }
    }
    Ok(listeners)
}

/// Whether the directory of the socket at `path` is there and closed to everybody else. `looks` says that it need not be ours.
///
/// # Errors
/// One sentence that names the fix.
pub fn closed(path: &Path, looks: bool) -> Result<(), String> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let shown = directory.display();
    let seen = Seen::at(directory).map_err(|error| {
        format!("{shown}: {error}; make this directory, with mode 0700, for the user running toolgate")
    })?;
    let own = [rustix::process::geteuid().as_raw(), 0].contains(&seen.owner);
    if seen.mode & 0o077 != 0 || !(own || looks) {
        return Err(format!(
            "{shown}: others can reach what is in it and pretend to be Tailscale Serve; chmod 700 {shown}"
        ));
    }
    Ok(())
}

/// Opens the Unix socket that Tailscale Serve comes to. What comes in there may claim to be anybody, so its directory must be
/// closed to everybody else; tailscaled, being root, connects all the same. A socket that a gateway left behind is removed.
///
/// # Errors
/// One sentence that names the fix.
///
/// Source: edge.md §0 item 4, §4 shape B.
pub fn open_serve(path: &Path) -> Result<Listener, String> {
    closed(path, false)?;
    let shown = path.display();
    let failed = |error: io::Error| format!("{shown}: {error}: the socket cannot be listened on");
    let address = SocketAddrUnix::new(path).map_err(|error| failed(error.into()))?;
    let make = || {
        rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )
    };
    let socket = make().map_err(|error| failed(error.into()))?;
    if std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket()) {
        if rustix::net::connect(&socket, &address).is_ok() {
            return Err(format!("{shown}: another program listens there, maybe another toolgate; stop it"));
        }
        _ = std::fs::remove_file(path);
    }
    let socket = make().map_err(|error| failed(error.into()))?;
    rustix::net::bind(&socket, &address).map_err(|error| failed(error.into()))?;
    rustix::net::listen(&socket, BACKLOG).map_err(|error| failed(error.into()))?;
    Ok(Listener { socket, address: Address::Unix(path.to_owned()), door: Door::Serve })
}

/// Whether the system below `root` is the inside of a container. Source: contract http.md §2.9.
pub fn contained(root: &Path) -> bool {
    let marks = [".dockerenv", "run/.containerenv", "var/run/.containerenv"];
    let words = ["docker", "containerd", "kubepods", "lxc"];
    let cgroups = std::fs::read_to_string(root.join("proc/1/cgroup")).unwrap_or_default();
    marks.into_iter().any(|mark| root.join(mark).exists()) || words.into_iter().any(|word| cgroups.contains(word))
}

/// The addresses they listen on.
pub fn addresses(listeners: &[Listener]) -> Vec<SocketAddr> {
    listeners.iter().filter_map(|listener| listener.address.tcp()).collect()
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
        // Whoever comes through Tailscale Serve comes from one place. Half of the places are left to others.
        let most = if peer.is_unspecified() { self.most / 2 } else { self.most_per_peer };
        match taken.iter_mut().find(|(known, _)| *known == peer) {
            Some((_, count)) if *count >= most => return Err(Fault::ConnectionsFullForPeer),
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
    listener: Watched<OwnedFd>,
    door: Door,
    reactor: Rc<Reactor>,
    shared: Rc<Shared<S>>,
    seats: Rc<Seats>,
    executor: Rc<LocalExecutor<'static>>,
) {
    let refused = Rc::new(());
    let mut exhausted = false;
    loop {
        poll_fn(|cx| listener.poll_readable(cx)).await;
        let (stream, from) = match take(listener.get_ref(), door, &reactor) {
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
        if !shared.service.welcomes(from, stream.get_ref().as_fd()) {
            continue;
        }
        let shared = Rc::clone(&shared);
        match seats.take(from.peer()) {
            Ok(seat) => {
                let task = async move {
                    http::serve(shared, stream, from).await;
                    drop(seat);
                };
                executor.spawn(task).detach();
            }
            Err(fault) => {
                let answer = fault.answer();
                shared.service.note(&answer, from.peer());
                if Rc::strong_count(&refused) <= CONNECTIONS_REFUSED {
                    let guard = Rc::clone(&refused);
                    let task: Job = Box::pin(async move {
                        http::turn_away(shared, stream, from, answer).await;
                        drop(guard);
                    });
                    executor.spawn(task).detach();
                }
            }
        }
    }
}

/// Takes one connection from the kernel's queue.
fn take(listener: &OwnedFd, door: Door, reactor: &Rc<Reactor>) -> io::Result<(Watched<OwnedFd>, Arrival)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (stream, address) = rustix::net::acceptfrom_with(listener, flags)?;
    let from = address.and_then(|address| SocketAddr::try_from(address).ok());
    // A peer that is already gone has no address: it reads as broken at once. Nor has one at a Unix socket.
    let from = from.unwrap_or((Ipv4Addr::UNSPECIFIED, 0).into());
    if door != Door::Serve {
        _ = sockopt::set_tcp_nodelay(&stream, true);
    }
    let from = SocketAddr::new(from.ip().to_canonical(), from.port());
    Ok((reactor.watch(stream)?, Arrival { from, door }))
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
    fn containers_are_known_by_their_marks() {
        let root = std::env::temp_dir().join(format!("toolgate-contained-{}", std::process::id()));
        let check = |file: &str, text: &str, expected: bool| {
            let place = root.join(file);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::fs::write(&place, text).unwrap();
            assert_eq!(contained(&root), expected, "{file} {text}");
            std::fs::remove_dir_all(&root).unwrap();
        };
        check("proc/1/cgroup", "0::/init.scope\n", false);
        check("proc/1/cgroup", "1:name=systemd:/docker/abc\n", true);
        check("proc/1/cgroup", "0::/kubepods/besteffort\n", true);
        check(".dockerenv", "", true);
        check("run/.containerenv", "", true);
    }

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

    #[test]
    fn serve_takes_half_of_the_seats() {
        let seats = Seats::new(6, 1);
        let serve = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        let taken: Vec<Seat> = (0..3).map(|_| seats.take(serve).unwrap()).collect();
        assert_eq!(seats.take(serve).unwrap_err(), Fault::ConnectionsFullForPeer);
        assert!(seats.take(Ipv4Addr::LOCALHOST.into()).is_ok());
        drop(taken);
    }
}
