//! `toolgate call`: one request to a running gateway over HTTP, the way any client would send it; and what all clients
//! here share.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use super::args::Call;
use super::exit;
use crate::api::envelope::plain;
use crate::api::socket::json::Json;
use crate::api::socket::params::items;
use crate::gate::secret::Secret;
use crate::limits::{CLIENT_ANSWER_BYTES, CLIENT_CONNECT_SECS, CLIENT_SECS, READ_BYTES};
use crate::tool::{self, Root, schema};

/// Where a gateway is.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    /// Host and port, as they stand in a Host field.
    pub authority: String,
    /// The path to ask for.
    pub path: String,
    /// Whether it is asked over the socket.
    pub socket: bool,
    /// The longest silence before it counts as gone.
    pub patience: Duration,
}

/// Why there is no result.
#[derive(Debug)]
pub enum Fault {
    /// Who answers in HTTP is no gateway: exit 1.
    Foreign(String),
    /// The gateway or the tool said no: exit 1.
    Refused(String),
    /// Somebody is there, but does not answer in time: exit 69.
    Silent(String),
    /// Nobody answers, or not in HTTP: exit 69.
    Unreachable(String),
    /// The command line is wrong: exit 64.
    Usage(String),
}

impl Fault {
    /// What is wrong.
    pub fn text(&self) -> &str {
        let (Fault::Foreign(text)
        | Fault::Refused(text)
        | Fault::Silent(text)
        | Fault::Unreachable(text)
        | Fault::Usage(text)) = self;
        text
    }

    /// Says what is wrong and returns the exit code.
    pub fn complain(self) -> u8 {
        super::complain(self.text());
        match self {
            Fault::Foreign(_) | Fault::Refused(_) => exit::FAILED,
            Fault::Silent(_) | Fault::Unreachable(_) => exit::UNREACHABLE,
            Fault::Usage(_) => exit::USAGE,
        }
    }
}

/// What a tool said.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    /// The result's details, as compact JSON.
    pub details: String,
    /// The result's text.
    pub text: String,
    /// Whether the tool did what it was asked.
    pub good: bool,
}

/// Reads a gateway's URL; `ws://`, like `socket`, asks for the socket.
///
/// # Errors
/// A text for the operator.
pub fn place(url: &str, socket: bool) -> Result<Place, Fault> {
    let plain = url.strip_prefix("ws://");
    let socket = socket || plain.is_some();
    let rest = plain.or_else(|| url.strip_prefix("http://")).ok_or_else(|| {
        Fault::Usage(format!(
            "--url {url}: must begin with http:// or ws://; TLS is for the proxy in front of the gateway"
        ))
    })?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if !crate::wire::target::host_valid(authority) {
        return Err(Fault::Usage(format!("--url {url}: no valid host; write http://HOST:PORT")));
    }
    let port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']') && !port.is_empty());
    let authority = if port { authority.into() } else { format!("{authority}:{}", crate::limits::PORT_DEFAULT) };
    let path = path.trim_end_matches('/');
    let path = match path {
        "" if socket => "/".into(),
        "" => "/tools/invoke".into(),
        _ => format!("/{path}"),
    };
    Ok(Place { authority, path, socket, patience: CLIENT_SECS })
}

/// The tool's arguments, as a JSON object.
///
/// # Errors
/// What is wrong with them.
pub(super) fn arguments(call: &Call) -> Result<String, Fault> {
    let mut args: Vec<(String, String)> = Vec::new();
    if let Some(json) = &call.json {
        let wrong = |error: serde_json::Error| {
            // Of JSON that is something else there is no more to say.
            let why = if error.is_data() { String::new() } else { [": ", &error.to_string()].concat() };
            Fault::Usage(["the arguments are no JSON object", &why].concat())
        };
        let read = schema::read_members(json, &mut |name, value| {
            args.push((String::from_utf8_lossy(name).into_owned(), value.get().to_owned()));
            Some(())
        });
        // Whatever the object holds is JSON by then; what stands behind it is not.
        read.and_then(|_| serde_json::from_str::<&RawValue>(json)).map_err(wrong)?;
    }
    for pair in &call.arg {
        let (name, value) =
            pair.split_once('=').ok_or_else(|| Fault::Usage(["--arg ", pair, ": write it as name=value"].concat()))?;
        let value = match serde_json::from_str::<&RawValue>(value) {
            Ok(value) => value.get().to_owned(),
            Err(_) => Json::default().text(value).done(),
        };
        args.retain(|(known, _)| known != name);
        args.push((name.into(), value));
    }
    let mut json = Json::object();
    for (name, value) in &args {
        json.key(name).raw(value);
    }
    Ok(json.close("}").done())
}

/// The body of the request.
fn body(call: &Call) -> Result<String, Fault> {
    let mut json = Json::object();
    json.string("tool", &call.tool);
    if let Some(action) = &call.action {
        json.string("action", action);
    }
    json.key("args").raw(&arguments(call)?);
    if let Some(session) = &call.session {
        json.string("sessionKey", session);
    }
    if call.dry_run {
        json.flag("dryRun", true);
    }
    Ok(json.close("}").done())
}

/// Sends the call over HTTP and reads the answer.
///
/// # Errors
/// Why there is no result.
pub fn invoke(call: &Call, place: &Place, secret: Option<&Secret>) -> Result<Said, Fault> {
    let body = body(call)?;
    let parts = [
        "POST ",
        &place.path,
        " HTTP/1.1\r\nHost: ",
        &place.authority,
        "\r\nContent-Type: application/json\r\nContent-Length: ",
        &body.len().to_string(),
        "\r\nConnection: close\r\n",
    ];
    let mut request = parts.concat().into_bytes();
    if let Some(secret) = secret {
        request.extend_from_slice(b"Authorization: Bearer ");
        request.extend_from_slice(secret.reveal());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(body.as_bytes());
    let answer = dial(place).and_then(|stream| exchange(stream, place, &request));
    request.fill(0);
    std::hint::black_box(&request);
    let (status, content) = read_answer(&answer?)?;
    said(status, &content)
}

/// Asks whether it is a gateway that has taken this connection. What says so may be given a secret.
///
/// # Errors
/// Why it is none, or does not say so.
pub(super) fn lives(stream: TcpStream, place: &Place) -> Result<(), Fault> {
    let request = ["GET /healthz HTTP/1.1\r\nHost: ", &place.authority, "\r\nConnection: close\r\n\r\n"].concat();
    let (status, content) = read_answer(&exchange(stream, place, request.as_bytes())?)?;
    if content.ends_with(b"\"status\":\"live\"}") {
        return Ok(());
    }
    // One that has no place for us says so as it says everything.
    said(status, &content).and(Err(strange()))
}

/// A connection that is lost, or never was.
pub(super) fn lost(whom: &str, error: &std::io::Error) -> Fault {
    let text = format!("{whom}: {error}; is the gateway running?");
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Fault::Silent(text),
        _ => Fault::Unreachable(text),
    }
}

/// What does not speak as a gateway does.
pub(super) fn strange() -> Fault {
    Fault::Unreachable("the answer is not a gateway's; is that port a toolgate's?".into())
}

/// Connects.
pub(super) fn dial(place: &Place) -> Result<TcpStream, Fault> {
    let authority = &place.authority;
    let mut last = Fault::Unreachable([authority, ": no address"].concat());
    let patience = CLIENT_CONNECT_SECS.min(place.patience);
    let (addresses, port) = addresses(authority, patience)?;
    for address in addresses {
        match TcpStream::connect_timeout(&SocketAddr::new(address, port), patience) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = lost(authority, &error),
        }
    }
    Err(last)
}

/// The addresses and the port that an authority stands for. A name is looked up as the tools do it.
fn addresses(authority: &str, patience: Duration) -> Result<(Vec<IpAddr>, u16), Fault> {
    let (name, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
    // [`place`] has seen to it that there is one.
    let port = port.parse().unwrap_or(crate::limits::PORT_DEFAULT);
    let found = match name.trim_matches(['[', ']']).parse() {
        Ok(address) => Ok(vec![address]),
        Err(_) => tool::look_up(&Root::new(PathBuf::from("/")), name, patience),
    };
    match found {
        Ok(found) => Ok((found, port)),
        Err(why) => Err(Fault::Unreachable([authority, ": ", why].concat())),
    }
}

fn exchange(mut stream: TcpStream, place: &Place, request: &[u8]) -> Result<Vec<u8>, Fault> {
    let lost = |error| lost(&place.authority, &error);
    stream.set_read_timeout(Some(place.patience)).map_err(lost)?;
    stream.set_write_timeout(Some(place.patience)).map_err(lost)?;
    stream.write_all(request).map_err(lost)?;
    let (mut answer, mut buffer) = (Vec::new(), [0; READ_BYTES]);
    // Who sends a byte now and then does not hold us for ever.
    let until = Instant::now() + place.patience.saturating_mul(2);
    // `read_to_end` is made anew for each type that reads.
    while (answer.len() as u64) < CLIENT_ANSWER_BYTES {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(_) if Instant::now() > until => return Err(lost(ErrorKind::TimedOut.into())),
            Ok(length) => answer.extend_from_slice(buffer.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(lost(error)),
        }
    }
    Ok(answer)
}

fn read_answer(bytes: &[u8]) -> Result<(u16, Vec<u8>), Fault> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut fields);
    match head.parse(bytes) {
        Ok(httparse::Status::Complete(end)) => {
            Ok((head.code.ok_or_else(strange)?, bytes.get(end..).unwrap_or_default().to_vec()))
        }
        _ => Err(strange()),
    }
}

/// The members of `object` that are called so, in that order; null counts as absent.
pub(super) fn pick<'r, const N: usize>(object: &'r RawValue, names: [&str; N]) -> [Option<&'r RawValue>; N] {
    let found = schema::slices(&names, Some(object)).0;
    std::array::from_fn(|at| found.get(at).copied().flatten().filter(|value| value.get() != "null"))
}

/// What the error that a gateway answers says, with a hint when it is the secret that is wrong: `status` 401, or an error of
/// the socket that says so. `None` when it is not one of a gateway's; the socket calls its type a code.
pub(super) fn refusal(error: &RawValue, unauthorized: bool) -> Option<Fault> {
    let [kind, code, message] = pick(error, ["type", "code", "message"]);
    let (kind, message) = (plain(kind.or(code)?)?, plain(message?)?);
    let unauthorized = unauthorized || message.starts_with("unauthorized");
    let hint = if unauthorized { "; `toolgate token` shows the token of a gateway on this machine" } else { "" };
    Some(Fault::Refused([&kind, ": ", &message, hint].concat()))
}

/// Reads what a gateway said of a call; the payload of the socket's answer is shaped like the content of HTTP's.
///
/// # Errors
/// Why there is no result.
pub(super) fn said(status: u16, content: &[u8]) -> Result<Said, Fault> {
    let foreign =
        || Fault::Foreign(["status ", &status.to_string(), ": ", String::from_utf8_lossy(content).trim()].concat());
    let object = |json: &&RawValue| json.get().starts_with('{');
    let reply: &RawValue = serde_json::from_slice(content).ok().filter(object).ok_or_else(foreign)?;
    // The result is an output to the socket.
    let [ok, result, output, error] = pick(reply, ["ok", "result", "output", "error"]);
    if let Some(error) = error {
        return Err(refusal(error, status == 401).unwrap_or_else(foreign));
    }
    let Some(result) = result.or(output).filter(|_| ok.is_some_and(|ok| ok.get() == "true")) else {
        return Err(Fault::Foreign(["status ", &status.to_string(), " without a result"].concat()));
    };
    if !object(&result) {
        return Err(foreign());
    }
    let [content, details] = pick(result, ["content", "details"]);
    let parts = content.and_then(items).unwrap_or_default();
    let texts: Vec<String> =
        parts.into_iter().map(|part| pick(part, ["text"])[0].and_then(plain).unwrap_or_default()).collect();
    let status = details.and_then(|details| pick(details, ["status"])[0]).map(RawValue::get);
    Ok(Said {
        details: details.map(RawValue::get).unwrap_or_default().to_owned(),
        text: texts.join("\n"),
        good: !matches!(status, Some(r#""error""# | r#""forbidden""#)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let check = |url: &str, expected: Option<(&str, &str)>| {
            let got = place(url, false).ok();
            assert_eq!(got.as_ref().map(|p| (p.authority.as_str(), p.path.as_str())), expected, "{url}");
            assert!(got.is_none_or(|got| got.socket == url.starts_with("ws")), "{url}");
        };
        check("http://pi", Some(("pi:18789", "/tools/invoke")));
        check("http://pi:1/", Some(("pi:1", "/tools/invoke")));
        check("http://[::1]", Some(("[::1]:18789", "/tools/invoke")));
        check("http://[::1]:2/x/", Some(("[::1]:2", "/x")));
        check("ws://pi", Some(("pi:18789", "/")));
        check("ws://pi:1/x", Some(("pi:1", "/x")));
        assert_eq!(place("http://pi", true).expect("a place").path, "/");
        check("https://pi", None);
        check("wss://pi", None);
        check("pi:1", None);
        check("http://", None);
    }

    #[test]
    fn hosts_have_addresses() {
        let check = |authority: &str, expected: &[&str]| {
            let (found, port) = addresses(authority, CLIENT_SECS).unwrap_or((Vec::new(), 5));
            assert_eq!(port, 5);
            assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{authority}");
        };
        check("192.0.2.1:5", &["192.0.2.1"]);
        check("[::1]:5", &["::1"]);
        check("LOCALHOST:5", &["127.0.0.1", "::1"]);
        check("nas.local:5", &[]);
    }

    #[test]
    fn arguments() {
        let check = |json: Option<&str>, arg: &[&str], expected: Option<&str>| {
            let call = Call {
                json: json.map(String::from),
                arg: arg.iter().map(|a| (*a).to_owned()).collect(),
                ..Call::of("t")
            };
            let expected = expected.map(|args| format!(r#"{{"tool":"t","args":{args}}}"#));
            assert_eq!(body(&call).ok(), expected, "{json:?} {arg:?}");
        };
        check(None, &[], Some("{}"));
        check(
            Some(r#"{"a":1}"#),
            &["b=2", "c=x", "d=00:11", "e=\"5\"", "f="],
            Some(r#"{"a":1,"b":2,"c":"x","d":"00:11","e":"5","f":""}"#),
        );
        check(Some(r#"{"a":1}"#), &["a=2"], Some(r#"{"a":2}"#));
        check(Some("[1]"), &[], None);
        check(Some("{"), &[], None);
        check(None, &["novalue"], None);
    }
}
