/// What a [`CallTable`](crate::CallTable) has counted since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableCounters {
    /// Calls begun.
    pub begun: u64,
    /// Calls that returned a value.
    pub succeeded: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Calls their caller gave up.
    pub cancelled: u64,
    /// Of the failed ones: the deadline passed.
    pub deadlines: u64,
    /// Further attempts made.
    pub retries: u64,
    /// Attempts that nobody took, because a node or connection went in order: made anew.
    pub moved: u64,
    /// Further attempts that the budget forbade.
    pub retries_denied: u64,
    /// Replies and local results to calls that had ended, or to another attempt: dropped.
    pub late_replies: u64,
    /// Times a call was put aside because its connection had no credit.
    pub parked: u64,
    /// Calls refused because the table was full.
    pub refused: u64,
    /// Items of streams that had ended, or of another attempt: dropped.
    pub late_items: u64,
    /// Senders of streams that were closed because they broke a window.
    pub overdrawn: u64,
}

/// What a [`Switch`](crate::Switch) has counted since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SwitchCounters {
    /// Calls that arrived.
    pub calls: u64,
    /// Calls handed to a dispatcher.
    pub invoked: u64,
    /// Calls forwarded to another node.
    pub forwarded: u64,
    /// Calls answered with an error before their function began.
    pub refused: u64,
    /// Calls whose deadline passed here.
    pub deadlines: u64,
    /// Calls cancelled by their caller.
    pub cancelled: u64,
    /// Calls whose caller's connection was lost.
    pub orphaned: u64,
    /// Repeated first frames: dropped.
    pub duplicates: u64,
    /// Replies, start reports and ends that belong to no call any more: dropped.
    pub late: u64,
    /// Frames of connections that are not known (any more): dropped.
    pub strays: u64,
    /// Calls reported as started.
    pub reported: u64,
    /// Items and credit of streams that had ended: dropped.
    pub late_items: u64,
    /// Peers that were closed because they broke a stream's window.
    pub overdrawn: u64,
}
