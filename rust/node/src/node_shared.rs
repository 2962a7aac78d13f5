use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use mpreg_routing::{Candidate, Index, LocalFunction, Own, Snapshot};
use mpreg_rpc::{RetryBudget, RetryConfig, Workload, WorkloadConfig};
use mpreg_types::{Builtin, ClusterId, HopBudget, Incarnation, NodeId, Signer, StepCall, Time};
use mpreg_wire::Process;
use mpreg_wire::verify::Ed25519Signer;
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::caller::End;
use crate::client_shared::ClientShared;
use crate::command::Command;
use crate::config::{NodeConfig, Part};
use crate::dispatch::Origin;
use crate::error::NodeError;
use crate::functions::Functions;
use crate::graph::{GraphDoor, Keep, Results};
use crate::inbound::Inbound;
use crate::incarnation_file;
use crate::stats_door::StatsDoor;
use crate::worker_door::WorkerDoor;

/// Numbers for nodes and clients of this process.
static NEXT_SERIAL: AtomicU64 = AtomicU64::new(1);

pub(crate) fn next_serial() -> u64 {
    NEXT_SERIAL.fetch_add(1, Ordering::Relaxed)
}

/// What a process knows of the mesh before it has met anybody: itself.
pub(crate) fn empty_snapshot(me: Process, cluster: ClusterId, label: &str) -> Arc<Snapshot> {
    let own = Own { node: me.node, incarnation: me.incarnation, cluster, label: label.into() };
    Index::new(own).publish()
}

/// Threads take more calls than they can run at once, so that a short function never waits for a round of the I/O
/// thread between two calls.
const THREADS_AHEAD: u32 = 1024;

/// Where a node stands in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Made, not started.
    New,
    /// Between `start` and its return.
    Starting,
    /// Joined, or alone.
    Running,
    /// Leaving or gone; why.
    Stopped(String),
}

/// What a node's threads share.
#[derive(Debug)]
pub struct NodeShared {
    pub(crate) serial: u64,
    pub(crate) config: NodeConfig,
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) node: NodeId,
    incarnation: AtomicU64,
    /// `cluster/name/instance`.
    pub(crate) label: String,
    pub(crate) instance: mpreg_types::Instance,
    pub(crate) origin: Arc<Origin>,
    pub(crate) max_hops: HopBudget,
    pub(crate) snapshot: ArcSwap<Snapshot>,
    pub(crate) workload: Arc<Workload>,
    pub(crate) retry_budget: Arc<RetryBudget>,
    pub(crate) functions: Functions,
    pub(crate) inbound: Arc<Inbound>,
    /// Where graphs of own callers wait for the I/O thread.
    pub(crate) graph_door: Arc<GraphDoor>,
    /// Where calls that ask what this node has done wait for the control thread.
    pub(crate) stats_door: Arc<StatsDoor>,
    /// Results that stay here for graphs.
    pub(crate) results: Arc<Results>,
    /// Of a parent: where its own calls wait for its workers.
    pub(crate) worker_door: Arc<WorkerDoor>,
    pub(crate) address: Mutex<String>,
    /// Of a worker: what it calls through.
    pub(crate) parent: Option<Arc<ClientShared>>,
    phase: Mutex<Phase>,
    /// What ended it, if not `stop`.
    fatal: Mutex<Option<NodeError>>,
    commands: UnboundedSender<Command>,
    inbox: Mutex<Option<UnboundedReceiver<Command>>>,
}

impl NodeShared {
    /// Draws the key; nothing listens or dials yet.
    pub(crate) fn new(config: NodeConfig) -> Result<Arc<Self>, NodeError> {
        // A worker is nobody in the mesh: the node's key and starts are its parent's.
        let worker = matches!(config.part, Part::Worker { .. });
        let data_dir = config.settings.data_dir.as_deref().filter(|_| !worker);
        let secret = crate::node_key::load_or_draw(data_dir)?;
        let signer: Arc<dyn Signer> = Arc::new(Ed25519Signer::new(secret));
        let node = NodeId::of(&signer.key());
        let last = data_dir.map(incarnation_file::load).transpose()?.flatten();
        let incarnation = Incarnation::next(crate::clock::unix_ms(), last, None);
        let instance = match &config.instance {
            Some(instance) => instance.clone(),
            None => mpreg_types::Instance::parse(&node.short())?,
        };
        let label = format!("{}/{}/{instance}", config.cluster, config.name);
        let settings = &config.settings;
        let processes = if let Part::Parent { workers, .. } = config.part { workers } else { 1 };
        let workload = Workload::new(WorkloadConfig {
            concurrency: settings.concurrency.saturating_mul(processes),
            threads: settings.threads.saturating_add(THREADS_AHEAD).saturating_mul(processes),
            waiting: settings.waiting,
            ..WorkloadConfig::default()
        });
        let inbound = Inbound::new(workload.clone(), label.clone());
        let me = Process { node, incarnation };
        let parent = worker.then(|| ClientShared::of_worker(&config)).transpose()?;
        let (commands, inbox) = unbounded_channel();
        Ok(Arc::new(Self {
            serial: next_serial(),
            node,
            incarnation: AtomicU64::new(incarnation.0),
            origin: Arc::new(Origin { caller: label.clone(), cluster: config.cluster.to_string() }),
            max_hops: config.max_hops,
            snapshot: ArcSwap::new(empty_snapshot(me, config.cluster.clone(), &label)),
            graph_door: GraphDoor::new(inbound.clone()),
            stats_door: StatsDoor::new(commands.clone()),
            results: Arc::default(),
            worker_door: WorkerDoor::new(inbound.clone()),
            inbound,
            workload,
            retry_budget: Arc::new(RetryBudget::new(RetryConfig::default())),
            functions: Functions::default(),
            address: Mutex::default(),
            parent,
            phase: Mutex::new(Phase::New),
            fatal: Mutex::default(),
            commands,
            inbox: Mutex::new(Some(inbox)),
            label,
            instance,
            signer,
            config,
        }))
    }

    /// Which start of the node this is.
    pub(crate) fn incarnation(&self) -> Incarnation {
        Incarnation(self.incarnation.load(Ordering::Relaxed))
    }

    /// Which start of which node.
    pub(crate) fn process(&self) -> Process {
        Process { node: self.node, incarnation: self.incarnation() }
    }

    /// Keeps which start it is, where a next one can read it.
    pub(crate) fn keep_incarnation(&self) -> Result<(), NodeError> {
        let directory = self.config.settings.data_dir.as_deref();
        directory.map_or(Ok(()), |directory| incarnation_file::keep(directory, self.incarnation()))
    }

    /// It is another start from now on.
    pub(crate) fn begin_anew(&self, incarnation: Incarnation) -> Result<(), NodeError> {
        self.incarnation.store(incarnation.0, Ordering::Relaxed);
        self.keep_incarnation()
    }

    /// Hands a command to the driver; false if the driver has ended.
    pub(crate) fn command(&self, command: Command) -> bool {
        self.commands.send(command).is_ok()
    }

    /// The same for commands that report their end: without a driver they end at once.
    pub(crate) fn command_or(&self, command: Command) {
        if let Err(refused) = self.commands.send(command) {
            match refused.0 {
                Command::Stop(_, end) => end(Ok(crate::client::nil())),
                Command::Ended(end) => {
                    end(self.fatal.lock().clone().map_or_else(|| Ok(crate::client::nil()), Err));
                }
                _ => {}
            }
        }
    }

    /// The driver's end of the commands; `None` if it was started before.
    pub(crate) fn take_inbox(&self) -> Option<UnboundedReceiver<Command>> {
        self.inbox.lock().take()
    }

    pub(crate) fn look(&self, verb: &str, body: Bytes, timeout: Duration, end: End) {
        let command = Command::Look { verb: verb.to_owned(), body, timeout, end };
        if let Err(refused) = self.commands.send(command)
            && let Command::Look { end, .. } = refused.0
        {
            end(Err(NodeError::connection_lost(self.closed_reason().unwrap_or_default())));
        }
    }

    /// A builtin function of a member; `None` if that start of it is not known here.
    pub(crate) fn builtin_of(
        &self,
        node: NodeId,
        incarnation: Incarnation,
        builtin: Builtin,
    ) -> Option<Arc<Candidate>> {
        let snapshot = self.snapshot.load();
        let own = node == self.node;
        let peer = if own { snapshot.own() } else { snapshot.peer(node)? };
        let peer = Some(peer).filter(|peer| own || peer.incarnation() == incarnation)?;
        let slots = match builtin {
            Builtin::Stats | Builtin::Echo => self.stats_door.slots(),
            Builtin::Graph | Builtin::Events | Builtin::Result | Builtin::Free => self.graph_door.slots(),
        };
        let local = own.then(|| LocalFunction { handle: builtin.handle(), slots });
        Some(Arc::new(Candidate::builtin(builtin, peer.clone(), local)))
    }

    /// What a step of a graph needs to hold its result here; `None` if that shall travel.
    pub(crate) fn keep(&self, step: &StepCall, now: Time, idempotent: bool) -> Option<Box<Keep>> {
        step.keep.map(|left| {
            Box::new(Keep {
                results: self.results.clone(),
                graph: step.graph,
                holder: self.node,
                incarnation: self.incarnation(),
                idempotent,
                until: now + left.min(Keep::LONGEST),
            })
        })
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.lock().clone()
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        *self.phase.lock() = phase;
    }

    /// For those who ask how it ended when it has.
    pub(crate) fn set_fatal(&self, error: Option<NodeError>) {
        *self.fatal.lock() = error;
    }

    pub(crate) fn is_starting(&self) -> bool {
        *self.phase.lock() == Phase::Starting
    }

    pub(crate) fn closed_reason(&self) -> Option<String> {
        match &*self.phase.lock() {
            Phase::New => {
                Some(format!("node {} has not started; `async with node:` or `node.serve()`", self.label))
            }
            Phase::Starting | Phase::Running => None,
            Phase::Stopped(why) => Some(why.clone()),
        }
    }

    /// What the faults of a test know it by: its id, since a name may be taken again by the next start.
    pub(crate) fn fault_label(&self) -> Arc<str> {
        self.node.to_string().into()
    }

    pub(crate) fn label_of(&self, node: NodeId) -> String {
        if node == self.node {
            return self.label.clone();
        }
        self.snapshot.load().label(node).map_or_else(|| node.short(), ToString::to_string)
    }
}
