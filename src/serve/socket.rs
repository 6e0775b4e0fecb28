//! An upgraded connection: messages in, frames out, until one side closes. Contains no decision about a message: `wire`
//! says what the bytes are and a [`Talk`] says what to answer.
//!
//! A socket that waits holds no buffer. What comes in is leased from the pool of bodies, what waits to go out from the
//! pool of answers; a peer that does not take its frames is not listened to, then dropped.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::deadline::Expired;
use super::http::{Service, Shared};
use super::line::{Line, Unread};
use super::pool::{Lease, Pool};
use crate::limits::{
    ANSWER_FREE_BYTES, FRAME_HEAD_BYTES, READ_BYTES, SOCKET_CLOSE_SECS, SOCKET_FREE_BYTES, SOCKET_HELLO_BYTES,
    SOCKET_PACE_BYTES, SOCKET_PINGS_UNANSWERED,
};
use crate::wire::frame::{self, Opcode};
use crate::wire::message::{Event, Kind, Reader, Role, Violation};

/// Work that a message began. It says its answer into the pipe itself.
pub type Work = Pin<Box<dyn Future<Output = ()>>>;

/// One socket's conversation, made by a [`Service`].
pub trait Talk {
    /// Hears one whole message. Work that takes time is given back, to go on beside other messages.
    fn hear(&self, kind: Kind, content: &[u8]) -> Option<Work>;
    /// Is told that the handshake took too long.
    fn late(&self);
}

/// How far a socket has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The handshake is not over.
    Hello,
    /// Messages go both ways.
    Open,
    /// Our close frame is in the queue; nothing comes after it.
    Closing,
    /// The connection is to be dropped as it is.
    Dropped,
}

/// What a conversation and its connection share: the way out, and what may come in.
#[derive(Debug)]
pub struct Pipe {
    state: Cell<State>,
    /// Bytes of one message that may come.
    most: Cell<usize>,
    /// Pings since anything came.
    unanswered: Cell<u8>,
    /// Bytes of frames that may wait.
    room: usize,
    queue: RefCell<Queue>,
    waker: RefCell<Option<Waker>>,
}

/// Frames that wait, and how much of them is sent.
#[derive(Debug)]
struct Queue {
    frames: Vec<u8>,
    sent: usize,
    lease: Lease,
}

impl Queue {
    /// Bytes that the peer has not taken.
    fn waiting(&self) -> usize {
        self.frames.len().saturating_sub(self.sent)
    }
}

impl Pipe {
    fn new(lease: Lease, room: usize) -> Rc<Pipe> {
        Rc::new(Pipe {
            room,
            state: Cell::new(State::Hello),
            most: Cell::new(SOCKET_HELLO_BYTES),
            unanswered: Cell::new(0),
            queue: RefCell::new(Queue { frames: Vec::new(), sent: 0, lease }),
            waker: RefCell::default(),
        })
    }

    /// Queues one frame. Returns whether there was room for it; if not, nothing changed.
    pub fn send(&self, opcode: Opcode, payload: &[u8]) -> bool {
        if matches!(self.state.get(), State::Closing | State::Dropped) {
            return true;
        }
        let mut queue = self.queue.borrow_mut();
        let total = queue.frames.len().saturating_add(payload.len()).saturating_add(FRAME_HEAD_BYTES);
        if total > self.room || !queue.lease.grow_to(total.saturating_sub(ANSWER_FREE_BYTES)) {
            return false;
        }
        // To the byte, so that no more is held than was leased.
        queue.frames.reserve_exact(payload.len().saturating_add(FRAME_HEAD_BYTES));
        frame::push(&mut queue.frames, opcode, payload, None);
        drop(queue);
        self.wake();
        true
    }

    /// Bytes of frames that the peer has not taken.
    pub fn waiting(&self) -> usize {
        self.queue.borrow().waiting()
    }

    /// Ends the handshake: from now on messages may have `most` bytes, and the socket may rest.
    pub fn welcome(&self, most: usize) {
        if self.state.get() == State::Hello {
            self.state.set(State::Open);
        }
        self.most.set(most);
    }

    /// Queues a close frame after what waits already. Later frames are not sent.
    pub fn close(&self, payload: &[u8]) {
        if !matches!(self.state.get(), State::Closing | State::Dropped) {
            self.state.set(State::Closing);
            frame::push(&mut self.queue.borrow_mut().frames, Opcode::Close, payload, None);
            self.wake();
        }
    }

    /// Drops the connection as it is.
    pub fn cut(&self) {
        self.state.set(State::Dropped);
        self.wake();
    }

    /// Asks the peer for a sign of life; a peer that gave none after [`SOCKET_PINGS_UNANSWERED`] of them is cut off.
    /// Returns whether it lives.
    pub fn ping(&self) -> bool {
        let unanswered = self.unanswered.get();
        if unanswered < SOCKET_PINGS_UNANSWERED {
            self.unanswered.set(unanswered.saturating_add(1));
            // Without room for six bytes the peer takes nothing at all; its own deadline ends it.
            _ = self.send(Opcode::Ping, b"tick");
            return true;
        }
        self.cut();
        false
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// How an upgraded connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Both sides said goodbye, or we did and need not wait.
    Closed,
    /// The peer is gone, or is cut off.
    Gone,
}

/// A stage of a socket, each with a deadline of its own or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Waiting for the close frame of the peer.
    Closing,
    /// The handshake.
    Hello,
    /// Waiting for the rest of a message.
    Message,
    /// Waiting for the peer to say something.
    Rest,
    /// Waiting for the peer to take its frames.
    Write,
}

/// Speaks with one peer until the end; `carry` is what came after its upgrade request. Gives whether the connection
/// should be closed gently.
pub(super) fn converse<'s, S: Service>(
    line: &'s Line<'s, S>,
    knock: S::Knock,
    carry: Vec<u8>,
) -> impl Future<Output = bool> + 's {
    let pipe = Pipe::new(line.shared.answers.lease(), line.shared.bounds.queue_bytes);
    let talk = line.shared.service.talk(knock, &pipe);
    let reader = Reader::new(Role::Server, SOCKET_HELLO_BYTES);
    let ear = Ear { reader, rest: carry.into(), begun: None, lease: None, deaf: false, farewell: false };
    let mut socket = Socket { shared: line.shared, pipe, talk, ear, works: Vec::new(), stage: Stage::Hello };
    line.deadline.start(line.shared.bounds.hello);
    // Nothing but the socket is in here, because there are as many of these as sockets.
    async move {
        loop {
            match line.deadline.watch(|cx| socket.poll(line, cx)).await {
                Ok(end) => return end == End::Closed,
                Err(Expired) => match socket.stage {
                    Stage::Hello => {
                        socket.talk.late();
                        socket.pipe.close(&frame::close(1000, ""));
                        socket.enter(line, Stage::Closing);
                    }
                    Stage::Closing | Stage::Message | Stage::Rest | Stage::Write => return false,
                },
            }
        }
    }
}

/// What listens to the peer.
struct Ear {
    reader: Reader,
    /// What was read and is not heard yet, because the peer has answers to take first.
    rest: Box<[u8]>,
    /// When the message began that is not whole yet.
    begun: Option<Instant>,
    /// The share that `rest`, or a message which is not whole yet, has of the pool.
    lease: Option<Lease>,
    /// The peer broke the protocol: nothing it sends can be understood.
    deaf: bool,
    /// The peer has sent its close frame.
    farewell: bool,
}

/// Makes a lease cover `total` bytes of a message. Returns whether there was room.
fn lend(lease: &mut Option<Lease>, bodies: &Rc<Pool>, total: usize) -> bool {
    let beyond = total.saturating_sub(SOCKET_FREE_BYTES);
    beyond == 0 || lease.get_or_insert_with(|| bodies.lease()).grow_to(beyond)
}

/// One upgraded connection.
struct Socket<'s, S: Service> {
    shared: &'s Rc<Shared<S>>,
    pipe: Rc<Pipe>,
    talk: S::Talk,
    ear: Ear,
    works: Vec<Work>,
    stage: Stage,
}

impl<S: Service> Socket<'_, S> {
    /// Works, listens and sends as far as it goes without waiting.
    fn poll(&mut self, line: &Line<'_, S>, cx: &mut Context<'_>) -> Poll<End> {
        *self.pipe.waker.borrow_mut() = Some(cx.waker().clone());
        self.works.retain_mut(|work| work.as_mut().poll(cx).is_pending());
        if self.works.is_empty() {
            self.works = Vec::new();
        }
        let cx = &*cx;
        loop {
            match self.flush(line, cx) {
                Poll::Ready(Err(())) => return Poll::Ready(End::Gone),
                Poll::Ready(Ok(())) if self.ended(line) => return Poll::Ready(End::Closed),
                // Whoever does not take its answers is not listened to, so it cannot ask for more of them.
                Poll::Pending if self.is_full() => break,
                _ => {}
            }
            if !self.ear.rest.is_empty() {
                let rest = std::mem::take(&mut self.ear.rest);
                self.ear.lease = None;
                self.take(&rest, cx);
                continue;
            }
            match line.poll_read(cx, READ_BYTES, |bytes| self.listen(bytes, cx)) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false) | Err(Unread::Expired | Unread::Gone)) => return Poll::Ready(End::Gone),
                Poll::Pending => break,
            }
        }
        let ear = &mut self.ear;
        ear.begun = ear.reader.within().then(|| ear.begun.unwrap_or_else(Instant::now));
        // A peer that is told something meanwhile gains no time for its message.
        let late = ear.begun.is_some_and(|begun| begun.elapsed() > line.shared.bounds.body);
        if late || self.pipe.state.get() == State::Dropped {
            return Poll::Ready(End::Gone);
        }
        self.enter(line, self.due());
        Poll::Pending
    }

    /// Whether so much waits for the peer that it must take some of it before it is listened to.
    fn is_full(&self) -> bool {
        self.pipe.waiting() > SOCKET_PACE_BYTES
    }

    /// Listens to what was read; returns whether the peer is still there.
    fn listen(&mut self, bytes: &[u8], cx: &Context<'_>) -> bool {
        self.pipe.unanswered.set(0);
        self.take(bytes, cx);
        !bytes.is_empty()
    }

    /// Takes messages off the bytes that came, until they are used up or the answers to them must be taken first.
    fn take(&mut self, mut bytes: &[u8], cx: &Context<'_>) {
        while !self.ear.deaf {
            self.ear.reader.set_most(self.pipe.most.get());
            let (lease, bodies) = (&mut self.ear.lease, &self.shared.bodies);
            let mut room = |total| lend(lease, bodies, total);
            let violation = match self.ear.reader.next(bytes, &mut room) {
                Ok((used, Some(event))) => {
                    bytes = bytes.get(used..).unwrap_or_default();
                    self.happen(event, cx);
                    if bytes.is_empty() {
                        return;
                    }
                    // Between the parts of a message there are only pings, and a pong is shorter than its ping.
                    if !self.is_full() || self.ear.reader.within() {
                        continue;
                    }
                    if lend(&mut self.ear.lease, &self.shared.bodies, bytes.len()) {
                        self.ear.rest = bytes.into();
                        return;
                    }
                    Violation::NoRoom
                }
                Ok((_, None)) => return,
                Err(violation) => violation,
            };
            self.ear.deaf = true;
            self.ear.lease = None;
            self.pipe.close(&frame::close(violation.code(), ""));
        }
    }

    fn happen(&mut self, event: Event, cx: &Context<'_>) {
        match event {
            // What comes after our goodbye is not answered.
            Event::Message { kind, content } if matches!(self.pipe.state.get(), State::Hello | State::Open) => {
                let work = self.talk.hear(kind, &content);
                drop(content);
                (self.ear.lease, self.ear.begun) = (None, None);
                // What need not wait is over at once, and not counted against what comes right behind it.
                let mut cx = Context::from_waker(cx.waker());
                self.works.extend(work.and_then(|mut work| work.as_mut().poll(&mut cx).is_pending().then_some(work)));
            }
            Event::Message { .. } => self.ear.lease = None,
            Event::Ping(payload) => _ = self.pipe.send(Opcode::Pong, &payload),
            Event::Pong(_) => {}
            Event::Close(reason) => {
                self.ear.farewell = true;
                self.ear.deaf = true;
                let echo = reason.map_or(Vec::new(), |(code, _)| frame::close(code, ""));
                self.pipe.close(&echo);
            }
        }
    }

    /// Sends what waits.
    fn flush(&mut self, line: &Line<'_, S>, cx: &Context<'_>) -> Poll<Result<(), ()>> {
        let pipe = Rc::clone(&self.pipe);
        let mut queue = pipe.queue.borrow_mut();
        let Queue { frames, sent, .. } = &mut *queue;
        if frames.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let sending = line.poll_send(cx, frames, &[], sent);
        if sending.is_ready() {
            *queue = Queue { frames: Vec::new(), sent: 0, lease: self.shared.answers.lease() };
            if self.stage == Stage::Write {
                // A peer that took everything is not late, though more waits for it already.
                self.enter(line, Stage::Rest);
            }
        }
        sending
    }

    /// Whether all is said and, where the peer is owed time for it, heard.
    fn ended(&self, line: &Line<'_, S>) -> bool {
        self.pipe.state.get() == State::Closing && (self.ear.farewell || self.ear.deaf || line.shared.stopping.get())
    }

    /// The stage that the socket is in.
    fn due(&self) -> Stage {
        match self.pipe.state.get() {
            State::Closing | State::Dropped => Stage::Closing,
            State::Hello => Stage::Hello,
            State::Open if !self.pipe.queue.borrow().frames.is_empty() => Stage::Write,
            State::Open if self.ear.begun.is_some() => Stage::Message,
            State::Open => Stage::Rest,
        }
    }

    /// Enters a stage, if the socket is not in it already: its deadline counts from the first moment.
    fn enter(&mut self, line: &Line<'_, S>, stage: Stage) {
        // Another message has begun where one has ended.
        if self.stage == stage && stage != Stage::Message {
            return;
        }
        self.stage = stage;
        match stage {
            Stage::Closing => line.deadline.start(SOCKET_CLOSE_SECS),
            Stage::Hello => {}
            Stage::Message => {
                let took = self.ear.begun.map_or(Duration::ZERO, |begun| begun.elapsed());
                line.deadline.start(line.shared.bounds.body.saturating_sub(took));
            }
            Stage::Rest => line.deadline.stop(),
            Stage::Write => line.deadline.start(line.shared.bounds.write),
        }
    }
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;
