//! The chain once more, written from the contract without looking at the other, and properties over random policies.

use super::*;
use crate::gate::Subject;
use crate::gate::scope::Scopes;
use crate::gate::session::resolve;

/// xorshift64*: enough to pick from lists, the same on every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % sides
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }
}

const TOOLS: [&str; 18] = [
    "apply_patch",
    "write",
    "exec",
    "bash",
    "canvas",
    "cron",
    "gateway",
    "session_status",
    "sessions_list",
    "sessions_spawn",
    "agents_list",
    "subagents",
    "web_fetch",
    "tts",
    "message",
    "device_status",
    "wake_nas",
    "Canvas",
];

const ENTRIES: [&str; 30] = [
    "*",
    "sessions_*",
    "*_list",
    "s*s*s",
    "*a*",
    "canvas*",
    " Canvas ",
    "write",
    "apply-patch",
    "apply_patch",
    "BASH",
    "exec",
    "group:fs",
    "GROUP:Sessions",
    "group:openclaw",
    "group:device",
    "group:nope",
    "group:web",
    "agents_list",
    "session_status",
    "sessions_list",
    "sessions_spawn",
    "subagents",
    "gateway",
    "cron",
    "tts",
    "wake_nas",
    "nonsense",
    "",
    "device_status",
];

const KEYS: [&str; 22] = [
    "",
    "main",
    "agent:a:main",
    "agent:b:main",
    "agent:nobody:x",
    "agent:a",
    "Agent:B:x",
    "subagent:x",
    "agent:a:subagent:1",
    "agent:b:subagent:1:subagent:2",
    "agent:a:subagent",
    "telegram:group:-1",
    "agent:b:telegram:group:-1",
    "agent:a:Telegram:channel:-2:topic:5",
    "agent:a:telegram:group:-2:topic:5:sender:9",
    "agent:a:telegram:group:-3",
    "agent:a:telegram:group:-1:thread:8",
    "agent:a:telegram:direct:-1",
    "agent:a:irc:group:-1",
    "imsg:group:-1",
    "agent::b::x",
    "cron:subagent:5",
];

const MODELS: [&str; 4] = ["openai/gpt", "OpenAI/other", "anthropic/claude", "plain"];

fn entries(dice: &mut Dice) -> Vec<String> {
    (0..dice.roll(4)).map(|_| dice.pick(&ENTRIES).to_owned()).collect()
}

fn lists(dice: &mut Dice) -> Lists {
    let allow = dice.one_in(3).then(|| entries(dice));
    let also_allow = dice.one_in(3).then(|| entries(dice));
    let deny = if dice.one_in(3) { entries(dice) } else { Vec::new() };
    Lists { allow, also_allow, deny }
}

fn profile(dice: &mut Dice) -> Option<Profile> {
    [None, None, None, Some(Profile::Coding), Some(Profile::Full), Some(Profile::Messaging), Some(Profile::Minimal)]
        [dice.roll(7)]
}

fn level(dice: &mut Dice) -> Level {
    let by_provider = (0..dice.roll(3))
        .map(|_| Provider {
            key: dice.pick(&["openai", "OpenAI/GPT", "anthropic", "anthropic/claude", "plain"]).into(),
            profile: profile(dice),
            lists: lists(dice),
        })
        .collect();
    Level { profile: profile(dice), lists: lists(dice), by_provider }
}

fn groups(dice: &mut Dice) -> Vec<Group> {
    let mut groups = Vec::new();
    for id in ["*", "-1", "-2", "-2:topic:5"] {
        if dice.one_in(2) {
            continue;
        }
        let by_sender =
            (0..dice.roll(3)).map(|_| (dice.pick(&["*", "id:42", " * "]).to_owned(), lists(dice))).collect();
        groups.push(Group { id: id.into(), tools: dice.one_in(2).then(|| lists(dice)), by_sender });
    }
    groups
}

fn policy(dice: &mut Dice) -> Policy {
    let agent = |id: &str, default: bool, dice: &mut Dice| Agent {
        id: id.into(),
        default,
        name: None,
        model: dice.one_in(2).then(|| dice.pick(&MODELS).to_owned()),
        tools: level(dice),
    };
    let marked = dice.one_in(2);
    let names = |dice: &mut Dice| (0..dice.roll(4)).map(|_| dice.pick(&TOOLS).to_owned()).collect::<Vec<_>>();
    Policy {
        tools: level(dice),
        agents: if dice.one_in(8) { Vec::new() } else { vec![agent("a", false, dice), agent("b", marked, dice)] },
        default_model: dice.one_in(2).then(|| dice.pick(&MODELS).to_owned()),
        max_spawn_depth: [None, Some(0), Some(1), Some(2), Some(3)][dice.roll(5)],
        subagents: lists(dice),
        channels: if dice.one_in(3) {
            Vec::new()
        } else {
            vec![
                Channel { id: "telegram".into(), groups: groups(dice), accounts: vec![("bot".into(), groups(dice))] },
                Channel { id: "imessage".into(), groups: groups(dice), accounts: Vec::new() },
            ]
        },
        http_allow: names(dice),
        http_deny: if dice.one_in(3) { names(dice) } else { Vec::new() },
        session: SessionRule { global: dice.one_in(4), main_key: dice.one_in(4).then(|| "work".to_owned()) },
        groups: vec![("group:device".into(), vec!["device_status".into(), "wake_nas".into()])],
        http_deny_more: vec!["wake_nas".into()],
        known: vec!["device_status".into(), "wake_nas".into()],
    }
}

fn subject<'a>(dice: &mut Dice) -> Subject<'a> {
    Subject {
        tool: dice.pick(&TOOLS),
        session: (!dice.one_in(10)).then(|| dice.pick(&KEYS)),
        agent: None,
        channel: None,
        account: dice.one_in(3).then(|| dice.pick(&["bot", "BOT", "other", ""])),
        exists: !dice.one_in(10),
        owner_only: dice.one_in(10),
    }
}

fn allowed(policy: &Policy, owner: bool, subject: &Subject) -> bool {
    let session = resolve(policy, subject.session, subject.agent).unwrap();
    policy.decide(owner, &session, subject).is_ok()
}

// The contract's tables, typed once more. Source: contract http.md §4.3, §4.4, §4.6, §4.7.
const GROUP_TABLE: &str = "fs: read write edit apply_patch
runtime: exec process code_execution
web: web_search web_fetch x_search
memory: memory_search memory_get
sessions: sessions_list sessions_history sessions_send sessions_spawn sessions_yield subagents session_status
ui: browser canvas
messaging: message
automation: cron gateway
nodes: nodes
agents: agents_list update_plan
media: image image_generate music_generate video_generate tts";
const NOT_OPENCLAW: &str = "read write edit apply_patch exec process";
const CODING: &str = "read write edit apply_patch exec process code_execution web_search web_fetch x_search \
    memory_search memory_get sessions_list sessions_history sessions_send sessions_spawn sessions_yield subagents \
    session_status cron update_plan image image_generate music_generate video_generate bundle-mcp";
const MESSAGING: &str = "sessions_list sessions_history sessions_send session_status message bundle-mcp";
const HTTP_DENIED: &str = "exec spawn shell fs_write fs_delete fs_move apply_patch sessions_spawn sessions_send cron \
    gateway nodes whatsapp_login";

fn split(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn plain(name: &str) -> String {
    match name.trim().to_ascii_lowercase().as_str() {
        "bash" => "exec".into(),
        "apply-patch" => "apply_patch".into(),
        other => other.into(),
    }
}

fn expand(own: &[(String, Vec<String>)], list: &[String]) -> Vec<String> {
    let mut out = Vec::new();
    for entry in list.iter().map(|entry| plain(entry)).filter(|entry| !entry.is_empty()) {
        let mut members = Vec::new();
        for line in GROUP_TABLE.lines().filter(|_| entry.starts_with("group:")) {
            let (name, tools) = line.split_once(": ").unwrap();
            let openclaw = split(tools).into_iter().filter(|tool| !split(NOT_OPENCLAW).contains(tool));
            if entry == format!("group:{name}") {
                members.extend(split(tools));
            } else if entry == "group:openclaw" {
                members.extend(openclaw);
            }
        }
        members.extend(own.iter().filter(|(name, _)| *name == entry).flat_map(|(_, tools)| tools.clone()));
        if members.is_empty() { out.push(entry) } else { out.extend(members) }
    }
    out
}

fn wild(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['*', rest @ ..] => (0..=text.len()).any(|from| wild(rest, &text[from..])),
        [first, rest @ ..] => text.first() == Some(first) && wild(rest, &text[1..]),
    }
}

fn matches(list: &[String], tool: &str) -> bool {
    let chars = |text: &str| text.chars().collect::<Vec<_>>();
    list.iter().any(|pattern| wild(&chars(pattern), &chars(tool)))
}

/// §4.1, the six rules, over lists already folded.
fn single(policy: &Policy, allow: &[String], deny: &[String], tool: &str) -> bool {
    let (allow, deny) = (expand(&policy.groups, allow), expand(&policy.groups, deny));
    let patch = tool == "apply_patch";
    if matches(&deny, tool) || (patch && matches(&deny, "write")) {
        return false;
    }
    allow.is_empty() || matches(&allow, tool) || (patch && matches(&allow, "write"))
}

fn folded(policy: &Policy, lists: &Lists, tool: &str) -> bool {
    let mut allow = lists.allow.clone().unwrap_or_default();
    if let Some(also) = &lists.also_allow {
        if allow.is_empty() {
            allow.push("*".into());
        }
        allow.extend(also.clone());
    }
    single(policy, &allow, &lists.deny, tool)
}

fn base(
    policy: &Policy,
    own: Option<(Option<Profile>, &Lists)>,
    global: Option<(Option<Profile>, &Lists)>,
    tool: &str,
) -> bool {
    let profile = own.and_then(|(profile, _)| profile).or(global.and_then(|(profile, _)| profile));
    let also = own.and_then(|(_, lists)| lists.also_allow.clone()).or(global.and_then(|(_, l)| l.also_allow.clone()));
    let mut allow = match profile {
        None | Some(Profile::Full) => return true,
        Some(Profile::Minimal) => split("session_status"),
        Some(Profile::Coding) => split(CODING),
        Some(Profile::Messaging) => split(MESSAGING),
    };
    allow.extend(also.unwrap_or_default());
    single(policy, &allow, &[], tool)
}

fn for_model<'a>(level: &'a Level, model: Option<&str>) -> Option<&'a Provider> {
    let model = model?.to_ascii_lowercase();
    let candidates = [model.clone(), model.split('/').next().unwrap().to_owned()];
    candidates.iter().find_map(|key| level.by_provider.iter().find(|p| p.key.to_ascii_lowercase() == *key))
}

fn of_group<'a>(policy: &'a Policy, key: &str, account: Option<&str>) -> Option<&'a Lists> {
    let key = key.to_ascii_lowercase();
    let key = key.split(":thread:").next().unwrap();
    let mut parts: Vec<&str> = key.split(':').filter(|part| !part.is_empty()).collect();
    if parts.first() == Some(&"agent") {
        parts.drain(..2.min(parts.len()));
    }
    if parts.len() < 3 || !["group", "channel"].contains(&parts[1]) {
        return None;
    }
    let id = parts[2..].join(":");
    let mut ids = vec![id.clone()];
    ids.extend(id.split_once(":sender:").map(|(head, _)| head.to_owned()));
    ids.extend(id.split_once(":topic:").map(|(head, _)| head.to_owned()));
    let name = if parts[0] == "imsg" { "imessage" } else { parts[0] };
    let channel = policy.channels.iter().find(|channel| channel.id == name)?;
    let account = account.unwrap_or("").to_ascii_lowercase();
    let groups = channel.accounts.iter().find(|(id, _)| *id == account).map_or(&channel.groups, |(_, groups)| groups);
    let star = groups.iter().find(|group| group.id == "*");
    let entry = ids.iter().find_map(|id| groups.iter().find(|group| group.id == *id)).or(star);
    let mut found = None;
    for group in [entry, star].into_iter().flatten() {
        let sender = group.by_sender.iter().find(|(key, _)| key.trim() == "*").map(|(_, lists)| lists);
        found = found.or(sender).or(group.tools.as_ref());
    }
    found
}

fn of_subagent(policy: &Policy, key: &str, tool: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let parts: Vec<&str> = key.split(':').filter(|part| !part.is_empty()).collect();
    let rest = if parts.len() >= 3 && parts[0] == "agent" { parts[2..].join(":") } else { String::new() };
    if !key.starts_with("subagent:") && !rest.starts_with("subagent:") {
        return true;
    }
    let depth = key.split(":subagent:").count() as u32 - 1;
    let mut deny = split("gateway agents_list session_status cron sessions_send");
    if depth != 0 && depth >= policy.max_spawn_depth.unwrap_or(1).max(1) {
        deny.extend(split("subagents sessions_list sessions_history sessions_spawn"));
    }
    let (allow, also) = (policy.subagents.allow.clone(), policy.subagents.also_allow.clone().unwrap_or_default());
    let explicit: Vec<String> = allow.iter().flatten().chain(&also).map(|entry| plain(entry)).collect();
    deny.retain(|name| !explicit.contains(name));
    deny.extend(policy.subagents.deny.clone());
    let merged = allow.map(|allow| [allow, also].concat()).unwrap_or_default();
    single(policy, &merged, &deny, tool)
}

fn naive(policy: &Policy, owner: bool, subject: &Subject) -> bool {
    let tool = plain(subject.tool);
    let key = subject.session.unwrap_or("").trim();
    let default = policy.agents.iter().find(|a| a.default).or(policy.agents.first());
    let lower = key.to_ascii_lowercase();
    let parts: Vec<&str> = lower.split(':').filter(|part| !part.is_empty()).collect();
    let agent = if parts.len() >= 3 && parts[0] == "agent" {
        policy.agents.iter().find(|agent| agent.id == parts[1])
    } else {
        default
    };
    // Absent, blank and "main" mean the main session, which is no group's and no subagent's.
    let model = agent.and_then(|agent| agent.model.as_deref()).or(policy.default_model.as_deref());
    let global = for_model(&policy.tools, model);
    let own = agent.and_then(|agent| for_model(&agent.tools, model));
    let http_denied = policy.http_deny.iter().any(|name| name == subject.tool)
        || (split(HTTP_DENIED).iter().chain(&policy.http_deny_more).any(|name| name == subject.tool)
            && !policy.http_allow.iter().any(|name| name == subject.tool));
    let owner_only = subject.owner_only || ["cron", "gateway", "nodes"].contains(&tool.as_str());
    base(
        policy,
        agent.map(|a| (a.tools.profile, &a.tools.lists)),
        Some((policy.tools.profile, &policy.tools.lists)),
        &tool,
    ) && base(policy, own.map(|p| (p.profile, &p.lists)), global.map(|p| (p.profile, &p.lists)), &tool)
        && folded(policy, &policy.tools.lists, &tool)
        && global.is_none_or(|provider| folded(policy, &provider.lists, &tool))
        && agent.is_none_or(|agent| folded(policy, &agent.tools.lists, &tool))
        && own.is_none_or(|provider| folded(policy, &provider.lists, &tool))
        && of_group(policy, key, subject.account).is_none_or(|lists| folded(policy, lists, &tool))
        && of_subagent(policy, key, &tool)
        && !http_denied
        && (owner || !owner_only)
        && subject.exists
}

#[test]
fn the_chain_is_what_the_contract_says() {
    let mut dice = Dice(0x70_6F_6C_69_63_79);
    let mut counts = [0_u32; 2];
    for _ in 0..800 {
        let policy = policy(&mut dice);
        for _ in 0..20 {
            let (subject, owner) = (subject(&mut dice), !dice.one_in(4));
            let expected = naive(&policy, owner, &subject);
            assert_eq!(allowed(&policy, owner, &subject), expected, "owner {owner}, {subject:?}, {policy:#?}");
            counts[usize::from(expected)] += 1;
        }
    }
    // A test that only ever sees one answer shows nothing.
    assert!(counts.iter().all(|count| *count > 1_000), "{counts:?}");
}

#[test]
fn an_explanation_and_a_decision_agree() {
    let mut dice = Dice(0x65_78_70_6C_61_69_6E);
    for _ in 0..300 {
        let policy = policy(&mut dice);
        for _ in 0..10 {
            let (subject, owner) = (subject(&mut dice), dice.one_in(2));
            let session = resolve(&policy, subject.session, None).unwrap();
            let steps = policy.explain(owner, &session, &subject);
            let refusing = steps.iter().find(|trace| trace.verdict == Verdict::Deny).map(|trace| trace.step);
            assert_eq!(policy.decide(owner, &session, &subject).err(), refusing);
            assert!(steps.iter().all(|trace| trace.rule.is_none() || trace.verdict != Verdict::Skip));
        }
    }
}

/// Every deny list there is. A list that does not exist yet is no place to add to: a group's lists replace those of
/// `*`, and a provider's entry for a model replaces that for the provider.
fn denies(policy: &mut Policy) -> Vec<&mut Vec<String>> {
    let mut all = vec![&mut policy.subagents.deny, &mut policy.http_deny, &mut policy.http_deny_more];
    let mut levels = vec![&mut policy.tools];
    levels.extend(policy.agents.iter_mut().map(|agent| &mut agent.tools));
    for level in levels {
        all.push(&mut level.lists.deny);
        all.extend(level.by_provider.iter_mut().map(|provider| &mut provider.lists.deny));
    }
    for channel in &mut policy.channels {
        let accounts = channel.accounts.iter_mut().flat_map(|(_, groups)| groups);
        for group in channel.groups.iter_mut().chain(accounts) {
            all.extend(group.tools.iter_mut().map(|lists| &mut lists.deny));
            all.extend(group.by_sender.iter_mut().map(|(_, lists)| &mut lists.deny));
        }
    }
    all
}

#[test]
fn adding_a_deny_never_allows_more() {
    let mut dice = Dice(0x64_65_6E_79);
    let mut tightened = 0;
    for _ in 0..120 {
        let before = policy(&mut dice);
        let mut after = before.clone();
        let mut places = denies(&mut after);
        let place = dice.roll(places.len());
        let from = if dice.one_in(2) { &ENTRIES[..] } else { &TOOLS[..] };
        places[place].push(dice.pick(from).to_owned());
        for tool in TOOLS {
            for key in KEYS {
                let account = dice.one_in(3).then_some("bot");
                let subject = Subject {
                    tool,
                    session: Some(key),
                    account,
                    exists: true,
                    owner_only: false,
                    ..subject(&mut dice)
                };
                let (was, is) = (allowed(&before, true, &subject), allowed(&after, true, &subject));
                assert!(was || !is, "{subject:?} place {place}\n{before:#?}\n{after:#?}");
                tightened += u32::from(was && !is);
            }
        }
    }
    assert!(tightened > 100, "{tightened}");
}

#[test]
fn a_narrower_scope_never_allows_more() {
    let mut dice = Dice(0x73_63_6F_70_65);
    let all = ["operator.admin", "operator.read", "operator.write", "operator.approvals", "operator.pairing", "x.y"];
    for _ in 0..500 {
        let policy = policy(&mut dice);
        let wide: Vec<&str> = all.iter().copied().filter(|_| dice.one_in(2)).collect();
        let narrow: Vec<&str> = wide.iter().copied().filter(|_| dice.one_in(2)).collect();
        let [wide, narrow] = [wide, narrow].map(|list| Scopes::declared(Some(&list.join(","))));
        for scope in all {
            assert!(wide.covers(scope) || !narrow.covers(scope), "{wide:?} {narrow:?} {scope}");
            assert!(wide.covers(scope) || !wide.narrowed(&Scopes::full()).covers(scope), "{wide:?} {scope}");
        }
        for _ in 0..10 {
            let subject = subject(&mut dice);
            let (was, is) = (allowed(&policy, wide.admin(), &subject), allowed(&policy, narrow.admin(), &subject));
            assert!(was || !is, "{subject:?} {wide:?} {narrow:?}");
        }
    }
}
