//! Connections: who is at their other end, and which one is used.

use mpreg_catalog::Input as Entries;
use mpreg_membership::{DialOutcome, Input as Members, Loss, MemberIdentity};
use mpreg_types::{ConnectionId, MemberState, NodeId, Time};

use crate::card::Card;
use crate::links::{Closed, Opened};
use crate::{CloseReason, DialId, Engine, Output, PeerNode, Timer};

impl Engine {
    pub(crate) fn connected(
        &mut self,
        peer: &PeerNode,
        connection: ConnectionId,
        dialled: bool,
        now: Time,
        out: &mut Vec<Output>,
    ) {
        let (node, incarnation) = (peer.node, peer.incarnation);
        let member = self.membership.member(node);
        let is_news = member.is_none_or(|known| {
            known.identity.incarnation != incarnation || known.state != MemberState::Alive
        });
        let known = member.map(|member| member.identity.incarnation);
        if let Some(known) = known.filter(|known| *known > incarnation) {
            return self.close_stale(connection, known, out);
        }
        let outdated = match self.links.open(node, incarnation, connection, dialled, now) {
            Opened::Stale { known } => return self.close_stale(connection, known, out),
            Opened::Another { retired } => {
                self.use_connection(peer, out);
                return out.push(Output::Retire { connection: retired });
            }
            Opened::First { outdated } => outdated,
        };
        for former in outdated {
            self.close_stale(former, incarnation, out);
        }
        let identity = MemberIdentity { node, incarnation, addresses: peer.addresses.clone() };
        self.run_membership(Members::Connected { peer: identity }, now, out);
        // Membership may have found that this node has left, or that there are too many.
        if self.links.used(node).is_none() {
            return;
        }
        if !peer.declared {
            self.certify(node, incarnation, peer.name.clone());
        }
        self.learn_card(peer, out);
        self.use_connection(peer, out);
        let compares = is_news || !self.has_view || self.membership.is_wanted(node);
        let entries =
            if compares { Entries::Connected { peer: node } } else { Entries::Attached { peer: node } };
        self.run_catalog(entries, now, out);
        self.view_is_stale = true;
        self.make_room(node, out);
        self.first_contact(now, out);
    }

    pub(crate) fn disconnected(
        &mut self,
        node: NodeId,
        connection: ConnectionId,
        loss: Loss,
        now: Time,
        out: &mut Vec<Output>,
    ) {
        // Whoever saw the end first has cleared it already; this is for those who did not.
        if let Some(state) = self.index.known_peer(node) {
            state.clear_connection(connection);
        }
        match self.links.close(node, connection) {
            Closed::Unused => {}
            Closed::Replaced { by } => {
                if let Some(state) = self.index.known_peer(node) {
                    state.set_connection(by);
                }
                self.index.touch();
            }
            Closed::Last => {
                self.run_catalog(Entries::Disconnected { peer: node }, now, out);
                self.run_membership(Members::Disconnected { peer: node, loss }, now, out);
                self.view_is_stale = true;
            }
        }
    }

    pub(crate) fn dialled(&mut self, dial: DialId, outcome: DialOutcome, now: Time, out: &mut Vec<Output>) {
        match dial {
            DialId::Membership(dial) => self.run_membership(Members::Dialled { dial, outcome }, now, out),
            DialId::Holder(holder) => self.holder_dialled(holder, outcome, now, out),
        }
    }

    /// Membership gives up the connections to a node.
    pub(crate) fn drop_peer(&mut self, node: NodeId, reason: CloseReason, now: Time, out: &mut Vec<Output>) {
        let connections = self.links.drop_peer(node);
        if connections.is_empty() {
            return;
        }
        for connection in connections {
            if let Some(state) = self.index.known_peer(node) {
                state.clear_connection(connection);
            }
            out.push(Output::Close { connection, reason });
        }
        self.run_catalog(Entries::Disconnected { peer: node }, now, out);
        self.view_is_stale = true;
    }

    /// In a small cluster the catalog pushes to all; beyond, along the connections that membership pushes to.
    pub(crate) fn review_view(&mut self, now: Time, out: &mut Vec<Output>) {
        if !std::mem::take(&mut self.view_is_stale) {
            return;
        }
        let living = 1 + self.membership.members().filter(|member| is_living(member)).count();
        let beyond = living > self.config.membership.full_mesh_max;
        let active = beyond.then(|| self.membership.push_peers().into_iter().collect());
        self.index.set_dials_on_demand(beyond);
        if beyond && !self.has_view {
            out.push(Output::SetTimer { timer: Timer::Idle, at: now + self.idle_look() });
        }
        if self.has_view || beyond {
            self.has_view = beyond;
            self.run_catalog(Entries::View { active }, now, out);
        }
    }

    fn use_connection(&mut self, peer: &PeerNode, out: &mut Vec<Output>) {
        let used = self.links.used(peer.node);
        if let (Some(state), Some(connection)) = (self.index.peer(peer.node, peer.incarnation), used) {
            state.set_connection(connection);
            self.index.touch();
        }
        self.holder_answered(peer.node, out);
    }

    /// What a frame between memberships says to the layers above.
    pub(crate) fn notice(&mut self, from: NodeId, message: &mpreg_membership::Message, now: Time) {
        match message {
            mpreg_membership::Message::Chosen => self.view_is_stale = true,
            mpreg_membership::Message::Answer { load, .. } => {
                if let Some(peer) = self.index.known_peer(from) {
                    peer.probed_load(*load, now);
                }
            }
            _ => {}
        }
    }

    fn close_stale(
        &mut self,
        connection: ConnectionId,
        known: mpreg_types::Incarnation,
        out: &mut Vec<Output>,
    ) {
        self.counters.stale_connections += 1;
        out.push(Output::Close { connection, reason: CloseReason::OldIncarnation { known } });
    }

    /// What a handshake tells is good until the facts come.
    fn learn_card(&mut self, peer: &PeerNode, out: &mut Vec<Output>) {
        let known = self.cards.get(&peer.node).is_some_and(|card| card.incarnation == peer.incarnation);
        if !known {
            let PeerNode { node, incarnation, name, instance, declared, .. } = peer.clone();
            let identity = Card::identity(declared);
            self.put_card(node, Card { incarnation, name, instance, identity, busy: None }, out);
        }
    }

    /// Keeps what a node is called, and tells it once for each start.
    pub(crate) fn put_card(&mut self, node: NodeId, card: Card, out: &mut Vec<Output>) {
        let incarnation = card.incarnation;
        let former = self.cards.insert(node, card);
        if former.is_none_or(|former| former.incarnation != incarnation) {
            self.introduce(node, out);
        }
    }
}

pub(crate) fn is_living(member: &mpreg_membership::Member) -> bool {
    use mpreg_types::MemberState::{Alive, Suspect};
    matches!(member.state, Alive | Suspect)
}
