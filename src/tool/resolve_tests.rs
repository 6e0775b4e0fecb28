//! Files as they are found on devices, and name servers as they behave.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;
use crate::tool::fixture::Scratch;
use crate::tool::quick::quick;
use crate::tool::servers::{answer, kind_of, name_server, strict};

const FIVE: &[u8] = &[192, 168, 1, 5];

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(4)
}

/// What `name` resolves to when `servers` are asked.
fn resolved(test: &str, servers: &[SocketAddr], name: &str) -> Result<Vec<IpAddr>, &'static str> {
    let scratch = Scratch::new(test);
    let host = strict(&scratch, servers);
    smol::block_on(addresses(&host.root, name, soon()))
}

fn five() -> Result<Vec<IpAddr>, &'static str> {
    Ok(vec![IpAddr::from([192, 168, 1, 5])])
}

/// An answer with an address to the question for one, and none to others.
fn plain_answer(question: &[u8]) -> Vec<u8> {
    if kind_of(question) == dns::A { answer(question, 0, &[(dns::A, FIVE)]) } else { answer(question, 0, &[]) }
}

#[test]
fn configurations() {
    let read = |text: &str| parse(text, &|zone| (zone == "eth0").then_some(7));
    let at = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
    let conf = read(
        "# a comment\n; another\nnameserver 192.168.1.1 trailing\n  nameserver\tfe80::1%eth0\nnameserver fe80::1%wan\n\
         nameserver x\nnameserver [10.0.0.1]:5353\nnameserver 9.9.9.9\ndomain Lan.\nsearch home.example. lan\n\
         options ndots:2 timeout:1 attempts:9 rotate edns0 ndots:x\n",
    );
    assert_eq!(conf.servers, at(&["192.168.1.1:53", "[fe80::1%7]:53", "10.0.0.1:5353"]));
    assert_eq!(conf.search, ["home.example", "lan"]);
    assert_eq!((conf.ndots, conf.timeout, conf.attempts), (2, 1, DNS_ATTEMPTS_MAX));
    let conf = read("options timeout:0 attempts:0 ndots:200 timeout:999\nsearch . a b c d e\n");
    assert_eq!((conf.ndots, conf.timeout, conf.attempts), (DNS_NDOTS_MAX, 1, 1));
    assert_eq!(conf.search, ["a", "b", "c"]);
    for empty in ["", "nameserver", "nameserver 127.1\nnameserver [::1\nnameserver ::1%", "\0\u{fffd}\n\n"] {
        assert_eq!(read(empty), Conf::default());
    }
    assert_eq!(Conf::default().servers, at(&["127.0.0.1:53"]));
}

#[test]
fn short_names_are_tried_in_their_domains_first() {
    let conf = parse("search lan home.example\noptions ndots:2", &|_| None);
    assert_eq!(conf.candidates("nas"), ["nas.lan", "nas.home.example", "nas"]);
    assert_eq!(conf.candidates("nas.a.b"), ["nas.a.b", "nas.a.b.lan", "nas.a.b.home.example"]);
    assert_eq!(Conf::default().candidates("nas"), ["nas"]);
}

#[test]
fn some_names_nobody_is_asked_for() {
    let scratch = Scratch::new("resolve-known");
    scratch
        .write("etc/hosts", b"127.0.0.1 x # nas\n10.0.0.9 localhost\n10.0.0.1\tNas nas.local\n::1 nas\nbad nas\n\n#\n");
    let root = scratch.root();
    let check = |name: &str, expected: Option<&[&str]>| {
        let expected = expected.map(|addrs| addrs.iter().map(|addr| addr.parse().unwrap()).collect());
        assert_eq!(known(&root, name), Ok(expected), "{name}");
    };
    check("nas", Some(&["10.0.0.1", "::1"]));
    check("nas.local", Some(&["10.0.0.1"]));
    check("localhost", Some(&["127.0.0.1", "::1"]));
    check("evil.localhost", Some(&["127.0.0.1", "::1"]));
    check("notlocalhost", None);
    check("nas.lan", None);
    assert!(known(&root, "printer.local").unwrap_err().contains("multicast DNS"));
}

#[test]
fn an_answer_is_taken_from_who_was_asked_to_what_was_asked() {
    let server = name_server(|question| {
        let good = plain_answer(question);
        let mut id = answer(question, 0, &[(dns::A, &[6, 6, 6, 6])]);
        id[1] ^= 1;
        let mut name = answer(question, 0, &[(dns::A, &[6, 6, 6, 6])]);
        name[13] = b'x';
        let mut query = answer(question, 0, &[(dns::A, &[6, 6, 6, 6])]);
        query[2] = 1;
        vec![vec![], b"junk".to_vec(), id, name, query, good]
    });
    assert_eq!(resolved("resolve-strays", &[server], "nas.lan"), five());
}

#[test]
fn a_cut_answer_and_a_flood_of_guesses_are_asked_again_over_tcp() {
    for flood in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let addr = listener.local_addr().expect("an address");
        let socket = std::net::UdpSocket::bind(addr).expect("the same port");
        thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let mut reply = answer(&buffer[..length], 0, &[(dns::A, &[6, 6, 6, 6])]);
                if flood {
                    reply[0] ^= 0x80;
                } else {
                    reply[2] |= 2;
                }
                for _ in 0..if flood { DATAGRAM_STRAYS } else { 1 } {
                    socket.send_to(&reply, from).expect("sent");
                }
            }
        });
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut length = [0; 2];
                stream.read_exact(&mut length).expect("a length");
                let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
                stream.read_exact(&mut question).expect("a question");
                let reply = plain_answer(&question);
                let length = u16::try_from(reply.len()).expect("short").to_be_bytes();
                // In pieces, as networks bring it.
                for part in [&length[..1], &length[1..], &reply[..7], &reply[7..]] {
                    stream.write_all(part).expect("sent");
                }
            }
        });
        assert_eq!(resolved(&format!("resolve-tcp-{flood}"), &[addr], "nas.lan"), five());
    }
}

#[test]
fn the_next_server_is_asked_when_one_is_dead_silent_broken_or_failing() {
    let silent = name_server(|_| Vec::new());
    let failing = name_server(|question| vec![answer(question, 2, &[])]);
    let looping = name_server(|question| vec![answer(question, 0, &[(5, b"\xc0\x25")])]);
    let good = name_server(|question| vec![plain_answer(question)]);
    // A port that nobody listens on: the socket that had it is closed.
    let dead = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket").local_addr().expect("an address");
    for (name, bad) in [("silent", silent), ("failing", failing), ("looping", looping), ("dead", dead)] {
        assert_eq!(resolved(&format!("resolve-next-{name}"), &[bad, good], "nas.lan"), five(), "{name}");
    }
    assert_eq!(resolved("resolve-failing", &[failing], "nas.lan"), Err("the name server failed"));
    assert_eq!(resolved("resolve-looping", &[looping], "nas.lan"), Err("no name server answered in time"));
}

#[test]
fn a_silent_server_is_waited_for_until_the_deadline_only() {
    let scratch = Scratch::new("resolve-silent");
    let host = strict(&scratch, &[name_server(|_| Vec::new())]);
    quick(Duration::from_millis(900), || {
        let end = Instant::now() + Duration::from_millis(200);
        let got = smol::block_on(addresses(&host.root, "nas.lan", end));
        assert_eq!(got, Err("no name server answered in time"));
    });
}

#[test]
fn names_that_are_not_there_and_names_without_address() {
    let none = name_server(|question| vec![answer(question, 3, &[])]);
    assert_eq!(resolved("resolve-none", &[none], "nas.lan"), Err("no such name"));
    let empty = name_server(|question| vec![answer(question, 0, &[])]);
    assert_eq!(resolved("resolve-empty", &[empty], "nas.lan"), Err("the name has no address"));
}

#[test]
fn a_dropped_second_question_costs_little() {
    let server =
        name_server(|question| if kind_of(question) == dns::A { vec![plain_answer(question)] } else { vec![] });
    quick(Duration::from_millis(1_500), || assert_eq!(resolved("resolve-half", &[server], "nas.lan"), five()));
}

#[test]
fn addresses_are_counted_and_search_ends_at_the_first_domain_that_has_some() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = name_server(move |question| {
        count.fetch_add(1, Ordering::SeqCst);
        let many = vec![(dns::A, FIVE); 40];
        // `nas.one` does not exist, `nas.two` has many addresses.
        let one = question.windows(3).any(|part| part == b"one");
        vec![if one { answer(question, 3, &[]) } else { answer(question, 0, &many[..9]) }]
    });
    let scratch = Scratch::new("resolve-search");
    let text = format!("nameserver [{}]:{}\nsearch one two three\n", server.ip(), server.port());
    scratch.write("etc/resolv.conf", text.as_bytes());
    let got = smol::block_on(addresses(&scratch.root(), "nas", soon()));
    assert_eq!(got.map(|addrs| addrs.len()), Ok(RESOLVED_ADDRS));
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}
