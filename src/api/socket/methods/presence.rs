//! `node.list`, `node.describe`, `system-event`: clients that are there, and what somebody tells of one. Pure.

use super::super::facts::Facts;
use super::super::json::Json;
use super::super::params::{self, Kind, Param, Shape, Values};
use super::super::roll::{Entry, LISTS, TEXTS};
use super::{Asked, Fault, Told};

/// What is read of an event; the words of [`TEXTS`] and [`LISTS`]. Members of another kind count as absent.
static EVENT: Shape = Shape {
    closed: false,
    params: &[
        Param::optional("host", Kind::Any),
        Param::optional("ip", Kind::Any),
        Param::optional("version", Kind::Any),
        Param::optional("platform", Kind::Any),
        Param::optional("deviceFamily", Kind::Any),
        Param::optional("modelIdentifier", Kind::Any),
        Param::optional("mode", Kind::Any),
        Param::optional("reason", Kind::Any),
        Param::optional("deviceId", Kind::Any),
        Param::optional("instanceId", Kind::Any),
        Param::optional("text", Kind::Any),
        Param::optional("roles", Kind::Any),
        Param::optional("scopes", Kind::Any),
        Param::optional("tags", Kind::Any),
        Param::optional("lastInputSeconds", Kind::Any),
    ],
};

/// `node.list`: nodes may connect, but there is no command that is sent to them. Source: contract ws.md §4.11.
pub(super) fn nodes(_: &Asked<'_>, _: &Values<'_>, facts: &dyn Facts) -> Result<Told<'static>, Fault> {
    let mut json = Json::object();
    json.count("ts", facts.wall_ms()).raw("\"nodes\":[");
    for entry in facts.roll().borrow().nodes() {
        push(json.raw("{"), entry);
    }
    Ok(Told::Payload(json.close("]}").done()))
}

/// `node.describe`. Source: contract ws.md §4.12.
pub(super) fn node(_: &Asked<'_>, values: &Values<'_>, facts: &dyn Facts) -> Result<Told<'static>, Fault> {
    let id = values.text("nodeId").unwrap_or_default();
    let roll = facts.roll().borrow();
    let unknown = || Fault::invalid("unknown nodeId".into());
    let entry = roll.nodes().find(|entry| entry.text("deviceId") == id.trim()).ok_or_else(unknown)?;
    let mut json = Json::object();
    push(json.count("ts", facts.wall_ms()), entry);
    Ok(Told::Payload(json.done()))
}

/// Writes the members of a node and closes its object.
fn push(json: &mut Json, node: &Entry) {
    let members = [
        ("nodeId", "deviceId"),
        ("displayName", "host"),
        ("platform", "platform"),
        ("version", "version"),
        ("deviceFamily", "deviceFamily"),
        ("modelIdentifier", "modelIdentifier"),
        ("remoteIp", "ip"),
        ("clientMode", "mode"),
    ];
    for (key, name) in members {
        let text = node.text(name);
        if !text.is_empty() {
            json.string(key, text);
        }
    }
    json.raw(r#""caps":[],"commands":[],"paired":false,"connected":true"#).close("}");
}

/// `system-event`. Source: contract ws.md §4.20.
pub(super) fn event(asked: &Asked<'_>, _: &Values<'_>, facts: &dyn Facts) -> Result<Told<'static>, Fault> {
    let absent = || Fault::invalid("text required".into());
    let values = params::read(&EVENT, asked.params).map_err(|_| absent())?;
    let text = values.text("text").filter(|text| !text.trim().is_empty()).ok_or_else(absent)?;
    let mut entry = Entry::default();
    parse(&mut entry, text.trim());
    entry.set("text", &text);
    // What the members say counts before what the text says.
    for name in &TEXTS {
        entry.set(name, &values.text(name).unwrap_or_default());
    }
    for name in &LISTS {
        values.texts(name).iter().for_each(|text| entry.add(name, text));
    }
    entry.last_input(values.integer("lastInputSeconds").and_then(|seconds| u64::try_from(seconds).ok()));
    let names = ["deviceId", "instanceId", "host", "ip", "text"].iter();
    let key = names.map(|name| entry.text(name)).find(|key| !key.is_empty()).unwrap_or_default().to_owned();
    entry.rename(&key);
    facts.roll().borrow_mut().event(&entry, facts.now());
    Ok(Told::Announce(r#"{"ok":true}"#.into()))
}

/// Reads `Node: HOST (IP) · app VERSION · last input Ns ago · mode MODE · reason REASON`; whatever of it is there.
#[inline(never)]
fn parse(entry: &mut Entry, text: &str) {
    static WORDS: [(&str, &str); 5] =
        [("Node: ", "host"), ("app ", "version"), ("last input ", ""), ("mode ", "mode"), ("reason ", "reason")];
    if !text.starts_with("Node:") {
        return;
    }
    for part in text.split('·').map(str::trim) {
        for (word, name) in &WORDS {
            match part.strip_prefix(word) {
                Some(rest) if name.is_empty() => {
                    entry.last_input(rest.strip_suffix("s ago").and_then(|seconds| seconds.parse().ok()));
                }
                Some(rest) => entry.set(name, rest),
                None => {}
            }
        }
    }
    let host = entry.text("host").to_owned();
    if let Some((host, ip)) = host.split_once(" (") {
        entry.set("host", host);
        entry.set("ip", ip.strip_suffix(')').unwrap_or(ip));
    }
}
