//! The chain itself: what each step says about one tool in one session. Source: contract http.md §4.2.

use std::borrow::Cow;

use super::catalogue::{HTTP_DENY, LEAF_DENY, OWNER_ONLY, SUBAGENT_DENY};
use super::matching::{Ruling, Said, normal, strs};
use super::places::{Block, Place};
use super::{Agent, Channel, Group, Level, Lists, Policy, Profile, Provider, Step, Trace, Verdict};
use crate::gate::Subject;
use crate::gate::session::{Session, account_id, channel_id, conversation, subagent_depth};

/// What the chain is asked about, looked up once.
struct Case<'a> {
    /// The tool as the caller spelled it.
    tool: &'a str,
    /// The tool in its one spelling.
    name: Cow<'a, str>,
    session: &'a Session,
    account: Option<&'a str>,
    owner: bool,
    owner_only: bool,
    exists: bool,
    /// The session's agent, if it is configured, and its place in the list.
    agent: Option<(usize, &'a Agent)>,
    /// The model of that agent, else the default one.
    model: Option<&'a str>,
}

/// What a step says. Borrows everything: turning it into text is for explanations only.
struct Finding<'a> {
    verdict: Verdict,
    rule: Option<&'a str>,
    place: Place<'a>,
}

impl<'a> Finding<'a> {
    const SKIP: Finding<'static> = Finding { verdict: Verdict::Skip, rule: None, place: Place::Nowhere };
    const PASS: Finding<'static> = Finding { verdict: Verdict::Pass, rule: None, place: Place::Nowhere };

    fn deny(rule: &'a str, place: Place<'a>) -> Finding<'a> {
        Finding { verdict: Verdict::Deny, rule: Some(rule), place }
    }

    fn pass(rule: &'a str, place: Place<'a>) -> Finding<'a> {
        Finding { verdict: Verdict::Pass, rule: Some(rule), place }
    }

    fn ruled(ruling: Ruling<'a>, block: Block<'a>) -> Finding<'a> {
        match ruling {
            Ruling::Allowed(entry, false) => Finding::pass(entry, Place::Key(block, "allow")),
            Ruling::Allowed(entry, true) => Finding::pass(entry, Place::Key(block, "alsoAllow")),
            Ruling::Denied(entry) => Finding::deny(entry, Place::Key(block, "deny")),
            Ruling::NotListed => Finding { verdict: Verdict::Deny, rule: None, place: Place::Key(block, "allow") },
            Ruling::Open => Finding::PASS,
        }
    }
}

/// A profile's place: the block, its profile and its lists.
type Base<'a> = (Block<'a>, Option<Profile>, &'a Lists);

impl Policy {
    /// The first step that refuses `subject` in `session`; nothing is built. `owner` is whether the caller owns the
    /// gateway.
    ///
    /// # Errors
    /// The step. Source: contract http.md §4.2.
    #[inline(never)]
    pub fn decide(&self, owner: bool, session: &Session, subject: &Subject) -> Result<(), Step> {
        let case = self.case(owner, session, subject);
        let refusing = Step::ALL.into_iter().find(|step| self.judge(&case, *step).verdict == Verdict::Deny);
        refusing.map_or(Ok(()), Err)
    }

    /// What every step says, also those after a refusal, in order. Source: contract cli.md `explain`.
    pub fn explain(&self, owner: bool, session: &Session, subject: &Subject) -> Vec<Trace> {
        let case = self.case(owner, session, subject);
        let trace = |step| {
            let found = self.judge(&case, step);
            Trace { step, verdict: found.verdict, rule: found.rule.map(str::to_owned), source: found.place.text() }
        };
        Step::ALL.into_iter().map(trace).collect()
    }

    fn case<'a>(&'a self, owner: bool, session: &'a Session, subject: &Subject<'a>) -> Case<'a> {
        let agent = self.agents.iter().enumerate().find(|(_, agent)| agent.id == session.agent);
        Case {
            tool: subject.tool,
            name: normal(subject.tool),
            session,
            account: subject.account,
            owner,
            owner_only: subject.owner_only,
            exists: subject.exists,
            agent,
            model: agent.and_then(|(_, agent)| agent.model.as_deref()).or(self.default_model.as_deref()),
        }
    }

    fn judge<'a>(&'a self, case: &Case<'a>, step: Step) -> Finding<'a> {
        let agent = case.agent;
        let global_provider = || provider(&self.tools, None, case.model);
        let agent_provider = || agent.and_then(|(nth, agent)| provider(&agent.tools, Some(nth), case.model));
        match step {
            Step::Profile => {
                let own = agent.map(|(nth, agent)| (Block::Tools(Some(nth)), agent.tools.profile, &agent.tools.lists));
                self.profile(case, own, Some((Block::Tools(None), self.tools.profile, &self.tools.lists)))
            }
            Step::ByProviderProfile => {
                let base = |found: (Block<'a>, &'a Provider)| (found.0, found.1.profile, &found.1.lists);
                self.profile(case, agent_provider().map(base), global_provider().map(base))
            }
            Step::Tools => self.lists(case, Block::Tools(None), &self.tools.lists),
            Step::ToolsByProvider => self.optional(case, global_provider()),
            Step::Agent => agent
                .map_or(Finding::SKIP, |(nth, agent)| self.lists(case, Block::Tools(Some(nth)), &agent.tools.lists)),
            Step::AgentByProvider => self.optional(case, agent_provider()),
            Step::Group => match self.group(case) {
                Some((block, lists)) => self.lists(case, block, lists),
                None => Finding::SKIP,
            },
            Step::Subagent => self.subagent(case),
            Step::GatewayTools => self.gateway_tools(case),
            Step::Owner => owner(case),
            Step::Exists if case.exists => Finding::PASS,
            Step::Exists => Finding { verdict: Verdict::Deny, ..Finding::PASS },
        }
    }

    /// Row 1 and 2: the agent's profile replaces the global one, and so does its `alsoAllow`, each for itself.
    fn profile<'a>(&'a self, case: &Case<'a>, own: Option<Base<'a>>, global: Option<Base<'a>>) -> Finding<'a> {
        let both = || own.into_iter().chain(global);
        let Some((block, profile)) = both().find_map(|(block, profile, _)| Some((block, profile?))) else {
            return Finding::SKIP;
        };
        let place = Place::Key(block, "profile");
        let Some(allow) = profile.allow() else { return Finding::pass(profile.name(), place) };
        if let Said::Match(_) = self.find(&case.name, allow.iter().copied()) {
            return Finding::pass(profile.name(), place);
        }
        let also = both().find_map(|(block, _, lists)| Some((block, lists.also_allow.as_deref()?)));
        match also.map(|(block, list)| (block, self.find(&case.name, strs(list)))) {
            Some((block, Said::Match(entry))) => Finding::pass(entry, Place::Key(block, "alsoAllow")),
            _ => Finding::deny(profile.name(), place),
        }
    }

    fn optional<'a>(&'a self, case: &Case<'a>, found: Option<(Block<'a>, &'a Provider)>) -> Finding<'a> {
        found.map_or(Finding::SKIP, |(block, provider)| self.lists(case, block, &provider.lists))
    }

    fn lists<'a>(&'a self, case: &Case<'a>, block: Block<'a>, lists: &'a Lists) -> Finding<'a> {
        if lists.deny.is_empty() && lists.allow.as_ref().is_none_or(Vec::is_empty) {
            return Finding::SKIP;
        }
        Finding::ruled(self.rule(&case.name, lists), block)
    }

    /// The lists of the conversation the session is in. Only a session key activates them; no sender is known here, so
    /// only the sender key `*` can match, and it beats `tools`. Source: contract http.md §4.5.
    fn group<'a>(&'a self, case: &Case<'a>) -> Option<(Block<'a>, &'a Lists)> {
        if self.channels.is_empty() {
            return None;
        }
        let here = conversation(&case.session.key)?;
        let channel = self.channels.iter().find(|channel| channel_id(&channel.id) == here.channel)?;
        let (account, groups) = groups_of(channel, case.account);
        let entry = here.candidates.iter().find_map(|id| groups.iter().find(|group| group.id == *id));
        let any = groups.iter().find(|group| group.id == "*");
        entry.into_iter().chain(any).find_map(|group| {
            let block = |sender| Block::Group { channel: &channel.id, account, group: &group.id, sender };
            let by_sender = group.by_sender.iter().find(|(key, _)| key.trim() == "*");
            by_sender
                .map(|(key, lists)| (block(Some(key.as_str())), lists))
                .or(group.tools.as_ref().map(|lists| (block(None), lists)))
        })
    }

    /// Subagents have a deny list of their own; naming a tool in `allow` or `alsoAllow` takes it off. Here `alsoAllow`
    /// alone makes no allow list, and an empty `allow` beside it does. Source: contract http.md §4.6.
    fn subagent<'a>(&'a self, case: &Case<'a>) -> Finding<'a> {
        let Some(depth) = subagent_depth(&case.session.key) else { return Finding::SKIP };
        let leaf = depth > 0 && depth >= self.max_spawn_depth.unwrap_or(1).max(1);
        let lists = &self.subagents;
        let allow = lists.allow.as_deref();
        let also = lists.also_allow.as_deref().unwrap_or_default();
        let more: &[&str] = if leaf { &LEAF_DENY } else { &[] };
        let refused = SUBAGENT_DENY.iter().chain(more).find(|name| **name == case.name);
        let opened = || allow.unwrap_or_default().iter().chain(also).any(|entry| normal(entry) == case.name);
        if let Some(name) = refused.filter(|_| !opened()) {
            return Finding::deny(name, Place::BuiltIn("subagent deny list"));
        }
        if let Said::Match(entry) = self.find(&case.name, strs(&lists.deny)) {
            return Finding::deny(entry, Place::Key(Block::Subagents, "deny"));
        }
        match allow {
            Some(allow) => Finding::ruled(self.allowed(&case.name, allow, also), Block::Subagents),
            None => Finding::PASS,
        }
    }

    /// Exact names in the caller's spelling: no globs, groups or aliases. Source: contract http.md §4.7.
    fn gateway_tools<'a>(&'a self, case: &Case<'a>) -> Finding<'a> {
        let named = |list: &'a [String]| list.iter().map(String::as_str).find(|name| *name == case.tool);
        if let Some(name) = named(&self.http_deny) {
            return Finding::deny(name, Place::Key(Block::Gateway, "deny"));
        }
        let documented = HTTP_DENY.iter().copied().find(|name| *name == case.tool);
        match (documented.or(named(&self.http_deny_more)), named(&self.http_allow)) {
            (None, _) => Finding::PASS,
            (Some(_), Some(name)) => Finding::pass(name, Place::Key(Block::Gateway, "allow")),
            (Some(name), None) => Finding::deny(name, Place::BuiltIn("HTTP deny list")),
        }
    }
}

/// Source: contract http.md §2.8, §4.2 row 10.
fn owner<'a>(case: &Case<'a>) -> Finding<'a> {
    if !case.owner_only && !OWNER_ONLY.iter().any(|name| *name == case.name) {
        Finding::SKIP
    } else if case.owner {
        Finding::pass("owner only", Place::Nowhere)
    } else {
        Finding::deny("owner only", Place::Nowhere)
    }
}

/// The rules of a level for a model, `provider/model`: an entry for the whole beats one for the provider.
///
/// Source: contract http.md "How to read this", `tools.byProvider`.
fn provider<'a>(level: &'a Level, agent: Option<usize>, model: Option<&str>) -> Option<(Block<'a>, &'a Provider)> {
    let model = model.map(str::trim).filter(|model| !model.is_empty())?;
    let name = model.split_once('/').map_or(model, |(name, _)| name).trim_end();
    let keyed = |wanted: &str| level.by_provider.iter().find(|p| p.key.trim().eq_ignore_ascii_case(wanted));
    let found = keyed(model).or_else(|| keyed(name))?;
    Some((Block::Provider { agent, key: &found.key }, found))
}

/// The groups of the account on the channel, where it has some of its own, else the channel's.
fn groups_of<'a>(channel: &'a Channel, account: Option<&str>) -> (Option<&'a str>, &'a [Group]) {
    let account = account_id(account.unwrap_or_default());
    let own = channel.accounts.iter().find(|(id, _)| account_id(id) == account);
    own.map_or((None, channel.groups.as_slice()), |(id, groups)| (Some(id.as_str()), groups.as_slice()))
}
