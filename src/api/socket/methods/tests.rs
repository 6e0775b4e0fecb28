//! Every method's payload against a made-up world, its keys against a recording, its parameters against attacks.

use serde_json::Value;
use serde_json::value::RawValue;

use super::fixture::{NOW, World, caller};
use super::*;
use crate::api::socket::facts::Event;
use crate::api::socket::roll::Entry;
use crate::gate::policy::{Agent, Lists, Policy, Profile};
use crate::tool::Listed;

fn agent(id: &str, name: Option<&str>) -> Agent {
    Agent { id: id.into(), name: name.map(Into::into), ..Agent::default() }
}

fn plain() -> World {
    World::new(Policy::default())
}

/// What `method` answers to a caller of protocol 3 with these scopes, payload or `code: message`.
fn ask_as(world: &World, scopes: &str, method: &str, params: &str) -> Result<String, String> {
    let raw: Option<&RawValue> =
        if params.is_empty() { None } else { Some(serde_json::from_str(params).expect("JSON")) };
    let asked = Asked { params: raw, principal: &caller(scopes), protocol: 3 };
    match answer(find(method).expect("a method"), &asked, world) {
        Ok(Told::Announce(payload) | Told::Payload(payload)) => {
            serde_json::from_str::<Value>(&payload).unwrap_or_else(|error| panic!("{method}: {error}: {payload}"));
            Ok(payload)
        }
        Ok(Told::Invoke(_)) => Ok("invoke".into()),
        Err(fault) => Err(format!("{}: {}", fault.code, fault.message)),
    }
}

fn ask(world: &World, method: &str, params: &str) -> Result<String, String> {
    ask_as(world, "operator.admin", method, params)
}

/// Asserts a whole payload.
fn check(world: &World, method: &str, params: &str, expected: &str) {
    assert_eq!(ask(world, method, params).as_deref(), Ok(expected), "{method} {params}");
}

/// Asserts a fault.
fn refused(world: &World, method: &str, params: &str, expected: &str) {
    assert_eq!(ask(world, method, params).expect_err(method), expected, "{method} {params:.80}");
}

#[test]
fn the_table_is_sorted_and_whole() {
    assert!(METHODS.is_sorted_by(|a, b| a.name < b.name));
    for method in &METHODS {
        assert!(std::ptr::eq(find(method.name).unwrap(), method));
    }
    assert!(find("tools.invok").is_none() && find("").is_none() && find("Health").is_none());
}

#[test]
fn scopes_are_those_of_the_contract() {
    let check = |scope: &str, expected: &[&str]| {
        let open: Vec<&str> = METHODS.iter().filter(|m| m.scope == Some(scope)).map(|m| m.name).collect();
        assert_eq!(open, expected, "{scope}");
    };
    check("operator.admin", &["exec.approvals.get", "set-heartbeats", "system-event", "update.status"]);
    check("operator.pairing", &["device.pair.list", "node.pair.list"]);
    check("operator.approvals", &["exec.approval.list", "plugin.approval.list"]);
    check("operator.questions", &["question.list"]);
    check("operator.write", &["tools.invoke"]);
    let world = plain();
    for method in &METHODS {
        let got = ask_as(&world, "", method.name, "");
        match method.scope {
            None => assert!(got.is_ok(), "{}", method.name),
            Some(scope) => assert_eq!(got, Err(format!("INVALID_REQUEST: missing scope: {scope}"))),
        }
    }
    assert!(ask_as(&world, "operator.write", "status", "").is_ok(), "write covers read");
    assert_eq!(
        ask_as(&world, "operator.read", "tools.invoke", "5"),
        Err("INVALID_REQUEST: missing scope: operator.write".into()),
        "the scope comes before the parameters"
    );
    let fault = Fault::scope_missing("operator.read", 4);
    let details = r#"{"code":"MISSING_SCOPE","missingScope":"operator.read","requiredScopes":["operator.read"]}"#;
    assert_eq!((fault.code, fault.details.as_deref()), ("FORBIDDEN", Some(details)));
}

#[test]
fn what_this_device_has_none_of_is_empty() {
    let world = plain();
    let pairs = r#"{"pending":[],"paired":[]}"#;
    check(&world, "device.pair.list", "{}", pairs);
    check(&world, "node.pair.list", "", pairs);
    check(&world, "node.list", "{}", &format!(r#"{{"ts":{NOW},"nodes":[]}}"#));
    refused(&world, "node.describe", r#"{"nodeId":"x"}"#, "INVALID_REQUEST: unknown nodeId");
    check(&world, "models.list", r#"{"view":"all"}"#, r#"{"models":[]}"#);
    let narrow = r#"{"view":"provider-config","agentId":"main","provider":"x","includeDetails":true,"refresh":true}"#;
    check(&world, "models.list", narrow, r#"{"models":[]}"#);
    check(&world, "chat.history", r#"{"sessionKey":"main","limit":200}"#, r#"{"messages":[]}"#);
    check(&world, "commands.list", r#"{"agentId":"main"}"#, r#"{"commands":[]}"#);
    check(&world, "last-heartbeat", "[1]", "null");
    check(&world, "set-heartbeats", r#"{"enabled":false}"#, r#"{"ok":true,"enabled":false}"#);
    check(&world, "set-heartbeats", r#"{"enabled":true}"#, r#"{"ok":false,"enabled":false}"#);
    check(&world, "sessions.subscribe", "{}", r#"{"subscribed":true}"#);
    check(&world, "sessions.unsubscribe", "{}", r#"{"subscribed":false}"#);
    check(&world, "update.status", "{}", r#"{"sentinel":null}"#);
    check(&world, "exec.approval.list", "{}", "[]");
    check(&world, "plugin.approval.list", "{}", "[]");
    check(&world, "question.list", "{}", r#"{"questions":[]}"#);
    let nothing = vitals::hex(&hmac_sha256::Hash::hash(b""));
    let none = format!(r#"{{"path":"","exists":false,"hash":"{nothing}","file":{{"version":1}}}}"#);
    check(&world, "exec.approvals.get", "{}", &none);
    check(&world, "skills.status", r#"{"agentId":"main"}"#, r#"{"workspaceDir":"","managedSkillsDir":"","skills":[]}"#);
    let runs = r#"{"entries":[],"total":0,"offset":0,"limit":50,"hasMore":false,"nextOffset":null}"#;
    check(&world, "cron.runs", r#"{"id":"x"}"#, runs);
    check(&world, "voicewake.get", "{}", r#"{"triggers":[]}"#);
    check(&world, "cron.status", "", r#"{"enabled":false,"storePath":"","jobs":0,"nextWakeAtMs":null}"#);
    check(
        &world,
        "cron.list",
        r#"{"includeDisabled":true}"#,
        r#"{"jobs":[],"total":0,"offset":0,"limit":50,"hasMore":false,"nextOffset":null,"snapshotRevision":"0","deliveryPreviews":{}}"#,
    );
    check(
        &world,
        "diagnostics.stability",
        "{}",
        r#"{"generatedAt":"2026-11-22T04:00:00.000Z","capacity":0,"count":0,"dropped":0,"events":[],"summary":{"byType":{}}}"#,
    );
    check(
        &world,
        "channels.status",
        r#"{"probe":true,"timeoutMs":8000,"channel":"x"}"#,
        &format!(
            r#"{{"ts":{NOW},"channelOrder":[],"channelLabels":{{}},"channelDetailLabels":{{}},"channelSystemImages":{{}},"channelMeta":[],"channels":{{}},"channelAccounts":{{}},"channelDefaultAccountId":{{}}}}"#
        ),
    );
}

#[test]
fn health_counts_and_names_to_those_who_may_read() {
    let policy = Policy { agents: vec![agent("ops", Some("Ops")), agent("home", None)], ..Policy::default() };
    let world = World::new(policy).with_sessions(&[("agent:home:main", "home", 9), ("agent:ops:main", "ops", 4)]);
    let (ops, home) = (NOW - 4_000, NOW - 9_000);
    let ops = format!(r#"{{"key":"agent:ops:main","updatedAt":{ops},"age":4000}}"#);
    let home = format!(r#"{{"key":"agent:home:main","updatedAt":{home},"age":9000}}"#);
    let payload = |all: &str, ops: &str, home: &str| {
        format!(
            r#"{{"ok":true,"ts":{NOW},"durationMs":0,"channels":{{}},"channelOrder":[],"channelLabels":{{}},"heartbeatSeconds":0,"defaultAgentId":"ops","agents":[{{"agentId":"ops","name":"Ops","isDefault":true,"heartbeat":{{"enabled":false,"every":"disabled","everyMs":null}},"sessions":{{"path":"toolgate:memory","recent":[{ops}],"count":1}}}},{{"agentId":"home","isDefault":false,"heartbeat":{{"enabled":false,"every":"disabled","everyMs":null}},"sessions":{{"path":"toolgate:memory","recent":[{home}],"count":1}}}}],"sessions":{{"path":"toolgate:memory","recent":[{all}],"count":2}},"toolgate":{{"version":"{}","uptimeMs":60000,"connections":3,"tools":{}}}}}"#,
            env!("CARGO_PKG_VERSION"),
            crate::tool::TOOLS.len()
        )
    };
    let full = payload(&format!("{ops},{home}"), &ops, &home);
    assert_eq!(ask_as(&world, "operator.read", "health", r#"{"probe":true}"#), Ok(full));
    assert_eq!(ask_as(&world, "", "health", "5"), Ok(payload("", "", "")));
}

#[test]
fn status_hides_paths_from_all_but_admins() {
    let world = plain().with_sessions(&[("main", "main", 1)]);
    let version = env!("CARGO_PKG_VERSION");
    let id = world.sessions.borrow().latest()[0].id.clone();
    let row = format!(
        r#"{{"key":"main","updatedAt":{},"age":1000,"agentId":"main","kind":"direct","sessionId":"{id}","totalTokens":null,"totalTokensFresh":false,"remainingTokens":null,"percentUsed":null,"model":null,"contextTokens":null,"flags":[]}}"#,
        NOW - 1_000
    );
    let payload = |paths: &str, path: &str| {
        format!(
            r#"{{"runtimeVersion":"{version}","heartbeat":{{"defaultAgentId":"main","agents":[{{"agentId":"main","enabled":false,"every":"disabled","everyMs":null}}]}},{},"sessions":{{"paths":[{paths}],"defaults":{{"model":null,"contextTokens":null}},"recent":[{row}],"count":1,"byAgent":[{{"agentId":"main","path":"{path}","recent":[{row}],"count":1}}]}}}}"#,
            r#""channelSummary":[],"queuedSystemEvents":[],"tasks":{"total":0,"active":0,"terminal":0,"failures":0,"byStatus":{"queued":0,"running":0,"succeeded":0,"failed":0,"timed_out":0,"cancelled":0,"lost":0},"byRuntime":{"subagent":0,"acp":0,"cli":0,"cron":0}},"taskAudit":{"total":0,"warnings":0,"errors":0,"byCode":{"stale_queued":0,"stale_running":0,"lost":0,"delivery_failed":0,"missing_cleanup":0,"inconsistent_timestamps":0}}"#
        )
    };
    check(&world, "status", "", &payload("\"toolgate:memory\"", "toolgate:memory"));
    assert_eq!(ask_as(&world, "operator.read", "status", "{}"), Ok(payload("", "[redacted]")));
}

#[test]
fn agents_are_those_configured() {
    check(
        &plain(),
        "agents.list",
        "{}",
        r#"{"defaultId":"main","mainKey":"main","scope":"per-sender","agents":[{"id":"main"}]}"#,
    );
    check(&plain(), "agent.identity.get", "{}", r#"{"agentId":"main"}"#);
    let mut policy = Policy { agents: vec![agent("ops", Some("O\"ps")), agent("home", None)], ..Policy::default() };
    policy.agents[1].default = true;
    policy.session.main_key = Some("work".into());
    policy.session.global = true;
    assert_eq!(defaults(&policy).main_session, "global");
    let world = World::new(policy);
    check(
        &world,
        "agents.list",
        "{}",
        r#"{"defaultId":"home","mainKey":"work","scope":"global","agents":[{"id":"ops","name":"O\"ps"},{"id":"home"}]}"#,
    );
    check(&world, "agent.identity.get", r#"{"agentId":" OPS "}"#, r#"{"agentId":"ops","name":"O\"ps"}"#);
    check(&world, "agent.identity.get", r#"{"sessionKey":"agent:ops:x"}"#, r#"{"agentId":"ops","name":"O\"ps"}"#);
    refused(&world, "agent.identity.get", r#"{"agentId":"main"}"#, "INVALID_REQUEST: unknown agent id \"main\"");
    refused(
        &world,
        "tools.effective",
        r#"{"sessionKey":"agent:ops:x","agentId":"home"}"#,
        "INVALID_REQUEST: agent id \"home\" does not match session agent \"ops\"",
    );
}

#[test]
fn the_gateway_s_identity() {
    let identity = r#"{"deviceId":"4bb06f8e4e3a7715d201d573d0aa423762e55dabd61a2c02278fa56cc6d294e0","publicKey":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc"}"#;
    check(&plain(), "gateway.identity.get", "", identity);
    let none = World { key: None, ..plain() };
    refused(&none, "gateway.identity.get", "", "UNAVAILABLE: this gateway has no identity");
    let check = |bytes: &[u8], expected: &str| assert_eq!(crate::wire::base64::encode_url(bytes), expected);
    check(b"", "");
    check(b"f", "Zg");
    check(b"fo", "Zm8");
    check(b"foo", "Zm9v");
    check(b"foobar", "Zm9vYmFy");
    check(&[0xfb, 0xff, 0xfe], "-__-");
    assert_eq!(vitals::hex(&[0, 0xa5, 0xff]), "00a5ff");
}

#[test]
fn sessions_are_listed_as_asked() {
    let rows =
        [("unknown", "main", 1), ("global", "main", 2), ("agent:ops:Main", "ops", 300), ("x:group:5", "main", 9)];
    let world = plain().with_sessions(&rows);
    let check = |params: &str, expected: &[&str]| {
        let payload: Value = serde_json::from_str(&ask(&world, "sessions.list", params).unwrap()).unwrap();
        let keys: Vec<&str> =
            payload["sessions"].as_array().unwrap().iter().map(|s| s["key"].as_str().unwrap()).collect();
        assert_eq!(keys, expected, "{params}");
        assert_eq!(payload["count"], expected.len());
    };
    check("", &["x:group:5", "agent:ops:Main"]);
    check(r#"{"includeGlobal":true,"includeUnknown":true}"#, &["x:group:5", "agent:ops:Main", "global", "unknown"]);
    check(r#"{"includeGlobal":true,"includeUnknown":false,"limit":2}"#, &["x:group:5", "agent:ops:Main"]);
    check(r#"{"limit":1}"#, &["x:group:5"]);
    check(r#"{"limit":1e300}"#, &["x:group:5", "agent:ops:Main"]);
    check(r#"{"activeMinutes":4}"#, &["x:group:5"]);
    check(r#"{"activeMinutes":1e300}"#, &["x:group:5", "agent:ops:Main"]);
    check(r#"{"agentId":"OPS"}"#, &["agent:ops:Main"]);
    check(r#"{"search":" MAIN "}"#, &["agent:ops:Main"]);
    check(r#"{"label":"x"}"#, &[]);
    check(r#"{"spawnedBy":"agent:ops:Main"}"#, &[]);
    let id = world.sessions.borrow().latest()[0].id.clone();
    let expected = format!(
        r#"{{"ts":{NOW},"path":"toolgate:memory","defaults":{{"modelProvider":null,"model":null,"contextTokens":null}},"sessions":[{{"key":"x:group:5","kind":"group","updatedAt":{},"sessionId":"{id}","agentId":"main","calls":1}}],"count":1}}"#,
        NOW - 9_000
    );
    assert_eq!(ask(&world, "sessions.list", r#"{"limit":1}"#), Ok(expected));
}

#[test]
fn a_session_is_described_by_its_key() {
    let world = plain().with_sessions(&[("agent:main:main", "main", 9), ("x:group:5", "main", 1)]);
    let id = world.sessions.borrow().latest()[1].id.clone();
    let main = format!(
        r#"{{"session":{{"key":"agent:main:main","kind":"direct","updatedAt":{},"sessionId":"{id}","agentId":"main","calls":1}}}}"#,
        NOW - 9_000
    );
    for params in [r#"{"key":"main"}"#, r#"{"key":"agent:main:main","agentId":"Main","includeLastMessage":true}"#] {
        check(&world, "sessions.describe", params, &main);
    }
    check(&world, "sessions.describe", r#"{"key":"agent:main:other"}"#, r#"{"session":null}"#);
    let unknown = "INVALID_REQUEST: unknown agent id \"x\"";
    refused(&world, "sessions.describe", r#"{"key":"main","agentId":"x"}"#, unknown);
    let absent = "INVALID_REQUEST: invalid sessions.describe params: must have required property 'key'";
    refused(&world, "sessions.describe", "{}", absent);
}

#[test]
fn presence_begins_with_the_gateway() {
    let world = plain();
    let own = |place: &str, ip: &str| {
        let version = env!("CARGO_PKG_VERSION");
        format!(
            r#"[{{"host":"vm",{ip}"version":"{version}","platform":"linux 6.1.0","deviceFamily":"Linux","modelIdentifier":"x86_64","mode":"gateway","reason":"self","text":"Gateway: vm{place} · app {version} · mode gateway · reason self","ts":{NOW}}}]"#
        )
    };
    check(&world, "system-presence", "[]", &own(" (192.0.2.2)", r#""ip":"192.0.2.2","#));
    check(&World { address: None, ..plain() }, "system-presence", "{}", &own("", ""));
}

#[test]
fn events_tell_of_clients() {
    let tell = |params: &str, expected: &str| {
        let world = plain();
        check(&world, "system-event", params, r#"{"ok":true}"#);
        let all = presence(&world);
        let client = all.split_once("},").expect("a client").1;
        assert_eq!(client, format!("{expected},\"ts\":{NOW}}}]"), "{params}");
        assert_eq!(world.roll.borrow().versions(), (2, 1));
    };
    let text = "Node: Peter's-Mac (10.0.0.7) · app 2026.4.29 · last input 12s ago · mode local · reason periodic";
    tell(
        &format!(r#"{{"text":"{text}"}}"#),
        &format!(
            r#"{{"host":"Peter's-Mac","ip":"10.0.0.7","version":"2026.4.29","mode":"local","reason":"periodic","text":"{text}","lastInputSeconds":12"#
        ),
    );
    tell(
        &format!(
            r#"{{"text":"{text}","host":"h","lastInputSeconds":3,"deviceId":"D","tags":["a","a",5,""],"roles":"x","ip":7,"extra":1}}"#
        ),
        &format!(
            r#"{{"host":"h","ip":"10.0.0.7","version":"2026.4.29","mode":"local","reason":"periodic","deviceId":"D","text":"{text}","tags":["a"],"lastInputSeconds":3"#
        ),
    );
    tell(r#"{"text":" free words "}"#, r#"{"text":"free words""#);
    tell(r#"{"text":"Node: h"}"#, r#"{"host":"h","text":"Node: h""#);
    tell(r#"{"text":"x","lastInputSeconds":-5}"#, r#"{"text":"x""#);
    tell(
        r#"{"text":"Node: h · last input 99999999999999999999s ago · mode"}"#,
        r#"{"host":"h","text":"Node: h · last input 99999999999999999999s ago · mode""#,
    );
    for bad in ["", "{}", "[]", "5", r#"{"text":5}"#, r#"{"text":" "}"#, r#"{"text":null}"#] {
        refused(&plain(), "system-event", bad, "INVALID_REQUEST: text required");
    }
    let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(1 << 20));
    refused(&plain(), "system-event", &long, "INVALID_REQUEST: text required");
    let world = plain();
    let part = "y".repeat(4_000);
    let wide = format!(r#"{{"text":"{part}","host":"{part}","tags":["{part}"],"instanceId":"{part}"}}"#);
    check(&world, "system-event", &wide, r#"{"ok":true}"#);
    assert!(presence(&world).len() < 1_024);
    for params in [r#"{"text":"a","instanceId":"I"}"#, r#"{"text":"b","instanceId":" i "}"#] {
        check(&world, "system-event", params, r#"{"ok":true}"#);
    }
    assert_eq!(presence(&world).matches(r#""instanceId":"#).count(), 2, "the same client is told of once");
}

#[test]
fn nodes_are_those_connected() {
    let world = plain();
    let node =
        Entry::new("D1").with("host", "porch").with("deviceId", "D1").with("mode", "node").with("ip", "10.0.0.9");
    let node = node.with("platform", "linux").list("roles", ["node"].into_iter());
    let now = world.now.get();
    world.roll.borrow_mut().join(&Entry::new("ui").with("mode", "ui").list("roles", ["operator"].into_iter()), now);
    world.roll.borrow_mut().join(&node, now);
    let row = r#""nodeId":"D1","displayName":"porch","platform":"linux","remoteIp":"10.0.0.9","clientMode":"node","caps":[],"commands":[],"paired":false,"connected":true}"#;
    check(&world, "node.list", "{}", &format!(r#"{{"ts":{NOW},"nodes":[{{{row}]}}"#));
    check(&world, "node.describe", r#"{"nodeId":" D1 "}"#, &format!(r#"{{"ts":{NOW},{row}"#));
    refused(&world, "node.describe", r#"{"nodeId":"ui"}"#, "INVALID_REQUEST: unknown nodeId");
    world.roll.borrow_mut().leave("d1", now);
    check(&world, "node.list", "{}", &format!(r#"{{"ts":{NOW},"nodes":[]}}"#));
    refused(&world, "node.describe", r#"{"nodeId":"D1"}"#, "INVALID_REQUEST: unknown nodeId");
}

/// The names in all groups of a payload of `tools.catalog` or `tools.effective`.
fn names(payload: &str) -> Vec<String> {
    let payload: Value = serde_json::from_str(payload).unwrap();
    let groups = payload["groups"].as_array().unwrap();
    groups.iter().flat_map(|g| g["tools"].as_array().unwrap()).map(|t| t["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_catalogue_has_what_is_there() {
    let mut world = plain();
    let mut all = names(&ask(&world, "tools.catalog", r#"{"includePlugins":true}"#).unwrap());
    all.sort_unstable();
    assert!(all.iter().map(String::as_str).eq(world.tools.iter().map(Listed::name)));
    world.tools.retain(|tool| ["session_status", "time_status"].contains(&tool.name()));
    let schema = |name: &str| Listed::BuiltIn(crate::tool::built_in(name).unwrap()).schema_json();
    let expected = format!(
        r#"{{"agentId":"main","profiles":[{{"id":"minimal","label":"Minimal"}},{{"id":"coding","label":"Coding"}},{{"id":"messaging","label":"Messaging"}},{{"id":"full","label":"Full"}}],"groups":[{{"id":"sessions","label":"Sessions","source":"core","tools":[{{"id":"session_status","label":"session_status","description":"A card about this session, or about another one it may see","source":"core","risk":"low","tags":["observe"],"inputSchema":{},"defaultProfiles":["minimal","coding","messaging"]}}]}},{{"id":"device","label":"Device","source":"core","tools":[{{"id":"time_status","label":"time_status","description":"The clock, whether it is synchronized, and how far it was set since the gateway started","source":"core","risk":"low","tags":["observe"],"inputSchema":{},"defaultProfiles":[]}}]}}]}}"#,
        schema("session_status"),
        schema("time_status"),
    );
    assert_eq!(ask(&world, "tools.catalog", r#"{"agentId":"Main"}"#), Ok(expected));
    refused(&world, "tools.catalog", r#"{"agentId":"x"}"#, "INVALID_REQUEST: unknown agent id \"x\"");
}

#[test]
fn what_is_effective_is_what_the_policy_allows() {
    let mut policy = Policy { agents: vec![agent("main", None), agent("ops", None)], ..Policy::default() };
    policy.agents[1].tools.profile = Some(Profile::Minimal);
    policy.tools.lists = Lists { deny: vec!["time_status".into()], ..Lists::default() };
    let mut world = World::new(policy);
    let check = |scopes: &str, key: &str, missing: &[&str]| {
        let payload = ask_as(&world, scopes, "tools.effective", &format!(r#"{{"sessionKey":"{key}"}}"#)).unwrap();
        let allowed = names(&payload);
        let left: Vec<&str> =
            world.tools.iter().map(Listed::name).filter(|n| !allowed.contains(&String::from(*n))).collect();
        assert_eq!(left, missing, "{scopes} {key}");
    };
    check("operator.admin", "main", &["gateway", "time_status"]);
    check("operator.write", "agent:main:main", &["gateway", "time_status"]);
    check(
        "operator.admin",
        "agent:main:subagent:x",
        &["agents_list", "gateway", "session_status", "sessions_history", "sessions_list", "time_status"],
    );
    world.gate.borrow_mut().replace(crate::gate::Rules::default());
    let check = |scopes: &str, http_allow: &[&str], missing: bool| {
        let policy = Policy { http_allow: http_allow.iter().map(|n| (*n).into()).collect(), ..Policy::default() };
        world.gate.borrow_mut().replace(crate::gate::Rules { policy, ..crate::gate::Rules::default() });
        let payload = ask_as(&world, scopes, "tools.effective", r#"{"sessionKey":"main"}"#).unwrap();
        assert_eq!(!names(&payload).contains(&"gateway".into()), missing, "{scopes} {http_allow:?}");
    };
    check("operator.admin", &["gateway"], false);
    check("operator.write", &["gateway"], true);
    check("operator.admin", &[], true);
    world.tools.retain(|tool| tool.name() == "time_status");
    let summary = world.tools[0].summary().to_owned();
    let expected = format!(
        r#"{{"agentId":"main","profile":"full","groups":[{{"id":"core","label":"Built-in tools","source":"core","tools":[{{"id":"time_status","label":"time_status","description":"{summary}","source":"core","risk":"low","tags":["observe"],"inputSchema":{},"rawDescription":"{summary}"}}]}}],"notices":[{{"id":"scope","severity":"info","message":"Calling tools needs operator.write."}}]}}"#,
        world.tools[0].schema_json()
    );
    assert_eq!(ask_as(&world, "operator.read", "tools.effective", r#"{"sessionKey":"x"}"#), Ok(expected));
}

fn event(number: u64, text: &str) -> Event {
    Event { number, wall_s: NOW / 1_000, level: "WARN", text: text.into() }
}

#[test]
fn the_log_is_told_from_where_the_caller_stood() {
    let world = World { events: (5..=9).map(|n| event(n, &n.to_string())).collect(), ..plain() };
    let check = |params: &str, expected: &[&str], truncated: bool, reset: bool| {
        let payload: Value = serde_json::from_str(&ask(&world, "logs.tail", params).unwrap()).unwrap();
        let lines = payload["lines"].as_array().unwrap();
        let parsed: Vec<Value> = lines.iter().map(|l| serde_json::from_str(l.as_str().unwrap()).unwrap()).collect();
        let texts: Vec<&str> = parsed.iter().map(|line| line["1"].as_str().unwrap()).collect();
        assert_eq!(texts, expected, "{params}");
        let rest = (&payload["truncated"], &payload["reset"], &payload["cursor"], &payload["size"]);
        assert_eq!(rest, (&truncated.into(), &reset.into(), &9.into(), &9.into()), "{params}");
    };
    let all = ["5", "6", "7", "8", "9"];
    check("", &all, false, false);
    check(r#"{"cursor":9}"#, &[], false, false);
    check(r#"{"cursor":7}"#, &["8", "9"], false, false);
    check(r#"{"cursor":4}"#, &all, false, false);
    check(r#"{"cursor":3}"#, &all, false, true);
    check(r#"{"cursor":0}"#, &all, false, true);
    check(r#"{"cursor":10}"#, &all, false, true);
    check(r#"{"cursor":1e300}"#, &all, false, true);
    check(r#"{"cursor":18446744073709551615}"#, &all, false, true);
    check(r#"{"limit":2}"#, &["8", "9"], true, false);
    check(r#"{"limit":2,"cursor":7}"#, &["8", "9"], false, false);
    check(r#"{"maxBytes":1}"#, &[], true, false);
    check(r#"{"maxBytes":500}"#, &["8", "9"], true, false);
    check(r#"{"limit":5000,"maxBytes":1000000}"#, &all, false, false);
    let empty = r#"{"file":"toolgate:memory","cursor":0,"size":0,"lines":[],"truncated":false,"reset":false}"#;
    super::tests::check(&plain(), "logs.tail", r#"{"cursor":0}"#, empty);
    let world = World { events: vec![event(1, "call tool=x \"q\" é")], ..plain() };
    let line = r#"{"0":"{\"subsystem\":\"gateway\"}","1":"call tool=x \"q\" é","_meta":{"name":"{\"subsystem\":\"gateway\"}","date":"2026-11-22T04:00:00.000Z","logLevelName":"WARN"},"time":"2026-11-22T04:00:00.000Z","message":"call tool=x \"q\" é"}"#;
    let line = serde_json::to_string(line).unwrap();
    let expected =
        format!(r#"{{"file":"toolgate:memory","cursor":1,"size":1,"lines":[{line}],"truncated":false,"reset":false}}"#);
    super::tests::check(&world, "logs.tail", "", &expected);
}

#[test]
fn the_configuration_is_told_with_a_long_hash() {
    let document = r#"{"path":"/etc/t.json5","exists":true,"raw":null,"parsed":{"a":1},"sourceConfig":{"a":1},"resolved":{"a":1},"valid":true,"runtimeConfig":{"a":1},"config":{"a":1},"hash":"0123","issues":[],"warnings":[{"path":"x","message":"y"}],"legacyIssues":[],"more":1}"#;
    let world = World { document: Ok(document.into()), ..plain() };
    let payload = |path: &str| {
        format!(
            r#"{{"path":"{path}","exists":true,"raw":null,"parsed":{{"a":1}},"sourceConfig":{{"a":1}},"resolved":{{"a":1}},"valid":true,"runtimeConfig":{{"a":1}},"config":{{"a":1}},"issues":[],"warnings":[{{"path":"x","message":"y"}}],"legacyIssues":[],"hash":"015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"}}"#
        )
    };
    check(&world, "config.get", "{}", &payload("/etc/t.json5"));
    assert_eq!(ask_as(&world, "operator.read", "config.get", ""), Ok(payload("[redacted]")));
    refused(&plain(), "config.get", "", "UNAVAILABLE: no gateway runs here");
    let none = document.replace("\"/etc/t.json5\"", "null");
    let world = World { document: Ok(none), ..plain() };
    assert!(ask_as(&world, "operator.read", "config.get", "").unwrap().starts_with(r#"{"path":null,"#));
    let broken = World { document: Ok("{".into()), ..plain() };
    refused(&broken, "config.get", "", "UNAVAILABLE: the configuration cannot be shown");
}

/// Every key of `value`, arrays by what is in them, with where it stands.
fn keys(value: &Value, at: &str, all: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let at = format!("{at}.{key}");
                keys(value, &at, all);
                all.push(at);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keys(item, at, all)),
        _ => {}
    }
}

/// Asserts that a payload has every key of the recorded one but those in `missing`.
fn recorded(world: &World, method: &str, missing: &[&str]) {
    let path = format!("{}/tests/data/golden-ws/{method}.json", env!("CARGO_MANIFEST_DIR"));
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    keys(&parse(&std::fs::read_to_string(&path).expect(&path)), "", &mut theirs);
    keys(&parse(&ask(world, method, "").unwrap()), "", &mut ours);
    theirs.sort_unstable();
    theirs.dedup();
    theirs.retain(|key| !ours.contains(key));
    assert_eq!(theirs, missing, "{method}");
}

#[test]
fn payloads_have_the_keys_of_recorded_ones() {
    let document =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/golden-ws/config.get.json"));
    let world = World { events: vec![event(1, "x")], document: Ok(document.unwrap()), ..plain() };
    // What a heartbeat would say and do: there is none.
    let beat = ["ackMaxChars", "prompt", "target"].map(|key| format!(".agents.heartbeat.{key}"));
    recorded(&world, "health", &beat.each_ref().map(String::as_str));
    recorded(&world, "status", &[]);
    recorded(&world, "system-presence", &[]);
    recorded(&world, "channels.status", &[]);
    recorded(&world, "node.list", &[]);
    recorded(&world, "config.get", &[]);
    recorded(&world, "tools.catalog", &[]);
    // How a model thinks: there is none.
    let thinking = [
        ".defaults.thinkingDefault",
        ".defaults.thinkingLevels",
        ".defaults.thinkingLevels.id",
        ".defaults.thinkingLevels.label",
        ".defaults.thinkingOptions",
    ];
    recorded(&world, "sessions.list", &thinking);
    // The lines are texts, so their keys do not count here.
    recorded(&world, "logs.tail", &[]);
}

#[test]
fn wrong_kinds_are_refused_for_every_parameter() {
    let world = plain();
    let wrong = ["null", "[]", "{}", "true", "1.5", "1e400", "-1", "\"\"", "\"x\"", "0"];
    for method in METHODS.iter().filter(|method| method.shape.is_some()) {
        let shape = method.shape.unwrap();
        for param in shape.params {
            let mut refusals = 0;
            for value in wrong {
                // The others are absent, so their absence is told too: what counts is that this one is named.
                let params = format!(r#"{{"{}":{value}}}"#, param.name);
                if let Err(why) = ask(&world, method.name, &params) {
                    refusals += usize::from(why.contains(&format!("at /{}: must ", param.name)));
                }
            }
            let least = if matches!(param.kind, Kind::Text { min: 0, .. }) { 7 } else { 8 };
            assert!(refusals >= least, "{} {}: {refusals}", method.name, param.name);
            let long = format!(r#"{{"{}":"{}"}}"#, param.name, "x".repeat(1 << 20));
            let why = ask(&world, method.name, &long).expect_err(method.name);
            assert!(why.contains(&format!("at /{}: must ", param.name)) && why.len() < 512, "{why}");
        }
        for other in ["[]", "5", "\"x\"", "false"] {
            let expected = format!("INVALID_REQUEST: invalid {} params: must be object", method.name);
            refused(&world, method.name, other, &expected);
        }
        if shape.closed {
            let why = ask(&world, method.name, r#"{"surplus":1}"#).expect_err(method.name);
            assert!(why.contains("at root: unexpected property 'surplus'"), "{why}");
        }
    }
    refused(
        &world,
        "tools.effective",
        "{}",
        "INVALID_REQUEST: invalid tools.effective params: must have required property 'sessionKey'",
    );
    refused(
        &world,
        "logs.tail",
        r#"{"limit":5001}"#,
        "INVALID_REQUEST: invalid logs.tail params: at /limit: must be <= 5000",
    );
    refused(
        &world,
        "logs.tail",
        r#"{"maxBytes":0}"#,
        "INVALID_REQUEST: invalid logs.tail params: at /maxBytes: must be >= 1",
    );
    assert_eq!(ask(&world, "tools.invoke", r#"{"name":"x","args":{},"confirm":true}"#), Ok("invoke".into()));
}

#[test]
fn methods_without_a_table_take_anything() {
    let world = plain();
    for method in METHODS.iter().filter(|method| method.shape.is_none() && method.name != "system-event") {
        for params in ["", "null", "[]", "5", "\"x\"", "{\"x\":1e400}"] {
            assert!(ask(&world, method.name, params).is_ok(), "{} {params}", method.name);
        }
    }
}
