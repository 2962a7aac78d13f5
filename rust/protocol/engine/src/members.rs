//! What membership wants done and what it found out: the one place where its words reach catalog and index.

use mpreg_catalog::Input as Entries;
use mpreg_membership::{Event as Told, Input as Members, Member, Output as Wish};
use mpreg_types::{Defect, Incarnation, MemberState, NodeId, Time};

use crate::{DialId, Engine, Event, MemberChange, Message, Output, Timer};

impl Engine {
    /// Hands an input to membership and does what it wants.
    pub(crate) fn run_membership(&mut self, input: Members, now: Time, out: &mut Vec<Output>) {
        let mut wishes = Vec::new();
        self.membership.handle(input, now, &mut wishes);
        for wish in wishes {
            match wish {
                Wish::Send { to, message } => {
                    out.push(Output::Send { to, message: Message::Membership(message) });
                }
                Wish::SendMany { to, message } => {
                    out.push(Output::SendMany { to, message: Message::Membership(message) });
                }
                Wish::SetTimer { timer, at } => {
                    out.push(Output::SetTimer { timer: Timer::Membership(timer), at });
                }
                Wish::Dial { dial, expect, addresses } => {
                    out.push(Output::Dial { dial: DialId::Membership(dial), expect, addresses });
                }
                Wish::Drop { peer, reason } => self.drop_peer(peer, reason.into(), now, out),
                Wish::Event(told) => self.member_event(told, now, out),
            }
        }
    }

    fn member_event(&mut self, told: Told, now: Time, out: &mut Vec<Output>) {
        match told {
            Told::Up { member, replaced } => {
                let node = member.identity.node;
                self.state_changed(&member, now, out);
                self.tell(node, MemberChange::Up, out);
                if replaced.is_some() {
                    self.holder_gone(node, out);
                    self.place_free(node, out);
                }
            }
            Told::Returned { member } => {
                self.state_changed(&member, now, out);
                self.tell(member.identity.node, MemberChange::Returned, out);
            }
            Told::Suspect { node } => self.known_changed(node, MemberChange::Suspect, now, out),
            Told::Refuted { node } => self.known_changed(node, MemberChange::Refuted, now, out),
            Told::Down { node } => {
                self.known_changed(node, MemberChange::Down, now, out);
                self.contested.remove(&node);
                self.holder_gone(node, out);
                self.place_free(node, out);
            }
            Told::Left { node, incarnation, reason } => {
                self.tell_state(node, incarnation, MemberState::Left, now, out);
                if !self.newcomer_left(node, out) {
                    self.tell(node, MemberChange::Left(reason), out);
                }
                self.holder_gone(node, out);
                self.place_free(node, out);
            }
            Told::Forgotten { node, incarnation } => {
                self.contested.remove(&node);
                self.tell(node, MemberChange::Forgotten, out);
                self.forget(node, incarnation, now, out);
            }
            Told::Superseded { incarnation } => Self::event(Event::Superseded { incarnation }, out),
        }
    }

    fn known_changed(&mut self, node: NodeId, change: MemberChange, now: Time, out: &mut Vec<Output>) {
        if let Some(member) = self.membership.member(node).cloned() {
            self.state_changed(&member, now, out);
        }
        self.tell(node, change, out);
    }

    fn state_changed(&mut self, member: &Member, now: Time, out: &mut Vec<Output>) {
        let identity = &member.identity;
        self.tell_state(identity.node, identity.incarnation, member.state, now, out);
    }

    /// The catalog comes first: what a former start offered must be told as gone while the index still knows it.
    fn tell_state(
        &mut self,
        node: NodeId,
        incarnation: Incarnation,
        state: MemberState,
        now: Time,
        out: &mut Vec<Output>,
    ) {
        self.run_catalog(Entries::Member { node, incarnation, state }, now, out);
        if !Defect::EngineKeepsTheDeadSelectable.is_in() {
            self.index.set_member(node, incarnation, state);
        }
        self.view_is_stale = true;
    }

    fn forget(&mut self, node: NodeId, incarnation: Incarnation, now: Time, out: &mut Vec<Output>) {
        self.run_catalog(Entries::Forget { node }, now, out);
        if self.cards.get(&node).is_some_and(|card| card.incarnation == incarnation) {
            self.cards.remove(&node);
            self.certified.forget(node);
        }
        let known = self.index.known_peer(node).map(|peer| peer.incarnation());
        if known == Some(incarnation) {
            self.index.drop_node(node);
        }
    }

    fn tell(&mut self, node: NodeId, change: MemberChange, out: &mut Vec<Output>) {
        Self::event(Event::Member { node, id: self.shown_id(node), change }, out);
    }

    /// `name/instance`, or the `NodeId` until its name is known.
    pub(crate) fn shown_id(&self, node: NodeId) -> String {
        let card = if node == self.local.node { Some(&self.own_card) } else { self.cards.get(&node) };
        card.map_or_else(|| node.to_string(), |card| card.id(node))
    }
}
