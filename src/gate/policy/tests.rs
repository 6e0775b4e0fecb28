//! The recorded verdicts of the reference, and one row for each rule they do not show.
//!
//! Tools that exist there and not here are taken to exist, so that what is compared is the policy alone.

use super::*;
use crate::gate::Subject;
use crate::gate::session::resolve;

fn list(text: &str) -> Vec<String> {
    text.split_whitespace().map(String::from).collect()
}

/// `+allow ~alsoAllow -deny`, each entry with its sign.
fn lists(text: &str) -> Lists {
    let mut lists = Lists::default();
    for entry in text.split_whitespace() {
        let (sign, name) = entry.split_at(1);
        match sign {
            "+" => lists.allow.get_or_insert_default().push(name.into()),
            "~" => lists.also_allow.get_or_insert_default().push(name.into()),
            _ => lists.deny.push(name.into()),
        }
    }
    lists
}

fn level(profile: Option<Profile>, text: &str) -> Level {
    Level { profile, lists: lists(text), by_provider: Vec::new() }
}

fn agent(id: &str, profile: Option<Profile>, text: &str) -> Agent {
    Agent { id: crate::gate::session::agent_id(id), tools: level(profile, text), ..Agent::default() }
}

fn provider(key: &str, profile: Option<Profile>, text: &str) -> Provider {
    Provider { key: key.into(), profile, lists: lists(text) }
}

fn subject<'a>(tool: &'a str, session: Option<&'a str>) -> Subject<'a> {
    Subject { tool, session, agent: None, channel: None, account: None, exists: true, owner_only: false }
}

/// The refusing step for an owner; the explanation must agree with it.
fn verdict(policy: &Policy, subject: &Subject) -> Option<Step> {
    let session = resolve(policy, subject.session, subject.agent).unwrap();
    let decided = policy.decide(true, &session, subject).err();
    let steps = policy.explain(true, &session, subject);
    assert_eq!(steps.iter().map(|trace| trace.step).collect::<Vec<_>>(), Step::ALL);
    assert_eq!(steps.iter().find(|trace| trace.verdict == Verdict::Deny).map(|trace| trace.step), decided);
    decided
}

fn check(policy: &Policy, rows: &[(&str, &str, Option<Step>)]) {
    for (tool, session, expected) in rows {
        assert_eq!(verdict(policy, &subject(tool, Some(session))), *expected, "{tool} in {session:?}");
    }
}

use Step::{Agent as InAgent, GatewayTools, Group as InGroup, Profile as InProfile, Subagent, Tools};

#[test]
fn recorded_default_policy() {
    let policy = Policy::default();
    for tool in ["agents_list", "canvas", "subagents", "sessions_yield", "sessions_list", "web_fetch", "tts"] {
        check(&policy, &[(tool, "", None)]);
    }
    for tool in HTTP_DENY {
        check(&policy, &[(tool, "", Some(GatewayTools))]);
    }
    // The documented thirteenth, and names in another spelling, which no tool has.
    check(&policy, &[("whatsapp_login", "", Some(GatewayTools)), ("CRON", "", None)]);
    for tool in ["no_such_tool", "Sessions_List", "bash", "pdf", "x_search"] {
        let missing = Subject { exists: false, ..subject(tool, None) };
        assert_eq!(verdict(&policy, &missing), Some(Step::Exists), "{tool}");
    }
    // field-sessionkey-agent: an agent nobody configured has no policy of its own.
    check(&policy, &[("agents_list", "agent:ops:main", None), ("agents_list", "  main ", None)]);
}

/// glb-*: one list in mixed case, a group, and a deny that wins in another case.
#[test]
fn recorded_global_lists() {
    let policy = Policy {
        tools: level(None, "+Sessions_List +agents_list +session_status +read +exec +group:fs -Agents_List"),
        session: SessionRule { global: true, main_key: Some("work".into()) },
        ..Policy::default()
    };
    check(
        &policy,
        &[
            ("sessions_list", "", None),
            ("session_status", "", None),
            ("agents_list", "", Some(Tools)),
            ("canvas", "", Some(Tools)),
            ("exec", "", Some(GatewayTools)),
            ("apply_patch", "", Some(GatewayTools)),
            ("edit", "", None),
        ],
    );
}

/// ns-*: `gateway.tools.allow` opens, subagents at depth 1 of 2 are orchestrators, with two rules of their own.
#[test]
fn recorded_opened_tools_and_subagents() {
    let policy = Policy {
        agents: vec![agent("zeta", None, ""), Agent { default: true, ..agent("Home Bot", None, "") }],
        max_spawn_depth: Some(2),
        subagents: lists("~gateway -canvas"),
        http_allow: list("gateway cron nodes sessions_send sessions_spawn exec apply_patch"),
        ..Policy::default()
    };
    for tool in ["cron", "gateway", "nodes", "sessions_send", "sessions_spawn", "exec", "apply_patch", "canvas"] {
        check(&policy, &[(tool, "", None)]);
    }
    let (one, two) = ("agent:home-bot:subagent:1", "agent:home-bot:subagent:1:subagent:2");
    check(
        &policy,
        &[
            ("canvas", one, Some(Subagent)),
            ("gateway", one, None),
            ("cron", one, Some(Subagent)),
            ("agents_list", one, Some(Subagent)),
            ("sessions_list", one, None),
            ("sessions_spawn", one, None),
            ("sessions_list", two, Some(Subagent)),
            ("sessions_spawn", two, Some(Subagent)),
            ("gateway", two, None),
            ("tts", two, None),
            // A bare subagent key has depth 0.
            ("sessions_list", "subagent:x", None),
            ("session_status", "subagent:x", Some(Subagent)),
        ],
    );
}

fn recorded_agents() -> Vec<Agent> {
    let full = Some(Profile::Full);
    let by_provider = vec![provider("openai", None, "-*")];
    vec![
        Agent { default: true, ..agent("main", None, "") },
        agent("ops", full, "+group:sessions +AGENTS_* +gateway"),
        agent("deny", full, "-sessions_*"),
        agent("also", None, "~agents_list"),
        Agent {
            tools: Level { lists: Lists { allow: Some(Vec::new()), ..Lists::default() }, ..level(full, "") },
            ..agent("empty", full, "")
        },
        agent("unknown", full, "+does_not_exist"),
        agent("coding", Some(Profile::Coding), ""),
        agent("msg", Some(Profile::Messaging), ""),
        agent("full", full, ""),
        agent("star", full, "+* -canvas"),
        Agent { tools: Level { by_provider, ..level(full, "") }, ..agent("byp", full, "") },
        agent("both", full, "+agents_list +tts -group:agents"),
        agent("alsofull", full, "~x"),
    ]
}

fn recorded(profile: Option<Profile>) -> Policy {
    Policy {
        tools: level(profile, ""),
        agents: recorded_agents(),
        http_allow: list("gateway CRON exec"),
        http_deny: list("tts"),
        ..Policy::default()
    }
}

/// pol-*, the part with `tools.profile: "minimal"`.
#[test]
fn recorded_agents_under_a_minimal_profile() {
    check(
        &recorded(Some(Profile::Minimal)),
        &[
            ("canvas", "", Some(InProfile)),
            ("gateway", "", Some(InProfile)),
            ("sessions_list", "", Some(InProfile)),
            ("session_status", "", None),
            ("agents_list", "agent:full", Some(InProfile)),
            ("session_status", "agent:also:main", None),
            ("agents_list", "agent:also:main", None),
            ("canvas", "agent:also:main", Some(InProfile)),
            ("agents_list", "agent:alsofull:main", None),
            ("canvas", "agent:alsofull:main", None),
            ("agents_list", "agent:both:main", Some(InAgent)),
            ("tts", "agent:both:main", Some(GatewayTools)),
            ("agents_list", "agent:coding:main", Some(InProfile)),
            ("message", "agent:coding:main", Some(InProfile)),
            ("tts", "agent:coding:main", Some(InProfile)),
            ("sessions_list", "agent:coding:main", None),
            ("sessions_yield", "agent:coding:main", None),
            ("web_fetch", "agent:coding:main", None),
            ("canvas", "agent:deny:main", None),
            ("sessions_history", "agent:deny:main", Some(InAgent)),
            ("agents_list", "agent:empty:main", None),
            ("canvas", "agent:empty:main", None),
            ("canvas", "agent:full:main", None),
            ("cron", "agent:full:main", Some(GatewayTools)),
            ("gateway", "agent:full:main", None),
            ("exec", "agent:full:main", None),
            ("session_status", "agent:msg:main", None),
            ("web_fetch", "agent:msg:main", Some(InProfile)),
            ("agents_list", "agent:ops:main", None),
            ("canvas", "agent:ops:main", Some(InAgent)),
            ("session_status", "agent:ops:main", None),
            ("subagents", "agent:ops:main", None),
            ("agents_list", "agent:star:main", None),
            ("canvas", "agent:star:main", Some(InAgent)),
            ("canvas", "agent:unknown:main", Some(InAgent)),
            // Without a model the provider's rules are skipped, as on the reference.
            ("canvas", "agent:byp:main", None),
            ("agents_list", "agent:full:subagent:abc", Some(Subagent)),
            ("subagents", "agent:full:subagent:abc", Some(Subagent)),
            ("gateway", "agent:full:subagent:abc", Some(Subagent)),
            ("cron", "agent:full:subagent:abc", Some(Subagent)),
        ],
    );
}

/// pol-group-*: groups of one channel, with and without rules by sender.
#[test]
fn recorded_groups() {
    let group = |id: &str, tools: &str, by_sender: &[(&str, &str)]| Group {
        id: id.into(),
        tools: Some(lists(tools)),
        by_sender: by_sender.iter().map(|(key, text)| ((*key).into(), lists(text))).collect(),
    };
    let mut policy = recorded(None);
    policy.channels = vec![Channel {
        id: "telegram".into(),
        groups: vec![
            group("*", "-canvas", &[]),
            group("-100", "+agents_list", &[("id:42", "+tts"), ("*", "-session_status")]),
            group("-200", "+agents_list +session_status", &[]),
        ],
        accounts: vec![("bot".into(), vec![group("-200", "-agents_list", &[])])],
    }];
    check(
        &policy,
        &[
            ("agents_list", "agent:full:telegram:group:-100", None),
            ("canvas", "agent:full:telegram:group:-100", None),
            ("session_status", "agent:full:telegram:group:-100", Some(InGroup)),
            ("agents_list", "agent:full:telegram:group:-200", None),
            ("canvas", "agent:full:telegram:group:-200", Some(InGroup)),
            ("agents_list", "agent:full:telegram:group:-999", None),
            ("canvas", "agent:full:telegram:group:-999", Some(InGroup)),
            ("canvas", "agent:full:telegram:channel:-200", Some(InGroup)),
            ("canvas", "agent:full:telegram:direct:-200", None),
            ("canvas", "telegram:group:-200", Some(InGroup)),
            ("canvas", "agent:full:telegram:group:-200:topic:4", Some(InGroup)),
            ("canvas", "agent:full:telegram:group:-100:thread:7", None),
            ("canvas", "agent:full:discord:group:-200", None),
        ],
    );
    // The account's groups replace the channel's; the channel named beside the key changes nothing.
    let key = Some("agent:full:telegram:group:-200");
    let bot = Subject { account: Some(" BOT "), channel: Some("discord"), ..subject("agents_list", key) };
    assert_eq!(verdict(&policy, &bot), Some(InGroup));
    assert_eq!(verdict(&policy, &Subject { tool: "canvas", ..bot }), None);
    assert_eq!(verdict(&policy, &Subject { account: Some("other"), ..bot }), None);
    let outside = Subject { channel: Some("telegram"), ..subject("canvas", Some("agent:full:main")) };
    assert_eq!(verdict(&policy, &outside), None);
}

#[test]
fn providers_are_those_of_the_sessions_agent() {
    let mut policy = recorded(None);
    policy.tools.by_provider = vec![
        provider("Anthropic", Some(Profile::Minimal), "~canvas -session_status"),
        provider("openai/gpt-x", None, "-tts"),
    ];
    policy.default_model = Some("anthropic/claude".into());
    policy.agents[10].model = Some("openai/gpt-x".into());
    policy.http_deny.clear();
    check(
        &policy,
        &[
            ("canvas", "", None),
            ("session_status", "", Some(Step::ToolsByProvider)),
            ("agents_list", "", Some(Step::ByProviderProfile)),
            ("agents_list", "agent:nobody:main", Some(Step::ByProviderProfile)),
            // The agent's own model, its own rules for the provider, the global rules for the model.
            ("canvas", "agent:byp:main", Some(Step::AgentByProvider)),
            ("tts", "agent:byp:main", Some(Step::ToolsByProvider)),
        ],
    );
    // The rules for the whole model beat, and do not join, those for its provider.
    policy.agents[10].tools.by_provider.push(provider(" OpenAI/GPT-X ", None, "-canvas"));
    check(&policy, &[("canvas", "agent:byp:main", Some(Step::AgentByProvider)), ("web_fetch", "agent:byp:main", None)]);
    // The agent's profile and alsoAllow for a provider each replace the global ones.
    policy.agents[8].tools.by_provider = vec![provider("anthropic", None, "~tts")];
    check(&policy, &[("tts", "agent:full:main", None), ("canvas", "agent:full:main", Some(Step::ByProviderProfile))]);
    policy.agents[8].tools.by_provider = vec![provider("anthropic", Some(Profile::Full), "")];
    check(&policy, &[("agents_list", "agent:full:main", None)]);
}

#[test]
fn an_agents_also_allow_replaces_the_global_one_even_when_empty() {
    let mut policy = Policy {
        tools: level(Some(Profile::Minimal), "~canvas"),
        agents: vec![agent("main", None, "")],
        ..Policy::default()
    };
    check(&policy, &[("canvas", "", None)]);
    policy.agents[0].tools.lists.also_allow = Some(Vec::new());
    check(&policy, &[("canvas", "", Some(InProfile))]);
}

#[test]
fn subagent_lists() {
    let key = "agent:main:subagent:x";
    let rows = |text: &str, rows: &[(&str, Option<Step>)]| {
        let policy = Policy { subagents: lists(text), ..Policy::default() };
        for (tool, expected) in rows {
            assert_eq!(verdict(&policy, &subject(tool, Some(key))), *expected, "{tool} with {text:?}");
        }
    };
    rows("", &[("canvas", None), ("sessions_list", Some(Subagent)), ("session_status", Some(Subagent))]);
    rows("+Sessions_List", &[("sessions_list", None), ("canvas", Some(Subagent))]);
    rows("+canvas ~sessions_list", &[("sessions_list", None), ("canvas", None), ("tts", Some(Subagent))]);
    rows("~sessions_list", &[("sessions_list", None), ("canvas", None), ("agents_list", Some(Subagent))]);
    // Only names open the built-in list: a glob or a group does not.
    rows("+* ~group:sessions", &[("sessions_list", Some(Subagent)), ("canvas", None)]);
    rows("~sessions_list -sessions_list", &[("sessions_list", Some(Subagent))]);
    let leaf = |depth| Policy { max_spawn_depth: depth, ..Policy::default() };
    check(&leaf(Some(0)), &[("sessions_list", key, Some(Subagent))]);
    check(&leaf(Some(2)), &[("sessions_list", key, None)]);
}

#[test]
fn names_beyond_the_documented_deny_list_are_opened_the_same_way() {
    let mut policy = Policy { http_deny_more: list("wake_nas"), ..Policy::default() };
    check(&policy, &[("wake_nas", "", Some(GatewayTools))]);
    policy.http_allow = list("wake_nas");
    check(&policy, &[("wake_nas", "", None)]);
    policy.http_deny = list("wake_nas");
    check(&policy, &[("wake_nas", "", Some(GatewayTools))]);
    // Exact names only.
    policy.http_deny = list("WAKE_NAS wake_* group:openclaw");
    check(&policy, &[("wake_nas", "", None), ("canvas", "", None)]);
}

#[test]
fn owner_only_tools_vanish_for_others() {
    let policy = Policy { http_allow: list("gateway"), ..Policy::default() };
    let session = resolve(&policy, None, None).unwrap();
    let check = |tool: &str, owner_only: bool, owner: bool, expected: Result<(), Step>| {
        let subject = Subject { owner_only, ..subject(tool, None) };
        assert_eq!(policy.decide(owner, &session, &subject), expected, "{tool} {owner_only} {owner}");
    };
    check("gateway", false, true, Ok(()));
    check("gateway", false, false, Err(Step::Owner));
    check("canvas", false, false, Ok(()));
    check("reboot", true, false, Err(Step::Owner));
    check("reboot", true, true, Ok(()));
}

#[test]
fn an_explanation_names_every_step_the_rule_and_its_place() {
    let mut policy = recorded(Some(Profile::Minimal));
    policy.channels = vec![Channel {
        id: "telegram".into(),
        groups: vec![Group { id: "*".into(), tools: Some(lists("-group:UI")), by_sender: Vec::new() }],
        accounts: Vec::new(),
    }];
    let lines = |tool: &str, key: &str| {
        let session = resolve(&policy, Some(key), None).unwrap();
        let steps = policy.explain(false, &session, &Subject { exists: false, ..subject(tool, Some(key)) });
        let line = |trace: &Trace| {
            let rule = trace.rule.as_deref().unwrap_or("-");
            format!("{} {} {rule} {}", trace.step.name(), trace.verdict.word(), trace.source.as_deref().unwrap_or("-"))
        };
        steps.iter().map(line).collect::<Vec<_>>()
    };
    let expected = [
        "profile pass full agents.list[9].tools.profile",
        "byProvider.profile skip - -",
        "tools skip - -",
        "tools.byProvider skip - -",
        "agent deny canvas agents.list[9].tools.deny",
        "agent.byProvider skip - -",
        "group deny group:UI channels.telegram.groups.*.tools.deny",
        "subagent skip - -",
        "gateway.tools pass - -",
        "owner skip - -",
        "exists deny - -",
    ];
    assert_eq!(lines("canvas", "agent:star:telegram:group:1"), expected);
    let expected = [
        "profile deny minimal tools.profile",
        "byProvider.profile skip - -",
        "tools skip - -",
        "tools.byProvider skip - -",
        "agent skip - -",
        "agent.byProvider skip - -",
        "group skip - -",
        "subagent deny cron built-in subagent deny list",
        "gateway.tools deny cron built-in HTTP deny list",
        "owner deny owner only -",
        "exists deny - -",
    ];
    assert_eq!(lines("cron", "agent:main:subagent:1"), expected);
    assert_eq!(lines("canvas", "agent:unknown:x")[4], "agent deny - agents.list[5].tools.allow");
    assert_eq!(lines("agents_list", "agent:also:x")[0], "profile pass agents_list agents.list[3].tools.alsoAllow");
    assert_eq!(lines("gateway", "agent:ops:x")[8], "gateway.tools pass gateway gateway.tools.allow");
}
