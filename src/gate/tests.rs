//! Whole admissions: the recorded exchanges of every mode, the door, and what only the gate as a whole can show.

use std::time::{Duration, Instant};

use super::peer::Net;
use super::policy::Step;
use super::rate::Rule;
use super::scope::WRITE;
use super::secret::Secret;
use super::tailnet::Tailnet;
use super::*;

const TOKEN: &str = "sekret-token-123456";
const PASSWORD: &str = "local-fallback-pw-99";

impl<'a> Ask<'a> {
    /// Somebody at that address who claims nothing.
    pub(crate) fn bare(peer: &str, tailnet: &'a Tailnet) -> Ask<'a> {
        Ask {
            peer: peer.parse().unwrap(),
            tailnet,
            funnel: false,
            forwarded: false,
            hops: None,
            real: None,
            host: None,
            origin: None,
            cross_site: false,
            credential: None,
            scopes: None,
            proxy_user: None,
            proxy_fields: true,
        }
    }
}

fn ask<'a>() -> Ask<'a> {
    Ask { host: Some("127.0.0.1:18789"), ..Ask::bare("127.0.0.1", &Tailnet::Outside) }
}

fn subject(tool: &str) -> Subject<'_> {
    Subject { tool, session: None, agent: None, channel: None, account: None, exists: true, owner_only: false }
}

fn names() -> Names {
    Names {
        hosts: vec!["127.0.0.1".into(), "localhost".into()],
        origins: vec!["https://ui.example".into()],
        host_origin_fallback: false,
        any_literal: false,
    }
}

fn gate(auth: Auth) -> Gate {
    let policy = Policy { http_allow: vec!["gateway".into(), "cron".into(), "nodes".into()], ..Policy::default() };
    Gate::new(Rules { auth, names: names(), policy, ..Rules::default() })
}

fn token_mode(rate: Option<Rule>) -> Auth {
    let proxies = vec![Net::parse("127.0.0.1/32").unwrap()];
    Auth { token: Secret::new(TOKEN), proxies, rate, ..Auth::default() }
}

fn proxy_mode() -> Auth {
    Auth {
        mode: Mode::TrustedProxy,
        password: Secret::new(PASSWORD),
        proxies: vec![Net::parse("127.0.0.0/8").unwrap(), Net::parse("::1").unwrap()],
        allow_users: vec!["alice@example.com".into()],
        allow_loopback: true,
        ..Auth::default()
    }
}

/// The method and the client, or the refusal.
fn admitted(gate: &mut Gate, ask: &Ask, now: Instant) -> Result<Method, Deny> {
    gate.admit(ask, now).map(|principal| principal.method())
}

#[test]
fn token_and_password_modes() {
    let now = Instant::now();
    let check = |auth: Auth, credential: Option<&str>, expected: Result<Method, Deny>| {
        assert_eq!(admitted(&mut gate(auth), &Ask { credential, ..ask() }, now), expected, "{credential:?}");
    };
    let token = || token_mode(None);
    check(token(), Some(TOKEN), Ok(Method::Token));
    check(token(), Some("sekret-token-12345"), Err(Deny::CredentialMismatch));
    check(token(), Some("SEKRET-TOKEN-123456"), Err(Deny::CredentialMismatch));
    check(token(), None, Err(Deny::CredentialMissing));
    // The other secret does not open the mode.
    check(Auth { password: Secret::new(PASSWORD), ..token() }, Some(PASSWORD), Err(Deny::CredentialMismatch));
    let password = || Auth { mode: Mode::Password, password: Secret::new("pa ss-wörd-123"), ..token() };
    check(password(), Some("pa ss-wörd-123"), Ok(Method::Password));
    check(password(), Some("x"), Err(Deny::CredentialMismatch)); // pw-wrong
    check(password(), Some(TOKEN), Err(Deny::CredentialMismatch));
    // A blank secret is absent and opens nothing.
    check(Auth { token: Secret::new("  "), ..Auth::default() }, Some(" "), Err(Deny::CredentialMismatch));
    check(Auth { token: Secret::new("  "), ..Auth::default() }, None, Err(Deny::CredentialMissing));
    // Mode none looks at nothing (none-scopes-write-forwarded).
    check(Auth { mode: Mode::None, ..Auth::default() }, Some("x"), Ok(Method::None));
}

#[test]
fn trusted_proxy_mode() {
    let now = Instant::now();
    let check = |name: &str, auth: Auth, ask: Ask, expected: Result<Method, Deny>| {
        assert_eq!(admitted(&mut gate(auth), &ask, now), expected, "{name}");
    };
    let alice = Ask { proxy_user: Some(" alice@example.com "), ..ask() };
    let local = Ask { proxy_fields: false, credential: Some(PASSWORD), ..ask() };
    let lan: IpAddr = "192.168.1.9".parse().unwrap();
    check("tp-ok", proxy_mode(), alice, Ok(Method::TrustedProxy));
    check(
        "mapped peer",
        proxy_mode(),
        Ask { peer: "::ffff:127.0.0.1".parse().unwrap(), ..alice },
        Ok(Method::TrustedProxy),
    );
    check("tp-blank-required", proxy_mode(), Ask { proxy_fields: false, ..alice }, Err(Deny::ProxyRefused));
    check("tp-missing-user", proxy_mode(), Ask { proxy_user: None, ..alice }, Err(Deny::ProxyRefused));
    check("blank user", proxy_mode(), Ask { proxy_user: Some("  "), ..alice }, Err(Deny::ProxyRefused));
    check(
        "tp-user-case",
        proxy_mode(),
        Ask { proxy_user: Some("Alice@Example.com"), ..alice },
        Err(Deny::ProxyRefused),
    );
    check("tp-noauth", proxy_mode(), ask(), Err(Deny::ProxyRefused));
    check("untrusted peer", proxy_mode(), Ask { peer: lan, ..alice }, Err(Deny::ProxyRefused));
    check("loopback proxy", Auth { allow_loopback: false, ..proxy_mode() }, alice, Err(Deny::ProxyRefused));
    let anyone = Auth { allow_users: Vec::new(), ..proxy_mode() };
    check("any user", anyone, Ask { proxy_user: Some("bob"), ..alice }, Ok(Method::TrustedProxy));
    check("no proxies", Auth { proxies: Vec::new(), ..proxy_mode() }, alice, Err(Deny::ProxyRefused));
    check("no proxies, password", Auth { proxies: Vec::new(), ..proxy_mode() }, local, Err(Deny::ProxyRefused));
    check(
        "tp-origin-allowed",
        proxy_mode(),
        Ask { origin: Some("https://ui.example"), ..alice },
        Ok(Method::TrustedProxy),
    );
    // The reference answers 401 after the proxy's checks; here a foreign origin is 403 before them, in every mode.
    let same_host = Ask { origin: Some("http://127.0.0.1:18789"), ..alice };
    check("tp-origin-same-host", proxy_mode(), same_host, Err(Deny::OriginForbidden));
    // The password beside the proxy, for this very machine only.
    check(
        "tp-password-scopes-narrow",
        proxy_mode(),
        Ask { scopes: Some("operator.read"), ..local },
        Ok(Method::Password),
    );
    check("tp-local-password-forwarded-*", proxy_mode(), Ask { forwarded: true, ..local }, Err(Deny::ProxyRefused));
    check(
        "tp-local-password-wrong",
        proxy_mode(),
        Ask { credential: Some("nope"), ..local },
        Err(Deny::CredentialMismatch),
    );
    check("password, other peer", proxy_mode(), Ask { peer: lan, ..local }, Err(Deny::ProxyRefused));
    check("no password set", Auth { password: None, ..proxy_mode() }, local, Err(Deny::ProxyRefused));
    let token_too = Auth { token: Secret::new(TOKEN), password: None, ..proxy_mode() };
    check("token is no password", token_too, Ask { credential: Some(TOKEN), ..local }, Err(Deny::ProxyRefused));
}

#[test]
fn proxy_failures_are_not_counted_but_passwords_are() {
    let now = Instant::now();
    let rule = Rule { max_attempts: 2, exempt_loopback: false, ..Rule::default() };
    let mut gate = gate(Auth { rate: Some(rule), ..proxy_mode() });
    for _ in 0..5 {
        assert_eq!(admitted(&mut gate, &ask(), now), Err(Deny::ProxyRefused));
    }
    let wrong = Ask { credential: Some("nope"), ..ask() };
    assert_eq!(admitted(&mut gate, &wrong, now), Err(Deny::CredentialMismatch));
    assert_eq!(admitted(&mut gate, &wrong, now), Err(Deny::CredentialMismatch));
    assert_eq!(admitted(&mut gate, &Ask { credential: Some(PASSWORD), ..ask() }, now), Err(Deny::RateLimited(300)));
    // The proxy itself is not locked out with them.
    let alice = Ask { proxy_user: Some("alice@example.com"), ..ask() };
    assert_eq!(admitted(&mut gate, &alice, now), Ok(Method::TrustedProxy));
}

/// The recorded sequence rl-*, in the order it was recorded: three attempts, seven seconds, one trusted proxy.
#[test]
fn the_recorded_lockout() {
    let start = Instant::now();
    let rule = Rule { max_attempts: 3, lockout: Duration::from_secs(7), exempt_loopback: false, ..Rule::default() };
    let mut gate = gate(token_mode(Some(rule)));
    let mut at = 0;
    let mut check = |name: &str, wait: u64, ask: Ask, expected: Result<Method, Deny>| {
        at += wait;
        assert_eq!(admitted(&mut gate, &ask, start + Duration::from_millis(at)), expected, "{name}");
    };
    let bad = Ask { credential: Some("bad"), ..ask() };
    let good = Ask { credential: Some(TOKEN), ..ask() };
    let via = |hops: &'static str, ask| Ask { forwarded: true, hops: Some(hops), ..ask };
    let (mismatch, locked) = (Err(Deny::CredentialMismatch), Err(Deny::RateLimited(7)));
    check("rl-wrong-1", 1, bad, mismatch);
    check("rl-wrong-2", 1, bad, mismatch);
    check("rl-missing-token-not-counted", 1, ask(), Err(Deny::CredentialMissing));
    check("rl-missing-token-not-counted-2", 1, ask(), Err(Deny::CredentialMissing));
    check("rl-good-resets", 1, good, Ok(Method::Token));
    check("rl-again-wrong-1", 1, bad, mismatch);
    check("rl-again-wrong-2", 1, bad, mismatch);
    check("rl-again-wrong-3", 1, bad, mismatch);
    check("rl-locked-wrong", 1, bad, locked);
    check("rl-locked-good", 1, good, locked);
    check("rl-locked-missing", 1, ask(), locked);
    check("rl-locked-other-forwarded-ip", 1, via("203.0.113.7", good), Ok(Method::Token));
    check("rl-after-lockout", 7_000, good, Ok(Method::Token));
    check("rl-fwd-wrong-1", 1, via("198.51.100.1, 203.0.113.8", bad), mismatch);
    check("rl-fwd-wrong-2", 1, via("198.51.100.1, 203.0.113.8", bad), mismatch);
    check("rl-fwd-wrong-3", 1, via("198.51.100.1, 203.0.113.8", bad), mismatch);
    check("rl-fwd-locked", 1, via("203.0.113.8", good), locked);
    check("rl-fwd-port", 1, via("203.0.113.8:1234", good), locked);
    check("rl-fwd-mapped", 1, via("::ffff:203.0.113.8", good), locked);
    check("rl-fwd-garbage", 1, via("garbage", bad), mismatch);
    check("rl-fwd-loopback-hop", 1, via("127.0.0.1", bad), mismatch);
    check("rl-fwd-after-garbage-2", 1, Ask { forwarded: true, real: Some("203.0.113.50"), ..bad }, mismatch);
    check("rl-fwd-after-garbage-locked", 1, good, locked);
}

#[test]
fn only_direct_loopback_callers_are_exempt() {
    let now = Instant::now();
    let check = |name: &str, bad: Ask, exempt: bool| {
        let mut gate = gate(token_mode(Some(Rule { max_attempts: 1, ..Rule::default() })));
        assert_eq!(admitted(&mut gate, &bad, now), Err(Deny::CredentialMismatch), "{name}");
        let again = admitted(&mut gate, &bad, now);
        let expected = if exempt { Deny::CredentialMismatch } else { Deny::RateLimited(300) };
        assert_eq!(again, Err(expected), "{name}");
    };
    let bad = Ask { credential: Some("bad"), ..ask() };
    check("direct", bad, true);
    check("direct, mapped", Ask { peer: "::ffff:127.0.0.1".parse().unwrap(), ..bad }, true);
    check("loopback through a proxy", Ask { forwarded: true, hops: Some("127.0.0.1"), ..bad }, false);
    check("forwarded", Ask { forwarded: true, ..bad }, false);
    check("a browser on this machine", Ask { origin: Some("https://ui.example"), ..bad }, false);
    check("the network", Ask { peer: "192.168.1.9".parse().unwrap(), ..bad }, false);
}

#[test]
fn the_limit_can_be_off_and_survives_a_reload() {
    let now = Instant::now();
    let lan = Ask { peer: "192.168.1.9".parse().unwrap(), credential: Some("bad"), ..ask() };
    let mut free = gate(token_mode(None));
    for _ in 0..50 {
        assert_eq!(admitted(&mut free, &lan, now), Err(Deny::CredentialMismatch));
    }
    let mut gate = gate(token_mode(Some(Rule::default())));
    for _ in 0..10 {
        assert_eq!(admitted(&mut gate, &lan, now), Err(Deny::CredentialMismatch));
    }
    let old = gate.replace(Rules { auth: token_mode(Some(Rule::default())), names: names(), ..Rules::default() });
    assert_eq!(old.policy.http_allow.len(), 3);
    assert_eq!(admitted(&mut gate, &Ask { credential: Some(TOKEN), ..lan }, now), Err(Deny::RateLimited(300)));
}

#[test]
fn the_door_comes_first_in_every_mode() {
    let now = Instant::now();
    let check = |ask: Ask, expected: Result<(), Deny>| {
        for auth in [token_mode(None), proxy_mode(), Auth { mode: Mode::None, ..Auth::default() }] {
            let mut gate = gate(auth);
            assert_eq!(gate.door(&ask), expected, "{ask:?}");
            if let Err(deny) = expected {
                assert_eq!(gate.admit(&ask, now).map(|_| ()), Err(deny), "{ask:?}");
            }
        }
    };
    check(ask(), Ok(()));
    check(Ask { host: None, ..ask() }, Ok(()));
    check(Ask { host: Some("evil.example"), ..ask() }, Err(Deny::HostUnknown));
    check(Ask { host: Some(""), ..ask() }, Err(Deny::HostUnknown));
    check(Ask { host: Some("evil.example"), origin: Some("null"), ..ask() }, Err(Deny::HostUnknown));
    check(Ask { origin: Some("https://ui.example"), ..ask() }, Ok(()));
    check(Ask { origin: Some("https://ui.example"), cross_site: true, ..ask() }, Ok(()));
    check(Ask { origin: Some("https://evil.example"), ..ask() }, Err(Deny::OriginForbidden));
    check(Ask { origin: Some("null"), ..ask() }, Err(Deny::OriginForbidden));
    check(Ask { origin: Some("http://127.0.0.1:18789"), ..ask() }, Err(Deny::OriginForbidden));
    check(Ask { origin: Some(" "), ..ask() }, Ok(()));
    check(Ask { cross_site: true, ..ask() }, Err(Deny::OriginForbidden));
    check(Ask { origin: Some(" "), cross_site: true, ..ask() }, Err(Deny::OriginForbidden));
    // With the right secret, too.
    check(Ask { origin: Some("https://evil.example"), credential: Some(TOKEN), ..ask() }, Err(Deny::OriginForbidden));
}

#[test]
fn scopes_follow_the_method() {
    let now = Instant::now();
    let check = |auth: Auth, ask: Ask, write: Result<(), Deny>, owner: bool| {
        let mut gate = gate(auth);
        let who = gate.admit(&ask, now).unwrap();
        assert_eq!((gate.require(&who, WRITE), who.owner()), (write, owner), "{ask:?}");
        let gateway = gate.permit(&who, &subject("gateway")).map(|permit| permit.owner());
        let expected = if owner { Ok(true) } else { Err(Refusal::Unavailable(Step::Owner)) };
        assert_eq!(gateway, expected, "{ask:?}");
    };
    let none = || Auth { mode: Mode::None, ..Auth::default() };
    let with = |scopes| Ask { scopes: Some(scopes), ..ask() };
    let missing = Err(Deny::ScopeMissing(WRITE));
    check(none(), ask(), Ok(()), true); // none-owner-*
    check(none(), with("operator.admin"), Ok(()), true); // none-scopes-admin
    check(none(), with("operator.write"), Ok(()), false); // none-nonowner-*
    check(none(), with("operator.read"), missing, false); // none-scopes-read
    check(none(), with("operator.talk.secrets"), missing, false); // none-scopes-talksecrets
    check(none(), with(""), missing, false);
    check(none(), with("operator.read operator.write"), missing, false);
    let alice = |scopes| Ask { proxy_user: Some("alice@example.com"), scopes, ..ask() };
    check(proxy_mode(), alice(None), Ok(()), true);
    check(proxy_mode(), alice(Some("operator.write")), Ok(()), false); // tp-scopes-write, tp-nonowner-gateway
    check(proxy_mode(), alice(Some("operator.read")), missing, false); // tp-scopes-narrow
    // Who holds the secret is the operator, whatever it declares.
    check(token_mode(None), Ask { credential: Some(TOKEN), ..with("operator.read") }, Ok(()), true);
    check(token_mode(None), Ask { credential: Some(TOKEN), ..with("") }, Ok(()), true);
    check(proxy_mode(), Ask { credential: Some(PASSWORD), ..with("operator.read") }, Ok(()), true);
}

#[test]
fn a_principal_knows_who_and_whence_and_can_only_shrink() {
    let now = Instant::now();
    let mut gate = gate(proxy_mode());
    let alice =
        Ask { proxy_user: Some("alice@example.com"), forwarded: true, hops: Some("6.6.6.6, 203.0.113.8:99"), ..ask() };
    let who = gate.admit(&alice, now).unwrap();
    assert_eq!((who.user(), who.client()), (Some("alice@example.com"), "203.0.113.8".parse().unwrap()));
    let who = who.narrowed(&Scopes::declared(Some("operator.read,operator.write")));
    assert!(!who.owner() && gate.require(&who, WRITE).is_ok());
    let who = who.narrowed(&Scopes::full());
    assert!(!who.owner(), "{:?}", who.scopes());
    let nobody_knows = Ask { hops: Some("garbage"), peer: "::ffff:127.0.0.1".parse().unwrap(), ..alice };
    assert_eq!(gate.admit(&nobody_knows, now).unwrap().client(), IpAddr::from([127, 0, 0, 1]));
}

#[test]
fn readiness_details_are_no_place_to_guess() {
    let now = Instant::now();
    let lan = Ask { peer: "192.168.1.9".parse().unwrap(), ..ask() };
    let check = |auth: Auth, ask: Ask, expected: bool| assert_eq!(gate(auth).details(&ask, now), expected, "{ask:?}");
    check(token_mode(None), ask(), true);
    check(token_mode(None), Ask { forwarded: true, ..ask() }, false);
    check(token_mode(None), Ask { forwarded: true, credential: Some(TOKEN), ..ask() }, true); // route-readyz-forwarded-auth
    check(token_mode(None), lan, false);
    check(token_mode(None), Ask { host: Some("evil.example"), ..ask() }, false);
    check(Auth { mode: Mode::None, ..Auth::default() }, ask(), true);
    check(Auth { mode: Mode::None, ..Auth::default() }, lan, false);
    let mut gate = gate(token_mode(Some(Rule::default())));
    for _ in 0..10 {
        assert!(!gate.details(&Ask { credential: Some("bad"), ..lan }, now));
    }
    assert!(!gate.details(&Ask { credential: Some(TOKEN), ..lan }, now));
    assert_eq!(admitted(&mut gate, &Ask { credential: Some(TOKEN), ..lan }, now), Err(Deny::RateLimited(300)));
}

#[test]
fn a_permit_says_what_for_and_a_refusal_why() {
    let mut gate = gate(token_mode(None));
    let who = gate.admit(&Ask { credential: Some(TOKEN), ..ask() }, Instant::now()).unwrap();
    let permit = gate.permit(&who, &Subject { session: Some(" agent:Ops:x "), ..subject("sessions_list") }).unwrap();
    assert_eq!((permit.tool(), permit.owner()), ("sessions_list", true));
    assert_eq!((permit.session().key.as_str(), permit.session().agent.as_str()), ("agent:Ops:x", "ops"));
    let check = |subject: Subject, word: &str| {
        assert_eq!(gate.permit(&who, &subject).map(|_| ()).map_err(|refusal| refusal.word()), Err(word));
    };
    check(subject("exec"), "policy_gateway_tools");
    check(Subject { exists: false, ..subject("nope") }, "tool_unknown");
    let conflict = Subject { agent: Some("main"), session: Some("agent:ops:x"), ..subject("sessions_list") };
    check(conflict, "agent_conflict");
    let (session, steps) = gate.explain(&Scopes::declared(Some("operator.write")), &subject("gateway")).unwrap();
    assert_eq!((session.agent.as_str(), steps.len()), ("main", 11));
}

#[test]
fn reason_words_are_stable() {
    let denies = [
        Deny::CredentialMismatch,
        Deny::CredentialMissing,
        Deny::FunnelRefused,
        Deny::HostUnknown,
        Deny::OriginForbidden,
        Deny::ProxyRefused,
        Deny::RateLimited(1),
        Deny::ScopeMissing(WRITE),
        Deny::TailnetForbidden,
        Deny::TailnetUnknown,
    ];
    let words = [
        "credential_mismatch",
        "credential_missing",
        "funnel_refused",
        "host_unknown",
        "origin_forbidden",
        "proxy_refused",
        "rate_limited",
        "scope_missing",
        "tailnet_forbidden",
        "tailnet_unknown",
    ];
    assert_eq!(denies.map(Deny::word), words);
    let steps = Step::ALL.map(Step::name);
    let names = [
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
    assert_eq!(steps, names);
}
