//! A program and its arguments → how it ended and what it printed. No process survives its call.
//!
//! A child has a group of its own, an environment, limits and a deadline; `birth` starts it, `running` moves its bytes and
//! sees it end, `orphans` ends what it leaves behind. Whoever waits for it may go away at any moment: then a task of the
//! [`Host`] ends it.
//!
//! No thread is started, and none of the crates for child processes is used: `kernel` says what starting one any other
//! way costs.

mod birth;
#[cfg(test)]
mod ends;
mod orphans;
mod output;
mod running;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process_group};

pub use birth::{Identity, Plan, Rlimits, identity};
pub use output::Kept;

use self::running::Running;
use super::host::Host;
use super::lane::Turns;
use super::{kernel, watch};
use crate::limits::{CHILD_GRACE, CHILD_REAP, SHUTDOWN_STEP};

/// Where a child prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Its error output.
    Err,
    /// Its output.
    Out,
}

impl Stream {
    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Stream::Err => "stderr",
            Stream::Out => "stdout",
        }
    }
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself, with that exit code.
    Code(i32),
    /// By that signal.
    Signal(i32),
}

/// What came of a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub end: End,
    /// What it printed.
    pub stdout: Kept,
    /// What it printed as errors.
    pub stderr: Kept,
    /// Whether it was ended at its deadline.
    pub timed_out: bool,
    /// Milliseconds from its start to its end.
    pub duration_ms: u64,
}

/// Who is told of each piece that a child prints, as it comes.
pub type Progress<'a> = Option<&'a dyn Fn(Stream, &[u8])>;

/// The children of one host.
#[derive(Debug)]
pub(super) struct Nursery {
    running: RefCell<Vec<Pid>>,
    /// The gateway stops: nothing starts any more.
    closed: Cell<bool>,
    /// Whether the kernel is asked for a descriptor that tells of the end; tests do without.
    pidfd: Cell<bool>,
    /// What the last child that started found to hold for all.
    common: RefCell<Option<birth::Common>>,
}

impl Default for Nursery {
    fn default() -> Nursery {
        Nursery {
            running: RefCell::default(),
            closed: Cell::new(false),
            pidfd: Cell::new(true),
            common: RefCell::default(),
        }
    }
}

/// Prepares this process for children: what they leave behind comes to us, what we inherited does not go to them.
/// Called once, before anything runs.
pub fn adopt() {
    kernel::disinherit();
    // It fails before Linux 3.4 only; then what is left behind goes to init.
    _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    orphans::leave_alone();
}

/// Runs `plan`. When the future is dropped, a task of `host` ends what runs.
///
/// # Errors
/// One sentence, without a path, about why it could not start.
pub async fn run(host: &Host, mut plan: Plan, progress: Progress<'_>) -> Result<Report, String> {
    if host.nursery.closed.get() {
        return Err(String::from("the gateway is stopping"));
    }
    let begun = Instant::now();
    let mut guard = Guard { host, running: None, clean: false, turns: plan.turns.take() };
    let running = guard.running.insert(Running::start(&host.nursery, plan)?);
    let end = poll_fn(|cx| running.turn(cx, progress)).await;
    let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let timed_out = running.timed_out;
    let [stdout, stderr] = running.kept();
    // What even SIGKILL does not end, a sweep tries once more.
    guard.running = None;
    orphans::sweep().await;
    guard.clean = true;
    Ok(Report { end: end.unwrap_or(End::Signal(Signal::KILL.as_raw())), stdout, stderr, timed_out, duration_ms })
}

/// Ends every running child, with what it left behind. Returns when nothing is left, or nothing more can be done.
pub async fn end_all(host: &Host) {
    host.nursery.closed.set(true);
    // Those whose callers are gone are tasks of the host, which nobody may run any more.
    host.work(Box::pin(end_running(host))).await;
}

async fn end_running(host: &Host) {
    for (signal, patience) in [(Signal::TERM, CHILD_GRACE), (Signal::KILL, CHILD_REAP)] {
        for pid in host.nursery.running.borrow().iter() {
            _ = kill_process_group(*pid, signal);
        }
        let begun = Instant::now();
        while !host.nursery.running.borrow().is_empty() && begun.elapsed() < patience {
            watch::alarm(SHUTDOWN_STEP).await;
        }
    }
    orphans::sweep().await;
}

/// Sees to it that nothing is left of a call, also when the call is dropped.
struct Guard<'h> {
    host: &'h Host,
    running: Option<Running>,
    clean: bool,
    /// What only the end of everything frees: a caller that leaves gives nobody its place meanwhile.
    turns: Option<Turns>,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if !self.clean {
            self.host.go_on(Box::pin(end(self.running.take(), self.turns.take())));
        }
    }
}

async fn end(running: Option<Running>, _turns: Option<Turns>) {
    if let Some(mut running) = running {
        running.stop();
        poll_fn(|cx| running.turn(cx, None)).await;
    }
    orphans::sweep().await;
}
