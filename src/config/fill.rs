//! The checked document → the typed configuration; checks that one key's own text needs. Pure.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::keys::{self, Default, Key, Kind};
use super::node::{Node, element, member, quoted};
use super::{Bind, Config, Findings, Gateway, Limits, Tailscale, bind, declare, device, mode, policy, secrets};
use crate::gate::Rules;
use crate::gate::auth::{Auth, Mode};
use crate::gate::peer::{Names, Net};
use crate::gate::rate::Rule;

/// Everything but what cannot start, which `refuse` says. `kept` holds the paths that kept a placeholder.
pub(super) fn config(root: &Node, kept: &[String], findings: &mut Findings) -> Config {
    let gateway = gateway(root, kept, findings);
    let auth = auth(root, &gateway, findings);
    let names = names(root, findings);
    let policy = policy::policy(root, findings);
    let (targets, mut secrets) = device::targets(root, kept, findings);
    let declared = declare::tools(root, kept, &mut secrets, findings);
    Config { gateway, rules: Rules { auth, names, policy }, declared, targets, secrets }
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

    pub(super) fn key(&self, key: &str) -> At<'a> {
        At { node: self.node.and_then(|node| node.get(key)), path: member(&self.path, key) }
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, At<'a>)> {
        let entries = self.node.map_or(&[][..], Node::entries);
        entries.iter().map(|(key, node)| (key.as_str(), At { node: Some(node), path: member(&self.path, key) }))
    }

    pub(super) fn items(&self) -> impl Iterator<Item = At<'a>> {
        let items = self.node.map_or(&[][..], Node::items);
        let path = &self.path;
        items.iter().enumerate().map(move |(index, node)| At { node: Some(node), path: element(path, index) })
    }

    /// Text, trimmed; `None` when absent or blank.
    pub(super) fn text(&self) -> Option<&'a str> {
        self.node.and_then(Node::text).map(str::trim).filter(|text| !text.is_empty())
    }

    pub(super) fn texts(&self) -> Vec<String> {
        self.items().filter_map(|item| item.node.and_then(Node::text)).map(str::to_owned).collect()
    }

    /// A list of texts; `None` when the key is absent.
    pub(super) fn texts_if_any(&self) -> Option<Vec<String>> {
        matches!(self.node, Some(Node::List(_))).then(|| self.texts())
    }

    pub(super) fn bool(&self, default: bool) -> bool {
        if let Some(Node::Bool(value)) = self.node { *value } else { default }
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

/// The number at `at`, whose row is `key` of `tools.SECTION.*`; else the default there.
#[inline(never)]
pub(super) fn number_at(at: &At<'_>, section: &str, key: &str) -> i64 {
    let below = if section.contains('*') { "." } else { ".*." };
    let Some(row) = keys::row(&["tools.", section, below, key].concat()) else { return 0 };
    match (at.node, row.kind) {
        (Some(Node::Int(number)), Kind::Integer { min, max }) if (min..=max).contains(number) => *number,
        _ => default(&row).unwrap_or_default(),
    }
}

fn gateway(root: &Node, kept: &[String], findings: &mut Findings) -> Gateway {
    let at = At::root(root).key("gateway");
    let auth = at.key("auth");
    let proxy = auth.key("trustedProxy");
    let auth_mode = auth.key("mode").text().and_then(mode);
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
    let user_header = proxy.key("userHeader");
    let user_header = user_header.text().and_then(|name| header(name, &user_header.path, findings));
    let required = proxy.key("requiredHeaders");
    let required_headers = required.items().filter_map(|item| header(item.text()?, &item.path, findings)).collect();
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
        tailscale: match at.key("tailscale").key("mode").text() {
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

fn custom_host(at: &At<'_>, findings: &mut Findings) -> Option<Ipv4Addr> {
    let text = at.text()?;
    let host = text.parse().ok();
    if host.is_none() {
        let message = format!("expected an IPv4 address such as 192.168.1.5, got {}", quoted(text));
        findings.error(&at.path, &message);
    }
    host
}

/// A field name, lower-case.
fn header(name: &str, path: &str, findings: &mut Findings) -> Option<String> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.bytes().all(token) {
        return Some(name.to_ascii_lowercase());
    }
    findings.error(path, "expected the name of an HTTP field, such as X-Forwarded-User");
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

fn auth(root: &Node, gateway: &Gateway, findings: &mut Findings) -> Auth {
    let at = At::root(root).key("gateway");
    let proxy = at.key("auth").key("trustedProxy");
    Auth {
        mode: gateway.auth_mode.unwrap_or_default(),
        token: None,
        password: None,
        proxies: at.key("trustedProxies").items().filter_map(|item| proxy_net(&item, findings)).collect(),
        allow_users: proxy.key("allowUsers").texts(),
        allow_loopback: proxy.key("allowLoopback").bool(false),
        allow_real_ip_fallback: at.key("allowRealIpFallback").bool(false),
        rate: rate(root, &at.key("auth").key("rateLimit")),
    }
}

fn rate(root: &Node, at: &At<'_>) -> Option<Rule> {
    if at.node == Some(&Node::Bool(false)) {
        return None;
    }
    Some(Rule {
        max_attempts: number(root, "gateway.auth.rateLimit.maxAttempts"),
        window: Duration::from_millis(number(root, "gateway.auth.rateLimit.windowMs").into()),
        lockout: Duration::from_millis(number(root, "gateway.auth.rateLimit.lockoutMs").into()),
        exempt_loopback: at.key("exemptLoopback").bool(true),
    })
}

fn proxy_net(at: &At<'_>, findings: &mut Findings) -> Option<Net> {
    let text = at.node?.text()?;
    let net = Net::parse(text);
    match net {
        None => {
            let message = format!("{} is no address and no CIDR block, so it never matches", quoted(text));
            findings.warn(&at.path, &message);
        }
        Some(Net { prefix: 0, .. }) => {
            findings.warn(&at.path, "this block holds every address: anybody may claim to be anybody");
        }
        Some(_) => {}
    }
    net
}

fn names(root: &Node, findings: &mut Findings) -> Names {
    let at = At::root(root).key("gateway");
    let ui = at.key("controlUi");
    Names {
        any_literal: false,
        hosts: at.key("hosts").items().filter_map(|item| host(&item, findings)).collect(),
        origins: ui.key("allowedOrigins").items().filter_map(|item| origin(&item, findings)).collect(),
        host_origin_fallback: ui.key("dangerouslyAllowHostHeaderOriginFallback").bool(false),
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
    if !bare.is_empty() && bare.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) {
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
        let message = format!("{} never matches; write scheme://host or scheme://host:port", quoted(&text));
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
