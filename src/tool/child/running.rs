//! A child that runs → how it ended, and what it printed. One state machine that is polled; its owner may drop it.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_signal::{Signal as Caught, Signals};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process_group, pidfd_open, waitid, waitpid,
};
use smol::stream::Stream as _;

use super::super::watch::{self, Alarm, Watched, Way};
use super::birth::{self, Born, Plan};
use super::orphans::known;
use super::output::{Keeper, Kept};
use super::{End, Nursery, Progress, Stream};
use crate::limits::{CHILD_DRAIN_BYTES, CHILD_GRACE, CHILD_PIECES, CHILD_READ_BYTES, CHILD_REAP};

/// What tells that a child has ended.
enum Watch {
    Pidfd(Box<dyn Watched>),
    /// Linux before 5.3: a signal tells that some child has ended.
    Signals(Signals),
}

impl Watch {
    fn new(pid: Pid, pidfd: bool) -> Option<Watch> {
        let pidfd = if pidfd { pidfd_open(pid, PidfdFlags::empty()).ok() } else { None };
        let pidfd = pidfd.and_then(|pidfd| watch::descriptor(pidfd).ok());
        pidfd.map(Watch::Pidfd).or_else(|| Signals::new([Caught::Child]).ok().map(Watch::Signals))
    }

    /// Whether it is worth asking again whether the child has ended; if not, `cx` is woken when it is.
    fn rings(&mut self, cx: &mut Context<'_>) -> bool {
        match self {
            Watch::Pidfd(pidfd) => pidfd.poll_retry(Way::Read, cx).is_ready(),
            Watch::Signals(signals) => matches!(Pin::new(signals).poll_next(cx), Poll::Ready(Some(Ok(_)))),
        }
    }
}

/// What the child is to read, as far as it has not.
struct Feed {
    pipe: Box<dyn Watched>,
    bytes: Vec<u8>,
    at: usize,
}

/// What the child prints to one stream.
struct Drain {
    /// `None` when it was closed at the other end.
    pipe: Option<Box<dyn Watched>>,
    keeper: Keeper,
}

/// How far its end is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It may run until its deadline.
    Free,
    /// It was asked to end.
    Asked,
    /// It was killed.
    Killed,
}

/// A running child: it is known as a root until it is reaped here.
pub(super) struct Running {
    nursery: Rc<Nursery>,
    pid: Pid,
    reaped: bool,
    watch: Watch,
    stdin: Option<Feed>,
    /// Output and error output.
    drains: [Drain; 2],
    stage: Stage,
    alarm: Alarm,
    pub timed_out: bool,
}

impl Running {
    /// Starts what `plan` says.
    ///
    /// # Errors
    /// One sentence about why it could not start.
    pub(super) fn start(nursery: &Rc<Nursery>, plan: Plan) -> Result<Running, String> {
        // Held, so that nobody takes the child for an orphan before it is known.
        let mut known = known();
        let Born { pid, stdin, streams } = birth::start(&plan, &nursery.common)?;
        let Some(watch) = Watch::new(pid, nursery.pidfd.get()) else {
            // Not known, so it is an orphan to whoever sweeps next.
            _ = kill_process_group(pid, Signal::KILL);
            return Err(String::from("too many files are open"));
        };
        known.roots.push(pid);
        nursery.running.borrow_mut().push(pid);
        Ok(Running {
            nursery: Rc::clone(nursery),
            pid,
            reaped: false,
            watch,
            stdin: stdin.map(|pipe| Feed { pipe, bytes: plan.stdin, at: 0 }),
            drains: streams.map(|pipe| Drain { pipe: Some(pipe), keeper: Keeper::new(plan.output_bytes) }),
            stage: Stage::Free,
            alarm: watch::alarm(plan.timeout),
            timed_out: false,
        })
    }

    /// Asks the whole group to end, whatever time it had left. Nobody wants what it printed any more.
    pub(super) fn stop(&mut self) {
        for drain in &mut self.drains {
            drain.keeper = Keeper::new(0);
        }
        if self.stage == Stage::Free {
            self.step(Stage::Asked, Signal::TERM, CHILD_GRACE);
        }
    }

    /// What was kept of output and error output.
    pub(super) fn kept(&mut self) -> [Kept; 2] {
        self.drains.each_mut().map(|drain| std::mem::replace(&mut drain.keeper, Keeper::new(0)).finish())
    }

    fn step(&mut self, stage: Stage, signal: Signal, patience: Duration) {
        _ = kill_process_group(self.pid, signal);
        self.stage = stage;
        self.alarm = watch::alarm(patience);
    }

    /// Moves bytes, ends the child when its time is over, and is ready when it was reaped; with `None` if it is still
    /// there a while after it was killed.
    pub(super) fn turn(&mut self, cx: &mut Context<'_>, progress: Progress<'_>) -> Poll<Option<End>> {
        let mut busy = feed(&mut self.stdin, cx);
        for (drain, stream) in self.drains.iter_mut().zip([Stream::Out, Stream::Err]) {
            busy |= drain.read(Some(cx), CHILD_PIECES, stream, progress);
        }
        if let Poll::Ready(end) = self.reap(cx, progress) {
            return Poll::Ready(Some(end));
        }
        while self.alarm.as_mut().poll(cx).is_ready() {
            match self.stage {
                Stage::Free => {
                    self.timed_out = true;
                    self.step(Stage::Asked, Signal::TERM, CHILD_GRACE);
                }
                Stage::Asked => self.step(Stage::Killed, Signal::KILL, CHILD_REAP),
                Stage::Killed => return Poll::Ready(None),
            }
        }
        if busy {
            // There is more, but it is others' turn.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn reap(&mut self, cx: &mut Context<'_>, progress: Progress<'_>) -> Poll<End> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        // A descriptor tells also of an end before it was watched. A signal does not, so the kernel is asked first.
        if matches!(self.watch, Watch::Pidfd(_)) && !self.watch.rings(cx) {
            return Poll::Pending;
        }
        while let Ok(None) = waitid(WaitId::Pid(self.pid), options) {
            if !self.watch.rings(cx) {
                return Poll::Pending;
            }
        }
        // Before it is reaped, so that the group's number is still its own.
        _ = kill_process_group(self.pid, Signal::KILL);
        // What its group leaves behind may hold the pipes open: what is in them is all there will be.
        for (drain, stream) in self.drains.iter_mut().zip([Stream::Out, Stream::Err]) {
            drain.read(None, CHILD_DRAIN_BYTES / CHILD_READ_BYTES, stream, progress);
        }
        let status = waitpid(Some(self.pid), WaitOptions::NOHANG).ok().flatten().map(|(_, status)| status);
        self.forget();
        Poll::Ready(match status.map(|status| (status.exit_status(), status.terminating_signal())) {
            Some((Some(code), _)) => End::Code(code),
            Some((_, Some(signal))) => End::Signal(signal),
            // Reaped behind our back, which nothing here does.
            _ => End::Signal(Signal::KILL.as_raw()),
        })
    }

    fn forget(&mut self) {
        self.reaped = true;
        known().roots.retain(|pid| *pid != self.pid);
        self.nursery.running.borrow_mut().retain(|pid| *pid != self.pid);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.reaped {
            // The program ends, or even SIGKILL did not end it. Whoever sweeps next finds an orphan.
            _ = kill_process_group(self.pid, Signal::KILL);
            self.forget();
        }
    }
}

impl Drain {
    /// Reads what is there, `pieces` at most, and waits with `cx` for more; whether there may be more already.
    fn read(
        &mut self,
        mut cx: Option<&mut Context<'_>>,
        pieces: usize,
        stream: Stream,
        progress: Progress<'_>,
    ) -> bool {
        if self.pipe.is_none() {
            return false;
        }
        let mut piece = [0; CHILD_READ_BYTES];
        for _ in 0..pieces {
            let Some(pipe) = &self.pipe else { return false };
            match rustix::io::read(pipe.fd(), &mut piece) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if cx.as_mut().is_some_and(|cx| pipe.poll_retry(Way::Read, cx).is_ready()) => {}
                Err(Errno::AGAIN) => return false,
                Ok(count) if count > 0 => {
                    let piece = piece.get(..count).unwrap_or_default();
                    self.keeper.take(piece);
                    if let Some(progress) = progress {
                        progress(stream, piece);
                    }
                }
                _ => self.pipe = None,
            }
        }
        true
    }
}

/// Writes what the child takes, and closes its input when it has all; whether it may take more already.
fn feed(stdin: &mut Option<Feed>, cx: &mut Context<'_>) -> bool {
    for _ in 0..CHILD_PIECES {
        let Some(feed) = stdin else { return false };
        let rest = feed.bytes.get(feed.at..).unwrap_or_default();
        match rustix::io::write(feed.pipe.fd(), rest) {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if feed.pipe.poll_retry(Way::Write, cx).is_ready() => {}
            Err(Errno::AGAIN) => return false,
            Ok(count) if count < rest.len() => feed.at = feed.at.saturating_add(count),
            // All of it, or the child does not want the rest.
            _ => *stdin = None,
        }
    }
    true
}
