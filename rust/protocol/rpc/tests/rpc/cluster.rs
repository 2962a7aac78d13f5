//! A cluster as one of its nodes sees it.

use std::sync::Arc;
use std::time::Duration;

use mpreg_routing::{Index, LocalFunction, Offer, Own, PeerState, Slots, Snapshot};
use mpreg_types::{
    ClusterId, ConnectionId, ContractHash, FunctionId, FunctionName, FunctionVersion, Incarnation, NodeId,
    PreparedTarget, Selector, Target, Wanted,
};

pub(crate) const INCARNATION: Incarnation = Incarnation(7);

pub(crate) fn node(number: u8) -> NodeId {
    NodeId::from_bytes([number; 16])
}

pub(crate) fn name(text: &str) -> FunctionName {
    FunctionName::parse(text).unwrap()
}

pub(crate) fn offer(text: &str) -> Offer {
    Offer::new(name(text), ContractHash::from_bytes([0; 32]))
}

pub(crate) fn idempotent(text: &str) -> Offer {
    Offer { idempotent: true, ..offer(text) }
}

pub(crate) fn select(text: &str) -> Selector {
    Selector { wait: Duration::from_millis(500), ..Selector::new(Wanted::Name(name(text))) }
}

pub(crate) fn target(text: &str) -> Arc<PreparedTarget> {
    Arc::new(PreparedTarget::new(Target::Select(select(text))))
}

pub(crate) fn direct(to: NodeId, text: &str) -> Arc<PreparedTarget> {
    Arc::new(PreparedTarget::new(Target::Direct {
        node: to,
        incarnation: INCARNATION,
        function: FunctionId::from(&name(text)),
        version: FunctionVersion::ONE,
    }))
}

pub(crate) struct Cluster {
    pub(crate) index: Index,
    me: NodeId,
    handles: u64,
}

impl Cluster {
    pub(crate) fn seen_by(me: NodeId) -> Self {
        let own = Own {
            node: me,
            incarnation: INCARNATION,
            cluster: ClusterId::parse("eu").unwrap(),
            label: "eu/me/1".into(),
        };
        Self { index: Index::new(own), me, handles: 0 }
    }

    /// A peer with a connection.
    pub(crate) fn peer(&mut self, node: NodeId, connection: u64) -> Arc<PeerState> {
        let peer = self.index.peer(node, INCARNATION).unwrap();
        peer.set_connection(ConnectionId(connection));
        self.index.touch();
        peer
    }

    pub(crate) fn offers(&mut self, node: NodeId, offer: &Offer) {
        self.index.put_function(node, INCARNATION, offer, None);
    }

    /// A function of the own node; its number.
    pub(crate) fn own(&mut self, offer: &Offer, slots: &Arc<Slots>) -> u64 {
        self.handles += 1;
        let local = LocalFunction { handle: self.handles, slots: slots.clone() };
        self.index.put_function(self.me, INCARNATION, offer, Some(local));
        self.handles
    }

    pub(crate) fn publish(&mut self) -> Arc<Snapshot> {
        self.index.publish()
    }
}
