//! A peer on a raw socket and a parser of answers that forgives nothing.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use serde_json::Value;

use crate::rig::{SOON, TOKEN};

/// One answer, taken apart.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The whole status line.
    pub line: String,
    /// The fields in their order.
    pub fields: Vec<(String, String)>,
    /// The content.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a field, which may stand once.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str());
        let first = values.next();
        assert!(values.next().is_none(), "{name} stands twice: {self:?}");
        first
    }

    /// Whether it says that the connection ends.
    pub fn closes(&self) -> bool {
        self.field("connection").is_some_and(|v| v.eq_ignore_ascii_case("close"))
    }

    /// The content as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_else(|e| panic!("{e} in the answer {self:?}"))
    }

    /// The content as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e} in the answer {self:?}"))
    }

    /// Type and message of an error, which must have the one shape.
    pub fn error(&self) -> (String, String) {
        let json = self.json();
        let word =
            |key: &str| json["error"][key].as_str().unwrap_or_else(|| panic!("no error.{key}: {self:?}")).to_owned();
        let (kind, message) = (word("type"), word("message"));
        assert_eq!(self.text(), error_body(&kind, &message), "the shape of an error");
        (kind, message)
    }

    /// What every answer must hold to, whatever it says. `head` says that it answers a HEAD request.
    fn check(&self, head: bool) -> Result<(), String> {
        let json = self.field("content-type").is_some_and(|v| v.starts_with("application/json"));
        // A gateway that is not ready says so in the words of readiness.
        if !head && self.status >= 400 && json && self.json()["ready"] != false {
            self.error();
        }
        for name in ["server", "x-powered-by", "www-authenticate", "etag"] {
            if self.field(name).is_some() {
                return Err(format!("{name} has no place in an answer"));
            }
        }
        // An answer for one page must not be kept for another.
        if self.field("access-control-allow-origin").is_some() != self.field("vary").is_some_and(|v| v == "Origin") {
            return Err("Access-Control-Allow-Origin without Vary, or Vary without it".into());
        }
        Ok(())
    }
}

/// The body of an error: the only shape there is.
pub fn error_body(kind: &str, message: &str) -> String {
    let [kind, message] = [kind, message].map(|s| serde_json::to_string(s).expect("a string"));
    format!("{{\"ok\":false,\"error\":{{\"type\":{kind},\"message\":{message}}}}}")
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The lines of a head up to its empty line, and the head's length.
type Lines<'b> = (Vec<&'b [u8]>, usize);

/// Takes a head apart; `None` while it is incomplete.
fn split_head(bytes: &[u8]) -> Result<Option<Lines<'_>>, String> {
    let Some(length) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { return Ok(None) };
    let mut lines = Vec::new();
    let mut rest = bytes.get(..length + 2).unwrap_or_default();
    while let Some(end) = rest.windows(2).position(|w| w == b"\r\n") {
        let line = rest.get(..end).unwrap_or_default();
        if line.iter().any(|b| (*b < 0x20 && *b != b'\t') || *b == 0x7f) {
            return Err(format!("a control byte in {:?}", String::from_utf8_lossy(line)));
        }
        lines.push(line);
        rest = rest.get(end + 2..).unwrap_or_default();
    }
    Ok(Some((lines, length + 4)))
}

/// Takes one answer off the front of `bytes`: the answer and its length, or `None` while more is needed.
/// `head` says that it answers a HEAD request, `eof` that nothing more will come.
pub fn parse(bytes: &[u8], head: bool, eof: bool) -> Result<Option<(Answer, usize)>, String> {
    let parsed = parse_any(bytes, head, eof)?;
    if let Some((answer, _)) = &parsed {
        answer.check(head)?;
    }
    Ok(parsed)
}

/// [`parse`] for answers that need not be ours.
pub fn parse_any(bytes: &[u8], head: bool, eof: bool) -> Result<Option<(Answer, usize)>, String> {
    let Some((lines, start)) = split_head(bytes)? else {
        return if eof { Err("the stream ends inside a head".into()) } else { Ok(None) };
    };
    let text = |line: &[u8]| String::from_utf8(line.to_vec()).map_err(|e| format!("{e} in a head"));
    let line = text(lines.first().copied().unwrap_or_default())?;
    let code = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.split_at_checked(3));
    let status = match code {
        Some((code, reason)) if reason.len() > 1 && reason.starts_with(' ') => code.parse().ok(),
        _ => None,
    };
    let status: u16 = status.filter(|s| (100..600).contains(s)).ok_or_else(|| format!("status line {line:?}"))?;
    let mut fields = Vec::new();
    for line in lines.iter().skip(1) {
        let line = text(line)?;
        let (name, value) = line.split_once(": ").ok_or_else(|| format!("field line {line:?}"))?;
        if name.is_empty() || !name.bytes().all(is_token) || value.is_empty() || value.trim() != value {
            return Err(format!("field line {line:?}"));
        }
        fields.push((name.to_owned(), value.to_owned()));
    }
    let mut answer = Answer { status, line, fields, body: Vec::new() };
    let rest = bytes.get(start..).unwrap_or_default();
    let Some(length) = body_length(&answer, head, rest.len(), eof)? else { return Ok(None) };
    answer.body = rest.get(..length).unwrap_or_default().to_vec();
    Ok(Some((answer, start + length)))
}

/// The length of the content that follows, of which `there` bytes have come.
fn body_length(answer: &Answer, head: bool, there: usize, eof: bool) -> Result<Option<usize>, String> {
    let bodyless = head || answer.status < 200 || matches!(answer.status, 204 | 304);
    if answer.field("transfer-encoding").is_some() {
        return Err("a transfer coding, which this gateway never uses".into());
    }
    let declared = match answer.field("content-length") {
        None => None,
        Some(value) if value.bytes().all(|b| b.is_ascii_digit()) => {
            Some(value.parse::<usize>().map_err(|e| format!("Content-Length {value:?}: {e}"))?)
        }
        Some(value) => return Err(format!("Content-Length {value:?}")),
    };
    match declared {
        Some(_) if answer.status < 200 || answer.status == 204 => Err("a length where there can be no content".into()),
        _ if bodyless => Ok(Some(0)),
        Some(length) if there >= length => Ok(Some(length)),
        Some(length) if eof => Err(format!("the stream ends {} bytes before the end of the content", length - there)),
        Some(_) => Ok(None),
        None if !answer.closes() => Err("neither a length nor a close ends the content".into()),
        None if eof => Ok(Some(there)),
        None => Ok(None),
    }
}

/// How a connection stood when the peer stopped reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Closed in order.
    Closed,
    /// Still open.
    Open,
    /// Reset.
    Reset,
}

/// One end of a connection to the gateway.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
    bytes: Vec<u8>,
    end: End,
}

impl Peer {
    /// Connects from the default address.
    pub fn connect(to: SocketAddr) -> io::Result<Peer> {
        Peer::over(TcpStream::connect_timeout(&to, SOON)?)
    }

    /// Connects from another address of the loopback network.
    pub fn connect_from(to: SocketAddr, from: Ipv4Addr) -> io::Result<Peer> {
        // Closed on exec: a gateway that another test starts meanwhile must not keep this connection open.
        let socket: OwnedFd =
            rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        rustix::net::bind(&socket, &SocketAddrV4::new(from, 0))?;
        rustix::net::connect(&socket, &to)?;
        Peer::over(TcpStream::from(socket))
    }

    /// Connects with the smallest receive buffer there is, so that unread answers soon stay with the gateway.
    pub fn connect_narrow(to: SocketAddr) -> io::Result<Peer> {
        let socket: OwnedFd =
            rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 1)?;
        rustix::net::connect(&socket, &to)?;
        Peer::over(TcpStream::from(socket))
    }

    /// Sends `bytes` over and over and reads nothing, until the gateway takes no more. How often they went out whole.
    pub fn flood(&mut self, bytes: &[u8]) -> usize {
        // A machine that stands still for a moment is no gateway that takes no more.
        self.stream.set_write_timeout(Some(Duration::from_secs(3))).expect("a write timeout");
        (0..1_000_000).take_while(|_| self.stream.write_all(bytes).is_ok()).count()
    }

    fn over(stream: TcpStream) -> io::Result<Peer> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(SOON))?;
        Ok(Peer { stream, bytes: Vec::new(), end: End::Open })
    }

    /// Sends bytes. An error is the caller's to judge: a gateway may close while its peer still talks.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends bytes one at a time.
    pub fn send_singly(&mut self, bytes: &[u8]) -> io::Result<()> {
        bytes.chunks(1).try_for_each(|byte| self.stream.write_all(byte))
    }

    /// Says that nothing more will be sent.
    pub fn finish(&mut self) {
        drop(self.stream.shutdown(Shutdown::Write));
    }

    /// Waits for bytes until the deadline; whether anything changed.
    fn fill(&mut self, end: Instant) -> bool {
        let Some(left) = end.checked_duration_since(Instant::now()).filter(|d| !d.is_zero()) else { return false };
        self.stream.set_read_timeout(Some(left)).expect("a read timeout");
        let mut buffer = [0; 65_536];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.end = End::Closed,
            Ok(n) => self.bytes.extend_from_slice(buffer.get(..n).unwrap_or_default()),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {
                return false;
            }
            Err(_) => self.end = End::Reset,
        }
        true
    }

    /// The next answer, interim ones included, or why there is none.
    pub fn try_answer(&mut self, head: bool, within: Duration) -> Result<Answer, String> {
        let end = Instant::now() + within;
        loop {
            let eof = self.end != End::Open;
            if eof && self.bytes.is_empty() {
                return Err(format!("no answer: {:?}", self.end));
            }
            if let Some((answer, used)) = parse(&self.bytes, head, eof)? {
                self.bytes.drain(..used);
                return Ok(answer);
            }
            if !self.fill(end) {
                return Err(format!("no answer in {within:?}; so far {:?}", String::from_utf8_lossy(&self.bytes)));
            }
        }
    }

    /// The next answer.
    #[track_caller]
    pub fn answer(&mut self) -> Answer {
        self.try_answer(false, SOON).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Sends a request and returns its answer.
    #[track_caller]
    pub fn ask(&mut self, request: &[u8]) -> Answer {
        self.send(request).unwrap_or_else(|e| panic!("cannot send: {e}"));
        self.answer()
    }

    /// Reads until the connection ends or the deadline is over, and returns how it stands.
    pub fn end(&mut self, within: Duration) -> End {
        let end = Instant::now() + within;
        while self.end == End::Open && self.fill(end) {}
        self.end
    }

    /// Bytes received and not yet taken by an answer.
    pub fn unread(&self) -> &[u8] {
        &self.bytes
    }

    /// Every answer until the connection ends; `head` says which of them answer HEAD requests.
    pub fn answers(&mut self, head: bool, within: Duration) -> Result<(Vec<Answer>, End), String> {
        let end = self.end(within);
        let mut answers = Vec::new();
        while !self.bytes.is_empty() {
            match parse(&self.bytes, head, end != End::Open)? {
                Some((answer, used)) => {
                    self.bytes.drain(..used);
                    answers.push(answer);
                }
                None => return Err(format!("half an answer: {:?}", String::from_utf8_lossy(&self.bytes))),
            }
        }
        Ok((answers, end))
    }

    /// The socket itself.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

/// A request: the line, `Host`, `fields` (each with its line end) and the body.
pub fn request(line: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{line}\r\nHost: 127.0.0.1\r\n{fields}\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// The field that carries the token.
pub fn bearer() -> String {
    format!("Authorization: Bearer {TOKEN}\r\n")
}

/// An authorised call whose framing is up to `fields`.
pub fn call_framed(fields: &str, body: &[u8]) -> Vec<u8> {
    request("POST /tools/invoke HTTP/1.1", &format!("{}{fields}", bearer()), body)
}

/// An authorised call with that body.
pub fn call(body: &str) -> Vec<u8> {
    call_framed(&format!("Content-Length: {}\r\n", body.len()), body.as_bytes())
}

/// A request that needs nothing.
pub fn health() -> Vec<u8> {
    request("GET /health HTTP/1.1", "", b"")
}
