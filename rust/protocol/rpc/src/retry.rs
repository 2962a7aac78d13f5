//! How often failed attempts are repeated: the back-off of one call, and the budget of the whole node that stops
//! storms. The budget follows Finagle's `RetryBudget`: a share of the calls made, plus a floor per second.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use mpreg_types::Time;

use crate::rng::Rng;

/// Longest pause before the first further attempt.
const BACKOFF_FIRST: Duration = Duration::from_millis(10);
/// Longest pause of all.
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Pause before a further attempt, with full jitter: 0 to 10 ms after the first failure, doubling up to 1 s.
pub(crate) fn backoff(failures: u32, rng: &mut Rng) -> Duration {
    let most = BACKOFF_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(BACKOFF_MAX);
    let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(rng.up_to(micros))
}

/// What a node may spend on further attempts; shared by its call tables.
///
/// Two pots: `per_second` fills with time and saves up one second's worth; the other gets a share of every call and
/// saves up `saved_max`. So retries never exceed the share of the calls made plus the floor, over any time.
#[derive(Debug)]
pub struct RetryBudget {
    config: RetryConfig,
    /// Moment at which the pot of the floor will be full again, in microseconds (GCRA).
    full_at: AtomicU64,
    /// The share of calls saved up, in hundredths of a retry.
    saved: AtomicU64,
}

/// How much a node may spend on further attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryConfig {
    /// Retries per hundred calls.
    pub percent: u32,
    /// Retries per second on top; at least 1.
    pub per_second: u32,
    /// Most retries that healthy times save up.
    pub saved_max: u32,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self { percent: 10, per_second: 10, saved_max: 1000 }
    }
}

impl RetryBudget {
    /// Nothing saved yet, the floor's pot full.
    pub fn new(config: RetryConfig) -> Self {
        Self { config, full_at: AtomicU64::new(0), saved: AtomicU64::new(0) }
    }

    /// Adds the share of `calls` calls.
    pub(crate) fn deposit(&self, calls: u32) {
        let share = u64::from(calls) * u64::from(self.config.percent);
        let most = u64::from(self.config.saved_max) * 100;
        let _ = self.saved.fetch_update(Relaxed, Relaxed, |saved| Some(most.min(saved + share)));
    }

    /// Takes one retry out, if there is one.
    pub(crate) fn try_spend(&self, now: Time) -> bool {
        let interval = 1_000_000 / u64::from(self.config.per_second.max(1));
        let now = now.as_micros();
        let floor = self.full_at.fetch_update(Relaxed, Relaxed, |full_at| {
            let full_at = full_at.max(now) + interval;
            (full_at <= now + 1_000_000).then_some(full_at)
        });
        floor.is_ok() || self.saved.fetch_update(Relaxed, Relaxed, |saved| saved.checked_sub(100)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_a_second_and_are_spread_down_to_zero() {
        let mut rng = Rng::new(1);
        for (failures, most) in
            [(1, 10_000), (2, 20_000), (3, 40_000), (7, 640_000), (8, 1_000_000), (200, 1_000_000)]
        {
            let pauses: Vec<_> = (0..400).map(|_| backoff(failures, &mut rng).as_micros()).collect();
            assert!(pauses.iter().all(|pause| *pause <= most), "{failures}");
            assert!(pauses.iter().any(|pause| *pause > most * 9 / 10), "{failures}");
            assert!(pauses.iter().any(|pause| *pause < most / 10), "{failures}");
        }
    }

    #[test]
    fn a_storm_gets_a_tenth_of_its_calls_and_ten_a_second() {
        let budget = RetryBudget::new(RetryConfig::default());
        let mut spent = 0;
        for call in 0..20_000_u64 {
            budget.deposit(1);
            spent += u64::from(budget.try_spend(Time::from_micros(call * 100)));
        }
        // 2 s: 2,000 of the share, 20 of the floor and the floor's full pot at the start.
        assert!((2_000..=2_030).contains(&spent), "{spent}");
    }

    #[test]
    fn an_idle_node_saves_one_second_of_the_floor() {
        let budget = RetryBudget::new(RetryConfig::default());
        let at = Time::from_millis(3_600_000);
        assert_eq!((0..100).filter(|_| budget.try_spend(at)).count(), 10);
        assert!(budget.try_spend(at + Duration::from_millis(100)));
        assert!(!budget.try_spend(at + Duration::from_millis(150)));
    }

    #[test]
    fn healthy_times_save_up_to_the_bound() {
        let budget = RetryBudget::new(RetryConfig { saved_max: 50, ..RetryConfig::default() });
        budget.deposit(1_000_000);
        assert_eq!((0..1000).filter(|_| budget.try_spend(Time::ZERO)).count(), 60);
    }
}
