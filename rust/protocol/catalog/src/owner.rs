//! Another node's log together with what membership thinks of that node, and with what was told of it.
//!
//! Invariant: `announced`, `missed` and the log together always say how what was told differs from what is held.

use std::sync::Arc;

use bytes::Bytes;
use mpreg_types::{NodeId, Time};

use crate::owner_log::{Change, Held, OwnerLog};
use crate::{EntryKey, EntryValue, Event};

/// Whether an owner's entries count here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Alive or suspect: they do.
    Shown,
    /// Down since then: hidden, kept for its return.
    Down(Time),
    /// Not known to membership; held since then, hidden.
    Unknown(Time),
}

#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) id: NodeId,
    pub(crate) log: OwnerLog,
    standing: Standing,
    /// Version up to which its entries were told when it was last hidden; `None`: it never was shown.
    announced: Option<u64>,
    /// Entries that were told and have been removed while it was hidden.
    missed: Vec<EntryKey>,
}

impl Owner {
    /// Held, and not yet told to anyone.
    pub(crate) fn unknown(id: NodeId, log: OwnerLog, now: Time) -> Self {
        Self { id, log, standing: Standing::Unknown(now), announced: None, missed: Vec::new() }
    }

    pub(crate) fn standing(&self) -> Standing {
        self.standing
    }

    pub(crate) fn is_shown(&self) -> bool {
        self.standing == Standing::Shown
    }

    /// Tells `changes` if the owner is shown, else remembers what telling them later needs.
    pub(crate) fn changed(&mut self, changes: Vec<Change>, tell: &mut impl FnMut(Event)) {
        for change in changes {
            if self.is_shown() {
                tell(self.told(change.key, change.version, change.value));
            } else if change.value.is_none() && change.before <= self.announced && change.before.is_some() {
                self.missed.push(change.key);
            }
        }
    }

    /// Its entries count from now on.
    pub(crate) fn show(&mut self, tell: &mut impl FnMut(Event)) {
        if self.is_shown() {
            return;
        }
        self.standing = Standing::Shown;
        tell(Event::OwnerShown { owner: self.id, incarnation: self.log.incarnation });
        for key in std::mem::take(&mut self.missed) {
            if !self.log.entries().contains_key(&key.encode()) {
                tell(self.told(key, self.log.version(), None));
            }
        }
        let told = self.announced.unwrap_or(0);
        for (key, held) in self.log.entries().iter().filter(|(_, held)| held.version > told) {
            let (key, value) = decode(key, held);
            tell(self.told(key, held.version, Some(Arc::new(value))));
        }
    }

    /// Its entries do not count from now on.
    pub(crate) fn hide(&mut self, now: Time, tell: &mut impl FnMut(Event)) {
        if self.is_shown() {
            self.announced = Some(self.log.version());
            tell(Event::OwnerHidden { owner: self.id, incarnation: self.log.incarnation });
        }
        if !matches!(self.standing, Standing::Down(_)) {
            self.standing = Standing::Down(now);
        }
    }

    /// The last word on it.
    pub(crate) fn dropped(self, tell: &mut impl FnMut(Event)) {
        if self.is_shown() || self.announced.is_some() {
            tell(Event::OwnerDropped { owner: self.id, incarnation: self.log.incarnation });
        }
    }

    fn told(&self, key: EntryKey, version: u64, value: Option<Arc<EntryValue>>) -> Event {
        let (owner, incarnation) = (self.id, self.log.incarnation);
        match value {
            Some(value) => Event::Put { owner, incarnation, key, value, version },
            None => Event::Removed { owner, incarnation, key, version },
        }
    }
}

pub(crate) fn decode(key: &Bytes, held: &Held) -> (EntryKey, EntryValue) {
    let key = EntryKey::decode(key);
    let value = EntryValue::decode(&key, &held.value);
    (key, value)
}
