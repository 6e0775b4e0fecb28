//! Where in the configuration a rule stands, and which entries there match nothing at all.

use std::fmt;

use super::catalogue::{GROUPS, PLUGINS, reference_names};
use super::matching::{glob, normal};
use super::{Group, Lists, Policy};

/// A block of the configuration that holds lists.
#[derive(Debug, Clone, Copy)]
pub(super) enum Block<'a> {
    /// `gateway.tools`
    Gateway,
    /// The group `group` of `channel`, or of one account on it; for one sender when `sender` is given.
    Group { channel: &'a str, account: Option<&'a str>, group: &'a str, sender: Option<&'a str> },
    /// The provider `key` of the global `tools` block, or of the nth agent's.
    Provider { agent: Option<usize>, key: &'a str },
    /// `tools.subagents.tools`
    Subagents,
    /// The global `tools` block, or the nth agent's.
    Tools(Option<usize>),
}

impl fmt::Display for Block<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Block::Gateway => f.write_str("gateway.tools"),
            Block::Group { channel, account, group, sender } => {
                write!(f, "channels.{channel}")?;
                if let Some(account) = account {
                    write!(f, ".accounts.{account}")?;
                }
                write!(f, ".groups.{group}")?;
                match sender {
                    Some(sender) => write!(f, ".toolsBySender.{sender}"),
                    None => f.write_str(".tools"),
                }
            }
            Block::Provider { agent, key } => write!(f, "{}.byProvider.{key}", Block::Tools(*agent)),
            Block::Subagents => f.write_str("tools.subagents.tools"),
            Block::Tools(None) => f.write_str("tools"),
            Block::Tools(Some(nth)) => write!(f, "agents.list[{nth}].tools"),
        }
    }
}

/// Where the rule that decided stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    /// In a list this program brings.
    BuiltIn(&'static str),
    /// Under this key of a block.
    Key(Block<'a>, &'static str),
    /// Nowhere: nothing is configured.
    Nowhere,
}

impl Place<'_> {
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Place::BuiltIn(list) => Some(format!("built-in {list}")),
            Place::Key(block, key) => Some(format!("{block}.{key}")),
            Place::Nowhere => None,
        }
    }
}

impl Policy {
    /// Whether `name` is a tool of this gateway or one the reference knows, in any spelling.
    pub fn knows(&self, name: &str) -> bool {
        let name = normal(name);
        self.names(&|known| normal(known) == name)
    }

    /// Entries that can never match: no tool of this gateway, no tool or group of the reference. Each with the key it
    /// stands under, in the order of the configuration; for one warning each at start. Source: contract http.md §4.2.
    pub fn unknown_entries(&self) -> Vec<(String, String)> {
        let mut unknown = Vec::new();
        self.each_entry(&mut |block, key, entry| {
            let matches = match block {
                // Exact names only, so another spelling is as good as nothing.
                Block::Gateway => self.names(&|name| name == entry),
                _ => self.matches_something(entry),
            };
            if !matches {
                unknown.push((format!("{block}.{key}"), entry.to_owned()));
            }
        });
        unknown
    }

    fn matches_something(&self, entry: &str) -> bool {
        let pattern = normal(entry);
        let group = GROUPS.iter().any(|(name, _)| *name == pattern)
            || self.groups.iter().any(|(name, _)| normal(name) == pattern);
        pattern.is_empty() || pattern == PLUGINS || group || self.names(&|name| glob(&pattern, &normal(name)))
    }

    /// Whether `test` holds for the name of any tool.
    fn names(&self, test: &dyn Fn(&str) -> bool) -> bool {
        let mut own = self.known.iter().chain(&self.http_deny_more);
        own.any(|name| test(name)) || reference_names().any(test)
    }

    fn each_entry<'a>(&'a self, see: &mut dyn FnMut(Block<'a>, &'static str, &'a str)) {
        let levels = std::iter::once((None, &self.tools))
            .chain(self.agents.iter().enumerate().map(|(nth, agent)| (Some(nth), &agent.tools)));
        for (agent, level) in levels {
            each_of(Block::Tools(agent), &level.lists, see);
            for provider in &level.by_provider {
                each_of(Block::Provider { agent, key: &provider.key }, &provider.lists, see);
            }
        }
        each_of(Block::Subagents, &self.subagents, see);
        for channel in &self.channels {
            each_of_groups(&channel.id, None, &channel.groups, see);
            for (account, groups) in &channel.accounts {
                each_of_groups(&channel.id, Some(account), groups, see);
            }
        }
        for (key, list) in [("allow", &self.http_allow), ("deny", &self.http_deny)] {
            list.iter().for_each(|entry| see(Block::Gateway, key, entry));
        }
    }
}

fn each_of_groups<'a>(
    channel: &'a str,
    account: Option<&'a str>,
    groups: &'a [Group],
    see: &mut dyn FnMut(Block<'a>, &'static str, &'a str),
) {
    for group in groups {
        let block = |sender| Block::Group { channel, account, group: &group.id, sender };
        if let Some(lists) = &group.tools {
            each_of(block(None), lists, see);
        }
        for (sender, lists) in &group.by_sender {
            each_of(block(Some(sender)), lists, see);
        }
    }
}

fn each_of<'a>(block: Block<'a>, lists: &'a Lists, see: &mut dyn FnMut(Block<'a>, &'static str, &'a str)) {
    let optional = |list: &'a Option<Vec<String>>| list.as_deref().unwrap_or_default();
    let all = [
        ("allow", optional(&lists.allow)),
        ("alsoAllow", optional(&lists.also_allow)),
        ("deny", lists.deny.as_slice()),
    ];
    for (key, list) in all {
        list.iter().for_each(|entry| see(block, key, entry));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Agent, Channel, Level, Provider};
    use super::*;

    #[test]
    fn entries_that_match_nothing_are_named_with_their_place() {
        let list = |text: &str| text.split_whitespace().map(String::from).collect::<Vec<_>>();
        let lists = |allow: &str, also: &str, deny: &str| Lists {
            allow: Some(list(allow)),
            also_allow: Some(list(also)),
            deny: list(deny),
        };
        let policy = Policy {
            tools: Level {
                lists: lists("Sessions_* bash group:plugins group:device typo1", "group:nope", "terminal nope*"),
                by_provider: vec![Provider { key: "openai".into(), lists: lists("", "", "typo2"), profile: None }],
                profile: None,
            },
            agents: vec![Agent {
                tools: Level { lists: lists("device_*", "", "typo3"), ..Level::default() },
                ..Agent::default()
            }],
            subagents: lists("", "typo4", ""),
            channels: vec![Channel {
                id: "telegram".into(),
                groups: vec![Group {
                    id: "*".into(),
                    tools: Some(lists("typo5", "", "")),
                    by_sender: vec![("*".into(), lists("", "", "typo6"))],
                }],
                accounts: vec![(
                    "bot".into(),
                    vec![Group { id: "-1".into(), tools: Some(lists("", "", "typo7")), ..Group::default() }],
                )],
            }],
            http_allow: list("cron CRON bash wake_nas *"),
            http_deny: list("whatsapp_login device_status"),
            http_deny_more: list("wake_nas"),
            groups: vec![("group:device".into(), list("device_status"))],
            known: list("device_status"),
            ..Policy::default()
        };
        let found = policy.unknown_entries();
        let found: Vec<_> = found.iter().map(|(source, entry)| (source.as_str(), entry.as_str())).collect();
        let expected = [
            ("tools.allow", "typo1"),
            ("tools.alsoAllow", "group:nope"),
            ("tools.deny", "nope*"),
            ("tools.byProvider.openai.deny", "typo2"),
            ("agents.list[0].tools.deny", "typo3"),
            ("tools.subagents.tools.alsoAllow", "typo4"),
            ("channels.telegram.groups.*.tools.allow", "typo5"),
            ("channels.telegram.groups.*.toolsBySender.*.deny", "typo6"),
            ("channels.telegram.accounts.bot.groups.-1.tools.deny", "typo7"),
            ("gateway.tools.allow", "CRON"),
            ("gateway.tools.allow", "bash"),
            ("gateway.tools.allow", "*"),
        ];
        assert_eq!(found, expected);
        assert!(policy.knows("Device_Status") && policy.knows("bash") && policy.knows("pdf") && !policy.knows("nope"));
    }
}
