//! The examiner's door: the product's own listener, connection loop, parser, upgrade, frame codec and bounds around a
//! handler that answers every request with its own body and every message with itself. For conformance suites that want
//! an echo; loopback only.
//!
//! `cargo run --release --example echo -- --port 0` prints `listening on http://127.0.0.1:PORT`.

use std::future::Future;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use argh::FromArgs;
use smol::channel::Receiver;
use toolgate::api::{self, Answer, Note};
use toolgate::gate::tailnet::Caller;
use toolgate::limits;
use toolgate::serve::deadline::Deadlines;
use toolgate::serve::http::{Body, Bounds, Opened, Service};
use toolgate::serve::listen::{self, Arrival, Listener, Move};
use toolgate::serve::socket::{Pipe, Talk, Work};
use toolgate::serve::{self, Crowd};
use toolgate::wire::body::Framing;
use toolgate::wire::frame::Opcode;
use toolgate::wire::head::Head;
use toolgate::wire::message::Kind;
use toolgate::wire::reply::Reply;
use toolgate::wire::upgrade;

/// Answers every request with its own body, and every WebSocket message with itself.
#[derive(FromArgs)]
struct Echo {
    /// port on 127.0.0.1; 0 = any (default)
    #[argh(option, default = "0")]
    port: u16,
    /// largest body, in bytes (default: the product's)
    #[argh(option, default = "limits::BODY_BYTES_MAX")]
    body_bytes: usize,
    /// largest WebSocket message, in bytes (default: the product's)
    #[argh(option, default = "limits::SOCKET_MESSAGE_BYTES_DEFAULT")]
    message_bytes: usize,
    /// connections in all and of one peer (default: 256)
    #[argh(option, default = "limits::CONNECTIONS_DEFAULT")]
    connections: usize,
    /// seconds for a head (default: the product's)
    #[argh(option)]
    head_secs: Option<u64>,
    /// seconds for a body (default: the product's)
    #[argh(option)]
    body_secs: Option<u64>,
    /// seconds between requests (default: the product's)
    #[argh(option)]
    idle_secs: Option<u64>,
}

struct Handler {
    message_bytes: usize,
}

/// Says what it hears.
struct Parrot(Rc<Pipe>);

impl Talk for Parrot {
    fn hear(&self, kind: Kind, content: &[u8]) -> Option<Work> {
        let opcode = match kind {
            Kind::Binary => Opcode::Binary,
            Kind::Text => Opcode::Text,
        };
        if !self.0.send(opcode, content) {
            self.0.cut();
        }
        None
    }

    fn late(&self) {}
}

impl Service for Handler {
    type Ticket = ();
    type Knock = ();
    type Talk = Parrot;

    fn meet(&self, _: &Head, from: Arrival, _: BorrowedFd<'_>) -> impl Future<Output = Caller> {
        std::future::ready(from.peer().into())
    }

    fn open(&self, head: &Head, _: Framing, _: &Caller) -> Opened<(), ()> {
        if upgrade::asked(head) {
            return match upgrade::check(head) {
                Ok(accept) => Opened::Upgrade { reply: accept.answer(), knock: () },
                Err(refused) => Opened::Answer(api::Fault::Upgrade(refused).answer()),
            };
        }
        match api::expects_continue(head) {
            Ok(expects) => Opened::Body { ticket: (), expects },
            Err(fault) => Opened::Answer(fault.answer()),
        }
    }

    fn talk(&self, (): (), pipe: &Rc<Pipe>) -> Parrot {
        pipe.welcome(self.message_bytes);
        Parrot(Rc::clone(pipe))
    }

    async fn answer(&self, _: (), body: Body, _: Caller) -> Answer {
        Answer { reply: Reply::json(200, body.content), note: Note::default() }
    }

    fn note(&self, _: &Answer, _: IpAddr) {}

    fn seated(&self, _: &Rc<listen::Seats>, _: &Rc<Deadlines>) {}

    fn live(&self) -> impl Future<Output = ()> + 'static {
        std::future::ready(())
    }

    fn stop(&self) {}

    fn moves(&self) -> Receiver<Move> {
        smol::channel::bounded(1).1
    }

    fn late(&self, _: Duration) {}

    fn transport_security(&self) -> Option<Rc<str>> {
        None
    }
}

fn main() -> ExitCode {
    let echo: Echo = argh::from_env();
    let product = Bounds::default();
    let secs = |given: Option<u64>, own: Duration| given.map_or(own, Duration::from_secs);
    let bounds = Bounds {
        body_bytes: echo.body_bytes,
        body_pool_bytes: limits::BODY_POOL_BYTES_CEILING.max(echo.body_bytes),
        answer_pool_bytes: limits::BODY_POOL_BYTES_CEILING.max(echo.body_bytes),
        head: secs(echo.head_secs, product.head),
        body: secs(echo.body_secs, product.body),
        idle: secs(echo.idle_secs, product.idle),
        // Whatever it hears it must have room to say.
        queue_bytes: 2 * echo.message_bytes.max(product.queue_bytes),
        ..product
    };
    let crowd = Crowd { most: echo.connections, most_per_peer: echo.connections };
    let run = || {
        let listener = Listener::open(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), echo.port), None)?;
        let address = listener.address.to_string();
        let ready = move || {
            let mut out = std::io::stdout().lock();
            _ = writeln!(out, "listening on http://{address}").and_then(|()| out.flush());
        };
        serve::run(Handler { message_bytes: echo.message_bytes }, bounds, crowd, vec![listener], ready, |_| {})
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            _ = writeln!(std::io::stderr(), "echo: {error}");
            ExitCode::FAILURE
        }
    }
}
