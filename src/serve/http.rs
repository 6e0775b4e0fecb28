//! One connection: requests in, answers out, in order, each stage under its deadline.
//!
//! Contains no decision about a request: `wire` says what the bytes are and a [`Service`] says what to answer. While
//! a connection waits for its next request it holds no buffer: everything a request needs lives in one boxed
//! exchange, which is gone when the answer is out.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::IpAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use smol::channel::Receiver;

use super::deadline::{Deadlines, Expired};
use super::line::{Line, Unread};
use super::listen::{Arrival, Move, Seats};
use super::pool::{Lease, Pool};
use super::reactor::Watched;
use super::socket::{self, Pipe, Talk};
use crate::api::{Answer, Fault};
use crate::gate::tailnet::Caller;
use crate::limits::{
    ANSWER_FREE_BYTES, ANSWER_POOL_BYTES, BODY_BYTES_MAX, BODY_FREE_BYTES, BODY_POOL_BYTES_DEFAULT, BODY_SECS,
    DRAIN_BYTES_MAX, HANDSHAKE_MS_DEFAULT, HEAD_BYTES_MAX, HEAD_SECS, IDLE_SECS, READ_BYTES, SOCKET_QUEUE_BYTES,
    WRITE_SECS,
};
use crate::wire;
use crate::wire::body::{self, Decoder, Framing};
use crate::wire::head::{Head, Method, Scanner};
use crate::wire::reply::{CONTINUE, Terms};

/// What a service decides after a head.
#[derive(Debug)]
pub enum Opened<T, K> {
    /// Answer now.
    Answer(Answer),
    /// Read the body and come back with the ticket.
    Body {
        /// What the service wants to be reminded of.
        ticket: T,
        /// Whether the caller waits for `100 Continue`.
        expects: bool,
    },
    /// Send this head, then speak WebSocket.
    Upgrade {
        /// The 101, whole.
        reply: Vec<u8>,
        /// What the service wants to be reminded of.
        knock: K,
    },
}

/// A body and its share of the pool.
#[derive(Debug)]
pub struct Body {
    /// The content.
    pub content: Vec<u8>,
    _lease: Lease,
}

/// What answers requests. The gateway is one; the examiner's echo is another.
pub trait Service: 'static {
    /// What the service remembers of a head while its body is read.
    type Ticket;
    /// What the service remembers of an upgrade until its 101 is sent.
    type Knock;
    /// One socket's conversation.
    type Talk: Talk;
    /// Finds out who is at the other end of a connection, from what its head claims and what others say of it. Within a
    /// time of its own.
    fn meet(&self, head: &Head, from: Arrival, stream: BorrowedFd<'_>) -> impl Future<Output = Caller>;
    /// Judges a head.
    fn open(&self, head: &Head, framing: Framing, caller: &Caller) -> Opened<Self::Ticket, Self::Knock>;
    /// Begins the conversation on an upgraded connection.
    fn talk(&self, knock: Self::Knock, pipe: &Rc<Pipe>) -> Self::Talk;
    /// Answers a request whose body has come, within a time of its own. The body should be dropped before anything is
    /// waited for. It is dropped itself when the peer leaves.
    fn answer(&self, ticket: Self::Ticket, body: Body, caller: Caller) -> impl Future<Output = Answer>;
    /// Whether whoever comes from there is listened to at all; `stream` is its connection.
    fn welcomes(&self, from: Arrival, stream: BorrowedFd<'_>) -> bool {
        _ = (from, stream);
        true
    }
    /// Counts how often those who were welcome before are so no longer, whoever they are.
    fn era(&self) -> u16 {
        0
    }
    /// Is told of every answer that did not come from [`Service::answer`], for the log.
    fn note(&self, answer: &Answer, peer: IpAddr);
    /// Is shown the places that connections sit in and the deadlines of all, at the start.
    fn seated(&self, seats: &Rc<Seats>, deadlines: &Rc<Deadlines>);
    /// Listeners that take the place of those of their group, whenever some come.
    fn moves(&self) -> Receiver<Move>;
    /// What the service does beside answering, from start to end.
    fn live(&self) -> impl Future<Output = ()> + 'static;
    /// Is told that the gateway stops: every conversation should come to its end.
    fn stop(&self);
    /// Ends what still runs when the gateway has waited long enough.
    fn end(&self) -> impl Future<Output = ()> {
        std::future::ready(())
    }
    /// Is told how late a deadline was noticed.
    fn late(&self, by: Duration);
    /// The `Strict-Transport-Security` value to send.
    fn transport_security(&self) -> Option<Rc<str>>;
}

/// The limits of one server that its configuration may change.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// A body's content, in bytes, inclusive.
    pub body_bytes: usize,
    /// All bodies beyond the first [`BODY_FREE_BYTES`] of each, in bytes.
    pub body_pool_bytes: usize,
    /// All answers waiting to be taken beyond the first [`ANSWER_FREE_BYTES`] of each, in bytes.
    pub answer_pool_bytes: usize,
    /// The deadline for a head.
    pub head: Duration,
    /// The deadline for a body.
    pub body: Duration,
    /// The deadline for an answer, or for what waits for a socket's peer.
    pub write: Duration,
    /// The rest between requests.
    pub idle: Duration,
    /// The deadline for a socket's handshake.
    pub hello: Duration,
    /// Frames waiting for one socket's peer, in bytes.
    pub queue_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            body_bytes: BODY_BYTES_MAX,
            body_pool_bytes: BODY_POOL_BYTES_DEFAULT,
            answer_pool_bytes: ANSWER_POOL_BYTES,
            head: HEAD_SECS,
            body: BODY_SECS,
            write: WRITE_SECS,
            idle: IDLE_SECS,
            hello: Duration::from_millis(HANDSHAKE_MS_DEFAULT.into()),
            queue_bytes: SOCKET_QUEUE_BYTES,
        }
    }
}

/// What all connections of a server share.
#[derive(Debug)]
pub struct Shared<S> {
    /// What answers.
    pub service: S,
    /// The limits.
    pub bounds: Bounds,
    /// Every deadline.
    pub deadlines: Rc<Deadlines>,
    /// Whether the gateway is stopping: each connection ends after its current answer.
    pub stopping: Cell<bool>,
    pub(super) bodies: Rc<Pool>,
    pub(super) answers: Rc<Pool>,
    pub(super) scratch: RefCell<Box<[u8]>>,
    date: RefCell<(u64, String)>,
}

impl<S: Service> Shared<S> {
    /// A server's shared state.
    pub fn new(service: S, bounds: Bounds) -> Rc<Shared<S>> {
        Rc::new(Shared {
            service,
            bounds,
            deadlines: Rc::default(),
            stopping: Cell::new(false),
            bodies: Pool::new(bounds.body_pool_bytes),
            answers: Pool::new(bounds.answer_pool_bytes),
            scratch: RefCell::new(vec![0; READ_BYTES].into()),
            date: RefCell::default(),
        })
    }

    /// Runs `use_date` with the time as a field value, made anew once a second.
    fn with_date<T>(&self, use_date: impl FnOnce(&str) -> T) -> T {
        let seconds = super::wall_clock().as_secs();
        let mut date = self.date.borrow_mut();
        if date.0 != seconds || date.1.is_empty() {
            *date = (seconds, wire::reply::http_date(seconds));
        }
        use_date(&date.1)
    }
}

/// How a connection ends.
#[derive(Debug)]
enum End {
    /// The peer is gone, or does not take its answer.
    Gone,
    /// The answer is out. Whatever still comes is thrown away for a while, so that the answer survives.
    Linger,
    /// The peer ended it between two requests, or rested too long.
    Quiet,
}

impl From<Unread> for End {
    fn from(_: Unread) -> End {
        End::Gone
    }
}

/// What comes after an exchange, with what was read beyond it.
enum Next<K> {
    Request(Vec<u8>),
    Socket(K, Vec<u8>),
}

/// Serves one connection until it ends.
pub async fn serve<S: Service>(shared: Rc<Shared<S>>, stream: Watched<OwnedFd>, from: Arrival) {
    let line = Line::new(&shared, stream, from);
    let mut carry = Vec::new();
    let mut first = true;
    let end = loop {
        match Box::pin(line.exchange(std::mem::take(&mut carry), first)).await {
            Ok(Next::Request(left)) => carry = left,
            Ok(Next::Socket(knock, left)) => {
                break if Box::pin(socket::converse(&line, knock, left)).await { End::Linger } else { End::Gone };
            }
            Err(end) => break end,
        }
        first = false;
        if !carry.is_empty() {
            // Whoever sends many requests at once waits for the others after each.
            smol::future::yield_now().await;
        } else if line.rest().await.is_err() {
            break End::Quiet;
        }
    };
    if matches!(end, End::Linger) {
        line.linger().await;
    }
}

/// Tells a connection that there is no place for it.
pub async fn turn_away<S: Service>(shared: Rc<Shared<S>>, stream: Watched<OwnedFd>, from: Arrival, answer: Answer) {
    let line = Line::new(&shared, stream, from);
    if line.write(answer, Manner { keep: false, head_only: false }).await.is_ok() {
        line.linger().await;
    }
}

/// How an answer goes out.
#[derive(Debug, Clone, Copy)]
struct Manner {
    keep: bool,
    head_only: bool,
}

impl<S: Service> Line<'_, S> {
    /// Waits for the next request's first byte.
    async fn rest(&self) -> Result<(), Expired> {
        self.deadline.rest(self.shared.bounds.idle);
        self.deadline.watch(|cx| self.poll_readable(cx)).await
    }

    /// One request and its answer.
    async fn exchange(&self, carry: Vec<u8>, first: bool) -> Result<Next<S::Knock>, End> {
        let (head, carry) = match self.read_head(carry, first).await? {
            Ok(read) => read,
            Err(fault) => return self.refuse(fault, false).await,
        };
        let head_only = head.method() == Method::Head;
        let framing = match body::resolve(&head) {
            Ok(framing) => framing,
            Err(fault) => return self.refuse(Fault::Message(fault), head_only).await,
        };
        let keep = !head.ends_connection();
        // Only a peer of HTTP/1.1 takes an answer before the answer.
        let asks = !head.is_http10();
        // A peer that waits for 100 and gets another answer may or may not send its body: nobody can tell where the
        // next request begins, so the connection cannot be kept.
        let waits = !head.is_http10() && head.values("expect").next().is_some() && framing != Framing::Length(0);
        let Some(caller) = Box::pin(self.meet(&head)).await else { return Err(End::Gone) };
        let keep = keep && !caller.is_doubtful();
        let (ticket, expects) = match self.shared.service.open(&head, framing, &caller) {
            Opened::Answer(answer) => {
                self.shared.service.note(&answer, caller.addr);
                drop(head);
                return self.answer_unread(answer, framing, carry, Manner { keep: keep && !waits, head_only }).await;
            }
            Opened::Body { ticket, expects } => (ticket, expects && waits),
            // What follows a body of the upgrade request and what follows its head differ: frames could be hidden in it.
            Opened::Upgrade { .. } if framing != Framing::Length(0) => {
                return self.refuse(Fault::Message(wire::Fault::FramingConflict), head_only).await;
            }
            Opened::Upgrade { .. } if self.shared.stopping.get() => {
                return self.refuse(Fault::Stopping, head_only).await;
            }
            Opened::Upgrade { reply, knock } => {
                drop(head);
                self.deadline.start(self.shared.bounds.write);
                self.send(&reply, &[]).await?;
                return Ok(Next::Socket(knock, carry));
            }
        };
        drop(head);
        let mut lease = self.shared.bodies.lease();
        if let Framing::Length(length) = framing {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if length > self.shared.bounds.body_bytes {
                return self.refuse(Fault::Message(wire::Fault::BodyTooLarge), head_only).await;
            }
            if !lease.grow_to(length.saturating_sub(BODY_FREE_BYTES)) {
                let answer = Fault::BodiesFull.answer();
                self.shared.service.note(&answer, self.from.get().peer());
                return self.answer_unread(answer, framing, carry, Manner { keep: keep && !waits, head_only }).await;
            }
        }
        if expects && carry.is_empty() {
            self.deadline.start(self.shared.bounds.write);
            self.send(CONTINUE, &[]).await?;
        }
        let (body, carry) = match self.read_body(framing, carry, lease).await? {
            Ok(read) => read,
            Err(fault) => return self.refuse(fault, head_only).await,
        };
        // The service keeps its own time: it knows how long the call may take.
        self.deadline.stop();
        // Lent, because what is handed over is copied: a kilobyte.
        let answer = pin!(self.shared.service.answer(ticket, body, caller));
        let Some(answer) = self.unless_left(asks, answer).await else { return Err(End::Gone) };
        if self.write(answer, Manner { keep, head_only }).await? { Ok(Next::Request(carry)) } else { Err(End::Linger) }
    }

    /// Who is at the other end; nobody whom a reload has shut out since the connection was welcome.
    async fn meet(&self, head: &Head) -> Option<Caller> {
        let (service, from) = (&self.shared.service, self.from.get());
        let welcome = || service.era() == self.era && service.welcomes(from, self.stream());
        if !welcome() {
            return None;
        }
        let caller = service.meet(head, from, self.stream()).await;
        self.belongs(&caller);
        welcome().then_some(caller)
    }

    /// Reads up to a head's end. Returns the head and what was read beyond it.
    async fn read_head(&self, carry: Vec<u8>, first: bool) -> Result<Result<(Head, Vec<u8>), Fault>, End> {
        let mut buffer = carry;
        let mut scanner = Scanner::default();
        self.deadline.rest(self.shared.bounds.head);
        loop {
            if !buffer.is_empty() {
                self.deadline.rouse();
            }
            match scanner.scan(&buffer) {
                Err(fault) => return Ok(Err(Fault::Message(fault))),
                Ok(Some(end)) => {
                    let carry = buffer.split_off(end);
                    return Ok(Head::parse(buffer).map(|head| (head, carry)).map_err(Fault::Message));
                }
                Ok(None) => {}
            }
            // One byte more than a head may have, so that a head that is too long is seen to be.
            let room = (HEAD_BYTES_MAX + 1).saturating_sub(buffer.len());
            let read = self.read(room, |bytes| {
                buffer.reserve_exact(bytes.len());
                buffer.extend_from_slice(bytes);
                bytes.len()
            });
            match read.await {
                Ok(0) if scanner.begun() => return Ok(Err(Fault::Message(wire::Fault::Truncated))),
                Ok(0) => return Err(End::Quiet),
                Ok(_) => {}
                Err(Unread::Expired) if scanner.begun() => return Ok(Err(Fault::HeadTimeout)),
                Err(Unread::Expired) if first && !self.shared.stopping.get() => return Ok(Err(Fault::HeadTimeout)),
                Err(Unread::Expired) => return Err(End::Quiet),
                Err(Unread::Gone) => return Err(End::Gone),
            }
        }
    }

    /// Reads a body. Memory beyond what is free is leased before it is taken.
    async fn read_body(
        &self,
        framing: Framing,
        carry: Vec<u8>,
        mut lease: Lease,
    ) -> Result<Result<(Body, Vec<u8>), Fault>, End> {
        let most = self.shared.bounds.body_bytes;
        let mut content = Vec::new();
        if let Framing::Length(length) = framing {
            content.reserve_exact(usize::try_from(length).unwrap_or(usize::MAX).min(most));
        }
        let taken = self.decode(framing, carry, |bytes| {
            let length = content.len() + bytes.len();
            if length > most {
                return Err(Fault::Message(wire::Fault::BodyTooLarge));
            }
            if length > content.capacity() {
                let room = (content.capacity() * 2).max(length).min(most);
                if !lease.grow_to(room.saturating_sub(BODY_FREE_BYTES)) {
                    return Err(Fault::BodiesFull);
                }
                content.reserve_exact(room - content.len());
            }
            content.extend_from_slice(bytes);
            Ok(())
        });
        match taken.await? {
            Ok(carry) => Ok(Ok((Body { content, _lease: lease }, carry))),
            Err(fault) => Ok(Err(fault)),
        }
    }

    /// Takes the framing off a body and hands its content to `sink`. Returns what was read beyond it.
    async fn decode(
        &self,
        framing: Framing,
        carry: Vec<u8>,
        mut sink: impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<Result<Vec<u8>, Fault>, End> {
        let mut decoder = Decoder::new(framing);
        let mut step = |mut rest: &[u8]| {
            loop {
                let piece = decoder.next(rest).map_err(Fault::Message)?;
                sink(rest.get(piece.content).unwrap_or_default())?;
                rest = rest.get(piece.used..).unwrap_or_default();
                match (piece.done, rest.is_empty()) {
                    (true, _) => return Ok(Some(rest.to_vec())),
                    (false, true) => return Ok(None),
                    (false, false) => {}
                }
            }
        };
        self.deadline.start(self.shared.bounds.body);
        let mut stepped = step(&carry);
        drop(carry);
        loop {
            match stepped {
                Ok(Some(carry)) => return Ok(Ok(carry)),
                Ok(None) => {}
                Err(fault) => return Ok(Err(fault)),
            }
            let truncated = Err(Fault::Message(wire::Fault::Truncated));
            let read = self.read(READ_BYTES, |bytes| if bytes.is_empty() { truncated.clone() } else { step(bytes) });
            stepped = match read.await {
                Ok(stepped) => stepped,
                Err(Unread::Expired) => Err(Fault::BodyTimeout),
                Err(Unread::Gone) => return Err(End::Gone),
            };
        }
    }

    /// Answers a request whose body nobody wants. The body is thrown away if that is cheap, else the connection ends.
    async fn answer_unread(
        &self,
        answer: Answer,
        framing: Framing,
        carry: Vec<u8>,
        manner: Manner,
    ) -> Result<Next<S::Knock>, End> {
        let cheap = !matches!(framing, Framing::Length(length) if length > DRAIN_BYTES_MAX);
        if !self.write(answer, Manner { keep: manner.keep && cheap, ..manner }).await? {
            return Err(End::Linger);
        }
        let mut thrown = 0_u64;
        let drained = self.decode(framing, carry, |bytes| {
            thrown += bytes.len() as u64;
            if thrown > DRAIN_BYTES_MAX { Err(Fault::Message(wire::Fault::BodyTooLarge)) } else { Ok(()) }
        });
        drained.await?.map(Next::Request).map_err(|_| End::Gone)
    }

    /// Answers with a fault after which the connection cannot go on.
    async fn refuse(&self, fault: Fault, head_only: bool) -> Result<Next<S::Knock>, End> {
        let answer = fault.answer();
        self.shared.service.note(&answer, self.from.get().peer());
        self.write(answer, Manner { keep: false, head_only }).await?;
        Err(End::Linger)
    }

    /// Sends an answer. Returns whether the connection is kept.
    async fn write(&self, answer: Answer, manner: Manner) -> Result<bool, End> {
        let mut reply = answer.reply;
        let mut lease = self.shared.answers.lease();
        if !lease.grow_to(reply.content.bytes().len().saturating_sub(ANSWER_FREE_BYTES)) {
            reply = Fault::AnswersFull.answer().reply;
        }
        let keep = manner.keep && !reply.close && !self.shared.stopping.get();
        let head = self.shared.with_date(|date| {
            reply.head(&Terms {
                date,
                keep_secs: keep.then_some(self.shared.bounds.idle.as_secs()),
                head_only: manner.head_only,
                transport_security: self.shared.service.transport_security().as_deref(),
            })
        });
        let content = if manner.head_only { &[] } else { reply.content.bytes() };
        self.deadline.start(self.shared.bounds.write);
        self.send(&head, content).await?;
        Ok(keep)
    }
}
