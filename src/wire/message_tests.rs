//! What a [`Reader`] makes of samples, violations, limits, every cut and pseudo-random frames.

use super::frame::push;
use super::*;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Everything that was completed, and what ended it.
type Read = (Vec<Event>, Option<Violation>);

fn read<'a>(role: Role, most: usize, parts: impl IntoIterator<Item = &'a [u8]>) -> Read {
    let (mut reader, mut events) = (Reader::new(role, most), Vec::new());
    for part in parts {
        let mut rest = part;
        loop {
            let granted = |total: usize| {
                assert!(total <= most, "{total} of {most}");
                true
            };
            match reader.next(rest, &mut { granted }) {
                Err(violation) => return (events, Some(violation)),
                Ok((used, None)) => {
                    assert_eq!(used, rest.len());
                    break;
                }
                Ok((used, Some(event))) => {
                    assert!(used > 0, "no progress");
                    events.push(event);
                    rest = &rest[used..];
                }
            }
        }
    }
    (events, None)
}

/// A frame with that first byte: its last bit, its reserved bits and its opcode.
fn raw(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    push(&mut out, Opcode::Binary, payload, Some(MASK));
    out[0] = first;
    out
}

fn text(content: &str) -> Event {
    Event::Message { kind: Kind::Text, content: content.into() }
}

fn binary(content: &[u8]) -> Event {
    Event::Message { kind: Kind::Binary, content: content.into() }
}

/// Frames of a client, as the server reads them: whole, byte by byte, and cut at each point.
fn check(frames: &[Vec<u8>], events: &[Event], violation: Option<Violation>) {
    let bytes = frames.concat();
    let expected = (events.to_vec(), violation);
    assert_eq!(read(Role::Server, 300, [&bytes[..]]), expected, "{bytes:x?}");
    assert_eq!(read(Role::Server, 300, bytes.chunks(1)), expected, "byte by byte: {bytes:x?}");
    for cut in 0..=bytes.len() {
        let (one, two) = bytes.split_at(cut);
        assert_eq!(read(Role::Server, 300, [one, two]), expected, "cut at {cut}: {bytes:x?}");
    }
    assert_eq!(obvious(Role::Server, 300, &bytes), expected, "the obvious decoder: {bytes:x?}");
}

#[test]
fn samples() {
    check(&[], &[], None);
    check(&[raw(0x81, b"Hello")], &[text("Hello")], None);
    check(&[raw(0x81, b""), raw(0x82, b"")], &[text(""), binary(b"")], None);
    check(&[raw(0x01, b"Hel"), raw(0x80, b"lo")], &[text("Hello")], None);
    check(&[raw(0x02, b""), raw(0x00, b""), raw(0x80, b"")], &[binary(b"")], None);
    check(
        &[raw(0x01, "né".as_bytes()), raw(0x89, b"a"), raw(0x00, b""), raw(0x8a, b""), raw(0x80, b"e")],
        &[Event::Ping(b"a".into()), Event::Pong(b"".into()), text("née")],
        None,
    );
    // A character in three fragments, with a ping within it.
    check(
        &[raw(0x01, &[0xf0, 0x9f]), raw(0x00, &[0xa6]), raw(0x89, b""), raw(0x80, &[0x80])],
        &[Event::Ping(b"".into()), text("🦀")],
        None,
    );
    check(&[raw(0x82, &[0xff; 126]), raw(0x81, b"a")], &[binary(&[0xff; 126]), text("a")], None);
    check(&[raw(0x89, &[1; 125])], &[Event::Ping(vec![1; 125])], None);
    check(&[raw(0x88, b"")], &[Event::Close(None)], None);
    check(&[raw(0x88, &[3, 0xe8])], &[Event::Close(Some((1000, "".into())))], None);
    let bye = frame::close(4999, "bye é");
    check(&[raw(0x01, b"a"), raw(0x88, &bye)], &[Event::Close(Some((4999, "bye é".into())))], None);
    // The samples of RFC 6455 §5.7, as a client reads them.
    let hello = read(Role::Client, 9, [&[0x01, 3, 0x48, 0x65, 0x6c, 0x80, 2, 0x6c, 0x6f, 0x89, 0][..]]);
    assert_eq!(hello, (vec![text("Hello"), Event::Ping(vec![])], None));
}

#[test]
fn violations() {
    use Violation::*;
    let broken = |first: u8, payload: &[u8]| check(&[raw(first, payload)], &[], Some(Protocol));
    for reserved in [0xc1, 0xa1, 0x91, 0xf1, 0xc9, 0xf8, 0x83, 0x87, 0x8b, 0x8f, 0x03, 0x0f] {
        broken(reserved, b"");
    }
    // Control frames: in pieces, or too long.
    for first in [0x08, 0x09, 0x0a] {
        broken(first, b"");
        broken(first | FINAL, &[0; 126]);
        check(&[vec![first | FINAL, 0xff]], &[], Some(Protocol));
    }
    broken(0x80, b"a");
    broken(0x00, b"a");
    check(&[raw(0x81, b"a"), raw(0x80, b"b")], &[text("a")], Some(Protocol));
    check(&[raw(0x01, b"a"), raw(0x81, b"b")], &[], Some(Protocol));
    check(&[raw(0x01, b"a"), raw(0x02, b"b")], &[], Some(Protocol));
    check(&[raw(0x02, b"a"), raw(0x82, b"b")], &[], Some(Protocol));
    // Without a mask; with one for a client.
    check(&[vec![0x81, 0]], &[], Some(Protocol));
    assert_eq!(read(Role::Client, 9, [&[0x81, 0x80][..]]), (vec![], Some(Protocol)));
    // Lengths that are longer than they need be, or have the highest bit.
    check(&[vec![0x82, 0xfe, 0, 125]], &[], Some(Protocol));
    check(&[vec![0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff]], &[], Some(Protocol));
    check(&[vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]], &[], Some(Protocol));
    check(&[vec![0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]], &[], Some(TooBig));
}

#[test]
fn closes() {
    use Violation::*;
    let code = |code: u16, violation: Option<Violation>| {
        let events = if violation.is_none() { vec![Event::Close(Some((code, "".into())))] } else { vec![] };
        check(&[raw(0x88, &code.to_be_bytes())], &events, violation);
    };
    for good in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
        code(good, None);
    }
    for bad in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        code(bad, Some(Protocol));
    }
    check(&[raw(0x88, &[3])], &[], Some(Protocol));
    check(&[raw(0x88, b"\x03\xe8\xce\xba\xff")], &[], Some(Text));
    check(&[raw(0x88, b"\x03\xe8\xce")], &[], Some(Text));
}

#[test]
fn text_is_refused_at_its_first_bad_byte() {
    for bad in [
        &b"\xff"[..],
        b"\xc0",
        b"\xf5",
        b"\x80",
        b"\xc3\x28",
        b"\xe0\x80",
        b"\xed\xa0",
        b"\xf0\x80",
        b"\xf4\x90",
        b"\xe2\x82\x28",
        b"\xf0\x9f\xa6\xc3",
        b"ok \xce\xba\xe1\xbd\xb9\xff",
    ] {
        // In a frame and in a message that are not yet complete.
        let begun = raw(0x01, &[bad, &[b'x'; 99]].concat());
        let upto = begun.len() - 99;
        check(&[begun[..upto].to_vec()], &[], Some(Violation::Text));
        check(&[begun[..upto - 1].to_vec()], &[], None);
        let (one, two) = bad.split_at(bad.len() - 1);
        check(&[raw(0x01, one), raw(0x89, b"p"), raw(0x00, two)], &[Event::Ping(b"p".into())], Some(Violation::Text));
        check(&[raw(0x02, bad), raw(0x80, b"")], &[binary(bad)], None);
    }
    // A character that never ends is found out at the message's end.
    check(&[raw(0x81, b"a\xf0\x9f\xa6")], &[], Some(Violation::Text));
    check(&[raw(0x01, b"a\xf0\x9f\xa6"), raw(0x80, b"")], &[], Some(Violation::Text));
}

#[test]
fn the_limit_is_inclusive() {
    const MOST: usize = 65_536;
    let limit = |lengths: &[usize], fits: bool| {
        let last = lengths.len() - 1;
        let frame = |(n, length): (usize, &usize)| {
            let first = if n == 0 { 2 } else { 0 } | if n == last { FINAL } else { 0 };
            raw(first, &vec![7; *length])
        };
        let bytes: Vec<u8> = lengths.iter().enumerate().flat_map(frame).collect();
        let expected =
            if fits { (vec![binary(&vec![7; lengths.iter().sum()])], None) } else { (vec![], Some(Violation::TooBig)) };
        for size in [usize::MAX, 16_384, 1000] {
            assert_eq!(read(Role::Server, MOST, bytes.chunks(size.min(bytes.len()))), expected, "{lengths:?}");
        }
    };
    limit(&[MOST], true);
    limit(&[MOST + 1], false);
    limit(&[MOST, 0, 0], true);
    limit(&[MOST, 1], false);
    limit(&[1, 65_535], true);
    limit(&[1, MOST], false);
    limit(&[30_000, 30_000, 5_536], true);
    limit(&[30_000, 30_000, 5_537], false);
    // From the header, before the mask: no byte of the message is needed.
    let header = [0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 1];
    assert_eq!(read(Role::Server, MOST, [&header[..]]), (vec![], Some(Violation::TooBig)));
    // Control frames do not count.
    let frames = [raw(0x02, &[7; 100]), raw(0x89, &[1; 125]), raw(0x80, b"")].concat();
    assert_eq!(read(Role::Server, 100, [&frames[..]]).0.len(), 2);
    // A limit that is raised counts from the next frame on.
    let mut reader = Reader::new(Role::Server, 1);
    reader.set_most(2);
    assert_eq!(reader.next(&raw(0x82, &[1, 2]), &mut |_| true), Ok((8, Some(binary(&[1, 2])))));
}

#[test]
fn memory_follows_the_bytes_that_came() {
    let mut reader = Reader::new(Role::Server, 1 << 24);
    let frame = raw(0x82, &vec![5; 1 << 20]);
    let (mut asked, mut came) = (Vec::new(), 0);
    for part in frame.chunks(10_000) {
        came += part.len();
        let mut room = |total: usize| {
            assert!(total <= came * 2, "{total} bytes for {came}");
            asked.push(total);
            true
        };
        if let (_, Some(Event::Message { content, .. })) = reader.next(part, &mut room).expect("room") {
            assert!(content == vec![5; 1 << 20] && content.capacity() <= 1 << 20, "{}", content.capacity());
        }
    }
    assert_eq!(asked.last(), Some(&(1 << 20)));
    assert!(asked.len() < 9 && asked.is_sorted(), "{asked:?}");
    assert_eq!((reader.content.capacity(), reader.control.capacity(), reader.within()), (0, 0, false));
    // A header alone asks for nothing; a control frame neither.
    let mut never = |total: usize| panic!("{total} asked for");
    assert_eq!(reader.next(&raw(0x89, &[1; 125]), &mut never).map(|(used, _)| used), Ok(131));
    assert_eq!(reader.next(&frame[..14], &mut never), Ok((14, None)));
    assert_eq!(reader.content.capacity(), 0);
}

#[test]
fn many_fragments_ask_seldom() {
    let frames = [raw(0x02, b"a"), raw(0x00, b"b").repeat(5000), raw(0x80, b"c")].concat();
    let mut asked = 0;
    let mut room = |_| {
        asked += 1;
        true
    };
    let read = Reader::new(Role::Server, 10_000).next(&frames, &mut room);
    assert!(
        matches!(read, Ok((used, Some(Event::Message { content, .. }))) if used == frames.len() && content.len() == 5002)
    );
    assert!(asked < 16, "{asked} times");
}

#[test]
fn codes() {
    use Violation::*;
    assert_eq!([NoRoom, Protocol, Text, TooBig].map(Violation::code), [1013, 1002, 1007, 1009]);
}

#[test]
fn room_may_be_refused() {
    let frames = [raw(0x02, &[1; 10]), raw(0x00, &[1; 10]), raw(0x80, &[1; 80])].concat();
    let refused = |most: usize| Reader::new(Role::Server, 100).next(&frames, &mut |total| total <= most);
    assert_eq!(refused(9), Err(Violation::NoRoom));
    assert_eq!(refused(19), Err(Violation::NoRoom));
    assert_eq!(refused(99), Err(Violation::NoRoom));
    assert_eq!(refused(100).map(|(used, _)| used), Ok(frames.len()));
}

#[test]
fn a_reader_is_small_and_knows_whether_it_is_within() {
    assert!(size_of::<Reader>() <= 96, "{}", size_of::<Reader>());
    let mut reader = Reader::new(Role::Server, 100);
    let mut takes = |bytes: &[u8], within: bool| {
        reader.next(bytes, &mut |_| true).expect("good frames");
        assert_eq!(reader.within(), within, "{bytes:x?}");
    };
    takes(b"", false);
    takes(&[0x89], true);
    takes(&raw(0x89, b"")[1..], false);
    takes(&raw(0x01, b""), true);
    takes(&raw(0x89, b""), true);
    takes(&raw(0x80, b""), false);
}

/// A second decoder, as plain as the RFC's text: it has the whole input, and starts anew at every frame.
fn obvious(role: Role, most: usize, bytes: &[u8]) -> Read {
    let mut events = Vec::new();
    let violation = obvious_frames(role, most, bytes, &mut events).err();
    (events, violation)
}

fn obvious_frames(role: Role, most: usize, mut bytes: &[u8], events: &mut Vec<Event>) -> Result<(), Violation> {
    let mut message: Option<(bool, Vec<u8>)> = None;
    loop {
        let Some(first) = bytes.first() else { return Ok(()) };
        let (fin, opcode, control) = (first & 128 == 128, first & 15, first & 8 == 8);
        let bad_order = if opcode == 0 { message.is_none() } else { !control && message.is_some() };
        if first & 0x70 != 0 || ![0, 1, 2, 8, 9, 10].contains(&opcode) || control && !fin || bad_order {
            return Err(Violation::Protocol);
        }
        let Some(second) = bytes.get(1) else { return Ok(()) };
        let masked = second & 128 == 128;
        if masked != (role == Role::Server) || control && second & 127 > 125 {
            return Err(Violation::Protocol);
        }
        let size = match second & 127 {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some(length) = bytes.get(2..2 + size) else { return Ok(()) };
        let length = length.iter().fold(0, |length, byte| length * 256 + u128::from(*byte));
        let shorter = [0, 0, 126, 0, 0, 0, 0, 0, 65_536][size];
        if length < shorter || length >= 1 << 63 {
            return Err(Violation::Protocol);
        }
        let length = if size == 0 { u128::from(second & 127) } else { length };
        let held = message.as_ref().map_or(0, |(_, content)| content.len());
        if !control && held as u128 + length > most as u128 {
            return Err(Violation::TooBig);
        }
        let start = 2 + size + if masked { 4 } else { 0 };
        let Some(mask) = bytes.get(2 + size..start) else { return Ok(()) };
        let came: Vec<u8> = bytes[start..].iter().take(length as usize).copied().collect();
        let whole = came.len() as u128 == length;
        let open: Vec<u8> = came.iter().enumerate().map(|(n, b)| if masked { b ^ mask[n % 4] } else { *b }).collect();
        bytes = &bytes[start + came.len()..];
        if !control {
            let (is_text, content) = message.get_or_insert((opcode == 1, Vec::new()));
            content.extend(open);
            if *is_text && !begins_text(content)
                || *is_text && whole && fin && String::from_utf8(content.clone()).is_err()
            {
                return Err(Violation::Text);
            }
            if !whole {
                return Ok(());
            }
            if fin && let Some((is_text, content)) = message.take() {
                events.push(Event::Message { kind: if is_text { Kind::Text } else { Kind::Binary }, content });
            }
            continue;
        }
        if !whole {
            return Ok(());
        }
        events.push(match opcode {
            8 => obvious_close(&open)?,
            9 => Event::Ping(open),
            _ => Event::Pong(open),
        });
    }
}

fn obvious_close(payload: &[u8]) -> Result<Event, Violation> {
    if payload.is_empty() {
        return Ok(Event::Close(None));
    }
    let code = if payload.len() == 1 { 0 } else { u16::from(payload[0]) * 256 + u16::from(payload[1]) };
    let allowed = (1000..5000).contains(&code) && !(1015..3000).contains(&code) && ![1004, 1005, 1006].contains(&code);
    if !allowed {
        return Err(Violation::Protocol);
    }
    let reason = String::from_utf8(payload[2..].to_vec()).map_err(|_| Violation::Text)?;
    Ok(Event::Close(Some((code, reason.into()))))
}

/// Whether some text begins with `bytes`: up to three more bytes, each the least or the greatest that can follow.
fn begins_text(bytes: &[u8]) -> bool {
    let tail = &bytes[bytes.len().saturating_sub(16)..];
    // A window of the end, moved to a character's start: what stands before it was looked at with fewer bytes.
    let start = tail.iter().position(|b| *b & 0xc0 != 0x80).unwrap_or(0);
    if std::str::from_utf8(&bytes[..bytes.len() - tail.len() + start]).is_err() {
        return false;
    }
    let ends = [0x80, 0xbf];
    let mut tries = vec![tail[start..].to_vec()];
    for _ in 0..3 {
        let longer = tries.iter().flat_map(|t| ends.map(|end| [&t[..], &[end]].concat())).collect::<Vec<_>>();
        tries.extend(longer);
    }
    tries.iter().any(|t| std::str::from_utf8(t).is_ok())
}

/// Numbers that look random and are the same in every run. Source: Marsaglia, Xorshift RNGs.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    /// Frames that are mostly good, some of them changed at one place.
    fn frames(&mut self) -> Vec<u8> {
        let pieces: [&[u8]; 8] =
            [b"", b"a", "é".as_bytes(), "🦀".as_bytes(), b"\xf0\x9f", b"\xa6\x80", b"\x03\xe8", &[b'x'; 125]];
        let firsts = [0x81, 0x82, 0x01, 0x02, 0x00, 0x00, 0x80, 0x80, 0x89, 0x8a, 0x88];
        let mut bytes = Vec::new();
        for _ in 0..self.below(6) {
            let payload: Vec<u8> = (0..self.below(4)).flat_map(|_| self.one(&pieces).to_vec()).collect();
            bytes.extend(raw(firsts[self.below(firsts.len())], &payload));
        }
        if !bytes.is_empty() && self.below(3) == 0 {
            let at = self.below(bytes.len());
            bytes[at] ^= 1 << self.below(8);
        }
        bytes.truncate(bytes.len() - self.below(4).min(bytes.len()));
        bytes
    }
}

#[test]
fn an_obvious_decoder_agrees() {
    let mut draw = Draw(0x746f_6f6c_6761_7465);
    let (mut events, mut violations) = (0, 0);
    for _ in 0..20_000 {
        let bytes = draw.frames();
        let role = if draw.below(9) == 0 { Role::Client } else { Role::Server };
        let most = 1 + draw.below(300);
        let expected = obvious(role, most, &bytes);
        let size = 1 + draw.below(bytes.len() + 1);
        assert_eq!(read(role, most, [&bytes[..]]), expected, "{role:?}, {most}: {bytes:x?}");
        assert_eq!(read(role, most, bytes.chunks(size)), expected, "{role:?}, {most}, by {size}: {bytes:x?}");
        events += expected.0.len();
        violations += usize::from(expected.1.is_some());
    }
    // Both must be common, or nothing was tried.
    assert!(events > 5_000 && violations > 5_000, "{events} events, {violations} violations");
}
