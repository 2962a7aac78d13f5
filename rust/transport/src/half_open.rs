use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Accepted links whose peers have not proven anything yet, oldest first. When there are too many the oldest goes:
/// who keeps connections half open displaces himself, not the newcomer.
#[derive(Debug)]
pub(crate) struct HalfOpen {
    max: usize,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    next: u64,
    waiting: BTreeMap<u64, Arc<Notify>>,
}

/// A place in [`HalfOpen`]; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    half_open: &'a HalfOpen,
    number: u64,
    displaced: Arc<Notify>,
}

impl HalfOpen {
    pub(crate) fn new(max: u32) -> Self {
        Self { max: max as usize, entries: Mutex::default() }
    }

    /// A place for a newcomer, at the cost of the oldest if there is none.
    pub(crate) fn enter(&self) -> Place<'_> {
        let mut entries = self.entries.lock();
        if entries.waiting.len() >= self.max
            && let Some((_, oldest)) = entries.waiting.pop_first()
        {
            oldest.notify_one();
        }
        let (number, displaced) = (entries.next, Arc::new(Notify::new()));
        entries.next += 1;
        entries.waiting.insert(number, displaced.clone());
        Place { half_open: self, number, displaced }
    }
}

impl Place<'_> {
    /// Until somebody newer takes the place.
    pub(crate) async fn displaced(&self) {
        self.displaced.notified().await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.half_open.entries.lock().waiting.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_makes_way_and_places_come_back() {
        let half_open = HalfOpen::new(2);
        let (first, second) = (half_open.enter(), half_open.enter());
        let third = half_open.enter();
        first.displaced().await;
        drop((second, third));
        assert!(half_open.entries.lock().waiting.is_empty());
    }
}
