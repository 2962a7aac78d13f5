use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mpreg_types::{
    ClusterId, ConnectionId, ContractHash, FunctionId, FunctionName, FunctionVersion, Incarnation, Load,
    NodeId, ResourceSet, Selector, Time, VersionConstraint, Wanted,
};

use crate::{
    Choice, Context, Identity, Index, LocalFunction, NodeProfile, Offer, Own, PeerState, Slots, Snapshot,
};

pub(super) const FIRST: Incarnation = Incarnation(1);
pub(super) const NOW: Time = Time::from_millis(60_000);
pub(super) const OWN: u8 = 0;

/// A node with its index; other nodes are numbers. All are connected at once.
pub(super) struct World {
    pub(super) index: Index,
}

pub(super) fn node(number: u8) -> NodeId {
    NodeId::from_bytes([number; 16])
}

pub(super) fn name(text: &str) -> FunctionName {
    FunctionName::parse(text).unwrap()
}

pub(super) fn version(text: &str) -> FunctionVersion {
    FunctionVersion::parse(text).unwrap()
}

pub(super) fn resources(texts: &[&str]) -> ResourceSet {
    ResourceSet::parse(texts.iter().copied()).unwrap()
}

pub(super) fn contract(number: u8) -> ContractHash {
    ContractHash::from_bytes([number; 32])
}

pub(super) fn offer(text: &str) -> Offer {
    Offer::new(name(text), contract(0))
}

pub(super) fn asking(text: &str) -> Selector {
    Selector::new(Wanted::Name(name(text)))
}

pub(super) fn asking_id(text: &str) -> Selector {
    Selector::new(Wanted::Id(FunctionId::parse(text).unwrap()))
}

pub(super) fn constrained(text: &str, constraint: &str) -> Selector {
    Selector { version: VersionConstraint::parse(constraint).unwrap(), ..asking(text) }
}

pub(super) fn own_call(random: u64) -> Context {
    Context { own_call: true, now: NOW, random }
}

pub(super) fn client_call(random: u64) -> Context {
    Context { own_call: false, ..own_call(random) }
}

pub(super) fn local(limit: Option<u32>) -> LocalFunction {
    LocalFunction { handle: 7, slots: Arc::new(Slots::new(limit, None)) }
}

impl World {
    pub(super) fn new() -> Self {
        let cluster = ClusterId::parse("eu").unwrap();
        let own = Own { node: node(OWN), incarnation: FIRST, cluster, label: "eu/own/0".into() };
        Self { index: Index::new(own) }
    }

    pub(super) fn peer(&mut self, number: u8) -> Arc<PeerState> {
        let peer = self.index.peer(node(number), FIRST).unwrap();
        if !peer.is_own() && self.index.peer(node(number), FIRST).unwrap().connection().is_none() {
            peer.set_connection(ConnectionId(u64::from(number)));
        }
        peer
    }

    /// `number` offers it and is connected.
    pub(super) fn put(&mut self, number: u8, offer: &Offer) -> Arc<PeerState> {
        let peer = self.peer(number);
        let local = peer.is_own().then(|| local(None));
        self.index.put_function(node(number), FIRST, offer, local);
        peer
    }

    pub(super) fn facts(&mut self, number: u8, resource: &[&str], draining: bool) {
        let label = format!("eu/n{number}/{number}").into();
        let profile =
            NodeProfile { label, identity: Identity::Declared, resources: resources(resource), draining };
        self.index.set_profile(node(number), FIRST, profile);
    }

    pub(super) fn snapshot(&mut self) -> Arc<Snapshot> {
        self.index.publish()
    }

    /// Who is chosen how often in `rounds` choices with different chance.
    pub(super) fn tally(&mut self, selector: &Selector, own: bool, rounds: u64) -> BTreeMap<u8, u64> {
        let snapshot = self.snapshot();
        let mut tally = BTreeMap::new();
        for random in 0..rounds {
            let choice = snapshot.select(selector, &Context { own_call: own, ..own_call(random) }).unwrap();
            *tally.entry(number(&choice)).or_default() += 1;
        }
        tally
    }

    /// The one node that is always chosen.
    pub(super) fn always(&mut self, selector: &Selector) -> u8 {
        let tally = self.tally(selector, false, 50);
        assert_eq!(tally.len(), 1, "{tally:?}");
        *tally.keys().next().unwrap()
    }
}

pub(super) fn number(choice: &Choice) -> u8 {
    choice.candidate.node().as_bytes()[0]
}

pub(super) fn busy(peer: &PeerState, calls: u32) {
    peer.report_load(Load { in_flight: calls, queued: 0 }, NOW - Duration::from_secs(1));
}
