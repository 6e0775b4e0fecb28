//! What the tailnet's word does at the gate: who comes in, without a secret or not at all, and to which tools.

use std::time::Instant;

use super::*;
use crate::gate::auth::{Auth, Method, Mode};
use crate::gate::peer::{Names, Net};
use crate::gate::policy::{Lists, Policy, Step};
use crate::gate::rate::Rule;
use crate::gate::scope::{Scopes, WRITE};
use crate::gate::secret::Secret;
use crate::gate::{Ask, Deny, Gate, Refusal, Rules as All, Subject};

const TOKEN: &str = "sekret-token-123456";
const CAPABILITY: &str = "example.com/cap/toolgate";

fn boxed(texts: &[&str]) -> Vec<Box<str>> {
    texts.iter().map(|text| (*text).into()).collect()
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).into()).collect()
}

fn known(login: &str, tags: &[&str], capabilities: &[(&str, &[&str])]) -> Tailnet {
    let login = Some(login).filter(|login| !login.is_empty()).map(Box::from);
    let capabilities = capabilities.iter().map(|(name, tools)| ((*name).into(), boxed(tools))).collect();
    Tailnet::Known(Rc::new(Who { node: "phone.example.ts.net".into(), login, tags: boxed(tags), capabilities }))
}

fn alice() -> Tailnet {
    known("Alice@Example.com", &[], &[])
}

fn allow(logins: &[&str], tags: &[&str], capabilities: &[&str]) -> Allow {
    Allow { logins: owned(logins), tags: owned(tags), capabilities: owned(capabilities) }
}

/// Only Alice may come, and needs no secret.
fn identity() -> Rules {
    Rules { allow: allow(&["alice@example.com"], &[], &[]), identity: true, capability: None }
}

fn gate(mode: Mode, tailnet: Rules) -> Gate {
    let proxies = vec![Net::parse("100.64.0.9").unwrap()];
    let secret = || Secret::new(TOKEN);
    let rate = Some(Rule::default());
    let auth = Auth { mode, token: secret(), password: secret(), proxies, rate, ..Auth::default() };
    let names = Names { hosts: owned(&["pi"]), origins: owned(&["https://ui.example"]), ..Names::default() };
    Gate::new(All { auth, tailnet, names, ..All::default() })
}

fn ask(tailnet: &Tailnet) -> Ask<'_> {
    Ask { host: Some("pi:18789"), ..Ask::bare("100.64.0.7", tailnet) }
}

fn subject(tool: &str) -> Subject<'_> {
    Subject { tool, session: None, agent: None, channel: None, account: None, exists: true, owner_only: false }
}

#[test]
fn only_those_listed_come_in_with_or_without_the_secret() {
    let check = |allow: &Allow, peer: &Tailnet, expected: Result<(), Deny>| {
        let mut gate = gate(Mode::Token, Rules { allow: allow.clone(), ..Rules::default() });
        let ask = ask(peer);
        assert_eq!(gate.greet(&ask), expected, "{allow:?} {peer:?}");
        let missing = expected.and(Err(Deny::CredentialMissing));
        assert_eq!(gate.admit(&ask, Instant::now()).map(|_| ()), missing, "{allow:?} {peer:?}");
        let ask = Ask { credential: Some(TOKEN), ..ask };
        assert_eq!(gate.admit(&ask, Instant::now()).map(|_| ()), expected, "{allow:?} {peer:?}");
        assert_eq!(gate.details(&ask, Instant::now()), expected.is_ok(), "{allow:?} {peer:?}");
        // What is refused for lack of a name or of a place on the list says nothing of whether the door is open.
        assert_eq!(gate.door(&ask), Ok(()));
    };
    let (forbidden, unknown) = (Err(Deny::TailnetForbidden), Err(Deny::TailnetUnknown));
    let nas = || known("", &["tag:home", "tag:nas"], &[]);
    let granted = || known("bob@github", &[], &[("tailscale.com/cap/ssh", &[]), (CAPABILITY, &[])]);
    let everybody = Allow::default();
    for peer in [Tailnet::Outside, Tailnet::Unknown, alice(), nas(), granted()] {
        check(&everybody, &peer, Ok(()));
    }
    let by_login = allow(&["bob@github", "alice@example.com"], &[], &[]);
    check(&by_login, &Tailnet::Outside, Ok(()));
    check(&by_login, &Tailnet::Unknown, unknown);
    check(&by_login, &alice(), Ok(()));
    check(&by_login, &granted(), Ok(()));
    check(&by_login, &nas(), forbidden);
    check(&by_login, &known("alice@example.com.evil", &[], &[]), forbidden);
    check(&by_login, &known("lice@example.com", &[], &[]), forbidden);
    let by_tag = allow(&[], &["tag:nas"], &[]);
    check(&by_tag, &nas(), Ok(()));
    check(&by_tag, &alice(), forbidden);
    check(&by_tag, &known("", &["tag:NAS"], &[]), forbidden);
    check(&by_tag, &known("tag:nas", &[], &[]), forbidden);
    let by_capability = allow(&[], &[], &[CAPABILITY]);
    check(&by_capability, &granted(), Ok(()));
    check(&by_capability, &nas(), forbidden);
    check(&by_capability, &known("bob@github", &[], &[("example.com/cap/toolgate2", &["*"])]), forbidden);
    let any = allow(&["alice@example.com"], &["tag:nas"], &[CAPABILITY]);
    for peer in [alice(), nas(), granted()] {
        check(&any, &peer, Ok(()));
    }
    check(&any, &known("carol@example.com", &["tag:home"], &[]), forbidden);
}

#[test]
fn an_identity_stands_for_the_secret_only_where_it_may() {
    let check = |name: &str, mode: Mode, rules: Rules, ask: Ask, expected: Result<Method, Deny>| {
        let got = gate(mode, rules).admit(&ask, Instant::now());
        assert_eq!(got.map(|who| who.method()), expected, "{name}");
    };
    let (alice, outside) = (alice(), Tailnet::Outside);
    let (good, missing) = (Ok(Method::Tailnet), Err(Deny::CredentialMissing));
    check("token", Mode::Token, identity(), ask(&alice), good);
    check("password", Mode::Password, identity(), ask(&alice), good);
    check("none", Mode::None, identity(), ask(&alice), Err(Deny::CredentialMissing));
    check("trusted-proxy", Mode::TrustedProxy, identity(), ask(&alice), Err(Deny::ProxyRefused));
    check("not wanted", Mode::Token, Rules { identity: false, ..identity() }, ask(&alice), missing);
    check("no list", Mode::Token, Rules { allow: Allow::default(), ..identity() }, ask(&alice), missing);
    check("another way", Mode::Token, identity(), ask(&outside), missing);
    let here = Ask { peer: "127.0.0.1".parse().unwrap(), ..ask(&outside) };
    check("this machine", Mode::Token, identity(), here, missing);
    let unknown = Tailnet::Unknown;
    check("unknown", Mode::Token, identity(), ask(&unknown), Err(Deny::TailnetUnknown));
    let bob = known("bob@example.com", &[], &[]);
    check("another", Mode::Token, identity(), ask(&bob), Err(Deny::TailnetForbidden));
    let with = |credential| Ask { credential: Some(credential), ..ask(&alice) };
    check("with the secret", Mode::Token, identity(), with(TOKEN), Ok(Method::Token));
    check("with another", Mode::Token, identity(), with("x"), Err(Deny::CredentialMismatch));
    // A proxy in the tailnet is known itself; whom it forwards for is not.
    let via = |hops| Ask { forwarded: true, hops: Some(hops), ..ask(&alice) };
    check("Serve's one hop", Mode::Token, identity(), via("100.64.0.7"), good);
    check("mapped", Mode::Token, identity(), via(" ::ffff:100.64.0.7"), good);
    for hops in ["192.168.1.9", "100.64.0.7, 192.168.1.9", "192.168.1.9, 100.64.0.7", "100.64.0.7:1", "x", ""] {
        check(hops, Mode::Token, identity(), via(hops), missing);
    }
    check("no hop", Mode::Token, identity(), Ask { forwarded: true, ..ask(&alice) }, missing);
    // No page of another site gets in on the visitor's name.
    let page = Ask { origin: Some("https://evil.example"), ..ask(&alice) };
    check("a page", Mode::Token, identity(), page, Err(Deny::OriginForbidden));
    let crossing = Ask { cross_site: true, ..ask(&alice) };
    check("cross-site", Mode::Token, identity(), crossing, Err(Deny::OriginForbidden));
    let rebound = Ask { host: Some("evil.example"), ..ask(&alice) };
    check("another host", Mode::Token, identity(), rebound, Err(Deny::HostUnknown));
}

#[test]
fn a_named_caller_has_its_name_and_the_scopes_it_declares() {
    let now = Instant::now();
    let check = |peer: Tailnet, rules: Rules, scopes: Option<&str>, user: &str, (write, owner): (bool, bool)| {
        let mut gate = gate(Mode::Token, rules);
        let who = gate.admit(&Ask { scopes, ..ask(&peer) }, now).unwrap();
        assert_eq!((who.user(), who.client()), (Some(user), "100.64.0.7".parse().unwrap()));
        assert_eq!((gate.require(&who, WRITE).is_ok(), who.owner()), (write, owner), "{scopes:?}");
    };
    check(alice(), identity(), None, "Alice@Example.com", (true, true));
    check(alice(), identity(), Some("operator.write"), "Alice@Example.com", (true, false));
    check(alice(), identity(), Some("operator.read"), "Alice@Example.com", (false, false));
    check(alice(), identity(), Some(""), "Alice@Example.com", (false, false));
    let tagged = Rules { allow: allow(&[], &["tag:home"], &[]), ..identity() };
    check(known("", &["tag:home"], &[]), tagged, None, "phone.example.ts.net", (true, true));
    // Who holds the secret is its holder, not the person at the other end.
    let (mut gate, alice) = (gate(Mode::Token, identity()), alice());
    let who = gate.admit(&Ask { credential: Some(TOKEN), scopes: Some(""), ..ask(&alice) }, now).unwrap();
    assert_eq!((who.method(), who.user(), who.owner()), (Method::Token, None, true));
}

#[test]
fn whoever_is_refused_by_name_has_guessed_nothing() {
    let now = Instant::now();
    let (bob, alice) = (known("bob@example.com", &[], &[]), alice());
    let mut gate = gate(Mode::Token, identity());
    for _ in 0..50 {
        let guess = Ask { credential: Some("x"), ..ask(&bob) };
        assert_eq!(gate.admit(&guess, now).map(|_| ()), Err(Deny::TailnetForbidden));
    }
    // One who is let in and guesses wrong is counted, and stays known.
    for _ in 0..10 {
        let guess = Ask { credential: Some("x"), ..ask(&alice) };
        assert_eq!(gate.admit(&guess, now).map(|_| ()), Err(Deny::CredentialMismatch));
    }
    let right = Ask { credential: Some(TOKEN), ..ask(&alice) };
    assert_eq!(gate.admit(&right, now).map(|_| ()), Err(Deny::RateLimited(300)));
    assert_eq!(gate.admit(&ask(&alice), now).map(|who| who.method()), Ok(Method::Tailnet));
}

#[test]
fn the_tailnets_own_policy_names_the_tools() {
    let check = |tools: &[&str], tool: &str, expected: bool| {
        let got = decided(known("a@b", &[], &[("example.com/cap/other", &["*"]), (CAPABILITY, tools)]), tool);
        let expected = if expected { Ok(()) } else { Err(Refusal::TailnetCapability) };
        assert_eq!(got, expected, "{tools:?} {tool}");
    };
    check(&["wake_nas"], "wake_nas", true);
    check(&["wake_nas"], "device_status", false);
    check(&["x", " Wake_NAS "], "wake_nas", true);
    check(&["wake_*"], "wake_nas", true);
    check(&["wake_*"], "awake_nas", false);
    check(&["group:device"], "device_status", true);
    check(&["GROUP:Device"], "device_status", true);
    check(&["group:device"], "wake_nas", false);
    check(&["group:nobody_knows"], "wake_nas", false);
    check(&["*"], "wake_nas", true);
    check(&[], "wake_nas", false);
    check(&["", " "], "wake_nas", false);
    // It narrows; it opens nothing that the gateway's own policy refuses.
    let star = || known("a@b", &[], &[(CAPABILITY, &["*"])]);
    assert_eq!(decided(star(), "time_status"), Err(Refusal::Unavailable(Step::Tools)));
    assert_eq!(decided(star(), "gateway"), Err(Refusal::Unavailable(Step::GatewayTools)));
    // Several grants add up, as they do in Tailscale.
    let twice = || known("a@b", &[], &[(CAPABILITY, &["wake_nas"]), (CAPABILITY, &["device_status"])]);
    assert_eq!((decided(twice(), "wake_nas"), decided(twice(), "device_status")), (Ok(()), Ok(())));
    for nothing in [Tailnet::Unknown, alice(), known("a@b", &[], &[("Example.com/cap/toolgate", &["*"])])] {
        assert_eq!(decided(nothing, "wake_nas"), Err(Refusal::TailnetCapability));
    }
    assert_eq!(decided(Tailnet::Outside, "wake_nas"), Ok(()));
    assert_eq!(Refusal::TailnetCapability.word(), "tailnet_capability");
}

/// What `peer`, who holds the secret, hears about `tool`; where it is narrowed, it stays so.
fn decided(peer: Tailnet, tool: &str) -> Result<(), Refusal> {
    let lists = Lists { deny: owned(&["time_status"]), ..Lists::default() };
    let mut policy = Policy { groups: vec![("group:device".into(), owned(&["device_status"]))], ..Policy::default() };
    policy.tools.lists = lists;
    let rules = Rules { capability: Some(CAPABILITY.into()), ..Rules::default() };
    let mut gate = gate(Mode::Token, rules.clone());
    gate.replace(All { policy, ..gate_rules(rules) });
    let who = gate.admit(&Ask { credential: Some(TOKEN), ..ask(&peer) }, Instant::now()).unwrap();
    let who = who.narrowed(&Scopes::full());
    gate.permit(&who, &subject(tool)).map(|permit| assert_eq!(permit.tool(), tool))
}

fn gate_rules(tailnet: Rules) -> All {
    let mut gate = gate(Mode::Token, tailnet);
    gate.replace(All::default())
}

#[test]
fn a_reload_that_narrows_counts_for_calls_that_were_let_in_before() {
    let peer = known("a@b", &[], &[(CAPABILITY, &["wake_nas"])]);
    let mut gate = gate(Mode::Token, Rules::default());
    let who = gate.admit(&Ask { credential: Some(TOKEN), ..ask(&peer) }, Instant::now()).unwrap();
    assert!(gate.permit(&who, &subject("device_status")).is_ok());
    let narrow = Rules { capability: Some(CAPABILITY.into()), ..Rules::default() };
    let old = gate.replace(gate_rules(narrow));
    assert!(!old.admits_as(gate.rules()), "sockets are closed");
    assert_eq!(gate.permit(&who, &subject("device_status")).map(|_| ()), Err(Refusal::TailnetCapability));
    assert!(gate.permit(&who, &subject("wake_nas")).is_ok());
    // The same rules, and others that are not about who comes in.
    assert!(gate.rules().admits_as(&gate_rules(Rules { capability: Some(CAPABILITY.into()), ..Rules::default() })));
    let same = All { policy: Policy { http_deny: owned(&["x"]), ..Policy::default() }, ..gate_rules(identity()) };
    assert!(gate_rules(identity()).admits_as(&same));
    for other in
        [Rules::default(), Rules { identity: false, ..identity() }, Rules { allow: Allow::default(), ..identity() }]
    {
        assert!(!gate_rules(identity()).admits_as(&gate_rules(other)));
    }
}

#[test]
fn nobody_comes_through_funnel() {
    for peer in [Tailnet::Outside, Tailnet::Unknown, alice()] {
        let mut gate = gate(Mode::Token, identity());
        let funnel = Ask { funnel: true, credential: Some(TOKEN), ..ask(&peer) };
        assert_eq!(gate.door(&funnel), Err(Deny::FunnelRefused));
        assert_eq!(gate.admit(&funnel, Instant::now()).map(|_| ()), Err(Deny::FunnelRefused));
        let here = Ask { peer: "127.0.0.1".parse().unwrap(), ..funnel };
        assert!(!gate.details(&here, Instant::now()));
    }
}

#[test]
fn names_come_and_go_with_the_tailnet() {
    let outside = Tailnet::Outside;
    let check = |gate: &Gate, host: &str, expected: bool| {
        assert_eq!(gate.door(&Ask { host: Some(host), ..ask(&outside) }).is_ok(), expected, "{host}");
    };
    let mut gate = gate(Mode::Token, Rules::default());
    check(&gate, "pi.example.ts.net", false);
    gate.answer_to(owned(&["pi.example.ts.net", "100.64.0.1", "fd7a:115c:a1e0::1"]));
    let there = |gate: &Gate, there: bool| {
        for host in ["pi.example.ts.net", "PI.example.ts.net.:443", "100.64.0.1:18789", "[fd7a:115c:a1e0::1]:18789"] {
            check(gate, host, there);
        }
        check(gate, "pi", true);
        for host in ["evil.ts.net", "pi.example.ts.net.evil.example", "100.64.0.2", "ts.net", "example.ts.net"] {
            check(gate, host, false);
        }
    };
    there(&gate, true);
    gate.replace(gate_rules(Rules::default()));
    there(&gate, true);
    gate.answer_to(Vec::new());
    there(&gate, false);
}
