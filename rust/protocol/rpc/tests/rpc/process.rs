//! One process of the fabric: a node, or a client.

use std::collections::BTreeMap;
use std::sync::Arc;

use mpreg_routing::Snapshot;
use mpreg_rpc::{
    CallKey, CallTable, Caller, Claim, InboundKey, RetryBudget, RetryConfig, Running, Runs, Switch,
    SwitchConfig, TableConfig, Workload, WorkloadConfig,
};
use mpreg_types::{CallId, ConnectionId, Executed, NodeId, StreamId, Time};

use crate::cluster::{Cluster, INCARNATION, idempotent, node, offer};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum JobKey {
    Remote(InboundKey),
    Local(CallKey),
}

/// A function at work, or about to be.
pub(crate) struct Job {
    pub(crate) call: CallId,
    pub(crate) claim: Claim,
    pub(crate) _running: Running,
    pub(crate) reply_to: Option<(ConnectionId, StreamId)>,
    pub(crate) token: u64,
    pub(crate) deadline: Time,
    pub(crate) begun: bool,
}

pub(crate) struct Process {
    pub(crate) id: NodeId,
    pub(crate) cluster: Cluster,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) workload: Arc<Workload>,
    /// Taken out while it works.
    pub(crate) table: Option<CallTable>,
    /// Nodes only.
    pub(crate) switch: Option<Switch>,
    pub(crate) entry: Option<ConnectionId>,
    pub(crate) jobs: BTreeMap<JobKey, Job>,
}

/// What became of one call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fate {
    pub(crate) idempotent: bool,
    pub(crate) deadline: Time,
    pub(crate) executions: u32,
    pub(crate) cancelled: bool,
    /// Moment and outcome of each completion: `None` = a result.
    pub(crate) completions: Vec<(Time, Option<Executed>)>,
}

impl Process {
    pub(crate) fn new(number: usize, nodes: usize, seed: u64) -> Self {
        let id = |number: usize| node(u8::try_from(number + 1).unwrap());
        let workload =
            Workload::new(WorkloadConfig { concurrency: 4, waiting: 6, ..WorkloadConfig::default() });
        let mut cluster = Cluster::seen_by(id(number));
        for other in 0..nodes {
            for offer in [offer("once"), idempotent("again")] {
                if other == number {
                    let slots = workload.function_slots(Runs::OnLoop, Some(3));
                    cluster.own(&offer, &slots);
                } else {
                    cluster.offers(id(other), &offer);
                }
            }
        }
        let snapshot = cluster.publish();
        let caller = Caller { origin: id(number), incarnation: INCARNATION, bridge: 1 };
        let budget = Arc::new(RetryBudget::new(RetryConfig { percent: 100, ..RetryConfig::default() }));
        let table = CallTable::new(TableConfig::default(), caller, workload.clone(), budget, seed);
        let switch = (number < nodes)
            .then(|| Switch::new(SwitchConfig::default(), snapshot.clone(), workload.clone(), seed));
        let (table, jobs, id) = (Some(table), BTreeMap::new(), id(number));
        Self { id, cluster, snapshot, workload, table, switch, entry: None, jobs }
    }
}
