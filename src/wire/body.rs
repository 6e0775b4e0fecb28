//! Fields → how a body is framed; framed bytes → content. Whatever could be read in two ways is refused.

use std::ops::Range;

use super::Fault;
use super::head::Head;
use super::line::{FieldLine, Took, is_token, is_value};
use crate::limits::{CHUNK_EXTENSION_BYTES_MAX, CHUNK_SIZE_DIGITS_MAX, TRAILER_BYTES_MAX};

/// How a body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// By `Transfer-Encoding: chunked`.
    Chunked,
    /// By its length in bytes; 0 where there is no body.
    Length(u64),
    /// By the end of the connection: only answers are.
    UntilClose,
}

/// Decides how the body of `head` is framed. The one place where smuggling dies.
///
/// # Errors
/// [`Fault::FramingConflict`] for both a length and a coding, a coding in HTTP/1.0, `chunked` twice or not last;
/// [`Fault::CodingUnknown`] for another coding; [`Fault::LengthInvalid`] for anything but one run of digits.
///
/// Source: RFC 9112 §6.1, §6.3; RFC 9110 §8.6.
pub fn resolve(head: &Head) -> Result<Framing, Fault> {
    let mut lengths = head.values("content-length");
    let length = lengths.next();
    if head.values("transfer-encoding").next().is_some() {
        if length.is_some() || head.is_http10() {
            return Err(Fault::FramingConflict);
        }
        return resolve_coding(&mut head.elements("transfer-encoding"));
    }
    match (length, lengths.next()) {
        (None, _) => Ok(Framing::Length(0)),
        (Some(length), None) => resolve_length(length),
        (Some(_), Some(_)) => Err(Fault::LengthInvalid),
    }
}

/// The framing that one `Content-Length` names.
pub(super) fn resolve_length(length: &[u8]) -> Result<Framing, Fault> {
    if length.is_empty() || !length.iter().all(u8::is_ascii_digit) {
        return Err(Fault::LengthInvalid);
    }
    let digits = std::str::from_utf8(length).map_err(|_| Fault::LengthInvalid)?;
    digits.parse().map(Framing::Length).map_err(|_| Fault::LengthInvalid)
}

/// The framing that the elements of `Transfer-Encoding` name.
pub(super) fn resolve_coding(codings: &mut dyn Iterator<Item = &[u8]>) -> Result<Framing, Fault> {
    let mut chunked = 0_u32;
    let mut unknown = false;
    let mut last_is_chunked = false;
    for coding in codings {
        if !coding.iter().all(|b| is_token(*b)) {
            return Err(Fault::FramingConflict);
        }
        last_is_chunked = coding.eq_ignore_ascii_case(b"chunked");
        chunked = chunked.saturating_add(u32::from(last_is_chunked));
        unknown |= !last_is_chunked;
    }
    match (chunked, unknown) {
        (1, false) => Ok(Framing::Chunked),
        (0, true) => Err(Fault::CodingUnknown),
        (1, true) if last_is_chunked => Err(Fault::CodingUnknown),
        _ => Err(Fault::FramingConflict),
    }
}

/// What a [`Decoder`] found at the front of its input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Bytes of the input that are done with.
    pub used: usize,
    /// The content among them.
    pub content: Range<usize>,
    /// Whether the body is complete.
    pub done: bool,
}

/// Takes the framing off a body.
#[derive(Debug)]
pub enum Decoder {
    /// By chunks.
    Chunked(Chunks),
    /// By length: bytes still to come.
    Length(u64),
    /// By the end of the connection.
    UntilClose,
}

impl Decoder {
    /// A decoder at the start of a body.
    pub fn new(framing: Framing) -> Decoder {
        match framing {
            Framing::Chunked => Decoder::Chunked(Chunks::default()),
            Framing::Length(length) => Decoder::Length(length),
            Framing::UntilClose => Decoder::UntilClose,
        }
    }

    /// Takes framing and at most one run of content off the front of `input`. Call again with what is left until it is
    /// empty or the piece is `done`.
    ///
    /// # Errors
    /// The [`Fault`] of the first byte that may not stand.
    ///
    /// Source: RFC 9112 §6.2, §7.1.
    pub fn next(&mut self, input: &[u8]) -> Result<Piece, Fault> {
        match self {
            Decoder::Length(left) => {
                let run = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left = left.saturating_sub(run as u64);
                Ok(Piece { used: run, content: 0..run, done: *left == 0 })
            }
            Decoder::Chunked(chunks) => chunks.next(input),
            Decoder::UntilClose => Ok(Piece { used: input.len(), content: 0..input.len(), done: false }),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    SizeStart,
    Size,
    /// White space before `;`.
    Gap,
    ExtStart,
    ExtName,
    ExtValueStart,
    ExtValue,
    Quoted,
    QuotedPair,
    QuotedEnd,
    SizeEnd,
    Data,
    DataEnd,
    DataEndLf,
    Trailer(FieldLine),
    Done,
}

/// The chunked coding. Extensions and trailers are checked, counted over the whole body and thrown away.
#[derive(Debug)]
pub struct Chunks {
    at: At,
    left: u64,
    digits: u8,
    extensions: usize,
    trailers: usize,
}

impl Default for Chunks {
    fn default() -> Self {
        Chunks { at: At::SizeStart, left: 0, digits: 0, extensions: 0, trailers: 0 }
    }
}

impl Chunks {
    fn next(&mut self, input: &[u8]) -> Result<Piece, Fault> {
        let mut used = 0_usize;
        for &byte in input {
            match self.at {
                At::Data => {
                    let rest = input.len().saturating_sub(used);
                    let run = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest);
                    self.left = self.left.saturating_sub(run as u64);
                    if self.left == 0 {
                        self.at = At::DataEnd;
                    }
                    let end = used.saturating_add(run);
                    return Ok(Piece { used: end, content: used..end, done: false });
                }
                At::Done => break,
                _ => self.take(byte)?,
            }
            used = used.saturating_add(1);
        }
        Ok(Piece { used, content: used..used, done: self.at == At::Done })
    }

    /// Takes one byte of framing.
    fn take(&mut self, byte: u8) -> Result<(), Fault> {
        self.at = match (self.at, byte) {
            (At::SizeStart | At::Size, _) if byte.is_ascii_hexdigit() => self.take_digit(byte)?,
            (At::Size | At::ExtName | At::ExtValue | At::QuotedEnd, b'\r') => At::SizeEnd,
            (At::SizeEnd, b'\n') => self.end_size(),
            (At::DataEnd, b'\r') => At::DataEndLf,
            (At::DataEndLf, b'\n') => At::SizeStart,
            (At::Trailer(line), _) => self.take_trailer(line, byte)?,
            _ => self.take_extension(byte)?,
        };
        Ok(())
    }

    fn take_digit(&mut self, byte: u8) -> Result<At, Fault> {
        self.digits = self.digits.saturating_add(1);
        if self.digits > CHUNK_SIZE_DIGITS_MAX {
            return Err(Fault::ChunkInvalid);
        }
        let digit = char::from(byte).to_digit(16).ok_or(Fault::ChunkInvalid)?;
        self.left =
            self.left.checked_mul(16).and_then(|n| n.checked_add(u64::from(digit))).ok_or(Fault::ChunkInvalid)?;
        Ok(At::Size)
    }

    fn end_size(&mut self) -> At {
        self.digits = 0;
        if self.left == 0 { At::Trailer(FieldLine::Start) } else { At::Data }
    }

    /// `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`, white space around `=` left out: nobody sends it.
    fn take_extension(&mut self, byte: u8) -> Result<At, Fault> {
        self.extensions = self.extensions.saturating_add(1);
        if self.extensions > CHUNK_EXTENSION_BYTES_MAX {
            return Err(Fault::ChunkInvalid);
        }
        Ok(match (self.at, byte) {
            (At::Size | At::Gap | At::ExtName | At::ExtValue | At::QuotedEnd, b' ' | b'\t') => At::Gap,
            (At::Size | At::Gap | At::ExtName | At::ExtValue | At::QuotedEnd, b';') => At::ExtStart,
            (At::ExtStart, b' ' | b'\t') => At::ExtStart,
            (At::ExtStart | At::ExtName, _) if is_token(byte) => At::ExtName,
            (At::ExtName, b'=') => At::ExtValueStart,
            (At::ExtValueStart, b'"') => At::Quoted,
            (At::ExtValueStart | At::ExtValue, _) if is_token(byte) => At::ExtValue,
            (At::Quoted, b'"') => At::QuotedEnd,
            (At::Quoted, b'\\') => At::QuotedPair,
            (At::Quoted | At::QuotedPair, _) if is_value(byte) => At::Quoted,
            _ => return Err(Fault::ChunkInvalid),
        })
    }

    fn take_trailer(&mut self, mut line: FieldLine, byte: u8) -> Result<At, Fault> {
        self.trailers = self.trailers.saturating_add(1);
        if self.trailers > TRAILER_BYTES_MAX {
            return Err(Fault::TooManyFields);
        }
        Ok(match line.take(byte)? {
            Took::More | Took::Line => At::Trailer(line),
            Took::Block => At::Done,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::head::Scanner;

    fn check_framing(fields: &str, expected: Result<Framing, Fault>) {
        for (version, http10) in [("1.1", false), ("1.0", true)] {
            let text = format!("POST / HTTP/{version}\r\nHost: a\r\n{fields}\r\n");
            let end = Scanner::default().scan(text.as_bytes()).unwrap().unwrap();
            let got = resolve(&Head::parse(text.as_bytes()[..end].to_vec()).unwrap());
            let coded = fields.to_ascii_lowercase().contains("transfer-encoding");
            let expected = if http10 && coded { Err(Fault::FramingConflict) } else { expected };
            assert_eq!(got, expected, "{fields:?} HTTP/{version}");
        }
    }

    #[test]
    fn framing() {
        use Fault::*;
        let check = check_framing;
        check("", Ok(Framing::Length(0)));
        check("Content-Length: 5\r\n", Ok(Framing::Length(5)));
        check("Content-Length: 007\r\n", Ok(Framing::Length(7)));
        for bad in ["", "+5", "-1", "5, 5", "5 5", "0x5", "5;", "1e3", "99999999999999999999"] {
            check(&format!("Content-Length: {bad}\r\n"), Err(LengthInvalid));
        }
        check("Content-Length: 5\r\nContent-Length: 5\r\n", Err(LengthInvalid));
        check("Content-Length: 5\r\nContent-Length: 6\r\n", Err(LengthInvalid));
        check("Transfer-Encoding: chunked\r\n", Ok(Framing::Chunked));
        check("Transfer-Encoding: CHUNKED \r\n", Ok(Framing::Chunked));
        check("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", Err(FramingConflict));
        check("Content-Length: 5\r\nTransfer-Encoding: gzip\r\n", Err(FramingConflict));
        check("Transfer-Encoding: chunked, chunked\r\n", Err(FramingConflict));
        check("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Err(FramingConflict));
        check("Transfer-Encoding: chunked, gzip\r\n", Err(FramingConflict));
        check("Transfer-Encoding: \r\n", Err(FramingConflict));
        check("Transfer-Encoding: chunked;q=1\r\n", Err(FramingConflict));
        check("Transfer-Encoding: \"chunked\"\r\n", Err(FramingConflict));
        check("Transfer-Encoding: gzip, chunked\r\n", Err(CodingUnknown));
        check("Transfer-Encoding: gzip\r\n", Err(CodingUnknown));
        check("Transfer-Encoding: identity\r\n", Err(CodingUnknown));
        check("Transfer-Encoding: xchunked\r\n", Err(CodingUnknown));
    }

    /// Feeds `parts` and returns the content, whether the body was complete and what was left over.
    fn feed(framing: Framing, parts: &[&[u8]]) -> Result<(Vec<u8>, bool, Vec<u8>), Fault> {
        let mut decoder = Decoder::new(framing);
        let (mut content, mut done, mut over) = (Vec::new(), false, Vec::new());
        for part in parts {
            let mut rest = *part;
            while !done && !rest.is_empty() {
                let piece = decoder.next(rest)?;
                content.extend_from_slice(&rest[piece.content.clone()]);
                assert!(piece.used > 0 || piece.done, "no progress");
                done = piece.done;
                rest = &rest[piece.used..];
            }
            over.extend_from_slice(rest);
        }
        Ok((content, done, over))
    }

    fn check_chunks(text: &str, expected: Result<(&str, bool, &str), Fault>) {
        let bytes = text.as_bytes();
        let expected = expected.map(|(c, d, o)| (c.as_bytes().to_vec(), d, o.as_bytes().to_vec()));
        assert_eq!(feed(Framing::Chunked, &[bytes]), expected, "{text:?}");
        // The split-read law: byte by byte and cut anywhere gives the same.
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(feed(Framing::Chunked, &single), expected, "{text:?} byte by byte");
        for cut in 0..bytes.len() {
            assert_eq!(feed(Framing::Chunked, &[&bytes[..cut], &bytes[cut..]]), expected, "{text:?} cut at {cut}");
        }
    }

    #[test]
    fn chunks() {
        let check = check_chunks;
        check("5\r\nhello\r\n0\r\n\r\n", Ok(("hello", true, "")));
        check("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET", Ok(("hello world", true, "GET")));
        check("0\r\n\r\n", Ok(("", true, "")));
        check("000a\r\n0123456789\r\n0000\r\n\r\n", Ok(("0123456789", true, "")));
        check("A\r\n0123456789\r\n0\r\n\r\n", Ok(("0123456789", true, "")));
        check("1;a\r\nx\r\n0;b=c;d=\"e;\\\"f\" ;g\r\n\r\n", Ok(("x", true, "")));
        check("1 ; a\r\nx\r\n0\r\n\r\n", Ok(("x", true, "")));
        check("1\r\nx\r\n0\r\nA: b\r\nContent-Length: 5\r\n\r\n", Ok(("x", true, "")));
        check("5\r\nhel", Ok(("hel", false, "")));
        for bad in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            " 1\r\n",
            "1 \r\n",
            "1\n",
            "1\rx",
            "1;\r\n",
            "1;=\r\n",
            "1;a=\r\n",
            "1;a=\"\r\n",
            "1\r\nxx",
            "1\r\nx\n0\r\n\r\n",
            "1\r\nx\rx",
            "11111111111111111\r\n",
            "1;a\0\r\n",
            "1;a\n",
        ] {
            check(bad, Err(Fault::ChunkInvalid));
        }
        check("0\r\nA : b\r\n\r\n", Err(Fault::FieldInvalid));
        check("0\r\n A: b\r\n\r\n", Err(Fault::FieldInvalid));
        check("0\r\nA: b\n\r\n", Err(Fault::FieldInvalid));
    }

    #[test]
    fn framing_overhead_is_bounded() {
        let many = "1;a\r\nx\r\n".repeat(CHUNK_EXTENSION_BYTES_MAX);
        assert_eq!(feed(Framing::Chunked, &[many.as_bytes()]), Err(Fault::ChunkInvalid));
        let long = format!("0\r\nA: {}\r\n\r\n", "b".repeat(TRAILER_BYTES_MAX));
        assert_eq!(feed(Framing::Chunked, &[long.as_bytes()]), Err(Fault::TooManyFields));
    }

    #[test]
    fn lengths() {
        assert_eq!(feed(Framing::Length(3), &[b"ab", b"cd"]), Ok((b"abc".to_vec(), true, b"d".to_vec())));
        assert_eq!(feed(Framing::UntilClose, &[b"ab", b"", b"cd"]), Ok((b"abcd".to_vec(), false, Vec::new())));
        assert_eq!(Decoder::new(Framing::Length(0)).next(b"x"), Ok(Piece { used: 0, content: 0..0, done: true }));
    }
}
