//! `mqtt_publish`: one message to a topic of the broker that the operator named. MQTT 3.1.1, just enough of it: CONNECT,
//! PUBLISH with QoS 0 or 1, DISCONNECT. Both answers that a broker may give have four bytes; no others are read.
//!
//! Source: OASIS "MQTT Version 3.1.1", cited as §.

use std::hint::black_box;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Instant;

use super::border::Who;
use super::host::Host;
use super::object::Object;
use super::pipe::Pipe;
use super::reach::{self, Fault};
use super::targets::{Broker, Hidden, Targets};
use super::url::bracketed;
use super::{Call, Later, Outcome};
use crate::limits::MQTT_SECS;

/// The number of the one message of a connection.
const NUMBER: u16 = 1;
/// DISCONNECT (§3.14).
const DISCONNECT: [u8; 2] = [0xe0, 0];

/// What is to be published, checked.
struct Letter<'a> {
    targets: Rc<Targets>,
    topic: &'a str,
    payload: &'a str,
    acked: bool,
    retain: bool,
}

/// Whether the operator named a broker and topics.
///
/// # Errors
/// Names the key.
pub(super) fn present(host: &Host) -> Result<(), String> {
    match &host.targets().mqtt {
        None => Err(String::from("tools.device.mqtt_publish names no broker")),
        Some(broker) if broker.topics.is_empty() => {
            Err(String::from("tools.device.mqtt_publish.topics names no topic"))
        }
        Some(_) => Ok(()),
    }
}

fn plan<'a>(host: &Host, call: &'a Call) -> Result<Letter<'a>, Outcome> {
    let targets = host.targets();
    let (topic, payload) = (call.args.text("topic").unwrap_or_default(), call.args.text("payload").unwrap_or_default());
    let begins = |prefix: &String| topic.starts_with(prefix.as_str());
    // A prefix in the configuration may be empty; a topic may not (§4.7.3).
    if topic.is_empty() || !targets.mqtt.as_ref().is_some_and(|broker| broker.topics.iter().any(begins)) {
        return Err(Outcome::soft("forbidden", "topic: begins with none of tools.device.mqtt_publish.topics"));
    }
    let acked = call.args.integer("qos") == Some(1);
    Ok(Letter { targets, topic, payload, acked, retain: call.args.flag("retain") })
}

/// What `mqtt_publish` would do, as a JSON object.
///
/// # Errors
/// The refusal that the call would get.
pub(super) fn would(host: &Host, call: &Call) -> Result<String, Outcome> {
    let letter = plan(host, call)?;
    let mut object = Object::new();
    if let Some(broker) = &letter.targets.mqtt {
        object.text("host", &broker.host).number("port", i64::from(broker.port));
    }
    object.text("topic", letter.topic).text("payload", letter.payload);
    Ok(object.number("qos", i64::from(letter.acked)).flag("retain", letter.retain).end())
}

/// `mqtt_publish`.
pub(super) fn publish<'a>(host: &'a Host, call: &'a Call) -> Later<'a> {
    Box::pin(async move {
        let letter = match plan(host, call) {
            Ok(letter) => letter,
            Err(outcome) => return outcome,
        };
        match deliver(host, &letter, Instant::now() + MQTT_SECS).await {
            Ok(()) => Object::new().flag("published", true).flag("acked", letter.acked).done(),
            Err(why) => Outcome::soft("error", &["broker: ", &why].concat()),
        }
    })
}

async fn deliver(host: &Host, letter: &Letter<'_>, until: Instant) -> Result<(), String> {
    let broker = letter.targets.mqtt.as_ref().ok_or("is not named any more")?;
    let mut random = [0; 4];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).map_err(|_| "finds no randomness")?;
    let id = format!("toolgate-{:08x}", u32::from_ne_bytes(random));
    let mut packets = [connect(&id, broker), message(letter)];
    let reached = reach::dial(host, Who::Operator, &bracketed(&broker.host), broker.port, until).await;
    let pipe = reached.map_err(|Fault(_, why)| why.to_owned())?.pipe;
    for (turn, packet) in packets.iter_mut().enumerate() {
        let packet = packet.as_mut().ok_or("is to get a text that is too long for MQTT")?;
        let mut answer = [0; 4];
        let wanted = if turn == 0 || letter.acked { answer.as_mut_slice() } else { &mut [] };
        let heard = exchange(&pipe, packet, wanted).await;
        // The password was in it.
        packet.fill(0);
        black_box(packet);
        heard.map_err(|error| match error.kind() {
            ErrorKind::TimedOut => "did not answer in time",
            _ => "closed the connection",
        })?;
        match turn {
            0 => connected(answer)?,
            _ if letter.acked => acknowledged(answer)?,
            _ => {}
        }
    }
    // Two bytes find room, and if they do not, the message is there all the same.
    _ = pipe.put(&DISCONNECT);
    Ok(())
}

/// Sends `out`, then fills `answer`.
async fn exchange(pipe: &Pipe, out: &[u8], mut answer: &mut [u8]) -> io::Result<()> {
    pipe.send(out).await?;
    while !answer.is_empty() {
        match pipe.read(answer).await? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => answer = answer.get_mut(count..).unwrap_or_default(),
        }
    }
    Ok(())
}

/// CONNECT (§3.1) with a clean session; `None` when a text is too long.
fn connect(id: &str, broker: &Broker) -> Option<Vec<u8>> {
    let password = broker.password.as_ref().and_then(Hidden::reveal);
    let mut flags = 0x02;
    let mut texts = Vec::new();
    field(&mut texts, id.as_bytes())?;
    if let Some(name) = &broker.username {
        flags |= 0x80;
        field(&mut texts, name.as_bytes())?;
        // Without a name there may be no password (§3.1.2.9).
        if let Some(password) = password {
            flags |= 0x40;
            field(&mut texts, password)?;
        }
    }
    let mut body = Vec::new();
    field(&mut body, b"MQTT")?;
    body.extend([4, flags]);
    // For how long the broker keeps a connection that says nothing.
    body.extend(u16::try_from(MQTT_SECS.as_secs()).unwrap_or(u16::MAX).to_be_bytes());
    body.append(&mut texts);
    packet(0x10, &body)
}

/// PUBLISH (§3.3); `None` when a text is too long.
fn message(letter: &Letter) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    field(&mut body, letter.topic.as_bytes())?;
    if letter.acked {
        body.extend(NUMBER.to_be_bytes());
    }
    body.extend(letter.payload.as_bytes());
    packet(0x30 | u8::from(letter.acked) << 1 | u8::from(letter.retain), &body)
}

/// A text behind its length (§1.5.3).
fn field(out: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    out.extend(u16::try_from(text.len()).ok()?.to_be_bytes());
    out.extend(text);
    Some(())
}

/// A packet: kind, remaining length in groups of seven bits, the lowest first (§2.2.3), body.
fn packet(kind: u8, body: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![kind];
    let mut left = body.len();
    for _ in 0..4 {
        let more = if left > 0x7f { 0x80 } else { 0 };
        out.push(u8::try_from(left & 0x7f).ok()? | more);
        left >>= 7;
        if more == 0 {
            out.extend(body);
            return Some(out);
        }
    }
    None
}

/// Whether the answer is a CONNACK (§3.2) that lets us in.
fn connected(answer: [u8; 4]) -> Result<(), &'static str> {
    match answer {
        [0x20, 2, 0 | 1, 0] => Ok(()),
        [0x20, 2, _, 1] => Err("does not speak MQTT 3.1.1"),
        [0x20, 2, _, 2] => Err("refuses this client's name"),
        [0x20, 2, _, 3] => Err("is not available"),
        [0x20, 2, _, 4] => Err("does not know the user name or the password"),
        [0x20, 2, _, 5] => Err("does not let this user in"),
        _ => Err(STRANGE),
    }
}

/// Whether the answer is the PUBACK (§3.4) of our message.
fn acknowledged(answer: [u8; 4]) -> Result<(), &'static str> {
    let [high, low] = NUMBER.to_be_bytes();
    if answer == [0x40, 2, high, low] { Ok(()) } else { Err(STRANGE) }
}

const STRANGE: &str = "answered what is not MQTT 3.1.1";

#[cfg(test)]
#[path = "mqtt_tests.rs"]
mod tests;
