//! `http_fetch` and the client under it, against servers that behave, that do not, and that are somewhere else.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::tool::Outcome;
use crate::tool::dns;
use crate::tool::fixture::{Scratch, call};
use crate::tool::quick::quick;
use crate::tool::servers::{answer, head, kind_of, list, name_server, near, serve, serve_at, strict};

/// What `http_fetch` with those arguments answers on `host`.
fn fetched(host: &Host, args: &str) -> Value {
    match call(host, "http_fetch", args) {
        Outcome::Done { details, text: None } => serde_json::from_str(&details).expect("JSON"),
        other => panic!("{other:?}"),
    }
}

/// What it answers to a GET of `/` at a server on the loopback.
fn got(test: &str, server: SocketAddr) -> Value {
    let scratch = Scratch::new(test);
    let host = near(&scratch, &[]);
    list(&host, &["127.0.0.1"]);
    fetched(&host, &format!("{{\"url\":\"http://{server}/\",\"timeout_ms\":2000}}"))
}

/// What it answers when the server sends `bytes` and closes.
fn read(test: &str, bytes: &[u8]) -> Value {
    let bytes = bytes.to_vec();
    got(test, serve(move |_| bytes.clone()))
}

fn check_error(test: &str, bytes: &[u8], error: &str) {
    let got = read(test, bytes);
    assert_eq!((got["status"].as_str(), got["error"].as_str()), (Some("error"), Some(error)), "{test}");
}

#[test]
fn every_framing() {
    let ok = "HTTP/1.1 200 OK\r\n";
    for (test, rest) in [
        ("length", "Content-Length: 5\r\n\r\nhello"),
        ("length-and-more", "Content-Length: 5\r\n\r\nhelloHTTP/1.1 500 No\r\n\r\n"),
        ("chunked", "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nT: u\r\n\r\n"),
        ("close", "\r\nhello"),
    ] {
        let got = read(&format!("fetch-{test}"), [ok, rest].concat().as_bytes());
        assert_eq!((got["status"].as_u64(), got["body"].as_str()), (Some(200), Some("hello")), "{test}");
        let (total, truncated) = (got["total_bytes"].as_u64(), got["truncated"].as_bool());
        assert_eq!((total, truncated, &got["remote_ip"]), (Some(5), Some(false), &Value::from("127.0.0.1")), "{test}");
    }
    let interim =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nX: y\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n";
    let got = read("fetch-interim", interim.as_bytes());
    assert_eq!((got["status"].as_u64(), got["body"].as_str()), (Some(404), Some("")));
}

#[test]
fn broken_answers_are_said_to_be_so() {
    let long = ["HTTP/1.1 200 OK\r\nX: ", &"y".repeat(20_000), "\r\n\r\n"].concat();
    check_error("fetch-long-head", long.as_bytes(), "the head of the answer is too large");
    let early = "the server ended the connection before its answer was complete";
    check_error("fetch-early", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", early);
    check_error("fetch-nothing", b"", early);
    check_error("fetch-no-http", b"SSH-2.0-dropbear\r\n", "the answer is no valid HTTP/1.1");
    check_error("fetch-lf", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "the answer is no valid HTTP/1.1");
    let both = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    check_error("fetch-both", both, "the answer is no valid HTTP/1.1");
    let gzip = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08";
    check_error("fetch-gzip", gzip, "the answer is compressed, though that was ruled out");
    let coded = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
    check_error("fetch-coded", coded, "the answer has a transfer coding that was ruled out");
}

#[test]
fn an_endless_body_costs_its_cap() {
    for (test, start, piece) in [
        ("fetch-endless", "HTTP/1.1 200 OK\r\n\r\n", "x".repeat(1_000)),
        ("fetch-endless-chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n".repeat(100)),
    ] {
        let server = serve_at("127.0.0.1:0", move |mut stream| {
            head(&mut stream);
            let _ = stream.write_all(start.as_bytes());
            while stream.write_all(piece.as_bytes()).is_ok() {}
        });
        let scratch = Scratch::new(test);
        let host = near(&scratch, &[]);
        list(&host, &["127.0.0.1"]);
        let got = fetched(&host, &format!("{{\"url\":\"http://{server}/\",\"max_bytes\":1000}}"));
        assert_eq!((got["body"].as_str(), got["truncated"].as_bool()), (Some(&*"x".repeat(1_000)), Some(true)));
        assert!(got.get("total_bytes").is_none());
        // What is asked for is bounded by what a result holds.
        host.result_bytes.set(2_000);
        let Outcome::Done { details, .. } = call(&host, "http_fetch", &format!("{{\"url\":\"http://{server}/\"}}"))
        else {
            panic!()
        };
        assert!(details.len() <= 2_000 && details.len() > 1_500, "{}", details.len());
    }
}

#[test]
fn a_result_fits_whatever_was_answered() {
    let check = |test: &str, field: &str, body: &[u8], encoding: &str| {
        let bytes = [format!("HTTP/1.1 200 OK\r\nX: {field}\r\n\r\n").as_bytes(), body].concat();
        let server = serve(move |_| bytes.clone());
        let scratch = Scratch::new(test);
        let host = near(&scratch, &[]);
        list(&host, &["127.0.0.1"]);
        host.result_bytes.set(4_000);
        let args = format!("{{\"url\":\"http://{server}/\",\"max_bytes\":1048576}}");
        let Outcome::Done { details, .. } = call(&host, "http_fetch", &args) else { panic!() };
        assert!(details.len() <= 4_000, "{test}: {}", details.len());
        let got: Value = serde_json::from_str(&details).expect("JSON");
        assert_eq!((got["encoding"].as_str(), got["truncated"].as_bool()), (Some(encoding), Some(true)), "{test}");
    };
    check("fetch-controls", "y", &[1; 9_000], "utf8");
    check("fetch-quotes", "y", &[b'"'; 9_000], "utf8");
    check("fetch-binary", "y", &[0xff; 9_000], "base64");
    check("fetch-umlauts", "y", "\u{e4}".repeat(9_000).as_bytes(), "utf8");
    check("fetch-fields", &"\"".repeat(8_000), b"hello", "utf8");
}

#[test]
fn a_trickle_ends_at_the_deadline() {
    for (test, start) in [("fetch-slow-head", "HTTP/1.1 200 OK\r\nX: "), ("fetch-slow-body", "HTTP/1.1 200 OK\r\n\r\n")]
    {
        let server = serve_at("127.0.0.1:0", move |mut stream| {
            head(&mut stream);
            let _ = stream.write_all(start.as_bytes());
            while stream.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let scratch = Scratch::new(test);
        let host = near(&scratch, &[]);
        list(&host, &["127.0.0.1"]);
        quick(Duration::from_millis(1_000), || {
            let got = fetched(&host, &format!("{{\"url\":\"http://{server}/\",\"timeout_ms\":200}}"));
            assert_eq!(got["error"].as_str(), Some("no answer in time"));
        });
    }
}

#[test]
fn what_is_sent() {
    let server = serve(|request| format!("HTTP/1.1 200 OK\r\n\r\n{request}").into_bytes());
    let scratch = Scratch::new("fetch-sent");
    let host = near(&scratch, &[]);
    list(&host, &["localhost"]);
    let port = server.port();
    let url = format!("http://LocalHost:{port}/a?b=%20#c");
    let got = fetched(&host, &format!("{{\"url\":\"{url}\",\"headers\":{{\"X-Y\":\"z\",\"Accept\":\"a/b\"}}}}"));
    let expected = format!(
        "GET /a?b=%20 HTTP/1.1\r\nHost: LocalHost:{port}\r\nConnection: close\r\nAccept-Encoding: identity\r\n\
         X-Y: z\r\nAccept: a/b\r\nUser-Agent: toolgate\r\n\r\n"
    );
    assert_eq!(got["body"].as_str(), Some(&*expected));
    for bad in [
        "{\"Host\":\"x\"}",
        "{\"X\":\"a\\r\\nY: b\"}",
        "{\"X\\n\":\"a\"}",
        "{\"X\":\"\\u0000\"}",
        "{\"content-length\":\"9\"}",
    ] {
        let said = call(&host, "http_fetch", &format!("{{\"url\":\"{url}\",\"headers\":{bad}}}"));
        assert_eq!(said, Outcome::Input(String::from("the path or a header cannot be sent as it is")), "{bad}");
    }
}

#[test]
fn a_head_is_read_without_body() {
    let server = serve(|request| {
        assert!(request.starts_with("HEAD "));
        b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\n".to_vec()
    });
    let scratch = Scratch::new("fetch-head");
    let host = near(&scratch, &[]);
    list(&host, &[&server.to_string()]);
    let got = fetched(&host, &format!("{{\"url\":\"http://{server}/\",\"method\":\"HEAD\"}}"));
    assert_eq!((got["total_bytes"].as_u64(), got["body"].as_str()), (Some(12_345), Some("")));
    assert_eq!(got["headers"]["set-cookie"].as_str(), Some("a, b"));
}

#[test]
fn redirects_are_followed_at_home_three_times() {
    let hits = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&hits);
    let server = serve(move |request| {
        count.fetch_add(1, Ordering::SeqCst);
        let to = match request.split(' ').nth(1) {
            Some("/once") => "/end",
            Some("/loop") => "/loop",
            Some("/away") => "http://127.0.0.2/",
            Some("/port") => "http://127.0.0.1:1/",
            Some("/secure") => "https://127.0.0.1/",
            Some("/slashes") => "//127.0.0.2/",
            _ => return b"HTTP/1.1 200 OK\r\n\r\nend".to_vec(),
        };
        format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n").into_bytes()
    });
    let scratch = Scratch::new("fetch-redirects");
    let host = near(&scratch, &[]);
    list(&host, &["127.0.0.1", "127.0.0.2"]);
    let check = |path: &str, status: u64, expected: usize| {
        hits.store(0, Ordering::SeqCst);
        let got = fetched(&host, &format!("{{\"url\":\"http://{server}{path}\"}}"));
        assert_eq!((got["status"].as_u64(), hits.load(Ordering::SeqCst)), (Some(status), expected), "{path}");
    };
    check("/once", 200, 2);
    check("/loop", 302, FETCH_REDIRECTS + 1);
    for away in ["/away", "/port", "/secure", "/slashes"] {
        check(away, 302, 1);
    }
    // A POST is not repeated anywhere.
    hits.store(0, Ordering::SeqCst);
    let url = Url::read(&format!("http://{server}/once")).unwrap();
    let post = |content| Request {
        who: Who::Operator,
        method: "POST",
        url: url.clone(),
        fields: &[],
        content,
        most: 10,
        until: reach::deadline(2_000),
    };
    let (got, _) = smol::block_on(fetch(&host, post(b"{}"))).unwrap();
    assert_eq!((got.status, hits.load(Ordering::SeqCst)), (302, 1));
}

/// A name server whose answer for `A` changes with each question: its last octet counts up from 1.
fn rebinding(asked: &Arc<AtomicUsize>) -> SocketAddr {
    let asked = Arc::clone(asked);
    name_server(move |question| {
        if kind_of(question) != dns::A {
            return vec![answer(question, 0, &[])];
        }
        let octet = u8::try_from(asked.fetch_add(1, Ordering::SeqCst) + 1).expect("few questions");
        vec![answer(question, 0, &[(dns::A, &[127, 0, 0, octet])])]
    })
}

#[test]
fn the_address_that_was_judged_is_the_one_connected_to() {
    let asked = Arc::new(AtomicUsize::new(0));
    let first = serve(|_| b"HTTP/1.1 200 OK\r\n\r\nfirst".to_vec());
    // The second address has a server at the same port.
    let _second = serve_at(&format!("127.0.0.2:{}", first.port()), |mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nsecond");
    });
    let scratch = Scratch::new("fetch-rebinding");
    let host = near(&scratch, &[rebinding(&asked)]);
    list(&host, &["flip.example"]);
    let got = fetched(&host, &format!("{{\"url\":\"http://flip.example:{}/\"}}", first.port()));
    assert_eq!((got["body"].as_str(), got["remote_ip"].as_str()), (Some("first"), Some("127.0.0.1")));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn a_redirect_is_resolved_and_judged_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let first = serve(|_| b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n".to_vec());
    let second = TcpListener::bind(format!("127.0.0.2:{}", first.port())).expect("a listener");
    second.set_nonblocking(true).expect("non-blocking");
    let scratch = Scratch::new("fetch-rebound");
    let mut host = near(&scratch, &[rebinding(&asked)]);
    host.forbidden = |addr| if addr == Ipv4Addr::LOCALHOST { None } else { crate::tool::border::forbidden(addr) };
    list(&host, &["flip.example"]);
    let got = fetched(&host, &format!("{{\"url\":\"http://flip.example:{}/\"}}", first.port()));
    let said = (got["status"].as_str(), got["error"].as_str());
    assert_eq!(said, (Some("forbidden"), Some("loopback addresses are never reached")));
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert!(second.accept().is_err());
}

#[test]
fn a_name_with_good_and_bad_addresses_leads_to_the_good_ones() {
    let good = serve(|_| b"HTTP/1.1 200 OK\r\n\r\ngood".to_vec());
    let server = name_server(|question| {
        let addrs: &[(u16, &[u8])] =
            &[(dns::A, &[169, 254, 169, 254]), (dns::A, &[127, 0, 0, 1]), (dns::A, &[0, 0, 0, 0])];
        vec![answer(question, 0, if kind_of(question) == dns::A { addrs } else { &[] })]
    });
    let scratch = Scratch::new("fetch-mixed");
    let host = near(&scratch, &[server]);
    list(&host, &["mixed.example"]);
    let got = fetched(&host, &format!("{{\"url\":\"http://mixed.example:{}/\"}}", good.port()));
    assert_eq!((got["body"].as_str(), got["remote_ip"].as_str()), (Some("good"), Some("127.0.0.1")));
}

#[test]
fn over_ipv6() {
    let server = serve_at("[::1]:0", |mut stream| {
        let request = head(&mut stream);
        assert!(request.contains("Host: [::1]:"));
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nsix");
        // Until the other side has closed: a reset would take the answer with it.
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read(&mut [0]);
    });
    let scratch = Scratch::new("fetch-six");
    let host = near(&scratch, &[]);
    list(&host, &["[::1]"]);
    let got = fetched(&host, &format!("{{\"url\":\"http://{server}/\"}}"));
    assert_eq!((got["body"].as_str(), got["remote_ip"].as_str()), (Some("six"), Some("::1")));
}

#[test]
fn what_is_listed_is_still_judged() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    listener.set_nonblocking(true).expect("non-blocking");
    let port = listener.local_addr().expect("an address").port();
    let loopback = name_server(|question| {
        let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1];
        let addr: (u16, &[u8]) =
            if kind_of(question) == dns::A { (dns::A, &[127, 0, 0, 1]) } else { (dns::AAAA, &mapped) };
        vec![answer(question, 0, &[addr])]
    });
    let scratch = Scratch::new("fetch-ssrf");
    scratch.write("etc/hosts", b"127.0.0.1 self\n");
    let host = strict(&scratch, &[loopback]);
    for place in [
        "127.0.0.1",
        "127.8.8.8",
        "localhost",
        "a.localhost",
        "self",
        "evil.example",
        "[::1]",
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
        "017700000001",
        "2130706433",
        "0177.0.0.1",
        "127.0.0.1.",
        "100.100.100.100",
        "[fd7a:115c:a1e0::53]",
        "169.254.169.254",
        "[fe80::1]",
        "[fe80::1%25eth0]",
        "[::ffff:169.254.169.254]",
        "224.0.0.1",
        "255.255.255.255",
    ] {
        list(&host, &[place, &format!("{place}:{port}")]);
        let got = fetched(&host, &format!("{{\"url\":\"http://{place}:{port}/\"}}"));
        assert_eq!(got["status"].as_str(), Some("forbidden"), "{place}: {got}");
    }
    assert!(listener.accept().is_err());
}

#[test]
fn only_what_is_listed_is_fetched() {
    let scratch = Scratch::new("fetch-listed");
    let host = near(&scratch, &[]);
    let tool = crate::tool::built_in("http_fetch").expect("a tool");
    assert!((tool.present)(&host).unwrap_err().contains("http_fetch"));
    list(&host, &["nas.lan", "127.0.0.1:81"]);
    assert!((tool.present)(&host).is_ok());
    let check = |url: &str, status: &str, words: &str| {
        let got = fetched(&host, &format!("{{\"url\":\"{url}\"}}"));
        assert_eq!(got["status"].as_str(), Some(status), "{url}");
        assert!(got["error"].as_str().is_some_and(|error| error.contains(words)), "{url}: {got}");
    };
    check("http://127.0.0.1/", "forbidden", "lists");
    check("http://127.0.0.1:82/", "forbidden", "lists");
    check("http://evil.nas.lan/", "forbidden", "lists");
    check("http://nas.lan@127.0.0.1/", "error", "no user");
    check("https://nas.lan/", "error", "no TLS");
    check("http://nas.lan\\\\@evil/", "error", "percent-encoded");
}

#[test]
fn an_operators_host_may_be_this_device() {
    let server = serve(|_| b"HTTP/1.1 200 OK\r\n\r\nhere".to_vec());
    let scratch = Scratch::new("fetch-operator");
    let host = strict(&scratch, &[]);
    host.own.borrow_mut().push(server);
    let request = |at: &str| Request {
        who: Who::Operator,
        method: "GET",
        url: Url::read(&format!("http://{at}:{}/", server.port())).unwrap(),
        fields: &[],
        content: b"",
        most: 10,
        until: reach::deadline(2_000),
    };
    let (got, _) = smol::block_on(fetch(&host, request("127.0.0.1"))).unwrap();
    assert_eq!((got.content.as_slice(), got.total), (&b"here"[..], Some(4)));
    assert!(smol::block_on(fetch(&host, request("localhost"))).is_ok());
    for (at, rule) in
        [("0.0.0.0", "unspecified"), ("[::]", "unspecified"), ("224.0.0.1", "multicast"), ("127.1", "four")]
    {
        let fault = smol::block_on(fetch(&host, request(at))).unwrap_err();
        assert!(fault.0 == Why::Forbidden && fault.1.contains(rule), "{at}: {fault:?}");
    }
}

#[test]
fn text_is_text_as_far_as_it_goes() {
    let check = |bytes: &[u8], truncated, expected: (&str, &str)| {
        let (got, encoding) = text(bytes.to_vec(), truncated);
        assert_eq!((got.as_str(), encoding), expected, "{bytes:x?}");
    };
    check(b"abc", false, ("abc", "utf8"));
    check(b"ab\xc3", true, ("ab", "utf8"));
    check(b"ab\xc3", false, ("YWLD", "base64"));
    check(b"\xff\xc3", true, ("/8M=", "base64"));
    check(b"", true, ("", "utf8"));
}
