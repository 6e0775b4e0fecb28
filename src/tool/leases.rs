//! `dhcp_leases`: the devices that dnsmasq on this machine gave an address to, from its lease file.

use super::host::Host;
use super::object::{Object, fit};
use super::{Call, Outcome};
use crate::limits::{TOOL_FILE_BYTES, TOOL_ROWS};

/// Where dnsmasq keeps its leases: OpenWrt's place, then that of most distributions.
const FILES: [&str; 2] = ["/tmp/dhcp.leases", "/var/lib/misc/dnsmasq.leases"];

/// A time before this (in 2001) is none: dnsmasq built for devices without a clock writes how long a lease lasts, not
/// until when, and a clock that was never set says 1970.
const TIMES_FROM: i64 = 1_000_000_000;

fn file(host: &Host) -> Option<&'static str> {
    FILES.into_iter().find(|path| host.root.has(path))
}

/// Whether the operator switched it on and there is a lease file.
///
/// # Errors
/// Names the key, or the files that are missing.
pub(super) fn present(host: &Host) -> Result<(), String> {
    if !host.targets().leases {
        return Err(String::from("tools.device.dhcp_leases is not on"));
    }
    match file(host) {
        Some(_) => Ok(()),
        None => Err(["no lease file: neither ", &FILES.join(" nor "), " is there"].concat()),
    }
}

/// `dhcp_leases`.
pub(super) fn leases(host: &Host, call: &Call) -> Outcome {
    let bytes = file(host).and_then(|path| host.root.read(path, TOOL_FILE_BYTES).ok());
    let Some(bytes) = bytes else { return Outcome::soft("error", "the lease file cannot be read") };
    let text = String::from_utf8_lossy(&bytes);
    let long = bytes.len() == TOOL_FILE_BYTES;
    let now_s = call.now.wall_ms.div_euclid(1_000);
    let (mac, hostname) = (call.args.text("mac"), call.args.text("hostname"));
    let mut lines: Vec<&str> = text.lines().collect();
    if long {
        // The last line is cut.
        lines.pop();
    }
    let mut rows: Vec<String> = lines.into_iter().filter_map(|line| lease(line, now_s, mac, hostname)).collect();
    let cut = fit(&mut rows, TOOL_ROWS, host.result_bytes.get());
    Object::new().list("leases", &rows).truncated(cut || long).done()
}

/// A line: until when (0 = for ever), hardware address or the client's number (DHCPv6), address, name or `*`, client id.
/// Source: dnsmasq lease.c.
fn lease(line: &str, now_s: i64, only_mac: Option<&str>, only_name: Option<&str>) -> Option<String> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [until, mac, ip, name, ..] = words.as_slice() else { return None };
    let until: i64 = until.parse().ok()?;
    let ip: std::net::IpAddr = ip.parse().ok()?;
    // Of other link layers than Ethernet the kind stands before the address: `06-02:00:…`.
    let mac = Some(mac.rsplit('-').next().unwrap_or(mac)).filter(|mac| mac.len() == 17 && mac.contains(':'));
    let name = Some(*name).filter(|name| *name != "*");
    let other = |only: Option<&str>, own: Option<&str>| {
        only.is_some_and(|only| !own.is_some_and(|own| own.eq_ignore_ascii_case(only)))
    };
    if other(only_mac, mac) || other(only_name, name) {
        return None;
    }
    let mut row = Object::new();
    row.maybe("mac", mac).text("ip", &ip.to_string()).maybe("hostname", name);
    match until {
        0 => row.number("expires_s", 0),
        // One that ended in this very second has not "0 = never".
        TIMES_FROM.. => row.number("expires_s", Some(until.saturating_sub(now_s)).filter(|s| *s != 0).unwrap_or(-1)),
        _ => row.raw("expires_s", "null"),
    };
    Some(row.end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::fixture::{Scratch, bare, call, details, device};
    use crate::tool::targets::Targets;
    use std::rc::Rc;

    fn on(host: Host) -> Host {
        *host.targets.borrow_mut() = Rc::new(Targets { leases: true, ..Targets::default() });
        host
    }

    fn check(line: &str, expected: Option<&str>) {
        assert_eq!(lease(line, 1_700_000_000, None, None).as_deref(), expected, "{line}");
    }

    #[test]
    fn lines() {
        check(
            "1700003600 02:00:00:00:00:01 192.168.1.7 printer 01:02:00:00:00:00:01",
            Some("{\"mac\":\"02:00:00:00:00:01\",\"ip\":\"192.168.1.7\",\"hostname\":\"printer\",\"expires_s\":3600}"),
        );
        check(
            "0 06-02:00:00:00:00:01 192.168.1.7 * *",
            Some("{\"mac\":\"02:00:00:00:00:01\",\"ip\":\"192.168.1.7\",\"hostname\":null,\"expires_s\":0}"),
        );
        check(
            "1699999000 8417 fd00::7 laptop 00:01",
            Some("{\"mac\":null,\"ip\":\"fd00::7\",\"hostname\":\"laptop\",\"expires_s\":-1000}"),
        );
        let ended = "{\"mac\":null,\"ip\":\"10.0.0.1\",\"hostname\":null,\"expires_s\":-1}";
        check("1700000000 x 10.0.0.1 *", Some(ended));
        let length = "{\"mac\":null,\"ip\":\"10.0.0.1\",\"hostname\":null,\"expires_s\":null}";
        check("43200 x 10.0.0.1 *", Some(length));
        for junk in ["", "duid 00:01:00:01", "x 02:00:00:00:00:01 192.168.1.7 a b", "0 x 999.1.1.1 a b", "0 x 10.0.0.1"]
        {
            check(junk, None);
        }
    }

    #[test]
    fn it_is_there_when_it_is_on_and_dnsmasq_runs() {
        assert!(present(&device("openwrt")).unwrap_err().contains("tools.device.dhcp_leases"));
        assert!(present(&on(bare(&[]))).unwrap_err().contains("/tmp/dhcp.leases"));
        present(&on(device("openwrt"))).expect("a recorded lease file");
    }

    #[test]
    fn filters() {
        let host = on(device("openwrt"));
        let count = |args: &str| details(call(&host, "dhcp_leases", args)).matches("\"ip\"").count();
        assert_eq!(count("{}"), 4);
        assert_eq!(count("{\"mac\":\"3C:52:82:10:0A:5E\"}"), 1);
        assert_eq!(count("{\"hostname\":\"PRINTER\"}"), 1);
        assert_eq!(count("{\"hostname\":\"absent\"}"), 0);
        assert_eq!(count("{\"hostname\":\"laptop\",\"mac\":\"3c:52:82:10:0a:5e\"}"), 0);
        assert!(matches!(call(&host, "dhcp_leases", "{\"mac\":\"3c:52\"}"), Outcome::Input(_)));
    }

    #[test]
    fn a_large_file_is_read_up_to_the_cap_and_its_cut_line_is_left_out() {
        let tmp = Scratch::new("leases");
        let line = "1700003600 02:00:00:00:00:01 192.168.1.7 ä\x1b[31m\"x\" 01\n";
        tmp.write("var/lib/misc/dnsmasq.leases", line.repeat(3_000).as_bytes());
        let all = details(call(&on(tmp.host()), "dhcp_leases", "{}"));
        assert_eq!(all.matches("\"ip\"").count(), TOOL_ROWS);
        assert!(all.ends_with("],\"truncated\":true}") && all.contains("\\u001b[31m\\\"x\\\""), "{all}");
        tmp.write("var/lib/misc/dnsmasq.leases", b"");
        assert_eq!(details(call(&on(tmp.host()), "dhcp_leases", "{}")), "{\"leases\":[]}");
    }
}
