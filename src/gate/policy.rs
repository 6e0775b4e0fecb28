//! The tool policy chain: lists, profiles and groups → one verdict with the step and the rule that decided. Pure.
//!
//! Source: contract http.md §4.
//!
//! One evaluator judges a step and borrows all it says; a call stops at the first refusal and builds nothing, an
//! explanation asks every step and turns the answers into text.

mod catalogue;
mod chain;
mod matching;
#[cfg(test)]
mod naive;
mod places;
#[cfg(test)]
mod tests;

pub use catalogue::{HTTP_DENY, OWNER_ONLY};

/// A step of the chain, in the order it is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The profile of the agent, else the global one.
    Profile,
    /// The profile of the model's provider.
    ByProviderProfile,
    /// The global lists.
    Tools,
    /// The global lists of the model's provider.
    ToolsByProvider,
    /// The agent's lists.
    Agent,
    /// The agent's lists of the model's provider.
    AgentByProvider,
    /// The group's lists.
    Group,
    /// The rules for subagents.
    Subagent,
    /// The HTTP deny list and `gateway.tools`.
    GatewayTools,
    /// Owner-only tools.
    Owner,
    /// Whether the tool is there at all.
    Exists,
}

impl Step {
    /// Every step, in the order taken. Source: contract http.md §4.2, cli.md `explain`.
    pub const ALL: [Step; 11] = [
        Step::Profile,
        Step::ByProviderProfile,
        Step::Tools,
        Step::ToolsByProvider,
        Step::Agent,
        Step::AgentByProvider,
        Step::Group,
        Step::Subagent,
        Step::GatewayTools,
        Step::Owner,
        Step::Exists,
    ];

    /// The step's name in `explain`. Source: contract cli.md.
    pub fn name(self) -> &'static str {
        match self {
            Step::Profile => "profile",
            Step::ByProviderProfile => "byProvider.profile",
            Step::Tools => "tools",
            Step::ToolsByProvider => "tools.byProvider",
            Step::Agent => "agent",
            Step::AgentByProvider => "agent.byProvider",
            Step::Group => "group",
            Step::Subagent => "subagent",
            Step::GatewayTools => "gateway.tools",
            Step::Owner => "owner",
            Step::Exists => "exists",
        }
    }

    /// The stable reason word for a refusal by this step.
    pub fn word(self) -> &'static str {
        match self {
            Step::Profile => "policy_profile",
            Step::ByProviderProfile => "policy_by_provider_profile",
            Step::Tools => "policy_tools",
            Step::ToolsByProvider => "policy_tools_by_provider",
            Step::Agent => "policy_agent",
            Step::AgentByProvider => "policy_agent_by_provider",
            Step::Group => "policy_group",
            Step::Subagent => "policy_subagent",
            Step::GatewayTools => "policy_gateway_tools",
            Step::Owner => "owner_only",
            Step::Exists => "tool_unknown",
        }
    }
}

/// What one step says about one tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The step refuses the tool.
    Deny,
    /// The step looked and lets the tool pass.
    Pass,
    /// The step has no rule here, or does not concern this session or tool.
    Skip,
}

impl Verdict {
    /// The word `explain` uses. Source: contract cli.md.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Deny => "deny",
            Verdict::Pass => "pass",
            Verdict::Skip => "skip",
        }
    }
}

/// One line of an explanation. Source: contract cli.md `explain`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The step.
    pub step: Step,
    /// What it says.
    pub verdict: Verdict,
    /// The entry that decided, as written; `None` when no single entry did.
    pub rule: Option<String>,
    /// Where that entry stands, or the list that the tool is missing from.
    pub source: Option<String>,
}

/// A named base list. Source: contract http.md §4.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// `coding`
    Coding,
    /// `full`: no restriction.
    Full,
    /// `messaging`
    Messaging,
    /// `minimal`
    Minimal,
}

/// Allow and deny lists of one place in the configuration. Entries are kept as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lists {
    /// `allow`; absent and empty both mean no restriction.
    pub allow: Option<Vec<String>>,
    /// `alsoAllow`; absent and empty differ (an agent's empty list replaces the global one).
    pub also_allow: Option<Vec<String>>,
    /// `deny`.
    pub deny: Vec<String>,
}

/// The rules for one provider (`provider` or `provider/model`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provider {
    /// The key as written.
    pub key: String,
    /// The profile for this provider.
    pub profile: Option<Profile>,
    /// The lists for this provider.
    pub lists: Lists,
}

/// A `tools` block, global or of an agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Level {
    /// The profile.
    pub profile: Option<Profile>,
    /// The lists.
    pub lists: Lists,
    /// The rules by provider, in the order written.
    pub by_provider: Vec<Provider>,
}

/// One entry of `agents.list`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Agent {
    /// The id, normalised ([`super::session::agent_id`]).
    pub id: String,
    /// Whether the entry says `default`.
    pub default: bool,
    /// The agent's name, if it has one.
    pub name: Option<String>,
    /// The agent's model, `provider/model`.
    pub model: Option<String>,
    /// The agent's tool rules.
    pub tools: Level,
}

/// The rules of one group of one channel. Source: contract http.md §4.5.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// The group's id as written, or `*`.
    pub id: String,
    /// Lists for the group.
    pub tools: Option<Lists>,
    /// Lists by sender key as written.
    pub by_sender: Vec<(String, Lists)>,
}

/// The groups of one channel, or of one account on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Channel {
    /// The channel's id, lower-case.
    pub id: String,
    /// The groups of the channel itself.
    pub groups: Vec<Group>,
    /// The groups by account id, lower-case.
    pub accounts: Vec<(String, Vec<Group>)>,
}

/// How session keys are read. Source: contract http.md §3.2.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionRule {
    /// `session.scope: "global"`.
    pub global: bool,
    /// `session.mainKey`, normalised; `None` = `main`.
    pub main_key: Option<String>,
}

/// Every rule of the chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// The global `tools` block.
    pub tools: Level,
    /// `agents.list`, in the order written.
    pub agents: Vec<Agent>,
    /// `agents.defaults.model`, `provider/model`.
    pub default_model: Option<String>,
    /// `agents.defaults.subagents.maxSpawnDepth`; 1 when absent, at least 1.
    pub max_spawn_depth: Option<u32>,
    /// `tools.subagents.tools`.
    pub subagents: Lists,
    /// `channels.*` with groups.
    pub channels: Vec<Channel>,
    /// `gateway.tools.allow`: exact names taken off the HTTP deny list.
    pub http_allow: Vec<String>,
    /// `gateway.tools.deny`: exact names put on it.
    pub http_deny: Vec<String>,
    /// How session keys are read.
    pub session: SessionRule,
    /// Groups this gateway adds (`group:device`, …) and their members, from the tool table.
    pub groups: Vec<(String, Vec<String>)>,
    /// Names on the HTTP deny list beyond the documented ones (tools of tier 3).
    pub http_deny_more: Vec<String>,
    /// Every tool name that exists here, for finding unknown entries.
    pub known: Vec<String>,
}
