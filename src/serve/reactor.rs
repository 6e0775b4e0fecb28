//! One epoll instance and the loop around it: sockets become ready, deadlines pass, tasks run; all on one thread.
//!
//! Sockets are registered once, edge-triggered, so a request on a kept connection costs one wait and no registration.
//! async-io's reactor, which signals and the gateway's own timers still use, re-arms a timer, a notifier and the socket
//! around every wait and shares the waiting with a thread of its own: 9 system calls a request with one connection and
//! 14 with sixteen, against 4 here (tests/bench). That difference, on the smallest machines, is why this file exists.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec};

use super::deadline::Deadlines;
use crate::limits::EVENTS_AT_ONCE;
use crate::tool::watch::{self, Alarm, Watch, Way};

/// The bell's place among the sources.
const BELL: u64 = u64::MAX;

/// Wakes the loop. Rung from this thread it only leaves a mark; from another, while the loop sleeps, it costs a write.
#[derive(Debug)]
struct Bell {
    rung: AtomicBool,
    asleep: AtomicBool,
    event: OwnedFd,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::SeqCst) && self.asleep.load(Ordering::SeqCst) {
            // It fails only when it has been rung 2^64 - 2 times without being heard.
            _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
        }
    }
}

/// What is known of one socket.
#[derive(Debug, Default)]
struct Source {
    readable: Cell<bool>,
    writable: Cell<bool>,
    /// The peer has finished, or the connection is broken: reads will say so, and no further event will.
    ending: Cell<bool>,
    /// Nothing goes in either direction any more.
    broken: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    writer: RefCell<Option<Waker>>,
}

impl Source {
    fn happen(&self, flags: EventFlags) {
        let broken = flags.intersects(EventFlags::ERR | EventFlags::HUP);
        if broken {
            self.broken.set(true);
        }
        if broken || flags.intersects(EventFlags::RDHUP) {
            self.ending.set(true);
        }
        if self.ending.get() || flags.contains(EventFlags::IN) {
            self.readable.set(true);
            wake(&self.reader);
        }
        if broken || flags.contains(EventFlags::OUT) {
            self.writable.set(true);
            wake(&self.writer);
        }
    }
}

fn wake(waker: &RefCell<Option<Waker>>) {
    if let Some(waker) = waker.borrow_mut().take() {
        waker.wake();
    }
}

fn keep(kept: &RefCell<Option<Waker>>, cx: &Context<'_>) {
    let mut kept = kept.borrow_mut();
    if !kept.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
        *kept = Some(cx.waker().clone());
    }
}

/// The epoll instance and what is registered with it.
#[derive(Debug)]
pub struct Reactor {
    epoll: OwnedFd,
    bell: Arc<Bell>,
    sources: RefCell<Vec<Option<Rc<Source>>>>,
}

impl Reactor {
    /// A reactor with nothing registered.
    ///
    /// # Errors
    /// When the kernel has no descriptors left.
    pub fn new() -> io::Result<Rc<Reactor>> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let event = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &event, EventData::new_u64(BELL), EventFlags::IN | EventFlags::ET)?;
        let bell = Bell { rung: AtomicBool::default(), asleep: AtomicBool::default(), event };
        Ok(Rc::new(Reactor { epoll, bell: Arc::new(bell), sources: RefCell::default() }))
    }

    /// Watches `io`, which must be non-blocking.
    ///
    /// # Errors
    /// When the kernel cannot watch one more descriptor.
    pub fn watch<T: AsFd>(self: &Rc<Self>, io: T) -> io::Result<Watched<T>> {
        let place = self.register(io.as_fd())?;
        Ok(Watched { place, io })
    }

    /// Not generic: its machine code exists once.
    fn register(self: &Rc<Self>, io: BorrowedFd<'_>) -> io::Result<Place> {
        let source = Rc::new(Source::default());
        let mut sources = self.sources.borrow_mut();
        let place = sources.iter().position(Option::is_none).unwrap_or(sources.len());
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, io, EventData::new_u64(place as u64), flags)?;
        match sources.get_mut(place) {
            Some(free) => *free = Some(Rc::clone(&source)),
            None => sources.push(Some(Rc::clone(&source))),
        }
        Ok(Place { source, number: place, reactor: Rc::clone(self) })
    }

    /// Runs `future` to its end. In between, sockets become ready and `deadlines` pass; `noticed` is told how late each.
    pub fn run<T>(&self, future: impl Future<Output = T>, deadlines: &Deadlines, noticed: impl Fn(Duration)) -> T {
        let waker = Waker::from(Arc::clone(&self.bell));
        let mut cx = Context::from_waker(&waker);
        let mut future = pin!(future);
        let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
        loop {
            self.bell.rung.store(false, Ordering::SeqCst);
            if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
                return output;
            }
            self.bell.asleep.store(true, Ordering::SeqCst);
            let timeout =
                if self.bell.rung.load(Ordering::SeqCst) { Some(Timespec::default()) } else { until(deadlines.next()) };
            events.clear();
            // Interrupted by a signal, or nothing happened: the loop looks around again in either case.
            _ = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref());
            self.bell.asleep.store(false, Ordering::SeqCst);
            for event in &events {
                let epoll::Event { flags, data } = *event;
                self.happen(data.u64(), flags);
            }
            deadlines.expire(&noticed);
        }
    }

    fn happen(&self, place: u64, flags: EventFlags) {
        if place == BELL {
            _ = rustix::io::read(&self.bell.event, &mut [0; 8]);
            return;
        }
        let source = usize::try_from(place).ok().and_then(|place| self.sources.borrow().get(place).cloned().flatten());
        if let Some(source) = source {
            source.happen(flags);
        }
    }
}

/// The time until `next`, for a wait.
fn until(next: Option<Instant>) -> Option<Timespec> {
    let span = next?.saturating_duration_since(Instant::now());
    Some(Timespec { tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX), tv_nsec: span.subsec_nanos().into() })
}

/// A place among the sources, free again when dropped.
#[derive(Debug)]
struct Place {
    source: Rc<Source>,
    number: usize,
    reactor: Rc<Reactor>,
}

/// A socket that the reactor watches.
#[derive(Debug)]
pub struct Watched<T> {
    place: Place,
    io: T,
}

impl<T> Watched<T> {
    /// The socket itself.
    pub fn get_ref(&self) -> &T {
        &self.io
    }

    /// Ready when the socket may have something to read, or has come to its end.
    pub fn poll_readable(&self, cx: &Context<'_>) -> Poll<()> {
        if self.place.source.readable.get() {
            return Poll::Ready(());
        }
        keep(&self.place.source.reader, cx);
        Poll::Pending
    }

    /// Whether the peer has finished sending, or the connection is broken.
    pub fn is_ending(&self) -> bool {
        self.place.source.ending.get()
    }

    /// Ready when the connection is broken. Whoever waits for this does not wait to read.
    pub fn poll_broken(&self, cx: &Context<'_>) -> Poll<()> {
        if self.place.source.broken.get() {
            return Poll::Ready(());
        }
        keep(&self.place.source.reader, cx);
        Poll::Pending
    }

    /// Ready when the socket may take something.
    pub fn poll_writable(&self, cx: &Context<'_>) -> Poll<()> {
        if self.place.source.writable.get() {
            return Poll::Ready(());
        }
        keep(&self.place.source.writer, cx);
        Poll::Pending
    }

    /// Says that a read took all there was. A socket that is ending stays readable, because nothing will wake it again.
    pub fn drained(&self) {
        if !self.place.source.ending.get() {
            self.place.source.readable.set(false);
        }
    }

    /// Says that a write would block.
    pub fn full(&self) {
        self.place.source.writable.set(false);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Closing the descriptor takes it out of the epoll instance.
        let mut sources = self.reactor.sources.borrow_mut();
        if let Some(place) = sources.get_mut(self.number) {
            *place = None;
        }
        while matches!(sources.last(), Some(None)) {
            sources.pop();
        }
    }
}

/// What tools wait with: this reactor, and the deadlines its loop looks at.
struct Loop {
    reactor: Rc<Reactor>,
    deadlines: Rc<Deadlines>,
}

/// Lets tools wait on this thread until [`leave`].
pub(super) fn enter(reactor: &Rc<Reactor>, deadlines: &Rc<Deadlines>) {
    watch::enter(Some(Rc::new(Loop { reactor: Rc::clone(reactor), deadlines: Rc::clone(deadlines) })));
}

/// The loop has ended: nobody would hear of anything any more.
pub(super) fn leave() {
    watch::enter(None);
}

impl Watch for Loop {
    fn watch(&self, fd: OwnedFd) -> io::Result<Box<dyn watch::Watched>> {
        Ok(Box::new(self.reactor.watch(fd)?))
    }

    fn alarm(&self, span: Duration) -> Alarm {
        let deadline = self.deadlines.deadline();
        deadline.start(span);
        Box::pin(deadline)
    }
}

impl watch::Watched for Watched<OwnedFd> {
    fn fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }

    fn poll_retry(&self, way: Way, cx: &mut Context<'_>) -> Poll<()> {
        let source = &self.place.source;
        let (happened, waker) = match way {
            Way::Read => (&source.readable, &source.reader),
            Way::Write => (&source.writable, &source.writer),
        };
        // Taken even when it is ending: it was tried before, so whatever comes after that is an event of its own.
        if happened.take() {
            return Poll::Ready(());
        }
        keep(waker, cx);
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::child;
    use crate::tool::fixture::{bare, heir};
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn sockets_become_ready_and_ends_are_not_missed() {
        let reactor = Reactor::new().unwrap();
        let deadlines = Deadlines::default();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let ours = reactor.watch(ours).unwrap();
        // Data and end arrive together: after the data is drained the end must still be seen.
        theirs.write_all(b"x").unwrap();
        drop(theirs);
        let seen = reactor.run(
            async {
                let mut seen = Vec::new();
                loop {
                    std::future::poll_fn(|cx| ours.poll_readable(cx)).await;
                    let mut buffer = [0; 8];
                    let length = ours.get_ref().read(&mut buffer).unwrap();
                    ours.drained();
                    seen.push(length);
                    if length == 0 {
                        return seen;
                    }
                }
            },
            &deadlines,
            |_| (),
        );
        assert_eq!(seen, [1, 0]);
        drop(ours);
        assert!(reactor.sources.borrow().is_empty());
    }

    /// Runs `line` as a tool would, on the loop, for so many seconds at most.
    fn child(stdin: &[u8], line: &str, most: u64) -> child::Report {
        let host = bare(&[]);
        let plan = child::Plan {
            argv: ["/bin/sh", "-c", line].map(String::from).into(),
            env: Vec::new(),
            cwd: String::from("/"),
            stdin: stdin.to_vec(),
            user: None,
            rlimits: child::Rlimits { processes: None, ..Default::default() },
            output_bytes: EVENTS_AT_ONCE,
            timeout: Duration::from_secs(most),
            turns: None,
        };
        heir();
        let (reactor, deadlines) = (Reactor::new().unwrap(), Rc::default());
        enter(&reactor, &deadlines);
        let report = reactor.run(child::run(&host, plan, None), &deadlines, |_| ()).unwrap();
        leave();
        assert!(reactor.sources.borrow().is_empty() && deadlines.next().is_none_or(|next| next > Instant::now()));
        report
    }

    #[test]
    fn tools_wait_on_the_loop() {
        let check = |stdin: &[u8], line: &str, end: child::End, total: u64| {
            let late = matches!(end, child::End::Signal(_));
            let report = child(stdin, line, if late { 2 } else { 60 });
            assert_eq!((report.end, report.stdout.total, report.timed_out), (end, total, late), "{line}");
        };
        check(b"", "exit 7", child::End::Code(7), 0);
        check(b"", "exec >&- 2>&-; sleep 0.1; exit 7", child::End::Code(7), 0);
        check(b"", "for n in 1 2 3; do echo $n; sleep 0.01; done", child::End::Code(0), 6);
        check(b"", "sleep 1000 & echo a", child::End::Code(0), 2);
        check(&[b'x'; 300_000], "sleep 0.1; cat", child::End::Code(0), 300_000);
        check(&[b'x'; 300_000], "sleep 0.1; exit 3", child::End::Code(3), 0);
        check(b"", "echo a; exec sleep 1000", child::End::Signal(15), 2);
    }

    #[test]
    fn another_thread_wakes_the_loop() {
        let reactor = Reactor::new().unwrap();
        let (sender, receiver) = smol::channel::bounded(1);
        let thread = std::thread::spawn(move || sender.send_blocking(7));
        assert_eq!(reactor.run(receiver.recv(), &Deadlines::default(), |_| ()), Ok(7));
        assert_eq!(thread.join().unwrap(), Ok(()));
    }
}
