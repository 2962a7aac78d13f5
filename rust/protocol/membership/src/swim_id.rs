//! A member as foca identifies it.

use foca::Identity;
use mpreg_types::{Incarnation, NodeId};

/// Node, start, and how often that start came back from being held for Down. The two numbers behind the node decide
/// conflicts; addresses stay outside, in the table, so that probes are small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SwimId {
    /// foca's address: one slot per node.
    pub(crate) node: NodeId,
    /// One process start.
    pub(crate) incarnation: Incarnation,
    /// Raised by `renew`.
    pub(crate) generation: u32,
}

impl SwimId {
    /// The generation of a member that left: above every other one, so nothing said about that start revives it.
    /// Never accepted from others; only a signed leave leads here.
    pub(crate) const LEFT: u32 = u32::MAX;
}

impl Identity for SwimId {
    type Addr = NodeId;

    fn renew(&self) -> Option<Self> {
        let generation = self.generation.checked_add(1).filter(|next| *next < Self::LEFT)?;
        Some(Self { generation, ..*self })
    }

    fn addr(&self) -> NodeId {
        self.node
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        (self.incarnation, self.generation) > (adversary.incarnation, adversary.generation)
    }
}
