//! Bytes → a request's line and fields. httparse splits the fields; every byte was checked before it sees them.

use super::Fault;
use super::line::{FieldLine, Took, is_token};
use super::target::{self, Target};
use crate::limits::{FIELDS_MAX, HEAD_BYTES_MAX, LEADING_LINE_BYTES_MAX};

/// A request method, as far as anything here depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `CONNECT`
    Connect,
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `OPTIONS`
    Options,
    /// Any other registered method.
    Other,
    /// `POST`
    Post,
    /// A token that names no registered method.
    Unknown,
}

/// The registered methods beyond those of [`Method`]. Source: the IANA method registry, as far as deployed servers know it.
const OTHER_METHODS: [&str; 29] = [
    "ACL",
    "BIND",
    "CHECKOUT",
    "COPY",
    "DELETE",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MOVE",
    "PATCH",
    "PROPFIND",
    "PROPPATCH",
    "PURGE",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "SOURCE",
    "SUBSCRIBE",
    "TRACE",
    "UNBIND",
    "UNLINK",
    "UNLOCK",
    "UNSUBSCRIBE",
    "M-SEARCH",
];

impl Method {
    fn named(name: &str) -> Method {
        match name {
            "CONNECT" => Method::Connect,
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "OPTIONS" => Method::Options,
            "POST" => Method::Post,
            _ if OTHER_METHODS.contains(&name) => Method::Other,
            _ => Method::Unknown,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Leading,
    LeadingEnd,
    Method,
    Line,
    LineEnd,
    Fields(FieldLine),
}

impl At {
    /// How many of the first `bytes` may be passed over at once, because they change nothing.
    fn run(self, bytes: &[u8]) -> usize {
        match self {
            At::Fields(line) => line.run(bytes),
            At::Line => bytes.iter().position(|b| !matches!(b, b'!'..=b'~')).unwrap_or(bytes.len()),
            At::Leading | At::LeadingEnd | At::Method | At::LineEnd => 0,
        }
    }
}

/// Finds the end of a head, looking at each byte once, and refuses at the first byte that cannot stand.
#[derive(Debug)]
pub struct Scanner {
    at: At,
    seen: usize,
    leading: usize,
    spaces: u8,
    fields: usize,
}

impl Default for Scanner {
    fn default() -> Self {
        Scanner { at: At::Leading, seen: 0, leading: 0, spaces: 0, fields: 0 }
    }
}

impl Scanner {
    /// Looks at the bytes of `buffer` not looked at before. `Some(n)`: the head is its first `n` bytes. `None`: more is needed.
    ///
    /// # Errors
    /// The [`Fault`] of the first byte that may not stand, or of the first byte beyond [`HEAD_BYTES_MAX`].
    ///
    /// Source: RFC 9112 §2.2, §3, §5.
    pub fn scan(&mut self, buffer: &[u8]) -> Result<Option<usize>, Fault> {
        while let Some((&byte, _)) = buffer.get(self.seen..).and_then(<[u8]>::split_first) {
            let run = self.at.run(buffer.get(self.seen..).unwrap_or_default());
            self.seen = self.seen.saturating_add(run.max(1));
            if self.seen > HEAD_BYTES_MAX {
                return Err(Fault::HeadTooLarge);
            }
            if run > 0 {
                continue;
            }
            self.at = match (self.at, byte) {
                (At::Leading, b'\r') => At::LeadingEnd,
                (At::LeadingEnd, b'\n') if self.seen <= LEADING_LINE_BYTES_MAX => {
                    self.leading = self.seen;
                    At::Leading
                }
                (At::Leading | At::Method, _) if is_token(byte) => At::Method,
                (At::Method, b' ') => At::Line,
                (At::Line, b'\r') => At::LineEnd,
                (At::Line, b' ') if self.spaces > 0 => return Err(Fault::LineInvalid),
                (At::Line, b' ') => {
                    self.spaces = 1;
                    At::Line
                }
                (At::Line, b'!'..=b'~') => At::Line,
                (At::LineEnd, b'\n') => At::Fields(FieldLine::Start),
                (At::Fields(mut line), _) => match line.take(byte)? {
                    Took::More => At::Fields(line),
                    Took::Line => {
                        self.fields = self.fields.saturating_add(1);
                        if self.fields > FIELDS_MAX {
                            return Err(Fault::TooManyFields);
                        }
                        At::Fields(line)
                    }
                    Took::Block => return Ok(Some(self.seen)),
                },
                _ => return Err(Fault::LineInvalid),
            };
        }
        Ok(None)
    }

    /// Whether anything but empty lines has come: an idle connection that ends owes nobody an answer.
    pub fn begun(&self) -> bool {
        self.seen > self.leading
    }
}

#[derive(Debug, Clone, Copy)]
struct Span {
    from: u16,
    to: u16,
}

impl Span {
    fn of(part: &[u8], whole: &[u8]) -> Option<Span> {
        let from = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
        Some(Span { from: u16::try_from(from).ok()?, to: u16::try_from(from.checked_add(part.len())?).ok()? })
    }

    fn in_bytes(self, whole: &[u8]) -> &[u8] {
        whole.get(usize::from(self.from)..usize::from(self.to)).unwrap_or_default()
    }
}

/// A request's head. Owns its bytes, so that the connection's buffer is free while the call runs.
#[derive(Debug)]
pub struct Head {
    bytes: Vec<u8>,
    method: Method,
    path: Box<str>,
    authority: Option<Box<str>>,
    minor: u8,
    fields: Vec<(Span, Span)>,
    /// Which lengths of names there are, modulo 32: most fields asked for are absent, and this tells most of them.
    lengths: u32,
}

impl Head {
    /// Reads a head that [`Scanner::scan`] found complete.
    ///
    /// # Errors
    /// The [`Fault`] of the request line, the target, a field or the host.
    ///
    /// Source: RFC 9112 §3, §3.2, §5; contract http.md, decided strictness.
    pub fn parse(bytes: Vec<u8>) -> Result<Head, Fault> {
        let start = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n')).ok_or(Fault::LineInvalid)?;
        let line_length =
            bytes.get(start..).unwrap_or_default().iter().position(|b| *b == b'\r').ok_or(Fault::LineInvalid)?;
        let line_end = start.saturating_add(line_length);
        let line =
            std::str::from_utf8(bytes.get(start..line_end).unwrap_or_default()).map_err(|_| Fault::LineInvalid)?;
        let (method, target, minor) = parse_line(line)?;
        let Target { authority, path } = target::resolve(target, method == Method::Options)?;
        let (authority, path) = (authority.map(Box::from), Box::from(path));
        let block = bytes.get(line_end.saturating_add(2)..).unwrap_or_default();
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let parsed = match httparse::parse_headers(block, &mut fields) {
            Ok(httparse::Status::Complete((_, parsed))) => parsed,
            Err(httparse::Error::TooManyHeaders) => return Err(Fault::TooManyFields),
            Ok(httparse::Status::Partial) | Err(_) => return Err(Fault::FieldInvalid),
        };
        let spans = parsed.iter().map(|f| Some((Span::of(f.name.as_bytes(), &bytes)?, Span::of(f.value, &bytes)?)));
        let mut fields = Vec::with_capacity(parsed.len());
        for span in spans {
            fields.push(span.ok_or(Fault::FieldInvalid)?);
        }
        let lengths = parsed.iter().fold(0, |lengths, field| lengths | length_bit(field.name));
        let head = Head { bytes, method, path, authority, minor, fields, lengths };
        head.check_host()?;
        Ok(head)
    }

    /// One valid host in HTTP/1.1, at most one before. Source: RFC 9112 §3.2.
    fn check_host(&self) -> Result<(), Fault> {
        let mut hosts = self.values("host");
        let valid = match (hosts.next(), hosts.next()) {
            (Some(host), None) => std::str::from_utf8(host).is_ok_and(target::host_valid),
            (None, _) => self.minor == 0,
            (Some(_), Some(_)) => false,
        };
        if valid { Ok(()) } else { Err(Fault::HostInvalid) }
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The resolved path, or `*`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether the request is HTTP/1.0.
    pub fn is_http10(&self) -> bool {
        self.minor == 0
    }

    /// The host the request is for: the target's authority, else the Host field. `None` only in HTTP/1.0.
    pub fn host(&self) -> Option<&str> {
        match &self.authority {
            Some(authority) => Some(authority),
            None => self.values("host").next().and_then(|host| std::str::from_utf8(host).ok()),
        }
    }

    /// The values of every field line of that name, in order, without surrounding white space. Names compare without case.
    pub fn values<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h [u8]> {
        let named = move |(field, _): &&(Span, Span)| field.in_bytes(&self.bytes).eq_ignore_ascii_case(name.as_bytes());
        let fields = if self.lengths & length_bit(name) == 0 { &[] } else { &*self.fields };
        fields.iter().filter(named).map(|(_, value)| value.in_bytes(&self.bytes))
    }

    /// The elements of a comma-separated field, over all its lines, in order, empty ones left out.
    pub fn elements<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h [u8]> {
        self.values(name)
            .flat_map(|value| value.split(|b| *b == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|e| !e.is_empty())
    }

    /// Whether the connection must end after this exchange: HTTP/1.0, or the peer says so. Source: RFC 9112 §9.3.
    pub fn ends_connection(&self) -> bool {
        self.minor == 0 || self.elements("connection").any(|option| option.eq_ignore_ascii_case(b"close"))
    }
}

fn length_bit(name: &str) -> u32 {
    1_u32.wrapping_shl(u32::try_from(name.len()).unwrap_or_default())
}

/// Splits a request line at exactly two spaces. Source: RFC 9112 §3, §2.3.
fn parse_line(line: &str) -> Result<(Method, &str, u8), Fault> {
    let mut parts = line.split(' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Fault::LineInvalid);
    };
    let (major, minor) = match version.strip_prefix("HTTP/").map(str::as_bytes) {
        Some([major @ b'0'..=b'9', b'.', minor @ b'0'..=b'9']) => (*major, *minor),
        _ => return Err(Fault::LineInvalid),
    };
    if major != b'1' {
        return Err(Fault::VersionUnknown);
    }
    let method = Method::named(method);
    if method == Method::Connect || target.is_empty() {
        return Err(Fault::TargetInvalid);
    }
    Ok((method, target, if minor == b'0' { 0 } else { 1 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<Head>, Fault> {
        match Scanner::default().scan(bytes)? {
            Some(end) => Head::parse(bytes[..end].to_vec()).map(Some),
            None => Ok(None),
        }
    }

    fn check(text: &str, expected: Result<(Method, &str, u8), Fault>) {
        let got = read(text.as_bytes());
        let got =
            got.as_ref().map(|h| h.as_ref().expect("complete")).map(|h| (h.method, h.path(), h.minor)).map_err(|f| *f);
        assert_eq!(got, expected, "{text:?}");
    }

    #[test]
    fn request_lines() {
        use Fault::*;
        use Method::*;
        check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok((Get, "/", 1)));
        check("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok((Get, "/", 1)));
        check("\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Err(LineInvalid));
        check("GET / HTTP/1.2\r\nHost: a\r\n\r\n", Ok((Get, "/", 1)));
        check("GET / HTTP/1.0\r\n\r\n", Ok((Get, "/", 0)));
        check("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", Ok((Other, "/", 1)));
        check("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Ok((Options, "*", 1)));
        check("GET * HTTP/1.1\r\nHost: a\r\n\r\n", Err(TargetInvalid));
        check("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", Err(TargetInvalid));
        check("get / HTTP/1.1\r\nHost: a\r\n\r\n", Ok((Unknown, "/", 1)));
        check("GET / HTTP/2.0\r\n\r\n", Err(VersionUnknown));
        check("GET / http/1.1\r\n\r\n", Err(LineInvalid));
        check("GET / HTTP/1.10\r\n\r\n", Err(LineInvalid));
        check("GET  / HTTP/1.1\r\n\r\n", Err(LineInvalid));
        check("GET / HTTP/1.1 \r\n\r\n", Err(LineInvalid));
        check("GET /\r\n\r\n", Err(LineInvalid));
        check("GET\r\n\r\n", Err(LineInvalid));
        check("GET /\tx HTTP/1.1\r\n\r\n", Err(LineInvalid));
        check("GET /é HTTP/1.1\r\n\r\n", Err(LineInvalid));
        check("GET / HTTP/1.1\nHost: a\n\n", Err(LineInvalid));
        check("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Err(LineInvalid));
        check(" GET / HTTP/1.1\r\n\r\n", Err(LineInvalid));
        check("\x16\x03\x01", Err(LineInvalid));
    }

    #[test]
    fn fields() {
        use Fault::*;
        let check = |fields: &str, expected: Result<(), Fault>| {
            let got = read(format!("GET / HTTP/1.1\r\n{fields}\r\n").as_bytes()).map(|h| assert!(h.is_some()));
            assert_eq!(got, expected, "{fields:?}");
        };
        check("Host: a\r\nX: \t y \t\r\n", Ok(()));
        check("Host: a\r\nX:\r\n", Ok(()));
        check("Host: a\r\nX: \u{e9}\r\n", Ok(()));
        check("Host: a\r\nX : y\r\n", Err(FieldInvalid));
        check("Host: a\r\n : y\r\n", Err(FieldInvalid));
        check("Host: a\r\n: y\r\n", Err(FieldInvalid));
        check("Host: a\r\nX: y\r\n folded\r\n", Err(FieldInvalid));
        check("Host: a\r\nX y\r\n", Err(FieldInvalid));
        check("Host: a\r\nX: y\n", Err(FieldInvalid));
        check("Host: a\r\nX: y\rz\r\n", Err(FieldInvalid));
        check("Host: a\r\nX: y\0\r\n", Err(FieldInvalid));
        check("Host: a\r\nX: y\x7f\r\n", Err(FieldInvalid));
        check("Host: a\r\nX\u{e9}: y\r\n", Err(FieldInvalid));
        check("", Err(HostInvalid));
        check("Host: a\r\nhost: a\r\n", Err(HostInvalid));
        check("Host:\r\n", Err(HostInvalid));
        check("Host: a b\r\n", Err(HostInvalid));
        check(&("X: y\r\n".repeat(99) + "Host: a\r\n"), Ok(()));
        check(&("X: y\r\n".repeat(100) + "Host: a\r\n"), Err(TooManyFields));
    }

    #[test]
    fn the_limit_is_inclusive() {
        let of = |length: usize| {
            let frame = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(length - frame))
        };
        assert!(read(of(HEAD_BYTES_MAX).as_bytes()).is_ok_and(|h| h.is_some()));
        assert_eq!(read(of(HEAD_BYTES_MAX + 1).as_bytes()).err(), Some(Fault::HeadTooLarge));
    }

    #[test]
    fn split_read_law() {
        for sample in [
            &b"POST /tools/invoke?x HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\nrest"[..],
            b"\r\nGET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n",
        ] {
            let whole = Scanner::default().scan(sample);
            for cut in 0..=sample.len() {
                let mut scanner = Scanner::default();
                let first = scanner.scan(&sample[..cut]);
                let got = if first == Ok(None) { scanner.scan(sample) } else { first };
                assert_eq!(got, whole, "cut at {cut}");
            }
            let mut scanner = Scanner::default();
            let single =
                (0..=sample.len()).map(|n| scanner.scan(&sample[..n])).find(|r| *r != Ok(None)).unwrap_or(Ok(None));
            assert_eq!(single, whole, "byte by byte");
        }
    }

    #[test]
    fn lookups() {
        let head =
            read(b"GET http://B/ HTTP/1.1\r\nHost: a\r\nX: 1, 2 ,,\r\nx: 3\r\nConnection: keep-alive, Close\r\n\r\n");
        let head = head.unwrap().unwrap();
        assert_eq!(head.host(), Some("B"));
        assert_eq!(head.elements("x").collect::<Vec<_>>(), [b"1", b"2", b"3"]);
        assert_eq!(head.values("X").count(), 2);
        assert!(head.ends_connection());
    }
}
