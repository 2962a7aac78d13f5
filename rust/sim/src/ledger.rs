use std::collections::BTreeMap;

use mpreg_rpc::CallKey;
use mpreg_types::{CallId, ConnectionId, ErrorCode, Executed, StreamId, Time};

use crate::GraphFate;

/// What really happened to every call, written down by the simulator itself.
#[derive(Debug, Default)]
pub struct Ledger {
    pub(crate) fates: BTreeMap<CallId, Fate>,
    /// Completions that belong to no call.
    pub(crate) strays: Vec<(usize, CallKey)>,
    /// Windows that a machine found broken.
    pub(crate) breaches: Vec<(usize, ConnectionId, StreamId)>,
    /// Every graph, by its number.
    pub(crate) graphs: BTreeMap<u64, GraphFate>,
}

/// What happened to one call.
#[derive(Debug, Clone)]
pub struct Fate {
    /// Place of the caller.
    pub caller: usize,
    /// Its start; a caller that died is told nothing.
    pub start: u64,
    /// The function may be executed more than once.
    pub idempotent: bool,
    /// When the call is to end.
    pub deadline: Time,
    /// Moments at which a handler began it.
    pub executions: Vec<Time>,
    /// The caller stopped waiting.
    pub cancelled: bool,
    /// How it ended, as often as it did.
    pub endings: Vec<Ending>,
    /// What it got, if it asked for a stream.
    pub stream: Option<Received>,
}

/// What came of one stream.
#[derive(Debug, Clone, Default)]
pub struct Received {
    /// Execution and number of each item, in the order in which they came.
    pub received: Vec<(u32, u32)>,
    /// How many there were, by the stream's end.
    pub total: Option<u32>,
    /// More than a window waited to be read.
    pub held_too_much: bool,
}

/// What a caller was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// When.
    pub at: Time,
    /// `None`: it got a result.
    pub error: Option<(ErrorCode, Executed)>,
}

impl Ledger {
    /// All calls.
    pub fn calls(&self) -> impl Iterator<Item = (&CallId, &Fate)> {
        self.fates.iter()
    }

    /// All graphs.
    pub fn graphs(&self) -> impl Iterator<Item = (&u64, &GraphFate)> {
        self.graphs.iter()
    }

    /// Calls that ended in a way.
    pub fn count(&self, wanted: impl Fn(&Ending) -> bool) -> usize {
        self.fates.values().flat_map(|fate| &fate.endings).filter(|ending| wanted(ending)).count()
    }
}
