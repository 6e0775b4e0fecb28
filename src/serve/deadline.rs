//! The deadlines of all connections: each has a slot, the loop sleeps until the earliest.
//!
//! A stage of a request only writes its deadline into its slot. The moment the loop sleeps to may be too early, because
//! a stage has ended since; it then looks again and sleeps on. It is never too late.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// A stage ran out of time, or the gateway is stopping and nobody waits for this stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expired;

#[derive(Debug, Default)]
struct Slot {
    at: Cell<Option<Instant>>,
    expired: Cell<bool>,
    idle: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Slot {
    fn expire(&self) {
        self.at.set(None);
        self.expired.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// Every deadline there is.
#[derive(Debug, Default)]
pub struct Deadlines {
    slots: RefCell<Vec<Rc<Slot>>>,
    next: Cell<Option<Instant>>,
}

impl Deadlines {
    /// A deadline that is not running yet.
    pub fn deadline(self: &Rc<Self>) -> Deadline {
        let slot = Rc::new(Slot::default());
        self.slots.borrow_mut().push(Rc::clone(&slot));
        Deadline { all: Rc::clone(self), slot }
    }

    /// The moment to look at the deadlines again.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next.get()
    }

    /// Expires what is due, if it is time to look, and tells `noticed` how late each is.
    pub(super) fn expire(&self, noticed: &impl Fn(Duration)) {
        let Some(look) = self.next.get() else { return };
        let now = Instant::now();
        if now < look {
            return;
        }
        let mut next: Option<Instant> = None;
        for slot in self.slots.borrow().iter() {
            match slot.at.get() {
                Some(at) if at <= now => {
                    noticed(now.saturating_duration_since(at));
                    slot.expire();
                }
                Some(at) => next = Some(next.map_or(at, |next| next.min(at))),
                None => {}
            }
        }
        self.next.set(next);
    }

    /// Ends every rest.
    pub fn end_rests(&self) {
        for slot in self.slots.borrow().iter().filter(|slot| slot.idle.get()) {
            slot.expire();
        }
    }
}

/// The deadline of one connection, set anew for each stage. Removed when dropped.
#[derive(Debug)]
pub struct Deadline {
    all: Rc<Deadlines>,
    slot: Rc<Slot>,
}

impl Deadline {
    /// Starts a stage that may last `span` in total.
    pub fn start(&self, span: Duration) {
        self.set(span, false);
    }

    /// Starts a rest of at most `span`, which ends at once when the gateway stops.
    pub fn rest(&self, span: Duration) {
        self.set(span, true);
    }

    /// Ends the stage: the next one has no end until it is set.
    pub fn stop(&self) {
        self.slot.at.set(None);
        self.slot.expired.set(false);
        self.slot.idle.set(false);
    }

    /// Turns a rest into a stage: its time goes on, but it no longer ends when the gateway stops.
    pub fn rouse(&self) {
        self.slot.idle.set(false);
    }

    fn set(&self, span: Duration, idle: bool) {
        let at = Instant::now() + span;
        self.slot.expired.set(false);
        self.slot.idle.set(idle);
        self.slot.at.set(Some(at));
        if self.all.next.get().is_none_or(|next| at < next) {
            self.all.next.set(Some(at));
        }
    }

    /// Ready when the stage is over.
    fn poll_expired(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.slot.expired.get() {
            return Poll::Ready(());
        }
        let mut waker = self.slot.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// `future`'s output, unless the stage ends first.
    pub async fn race<F: Future>(&self, future: F) -> Result<F::Output, Expired> {
        let mut future = pin!(future);
        self.watch(|cx| future.as_mut().poll(cx)).await
    }

    /// Polls `poll` until it is ready, unless the stage ends first. A stage that is over is not polled again: whoever
    /// makes progress now and then gains no time.
    pub async fn watch<T>(&self, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Result<T, Expired> {
        poll_fn(|cx| match self.poll_expired(cx) {
            Poll::Ready(()) => Poll::Ready(Err(Expired)),
            Poll::Pending => poll(cx).map(Ok),
        })
        .await
    }
}

/// The end of the stage.
impl Future for Deadline {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_expired(cx)
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        let mut slots = self.all.slots.borrow_mut();
        if let Some(at) = slots.iter().position(|slot| Rc::ptr_eq(slot, &self.slot)) {
            slots.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::reactor::Reactor;

    #[test]
    fn stages_and_rests_end() {
        let all = Rc::new(Deadlines::default());
        let reactor = Reactor::new().unwrap();
        let (soon, never, rest) = (all.deadline(), all.deadline(), all.deadline());
        let stages = async {
            never.start(Duration::from_secs(3600));
            soon.start(Duration::from_millis(20));
            assert_eq!(soon.race(std::future::pending::<()>()).await, Err(Expired));
            assert_eq!(soon.race(async { 1 }).await, Err(Expired), "a stage that is over stays over");
            rest.rest(Duration::from_secs(3600));
            all.end_rests();
            assert_eq!(rest.race(std::future::pending::<()>()).await, Err(Expired));
            assert_eq!(never.race(async { 2 }).await, Ok(2));
        };
        reactor.run(stages, &all, |_| ());
        drop((soon, never, rest));
        assert!(all.slots.borrow().is_empty());
    }
}
