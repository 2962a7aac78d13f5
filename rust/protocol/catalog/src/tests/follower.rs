//! What somebody knows who only sees the events; it must be what the catalog holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use mpreg_types::{Incarnation, NodeId};

use crate::{Catalog, EntryKey, EntryValue, Event};

pub(super) type Entries = BTreeMap<EntryKey, (u64, Arc<EntryValue>)>;

#[derive(Debug)]
struct Followed {
    incarnation: Incarnation,
    shown: bool,
    entries: Entries,
}

#[derive(Debug, Default)]
pub(super) struct Follower {
    owners: BTreeMap<NodeId, Followed>,
}

impl Follower {
    pub(super) fn follow(&mut self, me: NodeId, event: Event) {
        match event {
            Event::OwnerShown { owner, incarnation } => {
                let followed = self.owners.entry(owner).or_insert_with(|| Followed {
                    incarnation,
                    shown: false,
                    entries: Entries::new(),
                });
                assert!(!followed.shown && followed.incarnation == incarnation, "shown twice, or undropped");
                followed.shown = true;
            }
            Event::OwnerHidden { owner, incarnation } => {
                let followed = self.owners.get_mut(&owner).unwrap();
                assert!(followed.shown && followed.incarnation == incarnation);
                followed.shown = false;
            }
            Event::OwnerDropped { owner, incarnation } => {
                assert_eq!(self.owners.remove(&owner).unwrap().incarnation, incarnation);
            }
            Event::Put { owner, incarnation, key, value, version } => {
                let followed = self.shown(me, owner, incarnation);
                let before = followed.entries.insert(key, (version, value));
                assert!(before.is_none_or(|(before, _)| before < version), "an entry went back");
            }
            Event::Removed { owner, incarnation, key, .. } => {
                let removed = self.shown(me, owner, incarnation).entries.remove(&key);
                assert!(removed.is_some(), "removed what was never told: {key}");
            }
            Event::Refused { .. } => {}
        }
    }

    fn shown(&mut self, me: NodeId, owner: NodeId, incarnation: Incarnation) -> &mut Followed {
        if owner == me {
            let own = Followed { incarnation, shown: true, entries: Entries::new() };
            self.owners.entry(owner).or_insert(own);
        }
        let followed = self.owners.get_mut(&owner).unwrap();
        assert!(followed.shown && followed.incarnation == incarnation, "told of a hidden owner");
        followed
    }

    /// The live entries of an owner, `None` if it is not shown.
    pub(super) fn entries(&self, owner: &NodeId) -> Option<&Entries> {
        self.owners.get(owner).filter(|followed| followed.shown).map(|followed| &followed.entries)
    }

    /// Asserts that the events told exactly what `catalog` holds.
    pub(super) fn check(&self, me: NodeId, catalog: &Catalog) {
        for owner in catalog.owners() {
            let id = owner.row.owner;
            let held: BTreeMap<_, _> =
                catalog.entries(&id).map(|(key, version, value)| (key, (version, Arc::new(value)))).collect();
            if owner.shown && (id != me || !held.is_empty()) {
                assert_eq!(self.entries(&id), Some(&held), "what was told of {id} is not what is held");
            } else if id != me {
                assert!(self.entries(&id).is_none(), "{id} is told as live");
            }
        }
        for id in self.owners.keys() {
            assert!(catalog.owners().any(|owner| owner.row.owner == *id), "{id} was never told as dropped");
        }
    }
}
