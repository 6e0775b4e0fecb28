//! How many calls of one tool, or of all, run at once; who waits, in the order of coming; who is sent away. No clock: `now`
//! is an argument.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// How much a lane holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Width {
    /// Calls running at once.
    pub running: usize,
    /// Calls waiting for their turn.
    pub waiting: usize,
    /// Milliseconds from one start to the next.
    pub interval_ms: u32,
}

/// No room: after so many seconds a new try may find some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy(pub u32);

/// One lane.
#[derive(Debug)]
pub struct Lane {
    width: Cell<Width>,
    running: Cell<usize>,
    queue: RefCell<VecDeque<Rc<Place>>>,
    started_ms: Cell<Option<i64>>,
    refused: Cell<u64>,
}

/// A place in the queue.
#[derive(Debug, Default)]
struct Place {
    called: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Lane {
    /// An empty lane.
    pub fn new(width: Width) -> Rc<Lane> {
        Rc::new(Lane {
            width: Cell::new(width),
            running: Cell::default(),
            queue: RefCell::default(),
            started_ms: Cell::default(),
            refused: Cell::default(),
        })
    }

    /// Changes how much it holds. Who runs and who waits stays.
    pub fn widen(&self, width: Width) {
        self.width.set(width);
        self.call_next();
    }

    /// How much it holds.
    pub fn width(&self) -> Width {
        self.width.get()
    }

    /// Calls running and waiting now, and calls refused so far.
    pub fn counts(&self) -> (usize, usize, u64) {
        (self.running.get(), self.queue.borrow().len(), self.refused.get())
    }

    /// A turn at once, a place to wait in, or no room.
    ///
    /// # Errors
    /// [`Busy`]: running and waiting are full, or the last start was too short a time ago.
    pub fn enter(self: &Rc<Self>, now_ms: i64) -> Result<Waiting, Busy> {
        let width = self.width.get();
        if let Some(started) = self.started_ms.get() {
            let left = i64::from(width.interval_ms).saturating_sub(now_ms.saturating_sub(started).max(0));
            if left > 0 {
                return Err(self.refuse(u32::try_from(left.saturating_add(999) / 1_000).unwrap_or(u32::MAX)));
            }
        }
        let place = Rc::new(Place::default());
        let mut queue = self.queue.borrow_mut();
        if queue.is_empty() && self.running.get() < width.running {
            self.running.set(self.running.get().saturating_add(1));
            place.called.set(true);
        } else if queue.len() < width.waiting {
            queue.push_back(Rc::clone(&place));
        } else {
            drop(queue);
            return Err(self.refuse(crate::limits::RETRY_SECS));
        }
        self.started_ms.set(Some(now_ms));
        Ok(Waiting { lane: Rc::clone(self), place, taken: false })
    }

    fn refuse(&self, seconds: u32) -> Busy {
        self.refused.set(self.refused.get().saturating_add(1));
        Busy(seconds)
    }

    /// Gives free turns to those who wait.
    fn call_next(&self) {
        while self.running.get() < self.width.get().running {
            let Some(place) = self.queue.borrow_mut().pop_front() else { return };
            self.running.set(self.running.get().saturating_add(1));
            place.called.set(true);
            if let Some(waker) = place.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }
}

/// Someone in a lane; becomes a [`Turn`] when it is called.
#[derive(Debug)]
pub struct Waiting {
    lane: Rc<Lane>,
    place: Rc<Place>,
    taken: bool,
}

impl Future for Waiting {
    type Output = Turn;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Turn> {
        if self.place.called.get() && !self.taken {
            self.taken = true;
            return Poll::Ready(Turn(Rc::clone(&self.lane)));
        }
        *self.place.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        match (self.taken, self.place.called.get()) {
            (true, _) => {}
            // Who was called and leaves gives its turn to the next.
            (false, true) => drop(Turn(Rc::clone(&self.lane))),
            (false, false) => self.lane.queue.borrow_mut().retain(|place| !Rc::ptr_eq(place, &self.place)),
        }
    }
}

/// What a call that runs holds: its tool's turn, and that of all calls.
pub type Turns = Rc<(Option<Turn>, Turn)>;

/// A call that runs; the next one is called when it is dropped.
#[derive(Debug)]
pub struct Turn(Rc<Lane>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get().saturating_sub(1));
        self.0.call_next();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smol::future::{FutureExt, poll_once};

    fn ready(waiting: &mut Waiting) -> Option<Turn> {
        smol::block_on(poll_once(waiting.boxed_local()))
    }

    #[test]
    fn some_run_some_wait_in_order_the_rest_goes() {
        let lane = Lane::new(Width { running: 1, waiting: 2, interval_ms: 0 });
        let first = ready(&mut lane.enter(0).unwrap()).expect("a turn");
        let (mut second, mut third) = (lane.enter(0).unwrap(), lane.enter(0).unwrap());
        assert_eq!(lane.enter(0).err(), Some(Busy(crate::limits::RETRY_SECS)));
        assert_eq!(lane.counts(), (1, 2, 1));
        assert!(ready(&mut second).is_none() && ready(&mut third).is_none());
        drop(first);
        assert!(ready(&mut third).is_none(), "out of order");
        let turn = ready(&mut second).expect("its turn");
        drop(third);
        assert_eq!(lane.counts(), (1, 0, 1), "who leaves the queue is gone");
        drop(turn);
        assert_eq!(lane.counts(), (0, 0, 1));
    }

    #[test]
    fn who_was_called_and_leaves_gives_its_turn_on() {
        let lane = Lane::new(Width { running: 1, waiting: 2, interval_ms: 0 });
        let first = ready(&mut lane.enter(0).unwrap()).expect("a turn");
        let (second, mut third) = (lane.enter(0).unwrap(), lane.enter(0).unwrap());
        drop(first);
        drop(second);
        assert_eq!(lane.counts(), (1, 0, 0));
        drop(ready(&mut third).expect("its turn"));
        assert_eq!(lane.counts(), (0, 0, 0));
    }

    #[test]
    fn starts_keep_their_distance() {
        let lane = Lane::new(Width { running: 9, waiting: 9, interval_ms: 2_500 });
        drop(lane.enter(1_000).unwrap());
        assert_eq!(lane.enter(1_001).err(), Some(Busy(3)));
        assert_eq!(lane.enter(3_499).err(), Some(Busy(1)));
        assert!(lane.enter(3_500).is_ok());
        assert_eq!(lane.enter(3_400).err(), Some(Busy(3)), "who waited elsewhere brings an older time");
        lane.widen(Width { running: 9, waiting: 9, interval_ms: 0 });
        assert!(lane.enter(3_400).is_ok());
    }

    #[test]
    fn a_wider_lane_calls_those_who_wait() {
        let lane = Lane::new(Width { running: 1, waiting: 2, interval_ms: 0 });
        let _first = lane.enter(0).unwrap();
        let mut second = lane.enter(0).unwrap();
        lane.widen(Width { running: 2, waiting: 2, interval_ms: 0 });
        assert!(ready(&mut second).is_some());
    }
}
