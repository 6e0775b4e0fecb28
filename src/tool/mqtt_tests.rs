//! The packets of `mqtt_publish`, brokers that misbehave, and a real one where it is installed.

use std::io::{Read, Write};

use super::*;
use crate::gate::secret::Secret;
use crate::tool::fixture::{Scratch, bare, call, planned};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

fn broker(port: u16) -> Broker {
    Broker {
        host: String::from("127.0.0.1"),
        port,
        topics: vec![String::from("home/"), String::from("x")],
        ..Broker::default()
    }
}

fn hidden(text: &str) -> Hidden {
    let hidden = Hidden::default();
    hidden.fill(Secret::new(text).expect("a secret"));
    hidden
}

fn host(broker: Broker) -> Host {
    let host = bare(&[]);
    *host.targets.borrow_mut() = Rc::new(Targets { mqtt: Some(broker), ..Targets::default() });
    host
}

fn letter<'a>(topic: &'a str, payload: &'a str, acked: bool, retain: bool) -> Letter<'a> {
    Letter { targets: Rc::default(), topic, payload, acked, retain }
}

#[test]
fn packets() {
    let check = |broker: &Broker, expected: &[u8]| {
        let packet = connect("id", broker).expect("a packet");
        assert_eq!(packet[..2], [0x10, u8::try_from(packet.len() - 2).unwrap()]);
        assert_eq!(&packet[2..], [b"\0\x04MQTT\x04", expected].concat());
    };
    let named = Broker { username: Some(String::from("u")), ..Broker::default() };
    check(&Broker::default(), b"\x02\0\x0a\0\x02id");
    check(&named, b"\x82\0\x0a\0\x02id\0\x01u");
    check(&Broker { password: Some(hidden("pw")), ..named.clone() }, b"\xc2\0\x0a\0\x02id\0\x01u\0\x02pw");
    // A password without a name, and one that was not read, are not sent.
    check(&Broker { password: Some(hidden("pw")), ..Broker::default() }, b"\x02\0\x0a\0\x02id");
    check(&Broker { password: Some(Hidden::default()), ..named.clone() }, b"\x82\0\x0a\0\x02id\0\x01u");
    assert_eq!(connect("id", &Broker { username: Some("u".repeat(65_536)), ..named }), None);

    assert_eq!(message(&letter("a/b", "hi", false, false)).unwrap(), b"\x30\x07\0\x03a/bhi");
    assert_eq!(message(&letter("a/b", "hi", true, true)).unwrap(), b"\x33\x09\0\x03a/b\0\x01hi");
    assert_eq!(message(&letter("a", "", false, true)).unwrap(), b"\x31\x03\0\x01a");
}

#[test]
fn remaining_lengths() {
    // Source: MQTT 3.1.1, table 2.4.
    let check = |length: usize, expected: &[u8]| {
        let packet = packet(0x30, &vec![0; length]).expect("a packet");
        assert_eq!((&packet[1..=expected.len()], packet.len()), (expected, 1 + expected.len() + length));
    };
    check(0, &[0]);
    check(127, &[0x7f]);
    check(128, &[0x80, 1]);
    check(16_383, &[0xff, 0x7f]);
    check(16_384, &[0x80, 0x80, 1]);
    check(2_097_151, &[0xff, 0xff, 0x7f]);
    check(2_097_152, &[0x80, 0x80, 0x80, 1]);
    assert_eq!(packet(0x30, &vec![0; 268_435_456]), None);
}

#[test]
fn answers() {
    let check = |answer: [u8; 4], good: bool| assert_eq!(connected(answer).is_ok(), good, "{answer:?}");
    check([0x20, 2, 0, 0], true);
    check([0x20, 2, 1, 0], true);
    for code in 1..=5 {
        check([0x20, 2, 0, code], false);
        assert_ne!(connected([0x20, 2, 0, code]), Err(STRANGE));
    }
    for strange in [[0x20, 2, 0, 6], [0x20, 2, 2, 0], [0x20, 3, 0, 0], [0x21, 2, 0, 0], [0x40, 2, 0, 1], *b"HTTP"] {
        assert_eq!(connected(strange), Err(STRANGE), "{strange:?}");
    }
    assert_eq!(acknowledged([0x40, 2, 0, 1]), Ok(()));
    for strange in [[0x40, 2, 0, 2], [0x40, 2, 1, 1], [0x40, 0xff, 0xff, 0xff], [0x20, 2, 0, 0], [0x50, 2, 0, 1]] {
        assert_eq!(acknowledged(strange), Err(STRANGE), "{strange:?}");
    }
}

#[test]
fn only_named_topics_are_published() {
    let why = |broker: Option<Broker>| {
        let host = bare(&[]);
        *host.targets.borrow_mut() = Rc::new(Targets { mqtt: broker, ..Targets::default() });
        present(&host)
    };
    assert!(why(None).unwrap_err().contains("tools.device.mqtt_publish "));
    assert!(why(Some(Broker::default())).unwrap_err().contains("tools.device.mqtt_publish.topics"));
    why(Some(broker(1))).expect("a broker and topics");
    let closed = host(broker(1));
    let refused = Outcome::soft("forbidden", "topic: begins with none of tools.device.mqtt_publish.topics");
    for topic in ["home", "Home/a", "/home/a", " home/a", "$SYS/x", "ähome/"] {
        let args = format!("{{\"topic\":\"{topic}\",\"payload\":\"\"}}");
        assert_eq!(call(&closed, "mqtt_publish", &args), refused, "{topic}");
    }
    for junk in ["home/#", "home/+/a", "home/\\u0000", ""] {
        let outcome = call(&closed, "mqtt_publish", &format!("{{\"topic\":\"{junk}\",\"payload\":\"\"}}"));
        assert!(matches!(outcome, Outcome::Input(_)), "{junk}: {outcome:?}");
    }
}

#[test]
fn what_a_call_would_do() {
    let host = host(Broker { password: Some(hidden("s3cret")), ..broker(1_883) });
    let plan = |args: &str| planned(&host, "mqtt_publish", args, would);
    let expected =
        "{\"host\":\"127.0.0.1\",\"port\":1883,\"topic\":\"home/a\",\"payload\":\"on\",\"qos\":1,\"retain\":false}";
    assert_eq!(plan("{\"topic\":\"home/a\",\"payload\":\"on\",\"qos\":1}").expect("a plan"), expected);
    assert!(plan("{\"topic\":\"away/a\",\"payload\":\"on\"}").is_err());
}

/// A broker that reads what it is sent and says `answers`, one after each packet; then it closes.
fn scripted(answers: &'static [&'static [u8]]) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        let (mut peer, _) = listener.accept().expect("a client");
        let mut packet = [0; 1_000];
        for answer in answers {
            let _ = peer.read(&mut packet);
            let _ = peer.write_all(answer);
        }
    });
    port
}

fn check(answers: &'static [&'static [u8]], qos: u8, expected: &str) {
    let args = format!("{{\"topic\":\"home/a\",\"payload\":\"on\",\"qos\":{qos}}}");
    let outcome = call(&host(broker(scripted(answers))), "mqtt_publish", &args);
    let Outcome::Done { details, .. } = outcome else { panic!("{outcome:?}") };
    assert!(details.contains(expected), "{details} {expected}");
}

#[test]
fn brokers_of_all_kinds() {
    check(&[b"\x20\x02\0\0", b"\x40\x02\0\x01"], 1, "{\"published\":true,\"acked\":true}");
    check(&[b"\x20\x02\0\0", b""], 0, "{\"published\":true,\"acked\":false}");
    check(&[b"\x20\x02\0\x05"], 0, "does not let this user in");
    check(&[b""], 0, "closed the connection");
    check(&[b"\x20"], 0, "closed the connection");
    check(&[b"\x20\x02\0\0", b"\x40\x02"], 1, "closed the connection");
    check(&[b"\x20\xff\xff\xff\x7f lots"], 0, "not MQTT 3.1.1");
    check(&[b"HTTP/1.1 400 Bad Request\r\n\r\n"], 0, "not MQTT 3.1.1");
    check(&[b"\x20\x02\0\0", b"\x30\xff\xff\xff\x7f"], 1, "not MQTT 3.1.1");
    check(&[b"\x20\x02\0\0", b"\x40\x02\0\x02"], 1, "not MQTT 3.1.1");
}

#[test]
fn a_broker_that_never_answers_is_given_up() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let host = host(broker(listener.local_addr().expect("an address").port()));
    let letter = Letter { targets: host.targets(), ..letter("home/a", "on", true, false) };
    let soon = MQTT_SECS / 100;
    let outcome = smol::block_on(deliver(&host, &letter, Instant::now() + soon));
    assert_eq!(outcome, Err("did not answer in time".into()));
    let name = Broker { host: String::from("broker.example"), ..broker(1) };
    let outcome = call(&self::host(name), "mqtt_publish", "{\"topic\":\"x\",\"payload\":\"\"}");
    assert!(matches!(outcome, Outcome::Done { details, .. } if details.contains("broker: ")));
}

/// A program of Mosquitto, wherever the distribution put it.
fn mosquitto(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    places.map(|place| place.join(name)).find(|file| file.exists())
}

/// A running Mosquitto, ended when dropped.
struct Mosquitto(Child, u16);

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

/// Starts Mosquitto with these lines of configuration; `None` where it is not installed.
fn start(tmp: &Scratch, more: &str) -> Option<Mosquitto> {
    let program = mosquitto("mosquitto").filter(|_| mosquitto("mosquitto_sub").is_some());
    let Some(program) = program else {
        let _ = writeln!(std::io::stderr(), "notice: mosquitto is not installed, so no real broker is spoken to");
        return None;
    };
    for _ in 0..20 {
        // The port is free now and may be taken in a moment; then the program ends and another one is tried.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|it| it.local_addr()).expect("a port").port();
        tmp.write("conf", format!("listener {port} 127.0.0.1\nuser root\npersistence false\n{more}").as_bytes());
        let conf = tmp.root().place(Path::new("/conf"));
        let child = Command::new(&program).arg("-c").arg(conf).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut running = Mosquitto(child.expect("mosquitto starts"), port);
        let end = Instant::now() + Duration::from_secs(10);
        while running.0.try_wait().expect("a child").is_none() && Instant::now() < end {
            if std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Some(running);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
    panic!("mosquitto does not listen");
}

/// What a subscriber to `topic` gets; the message is retained, so it may come later than that.
fn subscribe(port: u16, topic: &str, more: &[&str]) -> String {
    let mut command = Command::new(mosquitto("mosquitto_sub").expect("mosquitto_sub"));
    command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-t", topic, "-C", "1", "-W", "10"]).args(more);
    String::from_utf8(command.output().expect("mosquitto_sub runs").stdout).expect("text")
}

fn publish(host: &Host, topic: &str, payload: &str, qos: u8) -> String {
    let payload = serde_json::to_string(payload).expect("JSON");
    let args = format!("{{\"topic\":\"{topic}\",\"payload\":{payload},\"qos\":{qos},\"retain\":true}}");
    let Outcome::Done { details, .. } = call(host, "mqtt_publish", &args) else { panic!() };
    details
}

#[test]
fn a_real_broker_without_a_password() {
    let tmp = Scratch::new("mqtt-open");
    let Some(real) = start(&tmp, "allow_anonymous true\n") else { return };
    let host = host(broker(real.1));
    let long = "ä\n".repeat(30_000);
    for (qos, topic, payload) in [(0, "home/0", "off"), (1, "home/1", ""), (1, "x", "\"on\""), (0, "home/l", &long)] {
        assert_eq!(publish(&host, topic, payload, qos), format!("{{\"published\":true,\"acked\":{}}}", qos == 1));
        if !payload.is_empty() {
            assert_eq!(subscribe(real.1, topic, &[]), format!("{payload}\n"), "{topic}");
        }
    }
}

#[test]
fn a_real_broker_with_a_password() {
    let tmp = Scratch::new("mqtt-password");
    let Some(passwords) = mosquitto("mosquitto_passwd") else { return };
    let file = tmp.root().place(Path::new("/passwords"));
    let made = Command::new(passwords).arg("-b").arg("-c").arg(&file).args(["toolgate", "s3cret"]).output();
    assert!(made.expect("mosquitto_passwd runs").status.success());
    let more = format!("allow_anonymous false\npassword_file {}\n", file.display());
    let Some(real) = start(&tmp, &more) else { return };
    let named = Broker { username: Some(String::from("toolgate")), ..broker(real.1) };
    let right = host(Broker { password: Some(hidden("s3cret")), ..named.clone() });
    for qos in [0, 1] {
        assert!(publish(&right, "home/a", &format!("on {qos}"), qos).starts_with("{\"published\":true"));
        let credentials = ["-u", "toolgate", "-P", "s3cret"];
        assert_eq!(subscribe(real.1, "home/a", &credentials), format!("on {qos}\n"));
    }
    for wrong in [Broker { password: Some(hidden("wrong")), ..named.clone() }, named, broker(real.1)] {
        let no = publish(&host(wrong), "home/a", "on", 1);
        assert!(no.starts_with("{\"status\":\"error\",\"error\":\"broker: does not "), "{no}");
    }
}
