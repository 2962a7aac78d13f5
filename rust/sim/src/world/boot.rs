//! Processes begin, offer functions, and end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mpreg_engine::{Addresses, Engine, FunctionEntry, Input, Local, Loss};
use mpreg_routing::{Index, LocalFunction, Own, Snapshot};
use mpreg_rpc::{
    CallTable, Caller, RetryBudget, RetryConfig, Runs, Switch, SwitchConfig, TableConfig, Workload,
    WorkloadConfig,
};
use mpreg_types::{
    ClusterId, ContractHash, ForeignText, FunctionName, FunctionVersion, Incarnation, LeaveReason, NodeName,
    ResourceSet,
};
use mpreg_wire::TargetCache;

use super::World;
use crate::graphs::{DESK_BRIDGE, Graphs};
use crate::item::{Item, Spot};
use crate::process::Process;

/// The call table of a process's own callers.
pub(crate) const BRIDGE: u16 = 1;

/// A function that a node offers.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Its name.
    pub name: String,
    /// It may be executed more than once.
    pub idempotent: bool,
    /// It answers with a stream.
    pub streaming: bool,
    /// Bytes of documentation, to make entries as large as real ones.
    pub doc_bytes: usize,
}

impl Offer {
    /// A plain function.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), idempotent: false, streaming: false, doc_bytes: 0 }
    }

    /// One that may be executed more than once.
    pub fn idempotent(name: &str) -> Self {
        Self { idempotent: true, ..Self::new(name) }
    }

    /// One that answers with a stream, and may be executed more than once.
    pub fn streaming(name: &str) -> Self {
        Self { streaming: true, ..Self::idempotent(name) }
    }
}

impl World {
    /// A process begins at `place` (one incarnation higher than the last) and looks for its seeds. A client connects to
    /// a node instead.
    pub fn start(&mut self, place: usize, seeds: &[usize]) {
        assert!(self.places[place].process.is_none(), "one process per place");
        let (is_client, now_ms) = (self.places[place].is_client, self.now.as_micros() / 1000);
        let former = self.places[place].incarnation;
        let incarnation = Incarnation::next(1_700_000_000_000 + now_ms, Some(former), None);
        self.places[place].incarnation = incarnation;
        self.places[place].starts += 1;
        let start = self.places[place].starts;
        let process = self.process(place, start, incarnation);
        self.places[place].process = Some(process);
        let spot = Spot { place, start };
        if is_client {
            self.after(Duration::ZERO, Item::ClientDials(spot));
            return;
        }
        let seeds =
            seeds.iter().filter_map(|seed| Addresses::new(vec![self.places[*seed].address.clone()]).ok());
        let input = Input::Start { seeds: seeds.collect() };
        assert!(self.feed(place, input).is_ok(), "a fresh engine starts");
        self.remember_own(place);
    }

    fn process(&mut self, place: usize, start: u64, incarnation: Incarnation) -> Process {
        let workload =
            Workload::new(WorkloadConfig { concurrency: 64, waiting: 64, ..WorkloadConfig::default() });
        let id = self.places[place].id;
        let is_client = self.places[place].is_client;
        let engine = if is_client { None } else { self.engine_for(place, incarnation) };
        let snapshot = engine
            .as_ref()
            .map_or_else(|| empty_snapshot(id, incarnation), |engine| Arc::clone(engine.snapshot()));
        let budget = Arc::new(RetryBudget::new(RetryConfig { percent: 100, ..RetryConfig::default() }));
        let caller = Caller { origin: id, incarnation, bridge: BRIDGE };
        let (table_seed, switch_seed) = (self.random(u64::MAX), self.random(u64::MAX));
        let config = TableConfig { calls_max: 4_096, ..TableConfig::default() };
        let graphs = (!is_client).then(|| {
            let caller = Caller { bridge: DESK_BRIDGE, ..caller };
            let seed = table_seed.rotate_left(1);
            Graphs::new(id, CallTable::new(config, caller, workload.clone(), budget.clone(), seed))
        });
        let table = CallTable::new(config, caller, workload.clone(), budget, table_seed);
        let switch = (!is_client).then(|| {
            let config = SwitchConfig { inbound_max: 4_096, ..SwitchConfig::default() };
            let mut switch = Switch::new(config, snapshot.clone(), workload.clone(), switch_seed);
            switch.set_starting(true);
            switch
        });
        Process {
            start,
            engine,
            switch,
            table: Some(table),
            graphs,
            snapshot,
            workload,
            timers: BTreeMap::new(),
            tick_at: None,
            wires: BTreeMap::new(),
            jobs: BTreeMap::new(),
            calls: BTreeMap::new(),
            reading: BTreeMap::new(),
            graph_calls: BTreeMap::new(),
            targets: TargetCache::new(),
            entry: None,
            offers: BTreeSet::new(),
            handles: 0,
            draining: false,
            parting: false,
            starting: !is_client,
        }
    }

    fn engine_for(&mut self, place: usize, incarnation: Incarnation) -> Option<Engine> {
        let mut seed = [0; 32];
        for part in seed.chunks_mut(8) {
            part.copy_from_slice(&self.random(u64::MAX).to_be_bytes());
        }
        let here = &self.places[place];
        let local = Local {
            node: here.id,
            incarnation,
            cluster: cluster(),
            name: node_name(place)?,
            instance: None,
            addresses: Addresses::new(vec![here.address.clone()]).ok()?,
            resources: ResourceSet::EMPTY,
            capacity: 0,
            certificates: Vec::new(),
            delegation: None,
        };
        let engine = Engine::new(self.config.clone(), local, here.signer.clone(), seed);
        assert!(engine.is_ok(), "{engine:?}");
        engine.ok()
    }

    /// The node at `place` offers a function. False: it does already, or does not run.
    pub fn offer(&mut self, place: usize, offer: &Offer) -> bool {
        self.last_stamp += 1;
        let Ok(name) = FunctionName::parse(&offer.name) else { return false };
        let stamp = self.last_stamp.to_string();
        let doc = format!("{stamp:x<width$}", width = offer.doc_bytes.max(stamp.len()));
        let Some(process) = self.places[place].process.as_mut() else { return false };
        process.handles += 1;
        let slots = process.workload.function_slots(Runs::OnLoop, None);
        let local = LocalFunction { handle: process.handles, slots };
        let entry = FunctionEntry {
            idempotent: offer.idempotent,
            streaming: offer.streaming,
            doc: ForeignText::new(doc),
            ..FunctionEntry::new(name.clone(), ContractHash::from_bytes([0; 32]))
        };
        let done = self.feed(place, Input::Register { entry, local }).is_ok();
        if let (true, Some(process)) = (done, self.places[place].process.as_mut()) {
            process.offers.insert(name);
            self.remember_own(place);
        }
        done
    }

    /// The node at `place` offers it no longer. False: it did not.
    pub fn withdraw(&mut self, place: usize, name: &str) -> bool {
        let Ok(name) = FunctionName::parse(name) else { return false };
        let Some(process) = self.places[place].process.as_mut() else { return false };
        if !process.offers.remove(&name) {
            return false;
        }
        let done = self.feed(place, Input::Remove { name, version: FunctionVersion::ONE }).is_ok();
        self.remember_own(place);
        done
    }

    /// The node takes no new calls for its functions.
    pub fn drain(&mut self, place: usize) {
        if let Some(process) = &mut self.places[place].process {
            process.draining = true;
        }
        self.with_switch(place, |switch, _| switch.drain());
        let _ = self.feed(place, Input::Drain);
        self.remember_own(place);
    }

    /// The node says goodbye and ends, as one does whose drain has no time: it leaves what it took.
    pub fn leave(&mut self, place: usize, reason: LeaveReason) {
        if self.places[place].process.is_none() {
            return;
        }
        self.drain(place);
        self.part_with_all(place);
        let _ = self.feed(place, Input::Leave { reason });
        self.end_process(place, Loss::Orderly);
    }

    pub(crate) fn remember_own(&mut self, place: usize) {
        let Some(engine) = self.places[place].process.as_ref().and_then(|process| process.engine.as_ref())
        else {
            return;
        };
        self.history.remember(engine);
    }
}

/// The cluster of all nodes.
fn cluster() -> ClusterId {
    match ClusterId::parse("sim") {
        Ok(cluster) => cluster,
        Err(error) => unreachable!("the name is well-formed: {error}"),
    }
}

pub(crate) fn node_name(place: usize) -> Option<NodeName> {
    NodeName::parse(&format!("node-{place}")).ok()
}

/// What a client chooses on: nothing.
fn empty_snapshot(node: mpreg_types::NodeId, incarnation: Incarnation) -> Arc<Snapshot> {
    Index::new(Own { node, incarnation, cluster: cluster(), label: "client".into() }).publish()
}
