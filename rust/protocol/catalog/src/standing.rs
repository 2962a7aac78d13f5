//! What membership's verdicts do to the catalog: they show, hide and drop owners, and never change an entry.

use mpreg_types::{Incarnation, MemberState, NodeId, Time};

use crate::catalog::Member;
use crate::owner::Standing;
use crate::repair::Hope;
use crate::{Catalog, Event, Output, Timer};

impl Catalog {
    pub(crate) fn member(
        &mut self,
        node: NodeId,
        incarnation: Incarnation,
        state: MemberState,
        now: Time,
        out: &mut Vec<Output>,
    ) {
        let before = self.members.get(&node).copied();
        if node == self.me || before.is_some_and(|before| before.incarnation > incarnation) {
            return;
        }
        let returns = before.is_some_and(|before| before.state == MemberState::Down);
        if returns && matches!(state, MemberState::Alive | MemberState::Suspect) && self.view.is_some() {
            // Until now its log was refused from relays. In a full mesh its own connection brings it.
            self.set_timer(Timer::Reunion, now + self.config.want_delay, out);
        }
        self.members.insert(node, Member { incarnation, state });
        self.repair.pardon(&node);
        if matches!(state, MemberState::Down | MemberState::Left) {
            self.repair.forget(&node);
        }
        let Some(owner) = self.owners.get_mut(&node) else { return };
        if owner.log.incarnation > incarnation {
            return;
        }
        self.root = None;
        if owner.log.incarnation < incarnation || state == MemberState::Left {
            return self.drop_owner(&node, out);
        }
        let tell = &mut |event| out.push(Output::Event(event));
        match state {
            MemberState::Alive | MemberState::Suspect => owner.show(tell),
            MemberState::Down | MemberState::Left => owner.hide(now, tell),
        }
        if let Some(at) = self.expires(Standing::Down(now)).filter(|_| state == MemberState::Down) {
            self.set_timer(Timer::Expire, at, out);
        }
    }

    pub(crate) fn forget(&mut self, node: &NodeId, out: &mut Vec<Output>) {
        self.members.remove(node);
        self.repair.forget(node);
        self.drop_owner(node, out);
    }

    fn drop_owner(&mut self, node: &NodeId, out: &mut Vec<Output>) {
        if let Some(owner) = self.owners.remove(node) {
            self.root = None;
            owner.dropped(&mut |event: Event| out.push(Output::Event(event)));
        }
    }

    /// When an owner of that standing is dropped.
    pub(crate) fn expires(&self, standing: Standing) -> Option<Time> {
        match standing {
            Standing::Shown => None,
            Standing::Down(since) => Some(since + self.config.down_kept),
            Standing::Unknown(since) => Some(since + self.config.unknown_held),
        }
    }

    /// Drops the owners whose time is over and sets the timer for the next.
    pub(crate) fn expire(&mut self, now: Time, out: &mut Vec<Output>) {
        let due = |owner: &&crate::owner::Owner| self.expires(owner.standing()).is_some_and(|at| at <= now);
        let over: Vec<NodeId> = self.owners.values().filter(due).map(|owner| owner.id).collect();
        for node in over {
            let Some(owner) = self.owners.get(&node) else { continue };
            if matches!(owner.standing(), Standing::Unknown(_)) {
                self.counters.unknown_expired += 1;
                // Nobody asks for it again until membership knows its owner, or a snapshot brings more.
                let incarnation = owner.log.incarnation;
                let hope = Hope { incarnation, snapshot: owner.log.version().saturating_add(1) };
                self.repair.refuse(node, hope, self.config.missing_owners_max);
            }
            self.drop_owner(&node, out);
        }
        if let Some(at) = self.owners.values().filter_map(|owner| self.expires(owner.standing())).min() {
            self.set_timer(Timer::Expire, at, out);
        }
    }
}
