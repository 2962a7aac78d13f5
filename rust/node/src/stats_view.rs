//! The counts of a node as they travel: named fields, times in microseconds, everything counted since its start.

use mpreg_routing::{Counted, Slots};
use serde::Serialize;

use crate::functions::FunctionSpec;

/// One node.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct NodeStats {
    /// `cluster/name/instance`.
    pub(crate) node: String,
    /// When this was read, by a clock of its own: two readings tell the time between them.
    pub(crate) at_us: u64,
    /// Calls running.
    pub(crate) in_flight: u32,
    /// Calls that wait for a slot, a candidate or credit.
    pub(crate) queued: u32,
    /// Calls answered with an error before their function began.
    pub(crate) refused: u64,
    /// Clients connected.
    pub(crate) clients: u64,
    /// Worker processes.
    pub(crate) workers: u64,
    /// Functions that were called.
    pub(crate) functions: Vec<FunctionStats>,
    /// To other members.
    pub(crate) connections: Vec<ConnectionStats>,
}

/// One version of a function.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FunctionStats {
    name: String,
    version: String,
    pub(crate) in_flight: u32,
    pub(crate) calls: u64,
    errors: u64,
    total_us: u64,
    times: Vec<(u64, u64)>,
}

impl FunctionStats {
    pub(crate) fn new(spec: &FunctionSpec, slots: &Slots) -> Self {
        let Counted { calls, errors, total_us, times } = slots.tally().read();
        Self {
            name: spec.name.to_string(),
            version: spec.version.to_string(),
            in_flight: slots.taken(),
            calls,
            errors,
            total_us,
            times,
        }
    }
}

/// One connection.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ConnectionStats {
    /// Who is at the other end.
    pub(crate) node: String,
    /// Smoothed; none before the first answer to a ping.
    pub(crate) rtt_us: Option<u64>,
    /// Calls sent there and not answered.
    pub(crate) in_flight: u32,
}
