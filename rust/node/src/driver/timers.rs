use std::collections::{BTreeMap, BTreeSet};

use mpreg_types::Time;

/// What the engine wants to be woken for; each timer once, at its newest time.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    due: BTreeSet<(Time, T)>,
    set: BTreeMap<T, Time>,
}

impl<T: Ord + Copy> Timers<T> {
    pub(crate) fn new() -> Self {
        Self { due: BTreeSet::new(), set: BTreeMap::new() }
    }

    /// Sets `timer`; an earlier setting of it no longer counts.
    pub(crate) fn set(&mut self, timer: T, at: Time) {
        if let Some(before) = self.set.insert(timer, at) {
            self.due.remove(&(before, timer));
        }
        self.due.insert((at, timer));
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes one that is due.
    pub(crate) fn pop(&mut self, now: Time) -> Option<T> {
        let (at, timer) = *self.due.first()?;
        if at > now {
            return None;
        }
        self.due.remove(&(at, timer));
        self.set.remove(&timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_setting_counts_and_order_is_by_time() {
        let mut timers = Timers::new();
        timers.set('a', Time::from_millis(5));
        timers.set('b', Time::from_millis(3));
        timers.set('a', Time::from_millis(1));
        assert_eq!(timers.next(), Some(Time::from_millis(1)));
        assert_eq!(timers.pop(Time::ZERO), None);
        let late = Time::from_millis(10);
        assert_eq!([timers.pop(late), timers.pop(late), timers.pop(late)], [Some('a'), Some('b'), None]);
    }
}
