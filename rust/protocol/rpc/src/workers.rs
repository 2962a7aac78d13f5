//! The worker processes behind one node: who of them offers which function, and who gets the next call.
//!
//! A call for a function that workers offer takes its slot here, as if it ran here, and is then sent on over the chosen
//! worker's connection like a client's call to another node. So deadlines, cancellations, start reports, credit and lost
//! connections are those of every relayed call, and the limits of the node hold for all its processes together.

use std::collections::BTreeMap;
use std::sync::Arc;

use mpreg_routing::PeerState;
use mpreg_types::{
    CallHead, ConnectionId, ErrorBody, ErrorCode, Payload, PreparedTarget, StreamId, Target, Time,
};

use crate::inbound::{Cargo, Relay};
use crate::key::Index;
use crate::peer_link::PeerLink;
use crate::rng::Rng;
use crate::switch::Step;
use crate::workload::Running;
use crate::{Output, Peer, Switch};

/// The workers of a node.
#[derive(Debug, Default)]
pub(crate) struct Workers {
    /// By the driver's number of the function.
    functions: BTreeMap<u64, Offered>,
    peers: BTreeMap<ConnectionId, Worker>,
}

#[derive(Debug)]
struct Worker {
    /// Its place among the workers of its node: the one that takes over for it has the same.
    number: u32,
    /// What counts its calls.
    peer: Arc<PeerState>,
}

#[derive(Debug, Default)]
struct Offered {
    idempotent: bool,
    by: BTreeMap<ConnectionId, Arc<PreparedTarget>>,
}

/// A function that a worker offers.
#[derive(Debug)]
pub struct WorkerOffer {
    /// The worker's place among those of its node; the one that takes over for it has the same.
    pub number: u32,
    /// The driver's number for the function.
    pub function: u64,
    /// True: calling it twice is as good as once.
    pub idempotent: bool,
    /// Names it at the worker.
    pub target: Arc<PreparedTarget>,
}

/// The connection that calls of this process itself seem to come over. No other has that number.
pub const OWN_CALLS: ConnectionId = ConnectionId(0);

/// A call of this process for a function that its workers run.
#[derive(Debug)]
pub struct OwnCall {
    /// The driver's number of the function.
    pub function: u64,
    /// Metadata.
    pub head: CallHead,
    /// The arguments.
    pub value: Payload,
    /// When the caller stops waiting.
    pub deadline: Time,
    /// The function's slot.
    pub running: Running,
}

/// Who gets a call.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) to: ConnectionId,
    pub(crate) peer: Arc<PeerState>,
    pub(crate) target: Arc<PreparedTarget>,
    pub(crate) idempotent: bool,
}

impl Workers {
    fn offer(&mut self, on: ConnectionId, own: &PeerState, offer: WorkerOffer) {
        let WorkerOffer { number, function, idempotent, target } = offer;
        let worker = || Worker { number, peer: Arc::new(PeerState::of_worker(own)) };
        self.peers.entry(on).or_insert_with(worker);
        let offered = self.functions.entry(function).or_default();
        offered.idempotent = idempotent;
        offered.by.insert(on, target);
    }

    fn withdraw(&mut self, function: u64, on: ConnectionId) {
        let Some(offered) = self.functions.get_mut(&function) else { return };
        offered.by.remove(&on);
        if offered.by.is_empty() {
            self.functions.remove(&function);
        }
    }

    /// Its connection is gone.
    pub(crate) fn lost(&mut self, on: ConnectionId) {
        if self.peers.remove(&on).is_some() {
            self.functions.retain(|_, offered| {
                offered.by.remove(&on);
                !offered.by.is_empty()
            });
        }
    }

    pub(crate) fn offers(&self, function: u64) -> bool {
        self.functions.contains_key(&function)
    }

    /// The worker with the fewest running calls, or for calls with one `sticky=` always the same one.
    pub(crate) fn choose(&self, function: u64, sticky: Option<u64>, random: u64) -> Option<Chosen> {
        let offered = self.functions.get(&function)?;
        let all = offered.by.iter().filter_map(|(on, target)| Some((*on, target, self.peers.get(on)?)));
        let best = match sticky {
            // Rendezvous: when a worker comes or goes, only its own share moves.
            Some(value) => all.max_by_key(|(_, _, worker)| weight(worker.number, value)),
            // Ties are broken by chance, or the first would get every call of those who call one after another.
            None => all.min_by_key(|(_, _, worker)| (worker.peer.in_flight(), weight(worker.number, random))),
        };
        best.map(|(to, target, worker)| Chosen {
            to,
            peer: worker.peer.clone(),
            target: target.clone(),
            idempotent: offered.idempotent,
        })
    }
}

fn weight(number: u32, value: u64) -> u64 {
    Rng::new(value ^ Rng::new(u64::from(number)).next()).next()
}

impl Switch {
    /// The worker at the other end of `on` offers a function. One that is gone meanwhile offers nothing.
    pub fn worker_offers(&mut self, on: ConnectionId, offer: WorkerOffer) {
        if self.peers.contains_key(&on) {
            self.workers.offer(on, self.snapshot.own(), offer);
        }
    }

    /// It offers the function of that number no longer: it gets no new call of it.
    pub fn worker_withdraws(&mut self, on: ConnectionId, function: u64) {
        self.workers.withdraw(function, on);
    }

    /// Sends a call that has its slot to a worker.
    pub(crate) fn hand_to_worker(
        &mut self,
        index: Index,
        function: u64,
        running: Running,
        step: &mut Step<'_>,
    ) {
        let random = self.rng.next();
        let Some(call) = self.calls.get_mut(index) else { return };
        let Some(cargo) = call.cargo.as_mut() else { return };
        let wanted = cargo.head.target.clone();
        let asked = match &wanted.target {
            Target::Select(selector) => selector.sticky,
            Target::Direct { .. } | Target::Here { .. } => None,
        };
        // The graph is the parent's: it has gathered the inputs, and holds what is large of the result.
        if let Some(said) = cargo.head.extras.as_mut().and_then(|extras| extras.step.as_mut()) {
            if said.keep.is_some() {
                call.step = Some(said.clone());
            }
            (said.keep, said.inputs) = (None, Vec::new());
        }
        let sticky = asked.or_else(|| cargo.head.extras.as_ref()?.sticky);
        let Some(chosen) = self.workers.choose(function, sticky, random) else {
            let text = "the last worker process that offered the function is gone; call again";
            return self.refuse(index, ErrorBody::new(ErrorCode::FunctionNotFound, text), step);
        };
        // To the worker everything comes from its parent, so the call itself names who made it.
        if let Some(Peer::Member(node)) = self.peers.get(&call.from).map(|link| &link.peer)
            && let Some((_, name)) = self.snapshot.label(*node).and_then(|label| label.split_once('/'))
        {
            cargo.head.extras.get_or_insert_default().client.get_or_insert_with(|| name.to_owned());
        }
        self.aim_at(index, &chosen.target);
        let relay = Relay::to_worker(chosen, wanted, running);
        self.forward(index, relay, step);
    }

    /// A call of this process itself for a function that workers run. It has its slot, and came over no connection: what is
    /// answered goes to [`OWN_CALLS`], on `stream`.
    pub fn own_call(&mut self, stream: StreamId, call: OwnCall, now: Time, out: &mut Vec<Output>) {
        let OwnCall { function, mut head, value, deadline, running } = call;
        let step = &mut Step { now, out };
        // With all its inputs it is longer than it was.
        head.value_bytes = value.len() as u64;
        self.peers.entry(OWN_CALLS).or_insert_with(|| PeerLink::new(Peer::Member(self.me)));
        let Some(index) = self.take_in(OWN_CALLS, stream, deadline, Cargo { head, value }, step) else {
            return;
        };
        self.hand_to_worker(index, function, running, step);
    }

    /// A slot is free again: whoever waits for one gets it.
    pub(crate) fn slot_freed(&mut self, step: &mut Step<'_>) {
        if !self.no_slot.is_empty() {
            self.fill_lines(step);
        }
    }
}
