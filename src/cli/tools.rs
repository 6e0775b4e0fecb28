//! `toolgate tools`: the tools of this device under this configuration, and why the others are not there.

use super::args::{self, Toolgate};
use super::{load, push_cell, refuse, say, start};
use crate::api::socket::json::Json;
use crate::gate::policy::Verdict;
use crate::gate::scope::Scopes;
use crate::gate::{Gate, Subject};
use crate::tool::{self, Listed};

struct Row {
    name: String,
    tier: &'static str,
    group: String,
    source: &'static str,
    summary: String,
    available: bool,
    /// `absent` or `refused`, and why.
    reason: Option<(&'static str, String)>,
    /// JSON.
    parameters: String,
}

/// Prints the list.
pub fn list(asked: &Toolgate, listing: &args::Tools) -> u8 {
    let loaded = match load::load(asked) {
        Ok(loaded) => loaded,
        Err(findings) => return refuse(&findings),
    };
    let (gate, host) = start::stage(asked, loaded.config);
    let mut rows = Vec::new();
    for (tool, present) in tool::survey(&host) {
        let reason = match present {
            Ok(()) => allowed(&gate, &tool, listing.session.as_deref()).map_err(|why| ("refused", why)),
            Err(why) => Err(("absent", why)),
        };
        if reason.is_ok() || listing.all {
            rows.push(row(&tool, reason));
        }
    }
    if listing.json {
        say(&json(&rows));
    } else {
        say(&table(&rows));
    }
    super::exit::OK
}

/// Whether the policy lets an owner call `tool`; why not, otherwise.
pub(super) fn allowed(gate: &Gate, tool: &Listed, session: Option<&str>) -> Result<(), String> {
    let subject = Subject {
        tool: tool.name(),
        session,
        agent: None,
        channel: None,
        account: None,
        exists: true,
        owner_only: tool.owner_only(),
    };
    let (_, steps) = gate.explain(&Scopes::full(), &subject).map_err(|refusal| refusal.word().to_owned())?;
    match steps.into_iter().find(|trace| trace.verdict == Verdict::Deny) {
        Some(trace) => Err(format!("policy step {}: {}", trace.step.name(), trace.rule.unwrap_or_default())),
        None => Ok(()),
    }
}

fn row(tool: &Listed, reason: Result<(), (&'static str, String)>) -> Row {
    Row {
        name: tool.name().into(),
        tier: tool.tier().word(),
        group: ["group:", tool.group()].concat(),
        source: tool.source(),
        summary: tool.summary().into(),
        available: reason.is_ok(),
        reason: reason.err(),
        parameters: tool.schema_json(),
    }
}

/// The rows as JSON, a line for each member.
fn json(rows: &[Row]) -> String {
    let quoted = |text: &str| Json::default().text(text).done();
    let mut text = String::from("[");
    for (at, row) in rows.iter().enumerate() {
        let available = if row.available { "true" } else { "false" };
        let members = [
            ("name", quoted(&row.name)),
            ("tier", quoted(row.tier)),
            ("group", quoted(&row.group)),
            ("source", quoted(row.source)),
            ("summary", quoted(&row.summary)),
            ("available", available.into()),
            ("reason", row.reason.as_ref().map(|(_, why)| quoted(why)).unwrap_or_default()),
            ("parameters", row.parameters.clone()),
        ];
        let mut before = if at == 0 { "\n  {\n" } else { ",\n  {\n" };
        for (key, value) in members.iter().filter(|(_, value)| !value.is_empty()) {
            text.extend([before, "    \"", key, "\": ", value]);
            before = ",\n";
        }
        text.push_str("\n  }");
    }
    text.push_str(if rows.is_empty() { "]\n" } else { "\n]\n" });
    text
}

fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for row in rows {
        for (cell, width) in [(&*row.name, width), (row.tier, 7), (&row.group, 14)] {
            push_cell(&mut text, cell, width);
        }
        text.extend([&row.summary, "\n"]);
        if let Some((how, why)) = &row.reason {
            push_cell(&mut text, "", width);
            text.extend([how, ": ", why, "\n"]);
        }
    }
    text
}
