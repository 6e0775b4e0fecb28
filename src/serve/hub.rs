//! Everybody connected by socket, and what all of them are told.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::socket::Pipe;
use crate::api::socket::event;
use crate::api::socket::roll::{Entry, Roll};
use crate::gate::tailnet::Caller;
use crate::limits::SOCKET_EVENTS_BYTES;
use crate::tool::Now;
use crate::wire::frame::{self, Opcode};

/// Whether an event may be left out for a peer that is slow to read. Source: contract ws.md §1.4, §5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Left out; the peer sees a gap in the numbers.
    Droppable,
    /// A peer that cannot take it is cut off.
    Needed,
}

/// One peer whose handshake is over.
#[derive(Debug)]
pub struct Guest {
    pipe: Rc<Pipe>,
    /// What the roll knows it by; `None` when it is not told of.
    key: Option<Box<str>>,
    /// Who it was when it came.
    caller: Caller,
    /// Events it has been sent.
    said: Cell<u64>,
}

/// All peers, and the roll of who is there.
#[derive(Debug, Default)]
pub struct Hub {
    guests: RefCell<Vec<Rc<Guest>>>,
    /// Sockets whose handshake is not over.
    waiting: RefCell<Vec<Rc<Pipe>>>,
    /// Who is there.
    pub roll: RefCell<Roll>,
}

impl Hub {
    /// A socket begins its handshake.
    pub fn wait(&self, pipe: &Rc<Pipe>) {
        self.waiting.borrow_mut().push(Rc::clone(pipe));
    }

    /// A handshake is over, well or not.
    pub fn ready(&self, pipe: &Rc<Pipe>) {
        self.waiting.borrow_mut().retain(|other| !Rc::ptr_eq(other, pipe));
    }

    /// A peer joins.
    pub fn join(&self, pipe: &Rc<Pipe>, entry: Entry, caller: Caller, now: Now) -> Rc<Guest> {
        let key = self.roll.borrow_mut().join(&entry, now);
        let guest = Rc::new(Guest { pipe: Rc::clone(pipe), key, caller, said: Cell::new(0) });
        self.guests.borrow_mut().push(Rc::clone(&guest));
        guest
    }

    /// A peer is gone. Returns whether that changes who is there, as presence tells it.
    pub fn leave(&self, guest: &Rc<Guest>, now: Now) -> bool {
        self.guests.borrow_mut().retain(|other| !Rc::ptr_eq(other, guest));
        guest.key.as_ref().is_some_and(|key| self.roll.borrow_mut().leave(key, now))
    }

    /// How many are there.
    pub fn count(&self) -> usize {
        self.guests.borrow().len()
    }

    /// Whether nobody is there to be told anything.
    pub fn is_empty(&self) -> bool {
        self.guests.borrow().is_empty()
    }

    /// Tells everybody; `versions` says whether the event carries those of the roll.
    pub fn tell(&self, name: &str, payload: &str, versions: bool, urgency: Urgency) {
        let versions = versions.then(|| self.roll.borrow().versions());
        for guest in self.guests.borrow().iter() {
            let number = guest.said.get().saturating_add(1);
            guest.said.set(number);
            if urgency == Urgency::Droppable && guest.pipe.waiting() > SOCKET_EVENTS_BYTES {
                continue;
            }
            let text = event(name, payload, Some(number), versions);
            if !guest.pipe.send(Opcode::Text, text.as_bytes()) && urgency == Urgency::Needed {
                guest.pipe.cut();
            }
        }
    }

    /// Asks everybody for a sign of life. Returns how many gave none for too long and are cut off.
    pub fn ping(&self) -> usize {
        self.guests.borrow().iter().filter(|guest| !guest.pipe.ping()).count()
    }

    /// Everybody whom the tailnet knew by name, once.
    pub fn known(&self) -> Vec<Caller> {
        let mut known: Vec<Caller> = Vec::new();
        for guest in self.guests.borrow().iter() {
            if guest.caller.tailnet.who().is_some() && !known.contains(&guest.caller) {
                known.push(guest.caller.clone());
            }
        }
        known
    }

    /// Ends the conversations of one caller with a close frame. Returns how many.
    pub fn dismiss(&self, caller: &Caller, code: u16, reason: &str) -> usize {
        let payload = frame::close(code, reason);
        let guests = self.guests.borrow();
        guests.iter().filter(|guest| guest.caller == *caller).map(|guest| guest.pipe.close(&payload)).count()
    }

    /// Ends every conversation with a close frame, and every handshake without one.
    pub fn close(&self, code: u16, reason: &str) {
        let payload = frame::close(code, reason);
        for guest in self.guests.borrow().iter() {
            guest.pipe.close(&payload);
        }
        for pipe in self.waiting.borrow().iter() {
            pipe.cut();
        }
    }
}
