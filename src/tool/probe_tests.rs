//! `tcp_check`, `ping` and `dns_lookup` against servers on the loopback, and against what they must not reach.

use std::net::{TcpListener, UdpSocket};

use serde_json::Value;

use super::*;
use crate::tool::built_in;
use crate::tool::fixture::{Scratch, call};
use crate::tool::quick::quick;
use crate::tool::servers::{answer, kind_of, name_server, near, serve_at, strict};

fn done(host: &Host, tool: &str, args: &str) -> Value {
    match call(host, tool, args) {
        Outcome::Done { details, text: None } => serde_json::from_str(&details).expect("JSON"),
        other => panic!("{tool} {args}: {other:?}"),
    }
}

/// The schema without its descriptions.
fn schema(tool: &str) -> Value {
    let mut schema: Value = serde_json::from_str(&built_in(tool).expect("a tool").schema_json()).expect("JSON");
    for property in schema["properties"].as_object_mut().expect("properties").values_mut() {
        property.as_object_mut().expect("a schema").remove("description");
    }
    schema
}

#[test]
fn schemas_are_those_of_the_contract() {
    let host = r#"{"type":"string","minLength":1,"maxLength":253,"pattern":"^[A-Za-z0-9_\\[][A-Za-z0-9_.:%\\]-]*$"}"#;
    let millis = |min: u32, max: u32, default: u32| {
        format!(r#""timeout_ms":{{"type":"integer","minimum":{min},"maximum":{max},"default":{default}}}"#)
    };
    let check = |tool: &str, properties: &str, required: &str| {
        let text = [
            r#"{"type":"object","additionalProperties":false,"properties":{"#,
            properties,
            r#"},"required":["#,
            required,
            "]}",
        ];
        let expected: Value = serde_json::from_str(&text.concat()).expect("JSON");
        assert_eq!(schema(tool), expected, "{tool}");
    };
    let port = r#""port":{"type":"integer","minimum":1,"maximum":65535}"#;
    check("tcp_check", &format!(r#""host":{host},{port},{}"#, millis(50, 10_000, 2_000)), r#""host","port""#);
    let count = r#""count":{"type":"integer","minimum":1,"maximum":5,"default":1}"#;
    check("ping", &format!(r#""host":{host},{count},{}"#, millis(50, 5_000, 1_000)), r#""host""#);
    let kind = r#""type":{"type":"string","enum":["A","AAAA","CNAME","PTR","TXT","SRV","MX"],"default":"A"}"#;
    let lookup = format!(r#""name":{host},{kind},"server":{host},{}"#, millis(100, 10_000, 3_000));
    check("dns_lookup", &lookup, r#""name""#);
    let url = r#""url":{"type":"string","minLength":1,"maxLength":2048,"pattern":"^https?://"}"#;
    let method = r#""method":{"type":"string","enum":["GET","HEAD"],"default":"GET"}"#;
    let headers =
        r#""headers":{"type":"object","maxProperties":16,"additionalProperties":{"type":"string","maxLength":1024}}"#;
    let bytes = r#""max_bytes":{"type":"integer","minimum":1,"maximum":1048576,"default":65536}"#;
    let fetch = format!("{url},{method},{headers},{bytes},{}", millis(100, 30_000, 10_000));
    check("http_fetch", &fetch, r#""url""#);
}

#[test]
fn a_port_that_answers_and_one_that_does_not() {
    let scratch = Scratch::new("probe-tcp");
    let host = near(&scratch, &[]);
    let server = serve_at("127.0.0.1:0", drop);
    let got = done(&host, "tcp_check", &format!("{{\"host\":\"127.0.0.1\",\"port\":{}}}", server.port()));
    assert!(got["ok"] == true && got["error"].is_null() && got["addr"] == "127.0.0.1", "{got}");
    assert!(got["rtt_ms"].as_f64().is_some_and(|rtt| (0.0..20_000.0).contains(&rtt)), "{got}");
    let six = serve_at("[::1]:0", drop);
    let got = done(&host, "tcp_check", &format!("{{\"host\":\"[::1]\",\"port\":{}}}", six.port()));
    assert!(got["ok"] == true && got["addr"] == "::1", "{got}");
    // Nobody listens there any more.
    let closed = TcpListener::bind("127.0.0.1:0").expect("a listener").local_addr().expect("an address");
    let got = done(&host, "tcp_check", &format!("{{\"host\":\"127.0.0.1\",\"port\":{}}}", closed.port()));
    let expected = serde_json::json!({"ok": false, "error": "connection refused"});
    assert_eq!(got, expected);
}

#[test]
fn the_next_address_is_tried_when_one_refuses() {
    let server = serve_at("127.0.0.3:0", drop);
    let names = name_server(|question| {
        let addrs: &[(u16, &[u8])] = &[(dns::A, &[127, 0, 0, 2]), (dns::A, &[127, 0, 0, 3])];
        vec![answer(question, 0, if kind_of(question) == dns::A { addrs } else { &[] })]
    });
    let scratch = Scratch::new("probe-next");
    let host = near(&scratch, &[names]);
    let got = done(&host, "tcp_check", &format!("{{\"host\":\"two.example\",\"port\":{}}}", server.port()));
    assert!(got["ok"] == true && got["addr"] == "127.0.0.3", "{got}");
}

#[test]
fn a_connection_that_nobody_takes_up_ends_at_the_deadline() {
    // A listener with a full backlog drops what comes.
    let listener = rustix::net::socket(rustix::net::AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    rustix::net::bind(&listener, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("bound");
    rustix::net::listen(&listener, 0).expect("listening");
    let addr = SocketAddr::try_from(rustix::net::getsockname(&listener).expect("a name")).expect("an address");
    let _taken = std::net::TcpStream::connect(addr).expect("the one place");
    let scratch = Scratch::new("probe-slow");
    let host = near(&scratch, &[]);
    quick(Duration::from_millis(900), || {
        let got = done(
            &host,
            "tcp_check",
            &format!("{{\"host\":\"127.0.0.1\",\"port\":{},\"timeout_ms\":100}}", addr.port()),
        );
        assert_eq!(got["error"], "no answer in time");
    });
}

#[test]
fn names_that_lead_nowhere() {
    let names = name_server(|question| vec![answer(question, 3, &[])]);
    let scratch = Scratch::new("probe-names");
    let host = near(&scratch, &[names]);
    let error = |name: &str| done(&host, "tcp_check", &format!("{{\"host\":\"{name}\",\"port\":1}}"))["error"].clone();
    assert_eq!(error("nas.lan"), "no such name");
    assert!(error("nas.local").as_str().expect("a text").contains("multicast DNS"));
}

#[test]
fn what_no_caller_reaches() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    listener.set_nonblocking(true).expect("non-blocking");
    let port = listener.local_addr().expect("an address").port();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_nonblocking(true).expect("non-blocking");
    let loopback = name_server(|question| vec![answer(question, 0, &[(dns::A, &[127, 0, 0, 1])])]);
    let scratch = Scratch::new("probe-ssrf");
    let host = strict(&scratch, &[loopback]);
    for place in [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "017700000001",
        "2130706433",
        "localhost",
        "evil.example",
        "::1",
        "[::1]",
        "::ffff:127.0.0.1",
        "[::ffff:7f00:1]",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "0.0.0.0",
        "0",
        "100.100.100.100",
        "fd7a:115c:a1e0::53",
        "169.254.169.254",
        "fe80::1",
        "fe80::1%eth0",
        "224.0.0.1",
        "255.255.255.255",
        "8.8.8.8",
        "10.0.0.1",
    ] {
        for (tool, args) in [
            ("tcp_check", format!("{{\"host\":\"{place}\",\"port\":{port}}}")),
            ("ping", format!("{{\"host\":\"{place}\"}}")),
            ("dns_lookup", format!("{{\"name\":\"a.example\",\"server\":\"{place}\"}}")),
        ] {
            // An address that begins with a colon is refused by its shape, unless it stands in brackets.
            match call(&host, tool, &args) {
                Outcome::Done { details, .. } => {
                    assert!(details.starts_with(r#"{"status":"forbidden""#), "{tool} {place}: {details}")
                }
                refused => assert!(place.starts_with(':') && matches!(refused, Outcome::Input(_)), "{tool} {place}"),
            }
        }
    }
    assert!(listener.accept().is_err() && socket.recv(&mut [0]).is_err());
}

#[test]
fn own_ports_are_not_probed_at_any_own_address() {
    // As if the loopback were another interface of this device.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    listener.set_nonblocking(true).expect("non-blocking");
    let own = listener.local_addr().expect("an address");
    let scratch = Scratch::new("probe-own");
    let host = near(&scratch, &[]);
    host.own.borrow_mut().push(own);
    let args = format!("{{\"host\":\"127.0.0.1\",\"port\":{}}}", own.port());
    assert_eq!(done(&host, "tcp_check", &args)["error"], "the gateway's own ports are never reached");
    assert!(listener.accept().is_err());
    host.own.borrow_mut().clear();
    assert_eq!(done(&host, "tcp_check", &args)["ok"], true);
}

#[test]
fn names_are_looked_up_by_type() {
    let names = name_server(|question| {
        vec![match kind_of(question) {
            dns::A => answer(question, 0, &[(5, b"\x03box\xc0\x10"), (dns::A, &[10, 0, 0, 5])]),
            15 => answer(question, 0, &[(15, b"\0\x0a\x04mail\xc0\x0c")]),
            16 => answer(question, 0, &vec![(16, &[&[200; 1][..], &[b'"'; 200]].concat()[..]); 20]),
            12 => answer(question, 0, &[(12, b"\x03nas\x03lan\0")]),
            33 => answer(question, 5, &[]),
            _ => answer(question, 3, &[]),
        }]
    });
    let scratch = Scratch::new("probe-dns");
    scratch.write("etc/hosts", b"10.0.0.9 here here.local\nfd00::9 here\n");
    let host = near(&scratch, &[names]);
    let look = |args: &str| done(&host, "dns_lookup", &format!("{{{args}}}"));
    let got = look(r#""name":"nas.lan""#);
    let rows = serde_json::json!([
        {"name": "nas.lan", "type": "CNAME", "ttl_s": 60, "value": "box.lan"},
        {"name": "nas.lan", "type": "A", "ttl_s": 60, "value": "10.0.0.5"},
    ]);
    assert_eq!((&got["answers"], &got["rcode"], &got["server"]), (&rows, &"NOERROR".into(), &"127.0.0.1".into()));
    assert!(got["elapsed_ms"].as_f64().is_some() && got["truncated"] == false);
    assert_eq!(look(r#""name":"nas.lan","type":"MX""#)["answers"][0]["value"], "10 mail.nas.lan");
    assert_eq!(look(r#""name":"192.168.1.5","type":"PTR""#)["answers"][0]["name"], "5.1.168.192.in-addr.arpa");
    assert_eq!(look(r#""name":"[fd00::5]","type":"PTR""#)["answers"][0]["value"], "nas.lan");
    assert_eq!(look(r#""name":"_x._tcp.lan","type":"SRV""#)["rcode"], "REFUSED");
    assert_eq!(look(r#""name":"nas.lan","type":"AAAA""#)["rcode"], "NXDOMAIN");
    assert_eq!(look(r#""name":"192.168.1.5""#)["error"], "name: an address has no records but PTR");
    assert!(look(r#""name":"nas.local""#)["error"].as_str().is_some_and(|error| error.contains("multicast")));
    let got = look(r#""name":"here","type":"AAAA""#);
    assert_eq!((&got["answers"][0]["value"], &got["server"]), (&"fd00::9".into(), &"hosts".into()));
    assert_eq!(got["answers"].as_array().map(Vec::len), Some(1));
    assert_eq!(look(r#""name":"localhost""#)["answers"][0]["value"], "127.0.0.1");
    host.result_bytes.set(2_000);
    let Outcome::Done { details, .. } = call(&host, "dns_lookup", r#"{"name":"nas.lan","type":"TXT"}"#) else {
        panic!()
    };
    assert!(details.len() <= 2_000 && details.contains("\"truncated\":true"), "{details}");
}

#[test]
fn silence_is_said_in_time() {
    let scratch = Scratch::new("probe-silent");
    let host = near(&scratch, &[name_server(|_| Vec::new())]);
    quick(Duration::from_millis(900), || {
        let got = done(&host, "dns_lookup", r#"{"name":"nas.lan","timeout_ms":150}"#);
        assert_eq!((&got["status"], &got["error"]), (&"error".into(), &"no name server answered in time".into()));
    });
}

#[test]
fn echoes_where_the_kernel_permits_them() {
    let scratch = Scratch::new("probe-ping");
    let host = near(&scratch, &[]);
    if let Err(why) = may_ping(&host) {
        assert!(why.contains("net.ipv4.ping_group_range"), "{why}");
        let got = done(&host, "ping", r#"{"host":"127.0.0.1"}"#);
        assert_eq!((&got["received"], &got["error"]), (&0.into(), &"this device does not permit it".into()));
        return;
    }
    for (name, place) in [("127.0.0.1", "127.0.0.1"), ("[::1]", "::1")] {
        let got = done(&host, "ping", &format!("{{\"host\":\"{name}\",\"count\":3}}"));
        assert_eq!((&got["sent"], &got["received"], &got["addr"]), (&3.into(), &3.into(), &place.into()), "{got}");
        assert_eq!(got["rtt_ms"].as_array().map(Vec::len), Some(3));
    }
}
