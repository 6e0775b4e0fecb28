//! The frame codec against another one: tungstenite at the other end of a connection in memory, in both roles.

use std::io::{self, Read, Write};

use toolgate::wire::frame::{self, Opcode};
use toolgate::wire::message::{Event, Kind, Reader, Role};
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, Frame};
use tungstenite::protocol::{self, WebSocket};
use tungstenite::{Error, Message};

const MOST: usize = 1 << 17;
const SIZES: [usize; 8] = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000];

/// Both directions of a connection, as the other end holds them.
#[derive(Default)]
struct Line {
    to_them: Vec<u8>,
    to_us: Vec<u8>,
}

impl Read for Line {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = into.len().min(self.to_them.len());
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        into[..count].copy_from_slice(&self.to_them[..count]);
        self.to_them.drain(..count);
        Ok(count)
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to_us.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// We and they.
struct Pair {
    reader: Reader,
    mask: Option<[u8; 4]>,
    they: WebSocket<Line>,
}

impl Pair {
    fn new(role: Role) -> Pair {
        let (theirs, mask) = match role {
            Role::Client => (protocol::Role::Server, Some([0x1a, 0x2b, 0x3c, 0x4d])),
            Role::Server => (protocol::Role::Client, None),
        };
        Pair { reader: Reader::new(role, MOST), mask, they: WebSocket::from_raw_socket(Line::default(), theirs, None) }
    }

    /// We send a frame, with the last bit or without it.
    fn say(&mut self, opcode: Opcode, payload: &[u8], last: bool) {
        let line = self.they.get_mut();
        let start = line.to_them.len();
        frame::push(&mut line.to_them, opcode, payload, self.mask);
        line.to_them[start] &= if last { 0xff } else { 0x7f };
    }

    /// What they have sent, read in parts of `size` bytes.
    fn hear(&mut self, size: usize) -> Vec<Event> {
        let bytes = std::mem::take(&mut self.they.get_mut().to_us);
        let mut events = Vec::new();
        for mut rest in bytes.chunks(size) {
            while let (used, Some(event)) = self.reader.next(rest, &mut |total| total <= MOST).expect("good frames") {
                events.push(event);
                rest = &rest[used..];
            }
        }
        assert!(!self.reader.within());
        events
    }
}

/// A text of that many bytes, most of them of long characters.
fn text(size: usize) -> String {
    const PIECE: &str = "né🦀";
    PIECE.repeat(size / PIECE.len()) + &"x".repeat(size % PIECE.len())
}

fn both(judge: fn(Pair)) {
    judge(Pair::new(Role::Server));
    judge(Pair::new(Role::Client));
}

#[test]
fn they_send_messages() {
    both(|mut pair| {
        for size in SIZES {
            let (content, part) = (text(size), 1 + size / 7);
            pair.they.send(Message::text(content.clone())).expect("sent");
            pair.they.send(Message::binary(vec![0xff; size])).expect("sent");
            let texts = Event::Message { kind: Kind::Text, content: content.into() };
            let bytes = Event::Message { kind: Kind::Binary, content: vec![0xff; size] };
            assert!(pair.hear(part) == [texts, bytes], "{size} bytes, by {part}");
        }
    });
}

#[test]
fn we_send_messages() {
    both(|mut pair| {
        for size in SIZES {
            let content = text(size);
            pair.say(Opcode::Text, content.as_bytes(), true);
            pair.say(Opcode::Binary, &vec![0xff; size], true);
            assert!(pair.they.read().expect("a text") == Message::text(content), "{size} bytes");
            assert!(pair.they.read().expect("bytes") == Message::binary(vec![0xff; size]), "{size} bytes");
        }
    });
}

#[test]
fn they_send_fragments_and_pings_between() {
    both(|mut pair| {
        let content = text(70_000);
        let (one, rest) = content.as_bytes().split_at(3);
        let (two, three) = rest.split_at(65_536);
        let parts = [(one, Data::Text, false), (two, Data::Continue, false), (three, Data::Continue, true)];
        for (part, data, last) in parts {
            pair.they.send(Message::Ping(b"p"[..].into())).expect("sent");
            let frame = Frame::message(part.to_vec(), OpCode::Data(data), last);
            pair.they.send(Message::Frame(frame)).expect("sent");
        }
        let ping = || Event::Ping(b"p".into());
        let expected = [ping(), ping(), ping(), Event::Message { kind: Kind::Text, content: content.into() }];
        assert!(pair.hear(1000) == expected);
    });
}

#[test]
fn we_send_fragments_and_pings_between() {
    both(|mut pair| {
        let content = text(70_000);
        let (one, two) = content.as_bytes().split_at(66_002);
        pair.say(Opcode::Text, one, false);
        pair.say(Opcode::Ping, &[7; 125], true);
        pair.say(Opcode::Continuation, b"", false);
        pair.say(Opcode::Continuation, two, true);
        assert_eq!(pair.they.read().expect("a ping"), Message::Ping(vec![7; 125].into()));
        assert!(pair.they.read().expect("a text") == Message::text(content));
        pair.they.flush().expect("flushed");
        assert_eq!(pair.hear(1), [Event::Pong(vec![7; 125])]);
    });
}

#[test]
fn they_close() {
    both(|mut pair| {
        let frame = CloseFrame { code: 4000.into(), reason: "tick timeout".into() };
        pair.they.close(Some(frame)).expect("sent");
        let Ok([Event::Close(Some((code, reason)))]) = <[Event; 1]>::try_from(pair.hear(5)) else { panic!("no close") };
        assert_eq!((code, &*reason), (4000, "tick timeout"));
        pair.say(Opcode::Close, &frame::close(code, &reason), true);
        assert!(matches!(pair.they.read(), Ok(Message::Close(Some(_)))));
        ends(&mut pair);
    });
}

#[test]
fn we_close() {
    both(|mut pair| {
        pair.say(Opcode::Close, &frame::close(1012, "service restart"), true);
        let Ok(Message::Close(Some(frame))) = pair.they.read() else { panic!("no close") };
        assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1012, "service restart"));
        ends(&mut pair);
        assert!(matches!(pair.hear(9)[..], [Event::Close(Some((1012, _)))]));
    });
}

/// Their side counts the handshake as done: a client waits for the end of the stream, a server ends it.
fn ends(pair: &mut Pair) {
    match pair.they.read() {
        Err(Error::ConnectionClosed) => {}
        Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => assert!(!pair.they.can_read()),
        other => panic!("{other:?}"),
    }
}
