use std::time::Duration;

/// Settings of a [`CallTable`](crate::CallTable).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableConfig {
    /// Calls one table holds at one time, waiting ones included; at most [`SLOTS_MAX`](crate::SLOTS_MAX).
    /// Beyond it a call fails at once with `overloaded`.
    pub calls_max: u32,
    /// How long a call whose deadline passed waits for the callee's word: twice the round-trip time plus this.
    pub verdict_extra: Duration,
    /// At most that long in all; also what applies when the round-trip time is not known.
    pub verdict_max: Duration,
    /// While calls wait for a slot of the own node that another thread holds: how often to look again.
    pub poll: Duration,
    /// How long a call waits for a connection to the node it chose before it chooses again.
    pub dial_patience: Duration,
    /// How long a call waits for connections in all.
    pub dial_max: Duration,
}

impl Default for TableConfig {
    fn default() -> Self {
        Self {
            calls_max: 1 << 18,
            verdict_extra: Duration::from_millis(20),
            verdict_max: Duration::from_millis(100),
            poll: Duration::from_millis(2),
            dial_patience: Duration::from_millis(500),
            dial_max: Duration::from_secs(2),
        }
    }
}

/// Settings of a [`Switch`](crate::Switch).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SwitchConfig {
    /// Calls from others that a node holds at one time: running, waiting and forwarded; at most
    /// [`SLOTS_MAX`](crate::SLOTS_MAX). Beyond it a call is refused with `overloaded`.
    pub inbound_max: u32,
    /// Forwards inside one cluster that a call may have behind it; one more is a loop.
    pub forwards_max: u8,
    /// Calls that run longer are reported to their caller as started.
    pub report_after: Duration,
    /// How long a relay whose call was cancelled waits for the callee's word before it answers itself; less than the
    /// client's `verdict_max`, which would not hear who has its call otherwise.
    pub verdict_max: Duration,
    /// No call may take longer, whatever its frame says.
    pub deadline_max: Duration,
    /// While calls wait for a slot that a local call holds: how often to look again.
    pub poll: Duration,
    /// How long a call waits for a connection to the node it chose.
    pub dial_max: Duration,
    /// Call graphs that others run through the node at one time; further ones wait for their turn.
    pub graphs_max: u32,
}

impl Default for SwitchConfig {
    fn default() -> Self {
        Self {
            inbound_max: 1 << 18,
            forwards_max: 3,
            report_after: Duration::from_millis(20),
            verdict_max: Duration::from_millis(70),
            deadline_max: Duration::from_hours(24),
            poll: Duration::from_millis(2),
            dial_max: Duration::from_secs(2),
            graphs_max: 10_000,
        }
    }
}
