//! `tools`, `agents`, `session` and `channels` → the rules of the policy chain. Pure. Source: contract http.md §4.

use super::fill::{At, number_if_any};
use super::node::{Node, member, quoted};
use super::{Findings, foreign};
use crate::gate::policy::{Agent, Channel, Group, Level, Lists, Policy, Profile, Provider, SessionRule};
use crate::gate::session::agent_id;

/// Every rule that the document holds; what follows from the tool table stays empty.
#[inline(never)]
pub(super) fn policy(root: &Node, findings: &mut Findings) -> Policy {
    let at = At::root(root);
    let (tools, agents, door) = (at.key("tools"), at.key("agents"), at.key("gateway").key("tools"));
    Policy {
        tools: level(&tools, findings),
        agents: list(&agents.key("list"), findings),
        default_model: model(&agents.key("defaults").key("model")),
        max_spawn_depth: number_if_any(root, "agents.defaults.subagents.maxSpawnDepth")
            .and_then(|depth| u32::try_from(depth).ok()),
        subagents: lists(&tools.key("subagents").key("tools"), findings),
        channels: channels(&at.key("channels"), findings),
        http_allow: door.list("allow"),
        http_deny: door.list("deny"),
        session: session(&at.key("session"), findings),
        groups: Vec::new(),
        http_deny_more: Vec::new(),
        known: Vec::new(),
    }
}

#[inline(never)]
fn level(at: &At<'_>, findings: &mut Findings) -> Level {
    let provider = |(key, at): (&str, At<'_>)| Provider {
        key: key.to_owned(),
        profile: profile(&at),
        lists: lists(&at, findings),
    };
    let by_provider = at.key("byProvider").entries().map(provider).collect();
    Level { profile: profile(at), lists: lists(at, findings), by_provider }
}

#[inline(never)]
fn profile(at: &At<'_>) -> Option<Profile> {
    match at.word("profile")? {
        "coding" => Some(Profile::Coding),
        "full" => Some(Profile::Full),
        "messaging" => Some(Profile::Messaging),
        "minimal" => Some(Profile::Minimal),
        _ => None,
    }
}

#[inline(never)]
fn lists(at: &At<'_>, findings: &mut Findings) -> Lists {
    let lists =
        Lists { allow: at.list_if_any("allow"), also_allow: at.list_if_any("alsoAllow"), deny: at.list("deny") };
    let filled = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    // An empty list restricts nothing, so the reference lets it stand beside the other.
    if filled(&lists.allow) && filled(&lists.also_allow) {
        let message = "allow and alsoAllow cannot both be set in one place; merge alsoAllow into allow, or use profile with alsoAllow";
        findings.error(&at.path, message);
    }
    lists
}

#[inline(never)]
fn model(at: &At<'_>) -> Option<String> {
    at.text().or_else(|| at.node?.get("primary")?.text()).map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned)
}

#[inline(never)]
fn list(at: &At<'_>, findings: &mut Findings) -> Vec<Agent> {
    let mut agents: Vec<Agent> = Vec::new();
    for item in at.items() {
        let Some(Node::Map(_)) = item.node else { continue };
        let written = item.key("id");
        let Some(text) = written.text() else {
            if !matches!(written.node, Some(other) if other.text().is_none()) {
                findings.error(&written.path, "every agent needs an id, such as \"main\"");
            }
            continue;
        };
        let id = agent_id(text);
        if agents.iter().any(|agent| agent.id == id) {
            findings.warn(&written.path, &["the id ", &quoted(&id), " is taken; only the first entry counts"].concat());
        }
        let default = item.flag("default", false);
        if default && agents.iter().any(|agent| agent.default) {
            findings.warn(&member(&item.path, "default"), "another agent is the default already; the first one counts");
        }
        agents.push(Agent {
            id,
            default,
            name: item.word("name").map(str::to_owned),
            model: model(&item.key("model")),
            tools: level(&item.key("tools"), findings),
        });
    }
    agents
}

#[inline(never)]
fn session(at: &At<'_>, findings: &mut Findings) -> SessionRule {
    let main = at.key("mainKey");
    let main_key = main.text().map(str::to_ascii_lowercase).filter(|key| key != "main");
    let main_key = main_key.filter(|key| {
        // A colon would make the main session look like one of another kind, a subagent's for instance.
        let fits = !key.contains(|c: char| c == ':' || c.is_whitespace() || c.is_control());
        if !fits {
            findings.error(&main.path, "expected one word without a colon, such as \"main\"");
        }
        fits
    });
    SessionRule { global: at.word("scope") == Some("global"), main_key }
}

#[inline(never)]
fn channels(at: &At<'_>, findings: &mut Findings) -> Vec<Channel> {
    let mut channels: Vec<Channel> = Vec::new();
    for (key, item) in at.entries() {
        let Some(id) = foreign::channel(key) else { continue };
        if channels.iter().any(|channel| channel.id == id) {
            findings.wrong(&item.path, &["the channel ", id, " is written twice; merge both into channels.", id]);
            continue;
        }
        let mut accounts: Vec<(String, Vec<Group>)> = Vec::new();
        for (account, item) in item.key("accounts").entries() {
            let account = account.trim().to_ascii_lowercase();
            if accounts.iter().any(|(own, _)| *own == account) {
                findings.warn(&item.path, "this account is written twice in different case; the first one counts");
            }
            if item.below("groups").is_some() {
                accounts.push((account, groups(&item.key("groups"), findings)));
            }
        }
        channels.push(Channel { id: id.to_owned(), groups: groups(&item.key("groups"), findings), accounts });
    }
    channels
}

#[inline(never)]
fn groups(at: &At<'_>, findings: &mut Findings) -> Vec<Group> {
    let mut groups = Vec::new();
    for (id, item) in at.entries() {
        let tools = item.key("tools");
        let mut by_sender = Vec::new();
        for (sender, item) in item.key("toolsBySender").entries() {
            let kinds = ["id:", "e164:", "username:", "name:"];
            let lower = sender.trim().to_ascii_lowercase();
            if lower != "*" && !kinds.iter().any(|kind| lower.starts_with(kind)) {
                findings
                    .warn(&item.path, "a sender without a kind counts as an id and is deprecated; write id: before it");
            }
            by_sender.push((sender.to_owned(), lists(&item, findings)));
        }
        let tools = matches!(tools.node, Some(Node::Map(_))).then(|| lists(&tools, findings));
        groups.push(Group { id: id.to_owned(), tools, by_sender });
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agent_ids() {
        let check = |text: &str, expected: &str| assert_eq!(agent_id(text), expected, "{text:?}");
        check("main", "main");
        check(" Ops ", "ops");
        check("Home Bot", "home-bot");
        check("a  b!c", "a-b-c");
        check("--", "main");
        check("a-!b", "a--b");
        check("ä", "main");
        check(&"x".repeat(70), &"x".repeat(64));
        check("_x", "_x");
    }
}
