//! `sessions_list`, `sessions_history`, `session_status`: what the session table shows to whom.
//!
//! The reference keeps conversations; a gateway without a model has calls. A call is shown as the message of an
//! assistant that calls a tool, and its end as a tool result, so that a client of the reference finds its shapes.
//! What a session may see of others is the reference's default, its own tree. Source: contract http.md §5.2.

use super::host::{Host, Visibility};
use super::ledger::{Entry, Made};
use super::object::{Object, fill, fit, quoted};
use super::{Call, Outcome};
use crate::gate::session::{self, Session};
use crate::limits::SESSION_LIST_MESSAGES;

const OUTSIDE_SELF: &str =
    "Session history visibility is restricted to the current session (tools.sessions.visibility=self).";
const OUTSIDE_TREE: &str =
    "Session history visibility is restricted to the current session tree (tools.sessions.visibility=tree).";
const OTHER_AGENT: &str =
    "Session history visibility is restricted. Set tools.sessions.visibility=all to allow cross-agent access.";

/// Whether `own` may look into the session `key` of `agent`; the reference's text for why not.
fn visible(host: &Host, own: &Session, key: &str, agent: &str) -> Result<(), &'static str> {
    let below = || key.strip_prefix(own.key.as_str()).is_some_and(|rest| rest.starts_with(":subagent:"));
    if key == own.key || host.visibility == Visibility::All {
        Ok(())
    } else if agent != own.agent {
        Err(OTHER_AGENT)
    } else {
        match host.visibility {
            Visibility::Own => Err(OUTSIDE_SELF),
            Visibility::Tree if !below() => Err(OUTSIDE_TREE),
            _ => Ok(()),
        }
    }
}

/// The agent a key that a caller names belongs to. The bare word `main` is on the reference a session of the agent
/// `main`, never the caller's own: recorded in seed-sessions_history and ns-history. Source: contract http.md §3.2.
fn agent_of(host: &Host, key: &str) -> String {
    if key == "main" {
        return String::from("main");
    }
    session::agent_of(key).unwrap_or_else(|| host.default_agent())
}

/// What a key says about its session: the reference's `kind` and `channel`.
fn kind(host: &Host, key: &str) -> (&'static str, String) {
    let parts: Vec<&str> = key.split(':').filter(|part| !part.is_empty()).collect();
    let rest = match parts.as_slice() {
        ["agent", _, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    let internal = || String::from("internal");
    match rest {
        [one] if *one == host.main_key() || *one == "main" || *one == "global" => ("main", String::from("unknown")),
        ["cron", ..] => ("cron", internal()),
        ["hook", ..] => ("hook", internal()),
        ["node", ..] => ("node", internal()),
        [first, ..] if first.starts_with("node-") => ("node", internal()),
        [channel, "group" | "channel", _, ..] => ("group", channel.to_ascii_lowercase()),
        _ => ("other", String::from("unknown")),
    }
}

/// The latest `limit` messages about the calls of `entry`, oldest first; `ends` adds how each call ended.
fn messages(entry: &Entry, limit: usize, ends: bool) -> Vec<String> {
    let calls = entry.calls();
    let first = entry.total.saturating_sub(u64::try_from(calls.len()).unwrap_or(0));
    let each = if ends { 2 } else { 1 };
    let mut skip = calls.len().saturating_mul(each).saturating_sub(limit);
    let mut all = Vec::new();
    for (number, made) in (first..).zip(calls) {
        for end in [false, true].into_iter().take(each) {
            if skip == 0 {
                all.push(message(number, made, end));
            }
            skip = skip.saturating_sub(1);
        }
    }
    all
}

/// That a tool was called, or how the call ended.
fn message(number: u64, made: &Made, end: bool) -> String {
    let id = ["call-", &number.to_string()].concat();
    let mut json = Object::new();
    if end {
        json.text("role", "toolResult").text("toolCallId", &id).text("toolName", &made.tool);
        json.raw("content", "[]").flag("isError", !made.good);
    } else {
        let mut block = Object::new();
        block.text("type", "toolCall").text("id", &id).text("name", &made.tool);
        json.text("role", "assistant").list("content", &[block.end()]);
    }
    json.number("timestamp", made.wall_ms).end()
}

/// `sessions_list`.
pub(super) fn list(host: &Host, call: &Call) -> Outcome {
    let table = host.sessions.borrow();
    let limit = call.args.count("limit").unwrap_or(usize::MAX);
    let mut sessions: Vec<String> = table
        .latest()
        .into_iter()
        .filter(|entry| visible(host, &call.session, &entry.session.key, &entry.session.agent).is_ok())
        .filter_map(|entry| row(host, call, entry))
        .take(limit)
        .collect();
    let cut = fit(&mut sessions, usize::MAX, host.result_bytes.get());
    let mut json = Object::new();
    json.count("count", Some(sessions.len() as u64)).list("sessions", &sessions).truncated(cut).done()
}

/// The row of `entry`, if it passes the caller's filters.
fn row(host: &Host, call: &Call, entry: &Entry) -> Option<String> {
    let args = &call.args;
    let (kind, channel) = kind(host, &entry.session.key);
    let known = ["main", "group", "cron", "hook", "node", "other"];
    // Words that are no kind are ignored, and a list of nothing else filters nothing, as on the reference.
    let mut kinds = args.texts("kinds").iter().map(|word| word.trim().to_ascii_lowercase());
    let mut wanted = kinds.by_ref().filter(|word| known.contains(&word.as_str())).peekable();
    if wanted.peek().is_some() && !wanted.any(|word| word == kind) {
        return None;
    }
    if args.text("agentId").is_some_and(|id| !id.eq_ignore_ascii_case(&entry.session.agent))
        || args.text("label").is_some()
    {
        return None;
    }
    if args.text("search").is_some_and(|part| !entry.matches(part)) {
        return None;
    }
    let idle_ms = call.now.boot_ms.saturating_sub(entry.used.boot_ms);
    if args.integer("activeMinutes").is_some_and(|minutes| idle_ms > minutes.saturating_mul(60_000)) {
        return None;
    }
    let limit = args.count("messageLimit").unwrap_or(0).min(SESSION_LIST_MESSAGES);
    let last = entry.calls().next_back().filter(|_| args.flag("includeLastMessage"));
    let mut json = Object::new();
    json.text("key", &entry.session.key).text("agentId", &entry.session.agent);
    json.text("kind", kind).text("channel", &channel);
    if let Some(made) = last {
        json.text("lastMessagePreview", &made.tool);
    }
    json.number("updatedAt", entry.used.wall_ms).text("sessionId", &entry.id);
    if limit > 0 {
        json.list("messages", &messages(entry, limit, false));
    }
    Some(json.end())
}

/// `sessions_history`.
pub(super) fn history(host: &Host, call: &Call) -> Outcome {
    let key = call.args.text("sessionKey").unwrap_or_default();
    if let Err(why) = visible(host, &call.session, key, &agent_of(host, key)) {
        return Outcome::soft("forbidden", why);
    }
    let table = host.sessions.borrow();
    let limit = call.args.count("limit").unwrap_or(usize::MAX);
    let entry = table.find(key);
    let mut messages = entry.map(|e| messages(e, limit, call.args.flag("includeTools"))).unwrap_or_default();
    let forgotten = entry.is_some_and(|e| u64::try_from(e.calls().len()).is_ok_and(|kept| kept < e.total));
    let mut room = host.result_bytes.get();
    let cut = fill(&mut messages, usize::MAX, &mut room) || forgotten;
    let mut json = Object::new();
    json.text("sessionKey", key).list("messages", &messages).flag("truncated", cut).flag("droppedMessages", cut);
    json.flag("contentTruncated", false).flag("contentRedacted", false);
    json.count("bytes", Some(host.result_bytes.get().saturating_sub(room) as u64)).done()
}

/// `session_status`. A session that is not there or not to be seen is a failure, as on the reference.
pub(super) fn status(host: &Host, call: &Call) -> Outcome {
    let own_main = format!("agent:{}:{}", call.session.agent, host.main_key());
    let key = match call.args.text("sessionKey") {
        None | Some("current") => call.session.key.as_str(),
        Some("main") => own_main.as_str(),
        Some(key) => key,
    };
    if let Err(why) = visible(host, &call.session, key, &agent_of(host, key)) {
        return Outcome::Failed(String::from(why));
    }
    let table = host.sessions.borrow();
    let Some(entry) = table.find(key) else {
        return Outcome::Failed(["session_status: no call was made in session ", &quoted(key)].concat());
    };
    let text = card(host, call, entry);
    let mut json = Object::new();
    json.flag("ok", true).text("sessionKey", key).flag("changedModel", false).text("statusText", &text);
    Outcome::Done { details: json.end(), text: Some(text) }
}

/// The card: the reference's lines as far as they mean something without a model.
fn card(host: &Host, call: &Call, entry: &Entry) -> String {
    let idle_s = call.now.boot_ms.saturating_sub(entry.used.boot_ms) / 1_000;
    let ago = match idle_s {
        ..60 => String::from("just now"),
        60..3_600 => format!("{}m ago", idle_s / 60),
        3_600..86_400 => format!("{}h ago", idle_s / 3_600),
        _ => format!("{}d ago", idle_s / 86_400),
    };
    let last = entry.calls().next_back();
    let last = last.map_or(String::new(), |m| format!(" · last: {} {}", m.tool, if m.good { "ok" } else { "failed" }));
    let plural = if entry.total == 1 { "" } else { "s" };
    format!(
        "🔧 toolgate {}\n🧵 Session: {} • updated {ago}\n🧮 Calls: {} call{plural}{last}\n⚙️ Execution: direct · Agent: {} · Kind: {}",
        env!("CARGO_PKG_VERSION"),
        entry.session.key,
        entry.total,
        entry.session.agent,
        kind(host, &entry.session.key).0,
    )
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
