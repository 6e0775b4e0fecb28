//! What a call leaves behind → nothing.
//!
//! A program may start others that outlive it, in groups and sessions of their own, where no signal to its group finds
//! them. But each program is a subreaper, and so are we: while it lives, what its children leave behind comes to it; when
//! it ends, to us. So a child of ours that is not the root of a running call is an orphan of a finished one. Orphans are
//! stopped with all their descendants, so that none can start another while we look, and only then killed.
//!
//! Children belong to the process, not to a [`Host`](super::Host), so what is known of them stands once a process.

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process, waitid, waitpid};

use super::super::watch;
use crate::limits::{ORPHAN_SECS, ORPHAN_STEP, ORPHAN_STEP_MAX};

/// What is known of our children.
pub(super) struct Known {
    /// The roots of running calls. Whoever runs one reaps it.
    pub roots: Vec<Pid>,
    /// Children that are left alone: those that were there before the first call, and those that even SIGKILL did not
    /// end. They are reaped when they have ended.
    pub strangers: Vec<Pid>,
}

static KNOWN: Mutex<Known> = Mutex::new(Known { roots: Vec::new(), strangers: Vec::new() });

/// What is known of our children. Nobody else starts or sweeps while it is held.
pub(super) fn known() -> MutexGuard<'static, Known> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Leaves the children alone that are there already: a supervisor's, whose place we took.
pub(super) fn leave_alone() {
    let there = children();
    known().strangers.extend(there);
}

/// Ends and reaps every orphan, or gives up after [`ORPHAN_SECS`] and says so.
pub(super) async fn sweep() {
    let begun = Instant::now();
    let (mut stopped, mut step) = (Vec::new(), ORPHAN_STEP);
    for number in 1_u32.. {
        // What starts new ones faster than we look is killed without being stopped first, now and then.
        step = match round(&mut stopped, number % 16 == 0) {
            Seen::Nothing => return,
            Seen::Fresh => ORPHAN_STEP,
            Seen::Same => ORPHAN_STEP_MAX.min(step.saturating_mul(2)),
        };
        if begun.elapsed() > ORPHAN_SECS {
            break;
        }
        watch::alarm(step).await;
    }
    let mut known = known();
    let left = orphans(&mut known).unwrap_or_default();
    if !left.is_empty() {
        log::error!("orphans_left count={}", left.len());
        known.strangers.extend(left);
    }
}

/// What one look at our orphans has shown.
enum Seen {
    Nothing,
    /// Some that had not been stopped.
    Fresh,
    /// Only such as were stopped before. They have been killed now, and are on their way.
    Same,
}

/// One look at our orphans. `stopped` is what the looks before have stopped.
fn round(stopped: &mut Vec<Pid>, force: bool) -> Seen {
    let any = waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT);
    if any.is_err_and(|error| error == Errno::CHILD) {
        // No children at all: the most frequent answer, for one system call.
        return Seen::Nothing;
    }
    let mut known = known();
    known.strangers.retain(|pid| !reap(*pid));
    let Some(mut tree) = orphans(&mut known) else { return Seen::Nothing };
    // At once, before the slow look at everybody: one may be about to start its successor and end.
    let mut fresh = stop(&tree, stopped);
    descend(&mut tree);
    fresh |= stop(&tree, stopped);
    if force || !fresh {
        // The stopped ones reap nobody, so every number still means the process that was seen.
        for pid in &tree {
            _ = kill_process(*pid, Signal::KILL);
        }
    }
    *stopped = tree;
    if fresh { Seen::Fresh } else { Seen::Same }
}

/// Stops those of `tree` that are not among `stopped`; whether there were any.
fn stop(tree: &[Pid], stopped: &[Pid]) -> bool {
    let mut fresh = false;
    for pid in tree.iter().filter(|pid| !stopped.contains(pid)) {
        fresh = true;
        _ = kill_process(*pid, Signal::STOP);
    }
    fresh
}

/// The orphans that still live, `None` if there were none. Those that have ended are reaped on the way: each may have
/// left one to us since we asked for our children, so that none lives does not mean that there are none.
pub(super) fn orphans(known: &mut Known) -> Option<Vec<Pid>> {
    let mut found = children();
    found.retain(|pid| !known.roots.contains(pid) && !known.strangers.contains(pid));
    if found.is_empty() {
        return None;
    }
    found.retain(|pid| !reap(*pid));
    Some(found)
}

/// Reaps the child `pid` if it has ended; whether it is gone.
fn reap(pid: Pid) -> bool {
    !matches!(waitpid(Some(pid), WaitOptions::NOHANG), Ok(None))
}

/// Our children, ended ones included.
fn children() -> Vec<Pid> {
    listed().unwrap_or_else(|| {
        let own = Some(rustix::process::getpid());
        scan().into_iter().filter(|(_, parent)| *parent == own).map(|(pid, _)| pid).collect()
    })
}

/// The kernel's own list, where it is built to give one. It may miss one while others are reaped, but nobody else reaps
/// while we read.
fn listed() -> Option<Vec<Pid>> {
    let mut found = Vec::new();
    for task in fs::read_dir("/proc/self/task").ok()? {
        let text = fs::read(task.ok()?.path().join("children")).ok()?;
        found.extend(text.split(u8::is_ascii_whitespace).filter_map(pid));
    }
    Some(found)
}

/// Adds all descendants of those in `tree`.
fn descend(tree: &mut Vec<Pid>) {
    let all = scan();
    let mut looked = 0;
    while let Some(parent) = tree.get(looked).copied() {
        tree.extend(all.iter().filter(|(_, above)| *above == Some(parent)).map(|(pid, _)| *pid));
        looked = looked.saturating_add(1);
    }
}

/// Every process that we can see, with its parent.
fn scan() -> Vec<(Pid, Option<Pid>)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let process = |entry: fs::DirEntry| {
        let own = pid(entry.file_name().as_encoded_bytes())?;
        let stat = fs::read(entry.path().join("stat")).ok()?;
        Some((own, parent(&stat)))
    };
    entries.flatten().filter_map(process).collect()
}

/// The parent in a line of /proc/PID/stat. The name before it is in parentheses, and may have some in it.
fn parent(stat: &[u8]) -> Option<Pid> {
    let behind = stat.rsplit(|byte| *byte == b')').next()?;
    pid(behind.split(u8::is_ascii_whitespace).nth(2)?)
}

fn pid(text: &[u8]) -> Option<Pid> {
    Pid::from_raw(std::str::from_utf8(text).ok()?.parse().ok().filter(|number| *number > 0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents() {
        let check = |stat: &str, expected: i32| {
            assert_eq!(parent(stat.as_bytes()), Pid::from_raw(expected), "{stat}");
        };
        check("12 (sh) S 7 12 12 0 -1", 7);
        check("12 (a) S 1 (b) R 9 1 1", 9);
        check("12 (\n) T 3) Z 8 1 1", 8);
        check("1 (init) S 0 1 1", 0);
        check("", 0);
        check("12 (sh", 0);
        check("12 (sh) S x", 0);
    }
}
