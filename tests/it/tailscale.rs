//! The tools that ask tailscaled, called over HTTP while a fake one answers.

use std::fs;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Answer, call};
use crate::rig::{CONFIG, Dir, Gateway, SOON, Setup, program, run, until};
use crate::tailscaled::{FakeTailscaled, Manner, person, status, tagged};

fn ask(gateway: &Gateway, tool: &str, args: Value) -> Answer {
    gateway.peer().ask(&call(&json!({"tool": tool, "args": args}).to_string()))
}

const LATE: &str = "tailscaled does not say: no answer in time";

/// What a tool found out. The fake has a second like the real one, which a machine under load does not always give it.
fn told(gateway: &Gateway, tool: &str, args: Value) -> Value {
    let ask = |_| {
        let answer = ask(gateway, tool, args.clone());
        assert_eq!(answer.status, 200, "{}; log:\n{}", answer.text(), gateway.tail());
        answer.json()["result"]["details"].clone()
    };
    (0..5).map(ask).find(|found| found["error"] != LATE).expect("an answer in time")
}

/// A gateway whose tailscaled is a fake.
fn start() -> (Gateway, FakeTailscaled) {
    let dir = Dir::new();
    let place = dir.path("root/var/run/tailscale");
    fs::create_dir_all(&place).expect("a directory");
    let fake = FakeTailscaled::start(&place);
    let root = dir.path("root").to_string_lossy().into_owned();
    (Setup::new(CONFIG).dir(dir).arg("--sysroot").arg(root).start(), fake)
}

#[test]
fn both_tools_answer() {
    let (gateway, fake) = start();
    let got = told(&gateway, "tailscale_status", json!({}));
    assert_eq!((&got["backend_state"], &got["tun"]), (&json!("Running"), &json!(true)));
    assert_eq!((&got["dns_name"], &got["ips"]), (&json!("pi.example.ts.net"), &json!(["100.64.0.1"])));
    assert_eq!((got.get("peers"), &got["health"]), (None, &json!([])));
    let nodes: Vec<String> =
        (0..50).map(|n| format!("\"k{n}\":{{\"DNSName\":\"n{n:02}.\",\"Online\":true}}")).collect();
    let peers = status("pi", &["100.64.0.1"], &["\"Peer\":{", &nodes.join(","), "},"].concat());
    fake.tells(&status("pi", &["100.64.0.1"], "\"Health\":[\"not well\"],"), &peers);
    assert_eq!(told(&gateway, "tailscale_status", json!({}))["health"], json!(["not well"]));
    let got = told(&gateway, "tailscale_status", json!({"peers": true}));
    assert_eq!((got["peers"].as_array().map(Vec::len), &got["peers"][7]["name"]), (Some(50), &json!("n07")));
    fake.knows(
        "100.64.0.2",
        Some(&person("phone", "ann@example.com", r#"{"example.com/cap/x":[{"tools":["ping"]}]}"#)),
    );
    fake.knows("127.0.0.1:4711", Some(&tagged("hub", r#"["tag:home"]"#, "null")));
    let got = told(&gateway, "tailscale_whois", json!({"addr": "100.64.0.2"}));
    let person = json!({"node": "phone.example.ts.net", "login": "ann@example.com", "tags": [],
        "cap_map": {"example.com/cap/x": ["ping"]}});
    assert_eq!(got, person);
    let got = told(&gateway, "tailscale_whois", json!({"addr": "127.0.0.1:4711"}));
    assert_eq!(got, json!({"node": "hub.example.ts.net", "login": null, "tags": ["tag:home"], "cap_map": {}}));
    let got = told(&gateway, "tailscale_whois", json!({"addr": "127.0.0.1"}));
    assert_eq!(got["error"], "the address belongs to no node of the tailnet");
    for args in [json!({}), json!({"addr": "pi"}), json!({"addr": "100.64"}), json!({"addr": "::1", "peers": true})] {
        assert_eq!(ask(&gateway, "tailscale_whois", args.clone()).status, 400, "{args}");
    }
    let host = "\r\nHost: local-tailscaled.sock\r\n";
    assert!(fake.heads().iter().all(|head| head.contains(host)), "{:?}", fake.heads());
    assert!(fake.asked() >= 6);
    gateway.stop();
}

#[test]
fn a_tailscaled_that_does_not_answer_holds_up_nobody() {
    let (gateway, fake) = start();
    // The gateway itself asks once where its callers may come from; then it knows.
    told(&gateway, "time_status", json!({}));
    fake.behaves(Manner::Silent);
    // On a machine under load a call may take as long as tailscaled is waited for; not each time.
    let beside = (1..6).any(|_| {
        let before = fake.asked();
        let mut waiting = gateway.peer();
        waiting.send(&call(&json!({"tool": "tailscale_status"}).to_string())).expect("sent");
        until(SOON, || (fake.asked() > before).then_some(())).expect("a question");
        let asked = Instant::now();
        told(&gateway, "time_status", json!({}));
        let meanwhile = asked.elapsed();
        let late = waiting.answer().json()["result"]["details"].clone();
        assert_eq!(late["error"], LATE);
        meanwhile < asked.elapsed() / 2
    });
    assert!(beside, "a call waits for another one's tailscaled");
    for (manner, error) in [
        (Manner::Says(b"HTTP/1.1 403 Forbidden\r\n\r\n".to_vec()), "it refuses the question"),
        (Manner::Slow(b"HTTP/1.1 500 No\r\n\r\n".to_vec(), Duration::from_millis(2)), "it has no answer"),
        (Manner::Says(b"HTTP/1.1 200 OK\r\n\r\n{}".to_vec()), "the answer is not one of tailscaled"),
        (
            Manner::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'{'; 999]),
            "the answer is longer than any should be",
        ),
    ] {
        fake.behaves(manner);
        let got = told(&gateway, "tailscale_whois", json!({"addr": "100.64.0.2"}));
        assert_eq!(got["error"], ["tailscaled does not say: ", error].concat());
    }
    let socket = fake.socket().to_owned();
    drop(fake);
    // A tailscaled that is killed leaves its socket behind.
    drop(UnixListener::bind(&socket).expect("a listener"));
    let got = told(&gateway, "tailscale_status", json!({}));
    assert_eq!(got["error"], "tailscaled does not run: nobody listens at its socket");
    fs::remove_file(&socket).expect("removed");
    assert_eq!(ask(&gateway, "tailscale_status", json!({})).status, 404);
    gateway.stop();
}

#[test]
fn without_a_socket_the_tools_are_not_there() {
    let dir = Dir::new();
    let root = dir.path("root").to_string_lossy().into_owned();
    let finished = run(program(&dir, &["--sysroot", &root, "tools", "--all"]));
    let why = "tailscaled has no socket at /var/run/tailscale/tailscaled.sock";
    assert_eq!(finished.out.matches(why).count(), 2, "{}", finished.text());
}
