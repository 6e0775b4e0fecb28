//! `sessions_list`, `sessions_history`, `session_status`: what the session table shows to whom.
//!
//! The reference keeps conversations; a gateway without a model has calls. A call is shown as the message of an
//! assistant that calls a tool, and its end as a tool result, so that a client of the reference finds its shapes.
//! What a session may see of others is the reference's default, its own tree. Source: contract http.md §5.2.

use std::borrow::Cow;

use serde::Serialize;

use super::host::{Host, Visibility};
use super::ledger::{Entry, Made};
use super::object::quoted;
use super::{Call, Outcome, fit};
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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    key: String,
    agent_id: String,
    kind: &'static str,
    channel: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_message_preview: Option<String>,
    updated_at: i64,
    session_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<Message>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_name: Option<Cow<'static, str>>,
    content: Vec<Block>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_error: Option<bool>,
    timestamp: i64,
}

#[derive(Serialize)]
struct Block {
    r#type: &'static str,
    id: String,
    name: Cow<'static, str>,
}

/// The latest `limit` messages about the calls of `entry`, oldest first; `ends` adds how each call ended.
fn messages(entry: &Entry, limit: usize, ends: bool) -> Vec<Message> {
    let calls = entry.calls();
    let first = entry.total.saturating_sub(u64::try_from(calls.len()).unwrap_or(0));
    let mut all = Vec::new();
    for (number, Made { wall_ms, tool, good }) in (first..).zip(calls) {
        let wall_ms = *wall_ms;
        let id = format!("call-{number}");
        let content = vec![Block { r#type: "toolCall", id: id.clone(), name: tool.clone() }];
        all.push(Message {
            role: "assistant",
            tool_call_id: None,
            tool_name: None,
            content,
            is_error: None,
            timestamp: wall_ms,
        });
        if ends {
            all.push(Message {
                role: "toolResult",
                tool_call_id: Some(id),
                tool_name: Some(tool.clone()),
                content: Vec::new(),
                is_error: Some(!*good),
                timestamp: wall_ms,
            });
        }
    }
    all.split_off(all.len().saturating_sub(limit))
}

/// `sessions_list`.
pub(super) fn list(host: &Host, call: &Call) -> Outcome {
    #[derive(Serialize)]
    struct Details {
        count: usize,
        sessions: Vec<Row>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        truncated: bool,
    }
    let table = host.sessions.borrow();
    let limit = call.args.count("limit").unwrap_or(usize::MAX);
    let mut sessions: Vec<Row> = table
        .latest()
        .into_iter()
        .filter(|entry| visible(host, &call.session, &entry.session.key, &entry.session.agent).is_ok())
        .filter_map(|entry| row(host, call, entry))
        .take(limit)
        .collect();
    let mut room = host.result_bytes.get();
    let truncated = fit(&mut sessions, usize::MAX, &mut room);
    Outcome::done(&Details { count: sessions.len(), sessions, truncated })
}

/// The row of `entry`, if it passes the caller's filters.
fn row(host: &Host, call: &Call, entry: &Entry) -> Option<Row> {
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
    let key = entry.session.key.to_ascii_lowercase();
    if args.text("search").is_some_and(|part| !key.contains(&part.to_ascii_lowercase())) {
        return None;
    }
    let idle_ms = call.now.boot_ms.saturating_sub(entry.used.boot_ms);
    if args.integer("activeMinutes").is_some_and(|minutes| idle_ms > minutes.saturating_mul(60_000)) {
        return None;
    }
    let limit = args.count("messageLimit").unwrap_or(0).min(SESSION_LIST_MESSAGES);
    let last = entry.calls().next_back().filter(|_| args.flag("includeLastMessage"));
    Some(Row {
        key: entry.session.key.clone(),
        agent_id: entry.session.agent.clone(),
        kind,
        channel,
        last_message_preview: last.map(|made| made.tool.clone().into_owned()),
        updated_at: entry.used.wall_ms,
        session_id: entry.id.clone(),
        messages: if limit == 0 { None } else { Some(messages(entry, limit, false)) },
    })
}

/// `sessions_history`.
pub(super) fn history(host: &Host, call: &Call) -> Outcome {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Details<'a> {
        session_key: &'a str,
        messages: Vec<Message>,
        truncated: bool,
        dropped_messages: bool,
        content_truncated: bool,
        content_redacted: bool,
        bytes: usize,
    }
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
    let cut = fit(&mut messages, usize::MAX, &mut room);
    Outcome::done(&Details {
        session_key: key,
        messages,
        truncated: cut || forgotten,
        dropped_messages: cut || forgotten,
        content_truncated: false,
        content_redacted: false,
        bytes: host.result_bytes.get().saturating_sub(room),
    })
}

/// `session_status`. A session that is not there or not to be seen is a failure, as on the reference.
pub(super) fn status(host: &Host, call: &Call) -> Outcome {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Details<'a> {
        ok: bool,
        session_key: &'a str,
        changed_model: bool,
        status_text: &'a str,
    }
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
    match Outcome::done(&Details { ok: true, session_key: key, changed_model: false, status_text: &text }) {
        Outcome::Done { details, .. } => Outcome::Done { details, text: Some(text) },
        other => other,
    }
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
