//! A small blocking client of the gateway's WebSocket, for `toolgate call --ws`: one connection, one request at a time.
//!
//! What it does not know (other events, other frames) it skips. Source: contract ws.md §2, §3, §4.6.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use super::args::Call;
use super::call::{self, Fault, Place, Said};
use crate::api::envelope::plain;
use crate::api::socket::json::Json;
use crate::gate::secret::Secret;
use crate::limits::{CLIENT_ANSWER_BYTES, HEAD_BYTES_MAX, READ_BYTES};
use crate::wire::base64;
use crate::wire::frame::{self, Opcode};
use crate::wire::message::{Event, Reader, Role};
use crate::wire::upgrade;

/// The scope that `tools.invoke` takes. Source: contract ws.md §3.1.
const SCOPE: &str = "operator.write";

/// One end of a WebSocket: the one that asked for it.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    reader: Reader,
    /// What came and is not taken yet.
    bytes: Vec<u8>,
    /// When the gateway counts as gone.
    until: Instant,
}

impl Socket {
    /// Asks for the protocol on an open connection. The gateway has [`Place::patience`] for everything that is said on it.
    ///
    /// # Errors
    /// When there is no such protocol there, or the gateway refuses it.
    ///
    /// Source: RFC 6455 §4.1.
    pub fn open(stream: TcpStream, place: &Place) -> Result<Socket, Fault> {
        let most = usize::try_from(CLIENT_ANSWER_BYTES).unwrap_or(usize::MAX);
        let reader = Reader::new(Role::Client, most);
        let mut socket = Socket { stream, reader, bytes: Vec::new(), until: Instant::now() + place.patience };
        let key = base64::encode(&crate::serve::random::<16>());
        let parts = [
            "GET ",
            &place.path,
            " HTTP/1.1\r\nHost: ",
            &place.authority,
            "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ",
            &key,
            "\r\n\r\n",
        ];
        socket.write(parts.concat().as_bytes())?;
        loop {
            if let Some((status, end)) = upgraded(&socket.bytes, &key)? {
                socket.bytes.drain(..end);
                return if status == 101 { Ok(socket) } else { Err(socket.refused(status)) };
            }
            if socket.bytes.len() > HEAD_BYTES_MAX {
                return Err(call::strange());
            }
            socket.read()?;
        }
    }

    /// What the gateway says instead of changing the protocol.
    fn refused(mut self, status: u16) -> Fault {
        // It has nothing to wait for then, and the end of its answer is the end of the connection.
        _ = self.stream.shutdown(Shutdown::Write);
        let most = usize::try_from(CLIENT_ANSWER_BYTES).unwrap_or(usize::MAX);
        while self.bytes.len() < most && self.read().is_ok() {}
        match call::said(status, &self.bytes) {
            Err(fault) if status >= 400 => fault,
            _ => call::strange(),
        }
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn send(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), Fault> {
        let mut bytes = Vec::new();
        frame::push(&mut bytes, opcode, payload, Some(crate::serve::random()));
        self.write(&bytes)
    }

    /// The next message or control frame. A ping has been answered then.
    ///
    /// # Errors
    /// When the connection is lost, what comes is no WebSocket, or time is up.
    pub fn hear(&mut self) -> Result<Event, Fault> {
        loop {
            match self.reader.next(&self.bytes, &mut |_| true) {
                Ok((used, event)) => {
                    self.bytes.drain(..used);
                    match event {
                        Some(Event::Ping(payload)) => {
                            self.send(Opcode::Pong, &payload)?;
                            return Ok(Event::Ping(payload));
                        }
                        Some(event) => return Ok(event),
                        None => self.read()?,
                    }
                }
                Err(_) => return Err(call::strange()),
            }
        }
    }

    /// The time left, which is some.
    fn left(&self) -> Result<Duration, Fault> {
        let left = self.until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
        left.ok_or_else(|| Fault::Silent("the gateway does not answer".into()))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let left = self.left()?;
        let sent = self.stream.set_write_timeout(Some(left)).and_then(|()| self.stream.write_all(bytes));
        sent.map_err(|error| call::lost("the gateway", &error))
    }

    /// Reads once.
    fn read(&mut self) -> Result<(), Fault> {
        let mut buffer = [0; READ_BYTES];
        let left = self.left()?;
        let read = self.stream.set_read_timeout(Some(left)).and_then(|()| self.stream.read(&mut buffer));
        match read.map_err(|error| call::lost("the gateway", &error))? {
            0 => Err(Fault::Unreachable("the gateway closed the connection".into())),
            length => {
                self.bytes.extend_from_slice(buffer.get(..length).unwrap_or_default());
                Ok(())
            }
        }
    }

    /// Reads on until there is a frame whose member `name` is `word`. Returns its payload and its error, as far as they are
    /// there.
    fn until(&mut self, name: &str, word: &str) -> Result<[Option<Box<RawValue>>; 2], Fault> {
        loop {
            match self.hear()? {
                Event::Message { content, .. } => {
                    let Ok(frame) = serde_json::from_slice::<&RawValue>(&content) else { continue };
                    let [found, payload, error] = call::pick(frame, [name, "payload", "error"]);
                    if found.and_then(plain).is_some_and(|found| found == word) {
                        return Ok([payload, error].map(|part| part.map(ToOwned::to_owned)));
                    }
                }
                Event::Close(reason) => return Err(closed(reason)),
                Event::Ping(_) | Event::Pong(_) => {}
            }
        }
    }

    /// Makes a request and waits for its answer's payload, as JSON.
    fn ask(&mut self, method: &str, params: &str) -> Result<Box<RawValue>, Fault> {
        let mut json = Json::object();
        json.string("type", "req").string("id", method).string("method", method).key("params").raw(params);
        let mut request = json.close("}").done().into_bytes();
        let sent = self.send(Opcode::Text, &request);
        // A secret may stand in it.
        request.fill(0);
        std::hint::black_box(&request);
        sent?;
        match self.until("id", method)? {
            [_, Some(error)] => Err(call::refusal(&error, false).unwrap_or_else(call::strange)),
            [Some(payload), None] => Ok(payload),
            [None, None] => Err(call::strange()),
        }
    }
}

/// The status of an answer to the upgrade and its head's length, once it is there.
fn upgraded(bytes: &[u8], key: &str) -> Result<Option<(u16, usize)>, Fault> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut fields);
    let (status, end) = match head.parse(bytes) {
        Ok(httparse::Status::Complete(end)) => (head.code.ok_or_else(call::strange)?, end),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(call::strange()),
    };
    let field = |name: &str| head.headers.iter().find(|f| f.name.eq_ignore_ascii_case(name)).map(|f| f.value);
    let says = |name: &str, word: &str| field(name).is_some_and(|value| value.eq_ignore_ascii_case(word.as_bytes()));
    let accept = upgrade::accept(key.as_bytes());
    let good = says("upgrade", "websocket") && says("connection", "upgrade");
    let good = good && field("sec-websocket-accept") == Some(accept.as_bytes());
    if status == 101 && !good { Err(call::strange()) } else { Ok(Some((status, end))) }
}

/// Why the gateway ends it: what passes by itself, or a no.
fn closed(reason: Option<(u16, Box<str>)>) -> Fault {
    let (code, reason) = reason.unwrap_or((1005, "".into()));
    let text = format!("the gateway closed the socket: {code} {reason}");
    if matches!(code, 1012 | 1013) { Fault::Unreachable(text) } else { Fault::Refused(text) }
}

/// The parameters of `connect`. The secret stands where both modes look for it. Source: contract ws.md §2.2, §2.5.
fn hello(secret: Option<&Secret>) -> String {
    let mut json = Json::object();
    json.count("minProtocol", 3).count("maxProtocol", 4).key("client").raw("{").string("id", "cli");
    json.string("version", env!("CARGO_PKG_VERSION")).string("platform", std::env::consts::OS).string("mode", "cli");
    json.close("}").string("role", "operator").texts("scopes", [SCOPE].into_iter());
    if let Some(secret) = secret.map(|secret| String::from_utf8_lossy(secret.reveal())) {
        json.key("auth").raw("{").string("token", &secret).string("password", &secret).close("}");
    }
    json.close("}").done()
}

/// Sends the call and reads the answer.
///
/// # Errors
/// Why there is no result.
pub fn invoke(call: &Call, place: &Place, secret: Option<&Secret>) -> Result<Said, Fault> {
    if call.action.is_some() || call.dry_run {
        return Err(Fault::Usage("--action and --dry-run cannot be said over the socket; leave out --ws".into()));
    }
    let mut params = Json::object();
    params.string("name", &call.tool).key("args").raw(&call::arguments(call)?);
    if let Some(session) = &call.session {
        params.string("sessionKey", session);
    }
    let params = params.close("}").done();
    let mut socket = Socket::open(call::dial(place)?, place)?;
    socket.until("event", "connect.challenge")?;
    socket.ask("connect", &hello(secret))?;
    let payload = socket.ask("tools.invoke", &params)?;
    // A goodbye that nobody waits for.
    _ = socket.send(Opcode::Close, &[]);
    call::said(200, payload.get().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sample of RFC 6455 §1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    /// The status and the bytes behind the head; `Err` = no WebSocket.
    fn check(answer: &str, expected: Result<Option<(u16, &str)>, ()>) {
        let found = upgraded(answer.as_bytes(), KEY).map_err(|_| ());
        let found = found.map(|found| found.map(|(status, end)| (status, answer.get(end..).unwrap_or_default())));
        assert_eq!(found, expected, "{answer:?}");
    }

    #[test]
    fn answers_to_an_upgrade() {
        let fields =
            |fields: &[&str]| format!("HTTP/1.1 101 Switching Protocols\r\n{}\r\n\r\nrest", fields.join("\r\n"));
        let (upgrade, connection) = ("upgrade: WebSocket", "connection: UPGRADE");
        check(&fields(&[upgrade, connection, ACCEPT]), Ok(Some((101, "rest"))));
        check(&fields(&[upgrade, connection]), Err(()));
        check(&fields(&[upgrade, ACCEPT]), Err(()));
        check(&fields(&[connection, ACCEPT]), Err(()));
        check(&fields(&[upgrade, connection, &ACCEPT.replace("s3p", "S3P")]), Err(()));
        check(&fields(&["upgrade: h2c", connection, ACCEPT]), Err(()));
        check("HTTP/1.1 503 Service Unavailable\r\n\r\n{}", Ok(Some((503, "{}"))));
        check("HTTP/1.1 101 Switching", Ok(None));
        check("SSH-2.0-OpenSSH_9.2\r\n", Err(()));
    }

    #[test]
    fn closes() {
        let check = |reason: Option<(u16, Box<str>)>, expected: u8| assert_eq!(closed(reason).complain(), expected);
        check(Some((1008, "slow consumer".into())), 1);
        check(Some((1012, "service restart".into())), 69);
        check(Some((1013, "gateway starting".into())), 69);
        check(None, 1);
    }
}
