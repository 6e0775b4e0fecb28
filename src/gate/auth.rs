//! Authentication: a claim and the configured secrets → how the caller proved itself, or why not. Pure.

use std::net::IpAddr;
use std::time::Instant;

use super::peer::{self, Net};
use super::rate::{Limiter, Rule};
use super::secret::Secret;
use super::tailnet::Tailnet;
use super::{Ask, Deny};

/// The configured way to authenticate. Source: contract http.md §2.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Everybody is admitted; loopback and explicit configuration only.
    None,
    /// A shared password.
    Password,
    /// A shared token.
    #[default]
    Token,
    /// A proxy in front vouches for the user.
    TrustedProxy,
}

impl Mode {
    /// The mode in one word, as configuration and clients write it.
    pub fn word(self) -> &'static str {
        match self {
            Mode::None => "none",
            Mode::Password => "password",
            Mode::Token => "token",
            Mode::TrustedProxy => "trusted-proxy",
        }
    }
}

/// How a caller proved itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Mode `none`: nothing was proved.
    None,
    /// The shared password.
    Password,
    /// The tailnet named it, and the operator's list has it.
    Tailnet,
    /// The shared token.
    Token,
    /// A trusted proxy named the user.
    TrustedProxy,
}

impl Method {
    /// Whether the caller holds the gateway's own secret, and so is its operator whatever scopes it declares.
    ///
    /// Source: contract http.md §2.8.
    pub fn shared_secret(self) -> bool {
        match self {
            Method::Password | Method::Token => true,
            Method::None | Method::Tailnet | Method::TrustedProxy => false,
        }
    }
}

/// The rules of authentication.
#[derive(Debug, Default)]
pub struct Auth {
    /// The mode in force.
    pub mode: Mode,
    /// The shared token, where one is configured.
    pub token: Option<Secret>,
    /// The shared password, where one is configured.
    pub password: Option<Secret>,
    /// Proxies whose claims about clients are believed, in every mode.
    pub proxies: Vec<Net>,
    /// Users a trusted proxy may name; empty = any. Exact and case-sensitive.
    pub allow_users: Vec<String>,
    /// Whether a trusted proxy may sit on loopback.
    pub allow_loopback: bool,
    /// Whether `X-Real-IP` counts when no usable hop is left.
    pub allow_real_ip_fallback: bool,
    /// The limit on failed attempts; `None` switches it off.
    pub rate: Option<Rule>,
}

impl Auth {
    /// The caller's own address as far as trusted proxies can be believed; the peer's where they say nothing usable.
    ///
    /// Source: contract http.md §2.5.
    pub fn client(&self, ask: &Ask) -> IpAddr {
        let real = ask.real.filter(|_| self.allow_real_ip_fallback);
        peer::client(ask.peer, ask.hops, real, &self.proxies).unwrap_or(ask.peer.to_canonical())
    }

    /// Whether both admit the same callers for the same reasons. The limit on failures aside: it ends nobody's stay.
    pub fn admits_as(&self, other: &Auth) -> bool {
        (self.mode, &self.token, &self.password) == (other.mode, &other.token, &other.password)
            && (&self.proxies, &self.allow_users) == (&other.proxies, &other.allow_users)
            && (self.allow_loopback, self.allow_real_ip_fallback)
                == (other.allow_loopback, other.allow_real_ip_fallback)
    }

    /// Whether a listed peer's identity may stand where a secret would: there is to be one, none was offered, and the
    /// peer speaks for itself. A proxy in the tailnet is itself known, but not whom it forwards for; the one hop that
    /// Tailscale Serve names is the peer.
    pub(super) fn takes_identity(&self, ask: &Ask) -> bool {
        let own =
            |hops: &str| hops.trim().parse::<IpAddr>().is_ok_and(|hop| hop.to_canonical() == ask.peer.to_canonical());
        matches!(self.mode, Mode::Password | Mode::Token)
            && ask.credential.is_none()
            && (!ask.forwarded || ask.hops.is_some_and(own))
    }

    /// The algorithm of contract http.md §2.4; hosts and origins have been looked at before.
    pub(super) fn prove<'a>(
        &self,
        ask: &Ask<'a>,
        limiter: &mut Limiter,
        now: Instant,
    ) -> Result<(Method, Option<&'a str>), Deny> {
        match self.mode {
            // Whom everybody may be is a program of this device. With userspace networking the tailnet comes from there too.
            Mode::None if *ask.tailnet != Tailnet::Outside => Err(Deny::CredentialMissing),
            Mode::None => Ok((Method::None, None)),
            Mode::Password => self.shared(ask, Method::Password, limiter, now),
            Mode::Token => self.shared(ask, Method::Token, limiter, now),
            Mode::TrustedProxy => match self.vouched(ask) {
                Some(user) => Ok((Method::TrustedProxy, Some(user))),
                None if self.local_password(ask) => self.shared(ask, Method::Password, limiter, now),
                None => Err(Deny::ProxyRefused),
            },
        }
    }

    /// The user that a trusted proxy vouches for.
    fn vouched<'a>(&self, ask: &Ask<'a>) -> Option<&'a str> {
        let trusted = self.proxies.iter().any(|net| net.contains(ask.peer));
        if !trusted || (peer::loopback(ask.peer) && !self.allow_loopback) || !ask.proxy_fields {
            return None;
        }
        let user = ask.proxy_user.map(str::trim).filter(|user| !user.is_empty())?;
        (self.allow_users.is_empty() || self.allow_users.iter().any(|allowed| allowed == user)).then_some(user)
    }

    /// Whether a caller on this very machine may use the password beside the proxy. Without any proxy the mode is not
    /// in force at all, and nothing opens it.
    fn local_password(&self, ask: &Ask) -> bool {
        !self.proxies.is_empty() && direct_local(ask) && self.password.is_some() && ask.credential.is_some()
    }

    fn shared<'a>(
        &self,
        ask: &Ask<'a>,
        method: Method,
        limiter: &mut Limiter,
        now: Instant,
    ) -> Result<(Method, Option<&'a str>), Deny> {
        let client = self.client(ask);
        let rule = self.rate.as_ref().filter(|rule| !(rule.exempt_loopback && exempt(ask)));
        if let Some(rule) = rule {
            limiter.check(rule, client, now).map_err(Deny::RateLimited)?;
        }
        let secret = if method == Method::Password { &self.password } else { &self.token };
        let offered = ask.credential.ok_or(Deny::CredentialMissing)?;
        // A mode without its secret is refused at start; should it come here, nothing matches and nothing is counted.
        let secret = secret.as_ref().ok_or(Deny::CredentialMismatch)?;
        let same = secret.matches(offered.as_bytes());
        match rule {
            Some(_) if same => limiter.passed(client),
            Some(rule) => limiter.failed(rule, client, now),
            None => {}
        }
        if same { Ok((method, None)) } else { Err(Deny::CredentialMismatch) }
    }
}

/// Whether the caller is on this machine and nobody stands between. Whoever may come over the tailnet is elsewhere: with
/// Tailscale's userspace networking every peer arrives from loopback. Source: contract http.md §2.4, edge.md §4 item 6.
pub(super) fn direct_local(ask: &Ask) -> bool {
    peer::loopback(ask.peer) && !ask.forwarded && *ask.tailnet == Tailnet::Outside
}

/// Whether a caller's failures go uncounted. A page in a browser on this machine is not the person at this machine:
/// the reference, too, counts browsers on loopback. Source: contract http.md §2.6.
fn exempt(ask: &Ask) -> bool {
    direct_local(ask) && ask.origin.is_none_or(|origin| origin.trim().is_empty())
}
