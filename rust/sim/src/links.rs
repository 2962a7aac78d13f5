use std::collections::BTreeSet;
use std::time::Duration;

use rand::RngExt;

/// The network between the places: delays and cuts. What is cut is silent.
#[derive(Debug)]
pub struct Links {
    /// Places with equal numbers reach each other.
    side: Vec<usize>,
    /// Directed links that are cut by themselves.
    cut: BTreeSet<(usize, usize)>,
    /// Shortest and longest time of one way, in microseconds.
    delay_us: (u64, u64),
}

/// Sides from here on are for one place each.
const ALONE: usize = 1 << 32;

impl Links {
    pub(crate) fn new() -> Self {
        Self { side: Vec::new(), cut: BTreeSet::new(), delay_us: (200, 1_500) }
    }

    pub(crate) fn add_place(&mut self) {
        self.side.push(0);
    }

    /// Every way takes between `shortest` and `longest` microseconds from now on.
    pub fn set_delay_us(&mut self, shortest: u64, longest: u64) {
        assert!(shortest <= longest);
        self.delay_us = (shortest, longest);
    }

    /// Nothing goes from `from` to `to`; the other way stays as it is.
    pub fn cut_one_way(&mut self, from: usize, to: usize) {
        self.cut.insert((from, to));
    }

    /// The places of `part` reach each other and nobody else.
    pub fn part(&mut self, number: usize, part: impl IntoIterator<Item = usize>) {
        for place in part {
            self.side[place] = number;
        }
    }

    /// Nothing goes in or out of `place`.
    pub fn isolate(&mut self, place: usize) {
        self.side[place] = ALONE + place;
    }

    pub(crate) fn open_all(&mut self) {
        self.side.fill(0);
        self.cut.clear();
    }

    /// True if packets go from one place to the other.
    pub fn is_open(&self, from: usize, to: usize) -> bool {
        self.side[from] == self.side[to] && !self.cut.contains(&(from, to))
    }

    pub(crate) fn delay(&self, rng: &mut impl RngExt) -> Duration {
        Duration::from_micros(rng.random_range(self.delay_us.0..=self.delay_us.1))
    }
}
