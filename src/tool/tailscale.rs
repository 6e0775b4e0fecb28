//! `tailscale_status`, `tailscale_whois`: what tailscaled says of this device and of others.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::FileTypeExt;

use super::host::Host;
use super::localapi::{self, Missing, STRANGE, pick, read_status, read_who, word};
use super::object::{Object, fill, insert, quoted};
use super::schema::read_members;
use super::{Call, Later, Outcome};
use crate::limits::{LOCAL_API_BYTES, LOCAL_API_PEERS_BYTES, TOOL_ANSWER_ROOM, TOOL_ROWS};

/// Whether there is a socket of tailscaled's. Whether anybody listens at it, an answer says.
///
/// # Errors
/// Where there is none.
pub(super) fn present(host: &Host) -> Result<(), String> {
    let socket = std::fs::metadata(host.tailscaled()).is_ok_and(|file| file.file_type().is_socket());
    match socket {
        true => Ok(()),
        false => Err(["tailscaled has no socket at ", &host.local_api.borrow().to_string_lossy()].concat()),
    }
}

fn addresses(ips: &[IpAddr]) -> Vec<String> {
    ips.iter().map(|ip| ["\"", &ip.to_string(), "\""].concat()).collect()
}

fn texts(texts: &[Box<str>]) -> Vec<String> {
    texts.iter().map(|text| quoted(text)).collect()
}

/// What is asked, and how much is read of the answer.
type Question = (String, usize);

/// Asks what `question` makes of a call, and lets `tell` tell what was said, in as many bytes as a result may have.
fn run<'a>(
    host: &'a Host,
    call: &'a Call,
    question: fn(&Call) -> Result<Question, Outcome>,
    tell: fn(&str, usize) -> Option<Outcome>,
) -> Later<'a> {
    Box::pin(async move {
        let (target, most) = match question(call) {
            Ok(question) => question,
            Err(outcome) => return outcome,
        };
        let missing = match localapi::ask(&host.tailscaled(), &target, most).await {
            Ok(Some(said)) => match tell(&said, host.result_bytes.get()) {
                Some(outcome) => return outcome,
                None => STRANGE,
            },
            Ok(None) => return Outcome::soft("error", "the address belongs to no node of the tailnet"),
            Err(missing) => missing,
        };
        match missing {
            Missing::Absent => Outcome::soft("error", "tailscaled does not run: nobody listens at its socket"),
            Missing::Failed(words) => Outcome::soft("error", &["tailscaled does not say: ", words].concat()),
        }
    })
}

/// `tailscale_status`.
pub(super) fn status<'a>(host: &'a Host, call: &'a Call) -> Later<'a> {
    let question = |call: &Call| match call.args.flag("peers") {
        true => Ok((String::from("/localapi/v0/status"), LOCAL_API_PEERS_BYTES)),
        false => Ok((String::from(localapi::STATUS), LOCAL_API_BYTES)),
    };
    let tell = if call.args.flag("peers") { with_peers } else { alone };
    run(host, call, question, tell)
}

fn alone(json: &str, room: usize) -> Option<Outcome> {
    told(json, None, room)
}

/// With the other nodes. What one of them says of itself does not hide the others, so what is strange is left out.
fn with_peers(json: &str, room: usize) -> Option<Outcome> {
    let [peers, ..] = pick(json, &["Peer"])?;
    let mut rows = Vec::new();
    if let Some(peers) = peers {
        let read = read_members(peers, &mut |_, peer| {
            if let Some(row) = row(peer.get()) {
                insert(&mut rows, row, usize::MAX);
            }
            Some(())
        });
        read.ok()?;
    }
    told(json, Some(rows), room)
}

fn told(json: &str, peers: Option<Vec<String>>, room: usize) -> Option<Outcome> {
    let status = read_status(json)?;
    let mut health: Vec<String> = status.health.iter().map(|complaint| quoted(complaint)).collect();
    let mut room = room.saturating_sub(TOOL_ANSWER_ROOM.saturating_mul(2));
    let mut cut = fill(&mut health, usize::MAX, &mut room);
    let mut json = Object::new();
    json.text("backend_state", &status.backend).flag("tun", status.tun).list("ips", &addresses(&status.ips));
    json.maybe("dns_name", status.dns_name.as_deref()).maybe("key_expiry", status.key_expiry.as_deref());
    json.list("health", &health).text("version", &status.version);
    if let Some(mut rows) = peers {
        cut |= fill(&mut rows, TOOL_ROWS, &mut room);
        json.list("peers", &rows);
    }
    Some(json.truncated(cut).done())
}

/// A node as JSON. Its name comes first, so that rows sort by it.
fn row(json: &str) -> Option<String> {
    let names = ["DNSName", "HostName", "TailscaleIPs", "Online", "OS"];
    let [full, own, ips, online, os] = pick(json, &names)?;
    let name = full.and_then(word).or_else(|| own.and_then(word)).unwrap_or_default();
    let ips = ips.and_then(localapi::addresses).unwrap_or_default();
    let mut json = Object::new();
    json.text("name", name.strip_suffix('.').unwrap_or(&name)).list("ips", &addresses(&ips));
    json.flag("online", online == Some("true")).maybe("os", os.and_then(word).as_deref());
    Some(json.end())
}

/// `tailscale_whois`.
pub(super) fn whois<'a>(host: &'a Host, call: &'a Call) -> Later<'a> {
    run(host, call, asked, shown)
}

fn asked(call: &Call) -> Result<Question, Outcome> {
    match address(call.args.text("addr").unwrap_or_default()) {
        Some(addr) => Ok((localapi::question(addr), LOCAL_API_BYTES)),
        None => Err(Outcome::Input("addr: must be an address, alone or with a port".into())),
    }
}

/// An address, alone or with a port; then an IPv6 address stands in brackets.
fn address(text: &str) -> Option<SocketAddr> {
    if let Ok(ip) = text.parse() {
        return Some(SocketAddr::new(ip, 0));
    }
    let (host, port) = text.rsplit_once(':')?;
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let ip: IpAddr = inner.unwrap_or(host).parse().ok()?;
    (ip.is_ipv6() == inner.is_some()).then_some(SocketAddr::new(ip, port.parse().ok()?))
}

fn shown(json: &str, room: usize) -> Option<Outcome> {
    let who = read_who(json)?;
    let capability =
        |(name, tools): &(Box<str>, Vec<Box<str>>)| [&quoted(name), ":[", &texts(tools).join(","), "]"].concat();
    let (mut tags, mut capabilities) = (texts(&who.tags), who.capabilities.iter().map(capability).collect());
    // A letter of a name takes two at most.
    let names = who.node.len().saturating_add(who.login.as_ref().map_or(0, |login| login.len())).saturating_mul(2);
    let mut room = room.saturating_sub(TOOL_ANSWER_ROOM).saturating_sub(names);
    let cut = fill(&mut tags, usize::MAX, &mut room) | fill(&mut capabilities, usize::MAX, &mut room);
    let mut json = Object::new();
    json.text("node", &who.node).maybe("login", who.login.as_deref()).list("tags", &tags);
    Some(json.raw("cap_map", &["{", &capabilities.join(","), "}"].concat()).truncated(cut).done())
}

#[cfg(test)]
#[path = "tailscale_tests.rs"]
mod tests;
