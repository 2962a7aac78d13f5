//! Timers of the slots: a hierarchical wheel (Varghese and Lauck, SOSP 1987), one timer per slot, intrusive.
//!
//! Arming, re-arming and disarming are O(1) and allocate nothing once the slot exists, because nearly every deadline is
//! disarmed long before it passes: 300,000 calls a second with 30 s each must not leave nine million timers behind.
//! Invariant: a timer never fires early, and fires at the first `pop_expired` at least one tick after its time.

use mpreg_types::Time;

/// log2 of a tick in microseconds: 1.024 ms.
const TICK_SHIFT: u32 = 10;
/// 9 x 6 bits: every tick a [`Time`] can name has a place.
const LEVELS: u32 = 9;
const LEVEL_SHIFT: u32 = 6;
const PER_LEVEL: u32 = 1 << LEVEL_SHIFT;
/// The last tick that has a place.
const TICK_MAX: u64 = (1 << (LEVEL_SHIFT * LEVELS)) - 1;
const NONE: u32 = u32::MAX;
const DISARMED: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct Wheel {
    /// Every armed timer has a tick greater than this, or is in `due`.
    tick: u64,
    heads: Vec<u32>,
    /// One bit per place that is not empty.
    occupied: [u64; LEVELS as usize],
    timers: Vec<Timer>,
    armed: usize,
}

#[derive(Debug, Clone, Copy)]
struct Timer {
    tick: u64,
    previous: u32,
    next: u32,
    place: u32,
}

/// The place of timers whose tick has come.
const DUE: u32 = LEVELS * PER_LEVEL;

impl Wheel {
    pub(crate) fn new() -> Self {
        Self {
            tick: 0,
            heads: vec![NONE; DUE as usize + 1],
            occupied: [0; LEVELS as usize],
            timers: Vec::new(),
            armed: 0,
        }
    }

    /// Arms the timer of `slot`, instead of what it was armed for.
    pub(crate) fn arm(&mut self, slot: u32, at: Time) {
        let index = slot as usize;
        if index >= self.timers.len() {
            let idle = Timer { tick: 0, previous: NONE, next: NONE, place: DISARMED };
            self.timers.resize(index + 1, idle);
        }
        self.disarm(slot);
        // Rounded up: at the start of that tick the time has come.
        self.timers[index].tick = at.as_micros().div_ceil(1 << TICK_SHIFT).min(TICK_MAX);
        self.link(slot);
        self.armed += 1;
    }

    /// Disarms the timer of `slot`, if it is armed.
    pub(crate) fn disarm(&mut self, slot: u32) {
        if self.timers.get(slot as usize).is_some_and(|timer| timer.place != DISARMED) {
            self.unlink(slot);
            self.armed -= 1;
        }
    }

    /// Takes out one timer whose time has come. Call until `None`.
    pub(crate) fn pop_expired(&mut self, now: Time) -> Option<u32> {
        self.advance(now.as_micros() >> TICK_SHIFT);
        let slot = self.heads[DUE as usize];
        (slot != NONE).then(|| {
            self.disarm(slot);
            slot
        })
    }

    /// When to look again: at or before the earliest timer, `None` if none is armed.
    pub(crate) fn next(&self) -> Option<Time> {
        if self.armed == 0 {
            return None;
        }
        if self.heads[DUE as usize] != NONE {
            return Some(Time::from_micros(self.tick << TICK_SHIFT));
        }
        let (_, tick) = self.next_place()?;
        Some(Time::from_micros(tick.saturating_mul(1 << TICK_SHIFT)))
    }

    /// Timers armed.
    #[cfg(test)]
    pub(crate) fn armed(&self) -> usize {
        self.armed
    }

    /// The next place to be opened and the tick at which it is.
    fn next_place(&self) -> Option<(u32, u64)> {
        for (level, occupied) in (0..).zip(&self.occupied) {
            // Places of this round after the present one; those of a lower level are all earlier than a higher one's.
            let ahead = occupied & (!1_u64).checked_shl(digit(self.tick, level)).unwrap_or(0);
            if ahead != 0 {
                let at = ahead.trailing_zeros();
                let shift = LEVEL_SHIFT * level;
                let round = self.tick >> shift >> LEVEL_SHIFT << LEVEL_SHIFT << shift;
                return Some((level * PER_LEVEL + at, round + (u64::from(at) << shift)));
            }
        }
        None
    }

    fn advance(&mut self, to: u64) {
        while let Some((place, tick)) = self.next_place().filter(|(_, tick)| *tick <= to) {
            self.tick = tick;
            let mut slot = std::mem::replace(&mut self.heads[place as usize], NONE);
            self.vacate(place);
            while slot != NONE {
                let next = self.timers[slot as usize].next;
                self.link(slot);
                slot = next;
            }
        }
        self.tick = self.tick.max(to);
    }

    /// Puts `slot` where its tick belongs, seen from the present tick.
    fn link(&mut self, slot: u32) {
        let tick = self.timers[slot as usize].tick;
        let place = if tick <= self.tick {
            DUE
        } else {
            let level = (tick ^ self.tick).ilog2() / LEVEL_SHIFT;
            let at = digit(tick, level);
            self.occupied[level as usize] |= 1 << at;
            level * PER_LEVEL + at
        };
        let next = std::mem::replace(&mut self.heads[place as usize], slot);
        if next != NONE {
            self.timers[next as usize].previous = slot;
        }
        self.timers[slot as usize] =
            Timer { tick: self.timers[slot as usize].tick, previous: NONE, next, place };
    }

    fn unlink(&mut self, slot: u32) {
        let Timer { previous, next, place, .. } = self.timers[slot as usize];
        if next != NONE {
            self.timers[next as usize].previous = previous;
        }
        if previous == NONE {
            self.heads[place as usize] = next;
            if next == NONE && place != DUE {
                self.vacate(place);
            }
        } else {
            self.timers[previous as usize].next = next;
        }
        self.timers[slot as usize].place = DISARMED;
    }

    fn vacate(&mut self, place: u32) {
        self.occupied[(place / PER_LEVEL) as usize] &= !(1 << (place % PER_LEVEL));
    }
}

/// Which place of a level a tick belongs to.
fn digit(tick: u64, level: u32) -> u32 {
    ((tick >> (LEVEL_SHIFT * level)) & 63) as u32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn expired(wheel: &mut Wheel, now: Time) -> Vec<u32> {
        let mut slots: Vec<_> = std::iter::from_fn(|| wheel.pop_expired(now)).collect();
        slots.sort_unstable();
        slots
    }

    #[test]
    fn a_timer_never_fires_early_and_at_most_a_tick_late() {
        for at in [1_u64, 1023, 1024, 1025, 65_535, 65_536, 65_537, 30_000_000, 86_400_000_000] {
            let mut wheel = Wheel::new();
            wheel.arm(0, Time::from_micros(at));
            assert_eq!(expired(&mut wheel, Time::from_micros(at - 1)), [0_u32; 0], "{at}");
            assert_eq!(expired(&mut wheel, Time::from_micros(at + 1024)), [0], "{at}");
        }
    }

    #[test]
    fn the_end_of_time_has_a_place() {
        let mut wheel = Wheel::new();
        wheel.arm(0, Time::MAX);
        assert_eq!(expired(&mut wheel, Time::from_millis(1 << 40)), [0_u32; 0]);
        assert_eq!((wheel.armed(), expired(&mut wheel, Time::MAX)), (1, vec![0]));
        wheel.arm(1, Time::MAX);
        assert_eq!(expired(&mut wheel, Time::MAX), [1]);
    }

    #[test]
    fn millions_of_long_deadlines_leave_nothing_behind() {
        let mut wheel = Wheel::new();
        for call in 0..2_000_000_u64 {
            let now = Time::from_micros(call * 3);
            assert_eq!(wheel.pop_expired(now), None);
            let slot = u32::try_from(call % 64).unwrap();
            wheel.disarm(slot);
            wheel.arm(slot, now + std::time::Duration::from_secs(30));
        }
        assert_eq!((wheel.armed(), wheel.timers.len()), (64, 64));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Arm(u32, u64),
        Disarm(u32),
        Sleep(u64),
        SleepUntilNext,
    }

    fn step() -> impl Strategy<Value = Step> {
        let span = prop_oneof![0..5_000_u64, 0..500_000_u64, 0..100_000_000_u64, 0..100_000_000_000_u64];
        prop_oneof![
            4 => (0..32_u32, span.clone()).prop_map(|(slot, after)| Step::Arm(slot, after)),
            1 => (0..32_u32).prop_map(Step::Disarm),
            1 => span.prop_map(Step::Sleep),
            2 => Just(Step::SleepUntilNext),
        ]
    }

    proptest! {
        #[test]
        fn the_wheel_is_a_sorted_list_rounded_up_to_ticks(steps in prop::collection::vec(step(), 1..120)) {
            let (mut wheel, mut model, mut now) = (Wheel::new(), BTreeMap::new(), 0_u64);
            for step in steps {
                match step {
                    Step::Arm(slot, after) => {
                        wheel.arm(slot, Time::from_micros(now + after));
                        model.insert(slot, (now + after).div_ceil(1024));
                    }
                    Step::Disarm(slot) => {
                        wheel.disarm(slot);
                        model.remove(&slot);
                    }
                    Step::Sleep(span) => now += span,
                    Step::SleepUntilNext => {
                        let next = wheel.next().map(Time::as_micros);
                        let first = model.values().min().map(|tick| tick * 1024);
                        prop_assert_eq!(next.is_some(), first.is_some());
                        if let (Some(next), Some(first)) = (next, first) {
                            prop_assert!(next <= first.max(now), "next {next}, first {first}, now {now}");
                            now = now.max(next);
                        }
                    }
                }
                let due: Vec<u32> =
                    model.iter().filter(|(_, tick)| **tick <= now / 1024).map(|(slot, _)| *slot).collect();
                model.retain(|_, tick| *tick > now / 1024);
                prop_assert_eq!(expired(&mut wheel, Time::from_micros(now)), due);
                prop_assert_eq!(wheel.armed(), model.len());
            }
        }

        #[test]
        fn sleeping_until_next_again_and_again_reaches_every_timer(after in prop::collection::vec(0..100_000_000_000_u64, 1..32)) {
            let mut wheel = Wheel::new();
            for (slot, after) in (0..).zip(&after) {
                wheel.arm(slot, Time::from_micros(*after));
            }
            let (mut fired, mut looks) = (0, 0);
            while let Some(at) = wheel.next() {
                fired += expired(&mut wheel, at).len();
                looks += 1;
            }
            prop_assert_eq!(fired, after.len());
            prop_assert!(looks <= after.len() * LEVELS as usize);
        }
    }
}
