//! The peers: who is connected, who should be, and what a lost or refused connection says about a process.

use std::time::Duration;

use mpreg_types::{Defect, MemberState, NodeId};

use crate::dialer::Verdict;
use crate::membership::Membership;
use crate::rumours::Origin;
use crate::{
    Addresses, DialId, DialOutcome, DropReason, Loss, MemberIdentity, Message, Output, Row, RowState,
};

impl Membership {
    /// A handshake is done: first-hand news of a start of a node, and the moment to compare tables.
    pub(crate) fn connected(&mut self, peer: MemberIdentity, out: &mut Vec<Output>) {
        let (node, incarnation) = (peer.node, peer.incarnation);
        if node == self.own_id.node {
            self.counters.malformed += 1;
            return;
        }
        let known = self.table.get(node).map(|entry| (entry.member.identity.incarnation, entry.member.state));
        let refused = match known {
            Some((known, _)) if known > peer.incarnation => Some(DropReason::OldIncarnation { known }),
            Some((known, MemberState::Left)) if known == peer.incarnation => Some(DropReason::Left),
            None if self.table.entries.len() >= self.config.members_max => Some(DropReason::TooManyMembers),
            _ => None,
        };
        if let Some(reason) = refused {
            match reason {
                DropReason::TooManyMembers => self.counters.members_overflow += 1,
                _ => self.counters.old_incarnation += 1,
            }
            self.peers.remove(&node);
            out.push(Output::Drop { peer: node, reason });
            return;
        }
        self.peers.insert(node);
        self.connections_changed = true;
        self.dialer.forget(node, true);
        if known.is_none_or(|(known, _)| known < peer.incarnation) {
            let MemberIdentity { node, incarnation, addresses } = peer;
            let state = RowState::Alive;
            let row = Row { node, incarnation, generation: 0, refutation: 0, state, addresses };
            self.learn(vec![row], Origin::Own, out);
        } else if let Some(entry) = self.table.get_mut(node) {
            entry.member.identity.addresses = peer.addresses;
        }
        // A connection for a probe or a call to somebody well known is no occasion to compare tables.
        let news = !matches!(known, Some((known, MemberState::Alive)) if known == incarnation);
        let compares =
            if self.view.is_full_mesh() { self.own_id.node < node } else { news || self.view.wants(node) };
        self.greet(node, compares, out);
    }

    fn greet(&mut self, node: NodeId, compares: bool, out: &mut Vec<Output>) {
        let now = self.now;
        if let Some(entry) = self.table.get_mut(node) {
            entry.heard = now;
            entry.told = None;
        }
        // The handshake does not know generations: without this row our probes could come from nobody.
        out.push(Output::Send { to: node, message: Message::News(vec![self.own_row()]) });
        match self.table.state(node) {
            Some(MemberState::Down) => self.tell_it_is_down(node, out),
            Some(MemberState::Suspect) => self.ask(node, out),
            _ => {}
        }
        if compares {
            self.send_compare(node, out);
        }
        for message in self.pending.remove(&node).into_iter().flatten() {
            out.push(Output::Send { to: node, message });
        }
    }

    /// A lost connection says nothing by itself; an abrupt loss makes the next dial decide.
    pub(crate) fn disconnected(&mut self, peer: NodeId, loss: Loss) {
        if !self.peers.remove(&peer) {
            return;
        }
        self.forget_choice(peer);
        self.review_connections();
        if loss == Loss::Abrupt && !Defect::MembershipForgetsAbruptLosses.is_in() {
            self.dialer.hurry(peer, self.now);
            self.dialer.lost_abruptly(peer);
        }
    }

    /// The connection broke without goodbye and nothing listens any more.
    pub(crate) fn process_gone(&mut self, peer: NodeId, out: &mut Vec<Output>) {
        if !self.peers.contains(&peer) {
            self.accuse(peer, self.config.process_suspicion, Origin::Own, out);
        }
    }

    /// Another node answers at the address of `former`: proof. Should it live elsewhere all the same, it is told and
    /// returns.
    pub(crate) fn address_taken(&mut self, by: NodeId, former: NodeId, out: &mut Vec<Output>) {
        if by == former {
            self.counters.malformed += 1;
        } else {
            self.hold_for_down(former, out);
        }
    }

    /// A dial ended.
    pub(crate) fn dialled(&mut self, dial: DialId, outcome: DialOutcome, out: &mut Vec<Output>) {
        match self.dialer.ended(dial, outcome, self.now, &self.config, &mut self.rng) {
            Verdict::Nothing => {}
            Verdict::ProcessGone { node } => self.process_gone(node, out),
            Verdict::AddressTaken { by, former } => self.address_taken(by, former, out),
            Verdict::Unreachable { node, failures, on_demand } => {
                if on_demand {
                    self.drop_pending(node);
                }
                // Alive for others but not to be reached from here: in a large cluster another one will do.
                if failures >= 3 {
                    self.view.give_up(node);
                }
            }
        }
        self.connections_changed = true;
    }

    /// Closes a connection that is worth nothing.
    pub(crate) fn drop_peer(&mut self, peer: NodeId, reason: DropReason, out: &mut Vec<Output>) {
        self.drop_pending(peer);
        self.forget_choice(peer);
        if self.peers.remove(&peer) {
            self.connections_changed = true;
            out.push(Output::Drop { peer, reason });
        }
    }

    /// Sends to a peer, or keeps the message and dials.
    pub(crate) fn post(&mut self, to: NodeId, message: Message, out: &mut Vec<Output>) {
        if self.peers.contains(&to) {
            out.push(Output::Send { to, message });
            return;
        }
        let known = self.table.get(to).filter(|entry| entry.is_living());
        let Some(addresses) = known.map(|entry| entry.member.identity.addresses.clone()) else {
            self.counters.undelivered += 1;
            return;
        };
        let queue = self.pending.entry(to).or_default();
        if queue.len() >= self.config.pending_max {
            queue.pop_front();
            self.counters.undelivered += 1;
        }
        queue.push_back(message);
        self.dialer.demand(to, &addresses, self.now);
    }

    /// There is data for a living member: dials it, unless it is connected or being dialled.
    pub(crate) fn wanted(&mut self, peer: NodeId) {
        let living = self.table.get(peer).filter(|entry| entry.is_living() && !self.peers.contains(&peer));
        if let Some(entry) = living {
            self.dialer.demand(peer, &entry.member.identity.addresses, self.now);
        }
    }

    /// Messages for a member that cannot be reached or is no more.
    pub(crate) fn drop_pending(&mut self, node: NodeId) {
        let dropped = self.pending.remove(&node).map_or(0, |queue| queue.len());
        self.counters.undelivered += dropped as u64;
    }

    fn forget_choice(&mut self, peer: NodeId) {
        self.told_chosen.remove(&peer);
        self.choosers.remove(&peer);
    }

    /// Those in the active view learn of it, once per connection.
    pub(crate) fn tell_chosen(&mut self, out: &mut Vec<Output>) {
        if self.view.is_full_mesh() {
            return;
        }
        for peer in &self.peers {
            if self.view.wants(*peer) && self.told_chosen.insert(*peer) {
                out.push(Output::Send { to: *peer, message: Message::Chosen });
            }
        }
    }

    /// Decides anew whom to dial: living members that are wanted, those held for Down, never those that left.
    pub(crate) fn review_connections(&mut self) {
        self.view.update(&self.table, &self.config, &mut self.rng);
        for entry in self.table.entries.values() {
            let identity = &entry.member.identity;
            let node = identity.node;
            let dialled = match entry.member.state {
                MemberState::Left => false,
                MemberState::Down => true,
                MemberState::Alive | MemberState::Suspect => self.view.wants(node),
            };
            if self.peers.contains(&node) {
                self.dialer.forget(node, true);
            } else if dialled && !identity.addresses.is_empty() {
                // Of two that hear of each other one dials; the other one only if nothing comes of it.
                let patient = entry.member.state == MemberState::Alive && self.own_id.node > node;
                let wait = if patient { self.config.dial_patience } else { Duration::ZERO };
                self.dialer.want(node, &identity.addresses, self.now + wait);
            } else {
                self.dialer.forget(node, false);
            }
        }
        let (peers, table) = (&self.peers, &self.table);
        self.dialer.check_taken(self.now, |by| peers.contains(&by));
        let listens_at = |peer: &NodeId, seed: &Addresses| {
            table.get(*peer).is_some_and(|entry| {
                entry.member.identity.addresses.iter().any(|address| seed.contains(address))
            })
        };
        self.dialer.check_seeds(self.now, |seed, answered_by| {
            answered_by.is_some_and(|node| peers.contains(&node))
                || peers.iter().any(|peer| listens_at(peer, seed))
        });
    }
}
