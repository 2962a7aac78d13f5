//! What to believe of what is said, and what follows from it.
//!
//! Every row, whoever brings it and however, goes through [`Membership::learn`]. What it changes in foca's table is
//! found by comparison, told as an event, and passed on. Invariants: a death is believed only of a member that had its
//! chance to answer *us*; what is dead and unknown here stays unknown; nothing said by others makes a member leave.

use std::collections::BTreeSet;
use std::time::Duration;

use foca::State;
use mpreg_types::{Defect, Incarnation, MemberState, NodeId, Time};

use crate::membership::Membership;
use crate::swim_id::SwimId;
use crate::table::Entry;
use crate::{DropReason, Event, Member, MemberIdentity, Message, Output, Row, RowState};

/// Where knowledge comes from; decides who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// This node saw it itself.
    Own,
    /// A peer told it unasked.
    News(NodeId),
    /// It was in a peer's table.
    Table(NodeId),
}

impl Origin {
    fn peer(self) -> Option<NodeId> {
        match self {
            Self::Own => None,
            Self::News(peer) | Self::Table(peer) => Some(peer),
        }
    }
}

/// One record of foca that differs from the table.
#[derive(Debug, Clone, Copy)]
struct Change {
    id: SwimId,
    refutation: u16,
    state: State,
}

impl Membership {
    /// Takes over the rows that are newer than what is known and that there is reason to believe.
    pub(crate) fn learn(&mut self, rows: Vec<Row>, origin: Origin, out: &mut Vec<Output>) {
        let mut believed = Vec::new();
        let mut unknown = 0;
        let mut left = Vec::new();
        for row in rows {
            if row.generation == SwimId::LEFT && row.state != RowState::Left {
                self.counters.malformed += 1;
            } else if row.node == self.own_id.node {
                self.about_me(&row, origin, out);
            } else if row.state == RowState::Left {
                // Only the signed leave counts; `repair` asks for it.
            } else if let Some(entry) = self.table.get(row.node) {
                if entry.leave.is_some() && row.incarnation <= entry.member.identity.incarnation {
                    left.push(row.node);
                }
                let newer = row.precedence() > entry.row().precedence();
                if newer && !self.contradicts_start(&row, origin) && !self.doubts(&row, origin, out) {
                    believed.push(row);
                }
            } else if row.state == RowState::Down {
                // Nothing to hide, and who was forgotten is not to be remembered again.
            } else if self.table.entries.len() + unknown >= self.config.members_max {
                self.counters.members_overflow += 1;
            } else {
                unknown += 1;
                believed.push(row);
            }
        }
        self.believe(&believed, origin, out);
        // Who speaks of a member that left has missed its leave. (A table is answered as a whole, by `repair`.)
        if let Origin::News(peer) = origin {
            self.send_leaves(peer, left, out);
        }
    }

    fn believe(&mut self, rows: &[Row], origin: Origin, out: &mut Vec<Output>) {
        if rows.is_empty() {
            return;
        }
        for row in rows {
            self.note_addresses(row);
        }
        self.apply(rows, origin, out);
    }

    /// foca's table has no addresses: they wait here for [`Membership::adopt_changes`] to meet the new id.
    fn note_addresses(&mut self, row: &Row) {
        let is_new_start = |entry: &Entry| entry.member.identity.incarnation < row.incarnation;
        if self.table.get(row.node).is_none_or(is_new_start) {
            self.new_addresses.insert(row.node, row.addresses.clone());
        }
    }

    /// A rumour about this node itself.
    fn about_me(&mut self, row: &Row, origin: Origin, out: &mut Vec<Output>) {
        if row.incarnation > self.own_id.incarnation {
            if self.superseded.is_none_or(|known| known < row.incarnation) {
                self.superseded = Some(row.incarnation);
                out.push(Output::Event(Event::Superseded { incarnation: row.incarnation }));
            }
            return;
        }
        if row.state == RowState::Alive || row.state == RowState::Left {
            return;
        }
        let own = (self.own_id.incarnation, self.own_id.generation);
        let said = (row.incarnation, row.generation);
        let to_answer = row.state == RowState::Down || row.refutation >= self.own_refutation;
        if said > own {
            self.renew_above(row.generation, out);
        } else if said == own && to_answer {
            self.apply(std::slice::from_ref(row), origin, out);
        } else if let Some(peer) = origin.peer() {
            // The accusation is answered already, and the peer has not heard of it yet.
            self.post(peer, Message::News(vec![self.own_row()]), out);
        }
    }

    /// True for hearsay of a later start that there is better knowledge about: a start that was never seen cannot be
    /// dead, and while the known start holds a connection to us it is the living one. (A start that takes over
    /// connects by itself.)
    fn contradicts_start(&self, row: &Row, origin: Origin) -> bool {
        let Some(entry) = self.table.get(row.node) else { return false };
        let connected = self.peers.contains(&row.node) && entry.is_living();
        row.incarnation > entry.member.identity.incarnation
            && origin != Origin::Own
            && (row.state == RowState::Down || connected)
    }

    /// True for a death that own evidence speaks against, or that has to wait until the member had its chance.
    fn doubts(&mut self, row: &Row, origin: Origin, out: &mut Vec<Output>) -> bool {
        let Some(accuser) = origin.peer() else { return false };
        let Some(entry) = self.table.get_mut(row.node) else { return false };
        if row.state >= RowState::Suspect && entry.accuser.is_none() {
            entry.accuser = Some(accuser);
        }
        let patience = entry.asked + self.config.confirmation;
        if row.state != RowState::Down || !entry.is_living() || !self.peers.contains(&row.node) {
            return false;
        }
        if entry.member.state == MemberState::Alive {
            self.accuse(row.node, self.config.confirmation, origin, out);
            return true;
        }
        if self.answered_since_asked(row.node) {
            *self.counters.overturned.entry(accuser).or_default() += 1;
            self.ask_again(row.node, out);
            return true;
        }
        self.schedule.shorten_suspicion(row.node, patience);
        self.now < patience
    }

    /// `node` does not answer, as far as this node can tell: it has `within` to refute, or less if less is left.
    pub(crate) fn accuse(&mut self, node: NodeId, within: Duration, origin: Origin, out: &mut Vec<Output>) {
        let Some(entry) = self.table.get(node).filter(|entry| entry.is_living()) else { return };
        let row = Row { state: RowState::Suspect, ..entry.row() };
        self.apply(&[row], origin, out);
        self.schedule.shorten_suspicion(node, self.now + within);
    }

    /// The proof of death is in: no time to refute.
    pub(crate) fn hold_for_down(&mut self, node: NodeId, out: &mut Vec<Output>) {
        let Some(entry) = self.table.get(node).filter(|entry| entry.is_living()) else { return };
        let row = Row { state: RowState::Down, ..entry.row() };
        self.apply(&[row], Origin::Own, out);
    }

    /// The time to refute is over.
    pub(crate) fn suspicion_over(&mut self, node: NodeId, out: &mut Vec<Output>) {
        if self.answered_since_asked(node) {
            self.ask_again(node, out);
        } else {
            self.hold_for_down(node, out);
        }
    }

    fn answered_since_asked(&self, node: NodeId) -> bool {
        self.table.get(node).is_some_and(|entry| entry.heard > entry.asked)
    }

    /// The suspect is alive but has not refuted: asks once more, for which it has the full time.
    fn ask_again(&mut self, node: NodeId, out: &mut Vec<Output>) {
        let brief = Defect::MembershipSuspectsBriefly.is_in();
        let patience = if brief { self.config.confirmation } else { self.config.suspicion };
        let deadline = self.now + self.health.stretch(patience);
        self.schedule.set_suspicion(node, deadline);
        self.ask(node, out);
    }

    /// Sends a suspicion straight to the suspect.
    pub(crate) fn ask(&mut self, node: NodeId, out: &mut Vec<Output>) {
        let now = self.now;
        let Some(entry) = self.table.get_mut(node) else { return };
        entry.asked = now;
        let row = entry.row();
        self.post(node, Message::News(vec![row]), out);
    }

    /// A member that is held for Down keeps sending.
    pub(crate) fn tell_it_is_down(&mut self, node: NodeId, out: &mut Vec<Output>) {
        let (now, period) = (self.now, self.config.told_so_period);
        let Some(entry) = self.table.get_mut(node) else { return };
        if entry.told.is_some_and(|told| now.since(told) < period)
            || Defect::MembershipKeepsDeathsToItself.is_in()
        {
            return;
        }
        entry.told = Some(now);
        let row = entry.row();
        if self.peers.contains(&node) {
            out.push(Output::Send { to: node, message: Message::News(vec![row]) });
        }
    }

    /// Compares foca's table with ours and draws the consequences of every difference.
    pub(crate) fn adopt_changes(&mut self, origin: Origin, out: &mut Vec<Output>) {
        let differs = |member: &foca::Member<SwimId>| {
            self.table.get(member.id().node).is_none_or(|entry| {
                entry.id() != *member.id()
                    || entry.refutation != member.incarnation()
                    || state_of(member.state(), entry.member.state) != entry.member.state
            })
        };
        let changes: Vec<Change> = self
            .foca
            .iter_membership_state()
            .filter(|member| differs(member))
            .map(|member| Change {
                id: *member.id(),
                refutation: member.incarnation(),
                state: member.state(),
            })
            .collect();
        for change in changes {
            self.adopt(change, origin, out);
        }
        if self.foca.iter_membership_state().len() < self.table.entries.len() {
            self.forget_the_removed(out);
        }
        self.new_addresses.clear();
        debug_assert!(self.mirrors_foca(), "the table mirrors foca's");
    }

    fn adopt(&mut self, change: Change, origin: Origin, out: &mut Vec<Output>) {
        let node = change.id.node;
        let addresses = self.new_addresses.remove(&node);
        let former =
            self.table.get(node).map(|entry| (entry.member.identity.incarnation, entry.member.state));
        let state = state_of(change.state, MemberState::Down);
        let same_start = former.filter(|(incarnation, _)| *incarnation == change.id.incarnation);
        if same_start.is_none() {
            let identity = MemberIdentity {
                node,
                incarnation: change.id.incarnation,
                addresses: addresses.unwrap_or_default(),
            };
            let member = Member { identity, state, reason: None, since: self.now };
            let mut entry = Entry::new(member, change.id.generation, change.refutation);
            entry.heard = self.table.get(node).map_or(Time::ZERO, |entry| entry.heard);
            self.table.entries.insert(node, entry);
        } else if let Some(entry) = self.table.get_mut(node) {
            entry.generation = change.id.generation;
            entry.refutation = change.refutation;
            if entry.member.state != state {
                entry.member.state = state;
                entry.member.since = self.now;
            }
        }
        let before = same_start.map(|(_, state)| state);
        let replaced = former.map(|(incarnation, _)| incarnation).filter(|_| same_start.is_none());
        self.announce(node, before, replaced, out);
        self.pass_on(node, before, origin);
        self.connections_changed = true;
    }

    /// Tells the layers above and sees to the suspicion, the connection and the accuser.
    fn announce(
        &mut self,
        node: NodeId,
        before: Option<MemberState>,
        replaced: Option<Incarnation>,
        out: &mut Vec<Output>,
    ) {
        let Some(entry) = self.table.get(node) else { return };
        let (after, member) = (entry.member.state, entry.member.clone());
        let was_living = matches!(before, Some(MemberState::Alive | MemberState::Suspect));
        let event = match (before, after) {
            (None, MemberState::Alive | MemberState::Suspect) => Some(Event::Up { member, replaced }),
            (Some(MemberState::Down), MemberState::Alive | MemberState::Suspect) => {
                Some(Event::Returned { member })
            }
            (Some(MemberState::Suspect), MemberState::Alive) => Some(Event::Refuted { node }),
            _ => None,
        };
        out.extend(event.map(Output::Event));
        match after {
            MemberState::Suspect => {
                if before != Some(MemberState::Suspect) {
                    out.push(Output::Event(Event::Suspect { node }));
                }
                self.ask_again(node, out);
            }
            MemberState::Alive => self.cleared(node, before, out),
            MemberState::Down => {
                self.schedule.end_suspicion(node);
                if was_living {
                    out.push(Output::Event(Event::Down { node }));
                }
                self.tell_it_is_down(node, out);
                self.drop_peer(node, DropReason::Down, out);
            }
            MemberState::Left => {}
        }
    }

    fn cleared(&mut self, node: NodeId, before: Option<MemberState>, out: &mut Vec<Output>) {
        self.schedule.end_suspicion(node);
        let Some(entry) = self.table.get_mut(node) else { return };
        entry.told = None;
        if let Some(accuser) = entry.accuser.take() {
            *self.counters.overturned.entry(accuser).or_default() += 1;
        }
        if before == Some(MemberState::Down) {
            self.dialer.hurry(node, self.now);
            if self.peers.contains(&node) {
                // While it was held for Down its table was not listened to.
                self.send_compare(node, out);
            }
        }
    }

    /// Who tells whom: see the crate's idea of dissemination. In a full mesh the first to see a member up or suspect
    /// reaches everybody by itself; deaths, refutations and returns are passed on in any case.
    fn pass_on(&mut self, node: NodeId, before: Option<MemberState>, origin: Origin) {
        let Some(state) = self.table.state(node) else { return };
        let urgent = before.is_some();
        let weighty = state == MemberState::Down || (state == MemberState::Alive && before.is_some());
        let first_hand = !matches!(origin, Origin::News(_));
        if weighty || first_hand || !self.view.is_full_mesh() {
            self.news.add(node, origin.peer(), urgent);
        }
    }

    fn forget_the_removed(&mut self, out: &mut Vec<Output>) {
        let kept: BTreeSet<NodeId> =
            self.foca.iter_membership_state().map(|member| member.id().node).collect();
        let gone: Vec<MemberIdentity> = self
            .table
            .entries
            .values()
            .filter(|entry| !kept.contains(&entry.member.identity.node))
            .map(|entry| entry.member.identity.clone())
            .collect();
        for MemberIdentity { node, incarnation, .. } in gone {
            self.table.entries.remove(&node);
            self.counters.overturned.remove(&node);
            self.schedule.end_suspicion(node);
            self.drop_pending(node);
            self.connections_changed = true;
            self.dialer.forget(node, true);
            out.push(Output::Event(Event::Forgotten { node, incarnation }));
        }
    }
}

/// foca's state in the words of the mesh; foca knows a member that left as Down.
fn state_of(state: State, if_down: MemberState) -> MemberState {
    match state {
        State::Alive => MemberState::Alive,
        State::Suspect => MemberState::Suspect,
        State::Down if if_down == MemberState::Left => MemberState::Left,
        State::Down => MemberState::Down,
    }
}
