//! Payloads → frames, and what both directions of a WebSocket share. Source: RFC 6455 §5.

use crate::limits::CLOSE_REASON_BYTES;

/// The most bytes that a control frame carries. Source: RFC 6455 §5.5.
pub(super) const CONTROL_BYTES: u8 = 125;
/// The bit that ends a message.
pub(super) const FINAL: u8 = 0x80;
/// The bit that announces a mask.
pub(super) const MASKED: u8 = 0x80;
/// The length that says that two bytes of length follow; one more: eight.
pub(super) const SHORT: u8 = 126;

/// What a frame is. Source: RFC 6455 §5.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// The first or only frame of a binary message.
    Binary,
    /// The end of the conversation in one direction.
    Close,
    /// A further frame of a message.
    Continuation,
    /// A question whether the peer is there.
    Ping,
    /// The answer to a ping.
    Pong,
    /// The first or only frame of a text message.
    Text,
}

impl Opcode {
    /// The opcode of a frame whose first byte's low half is `bits`; `None` for one that RFC 6455 reserves.
    pub(super) fn of(bits: u8) -> Option<Opcode> {
        use Opcode::*;
        [Continuation, Text, Binary, Close, Ping, Pong].into_iter().find(|opcode| opcode.bits() == bits)
    }

    fn bits(self) -> u8 {
        match self {
            Opcode::Continuation => 0,
            Opcode::Text => 1,
            Opcode::Binary => 2,
            Opcode::Close => 8,
            Opcode::Ping => 9,
            Opcode::Pong => 10,
        }
    }

    /// Whether such a frame may stand between the frames of a message.
    pub(super) fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// Appends one final frame; `mask` for a client's. The payload of `Close`, `Ping` and `Pong` has at most 125 bytes.
///
/// Source: RFC 6455 §5.2, §5.5.
pub fn push(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>) {
    // No head is longer than 14 bytes.
    out.reserve(payload.len().saturating_add(14));
    out.push(FINAL | opcode.bits());
    let masked = if mask.is_some() { MASKED } else { 0 };
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length), _) if length < SHORT => out.push(masked | length),
        (_, Ok(length)) => {
            out.push(masked | SHORT);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(masked | SHORT | 1);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(mask.as_ref().map_or(&[], |mask| mask));
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(mask) = mask {
        apply(out.get_mut(start..).unwrap_or_default(), mask);
    }
}

/// A close frame's payload. The reason is cut at a character, so that it has at most [`CLOSE_REASON_BYTES`] bytes.
///
/// Source: RFC 6455 §5.5.1; contract ws.md §1.5.
pub fn close(code: u16, reason: &str) -> Vec<u8> {
    let end = (0..=CLOSE_REASON_BYTES.min(reason.len())).rev().find(|end| reason.is_char_boundary(*end));
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.as_bytes().get(..end.unwrap_or_default()).unwrap_or_default());
    payload
}

/// Puts a mask on, or takes it off; `mask` begins at the first of `bytes`. By words, because every byte of every
/// message passes here. Source: RFC 6455 §5.3.
pub(super) fn apply(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_samples_of_the_rfc() {
        // Source: RFC 6455 §5.7.
        check(Opcode::Text, b"Hello", None, &[0x81, 5], b"\x48\x65\x6c\x6c\x6f");
        let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        check(Opcode::Text, b"Hello", Some([0x37, 0xfa, 0x21, 0x3d]), &masked, b"");
        check(Opcode::Ping, b"Hello", None, &[0x89, 5], b"Hello");
        check(Opcode::Binary, &[7; 256], None, &[0x82, 126, 1, 0], &[7; 256]);
        check(Opcode::Binary, &[7; 65_536], None, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0], &[7; 65_536]);
    }

    #[test]
    fn the_shortest_length_is_written() {
        check(Opcode::Close, b"", None, &[0x88, 0], b"");
        check(Opcode::Pong, &[1; 125], None, &[0x8a, 125], &[1; 125]);
        check(Opcode::Continuation, &[1; 126], None, &[0x80, 126, 0, 126], &[1; 126]);
        check(Opcode::Text, &[1; 65_535], None, &[0x81, 126, 255, 255], &[1; 65_535]);
    }

    fn check(opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>, head: &[u8], body: &[u8]) {
        let mut out = vec![9];
        push(&mut out, opcode, payload, mask);
        assert!(out == [&[9], head, body].concat(), "{opcode:?}, {} bytes: {:?}", payload.len(), out.get(..12));
    }

    #[test]
    fn masks_of_every_length() {
        for length in 0..40_u8 {
            let mut bytes: Vec<u8> = (0..length).collect();
            apply(&mut bytes, [1, 20, 30, 200]);
            let expected: Vec<u8> = (0..length).map(|n| n ^ [1, 20, 30, 200][usize::from(n % 4)]).collect();
            assert_eq!(bytes, expected);
        }
    }

    #[test]
    fn reasons_are_cut_at_a_character() {
        let check = |reason: &str, kept: &str| assert_eq!(close(1008, reason), [&[3, 0xf0], kept.as_bytes()].concat());
        check("", "");
        check("slow consumer", "slow consumer");
        let full = "x".repeat(120);
        check(&full, &full);
        check(&format!("{full}y"), &full);
        check(&format!("{}é", &full[2..]), &format!("{}é", &full[2..]));
        check(&format!("{}é", &full[1..]), &full[1..]);
        check(&format!("{}🦀", &full[3..]), &full[3..]);
    }
}
