//! Session keys and agent ids: text → what it names. Pure. Source: contract http.md §3.2.

use super::Refusal;
use super::policy::{Agent, Policy};
use crate::limits::AGENT_ID_CHARS_MAX;

/// A resolved session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The key, trimmed; `global` or `agent:<id>:<main key>` when the caller gave none.
    pub key: String,
    /// The agent the key belongs to, normalised.
    pub agent: String,
}

/// An agent id in its one spelling: trimmed, lower-case, runs of other characters than `[a-z0-9_-]` as one `-`, none
/// of those at the ends, at most [`AGENT_ID_CHARS_MAX`] characters; `main` when nothing is left.
///
/// Source: contract http.md §3.2.
pub fn agent_id(text: &str) -> String {
    id(text, "main")
}

/// A channel account's id in its one spelling, like [`agent_id`]; `default` when nothing is left.
///
/// Source: contract http.md §4.5.
pub fn account_id(text: &str) -> String {
    id(text, "default")
}

fn id(text: &str, blank: &str) -> String {
    let text = text.trim().to_ascii_lowercase();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    let canonical = text.len() <= AGENT_ID_CHARS_MAX
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.chars().all(plain);
    if canonical {
        return text;
    }
    let mut slug = String::with_capacity(text.len().min(AGENT_ID_CHARS_MAX));
    let mut gap = false;
    for c in text.chars() {
        if plain(c) {
            if gap {
                slug.push('-');
            }
            slug.push(c);
        }
        gap = !plain(c);
    }
    if gap {
        slug.push('-');
    }
    let short: String = slug.trim_matches('-').chars().take(AGENT_ID_CHARS_MAX).collect();
    if short.is_empty() { blank.to_owned() } else { short }
}

/// The agent a key names: the second part of `agent:<id>:<rest>`, empty parts dropped; `None` for any other key.
///
/// Source: contract http.md §3.2.
pub fn agent_of(key: &str) -> Option<String> {
    let mut parts = parts(key);
    let named = parts.next().filter(|first| first.eq_ignore_ascii_case("agent")).and(parts.next())?;
    parts.next()?;
    Some(agent_id(named))
}

/// The agent that keys without one belong to: the first marked default, else the first, else `main`.
///
/// Source: contract http.md §3.2.
pub fn default_agent(agents: &[Agent]) -> &str {
    agents.iter().find(|a| a.default).or(agents.first()).map_or("main", |a| a.id.as_str())
}

/// The session a caller means by `key` and `agent`, both as sent.
///
/// A key without an agent belongs to the agent named, else to the default one. An agent that is not configured is
/// accepted, as it is in keys: only the global rules hold for it.
///
/// # Errors
/// `AgentConflict` when the key names another agent.
///
/// Source: contract http.md §3.2, §3.3, and "How to read this" on non-agent keys and `session.mainKey`.
pub fn resolve(policy: &Policy, key: Option<&str>, agent: Option<&str>) -> Result<Session, Refusal> {
    let default = default_agent(&policy.agents);
    let named = agent.map(str::trim).filter(|a| !a.is_empty()).map(agent_id);
    let key = key.map(str::trim).unwrap_or_default();
    if key.is_empty() || key == "main" {
        let agent = named.unwrap_or_else(|| default.to_owned());
        let main = policy.session.main_key.as_deref().unwrap_or("main");
        let key = if policy.session.global { "global".to_owned() } else { ["agent:", &agent, ":", main].concat() };
        return Ok(Session { key, agent });
    }
    let agent = match (agent_of(key), named) {
        (Some(session), Some(agent)) if agent != session => {
            return Err(Refusal::AgentConflict { agent: agent.into(), session: session.into() });
        }
        (Some(session), _) => session,
        (None, named) => named.unwrap_or_else(|| default.to_owned()),
    };
    Ok(Session { key: key.to_owned(), agent })
}

/// How deep a subagent's key is: the number of `:subagent:` in it; `None` when it is no subagent's.
///
/// A bare `subagent:x` has depth 0. Source: contract http.md §3.2, §4.6.
pub fn subagent_depth(key: &str) -> Option<u32> {
    // Nearly every key: nothing to look at, and nothing allocated.
    rfind_ignore_case(key, "subagent:")?;
    let key = key.to_ascii_lowercase();
    let mut own = parts(&key);
    // The rest of an agent's key counts only if something follows: `agent:x:subagent` is no subagent's key.
    let rest =
        own.next() == Some("agent") && own.next().is_some() && own.next() == Some("subagent") && own.next().is_some();
    let depth = || u32::try_from(key.matches(":subagent:").count()).unwrap_or(u32::MAX);
    (rest || key.starts_with("subagent:")).then(depth)
}

/// A conversation of many: the channel it is on and the names it may be configured under, most exact first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// The channel's id, lower-case, aliases resolved.
    pub channel: String,
    /// The whole id, then without sender, then without topic.
    pub candidates: Vec<String>,
}

/// The group or channel conversation a key names: `(agent:<id>:)?<channel>:(group|channel):<id>`, with a
/// `:thread:<x>` at its end ignored. `None` for any other key.
///
/// Source: contract http.md §3.2, §4.5.
pub fn conversation(key: &str) -> Option<Conversation> {
    let key = match rfind_ignore_case(key, ":thread:") {
        Some((base, thread)) if !thread.trim().is_empty() => base,
        _ => key,
    };
    let mut parts = parts(key).peekable();
    if parts.next_if(|first| first.eq_ignore_ascii_case("agent")).is_some() {
        parts.next()?;
    }
    let channel = channel_id(parts.next()?);
    parts.next().filter(|kind| kind.eq_ignore_ascii_case("group") || kind.eq_ignore_ascii_case("channel"))?;
    let id = parts.collect::<Vec<_>>().join(":");
    let id = id.trim();
    (!id.is_empty()).then(|| Conversation { channel, candidates: candidates(id) })
}

/// A channel's id in its one spelling: trimmed, lower-case, aliases resolved. Source: contract http.md §4.5.
pub fn channel_id(text: &str) -> String {
    let id = text.trim().to_ascii_lowercase();
    match id.as_str() {
        "gchat" | "google-chat" => "googlechat".to_owned(),
        "imsg" => "imessage".to_owned(),
        "internet-relay-chat" => "irc".to_owned(),
        _ => id,
    }
}

fn candidates(id: &str) -> Vec<String> {
    let mut all = vec![id];
    let mut rest = id;
    for marker in [":sender:", ":topic:"] {
        // A suffix is one part: what has a colon in it belongs to the id.
        if let Some((base, tail)) = rfind_ignore_case(rest, marker)
            && !base.is_empty()
            && !tail.is_empty()
            && !tail.contains(':')
        {
            all.push(base);
            rest = base;
        }
    }
    all.into_iter().map(str::to_owned).collect()
}

fn parts(key: &str) -> impl Iterator<Item = &str> {
    key.split(':').filter(|part| !part.is_empty())
}

/// Splits around the last `marker`, which is ASCII.
fn rfind_ignore_case<'a>(text: &'a str, marker: &str) -> Option<(&'a str, &'a str)> {
    let at = text.as_bytes().windows(marker.len()).rposition(|part| part.eq_ignore_ascii_case(marker.as_bytes()))?;
    let (base, tail) = text.split_at_checked(at)?;
    Some((base, tail.get(marker.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::policy::SessionRule;

    #[test]
    fn ids_have_one_spelling() {
        let check = |text: &str, expected: &str| assert_eq!(agent_id(text), expected, "{text:?}");
        check("main", "main");
        check(" Home Bot ", "home-bot");
        check("ops_1-x", "ops_1-x");
        check("_x", "_x");
        check("-x-", "x");
        check("a!!b", "a-b");
        check("küche", "k-che");
        check("", "main");
        check("  ", "main");
        check("!!!", "main");
        check(&"a".repeat(64), &"a".repeat(64));
        check(&"a".repeat(80), &"a".repeat(64));
        assert_eq!(account_id(" "), "default");
        assert_eq!(account_id("My Bot"), "my-bot");
    }

    fn policy(agents: &[(&str, bool)], global: bool, main_key: Option<&str>) -> Policy {
        let agents =
            agents.iter().map(|(id, default)| Agent { id: agent_id(id), default: *default, ..Agent::default() });
        Policy {
            agents: agents.collect(),
            session: SessionRule { global, main_key: main_key.map(String::from) },
            ..Policy::default()
        }
    }

    #[test]
    fn a_key_names_a_session() {
        let check = |policy: &Policy, key: Option<&str>, expected: (&str, &str)| {
            let got = resolve(policy, key, None).unwrap();
            assert_eq!((got.key.as_str(), got.agent.as_str()), expected, "{key:?}");
        };
        let bare = policy(&[], false, None);
        check(&bare, None, ("agent:main:main", "main"));
        check(&bare, Some("  main "), ("agent:main:main", "main"));
        check(&bare, Some(" "), ("agent:main:main", "main"));
        check(&bare, Some("Main"), ("Main", "main"));
        check(&bare, Some("agent:ops:main"), ("agent:ops:main", "ops"));
        check(&bare, Some(" Agent:Ops Team:x "), ("Agent:Ops Team:x", "ops-team"));
        check(&bare, Some("agent:full"), ("agent:full", "main"));
        check(&bare, Some("agent::full:x"), ("agent::full:x", "full"));
        // ns-agents_list: the default is the marked one, else the first; its id is normalised.
        let two = policy(&[("zeta", false), ("Home Bot", true)], false, Some("work"));
        check(&two, None, ("agent:home-bot:work", "home-bot"));
        check(&two, Some("telegram:group:-2"), ("telegram:group:-2", "home-bot"));
        check(&two, Some("agent:zeta"), ("agent:zeta", "home-bot"));
        check(&policy(&[("zeta", false), ("b", false)], false, None), None, ("agent:zeta:main", "zeta"));
        check(&policy(&[("zeta", false)], true, Some("work")), None, ("global", "zeta"));
    }

    #[test]
    fn a_named_agent_must_exist_and_agree() {
        let two = policy(&[("zeta", false), ("home", true)], false, None);
        let check = |key: Option<&str>, agent: &str, expected: Result<(&str, &str), Refusal>| {
            let got = resolve(&two, key, Some(agent));
            let got = got.as_ref().map(|s| (s.key.as_str(), s.agent.as_str())).map_err(Clone::clone);
            assert_eq!(got, expected, "{key:?} {agent}");
        };
        check(None, "zeta", Ok(("agent:zeta:main", "zeta")));
        check(Some("main"), " Zeta ", Ok(("agent:zeta:main", "zeta")));
        check(Some("agent:zeta:x"), "zeta", Ok(("agent:zeta:x", "zeta")));
        check(Some("cron:7"), "zeta", Ok(("cron:7", "zeta")));
        check(None, "", Ok(("agent:home:main", "home")));
        check(None, "nobody", Ok(("agent:nobody:main", "nobody")));
        check(None, "main", Ok(("agent:main:main", "main")));
        let conflict = Refusal::AgentConflict { agent: "home".into(), session: "zeta".into() };
        check(Some("agent:zeta:x"), "home", Err(conflict));
        assert_eq!(resolve(&policy(&[], false, None), None, Some("main")).unwrap().agent, "main");
    }

    #[test]
    fn subagents_are_told_by_their_key() {
        let check = |key: &str, expected: Option<u32>| assert_eq!(subagent_depth(key), expected, "{key:?}");
        check("agent:full:subagent:abc", Some(1));
        check("agent:full:subagent:a:subagent:b", Some(2));
        check("Agent:Full:SubAgent:abc", Some(1));
        check("subagent:x", Some(0));
        check("subagent:x:subagent:y", Some(1));
        check("agent:full:main", None);
        check("agent:full:subagent", None);
        check("agent:full:telegram:subagent:x", None);
        check("agent:subagent:x", None);
        check("global", None);
    }

    #[test]
    fn groups_are_told_by_their_key() {
        let check = |key: &str, expected: Option<(&str, &[&str])>| {
            let got = conversation(key);
            let got = got.as_ref().map(|c| (c.channel.as_str(), c.candidates.iter().map(String::as_str).collect()));
            assert_eq!(got, expected.map(|(channel, ids)| (channel, ids.to_vec())), "{key:?}");
        };
        check("agent:full:telegram:group:-100", Some(("telegram", &["-100"])));
        check("telegram:channel:-200", Some(("telegram", &["-200"])));
        check("Telegram:GROUP:Room", Some(("telegram", &["Room"])));
        check("imsg:group:7", Some(("imessage", &["7"])));
        check("telegram:group:-1:thread:9", Some(("telegram", &["-1"])));
        check("telegram:group:-1:topic:9", Some(("telegram", &["-1:topic:9", "-1"])));
        check("telegram:group:-1:sender:9", Some(("telegram", &["-1:sender:9", "-1"])));
        check("telegram:group:-1:topic:9:sender:4", Some(("telegram", &["-1:topic:9:sender:4", "-1:topic:9", "-1"])));
        check("telegram:group:a:b:topic:c:d", Some(("telegram", &["a:b:topic:c:d"])));
        check("matrix:group:!x:example.org", Some(("matrix", &["!x:example.org"])));
        for other in ["telegram:direct:-200", "agent:full:main", "telegram:group", "telegram:group::", "group:1", ""] {
            check(other, None);
        }
    }
}
