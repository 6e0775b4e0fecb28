//! `http_fetch`: what a server that the operator listed says, to a GET or a HEAD.

use std::net::IpAddr;

use super::border::{Place, Who, listed};
use super::fetch::{self, Answer, Request};
use super::host::Host;
use super::object::{Object, clip};
use super::reach::{Fault, Why, deadline};
use super::url::Url;
use super::{Call, Later, Outcome};
use crate::limits::TOOL_ANSWER_ROOM;

/// Whether the operator listed a host.
///
/// # Errors
/// Says where to.
pub(super) fn present(host: &Host) -> Result<(), String> {
    if host.targets().fetch.is_empty() {
        return Err(String::from("tools.device.http_fetch lists no hosts"));
    }
    Ok(())
}

/// `http_fetch`.
pub(super) fn fetch<'a>(host: &'a Host, call: &'a Call) -> Later<'a> {
    Box::pin(async move {
        let answered = match request(host, call) {
            Ok(request) => fetch::fetch(host, request).await,
            Err(fault) => Err(fault),
        };
        match answered {
            Ok((answer, remote)) => details(answer, remote, host.result_bytes.get()),
            Err(fault) => fault.outcome(),
        }
    })
}

fn request<'a>(host: &Host, call: &'a Call) -> Result<Request<'a>, Fault> {
    let args = &call.args;
    let url = Url::read(args.text("url").unwrap_or_default()).map_err(|why| Fault(Why::Failed, why))?;
    let place = Place::read(&url.host).map_err(|rule| Fault(Why::Forbidden, rule))?;
    if !listed(&host.targets().fetch, &place, url.port) {
        return Err(Fault(Why::Forbidden, "the host is not one that tools.device.http_fetch lists"));
    }
    Ok(Request {
        who: Who::Listed,
        method: args.text("method").unwrap_or("GET"),
        url,
        fields: args.pairs("headers"),
        content: b"",
        most: args.count("max_bytes").unwrap_or_default().min(host.result_bytes.get()),
        until: deadline(args.count("timeout_ms").unwrap_or_default()),
    })
}

/// The result, in at most `room` bytes: the head comes first, then as much content as fits.
fn details(answer: Answer, remote: IpAddr, room: usize) -> Outcome {
    let (mut fields, mut cut) = (Object::new(), answer.cut);
    let mut room = room.saturating_sub(TOOL_ANSWER_ROOM);
    for (at, (name, value)) in answer.fields.iter().enumerate() {
        let same = |field: &&(String, Vec<u8>)| field.0.eq_ignore_ascii_case(name);
        if answer.fields.iter().take(at).any(|field| same(&field)) {
            continue;
        }
        let mut value = String::from_utf8_lossy(value).into_owned();
        for (_, more) in answer.fields.iter().skip(at.saturating_add(1)).filter(same) {
            value.push_str(", ");
            value.push_str(&String::from_utf8_lossy(more));
        }
        // Each byte of a value may take six in JSON; none of a name does, but it has its marks.
        let size = value.len().saturating_mul(6).saturating_add(name.len()).saturating_add(6);
        let Some(rest) = room.checked_sub(size) else {
            cut = true;
            break;
        };
        room = rest;
        fields.text(&name.to_ascii_lowercase(), &value);
    }
    let (text, encoding) = fetch::text(answer.content, answer.cut);
    let mut body = clip(&text, room);
    if encoding == "base64" {
        // In whole groups.
        body = body.get(..body.len() & !3).unwrap_or_default();
    }
    cut |= body.len() < text.len();
    let mut object = Object::new();
    object.text("remote_ip", &remote.to_string()).number("status", answer.status.into());
    if let Some(total) = answer.total {
        object.raw("total_bytes", &total.to_string());
    }
    object.raw("headers", &fields.end()).text("body", body).text("encoding", encoding).flag("truncated", cut).done()
}
