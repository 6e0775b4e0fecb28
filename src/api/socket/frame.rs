//! A message ⇄ frames: requests are read, answers and events are written. Pure.
//!
//! Clients check every frame against a closed schema and drop what does not fit, without a word; so an optional key is
//! either there with a value or not there. Source: contract ws.md §3.

use serde_json::value::RawValue;

use super::json::Json;
use super::params::{self, Kind, Param, Shape};
use crate::api::envelope::plain;
use crate::limits::{JSON_DEPTH_MAX, SOCKET_ID_BYTES};
use crate::tool::depth;

/// What a client may say. Other keys are ignored, because a newer client's must not cut it off; the reference refuses
/// them. Source: contract ws.md §2.2 (leniency is safe), §3.
static REQUEST: Shape = Shape {
    params: &[
        Param::required("type", Kind::Word(&"req")),
        Param::required("id", Kind::Text { min: 1, max: SOCKET_ID_BYTES as u32 }),
        Param::required("method", Kind::NAME),
        Param::optional("params", Kind::Any),
    ],
    closed: false,
};

/// A request.
#[derive(Debug)]
pub(super) struct Request<'m> {
    /// Its id, as JSON.
    pub id: &'m str,
    /// The method.
    pub method: String,
    /// The parameters, as sent.
    pub params: Option<&'m RawValue>,
}

/// What a message is.
#[derive(Debug)]
pub(super) enum Heard<'m> {
    /// JSON, but no request: its id as JSON, and what is wrong.
    Faulty(&'m str, String),
    /// No JSON.
    Noise,
    /// A request.
    Request(Request<'m>),
}

/// Reads a message.
pub(super) fn read(message: &[u8]) -> Heard<'_> {
    let Ok(text) = std::str::from_utf8(message) else { return Heard::Noise };
    let Ok(raw) = serde_json::from_str::<&RawValue>(text) else { return Heard::Noise };
    let read = match raw.get() {
        "null" => Err("must be object".into()),
        json if depth(json) > JSON_DEPTH_MAX => Err(format!("nested deeper than {JSON_DEPTH_MAX} levels")),
        _ => params::read(&REQUEST, Some(raw)),
    };
    match read {
        Ok(values) => {
            let (id, method) = (values.raw("id").map_or("", RawValue::get), values.raw("method").and_then(plain));
            Heard::Request(Request { id, method: method.unwrap_or_default(), params: values.raw("params") })
        }
        Err(why) => Heard::Faulty(id(raw), why),
    }
}

/// The id of what is no request: as sent, whatever it is, unless it is missing or long.
fn id(raw: &RawValue) -> &str {
    static ID: Shape = Shape { params: &[Param::optional("id", Kind::Any)], closed: false };
    let id = params::read(&ID, Some(raw)).ok().and_then(|values| values.raw("id"));
    id.map(RawValue::get).filter(|id| id.len() <= SOCKET_ID_BYTES).unwrap_or("\"invalid\"")
}

/// The answer to a request that went well.
pub(super) fn reply(id: &str, payload: &str) -> String {
    begin(&mut Json::sized(payload.len()), id).raw(payload).close("}").done()
}

/// Writes an answer up to its payload, which must follow.
pub(super) fn begin<'j>(json: &'j mut Json, id: &str) -> &'j mut Json {
    json.raw("{").string("type", "res").key("id").raw(id).flag("ok", true).key("payload")
}

/// An error.
#[derive(Debug, Default)]
pub(super) struct Flop {
    /// The code; blank is `INVALID_REQUEST`.
    pub code: &'static str,
    /// The text.
    pub message: String,
    /// What a program may read, as JSON.
    pub details: Option<String>,
    /// In how many seconds the same request may go well; zero = never.
    pub retry_secs: u32,
}

impl Flop {
    /// An `INVALID_REQUEST` without details.
    pub fn new(message: impl Into<String>) -> Flop {
        Flop { message: message.into(), ..Flop::default() }
    }
}

/// The answer to a request that did not go well.
pub(super) fn refusal(id: &str, flop: &Flop) -> String {
    let mut json = Json::object();
    json.string("type", "res").key("id").raw(id).flag("ok", false).key("error").raw("{");
    json.string("code", if flop.code.is_empty() { "INVALID_REQUEST" } else { flop.code });
    json.string("message", &flop.message);
    if let Some(details) = &flop.details {
        json.key("details").raw(details);
    }
    if flop.retry_secs > 0 {
        json.flag("retryable", true).count("retryAfterMs", u64::from(flop.retry_secs).saturating_mul(1000));
    }
    json.close("}}").done()
}

/// An event. `seq` counts what is sent to everybody, from 1 for each socket; `versions` (presence, health) go with the
/// events `presence` and `health` only. Source: contract ws.md §3, §5.
pub fn event(name: &str, payload: &str, seq: Option<u64>, versions: Option<(u64, u64)>) -> String {
    let mut json = Json::object();
    json.string("type", "event").string("event", name).key("payload").raw(payload);
    if let Some(seq) = seq {
        json.count("seq", seq);
    }
    if let Some((presence, health)) = versions {
        json.key("stateVersion").raw("{").count("presence", presence).count("health", health).close("}");
    }
    json.close("}").done()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The id and the method of a request, or the id and what is wrong.
    type Said<'s> = Result<(&'s str, &'s str), (&'s str, &'s str)>;

    /// What a message is; `None` = noise.
    fn check(message: &[u8], expected: Option<Said<'_>>) {
        let shown = String::from_utf8_lossy(message);
        match (read(message), expected) {
            (Heard::Noise, None) => {}
            (Heard::Faulty(id, why), Some(Err(expected))) => assert_eq!((id, why.as_str()), expected, "{shown:.80}"),
            (Heard::Request(request), Some(Ok(expected))) => {
                assert_eq!((request.id, request.method.as_str()), expected, "{shown:.80}");
            }
            (heard, _) => panic!("{shown:.80}: {heard:?}"),
        }
    }

    #[test]
    fn messages() {
        let wrong = |id, why| Some(Err((id, why)));
        for noise in ["", " ", "{bad", "{\"type\":\"req\"", "nul", "{}{}", "\u{feff}{}"] {
            check(noise.as_bytes(), None);
        }
        check(b"{\"type\":\"req\",\"id\":\"\xff\",\"method\":\"health\"}", None);
        check(br#" {"type":"req","id":"a","method":"health"} "#, Some(Ok(("\"a\"", "health"))));
        check(br#"{"type":"req","id":"a","method":"h\u0065alth","params":null}"#, Some(Ok(("\"a\"", "health"))));
        // The last of two counts, and what is unknown is ignored.
        check(br#"{"type":"x","id":1,"type":"req","id":"b","method":"m","x":[{}]}"#, Some(Ok(("\"b\"", "m"))));
        for none in ["[]", "[{\"id\":\"a\"}]", "\"a\"", "1", "null", "true"] {
            check(none.as_bytes(), wrong("\"invalid\"", "must be object"));
        }
        let missing = "must have required property 'type'; must have required property 'id'; must have required property 'method'";
        check(b"{}", wrong("\"invalid\"", missing));
        for id in ["1", "null", "{\"a\":[1]}", "[]", "true", "1e400"] {
            let message = format!(r#"{{"type":"req","id":{id},"method":"health"}}"#);
            check(message.as_bytes(), wrong(id, "at /id: must be string"));
        }
        let empty = "at /id: must NOT have fewer than 1 characters";
        check(br#"{"type":"req","id":"","method":"health"}"#, wrong("\"\"", empty));
        let id = format!("\"{}\"", "a".repeat(SOCKET_ID_BYTES + 1));
        let message = format!(r#"{{"type":"req","id":{id},"method":"health"}}"#);
        check(message.as_bytes(), wrong("\"invalid\"", "at /id: must NOT have more than 256 characters"));
        check(br#"{"type":"req","id":"a","method":7}"#, wrong("\"a\"", "at /method: must be string"));
        check(br#"{"type":"event","id":"a","method":"m"}"#, wrong("\"a\"", "at /type: must be equal to constant"));
    }

    #[test]
    fn depth_is_looked_at_before_anything_reads() {
        let deep = "[".repeat(64 * 1024);
        check(deep.as_bytes(), None);
        let closed = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
        check(closed.as_bytes(), Some(Err(("\"invalid\"", "nested deeper than 64 levels"))));
        let params = format!("{}{}", "[".repeat(64), "]".repeat(64));
        let message = format!(r#"{{"type":"req","id":"a","method":"m","params":{params}}}"#);
        check(message.as_bytes(), Some(Err(("\"a\"", "nested deeper than 64 levels"))));
        let params = format!("{}{}", "[".repeat(63), "]".repeat(63));
        let message = format!(r#"{{"type":"req","id":"a","method":"m","params":{params}}}"#);
        check(message.as_bytes(), Some(Ok(("\"a\"", "m"))));
    }

    #[test]
    fn frames_hold_no_key_without_a_value() {
        assert_eq!(reply("7", "null"), r#"{"type":"res","id":7,"ok":true,"payload":null}"#);
        let error = r#"{"type":"res","id":"a","ok":false,"error":{"code":"INVALID_REQUEST","message":"no \"x\""}}"#;
        assert_eq!(refusal("\"a\"", &Flop::new("no \"x\"")), error);
        let flop = Flop { code: "UNAVAILABLE", message: "m".into(), details: Some("{\"a\":1}".into()), retry_secs: 1 };
        let error = r#"{"code":"UNAVAILABLE","message":"m","details":{"a":1},"retryable":true,"retryAfterMs":1000}"#;
        assert!(refusal("1", &flop).ends_with(&format!("\"error\":{error}}}")), "{}", refusal("1", &flop));
        let tick = r#"{"type":"event","event":"tick","payload":{"ts":1},"seq":1}"#;
        assert_eq!(event("tick", r#"{"ts":1}"#, Some(1), None), tick);
        let health =
            r#"{"type":"event","event":"health","payload":{},"seq":2,"stateVersion":{"presence":3,"health":4}}"#;
        assert_eq!(event("health", "{}", Some(2), Some((3, 4))), health);
        assert_eq!(event("x", "1", None, None), r#"{"type":"event","event":"x","payload":1}"#);
    }
}
