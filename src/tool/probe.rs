//! `tcp_check`, `ping` and `dns_lookup`: is it there, how far is it, what is it called.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use rustix::net::{SocketType, ipproto};
use rustix::rand::{GetRandomFlags, getrandom};

use super::border::{Place, Who};
use super::dns::{self, Answer, Record};
use super::host::Host;
use super::object::{Object, fit};
use super::pipe::{self, Pipe};
use super::reach::{self, Fault, Why, deadline};
use super::resolve::{self, Conf};
use super::{Call, Later, Outcome};
use crate::limits::{DATAGRAM_STRAYS, TOOL_ANSWER_ROOM, TOOL_LIST_ITEMS};

/// `tcp_check`.
pub(super) fn tcp<'a>(host: &'a Host, call: &'a Call) -> Later<'a> {
    Box::pin(async move {
        let port = call.args.integer("port").and_then(|port| u16::try_from(port).ok()).unwrap_or_default();
        let name = call.args.text("host").unwrap_or_default();
        let reached = reach::dial(host, Who::Caller, name, port, patience(call)).await;
        let mut object = Object::new();
        object.flag("ok", reached.is_ok());
        match reached {
            Ok(reached) => object.text("addr", &reached.addr.to_string()).raw("rtt_ms", &millis(reached.took)).done(),
            Err(Fault(Why::Failed, why)) => object.text("error", why).done(),
            Err(fault) => fault.outcome(),
        }
    })
}

/// The moment at which the caller gives up.
fn patience(call: &Call) -> Instant {
    deadline(call.args.count("timeout_ms").unwrap_or_default())
}

/// Milliseconds, to a hundredth, as JSON.
fn millis(span: Duration) -> String {
    let hundredths = span.as_micros() as u64 / 10;
    let (whole, part) = (hundredths / 100, hundredths % 100);
    let point = if part < 10 { ".0" } else { "." };
    [&whole.to_string(), point, &part.to_string()].concat()
}

/// Whether the kernel lets us send echo requests, which it does for groups that a setting names.
///
/// # Errors
/// Names the setting.
pub(super) fn may_ping(_host: &Host) -> Result<(), String> {
    // Nobody hears of it: a datagram socket is connected without a word.
    let any = |addr: IpAddr| echo_socket(SocketAddr::new(addr, 0), Instant::now()).is_ok();
    if any(Ipv4Addr::LOCALHOST.into()) || any(Ipv6Addr::LOCALHOST.into()) {
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

/// `ping`.
pub(super) fn ping<'a>(host: &'a Host, call: &'a Call) -> Later<'a> {
    Box::pin(async move {
        let name = call.args.text("host").unwrap_or_default();
        let to = match reach::find(host, Who::Caller, name, 0, patience(call)).await {
            Ok(addrs) => addrs.first().copied().unwrap_or((Ipv4Addr::UNSPECIFIED, 0).into()),
            Err(fault) => return fault.outcome(),
        };
        let mut object = Object::new();
        object.text("addr", &to.ip().to_string());
        let mut times = Vec::new();
        let mut sent = 0_usize;
        while sent < call.args.count("count").unwrap_or_default() {
            sent = sent.saturating_add(1);
            match echo(to, patience(call)).await {
                Ok(took) => times.push(millis(took)),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                Err(error) => {
                    object.text("error", pipe::said(&error));
                    break;
                }
            }
        }
        object.raw("sent", &sent.to_string()).raw("received", &times.len().to_string());
        object.list("rtt_ms", &times).done()
    })
}

/// Sends one echo request and waits for its reply; the kernel fills in identifier and checksum. Source: RFC 792, RFC 4443.
async fn echo(to: SocketAddr, until: Instant) -> io::Result<Duration> {
    let (request, reply) = if to.is_ipv4() { (8, 0) } else { (128, 129) };
    let pipe = echo_socket(to, until)?;
    // Content that nobody guesses, after type, code, checksum, identifier and sequence number.
    let mut content = [0; 16];
    let _ = getrandom(&mut content, GetRandomFlags::NONBLOCK);
    let start = Instant::now();
    pipe.put(&[&[request, 0, 0, 0, 0, 0, 0, 0], &content[..]].concat())?;
    let mut buffer = [0; 64];
    for _ in 0..DATAGRAM_STRAYS {
        let length = pipe.read(&mut buffer).await?;
        let heard = buffer.get(..length).unwrap_or_default();
        if heard.first() == Some(&reply) && heard.get(8..) == Some(&content) {
            return Ok(start.elapsed());
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// `dns_lookup`.
pub(super) fn lookup<'a>(host: &'a Host, call: &'a Call) -> Later<'a> {
    Box::pin(async move {
        let (start, until) = (Instant::now(), patience(call));
        let Question { name, kind, known } = match question(host, call) {
            Ok(question) => question,
            Err(fault) => return fault.outcome(),
        };
        if let Some(addrs) = known {
            return details(&noted(&name, kind, &addrs), None, start, host);
        }
        let mut conf = Conf::read(&host.root);
        if let Some(server) = call.args.text("server") {
            match reach::find(host, Who::Caller, server, resolve::DNS_PORT, until).await {
                Ok(servers) => conf.servers = servers,
                Err(fault) => return fault.outcome(),
            }
        }
        match resolve::ask(&conf, &name, kind, until).await {
            Ok((answer, server)) => details(&answer, Some(server.ip()), start, host),
            Err(why) => Fault(Why::Failed, why).outcome(),
        }
    })
}

/// What is looked up.
struct Question {
    name: String,
    kind: u16,
    /// What is known without asking a name server.
    known: Option<Vec<IpAddr>>,
}

fn question(host: &Host, call: &Call) -> Result<Question, Fault> {
    let word = call.args.text("type").unwrap_or_default();
    let kind = dns::KINDS.iter().find(|(known, _)| *known == word).map_or(dns::A, |(_, kind)| *kind);
    let name = match Place::read(call.args.text("name").unwrap_or_default()) {
        Ok(Place::Name(name)) => name,
        Ok(Place::Addr(addr)) if word == "PTR" => dns::reverse(addr),
        Ok(Place::Addr(_)) => return Err(Fault(Why::Failed, "name: an address has no records but PTR")),
        Err(rule) => return Err(Fault(Why::Forbidden, rule)),
    };
    let mut known = None;
    if call.args.text("server").is_none() {
        known = resolve::known(&host.root, &name).map_err(|why| Fault(Why::Failed, why))?;
        known = known.filter(|_| matches!(kind, dns::A | dns::AAAA));
    }
    Ok(Question { name, kind, known })
}

/// What is known without asking, in the shape of an answer.
fn noted(name: &str, kind: u16, addrs: &[IpAddr]) -> Answer {
    let mut answer = Answer::default();
    for addr in addrs.iter().filter(|addr| addr.is_ipv4() == (kind == dns::A)) {
        let (name, value) = (name.to_owned(), addr.to_string());
        answer.records.push(Record { name, kind, ttl: 0, value, addr: None });
    }
    answer
}

fn details(answer: &Answer, server: Option<IpAddr>, start: Instant, host: &Host) -> Outcome {
    let mut rows: Vec<String> = answer.records.iter().map(row).collect();
    let cut = fit(&mut rows, TOOL_LIST_ITEMS, host.result_bytes.get().saturating_sub(TOOL_ANSWER_ROOM));
    let server = server.map_or_else(|| String::from("hosts"), |server| server.to_string());
    let mut object = Object::new();
    object.list("answers", &rows).text("rcode", rcode(answer.rcode)).text("server", &server);
    object.raw("elapsed_ms", &millis(start.elapsed())).flag("truncated", cut).done()
}

fn row(record: &Record) -> String {
    let word = dns::KINDS.iter().find(|(_, kind)| *kind == record.kind).map_or("", |(word, _)| *word);
    let mut row = Object::new();
    row.text("name", &record.name).text("type", word).number("ttl_s", record.ttl.into());
    row.text("value", &record.value).end()
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
