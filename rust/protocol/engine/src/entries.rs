//! What the catalog wants done and what it holds: entries become candidates, cards and changes for watchers.

use std::sync::Arc;

use mpreg_catalog::{
    CatalogError, EntryKey, EntryValue, Event as Told, FunctionEntry, Input as Entries, NodeFacts,
    Output as Wish,
};
use mpreg_routing::{NodeProfile, Offer};
use mpreg_types::{FunctionName, FunctionVersion, Incarnation, MemberState, NodeId, Time};

use crate::card::Card;
use crate::{ChangeKind, Engine, Event, Message, Output, Timer};

impl Engine {
    /// Hands an input that cannot fail to the catalog and does what it wants.
    pub(crate) fn run_catalog(&mut self, input: Entries, now: Time, out: &mut Vec<Output>) {
        let done = self.try_run_catalog(input, now, out);
        debug_assert!(done.is_ok(), "only own changes can fail: {done:?}");
    }

    /// Hands an input to the catalog and does what it wants.
    pub(crate) fn try_run_catalog(
        &mut self,
        input: Entries,
        now: Time,
        out: &mut Vec<Output>,
    ) -> Result<(), CatalogError> {
        let mut wishes = Vec::new();
        let done = self.catalog.handle(input, now, &mut wishes);
        for wish in wishes {
            match wish {
                Wish::Send { to, message } => {
                    out.push(Output::Send { to, message: Message::Catalog(message) });
                }
                Wish::SendMany { to, message } => {
                    out.push(Output::SendMany { to, message: Message::Catalog(message) });
                }
                Wish::SetTimer { timer, at } => {
                    out.push(Output::SetTimer { timer: Timer::Catalog(timer), at });
                }
                Wish::Event(told) => self.entry_event(told, now, out),
            }
        }
        done
    }

    fn entry_event(&mut self, told: Told, now: Time, out: &mut Vec<Output>) {
        match told {
            Told::Put { owner, version, .. } | Told::Removed { owner, version, .. }
                if self.is_told(owner, version) => {}
            Told::Put { owner, incarnation, value, .. } => self.put(owner, incarnation, &value, now, out),
            Told::Removed { owner, incarnation, key, .. } => {
                if let EntryKey::Function { name, version } = key {
                    self.removed(owner, incarnation, &name, &version, out);
                }
            }
            Told::OwnerShown { owner, incarnation } => self.owner_shown(owner, incarnation, now, out),
            Told::OwnerHidden { owner, .. } => self.tell_all_removed(owner, out),
            Told::OwnerDropped { owner, incarnation } => {
                self.tell_all_removed(owner, out);
                self.index.remove_functions(owner, incarnation);
            }
            Told::Refused { from, owner, refusal } => {
                Self::event(Event::Refused { from, owner, refusal }, out);
            }
        }
    }

    /// What was read when the owner was shown is told once, though its events may follow.
    fn is_told(&self, owner: NodeId, version: u64) -> bool {
        self.shown.get(&owner).is_some_and(|told| version <= *told)
    }

    /// All of the owner's entries count from now on; the index has what it held when it was hidden, or nothing.
    fn owner_shown(&mut self, owner: NodeId, incarnation: Incarnation, now: Time, out: &mut Vec<Output>) {
        let entries: Vec<(u64, EntryValue)> =
            self.catalog.entries(&owner).map(|(_, version, value)| (version, value)).collect();
        self.index.remove_functions(owner, incarnation);
        self.shown.insert(owner, entries.iter().map(|(version, _)| *version).max().unwrap_or(0));
        // Facts first: the functions' rows show the node's name and resources.
        let (facts, others): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|(_, value)| matches!(value, EntryValue::NodeFacts(_)));
        for (_, value) in facts.into_iter().chain(others) {
            self.put(owner, incarnation, &value, now, out);
        }
    }

    fn put(
        &mut self,
        owner: NodeId,
        incarnation: Incarnation,
        value: &EntryValue,
        now: Time,
        out: &mut Vec<Output>,
    ) {
        match value {
            EntryValue::NodeFacts(facts) => self.put_facts(owner, incarnation, facts, now, out),
            EntryValue::Function(entry) => self.put_function(owner, incarnation, entry, out),
            // A kind of a later version of mpreg: kept and relayed by the catalog, nothing to do here.
            EntryValue::Opaque(_) => {}
        }
    }

    fn put_facts(
        &mut self,
        owner: NodeId,
        incarnation: Incarnation,
        facts: &NodeFacts,
        now: Time,
        out: &mut Vec<Output>,
    ) {
        if NodeId::of(&facts.key) != owner {
            self.counters.foreign_facts += 1;
            return;
        }
        let card = Card {
            incarnation,
            name: facts.name.clone(),
            instance: facts.instance.clone(),
            identity: self.identity_in(owner, incarnation, facts, out),
            busy: facts.busy.clone(),
        };
        let profile = NodeProfile {
            label: card.label(owner, &self.local.cluster),
            identity: card.identity,
            resources: facts.resources.clone(),
            draining: facts.draining,
        };
        self.index.set_profile(owner, incarnation, profile);
        if owner != self.local.node {
            self.put_card(owner, card.clone(), out);
            self.check_instance(owner, &card, now, out);
        }
    }

    /// An entry of the log, or an own function of local scope.
    pub(crate) fn put_function(
        &mut self,
        owner: NodeId,
        incarnation: Incarnation,
        entry: &FunctionEntry,
        out: &mut Vec<Output>,
    ) {
        let is_new = self.index.function(owner, &entry.name, &entry.version).is_none();
        let local = self.own.get(&entry.key()).filter(|_| owner == self.local.node);
        let local = local.map(|(_, local)| local.clone());
        self.index.put_function(owner, incarnation, &offer(entry), local);
        let Some(candidate) = self.index.function(owner, &entry.name, &entry.version).cloned() else {
            return;
        };
        if entry.name.is_reserved() {
            return;
        }
        let row = self.row(&candidate, Some(entry));
        let change = if is_new { ChangeKind::Added } else { ChangeKind::Changed };
        let change = self.history.add(change, row.clone());
        Self::event(Event::Change(change), out);
        let living = |peer: &mpreg_routing::PeerState| {
            matches!(peer.member(), MemberState::Alive | MemberState::Suspect)
        };
        let others = self.index.candidates(&entry.name).map(Arc::as_ref).filter(|other| living(&other.peer));
        let (max, untold) = (self.config.conflicts_max, &mut self.counters.untold_conflicts);
        if let Some(conflict) = self.conflicts.find(&candidate, others, max, untold) {
            Self::event(Event::Conflict(conflict), out);
            let change = self.history.add(ChangeKind::Conflict, row);
            Self::event(Event::Change(change), out);
        }
    }

    /// An entry of the log is gone, or an own function of local scope.
    pub(crate) fn removed(
        &mut self,
        owner: NodeId,
        incarnation: Incarnation,
        name: &FunctionName,
        version: &FunctionVersion,
        out: &mut Vec<Output>,
    ) {
        let Some(candidate) = self.index.function(owner, name, version).cloned() else { return };
        if candidate.incarnation() != incarnation {
            return;
        }
        self.index.remove_function(owner, incarnation, name, version);
        self.conflicts.forget(owner, name, version);
        if !name.is_reserved() {
            let change = self.history.add(ChangeKind::Removed, self.row(&candidate, None));
            Self::event(Event::Change(change), out);
        }
    }

    /// The owner is dead or gone: what it offered no longer counts.
    fn tell_all_removed(&mut self, owner: NodeId, out: &mut Vec<Output>) {
        if self.shown.remove(&owner).is_none() {
            return;
        }
        let gone: Vec<_> = self.index.functions(owner).cloned().collect();
        for candidate in gone {
            self.conflicts.forget(owner, &candidate.name, &candidate.version);
            if !candidate.name.is_reserved() {
                let change = self.history.add(ChangeKind::Removed, self.row(&candidate, None));
                Self::event(Event::Change(change), out);
            }
        }
    }
}

fn offer(entry: &FunctionEntry) -> Offer {
    Offer {
        name: entry.name.clone(),
        id: entry.id.clone(),
        version: entry.version.clone(),
        resources: entry.resources.clone(),
        contract: entry.contract,
        scope: entry.scope,
        idempotent: entry.idempotent,
        streaming: entry.streaming,
        timeout: entry.timeout,
    }
}
