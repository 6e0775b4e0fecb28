//! `toolgate explain`: what every step of the policy says about one tool name, and how to change it.

use super::args::{self, Toolgate};
use super::{complain, exit, load, push_cell, refuse, say, start};
use crate::api::socket::json::Json;
use crate::api::steps_json;
use crate::gate::Subject;
use crate::gate::policy::{Step, Trace, Verdict};
use crate::gate::scope::{Scopes, WRITE};
use crate::gate::session::Session;
use crate::tool;

/// What is printed. Source: contract cli.md, `explain --json`.
struct Explained<'a> {
    tool: &'a str,
    known: bool,
    exists: bool,
    allowed: bool,
}

/// Prints the verdict; the exit code says it too.
pub fn explain(asked: &Toolgate, question: &args::Explain) -> u8 {
    let name = question.tool.trim();
    if name.is_empty() {
        complain("explain: name a tool");
        return exit::USAGE;
    }
    let loaded = match load::load(asked) {
        Ok(loaded) => loaded,
        Err(findings) => return refuse(&findings),
    };
    let (gate, host) = start::stage(asked, loaded.config);
    // The name must be exact, as in a call: `Sessions_List` is no tool.
    let found = tool::survey(&host).into_iter().find(|(tool, _)| tool.name() == name);
    let exists = found.as_ref().is_some_and(|(_, present)| present.is_ok());
    let subject = Subject {
        tool: name,
        session: question.session.as_deref(),
        agent: None,
        channel: question.channel.as_deref(),
        account: question.account.as_deref(),
        exists,
        owner_only: found.as_ref().is_some_and(|(tool, _)| tool.owner_only()),
    };
    let scopes = Scopes::declared(question.scopes.as_deref());
    let (session, steps) = match gate.explain(&scopes, &subject) {
        Ok(explained) => explained,
        // Only a named agent can be in conflict with a key, and none is named here.
        Err(refusal) => return refuse(&[refusal.word().to_owned()]),
    };
    let may_call = scopes.covers(WRITE);
    let denied = steps.iter().any(|trace| trace.verdict == Verdict::Deny);
    let explained =
        Explained { tool: name, known: gate.rules().policy.knows(name), exists, allowed: !denied && may_call };
    if question.json {
        say(&json(&explained, &session, &steps));
        if !may_call {
            complain(&unscoped());
        }
    } else {
        let absent = found.and_then(|(_, present)| present.err());
        say(&text(&explained, &session, &steps, may_call, absent.as_deref()));
    }
    if explained.allowed { exit::OK } else { exit::FAILED }
}

/// The explanation for programs, in one line.
fn json(explained: &Explained<'_>, session: &Session, steps: &[Trace]) -> String {
    let mut json = Json::object();
    json.string("tool", explained.tool).flag("known", explained.known).flag("exists", explained.exists);
    json.flag("allowed", explained.allowed).key("session").raw("{");
    json.string("key", &session.key).string("agentId", &session.agent).close("}");
    json.key("steps").raw(&steps_json(steps)).close("}\n").done()
}

/// Why a caller without the scope for calls gets no further than 403, whatever the steps say.
fn unscoped() -> String {
    format!("a caller with these scopes is answered 403 before any step is asked: it needs {WRITE}")
}

/// The explanation for people: a heading, a line for each step in columns, the verdict.
fn text(explained: &Explained<'_>, session: &Session, steps: &[Trace], may_call: bool, absent: Option<&str>) -> String {
    let known = match (explained.exists, explained.known) {
        (true, _) => "a tool of this device",
        (false, true) => "known, but no tool of this device",
        (false, false) => "unknown",
    };
    let heading = [explained.tool, " (", known, ") in session ", &session.key, " of agent ", &session.agent, "\n"];
    let mut text = heading.concat();
    let width = |cell: fn(&Trace) -> usize| steps.iter().map(cell).max().unwrap_or_default();
    let names = width(|trace| trace.step.name().chars().count());
    let rules = width(|trace| trace.rule.as_deref().unwrap_or("-").chars().count());
    for trace in steps {
        let (rule, source) = (trace.rule.as_deref().unwrap_or("-"), trace.source.as_deref().unwrap_or("-"));
        text.push_str("  ");
        for (cell, width) in [(trace.step.name(), names), (trace.verdict.word(), 0), (rule, rules)] {
            push_cell(&mut text, cell, width);
        }
        text.extend([source, "\n"]);
    }
    match steps.iter().find(|trace| trace.verdict == Verdict::Deny) {
        Some(trace) => {
            // A list that holds it helps nobody where it does not exist.
            let gone = steps.last().filter(|last| last.verdict == Verdict::Deny);
            let fix = advice(explained.tool, gone.unwrap_or(trace), absent);
            let others: Vec<&str> =
                steps.iter().filter(|trace| trace.verdict == Verdict::Deny).skip(1).map(|t| t.step.name()).collect();
            let also =
                if others.is_empty() { String::new() } else { ["; refused also by ", &others.join(", ")].concat() };
            text.extend(["not allowed: step ", trace.step.name(), ": ", &fix, &also, "\n"]);
        }
        None if !may_call => text.extend(["not allowed: ", &unscoped(), "\n"]),
        None => text.push_str("allowed\n"),
    }
    text
}

/// What `trace`, which refuses `tool`, says in words, and what to change so that it no longer does.
fn advice(tool: &str, trace: &Trace, absent: Option<&str>) -> String {
    let rule = trace.rule.as_deref().unwrap_or_default();
    let source = trace.source.as_deref().unwrap_or_default();
    let list = source.rsplit_once('.').map(|(block, _)| block).unwrap_or_default();
    match (trace.step, source.rsplit('.').next()) {
        (Step::Exists, _) => match absent {
            Some(reason) => format!("absent here: {reason}"),
            None => "there is no such tool here; `toolgate tools --all` lists those there are".into(),
        },
        (Step::Owner, _) => "it is for owners only; the caller needs the scope operator.admin".into(),
        (_, Some("profile")) => {
            format!("the profile {rule} does not hold it; add \"{tool}\" to {list}.alsoAllow or choose another profile")
        }
        (_, Some("deny")) => format!("remove \"{rule}\" from {source}"),
        (_, Some("allow")) => format!("add \"{tool}\" to {source}"),
        (Step::Subagent, _) => {
            format!("refused to subagents by default; add \"{tool}\" to tools.subagents.tools.alsoAllow")
        }
        _ => format!("refused over the network by default; add \"{tool}\" to gateway.tools.allow"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_names_the_key_to_change() {
        let check = |step, rule: Option<&str>, source: Option<&str>, expected: &str| {
            let (rule, source) = (rule.map(String::from), source.map(String::from));
            let trace = Trace { step, verdict: Verdict::Deny, rule, source };
            assert_eq!(advice("canvas", &trace, None), expected);
        };
        let profile =
            "the profile minimal does not hold it; add \"canvas\" to tools.alsoAllow or choose another profile";
        check(Step::Profile, Some("minimal"), Some("tools.profile"), profile);
        check(Step::Tools, Some("group:ui"), Some("tools.deny"), "remove \"group:ui\" from tools.deny");
        let group = "channels.telegram.groups.-1.tools.allow";
        check(Step::Group, None, Some(group), &format!("add \"canvas\" to {group}"));
        check(
            Step::GatewayTools,
            Some("canvas"),
            Some("gateway.tools.deny"),
            "remove \"canvas\" from gateway.tools.deny",
        );
        let built_in = "refused over the network by default; add \"canvas\" to gateway.tools.allow";
        check(Step::GatewayTools, Some("canvas"), Some("built-in HTTP deny list"), built_in);
        let subagent = "refused to subagents by default; add \"canvas\" to tools.subagents.tools.alsoAllow";
        check(Step::Subagent, Some("canvas"), Some("built-in subagent deny list"), subagent);
        let owner = "it is for owners only; the caller needs the scope operator.admin";
        check(Step::Owner, Some("owner only"), None, owner);
        let nothing = "there is no such tool here; `toolgate tools --all` lists those there are";
        check(Step::Exists, None, None, nothing);
    }
}
