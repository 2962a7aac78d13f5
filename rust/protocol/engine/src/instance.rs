//! Two nodes that want one place: the same name and the same fixed instance.
//!
//! Both learn of each other by their facts and decide alike without a word: the older start stays (of equal ones the
//! lower `NodeId`). The younger one asks whether the older still lives: a connection to it proves that it does, a refused
//! dial that it does not; silence is left to membership. So a process that was killed and started again with another
//! key gets its place back at once, and a living holder is never harmed.

use mpreg_membership::{DialOutcome, Input as Members};
use mpreg_types::{MemberState, NodeId, Time};

use crate::card::Card;
use crate::peers::is_living;
use crate::{DialId, Engine, Event, Output, Timer};

/// What is known about the own place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Nobody else wants it, or whoever does has to give way.
    #[default]
    Free,
    /// `holder` had it before and may live.
    Asking { holder: NodeId, until: Time },
    /// Another node has it.
    Held,
}

impl Claim {
    pub(crate) fn is_free(&self) -> bool {
        *self == Self::Free
    }
}

impl Engine {
    /// The facts of `node` are known or known again.
    pub(crate) fn check_instance(&mut self, node: NodeId, card: &Card, now: Time, out: &mut Vec<Output>) {
        if !self.own_card.clashes_with(card) {
            return;
        }
        if (card.incarnation, node) > (self.own_card.incarnation, self.local.node) {
            // Said when it was introduced: it has to give way.
            return;
        }
        if self.claim != Claim::Free {
            return;
        }
        if self.links.used(node).is_some() {
            return self.held_by(node, out);
        }
        let until = now + self.config.holder_timeout;
        self.claim = Claim::Asking { holder: node, until };
        out.push(Output::SetTimer { timer: Timer::Holder, at: until });
        if let Some(member) = self.membership.member(node) {
            let addresses = member.identity.addresses.clone();
            out.push(Output::Dial { dial: DialId::Holder(node), expect: Some(node), addresses });
        }
    }

    /// The question whether the holder lives was answered by a dial.
    pub(crate) fn holder_dialled(
        &mut self,
        holder: NodeId,
        outcome: DialOutcome,
        now: Time,
        out: &mut Vec<Output>,
    ) {
        let by = match outcome {
            DialOutcome::OtherNode { found } => found,
            // Nothing listens where the holder was, or this node does: the place is empty.
            DialOutcome::Refused | DialOutcome::Myself => self.local.node,
            DialOutcome::Connected { .. } | DialOutcome::Failed => return,
        };
        let asked = matches!(self.claim, Claim::Asking { holder: of, .. } if of == holder);
        if asked && self.links.used(holder).is_none() {
            self.run_membership(Members::AddressTaken { by, former: holder }, now, out);
        }
    }

    /// A handshake with `node` is done: a holder that is asked for lives.
    pub(crate) fn holder_answered(&mut self, node: NodeId, out: &mut Vec<Output>) {
        if matches!(self.claim, Claim::Asking { holder, .. } if holder == node) {
            self.held_by(node, out);
        }
    }

    /// `node` is dead, gone, or a new start that is younger than this one.
    pub(crate) fn holder_gone(&mut self, node: NodeId, out: &mut Vec<Output>) {
        if matches!(self.claim, Claim::Asking { holder, .. } if holder == node) {
            self.claim = Claim::Free;
            self.join_if_ready(out);
        }
    }

    pub(crate) fn holder_timer(&mut self, now: Time, out: &mut Vec<Output>) {
        let Claim::Asking { holder, until } = self.claim else { return };
        if now < until {
            return;
        }
        match self.membership.member(holder).map(|member| member.state) {
            Some(MemberState::Alive | MemberState::Suspect) => self.held_by(holder, out),
            _ => self.holder_gone(holder, out),
        }
    }

    /// A start of `node` is known by its name: told, unless it wants the place of another living node. Then it is told what
    /// comes of that.
    pub(crate) fn introduce(&mut self, node: NodeId, out: &mut Vec<Output>) {
        let Some(holder) = self.holder_before(node) else {
            self.contested.remove(&node);
            return Self::event(Event::Introduced { node, id: self.shown_id(node) }, out);
        };
        if holder == self.local.node {
            let (id, address) = (self.own_id(), self.address_of(node));
            Self::event(Event::InstanceClaimed { by: node, id, address }, out);
        }
        self.contested.insert(node, holder);
    }

    /// The living node that has the place of `node` and was there first.
    fn holder_before(&self, node: NodeId) -> Option<NodeId> {
        let card = self.cards.get(&node).filter(|card| card.instance.is_some())?;
        let was_first = |other: NodeId, its: &Card| {
            its.clashes_with(card) && (its.incarnation, other) < (card.incarnation, node)
        };
        if was_first(self.local.node, &self.own_card) {
            return Some(self.local.node);
        }
        let lives = |other: NodeId| self.membership.member(other).is_some_and(is_living);
        let holder = self.cards.iter().find(|(other, its)| was_first(**other, its) && lives(**other));
        holder.map(|(other, _)| *other)
    }

    /// `holder` is dead, gone or another start: who wanted its place has it.
    pub(crate) fn place_free(&mut self, holder: NodeId, out: &mut Vec<Output>) {
        let takers: Vec<NodeId> =
            self.contested.iter().filter(|(_, of)| **of == holder).map(|(node, _)| *node).collect();
        for node in takers {
            self.introduce(node, out);
        }
    }

    /// `node` said goodbye. True if it had to, and that was told.
    pub(crate) fn newcomer_left(&mut self, node: NodeId, out: &mut Vec<Output>) -> bool {
        let Some(holder) = self.contested.remove(&node) else { return false };
        // The holder said so when it heard of the newcomer.
        if holder != self.local.node {
            let (id, address) = (self.shown_id(node), self.address_of(node));
            let holder_address = self.address_of(holder);
            Self::event(Event::NewcomerRefused { node, id, address, holder, holder_address }, out);
        }
        true
    }

    fn held_by(&mut self, holder: NodeId, out: &mut Vec<Output>) {
        self.claim = Claim::Held;
        let event = Event::InstanceHeld { holder, id: self.own_id(), address: self.address_of(holder) };
        Self::event(event, out);
    }

    fn own_id(&self) -> String {
        self.own_card.id(self.local.node)
    }

    pub(crate) fn address_of(&self, node: NodeId) -> Option<String> {
        let identity = &self.membership.member(node)?.identity;
        identity.addresses.first().cloned()
    }
}
