use std::collections::BTreeMap;

use mpreg_types::Time;

/// What will happen, in the order in which it will. What is due at the same moment happens in the order of adding.
#[derive(Debug)]
pub(crate) struct Agenda<T> {
    items: BTreeMap<(Time, u64), T>,
    added: u64,
}

impl<T> Agenda<T> {
    pub(crate) fn new() -> Self {
        Self { items: BTreeMap::new(), added: 0 }
    }

    pub(crate) fn add(&mut self, at: Time, item: T) {
        self.added += 1;
        self.items.insert((at, self.added), item);
    }

    /// The first item, if it is due at `until`.
    pub(crate) fn pop(&mut self, until: Time) -> Option<(Time, T)> {
        let first = self.items.first_entry().filter(|first| first.key().0 <= until)?;
        let ((at, _), item) = first.remove_entry();
        Some((at, item))
    }
}
