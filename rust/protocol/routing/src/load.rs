use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use mpreg_types::{Load, Time};

/// How long a reported load counts; an older one is unknown.
pub const LOAD_FRESH: Duration = Duration::from_secs(5);

/// Mean of the loads that all peers reported, for those of which nothing is known: a moving average with weight 1/16,
/// in sixteenths of a call.
#[derive(Debug, Default)]
pub(crate) struct MeanLoad(AtomicU64);

impl MeanLoad {
    fn add(&self, calls: u32) {
        // Two reports at one moment may lose one of them; the mean does not mind.
        let mean = self.0.load(Ordering::Relaxed);
        self.0.store(mean - mean / 16 + u64::from(calls), Ordering::Relaxed);
    }

    fn calls(&self) -> u32 {
        u32::try_from(self.0.load(Ordering::Relaxed) / 16).unwrap_or(u32::MAX)
    }
}

/// How busy one peer is: what it reported, corrected by what this process has sent it since.
#[derive(Debug, Default)]
pub(crate) struct PeerLoad {
    in_flight: AtomicU32,
    /// Reported calls (upper half), own calls in flight at that moment (lower half).
    report: AtomicU64,
    /// Microseconds of the report plus one; 0 = never. A reader between the two stores sees a mixture of two reports,
    /// which is as good a guess.
    reported_at: AtomicU64,
    /// The same of the last reply to a call.
    replied_at: AtomicU64,
}

impl PeerLoad {
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(crate) fn sent(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn ended(&self) {
        let before = self.in_flight.fetch_sub(1, Ordering::Relaxed);
        assert!(before > 0, "more calls ended than were sent");
    }

    pub(crate) fn report(&self, load: Load, now: Time, mean: &MeanLoad) {
        let calls = load.in_flight.saturating_add(load.queued);
        mean.add(calls);
        self.report.store(u64::from(calls) << 32 | u64::from(self.in_flight()), Ordering::Relaxed);
        self.reported_at.store(stamp(now), Ordering::Relaxed);
    }

    pub(crate) fn replied(&self, now: Time) {
        self.replied_at.store(stamp(now), Ordering::Relaxed);
    }

    pub(crate) fn replied_at(&self) -> Option<Time> {
        time_of(self.replied_at.load(Ordering::Relaxed))
    }

    /// What was reported in the last [`LOAD_FRESH`], and what was sent or ended since.
    pub(crate) fn known(&self, now: Time) -> Option<u32> {
        if now.since(time_of(self.reported_at.load(Ordering::Relaxed))?) > LOAD_FRESH {
            return None;
        }
        let report = self.report.load(Ordering::Relaxed);
        let [c0, c1, c2, c3, own_then @ ..] = report.to_be_bytes();
        let calls = u32::from_be_bytes([c0, c1, c2, c3]);
        Some(calls.saturating_add(self.in_flight()).saturating_sub(u32::from_be_bytes(own_then)))
    }

    /// The known load, else the mean, and never less than what this process alone has in flight there.
    pub(crate) fn estimate(&self, now: Time, mean: &MeanLoad) -> u32 {
        self.known(now).unwrap_or_else(|| mean.calls()).max(self.in_flight())
    }
}

/// A moment in an atomic that is 0 before the first.
fn stamp(now: Time) -> u64 {
    now.as_micros().saturating_add(1)
}

fn time_of(stamp: u64) -> Option<Time> {
    stamp.checked_sub(1).map(Time::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(in_flight: u32, queued: u32) -> Load {
        Load { in_flight, queued }
    }

    #[test]
    fn a_report_is_corrected_by_what_was_sent_since() {
        let (load, mean, now) = (PeerLoad::default(), MeanLoad::default(), Time::from_millis(1));
        load.sent();
        load.report(busy(3, 4), now, &mean);
        assert_eq!(load.estimate(now, &mean), 7);
        load.sent();
        assert_eq!(load.estimate(now, &mean), 8);
        load.ended();
        load.ended();
        assert_eq!(load.estimate(now, &mean), 6);
    }

    #[test]
    fn a_load_older_than_five_seconds_is_the_mean() {
        let (load, mean, now) = (PeerLoad::default(), MeanLoad::default(), Time::from_millis(1));
        assert_eq!(load.known(now), None);
        load.report(busy(100, 0), now, &mean);
        assert_eq!(load.known(now + LOAD_FRESH), Some(100));
        let later = now + LOAD_FRESH + Duration::from_micros(1);
        assert_eq!(load.known(later), None);
        for _ in 0..200 {
            mean.add(10);
        }
        assert!((9..=11).contains(&load.estimate(later, &mean)));
        for _ in 0..50 {
            load.sent();
        }
        assert_eq!(load.estimate(later, &mean), 50, "own calls are known");
    }
}
