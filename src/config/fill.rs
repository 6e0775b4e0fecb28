//! The checked document → the typed configuration; checks that one key's own text needs. Pure.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::keys::{self, Default, Key, Kind};
use super::node::{Node, element, made_of, member, quoted};
use super::{
    Bind, Config, Findings, Gateway, Limits, Tailscale, bind, declare, device, mode, policy, secrets, tailnet,
};
use crate::gate::Rules;
use crate::gate::auth::{Auth, Mode};
use crate::gate::peer::{Names, Net};
use crate::gate::rate::Rule;

/// What the name of an HTTP field may hold beside letters and digits.
pub(super) const TOKEN: &str = "!#$%&'*+-.^_`|~";

/// Everything but what cannot start, which `refuse` says. `kept` holds the paths that kept a placeholder.
pub(super) fn config(root: &Node, kept: &[String], findings: &mut Findings) -> Config {
    let gateway = gateway(root, kept, findings);
    let auth = auth(root, &gateway, findings);
    let tailnet = tailnet::rules(&At::root(root).key("gateway").key("auth").key("tailnet"), findings);
    let names = names(root, findings);
    let policy = policy::policy(root, findings);
    let (targets, mut secrets) = device::targets(root, kept, findings);
    let declared = declare::tools(root, kept, &mut secrets, findings);
    Config { gateway, rules: Rules { auth, tailnet, names, policy }, declared, targets, secrets }
}

/// A place in the document, whether or not anything stands there.
pub(super) struct At<'a> {
    pub(super) node: Option<&'a Node>,
    pub(super) path: String,
}

impl<'a> At<'a> {
    pub(super) fn root(root: &'a Node) -> At<'a> {
        At { node: Some(root), path: String::new() }
    }

    #[inline(never)]
    pub(super) fn key(&self, key: &str) -> At<'a> {
        At { node: self.below(key), path: member(&self.path, key) }
    }

    /// What stands under `key`; this and what follows of a key here needs no path, which is half of the work.
    #[inline(never)]
    pub(super) fn below(&self, key: &str) -> Option<&'a Node> {
        self.node.and_then(|node| node.get(key))
    }

    /// The text under `key`, trimmed; `None` when absent or blank.
    #[inline(never)]
    pub(super) fn word(&self, key: &str) -> Option<&'a str> {
        said(self.below(key))
    }

    #[inline(never)]
    pub(super) fn flag(&self, key: &str, default: bool) -> bool {
        if let Some(Node::Bool(value)) = self.below(key) { *value } else { default }
    }

    /// The texts under `key`.
    #[inline(never)]
    pub(super) fn list(&self, key: &str) -> Vec<String> {
        texts(self.below(key))
    }

    /// The texts under `key`; `None` when it is absent.
    #[inline(never)]
    pub(super) fn list_if_any(&self, key: &str) -> Option<Vec<String>> {
        let list = self.below(key)?;
        matches!(list, Node::List(_)).then(|| texts(Some(list)))
    }

    pub(super) fn entries(&self) -> Entries<'_, 'a> {
        Entries { at: self, next: 0 }
    }

    pub(super) fn items(&self) -> Items<'_, 'a> {
        Items { at: self, next: 0 }
    }

    /// Text, trimmed; `None` when absent or blank.
    pub(super) fn text(&self) -> Option<&'a str> {
        said(self.node)
    }
}

#[inline(never)]
fn said(node: Option<&Node>) -> Option<&str> {
    node.and_then(Node::text).map(str::trim).filter(|text| !text.is_empty())
}

#[inline(never)]
pub(super) fn texts(node: Option<&Node>) -> Vec<String> {
    let mut texts = Vec::new();
    for item in node.map_or(&[][..], Node::items) {
        texts.extend(item.text().map(str::to_owned));
    }
    texts
}

/// The entries of an object, with their places.
pub(super) struct Entries<'s, 'a> {
    at: &'s At<'a>,
    next: usize,
}

impl<'a> Iterator for Entries<'_, 'a> {
    type Item = (&'a str, At<'a>);

    #[inline(never)]
    fn next(&mut self) -> Option<Self::Item> {
        let (key, node) = self.at.node?.entries().get(self.next)?;
        self.next += 1;
        Some((key, At { node: Some(node), path: member(&self.at.path, key) }))
    }
}

/// The elements of a list, with their places.
pub(super) struct Items<'s, 'a> {
    at: &'s At<'a>,
    next: usize,
}

impl<'a> Iterator for Items<'_, 'a> {
    type Item = At<'a>;

    #[inline(never)]
    fn next(&mut self) -> Option<At<'a>> {
        let node = self.at.node?.items().get(self.next)?;
        let path = element(&self.at.path, self.next);
        self.next += 1;
        Some(At { node: Some(node), path })
    }
}

/// The number at `path`, when it is there and within its bounds.
pub(super) fn number_if_any(root: &Node, path: &str) -> Option<i64> {
    let node = path.split('.').try_fold(root, |node, key| node.get(key))?;
    match (node, keys::row(path)?.kind) {
        (Node::Int(number), Kind::Integer { min, max }) if (min..=max).contains(number) => Some(*number),
        _ => None,
    }
}

/// The number at `path`, else the default in the table of keys.
#[inline(never)]
fn number(root: &Node, path: &str) -> u32 {
    let number = number_if_any(root, path).or_else(|| default(&keys::row(path)?));
    number.and_then(|number| u32::try_from(number).ok()).unwrap_or_default()
}

fn default(row: &Key) -> Option<i64> {
    if let Default::Number(number) = row.default { Some(number) } else { None }
}

/// The number under `key` at `at`, whose row is that of `tools.SECTION.*`; else the default there.
#[inline(never)]
pub(super) fn number_at(at: &At<'_>, section: &str, key: &str) -> i64 {
    let below = if section.contains('*') { "." } else { ".*." };
    let Some(row) = keys::row(&["tools.", section, below, key].concat()) else { return 0 };
    match (at.below(key), row.kind) {
        (Some(Node::Int(number)), Kind::Integer { min, max }) if (min..=max).contains(number) => *number,
        _ => default(&row).unwrap_or_default(),
    }
}

#[inline(never)]
fn gateway(root: &Node, kept: &[String], findings: &mut Findings) -> Gateway {
    let at = At::root(root).key("gateway");
    let auth = at.key("auth");
    let proxy = auth.key("trustedProxy");
    let auth_mode = auth.word("mode").and_then(mode);
    let custom_host = custom_host(&at.key("customBindHost"), findings);
    let mut secret = |key: &str, active: bool| {
        let at = auth.key(key);
        let kept = kept.contains(&at.path);
        if kept && active {
            findings
                .error(&at.path, "the secret is missing: set the variable its placeholder names, or remove the key");
        }
        secrets::read(at.node?, &at.path, kept, root, findings)
    };
    // With no mode either secret would choose it, so both are in use.
    let token = secret("token", matches!(auth_mode, None | Some(Mode::Token)));
    let password = secret("password", !matches!(auth_mode, Some(Mode::Token | Mode::None)));
    let user_header = header(&proxy.key("userHeader"), findings);
    let required_headers = gather(&proxy.key("requiredHeaders"), header, findings);
    let count = |path: &str| usize::try_from(number(root, path)).unwrap_or(usize::MAX);
    Gateway {
        port: number_if_any(root, "gateway.port").and_then(|port| u16::try_from(port).ok()),
        bind: listen(&at.key("bind"), custom_host, findings),
        custom_host,
        auth_mode,
        token,
        password,
        user_header,
        required_headers,
        hsts: hsts(&at.key("http").key("securityHeaders").key("strictTransportSecurity"), findings),
        handshake_timeout_ms: number(root, "gateway.handshakeTimeoutMs"),
        tailnet: tailnet::place(&at.key("tailnet"), findings),
        tailscale: match at.key("tailscale").word("mode") {
            Some("funnel") => Tailscale::Funnel,
            Some("serve") => Tailscale::Serve,
            _ => Tailscale::Off,
        },
        limits: Limits {
            connections: count("gateway.limits.connections"),
            connections_per_peer: count("gateway.limits.connectionsPerPeer"),
            body_pool_bytes: count("gateway.limits.bodyPoolBytes"),
            calls: count("gateway.limits.calls"),
            message_bytes: count("gateway.limits.messageBytes"),
            tool_result_bytes: count("gateway.limits.toolResultBytes"),
        },
    }
}

#[inline(never)]
fn listen(at: &At<'_>, host: Option<Ipv4Addr>, findings: &mut Findings) -> Bind {
    let Some(word) = at.text() else { return Bind::default() };
    bind(word, host).unwrap_or_else(|message| {
        // The walk has reported every other word.
        if word == "custom" {
            findings.error(&at.path, &message);
        }
        Bind::default()
    })
}

#[inline(never)]
fn custom_host(at: &At<'_>, findings: &mut Findings) -> Option<Ipv4Addr> {
    let text = at.text()?;
    let host = text.parse().ok();
    if host.is_none() {
        findings.wrong(&at.path, &["expected an IPv4 address such as 192.168.1.5, got ", &quoted(text)]);
    }
    host
}

/// What `read` makes of each element.
#[inline(never)]
fn gather(at: &At<'_>, read: fn(&At<'_>, &mut Findings) -> Option<String>, findings: &mut Findings) -> Vec<String> {
    let mut list = Vec::new();
    for item in at.items() {
        list.extend(read(&item, findings));
    }
    list
}

/// A field name, lower-case.
fn header(at: &At<'_>, findings: &mut Findings) -> Option<String> {
    let name = at.text()?;
    if made_of(name, TOKEN) {
        return Some(name.to_ascii_lowercase());
    }
    findings.error(&at.path, "expected the name of an HTTP field, such as X-Forwarded-User");
    None
}

fn hsts(at: &At<'_>, findings: &mut Findings) -> Option<String> {
    let text = at.text()?;
    if text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Some(text.to_owned());
    }
    findings.error(&at.path, "expected ASCII text, such as max-age=31536000");
    None
}

#[inline(never)]
fn auth(root: &Node, gateway: &Gateway, findings: &mut Findings) -> Auth {
    let at = At::root(root).key("gateway");
    let proxy = at.key("auth").key("trustedProxy");
    let mut proxies = Vec::new();
    for item in at.key("trustedProxies").items() {
        proxies.extend(proxy_net(&item, findings));
    }
    Auth {
        mode: gateway.auth_mode.unwrap_or_default(),
        token: None,
        password: None,
        proxies,
        allow_users: proxy.list("allowUsers"),
        allow_loopback: proxy.flag("allowLoopback", false),
        allow_real_ip_fallback: at.flag("allowRealIpFallback", false),
        rate: rate(root, &at.key("auth").key("rateLimit")),
    }
}

#[inline(never)]
fn rate(root: &Node, at: &At<'_>) -> Option<Rule> {
    if at.node == Some(&Node::Bool(false)) {
        return None;
    }
    Some(Rule {
        max_attempts: number(root, "gateway.auth.rateLimit.maxAttempts"),
        window: Duration::from_millis(number(root, "gateway.auth.rateLimit.windowMs").into()),
        lockout: Duration::from_millis(number(root, "gateway.auth.rateLimit.lockoutMs").into()),
        exempt_loopback: at.flag("exemptLoopback", true),
    })
}

#[inline(never)]
fn proxy_net(at: &At<'_>, findings: &mut Findings) -> Option<Net> {
    let text = at.node?.text()?;
    let net = Net::parse(text);
    match net {
        None => {
            let message = [&quoted(text), " is no address and no CIDR block, so it never matches"].concat();
            findings.warn(&at.path, &message);
        }
        Some(Net { prefix: 0, .. }) => {
            findings.warn(&at.path, "this block holds every address: anybody may claim to be anybody");
        }
        Some(_) => {}
    }
    net
}

#[inline(never)]
fn names(root: &Node, findings: &mut Findings) -> Names {
    let at = At::root(root).key("gateway");
    let ui = at.key("controlUi");
    Names {
        any_literal: false,
        hosts: gather(&at.key("hosts"), host, findings),
        origins: gather(&ui.key("allowedOrigins"), origin, findings),
        host_origin_fallback: ui.flag("dangerouslyAllowHostHeaderOriginFallback", false),
    }
}

/// A host name or address literal, lower-case, without brackets or trailing dot.
fn host(at: &At<'_>, findings: &mut Findings) -> Option<String> {
    let text = at.node?.text()?.trim().to_ascii_lowercase();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(&text);
    if let Ok(addr) = bare.parse::<IpAddr>() {
        return Some(addr.to_canonical().to_string());
    }
    let bare = bare.strip_suffix('.').unwrap_or(bare);
    if !bare.is_empty() && made_of(bare, "-._") {
        return Some(bare.to_owned());
    }
    findings.error(&at.path, "expected a host name such as pi.example.ts.net, without scheme, port or *");
    None
}

/// An origin, lower-case.
fn origin(at: &At<'_>, findings: &mut Findings) -> Option<String> {
    let text = at.node?.text()?.trim().to_ascii_lowercase();
    let rest = text.split_once("://").map(|(_, rest)| rest);
    if text != "*" && !rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['/', '?', '#', '@', ' '])) {
        let message = [&quoted(&text), " never matches; write scheme://host or scheme://host:port"].concat();
        findings.warn(&at.path, &message);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_blocks() {
        let check = |text: &str, expected: Option<(&str, u8)>| {
            let expected = expected.map(|(addr, prefix)| Net { addr: addr.parse().unwrap(), prefix });
            assert_eq!(Net::parse(text), expected, "{text:?}");
        };
        check("10.0.0.1", Some(("10.0.0.1", 32)));
        check(" 10.1.2.3/8 ", Some(("10.0.0.0", 8)));
        check("0.0.0.0/0", Some(("0.0.0.0", 0)));
        check("fd00::1/8", Some(("fd00::", 8)));
        check("::/0", Some(("::", 0)));
        check("::1", Some(("::1", 128)));
        check("::ffff:10.0.0.1", Some(("10.0.0.1", 32)));
        check("::ffff:10.1.2.3/104", Some(("10.0.0.0", 8)));
        check("::ffff:10.0.0.1/64", None);
        check("10.0.0.0/33", None);
        check("10.0.0.0/+8", None);
        check("10.0.0.0/", None);
        check("10.0.0", None);
        check("010.0.0.1", None);
        check("host", None);
    }
}
