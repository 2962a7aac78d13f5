use std::time::{Instant, SystemTime, UNIX_EPOCH};

use mpreg_types::Time;

/// The one place that reads clocks: everything pure gets its time from here, as an input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts at [`Time::ZERO`].
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Monotonic time since the start.
    pub(crate) fn now(&self) -> Time {
        Time::from_micros(u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// When `time` will be on tokio's clock.
    pub(crate) fn instant(&self, time: Time) -> tokio::time::Instant {
        const FAR: std::time::Duration = std::time::Duration::from_hours(365 * 24);
        tokio::time::Instant::from_std(self.start + time.since(Time::ZERO).min(FAR))
    }
}

/// Milliseconds since 1970, for incarnations only.
pub(crate) fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
