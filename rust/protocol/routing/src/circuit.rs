use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mpreg_types::Time;
use serde::{Deserialize, Serialize};

/// What a circuit breaker says of its peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CircuitState {
    /// It works, as far as is known.
    Closed,
    /// It failed again and again: chosen only if nobody else is left.
    Open,
    /// It failed, and may show that it works again.
    HalfOpen,
}

/// The circuit breaker of one peer (Nygard, "Release It!", 2007). A failure is a broken, refused or unanswered
/// connection, never an exception of the function, a passed deadline, a cancelled or refused call.
///
/// One atomic word, so that readers on every thread see a consistent state.
#[derive(Debug, Default)]
pub struct Circuit(AtomicU64);

/// The word, taken apart: bit 0 says "tripped", bits 1..8 count failures in a row (not tripped) or successes since
/// (tripped), the rest is the moment of the last trip in milliseconds.
#[derive(Clone, Copy)]
struct Word {
    tripped: bool,
    count: u64,
    since_ms: u64,
}

impl Word {
    fn read(word: u64) -> Self {
        Self { tripped: word & 1 == 1, count: (word >> 1) & 0x7f, since_ms: word >> 8 }
    }

    fn write(self) -> u64 {
        u64::from(self.tripped) | (self.count << 1) | (self.since_ms << 8)
    }

    fn half_open(self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.since_ms) >= OPEN_MS
    }
}

const OPEN_MS: u64 = 5_000;

impl Circuit {
    /// Failures in a row that open it.
    pub const FAILURES: u64 = 5;
    /// How long it is open before the peer gets another chance.
    pub const OPEN: Duration = Duration::from_millis(OPEN_MS);
    /// Successes that close it again.
    pub const SUCCESSES: u64 = 3;

    /// How it stands.
    pub fn state(&self, now: Time) -> CircuitState {
        let word = Word::read(self.0.load(Ordering::Relaxed));
        match (word.tripped, word.half_open(millis(now))) {
            (false, _) => CircuitState::Closed,
            (true, false) => CircuitState::Open,
            (true, true) => CircuitState::HalfOpen,
        }
    }

    /// The peer answered, whatever it said.
    pub fn succeeded(&self) {
        // The usual case costs one load.
        if self.0.load(Ordering::Relaxed) != 0 {
            self.update(|word| {
                let count = word.count + 1;
                if word.tripped && count < Self::SUCCESSES {
                    Word { count, ..word }
                } else {
                    Word { tripped: false, count: 0, since_ms: 0 }
                }
            });
        }
    }

    /// The connection broke, was refused or did not answer.
    pub fn failed(&self, now: Time) {
        let now_ms = millis(now);
        self.update(|word| {
            if word.tripped {
                // Failures of calls that were under way do not make the pause longer.
                let since_ms = if word.half_open(now_ms) { now_ms } else { word.since_ms };
                return Word { count: 0, since_ms, ..word };
            }
            let count = word.count + 1;
            if count < Self::FAILURES {
                Word { count, ..word }
            } else {
                Word { tripped: true, count: 0, since_ms: now_ms }
            }
        });
    }

    fn update(&self, change: impl Fn(Word) -> Word) {
        // The closure never answers None, so there is no failure to handle.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
            Some(change(Word::read(word)).write())
        });
    }
}

/// 56 bits of milliseconds are two million years.
fn millis(now: Time) -> u64 {
    now.as_micros() / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened_at(now: Time) -> Circuit {
        let circuit = Circuit::default();
        for _ in 0..Circuit::FAILURES {
            assert_eq!(circuit.state(now), CircuitState::Closed);
            circuit.failed(now);
        }
        circuit
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_a_success_between_does_not() {
        let now = Time::from_millis(100);
        let circuit = Circuit::default();
        for round in 0..20 {
            circuit.failed(now);
            if round % 4 == 3 {
                circuit.succeeded();
            }
        }
        assert_eq!(circuit.state(now), CircuitState::Closed);
        assert_eq!(opened_at(now).state(now), CircuitState::Open);
    }

    #[test]
    fn it_is_half_open_after_five_seconds_and_closed_after_three_successes() {
        let now = Time::from_millis(100);
        let circuit = opened_at(now);
        assert_eq!(circuit.state(now + Duration::from_millis(4_999)), CircuitState::Open);
        let later = now + Circuit::OPEN;
        assert_eq!(circuit.state(later), CircuitState::HalfOpen);
        circuit.succeeded();
        circuit.succeeded();
        assert_eq!(circuit.state(later), CircuitState::HalfOpen);
        circuit.succeeded();
        assert_eq!(circuit.state(later), CircuitState::Closed);
    }

    #[test]
    fn a_failure_while_half_open_opens_it_again() {
        let now = Time::from_millis(100);
        let circuit = opened_at(now);
        circuit.failed(now + Duration::from_secs(4));
        let later = now + Circuit::OPEN;
        assert_eq!(circuit.state(later), CircuitState::HalfOpen, "late failures do not lengthen the pause");
        circuit.failed(later);
        assert_eq!(circuit.state(later), CircuitState::Open);
        assert_eq!(circuit.state(later + Circuit::OPEN), CircuitState::HalfOpen);
    }
}
