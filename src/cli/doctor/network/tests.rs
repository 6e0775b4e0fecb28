//! Listeners and interfaces → who can reach them, in words.

use super::*;
use crate::api::socket::json::Json;

fn wires() -> Vec<Interface> {
    let wire = |name: &str, addrs: &[&str]| {
        let addrs = addrs.iter().map(|ip| ip.parse().unwrap()).collect();
        Interface { name: name.into(), index: 1, addrs }
    };
    vec![
        wire("lo", &["127.0.0.1", "::1"]),
        wire("eth0", &["192.168.1.7", "2001:db8::7"]),
        wire("tailscale0", &["100.64.0.1", "fd7a:115c:a1e0::1"]),
        wire("wg0", &["10.7.0.1"]),
    ]
}

fn listener(address: &str, device: Option<&str>) -> Listener {
    Listener { address: address.into(), device: device.unwrap_or_default().into(), tailnet: false }
}

#[test]
fn who_reaches_a_listener() {
    let config = Config::default();
    let check = |address: &str, device: Option<&str>, interface: &str, words: &str, open: Open| {
        let (listener, wires) = (listener(address, device), wires());
        let got = reach(&listener, &wires, &config.gateway.tailnet, true);
        assert_eq!(got, (interface, words.into(), open), "{address} {device:?}");
    };
    check("127.0.0.1:1", None, "lo", "programs on this device", Open::Meant);
    check("127.9.9.9:1", None, "lo", "programs on this device", Open::Meant);
    check("[::1]:1", None, "lo", "programs on this device", Open::Meant);
    let peers = "peers of your tailnet, by tailscale0";
    check("100.64.0.1:1", Some("tailscale0"), "tailscale0", peers, Open::Meant);
    let weak = "peers of your tailnet, and whoever on another network routes this address to the device";
    check("100.64.0.1:1", None, "tailscale0", weak, Open::Weak);
    check("[fd7a:115c:a1e0::1]:1", None, "tailscale0", weak, Open::Weak);
    let lan = "everybody on the network of eth0, and whoever routes to it";
    check("192.168.1.7:1", None, "eth0", lan, Open::Network);
    check("[2001:db8::7]:1", None, "eth0", lan, Open::Network);
    let all = "everybody who reaches this device, on any of its networks";
    check("0.0.0.0:1", None, "*", all, Open::World);
    check("[::]:1", None, "*", all, Open::World);
    // An interface without a carrier has its address all the same.
    let dark = "no interface that is up has this address, but Linux answers whoever asks for it on any other";
    check("192.168.9.9:1", None, "", dark, Open::Network);
    check("100.64.9.9:1", None, "", weak, Open::Weak);
    check("unix:/run/x", None, "", "tailscaled, for what tailscale serve passes on", Open::Meant);
    // An address outside the known blocks is the tailnet's where its interface has it.
    let tailnet = Tailnet { interface: "wg0".into(), ..config.gateway.tailnet.clone() };
    assert_eq!(reach(&listener("10.7.0.1:1", None), &wires(), &tailnet, true).2, Open::Weak);
    // Without an interface of its own, tailscaled speaks for its peers from the loopback.
    let words = reach(&listener("127.0.0.1:1", None), &wires(), &tailnet, false).1;
    assert!(words.ends_with("every peer of your tailnet"), "{words}");
}

#[test]
fn what_would_be_opened() {
    let check = |text: &str, expected: &[&str]| {
        let config = crate::config::read(text, &|_| None).config;
        let shown =
            |Listener { address, device, .. }| if device.is_empty() { address } else { address + "%" + &device };
        let got: Vec<String> = planned(config.gateway.bind, &config, &wires()).into_iter().map(shown).collect();
        assert_eq!(got, expected, "{text}");
    };
    check("{}", &["127.0.0.1:18789", "[::1]:18789"]);
    check("{gateway: {bind: 'lan', port: 5}}", &["0.0.0.0:5"]);
    check("{gateway: {bind: 'custom', customBindHost: '192.168.1.7'}}", &["192.168.1.7:18789"]);
    let both = ["127.0.0.1:5", "[::1]:5", "100.64.0.1:5%tailscale0", "[fd7a:115c:a1e0::1]:5%tailscale0"];
    check("{gateway: {bind: 'tailnet', port: 5}}", &both);
    check("{gateway: {bind: 'tailnet', port: 5, tailnet: {interface: 'ts0'}}}", &both[..2]);
    check("{gateway: {bind: 'tailnet', port: 5, tailnet: {interface: 'wg0'}}}", &both[..2]);
    let wireguard = "{gateway: {bind: 'tailnet', port: 5, tailnet: {interface: 'wg0', prefixes: ['10.7.0.0/16']}}}";
    check(wireguard, &["127.0.0.1:5", "[::1]:5", "10.7.0.1:5%wg0"]);
}

#[test]
fn what_a_gateway_says_of_its_listeners() {
    let check = |text: &str, expected: &[(&str, Option<&str>)]| {
        let mut got = told(serde_json::from_str(text).unwrap()).0;
        for told in &mut got {
            assert_eq!(std::mem::take(&mut told.tailnet), told.address.starts_with("100."), "{text}");
        }
        let expected: Vec<Listener> = expected.iter().map(|(address, device)| listener(address, *device)).collect();
        assert_eq!(got, expected, "{text}");
    };
    check("{}", &[]);
    check("[]", &[]);
    check(r#"{"listeners":["127.0.0.1:1"]}"#, &[("127.0.0.1:1", None)]);
    let both = r#"{"listeners":["127.0.0.1:1","100.64.0.1:1"],
        "tailnet":{"listeners":[{"address":"100.64.0.1:1","interface":"ts0"}]}}"#;
    check(both, &[("127.0.0.1:1", None), ("100.64.0.1:1", Some("ts0"))]);
    let strange = r#"{"listeners":[5,null,"x\ny"],"tailnet":{"listeners":[{"address":5},7,{"interface":"ts0"}]}}"#;
    check(strange, &[("x\ny", None)]);
    // The kernel does not let every gateway bind to an interface.
    let unbound = r#"{"tailnet":{"listeners":[{"address":"100.64.0.1:1","interface":""}]}}"#;
    check(unbound, &[("100.64.0.1:1", None)]);
    check(r#"{"listeners":{"a":1},"tailnet":[]}"#, &[]);
}

fn complaints(text: &str, bound: bool, tailscale: Result<crate::tool::localapi::Status, Missing>) -> Vec<String> {
    let config = crate::config::read(text, &|_| None).config;
    let mut chart = Chart { entries: Vec::new(), json: Json::default() };
    let seen = Outlook { wires: Some(wires()), tailscale, forwards: Err(Missing::Absent) };
    super::tailscale(&mut chart, &seen, &config, bound);
    serde_json::from_str::<serde_json::Value>(&["{", &chart.json.done(), "}"].concat()).expect("JSON");
    chart
        .entries
        .into_iter()
        .filter(|entry| entry.level > Level::Ok)
        .map(|finding| format!("{}: {} ({})", finding.level.word(), finding.message, finding.fix))
        .collect()
}

#[test]
fn what_is_wrong_with_tailscale() {
    let status = |backend: &str, tun, ip: &str, health: &[&str]| {
        Ok(crate::tool::localapi::Status {
            backend: backend.into(),
            tun,
            ips: vec![ip.parse().unwrap()],
            dns_name: Some("pi.example.ts.net".into()),
            key_expiry: None,
            health: health.iter().map(|text| (*text).into()).collect(),
            version: "1.94.1".into(),
        })
    };
    let check = |text: &str, bound, tailscale, expected: &[&str]| {
        let got = complaints(text, bound, tailscale);
        assert_eq!(got.len(), expected.len(), "{got:#?}");
        for (got, expected) in got.iter().zip(expected) {
            assert!(got.contains(expected), "{got}\nlacks {expected}");
        }
    };
    let good = || status("Running", true, "100.64.0.1", &[]);
    check("{}", true, good(), &[]);
    check("{}", false, Err(Missing::Absent), &[]);
    check("{}", true, Err(Missing::Absent), &["warning: tailscaled does not answer"]);
    check("{}", true, Err(Missing::Failed("it refuses the question")), &["warning: tailscaled does not answer"]);
    let serve = "{gateway: {tailnet: {serveSocket: '/run/x'}}}";
    check(serve, false, Err(Missing::Absent), &["warning: tailscaled does not answer"]);
    check("{}", true, status("NeedsLogin", true, "100.64.0.1", &[]), &["NeedsLogin (tailscale up)"]);
    check(
        "{}",
        false,
        status("Stopped", true, "100.64.0.1", &[]),
        &["note: it is not connected: Stopped (tailscale up)"],
    );
    check("{}", false, status("Running", false, "100.64.0.1", &[]), &["userspace networking"]);
    check(
        "{}",
        true,
        status("Running", true, "10.7.0.1", &[]),
        &["(name your tailnet's blocks in gateway.tailnet.prefixes"],
    );
    let named = "{gateway: {tailnet: {prefixes: ['10.7.0.0/16'], interface: 'ts0'}}}";
    check(
        named,
        true,
        status("Running", true, "10.7.0.1", &[]),
        &["no interface ts0 that is up (gateway.tailnet.interface: \"wg0\")"],
    );
    check("{}", true, status("Running", true, "100.64.0.1", &["expires soon"]), &["it complains: expires soon"]);
}
