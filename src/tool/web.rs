//! `http_fetch`: what a server that the operator listed says, to a GET or a HEAD.

use super::border::{Place, Who, listed};
use super::fetch::{self, Answer, Request};
use super::host::Host;
use super::reach::deadline;
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
        let request = match request(host, call) {
            Ok(request) => request,
            Err(refused) => return refused,
        };
        match fetch::fetch(host, request).await {
            Ok(answer) => Outcome::Done { details: details(answer, host.result_bytes.get()), text: None },
            Err(fault) => fault.outcome(),
        }
    })
}

fn request<'a>(host: &Host, call: &'a Call) -> Result<Request<'a>, Outcome> {
    let url = call.args.text("url").unwrap_or_default();
    let url = Url::read(url).map_err(|why| Outcome::soft("error", why))?;
    let place = Place::read(&url.host).map_err(|rule| Outcome::soft("forbidden", rule))?;
    if !listed(&host.targets().fetch, &place, url.port) {
        return Err(Outcome::soft("forbidden", "the host is not one that tools.device.http_fetch lists"));
    }
    let fields = call.args.pairs("headers").iter();
    Ok(Request {
        who: Who::Listed,
        method: call.args.text("method").unwrap_or("GET"),
        url,
        fields: fields.map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect(),
        content: b"",
        most: call.args.count("max_bytes").unwrap_or_default().min(host.result_bytes.get()),
        until: deadline(call.args.count("timeout_ms").unwrap_or_default()),
    })
}

/// The result, in at most `room` bytes: the head comes first, then as much content as fits.
fn details(answer: Answer, room: usize) -> String {
    let (text, encoding) = fetch::text(answer.content, answer.truncated);
    let mut out =
        ["{\"remote_ip\":\"", &answer.remote.to_string(), "\",\"status\":", &answer.status.to_string()].concat();
    if let Some(total) = answer.total {
        out += &[",\"total_bytes\":", &total.to_string()].concat();
    }
    let mut room = room.saturating_sub(out.len() + TOOL_ANSWER_ROOM);
    let mut cut = answer.truncated;
    out += ",\"headers\":{";
    let mut names: Vec<String> = Vec::new();
    for (name, _) in &answer.fields {
        let name = name.to_ascii_lowercase();
        if names.contains(&name) {
            continue;
        }
        let same = answer.fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(&name));
        let values: Vec<&[u8]> = same.map(|(_, value)| &**value).collect();
        let comma = if names.is_empty() { "" } else { "," };
        let value = String::from_utf8_lossy(&values.join(&b", "[..])).into_owned();
        let member = [comma, &quoted(&name), ":", &quoted(&value)].concat();
        if member.len() > room {
            cut = true;
            break;
        }
        room -= member.len();
        out += &member;
        names.push(name);
    }
    let body = clip(&text, encoding, room);
    cut |= body.len() < text.len();
    let truncated = if cut { "true}" } else { "false}" };
    out += &["},\"body\":", &quoted(body), ",\"encoding\":\"", encoding, "\",\"truncated\":", truncated].concat();
    out
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// As much of `text` as takes at most `room` bytes in JSON; base64 in whole groups.
fn clip<'t>(text: &'t str, encoding: &str, mut room: usize) -> &'t str {
    for (at, letter) in text.char_indices() {
        let size = match letter {
            '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
            '\0'..='\u{1f}' => 6,
            _ => letter.len_utf8(),
        };
        if size > room {
            let end = if encoding == "base64" { at - at % 4 } else { at };
            return text.get(..end).unwrap_or_default();
        }
        room -= size;
    }
    text
}
