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
    let mut out = Vec::with_capacity(name.len().saturating_add(18));
    out.extend(id.to_be_bytes());
    // Recursion desired; one question, nothing else.
    out.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.strip_suffix('.').unwrap_or(name).split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        out.push(length);
        out.extend(label.as_bytes());
    }
    out.push(0);
    if out.len().saturating_sub(HEADER) > 255 {
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
    let echoed = message.get(HEADER..).and_then(|rest| rest.get(..asked.len()));
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
        let mut reader = Reader { message, at: 6 };
        let mut count = reader.u16().unwrap_or_default();
        reader.at = HEADER.wrapping_add(asked.len());
        while count > 0 && answer.records.len() < DNS_RECORDS {
            count = count.wrapping_sub(1);
            answer.records.extend(reader.record().ok_or(Fault::Malformed)?);
        }
    }
    Ok(answer)
}

/// A place in a message.
struct Reader<'m> {
    message: &'m [u8],
    at: usize,
}

impl<'m> Reader<'m> {
    fn take(&mut self, length: usize) -> Option<&'m [u8]> {
        let bytes = self.message.get(self.at..)?.get(..length)?;
        self.at = self.at.wrapping_add(length);
        Some(bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(*self.take(2)?.first_chunk()?))
    }

    /// The number, and the space after it, in a record's text.
    fn number(&mut self, text: &mut String) -> Option<()> {
        text.push_str(&self.u16()?.to_string());
        text.push(' ');
        Some(())
    }

    /// Reads one record. `None` inside: it is of no known type.
    fn record(&mut self) -> Option<Option<Record>> {
        let name = self.name()?;
        let (kind, class) = (self.u16()?, self.u16()?);
        let ttl = u32::from(self.u16()?) << 16 | u32::from(self.u16()?);
        let length = usize::from(self.u16()?);
        let mut inside = Reader { message: self.message, at: self.at };
        let content = self.take(length)?;
        let mut record = Record { name, kind, ttl, value: String::new(), addr: None };
        match kind {
            _ if class != 1 => return Some(None),
            A => record.addr = Some(IpAddr::from(<[u8; 4]>::try_from(content).ok()?)),
            AAAA => record.addr = Some(IpAddr::from(<[u8; 16]>::try_from(content).ok()?)),
            TXT => record.value = texts(content)?,
            CNAME | PTR | MX | SRV => {
                let numbers = if kind == SRV { 3 } else { usize::from(kind == MX) };
                for _ in 0..numbers {
                    inside.number(&mut record.value)?;
                }
                record.value.push_str(&inside.name()?);
                if inside.at != self.at {
                    return None;
                }
            }
            _ => return Some(None),
        }
        if let Some(addr) = record.addr {
            record.value = addr.to_string();
        }
        Some(Some(record))
    }

    /// Reads a name. Each pointer must lead further back than the one before, so they end.
    fn name(&mut self) -> Option<String> {
        let (mut text, mut end, mut bound, mut size) = (String::new(), None, self.at, 1_usize);
        loop {
            let head = *self.take(1)?.first()?;
            match head {
                0 => break,
                1..=63 => {
                    let label = self.take(head.into())?;
                    size = size.wrapping_add(label.len()).wrapping_add(1);
                    if size > 255 {
                        return None;
                    }
                    label.iter().for_each(|byte| spell(&mut text, *byte));
                    text.push('.');
                }
                192.. => {
                    let low = *self.take(1)?.first()?;
                    end = end.or(Some(self.at));
                    self.at = usize::from(u16::from_be_bytes([head & 63, low]));
                    if self.at >= bound {
                        return None;
                    }
                    bound = self.at;
                }
                _ => return None,
            }
        }
        self.at = end.unwrap_or(self.at);
        // The root's name is its dot, every other goes without its last.
        if text.pop().is_none() {
            text.push('.');
        }
        Some(text)
    }
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

/// The addresses that `answer` has for `name`, itself or by what it is called otherwise; records of others are passed over.
pub fn follow(answer: &Answer, name: &str) -> Vec<IpAddr> {
    let mut name = name.strip_suffix('.').unwrap_or(name);
    for _ in 0..DNS_CHAIN {
        let (mut addrs, mut next) = (Vec::new(), None);
        for record in answer.records.iter().filter(|record| record.name.eq_ignore_ascii_case(name)) {
            addrs.extend(record.addr);
            if record.kind == CNAME {
                next = Some(record.value.as_str());
            }
        }
        match next {
            Some(next) => name = next,
            None => return addrs,
        }
    }
    Vec::new()
}

/// The name under which an address is looked up. Source: RFC 1035 §3.5, RFC 3596 §2.5.
pub fn reverse(addr: IpAddr) -> String {
    match addr {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            IpAddr::from([d, c, b, a]).to_string() + ".in-addr.arpa"
        }
        IpAddr::V6(v6) => {
            let mut name = String::new();
            for digit in format!("{:032x}", v6.to_bits()).chars().rev() {
                name.push(digit);
                name.push('.');
            }
            name + "ip6.arpa"
        }
    }
}

#[cfg(test)]
#[path = "dns_tests.rs"]
mod tests;
