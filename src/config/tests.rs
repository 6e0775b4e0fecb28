//! The room as a whole: documents in, findings out.

use std::path::PathBuf;

use super::*;
use crate::gate::policy::{Lists, Profile};
use crate::limits::*;

/// Every configuration of the recorded exchanges. Source: contract http.md §8.
const RECORDED: &[&str] = &[
    r#"{ gateway: { mode: "local", port: 19111, bind: "loopback", auth: { mode: "token", token: "sekret-token-123456" } }, discovery: { mdns: { mode: "off" } }, plugins: { enabled: false } }"#,
    r#"{ gateway: { mode: "local", port: 19126, bind: "loopback", auth: { mode: "token", token: "sekret-token-123456" } }, session: { scope: "global", mainKey: "work" }, tools: { allow: ["Sessions_List","agents_list","session_status","read","exec","group:fs"], deny: ["Agents_List"], loopDetection: { enabled: true, warningThreshold: 2, criticalThreshold: 4, globalCircuitBreakerThreshold: 6 } }, discovery: { mdns: { mode: "off" } }, plugins: { enabled: false } }"#,
    r#"{ gateway: { mode: "local", port: 19120, bind: "loopback", auth: { mode: "none" }, tools: { allow: ["cron","gateway","nodes"] } }, discovery: { mdns: { mode: "off" } }, plugins: { enabled: false } }"#,
    r#"{ gateway: { mode: "local", port: 19127, bind: "loopback", auth: { mode: "token", token: "sekret-token-123456" }, tools: { allow: ["gateway","cron","nodes","sessions_send","sessions_spawn","exec","apply_patch"] } }, session: { mainKey: "Work" }, agents: { defaults: { subagents: { maxSpawnDepth: 2 } } , list: [ {id:"zeta"}, {id:"Home Bot", default:true} ] }, tools: { subagents: { tools: { alsoAllow: ["gateway"], deny: ["canvas"] } } }, discovery: { mdns: { mode: "off" } }, plugins: { enabled: false } }"#,
    r#"{ gateway: { mode: "local", port: 19140, bind: "loopback", auth: { mode: "token", token: "sekret-token-123456" } }, agents: { defaults: { workspace: "/state/workspace" } }, discovery: { mdns: { mode: "off" } } }"#,
    r#"{ gateway: { mode: "local", port: 19125, bind: "loopback", auth: { mode: "token", token: "sekret-token-123456" }, tools: { allow: ["gateway","CRON","exec"], deny: ["tts"] } },
  tools: { profile: "minimal" },
  agents: { list: [
    { id: "main", default: true },
    { id: "ops", tools: { profile: "full", allow: ["group:sessions", "AGENTS_*", "gateway"] } },
    { id: "deny", tools: { profile: "full", deny: ["sessions_*"] } },
    { id: "also", tools: { alsoAllow: ["agents_list"] } },
    { id: "empty", tools: { profile: "full", allow: [] } },
    { id: "unknown", tools: { profile: "full", allow: ["does_not_exist"] } },
    { id: "coding", tools: { profile: "coding" } },
    { id: "msg", tools: { profile: "messaging" } },
    { id: "full", tools: { profile: "full" } },
    { id: "star", tools: { profile: "full", allow: ["*"], deny: ["canvas"] } },
    { id: "byp", tools: { profile: "full", byProvider: { openai: { deny: ["*"] } } } },
    { id: "both", tools: { profile: "full", allow: ["agents_list","tts"], deny: ["group:agents"] } },
    { id: "alsofull", tools: { profile: "full", alsoAllow: ["x"] } }
  ] },
  discovery: { mdns: { mode: "off" } }, plugins: { enabled: false } }"#,
    r#"{ gateway: { mode: "local", port: 19128, bind: "loopback", auth: { mode: "token", token: "sekret-token-123456" }, tools: { allow: ["gateway","CRON","exec"], deny: ["tts"] } },
  
  agents: { list: [
    { id: "main", default: true },
    { id: "ops", tools: { profile: "full", allow: ["group:sessions", "AGENTS_*", "gateway"] } },
    { id: "deny", tools: { profile: "full", deny: ["sessions_*"] } },
    { id: "also", tools: { alsoAllow: ["agents_list"] } },
    { id: "empty", tools: { profile: "full", allow: [] } },
    { id: "unknown", tools: { profile: "full", allow: ["does_not_exist"] } },
    { id: "coding", tools: { profile: "coding" } },
    { id: "msg", tools: { profile: "messaging" } },
    { id: "full", tools: { profile: "full" } },
    { id: "star", tools: { profile: "full", allow: ["*"], deny: ["canvas"] } },
    { id: "byp", tools: { profile: "full", byProvider: { openai: { deny: ["*"] } } } },
    { id: "both", tools: { profile: "full", allow: ["agents_list","tts"], deny: ["group:agents"] } },
    { id: "alsofull", tools: { profile: "full", alsoAllow: ["x"] } }
  ] },
  channels: { telegram: { enabled: false, groups: { "*": { tools: { deny: ["canvas"] } }, "-100": { tools: { allow: ["agents_list"] }, toolsBySender: { "id:42": { allow: ["tts"] }, "*": { deny: ["session_status"] } } }, "-200": { tools: { allow: ["agents_list","session_status"] } } } } },
  discovery: { mdns: { mode: "off" } }, plugins: { enabled: false } }"#,
    r#"{ gateway: { mode: "local", port: 19124, bind: "loopback", auth: { password: "pa ss-wörd-123" } }, discovery: { mdns: { mode: "off" } }, plugins: { enabled: false } }"#,
    r#"{ gateway: { mode: "local", port: 19121, bind: "loopback", auth: { mode: "token", token: "sekret-token-123456", rateLimit: { maxAttempts: 3, windowMs: 60000, lockoutMs: 7000, exemptLoopback: false } }, trustedProxies: ["127.0.0.1/32"] }, discovery: { mdns: { mode: "off" } }, plugins: { enabled: false } }"#,
    r#"{ gateway: { mode: "local", port: 19130, bind: "loopback", auth: { token: "${GWTOK}" } }, discovery: { mdns: { mode: "off" } }, plugins: { enabled: false } }"#,
    r#"{ gateway: { mode: "local", port: 19122, bind: "loopback", trustedProxies: ["127.0.0.0/8", "::1"], auth: { mode: "trusted-proxy", password: "local-fallback-pw-99", trustedProxy: { userHeader: "X-Auth-User", requiredHeaders: ["X-Proxy-Secret"], allowUsers: ["alice@example.com"], allowLoopback: true } }, controlUi: { allowedOrigins: ["https://ui.example"] }, tools: { allow: ["gateway"] } }, discovery: { mdns: { mode: "off" } }, plugins: { enabled: false } }"#,
];

fn variables(name: &str) -> Option<String> {
    (name == "GWTOK").then(|| "sekret-token-123456".to_owned())
}

fn load(text: &str) -> Outcome {
    read(text, &variables)
}

/// The findings, one per line, errors with `!`.
fn lines(text: &str) -> Vec<String> {
    let mark = |finding: &Finding| if finding.level == Level::Error { "! " } else { "" };
    load(text).findings.iter().map(|finding| format!("{}{finding}", mark(finding))).collect()
}

#[test]
fn recorded_configurations_load() {
    for text in RECORDED {
        let outcome = load(text);
        assert!(!outcome.refused(), "{text}\n{:#?}", outcome.findings);
        assert!(resolve_mode(&outcome.config, &Overrides::default()).is_ok(), "{text}");
    }
}

#[test]
fn values_arrive() {
    let Some([policy, _, rate, variable, proxy]) = RECORDED.last_chunk() else { panic!() };
    let config = load(policy).config;
    assert_eq!(config.gateway.port, Some(19128));
    assert_eq!(config.rules.policy.tools.profile, None);
    assert_eq!(config.rules.policy.agents[1].tools.profile, Some(Profile::Full));
    assert_eq!(config.rules.policy.agents.len(), 13);
    assert_eq!(config.rules.policy.agents[4].tools.lists.allow, Some(vec![]));
    assert_eq!(config.rules.policy.agents[10].tools.by_provider[0].key, "openai");
    assert_eq!(config.rules.policy.http_allow, ["gateway", "CRON", "exec"]);
    let groups = &config.rules.policy.channels[0].groups;
    assert_eq!(groups.iter().map(|group| group.id.as_str()).collect::<Vec<_>>(), ["*", "-100", "-200"]);
    let lists = Lists { deny: vec!["session_status".into()], ..Lists::default() };
    assert_eq!(groups[1].by_sender[1], ("*".to_owned(), lists));
    let rule = load(rate).config.rules.auth.rate.unwrap();
    assert_eq!((rule.max_attempts, rule.lockout.as_secs(), rule.exempt_loopback), (3, 7, false));
    let secret = crate::gate::secret::Secret::new("sekret-token-123456").map(SecretRef::Text);
    assert_eq!(load(variable).config.gateway.token, secret);
    let config = load(proxy).config;
    assert_eq!(config.gateway.user_header.as_deref(), Some("x-auth-user"));
    assert_eq!(config.gateway.required_headers, ["x-proxy-secret"]);
    assert_eq!((config.rules.auth.proxies.len(), config.rules.auth.allow_loopback), (2, true));
    assert_eq!(config.rules.names.origins, ["https://ui.example"]);
}

#[test]
fn defaults_are_the_documented_ones() {
    let config = Config::default();
    let rule = config.rules.auth.rate.unwrap();
    assert_eq!(rule.max_attempts, AUTH_ATTEMPTS_DEFAULT);
    assert_eq!((rule.window.as_millis(), rule.lockout.as_millis()), (60_000, 300_000));
    assert!(rule.exempt_loopback);
    assert_eq!((config.gateway.port, config.gateway.bind), (None, Bind::Loopback));
    assert_eq!(config.gateway.handshake_timeout_ms, HANDSHAKE_MS_DEFAULT);
    let limits = config.gateway.limits;
    assert_eq!((limits.connections, limits.connections_per_peer, limits.calls), (256, 32, 8));
    assert_eq!((limits.body_pool_bytes, limits.tool_result_bytes), (4_194_304, 65_536));
    assert_eq!(resolve_mode(&config, &Overrides::default()), Ok(Mode::Token));
    let off = load("{gateway: {auth: {rateLimit: false}}}");
    assert!(off.findings.is_empty() && off.config.rules.auth.rate.is_none());
}

#[test]
fn every_finding_at_once() {
    let text = "{gateway: {prot: 1, port: 70000, auth: {mode: 'tokn'}}, tools: {profile: 'mini'}, gatway: {}}";
    let expected = [
        "! gateway.prot: unknown key \"prot\"; did you mean \"port\"?",
        "! gateway.port: 70000 is out of range; it must be 0 to 65535",
        "! gateway.auth.mode: \"tokn\" is not one of none, token, password, trusted-proxy; did you mean \"token\"?",
        "! tools.profile: \"mini\" is not one of minimal, coding, messaging, full",
        "! gatway: unknown key \"gatway\"; did you mean \"gateway\"?",
    ];
    assert_eq!(lines(text), expected);
}

#[test]
fn numbers_are_exact() {
    let port = |value: &str, expected: &str| {
        let got = lines(&format!("{{gateway: {{port: {value}}}}}"));
        assert_eq!(
            got.join("\n"),
            if expected.is_empty() { String::new() } else { format!("! gateway.port: {expected}") }
        );
    };
    port("0", "");
    port("65535", "");
    port("1.8789e4", "");
    port("0x4965", "");
    port("70000", "70000 is out of range; it must be 0 to 65535");
    port("-1", "-1 is out of range; it must be 0 to 65535");
    port("1.5", "expected a whole number, 0 to 65535, got one with a fraction");
    port("1e300", "this number is out of range; it must be 0 to 65535");
    port("18446744073709551617", "this number is out of range; it must be 0 to 65535");
    port("NaN", "this number is out of range; it must be 0 to 65535");
    port("'18789'", "expected a whole number, 0 to 65535, got text; remove the quotes");
    port("null", "expected a whole number, 0 to 65535, got null");
    port("[1]", "expected a whole number, 0 to 65535, got a list");
    assert_eq!(load("{gateway: {port: 65535}}").config.gateway.port, Some(65535));
    assert_eq!(load("{gateway: {port: 70000}}").config.gateway.port, None);
}

#[test]
fn limits_have_ceilings() {
    for key in keys() {
        let Kind::Integer { max, .. } = key.kind else { continue };
        let document = |number: i64| {
            let parts: Vec<&str> = key.path.split('.').collect();
            parts
                .iter()
                .rev()
                .fold(number.to_string(), |inner, part| format!("{{{}: {inner}}}", part.replace('*', "x")))
        };
        let path = key.path.replace('*', "x");
        // Other keys may be missing beside it.
        assert!(lines(&document(max)).iter().all(|line| !line.contains(&path)), "{path}: {:?}", lines(&document(max)));
        assert!(load(&document(max + 1)).refused(), "{}", key.path);
        assert!(load(&document(-1)).refused(), "{}", key.path);
    }
}

#[test]
fn sections_of_the_reference_warn_once() {
    check(
        "{models: {a: {b: 1}}, meta: {}}",
        &["models: not served by this gateway; ignored", "meta: not served by this gateway; ignored"],
    );
    check(
        "{gateway: {reload: {mode: 'hot'}, controlUi: {enabled: false, basePath: '/x'}}}",
        &["gateway: not served by this gateway; ignored: reload, controlUi.enabled, controlUi.basePath"],
    );
    check(
        "{agents: {list: [{id: 'a', workspace: 'x'}, {id: 'b', workspace: 'y', tools: {exec: {}}}]}}",
        &["agents: not served by this gateway; ignored: list[].workspace, list[].tools.exec"],
    );
    check(
        "{channels: {telegram: {botToken: '${X}', groups: {a: {requireMention: true}}}, defaults: {}}}",
        &[
            "channels.telegram: not served by this gateway; ignored: botToken, groups.*.requireMention",
            "channels: not served by this gateway; ignored: defaults",
        ],
    );
    check("{models: {token: '${MISSING}'}, $schema: 'x'}", &["models: not served by this gateway; ignored"]);
}

#[test]
fn slips_are_errors() {
    check(
        "{channels: {telegarm: {}}}",
        &["! channels.telegarm: unknown channel id: \"telegarm\"; did you mean \"telegram\"?"],
    );
    check("{channels: {x: {}}}", &["! channels.x: unknown channel id: \"x\""]);
    check(
        "{channels: {slack: {gruops: {}}}}",
        &["! channels.slack.gruops: unknown key \"gruops\"; did you mean \"groups\"?"],
    );
    check(
        "{channels: {Slack: {}, slack: {}}}",
        &["! channels.slack: the channel slack is written twice; merge both into channels.slack"],
    );
    check("{session: {x: 1}}", &["! session.x: unknown key \"x\"; known here: scope, mainKey"]);
    check(
        "{__proto__: {a: 1}}",
        &["! __proto__: unknown key \"__proto__\"; known here: $schema, gateway, tools, agents, session, channels"],
    );
    check("{gateway: {port: 1, port: 2}}", &["! gateway.port: this key is written twice; keep one of them"]);
    check(
        "{models: {a: 1, a: 2}}",
        &["! models.a: this key is written twice; keep one of them", "models: not served by this gateway; ignored"],
    );
    check(
        "{'a\\u202e\"\\nb': 1}",
        &[
            "! [\"a\\u202e\\\"\\u000ab\"]: unknown key \"a\\u202e\\\"\\u000ab\"; known here: $schema, gateway, tools, agents, session, channels",
        ],
    );
    check("{$include: 'x.json5'}", &["! $include: $include is not supported; put the content of that file here"]);
    check(
        "{gateway: {$include: 'x.json5'}}",
        &["! gateway.$include: $include is not supported; put the content of that file here"],
    );
    check("{gateway: {auth: true}}", &["! gateway.auth: expected an object, got true or false"]);
    check(
        "{gateway: {auth: {rateLimit: true}}}",
        &["! gateway.auth.rateLimit: expected an object, or false, got true or false"],
    );
    check("{gateway: {hosts: 'x'}}", &["! gateway.hosts: expected a list of texts, got text"]);
    check(
        "{gateway: {hosts: ['a', 1, 'b:1', '*']}}",
        &[
            "! gateway.hosts[1]: expected text, got a number",
            "! gateway.hosts[2]: expected a host name such as pi.example.ts.net, without scheme, port or *",
            "! gateway.hosts[3]: expected a host name such as pi.example.ts.net, without scheme, port or *",
        ],
    );
    check(
        "{gateway: {trustedProxies: ['10.0.0.0/99', '0.0.0.0/0']}}",
        &[
            "gateway.trustedProxies[0]: \"10.0.0.0/99\" is no address and no CIDR block, so it never matches",
            "gateway.trustedProxies[1]: this block holds every address: anybody may claim to be anybody",
        ],
    );
    check(
        "{gateway: {http: {securityHeaders: {strictTransportSecurity: 'a\\r\\nb'}}}}",
        &[
            "! gateway.http.securityHeaders.strictTransportSecurity: this text holds control characters; remove them",
            "! gateway.http.securityHeaders.strictTransportSecurity: expected ASCII text, such as max-age=31536000",
        ],
    );
    check(
        "{gateway: {controlUi: {allowedOrigins: ['https://a.b/', '*', 'HTTP://A:1']}}}",
        &[
            "gateway.controlUi.allowedOrigins[0]: \"https://a.b/\" never matches; write scheme://host or scheme://host:port",
        ],
    );
}

#[test]
fn policy_rules() {
    check(
        "{tools: {allow: ['a'], alsoAllow: ['b']}}",
        &[
            "! tools: allow and alsoAllow cannot both be set in one place; merge alsoAllow into allow, or use profile with alsoAllow",
        ],
    );
    check("{tools: {allow: [], alsoAllow: ['b']}}", &[]);
    check(
        "{agents: {list: [{}, {id: ''}, {id: 3}, {id: 'a'}, {id: 'A', default: true}, {id: 'b', default: true}]}}",
        &[
            "! agents.list[2].id: expected text, got a number",
            "! agents.list[0].id: every agent needs an id, such as \"main\"",
            "! agents.list[1].id: every agent needs an id, such as \"main\"",
            "agents.list[4].id: the id \"a\" is taken; only the first entry counts",
            "agents.list[5].default: another agent is the default already; the first one counts",
        ],
    );
    check(
        "{agents: {list: [{id: 'a', model: {fallbacks: []}}], defaults: {model: 'o/m'}}}",
        &["! agents.list[0].model: expected text, or an object with primary"],
    );
    check(
        "{channels: {irc: {groups: {g: {toolsBySender: {bob: {}, 'id:1': {}, '*': {}}}}}}}",
        &[
            "channels.irc.groups.g.toolsBySender.bob: a sender without a kind counts as an id and is deprecated; write id: before it",
        ],
    );
    check(
        "{session: {mainKey: 'subagent:x'}}",
        &["! session.mainKey: expected one word without a colon, such as \"main\""],
    );
    let named = |name: &str| format!("{{tools: {{commands: {{{name}: {{description: 'X', argv: ['/bin/true']}}}}}}}}");
    check(&named(&"a".repeat(128)), &[]);
    let long = ["! tools.commands[\"", &"a".repeat(64), "…\"]: a tool's name has 128 characters at most"].concat();
    check(&named(&"a".repeat(129)), &[&long]);
    check(
        "{tools: {commands: {wake: {argv: []}, Wake: {}}, http: {on: 1}}}",
        &[
            "! tools.commands.Wake: a tool's name begins with a to z and goes on with a to z, 0 to 9 and _",
            "! tools.http.on: expected an object, got a number",
            "! tools.commands.wake.description: required here",
            "! tools.commands.wake.argv: required here: [\"/usr/bin/program\", \"argument\"]",
            "! tools.commands.Wake.description: required here",
            "! tools.commands.Wake.argv: required here: [\"/usr/bin/program\", \"argument\"]",
        ],
    );
    let config =
        load("{agents: {list: [{id: 'a', model: {primary: 'o/m', fallbacks: []}}]}, session: {mainKey: ' Work '}}")
            .config;
    assert_eq!(config.rules.policy.agents[0].model.as_deref(), Some("o/m"));
    assert_eq!(config.rules.policy.session.main_key.as_deref(), Some("work"));
}

#[test]
fn what_the_document_alone_forbids() {
    check(
        "{gateway: {mode: 'remote'}}",
        &["! gateway.mode: this program is a gateway, not a client of one; set it to local or remove it"],
    );
    check(
        "{gateway: {bind: 'custom'}}",
        &["! gateway.bind: bind custom needs gateway.customBindHost, an IPv4 address such as 192.168.1.5"],
    );
    check(
        "{gateway: {bind: 'custom', customBindHost: '::1'}}",
        &[
            "! gateway.customBindHost: expected an IPv4 address such as 192.168.1.5, got \"::1\"",
            "! gateway.bind: bind custom needs gateway.customBindHost, an IPv4 address such as 192.168.1.5",
        ],
    );
    check(
        "{gateway: {bind: 'lan', tailscale: {mode: 'serve'}}}",
        &[
            "gateway.tailscale.mode: Tailscale is not started by this gateway; run tailscale serve yourself",
            "! gateway.bind: with gateway.tailscale.mode serve or funnel this must be loopback, or the proxy can be passed by",
        ],
    );
    check(
        "{gateway: {tls: {enabled: true}}}",
        &[
            "! gateway.tls.enabled: TLS is not served here and nothing would be encrypted; end it in a proxy and remove this key",
        ],
    );
    check(
        "{gateway: {auth: {mode: 'trusted-proxy', token: 'abc'}}}",
        &[
            "! gateway.auth.trustedProxy.userHeader: mode trusted-proxy needs the field that names the user; set this key",
            "! gateway.trustedProxies: mode trusted-proxy needs the proxy's address or CIDR block here",
            "! gateway.auth.token: mode trusted-proxy takes no token; remove it, or set gateway.auth.mode to token",
        ],
    );
    check(
        "{gateway: {auth: {token: '${NONE}'}}}",
        &[
            "gateway.auth.token: environment variable \"NONE\" is not set; the placeholder is kept",
            "! gateway.auth.token: the secret is missing: set the variable its placeholder names, or remove the key",
        ],
    );
    check(
        "{gateway: {auth: {mode: 'password', token: '${NONE}', password: {env: 'P'}}}}",
        &["gateway.auth.token: environment variable \"NONE\" is not set; the placeholder is kept"],
    );
    check("{gateway: {auth: {token: '$${NONE}'}}}", &[]);
}

#[test]
fn the_mode_in_force() {
    let check = |text: &str, overrides: Overrides, expected: Result<Mode, &str>| {
        let got = resolve_mode(&load(text).config, &overrides).map_err(|finding| finding.path);
        assert_eq!(got, expected.map_err(str::to_owned), "{text}");
    };
    let none = Overrides::default();
    check("{}", none, Ok(Mode::Token));
    check("{}", Overrides { password: true, ..none }, Ok(Mode::Password));
    check("{}", Overrides { password: true, token: true, ..none }, Ok(Mode::Password));
    check("{gateway: {auth: {mode: 'token'}}}", Overrides { password: true, ..none }, Ok(Mode::Token));
    check("{gateway: {auth: {mode: 'token'}}}", Overrides { auth: Some(Mode::None), ..none }, Ok(Mode::None));
    check("{gateway: {auth: {mode: 'password'}}}", none, Err("gateway.auth.password"));
    check("{gateway: {auth: {mode: 'password', password: ' '}}}", none, Err("gateway.auth.password"));
    check("{gateway: {auth: {token: 'a', password: 'b'}}}", none, Err("gateway.auth.mode"));
    check(
        "{gateway: {auth: {token: 'a', password: 'b'}}}",
        Overrides { auth: Some(Mode::Token), ..none },
        Ok(Mode::Token),
    );
    check(
        "{gateway: {trustedProxies: ['10.0.0.1']}}",
        Overrides { auth: Some(Mode::TrustedProxy), ..none },
        Err("gateway.auth.trustedProxy.userHeader"),
    );
    let proxy = RECORDED[RECORDED.len() - 1];
    check(proxy, none, Ok(Mode::TrustedProxy));
    check(proxy, Overrides { token: true, ..none }, Err("gateway.auth.token"));
}

#[test]
fn what_bind_and_mode_forbid_together() {
    let check = |text: &str, mode: Mode, bind: Bind, expected: &[&str]| {
        let found = refusals(&load(text).config, mode, bind);
        assert_eq!(found.iter().map(|finding| finding.path.as_str()).collect::<Vec<_>>(), expected, "{text} {mode:?}");
    };
    check("{}", Mode::None, Bind::Loopback, &[]);
    for bind in [Bind::Auto, Bind::Lan, Bind::Tailnet, Bind::Custom(Ipv4Addr::LOCALHOST)] {
        check("{}", Mode::None, bind, &["gateway.bind"]);
        check("{}", Mode::Token, bind, &[]);
        check("{gateway: {tailscale: {mode: 'serve'}}}", Mode::Token, bind, &["gateway.bind"]);
    }
    check("{gateway: {tailscale: {mode: 'funnel'}}}", Mode::Token, Bind::Loopback, &["gateway.tailscale.mode"]);
    let socket = "{gateway: {tailnet: {serveSocket: '/run/x'}}}";
    check(socket, Mode::None, Bind::Loopback, &["gateway.tailnet.serveSocket"]);
    check(socket, Mode::Token, Bind::Loopback, &[]);
    check("{gateway: {tailscale: {mode: 'funnel'}}}", Mode::Password, Bind::Loopback, &[]);
}

#[test]
fn syntax_errors_say_where_and_what() {
    check("", &["! <root>: line 1, column 1: the text ends where a value was expected"]);
    check("[]", &["! <root>: expected an object in braces, got a list"]);
    check("{\n  a: 1\n  b: 2\n}", &["! <root>: line 3, column 3: expected \",\"; a comma is missing before this"]);
    check("{a 1}", &["! <root>: line 1, column 4: expected \":\" after the key"]);
    check("{a: 1", &["! <root>: line 1, column 1: this object is not closed when the text ends; expected \"}\""]);
    check("{a: tru}", &["! <root>: line 1, column 8: expected true or false; put text in quotes"]);
    check("{a: local}", &["! <root>: line 1, column 5: expected a value; put text in quotes"]);
    check("{a: 'x}", &["! <root>: line 1, column 8: the text ends inside a quoted text; expected its closing quote"]);
    check(
        "{a: '\\u12'}",
        &["! <root>: line 1, column 6: this escape sequence is not valid; write \"\\\\\" for a backslash"],
    );
    check(
        "{a: '\\ud800'}",
        &["! <root>: line 1, column 12: this escape sequence is not valid; write \"\\\\\" for a backslash"],
    );
    check("{} {}", &["! <root>: line 1, column 4: expected the end of the text"]);
    check("{a: \0}", &["! <root>: line 1, column 5: expected a value; put text in quotes"]);
    check("\u{feff}{}", &[]);
    check(
        "{gateway: {customBindHost: '1.2.3.4\0'}}",
        &[
            "! gateway.customBindHost: this text holds control characters; remove them",
            "! gateway.customBindHost: expected an IPv4 address such as 192.168.1.5, got \"1.2.3.4\\u0000\"",
        ],
    );
}

#[test]
fn hostile_texts_cost_nothing() {
    let deep = "! <root>: line 1, column 65: nested more than 64 levels deep";
    check(&"[".repeat(100_000), &[deep]);
    check(&"[{a:".repeat(1_000), &["! <root>: line 1, column 129: nested more than 64 levels deep"]);
    check(&format!("{}{}", "[".repeat(64), "]".repeat(64)), &["! <root>: expected an object in braces, got a list"]);
    check(&format!("{{}} // {}\n/* {} */", "[".repeat(1_000), "{".repeat(1_000)), &[]);
    check(
        &format!("{{'$schema': '\\'{}', \"models\": \"'{}\"}}", "[".repeat(100), "{".repeat(100)),
        &["models: not served by this gateway; ignored"],
    );
    check(&" ".repeat(10_000_000), &["! <root>: the text has 10000000 bytes; at most 262144 are read"]);
    let many = format!("{{gateway: {{hosts: [{}]}}}}", "1,".repeat(100_000));
    assert_eq!(load(&many).findings.len(), 100_000);
    let unknown: String = (0..20_000).map(|n| format!("k{n}k:1,")).collect();
    assert_eq!(load(&format!("{{channels: {{irc: {{{unknown}}}}}}}")).findings.len(), 1);
    let twice = format!("{{{}}}", "a:1,".repeat(60_000));
    assert_eq!(load(&twice).findings.len(), 60_000);
}

#[test]
fn no_finding_holds_a_secret() {
    let secret = "hunter2-hunter2";
    for text in [
        "{gateway: {auth: {token: 'hunter2-hunter2\\n1'}}}",
        "{gateway: {auth: {token: ['hunter2-hunter2']}}}",
        "{gateway: {auth: {token: {value: 'hunter2-hunter2'}}}}",
        "{gateway: {auth: {token: {source: 'exec', id: 'hunter2-hunter2'}}}}",
        "{gateway: {auth: {token: 'hunter2-hunter2}}}",
        "{gateway: {auth: {token: 'hunter2-hunter2' x}}}",
        "{gateway: {auth: {password: 'hunter2-hunter2', token: 'hunter2-hunter2', mode: 'trusted-proxy'}}}",
    ] {
        let outcome = load(text);
        assert!(outcome.refused(), "{text}");
        assert!(outcome.findings.iter().all(|finding| !finding.to_string().contains(secret)), "{text}");
        assert!(!format!("{outcome:?}").contains(secret), "{text}");
    }
    let raw = load("{tools: {http: {on: {headers: {a: 'hunter2-hunter2'}}}}}");
    assert!(!format!("{raw:?}").contains(secret));
}

#[test]
fn mutated_documents_end_in_findings() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    let pieces = [
        "{", "}", "[", "]", ",", ":", "'", "\"", "\\", "//", "/*", "${", "$$", "0x", "-", ".", "\0", "é", "\u{2028}",
        "1e9",
    ];
    for round in 0..4_000 {
        let mut text = RECORDED[round % RECORDED.len()].to_owned();
        for _ in 0..=draw(4) {
            let at = (0..=draw(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
            let end = (at + draw(12)..=text.len()).find(|end| text.is_char_boundary(*end)).unwrap_or(text.len());
            text.replace_range(at..end.max(at), pieces[draw(pieces.len())]);
        }
        let outcome = load(&text);
        assert!(outcome.findings.iter().all(|finding| !finding.message.is_empty()), "{text}");
        let _ = redact(&text);
    }
}

/// The public JSON5 test suite, when it lies beside the repository or where `TOOLGATE_SUITES` says.
#[test]
fn json5_suite() {
    // What we do otherwise, each with its reason.
    let exceptions: &[(&str, &str)] = &[];
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let base = std::env::var_os("TOOLGATE_SUITES").map_or(beside, PathBuf::from).join("json5-tests");
    let Ok(folders) = std::fs::read_dir(&base) else {
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "skipped: no JSON5 suite at {}", base.display());
        return;
    };
    let mut count = 0;
    for folder in folders.flatten().filter(|folder| folder.file_name() != "todo") {
        for file in std::fs::read_dir(folder.path()).into_iter().flatten().flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            let accept = match name.rsplit_once('.').map(|(_, kind)| kind) {
                Some("json" | "json5") => true,
                Some("js" | "txt") => false,
                _ => continue,
            };
            let bytes = std::fs::read(file.path()).unwrap();
            let accepted = std::str::from_utf8(&bytes).is_ok_and(|text| Node::parse(text).is_ok());
            let excepted = exceptions.iter().any(|(own, _)| *own == name);
            assert_eq!(accepted, accept != excepted, "{name}");
            count += 1;
        }
    }
    assert!(count > 90, "only {count} files");
}

fn check(text: &str, expected: &[&str]) {
    let shown: String = text.chars().take(200).collect();
    assert_eq!(lines(text), expected, "{shown}");
}
