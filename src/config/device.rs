//! Placeholder.
use super::Findings;
use super::node::Node;
use super::secrets::SecretRef;
use crate::tool::Targets;
use crate::tool::targets::Hidden;

/// A secret that a tool needs.
#[derive(Debug)]
pub struct Held {
    /// Where it is named.
    pub key: String,
    /// Where it lies.
    pub secret: SecretRef,
    /// Where it goes.
    pub place: Hidden,
}

pub(super) fn targets(_: &Node, _: &mut Vec<Held>, _: &mut Findings) -> Targets {
    Targets::default()
}
