//! What a port calls through: a node of this process, or a client's connection to its entry node.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mpreg_routing::Snapshot;
use mpreg_rpc::{RetryBudget, Route, Workload};
use mpreg_types::{Builtin, ConnectionId, ErrorBody, HopBudget, NodeId, StepCall, Target, Time};
use mpreg_wire::Process;

use crate::client_shared::ClientShared;
use crate::command::Command;
use crate::dispatch::Origin;
use crate::echo_door::EchoDoor;
use crate::error::NodeError;
use crate::functions::LocalEntry;
use crate::graph::Keep;
use crate::node_shared::NodeShared;

/// What an operation of the control thread calls at its end, on that thread; the result is encoded msgpack.
pub type End = Box<dyn FnOnce(Result<Bytes, NodeError>) + Send>;

/// A node or client, as its callers see it. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Caller {
    /// Selects itself.
    Node(Arc<NodeShared>),
    /// Leaves the choice to its entry node.
    Client(Arc<ClientShared>),
}

impl Caller {
    /// Unique within the process.
    pub fn id(&self) -> u64 {
        match self {
            Self::Node(node) => node.serial,
            Self::Client(client) => client.serial,
        }
    }

    /// Asks for a view of the mesh: a node answers from memory, a client asks its entry node.
    pub fn look(&self, verb: &str, body: Bytes, timeout: Duration, end: End) {
        match self {
            Self::Node(node) => node.look(verb, body, timeout, end),
            Self::Client(client) => client.look(verb, &body, timeout, end),
        }
    }

    /// Largest value that is sent through it.
    pub fn max_value_bytes(&self) -> usize {
        let bytes = match self {
            Self::Node(node) => node.config.settings.max_value_bytes,
            Self::Client(client) => client.config.settings.max_value_bytes,
        };
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    pub(crate) fn process(&self) -> Process {
        match self {
            Self::Node(node) => node.process(),
            Self::Client(client) => client.me,
        }
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        match self {
            Self::Node(node) => node.snapshot.load_full(),
            Self::Client(client) => client.no_snapshot.clone(),
        }
    }

    pub(crate) fn workload(&self) -> Arc<Workload> {
        match self {
            Self::Node(node) => node.workload.clone(),
            Self::Client(client) => client.workload.clone(),
        }
    }

    pub(crate) fn retry_budget(&self) -> Arc<RetryBudget> {
        match self {
            Self::Node(node) => node.retry_budget.clone(),
            Self::Client(client) => client.retry_budget.clone(),
        }
    }

    /// Who selects for this target.
    pub(crate) fn route(&self, target: &Target) -> Route {
        match (self, target) {
            (Self::Client(_), _) => Route::Entry,
            (Self::Node(_), Target::Select(_)) => Route::Mesh,
            (Self::Node(node), Target::Direct { node: owner, incarnation, function, version }) => node
                .snapshot
                .load()
                .find(*owner, *incarnation, function, version)
                .or_else(|| node.builtin_of(*owner, *incarnation, Builtin::find(function)?))
                .map_or(Route::Mesh, Route::Candidate),
            (Self::Node(node), Target::Here { function }) => Builtin::find(function)
                .and_then(|builtin| node.builtin_of(node.node, node.incarnation(), builtin))
                .map_or(Route::Mesh, Route::Candidate),
        }
    }

    pub(crate) fn max_hops(&self) -> HopBudget {
        match self {
            Self::Node(node) => node.max_hops,
            // Its entry node cuts it to its own limit.
            Self::Client(_) => HopBudget::MAX,
        }
    }

    pub(crate) fn entry(&self) -> Option<ConnectionId> {
        match self {
            Self::Node(_) => None,
            Self::Client(client) => client.entry(),
        }
    }

    pub(crate) fn is_starting(&self) -> bool {
        matches!(self, Self::Node(node) if node.is_starting())
    }

    pub(crate) fn is_open(&self) -> bool {
        self.closed_reason().is_none()
    }

    /// Why nothing can be called through it any more; `None` while it can.
    pub(crate) fn closed_reason(&self) -> Option<String> {
        match self {
            Self::Node(node) => node.closed_reason(),
            Self::Client(client) => client.closed_reason(),
        }
    }

    /// A node as users see it: `cluster/name/instance`, or the short form of its id where it is not known.
    pub(crate) fn label(&self, node: NodeId) -> String {
        match self {
            Self::Node(own) => own.label_of(node),
            Self::Client(client) => client.label_of(node),
        }
    }

    /// The entry node at the other end of a client's connection, as users see it.
    pub(crate) fn entry_label(&self, on: ConnectionId) -> Option<String> {
        match self {
            Self::Node(_) => None,
            Self::Client(client) => client.label_at(on),
        }
    }

    pub(crate) fn local_function(&self, handle: u64) -> Result<Arc<LocalEntry>, Box<ErrorBody>> {
        match self {
            Self::Node(node) => match Builtin::of_handle(handle) {
                Some(Builtin::Graph | Builtin::Events) => Some(node.graph_door.entry()),
                Some(Builtin::Stats) => Some(node.stats_door.entry()),
                Some(Builtin::Echo) => Some(EchoDoor::entry(node.stats_door.slots())),
                _ => node.functions.find(handle),
            },
            Self::Client(_) => None,
        }
        .ok_or_else(|| Box::new(crate::functions::removed()))
    }

    /// A call waits for a connection to that member.
    pub(crate) fn dial(&self, node: NodeId) {
        if let Self::Node(own) = self {
            own.command(Command::Wanted(node));
        }
    }

    /// What a local step of a graph needs to hold its result.
    pub(crate) fn keep(&self, step: &StepCall, now: Time, function: &LocalEntry) -> Option<Box<Keep>> {
        match self {
            Self::Node(node) => node.keep(step, now, function.spec.idempotent),
            Self::Client(_) => None,
        }
    }

    /// The origin of its own calls.
    pub(crate) fn origin(&self) -> Arc<Origin> {
        match self {
            Self::Node(node) => node.origin.clone(),
            Self::Client(client) => client.origin.clone(),
        }
    }
}
