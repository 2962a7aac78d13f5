use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mpreg_engine::{Engine, Timer};
use mpreg_routing::Snapshot;
use mpreg_rpc::{CallKey, CallTable, Switch, Workload};
use mpreg_types::{CallId, ConnectionId, FunctionName, Time};
use mpreg_wire::TargetCache;

use crate::graphs::{DESK_BRIDGE, Graphs};
use crate::job::{Job, JobKey};
use crate::world::Reading;

/// One start of a process: the machines that ship, and what a driver keeps beside them.
pub(crate) struct Process {
    pub(crate) start: u64,
    /// Nodes only.
    pub(crate) engine: Option<Engine>,
    /// Nodes only; taken out while it works.
    pub(crate) switch: Option<Switch>,
    /// Taken out while it works.
    pub(crate) table: Option<CallTable>,
    /// Nodes only.
    pub(crate) graphs: Option<Graphs>,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) workload: Arc<Workload>,
    /// The engine's timers, each at its newest time.
    pub(crate) timers: BTreeMap<Timer, Time>,
    /// The next look of the data plane at the clock.
    pub(crate) tick_at: Option<Time>,
    /// Open connections, and which end of them is here.
    pub(crate) wires: BTreeMap<ConnectionId, usize>,
    pub(crate) jobs: BTreeMap<JobKey, Job>,
    /// Own calls that have not ended.
    pub(crate) calls: BTreeMap<CallKey, CallId>,
    /// Own streams, also those that have ended and are still read.
    pub(crate) reading: BTreeMap<CallKey, Reading>,
    /// Own graphs that have not ended.
    pub(crate) graph_calls: BTreeMap<CallKey, u64>,
    pub(crate) targets: TargetCache,
    /// Clients only.
    pub(crate) entry: Option<ConnectionId>,
    pub(crate) offers: BTreeSet<FunctionName>,
    pub(crate) handles: u64,
    /// It takes no new calls for its functions.
    pub(crate) draining: bool,
    /// It takes no calls at all, and no connections.
    pub(crate) parting: bool,
    /// Until it has joined.
    pub(crate) starting: bool,
}

impl Process {
    /// The table with that number.
    pub(crate) fn table_of(&mut self, bridge: u16) -> Option<&mut Option<CallTable>> {
        if bridge == DESK_BRIDGE {
            self.graphs.as_mut().map(|graphs| &mut graphs.table)
        } else {
            Some(&mut self.table)
        }
    }
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process")
            .field("start", &self.start)
            .field("wires", &self.wires.len())
            .finish_non_exhaustive()
    }
}
