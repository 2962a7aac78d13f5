//! What happens to a message between two places.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mpreg_types::Time;
use rand::RngExt;

/// All links.
pub(crate) struct Links {
    /// Places with equal numbers reach each other; changed by partitions.
    pub(crate) side: Vec<u32>,
    /// Directed links that are cut by themselves.
    pub(crate) cut: BTreeSet<(usize, usize)>,
    /// Of a thousand messages so many are lost.
    pub(crate) lost_per_mille: u32,
    /// Of a thousand messages so many arrive twice.
    pub(crate) doubled_per_mille: u32,
    last: BTreeMap<(usize, usize), Time>,
}

impl Links {
    pub(crate) fn new(count: usize) -> Self {
        let cut = BTreeSet::new();
        Self { side: vec![0; count], cut, lost_per_mille: 0, doubled_per_mille: 0, last: BTreeMap::new() }
    }

    /// True if packets go from one place to the other.
    pub(crate) fn is_open(&self, from: usize, to: usize) -> bool {
        self.side[from] == self.side[to] && !self.cut.contains(&(from, to))
    }

    /// The first half of all places against the second.
    pub(crate) fn split(&mut self) {
        let half = self.side.len() / 2;
        for side in &mut self.side[half..] {
            *side = 1;
        }
    }

    /// Nothing goes in or out of that place.
    pub(crate) fn black_hole(&mut self, place: usize) {
        self.side[place] = 1000 + u32::try_from(place).unwrap();
    }

    pub(crate) fn heal(&mut self) {
        self.side.fill(0);
        self.cut.clear();
    }

    /// How often a message arrives.
    pub(crate) fn copies(&self, from: usize, to: usize, rng: &mut impl RngExt) -> u32 {
        if !self.is_open(from, to) || rng.random_range(0..1000) < self.lost_per_mille {
            0
        } else {
            1 + u32::from(rng.random_range(0..1000) < self.doubled_per_mille)
        }
    }

    /// When a message sent now arrives: never before one sent earlier.
    pub(crate) fn in_order(&mut self, from: usize, to: usize, now: Time, rng: &mut impl RngExt) -> Time {
        let at = now + delay(rng);
        let last = self.last.entry((from, to)).or_default();
        *last = at.max(*last + Duration::from_micros(1));
        *last
    }

    /// Nothing arrives before `at`.
    pub(crate) fn not_before(&mut self, from: usize, to: usize, at: Time) {
        let last = self.last.entry((from, to)).or_default();
        *last = at.max(*last);
    }
}

/// About a millisecond.
pub(crate) fn delay(rng: &mut impl RngExt) -> Duration {
    Duration::from_micros(rng.random_range(500..1500))
}
