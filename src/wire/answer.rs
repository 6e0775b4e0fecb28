//! Bytes → one answer of a server that the gateway asked. As strict as with requests: what a line end, a field and a
//! length are is not guessed, because an answer that two readers read differently tells each of them something else.

use super::Fault;
use super::body::{Decoder, Framing, resolve_coding, resolve_length};
use super::line::{FieldLine, Took, is_value};
use crate::limits::{ANSWER_HEAD_BYTES, FIELDS_MAX};

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status code, 200 to 999.
    pub status: u16,
    /// The fields in order, names as they were sent, values without surrounding white space.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The content, as far as it was wanted.
    pub content: Vec<u8>,
    /// Whether there was more content.
    pub cut: bool,
    /// The length of the whole content in bytes, where the server says it or all of it came.
    pub total: Option<u64>,
    http10: bool,
}

impl Answer {
    /// The values of every field line of that name, in order. Names compare without case.
    pub fn values<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h [u8]> {
        self.fields.iter().filter(move |(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// Decides how the content is framed; `headless` is the answer to HEAD, which has none.
    ///
    /// Source: RFC 9112 §6.1, §6.3; RFC 9110 §8.6.
    fn framing(&self, headless: bool) -> Result<Framing, Fault> {
        if headless || matches!(self.status, 204 | 304) {
            return Ok(Framing::Length(0));
        }
        let mut lengths = self.values("content-length");
        let length = lengths.next();
        if self.values("transfer-encoding").next().is_some() {
            if length.is_some() || self.http10 {
                return Err(Fault::FramingConflict);
            }
            let lines = self.values("transfer-encoding");
            let elements = lines.flat_map(|line| line.split(|b| *b == b','));
            return resolve_coding(&mut elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty()));
        }
        match (length, lengths.next()) {
            (None, _) => Ok(Framing::UntilClose),
            (Some(length), None) => resolve_length(length),
            (Some(_), Some(_)) => Err(Fault::LengthInvalid),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum At {
    Line,
    LineEnd,
    Fields(FieldLine),
}

/// Reads one answer from the bytes of a connection, however they arrive. Interim answers are passed over.
#[derive(Debug)]
pub struct Reader {
    /// Whether the request was HEAD.
    headless: bool,
    /// The most content that is kept, in bytes.
    most: usize,
    /// All heads so far, those of interim answers too: their limit is one for all.
    heads: Vec<u8>,
    /// Where the head that is being read begins.
    start: usize,
    at: At,
    lines: usize,
    decoder: Option<Decoder>,
    done: bool,
    answer: Answer,
}

impl Reader {
    /// A reader that keeps at most `most` bytes of content; `headless` when the request was HEAD.
    pub fn new(headless: bool, most: usize) -> Reader {
        Reader {
            headless,
            most,
            heads: Vec::new(),
            start: 0,
            at: At::Line,
            lines: 0,
            decoder: None,
            done: false,
            answer: Answer::default(),
        }
    }

    /// Takes what came. Whether that is all there is to read: then no more need come.
    ///
    /// # Errors
    /// The [`Fault`] of the first byte that may not stand, and [`Fault::HeadTooLarge`] beyond [`ANSWER_HEAD_BYTES`].
    pub fn take(&mut self, mut bytes: &[u8]) -> Result<bool, Fault> {
        while !self.done && !bytes.is_empty() {
            let used = match self.decoder {
                None => self.take_head(bytes)?,
                Some(_) => self.take_content(bytes)?,
            };
            bytes = bytes.get(used..).unwrap_or_default();
        }
        Ok(self.done)
    }

    /// The answer, after the last byte was taken.
    ///
    /// # Errors
    /// [`Fault::Truncated`] when it is not complete.
    pub fn end(mut self) -> Result<Answer, Fault> {
        if matches!(self.decoder, Some(Decoder::UntilClose)) {
            self.done = true;
        }
        if !self.done {
            return Err(Fault::Truncated);
        }
        if self.answer.total.is_none() && !self.answer.cut && !self.headless {
            self.answer.total = Some(self.answer.content.len() as u64);
        }
        Ok(self.answer)
    }

    /// Takes bytes up to the end of a head; how many.
    fn take_head(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        for (place, &byte) in bytes.iter().enumerate() {
            if self.heads.len() >= ANSWER_HEAD_BYTES {
                return Err(Fault::HeadTooLarge);
            }
            self.heads.push(byte);
            self.at = match (self.at, byte) {
                (At::Line, b'\r') => At::LineEnd,
                (At::Line, _) if is_value(byte) => At::Line,
                // A server of another kind may say one line and then wait for ever.
                (At::LineEnd, b'\n') if self.head().starts_with(b"HTTP/1.") => At::Fields(FieldLine::Start),
                (At::Fields(mut line), _) => match line.take(byte)? {
                    Took::More => At::Fields(line),
                    Took::Line => {
                        self.lines = self.lines.saturating_add(1);
                        if self.lines > FIELDS_MAX {
                            return Err(Fault::TooManyFields);
                        }
                        At::Fields(line)
                    }
                    Took::Block => {
                        self.end_head()?;
                        return Ok(place.saturating_add(1));
                    }
                },
                _ => return Err(Fault::LineInvalid),
            };
        }
        Ok(bytes.len())
    }

    /// The head that is being read, as far as it came.
    fn head(&self) -> &[u8] {
        self.heads.get(self.start..).unwrap_or_default()
    }

    fn end_head(&mut self) -> Result<(), Fault> {
        let answer = parse(self.head())?;
        self.start = self.heads.len();
        (self.at, self.lines) = (At::Line, 0);
        match answer.status {
            // Nobody asked for another protocol.
            101 => return Err(Fault::LineInvalid),
            100..=199 => return Ok(()),
            _ => {}
        }
        let framing = answer.framing(self.headless)?;
        self.answer = answer;
        self.heads = Vec::new();
        self.answer.total = match framing {
            Framing::Length(_) if self.headless => self.announced(),
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::UntilClose => None,
        };
        self.done = framing == Framing::Length(0);
        self.decoder = Some(Decoder::new(framing));
        Ok(())
    }

    /// The length that GET would have got.
    fn announced(&self) -> Option<u64> {
        match resolve_length(self.answer.values("content-length").next()?) {
            Ok(Framing::Length(length)) => Some(length),
            _ => None,
        }
    }

    /// Takes framing and content; how many bytes.
    fn take_content(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let Some(decoder) = &mut self.decoder else { return Ok(0) };
        let piece = decoder.next(bytes)?;
        let content = bytes.get(piece.content).unwrap_or_default();
        let room = self.most.saturating_sub(self.answer.content.len());
        self.answer.cut = content.len() > room;
        self.answer.content.extend_from_slice(content.get(..room).unwrap_or(content));
        self.done = piece.done || self.answer.cut;
        Ok(piece.used)
    }
}

/// Reads a head that is complete and holds no byte that may not stand. Source: RFC 9112 §4.
fn parse(head: &[u8]) -> Result<Answer, Fault> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    match response.parse(head) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Err(httparse::Error::Status | httparse::Error::Version) => return Err(Fault::LineInvalid),
        _ => return Err(Fault::FieldInvalid),
    }
    let (Some(status @ 100..), Some(minor)) = (response.code, response.version) else {
        return Err(Fault::LineInvalid);
    };
    let fields = response.headers.iter().map(|field| (field.name.to_owned(), field.value.to_vec())).collect();
    Ok(Answer { status, fields, http10: minor == 0, ..Answer::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `parts`, then the end of the connection: status, content, whether it was cut, the whole length, and
    /// whether it was done before the end.
    type Read = Result<(u16, String, bool, Option<u64>, bool), Fault>;

    fn read<'a>(headless: bool, most: usize, parts: impl IntoIterator<Item = &'a [u8]>) -> Read {
        let (mut reader, mut done) = (Reader::new(headless, most), false);
        for part in parts {
            done = reader.take(part)?;
        }
        let Answer { status, content, cut, total, .. } = reader.end()?;
        Ok((status, String::from_utf8(content).unwrap(), cut, total, done))
    }

    fn check_as(
        headless: bool,
        most: usize,
        text: &str,
        expected: Result<(u16, &str, bool, Option<u64>, bool), Fault>,
    ) {
        let expected = expected.map(|(status, content, cut, total, done)| (status, content.into(), cut, total, done));
        let bytes = text.as_bytes();
        assert_eq!(read(headless, most, [bytes]), expected, "{text:?}");
        // The split-read law.
        assert_eq!(read(headless, most, bytes.chunks(1)), expected, "{text:?} byte by byte");
        for cut in 0..bytes.len() {
            assert_eq!(read(headless, most, [&bytes[..cut], &bytes[cut..]]), expected, "{text:?} cut at {cut}");
        }
    }

    fn check(text: &str, expected: Result<(u16, &str, bool, Option<u64>, bool), Fault>) {
        check_as(false, 8, text, expected);
    }

    #[test]
    fn framings() {
        use Fault::*;
        check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhellothere", Ok((200, "hello", false, Some(5), true)));
        check("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Ok((200, "", false, Some(0), true)));
        check("HTTP/1.1 200 OK\r\n\r\nhello", Ok((200, "hello", false, Some(5), false)));
        check("HTTP/1.0 200 OK\r\n\r\n", Ok((200, "", false, Some(0), false)));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        check(&[chunked, "5\r\nhello\r\n0\r\n\r\n"].concat(), Ok((200, "hello", false, Some(5), true)));
        check(&[chunked, "5\r\nhello\r\n"].concat(), Err(Truncated));
        check(&[chunked, "5\r\nhellox"].concat(), Err(ChunkInvalid));
        check("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", Err(Truncated));
        check("HTTP/1.1 204 None\r\nContent-Length: 6\r\n\r\n", Ok((204, "", false, Some(0), true)));
        check("HTTP/1.1 304 Same\r\n\r\nHTTP/1.1", Ok((304, "", false, Some(0), true)));
        for (fields, fault) in [
            ("Content-Length: 5\r\nContent-Length: 5\r\n", LengthInvalid),
            ("Content-Length: 5, 5\r\n", LengthInvalid),
            ("Content-Length: +5\r\n", LengthInvalid),
            ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", FramingConflict),
            ("Transfer-Encoding: chunked, chunked\r\n", FramingConflict),
            ("Transfer-Encoding: gzip, chunked\r\n", CodingUnknown),
            ("Transfer-Encoding: identity\r\n", CodingUnknown),
        ] {
            check(&["HTTP/1.1 200 OK\r\n", fields, "\r\nhello"].concat(), Err(fault));
        }
        check("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Err(FramingConflict));
    }

    #[test]
    fn more_than_is_wanted_is_cut_and_counted_where_it_can_be() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789", Ok((200, "01234567", true, Some(10), true)));
        check("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n01234567", Ok((200, "01234567", false, Some(8), true)));
        check("HTTP/1.1 200 OK\r\n\r\n0123456789", Ok((200, "01234567", true, None, true)));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n4\r\n5678\r\nnonsense";
        check(chunked, Ok((200, "01234567", true, None, true)));
        check_as(false, 0, "HTTP/1.1 200 OK\r\n\r\n0", Ok((200, "", true, None, true)));
    }

    #[test]
    fn an_answer_to_head_has_no_content() {
        check_as(true, 8, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", Ok((200, "", false, Some(99), true)));
        check_as(true, 8, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Ok((200, "", false, None, true)));
    }

    #[test]
    fn interim_answers_are_passed_over_within_one_limit() {
        let end = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
        let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        check(&["HTTP/1.1 100 Continue\r\n\r\n", interim, end].concat(), Ok((200, "x", false, Some(1), true)));
        check("HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", Err(Fault::LineInvalid));
        check("HTTP/1.1 100 Continue\r\n\r\n", Err(Fault::Truncated));
        let many = interim.repeat(ANSWER_HEAD_BYTES / interim.len() + 1);
        assert_eq!(read(false, 8, [many.as_bytes()]), Err(Fault::HeadTooLarge));
    }

    #[test]
    fn heads() {
        use Fault::*;
        let good = Ok((200, "", false, Some(0), false));
        check("HTTP/1.1 200\r\n\r\n", good);
        check("HTTP/1.1 200 \r\n\r\n", good);
        check("HTTP/1.1 200 \u{e9}\r\nX:\r\nY: \t a\u{e9} \r\n\r\n", good);
        for bad in ["HTTP/1.1 200 OK\n\n", "\r\nHTTP/1.1 200 OK\r\n\r\n", "HTTP/2 200 OK\r\n\r\n", "ICY 200 OK\r\n\r\n"]
        {
            let got = read(false, 8, [bad.as_bytes()]);
            assert!(matches!(got, Err(LineInvalid | FieldInvalid)), "{bad:?} {got:?}");
        }
        for bad in ["HTTP/1.1 099 No\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 O\0\r\n"]
        {
            check(bad, Err(LineInvalid));
        }
        for bad in ["X : y\r\n", ": y\r\n", "X: y\r\n folded\r\n", "X y\r\n", "X: y\n", "X: y\0\r\n", "X\u{e9}: y\r\n"]
        {
            check(&["HTTP/1.1 200 OK\r\n", bad, "\r\n"].concat(), Err(FieldInvalid));
        }
        check("SSH-2.0-dropbear\r\n", Err(LineInvalid));
        check("", Err(Truncated));
        check("HTTP/1.1 200 OK\r\nX: y\r\n", Err(Truncated));
        let fields = |n: usize| ["HTTP/1.1 200 OK\r\n", &"X: y\r\n".repeat(n), "\r\n"].concat();
        assert_eq!(read(false, 8, [fields(FIELDS_MAX).as_bytes()]).map(|r| r.0), Ok(200));
        assert_eq!(read(false, 8, [fields(FIELDS_MAX + 1).as_bytes()]), Err(TooManyFields));
        let long = |n: usize| ["HTTP/1.1 200 OK\r\nX: ", &"y".repeat(n - 24), "\r\n\r\n"].concat();
        assert_eq!(read(false, 8, [long(ANSWER_HEAD_BYTES).as_bytes()]).map(|r| r.0), Ok(200));
        assert_eq!(read(false, 8, [long(ANSWER_HEAD_BYTES + 1).as_bytes()]), Err(HeadTooLarge));
    }

    #[test]
    fn names_compare_without_case() {
        let mut reader = Reader::new(false, 8);
        reader.take(b"HTTP/1.1 302 Found\r\nLocation: /a\r\nLOCATION: /b\r\nContent-Length: 0\r\n\r\n").unwrap();
        let answer = reader.end().unwrap();
        assert_eq!(answer.values("location").collect::<Vec<_>>(), [b"/a", b"/b"]);
        assert_eq!(answer.fields[0], (String::from("Location"), b"/a".to_vec()));
    }
}
