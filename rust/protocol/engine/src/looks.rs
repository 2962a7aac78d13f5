//! The questions that users ask, answered from memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use mpreg_catalog::{EntryKey, EntryValue, FunctionEntry};
use mpreg_routing::{Candidate, Context, Explanation, NoCandidate};
use mpreg_types::{
    ContractHash, ErrorBody, FunctionName, FunctionVersion, MemberState, NodeId, Scope, Selector, Time,
    Wanted,
};

use crate::{
    CatalogQuery, Change, Convergence, Description, Engine, FunctionRow, Identity, MemberRow, OwnerVersion,
    TokenTooOld, VersionRow, WatchToken,
};

impl Engine {
    /// All nodes of the own cluster, this one first; departed ones until membership forgets them.
    pub fn members(&self) -> Vec<MemberRow> {
        let own = MemberRow {
            state: MemberState::Alive,
            reason: None,
            address: self.local.addresses.first().cloned(),
            ..self.member_row(self.local.node, self.local.incarnation)
        };
        let others = self.membership.members().map(|member| MemberRow {
            state: member.state,
            reason: member.reason,
            address: member.identity.addresses.first().cloned(),
            ..self.member_row(member.identity.node, member.identity.incarnation)
        });
        std::iter::once(own).chain(others).collect()
    }

    /// The functions that living nodes offer, by name, then version (highest first), then node. Names under `mpreg.` are
    /// the mesh's own and not listed.
    pub fn catalog(&self, query: &CatalogQuery) -> Vec<FunctionRow> {
        let wanted = |name: &&FunctionName| {
            !name.is_reserved()
                && query.function.as_ref().is_none_or(|pattern| pattern.matches(name.as_str()))
        };
        let mut names: Vec<&FunctionName> = self.index.names().filter(wanted).collect();
        names.sort_unstable();
        let rows = names.into_iter().flat_map(|name| self.offers(name, query.own));
        rows.filter(|candidate| candidate.resources.covers(&query.resources))
            .map(|candidate| self.row(candidate, self.entry_of(candidate).as_ref()))
            .collect()
    }

    /// All about one name, or the error that a call would get, with the nearest names.
    pub fn describe(&self, name: &FunctionName, own: bool, now: Time) -> Result<Description, Box<ErrorBody>> {
        let mut versions: BTreeMap<(FunctionVersion, ContractHash), VersionRow> = BTreeMap::new();
        for candidate in self.offers(name, own) {
            let row = versions.entry((candidate.version.clone(), candidate.contract)).or_insert_with(|| {
                let FunctionRow { version, id, signature, doc, idempotent, streaming, timeout, .. } =
                    self.row(candidate, self.entry_of(candidate).as_ref());
                let offers = BTreeMap::new();
                VersionRow { version, id, signature, doc, idempotent, streaming, timeout, offers }
            });
            row.offers.insert(self.label_of(candidate.node()), candidate.resources.as_ref().clone());
        }
        if versions.is_empty() {
            let selector = Selector::new(Wanted::Name(name.clone()));
            let context = Context { own_call: own, now, random: 0 };
            let error = NoCandidate::NotFound.describe(self.snapshot(), &selector, &context);
            return Err(Box::new(error));
        }
        Ok(Description { name: name.clone(), versions: versions.into_values().rev().collect() })
    }

    /// What a call would choose now, who else there is, and why not they.
    pub fn explain(&self, selector: &Selector, context: &Context) -> Explanation {
        self.snapshot().explain(selector, context)
    }

    /// The token of the latest change: watching from here misses nothing that [`Engine::catalog`] does not list now.
    pub fn watch_token(&self) -> WatchToken {
        self.history.latest()
    }

    /// What changed after `token`, in order.
    pub fn changes_since(&self, token: WatchToken) -> Result<impl Iterator<Item = &Change>, TokenTooOld> {
        self.history.since(token)
    }

    /// True while calls go by what was known a moment ago, because changes of others are published together.
    pub fn is_publishing(&self) -> bool {
        self.index.is_changed()
    }

    /// What this node believes, to be compared with what others believe.
    pub fn converged(&mut self) -> Convergence {
        let living = self.membership.members().filter(|member| member.state == MemberState::Alive);
        let mut alive: Vec<NodeId> = living.map(|member| member.identity.node).collect();
        alive.push(self.local.node);
        alive.sort_unstable();
        let own_version = self.catalog.own_version();
        let owners = self.catalog.digest_rows().into_iter().map(|row| {
            let (owner, incarnation) = (row.owner, row.incarnation);
            // The own log counts as far as it was written: what is not signed yet has not reached anybody.
            let version = if owner == self.local.node { own_version } else { row.version };
            OwnerVersion { owner, incarnation, version }
        });
        Convergence { owners: owners.collect(), alive, root: self.catalog.root() }
    }

    /// The row of a candidate; `entry` has what the index does not.
    pub(crate) fn row(&self, candidate: &Candidate, entry: Option<&FunctionEntry>) -> FunctionRow {
        FunctionRow {
            name: candidate.name.clone(),
            id: candidate.id.clone(),
            version: candidate.version.clone(),
            node: self.label_of(candidate.node()),
            cluster: self.local.cluster.clone(),
            resources: candidate.resources.as_ref().clone(),
            tags: entry.map(|entry| entry.tags.clone()).unwrap_or_default(),
            scope: candidate.scope,
            signature: entry.map(|entry| entry.signature.clone()).unwrap_or_default(),
            doc: entry.map(|entry| entry.doc.clone()).unwrap_or_default(),
            node_id: candidate.node(),
            idempotent: candidate.idempotent,
            streaming: candidate.streaming,
            timeout: candidate.timeout,
        }
    }

    /// Who offers `name` and is alive, the highest version first.
    fn offers(&self, name: &FunctionName, own: bool) -> impl Iterator<Item = &Arc<Candidate>> {
        self.index.candidates(name).filter(move |candidate| {
            let lives = matches!(candidate.peer.member(), MemberState::Alive | MemberState::Suspect);
            lives && (own || candidate.scope != Scope::Local)
        })
    }

    fn entry_of(&self, candidate: &Candidate) -> Option<FunctionEntry> {
        let (name, version) = (candidate.name.clone(), candidate.version.clone());
        let key = EntryKey::Function { name, version };
        if candidate.node() == self.local.node {
            return self.own.get(&key).map(|(entry, _)| entry.clone());
        }
        match self.catalog.entry(&candidate.node(), &key) {
            Some(EntryValue::Function(entry)) => Some(entry),
            _ => None,
        }
    }

    fn label_of(&self, node: NodeId) -> String {
        self.index.label(node).map_or_else(|| node.to_string(), ToString::to_string)
    }

    fn member_row(&self, node: NodeId, incarnation: mpreg_types::Incarnation) -> MemberRow {
        let card = if node == self.local.node { Some(&self.own_card) } else { self.cards.get(&node) };
        let peer = self.index.known_peer(node).filter(|peer| peer.incarnation() == incarnation);
        MemberRow {
            id: self.shown_id(node),
            name: card.map(|card| card.name.clone()),
            instance: card.map_or_else(|| node.short(), |card| card.shown_instance(node)),
            state: MemberState::Alive,
            reason: None,
            address: None,
            node_id: node,
            incarnation,
            identity: card.map_or(Identity::Declared, |card| card.identity),
            draining: peer.is_some_and(|peer| peer.is_draining()),
            busy: if node == self.local.node {
                self.busy.clone()
            } else {
                card.and_then(|card| card.busy.clone())
            },
        }
    }
}
