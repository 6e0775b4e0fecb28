//! The client: one connection, one request, one answer. The one place of this room that speaks HTTP.
//!
//! It uses no proxy, keeps nothing between calls and follows a redirect only to the same host and port, where it resolves
//! and judges again: a name may mean another address by then.

use std::net::IpAddr;
use std::time::Instant;

use super::border::Who;
use super::host::Host;
use super::pipe::Pipe;
use super::reach::{self, Fault, Why};
use super::url::Url;
use crate::limits::{FETCH_READ_BYTES, FETCH_REDIRECTS};
use crate::wire;
pub(super) use crate::wire::answer::Answer;
use crate::wire::answer::Reader;
use crate::wire::ask::Ask;
pub(super) use crate::wire::base64::encode as base64;

/// What is asked of a server.
pub(super) struct Request<'a> {
    /// Who chose the host.
    pub who: Who,
    /// The method, such as `GET`.
    pub method: &'a str,
    /// Where.
    pub url: Url,
    /// Fields besides those that frame the message.
    pub fields: &'a [(String, String)],
    /// The content, often none.
    pub content: &'a [u8],
    /// The most bytes of the answer's content that are kept.
    pub most: usize,
    /// When the whole has taken too long.
    pub until: Instant,
}

/// Asks and follows. Who answered comes with the answer.
///
/// # Errors
/// The rule against the host; what the network or the server did; or which part of the request cannot be sent.
pub(super) async fn fetch(host: &Host, mut request: Request<'_>) -> Result<(Answer, IpAddr), Fault> {
    let mut left = if matches!(request.method, "GET" | "HEAD") { FETCH_REDIRECTS } else { 0 };
    loop {
        let bytes = written(&request).map_err(|_| Fault(Why::Input, "the path or a header cannot be sent as it is"))?;
        let reached = reach::dial(host, request.who, &request.url.host, request.url.port, request.until).await?;
        let answer = exchange(&reached.pipe, &bytes, request.method == "HEAD", request.most).await?;
        match moved(&answer, &request.url).filter(|_| left > 0) {
            Some(path) => request.url.path = path,
            None => return Ok((plain(answer)?, reached.addr)),
        }
        left = left.saturating_sub(1);
    }
}

/// Asks a service of this machine, to which `pipe` leads and which goes by `name`, for what stands at `target`.
///
/// # Errors
/// What the socket or the service did.
pub(super) async fn local(pipe: &Pipe, name: &str, target: &str, most: usize) -> Result<Answer, Fault> {
    let ask = Ask::new("GET", target, name).map_err(|_| Fault(Why::Input, "the question cannot be asked as it is"))?;
    plain(exchange(pipe, &ask.finish(b""), false, most).await?)
}

/// One request over a connection, and its answer.
async fn exchange(pipe: &Pipe, request: &[u8], headless: bool, most: usize) -> Result<Answer, Fault> {
    let mut buffer = vec![0; FETCH_READ_BYTES];
    pipe.send(request).await.map_err(Fault::of)?;
    let mut reader = Reader::new(headless, most);
    loop {
        let length = pipe.read(&mut buffer).await.map_err(Fault::of)?;
        if length == 0 || reader.take(buffer.get(..length).unwrap_or_default()).map_err(strange)? {
            break;
        }
    }
    reader.end().map_err(strange)
}

/// The answer, if it is as it was asked for.
fn plain(answer: Answer) -> Result<Answer, Fault> {
    match compressed(&answer) {
        true => Err(Fault(Why::Failed, "the answer is compressed, though that was ruled out")),
        false => Ok(answer),
    }
}

fn compressed(answer: &Answer) -> bool {
    let coded = answer.values("content-encoding").any(|coding| !coding.eq_ignore_ascii_case(b"identity"));
    coded && !answer.content.is_empty()
}

/// Where a redirect leads, if it stays at the same host and port.
fn moved(answer: &Answer, url: &Url) -> Option<String> {
    if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let (_, location) = answer.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("location"))?;
    url.follow(std::str::from_utf8(location).ok()?)
}

/// The request's bytes.
fn written(request: &Request<'_>) -> Result<Vec<u8>, wire::Fault> {
    let mut ask = Ask::new(request.method, &request.url.path, &request.url.authority())?;
    for (name, value) in request.fields {
        ask.field(name, value.as_bytes())?;
    }
    if !request.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent")) {
        ask.field("User-Agent", b"toolgate")?;
    }
    Ok(ask.finish(request.content))
}

/// What a server did wrong, in words for a caller.
fn strange(fault: wire::Fault) -> Fault {
    let words = match fault {
        wire::Fault::CodingUnknown => "the answer has a transfer coding that was ruled out",
        wire::Fault::HeadTooLarge | wire::Fault::TooManyFields => "the head of the answer is too large",
        wire::Fault::Truncated => "the server ended the connection before its answer was complete",
        _ => "the answer is no valid HTTP/1.1",
    };
    Fault(Why::Failed, words)
}

/// Content as text and its encoding: itself where it is UTF-8, up to a character that was cut, else base64.
pub(super) fn text(content: Vec<u8>, truncated: bool) -> (String, &'static str) {
    match String::from_utf8(content) {
        Ok(text) => (text, "utf8"),
        Err(error) => {
            let fault = error.utf8_error();
            let mut content = error.into_bytes();
            if truncated && fault.error_len().is_none() {
                content.truncate(fault.valid_up_to());
                return (String::from_utf8(content).unwrap_or_default(), "utf8");
            }
            (base64(&content), "base64")
        }
    }
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
