//! The sender's side of a stream: whether the next item may leave.
//!
//! The generator runs on another thread than the machine that hears of credit and of deadlines, so this is one small
//! object between the two, without a lock. Invariants: credit is never below zero and never above the window; a sender
//! that was told to wait is woken exactly once, when there is enough for the item it holds; either the first item passes
//! or the deadline closes the gate, never both.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::SeqCst};

use mpreg_types::{Defect, STREAM_WINDOW};

const FRESH: u8 = 0;
const FLOWING: u8 = 1;
const CLOSED: u8 = 2;

/// See the module. One per stream.
#[derive(Debug)]
pub struct ItemGate {
    phase: AtomicU8,
    credit: AtomicU64,
    /// What the item costs that waits; 0: none does.
    wanted: AtomicU64,
}

/// What becomes of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// It may be sent now.
    Passed,
    /// There is not enough credit; ask again when woken.
    Wait,
    /// Nobody reads any more.
    Closed,
}

/// More came back than was under way, or more came than the window allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overdrawn;

impl ItemGate {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            phase: AtomicU8::new(FRESH),
            credit: AtomicU64::new(STREAM_WINDOW),
            wanted: AtomicU64::new(0),
        })
    }

    /// For the sender: takes credit for an item.
    pub fn pass(&self, cost: u64) -> Pass {
        loop {
            if self.is_closed() {
                return Pass::Closed;
            }
            let take = |credit: u64| credit.checked_sub(cost);
            if self.credit.fetch_update(SeqCst, SeqCst, take).is_ok() || Defect::GateIgnoresCredit.is_in() {
                return self.begin();
            }
            self.wanted.store(cost, SeqCst);
            // Credit that came before it was told what is wanted woke nobody.
            if self.credit.load(SeqCst) < cost || self.wanted.swap(0, SeqCst) == 0 {
                return Pass::Wait;
            }
        }
    }

    /// True once nobody reads any more.
    pub fn is_closed(&self) -> bool {
        self.phase.load(SeqCst) == CLOSED
    }

    /// True once an item has passed.
    pub(crate) fn is_flowing(&self) -> bool {
        self.phase.load(SeqCst) == FLOWING
    }

    /// The reader took items. True if the sender is to be woken.
    pub(crate) fn give(&self, bytes: u64) -> Result<bool, Overdrawn> {
        let add = |credit: u64| credit.checked_add(bytes).filter(|sum| *sum <= STREAM_WINDOW);
        self.credit.fetch_update(SeqCst, SeqCst, add).map_err(|_| Overdrawn)?;
        let wanted = self.wanted.load(SeqCst);
        Ok(wanted > 0 && self.credit.load(SeqCst) >= wanted && self.wanted.swap(0, SeqCst) > 0)
    }

    /// Nobody reads any more.
    pub(crate) fn close(&self) {
        self.phase.store(CLOSED, SeqCst);
    }

    /// The deadline passed. False: an item came first, and the stream goes on.
    pub(crate) fn close_unless_flowing(&self) -> bool {
        self.phase.compare_exchange(FRESH, CLOSED, SeqCst, SeqCst) != Err(FLOWING)
    }

    fn begin(&self) -> Pass {
        match self.phase.compare_exchange(FRESH, FLOWING, SeqCst, SeqCst) {
            Ok(_) | Err(FLOWING) => Pass::Passed,
            Err(_) => Pass::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_waits_for_what_its_item_costs_and_is_woken_once() {
        let gate = ItemGate::new();
        assert_eq!(gate.pass(STREAM_WINDOW), Pass::Passed);
        assert_eq!(gate.pass(100), Pass::Wait);
        assert_eq!(gate.give(99), Ok(false));
        assert_eq!(gate.give(1), Ok(true));
        assert_eq!(gate.give(1), Ok(false));
        assert_eq!(gate.pass(101), Pass::Passed);
    }

    #[test]
    fn credit_beyond_the_window_is_refused() {
        let gate = ItemGate::new();
        assert_eq!(gate.give(1), Err(Overdrawn));
        assert_eq!(gate.pass(5), Pass::Passed);
        assert_eq!(
            (gate.give(6), gate.give(u64::MAX), gate.give(5)),
            (Err(Overdrawn), Err(Overdrawn), Ok(false))
        );
    }

    #[test]
    fn either_the_first_item_passes_or_the_deadline() {
        let late = ItemGate::new();
        assert!(late.close_unless_flowing() && late.close_unless_flowing());
        assert_eq!(late.pass(1), Pass::Closed);
        let quick = ItemGate::new();
        assert_eq!(quick.pass(1), Pass::Passed);
        assert!(!quick.close_unless_flowing() && quick.is_flowing());
        quick.close();
        assert_eq!(quick.pass(1), Pass::Closed);
    }
}
