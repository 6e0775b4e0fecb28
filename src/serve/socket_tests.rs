use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::gate::Rules;
use crate::gate::auth::{Auth, Mode};
use crate::limits::{SOCKET_CALLS, SOCKET_EVENTS_BYTES, SOCKET_PINGS_UNANSWERED, SOCKET_QUEUE_BYTES};
use crate::serve::gateway::Gateway;
use crate::serve::http::{Bounds, Opened};
use crate::serve::hub::{Hub, Urgency};
use crate::serve::listen::{Arrival, Door};
use crate::serve::reactor::Reactor;
use crate::serve::reload::{Hands, Places, Regime};
use crate::serve::visitor::Visitor;
use crate::tool::{self, Host};
use crate::wire::body::Framing;
use crate::wire::head::Head;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A gateway that asks for no secret.
fn gateway() -> Rc<Gateway> {
    let auth = Auth { mode: Mode::None, ..Auth::default() };
    let mut rules = Rules { auth, ..Rules::default() };
    rules.names.any_literal = true;
    rules.policy.known = tool::TOOLS.iter().map(|tool| tool.name.to_owned()).collect();
    let regime = Regime {
        rules,
        settings: crate::api::Settings::default(),
        calls: 64,
        result_bytes: 65_536,
        message_bytes: 65_536,
        declared: Vec::new(),
        targets: Rc::default(),
        private: Vec::new(),
        tailnet: crate::config::Config::default().gateway.tailnet,
        tailnet_port: None,
        held: Vec::new(),
        listeners: Vec::new(),
    };
    let hands = Hands {
        reload: Box::new(|| Err(Vec::new())),
        document: Box::new(|| Err("none".into())),
        lookup: Box::new(|_| None),
        addresses: Vec::new(),
        listens: Box::new(|_| ()),
        public_key: None,
        places: Places::default(),
    };
    Gateway::new(regime, Host::new(PathBuf::from("/"), &[]), hands)
}

fn request(id: &str, method: &str, params: Value) -> Vec<u8> {
    json!({ "type": "req", "id": id, "method": method, "params": params }).to_string().into_bytes()
}

fn connect() -> Vec<u8> {
    let client = json!({ "id": "test", "version": "1", "platform": "linux", "mode": "ui" });
    request(
        "c",
        "connect",
        json!({ "minProtocol": 4, "maxProtocol": 4, "client": client, "scopes": ["operator.admin"] }),
    )
}

/// A socket of that gateway without a connection, and the pool that its frames are counted in.
fn visitor(gateway: &Rc<Gateway>, pool: &Rc<Pool>) -> (Visitor, Rc<Pipe>) {
    let head = Head::parse(UPGRADE.into()).expect("a head");
    let Opened::Upgrade { knock, .. } = gateway.open(&head, Framing::Length(0), &PEER.into()) else {
        panic!("no upgrade")
    };
    let pipe = Pipe::new(pool.lease(), SOCKET_QUEUE_BYTES);
    (gateway.talk(knock, &pipe), pipe)
}

/// One whose handshake is over, and that has taken its frames.
fn member(gateway: &Rc<Gateway>) -> (Visitor, Rc<Pipe>) {
    let (visitor, pipe) = visitor(gateway, &Pool::new(SOCKET_QUEUE_BYTES));
    assert!(visitor.hear(Kind::Text, &connect()).is_none());
    let said = taken(&pipe);
    assert_eq!((said.len(), &said[1]["payload"]["type"]), (2, &json!("hello-ok")), "{said:?}");
    (visitor, pipe)
}

/// Takes the frames that wait: messages as JSON, control frames by their names.
fn taken(pipe: &Pipe) -> Vec<Value> {
    let frames = std::mem::take(&mut pipe.queue.borrow_mut().frames);
    let (mut reader, mut rest, mut said) = (Reader::new(Role::Client, frames.len()), &frames[..], Vec::new());
    while let Ok((used, Some(event))) = reader.next(rest, &mut |_| true) {
        rest = &rest[used..];
        said.push(match event {
            Event::Message { content, .. } => serde_json::from_slice(&content).expect("JSON"),
            Event::Close(reason) => json!({ "close": reason.map(|(code, _)| code) }),
            Event::Ping(_) => json!("ping"),
            Event::Pong(_) => json!("pong"),
        });
    }
    said
}

#[test]
fn the_ninth_request_in_flight_is_refused() {
    let gateway = gateway();
    let (visitor, pipe) = member(&gateway);
    let ask =
        |id: usize| visitor.hear(Kind::Text, &request(&id.to_string(), "tools.invoke", json!({"name": "time_status"})));
    // What is not polled goes on running.
    let mut works: Vec<Work> = (0..SOCKET_CALLS).filter_map(ask).collect();
    assert_eq!((works.len(), taken(&pipe).len()), (SOCKET_CALLS, 0));
    assert!(ask(SOCKET_CALLS).is_none());
    let said = taken(&pipe);
    assert_eq!((said.len(), &said[0]["id"], &said[0]["error"]["code"]), (1, &json!("8"), &json!("UNAVAILABLE")));
    assert_eq!((&said[0]["error"]["retryable"], &said[0]["error"]["retryAfterMs"]), (&json!(true), &json!(1000)));
    // Answers come in whatever order the requests end in.
    let mut cx = Context::from_waker(Waker::noop());
    for work in works.iter_mut().rev() {
        assert!(work.as_mut().poll(&mut cx).is_ready());
    }
    let ids: Vec<Value> = taken(&pipe).iter().map(|answer| answer["id"].clone()).collect();
    assert_eq!(ids, (0..SOCKET_CALLS).rev().map(|id| json!(id.to_string())).collect::<Vec<_>>());
    assert!(ask(9).is_some(), "there is room again");
}

#[test]
fn a_tick_reaches_the_living_and_ends_the_dead() {
    let gateway = gateway();
    let ((_alive, alive), (_dead, dead)) = (member(&gateway), member(&gateway));
    let (_waiting, waiting) = visitor(&gateway, &Pool::new(SOCKET_QUEUE_BYTES));
    gateway.tick(1);
    for pipe in [&alive, &dead] {
        let said = taken(pipe);
        assert_eq!(
            (said.len(), &said[0], &said[1]["event"], &said[1]["seq"]),
            (2, &json!("ping"), &json!("tick"), &json!(1))
        );
        assert!(said[1]["payload"]["ts"].is_u64() && said[1].get("stateVersion").is_none(), "{said:?}");
    }
    assert_eq!(taken(&waiting).len(), 1, "a handshake is told nothing but its challenge");
    // One that is busy for a while leaves pings unanswered, and lives.
    for number in 2..=u64::from(SOCKET_PINGS_UNANSWERED) {
        gateway.tick(2 * number + 1);
        assert_eq!((taken(&alive).len(), taken(&dead).len(), dead.state.get()), (2, 2, State::Open));
    }
    alive.unanswered.set(0);
    gateway.tick(2);
    assert_eq!((alive.state.get(), dead.state.get()), (State::Open, State::Dropped));
    let said = taken(&alive);
    assert_eq!((&said[1]["seq"], &said[2]["event"], &said[2]["seq"]), (&json!(4), &json!("health"), &json!(5)));
    assert!(said[2]["stateVersion"]["health"].is_u64(), "every second tick comes with health: {said:?}");
    assert!(gateway.audit().tail(0, 9).iter().any(|line| line.text == "socket_dead count=1"));
}

#[test]
fn a_peer_that_reads_nothing_is_left_out_and_sees_a_gap() {
    let (hub, pool) = (Hub::default(), Pool::new(SOCKET_QUEUE_BYTES));
    let pipe = Pipe::new(pool.lease(), SOCKET_QUEUE_BYTES);
    pipe.welcome(1);
    let _guest = hub.join(&pipe, crate::api::socket::roll::Entry::new("a"), PEER.into(), crate::tool::Now::default());
    let payload = json!("x".repeat(SOCKET_EVENTS_BYTES / 4)).to_string();
    for _ in 0..100 {
        hub.tell("presence", &payload, true, Urgency::Droppable);
    }
    assert!(pipe.waiting() <= SOCKET_EVENTS_BYTES + payload.len() + 200, "{} bytes wait", pipe.waiting());
    hub.tell("tick", "{}", false, Urgency::Needed);
    let seqs: Vec<Value> = taken(&pipe).iter().map(|event| event["seq"].clone()).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 101].map(|seq| json!(seq)), "what is left out is counted");
    assert_eq!(pipe.state.get(), State::Open);
    // What it cannot do without ends it, if there is no room for that either.
    let large = json!("x".repeat(SOCKET_QUEUE_BYTES)).to_string();
    hub.tell("shutdown", &large, false, Urgency::Needed);
    assert_eq!(pipe.state.get(), State::Dropped);
}

/// Before the fix a socket was cut without a word when others had taken the pool of answers.
#[test]
fn an_answer_without_room_is_an_error_and_no_end() {
    let gateway = gateway();
    // What everybody has without the pool is nearly used up.
    let fill = |pipe: &Pipe| assert!(pipe.send(Opcode::Text, format!("\"{}\"", "x".repeat(3_000)).as_bytes()));
    let (late, pipe) = visitor(&gateway, &Pool::new(0));
    fill(&pipe);
    assert!(late.hear(Kind::Text, &connect()).is_none());
    let said = taken(&pipe).split_off(2);
    assert_eq!((&said[0]["id"], &said[0]["error"]["code"]), (&json!("c"), &json!("UNAVAILABLE")), "{said:?}");
    assert_eq!(said[1], json!({ "close": 1013 }));
    let (inside, pipe) = member(&gateway);
    *pipe.queue.borrow_mut() = Queue { frames: Vec::new(), sent: 0, lease: Pool::new(0).lease() };
    fill(&pipe);
    for (id, method) in [("1", "tools.catalog"), ("2", "last-heartbeat")] {
        assert!(inside.hear(Kind::Text, &request(id, method, json!({}))).is_none());
    }
    let said = taken(&pipe).split_off(1);
    assert_eq!((&said[0]["id"], &said[0]["error"]["code"]), (&json!("1"), &json!("UNAVAILABLE")), "{said:?}");
    assert_eq!((&said[1]["id"], &said[1]["ok"], pipe.state.get()), (&json!("2"), &json!(true), State::Open));
}

/// A served connection, and its other end, which does not wait.
fn served(bounds: Bounds) -> (Rc<Reactor>, Rc<Shared<Rc<Gateway>>>, impl Future<Output = ()>, TcpStream) {
    let shared = Shared::new(gateway(), bounds);
    let listener = TcpListener::bind((PEER, 0)).expect("a listener");
    let peer = TcpStream::connect(listener.local_addr().expect("its address")).expect("a connection");
    let own = listener.accept().expect("its other end").0;
    own.set_nonblocking(true).and_then(|()| peer.set_nonblocking(true)).expect("both do not wait");
    let reactor = Reactor::new().expect("a reactor");
    let from = Arrival { from: (PEER, 0).into(), door: Door::Open };
    let serving = crate::serve::http::serve(Rc::clone(&shared), reactor.watch(own.into()).expect("watched"), from);
    (reactor, shared, serving, peer)
}

fn masked(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::push(&mut bytes, Opcode::Text, payload, Some([1, 2, 3, 4]));
    bytes
}

#[test]
fn a_peer_that_never_reads_is_dropped() {
    let (reactor, shared, serving, mut peer) = served(Bounds { write: Duration::from_millis(50), ..Bounds::default() });
    let asked =
        [UPGRADE.into(), masked(&connect()), masked(&request("t", "tools.catalog", json!({}))).repeat(100)].concat();
    peer.write_all(&asked).expect("sent");
    let flood = masked(&request("t", "tools.catalog", json!({}))).repeat(100);
    // Polled with the connection: asks for more whenever it is listened to, and never reads.
    let mut serving = std::pin::pin!(serving);
    let both = std::future::poll_fn(|cx| {
        _ = peer.write(&flood);
        serving.as_mut().poll(cx)
    });
    reactor.run(both, &shared.deadlines, |_| ());
    assert!(shared.service.hub.is_empty());
    assert!(shared.answers.lease().grow_to(crate::limits::ANSWER_POOL_BYTES), "it holds nothing any more");
}

/// Before the fix the time to take one batch of frames went on while the next ones were waited for.
#[test]
fn a_peer_that_always_reads_is_never_late() {
    let span = Duration::from_millis(500);
    let (reactor, shared, serving, mut peer) = served(Bounds { write: span, body: span, ..Bounds::default() });
    let asked = [UPGRADE.into(), masked(&connect())].concat();
    peer.write_all(&asked).expect("sent");
    let flood = masked(&request("t", "tools.catalog", json!({}))).repeat(50);
    let start = std::time::Instant::now();
    let (mut serving, mut read, mut buffer) = (std::pin::pin!(serving), 0, vec![0; 65_536]);
    // More is asked for all the time, for much longer than a batch may take, and taken a little at a time.
    let both = std::future::poll_fn(|cx| {
        if start.elapsed() > 2 * span {
            return Poll::Ready(true);
        }
        _ = peer.write(&flood);
        match peer.read(&mut buffer) {
            Ok(0) => return Poll::Ready(false),
            Ok(length) => read += length,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        cx.waker().wake_by_ref();
        if serving.as_mut().poll(cx).is_ready() { Poll::Ready(false) } else { Poll::Pending }
    });
    assert!(reactor.run(both, &shared.deadlines, |_| ()), "cut off after {:?} and {read} bytes", start.elapsed());
    assert!(read > SOCKET_QUEUE_BYTES, "{read} bytes are no test");
}

/// Before the fix three of them held the pool of bodies for ever.
#[test]
fn a_message_that_does_not_end_ends_its_socket() {
    for pings in [false, true] {
        let body = Duration::from_millis(100);
        let (reactor, shared, serving, mut peer) = served(Bounds { body, ..Bounds::default() });
        let mut asked = [UPGRADE.into(), masked(&connect()), masked(&[b'x'; 9_000])].concat();
        // The first frame of several, and half of the second.
        let first = asked.len() - 9_008;
        asked[first] &= 0x7f;
        asked.extend([&[0x80, 0xff][..], &9_000_u64.to_be_bytes(), &[0; 4_000]].concat());
        peer.write_all(&asked).expect("sent");
        let mut ping = Vec::new();
        frame::push(&mut ping, Opcode::Ping, b"", Some([0; 4]));
        let (mut serving, start) = (std::pin::pin!(serving), std::time::Instant::now());
        let both = std::future::poll_fn(|cx| {
            if start.elapsed() > Duration::from_secs(20) {
                return Poll::Ready(false);
            }
            if pings {
                _ = peer.write(&ping);
            }
            cx.waker().wake_by_ref();
            serving.as_mut().poll(cx).map(|()| true)
        });
        assert!(reactor.run(both, &shared.deadlines, |_| ()), "half a message may wait for ever");
        assert!(shared.bodies.lease().grow_to(shared.bounds.body_pool_bytes), "it holds nothing any more");
    }
}

#[test]
fn a_socket_at_rest_is_small() {
    fn speaking<'s, F>(
        _: impl Fn(&'s Line<'s, Rc<Gateway>>, Box<crate::serve::visitor::Knock>, Vec<u8>) -> F,
    ) -> usize {
        size_of::<F>()
    }
    let (reactor, _, serving, _peer) = served(Bounds::default());
    let [connection, socket] = [size_of_val(&serving), speaking(converse::<Rc<Gateway>>)];
    drop(reactor);
    assert!(connection + socket <= 800, "{connection} bytes for the connection, {socket} for the socket");
}

#[test]
fn a_grant_that_the_tailnet_withdraws_ends_the_socket() {
    use crate::gate::tailnet::{Caller, Tailnet, Who};
    use crate::tool::tailscaled::{FakeTailscaled, Manner, person};
    let place = std::env::temp_dir().join(format!("toolgate-recheck-{}", std::process::id()));
    std::fs::create_dir_all(&place).expect("a directory");
    let (gateway, fake) = (gateway(), FakeTailscaled::start(&place));
    fake.socket().clone_into(&mut gateway.host.local_api.borrow_mut());
    let who = |tool: &str| Who {
        node: "phone.example.ts.net".into(),
        login: Some("ann@example.com".into()),
        tags: Vec::new(),
        capabilities: vec![("example.com/cap/x".into(), vec![tool.into()])],
    };
    let node = |tool: &str| {
        person("phone", "ann@example.com", &format!("{{\"example.com/cap/x\":[{{\"tools\":[\"{tool}\"]}}]}}"))
    };
    let pool = Pool::new(8 * SOCKET_QUEUE_BYTES);
    let mut guests = Vec::new();
    let mut join = |addr: [u8; 4], port: u16, tailnet: Tailnet| {
        let pipe = Pipe::new(pool.lease(), SOCKET_QUEUE_BYTES);
        pipe.welcome(SOCKET_QUEUE_BYTES);
        let caller = Caller { addr: addr.into(), port, tailnet };
        let entry = crate::api::socket::roll::Entry::new("a");
        guests.push(gateway.hub.join(&pipe, entry, caller, crate::tool::Now::default()));
        pipe
    };
    let closed = |pipe: &Pipe| taken(pipe) == [json!({ "close": 4001 })];
    let known = || Tailnet::Known(Rc::new(who("ping")));
    let ann = join([100, 64, 0, 2], 0, known());
    let gone = join([100, 64, 0, 3], 0, Tailnet::Claimed(Rc::new(who("ping"))));
    let mute = join([100, 64, 0, 1], 0, known());
    let carried = join([127, 0, 0, 1], 4711, known());
    let local = join([127, 0, 0, 1], 0, Tailnet::Outside);
    let check = |expected: [bool; 5], why: &str| {
        // What was learnt a minute ago is old.
        gateway.tailnet.directory.forget();
        smol::block_on(gateway.recheck());
        assert_eq!([&ann, &gone, &mute, &carried, &local].map(|pipe| closed(pipe)), expected, "{why}");
    };
    for addr in ["100.64.0.1", "100.64.0.2", "100.64.0.3", "127.0.0.1:4711"] {
        fake.knows(addr, Some(&node("ping")));
    }
    check([false; 5], "nothing has changed");
    fake.knows("100.64.0.3", None);
    fake.behaves(Manner::Says(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n".to_vec()));
    check([false; 5], "tailscaled says nothing");
    fake.behaves(Manner::Right);
    // Of one of them tailscaled says nothing that can be read: that ends its socket, and keeps no other.
    fake.knows("100.64.0.1", Some("[]"));
    fake.knows("127.0.0.1:4711", None);
    check([false, true, true, true, false], "a node has left");
    fake.knows("100.64.0.2", Some(&node("time_status")));
    check([true, false, false, false, false], "a grant names other tools");
    drop(fake);
    std::fs::remove_dir_all(place).expect("removed");
}
