//! Which addresses a call may reach. Pure: hosts as they were written, addresses as they were resolved, rules as data.
//!
//! A name is nothing to hold on to, because whoever owns it decides what it resolves to, and when. So every rule is
//! about the address that is then connected to, and an address that carries another one inside is judged by both.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::gate::peer::Net;

/// A host: what was written, read in the one way there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// An address, never IPv4-mapped.
    Addr(IpAddr),
    /// A DNS name, lower-case, without trailing dot.
    Name(String),
}

const NUMERIC: &str = "the host ends in a number but is no IPv4 address of four decimal parts";
const NO_HOST: &str = "the host is neither an address nor a DNS name";
const ZONED: &str = "an address with a zone is link-local, and those are never reached";

impl Place {
    /// Reads four decimal parts, RFC 4291 (brackets allowed) or a DNS name, and nothing that another program could take
    /// for an address: `127.1`, `0x7f.1` and `2130706433` are refused, not looked up.
    ///
    /// # Errors
    /// The rule it breaks, in words for the caller. Source: WHATWG URL, "ends in a number".
    pub(super) fn read(text: &str) -> Result<Place, &'static str> {
        let (inner, bracketed) = match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inner) => (inner, true),
            None => (text, false),
        };
        if inner.contains('%') {
            return Err(ZONED);
        }
        if let Ok(v6) = inner.parse::<Ipv6Addr>() {
            return Ok(Place::Addr(IpAddr::V6(v6).to_canonical()));
        }
        if bracketed {
            return Err(NO_HOST);
        }
        if let Ok(v4) = inner.parse::<Ipv4Addr>() {
            return Ok(Place::Addr(IpAddr::V4(v4)));
        }
        let name = inner.strip_suffix('.').unwrap_or(inner);
        let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(letter);
        if name.len() > 253 || !name.split('.').all(label) {
            return Err(NO_HOST);
        }
        if name.rsplit('.').next().is_some_and(numeric) {
            return Err(NUMERIC);
        }
        Ok(Place::Name(name.to_ascii_lowercase()))
    }
}

/// Whether a last label would make a URL parser see an IPv4 address.
fn numeric(label: &str) -> bool {
    let hexadecimal = label.strip_prefix("0x").or(label.strip_prefix("0X"));
    label.bytes().all(|b| b.is_ascii_digit())
        || hexadecimal.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

const UNSPECIFIED: &str = "unspecified addresses are never reached";
const MULTICAST: &str = "multicast addresses are never reached";
const BROADCAST: &str = "broadcast addresses are never reached";

/// Why no caller may have `addr` reached, whatever the configuration allows.
pub(super) fn forbidden(addr: IpAddr) -> Option<&'static str> {
    Some(match addr {
        IpAddr::V4(v4) => match v4.octets() {
            [0, ..] => UNSPECIFIED,
            [100, 100, 100, 100] => "the tailnet's service address is never reached",
            [127, ..] => "loopback addresses are never reached",
            [169, 254, ..] => "link-local addresses are never reached",
            [224..=239, ..] => MULTICAST,
            [255, 255, 255, 255] => BROADCAST,
            [240..=255, ..] => "reserved addresses are never reached",
            _ => return None,
        },
        IpAddr::V6(v6) => match v6.segments() {
            [0, 0, 0, 0, 0, 0, 0, 0] => UNSPECIFIED,
            [0, 0, 0, 0, 0, 0, 0, 1] => "loopback addresses are never reached",
            [0xfd7a, 0x115c, 0xa1e0, 0, 0, 0, 0, 0x53] => "the tailnet's service address is never reached",
            [0xfe80..=0xfebf, ..] => "link-local addresses are never reached",
            [0xff00..=0xffff, ..] => MULTICAST,
            // Teredo and a network's own translation carry IPv4 addresses in ways that are theirs.
            [0x2001, 0, ..] | [0x64, 0xff9b, 1, ..] => "translated addresses are never reached",
            _ => return None,
        },
    })
}

/// The IPv4 address that `addr` carries: mapped, compatible, translated (RFC 2765), NAT64 (RFC 6052) or 6to4 (RFC 3056).
fn carried(addr: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(v6) = addr else { return None };
    let (high, low) = match v6.segments() {
        // Without the smallest ones: `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0, high @ 1..=0xffff, low]
        | [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => (high, low),
        _ => return None,
    };
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Some(IpAddr::from([a, b, c, d]))
}

/// Whether `addr` belongs to somebody's own network and not to the internet.
fn private(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(v4) => {
            v4.is_private() || matches!(v4.octets(), [100, 64..=127, ..] | [192, 0, 0, _] | [198, 18..=19, ..])
        }
        IpAddr::V6(v6) => matches!(v6.segments(), [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..]),
    }
}

/// Whether `addr` is in the ranges that tailnets use.
fn tailnet(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(v4) => matches!(v4.octets(), [100, 64..=127, ..]),
        IpAddr::V6(v6) => matches!(v6.segments(), [0xfd7a, 0x115c, 0xa1e0, ..]),
    }
}

/// Who chose the host of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// The caller, freely.
    Caller,
    /// The caller, from the operator's list.
    Listed,
    /// The operator, in the configuration.
    Operator,
}

/// The rules of one call.
#[derive(Debug)]
pub(super) struct Border {
    pub who: Who,
    /// What no caller may have reached: [`forbidden`], except in tests whose servers stand where no caller may go.
    pub forbidden: fn(IpAddr) -> Option<&'static str>,
    /// Networks the operator allows.
    pub allow: Vec<Net>,
    /// Own addresses, each with the prefix of the network it is on.
    pub links: Vec<Net>,
    /// Where the gateway itself listens.
    pub own: Vec<SocketAddr>,
}

impl Border {
    /// Whether a call may reach `port` at `addr`. `literal`: the host was written as an address, not as a name.
    ///
    /// # Errors
    /// The rule it breaks, in words for the caller. Source: edge.md §3, target policy.
    pub(super) fn judge(&self, addr: IpAddr, port: u16, literal: bool) -> Result<(), &'static str> {
        for addr in [Some(addr.to_canonical()), carried(addr)].into_iter().flatten() {
            match (self.forbidden)(addr) {
                Some(rule @ (BROADCAST | MULTICAST | UNSPECIFIED)) => return Err(rule),
                Some(rule) if self.who != Who::Operator => return Err(rule),
                _ => {}
            }
            if self.who == Who::Operator {
                continue;
            }
            if self.links.iter().any(|link| broadcast(link, addr)) {
                return Err(BROADCAST);
            }
            let mine = self.links.iter().any(|link| link.addr == addr) || self.own.iter().any(|own| own.ip() == addr);
            if mine && self.own.iter().any(|own| own.port() == port) {
                return Err("the gateway's own ports are never reached");
            }
            let listed = self.who == Who::Listed && (literal || !private(addr));
            if !listed && !tailnet(addr) && !self.allow.iter().chain(&self.links).any(|net| net.contains(addr)) {
                return Err(
                    "the address is neither on a network of this device, nor in the tailnet, nor in tools.device.net.allow",
                );
            }
        }
        Ok(())
    }
}

/// Whether `addr` is the first or the last address of the network that `link` is on; both mean all of it.
fn broadcast(link: &Net, addr: IpAddr) -> bool {
    let (IpAddr::V4(v4), 1..=30) = (addr, link.prefix) else { return false };
    let hosts = u32::MAX.checked_shr(link.prefix.into()).unwrap_or_default();
    link.contains(addr) && (v4.to_bits() & hosts == 0 || v4.to_bits() & hosts == hosts)
}

/// Whether `hosts` (`name`: any port; `name:port`) list `place` at `port`.
pub(super) fn listed(hosts: &[String], place: &Place, port: u16) -> bool {
    hosts.iter().any(|host| match Place::read(host) {
        Ok(known) => known == *place,
        Err(_) => host.rsplit_once(':').is_some_and(|(host, digits)| {
            digits.parse() == Ok(port) && Place::read(host).is_ok_and(|known| known == *place)
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn border(who: Who) -> Border {
        let nets = |texts: &[&str]| texts.iter().map(|text| Net::parse(text).unwrap()).collect();
        let link = |addr: &str, prefix| Net { addr: ip(addr), prefix };
        Border {
            who,
            forbidden,
            allow: nets(&["10.9.0.0/16", "2001:db8:9::/48", "127.0.0.0/8", "::/0", "169.254.0.0/16"]),
            links: vec![link("192.168.1.5", 24), link("127.0.0.1", 8), link("::1", 128), link("100.64.0.2", 32)],
            own: vec!["0.0.0.0:18789".parse().unwrap(), "100.64.0.9:81".parse().unwrap()],
        }
    }

    fn check(who: Who, addr: &str, port: u16, expected: &str) {
        let got = border(who).judge(ip(addr), port, false);
        match got {
            Ok(()) => assert_eq!("", expected, "{who:?} {addr} {port}"),
            Err(rule) => assert!(!expected.is_empty() && rule.contains(expected), "{who:?} {addr} {port}: {rule}"),
        }
    }

    #[test]
    fn hosts_are_read_in_one_way() {
        let check = |text: &str, expected: Result<&str, &'static str>| {
            let got = Place::read(text).map(|place| match place {
                Place::Addr(addr) => addr.to_string(),
                Place::Name(name) => format!("name {name}"),
            });
            assert_eq!(got, expected.map(String::from), "{text:?}");
        };
        check("192.168.1.5", Ok("192.168.1.5"));
        check("[fd00::5]", Ok("fd00::5"));
        check("FD00::5", Ok("fd00::5"));
        check("::ffff:127.0.0.1", Ok("127.0.0.1"));
        check("[::ffff:7f00:1]", Ok("127.0.0.1"));
        check("NAS", Ok("name nas"));
        check("a.b-c._tcp.Example.", Ok("name a.b-c._tcp.example"));
        check("1.2.3.example", Ok("name 1.2.3.example"));
        check("0xg", Ok("name 0xg"));
        for spelling in ["127.1", "0x7f.1", "0x7f000001", "0x7F.0x1", "017700000001", "2130706433", "0177.0.0.1"] {
            check(spelling, Err(NUMERIC));
        }
        for spelling in ["127.0.0.1.", "1.2.3.4.5", "a.0", "a.0x", "256.1.1.1", "1.2.3.04", "0"] {
            check(spelling, Err(NUMERIC));
        }
        for bad in ["", ".", "a..b", "a b", "é", "a/b", "a:1", "[a]", "[1.2.3.4]", "[::1", "::1]", "a.[::1]", "*"] {
            check(bad, Err(NO_HOST));
        }
        for bad in [&"a".repeat(64), &"a.".repeat(128), "1::2::3", "::1.2.3"] {
            check(bad, Err(NO_HOST));
        }
        check("fe80::1%eth0", Err(ZONED));
        check("[fe80::1%25eth0]", Err(ZONED));
    }

    #[test]
    fn some_addresses_no_caller_reaches() {
        for (addr, rule) in [
            ("127.0.0.1", "loopback"),
            ("127.255.255.254", "loopback"),
            ("::1", "loopback"),
            ("::ffff:127.0.0.1", "loopback"),
            ("::127.0.0.1", "loopback"),
            ("::ffff:0:7f00:1", "loopback"),
            ("64:ff9b::7f00:1", "loopback"),
            ("2002:7f00:1::", "loopback"),
            ("2002:7f00:1:2:3:4:5:6", "loopback"),
            ("0.0.0.0", "unspecified"),
            ("0.1.2.3", "unspecified"),
            ("::", "unspecified"),
            ("::ffff:0.0.0.0", "unspecified"),
            ("64:ff9b::", "unspecified"),
            ("169.254.169.254", "link-local"),
            ("::ffff:169.254.169.254", "link-local"),
            ("64:ff9b::a9fe:a9fe", "link-local"),
            ("fe80::1", "link-local"),
            ("febf::1", "link-local"),
            ("224.0.0.1", "multicast"),
            ("239.255.255.255", "multicast"),
            ("ff02::1", "multicast"),
            ("::ffff:224.0.0.1", "multicast"),
            ("255.255.255.255", "broadcast"),
            ("192.168.1.255", "broadcast"),
            ("192.168.1.0", "broadcast"),
            ("::ffff:192.168.1.255", "broadcast"),
            ("240.0.0.1", "reserved"),
            ("255.255.255.254", "reserved"),
            ("100.100.100.100", "service"),
            ("64:ff9b::6464:6464", "service"),
            ("fd7a:115c:a1e0::53", "service"),
            ("2001:0:1:2::3", "translated"),
            ("64:ff9b:1::1", "translated"),
        ] {
            check(Who::Caller, addr, 80, rule);
            check(Who::Listed, addr, 80, rule);
            assert!(border(Who::Listed).judge(ip(addr), 80, true).is_err(), "{addr} written as an address");
        }
    }

    #[test]
    fn a_caller_reaches_what_is_near() {
        for near in ["192.168.1.77", "::ffff:192.168.1.77", "100.64.0.1", "100.127.255.254", "10.9.1.1"] {
            check(Who::Caller, near, 80, "");
        }
        for near in ["fd7a:115c:a1e0::1", "fd7a:115c:a1e0:ab12::53", "2001:db8:9::1", "64:ff9b::10.9.1.1"] {
            check(Who::Caller, near, 80, "");
        }
        for far in ["192.168.2.1", "8.8.8.8", "::ffff:8.8.8.8", "100.128.0.1", "10.8.0.1", "64:ff9b::8.8.8.8"] {
            check(Who::Caller, far, 80, "neither");
        }
        check(Who::Caller, "2002:808:808::1", 80, "neither");
        let mut strict = border(Who::Caller);
        strict.allow.clear();
        for far in ["2001:db8:9::1", "64:ff9b::c0a8:14d", "2002:c0a8:14d::1", "fd00::1"] {
            assert!(strict.judge(ip(far), 80, true).is_err(), "{far}");
        }
    }

    #[test]
    fn own_ports_are_denied_at_every_own_address() {
        for own in ["192.168.1.5", "100.64.0.2", "100.64.0.9", "::ffff:192.168.1.5", "64:ff9b::192.168.1.5"] {
            check(Who::Caller, own, 18789, "own ports");
            check(Who::Listed, own, 18789, "own ports");
            check(Who::Listed, own, 81, "own ports");
            check(Who::Caller, own, 22, "");
        }
        check(Who::Caller, "192.168.1.6", 18789, "");
    }

    #[test]
    fn a_listed_host_may_be_public_and_an_operators_anywhere() {
        check(Who::Listed, "8.8.8.8", 80, "");
        check(Who::Listed, "64:ff9b::8.8.8.8", 80, "");
        check(Who::Listed, "2001:db8::1", 80, "");
        check(Who::Listed, "192.168.2.1", 80, "neither");
        assert!(border(Who::Listed).judge(ip("192.168.2.1"), 80, true).is_ok());
        for fine in ["127.0.0.1", "::1", "192.168.2.1", "8.8.8.8", "fe80::1", "169.254.1.1", "192.168.1.5"] {
            check(Who::Operator, fine, 18789, "");
        }
        for (astray, rule) in [("0.0.0.0", "unspecified"), ("::", "unspecified"), ("ff02::1", "multicast")] {
            check(Who::Operator, astray, 80, rule);
        }
        for (astray, rule) in [("::ffff:224.0.0.1", "multicast"), ("255.255.255.255", "broadcast")] {
            check(Who::Operator, astray, 80, rule);
        }
    }

    #[test]
    fn the_list_is_exact() {
        let hosts = ["nas.lan", "Printer:631", "[fd00::5]:80", "10.0.0.1", "fd00::6"].map(String::from);
        let check = |host: &str, port: u16, expected: bool| {
            assert_eq!(listed(&hosts, &Place::read(host).unwrap(), port), expected, "{host} {port}");
        };
        check("nas.lan", 80, true);
        check("NAS.lan.", 8080, true);
        check("printer", 631, true);
        check("printer", 80, false);
        check("fd00::5", 80, true);
        check("fd00::5", 81, false);
        check("[fd00:0::6]", 81, true);
        check("10.0.0.1", 1, true);
        check("::ffff:10.0.0.1", 1, true);
        check("10.0.0.10", 1, false);
        check("evil.nas.lan", 80, false);
        check("lan", 80, false);
    }
}
