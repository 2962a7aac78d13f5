//! What became of the calls of one function: counts that only grow, and how long they took.
//!
//! Whoever wants rates takes the difference of two readings. Times are kept in buckets that grow with them, four for
//! each doubling, so that a quantile is at most a quarter too high (as in `HdrHistogram`, with two significant bits).
//! Invariant: a call is counted once, and costs at most three additions without order between them.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Buckets per doubling, as a power of two.
const FINE_BITS: u32 = 2;
const FINE: u64 = 1 << FINE_BITS;
/// The last bucket takes everything from about 2^37 us on, which is more than a day.
const BUCKETS: usize = 37 << FINE_BITS;

type Buckets = Box<[AtomicU64; BUCKETS]>;

/// See the module.
#[derive(Debug, Default)]
pub struct Tally {
    errors: AtomicU64,
    unanswered: AtomicU64,
    total_us: AtomicU64,
    /// Made with the first call: most functions of a large node are never called.
    times: OnceLock<Buckets>,
}

/// What a [`Tally`] has counted so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// Calls that have ended.
    pub calls: u64,
    /// Of those, the ones that gave no value.
    pub errors: u64,
    /// Time of all answered calls together, in microseconds.
    pub total_us: u64,
    /// How many answered calls took how long: the time in microseconds that those of a bucket took less than, and how
    /// many; ascending, empty ones left out.
    pub times: Vec<(u64, u64)>,
}

impl Tally {
    /// A call was answered after `took`, counted from its arrival.
    pub fn answered(&self, took: Duration, ok: bool) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let times = self.times.get_or_init(|| Box::new([const { AtomicU64::new(0) }; BUCKETS]));
        times[bucket_of(micros)].fetch_add(1, Relaxed);
        self.total_us.fetch_add(micros, Relaxed);
        if !ok {
            self.errors.fetch_add(1, Relaxed);
        }
    }

    /// A call ended without an answer of its function.
    pub fn given_up(&self) {
        self.unanswered.fetch_add(1, Relaxed);
    }

    /// A reading; calls that end meanwhile may be in a part of it.
    pub fn read(&self) -> Counted {
        let unanswered = self.unanswered.load(Relaxed);
        let all = self.times.get().into_iter().flat_map(|times| times.iter().enumerate());
        let times: Vec<(u64, u64)> = all
            .map(|(bucket, count)| (end_of(bucket), count.load(Relaxed)))
            .filter(|(_, count)| *count > 0)
            .collect();
        Counted {
            calls: unanswered + times.iter().map(|(_, count)| count).sum::<u64>(),
            errors: unanswered + self.errors.load(Relaxed),
            total_us: self.total_us.load(Relaxed),
            times,
        }
    }
}

fn bucket_of(micros: u64) -> usize {
    let bits = u64::BITS - micros.leading_zeros();
    // Below the first doubling that is divided every microsecond has its own.
    let shift = bits.saturating_sub(FINE_BITS + 1);
    let bucket = u64::from(shift) * FINE + (micros >> shift);
    usize::try_from(bucket).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

/// The first time that is too long for the bucket.
fn end_of(bucket: usize) -> u64 {
    let next = bucket as u64 + 1;
    let shift = (next / FINE).saturating_sub(1);
    (next - shift * FINE) << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_falls_into_a_bucket_that_ends_at_most_a_quarter_above_it() {
        for micros in (0..5_000).chain((0..37).map(|bit| (1 << bit) - 1)).chain((0..37).map(|bit| 1 << bit)) {
            let end = end_of(bucket_of(micros));
            assert!(micros < end, "{micros} in a bucket that ends at {end}");
            assert!(end - 1 <= micros + micros / 4, "{micros} in a bucket that ends at {end}");
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn buckets_follow_one_another() {
        for bucket in 1..BUCKETS {
            assert!(end_of(bucket - 1) < end_of(bucket));
            assert_eq!(bucket_of(end_of(bucket - 1)), bucket, "what is too long for one is in the next");
        }
    }

    #[test]
    fn calls_are_counted_by_how_they_ended() {
        let tally = Tally::default();
        assert_eq!(tally.read(), Counted::default());
        tally.answered(Duration::from_micros(3), true);
        tally.answered(Duration::from_micros(3), true);
        tally.answered(Duration::from_millis(1), false);
        tally.given_up();
        let read = tally.read();
        assert_eq!((read.calls, read.errors, read.total_us), (4, 2, 1_006));
        assert_eq!(read.times, [(4, 2), (1_024, 1)]);
    }
}
