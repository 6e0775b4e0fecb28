//! The two tools, against a tailscaled that is none.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::tool::fixture::{Scratch, call, details};
use crate::tool::tailscaled::{self, FakeTailscaled, Manner, person, tagged};

/// A device whose tailscaled is a fake.
fn device(test: &str) -> (Scratch, FakeTailscaled, Host) {
    let scratch = Scratch::new(test);
    scratch.write("var/run/tailscale/x", b"");
    let host = scratch.host();
    let fake = FakeTailscaled::start(host.tailscaled().parent().expect("a directory"));
    (scratch, fake, host)
}

/// What a tool found out. The fake has a second like the real one, which a machine under load does not always give it.
fn asked(host: &Host, tool: &str, args: &Value) -> Value {
    let ask = || serde_json::from_str(&details(call(host, tool, &args.to_string()))).expect("JSON");
    let late = |found: &Value| found["error"] == "tailscaled does not say: no answer in time";
    (0..5).map(|_| ask()).find(|found| !late(found)).expect("an answer in time")
}

#[test]
fn there_while_there_is_a_socket() {
    let (scratch, fake, host) = device("tailscale-present");
    assert_eq!(present(&host), Ok(()));
    *host.local_api.borrow_mut() = PathBuf::from("/run/else.sock");
    assert_eq!(present(&host), Err("tailscaled has no socket at /run/else.sock".into()));
    scratch.write("run/else.sock", b"no socket");
    assert!(present(&host).is_err());
    let got = asked(&host, "tailscale_whois", &json!({"addr": "100.64.0.2"}));
    assert_eq!(got, json!({"status": "error", "error": "tailscaled does not run: nobody listens at its socket"}));
    drop(fake);
}

#[test]
fn status_says_how_this_device_is() {
    let (_scratch, fake, host) = device("tailscale-status");
    let peer = |name: &str| {
        format!(
            "\"k{name}\":{{\"DNSName\":\"{name}.example.ts.net.\",\"TailscaleIPs\":[\"fd7a::2\"],\"Online\":true,\"OS\":\"linux\"}}"
        )
    };
    let peers = ["\"Peer\":{", &peer("b"), ",", &peer("a"), "},"].concat();
    let health = "\"Health\":[\"no DNS\"],";
    let status = |more: &str| tailscaled::status("pi", &["100.64.0.1"], &[health, more].concat());
    fake.tells(&status(""), &status(&peers));
    let mut expected = json!({"backend_state": "Running", "tun": true, "ips": ["100.64.0.1"], "dns_name": "pi.example.ts.net",
        "key_expiry": null, "health": ["no DNS"], "version": "1.92.3-ta17f36b9b-ga4dc88aac"});
    assert_eq!(asked(&host, "tailscale_status", &json!({})), expected);
    assert_eq!(asked(&host, "tailscale_status", &json!({"peers": false})), expected);
    let row = |name: &str| json!({"name": name, "ips": ["fd7a::2"], "online": true, "os": "linux"});
    expected["peers"] = json!([row("a.example.ts.net"), row("b.example.ts.net")]);
    assert_eq!(asked(&host, "tailscale_status", &json!({"peers": true})), expected);
    // As many as fit, the first by name.
    let many: Vec<String> = (0..99).map(|n| peer(&format!("n{n:02}"))).collect();
    fake.tells("", &status(&["\"Peer\":{", &many.join(","), "},"].concat()));
    host.result_bytes.set(4_000);
    let got = asked(&host, "tailscale_status", &json!({"peers": true}));
    let length = got.to_string().len();
    assert!(length <= 4_000 && length > 3_000, "{length}");
    assert_eq!((&got["truncated"], &got["peers"][0]["name"]), (&json!(true), &json!("n00.example.ts.net")));
}

#[test]
fn whois_says_whose_an_address_is() {
    let (_scratch, fake, host) = device("tailscale-whois");
    fake.knows(
        "100.64.0.2",
        Some(&person("phone", "ann@example.com", r#"{"c\"d":[{"tools":["wake_nas"]}],"e":null}"#)),
    );
    fake.knows("fd7a::3", Some(&tagged("hub", "[\"tag:home\"]", "null")));
    let expected = json!({"node": "phone.example.ts.net", "login": "ann@example.com", "tags": [],
        "cap_map": {"c\"d": ["wake_nas"], "e": []}});
    for addr in ["100.64.0.2", "100.64.0.2:22", "::ffff:100.64.0.2", "[::ffff:100.64.0.2]:22"] {
        assert_eq!(asked(&host, "tailscale_whois", &json!({"addr": addr})), expected, "{addr}");
    }
    let expected = json!({"node": "hub.example.ts.net", "login": null, "tags": ["tag:home"], "cap_map": {}});
    for addr in ["fd7a::3", "FD7A:0::3", "[fd7a::3]:22"] {
        assert_eq!(asked(&host, "tailscale_whois", &json!({"addr": addr})), expected, "{addr}");
    }
    let got = asked(&host, "tailscale_whois", &json!({"addr": "100.64.0.99"}));
    assert_eq!(got, json!({"status": "error", "error": "the address belongs to no node of the tailnet"}));
    let questions = fake.asked();
    for addr in [
        "100.64.0",
        "100.64.0.2:",
        "[fd7a::3]",
        "::1:80000:",
        "[100.64.0.2]:1",
        "1:2:3:4:5:6:7:8:9",
        "100.64.0.2]:1",
        "[fd7a::3%1]:1",
        "%",
        "fe80::1%1",
        "1.2.3.4:99999",
    ] {
        let outcome = call(&host, "tailscale_whois", &json!({"addr": addr}).to_string());
        assert_eq!(outcome, Outcome::Input("addr: must be an address, alone or with a port".into()), "{addr}");
    }
    for addr in ["", "nodekey:aa", "1.2.3.4&proto=udp", "1.2.3.4 "] {
        assert!(
            matches!(call(&host, "tailscale_whois", &json!({"addr": addr}).to_string()), Outcome::Input(_)),
            "{addr}"
        );
    }
    assert_eq!(fake.asked(), questions);
    fake.behaves(Manner::Says(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_vec()));
    let got = asked(&host, "tailscale_whois", &json!({"addr": "100.64.0.2"}));
    assert_eq!(got, json!({"status": "error", "error": "tailscaled does not say: it has no answer"}));
}

#[test]
fn an_answer_fits_whatever_the_policy_grants() {
    let (_scratch, fake, host) = device("tailscale-fit");
    let many: Vec<String> = (0..60).map(|n| format!("\"example.com/cap/{n:03}\":null")).collect();
    fake.knows("100.64.0.2", Some(&person("phone", "ann@example.com", &["{", &many.join(","), "}"].concat())));
    host.result_bytes.set(1_024);
    let got = asked(&host, "tailscale_whois", &json!({"addr": "100.64.0.2"}));
    let length = got.to_string().len();
    assert!(length <= 1_024 && length > 600 && got["truncated"] == true, "{got}");
}

#[test]
fn a_node_cannot_hide_the_others() {
    let (_scratch, fake, host) = device("tailscale-peers");
    let peers = r#""Peer": {
        "nodekey:1": {"DNSName":"nas.example.ts.net.","HostName":"NAS","OS":"linux","TailscaleIPs":["100.64.0.9"],"Online":true},
        "nodekey:2": {"DNSName":"","HostName":"odd\u0007","OS":7,"TailscaleIPs":["x"],"Online":"true"},
        "nodekey:3": {"DNSName":"a.","DNSName":"b."},
        "nodekey:4": [],
        "nodekey:5": {"DNSName":"","HostName":"shared","OS":"\u001b[2J"}
    },"#;
    let tell = |peers: &str| {
        fake.tells("", &tailscaled::status("pi", &["100.64.0.1"], peers));
        asked(&host, "tailscale_status", &json!({"peers": true}))
    };
    let row =
        |name: &str, ips: Value, online: bool, os: Value| json!({"name": name, "ips": ips, "online": online, "os": os});
    let expected = json!([
        row("", json!([]), false, Value::Null),
        row("nas.example.ts.net", json!(["100.64.0.9"]), true, json!("linux")),
        row("shared", json!([]), false, Value::Null),
    ]);
    assert_eq!(tell(peers)["peers"], expected);
    assert_eq!(tell("\"Peer\": null,")["peers"], json!([]));
    assert_eq!(tell("")["peers"], json!([]));
    for bad in ["\"Peer\": [],", "\"Peer\": 7,", "\"Peer\": {}, \"Peer\": {},"] {
        assert_eq!(tell(bad)["error"], "tailscaled does not say: the answer is not one of tailscaled", "{bad}");
    }
    // Four times as much as is read of one node.
    let large = |n: usize| {
        let peer = |n: usize| format!("\"{n}\":{{\"HostName\":\"p{n}\",\"X\":\"{}\"}}", "x".repeat(1_250));
        tell(&["\"Peer\":{", &(0..n).map(peer).collect::<Vec<_>>().join(","), "},"].concat())
    };
    assert_eq!(large(200)["peers"].as_array().map(Vec::len), Some(200));
    assert_eq!(large(210)["error"], "tailscaled does not say: the answer is longer than any should be");
}
