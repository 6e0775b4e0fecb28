//! What `toolgate doctor` says of the tailnet: tailscaled's state, and what it passes on.

use std::time::Duration;

use serde_json::Value;

use crate::doctor::{beside_gateway, doctor, findings, one, told, under};
use crate::rig::{Dir, Setup, TOKEN, free_port};
use crate::tailscaled::{FakeTailscaled, Manner, status};

/// What is said while a fake tailscaled answers so.
#[track_caller]
fn beside(fake: &FakeTailscaled, config: &str, status: &str) -> Value {
    fake.tells(status, "{}");
    let socket = fake.socket().to_string_lossy();
    let tailnet = format!("tailnet: {{ localApi: '{socket}', {config} }}");
    let text = format!("bind: 'tailnet', {tailnet}, auth: {{ token: \"{TOKEN}\" }}");
    let dir = under(&format!("{{ gateway: {{ port: {}, {text} }} }}", free_port()));
    in_time(|| told(&dir, &[], 0))
}

/// What is said when the fake has answered in time. It has a second like the real one, which a machine under load does not
/// always give it.
fn in_time(ask: impl Fn() -> Value) -> Value {
    (0..5).map(|_| ask()).find(|json| !json.to_string().contains("no answer in time")).expect("an answer in time")
}

#[test]
fn what_tailscaled_says() {
    let dir = Dir::new();
    let fake = FakeTailscaled::start(&dir.path("."));
    let good = status("pi", &["100.64.0.1"], "");
    let json = beside(&fake, "", &good);
    let tailscale = &json["tailscale"];
    assert_eq!((&tailscale["state"], &tailscale["tun"]), (&"Running".into(), &true.into()), "{json}");
    assert_eq!((&tailscale["name"], &tailscale["ips"][0]), (&"pi.example.ts.net".into(), &"100.64.0.1".into()));
    one(&json, "warning", "tailscale: there is no interface tailscale0 that is up");
    // The interface that has the address is not the one that is named.
    let here = status("pi", &["127.0.0.1"], "");
    let json = beside(&fake, "prefixes: ['127.0.0.0/8']", &here);
    let fixes = json["findings"].as_array().expect("findings").iter().map(|finding| finding["fix"].as_str());
    assert!(fixes.into_iter().any(|fix| fix == Some("gateway.tailnet.interface: \"lo\"")), "{json}");
    let json = beside(&fake, "prefixes: ['127.0.0.0/8'], interface: 'lo'", &here);
    assert_eq!(findings(&json, "warning"), Vec::<String>::new(), "{json}");
    let bound = json["listeners"].as_array().expect("listeners").iter().find(|listener| listener["bound"] == true);
    let bound = bound.expect("a listener on the interface");
    assert_eq!((&bound["interface"], &bound["reach"]), (&"lo".into(), &"peers of your tailnet, by lo".into()));
    for (expiry, level) in [("2020-05-30T18:04:51Z", "warning"), ("2200-05-30T18:04:51Z", "note")] {
        let json = beside(&fake, "", &good.replace("\"OS\":", &format!("\"KeyExpiry\": \"{expiry}\", \"OS\":")));
        one(&json, level, &format!("its key expires at {expiry}"));
        assert_eq!(json["tailscale"]["key_expiry"], expiry, "{json}");
    }
    one(&beside(&fake, "", &status("pi", &["10.7.0.1"], "")), "warning", "outside gateway.tailnet.prefixes");
    one(&beside(&fake, "", &good.replace("Running", "NeedsLogin")), "warning", "it is not connected: NeedsLogin");
    let json = beside(&fake, "", &good.replace("\"TUN\": true", "\"TUN\": false"));
    one(&json, "warning", "userspace networking");
    assert!(
        json["listeners"][0]["reach"].as_str().is_some_and(|words| words.ends_with("every peer of your tailnet")),
        "{json}"
    );
    let sick = status("pi", &["100.64.0.1"], "\"Health\":[\"the key \\u001b[2J expires\"],");
    let json = beside(&fake, "", &sick);
    assert!(
        findings(&json, "warning")
            .iter()
            .any(|text| text.contains("it complains: the key") && !text.contains('\u{1b}'))
    );
}

#[test]
fn what_tailscaled_passes_on_to_the_gateway() {
    let dir = Dir::new();
    let fake = FakeTailscaled::start(&dir.path("."));
    let socket = fake.socket().to_string_lossy().into_owned();
    let (secret, free) = (format!("token: \"{TOKEN}\""), "mode: 'none'");
    // What is said while tailscaled passes on what `serve` says, with PORT for the gateway's; and whether that is good.
    let told = |serve: &str, auth: &str, more: &str, good: bool| {
        let port = free_port();
        let tailnet = format!("tailnet: {{ localApi: '{socket}', {more} }}");
        let dir = under(&format!("{{ gateway: {{ port: {port}, auth: {{ {auth} }}, {tailnet} }} }}"));
        fake.serves(&serve.replace("PORT", &port.to_string()));
        let json = in_time(|| serde_json::from_str(&doctor(&dir, &["--json"]).out).expect("JSON"));
        assert_eq!(json["ok"], good, "{json}");
        json
    };
    let of = |json: &Value| -> Vec<String> {
        let all = ["note", "warning", "critical"].into_iter().flat_map(|level| findings(json, level));
        all.filter(|text| text.starts_with("tailscale: ")).collect()
    };
    let web = |to: &str| format!("{{\"Web\":{{\"pi.ts.net:443\":{{\"Handlers\":{{\"/\":{{\"Proxy\":\"{to}\"}}}}}}}}}}");
    let tcp = |more: &str| format!("{{\"TCP\":{{\"7\":{{\"TCPForward\":\"127.0.0.1:PORT\"}}}}{more}}}");
    for served in
        ["", "null", "{}", &web("http://127.0.0.1:1"), &web("http://192.0.2.1:PORT"), &web("http://[::1]:PORT/x")]
    {
        assert_eq!(of(&told(served, &secret, "", true)), Vec::<String>::new(), "{served}");
    }
    one(&told(&tcp(""), &secret, "", true), "warning", "whoever comes by serve --tcp");
    one(&told(&tcp(""), free, "", false), "critical", "whoever comes by serve --tcp");
    let funnel = tcp(",\"AllowFunnel\":{\"pi.ts.net:7\":true}");
    one(&told(&funnel, &secret, "", false), "critical", "whoever comes by funnel --tcp");
    let funnel = web("http://localhost:PORT").replacen('{', "{\"AllowFunnel\":{\"pi.ts.net:443\":true},", 1);
    one(&told(&funnel, &secret, "", true), "warning", "refuses all that comes by funnel, so port 443");
    one(&told(&web("PORT"), free, "", false), "critical", "no secret is asked for");
    one(&told("{\"TCP\":5}", &secret, "", true), "note", "does not say what it passes on");
    let serve = "serveSocket: '/nonexistent/serve'";
    one(&told("null", &secret, serve, true), "note", "nothing is passed on to it");
    let good = told(&web("unix:/nonexistent/serve"), &secret, serve, true);
    assert_eq!(of(&good), Vec::<String>::new());
}

#[test]
fn a_gateway_that_waits_for_the_tailnet() {
    let tailnet = "tailnet: { localApi: '/nonexistent/x', interface: 'nonesuch0' }";
    let config = format!("{{ gateway: {{ bind: 'tailnet', {tailnet}, auth: {{ token: \"{TOKEN}\" }} }} }}");
    let gateway = Setup::new(&config).start();
    let json = beside_gateway(gateway.dir(), &gateway.url());
    one(&json, "warning", "listeners: not all of the tailnet is served (waiting): ");
    one(&json, "warning", "tailscale: tailscaled does not answer at /nonexistent/x");
    gateway.stop();
}

#[test]
fn tailscaled_keeps_nobody_waiting() {
    let dir = Dir::new();
    let fake = FakeTailscaled::start(&dir.path("."));
    let socket = fake.socket().to_string_lossy().into_owned();
    for manner in [
        Manner::Silent,
        Manner::Says(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_vec()),
        Manner::Says(b"\x1b[2J\n".to_vec()),
        Manner::Slow(vec![b'H'; 1_000], Duration::from_millis(50)),
        Manner::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'['; 4096]),
    ] {
        fake.behaves(manner.clone());
        let config = format!("bind: 'tailnet', tailnet: {{ localApi: '{socket}' }}, auth: {{ token: \"{TOKEN}\" }}");
        let dir = under(&format!("{{ gateway: {{ port: {}, {config} }} }}", free_port()));
        let json = told(&dir, &[], 0);
        one(&json, "warning", "tailscale: tailscaled does not answer");
        assert!(json["tailscale"]["why"].as_str().is_some_and(|why| !why.is_empty()), "{json}");
    }
}
