//! Who waits, on this thread, for descriptors and for moments.
//!
//! In a gateway its own loop does, which is entered here as a [`Watch`]: this room knows no loop. Where none is entered, on
//! a command line or in a unit test, async-io does. To whoever waits that is the same, but its helper thread is woken by
//! each event, then arms a timer and a notifier again and rings for the loop: some 20 of the 62 system calls that a
//! declared command cost a gateway.
//!
//! One thread has one loop, as async-io has one reactor; so what is entered stands once a thread, not in a
//! [`Host`](super::Host), and what opens a socket need not know which host it does that for.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_io::{Async, Timer};

/// Is ready when its moment has come. Polled no more after that.
pub type Alarm = Pin<Box<dyn Future<Output = ()>>>;

/// What waits for descriptors and moments.
pub trait Watch {
    /// Waits for `fd` from now on; non-blocking, if anybody reads or writes it.
    ///
    /// # Errors
    /// When the kernel cannot watch one more descriptor.
    fn watch(&self, fd: OwnedFd) -> io::Result<Box<dyn Watched>>;
    /// An alarm that rings after `span`.
    fn alarm(&self, span: Duration) -> Alarm;
}

/// What somebody wants to do with a descriptor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Read it, or see that it has ended.
    Read,
    /// Write it.
    Write,
}

/// A descriptor that is waited for.
pub trait Watched {
    /// The descriptor itself.
    fn fd(&self) -> BorrowedFd<'_>;
    /// Ready when it may be worth trying again: once for each event since it is watched, and now and then for none. So
    /// whoever asks has tried until the kernel said that it would block, or waits for the first event of all.
    fn poll_retry(&self, way: Way, cx: &mut Context<'_>) -> Poll<()>;
}

thread_local! {
    static WATCH: RefCell<Option<Rc<dyn Watch>>> = const { RefCell::new(None) };
}

/// Enters what waits on this thread from now on; `None` leaves that to async-io.
pub fn enter(watch: Option<Rc<dyn Watch>>) {
    WATCH.set(watch);
}

/// Waits for `fd`, which is non-blocking if anybody reads or writes it.
///
/// # Errors
/// When the kernel cannot watch one more descriptor.
pub(super) fn descriptor(fd: OwnedFd) -> io::Result<Box<dyn Watched>> {
    WATCH.with_borrow(|watch| match watch {
        Some(watch) => watch.watch(fd),
        None => Async::new_nonblocking(fd).map(|fd| Box::new(fd) as Box<dyn Watched>),
    })
}

/// An alarm that rings after `span`.
pub(super) fn alarm(span: Duration) -> Alarm {
    WATCH.with_borrow(|watch| match watch {
        Some(watch) => watch.alarm(span),
        None => Box::pin(async move { _ = Timer::after(span).await }),
    })
}

impl Watched for Async<OwnedFd> {
    fn fd(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }

    fn poll_retry(&self, way: Way, cx: &mut Context<'_>) -> Poll<()> {
        let ready = if way == Way::Write { self.poll_writable(cx) } else { self.poll_readable(cx) };
        // A descriptor that cannot be waited for is none that is ready: whoever waits has an alarm beside it.
        if matches!(ready, Poll::Ready(Ok(()))) { Poll::Ready(()) } else { Poll::Pending }
    }
}
