use mpreg_types::{Incarnation, NodeId};
use serde::{Deserialize, Serialize};

/// What one node believes, small enough to compare: equal on all nodes means that all agree on who is there and what
/// is offered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Convergence {
    /// Root of the catalog, over the owners that are there.
    pub root: mpreg_catalog::Root,
    /// How far each of them is, by owner.
    pub owners: Vec<OwnerVersion>,
    /// Who is alive (itself included) and not suspected, in order.
    pub alive: Vec<NodeId>,
}

/// How far the catalog is with one owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerVersion {
    /// Whose entries.
    pub owner: NodeId,
    /// Of which start.
    pub incarnation: Incarnation,
    /// Up to which change.
    pub version: u64,
}
