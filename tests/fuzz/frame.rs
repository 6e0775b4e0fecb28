//! Any bytes, cut anywhere, as frames → the same events, the same violation; and no memory beyond the limit.
#![no_main]

mod cut;

use cut::cut;
use libfuzzer_sys::fuzz_target;
use toolgate::wire::frame::{self, Opcode};
use toolgate::wire::message::{Event, Kind, Reader, Role, Violation};

/// What was completed, then what ended it, or whether something was left open.
type Fed = (Vec<Event>, Result<bool, Violation>);

fn feed<'a>(role: Role, most: usize, parts: impl Iterator<Item = &'a [u8]>) -> Fed {
    let (mut reader, mut events, mut granted) = (Reader::new(role, most), Vec::new(), 0);
    for mut rest in parts {
        loop {
            let mut room = |total: usize| {
                assert!(total > granted && total <= most, "{total} asked for after {granted}, of {most}");
                granted = total;
                true
            };
            match reader.next(rest, &mut room) {
                Err(violation) => return (events, Err(violation)),
                Ok((used, None)) => {
                    assert_eq!(used, rest.len());
                    break;
                }
                Ok((used, Some(event))) => {
                    assert!(used > 0, "no progress");
                    judge(&event, most);
                    if matches!(event, Event::Message { .. }) {
                        granted = 0;
                    }
                    events.push(event);
                    rest = &rest[used..];
                }
            }
        }
    }
    (events, Ok(reader.within()))
}

/// What every event keeps, whatever came.
fn judge(event: &Event, most: usize) {
    match event {
        Event::Close(Some((code, reason))) => assert!((1000..5000).contains(code) && reason.len() <= 123),
        Event::Close(None) => {}
        Event::Message { kind, content } => {
            assert!(content.len() <= most && content.capacity() <= most);
            assert!(*kind == Kind::Binary || std::str::from_utf8(content).is_ok());
        }
        Event::Ping(content) | Event::Pong(content) => assert!(content.len() <= 125),
    }
}

/// The events as frames of that role's peer, which it must read as the same events.
fn written(role: Role, events: &[Event]) -> Vec<u8> {
    let mask = (role == Role::Server).then_some([0xa5, 0x5a, 0x0f, 0x81]);
    let mut out = Vec::new();
    for event in events {
        match event {
            Event::Close(None) => frame::push(&mut out, Opcode::Close, &[], mask),
            Event::Close(Some((code, reason))) => {
                let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
                frame::push(&mut out, Opcode::Close, &payload, mask);
            }
            Event::Message { kind: Kind::Binary, content } => frame::push(&mut out, Opcode::Binary, content, mask),
            Event::Message { kind: Kind::Text, content } => frame::push(&mut out, Opcode::Text, content, mask),
            Event::Ping(content) => frame::push(&mut out, Opcode::Ping, content, mask),
            Event::Pong(content) => frame::push(&mut out, Opcode::Pong, content, mask),
        }
    }
    out
}

fuzz_target!(|data: &[u8]| {
    let [role, most, count, data @ ..] = data else { return };
    let Some((cuts, data)) = data.split_at_checked(usize::from(count % 8)) else { return };
    let role = if role % 2 == 0 { Role::Server } else { Role::Client };
    let most = usize::from(*most) * 16;
    let whole = feed(role, most, std::iter::once(data));
    assert_eq!(feed(role, most, data.chunks(1)), whole);
    if !cuts.is_empty() {
        assert_eq!(feed(role, most, cut(data, cuts)), whole);
    }
    let again = written(role, &whole.0);
    assert_eq!(feed(role, most, std::iter::once(&again[..])), (whole.0, Ok(false)));
});
