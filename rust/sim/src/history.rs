use std::collections::BTreeMap;

use mpreg_catalog::EntryKey;
use mpreg_engine::Engine;
use mpreg_types::{Incarnation, NodeId};

/// The entries of one owner at one version: each with the version of its last change.
pub(crate) type Entries = BTreeMap<EntryKey, u64>;

/// What every start of every node offered at every version of its log, taken down at the owner.
#[derive(Debug, Default)]
pub struct History {
    logs: BTreeMap<(NodeId, Incarnation), BTreeMap<u64, Entries>>,
    /// What a catalog refused to take.
    pub(crate) refused: Vec<String>,
}

impl History {
    pub(crate) fn remember(&mut self, owner: &Engine) {
        let (local, catalog) = (owner.local(), owner.catalog_machine());
        let entries = catalog.entries(&local.node).map(|(key, version, _)| (key, version)).collect();
        self.logs.entry((local.node, local.incarnation)).or_default().insert(catalog.own_version(), entries);
    }

    /// What that start of a node offered at `version`.
    pub(crate) fn at(&self, owner: NodeId, incarnation: Incarnation, version: u64) -> Option<&Entries> {
        self.logs.get(&(owner, incarnation))?.get(&version)
    }
}
