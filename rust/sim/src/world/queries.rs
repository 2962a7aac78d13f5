//! What oracles and scenarios ask.

use mpreg_engine::Engine;
use mpreg_types::{MemberState, NodeId};

use super::World;
use crate::place::Traffic;

impl World {
    /// Places of running nodes.
    pub fn running(&self) -> Vec<usize> {
        self.running_with_clients().into_iter().filter(|place| !self.places[*place].is_client).collect()
    }

    /// Places of running processes.
    pub fn running_with_clients(&self) -> Vec<usize> {
        (0..self.places.len()).filter(|place| self.places[*place].process.is_some()).collect()
    }

    /// Places for nodes, running or not.
    pub fn node_places(&self) -> Vec<usize> {
        (0..self.places.len()).filter(|place| !self.places[*place].is_client).collect()
    }

    /// The engine at a place, if a node runs there.
    pub fn engine(&self, place: usize) -> Option<&Engine> {
        self.places[place].process.as_ref()?.engine.as_ref()
    }

    pub(crate) fn engine_mut(&mut self, place: usize) -> Option<&mut Engine> {
        self.places[place].process.as_mut()?.engine.as_mut()
    }

    /// True if the process at a place handled nothing for a while, so that it was late itself.
    pub(crate) fn was_paused(&self, place: usize) -> bool {
        self.places[place].was_paused
    }

    /// Which start of a process runs at a place.
    pub fn start_of(&self, place: usize) -> Option<u64> {
        self.places[place].process.as_ref().map(|process| process.start)
    }

    /// True if a node runs at a place and takes no new calls.
    pub fn is_draining(&self, place: usize) -> bool {
        self.places[place].process.as_ref().is_some_and(|process| process.draining)
    }

    /// The node at a place.
    pub fn id(&self, place: usize) -> NodeId {
        self.places[place].id
    }

    /// `subject` as `observer` sees it.
    pub fn state(&self, observer: usize, subject: usize) -> Option<MemberState> {
        let subject = self.places[subject].id;
        self.engine(observer)?.membership().member(subject).map(|member| member.state)
    }

    /// Control frames that a place has sent so far.
    pub fn traffic(&self, place: usize) -> Traffic {
        self.places[place].sent
    }

    /// Of all places.
    pub fn traffic_of_all(&self) -> Traffic {
        self.places.iter().fold(Traffic::default(), |sum, place| sum + place.sent)
    }

    /// Connections that stand.
    pub fn connections(&self) -> usize {
        self.wires.values().filter(|wire| wire.ways.iter().all(|way| way.open)).count()
    }

    /// Bytes of graphs' results that a node holds, and fetches that it refused.
    pub(crate) fn held_at(&self, place: usize) -> (u64, u64) {
        let graphs = self.places[place].process.as_ref().and_then(|process| process.graphs.as_ref());
        graphs.map_or((0, 0), |graphs| (graphs.store.bytes(), graphs.store.refused()))
    }

    /// True if nothing is left of any call: no slot, no job but those that hang.
    pub(crate) fn leftovers(&self) -> Option<String> {
        self.running_with_clients().into_iter().find_map(|place| {
            let process = self.places[place].process.as_ref()?;
            let hanging = process.jobs.len();
            let table = process.table.as_ref().map_or(0, mpreg_rpc::CallTable::len);
            let switch = process.switch.as_ref().map_or(0, mpreg_rpc::Switch::len);
            let graphs = process.graphs.as_ref();
            let desk = graphs.and_then(|graphs| graphs.table.as_ref()).map_or(0, mpreg_rpc::CallTable::len);
            let idle = graphs.and_then(|graphs| graphs.machine.as_ref()).is_none_or(mpreg_graph::Desk::is_idle);
            (table + desk + switch > hanging || !idle).then(|| {
                format!(
                    "place {place} holds {table} own, {desk} steps' and {switch} foreign calls with {hanging} jobs left, \
                     and its desk is idle: {idle}"
                )
            })
        })
    }
}
