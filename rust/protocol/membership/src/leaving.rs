//! Signed leaves of others: believed at once, for good, and passed on once.

use mpreg_types::{MemberState, NodeId, Signed, Verified};

use crate::membership::Membership;
use crate::rumours::Origin;
use crate::swim_id::SwimId;
use crate::table::Entry;
use crate::{Addresses, Event, Leave, Member, MemberIdentity, Message, Output, Row};

impl Membership {
    /// True if exactly this was verified and believed before. A leave is passed on by everybody to everybody: whoever
    /// hands them in asks first, because checking a signature costs a hundred times more than this.
    pub fn has_leave(&self, signed: &Signed) -> bool {
        self.table.get(signed.signer()).is_some_and(|entry| entry.leave.as_ref() == Some(signed))
    }

    /// A leave whose signature holds.
    pub(crate) fn left(&mut self, from: NodeId, signed: Verified<Signed>, out: &mut Vec<Output>) {
        let Ok(leave) = Leave::decode(&signed, &self.me.cluster) else {
            self.counters.bad_leave += 1;
            return;
        };
        let Leave { node, incarnation, reason, .. } = leave;
        if node == self.own_id.node {
            return;
        }
        let known = self.table.get(node).map(|entry| (entry.member.identity.clone(), entry.member.state));
        match &known {
            Some((identity, _)) if identity.incarnation > incarnation => {
                self.counters.old_incarnation += 1;
                return;
            }
            Some((identity, MemberState::Left)) if identity.incarnation == incarnation => return,
            None if self.table.entries.len() >= self.config.members_max => {
                self.counters.members_overflow += 1;
                return;
            }
            _ => {}
        }
        let addresses = known.map_or_else(Addresses::default, |(identity, _)| identity.addresses);
        let identity = MemberIdentity { node, incarnation, addresses };
        let member = Member { identity, state: MemberState::Left, reason: Some(reason), since: self.now };
        let signed = signed.into_inner();
        let entry = Entry { leave: Some(signed.clone()), ..Entry::new(member, SwimId::LEFT, 0) };
        let row = entry.row();
        self.table.entries.insert(node, entry);
        self.end_life_of(node, row, out);
        out.push(Output::Event(Event::Left { node, incarnation, reason }));
        let to: Vec<NodeId> =
            self.push_peers().into_iter().filter(|peer| *peer != from && *peer != node).collect();
        if !to.is_empty() {
            out.push(Output::SendMany { to, message: Message::Leave(signed) });
        }
    }

    fn end_life_of(&mut self, node: NodeId, row: Row, out: &mut Vec<Output>) {
        self.schedule.end_suspicion(node);
        self.dialer.forget(node, true);
        self.drop_pending(node);
        self.connections_changed = true;
        self.apply(&[row], Origin::Own, out);
    }
}
