//! A connection's bytes: read through one shared buffer, sent in one call where the peer takes them, fair to the others.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use rustix::io::Errno;
use rustix::net::Shutdown;

use super::deadline::{Deadline, Expired};
use super::http::{Service, Shared};
use super::listen::{Arrival, Door};
use super::reactor::Watched;
use crate::gate::tailnet::Caller;
use crate::limits::{LINGER_SECS, READ_BYTES};
use crate::wire::reply::CONTINUE;

/// Reads of one connection in a row before the others get their turn.
const READS_IN_A_ROW: u8 = 16;

/// Why nothing was read.
#[derive(Debug)]
pub(super) enum Unread {
    /// The stage ran out of time.
    Expired,
    /// The connection is broken.
    Gone,
}

/// A connection at work.
pub(super) struct Line<'s, S> {
    /// The deadline of the stage it is in.
    pub deadline: Deadline,
    /// Where it comes from.
    pub from: Cell<Arrival>,
    /// When it came, as the service counts.
    pub era: u16,
    /// What it shares with the others.
    pub shared: &'s Rc<Shared<S>>,
    stream: Watched<OwnedFd>,
    /// Reads since this connection last waited.
    turn: Cell<u8>,
}

impl<S: Service> Line<'_, S> {
    /// A connection that came as `from` over `stream`.
    pub fn new(shared: &Rc<Shared<S>>, stream: Watched<OwnedFd>, from: Arrival) -> Line<'_, S> {
        Line {
            deadline: shared.deadlines.deadline(),
            stream,
            from: Cell::new(from),
            era: shared.service.era(),
            shared,
            turn: Cell::new(0),
        }
    }

    /// The connection itself.
    pub fn stream(&self) -> BorrowedFd<'_> {
        self.stream.get_ref().as_fd()
    }

    /// That a connection brought a peer of the tailnet from the loopback stays with it.
    pub fn belongs(&self, caller: &Caller) {
        if caller.port != 0 {
            self.from.set(Arrival { door: Door::Carried, ..self.from.get() });
        }
    }

    /// Ready when something may be there to read.
    pub fn poll_readable(&self, cx: &Context<'_>) -> Poll<()> {
        self.stream.poll_readable(cx)
    }

    /// Sends both parts, in one call when the peer takes them.
    pub async fn send(&self, head: &[u8], content: &[u8]) -> Result<(), Unread> {
        let mut sent = 0;
        match self.deadline.watch(|cx| self.poll_send(cx, head, content, &mut sent)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(())) => Err(Unread::Gone),
            Err(Expired) => Err(Unread::Expired),
        }
    }

    /// Sends what is left of both parts after the first `sent` bytes.
    pub fn poll_send(&self, cx: &Context<'_>, head: &[u8], content: &[u8], sent: &mut usize) -> Poll<Result<(), ()>> {
        while *sent < head.len() + content.len() {
            let parts = [
                IoSlice::new(head.get(*sent..).unwrap_or_default()),
                IoSlice::new(content.get(sent.saturating_sub(head.len())..).unwrap_or_default()),
            ];
            match rustix::io::writev(self.stream.get_ref(), &parts) {
                Ok(0) => return Poll::Ready(Err(())),
                Ok(written) => *sent += written,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.stream.full();
                    if self.stream.poll_writable(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
                Err(_) => return Poll::Ready(Err(())),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once, through the buffer all connections share, and hands what came to `take`; nothing = the peer has finished.
    pub async fn read<T>(&self, most: usize, mut take: impl FnMut(&[u8]) -> T) -> Result<T, Unread> {
        self.deadline.watch(|cx| self.poll_read(cx, most, &mut take)).await.unwrap_or(Err(Unread::Expired))
    }

    /// One read, when there is something to read and it is this connection's turn.
    pub fn poll_read<T>(
        &self,
        cx: &Context<'_>,
        most: usize,
        mut take: impl FnMut(&[u8]) -> T,
    ) -> Poll<Result<T, Unread>> {
        loop {
            if self.stream.poll_readable(cx).is_pending() {
                self.turn.set(0);
                return Poll::Pending;
            }
            if self.turn.get() >= READS_IN_A_ROW {
                // The others get their turn before this peer, which sends faster than it is read, goes on.
                self.turn.set(0);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.turn.set(self.turn.get() + 1);
            let mut scratch = self.shared.scratch.borrow_mut();
            let room = most.min(scratch.len());
            let Some(buffer) = scratch.get_mut(..room) else { return Poll::Ready(Err(Unread::Gone)) };
            match rustix::io::read(self.stream.get_ref(), &mut *buffer) {
                Ok(length) => {
                    if length < room {
                        self.stream.drained();
                    }
                    return Poll::Ready(Ok(take(buffer.get(..length).unwrap_or_default())));
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.stream.drained(),
                Err(_) => return Poll::Ready(Err(Unread::Gone)),
            }
        }
    }

    /// The output of `work`, or nothing when the peer leaves before: its connection is broken. A peer that has only
    /// finished sending may still wait for its answer; one that `asks` may be asked is sent an interim answer once, which
    /// breaks the connection if nobody is there.
    ///
    /// Source: RFC 9110 §15.2 (a client takes interim answers it did not ask for), RFC 9293 §3.5.2 (the reset).
    pub async fn unless_left<F: Future>(&self, asks: bool, mut work: Pin<&mut F>) -> Option<F::Output> {
        let mut asked = !asks;
        poll_fn(|cx| {
            if let Poll::Ready(output) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            if self.stream.is_ending() && !asked {
                asked = true;
                // What cannot be sent now says nothing; the kernel will tell of a reset all the same.
                _ = rustix::io::write(self.stream.get_ref(), CONTINUE);
            }
            self.stream.poll_broken(cx).map(|()| None)
        })
        .await
    }

    /// Says that nothing more will be sent and throws away what still comes, so that no reset destroys the answer.
    ///
    /// Source: RFC 9112 §9.6.
    pub async fn linger(&self) {
        if rustix::net::shutdown(self.stream.get_ref(), Shutdown::Write).is_ok() && !self.shared.stopping.get() {
            self.deadline.rest(LINGER_SECS);
            while matches!(self.read(READ_BYTES, <[u8]>::len).await, Ok(length) if length > 0) {}
        }
    }
}
