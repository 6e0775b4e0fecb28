//! One socket of our own towards the world, and the moment at which whatever it does has taken too long.
//!
//! Whoever waits on this thread waits for it too, so a call waits beside all others. Every kind of socket is the same
//! type here: the machine code exists once.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::task::Poll;
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

use super::watch::{self, Watched, Way};

const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// A socket with a deadline.
pub(super) struct Pipe {
    io: Box<dyn Watched>,
    /// When waiting ends with [`io::ErrorKind::TimedOut`].
    pub until: Instant,
}

impl Pipe {
    /// A socket that is being connected to `to`. One for datagrams is at once, and hears nobody else.
    ///
    /// # Errors
    /// When the kernel has none of that kind, or none for us, or says at once that there is no way.
    pub(super) fn open(
        to: SocketAddr,
        kind: SocketType,
        protocol: Option<Protocol>,
        until: Instant,
    ) -> io::Result<Pipe> {
        let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = rustix::net::socket_with(family, kind, FLAGS, protocol)?;
        match rustix::net::connect(&socket, &to) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Pipe { io: watch::descriptor(socket)?, until })
    }

    /// A stream to whoever listens at `path`, connected at once: nothing is between the two but the kernel. Where more
    /// wait than may, it says so instead of waiting ([`io::ErrorKind::WouldBlock`]).
    ///
    /// # Errors
    /// When nobody listens there, or what does is not for us.
    pub(super) fn local(path: &Path, until: Instant) -> io::Result<Pipe> {
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
        Ok(Pipe { io: watch::descriptor(socket)?, until })
    }

    /// Waits until a stream is connected.
    ///
    /// # Errors
    /// What the network says, or that it says nothing in time.
    pub(super) async fn connected(&self) -> io::Result<()> {
        self.ready(Way::Write).await?;
        Ok(rustix::net::sockopt::socket_error(self.io.fd())??)
    }

    /// Sends `bytes`, few enough for a socket that has sent nothing yet.
    ///
    /// # Errors
    /// What the network says.
    pub(super) fn put(&self, bytes: &[u8]) -> io::Result<()> {
        match rustix::net::send(self.io.fd(), bytes, SendFlags::NOSIGNAL) {
            Ok(sent) if sent == bytes.len() => Ok(()),
            Ok(_) => Err(io::ErrorKind::WriteZero.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// What the network says, or that the peer takes nothing in time.
    pub(super) async fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match rustix::net::send(self.io.fd(), bytes, SendFlags::NOSIGNAL) {
                Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
                Err(Errno::AGAIN) => self.ready(Way::Write).await?,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Reads what has come, or waits for it; 0 at the end of a stream.
    ///
    /// # Errors
    /// What the network says, or that nothing comes in time.
    pub(super) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // Also when bytes are always there: who sends without end must not outlast the deadline.
            if Instant::now() >= self.until {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match rustix::net::recv(self.io.fd(), &mut *buffer, RecvFlags::empty()) {
                Ok((length, _)) => return Ok(length),
                Err(Errno::AGAIN) => self.ready(Way::Read).await?,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn ready(&self, way: Way) -> io::Result<()> {
        let mut alarm = watch::alarm(self.until.saturating_duration_since(Instant::now()));
        poll_fn(|cx| match self.io.poll_retry(way, cx) {
            Poll::Pending => alarm.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
            Poll::Ready(()) => Poll::Ready(Ok(())),
        })
        .await
    }
}

/// What went wrong on the network, in words for a caller.
pub(super) fn said(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "the connection was broken off",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "no route to the host",
        io::ErrorKind::PermissionDenied => "this device does not permit it",
        io::ErrorKind::TimedOut => "no answer in time",
        _ => "the network failed",
    }
}
