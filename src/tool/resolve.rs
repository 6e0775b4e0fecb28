//! A name → its addresses, by /etc/hosts and the name servers of /etc/resolv.conf, on the loop: the C library's resolver
//! blocks, and asking it on a thread would need one for as long as a dead server is waited for.
//!
//! Each question has a random number and leaves from a random port, and only the server that was asked is heard. What
//! does not repeat number and question is passed over; after [`DATAGRAM_STRAYS`] of those somebody is guessing, and the same
//! question goes over TCP, where that is of no use.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::{Duration, Instant};

use rustix::net::SocketType;
use rustix::rand::{GetRandomFlags, getrandom};

use super::dns::{self, Answer, Fault};
use super::outlook;
use super::pipe::Pipe;
use super::root::Root;
use crate::limits::{
    DATAGRAM_STRAYS, DNS_ATTEMPTS, DNS_ATTEMPTS_MAX, DNS_BYTES, DNS_DOMAINS, DNS_NDOTS_MAX, DNS_SERVERS,
    DNS_TIMEOUT_MAX, DNS_TIMEOUT_SECS, RESOLVED_ADDRS,
};

/// What /etc/resolv.conf says. Source: resolv.conf(5).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Conf {
    /// Name servers, in the order they are asked.
    pub servers: Vec<SocketAddr>,
    /// Domains that short names are tried in.
    search: Vec<String>,
    /// How many dots make a name that is not short.
    ndots: usize,
    /// Seconds one server has to answer.
    timeout: u64,
    /// Rounds over all servers.
    attempts: usize,
}

/// Where name servers listen.
pub(super) const DNS_PORT: u16 = 53;

impl Default for Conf {
    fn default() -> Conf {
        parse("", &|_| None)
    }
}

impl Conf {
    /// What stands below `root`.
    pub(super) fn read(root: &Root) -> Conf {
        let text = root.text("/etc/resolv.conf").unwrap_or_default();
        let index = |name: &str| root.number(&["/sys/class/net/", name, "/ifindex"].concat());
        parse(&text, &|zone| u32::try_from(zone.parse().ok().or_else(|| index(zone))?).ok())
    }

    /// The names that `name` may be short for, in the order they are tried.
    fn candidates(&self, name: &str) -> Vec<String> {
        let mut names: Vec<String> = self.search.iter().map(|domain| [name, ".", domain].concat()).collect();
        let short = name.bytes().filter(|b| *b == b'.').count() < self.ndots;
        names.insert(if short { names.len() } else { 0 }, name.to_owned());
        names
    }
}

/// Reads resolv.conf; `index` tells an interface's number.
fn parse(text: &str, index: &dyn Fn(&str) -> Option<u32>) -> Conf {
    let mut conf =
        Conf { servers: Vec::new(), search: Vec::new(), ndots: 1, timeout: DNS_TIMEOUT_SECS, attempts: DNS_ATTEMPTS };
    for line in text.lines() {
        match words(line).as_slice() {
            ["nameserver", word, ..] => conf.servers.extend(server(word, index)),
            // The last of these lines counts.
            ["domain" | "search", domains @ ..] => {
                conf.search = domains.iter().take(DNS_DOMAINS).map(|domain| plain(domain)).collect();
            }
            ["options", options @ ..] => options.iter().for_each(|option| conf.option(option)),
            _ => {}
        }
    }
    conf.search.retain(|domain| !domain.is_empty());
    conf.servers.truncate(DNS_SERVERS);
    if conf.servers.is_empty() {
        conf.servers.push(SocketAddr::from((Ipv4Addr::LOCALHOST, DNS_PORT)));
    }
    conf
}

impl Conf {
    fn option(&mut self, word: &str) {
        let Some((name, value)) = word.split_once(':') else { return };
        let Ok(value) = value.parse::<u8>() else { return };
        match name {
            "attempts" => self.attempts = usize::from(value).clamp(1, DNS_ATTEMPTS_MAX),
            "ndots" => self.ndots = usize::from(value).min(DNS_NDOTS_MAX),
            "timeout" => self.timeout = u64::from(value).clamp(1, DNS_TIMEOUT_MAX),
            _ => {}
        }
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split_ascii_whitespace().collect()
}

fn plain(name: &str) -> String {
    name.trim_matches('.').to_ascii_lowercase()
}

/// One name server: an address, with the zone of its link (`fe80::1%eth0`), or `[address]:port` as in OpenBSD's file.
fn server(word: &str, index: &dyn Fn(&str) -> Option<u32>) -> Option<SocketAddr> {
    let (word, port) = match word.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
        Some((addr, port)) => (addr, port.parse().ok()?),
        None => (word, DNS_PORT),
    };
    match word.split_once('%') {
        Some((addr, zone)) => Some(SocketAddr::V6(SocketAddrV6::new(addr.parse().ok()?, port, 0, index(zone)?))),
        None => Some(SocketAddr::new(word.parse().ok()?, port)),
    }
}

/// What /etc/hosts says of `name`. Source: hosts(5).
fn listed(text: &str, name: &str) -> Vec<IpAddr> {
    let mut addrs = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        if let [addr, names @ ..] = words(line).as_slice()
            && names.iter().any(|word| word.eq_ignore_ascii_case(name))
        {
            addrs.extend(addr.parse::<IpAddr>());
        }
    }
    addrs
}

/// What is known of `name` without asking anybody. `None`: a name server must be asked.
///
/// # Errors
/// Why nobody is asked, in words for the caller.
pub(super) fn known(root: &Root, name: &str) -> Result<Option<Vec<IpAddr>>, &'static str> {
    // Never anything but this machine, whatever a file or a server says. Source: RFC 6761 §6.3.
    if name == "localhost" || name.ends_with(".localhost") {
        return Ok(Some(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]));
    }
    let addrs = listed(&root.text("/etc/hosts").unwrap_or_default(), name);
    if !addrs.is_empty() {
        return Ok(Some(addrs));
    }
    if name.ends_with(".local") {
        // A name server must not be asked for these. Source: RFC 6762 §22.1.
        return Err(
            "names in .local are found by multicast DNS, which is not spoken here: use the address, or /etc/hosts",
        );
    }
    Ok(None)
}

/// The addresses of `name`, at most [`RESOLVED_ADDRS`].
///
/// # Errors
/// Why there are none, in words for the caller.
pub(super) async fn addresses(root: &Root, name: &str, until: Instant) -> Result<Vec<IpAddr>, &'static str> {
    if let Some(mut addrs) = known(root, name)? {
        addrs.truncate(RESOLVED_ADDRS);
        return Ok(addrs);
    }
    let conf = Conf::read(root);
    let mut why = "no such name";
    for candidate in conf.candidates(name) {
        let mut addrs = Vec::new();
        for kind in [dns::A, dns::AAAA] {
            // Some routers drop the second question: then what the first one gave must do, and soon.
            let until = if addrs.is_empty() { until } else { until.min(Instant::now() + left(until) / 4) };
            match ask(&conf, &candidate, kind, until).await {
                Ok((answer, _)) if answer.rcode == 0 => {
                    addrs.extend(dns::follow(&answer, &candidate));
                    why = "the name has no address";
                }
                Ok((answer, _)) if answer.rcode == 3 => break,
                Ok(_) => why = "the name server failed",
                Err(silent) => why = silent,
            }
        }
        addrs.truncate(RESOLVED_ADDRS);
        if !addrs.is_empty() {
            return Ok(addrs);
        }
    }
    Err(why)
}

/// The same for who has nothing else to do: blocks until the addresses of `name` are there, at most for `most`.
///
/// # Errors
/// Why there are none, in words for the caller.
pub fn look_up(root: &Root, name: &str, most: Duration) -> Result<Vec<IpAddr>, &'static str> {
    let (name, mut found) = (plain(name), Ok(Vec::new()));
    outlook::wait(Box::pin(async { found = addresses(root, &name, Instant::now() + most).await }));
    found
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

/// Asks the name servers for records of `kind` of `name`, one after another, until one answers that there are some, or none, or
/// no such name. Who answered comes with the answer.
///
/// # Errors
/// That nobody answered in time.
pub(super) async fn ask(
    conf: &Conf,
    name: &str,
    kind: u16,
    until: Instant,
) -> Result<(Answer, SocketAddr), &'static str> {
    let mut failed = None;
    let mut turns = conf.servers.len().saturating_mul(conf.attempts) as u32;
    for server in conf.servers.iter().cycle() {
        let share = Duration::from_secs(conf.timeout).min(left(until) / turns.max(1));
        if turns == 0 || share.is_zero() {
            break;
        }
        turns = turns.saturating_sub(1);
        match exchange(*server, name, kind, Instant::now() + share).await {
            Some(answer) if matches!(answer.rcode, 0 | 3) => return Ok((answer, *server)),
            Some(answer) => failed = Some((answer, *server)),
            None => {}
        }
    }
    failed.ok_or("no name server answered in time")
}

/// One question to one server.
async fn exchange(server: SocketAddr, name: &str, kind: u16, until: Instant) -> Option<Answer> {
    let mut id = [0; 2];
    // In the first moments after a boot without entropy it fails; then the random port alone must do.
    let _ = getrandom(&mut id, GetRandomFlags::NONBLOCK);
    let mut question = dns::question(u16::from_be_bytes(id), name, kind)?;
    let mut buffer = vec![0; DNS_BYTES];
    let pipe = Pipe::open(server, SocketType::DGRAM, None, until).ok()?;
    pipe.put(&question).ok()?;
    for _ in 0..DATAGRAM_STRAYS {
        let length = pipe.read(&mut buffer).await.ok()?;
        match dns::read(buffer.get(..length)?, &question) {
            Ok(answer) if answer.cut => break,
            Ok(answer) => return Some(answer),
            Err(Fault::Foreign) => {}
            Err(Fault::Malformed) => return None,
        }
    }
    drop(pipe);
    let pipe = Pipe::open(server, SocketType::STREAM, None, until).ok()?;
    pipe.connected().await.ok()?;
    // Over a stream a message comes after its length.
    question.splice(..0, u16::try_from(question.len()).ok()?.to_be_bytes());
    pipe.put(&question).ok()?;
    let (mut filled, mut end) = (0_usize, 2);
    while filled < end {
        // A message longer than the buffer is given up at its end: reading into nothing gives nothing.
        let length = pipe.read(buffer.get_mut(filled..)?).await.ok().filter(|length| *length > 0)?;
        filled = filled.saturating_add(length);
        if let Some(length) = buffer.first_chunk().filter(|_| filled >= 2) {
            end = usize::from(u16::from_be_bytes(*length)).saturating_add(2);
        }
    }
    dns::read(buffer.get(2..end)?, question.get(2..)?).ok().filter(|answer| !answer.cut)
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
