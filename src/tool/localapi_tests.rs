//! The client of LocalAPI, against a tailscaled that keeps the real one's rules and against ones that keep none.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use smol::block_on;

use super::*;
use crate::tool::fixture::Scratch;
use crate::tool::quick::quick;
use crate::tool::tailscaled::{self, FakeTailscaled, Manner, person, tagged};

/// A directory of its own and a tailscaled there.
fn fake(test: &str) -> (Scratch, FakeTailscaled) {
    let scratch = Scratch::new(test);
    let fake = FakeTailscaled::start(&place(&scratch, ""));
    (scratch, fake)
}

fn place(scratch: &Scratch, name: &str) -> PathBuf {
    scratch.root().place(Path::new(name))
}

const LATE: Missing = Missing::Failed("no answer in time");

/// What it says of `addr`. The fake has a second like the real one, which a machine under load does not always give it.
fn asked(fake: &FakeTailscaled, addr: &str) -> Result<Option<Who>, Missing> {
    let ask = || block_on(whois(fake.socket(), addr.parse().expect("an address")));
    (0..5).map(|_| ask()).find(|said| *said != Err(LATE)).unwrap_or(Err(LATE))
}

/// What it says of this device.
fn own(fake: &FakeTailscaled) -> Result<Status, Missing> {
    let ask = || block_on(status(fake.socket()));
    (0..5).map(|_| ask()).find(|said| *said != Err(LATE)).unwrap_or(Err(LATE))
}

fn texts(texts: &[&str]) -> Vec<Box<str>> {
    texts.iter().map(|text| Box::from(*text)).collect()
}

const FIXED: &str = r#"{"Node":{"Name":"a.b.","Tags":null},"UserProfile":{"LoginName":"ann@example.com"},"CapMap":"#;

/// Who somebody is to whom the policy grants `capabilities`.
fn granted(capabilities: &str) -> Option<Who> {
    read_who(&[FIXED, capabilities, "}"].concat())
}

#[test]
fn the_question_is_one_that_tailscaled_takes() {
    let (_scratch, fake) = fake("local-question");
    fake.knows("100.64.0.2", Some(&person("phone", "ann@example.com", "null")));
    fake.knows("fd7a:115c:a1e0::2", Some(&person("phone", "ann@example.com", "null")));
    fake.knows("127.0.0.1:4711", Some(&person("carried", "ann@example.com", "null")));
    for (addr, node) in [
        ("100.64.0.2:50000", Some("phone.example.ts.net")),
        ("100.64.0.2:0", Some("phone.example.ts.net")),
        ("[::ffff:100.64.0.2]:50000", Some("phone.example.ts.net")),
        ("[fd7a:115c:a1e0::2]:50000", Some("phone.example.ts.net")),
        ("[fd7a:115c:a1e0::2%3]:50000", Some("phone.example.ts.net")),
        ("127.0.0.1:4711", Some("carried.example.ts.net")),
        ("127.0.0.1:4712", None),
        ("127.0.0.1:0", None),
        ("100.64.0.3:50000", None),
    ] {
        let got = asked(&fake, addr).expect("an answer");
        assert_eq!(got.as_ref().map(|who| &*who.node), node, "{addr}");
    }
    let heads = fake.heads();
    let mut lines: Vec<&str> = heads.iter().filter_map(|head| head.lines().next()).collect();
    lines.dedup();
    let line = |addr: &str| format!("GET /localapi/v0/whois?proto=tcp&addr={addr} HTTP/1.1");
    assert_eq!(lines[..3], [line("100.64.0.2:50000"), line("100.64.0.2:0"), line("100.64.0.2:50000")]);
    assert_eq!(lines[3..5], [line("%5Bfd7a:115c:a1e0::2%5D:50000"), line("127.0.0.1:4711")]);
    let rest = "Host: local-tailscaled.sock\r\nConnection: close\r\nAccept-Encoding: identity\r\n\r\n";
    assert!(heads.iter().all(|head| head.split_once("\r\n").is_some_and(|(_, fields)| fields == rest)), "{heads:?}");
}

#[test]
fn a_person_is_told_by_login_and_a_tagged_node_by_tags() {
    let (_scratch, fake) = fake("local-who");
    let capabilities = r#"{
        "example.com/cap/toolgate": [{"tools": ["wake_nas", "group:net"]}, null, 7, {"tools": ["wake_nas", "ping"], "x": 1}],
        "https://tailscale.com/cap/file-sharing-target": null,
        "": [{"tools": ["x"]}],
        "example.com/cap/none": []
    }"#;
    fake.knows("100.64.0.2", Some(&person("phone", "ann@example.com", capabilities)));
    fake.knows("100.64.0.3", Some(&tagged("hub", r#"["tag:home", "tag:hub"]"#, "{}")));
    let who = asked(&fake, "100.64.0.2:1").expect("an answer").expect("a node");
    assert_eq!((&*who.node, who.login.as_deref()), ("phone.example.ts.net", Some("ann@example.com")));
    assert!(who.tags.is_empty());
    assert_eq!(
        who.capabilities,
        [
            ("example.com/cap/toolgate".into(), texts(&["wake_nas", "group:net", "ping"])),
            ("https://tailscale.com/cap/file-sharing-target".into(), texts(&[])),
            ("example.com/cap/none".into(), texts(&[])),
        ]
    );
    let who = asked(&fake, "100.64.0.3:1").expect("an answer").expect("a node");
    let expected = Who { node: "hub.example.ts.net".into(), tags: texts(&["tag:home", "tag:hub"]), ..Who::default() };
    assert_eq!(who, expected);
    // The fixed login of tagged nodes is nobody's, and a tagged node has no other one.
    let nobody = person("odd", "tagged-devices", "null");
    assert_eq!(read_who(&nobody).expect("a node").login, None);
    let both = tagged("odd", "[\"tag:a\"]", "null").replace("tagged-devices", "ann@example.com");
    assert_eq!(read_who(&both).expect("a node").login, None);
    let missing = r#"{"Node":{"Name":"a.","Tags":["tag:a"]},"UserProfile":null}"#;
    assert_eq!(read_who(missing).expect("a node").tags, texts(&["tag:a"]));
}

#[test]
fn whatever_is_not_as_it_should_be_is_nobody() {
    let good = r#"{"Node":{"Name":"a.b.","Tags":[]},"UserProfile":{"LoginName":"l"},"CapMap":{"c":[{"tools":["t"]}]}}"#;
    assert!(read_who(good).is_some());
    for (from, to) in [
        (r#""Name":"a.b.""#, r#""Name":"""#),
        (r#""Name":"a.b.""#, r#""Name":".""#),
        (r#""Name":"a.b.""#, r#""Name":null"#),
        (r#""Name":"a.b.""#, r#""Name":7"#),
        (r#""Name":"a.b.""#, r#""Name":"a\nb""#),
        (r#""Name":"a.b.""#, r#""Name":"a\u0000b""#),
        (r#""Name":"a.b.""#, r#""Name":"a\u0085b""#),
        (r#""Name":"a.b.""#, r#""name":"a.b.""#),
        (r#""Name":"a.b.""#, r#""Name":"a.","Name":"b.""#),
        (r#""Name":"a.b.""#, r#""Name":null,"N\u0061me":"b.""#),
        (r#""Tags":[]"#, r#""Tags":{}"#),
        (r#""Tags":[]"#, r#""Tags":"tag:a""#),
        (r#""Tags":[]"#, r#""Tags":[null]"#),
        (r#""Tags":[]"#, r#""Tags":["tag:a",7]"#),
        (r#""Tags":[]"#, r#""Tags":["home"]"#),
        (r#""Tags":[]"#, r#""Tags":["tag:a\u007f"]"#),
        (r#""Tags":[]"#, r#""Tags":[],"Tags":["tag:admin"]"#),
        (r#""LoginName":"l""#, r#""LoginName":"""#),
        (r#""LoginName":"l""#, r#""LoginName":null"#),
        (r#""LoginName":"l""#, r#""LoginName":["l"]"#),
        (r#""LoginName":"l""#, r#""LoginName":"l\r""#),
        (r#""LoginName":"l""#, r#""LoginName":"l","LoginName":"m""#),
        (r#""LoginName":"l""#, r#""DisplayName":"l""#),
        (r#"{"LoginName":"l"}"#, "null"),
        (r#"{"LoginName":"l"}"#, "[]"),
        (r#"{"LoginName":"l"}"#, r#"{"LoginName":"l"},"UserProfile":{"LoginName":"m"}"#),
        (r#"{"c":[{"tools":["t"]}]}"#, "[]"),
        (r#"{"c":[{"tools":["t"]}]}"#, "7"),
        (r#"{"c":[{"tools":["t"]}]}"#, r#"{"c":{"tools":["t"]}}"#),
        (r#"{"c":[{"tools":["t"]}]}"#, r#"{"c":"t"}"#),
        (r#"{"c":[{"tools":["t"]}]}"#, r#"{"c":null,"c":[{"tools":["t"]}]}"#),
        (r#"{"c":[{"tools":["t"]}]}"#, r#"{"c\n":null}"#),
        (r#"{"c":[{"tools":["t"]}]}"#, r#"{"\ud800":null}"#),
        (r#"[{"tools":["t"]}]"#, r#"[{"tools":["t"],"tools":["u"]}]"#),
        (r#"{"Node""#, r#"{"Node":{"Name":"c."},"Node""#),
        (r#"{"Node""#, r#"{"Peer""#),
    ] {
        assert!(good.contains(from), "{from}");
        let bad = good.replace(from, to);
        assert_eq!(read_who(&bad), None, "{bad}");
    }
    for bad in ["", "null", "[]", "7", "\"a\"", "{}", "{\"Node\":{}}", "nonsense"] {
        assert_eq!(read_who(bad), None, "{bad}");
    }
}

#[test]
fn values_of_other_applications_name_no_tools() {
    for value in [
        "null",
        "true",
        "[\"t\"]",
        "\"tools\"",
        "{}",
        r#"{"tools":null}"#,
        r#"{"tools":"t"}"#,
        r#"{"tools":{"t":1}}"#,
        r#"{"tools":["t",1]}"#,
        r#"{"tools":["t",""]}"#,
        r#"{"tools":["t\n"]}"#,
        r#"{"Tools":["t"]}"#,
    ] {
        let who = granted(&[r#"{"c":["#, value, r#",{"tools":["u"]}]}"#].concat()).expect("a node");
        assert_eq!(who.capabilities, [("c".into(), texts(&["u"]))], "{value}");
    }
}

#[test]
fn more_than_is_kept_of_a_node_is_nobody_and_not_a_part_of_somebody() {
    let long = |n: usize| "x".repeat(n);
    let named = |name: &str| read_who(&person(name, "l", "null")).is_some();
    let suffix = ".example.ts.net.".len();
    assert!(named(&long(WHO_TEXT_BYTES - suffix)) && !named(&long(WHO_TEXT_BYTES - suffix + 1)));
    let logged = |login: &str| read_who(&person("a", login, "null")).is_some();
    assert!(logged(&long(WHO_TEXT_BYTES)) && !logged(&long(WHO_TEXT_BYTES + 1)));
    // Bytes, not characters.
    assert!(logged(&"\u{e4}".repeat(WHO_TEXT_BYTES / 2)) && !logged(&"\u{e4}".repeat(WHO_TEXT_BYTES / 2 + 1)));
    let many = |n: usize, item: &dyn Fn(usize) -> String| (0..n).map(item).collect::<Vec<_>>().join(",");
    // Each takes its letters and what a text takes besides; name and login were there before.
    let taken = 3 + "ann@example.com".len() + 2 * WHO_ITEM_BYTES;
    let fit = (WHO_BYTES - taken) / (5 + WHO_ITEM_BYTES);
    let capabilities = |n: usize| granted(&["{", &many(n, &|n| format!("\"c{n:04}\":null")), "}"].concat());
    assert_eq!(capabilities(fit).map(|who| who.capabilities.len()), Some(fit));
    assert_eq!(capabilities(fit + 1), None);
    assert_eq!(capabilities(5_000), None);
    let tools = |n: usize| granted(&["{\"c\":[{\"tools\":[", &many(n, &|n| format!("\"t{n:04}\"")), "]}]}"].concat());
    assert_eq!(tools(fit - 1).map(|who| who.capabilities[0].1.len()), Some(fit - 1));
    assert_eq!((tools(fit), tools(7_000)), (None, None));
    let tags = |n: usize| {
        let list = ["[", &many(n, &|n| format!("\"tag:{n:04}\"")), "]"].concat();
        read_who(&tagged("hub", &list, "null")).map(|who| who.tags.len())
    };
    let fit = (WHO_BYTES - "hub.example.ts.net".len() - WHO_ITEM_BYTES) / (8 + WHO_ITEM_BYTES);
    assert_eq!((tags(fit), tags(fit + 1), tags(5_000)), (Some(fit), None, None));
}

#[test]
fn a_cut_or_changed_answer_is_nobody_or_reads_the_same_way_twice() {
    let good = person("phone", "ann@example.com", r#"{"c":[{"tools":["t"]}]}"#);
    for cut in 0..good.len() {
        assert_eq!(whole(good.as_bytes()[..cut].to_vec()), None, "{cut}");
    }
    assert_eq!(whole([good.as_bytes(), b"{}"].concat()), None);
    assert_eq!(whole([good.as_bytes(), b" \n"].concat()), Some([&good, " \n"].concat()));
    for at in 0..good.len() {
        for byte in [b'"', b'{', b'}', b'[', b',', b':', b'\\', b'0', 0, 0xff] {
            let mut bytes = good.clone().into_bytes();
            bytes[at] = byte;
            if let Some(who) = whole(bytes).as_deref().and_then(read_who) {
                assert!(!who.node.is_empty() && !who.node.contains(char::is_control), "{at} {byte}");
                assert_eq!(who.login.is_some(), who.tags.is_empty(), "{at} {byte}");
            }
        }
    }
}

#[test]
fn depth_costs_nothing() {
    let (_scratch, fake) = fake("local-deep");
    let deep = |n: usize| ["[".repeat(n), "]".repeat(n)].concat();
    let node = person("phone", "ann@example.com", "null");
    let beside = node.replace("\"User\": 7", &["\"User\": ", &deep(30_000)].concat());
    fake.knows("100.64.0.2", Some(&beside));
    assert!(matches!(asked(&fake, "100.64.0.2:1"), Ok(Some(_))));
    for bad in [
        node.replace("\"Tags\": null", &["\"Tags\": ", &deep(30_000)].concat()),
        node.replace("\"CapMap\": null", &["\"CapMap\": ", &deep(30_000)].concat()),
        "[".repeat(60_000),
        "{\"Node\":".repeat(8_000),
    ] {
        fake.knows("100.64.0.2", Some(&bad));
        assert_eq!(asked(&fake, "100.64.0.2:1"), Err(STRANGE));
    }
}

#[test]
fn nobody_there_is_told_from_one_that_does_not_answer() {
    let scratch = Scratch::new("local-absent");
    let ask = |name: &str| block_on(status(&place(&scratch, name)));
    assert_eq!(ask("none.sock"), Err(Missing::Absent));
    scratch.write("file.sock", b"");
    assert_eq!(ask("file.sock"), Err(Missing::Absent));
    assert_eq!(ask("file.sock/tailscaled.sock"), Err(Missing::Absent));
    // What a tailscaled that was killed leaves behind.
    drop(UnixListener::bind(place(&scratch, "dead.sock")).expect("a listener"));
    assert_eq!(ask("dead.sock"), Err(Missing::Absent));
    assert!(matches!(ask(&"long/".repeat(40)), Err(Missing::Failed(_))));
    // One that takes no more connections does not hold us up.
    let path = place(&scratch, "full.sock");
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
    rustix::net::bind(&socket, &SocketAddrUnix::new(&path).expect("an address")).expect("bound");
    rustix::net::listen(&socket, 0).expect("listening");
    let waiting = Pipe::local(&path, Instant::now()).expect("a connection");
    assert_eq!(block_on(status(&path)), Err(Missing::Failed("it does not take any more questions")));
    drop(waiting);
}

#[test]
fn answers_in_every_framing_and_none_of_another_kind() {
    let (_scratch, fake) = fake("local-framing");
    let json = person("phone", "ann@example.com", "null");
    let says = |head: &str, body: &str| {
        fake.behaves(Manner::Says(["HTTP/1.1 ", head, "\r\n\r\n", body].concat().into_bytes()));
        asked(&fake, "100.64.0.2:1")
    };
    let length = format!("200 OK\r\nContent-Length: {}", json.len());
    let chunked = format!("{:x}\r\n{json}\r\n0\r\n\r\n", json.len());
    for (head, body) in [(&*length, &json), ("200 OK\r\nTransfer-Encoding: chunked", &chunked), ("200 OK", &json)] {
        assert!(matches!(says(head, body), Ok(Some(_))), "{head}");
    }
    assert_eq!(says("404 Not Found", "no match for IP:port\n"), Ok(None));
    for (head, body) in [
        ("403 Forbidden", &*json),
        ("500 Internal Server Error", &json),
        ("201 Created", &json),
        ("204 No Content", ""),
        ("302 Found\r\nLocation: /localapi/v0/whois", &json),
        ("200 OK\r\nContent-Length: 3000", &json),
        ("200 OK\r\nContent-Length: 10", &json),
        ("200 OK\r\nTransfer-Encoding: chunked", &json),
        ("200 OK\r\nContent-Encoding: gzip", &json),
        ("200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked", &json),
        ("200 OK", ""),
        ("200 OK", "null"),
        ("200 OK", "{}"),
        ("200 OK", "<html>"),
    ] {
        assert!(matches!(says(head, body), Err(Missing::Failed(_))), "{head} {body}");
    }
    for bytes in [&b""[..], b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\n\n{}", b"{\"Node\":{}}", b"\0\0\0\0"] {
        fake.behaves(Manner::Says(bytes.to_vec()));
        assert!(matches!(asked(&fake, "100.64.0.2:1"), Err(Missing::Failed(_))), "{bytes:?}");
    }
    // Not UTF-8.
    let (start, end) = json.split_once("phone").expect("a name");
    let bytes = [b"HTTP/1.1 200 OK\r\n\r\n", start.as_bytes(), b"phon\xe9", end.as_bytes()].concat();
    fake.behaves(Manner::Says(bytes));
    assert_eq!(asked(&fake, "100.64.0.2:1"), Err(STRANGE));
}

#[test]
fn an_answer_is_bounded_in_size_and_in_time() {
    let (_scratch, fake) = fake("local-bounds");
    let padded = |most: usize| {
        let node = person("phone", "ann@example.com", "null");
        let pad = " ".repeat(most - node.len());
        [node, pad].concat()
    };
    let (longer, late) = ("the answer is longer than any should be", "no answer in time");
    fake.knows("100.64.0.2", Some(&padded(LOCAL_API_BYTES)));
    assert!(matches!(asked(&fake, "100.64.0.2:1"), Ok(Some(_))));
    fake.knows("100.64.0.2", Some(&padded(LOCAL_API_BYTES + 1)));
    assert_eq!(asked(&fake, "100.64.0.2:1"), Err(Missing::Failed(longer)));
    let ask = || block_on(whois(fake.socket(), "100.64.0.2:1".parse().expect("an address")));
    let ok = b"HTTP/1.1 200 OK\r\n".to_vec();
    for (manner, words) in [
        (Manner::Endless([&ok[..], b"\r\n"].concat(), vec![b' '; 1_000]), longer),
        (Manner::Endless(ok.clone(), b"X: y\r\n".repeat(100)), "the head of the answer is too large"),
        (Manner::Slow(ok.repeat(20), Duration::from_millis(80)), late),
        (Manner::Slow([&ok[..], b"\r\n", &[b' '; 99]].concat(), Duration::from_millis(40)), late),
        (Manner::Silent, late),
    ] {
        let said = format!("{manner:?}").chars().take(40).collect::<String>();
        fake.behaves(manner);
        quick(LOCAL_API_SECS * 3, || {
            let got = if words == late { ask() } else { asked(&fake, "100.64.0.2:1") };
            assert_eq!(got, Err(Missing::Failed(words)), "{said}");
        });
    }
}

#[test]
fn who_waits_for_tailscaled_holds_up_nobody() {
    let (_scratch, fake) = fake("local-beside");
    fake.behaves(Manner::Silent);
    let asked = async {
        let who = whois(fake.socket(), "100.64.0.2:1".parse().expect("an address")).await;
        (who, Instant::now())
    };
    let tick = async {
        super::super::watch::alarm(Duration::from_millis(20)).await;
        Instant::now()
    };
    let (ticked, (who, late)) = block_on(smol::future::zip(tick, asked));
    assert_eq!(who, Err(LATE));
    assert!(ticked < late);
}

#[test]
fn how_this_device_is() {
    let (_scratch, fake) = fake("local-status");
    let ask = |json: &str| {
        fake.tells(json, "");
        own(&fake)
    };
    let good = tailscaled::status("Pi", &["100.64.0.1", "fd7a:115c:a1e0::1"], "\"Health\": [\"a\\nb\"],\n");
    let expected = Status {
        backend: "Running".into(),
        tun: true,
        ips: vec!["100.64.0.1".parse().expect("an address"), "fd7a:115c:a1e0::1".parse().expect("an address")],
        dns_name: Some("pi.example.ts.net".into()),
        key_expiry: None,
        health: vec!["a b".into()],
        version: "1.92.3-ta17f36b9b-ga4dc88aac".into(),
    };
    assert_eq!(ask(&good), Ok(expected));
    assert!(fake.heads()[0].starts_with("GET /localapi/v0/status?peers=false HTTP/1.1\r\n"));
    let until = good.replace("\"OS\": \"linux\"", "\"KeyExpiry\": \"2027-05-30T18:04:51Z\"");
    assert_eq!(ask(&until).expect("a status").key_expiry.as_deref(), Some("2027-05-30T18:04:51Z"));
    // Before the login there is nothing to tell.
    let early = r#"{"Version":"1.2","TUN":false,"BackendState":"NeedsLogin","TailscaleIPs":null,"Self":{"DNSName":"",
        "TailscaleIPs":null},"Health":null}"#;
    let got = ask(early).expect("a status");
    assert_eq!((got.tun, got.ips, got.dns_name, &*got.backend), (false, vec![], None, "NeedsLogin"));
    assert!(
        ask(&early.replace("false", "null")).is_err()
            && ask(r#"{"Version":"1","TUN":true,"BackendState":"x"}"#).is_ok()
    );
    let least = r#"{"Version":"1","TUN":true,"BackendState":"x","Self":{"DNSName":"a.b."},"Health":[]}"#;
    for (from, to) in [
        ("\"Version\":\"1\"", "\"Version\":\"\""),
        ("\"Version\":\"1\"", "\"Version\":1"),
        ("\"Version\":\"1\",", ""),
        ("\"TUN\":true", "\"TUN\":\"true\""),
        ("\"TUN\":true", "\"TUN\":1"),
        ("\"TUN\":true", "\"TUN\":true,\"TUN\":false"),
        ("\"TUN\":true,", ""),
        ("\"x\"", "null"),
        ("\"a.b.\"", "\"a b.\""),
        ("\"a.b.\"", "\"a..b\""),
        ("\"a.b.\"", "\"a/b\""),
        ("\"a.b.\"", "\".\\u0000\""),
        ("\"a.b.\"", "\"\u{e4}.b\""),
        ("\"a.b.\"", "7"),
        ("\"a.b.\"", "\"a.b\",\"DNSName\":\"c\""),
        ("\"DNSName\"", "\"TailscaleIPs\":[\"100.64.0\"],\"DNSName\""),
        ("\"DNSName\"", "\"TailscaleIPs\":[null],\"DNSName\""),
        ("\"DNSName\"", "\"TailscaleIPs\":\"100.64.0.1\",\"DNSName\""),
        ("{\"DNSName\":\"a.b.\"}", "[]"),
        ("\"Health\":[]", "\"Health\":{}"),
        ("\"Health\":[]", "\"Health\":[1]"),
    ] {
        assert!(least.contains(from), "{from}");
        assert_eq!(ask(&least.replace(from, to)), Err(STRANGE), "{from} {to}");
    }
    let ips = |n: usize| {
        ask(&least.replace("\"DNSName\"", &format!("\"TailscaleIPs\":[{}],\"DNSName\"", vec!["\"::1\""; n].join(","))))
    };
    assert!(ips(TAILSCALE_IPS).is_ok() && ips(TAILSCALE_IPS + 1) == Err(STRANGE));
    let long = vec![["\"", &"x".repeat(400), "\""].concat(); 40].join(",");
    let got = ask(&least.replace("\"Health\":[", &["\"Health\":[", &long].concat())).expect("a status");
    assert_eq!((got.health.len(), got.health[0].len()), (TAILSCALE_HEALTH, WHO_TEXT_BYTES));
}
