//! Frames → messages and control frames. What a frame announces is never believed: memory follows the bytes that came.

use super::frame::{self, CONTROL_BYTES, FINAL, MASKED, Opcode, SHORT};

/// Which end of the connection reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The one that asked for the protocol; it refuses masks.
    Client,
    /// The one that granted it; it demands masks.
    Server,
}

/// What a message is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any bytes.
    Binary,
    /// UTF-8.
    Text,
}

/// What a [`Reader`] found complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The peer says nothing after this; the code and the reason it gave, if any.
    Close(Option<(u16, Box<str>)>),
    /// A message, its fragments joined.
    Message {
        /// What it is made of.
        kind: Kind,
        /// Its bytes; those of a text are valid UTF-8.
        content: Vec<u8>,
    },
    /// A ping, to be answered by a pong with the same bytes; at most 125.
    Ping(Vec<u8>),
    /// A pong; at most 125 bytes.
    Pong(Vec<u8>),
}

/// Why the connection must be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// There is no memory for the message now.
    NoRoom,
    /// A frame is not what RFC 6455 allows where it stands.
    Protocol,
    /// Text that is not UTF-8.
    Text,
    /// A message longer than is allowed.
    TooBig,
}

impl Violation {
    /// The code to close with. Source: RFC 6455 §7.4.1 and the registry it begins, for 1013.
    pub fn code(self) -> u16 {
        match self {
            Violation::NoRoom => 1013,
            Violation::Protocol => 1002,
            Violation::Text => 1007,
            Violation::TooBig => 1009,
        }
    }
}

/// Where in a frame the next byte stands; a number counts the bytes of that part still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    First,
    Second,
    /// In a length of two bytes.
    Short(u8),
    /// In a length of eight bytes.
    Long(u8),
    Mask(u8),
    Payload,
}

/// Takes the framing off one direction of a WebSocket. Holds no memory between messages.
#[derive(Debug)]
pub struct Reader {
    role: Role,
    at: At,
    /// What the current frame is, and whether it ends its message.
    opcode: Opcode,
    last: bool,
    /// What the message is that has begun.
    kind: Option<Kind>,
    /// The mask, turned so that it begins at the next byte.
    mask: [u8; 4],
    /// Payload of the current frame still to come.
    left: u64,
    most: usize,
    /// The message so far, and how much of it is known to be UTF-8.
    content: Vec<u8>,
    checked: usize,
    /// The payload of a control frame so far.
    control: Vec<u8>,
}

impl Reader {
    /// A reader at the start of a connection; a message, its fragments together, has at most `most` bytes.
    pub fn new(role: Role, most: usize) -> Reader {
        Reader {
            role,
            at: At::First,
            opcode: Opcode::Continuation,
            last: true,
            kind: None,
            mask: [0; 4],
            left: 0,
            most,
            content: Vec::new(),
            checked: 0,
            control: Vec::new(),
        }
    }

    /// From the next frame on, messages may have `most` bytes.
    pub fn set_most(&mut self, most: usize) {
        self.most = most;
    }

    /// Whether a message or a frame has begun and not ended.
    pub fn within(&self) -> bool {
        self.kind.is_some() || self.at != At::First
    }

    /// Takes bytes from the front of `input`: how many, and what they completed. Call again with the rest until nothing
    /// is completed; all bytes are taken then. `room` is asked before the memory of a message grows to so many bytes
    /// in all; what it grants is free again when the message is given away, or this is dropped.
    ///
    /// # Errors
    /// The first [`Violation`]; nothing may be read after it. [`Violation::TooBig`] comes with the frame's length,
    /// before any of its payload; [`Violation::Text`] with the first bad byte; [`Violation::NoRoom`] when `room` says no.
    ///
    /// Source: RFC 6455 §5, §7.4, §8.1.
    pub fn next(
        &mut self,
        input: &[u8],
        room: &mut dyn FnMut(usize) -> bool,
    ) -> Result<(usize, Option<Event>), Violation> {
        let mut rest = input;
        while let Some((&byte, after)) = rest.split_first() {
            if self.at == At::Payload {
                let run = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
                let (part, after) = rest.split_at_checked(run).unwrap_or_default();
                self.keep(part, room)?;
                rest = after;
            } else {
                self.at = self.step(byte)?;
                rest = after;
            }
            if self.at == At::Payload && self.left == 0 {
                self.at = At::First;
                if let Some(event) = self.finish()? {
                    return Ok((input.len().saturating_sub(rest.len()), Some(event)));
                }
            }
        }
        Ok((input.len(), None))
    }

    /// Takes one byte of a frame's head.
    fn step(&mut self, byte: u8) -> Result<At, Violation> {
        match self.at {
            At::First => self.begin(byte),
            At::Second => {
                let length = byte & !MASKED;
                let masked = byte & MASKED != 0;
                if masked != (self.role == Role::Server) || self.opcode.is_control() && length > CONTROL_BYTES {
                    return Err(Violation::Protocol);
                }
                self.left = 0;
                match length {
                    ..SHORT => {
                        self.left = length.into();
                        self.sized(0)
                    }
                    SHORT => Ok(At::Short(2)),
                    _ => Ok(At::Long(8)),
                }
            }
            At::Short(more) => {
                self.left = self.left << 8 | u64::from(byte);
                if more > 1 { Ok(At::Short(more.saturating_sub(1))) } else { self.sized(SHORT.into()) }
            }
            At::Long(more) => {
                self.left = self.left << 8 | u64::from(byte);
                if more > 1 {
                    Ok(At::Long(more.saturating_sub(1)))
                } else {
                    self.sized(u64::from(u16::MAX).saturating_add(1))
                }
            }
            At::Mask(more) => {
                let [_, a, b, c] = self.mask;
                self.mask = [a, b, c, byte];
                Ok(if more > 1 { At::Mask(more.saturating_sub(1)) } else { At::Payload })
            }
            At::Payload => Ok(At::Payload),
        }
    }

    /// A frame's first byte. Source: RFC 6455 §5.2, §5.4.
    fn begin(&mut self, byte: u8) -> Result<At, Violation> {
        // Bits that only an extension gives a meaning are among those that no opcode has.
        let opcode = Opcode::of(byte & !FINAL).ok_or(Violation::Protocol)?;
        let last = byte & FINAL != 0;
        match opcode {
            Opcode::Binary if self.kind.is_none() => self.kind = Some(Kind::Binary),
            Opcode::Text if self.kind.is_none() => self.kind = Some(Kind::Text),
            Opcode::Continuation if self.kind.is_some() => {}
            Opcode::Close | Opcode::Ping | Opcode::Pong if last => {}
            _ => return Err(Violation::Protocol),
        }
        (self.opcode, self.last) = (opcode, last);
        Ok(At::Second)
    }

    /// The frame's length is known; one below `least` could have been written shorter. Source: RFC 6455 §5.2.
    fn sized(&self, least: u64) -> Result<At, Violation> {
        if self.left < least || self.left > u64::MAX >> 1 {
            return Err(Violation::Protocol);
        }
        if !self.opcode.is_control() && self.left.saturating_add(self.content.len() as u64) > self.most as u64 {
            return Err(Violation::TooBig);
        }
        Ok(match self.role {
            Role::Client => At::Payload,
            Role::Server => At::Mask(4),
        })
    }

    /// Keeps a part of the frame's payload.
    fn keep(&mut self, part: &[u8], room: &mut dyn FnMut(usize) -> bool) -> Result<(), Violation> {
        let is_control = self.opcode.is_control();
        if !is_control {
            self.grow(part.len(), room)?;
        }
        let buffer = if is_control { &mut self.control } else { &mut self.content };
        let start = buffer.len();
        buffer.extend_from_slice(part);
        if self.role == Role::Server {
            frame::apply(buffer.get_mut(start..).unwrap_or_default(), self.mask);
            self.mask.rotate_left(part.len() % 4);
        }
        self.left = self.left.saturating_sub(part.len() as u64);
        if is_control || self.kind != Some(Kind::Text) {
            return Ok(());
        }
        // A character may be cut by the end of what came; `checked` stays before it.
        match std::str::from_utf8(self.content.get(self.checked..).unwrap_or_default()) {
            Ok(text) => self.checked = self.checked.saturating_add(text.len()),
            Err(error) if error.error_len().is_none() => {
                self.checked = self.checked.saturating_add(error.valid_up_to());
            }
            Err(_) => return Err(Violation::Text),
        }
        Ok(())
    }

    /// Makes room for `more` bytes of the message: twice what there is, but never more than the message can become.
    fn grow(&mut self, more: usize, room: &mut dyn FnMut(usize) -> bool) -> Result<(), Violation> {
        let held = self.content.len();
        let needed = held.saturating_add(more);
        if needed <= self.content.capacity() {
            return Ok(());
        }
        let announced = held.saturating_add(usize::try_from(self.left).unwrap_or(usize::MAX));
        let most = if self.last { announced } else { self.most };
        let total = self.content.capacity().saturating_mul(2).min(most).max(needed);
        if !room(total) {
            return Err(Violation::NoRoom);
        }
        self.content.try_reserve_exact(total.saturating_sub(held)).map_err(|_| Violation::NoRoom)
    }

    /// The frame is complete; what that completes.
    fn finish(&mut self) -> Result<Option<Event>, Violation> {
        match self.opcode {
            Opcode::Close => closed(&std::mem::take(&mut self.control)).map(Some),
            Opcode::Ping => Ok(Some(Event::Ping(std::mem::take(&mut self.control)))),
            Opcode::Pong => Ok(Some(Event::Pong(std::mem::take(&mut self.control)))),
            Opcode::Binary | Opcode::Continuation | Opcode::Text if self.last => {
                let content = std::mem::take(&mut self.content);
                let checked = std::mem::take(&mut self.checked);
                let kind = self.kind.take();
                if kind == Some(Kind::Text) && checked < content.len() {
                    return Err(Violation::Text);
                }
                Ok(kind.map(|kind| Event::Message { kind, content }))
            }
            Opcode::Binary | Opcode::Continuation | Opcode::Text => Ok(None),
        }
    }
}

/// Reads a close frame's payload. Source: RFC 6455 §5.5.1, §7.4.
fn closed(payload: &[u8]) -> Result<Event, Violation> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Ok(Event::Close(None)) } else { Err(Violation::Protocol) };
    };
    let code = u16::from_be_bytes(*code);
    // 1004 means nothing; 1005, 1006 and 1015 are what an end tells itself; from 5000 on nothing is registered.
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Violation::Protocol);
    }
    let reason = std::str::from_utf8(reason).map_err(|_| Violation::Text)?;
    Ok(Event::Close(Some((code, reason.into()))))
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
