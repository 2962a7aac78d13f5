use std::sync::Arc;

use mpreg_routing::Identity;
use mpreg_types::{ClusterId, ForeignText, Incarnation, Instance, NodeId, NodeName};

/// What a node is called. Kept as long as membership remembers the node, longer than its entries in the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Card {
    pub(crate) incarnation: Incarnation,
    pub(crate) name: NodeName,
    pub(crate) instance: Option<Instance>,
    pub(crate) identity: Identity,
    /// Where its Python code stands still, if it does.
    pub(crate) busy: Option<ForeignText>,
}

impl Card {
    /// `pricing/7f3a90`.
    pub(crate) fn id(&self, node: NodeId) -> String {
        format!("{}/{}", self.name, self.shown_instance(node))
    }

    pub(crate) fn shown_instance(&self, node: NodeId) -> String {
        self.instance.as_ref().map_or_else(|| node.short(), ToString::to_string)
    }

    /// `eu/pricing/7f3a90`.
    pub(crate) fn label(&self, node: NodeId, cluster: &ClusterId) -> Arc<str> {
        format!("{cluster}/{}", self.id(node)).into()
    }

    /// What a certificate, or the want of it, makes of a name.
    pub(crate) fn identity(declared: bool) -> Identity {
        if declared { Identity::Declared } else { Identity::Verified }
    }

    /// True if both claim one fixed place in the cluster.
    pub(crate) fn clashes_with(&self, other: &Self) -> bool {
        self.instance.is_some() && self.instance == other.instance && self.name == other.name
    }
}
