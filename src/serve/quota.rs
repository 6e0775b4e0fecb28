//! How much is let through: a socket's requests that run at once, refusals that are logged in a second.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use crate::limits::{LOG_REFUSALS, LOG_WINDOW};

/// One of a socket's requests in progress, counted until dropped.
pub(super) struct Running(Rc<Cell<usize>>);

impl Running {
    /// Counts one more, unless `most` run already.
    pub(super) fn start(calls: &Rc<Cell<usize>>, most: usize) -> Option<Running> {
        if calls.get() >= most {
            return None;
        }
        calls.set(calls.get() + 1);
        Some(Running(Rc::clone(calls)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// How many refusals are logged in a second: strangers must not be able to fill a disk.
#[derive(Debug, Default)]
pub(super) struct Quota {
    since: Cell<Option<Instant>>,
    said: Cell<u32>,
    unsaid: Cell<u32>,
}

impl Quota {
    /// Whether a refusal may be logged; if so, how many were left out before it.
    pub fn take(&self, now: Instant) -> Option<u32> {
        if self.since.get().is_none_or(|since| now.saturating_duration_since(since) >= LOG_WINDOW) {
            self.since.set(Some(now));
            self.said.set(0);
        }
        if self.said.get() >= LOG_REFUSALS {
            self.unsaid.set(self.unsaid.get().saturating_add(1));
            return None;
        }
        self.said.set(self.said.get() + 1);
        Some(self.unsaid.replace(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_beyond_the_quota_are_counted_not_logged() {
        let (quota, start) = (Quota::default(), Instant::now());
        for _ in 0..LOG_REFUSALS {
            assert_eq!(quota.take(start), Some(0));
        }
        assert_eq!((quota.take(start), quota.take(start)), (None, None));
        assert_eq!(quota.take(start + LOG_WINDOW), Some(2));
        assert_eq!(quota.take(start + LOG_WINDOW), Some(0));
    }
}
