//! Configured values together → what must not start. Pure. Source: contract http.md §2.2, §2.9.

use super::node::Node;
use super::{Bind, Config, Finding, Findings, Level, SecretRef, Tailscale, finding};
use crate::gate::auth::Mode;

/// What the command line, files and the environment add to the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Overrides {
    /// `--auth`.
    pub auth: Option<Mode>,
    /// Whether a token comes from elsewhere (flag, credential, environment). One that this gateway generated for
    /// itself does not count.
    pub token: bool,
    /// Whether a password comes from elsewhere.
    pub password: bool,
}

/// What the document alone decides.
pub(super) fn document(root: &Node, config: &Config, findings: &mut Findings) {
    let gateway = |key: &str| root.get("gateway").and_then(|node| node.get(key));
    if gateway("mode").and_then(Node::text) == Some("remote") {
        findings.error("gateway.mode", "this program is a gateway, not a client of one; set it to local or remove it");
    }
    if gateway("tls").and_then(|node| node.get("enabled")) == Some(&Node::Bool(true)) {
        let message = "TLS is not served here and nothing would be encrypted; end it in a proxy and remove this key";
        findings.error("gateway.tls.enabled", message);
    }
    if config.gateway.tailscale != Tailscale::Off {
        let message = match config.gateway.tailscale {
            Tailscale::Funnel => "requests that come through Tailscale Funnel are refused; run tailscale serve instead",
            _ => "Tailscale is not started by this gateway; run tailscale serve yourself",
        };
        findings.warn("gateway.tailscale.mode", message);
        published(config.gateway.tailscale, config.gateway.bind, &mut findings.0);
    }
    let hooks = |key: &str| root.get("hooks").and_then(|node| node.get(key));
    if let (Some(Node::Bool(true)), Some(hook), Some(SecretRef::Text(token))) =
        (hooks("enabled"), hooks("token").and_then(Node::text), &config.gateway.token)
    {
        // Hooks are not served here, but whoever holds their token would hold this gateway's. Source: §2.2.
        if token.matches(hook.trim().as_bytes()) {
            findings.error("hooks.token", "this is the gateway's own token; give hooks another one");
        }
    }
    let mode = config.gateway.auth_mode;
    if config.rules.tailnet.identity && matches!(mode, Some(Mode::None | Mode::TrustedProxy)) {
        let message = "this takes the place of a secret only; with this gateway.auth.mode it does nothing";
        findings.warn("gateway.auth.tailnet.identity", message);
    }
    if config.gateway.user_header.as_ref().is_some_and(|field| field.starts_with("tailscale-")) {
        let message = "whoever reaches the port can send this field; use gateway.tailnet.serveSocket, where it counts";
        findings.error("gateway.auth.trustedProxy.userHeader", message);
    }
    if mode == Some(Mode::TrustedProxy) {
        trusted_proxy(config, config.gateway.token.is_some(), &mut findings.0);
    }
}

/// The mode in force: flag, then document, then password if there is one, then token.
///
/// # Errors
/// The first reason why that mode cannot start. It assumes a document without errors: what [`super::read`] has found
/// is not said again.
pub fn resolve_mode(config: &Config, overrides: &Overrides) -> Result<Mode, Finding> {
    let gateway = &config.gateway;
    let refuse = |path, message| Err(finding(Level::Error, path, message));
    let configured = overrides.auth.or(gateway.auth_mode);
    if configured.is_none() && gateway.token.is_some() && gateway.password.is_some() {
        return refuse("gateway.auth.mode", "token and password are both configured; set it to token or password");
    }
    let password = gateway.password.is_some() || overrides.password;
    let mode = configured.unwrap_or(if password { Mode::Password } else { Mode::Token });
    match mode {
        Mode::Password if !password => {
            let message = "mode password needs a password; set this key or OPENCLAW_GATEWAY_PASSWORD";
            refuse("gateway.auth.password", message)
        }
        Mode::TrustedProxy => {
            let mut found = Vec::new();
            trusted_proxy(config, gateway.token.is_some() || overrides.token, &mut found);
            found.into_iter().next().map_or(Ok(mode), Err)
        }
        Mode::None | Mode::Password | Mode::Token => Ok(mode),
    }
}

/// What forbids serving `bind` with `mode`, both as in force: every reason, one finding each.
pub fn refusals(config: &Config, mode: Mode, bind: Bind) -> Vec<Finding> {
    let mut found = Vec::new();
    // The word counts, not the address it would resolve to: that may change while the gateway runs.
    if bind != Bind::Loopback && mode == Mode::None {
        let message = "mode none lets everybody in, so it is served on loopback only; set a token or bind loopback";
        found.push(finding(Level::Error, "gateway.bind", message));
    }
    if config.gateway.tailnet.serve_socket.is_some() && mode == Mode::None {
        let message =
            "mode none lets everybody in, so nothing is served to the tailnet; set a token or remove this key";
        found.push(finding(Level::Error, "gateway.tailnet.serveSocket", message));
    }
    // What the document says by itself has been found by `read`.
    if bind != config.gateway.bind {
        published(config.gateway.tailscale, bind, &mut found);
    }
    if config.gateway.tailscale == Tailscale::Funnel && mode != Mode::Password {
        let message = "funnel opens the gateway to the internet and needs gateway.auth.mode password";
        found.push(finding(Level::Error, "gateway.tailscale.mode", message));
    }
    found
}

fn published(tailscale: Tailscale, bind: Bind, found: &mut Vec<Finding>) {
    if tailscale != Tailscale::Off && bind != Bind::Loopback {
        let message =
            "with gateway.tailscale.mode serve or funnel this must be loopback, or the proxy can be passed by";
        found.push(finding(Level::Error, "gateway.bind", message));
    }
}

fn trusted_proxy(config: &Config, token: bool, found: &mut Vec<Finding>) {
    let mut error = |path, message| found.push(finding(Level::Error, path, message));
    if config.gateway.user_header.is_none() {
        error(
            "gateway.auth.trustedProxy.userHeader",
            "mode trusted-proxy needs the field that names the user; set this key",
        );
    }
    if config.rules.auth.proxies.is_empty() {
        error("gateway.trustedProxies", "mode trusted-proxy needs the proxy's address or CIDR block here");
    }
    if token {
        error("gateway.auth.token", "mode trusted-proxy takes no token; remove it, or set gateway.auth.mode to token");
    }
}
