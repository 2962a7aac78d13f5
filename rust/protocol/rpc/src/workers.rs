//! The worker processes behind one node: who of them offers which function, and who gets the next call.
//!
//! A call for a function that workers offer takes its slot here, as if it ran here, and is then sent on over the chosen
//! worker's connection like a client's call to another node. So deadlines, cancellations, start reports, credit and lost
//! connections are those of every relayed call, and the limits of the node hold for all its processes together.

use std::collections::BTreeMap;
use std::sync::Arc;

use mpreg_routing::PeerState;
use mpreg_types::{ConnectionId, ErrorBody, ErrorCode, PreparedTarget, Target};

use crate::inbound::Relay;
use crate::key::Index;
use crate::rng::Rng;
use crate::switch::Step;
use crate::workload::Running;
use crate::{Peer, Switch};

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
        if cargo
            .head
            .extras
            .as_ref()
            .and_then(|extras| extras.step.as_ref())
            .is_some_and(|step| !step.inputs.is_empty())
        {
            let text = "large results of other steps cannot be taken by a worker process yet; run this function's node \
                        without --workers, or refer to parts of less than 64 KiB";
            return self.refuse(index, ErrorBody::new(ErrorCode::Graph, text), step);
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

    /// A slot is free again: whoever waits for one gets it.
    pub(crate) fn slot_freed(&mut self, step: &mut Step<'_>) {
        if !self.no_slot.is_empty() {
            self.fill_lines(step);
        }
    }
}
