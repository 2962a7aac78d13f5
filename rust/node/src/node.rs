//! A node: a member of a cluster that offers functions and calls others'.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use mpreg_rpc::Runs;
use mpreg_transport::{Address, Network};
use mpreg_types::{ForeignText, FunctionName, FunctionVersion, Instance, LeaveReason, Load};

use crate::caller::{Caller, End};
use crate::client::nil;
use crate::command::Command;
use crate::config::NodeConfig;
use crate::dispatch::Dispatcher;
use crate::driver;
use crate::error::NodeError;
use crate::functions::{FunctionSpec, LocalEntry};
use crate::node_shared::{NodeShared, Phase};
use crate::runtime::Runtime;
use crate::worker;

/// How long registering waits for the engine to have published.
const REGISTER_MAX: Duration = Duration::from_secs(5);

/// See the module. Cheap to clone; all clones are the same node.
#[derive(Debug, Clone)]
pub struct Node {
    shared: Arc<NodeShared>,
    listen: Address,
    seeds: Vec<Address>,
    next_handle: Arc<AtomicU64>,
    network: Network,
}

impl Node {
    /// Parses the addresses and draws a key; nothing listens or dials yet.
    pub fn new(config: NodeConfig) -> Result<Self, NodeError> {
        Self::within(config, Network::new())
    }

    /// The same within a network of the test kit.
    pub fn within(config: NodeConfig, network: Network) -> Result<Self, NodeError> {
        let parse =
            |text: &String| Address::parse(text).map_err(|error| NodeError::config(error.to_string()));
        let listen = parse(&config.listen)?;
        let seeds = config.seeds.iter().map(parse).collect::<Result<_, _>>()?;
        // What is told to others must be an address for them.
        config.links.iter().chain(&config.settings.advertise).try_for_each(|told| parse(told).map(drop))?;
        Ok(Self {
            shared: NodeShared::new(config)?,
            listen,
            seeds,
            next_handle: Arc::new(AtomicU64::new(1)),
            network,
        })
    }

    /// What calls go through.
    pub fn caller(&self) -> Caller {
        match &self.shared.parent {
            Some(parent) => Caller::Client(parent.clone()),
            None => Caller::Node(self.shared.clone()),
        }
    }

    /// `name/instance`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.shared.config.name, self.shared.instance)
    }

    /// The part of its id after "/".
    pub fn instance(&self) -> &Instance {
        &self.shared.instance
    }

    /// Where it listens, with the real port; empty before it has started.
    pub fn address(&self) -> String {
        self.shared.address.lock().clone()
    }

    /// Largest value it sends or takes.
    pub fn max_value_bytes(&self) -> usize {
        usize::try_from(self.shared.config.settings.max_value_bytes).unwrap_or(usize::MAX)
    }

    /// Offers a function; callable from this node when it returns. Before `start` it waits for that.
    pub fn register(
        &self,
        spec: FunctionSpec,
        dispatcher: Arc<dyn Dispatcher>,
        handler: Arc<dyn Any + Send + Sync>,
    ) -> Result<(), NodeError> {
        if spec.name.is_reserved() {
            return Err(NodeError::config(format!(
                "{}: names under \"mpreg.\" are the mesh's own",
                spec.name
            )));
        }
        let runs = if spec.threaded { Runs::InThread } else { Runs::OnLoop };
        let slots = self.shared.workload.function_slots(runs, spec.concurrency);
        let handle = self.next_handle.fetch_add(1, Ordering::Relaxed);
        let entry = Arc::new(LocalEntry { handler, dispatcher, slots, spec });
        if !self.shared.functions.insert(handle, &entry) {
            let FunctionSpec { name, version, .. } = &entry.spec;
            return Err(NodeError::config(format!("{name} {version} is registered on this node already")));
        }
        if self.shared.phase() == Phase::New {
            return Ok(());
        }
        let (done, published) = mpsc::channel();
        self.shared.command(Command::Register { handle, done });
        match published.recv_timeout(REGISTER_MAX) {
            Ok(outcome) => outcome.inspect_err(|_| self.shared.functions.remove(handle)),
            // The node has stopped meanwhile: it offers nothing any more.
            Err(_) => Ok(()),
        }
    }

    /// Offers it no longer; running calls finish.
    pub fn remove(&self, name: &FunctionName, version: &FunctionVersion) -> Result<(), NodeError> {
        let Some(handle) = self.shared.functions.handle_of(name, version) else {
            return Err(NodeError::config(format!("{name} {version} is not registered on this node")));
        };
        if self.shared.phase() == Phase::New {
            self.shared.functions.remove(handle);
        } else {
            let (done, removed) = mpsc::channel();
            self.shared.command(Command::Remove { handle, done });
            let _ = removed.recv_timeout(REGISTER_MAX);
        }
        Ok(())
    }

    /// Listens, announces, joins. Ends when joined, at once without seeds, or alone after three seconds.
    pub fn start(&self, end: End) {
        let runtime = match Runtime::current() {
            Ok(runtime) => runtime,
            Err(error) => return end(Err(error)),
        };
        let Some(inbox) = self.shared.take_inbox() else {
            return end(Err(NodeError::config("this node was started before")));
        };
        self.shared.set_phase(Phase::Starting);
        if self.shared.parent.is_some() {
            let (shared, network, own) = (self.shared.clone(), self.network.clone(), runtime.clone());
            return runtime.on_control(move || {
                tokio::task::spawn_local(worker::run(shared, own, network, inbox, end));
            });
        }
        let start = driver::Start {
            shared: self.shared.clone(),
            listen: self.listen.clone(),
            seeds: self.seeds.clone(),
            network: self.network.clone(),
            runtime: runtime.clone(),
        };
        runtime.on_control(move || {
            tokio::task::spawn_local(driver::run(start, inbox, end));
        });
    }

    /// True while functions of it run or wait.
    pub fn has_work(&self) -> bool {
        let Load { in_flight, queued } = self.shared.workload.load();
        in_flight > 0 || queued > 0
    }

    /// Its Python code stands still, and the others shall see it so; `None`: it gets on.
    pub fn set_busy(&self, stack: Option<ForeignText>) {
        self.shared.command(Command::Busy(stack));
    }

    /// Drains, says GOODBYE, closes. Twice changes nothing.
    pub fn stop(&self, reason: LeaveReason, end: End) {
        if self.shared.phase() == Phase::New {
            self.shared
                .set_phase(Phase::Stopped(format!("node {} was stopped before it started", self.id())));
            return end(Ok(nil()));
        }
        self.shared.command_or(Command::Stop(reason, end));
    }

    /// Ends when the node has stopped; an error if something other than `stop` ended it.
    pub fn ended(&self, end: End) {
        self.shared.command_or(Command::Ended(end));
    }

    /// Equal on two nodes that see the same members and the same catalog; empty while it is not running, and until its calls
    /// go by what it sees.
    pub fn fingerprint(&self) -> String {
        let (tell, told) = mpsc::channel();
        self.shared.command(Command::Fingerprint(tell));
        told.recv_timeout(Duration::from_secs(1)).unwrap_or_default()
    }

    /// True while calls from this node to `other` need no dial.
    pub fn is_connected_to(&self, other: &Self) -> bool {
        let snapshot = self.shared.snapshot.load();
        snapshot.peer(other.shared.node).is_some_and(|peer| peer.connection().is_some())
    }

    /// Vanishes as by `kill -9`: connections break without a word.
    pub fn kill(&self) {
        self.shared.command(Command::Kill);
    }

    /// Stands still as by SIGSTOP, or goes on. Needs a network with faults.
    pub fn pause(&self, paused: bool) {
        if let Some(faults) = self.network.faults() {
            if paused {
                faults.pause(&self.shared.fault_label());
            } else {
                faults.resume(&self.shared.fault_label());
            }
        }
    }

    /// Loses everything between the two nodes, or heals it. Needs a network with faults.
    pub fn block(&self, other: &Self, blocked: bool) {
        if let Some(faults) = self.network.faults() {
            let (a, b) = (&self.shared.fault_label(), &other.shared.fault_label());
            if blocked { faults.cut(a, b) } else { faults.heal(a, b) }
        }
    }

    /// What this node sends to `other` arrives that much later. Needs a network with faults.
    pub fn slow(&self, other: &Self, delay: Duration) {
        if let Some(faults) = self.network.faults() {
            faults.delay(&self.shared.fault_label(), &other.shared.fault_label(), delay);
        }
    }
}
