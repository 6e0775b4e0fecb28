//! Work that may hang in the kernel → a thread of its own, a deadline, and a bound on threads that never come back.

use std::future::Future;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use smol::channel::bounded;
use smol::future::FutureExt;
use smol::lock::Semaphore;

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
        in_time(self.deadline, async {
            let slot = self.slots.acquire_arc().await;
            let (sender, receiver) = bounded(1);
            let work = move || {
                // Nobody may be listening any more; then the answer is of no use to anybody.
                let _ = sender.try_send(work());
                drop(slot);
            };
            start("aside", Box::new(work))?;
            receiver.recv().await.ok()
        })
        .await
    }
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

/// Starts a thread with a small stack. The name is what `ps -T` shows of it.
pub(super) fn start(name: &str, work: Box<dyn FnOnce() + Send>) -> Option<()> {
    thread::Builder::new().name(name.to_owned()).stack_size(ASIDE_STACK_BYTES).spawn(work).ok().map(drop)
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
    use std::sync::Mutex;

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
