//! gate: what a caller claims → `Principal` or `Deny`; what a principal wants → `Permit` or `Refusal`. Pure: `now` is an argument.
//!
//! The gate never sees a header name, a socket or a clock. The protocol rooms translate a message into an
//! [`Ask`], the gate answers with a proof. [`Principal`] and [`Permit`] have no public constructor and are not
//! `Clone`: forgetting a check does not compile.
//!
//! ```compile_fail
//! // A proof cannot be made outside the gate.
//! let forged = toolgate::gate::Permit { tool: "device_status".into() };
//! ```
//!
//! ```compile_fail
//! // Nor copied.
//! fn twice(p: toolgate::gate::Principal) -> (toolgate::gate::Principal, toolgate::gate::Principal) {
//!     (p.clone(), p)
//! }
//! ```

#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used
    )
)]

pub mod auth;
pub mod peer;
pub mod policy;
pub mod rate;
pub mod scope;
pub mod secret;
pub mod session;
pub mod tailnet;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::time::Instant;

use auth::{Auth, Method, Mode};
use peer::Names;
use policy::{Policy, Trace};
use scope::Scopes;
use session::Session;
use tailnet::Tailnet;

/// What a caller claims, in plain words. Nothing in it is believed.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The socket's peer. IPv4-mapped IPv6 addresses are treated as IPv4.
    pub peer: IpAddr,
    /// What the tailnet knows of the peer.
    pub tailnet: &'a Tailnet,
    /// Whether Tailscale says that the request came from the internet, through Funnel.
    pub funnel: bool,
    /// Whether any forwarding claim was present and not empty (`Forwarded`, `X-Forwarded-*`, `X-Real-IP`).
    pub forwarded: bool,
    /// The list of hops the nearest proxy claims, as sent (`X-Forwarded-For`, repeated lines joined with `, `).
    pub hops: Option<&'a str>,
    /// The single client address the nearest proxy claims (`X-Real-IP`).
    pub real: Option<&'a str>,
    /// The host the request was sent to, with or without a port; `None` only for HTTP/1.0 without one.
    pub host: Option<&'a str>,
    /// A browser's origin, as sent.
    pub origin: Option<&'a str>,
    /// Whether the browser itself says that the request crosses sites.
    pub cross_site: bool,
    /// The secret that came with the request, trimmed; `None` when none or a blank one came.
    pub credential: Option<&'a str>,
    /// The scopes the caller declares, comma separated as sent; `None` when it declared nothing.
    pub scopes: Option<&'a str>,
    /// The user a trusted proxy names, as sent.
    pub proxy_user: Option<&'a str>,
    /// Whether every field that the trusted proxy must send was present and not blank.
    pub proxy_fields: bool,
}

/// Everything the gate decides by: checked values, built by `config`.
#[derive(Debug, Default)]
pub struct Rules {
    /// Who may come in.
    pub auth: Auth,
    /// What the tailnet's own word on a caller does.
    pub tailnet: tailnet::Rules,
    /// Which hosts and origins are answered.
    pub names: Names,
    /// What they may do.
    pub policy: Policy,
}

impl Rules {
    /// Whether both admit the same callers for the same reasons, and let tailnet peers call the same tools.
    #[inline(never)]
    pub fn admits_as(&self, other: &Rules) -> bool {
        self.auth.admits_as(&other.auth) && self.tailnet == other.tailnet
    }
}

/// Proof that a caller was admitted: made by [`Gate::admit`] only.
#[derive(Debug)]
pub struct Principal {
    method: Method,
    user: Option<Box<str>>,
    client: IpAddr,
    scopes: Scopes,
    tailnet: Tailnet,
}

impl Principal {
    /// How the caller proved itself.
    pub fn method(&self) -> Method {
        self.method
    }
    /// The name a trusted proxy or the tailnet vouched for.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }
    /// The caller's own address as far as trusted proxies can be believed.
    pub fn client(&self) -> IpAddr {
        self.client
    }
    /// What the caller may do at most.
    pub fn scopes(&self) -> &Scopes {
        &self.scopes
    }
    /// Whether the caller owns the gateway (`operator.admin`).
    pub fn owner(&self) -> bool {
        self.scopes.admin()
    }
    /// The same caller with no more than `wanted`: for a connection that asks for less than it could have. Scopes the
    /// caller does not cover are dropped, so this never adds any. Source: contract ws.md §3.1.
    pub fn narrowed(self, wanted: &Scopes) -> Principal {
        Principal { scopes: self.scopes.narrowed(wanted), ..self }
    }
}

/// Proof that a principal may run one tool once, in one session: made by [`Gate::permit`] only.
#[derive(Debug)]
pub struct Permit {
    tool: Box<str>,
    session: Session,
    owner: bool,
}

impl Permit {
    /// The tool this permit is for.
    pub fn tool(&self) -> &str {
        &self.tool
    }
    /// The session the call belongs to.
    pub fn session(&self) -> &Session {
        &self.session
    }
    /// Whether the caller owns the gateway.
    pub fn owner(&self) -> bool {
        self.owner
    }
    /// Spends the permit: what is left is the session the call belongs to.
    pub fn spend(self) -> Session {
        self.session
    }
}

/// What a principal wants to run.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The tool's name, trimmed, in the caller's spelling.
    pub tool: &'a str,
    /// The session key as sent; `None` when absent or not a string.
    pub session: Option<&'a str>,
    /// The agent the caller names; `None` when absent.
    pub agent: Option<&'a str>,
    /// The message channel the call came from, as sent.
    pub channel: Option<&'a str>,
    /// The account on that channel, as sent.
    pub account: Option<&'a str>,
    /// Whether this gateway has a tool of exactly that name.
    pub exists: bool,
    /// Whether that tool is for owners only.
    pub owner_only: bool,
}

/// Why a caller was not admitted. Each variant has one stable reason word ([`Deny::word`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deny {
    /// The credential is wrong.
    CredentialMismatch,
    /// A credential is needed and none came.
    CredentialMissing,
    /// The request came through Tailscale Funnel.
    FunnelRefused,
    /// The host is none of ours (DNS rebinding).
    HostUnknown,
    /// A browser's origin that is not allowed.
    OriginForbidden,
    /// The trusted proxy's claims do not hold.
    ProxyRefused,
    /// Too many failures from this source; seconds until it may try again.
    RateLimited(u32),
    /// The caller holds no scope that covers the call.
    ScopeMissing(&'static str),
    /// A tailnet peer that is none of those listed.
    TailnetForbidden,
    /// A tailnet peer of which nobody says who it is, where only listed ones may come.
    TailnetUnknown,
}

impl Deny {
    /// The stable reason word, for logs and the audit ring.
    pub fn word(self) -> &'static str {
        match self {
            Deny::CredentialMismatch => "credential_mismatch",
            Deny::CredentialMissing => "credential_missing",
            Deny::FunnelRefused => "funnel_refused",
            Deny::HostUnknown => "host_unknown",
            Deny::OriginForbidden => "origin_forbidden",
            Deny::ProxyRefused => "proxy_refused",
            Deny::RateLimited(_) => "rate_limited",
            Deny::ScopeMissing(_) => "scope_missing",
            Deny::TailnetForbidden => "tailnet_forbidden",
            Deny::TailnetUnknown => "tailnet_unknown",
        }
    }
}

/// Why a principal may not run a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The named agent is not the session's.
    AgentConflict {
        /// The agent the caller named.
        agent: Box<str>,
        /// The agent of the session key.
        session: Box<str>,
    },
    /// The tailnet's policy does not name the tool for this peer: the caller cannot tell this from `Unavailable`.
    TailnetCapability,
    /// The policy refuses, or there is no such tool: the caller cannot tell which. The step that refused is for the log.
    Unavailable(policy::Step),
}

impl Refusal {
    /// The stable reason word, for logs and the audit ring; one per step for those of the policy.
    pub fn word(&self) -> &'static str {
        match self {
            Refusal::AgentConflict { .. } => "agent_conflict",
            Refusal::TailnetCapability => "tailnet_capability",
            Refusal::Unavailable(step) => step.word(),
        }
    }
}

/// The gate: rules and the table of recent failures.
#[derive(Debug)]
pub struct Gate {
    rules: Rules,
    limiter: rate::Limiter,
    /// Names that come and go with the tailnet; they are no rules, so a reload leaves them.
    visiting: Names,
}

impl Gate {
    /// A gate with these rules and no memory of failures.
    pub fn new(rules: Rules) -> Gate {
        Gate { rules, limiter: rate::Limiter::default(), visiting: Names::default() }
    }

    /// The rules in force.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Puts other rules in force, all at once, and hands back the old ones. Failures counted so far still count: a
    /// reload must not give a guesser new tries.
    pub fn replace(&mut self, rules: Rules) -> Rules {
        std::mem::replace(&mut self.rules, rules)
    }

    /// Answers to these host names and address literals too, instead of those told before: lower-case, without port
    /// and trailing dot. For what this machine is called on its tailnet, as long as it is there.
    pub fn answer_to(&mut self, names: Vec<String>) {
        self.visiting.hosts = names;
    }

    /// Whether a request may come to any route at all: first its way, then its host, then its browser's origin. Asked
    /// before anything else is looked at, in every mode.
    ///
    /// A request without a host passes, because only HTTP/1.0 allows that and no browser speaks it. A blank origin is
    /// an absent one.
    ///
    /// # Errors
    /// `FunnelRefused`, `HostUnknown`, `OriginForbidden`. Source: edge.md §4, §5, DNS rebinding and CSRF.
    pub fn door(&self, ask: &Ask) -> Result<(), Deny> {
        if ask.funnel {
            return Err(Deny::FunnelRefused);
        }
        if ask.host.is_some_and(|host| !self.rules.names.host_allowed(host) && !self.visiting.host_allowed(host)) {
            return Err(Deny::HostUnknown);
        }
        match ask.origin.filter(|origin| !origin.trim().is_empty()) {
            Some(origin) if !self.rules.names.origin_allowed(origin, ask.host) => Err(Deny::OriginForbidden),
            // An allowed origin may well be another site; without one, the browser's own word decides.
            None if ask.cross_site => Err(Deny::OriginForbidden),
            _ => Ok(()),
        }
    }

    /// Whether the tailnet's word lets the caller come any further than a probe. Whoever comes another way passes.
    ///
    /// # Errors
    /// `TailnetForbidden`, `TailnetUnknown`. Source: edge.md §4 item 5.
    pub fn greet(&self, ask: &Ask) -> Result<(), Deny> {
        self.rules.tailnet.listed(ask.tailnet).map(|_| ())
    }

    /// Admits a caller: the door, then what the tailnet says of it, then the limit on failures, then its proof.
    ///
    /// A listed peer needs no secret where the operator says so. One that offers a secret is judged by that all the
    /// same, and so is one that forwards for others.
    ///
    /// # Errors
    /// Any `Deny` but `ScopeMissing`. Source: contract http.md §2.4, §2.6, §2.8; edge.md §4 item 5.
    pub fn admit(&mut self, ask: &Ask, now: Instant) -> Result<Principal, Deny> {
        self.door(ask)?;
        let listed = self.rules.tailnet.listed(ask.tailnet)?;
        let auth = &self.rules.auth;
        let proves =
            self.rules.tailnet.identity && matches!(ask.tailnet, Tailnet::Known(_)) && auth.takes_identity(ask);
        let named = listed.filter(|_| proves);
        let (method, user) = match named {
            Some(who) => (Method::Tailnet, Some(who.user())),
            None => auth.prove(ask, &mut self.limiter, now)?,
        };
        let scopes = if method.shared_secret() { Scopes::full() } else { Scopes::declared(ask.scopes) };
        let (user, client) = (user.map(Box::from), auth.client(ask));
        Ok(Principal { method, user, client, scopes, tailnet: ask.tailnet.clone() })
    }

    /// Whether a caller may see more of readiness than yes or no: one on this machine, or one that proves itself. Its
    /// failures count like all others, or this would be a place to guess secrets without limit.
    ///
    /// Source: contract http.md §1.3.
    pub fn details(&mut self, ask: &Ask, now: Instant) -> bool {
        self.door(ask).is_ok()
            && (self.direct_local(ask) || (self.rules.auth.mode != Mode::None && self.admit(ask, now).is_ok()))
    }

    /// Whether the caller is on this machine and nobody stands between: a loopback peer and no forwarding claim.
    ///
    /// Source: contract http.md §2.4.
    pub fn direct_local(&self, ask: &Ask) -> bool {
        auth::direct_local(ask)
    }

    /// Demands a scope of an admitted caller.
    ///
    /// # Errors
    /// `ScopeMissing`. Source: contract http.md §2.8.
    pub fn require(&self, principal: &Principal, scope: &'static str) -> Result<(), Deny> {
        if principal.scopes.covers(scope) { Ok(()) } else { Err(Deny::ScopeMissing(scope)) }
    }

    /// Whether a principal may run a tool in a session: the policy chain, then what the tailnet's own policy grants.
    ///
    /// # Errors
    /// `Unavailable`, `TailnetCapability`. Source: contract http.md §4.2.
    pub fn may(&self, principal: &Principal, session: &Session, subject: &Subject) -> Result<(), Refusal> {
        let policy = &self.rules.policy;
        policy.decide(principal.owner(), session, subject).map_err(Refusal::Unavailable)?;
        let granted = self.rules.tailnet.grants(&principal.tailnet, subject.tool, policy);
        if granted { Ok(()) } else { Err(Refusal::TailnetCapability) }
    }

    /// Lets a principal run a tool once, or says why not.
    ///
    /// # Errors
    /// A [`Refusal`]. Source: contract http.md §3.2, §4.2.
    pub fn permit(&self, principal: &Principal, subject: &Subject) -> Result<Permit, Refusal> {
        let session = session::resolve(&self.rules.policy, subject.session, subject.agent)?;
        self.may(principal, &session, subject)?;
        Ok(Permit { tool: subject.tool.into(), session, owner: principal.owner() })
    }

    /// What every step of the policy says to a caller with these scopes, and in which session.
    ///
    /// # Errors
    /// `AgentConflict`. Source: contract cli.md `explain`.
    pub fn explain(&self, scopes: &Scopes, subject: &Subject) -> Result<(Session, Vec<Trace>), Refusal> {
        let session = session::resolve(&self.rules.policy, subject.session, subject.agent)?;
        let steps = self.rules.policy.explain(scopes.admin(), &session, subject);
        Ok((session, steps))
    }
}
