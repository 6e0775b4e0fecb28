//! What callers may make the gateway reach: nothing of this machine, in whatever spelling, and nothing that only the
//! machine can reach.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::client::{Answer, call};
use crate::rig::{CONFIG, Gateway, Setup};

fn ask(gateway: &Gateway, tool: &str, args: Value) -> Answer {
    gateway.peer().ask(&call(&json!({"tool": tool, "args": args}).to_string()))
}

/// Spellings of places that no caller may have reached. Source: edge.md §3 and §5, issue 5.
const NEVER: [&str; 34] = [
    "127.0.0.1",
    "127.1.2.3",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "0.0.0.0",
    "[::]",
    "127.1",
    "0x7f.1",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "127.0.0.1.",
    "169.254.169.254",
    "[fe80::1]",
    "[fe80::1%lo]",
    "[::ffff:169.254.169.254]",
    "100.100.100.100",
    "[fd7a:115c:a1e0::53]",
    "[::ffff:100.100.100.100]",
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "[ff02::1]",
    "8.8.8.8",
    "[2001:4860:4860::8888]",
];

#[test]
fn callers_reach_nothing_of_this_machine() {
    let listener = TcpListener::bind("0.0.0.0:0").expect("a listener");
    listener.set_nonblocking(true).expect("a listener that does not wait");
    let port = listener.local_addr().expect("an address").port();
    let fetch = "tools: { device: { http_fetch: { hosts: [\"localhost\", \"127.0.0.1\", \"example.org\"] } } }";
    let config = CONFIG.trim_end().trim_end_matches('}').to_owned() + ", " + fetch + " }";
    let gateway = Setup::new(&config).start();
    for host in NEVER {
        let answer = ask(&gateway, "tcp_check", json!({"host": host, "port": port, "timeout_ms": 500}));
        let details = &answer.json()["result"]["details"];
        let no = answer.status == 400 || details["status"] == "forbidden";
        assert!(no, "{host}: {}; log:\n{}", answer.text(), gateway.tail());
        let server = ask(&gateway, "dns_lookup", json!({"name": "a.example", "server": host, "timeout_ms": 500}));
        let details = &server.json()["result"]["details"];
        assert!(server.status == 400 || details["status"] == "forbidden", "{host}: {}", server.text());
        let url = format!("http://{host}:{port}/");
        let fetched = ask(&gateway, "http_fetch", json!({"url": url, "timeout_ms": 500}));
        let details = &fetched.json()["result"]["details"];
        let no = fetched.status == 400 || ["forbidden", "error"].iter().any(|word| details["status"] == *word);
        assert!(no, "{url}: {}", fetched.text());
    }
    assert!(listener.accept().is_err(), "somebody was reached");
    // The gateway's own port neither, by whatever address of this machine.
    for address in ["127.0.0.1", "[::1]"] {
        let answer = ask(&gateway, "tcp_check", json!({"host": address, "port": gateway.addr().port()}));
        assert_eq!(answer.json()["result"]["details"]["status"], "forbidden", "{}", answer.text());
    }
    for host in ["-oProxyCommand=x", "a b", "a\nb", "", "http://127.0.0.1", "a/b", "a@b"] {
        assert_eq!(ask(&gateway, "tcp_check", json!({"host": host, "port": 1})).status, 400, "{host:?}");
    }
    gateway.stop();
}
