//! Sockets that a service manager opened for us → listeners. Source: sd_listen_fds(3), systemd.socket(5).
//!
//! The manager puts them at descriptor 3 and behind, and says in the environment how many there are, for whom, and what
//! each is called. What is not what it should be stops the start: a gateway that listens elsewhere than its operator
//! believes is worse than none.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, sockopt};

use super::listen::{self, Address, Door, Listener};
use crate::config::Bind;
use crate::limits::DESCRIPTORS_RESERVED;
use crate::tool::inherit;

/// The name of the socket that `tailscale serve` connects to.
const SERVE: &str = "serve";

/// The number of the first. Source: sd_listen_fds(3), `SD_LISTEN_FDS_START`.
const FIRST: usize = 3;

/// So many there may be, of the descriptors that are kept for the program itself.
const MOST: usize = DESCRIPTORS_RESERVED / 2;

/// What was opened for this process; nothing where no manager did so, or did it for another process. To be asked once,
/// before this process opens anything itself: the second time there is nothing.
///
/// # Errors
/// One sentence that names the fix.
#[inline(never)]
pub fn sockets() -> Result<Vec<Listener>, String> {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let process = rustix::process::getpid().to_string();
    let Some(count) = count(&variable("LISTEN_PID"), &variable("LISTEN_FDS"), &process) else {
        let most = MOST.to_string();
        return Err(["socket activation: LISTEN_FDS must be a count of sockets, at most ", &most].concat());
    };
    let names = variable("LISTEN_FDNAMES");
    let (mut names, mut passed) = (names.split(':'), inherit(count).into_iter());
    let mut listeners = Vec::with_capacity(count);
    for descriptor in FIRST..FIRST + count {
        let name = names.next().unwrap_or_default();
        match passed.next().ok_or("nothing was passed there").and_then(|socket| admit(socket, name)) {
            Ok(listener) => listeners.push(listener),
            Err(what) => return Err(["socket activation: descriptor ", &descriptor.to_string(), ": ", what].concat()),
        }
    }
    Ok(listeners)
}

/// How many sockets there are for this process; `None` when nobody can tell.
fn count(whose: &str, count: &str, process: &str) -> Option<usize> {
    if whose != process || count.is_empty() {
        return Some(0);
    }
    count.parse().ok().filter(|number| *number <= MOST)
}

/// Looks at what was passed.
fn admit(socket: OwnedFd, name: &str) -> Result<Listener, &'static str> {
    match (sockopt::socket_type(&socket), sockopt::socket_acceptconn(&socket)) {
        (Ok(SocketType::STREAM), Ok(true)) => {}
        (Ok(SocketType::STREAM), _) => return Err("it is a connection, not a socket that listens; set Accept=no"),
        (Ok(_), _) => return Err("it is no stream socket; only ListenStream= is served"),
        (Err(_), _) => return Err("it is no socket; only ListenStream= is served"),
    }
    // The loop never waits for one socket alone.
    rustix::io::ioctl_fionbio(&socket, true).map_err(|_| "it cannot be made non-blocking")?;
    match sockopt::socket_domain(&socket) {
        Ok(AddressFamily::INET | AddressFamily::INET6) => {
            listen::bound_buffers(&socket).map_err(|_| "its buffers cannot be bounded")?;
            // Without its address nobody could say who reaches it.
            let address = rustix::net::getsockname(&socket).and_then(SocketAddr::try_from);
            let address = Address::Tcp(address.map_err(|_| "it has no address")?);
            Ok(Listener { socket, address, door: Door::Open })
        }
        Ok(AddressFamily::UNIX) if name == SERVE => {
            let address = rustix::net::getsockname(&socket).ok().and_then(|any| SocketAddrUnix::try_from(any).ok());
            let path = address.and_then(|address| Some(PathBuf::from(OsStr::from_bytes(address.path_bytes()?))));
            // A name without a file is nobody's to protect.
            let address = Address::Unix(path.ok_or("its address is no path; name a file in a directory of mode 0700")?);
            Ok(Listener { socket, address, door: Door::Serve })
        }
        Ok(AddressFamily::UNIX) => {
            Err("it is a Unix socket, and only the one of `tailscale serve` is one; set FileDescriptorName=serve")
        }
        _ => Err("it is of no family that is served here; only TCP and Unix sockets are"),
    }
}

/// What `bind` would have to say for others to reach us as they do through these: whatever may be served there may be
/// served here, and nothing else.
pub fn reach(listeners: &[Listener]) -> Bind {
    let own = |address: &SocketAddr| address.ip().to_canonical().is_loopback();
    if listen::addresses(listeners).iter().all(own) { Bind::Loopback } else { Bind::Lan }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    #[test]
    fn sockets_are_for_the_process_that_is_named() {
        let check = |whose: &str, said: &str, expected: Option<usize>| {
            assert_eq!(count(whose, said, "7"), expected, "{whose} {said}");
        };
        check("7", "2", Some(2));
        check("7", "8", Some(MOST));
        for (whose, said) in [("", "2"), ("8", "2"), ("", "x"), ("7 ", "2"), ("7", "")] {
            check(whose, said, Some(0));
        }
        for said in ["-1", "9", "2 ", "x", "99999999999999999999"] {
            check("7", said, None);
        }
    }

    #[test]
    fn only_what_can_be_served_is_admitted() {
        let check = |socket: OwnedFd, name: &str, expected: Result<&str, &str>| {
            let kind = admit(socket, name).map(|listener| match listener.address {
                Address::Unix(_) => "serve",
                Address::Tcp(_) => "tcp",
            });
            match expected {
                Ok(_) => assert_eq!(kind, expected),
                Err(word) => assert!(kind.is_err_and(|what| what.contains(word)), "{kind:?} says nothing of {word}"),
            }
        };
        let tcp = |address: &str| TcpListener::bind(address).unwrap();
        let unix = || {
            let flags = rustix::net::SocketFlags::CLOEXEC;
            let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
            // The kernel finds a free name for it.
            rustix::net::bind(&socket, &rustix::net::SocketAddrUnix::new_unnamed()).unwrap();
            rustix::net::listen(&socket, 1).unwrap();
            socket
        };
        check(tcp("127.0.0.1:0").into(), "", Ok("tcp"));
        check(tcp("127.0.0.1:0").into(), "serve", Ok("tcp"));
        let path = std::env::temp_dir().join(format!("toolgate-activation-{}", std::process::id()));
        check(UnixListener::bind(&path).unwrap().into(), "serve", Ok("serve"));
        std::fs::remove_file(path).unwrap();
        check(unix(), "serve", Err("no path"));
        check(unix(), "toolgate.socket", Err("FileDescriptorName=serve"));
        check(UnixStream::pair().unwrap().0.into(), "serve", Err("Accept=no"));
        check(UnixDatagram::unbound().unwrap().into(), "serve", Err("ListenStream="));
        check(UdpSocket::bind("127.0.0.1:0").unwrap().into(), "", Err("ListenStream="));
        check(std::fs::File::open("/dev/null").unwrap().into(), "", Err("no socket"));
        let listener = tcp("127.0.0.1:0");
        let theirs = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        check(theirs.into(), "", Err("Accept=no"));
    }

    #[test]
    fn they_reach_as_far_as_the_farthest() {
        let check = |addresses: &[&str], expected: Bind| {
            let listeners = addresses.iter().map(|a| admit(TcpListener::bind(a).unwrap().into(), "").unwrap());
            let listeners: Vec<Listener> = listeners.collect();
            assert_eq!(reach(&listeners), expected, "{addresses:?}");
        };
        check(&["127.0.0.1:0"], Bind::Loopback);
        check(&["127.0.0.9:0", "127.0.0.1:0"], Bind::Loopback);
        check(&["127.0.0.1:0", "0.0.0.0:0"], Bind::Lan);
    }
}
