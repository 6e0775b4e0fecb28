//! Replays the recorded exchanges about policy, modes and limits, and asks `toolgate explain` about the same calls.
//!
//! A tool that is here must answer as recorded. Of a tool that is only on the reference the verdict of the policy must
//! be the recorded one: 404 there is a refusal by a step before `exists` here, anything else passes all of them.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{Answer, call, request};
use crate::golden::{Body, Recorded, compare, compare_decided, replay};
use crate::rig::{Dir, Finished, Gateway, SOON, Setup, program, run, until};

/// What the exchanges replayed here begin with.
const PREFIXES: [&str; 12] = ["default", "glb", "none", "ns", "plug", "pol", "policy", "pw", "rl", "seed", "tp", "tp2"];

/// Whether the exchange of that name is replayed here.
pub fn replays(name: &str) -> bool {
    name.split_once('-').is_some_and(|(prefix, _)| PREFIXES.contains(&prefix))
}

/// The steps of an explanation, in order. Source: contract cli.md.
const STEPS: [&str; 11] = [
    "profile",
    "byProvider.profile",
    "tools",
    "tools.byProvider",
    "agent",
    "agent.byProvider",
    "group",
    "subagent",
    "gateway.tools",
    "owner",
    "exists",
];

/// Exchanges that we answer otherwise: status, body and the line of the contract that says so.
const DECIDED: [(&str, u16, Body, &str); 6] = [
    (
        "none-owner-gateway-config-get",
        200,
        Body::Result,
        "how to read this: sections that are not served are not looked into, so all of them are redacted",
    ),
    ("none-owner-gateway-schema-lookup", 200, Body::Result, "§5.2: the shape is the reference's, the texts are ours"),
    (
        "ns-gateway-config-get",
        200,
        Body::Result,
        "how to read this: sections that are not served are not looked into, so all of them are redacted",
    ),
    ("seed-session_status", 200, Body::Result, "§5.2: a human card; ours is that of a gateway without a model"),
    (
        "tp-origin-allowed",
        200,
        Body::Result,
        "edge.md §5, CSRF: no CORS fields by default; an origin that is configured is named in the answer",
    ),
    (
        "tp-origin-same-host",
        403,
        Body::Error("forbidden", "Origin not allowed"),
        "edge.md §5, CSRF: any request with an Origin that is not allowed → 403, before authentication",
    ),
];

/// Exchanges recorded as 404 whose tool passes the policy: the reference did not build it under that configuration.
/// Each with the line of the contract that says so.
const NEVER_BUILT: [(&str, &str); 11] = [
    ("default-bash", "§3.1: the lookup knows no alias; §4.7: the HTTP deny list is exact"),
    ("default-browser", "§5.1: plugins.enabled false"),
    ("default-memory_search", "§5.1: plugins.enabled false"),
    ("default-pdf", "§5.1: never on TI"),
    ("default-video_generate", "§5.1: needs a configured provider"),
    ("default-x_search", "§5.1: never on TI unless a plugin"),
    ("ns-open-apply_patch", "§5.1: never on TI, whatever gateway.tools.allow says"),
    ("ns-open-exec", "§5.1: never on TI, whatever gateway.tools.allow says"),
    ("plug-image_generate", "§5.1: needs a configured provider"),
    ("plug-unknown", "nobody has such a tool"),
    ("policy-unknown-tool", "nobody has such a tool"),
];

/// The exchanges about the limit on failures: one sequence on one gateway.
const LIMITED: [&str; 25] = [
    "rl-missing-token-not-counted",
    "rl-missing-token-not-counted-2",
    "rl-wrong-1",
    "rl-wrong-2",
    "rl-good-resets",
    "rl-again-wrong-1",
    "rl-again-wrong-2",
    "rl-again-wrong-3",
    "rl-locked-wrong",
    "rl-locked-good",
    "rl-locked-missing",
    "rl-locked-health",
    "rl-locked-invoke-get",
    "rl-locked-other-forwarded-ip",
    "rl-after-lockout",
    "rl-fwd-wrong-1",
    "rl-fwd-wrong-2",
    "rl-fwd-wrong-3",
    "rl-fwd-locked",
    "rl-fwd-mapped",
    "rl-fwd-port",
    "rl-fwd-garbage",
    "rl-fwd-loopback-hop",
    "rl-fwd-after-garbage-2",
    "rl-fwd-after-garbage-locked",
];

/// How long a lock of that configuration lasts (`lockoutMs`).
const LOCKED: Duration = Duration::from_secs(7);

impl Recorded {
    fn config(&self) -> &str {
        self.json["config"].as_str().expect("a configuration")
    }

    fn env(&self) -> Vec<(&str, &str)> {
        let env = self.json["env"].as_object().expect("an environment");
        env.iter().map(|(name, value)| (name.as_str(), value.as_str().expect("a variable"))).collect()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let fields = self.json["request"]["headers"].as_array()?;
        let field = fields.iter().find(|f| f[0].as_str().is_some_and(|n| n.eq_ignore_ascii_case(name)))?;
        field[1].as_str()
    }

    /// The call in the body.
    fn call(&self) -> Value {
        self.json["request"]["body"].as_str().and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default()
    }

    fn want(&self) -> Answer {
        self.answers(false).pop().unwrap_or_else(|| panic!("{}: no answer was recorded", self.name))
    }

    /// The order within one gateway. Tools that show sessions come before there are any.
    fn rank(&self) -> usize {
        match self.call()["tool"].as_str() {
            Some("session_status" | "sessions_list") => 0,
            _ => LIMITED.iter().position(|name| *name == self.name).unwrap_or(1),
        }
    }
}

/// What `explain` says about a recorded call.
fn explained(recorded: &Recorded) -> Result<Value, String> {
    let call = recorded.call();
    let tool = call["tool"].as_str().ok_or("no tool in the body")?;
    let mut options = vec![("--session", call["sessionKey"].as_str())];
    options.push(("--channel", recorded.header("x-openclaw-message-channel")));
    options.push(("--account", recorded.header("x-openclaw-account-id")));
    // Callers with the shared secret are operators whatever they declare.
    options.push((
        "--scopes",
        recorded.header("x-openclaw-scopes").filter(|_| recorded.header("authorization").is_none()),
    ));
    let given = options.iter().filter_map(|(name, value)| Some([*name, (*value)?])).flatten();
    let args: Vec<&str> = ["explain", tool, "--json"].into_iter().chain(given).collect();
    let (finished, json) = explain(recorded.config(), &recorded.env(), &args);
    let allowed = json["allowed"].as_bool() == Some(true);
    if finished.code != i32::from(!allowed) || first_deny(&json).is_none() != allowed || !finished.log.is_empty() {
        return Err(format!("the explanation contradicts itself: {finished:?}"));
    }
    Ok(json)
}

/// Runs `explain` under a configuration.
fn explain(config: &str, env: &[(&str, &str)], args: &[&str]) -> (Finished, Value) {
    let dir = Dir::new();
    let path = dir.write("toolgate.json5", 0o600, config);
    let path = path.to_string_lossy();
    let all: Vec<&str> = args.iter().copied().chain(["--config", &path]).collect();
    let mut command = program(&dir, &all);
    command.envs(env.iter().copied());
    let finished = run(command);
    let json = serde_json::from_str(&finished.out).unwrap_or_default();
    (finished, json)
}

/// The first step that refuses.
fn first_deny(json: &Value) -> Option<&str> {
    let steps = json["steps"].as_array().unwrap_or_else(|| panic!("no steps in {json}"));
    let names: Vec<&str> = steps.iter().map(|step| step["step"].as_str().expect("a step's name")).collect();
    assert_eq!(names, STEPS, "the contract's order");
    steps.iter().find(|step| step["verdict"] == "deny").map(|step| step["step"].as_str().expect("a step's name"))
}

/// Compares the policy's verdict with the recorded status.
fn judge(recorded: &Recorded, json: &Value, status: u16) -> Result<(), String> {
    let denied = first_deny(json).filter(|step| *step != "exists");
    let never_built = NEVER_BUILT.iter().any(|(name, _)| *name == recorded.name);
    let expected = status == 404 && !never_built;
    if denied.is_some() == expected { Ok(()) } else { Err(format!("{status} there, here denied by {denied:?}")) }
}

fn check(gateway: &Gateway, recorded: &Recorded) -> Result<(), String> {
    let want = recorded.want();
    let (mut answers, _peer) = replay(gateway, recorded, SOON)?;
    let got = answers.pop().ok_or("no answer")?;
    if let Some((_, status, body, _)) = DECIDED.iter().find(|(name, ..)| *name == recorded.name) {
        return compare_decided(&got, *status, *body);
    }
    // What ends before the body is read has nothing to do with tools.
    if matches!(want.status, 401 | 403 | 405 | 429) || recorded.call().is_null() {
        return compare(&recorded.name, &got, &want, false);
    }
    let json = explained(recorded)?;
    judge(recorded, &json, want.status)?;
    if want.status != 404 && json["exists"] == false {
        let call = recorded.call();
        let text = format!("Tool not available: {}", call["tool"].as_str().unwrap_or_default());
        return match got.status == 404 && got.error() == ("not_found".into(), text) {
            true => Ok(()),
            false => Err(format!("a tool that is not here: {got:?}")),
        };
    }
    compare(&recorded.name, &got, &want, false)
}

/// Replays `recorded`, all of one configuration, on a fresh gateway; the failures.
fn session(mut recorded: Vec<&Recorded>) -> Vec<String> {
    recorded.sort_by_key(|r| r.rank());
    let setup = recorded[0].env().into_iter().fold(Setup::new(recorded[0].config()), |s, (n, v)| s.env(n, v));
    let gateway = setup.start();
    if recorded[0].name.starts_with("seed-") {
        // Recorded over a store with a main session in it; here a call makes one.
        assert_eq!(gateway.peer().ask(&call("{\"tool\":\"time_status\"}")).status, 200);
    }
    let mut failures = Vec::new();
    let mut last = Instant::now();
    for one in recorded {
        let result = if one.name == "rl-after-lockout" {
            // The lock must last as long as it said, and no longer.
            let opened = until(LOCKED + SOON, || check(&gateway, one).ok());
            match (opened, last.elapsed()) {
                (Some(()), waited) if waited + Duration::from_secs(2) >= LOCKED => Ok(()),
                (opened, waited) => Err(format!("{opened:?} after {waited:?}")),
            }
        } else {
            check(&gateway, one)
        };
        if one.name == "rl-again-wrong-3" {
            last = Instant::now();
        }
        failures.extend(result.err().map(|why| format!("{}: {why}", one.name)));
    }
    gateway.stop();
    failures
}

#[test]
fn recorded_verdicts() {
    let all = Recorded::all(replays);
    assert!(all.len() >= 147, "{} recorded exchanges", all.len());
    let names: BTreeSet<&str> = all.iter().map(|r| r.name.as_str()).collect();
    let tables = DECIDED.iter().map(|d| d.0).chain(NEVER_BUILT.iter().map(|n| n.0));
    for name in tables.chain(LIMITED) {
        assert!(names.contains(name), "{name} is in a table but was never recorded");
    }
    for name in names.iter().filter(|name| name.starts_with("rl-")) {
        assert!(LIMITED.contains(name), "{name}: its place in the sequence is unknown");
    }
    let mut sessions: Vec<Vec<&Recorded>> = Vec::new();
    for one in &all {
        match sessions.iter_mut().find(|s| s[0].config() == one.config() && s[0].env() == one.env()) {
            Some(session) => session.push(one),
            None => sessions.push(vec![one]),
        }
    }
    let failures: Vec<String> = thread::scope(|scope| {
        let running: Vec<_> = sessions.into_iter().map(|s| scope.spawn(|| session(s))).collect();
        running.into_iter().flat_map(|handle| handle.join().expect("a replay")).collect()
    });
    assert!(failures.is_empty(), "{} of {} differ:\n{}", failures.len(), all.len(), failures.join("\n"));
}

const CONFIG: &str = "{ gateway: { auth: { token: \"sekret-token-123456\" }, tools: { deny: [\"tts\"] } },
    agents: { defaults: { model: \"acme/one\" }, list: [
        { id: \"main\" }, { id: \"small\", tools: { profile: \"minimal\", alsoAllow: [\"agents_*\"] } },
        { id: \"other\", model: \"zeta/two\" }, { id: \"listed\", tools: { allow: [\"group:sessions\", \"nodes\"] } } ] },
    tools: { byProvider: { acme: { deny: [\"canvas\"] } } },
    channels: { telegram: { groups: { \"-1\": { tools: { deny: [\"sessions_list\"] } } },
        accounts: { bot: { groups: { \"-1\": { tools: { deny: [\"agents_list\"] } } } } } } } }";

/// Arguments, and: known, exists, the first step that refuses, its rule and its source.
type Row<'r> = (&'r str, bool, bool, Option<&'r str>, Option<&'r str>, Option<&'r str>);

const ROWS: [Row<'static>; 17] = [
    ("agents_list", true, true, None, None, None),
    (" agents_list ", true, true, None, None, None),
    ("Agents_List", true, false, Some("exists"), None, None),
    ("bash", true, false, Some("exists"), None, None),
    ("no_such_tool", false, false, Some("exists"), None, None),
    ("canvas", true, false, Some("tools.byProvider"), Some("canvas"), Some("tools.byProvider.acme.deny")),
    ("canvas|--session|agent:other:x", true, false, Some("exists"), None, None),
    ("tts", true, false, Some("gateway.tools"), Some("tts"), Some("gateway.tools.deny")),
    ("exec", true, false, Some("gateway.tools"), Some("exec"), Some("built-in HTTP deny list")),
    ("agents_list|--session|agent:small:main", true, true, None, None, None),
    (
        "sessions_list|--session|agent:small:main",
        true,
        true,
        Some("profile"),
        Some("minimal"),
        Some("agents.list[1].tools.profile"),
    ),
    ("agents_list|--session=agent:listed:x", true, true, Some("agent"), None, Some("agents.list[3].tools.allow")),
    (
        "nodes|--session=agent:listed:x|--scopes=operator.write",
        true,
        false,
        Some("gateway.tools"),
        Some("nodes"),
        Some("built-in HTTP deny list"),
    ),
    (
        "agents_list|--session|subagent:x",
        true,
        true,
        Some("subagent"),
        Some("agents_list"),
        Some("built-in subagent deny list"),
    ),
    (
        "sessions_list|--session|agent:other:telegram:group:-1",
        true,
        true,
        Some("group"),
        Some("sessions_list"),
        Some("channels.telegram.groups.-1.tools.deny"),
    ),
    ("sessions_list|--session|agent:other:telegram:group:-1|--account|Bot", true, true, None, None, None),
    ("sessions_list|--channel|telegram|--account|bot", true, true, None, None, None),
];

/// A call's context: session, channel, account, scopes. Empty = not given.
const CONTEXTS: [[&str; 4]; 14] = [
    ["", "", "", ""],
    ["main", "", "", "operator.write"],
    ["agent:small:main", "", "", "operator.admin"],
    ["agent:small:subagent:x", "", "", "operator.write"],
    ["agent:other:subagent:x", "", "", ""],
    ["subagent:x", "telegram", "bot", ""],
    ["agent:listed:x", "", "", ""],
    ["agent:nobody:x", "", "", ""],
    ["telegram:group:-1", "", "", ""],
    ["agent:other:telegram:group:-1:topic:2", "Telegram", "BOT", ""],
    ["agent:other:telegram:group:-1", "slack", "nobody", ""],
    ["agent:other:telegram:direct:-1", "telegram", "bot", ""],
    ["", "", "", "operator.read"],
    ["", "", "", "Operator.Write,,"],
];

#[test]
fn a_call_gets_what_explain_says() {
    let config = CONFIG.replacen("token: \"sekret-token-123456\"", "mode: \"none\"", 1);
    let gateway = Setup::new(&config).start();
    let listed = run(program(gateway.dir(), &["tools", "--json", "--all"])).out;
    let tools = crate::commands::rows(&listed);
    let mut seen = BTreeSet::new();
    for tool in tools.iter().map(|row| row["name"].as_str().expect("a name")).chain(["canvas", "nodes", "Agents_List"])
    {
        for [session, channel, account, scopes] in CONTEXTS {
            let context = [("session", "", session), ("channel", "x-openclaw-message-channel", channel)]
                .into_iter()
                .chain([("account", "x-openclaw-account-id", account), ("scopes", "x-openclaw-scopes", scopes)])
                .filter(|(.., value)| !value.is_empty());
            let (mut args, mut fields) = (vec!["explain".into(), tool.to_owned(), "--json".into()], String::new());
            for (name, field, value) in context {
                args.push(format!("--{name}={value}"));
                if !field.is_empty() {
                    fields += &format!("{field}: {value}\r\n");
                }
            }
            let (finished, json) = explain(&config, &[], &args.iter().map(String::as_str).collect::<Vec<_>>());
            let body = serde_json::json!({ "tool": tool, "sessionKey": session }).to_string();
            let fields = format!("{fields}Content-Length: {}\r\n", body.len());
            let answer = gateway.peer().ask(&request("POST /tools/invoke HTTP/1.1", &fields, body.as_bytes()));
            let denied = !matches!(answer.status, 200 | 400 | 500);
            assert_eq!(json["allowed"], !denied, "{args:?}: {finished:?}\nbut a call gets {answer:?}");
            let expected = if finished.log.is_empty() { 404 } else { 403 };
            assert!(!denied || answer.status == expected, "{args:?}: {finished:?}\nbut a call gets {answer:?}");
            seen.extend(first_deny(&json).map(str::to_owned));
        }
    }
    // Or this test would prove little.
    for step in ["profile", "tools.byProvider", "agent", "group", "subagent", "gateway.tools", "exists"] {
        assert!(seen.contains(step), "no call was refused by {step}: {seen:?}");
    }
    gateway.stop();
}

#[test]
fn explanations() {
    for (line, known, exists, step, rule, source) in ROWS {
        let args: Vec<&str> = ["explain"].into_iter().chain(line.split('|')).chain(["--json"]).collect();
        let (finished, json) = explain(CONFIG, &[], &args);
        assert_eq!((finished.code, finished.log.as_str()), (i32::from(step.is_some()), ""), "{line}: {finished:?}");
        let keys: Vec<&String> = json.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["allowed", "exists", "known", "session", "steps", "tool"], "{line}");
        assert_eq!((&json["known"], &json["exists"]), (&known.into(), &exists.into()), "{line}: {json}");
        assert_eq!(json["allowed"], step.is_none(), "{line}: {json}");
        assert_eq!(first_deny(&json), step, "{line}: {json}");
        let found = json["steps"].as_array().into_iter().flatten().find(|s| s["verdict"] == "deny");
        let (found_rule, found_source) = found.map_or((None, None), |s| (s["rule"].as_str(), s["source"].as_str()));
        assert_eq!((found_rule, found_source), (rule, source), "{line}: {json}");
        // People are told the same.
        let (finished, _) = explain(CONFIG, &[], &args[..args.len() - 1]);
        let last = finished.out.lines().last().unwrap_or_default();
        let start = step.map_or("allowed".into(), |step| format!("not allowed: step {step}: "));
        assert!(last.starts_with(&start) && finished.out.lines().count() == 13, "{line}: {finished:?}");
        // No list helps where there is no such tool.
        assert!(exists || last.contains("there is no such tool here") || last.contains("absent here"), "{last}");
    }
    // A narrow caller gets 403, which is no step; an owner-only tool is gone for whoever is no owner.
    let (finished, json) = explain(CONFIG, &[], &["explain", "agents_list", "--json", "--scopes", "operator.read"]);
    assert_eq!((finished.code, &json["allowed"], first_deny(&json)), (1, &false.into(), None), "{finished:?}");
    assert!(finished.log.contains("operator.write"), "{finished:?}");
    let open = "{ gateway: { tools: { allow: [\"nodes\"] } } }";
    for (scopes, step) in [("operator.admin", "exists"), ("operator.write", "owner"), ("", "owner")] {
        let (_, json) = explain(open, &[], &["explain", "nodes", "--json", "--scopes", scopes]);
        assert_eq!(first_deny(&json), Some(step), "{scopes:?}: {json}");
    }
    let (_, json) = explain(CONFIG, &[], &["explain", "tts", "--json", "--session", " agent:Small:x "]);
    assert_eq!(json["session"].to_string(), "{\"agentId\":\"small\",\"key\":\"agent:Small:x\"}");
    for (config, args, code) in [
        ("{ gatway: {} }", &["explain", "tts"][..], 78),
        (CONFIG, &["explain"], 64),
        (CONFIG, &["explain", " "], 64),
        (CONFIG, &["explain", "tts", "--nonsense"], 64),
        (CONFIG, &["explain", "tts", "more"], 64),
    ] {
        let (finished, _) = explain(config, &[], args);
        assert_eq!((finished.code, finished.out.as_str()), (code, ""), "{args:?}: {finished:?}");
        assert!(!finished.log.is_empty(), "{args:?}: not a word");
    }
}
