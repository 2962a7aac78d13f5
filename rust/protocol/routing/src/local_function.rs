use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::tally::Tally;

/// A function of the own node, as its callers in this process reach it without a connection.
#[derive(Debug, Clone)]
pub struct LocalFunction {
    /// The driver's own number for it.
    pub handle: u64,
    /// How many calls of it may run.
    pub slots: Arc<Slots>,
}

/// Places for running calls: of one function, and of its node or process on top.
#[derive(Debug)]
pub struct Slots {
    limit: u32,
    taken: AtomicU32,
    shared: Option<Arc<Self>>,
    tally: Tally,
}

impl Slots {
    /// No more than `limit` at once, and each place also takes one of `shared`.
    pub fn new(limit: Option<u32>, shared: Option<Arc<Self>>) -> Self {
        Self { limit: limit.unwrap_or(u32::MAX), taken: AtomicU32::new(0), shared, tally: Tally::default() }
    }

    /// True if a call could start now.
    pub fn has_free(&self) -> bool {
        self.taken() < self.limit && self.shared.as_ref().is_none_or(|shared| shared.has_free())
    }

    /// Takes a place; false if there is none.
    pub fn try_take(&self) -> bool {
        let one_more = |taken: u32| (taken < self.limit).then_some(taken + 1);
        if self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err() {
            return false;
        }
        let all = self.shared.as_ref().is_none_or(|shared| shared.try_take());
        if !all {
            self.taken.fetch_sub(1, Ordering::Relaxed);
        }
        all
    }

    /// Gives back a place that [`Self::try_take`] gave.
    pub fn give_back(&self) {
        let before = self.taken.fetch_sub(1, Ordering::Relaxed);
        assert!(before > 0, "more places given back than taken");
        if let Some(shared) = &self.shared {
            shared.give_back();
        }
    }

    /// What became of the calls that had a place.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Places taken.
    pub fn taken(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_stops_at_its_own_limit_and_at_the_shared_one() {
        let shared = Arc::new(Slots::new(Some(3), None));
        let small = Slots::new(Some(1), Some(Arc::clone(&shared)));
        let free = Slots::new(None, Some(Arc::clone(&shared)));
        assert!(small.try_take() && !small.has_free() && !small.try_take());
        assert!(free.try_take() && free.try_take());
        assert!(!free.has_free() && !free.try_take());
        assert_eq!((free.taken(), shared.taken()), (2, 3));
        small.give_back();
        assert!(free.has_free() && free.try_take());
    }
}
