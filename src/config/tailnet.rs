//! `gateway.tailnet` and `gateway.auth.tailnet` → where the tailnet is, and what its word on a caller does. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Findings;
use super::fill::At;
use super::node::{Node, made_of};
use crate::gate::peer::Net;
use crate::gate::tailnet::{Allow, Rules};

/// Where tailscaled listens on Linux, OpenWrt included.
pub(super) const LOCAL_API: &str = "/var/run/tailscale/tailscaled.sock";

/// The blocks that Tailscale gives addresses from. Source: edge.md §0 item 9.
const PREFIXES: [Net; 2] = [
    Net { addr: IpAddr::V4(Ipv4Addr::new(100, 64, 0, 0)), prefix: 10 },
    Net { addr: IpAddr::V6(Ipv6Addr::new(0xfd7a, 0x115c, 0xa1e0, 0, 0, 0, 0, 0)), prefix: 48 },
];

/// The most bytes of a Unix socket's path, without the null byte behind it. Source: unix(7).
const SOCKET_PATH: usize = 107;

/// Where the tailnet is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tailnet {
    /// The network interface that tailnet listeners are bound to.
    pub interface: String,
    /// The absolute path of tailscaled's LocalAPI socket.
    pub local_api: String,
    /// Where its nodes' addresses lie; a tailnet listener takes no others. Never empty, never everything.
    pub prefixes: Vec<Net>,
    /// The absolute path of the Unix socket for `tailscale serve`; `None` = not wanted.
    pub serve_socket: Option<String>,
}

/// `gateway.tailnet`.
#[inline(never)]
pub(super) fn place(at: &At<'_>, findings: &mut Findings) -> Tailnet {
    let mut socket = |key: &str| {
        let at = at.key(key);
        let path = at.text()?;
        let fits = path.starts_with('/') && !path.ends_with('/') && path.len() <= SOCKET_PATH;
        if !fits {
            let message = "expected the absolute path of a Unix socket, of 107 bytes at most";
            findings.error(&at.path, message);
        }
        fits.then(|| path.to_owned())
    };
    let local_api = socket("localApi").unwrap_or_else(|| LOCAL_API.to_owned());
    let serve_socket = socket("serveSocket");
    let name = at.key("interface");
    let interface = name.text().unwrap_or("tailscale0");
    // What the kernel takes, of ASCII. Source: Linux, dev_valid_name.
    let graphic = interface.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'/' | b':'));
    if !graphic || interface.len() > 15 || interface.trim_matches('.').is_empty() {
        findings.error(&name.path, "expected the name of a network interface, such as tailscale0, of 15 bytes at most");
    }
    Tailnet {
        interface: interface.to_owned(),
        local_api,
        prefixes: prefixes(&at.key("prefixes"), findings),
        serve_socket,
    }
}

#[inline(never)]
fn prefixes(at: &At<'_>, findings: &mut Findings) -> Vec<Net> {
    if !matches!(at.node, Some(Node::List(_))) {
        return PREFIXES.to_vec();
    }
    let mut nets = Vec::new();
    for item in at.items() {
        let Some(text) = item.text() else { continue };
        match Net::parse(text).filter(|net| net.prefix > 0) {
            Some(net) => nets.push(net),
            None => findings.error(&item.path, "expected a block of addresses, such as 100.64.0.0/10"),
        }
    }
    if at.items().next().is_none() {
        findings.error(&at.path, "with no block nobody could come; remove this key, or name the tailnet's blocks");
    }
    nets
}

/// What finds fault with a text.
type Judge = fn(&str) -> Option<&'static str>;

/// The texts in which nothing is wrong.
#[inline(never)]
fn sound(at: &At<'_>, judge: Judge, findings: &mut Findings) -> Vec<String> {
    let mut texts = Vec::new();
    for item in at.items() {
        let Some(text) = item.node.and_then(Node::text).map(str::trim) else { continue };
        match judge(text) {
            Some(message) => findings.error(&item.path, message),
            None => texts.push(text.to_owned()),
        }
    }
    texts
}

/// `gateway.auth.tailnet`.
#[inline(never)]
pub(super) fn rules(at: &At<'_>, findings: &mut Findings) -> Rules {
    let list = at.key("allow");
    let kinds: [(&str, Judge); 3] = [("logins", login), ("tags", tag), ("capabilities", capability)];
    let [logins, tags, capabilities] = kinds.map(|(key, judge)| sound(&list.key(key), judge, findings));
    if logins.iter().any(|login| !login.contains('@')) {
        let message = "a login without @ is one of Headscale's; Tailscale's are such as alice@example.com";
        findings.warn(&list.key("logins").path, message);
    }
    let allow = Allow { logins, tags, capabilities };
    if list.node.is_some() && allow.is_empty() {
        findings.warn(&list.path, "this lists nobody, so it keeps no tailnet peer out");
    }
    let identity = at.flag("identity", false);
    if identity && allow.is_empty() {
        let message = "this lets peers in without a secret; say which ones in gateway.auth.tailnet.allow";
        findings.error(&at.key("identity").path, message);
    }
    // Whoever empties the variable in a placeholder does not mean that every tool may be called.
    let named = at.key("capability");
    let name = named.node.and_then(Node::text).map(str::trim);
    if let Some(message) = name.and_then(capability) {
        findings.error(&named.path, message);
    }
    Rules { allow, identity, capability: name.map(str::to_owned) }
}

/// What is wrong with a login.
fn login(text: &str) -> Option<&'static str> {
    if text.eq_ignore_ascii_case("tagged-devices") {
        return Some("every tagged node has this login; list its tag under tags");
    }
    if ["tag:", "group:", "autogroup:"].iter().any(|other| text.starts_with(other)) {
        return Some("nobody logs in as a tag or a group; list tags under tags, and people by their logins");
    }
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '*' | ',');
    let message = "expected one person's login, such as alice@example.com or alice@github; * stands for nothing";
    (text.is_empty() || text.contains(odd)).then_some(message)
}

/// What is wrong with a tag. Source: Tailscale's tailcfg, CheckTag.
fn tag(text: &str) -> Option<&'static str> {
    let name = text.strip_prefix("tag:").unwrap_or_default();
    let fits = name.starts_with(|c: char| c.is_ascii_alphabetic()) && made_of(name, "-");
    (!fits).then_some("expected a tag, such as tag:home")
}

/// What is wrong with the name of an app capability. Source: Tailscale's documentation of grants.
fn capability(text: &str) -> Option<&'static str> {
    let (domain, name) = text.split_once('/').unwrap_or_default();
    let fits = domain.contains('.') && made_of(domain, ".-") && !name.is_empty() && made_of(name, "/.-_");
    (!fits).then_some("expected the name of an app capability, such as example.com/cap/toolgate, without https://")
}

#[cfg(test)]
mod tests {
    use super::super::{Level, read};
    use super::*;
    use crate::gate::peer::Net;

    fn lines(text: &str) -> Vec<String> {
        let mark = |level| if level == Level::Error { "! " } else { "" };
        let findings = read(text, &|_| None).findings;
        findings.iter().map(|found| format!("{}{found}", mark(found.level)).replace("gateway.", "")).collect()
    }

    #[test]
    fn what_holds_without_a_word() {
        let config = super::super::Config::default();
        let nets = ["100.64.0.0/10", "fd7a:115c:a1e0::/48"].map(|text| Net::parse(text).unwrap());
        let place = Tailnet {
            interface: "tailscale0".into(),
            local_api: "/var/run/tailscale/tailscaled.sock".into(),
            prefixes: nets.to_vec(),
            serve_socket: None,
        };
        assert_eq!((config.gateway.tailnet, config.rules.tailnet), (place, Rules::default()));
    }

    #[test]
    fn words_arrive() {
        let text = "{gateway: {bind: 'tailnet', tailnet: {interface: ' ts0 ', localApi: '/run/ts.sock',
            prefixes: ['10.7.0.0/16', 'fd00::/8'], serveSocket: '/run/toolgate/serve/toolgate.sock'},
            auth: {tailnet: {allow: {logins: [' Alice@Example.COM '], tags: ['tag:home'],
            capabilities: ['example.com/cap/toolgate']}, identity: true, capability: 'example.com/cap/toolgate'}}}}";
        let outcome = read(text, &|_| None);
        assert_eq!(outcome.findings, []);
        let place = outcome.config.gateway.tailnet;
        assert_eq!((place.interface.as_str(), place.local_api.as_str()), ("ts0", "/run/ts.sock"));
        assert_eq!(place.prefixes, ["10.7.0.0/16", "fd00::/8"].map(|text| Net::parse(text).unwrap()));
        assert_eq!(place.serve_socket.as_deref(), Some("/run/toolgate/serve/toolgate.sock"));
        let rules = outcome.config.rules.tailnet;
        assert_eq!(
            (&*rules.allow.logins, &*rules.allow.tags),
            (&["Alice@Example.COM".into()][..], &["tag:home".into()][..])
        );
        assert_eq!(rules.allow.capabilities, ["example.com/cap/toolgate"]);
        assert_eq!((rules.identity, rules.capability.as_deref()), (true, Some("example.com/cap/toolgate")));
    }

    #[test]
    fn where_the_tailnet_is() {
        let name =
            "! tailnet.interface: expected the name of a network interface, such as tailscale0, of 15 bytes at most";
        for (interface, found) in [
            ("tailscale0", ""),
            ("ts", ""),
            ("tun-2.x", ""),
            ("123456789012345", ""),
            ("1234567890123456", name),
            ("eth0:1", name),
            ("a/b", name),
            ("a b", name),
            ("..", name),
            ("tän", name),
        ] {
            check(&format!("interface: '{interface}'"), found);
        }
        let path = "expected the absolute path of a Unix socket, of 107 bytes at most";
        for (socket, fits) in [("/run/x", true), ("run/x", false), ("/run/", false), ("@x", false)] {
            for key in ["localApi", "serveSocket"] {
                let found = format!("! tailnet.{key}: {path}");
                check(&format!("{key}: '{socket}'"), if fits { "" } else { &found });
            }
        }
        check(&format!("serveSocket: '/{}'", "x".repeat(106)), "");
        check(&format!("serveSocket: '/{}'", "x".repeat(107)), &format!("! tailnet.serveSocket: {path}"));
        check(
            "prefixes: []",
            "! tailnet.prefixes: with no block nobody could come; remove this key, or name the tailnet's blocks",
        );
        let block_text = "expected a block of addresses, such as 100.64.0.0/10";
        for (block, found) in [
            ("100.64.0.0/10", None),
            ("100.64.0.1", None),
            ("0.0.0.0/0", Some(block_text)),
            ("::/0", Some(block_text)),
            ("100.64/10", Some(block_text)),
            ("tailnet", Some(block_text)),
        ] {
            let found = found.map(|text| format!("! tailnet.prefixes[0]: {text}")).unwrap_or_default();
            check(&format!("prefixes: ['{block}']"), &found);
        }
    }

    fn check(keys: &str, found: &str) {
        assert_eq!(lines(&format!("{{gateway: {{tailnet: {{{keys}}}}}}}")).join("\n"), found, "{keys}");
    }

    #[test]
    fn who_is_listed() {
        let odd = "! auth.tailnet.allow.logins[0]: expected one person's login, such as alice@example.com or alice@github; * stands for nothing";
        let group = "! auth.tailnet.allow.logins[0]: nobody logs in as a tag or a group; list tags under tags, and people by their logins";
        let nobody = "auth.tailnet.allow: this lists nobody, so it keeps no tailnet peer out";
        let tag = "! auth.tailnet.allow.tags[0]: expected a tag, such as tag:home";
        let cap = "! auth.tailnet.allow.capabilities[0]: expected the name of an app capability, such as example.com/cap/toolgate, without https://";
        let tagged = "! auth.tailnet.allow.logins[0]: every tagged node has this login; list its tag under tags";
        let plain = "auth.tailnet.allow.logins: a login without @ is one of Headscale's; Tailscale's are such as alice@example.com";
        for (allow, found) in [
            ("logins: ['alice@github']", &[][..]),
            ("logins: ['alice']", &[plain]),
            ("logins: ['']", &[odd, nobody]),
            ("logins: ['*@example.com']", &[odd, nobody]),
            ("logins: ['a@b c@d']", &[odd, nobody]),
            ("logins: ['tag:home']", &[group, nobody]),
            ("logins: ['autogroup:member']", &[group, nobody]),
            ("logins: ['Tagged-Devices']", &[tagged, nobody]),
            ("tags: ['tag:home-2']", &[]),
            ("tags: ['home']", &[tag, nobody]),
            ("tags: ['tag:']", &[tag, nobody]),
            ("tags: ['tag:2']", &[tag, nobody]),
            ("tags: ['tag:a*']", &[tag, nobody]),
            ("capabilities: ['example.com/cap/toolgate']", &[]),
            ("capabilities: ['https://example.com/cap/x']", &[cap, nobody]),
            ("capabilities: ['toolgate']", &[cap, nobody]),
            ("capabilities: ['example/x']", &[cap, nobody]),
            ("capabilities: ['example.com/']", &[cap, nobody]),
            ("", &[nobody]),
        ] {
            assert_eq!(lines(&format!("{{gateway: {{auth: {{tailnet: {{allow: {{{allow}}}}}}}}}}}")), found, "{allow}");
        }
    }

    #[test]
    fn what_its_word_does() {
        let alone =
            "! auth.tailnet.identity: this lets peers in without a secret; say which ones in auth.tailnet.allow";
        let cap = "! auth.tailnet.capability: expected the name of an app capability, such as example.com/cap/toolgate, without https://";
        let idle = "auth.tailnet.identity: this takes the place of a secret only; with this auth.mode it does nothing";
        let listed = "tailnet: {identity: true, allow: {tags: ['tag:a']}}";
        for (auth, found) in [
            ("tailnet: {identity: true}", &[alone][..]),
            (
                "tailnet: {identity: true, allow: {}}",
                &["auth.tailnet.allow: this lists nobody, so it keeps no tailnet peer out", alone],
            ),
            (listed, &[]),
            (&format!("mode: 'token', {listed}"), &[]),
            (&format!("mode: 'none', {listed}"), &[idle]),
            ("tailnet: {capability: 'example.com/cap/x'}", &[]),
            ("tailnet: {capability: ''}", &[cap]),
            ("tailnet: {capability: 'x'}", &[cap]),
            (
                "trustedProxy: {userHeader: 'Tailscale-User-Login'}",
                &[
                    "! auth.trustedProxy.userHeader: whoever reaches the port can send this field; use tailnet.serveSocket, where it counts",
                ],
            ),
        ] {
            assert_eq!(lines(&format!("{{gateway: {{auth: {{{auth}}}}}}}")), found, "{auth}");
        }
    }
}
