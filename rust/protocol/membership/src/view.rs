//! Whom this node wants to be connected to: everybody while the cluster is small, a few at random beyond.
//!
//! Eight random connections per node make a random graph of degree 16 on average, which is connected and floods news
//! to all with overwhelming probability; what a flood misses, table repair finds.

use std::collections::BTreeSet;

use mpreg_types::NodeId;
use rand::RngExt;

use crate::Config;
use crate::table::{Entry, Table};

/// The members to be connected to.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// `None`: everybody.
    chosen: Option<BTreeSet<NodeId>>,
}

impl View {
    /// True if a connection to this living member is wanted.
    pub(crate) fn wants(&self, node: NodeId) -> bool {
        self.chosen.as_ref().is_none_or(|chosen| chosen.contains(&node))
    }

    /// True up to `full_mesh_max` members.
    pub(crate) fn is_full_mesh(&self) -> bool {
        self.chosen.is_none()
    }

    /// Adjusts the choice to who lives now.
    pub(crate) fn update(&mut self, table: &Table, config: &Config, rng: &mut impl RngExt) {
        let living = table.living().count();
        if living < config.full_mesh_max {
            self.chosen = None;
            return;
        }
        let chosen = self.chosen.get_or_insert_default();
        chosen.retain(|node| table.get(*node).is_some_and(Entry::is_living));
        if chosen.len() >= config.active_view {
            return;
        }
        let mut candidates: Vec<NodeId> = table
            .living()
            .map(|entry| entry.member.identity.node)
            .filter(|node| !chosen.contains(node))
            .collect();
        while chosen.len() < config.active_view && !candidates.is_empty() {
            let index = rng.random_range(0..candidates.len());
            chosen.insert(candidates.swap_remove(index));
        }
    }

    /// A chosen member cannot be reached from here; another one will take its place.
    pub(crate) fn give_up(&mut self, node: NodeId) {
        if let Some(chosen) = &mut self.chosen {
            chosen.remove(&node);
        }
    }
}
