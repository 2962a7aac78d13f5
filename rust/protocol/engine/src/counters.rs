/// What was dropped or doubted: nothing is silent. Those of the machines below are their own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections of an earlier start than the one known, closed at once.
    pub stale_connections: u64,
    /// Facts whose key belongs to another node than their owner; not believed.
    pub foreign_facts: u64,
    /// Conflicts that were not told because `conflicts_max` others are remembered.
    pub untold_conflicts: u64,
    /// Snapshots published.
    pub snapshots: u64,
    /// Inputs that came after the node had left.
    pub after_leave: u64,
}
