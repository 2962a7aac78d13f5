//! Two nodes that want one place: the same name and the same fixed instance.
//!
//! Both learn of each other by their facts and decide alike without a word: the older start stays (of equal ones the
//! lower `NodeId`). The younger one asks whether the older still lives: a connection to it proves that it does, a refused
//! dial that it does not; silence is left to membership. So a process that was killed and started again with another
//! key gets its place back at once, and a living holder is never harmed.

use mpreg_membership::{DialOutcome, Input as Members};
use mpreg_types::{MemberState, NodeId, Time};

use crate::card::Card;
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
            let event =
                Event::InstanceClaimed { by: node, id: self.own_id(), address: self.address_of(node) };
            return Self::event(event, out);
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
