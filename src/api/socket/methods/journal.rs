//! `logs.tail`, `diagnostics.stability`: the latest events of this gateway. Pure.

use super::super::facts::{Event, Facts};
use super::super::json::Json;
use super::super::params::Values;
use super::{Asked, Fault, Told};
use crate::limits::{LOGS_BYTES_DEFAULT, LOGS_LINES_DEFAULT};
use crate::tool::iso;

/// `logs.tail`: the events after `cursor`, which is the number of one. Where some of them are forgotten, or the number
/// is one of a life before a restart, `reset` says that the tail begins anew. Source: contract ws.md §4.10.
pub(super) fn tail(_: &Asked<'_>, values: &Values<'_>, facts: &dyn Facts) -> Result<Told<'static>, Fault> {
    let asked = |name: &str| values.integer(name).and_then(|number| u64::try_from(number).ok());
    let most =
        |name: &str, default: u32| usize::try_from(asked(name).unwrap_or(u64::from(default))).unwrap_or(usize::MAX);
    let events = facts.events_after(0, usize::MAX);
    let size = events.last().map_or(0, |event| event.number);
    let first = events.first().map_or(0, |event| event.number);
    let cursor = asked("cursor");
    let reset = cursor.is_some_and(|cursor| cursor > size || cursor.saturating_add(1) < first);
    let after = cursor.filter(|_| !reset).unwrap_or(0);
    let mut lines: Vec<String> = events.iter().filter(|event| event.number > after).rev().map(line).collect();
    let all = lines.len();
    lines.truncate(most("limit", LOGS_LINES_DEFAULT));
    let mut room = most("maxBytes", LOGS_BYTES_DEFAULT);
    let fitting = lines.iter().take_while(|line| {
        let left = room.checked_sub(line.len().saturating_add(1));
        room = left.unwrap_or(0);
        left.is_some()
    });
    let fitting = fitting.count();
    lines.truncate(fitting);
    let mut json = Json::object();
    json.string("file", "toolgate:memory").count("cursor", size).count("size", size);
    json.texts("lines", lines.iter().rev().map(String::as_str));
    json.flag("truncated", lines.len() < all).flag("reset", reset).close("}");
    Ok(Told::Payload(json.done()))
}

/// An event as a line of the reference's log, of which clients read time, level, subsystem and text.
fn line(event: &Event) -> String {
    const SUBSYSTEM: &str = r#"{"subsystem":"gateway"}"#;
    let time = time(event.wall_s.saturating_mul(1_000));
    let mut json = Json::object();
    json.string("0", SUBSYSTEM).string("1", &event.text).raw("\"_meta\":{").string("name", SUBSYSTEM);
    json.string("date", &time).string("logLevelName", event.level).close("}");
    json.string("time", &time).string("message", &event.text).close("}").done()
}

fn time(wall_ms: u64) -> String {
    iso(i64::try_from(wall_ms).unwrap_or(i64::MAX))
}

/// `diagnostics.stability`: nothing is recorded for it here.
pub(super) fn stability(_: &Asked<'_>, _: &Values<'_>, facts: &dyn Facts) -> Result<Told<'static>, Fault> {
    let mut json = Json::object();
    json.string("generatedAt", &time(facts.wall_ms()));
    json.raw(r#""capacity":0,"count":0,"dropped":0,"events":[],"summary":{"byType":{}}"#).close("}");
    Ok(Told::Payload(json.done()))
}
