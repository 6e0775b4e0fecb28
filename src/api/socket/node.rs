//! What nodes may call. This gateway never calls a node, so nothing is pending and every result is late. Pure.
//!
//! Source: contract ws.md §3.1, §6.

use super::json::Json;
use super::params::{self, Kind, Param, Shape};

/// One method: a row of [`METHODS`].
struct Method {
    name: &'static str,
    shape: &'static Shape,
    /// The members of the payload behind `nodeId`, if there is one; a blank payload is no payload.
    payload: &'static str,
    /// Whether the payload begins with the node's id.
    named: bool,
}

static ACK: Shape = Shape { params: &[Param::required("ids", Kind::Texts)], closed: true };
static DRAIN: Shape =
    Shape { params: &[Param::optional("maxItems", Kind::Integer { min: 1, max: Some(10) })], closed: true };
static EVENT: Shape = Shape {
    params: &[
        Param::required("event", Kind::NAME),
        Param::optional("payload", Kind::Any),
        Param::optional("payloadJSON", Kind::Any),
    ],
    closed: true,
};
static RESULT: Shape = Shape {
    params: &[
        Param::required("id", Kind::NAME),
        Param::required("nodeId", Kind::NAME),
        Param::required("ok", Kind::Boolean),
        Param::optional("payload", Kind::Any),
        Param::optional("payloadJSON", Kind::Any),
        Param::optional("error", Kind::Any),
    ],
    closed: true,
};

/// The methods, sorted by name. An event is taken and nothing comes of it.
static METHODS: [Method; 6] = [
    Method { name: "node.event", shape: &EVENT, payload: r#""ok":true"#, named: false },
    Method { name: "node.invoke.result", shape: &RESULT, payload: r#""ok":true,"ignored":true"#, named: false },
    Method { name: "node.pending.ack", shape: &ACK, payload: r#""ackedIds":[],"remainingCount":0"#, named: true },
    Method {
        name: "node.pending.drain",
        shape: &DRAIN,
        payload: r#""revision":0,"items":[],"hasMore":false"#,
        named: true,
    },
    Method { name: "node.pending.pull", shape: &Shape::EMPTY, payload: r#""actions":[]"#, named: true },
    Method { name: "skills.bins", shape: &Shape::EMPTY, payload: r#""bins":[]"#, named: false },
];

/// The names, sorted.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    METHODS.iter().map(|method| method.name)
}

/// Answers a call of `method` by the node with that id: `None` when it is no method of nodes.
///
/// # Errors
/// What is wrong with the parameters.
#[inline(never)]
pub(super) fn answer(
    method: &str,
    node: &str,
    params: Option<&serde_json::value::RawValue>,
) -> Option<Result<String, String>> {
    let method = METHODS.iter().find(|known| known.name == method)?;
    if let Err(why) = params::read(method.shape, params) {
        return Some(Err(["invalid ", method.name, " params: ", &why].concat()));
    }
    let mut json = Json::object();
    if method.named {
        json.string("nodeId", node);
    }
    Some(Ok(json.raw(method.payload).close("}").done()))
}
