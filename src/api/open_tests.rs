//! Heads of callers that the tailnet knows, does not know, or only claim to come from it.

use std::net::IpAddr;
use std::rc::Rc;

use super::*;
use crate::gate::Rules;
use crate::gate::auth::{Auth, Method as Proof};
use crate::gate::peer::{Names, Net};
use crate::gate::secret::Secret;
use crate::gate::tailnet::{self, Allow, Tailnet, Who};

const TOKEN: &str = "sekret-token-123456";

fn peer(tailnet: Tailnet) -> Caller {
    Caller { addr: "100.64.0.7".parse().expect("an address"), port: 0, tailnet }
}

fn known(login: &str) -> Caller {
    peer(Tailnet::Known(Rc::new(Who { node: "phone".into(), login: Some(login.into()), ..Who::default() })))
}

fn here() -> Caller {
    "127.0.0.1".parse::<IpAddr>().expect("an address").into()
}

/// A gate that only Ann may come to over the tailnet, without a secret, and proxies on this machine's loopback.
fn gate() -> Gate {
    let proxies = vec![Net::parse("127.0.0.0/8").expect("a net")];
    let auth = Auth { token: Secret::new(TOKEN), proxies, ..Auth::default() };
    let names = Names { hosts: vec!["pi".into(), "localhost".into()], ..Names::default() };
    let allow = Allow { logins: vec!["ann@example.com".into()], ..Allow::default() };
    let tailnet = tailnet::Rules { allow, identity: true, capability: None };
    Gate::new(Rules { auth, tailnet, names, ..Rules::default() })
}

/// The status and the reason word of the answer; 0 and how the caller proved itself when the body is let in.
fn judged(caller: &Caller, line: &str, fields: &str) -> (u16, String) {
    let head = Head::parse(format!("{line} HTTP/1.1\r\nHost: pi\r\n{fields}\r\n").into_bytes()).expect("a head");
    let (mut gate, settings) = (gate(), Settings::default());
    let vitals = &Vitals::default;
    let scene = Scene { gate: &mut gate, settings: &settings, vitals, caller, now: Instant::now() };
    match opening(&head, Framing::Length(2), scene) {
        Opening::Answer(answer) => (answer.reply.status, answer.note.reason.unwrap_or_default().to_owned()),
        Opening::Body(admitted) => {
            let proof = admitted.principal.method();
            assert_eq!(admitted.principal.user().is_some(), proof == Proof::Tailnet);
            (0, format!("{proof:?}"))
        }
    }
}

fn check(caller: &Caller, line: &str, fields: &str, status: u16, word: &str) {
    assert_eq!(judged(caller, line, fields), (status, word.to_owned()), "{caller:?} {line} {fields}");
}

const INVOKE: &str = "POST /tools/invoke";
const ROUTES: [&str; 8] = [
    INVOKE,
    "GET /tools/invoke",
    "GET /healthz",
    "GET /health",
    "GET /startupz",
    "GET /readyz",
    "HEAD /ready",
    "GET /other",
];

#[test]
fn what_comes_through_funnel_gets_nowhere() {
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    for caller in [here(), known("ann@example.com"), peer(Tailnet::Unknown), peer(Tailnet::Outside)] {
        for route in ROUTES {
            for value in ["?1", "?0", "", "x"] {
                let fields = format!("{token}tailscale-funnel-request: {value}\r\n");
                check(&caller, route, &fields, 403, "funnel_refused");
            }
        }
    }
    let twice = "Tailscale-Funnel-Request:\r\nTailscale-Funnel-Request: ?1\r\nOrigin: https://evil.example\r\n";
    check(&here(), INVOKE, twice, 403, "funnel_refused");
}

#[test]
fn probes_are_open_to_peers_that_may_not_call() {
    for caller in [known("bob@example.com"), peer(Tailnet::Unknown), known("ann@example.com")] {
        for route in ["GET /healthz", "GET /health", "GET /startupz", "HEAD /ready"] {
            check(&caller, route, "", 200, "");
        }
    }
    let details = |caller: &Caller, fields: &str| {
        let head =
            Head::parse(format!("GET /readyz HTTP/1.1\r\nHost: pi\r\n{fields}\r\n").into_bytes()).expect("a head");
        let (mut gate, settings) = (gate(), Settings::default());
        let vitals = &|| Vitals { failing: vec!["tailnet"], ..Vitals::default() };
        let scene = Scene { gate: &mut gate, settings: &settings, vitals, caller, now: Instant::now() };
        let Opening::Answer(answer) = opening(&head, Framing::Length(0), scene) else { panic!("a body") };
        assert_eq!(answer.reply.status, 503);
        String::from_utf8_lossy(answer.reply.content.bytes()).contains("\"failing\":[\"tailnet\"]")
    };
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    assert!(details(&here(), "") && details(&known("ann@example.com"), ""));
    assert!(details(&peer(Tailnet::Outside), &token));
    assert!(!details(&known("bob@example.com"), "") && !details(&known("bob@example.com"), &token));
    assert!(!details(&peer(Tailnet::Unknown), &token) && !details(&peer(Tailnet::Outside), ""));
    // With userspace networking every peer comes from loopback, and is not at this machine for that.
    let userspace = Caller { tailnet: Tailnet::Unknown, ..here() };
    assert!(!details(&userspace, "") && !details(&userspace, &token));
}

#[test]
fn the_list_stands_in_front_of_the_secret() {
    let token = &format!("Authorization: Bearer {TOKEN}\r\n");
    let wrong = "Authorization: Bearer x\r\n";
    check(&known("bob@example.com"), INVOKE, token, 403, "tailnet_forbidden");
    check(&known("bob@example.com"), INVOKE, "", 403, "tailnet_forbidden");
    check(&peer(Tailnet::Unknown), INVOKE, token, 403, "tailnet_unknown");
    check(&known("ann@example.com"), INVOKE, token, 0, "Token");
    check(&known("ann@example.com"), INVOKE, wrong, 401, "credential_mismatch");
    check(&known("ann@example.com"), INVOKE, "", 0, "Tailnet");
    check(&peer(Tailnet::Outside), INVOKE, token, 0, "Token");
    check(&peer(Tailnet::Outside), INVOKE, "", 401, "credential_missing");
    check(&here(), INVOKE, "", 401, "credential_missing");
    // What everybody hears anyway.
    check(&known("bob@example.com"), "GET /tools/invoke", "", 405, "method_not_allowed");
    check(&known("bob@example.com"), "GET /other", "", 404, "not_found");
    // One answer for both, which says nothing of why.
    let text = |caller: &Caller| {
        let head = Head::parse(b"POST /tools/invoke HTTP/1.1\r\nHost: pi\r\n\r\n".to_vec()).expect("a head");
        let (mut gate, settings) = (gate(), Settings::default());
        let vitals = &Vitals::default;
        let scene = Scene { gate: &mut gate, settings: &settings, vitals, caller, now: Instant::now() };
        let Opening::Answer(answer) = opening(&head, Framing::Length(0), scene) else { panic!("a body") };
        String::from_utf8_lossy(answer.reply.content.bytes()).into_owned()
    };
    let expected = r#"{"ok":false,"error":{"type":"forbidden","message":"Not allowed from your address"}}"#;
    assert_eq!([text(&known("bob@example.com")), text(&peer(Tailnet::Unknown))], [expected; 2]);
}

#[test]
fn nobody_is_who_it_says_it_is() {
    // Source: edge.md §4 item 6; each row one trap.
    let login = "Tailscale-User-Login: ann@example.com\r\n";
    let rows = [
        ("the field of Serve from this machine", here(), login.to_owned()),
        ("from the network", peer(Tailnet::Outside), login.to_owned()),
        (
            "with what Serve sends beside it",
            here(),
            format!("{login}X-Forwarded-For: 100.64.0.7\r\nX-Forwarded-Proto: https\r\n"),
        ),
        ("a tailnet address claimed from loopback", here(), "X-Forwarded-For: 100.64.0.7\r\n".into()),
        ("and in another field", here(), "X-Real-IP: 100.64.0.7\r\nForwarded: for=100.64.0.7\r\n".into()),
        ("a browser's word for the user", here(), format!("{login}Tailscale-User-Name: Ann\r\n")),
        (
            "a capability in a field",
            here(),
            "Tailscale-App-Capabilities: {\"example.com/cap/toolgate\":[{}]}\r\n".into(),
        ),
        (
            "a proxy in the tailnet that forwards for others",
            known("ann@example.com"),
            "X-Forwarded-For: 192.168.1.9\r\n".into(),
        ),
        ("and says so otherwise", known("ann@example.com"), "Forwarded: for=192.168.1.9\r\n".into()),
        ("and otherwise", known("ann@example.com"), "X-Real-IP: 100.64.0.7\r\n".into()),
    ];
    for (trap, caller, fields) in rows {
        assert_eq!(judged(&caller, INVOKE, &fields), (401, "credential_missing".into()), "{trap}");
    }
    // Who is known to be Bob stays Bob, and who is not known stays so.
    check(&known("bob@example.com"), INVOKE, login, 403, "tailnet_forbidden");
    check(&peer(Tailnet::Unknown), INVOKE, login, 403, "tailnet_unknown");
    // Userspace networking: a peer that comes from loopback is none of this machine's callers.
    let userspace = Caller { tailnet: Tailnet::Unknown, ..here() };
    check(&userspace, INVOKE, &format!("Authorization: Bearer {TOKEN}\r\n"), 403, "tailnet_unknown");
    // Serve's own words, where the caller was looked up by them.
    let served = "X-Forwarded-For: 100.64.0.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: pi.example.ts.net\r\n";
    check(&known("ann@example.com"), INVOKE, &format!("{login}{served}"), 0, "Tailnet");
    // A page of another site cannot use its visitor's name.
    for page in ["Origin: https://evil.example\r\n", "Origin: null\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
        check(&known("ann@example.com"), INVOKE, page, 403, "origin_forbidden");
    }
    let form = "Sec-Fetch-Site: same-origin\r\nContent-Type: text/plain\r\n";
    check(&known("ann@example.com"), INVOKE, form, 415, "media_type");
}
