//! `network_neighbors`: who was heard of on the local networks. The kernel's tables for IPv4 and IPv6 are read over a
//! routing socket; where there is none, and on a recorded device, /proc/net/arp tells of IPv4.

use std::cmp::Ordering;
use std::net::IpAddr;

use super::host::Host;
use super::object::{Object, fit, insert};
use super::root::Root;
use super::{Call, Later, Outcome, aside, netlink};
use crate::limits::TOOL_ROWS;

/// One entry of the kernel's tables. Sorted by interface, then address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Neighbor {
    pub ip: IpAddr,
    pub mac: Option<String>,
    pub interface: String,
    pub state: &'static str,
}

impl Ord for Neighbor {
    fn cmp(&self, other: &Neighbor) -> Ordering {
        self.interface.cmp(&other.interface).then(self.ip.cmp(&other.ip))
    }
}

impl PartialOrd for Neighbor {
    fn partial_cmp(&self, other: &Neighbor) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What was found so far: the first [`TOOL_ROWS`] on the interface that was asked for.
pub(super) struct Found<'a> {
    only: Option<&'a str>,
    sorted: Vec<Neighbor>,
    cut: bool,
}

impl Found<'_> {
    /// Takes one more into account.
    pub fn add(&mut self, neighbor: Neighbor) {
        if self.only.is_none_or(|only| neighbor.interface == only) {
            self.cut |= insert(&mut self.sorted, neighbor, TOOL_ROWS);
        }
    }
}

const ARP: &str = "/proc/net/arp";

/// Whether there is a source for neighbours.
///
/// # Errors
/// Names what is missing.
pub(super) fn present(host: &Host) -> Result<(), String> {
    if host.root.live() || host.root.has(ARP) { Ok(()) } else { Err([ARP, " is not there"].concat()) }
}

/// `network_neighbors`.
pub(super) fn neighbors<'a>(host: &'a Host, call: &'a Call) -> Later<'a> {
    let root = host.root.clone();
    let only = call.args.text("interface").map(String::from);
    let room = host.result_bytes.get();
    aside::later(&host.aside, Box::new(move || gather(&root, only.as_deref(), room)))
}

fn gather(root: &Root, only: Option<&str>, room: usize) -> Outcome {
    let mut found = Found { only, sorted: Vec::new(), cut: false };
    if !root.live() || netlink::neighbors(&mut found).is_err() {
        found.sorted.clear();
        root.text(ARP).unwrap_or_default().lines().filter_map(arp).for_each(|neighbor| found.add(neighbor));
    }
    let mut rows: Vec<String> = found.sorted.iter().map(row).collect();
    let cut = fit(&mut rows, TOOL_ROWS, room) || found.cut;
    Object::new().list("neighbors", &rows).truncated(cut).done()
}

fn row(neighbor: &Neighbor) -> String {
    let mut row = Object::new();
    row.text("ip", &neighbor.ip.to_string()).maybe("mac", neighbor.mac.as_deref());
    row.text("interface", &neighbor.interface).text("state", neighbor.state).end()
}

/// /proc/net/arp: address, hardware type, flags, hardware address, mask, device. Source: kernel net/ipv4/arp.c.
fn arp(line: &str) -> Option<Neighbor> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [ip, _, flags, mac, _, interface] = words.as_slice() else { return None };
    let flags = u32::from_str_radix(flags.strip_prefix("0x")?, 16).ok()?;
    // ATF_COM, ATF_PERM: how long ago the other end was heard this file does not say.
    let state = match (flags & 2 != 0, flags & 4 != 0) {
        (_, true) => "permanent",
        (true, false) => "complete",
        (false, false) => "incomplete",
    };
    let known = flags & 2 != 0 && mac.len() == 17;
    Some(Neighbor {
        ip: ip.parse().ok()?,
        mac: Some(mac.to_ascii_lowercase()).filter(|_| known),
        interface: (*interface).to_owned(),
        state,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::fixture::{Scratch, bare, call, details};
    use std::path::PathBuf;

    #[test]
    fn hostile_files() {
        let tmp = Scratch::new("neighbors");
        tmp.write(
            "proc/net/arp",
            b"IP address       HW type     Flags       HW address            Mask     Device\n\
              192.168.1.9 0x1 0x0 00:00:00:00:00:00 * eth0\n192.168.1.10 0x1 0x6 02:00:00:00:00:AA * eth0\n\
              192.168.1.300 0x1 0x2 02:00:00:00:00:01 * eth0\n192.168.1.4 0x1 2 02:00:00:00:00:01 * eth0\n\
              192.168.1.5 0x1 0xzz x * eth0\nshort\n10.0.0.1 0x1 0x2 x * wlan0\n\xff\xfe",
        );
        let expected = "{\"neighbors\":[\
            {\"ip\":\"192.168.1.9\",\"mac\":null,\"interface\":\"eth0\",\"state\":\"incomplete\"},\
            {\"ip\":\"192.168.1.10\",\"mac\":\"02:00:00:00:00:aa\",\"interface\":\"eth0\",\"state\":\"permanent\"},\
            {\"ip\":\"10.0.0.1\",\"mac\":null,\"interface\":\"wlan0\",\"state\":\"complete\"}]}";
        assert_eq!(details(call(&tmp.host(), "network_neighbors", "{}")), expected);
        let only = details(call(&tmp.host(), "network_neighbors", "{\"interface\":\"wlan0\"}"));
        assert!(only.contains("10.0.0.1") && !only.contains("192.168"), "{only}");
        let none = details(call(&tmp.host(), "network_neighbors", "{\"interface\":\"tun9\"}"));
        assert_eq!(none, "{\"neighbors\":[]}");
    }

    #[test]
    fn a_table_of_thousands_is_cut() {
        let tmp = Scratch::new("neighbors-many");
        let line = |n: u32| format!("10.0.{}.{} 0x1 0x2 02:00:00:00:00:01 * eth0\n", n >> 8, n & 255);
        tmp.write("proc/net/arp", (0..900).map(line).collect::<String>().as_bytes());
        let all = details(call(&tmp.host(), "network_neighbors", "{}"));
        assert_eq!(all.matches("\"ip\"").count(), TOOL_ROWS);
        assert!(all.ends_with("],\"truncated\":true}"));
    }

    #[test]
    fn this_kernel_is_asked_over_a_socket() {
        let mut found = Found { only: None, sorted: Vec::new(), cut: false };
        netlink::neighbors(&mut found).expect("a routing socket");
        assert!(details(gather(&Root::new(PathBuf::from("/")), Some("lo"), 9_999)).starts_with("{\"neighbors\":["));
        assert!(present(&bare(&[])).unwrap_err().contains(ARP));
    }
}
