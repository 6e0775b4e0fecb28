//! One peer's conversation with the gateway: hands what came to `api`, and carries out what it decides.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use log::Level;

use super::gateway::Gateway;
use super::hub::{Guest, Urgency};
use super::listen::Seat;
use super::log::{Named, Shown};
use super::quota::Running;
use super::socket::{Pipe, Talk, Work};
use crate::api::replay::Name;
use crate::api::socket::facts::Facts;
use crate::api::socket::{self, Act, Scene, roll};
use crate::api::{Claims, Fault, Note};
use crate::gate::Permit;
use crate::gate::tailnet::Caller;
use crate::limits::{RETRY_SECS, SOCKET_CALLS, SOCKET_EVENTS_BYTES};
use crate::tool::{Checked, Progress};
use crate::wire::frame::{self, Opcode};
use crate::wire::message::Kind;

/// What is remembered of an upgrade until its 101 is out.
pub struct Knock {
    /// What the caller claims.
    pub claims: Claims<'static>,
    /// Who it is.
    pub caller: Caller,
    /// Its place among those whose handshake is not over.
    pub seat: Seat,
    /// When it was let in.
    pub era: u64,
}

/// A peer that speaks the gateway's protocol.
pub struct Visitor {
    gateway: Rc<Gateway>,
    pipe: Rc<Pipe>,
    caller: Caller,
    talk: RefCell<socket::Talk>,
    seat: RefCell<Option<Seat>>,
    guest: RefCell<Option<Rc<Guest>>>,
    /// Its requests that run.
    running: Rc<Cell<usize>>,
}

impl Visitor {
    /// Begins with the challenge.
    pub fn new(gateway: &Rc<Gateway>, knock: Box<Knock>, pipe: &Rc<Pipe>) -> Visitor {
        let Knock { claims, caller, seat, era } = *knock;
        let mut talk = socket::Talk::new(claims, super::random(), super::random());
        let challenge = talk.challenge(gateway.wall_ms());
        gateway.hub.wait(pipe);
        let visitor = Visitor {
            gateway: Rc::clone(gateway),
            pipe: Rc::clone(pipe),
            caller,
            talk: RefCell::new(talk),
            seat: RefCell::new(Some(seat)),
            guest: RefCell::default(),
            running: Rc::default(),
        };
        // It is so short that there is always room for it.
        pipe.send(Opcode::Text, challenge.as_bytes());
        if era != gateway.era.get() {
            pipe.cut();
        }
        visitor
    }

    /// Says what `message` asked for, else that there is no room for it now. A peer that asks and does not read the
    /// answers has no room for that either and is cut off. Returns whether it was said.
    fn say(&self, text: &str, message: &[u8]) -> bool {
        let said = self.pipe.send(Opcode::Text, text.as_bytes());
        if !said {
            self.refused(Fault::AnswersFull);
            if !self.pipe.send(Opcode::Text, socket::crowded(message).as_bytes()) {
                self.pipe.cut();
            }
        }
        said
    }

    /// The handshake is over.
    fn admit(&self, hello: &str, message: &[u8]) {
        self.gateway.hub.ready(&self.pipe);
        if !self.say(hello, message) {
            return self.pipe.close(&frame::close(1013, "too many answers are waiting to be read"));
        }
        self.seat.borrow_mut().take();
        self.pipe.welcome(self.gateway.message_bytes.get());
        let mut talk = self.talk.borrow_mut();
        let Some(entry) = talk.entry() else { return };
        let Some(member) = talk.member() else { return };
        self.gateway.audit().say(
            Level::Info,
            format_args!(
                "socket_open peer={} client={} mode={} protocol={} connection={}",
                Named(&self.caller),
                Shown(entry.text("host")),
                Shown(entry.text("mode")),
                member.protocol,
                member.connection
            ),
        );
        *self.guest.borrow_mut() =
            Some(self.gateway.hub.join(&self.pipe, entry, self.caller.clone(), self.gateway.now()));
    }

    /// Runs a tool beside what else is said.
    fn work(
        &self,
        message: &[u8],
        id: Box<str>,
        permit: Permit,
        mut checked: Checked,
        name: Option<Name>,
    ) -> Option<Work> {
        let tool: Box<str> = permit.tool().into();
        let Some(running) = Running::start(&self.running, SOCKET_CALLS) else {
            let busy = Fault::ToolBusy("".into(), RETRY_SECS);
            self.refused(busy.clone());
            self.say(&socket::told(&id, &tool, Err(busy)), message);
            return None;
        };
        let (gateway, pipe, caller) = (Rc::clone(&self.gateway), Rc::clone(&self.pipe), self.caller.clone());
        let tells = checked.tool.tells();
        let session = permit.session().key.clone();
        if tells {
            checked.progress = Some(self.progress(&id, &session, &tool));
        }
        Some(Box::pin(async move {
            let outcome = gateway.call(permit, checked, name, &caller).await;
            drop(running);
            if tells {
                let good = matches!(&outcome, Ok(outcome) if outcome.good());
                let end = ["\"phase\":\"end\",\"isError\":", if good { "false" } else { "true" }].concat();
                pipe.send(Opcode::Text, socket::tool_event(&session, &id, &tool, &end).as_bytes());
            }
            if let Err(fault) = &outcome {
                gateway.note(&fault.clone().answer().note, None, caller.addr);
            }
            let said = |outcome| pipe.send(Opcode::Text, socket::told(&id, &tool, outcome).as_bytes());
            if !said(outcome) && !said(Err(Fault::AnswersFull)) {
                pipe.cut();
            }
        }))
    }

    /// Tells this peer, and nobody else, what a program prints, piece by piece. What its queue does not hold is left out:
    /// the answer has it.
    fn progress(&self, id: &str, session: &str, tool: &str) -> Progress {
        let (pipe, id, session, tool) =
            (Rc::clone(&self.pipe), Box::<str>::from(id), Box::<str>::from(session), Box::<str>::from(tool));
        Rc::new(move |stream, bytes| {
            if pipe.waiting() < SOCKET_EVENTS_BYTES {
                let update = socket::tool_update(stream, bytes);
                pipe.send(Opcode::Text, socket::tool_event(&session, &id, &tool, &update).as_bytes());
            }
        })
    }

    fn refused(&self, fault: Fault) {
        self.note(&fault.answer().note);
    }

    fn note(&self, note: &Note) {
        self.gateway.note(note, None, self.caller.addr);
    }
}

impl Talk for Visitor {
    fn hear(&self, _: Kind, content: &[u8]) -> Option<Work> {
        let act = {
            let gateway = &*self.gateway;
            let scene = Scene {
                gate: &gateway.gate,
                facts: gateway,
                find: &|name| gateway.find(name),
                seeds: &gateway.seeds,
                now: Instant::now(),
            };
            self.talk.borrow_mut().hear(content, &scene)
        };
        match act {
            Act::Admit(hello) => self.admit(&hello, content),
            Act::Announce(said) => {
                self.say(&said, content);
                self.gateway.announce();
            }
            Act::Call { id, permit, checked, name } => return self.work(content, id, permit, checked, name),
            Act::Close { last, code, reason, note } => {
                if let Some(last) = last {
                    self.say(&last, content);
                }
                self.note(&note);
                self.pipe.close(&frame::close(code, &reason));
            }
            Act::Refuse { said, note } => {
                self.say(&said, content);
                self.note(&note);
            }
            Act::Say(said) => _ = self.say(&said, content),
            Act::Silent => {}
        }
        None
    }

    fn late(&self) {
        self.note(&Note { reason: Some("socket_hello_timeout"), ..Note::default() });
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.gateway.hub.ready(&self.pipe);
        let guest = self.guest.borrow_mut().take();
        if guest.is_some_and(|guest| self.gateway.hub.leave(&guest, self.gateway.now())) {
            self.gateway.announce();
        }
    }
}

impl Gateway {
    /// Tells everybody who is there.
    fn announce(&self) {
        if !self.hub.is_empty() {
            let json = self.hub.roll.borrow().json(&roll::own(self), self.now());
            self.hub.tell("presence", &["{\"presence\":", &json, "}"].concat(), true, Urgency::Droppable);
        }
    }
}
