//! `toolgate tools`: the tools of this device under this configuration, and why the others are not there.

use std::fmt::Write;

use serde::Serialize;
use serde_json::value::RawValue;

use super::args::{self, Toolgate};
use super::{load, refuse, say, start};
use crate::gate::policy::Verdict;
use crate::gate::scope::Scopes;
use crate::gate::{Gate, Subject};
use crate::tool::{self, Listed};

#[derive(Serialize)]
struct Row {
    name: String,
    tier: &'static str,
    group: String,
    source: &'static str,
    summary: String,
    available: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    parameters: Option<Box<RawValue>>,
}

/// Prints the list.
pub fn list(asked: &Toolgate, listing: &args::Tools) -> u8 {
    let loaded = match load::load(asked) {
        Ok(loaded) => loaded,
        Err(findings) => return refuse(&findings),
    };
    let (gate, host) = start::stage(asked, loaded.config);
    let rows: Vec<Row> = tool::survey(&host)
        .into_iter()
        .map(|(tool, present)| {
            let reason = present.and_then(|()| allowed(&gate, &tool, listing.session.as_deref()));
            row(&tool, reason)
        })
        .filter(|row| row.available || listing.all)
        .collect();
    if listing.json {
        say(&format!("{}\n", serde_json::to_string_pretty(&rows).unwrap_or_default()));
    } else {
        say(&table(&rows));
    }
    super::exit::OK
}

/// Whether the policy lets an owner call `tool`; why not, otherwise.
fn allowed(gate: &Gate, tool: &Listed, session: Option<&str>) -> Result<(), String> {
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

fn row(tool: &Listed, reason: Result<(), String>) -> Row {
    Row {
        name: tool.name().into(),
        tier: tool.tier().word(),
        group: format!("group:{}", tool.group()),
        source: tool.source(),
        summary: tool.summary().into(),
        available: reason.is_ok(),
        reason: reason.err(),
        parameters: RawValue::from_string(tool.schema_json()).ok(),
    }
}

fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for row in rows {
        // Writing to a String cannot fail.
        _ = write!(text, "{:width$}  {:7}  {:14}  {}", row.name, row.tier, row.group, row.summary);
        _ = match &row.reason {
            Some(reason) => writeln!(text, "\n{:width$}  absent: {reason}", ""),
            None => writeln!(text),
        };
    }
    text
}
