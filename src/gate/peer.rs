//! Addresses, host names and origins → which are ours, trusted or allowed. Pure.

use std::net::{IpAddr, Ipv6Addr};

/// An address block. Source: contract http.md §2.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Net {
    /// The block's first address; never IPv4-mapped IPv6.
    pub addr: IpAddr,
    /// The prefix length in bits, 0–32 or 0–128.
    pub prefix: u8,
}

impl Net {
    /// Reads an exact address or a CIDR block, trimmed; host bits are cleared, IPv4-mapped IPv6 becomes IPv4.
    ///
    /// `None` for anything else: short or octal IPv4, zones, signs, a prefix beyond the family's, or a mapped block
    /// wider than the mapped range. Source: contract http.md §2.5.
    pub fn parse(text: &str) -> Option<Net> {
        let text = text.trim();
        let (addr, prefix) = match text.split_once('/') {
            Some((addr, prefix)) => (addr, Some(prefix)),
            None => (text, None),
        };
        let written: IpAddr = addr.parse().ok()?;
        let addr = written.to_canonical();
        let prefix = match prefix {
            None => width(addr),
            Some(digits) if digits.is_empty() || digits.len() > 3 || !digits.bytes().all(|b| b.is_ascii_digit()) => {
                return None;
            }
            Some(digits) => {
                let bits: u8 = digits.parse().ok()?;
                bits.checked_sub(width(written).checked_sub(width(addr))?)?
            }
        };
        (prefix <= width(addr)).then(|| Net { addr: masked(addr, prefix), prefix })
    }

    /// Whether `addr` is in the block. Families never match each other; IPv4-mapped IPv6 counts as IPv4.
    pub fn contains(&self, addr: IpAddr) -> bool {
        let addr = addr.to_canonical();
        self.addr.is_ipv4() == addr.is_ipv4() && masked(addr, self.prefix) == masked(self.addr, self.prefix)
    }
}

fn width(addr: IpAddr) -> u8 {
    if addr.is_ipv4() { 32 } else { 128 }
}

fn masked(addr: IpAddr, prefix: u8) -> IpAddr {
    match addr {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shr(u32::from(prefix)).map_or(u32::MAX, |host| !host);
            IpAddr::from((v4.to_bits() & mask).to_be_bytes())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shr(u32::from(prefix)).map_or(u128::MAX, |host| !host);
            IpAddr::from((v6.to_bits() & mask).to_be_bytes())
        }
    }
}

/// Whether `addr` is this machine talking to itself: 127/8, `::1`, or their mapped form. Source: contract http.md §2.4.
pub fn loopback(addr: IpAddr) -> bool {
    addr.to_canonical().is_loopback()
}

/// Whose address a request came from, as far as `trusted` proxies can be believed.
///
/// A peer that is no trusted proxy is the client. Otherwise the claimed `hops` are walked from the right over those
/// that parse, skipping loopback and trusted ones; the first that remains is the client. If none remains, `real`
/// counts (`None` unless the operator allowed it). `None`: nobody knows. Source: contract http.md §2.5.
pub fn client(peer: IpAddr, hops: Option<&str>, real: Option<&str>, trusted: &[Net]) -> Option<IpAddr> {
    let peer = peer.to_canonical();
    let believed = |addr: IpAddr| trusted.iter().any(|net| net.contains(addr));
    if !believed(peer) {
        return Some(peer);
    }
    let walked = hops.unwrap_or_default().rsplit(',').filter_map(hop).find(|addr| !loopback(*addr) && !believed(*addr));
    walked.or_else(|| real.and_then(hop))
}

/// One claimed address: `v4`, `v4:port`, `v6`, `[v6]`, `[v6]:port`; canonical.
fn hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Ok(addr) = text.parse::<IpAddr>() {
        return Some(addr.to_canonical());
    }
    let (host, _) = split_port(text)?;
    match host {
        Host::Addr(addr) => Some(addr),
        Host::Name(_) => None,
    }
}

/// A host as a client wrote it.
#[derive(Debug, Clone, Copy)]
enum Host<'a> {
    /// An address literal, canonical.
    Addr(IpAddr),
    /// A name, without trailing dot, in the client's case.
    Name(&'a str),
}

impl Host<'_> {
    fn same(&self, other: &Host) -> bool {
        match (self, other) {
            (Host::Addr(a), Host::Addr(b)) => a == b,
            (Host::Name(a), Host::Name(b)) => a.eq_ignore_ascii_case(b),
            _ => false,
        }
    }
}

/// Splits `host[:port]`; the port may be empty. `None` when it is not of that form or the host is empty.
fn split_port(text: &str) -> Option<(Host<'_>, Option<u16>)> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(inner) => {
            let (literal, rest) = inner.split_once(']')?;
            (Host::Addr(IpAddr::V6(literal.parse::<Ipv6Addr>().ok()?).to_canonical()), rest)
        }
        None => {
            let (name, rest) = text.split_at_checked(text.find(':').unwrap_or(text.len()))?;
            (named(name)?, rest)
        }
    };
    if rest.is_empty() {
        return Some((host, None));
    }
    let digits = rest.strip_prefix(':')?;
    if digits.is_empty() {
        return Some((host, None));
    }
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((host, Some(digits.parse().ok()?)))
}

/// Whether `text` can be a port: 0 to 65535, or left out after the colon.
fn is_port(text: &str) -> bool {
    text.is_empty() || (text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok())
}

fn named(name: &str) -> Option<Host<'_>> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if let Ok(addr) = name.parse::<IpAddr>() {
        return Some(Host::Addr(addr.to_canonical()));
    }
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'/' | b'?' | b'#' | b'@' | b'\\' | b',' | b'[' | b']');
    (!name.is_empty() && name.bytes().all(plain)).then_some(Host::Name(name))
}

/// An origin: scheme, host and the port with the scheme's default filled in.
struct Origin<'a> {
    scheme: &'a str,
    host: Host<'a>,
    port: Option<u16>,
}

impl<'a> Origin<'a> {
    fn parse(text: &'a str) -> Option<Origin<'a>> {
        let (scheme, rest) = text.split_once("://")?;
        let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        if scheme.is_empty() || !scheme.bytes().all(letters) {
            return None;
        }
        let (host, port) = split_port(rest)?;
        Some(Origin { scheme, host, port: port.or(default_port(scheme)) })
    }

    fn same(&self, other: &Origin) -> bool {
        self.scheme.eq_ignore_ascii_case(other.scheme) && self.host.same(&other.host) && self.port == other.port
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    if scheme.eq_ignore_ascii_case("https") {
        Some(443)
    } else if scheme.eq_ignore_ascii_case("http") {
        Some(80)
    } else {
        None
    }
}

/// The names this gateway answers to and the browser origins it serves.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Host names and address literals, lower-case, without port or trailing dot. IPv6 without brackets.
    pub hosts: Vec<String>,
    /// Allowed origins, lower-case, `scheme://host[:port]`, or `*`.
    pub origins: Vec<String>,
    /// Whether an origin that equals the request's own host is allowed.
    pub host_origin_fallback: bool,
    /// Whether every address literal is one of ours: true when listening on all addresses. DNS rebinding needs a name.
    pub any_literal: bool,
}

impl Names {
    /// Whether `host`, as sent and with or without a port, is one of ours.
    ///
    /// Case, the port and one trailing dot are ignored; address literals are compared as addresses.
    /// Source: edge.md §5, DNS rebinding.
    pub fn host_allowed(&self, host: &str) -> bool {
        // The usual case without any parsing: a host spelled as we spell it, with a port.
        let spelled = host.rsplit_once(':').map_or(host, |(name, port)| if is_port(port) { name } else { host });
        if self.hosts.iter().any(|own| own == spelled) {
            return true;
        }
        let Some((sent, _)) = split_port(host) else { return false };
        if self.any_literal && matches!(sent, Host::Addr(_)) {
            return true;
        }
        self.hosts.iter().any(|own| match own.parse::<IpAddr>() {
            Ok(addr) => Host::Addr(addr.to_canonical()).same(&sent),
            Err(_) => named(own).is_some_and(|own| own.same(&sent)),
        })
    }

    /// Whether a browser's `origin`, as sent, may talk to us; `host` is the one the request was sent to.
    ///
    /// `null` and whatever is no origin never may, not even with `*`. Source: contract http.md §2.4, edge.md §5.
    pub fn origin_allowed(&self, origin: &str, host: Option<&str>) -> bool {
        let Some(sent) = Origin::parse(origin.trim()) else { return false };
        let listed = |own: &String| {
            own == "*" || Origin::parse(own.strip_suffix('/').unwrap_or(own)).is_some_and(|own| own.same(&sent))
        };
        if self.origins.iter().any(listed) {
            return true;
        }
        self.host_origin_fallback
            && host
                .and_then(split_port)
                .is_some_and(|(host, port)| host.same(&sent.host) && port.or(default_port(sent.scheme)) == sent.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn blocks_are_read_strictly() {
        let check = |text: &str, expected: Option<(&str, u8)>| {
            assert_eq!(Net::parse(text), expected.map(|(a, prefix)| Net { addr: ip(a), prefix }), "{text:?}");
        };
        check("10.0.0.0/8", Some(("10.0.0.0", 8)));
        check(" 10.1.2.3/8 ", Some(("10.0.0.0", 8)));
        check("127.0.0.1", Some(("127.0.0.1", 32)));
        check("0.0.0.0/0", Some(("0.0.0.0", 0)));
        check("::1", Some(("::1", 128)));
        check("fd00::1/8", Some(("fd00::", 8)));
        check("::/0", Some(("::", 0)));
        check("::ffff:10.0.0.1", Some(("10.0.0.1", 32)));
        check("::ffff:10.0.0.1/104", Some(("10.0.0.0", 8)));
        check("::ffff:10.0.0.1/95", None);
        for bad in
            ["", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/-1", "fd00::/129", "010.0.0.1", "10.1"]
        {
            check(bad, None);
        }
        for bad in ["10.0.0.0/8/8", "10.0.0.0 /8", "0x7f000001", "fe80::1%eth0", "localhost", "[::1]", "1.2.3.4/1000"] {
            check(bad, None);
        }
    }

    #[test]
    fn blocks_hold_their_family_only() {
        let check = |net: &str, addr: &str, expected: bool| {
            assert_eq!(Net::parse(net).unwrap().contains(ip(addr)), expected, "{net} {addr}");
        };
        check("10.0.0.0/8", "10.255.255.255", true);
        check("10.0.0.0/8", "11.0.0.0", false);
        check("10.0.0.0/8", "::ffff:10.1.1.1", true);
        check("0.0.0.0/0", "8.8.8.8", true);
        check("0.0.0.0/0", "::1", false);
        check("::/0", "8.8.8.8", false);
        check("::/0", "::ffff:8.8.8.8", false);
        check("fd00::/8", "fdff::1", true);
        check("192.0.2.1", "192.0.2.2", false);
        // Written by hand, with host bits.
        assert!(Net { addr: ip("10.9.9.9"), prefix: 8 }.contains(ip("10.1.1.1")));
    }

    #[test]
    fn the_client_is_the_last_hop_nobody_vouches_for() {
        let trusted = [Net::parse("127.0.0.1/32").unwrap(), Net::parse("10.0.0.0/8").unwrap()];
        let check = |peer: &str, hops: Option<&str>, real: Option<&str>, expected: Option<&str>| {
            assert_eq!(client(ip(peer), hops, real, &trusted), expected.map(ip), "{peer} {hops:?} {real:?}");
        };
        // rl-fwd-*: rightmost untrusted hop, mapped, with a port, loopback, garbage.
        check("127.0.0.1", Some("198.51.100.1, 203.0.113.8"), None, Some("203.0.113.8"));
        check("127.0.0.1", Some("::ffff:203.0.113.8"), None, Some("203.0.113.8"));
        check("127.0.0.1", Some("203.0.113.8:1234"), None, Some("203.0.113.8"));
        check("127.0.0.1", Some("127.0.0.1"), None, None);
        check("127.0.0.1", Some("garbage"), None, None);
        check("127.0.0.1", None, None, None);
        check("127.0.0.1", None, Some("203.0.113.50"), Some("203.0.113.50"));
        check("127.0.0.1", Some("garbage"), Some(" [2001:db8::1]:9 "), Some("2001:db8::1"));
        check("127.0.0.1", Some("203.0.113.8, garbage, 10.1.1.1,,"), Some("1.1.1.1"), Some("203.0.113.8"));
        check("127.0.0.1", Some("[2001:db8::1]:443, 127.0.0.9"), None, Some("2001:db8::1"));
        check("127.0.0.1", Some("2001:db8::1"), None, Some("2001:db8::1"));
        check("127.0.0.1", Some("203.0.113.8:x"), None, None);
        check("::ffff:10.0.0.1", Some("203.0.113.8"), None, Some("203.0.113.8"));
        // An untrusted peer's claims are noise.
        check("192.0.2.9", Some("203.0.113.8"), Some("1.1.1.1"), Some("192.0.2.9"));
        check("::ffff:192.0.2.9", None, None, Some("192.0.2.9"));
    }

    #[test]
    fn only_our_names_are_answered() {
        let names = Names {
            hosts: ["localhost", "pi", "pi.local", "192.168.1.5", "fd00::5", "::1"].map(String::from).to_vec(),
            ..Names::default()
        };
        let check = |host: &str, expected: bool| assert_eq!(names.host_allowed(host), expected, "{host:?}");
        for ours in ["localhost", "LOCALHOST:18789", "pi.", "pi.local.:80", "pi:", "192.168.1.5", "192.168.1.5:1"] {
            check(ours, true);
        }
        for ours in ["[::1]", "[::1]:18789", "[fd00::5]:1", "[FD00:0::5]", "[::ffff:192.168.1.5]:80"] {
            check(ours, true);
        }
        for other in ["evil.example", "localhost.evil.example", "pi..", "", ".", ":80", "::1", "fd00::5", "[::1"] {
            check(other, false);
        }
        for other in ["[::1]x", "[::1]:x", "pi:x", "pi:99999", "pi:80:80", "user@pi", "pi/", " pi", "192.168.1.6"] {
            check(other, false);
        }
        for other in ["127.0.0.1", "[::2]", "[192.168.1.5]", "0", "192.168.1.5.evil", "pi local", "pi,pi"] {
            check(other, false);
        }
    }

    #[test]
    fn only_listed_origins_are_served() {
        let listed = ["https://ui.example", "http://pi:8080", "https://[fd00::5]:8443", "https://slash.example/"];
        let mut names = Names { origins: listed.map(String::from).to_vec(), ..Names::default() };
        let check = |names: &Names, origin: &str, host: Option<&str>, expected: bool| {
            assert_eq!(names.origin_allowed(origin, host), expected, "{origin:?} to {host:?}");
        };
        for good in ["https://ui.example", "HTTPS://UI.Example", "https://ui.example:443", "http://pi:8080"] {
            check(&names, good, Some("x"), true);
        }
        for good in ["https://[FD00::5]:8443", "https://slash.example"] {
            check(&names, good, None, true);
        }
        for bad in ["null", "", "https://ui.example.evil", "http://ui.example", "https://ui.example:444", "http://pi"] {
            check(&names, bad, Some("x"), false);
        }
        for bad in ["https://ui.example/", "https://u@ui.example", "https://ui.example https://b", "ui.example", "*"] {
            check(&names, bad, Some("x"), false);
        }
        // The same host is not enough (tp-origin-same-host), unless the operator said so.
        check(&names, "http://127.0.0.1:19122", Some("127.0.0.1:19122"), false);
        names.host_origin_fallback = true;
        check(&names, "http://127.0.0.1:19122", Some("127.0.0.1:19122"), true);
        check(&names, "http://127.0.0.1:19122", Some("127.0.0.1:1"), false);
        check(&names, "http://other:19122", Some("127.0.0.1:19122"), false);
        check(&names, "http://PI", Some("pi.:80"), true);
        check(&names, "https://pi", Some("pi"), true);
        check(&names, "https://pi", Some("pi:80"), false);
        check(&names, "http://pi", None, false);
        check(&names, "null", Some("null"), false);
        let any = Names { origins: vec!["*".into()], ..Names::default() };
        check(&any, "https://anything.example", None, true);
        check(&any, "null", None, false);
    }
}
