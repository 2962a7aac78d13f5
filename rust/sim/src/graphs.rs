use mpreg_graph::{Desk, ResultLimits, ResultStore, StepDone, StepFailed};
use mpreg_rpc::{CallKey, CallTable};
use mpreg_types::{Builtin, ErrorBody, NodeId, Payload, StepCall, Time};

use crate::job::{Job, JobKey};

/// The call table of a node's desk.
pub(crate) const DESK_BRIDGE: u16 = 2;

/// The desk of a node: graphs are answered and steps run by jobs.
pub(crate) type Machine = Desk<CallKey, Work, JobKey>;

/// A job that is not at work, and its name.
pub(crate) type Work = (JobKey, Job);

/// What a node has for call graphs.
#[derive(Debug)]
pub(crate) struct Graphs {
    /// Taken out while it works.
    pub(crate) machine: Option<Machine>,
    /// The desk's own; taken out while it works.
    pub(crate) table: Option<CallTable>,
    pub(crate) store: ResultStore,
    /// What has come since the desk looked last.
    pub(crate) knocks: Vec<Knock>,
    /// Its calls that have ended since.
    pub(crate) ended: Vec<(CallKey, Result<StepDone, Box<StepFailed>>)>,
}

/// What waits for a desk.
#[derive(Debug)]
pub(crate) enum Knock {
    /// A call to a builtin function, by that node.
    Builtin(Builtin, Box<Work>, NodeId),
    /// A step that lacks inputs, which are put into its arguments by that time.
    Gather(JobKey, StepCall, Payload, Time),
    /// Nobody waits for those inputs any more.
    Ungather(JobKey),
    /// They are here, or one of them is not to be had.
    Gathered(JobKey, Result<Payload, Box<ErrorBody>>),
    /// Nobody waits for that one any more.
    Cancel(JobKey),
}

impl Graphs {
    pub(crate) fn new(me: NodeId, table: CallTable) -> Self {
        Self {
            machine: Some(Desk::new(me)),
            table: Some(table),
            store: ResultStore::new(ResultLimits::default()),
            knocks: Vec::new(),
            ended: Vec::new(),
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let machine = self.machine.as_ref().and_then(Desk::next_deadline);
        let table = self.table.as_ref().and_then(CallTable::next_deadline);
        machine.into_iter().chain(table).chain(self.store.next_deadline()).min()
    }
}
