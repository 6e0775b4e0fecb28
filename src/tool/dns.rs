//! A question → the bytes of a DNS message; the bytes of its answer → records. Pure, and total: an answer is whatever a
//! network brings.
//!
//! Source: RFC 1035 §4.1, RFC 3596 (AAAA), RFC 2782 (SRV).

use std::net::IpAddr;

use crate::limits::{DNS_CHAIN, DNS_RECORDS};

/// The types of records that can be asked for.
pub const KINDS: [(&str, u16); 7] =
    [("A", A), ("AAAA", AAAA), ("CNAME", CNAME), ("PTR", PTR), ("TXT", TXT), ("SRV", SRV), ("MX", MX)];

/// IPv4 addresses.
pub const A: u16 = 1;
/// IPv6 addresses.
pub const AAAA: u16 = 28;
const CNAME: u16 = 5;
const PTR: u16 = 12;
const MX: u16 = 15;
const TXT: u16 = 16;
const SRV: u16 = 33;

/// The length of a message's header.
const HEADER: usize = 12;

/// Why a message is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It answers another question than the one asked, or none.
    Foreign,
    /// It answers the question but cannot be read.
    Malformed,
}

/// One record of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose it is.
    pub name: String,
    /// Its type, one of [`KINDS`].
    pub kind: u16,
    /// Seconds it may be kept.
    pub ttl: u32,
    /// What it says, as in a zone file.
    pub value: String,
    /// The address it says.
    pub addr: Option<IpAddr>,
}

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The response code.
    pub rcode: u8,
    /// Whether it did not fit into its datagram: then no records are read.
    pub cut: bool,
    /// The records of known type, at most [`DNS_RECORDS`].
    pub records: Vec<Record>,
}

/// The message that asks for records of `kind` of `name`. `None`: that is no name.
pub fn question(id: u16, name: &str, kind: u16) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(HEADER + name.len() + 6);
    out.extend(id.to_be_bytes());
    // Recursion desired; one question, nothing else.
    out.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.strip_suffix('.').unwrap_or(name).split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        out.push(length);
        out.extend(label.as_bytes());
    }
    out.push(0);
    if out.len() > HEADER + 255 {
        return None;
    }
    out.extend(kind.to_be_bytes());
    out.extend([0, 1]);
    Some(out)
}

/// Reads `message` as the answer to `question`, which [`question`] made: its number and the question must come back.
///
/// # Errors
/// [`Fault::Foreign`] where it is none, [`Fault::Malformed`] where it lies about its own lengths or its names loop.
pub fn read(message: &[u8], question: &[u8]) -> Result<Answer, Fault> {
    let asked = question.get(HEADER..).unwrap_or_default();
    let echoed = message.get(HEADER..HEADER + asked.len());
    // No length of a label is a letter, so comparing without case is exact for everything but letters.
    let ours = message.get(..2) == question.get(..2)
        && message.get(4..6) == Some(&[0, 1])
        && echoed.is_some_and(|echoed| echoed.eq_ignore_ascii_case(asked));
    let (true, Some(&flags), Some(&codes)) = (ours, message.get(2), message.get(3)) else { return Err(Fault::Foreign) };
    // An answer, to a standard query.
    if flags & 0xf8 != 0x80 {
        return Err(Fault::Foreign);
    }
    let mut answer = Answer { rcode: codes & 15, cut: flags & 2 != 0, records: Vec::new() };
    if !answer.cut {
        let count = u16_at(message, 6).ok_or(Fault::Malformed)?;
        let mut at = HEADER + asked.len();
        for _ in 0..count {
            if answer.records.len() == DNS_RECORDS {
                break;
            }
            let (record, end) = record(message, at).ok_or(Fault::Malformed)?;
            answer.records.extend(record);
            at = end;
        }
    }
    Ok(answer)
}

/// The record at `at`, if it is of a known type, and where it ends.
fn record(message: &[u8], at: usize) -> Option<(Option<Record>, usize)> {
    let (name, at) = name(message, at)?;
    let (kind, class) = (u16_at(message, at)?, u16_at(message, at + 2)?);
    let ttl = u32::from(u16_at(message, at + 4)?) << 16 | u32::from(u16_at(message, at + 6)?);
    let start = at + 10;
    let end = start + usize::from(u16_at(message, at + 8)?);
    let content = message.get(start..end)?;
    let mut addr = None;
    let value = match kind {
        _ if class != 1 => return Some((None, end)),
        A => {
            let octets: [u8; 4] = content.try_into().ok()?;
            addr.insert(IpAddr::from(octets)).to_string()
        }
        AAAA => {
            let octets: [u8; 16] = content.try_into().ok()?;
            addr.insert(IpAddr::from(octets)).to_string()
        }
        CNAME | PTR => named(message, start, end)?,
        MX => [&u16_at(message, start)?.to_string(), " ", &named(message, start + 2, end)?].concat(),
        SRV => {
            let mut value = String::new();
            for place in [start, start + 2, start + 4] {
                value += &u16_at(message, place)?.to_string();
                value.push(' ');
            }
            value + &named(message, start + 6, end)?
        }
        TXT => texts(content)?,
        _ => return Some((None, end)),
    };
    Some((Some(Record { name, kind, ttl, value, addr }), end))
}

/// The name that fills what is left of a record.
fn named(message: &[u8], at: usize, end: usize) -> Option<String> {
    name(message, at).filter(|(_, stop)| *stop == end).map(|(name, _)| name)
}

/// The name at `at`, and where it ends. Each pointer must lead further back than the one before, so they end.
fn name(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let (mut text, mut end, mut bound, mut length) = (String::new(), None, at, 1);
    loop {
        let head = usize::from(*message.get(at)?);
        match head {
            0 => break,
            1..=63 => {
                length += head + 1;
                if length > 255 {
                    return None;
                }
                for &byte in message.get(at + 1..at + 1 + head)? {
                    spell(&mut text, byte);
                }
                text.push('.');
                at += 1 + head;
            }
            192.. => {
                let to = (head & 63) << 8 | usize::from(*message.get(at + 1)?);
                if to >= bound {
                    return None;
                }
                end = end.or(Some(at + 2));
                (at, bound) = (to, to);
            }
            _ => return None,
        }
    }
    if text.len() > 1 {
        text.pop();
    }
    Some((if text.is_empty() { String::from(".") } else { text }, end.unwrap_or(at + 1)))
}

/// One byte of a name. What could be mistaken for something else is written as its number. Source: RFC 1035 §5.1.
fn spell(text: &mut String, byte: u8) {
    if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
        return text.push(char::from(byte));
    }
    text.push('\\');
    for place in [100, 10, 1] {
        text.push(char::from(b'0' + byte / place % 10));
    }
}

/// The strings of a TXT record as one text.
fn texts(mut content: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(content.len());
    while let Some((length, rest)) = content.split_first() {
        let (string, rest) = rest.split_at_checked(usize::from(*length))?;
        bytes.extend(string);
        content = rest;
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(message.get(at..)?.first_chunk().copied()?))
}

/// The addresses that `answer` has for `name`, itself or by what it is called otherwise; records of others are passed over.
pub fn follow(answer: &Answer, name: &str) -> Vec<IpAddr> {
    let mut name = name.strip_suffix('.').unwrap_or(name);
    for _ in 0..DNS_CHAIN {
        let own = || answer.records.iter().filter(|record| record.name.eq_ignore_ascii_case(name));
        match own().find(|record| record.kind == CNAME) {
            Some(other) => name = &other.value,
            None => return own().filter_map(|record| record.addr).collect(),
        }
    }
    Vec::new()
}

/// The name under which an address is looked up. Source: RFC 1035 §3.5, RFC 3596 §2.5.
pub fn reverse(addr: IpAddr) -> String {
    let mut name = String::new();
    match addr {
        IpAddr::V4(v4) => {
            for octet in v4.octets().into_iter().rev() {
                name += &octet.to_string();
                name.push('.');
            }
            name + "in-addr.arpa"
        }
        IpAddr::V6(v6) => {
            for octet in v6.octets().into_iter().rev() {
                for digit in [octet & 15, octet >> 4] {
                    name.extend(char::from_digit(digit.into(), 16));
                    name.push('.');
                }
            }
            name + "ip6.arpa"
        }
    }
}

#[cfg(test)]
#[path = "dns_tests.rs"]
mod tests;
