//! The network from files: /sys/class/net and /proc/net → what a routing socket would have said, as far as they know.
//!
//! What they do not know: an IPv4 address without a subnet of its own (a tunnel's /32) belongs to no interface in any
//! file, so it is left out. And of a routing table longer than a read only the head is seen.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::network::{Link, Net, in_order, mac, names, path, up};
use super::root::Root;

/// Everything about the network of `root`.
pub(super) fn read(root: &Root) -> Net {
    let routes = routes(&root.text("/proc/net/route").unwrap_or_default());
    let v4 = local(&root.text("/proc/net/fib_trie").unwrap_or_default());
    let v6 = root.text("/proc/net/if_inet6").unwrap_or_default();
    let mut links: Vec<Link> = names(root).into_iter().filter_map(|name| link(root, name)).collect();
    for link in &mut links {
        let own = v4
            .iter()
            .filter_map(|addr| owner(*addr, &routes).filter(|(name, _)| *name == link.name).map(|(_, p)| (*addr, p)));
        link.addrs.extend(own.map(|(addr, prefix)| (IpAddr::V4(addr), prefix)));
        link.addrs.extend(v6.lines().filter_map(|line| inet6(line, &link.name)));
    }
    let route = default4(&routes).or_else(|| default6(&root.text("/proc/net/ipv6_route").unwrap_or_default()));
    Net { links: in_order(links), route }
}

/// One directory of /sys/class/net; other things there (bonding_masters) have no address file. Source: sysfs-class-net.
fn link(root: &Root, name: String) -> Option<Link> {
    let value = |attribute: &str| root.value(&path(&name, attribute));
    let counter = |attribute: &str| value(attribute)?.parse().ok();
    if !root.has(&path(&name, "ifindex")) {
        return None;
    }
    let flags = value("flags").and_then(|text| u32::from_str_radix(text.trim_start_matches("0x"), 16).ok());
    let operational = matches!(value("operstate").as_deref(), Some("up" | "unknown"));
    let octets =
        |text: String| text.split(':').map(|part| u8::from_str_radix(part, 16).ok()).collect::<Option<Vec<u8>>>();
    Some(Link {
        index: root.number(&path(&name, "ifindex")).unwrap_or(i64::MAX),
        up: up(flags.unwrap_or(0), operational),
        mac: value("address").and_then(octets).and_then(|octets| mac(&octets)),
        addrs: Vec::new(),
        rx_bytes: counter("statistics/rx_bytes"),
        tx_bytes: counter("statistics/tx_bytes"),
        name,
    })
}

struct Route {
    name: String,
    to: u32,
    gateway: u32,
    metric: u32,
    mask: u32,
}

/// /proc/net/route: name, destination, gateway, flags, …, metric, mask; addresses are the machine's words in
/// hexadecimal.
fn routes(text: &str) -> Vec<Route> {
    let word = |text: &str| Some(u32::from_be_bytes(u32::from_str_radix(text, 16).ok()?.to_ne_bytes()));
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, to, gateway, flags, _, _, metric, mask, ..] = words.as_slice() else { return None };
        let route_is_up = u32::from_str_radix(flags, 16).ok()? & 1 == 1;
        let route = Route {
            name: (*name).to_owned(),
            to: word(to)?,
            gateway: word(gateway)?,
            metric: metric.parse().ok()?,
            mask: word(mask)?,
        };
        if route_is_up { Some(route) } else { None }
    };
    text.lines().filter_map(line).collect()
}

/// The addresses of this device in /proc/net/fib_trie: a leaf `|-- 192.168.1.5` followed by `/32 host LOCAL`.
fn local(text: &str) -> Vec<Ipv4Addr> {
    let mut leaf = None;
    let mut found: Vec<Ipv4Addr> = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("|-- ") {
            leaf = rest.parse().ok();
        } else if line.starts_with("/32 host LOCAL") {
            // Both tables of the file hold each of them.
            found.extend(leaf.filter(|addr| !found.contains(addr)));
        }
    }
    found
}

/// The interface whose subnet `addr` is in, by the longest mask, and the prefix length.
fn owner(addr: Ipv4Addr, routes: &[Route]) -> Option<(&str, u8)> {
    if addr.is_loopback() {
        return Some(("lo", 8));
    }
    let inside = |route: &&Route| route.mask != 0 && route.gateway == 0 && u32::from(addr) & route.mask == route.to;
    let route = routes.iter().filter(inside).max_by_key(|route| route.mask)?;
    Some((&route.name, u8::try_from(route.mask.count_ones()).unwrap_or(32)))
}

fn default4(routes: &[Route]) -> Option<(String, Option<IpAddr>)> {
    let route = routes.iter().filter(|route| route.mask == 0 && route.to == 0).min_by_key(|route| route.metric)?;
    let gateway = IpAddr::V4(Ipv4Addr::from(route.gateway));
    Some((route.name.clone(), Some(gateway).filter(|_| route.gateway != 0)))
}

/// /proc/net/if_inet6: address, index, prefix length, scope, flags, name.
fn inet6(line: &str, name: &str) -> Option<(IpAddr, u8)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [addr, _, prefix, _, _, of] = words.as_slice() else { return None };
    if *of != name {
        return None;
    }
    Some((ip6(addr)?, u8::from_str_radix(prefix, 16).ok()?))
}

/// /proc/net/ipv6_route: destination, its length, source, its length, next hop, metric, …, flags, name.
fn default6(text: &str) -> Option<(String, Option<IpAddr>)> {
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "00", _, "00", hop, metric, _, _, flags, name] = words.as_slice() else { return None };
        // RTF_UP, and not RTF_REJECT, which every kernel has as its last default.
        let usable = u32::from_str_radix(flags, 16).ok()? & 0x201 == 1;
        let metric = u32::from_str_radix(metric, 16).ok()?;
        let hop = ip6(hop).filter(|hop| !hop.is_unspecified());
        if usable && *name != "lo" { Some((metric, (*name).to_owned(), hop)) } else { None }
    };
    let mut best: Option<(u32, String, Option<IpAddr>)> = None;
    for found in text.lines().filter_map(line) {
        if best.as_ref().is_none_or(|best| found.0 < best.0) {
            best = Some(found);
        }
    }
    best.map(|(_, name, hop)| (name, hop))
}

fn ip6(text: &str) -> Option<IpAddr> {
    let bits = Some(text).filter(|text| text.len() == 32).and_then(|text| u128::from_str_radix(text, 16).ok())?;
    Some(IpAddr::V6(Ipv6Addr::from(bits)))
}
