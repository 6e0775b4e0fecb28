//! `network_interfaces`: links, addresses, traffic, radio signal and the default route. The kernel is asked over a
//! routing socket where there is one; else, and on a recorded device, the same is read from files.

use std::io;
use std::net::IpAddr;

use super::host::Host;
use super::object::{Object, fit};
use super::root::Root;
use super::{Call, Later, Outcome, aside, netfiles, netlink};
use crate::limits::{TOOL_ADDRS_PER_INTERFACE, TOOL_LIST_ITEMS};

/// What either source tells.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Net {
    pub links: Vec<Link>,
    /// The interface's name and the gateway, if the route has one.
    pub route: Option<(String, Option<IpAddr>)>,
}

/// One interface.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub index: i64,
    pub name: String,
    pub up: bool,
    pub mac: Option<String>,
    pub addrs: Vec<(IpAddr, u8)>,
    pub rx_bytes: Option<u64>,
    pub tx_bytes: Option<u64>,
}

const LINKS: &str = "/sys/class/net";

/// Whether there is a source for interfaces.
///
/// # Errors
/// Names what is missing.
pub(super) fn present(host: &Host) -> Result<(), String> {
    if host.root.live() || host.root.has(LINKS) { Ok(()) } else { Err(format!("{LINKS} is not there")) }
}

/// `network_interfaces`.
pub(super) fn interfaces<'a>(host: &'a Host, call: &'a Call) -> Later<'a> {
    let (root, room) = (host.root.clone(), host.result_bytes.get());
    let only = call.args.text("name").map(String::from);
    // A driver that hangs with the kernel's network lock in its hand hangs everybody who asks.
    let work = move || {
        let (mut net, signals) = gather(&root);
        if let Some(only) = only {
            net.links.retain(|link| link.name == only);
            if net.links.is_empty() {
                return Outcome::soft("error", "name: no such interface");
            }
        }
        details(&net, &signals, room)
    };
    aside::later(&host.aside, Box::new(work))
}

/// The network as it is now and the radios' signals, or `None` when the kernel does not answer in time.
pub(super) async fn ask(host: &Host) -> Option<(Net, String)> {
    let root = host.root.clone();
    // A driver that hangs with the kernel's network lock in its hand hangs everybody who asks.
    host.aside.run(move || gather(&root)).await
}

/// Everything about the network, and what the kernel says of radios.
pub(super) fn gather(root: &Root) -> (Net, String) {
    let asked = if root.live() { netlink::read() } else { Err(io::Error::from(io::ErrorKind::Unsupported)) };
    let net = asked.unwrap_or_else(|_| netfiles::read(root));
    (net, root.text("/proc/net/wireless").unwrap_or_default())
}

fn details(net: &Net, signals: &str, room: usize) -> Outcome {
    let many = net.links.iter().any(|link| link.addrs.len() > TOOL_ADDRS_PER_INTERFACE);
    let mut interfaces: Vec<String> = net.links.iter().map(|link| interface(link, signals)).collect();
    let cut = fit(&mut interfaces, TOOL_LIST_ITEMS, room);
    let mut object = Object::new();
    object.list("interfaces", &interfaces);
    match &net.route {
        Some((name, gateway)) => {
            let gateway = gateway.map(|gateway| gateway.to_string());
            let route = Object::new().text("interface", name).maybe("gateway", gateway.as_deref()).end();
            object.raw("default_route", &route)
        }
        None => object.raw("default_route", "null"),
    };
    object.truncated(many || cut).done()
}

fn interface(link: &Link, signals: &str) -> String {
    let shown = link.addrs.iter().take(TOOL_ADDRS_PER_INTERFACE);
    let addrs: Vec<String> = shown.map(|(addr, prefix)| format!("\"{addr}/{prefix}\"")).collect();
    let mut row = Object::new();
    row.text("name", &link.name).flag("up", link.up).maybe("mac", link.mac.as_deref()).list("addrs", &addrs);
    for (key, count) in [("rx_bytes", link.rx_bytes), ("tx_bytes", link.tx_bytes)] {
        row.raw(key, &count.map_or_else(|| String::from("null"), |count| count.to_string()));
    }
    match signal(signals, &link.name) {
        Some(dbm) => row.number("signal_dbm", dbm),
        None => row.raw("signal_dbm", "null"),
    };
    row.end()
}

/// The level in dBm of the radio `name`: ` wlan0: 0000   55.  -55.  -256 …`. Old drivers count it as an unsigned byte.
/// Source: kernel net/wireless/wext-proc.c.
fn signal(text: &str, name: &str) -> Option<i64> {
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix(name)?.strip_prefix(':'))?;
    let level: i64 = line.split_whitespace().nth(2)?.trim_end_matches('.').parse().ok()?;
    match level {
        -256..=-1 => Some(level),
        64..=255 => Some(level - 256),
        _ => None,
    }
}

/// A hardware address, if `bytes` are one: tunnels have other things there, the loopback zeros.
pub(super) fn mac(bytes: &[u8]) -> Option<String> {
    let octets: [u8; 6] = bytes.try_into().ok()?;
    let hex: Vec<String> = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    if octets == [0; 6] { None } else { Some(hex.join(":")) }
}

/// Whether an interface is switched on and can carry packets. Source: RFC 2863 `ifOperStatus`; tunnels and the
/// loopback stay at "unknown", which is up.
pub(super) fn up(flags: u32, operational: bool) -> bool {
    flags & 1 == 1 && operational
}

/// Links in the order of their numbers, in which the kernel tells them as a rule.
pub(super) fn in_order(links: Vec<Link>) -> Vec<Link> {
    let mut sorted = Vec::with_capacity(links.len());
    for link in links {
        let at = sorted.partition_point(|other: &Link| other.index <= link.index);
        sorted.insert(at, link);
    }
    sorted
}

/// Room for names of interfaces that are asked by index.
pub(super) fn named(links: &[Link], index: i64) -> Option<String> {
    links.iter().find(|link| link.index == index).map(|link| link.name.clone())
}

/// Files of the root, for the callers in this family.
pub(super) fn path(name: &str, attribute: &str) -> String {
    format!("{LINKS}/{name}/{attribute}")
}

/// The names under which the kernel lists interfaces.
pub(super) fn names(root: &Root) -> Vec<String> {
    root.list(LINKS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::fixture::{Scratch, call, device};
    use std::path::PathBuf;

    fn check(level: &str, expected: Option<i64>) {
        let text =
            format!("Inter-| sta-|\n face | tus |\nwlan01: 0 1. -1. 0\n wlan0: 0000   55.  {level}  -256        0\n");
        assert_eq!(signal(&text, "wlan0"), expected, "{level}");
    }

    #[test]
    fn signals() {
        check("-55.", Some(-55));
        check("201.", Some(-55));
        check("-300.", None);
        check("0.", None);
        check("NaN", None);
        check("99999999999999999999", None);
        assert_eq!(signal("", "wlan0"), None);
    }

    #[test]
    fn this_machine_has_a_loopback_by_both_roads() {
        let live = netlink::read().expect("a routing socket");
        let files = netfiles::read(&Root::new(PathBuf::from("/")));
        for net in [&live, &files] {
            let lo = net.links.iter().find(|link| link.name == "lo").expect("lo");
            assert!(lo.up && lo.mac.is_none() && lo.index > 0, "{lo:?}");
            assert!(lo.addrs.contains(&(IpAddr::from([127, 0, 0, 1]), 8)), "{lo:?}");
        }
        let names = |net: &Net| net.links.iter().map(|link| link.name.clone()).collect::<Vec<_>>();
        assert_eq!((names(&live), live.route), (names(&files), files.route));
    }

    #[test]
    fn one_interface_by_its_name() {
        let Outcome::Done { details, .. } = call(&device("pi4"), "network_interfaces", "{\"name\":\"wlan0\"}") else {
            panic!()
        };
        assert!(details.starts_with("{\"interfaces\":[{\"name\":\"wlan0\",") && !details.contains("eth0\",\"up"));
        let absent = call(&device("pi4"), "network_interfaces", "{\"name\":\"wlan9\"}");
        assert_eq!(absent, Outcome::soft("error", "name: no such interface"));
    }

    #[test]
    fn hostile_files() {
        let tmp = Scratch::new("network");
        tmp.write("sys/class/net/bonding_masters", b"");
        tmp.write("sys/class/net/eth0/ifindex", b"99999999999999999999");
        tmp.write("sys/class/net/eth0/address", b"zz:zz");
        tmp.write("sys/class/net/eth0/flags", b"0xzz");
        tmp.write("sys/class/net/eth0/statistics/rx_bytes", b"18446744073709551615\n");
        tmp.fifo("sys/class/net/eth0/operstate");
        tmp.write("proc/net/route", b"Iface\neth0\t00000000\teth0\nx\tG\tG\tG\n");
        tmp.write("proc/net/if_inet6", b"zz 01 80 10 80 lo\nfe80 x\n");
        tmp.write("proc/net/fib_trie", b"|-- 999.1.1.1\n /32 host LOCAL\n|--\n/32 host LOCAL\n");
        let Outcome::Done { details, .. } = call(&tmp.host(), "network_interfaces", "{}") else { panic!() };
        assert_eq!(
            details,
            "{\"interfaces\":[{\"name\":\"eth0\",\"up\":false,\"mac\":null,\"addrs\":[],\"rx_bytes\":18446744073709551615,\
             \"tx_bytes\":null,\"signal_dbm\":null}],\"default_route\":null}"
        );
    }
}
