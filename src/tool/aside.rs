//! Work that may hang in the kernel → a thread of its own, a deadline, and a bound on threads that never come back.

use std::ffi::CStr;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use smol::channel::{Receiver, bounded};
use smol::future::FutureExt;
use smol::lock::{Semaphore, SemaphoreGuardArc};

use super::{Later, Outcome, watch};
use crate::limits::{ASIDE_MILLIS, ASIDE_STACK_BYTES, ASIDE_THREADS};

/// The threads for such work, at most [`ASIDE_THREADS`]. One that hangs keeps its slot until it comes back.
#[derive(Debug)]
pub(super) struct Aside {
    pub deadline: Duration,
    slots: Arc<Semaphore>,
}

impl Default for Aside {
    fn default() -> Aside {
        Aside { deadline: Duration::from_millis(ASIDE_MILLIS), slots: Arc::new(Semaphore::new(ASIDE_THREADS)) }
    }
}

impl Aside {
    /// What `work` returns, or `None` when there is no thread for it or it does not end in time, all in all.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let kept = Arc::new(Mutex::new(None));
        let place = Arc::clone(&kept);
        let work = move || *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(work());
        self.end(Box::new(work)).await?;
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.take()
    }

    /// The end of `work`, if it comes in time: one copy of this road for whatever comes of it.
    fn end(&self, work: Box<dyn FnOnce() + Send>) -> Soon<'_, ()> {
        Box::pin(async move {
            let until = Instant::now() + self.deadline;
            let slot = slot(&self.slots, self.deadline).await?;
            let (sender, receiver) = bounded(1);
            let work = move || {
                work();
                // Nobody may be listening any more; then the answer is of no use to anybody.
                let _ = sender.try_send(());
                drop(slot);
            };
            start(c"aside", Box::new(work))?;
            heard(&receiver, until.saturating_duration_since(Instant::now())).await
        })
    }
}

/// What comes in time, or `None`.
pub(super) type Soon<'a, T> = Pin<Box<dyn Future<Output = Option<T>> + 'a>>;

/// One of `slots`, if one is free in time.
pub(super) fn slot(slots: &Arc<Semaphore>, deadline: Duration) -> Soon<'_, SemaphoreGuardArc> {
    Box::pin(in_time(deadline, async { Some(slots.acquire_arc().await) }))
}

/// A sign of life from a thread, if one comes in time.
pub(super) fn heard(receiver: &Receiver<()>, deadline: Duration) -> Soon<'_, ()> {
    Box::pin(in_time(deadline, async { receiver.recv().await.ok() }))
}

/// The outcome of `work` on such a thread. What `work` does is boxed, so that all tools share one copy of this road.
pub(super) fn later(aside: &Aside, work: Box<dyn FnOnce() -> Outcome + Send>) -> Later<'_> {
    Box::pin(async move {
        let late = || Outcome::soft("error", "the system did not answer in time");
        aside.run(work).await.unwrap_or_else(late)
    })
}

/// An outcome that is known already.
pub(super) fn known<'a>(outcome: Outcome) -> Later<'a> {
    Box::pin(std::future::ready(outcome))
}

/// Starts a thread with a small stack. The name is what `ps -T` shows of it. The thread takes it itself: to name another one
/// the C library prints a path, which a small program has no other use for (cross/small.ld).
pub(super) fn start(name: &'static CStr, work: Box<dyn FnOnce() + Send>) -> Option<()> {
    let work = move || {
        _ = rustix::thread::set_name(name);
        work();
    };
    thread::Builder::new().stack_size(ASIDE_STACK_BYTES).spawn(work).ok().map(drop)
}

/// What `work` gives, or `None` at the deadline.
pub(super) async fn in_time<T>(deadline: Duration, work: impl Future<Output = Option<T>>) -> Option<T> {
    let bell = async {
        watch::alarm(deadline).await;
        None
    };
    work.or(bell).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_hangs_costs_its_slot_only_until_it_comes_back() {
        static HELD: Mutex<()> = Mutex::new(());
        let mut aside = Aside::default();
        assert_eq!(smol::block_on(aside.run(|| 5)), Some(5));
        let held = HELD.lock().unwrap();
        aside.deadline /= 100;
        for _ in 0..=ASIDE_THREADS {
            assert_eq!(smol::block_on(aside.run(|| drop(HELD.lock().unwrap()))), None);
        }
        drop(held);
        aside.deadline *= 1_000;
        assert_eq!(smol::block_on(aside.run(|| 6)), Some(6));
    }
}
