//! Who a caller on the tailnet is, as tailscaled says. Pure.

use std::borrow::Cow;
use std::net::IpAddr;
use std::rc::Rc;

use super::Deny;
use super::policy::Policy;

/// A node of the tailnet, as LocalAPI's whois tells of it. Source: edge.md §4 item 4.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Who {
    /// The node's name, such as `phone.example.ts.net`; without a trailing dot.
    pub node: Box<str>,
    /// The person it belongs to; `None` for a tagged node, which belongs to nobody.
    pub login: Option<Box<str>>,
    /// Its tags, such as `tag:home`.
    pub tags: Vec<Box<str>>,
    /// The app capabilities that the tailnet's policy grants it here, and the tools that their values name.
    pub capabilities: Vec<(Box<str>, Vec<Box<str>>)>,
}

impl Who {
    /// What tells this caller from others: the person, or the node that belongs to nobody.
    pub fn user(&self) -> &str {
        self.login.as_deref().unwrap_or(&self.node)
    }

    /// The person's login; of a tagged node its tags, joined with commas.
    pub fn name(&self) -> Cow<'_, str> {
        match &self.login {
            Some(login) => Cow::Borrowed(login),
            None => Cow::Owned(self.tags.join(",")),
        }
    }
}

/// Whether a caller comes over the tailnet, and what is known of it then.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Tailnet {
    /// It comes another way: from this machine or its network.
    #[default]
    Outside,
    /// It may come over the tailnet, but nobody says who it is.
    Unknown,
    /// It comes from an address of that node, which a neighbour might have forged: true enough to refuse, no proof.
    Claimed(Rc<Who>),
    /// It comes over the tailnet and is known.
    Known(Rc<Who>),
}

impl Tailnet {
    /// Who it is, as far as anybody says.
    pub fn who(&self) -> Option<&Rc<Who>> {
        match self {
            Tailnet::Outside | Tailnet::Unknown => None,
            Tailnet::Claimed(who) | Tailnet::Known(who) => Some(who),
        }
    }
}

/// Which tailnet peers may come in; empty = any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Allow {
    /// Logins, in any case.
    pub logins: Vec<String>,
    /// Tags, with `tag:`; exact spelling.
    pub tags: Vec<String>,
    /// App capabilities; exact spelling.
    pub capabilities: Vec<String>,
}

impl Allow {
    /// Whether nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.logins.is_empty() && self.tags.is_empty() && self.capabilities.is_empty()
    }

    /// Whether any entry is about `who`.
    fn lists(&self, who: &Who) -> bool {
        let login = who.login.as_deref().unwrap_or_default();
        // A tagged node has none, and no entry is blank.
        self.logins.iter().any(|own| own.eq_ignore_ascii_case(login))
            || who.tags.iter().any(|tag| has(&self.tags, tag))
            || who.capabilities.iter().any(|(name, _)| has(&self.capabilities, name))
    }
}

#[inline(never)]
fn has(list: &[String], text: &str) -> bool {
    list.iter().any(|own| own == text)
}

/// What the tailnet's own word on a caller does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// Which of its peers may come in, with or without a secret.
    pub allow: Allow,
    /// Whether those that `allow` lists need no secret.
    pub identity: bool,
    /// The app capability whose values name the tools that a peer may call; `None` = any tool.
    pub capability: Option<String>,
}

impl Rules {
    /// Who the caller is, when it is a peer that `allow` lists; `None` when nothing is listed, or it comes another way.
    ///
    /// # Errors
    /// `TailnetForbidden`, `TailnetUnknown`: only those listed may come. Source: edge.md §4 items 4, 5.
    #[inline(never)]
    pub(super) fn listed<'a>(&self, peer: &'a Tailnet) -> Result<Option<&'a Who>, Deny> {
        if self.allow.is_empty() {
            return Ok(None);
        }
        match peer {
            Tailnet::Outside => Ok(None),
            Tailnet::Unknown => Err(Deny::TailnetUnknown),
            Tailnet::Claimed(who) | Tailnet::Known(who) if self.allow.lists(who) => Ok(Some(who)),
            Tailnet::Claimed(_) | Tailnet::Known(_) => Err(Deny::TailnetForbidden),
        }
    }

    /// Whether the tailnet's policy lets the peer call a tool; ours says which groups there are. A peer that is not
    /// known has been granted nothing.
    #[inline(never)]
    pub(super) fn grants(&self, peer: &Tailnet, tool: &str, policy: &Policy) -> bool {
        let Some(capability) = &self.capability else { return true };
        match peer {
            Tailnet::Outside => true,
            Tailnet::Unknown => false,
            Tailnet::Claimed(who) | Tailnet::Known(who) => {
                who.capabilities.iter().any(|(name, tools)| **name == **capability && policy.among(tool, tools))
            }
        }
    }
}

/// Where a request comes from, as far as the kernel and tailscaled say. No word of it is the caller's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The address; never IPv4-mapped. Of a request that Tailscale Serve passes on, the address that was looked up.
    pub addr: IpAddr,
    /// Its port, where that tells one peer of the tailnet from another: tailscaled brings all of them from the loopback when
    /// it has no interface of its own. Else 0.
    pub port: u16,
    /// What the tailnet knows of it.
    pub tailnet: Tailnet,
}

impl Caller {
    /// Whether nobody says whose this connection is, although tailscaled may know the next one's.
    pub fn is_doubtful(&self) -> bool {
        self.port != 0 && self.tailnet == Tailnet::Unknown
    }
}

impl From<IpAddr> for Caller {
    /// A caller of which nothing more is known than its address.
    fn from(addr: IpAddr) -> Caller {
        Caller { addr, port: 0, tailnet: Tailnet::Outside }
    }
}

#[cfg(test)]
#[path = "tailnet_tests.rs"]
mod tests;
