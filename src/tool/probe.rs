//! `tcp_check`, `ping` and `dns_lookup`: is it there, how far is it, what is it called.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use rustix::net::{SocketType, ipproto};
use rustix::rand::{GetRandomFlags, getrandom};
use serde::Serialize;

use super::border::{Place, Who};
use super::dns;
use super::host::Host;
use super::pipe::{self, Pipe};
use super::reach::{self, Fault, deadline};
use super::resolve::{self, Conf};
use super::{Call, Later, Outcome, fit};
use crate::limits::{DATAGRAM_STRAYS, TOOL_ANSWER_ROOM, TOOL_LIST_ITEMS};

#[derive(Serialize)]
struct Check {
    ok: bool,
    addr: Option<IpAddr>,
    rtt_ms: Option<f64>,
    error: Option<&'static str>,
}

/// `tcp_check`.
pub(super) fn tcp<'a>(host: &'a Host, call: &'a Call) -> Later<'a> {
    Box::pin(async move {
        let port = call.args.integer("port").and_then(|port| u16::try_from(port).ok()).unwrap_or_default();
        let until = deadline(call.args.count("timeout_ms").unwrap_or_default());
        let name = call.args.text("host").unwrap_or_default();
        let reached = match reach::find(host, Who::Caller, name, port, until).await {
            Ok(addrs) => reach::connect(&addrs, until).await,
            Err(fault) => Err(fault),
        };
        match reached {
            Ok(reached) => Outcome::done(&Check {
                ok: true,
                addr: Some(reached.addr),
                rtt_ms: Some(millis(reached.took)),
                error: None,
            }),
            Err(Fault::Failed(why)) => Outcome::done(&Check { ok: false, addr: None, rtt_ms: None, error: Some(why) }),
            Err(fault) => fault.outcome(),
        }
    })
}

/// Milliseconds, to a hundredth.
#[allow(clippy::cast_precision_loss, reason = "below 2^53")]
fn millis(span: Duration) -> f64 {
    (span.as_micros() / 10) as f64 / 100.0
}

/// Whether the kernel lets us send echo requests, which it does for groups that a setting names.
///
/// # Errors
/// Names the setting.
pub(super) fn may_ping(_host: &Host) -> Result<(), String> {
    let any = |addr: IpAddr| echo_socket(SocketAddr::new(addr, 0), Instant::now()).is_ok();
    if any(Ipv4Addr::UNSPECIFIED.into()) || any(Ipv6Addr::UNSPECIFIED.into()) {
        return Ok(());
    }
    Err(String::from(
        "the kernel permits no ping to this group: sysctl net.ipv4.ping_group_range=\"0 2147483647\" permits it to all",
    ))
}

fn echo_socket(to: SocketAddr, until: Instant) -> io::Result<Pipe> {
    let protocol = if to.is_ipv4() { ipproto::ICMP } else { ipproto::ICMPV6 };
    Pipe::open(to, SocketType::DGRAM, Some(protocol), until)
}

#[derive(Serialize)]
struct Echoes {
    addr: IpAddr,
    sent: usize,
    received: usize,
    rtt_ms: Vec<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

/// `ping`.
pub(super) fn ping<'a>(host: &'a Host, call: &'a Call) -> Later<'a> {
    Box::pin(async move {
        let wait = call.args.count("timeout_ms").unwrap_or_default();
        let name = call.args.text("host").unwrap_or_default();
        let to = match reach::find(host, Who::Caller, name, 0, deadline(wait)).await {
            Ok(addrs) => addrs.first().copied().unwrap_or((Ipv4Addr::UNSPECIFIED, 0).into()),
            Err(fault) => return fault.outcome(),
        };
        let mut echoes = Echoes { addr: to.ip(), sent: 0, received: 0, rtt_ms: Vec::new(), error: None };
        for _ in 0..call.args.count("count").unwrap_or_default() {
            echoes.sent += 1;
            match echo(to, deadline(wait)).await {
                Ok(took) => echoes.rtt_ms.push(millis(took)),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                Err(error) => {
                    echoes.error = Some(pipe::said(&error));
                    break;
                }
            }
        }
        echoes.received = echoes.rtt_ms.len();
        Outcome::done(&echoes)
    })
}

/// Sends one echo request and waits for its reply; the kernel fills in identifier and checksum. Source: RFC 792, RFC 4443.
async fn echo(to: SocketAddr, until: Instant) -> io::Result<Duration> {
    let (request, reply) = if to.is_ipv4() { (8, 0) } else { (128, 129) };
    let pipe = echo_socket(to, until)?;
    pipe.connect(to).await?;
    // Type, code, checksum, identifier, sequence number, and content that nobody guesses.
    let mut message = [0; 24];
    let _ = getrandom(&mut message[8..], GetRandomFlags::NONBLOCK);
    message[0] = request;
    let start = Instant::now();
    pipe.send(&message).await?;
    let mut buffer = [0; 64];
    for _ in 0..DATAGRAM_STRAYS {
        let length = pipe.read(&mut buffer).await?;
        let heard = buffer.get(..length).unwrap_or_default();
        if heard.first() == Some(&reply) && heard.get(8..) == message.get(8..) {
            return Ok(start.elapsed());
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

#[derive(Serialize)]
struct Found {
    answers: Vec<Row>,
    rcode: &'static str,
    server: String,
    elapsed_ms: f64,
    truncated: bool,
}

#[derive(Serialize)]
struct Row {
    name: String,
    r#type: &'static str,
    ttl_s: u32,
    value: String,
}

/// `dns_lookup`.
pub(super) fn lookup<'a>(host: &'a Host, call: &'a Call) -> Later<'a> {
    Box::pin(async move {
        match look(host, call).await {
            Ok(found) => Outcome::done(&found),
            Err(fault) => fault.outcome(),
        }
    })
}

async fn look(host: &Host, call: &Call) -> Result<Found, Fault> {
    let start = Instant::now();
    let until = deadline(call.args.count("timeout_ms").unwrap_or_default());
    let word = call.args.text("type").unwrap_or_default();
    let kind = dns::KINDS.iter().find(|(known, _)| *known == word).map_or(dns::A, |(_, kind)| *kind);
    let name = match Place::read(call.args.text("name").unwrap_or_default()).map_err(Fault::Forbidden)? {
        Place::Name(name) => name,
        Place::Addr(addr) if word == "PTR" => dns::reverse(addr),
        Place::Addr(_) => return Err(Fault::Failed("name: an address has no records but PTR")),
    };
    let (answer, server) = match call.args.text("server") {
        Some(server) => {
            let servers = reach::find(host, Who::Caller, server, resolve::DNS_PORT, until).await?;
            asked(resolve::ask(&Conf::default(), &servers, &name, kind, until).await)?
        }
        None => match resolve::known(&host.root, &name).map_err(Fault::Failed)? {
            Some(addrs) if matches!(kind, dns::A | dns::AAAA) => (noted(name, &addrs), String::from("hosts")),
            _ => {
                let conf = Conf::read(&host.root);
                asked(resolve::ask(&conf, &conf.servers, &name, kind, until).await)?
            }
        },
    };
    let mut answers: Vec<Row> = answer.records.into_iter().filter_map(row).collect();
    if server == "hosts" {
        answers.retain(|row| row.r#type == word);
    }
    let mut room = host.result_bytes.get().saturating_sub(TOOL_ANSWER_ROOM);
    let truncated = fit(&mut answers, TOOL_LIST_ITEMS, &mut room);
    Ok(Found { answers, rcode: rcode(answer.rcode), server, elapsed_ms: millis(start.elapsed()), truncated })
}

fn asked(said: Result<(dns::Answer, SocketAddr), &'static str>) -> Result<(dns::Answer, String), Fault> {
    said.map(|(answer, server)| (answer, server.ip().to_string())).map_err(Fault::Failed)
}

/// What is known without asking, in the shape of an answer.
fn noted(name: String, addrs: &[IpAddr]) -> dns::Answer {
    let record = |addr: &IpAddr| dns::Record {
        name: name.clone(),
        kind: if addr.is_ipv4() { dns::A } else { dns::AAAA },
        ttl: 0,
        value: addr.to_string(),
        addr: Some(*addr),
    };
    dns::Answer { records: addrs.iter().map(record).collect(), ..dns::Answer::default() }
}

fn row(record: dns::Record) -> Option<Row> {
    let (word, _) = dns::KINDS.iter().find(|(_, kind)| *kind == record.kind)?;
    Some(Row { name: record.name, r#type: word, ttl_s: record.ttl, value: record.value })
}

/// Source: RFC 1035 §4.1.1.
fn rcode(code: u8) -> &'static str {
    match code {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        _ => "OTHER",
    }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
