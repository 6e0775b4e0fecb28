//! The client: one connection, one request, one answer. The one place of this room that speaks HTTP.
//!
//! It uses no proxy, keeps nothing between calls and follows a redirect only to the same host and port, where it resolves
//! and judges again: a name may mean another address by then.

use std::net::IpAddr;
use std::time::Instant;

use super::border::Who;
use super::host::Host;
use super::pipe;
use super::reach::{self, Fault};
use super::url::Url;
use crate::limits::{FETCH_READ_BYTES, FETCH_REDIRECTS};
use crate::wire::answer::Reader;
use crate::wire::ask::Ask;
use crate::wire::{self, base64};

/// What is asked of a server.
pub(super) struct Request<'a> {
    /// Who chose the host.
    pub who: Who,
    /// The method, such as `GET`.
    pub method: &'a str,
    /// Where.
    pub url: Url,
    /// Fields besides those that frame the message.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The content, often none.
    pub content: &'a [u8],
    /// The most bytes of the answer's content that are kept.
    pub most: usize,
    /// When the whole has taken too long.
    pub until: Instant,
}

/// What a server answered.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status code.
    pub status: u16,
    /// The fields, in order, names as sent.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The content, at most as much as was wanted.
    pub content: Vec<u8>,
    /// Whether there was more.
    pub truncated: bool,
    /// The length of the whole content, where it is known.
    pub total: Option<u64>,
    /// Who answered.
    pub remote: IpAddr,
}

/// Asks and follows.
///
/// # Errors
/// The rule against the host; what the network or the server did; or which part of the request cannot be sent.
pub(super) async fn fetch(host: &Host, mut request: Request<'_>) -> Result<Answer, Fault> {
    let mut left = if matches!(request.method, "GET" | "HEAD") { FETCH_REDIRECTS } else { 0 };
    loop {
        let answer = exchange(host, &request).await?;
        match moved(&answer, &request.url).filter(|_| left > 0) {
            Some(path) => request.url.path = path,
            None => return Ok(answer),
        }
        left -= 1;
    }
}

/// Where a redirect leads, if it stays at the same host and port.
fn moved(answer: &Answer, url: &Url) -> Option<String> {
    if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let (_, location) = answer.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("location"))?;
    url.follow(std::str::from_utf8(location).ok()?)
}

async fn exchange(host: &Host, request: &Request<'_>) -> Result<Answer, Fault> {
    let bytes = written(request).map_err(|fault| {
        Fault::Input(match fault {
            wire::Fault::FieldInvalid => "a header's name or value cannot be sent",
            wire::Fault::HostInvalid => "the host cannot be sent",
            _ => "the method or the path cannot be sent",
        })
    })?;
    let addrs = reach::find(host, request.who, &request.url.host, request.url.port, request.until).await?;
    let reached = reach::connect(&addrs, request.until).await?;
    let failed = |error| Fault::Failed(pipe::said(&error));
    reached.pipe.send(&bytes).await.map_err(failed)?;
    drop(bytes);
    let mut reader = Reader::new(request.method == "HEAD", request.most);
    let mut buffer = vec![0; FETCH_READ_BYTES];
    loop {
        let length = reached.pipe.read(&mut buffer).await.map_err(failed)?;
        if length == 0 || reader.take(buffer.get(..length).unwrap_or_default()).map_err(strange)? {
            break;
        }
    }
    let answer = reader.end().map_err(strange)?;
    let coded = answer.values("content-encoding").any(|coding| !coding.eq_ignore_ascii_case(b"identity"));
    if coded && !answer.content.is_empty() {
        return Err(Fault::Failed("the answer is compressed, though that was ruled out"));
    }
    Ok(Answer {
        status: answer.status,
        fields: answer.fields,
        content: answer.content,
        truncated: answer.cut,
        total: answer.total,
        remote: reached.addr,
    })
}

/// The request's bytes.
fn written(request: &Request<'_>) -> Result<Vec<u8>, wire::Fault> {
    let mut ask = Ask::new(request.method, &request.url.path, &request.url.authority())?;
    for (name, value) in &request.fields {
        ask.field(name, value)?;
    }
    if !request.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent")) {
        ask.field("User-Agent", b"toolgate")?;
    }
    Ok(ask.finish(request.content))
}

/// What a server did wrong, in words for a caller.
fn strange(fault: wire::Fault) -> Fault {
    Fault::Failed(match fault {
        wire::Fault::CodingUnknown => "the answer has a transfer coding that was ruled out",
        wire::Fault::HeadTooLarge | wire::Fault::TooManyFields => "the head of the answer is too large",
        wire::Fault::Truncated => "the server ended the connection before its answer was complete",
        _ => "the answer is no valid HTTP/1.1",
    })
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
            (base64::encode(&content), "base64")
        }
    }
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
