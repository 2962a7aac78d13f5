//! Who decides about a call that was handed to a dispatcher: one byte, changed by compare-and-swap only.
//!
//! The dispatcher runs on other threads than the machine that admitted the call. At a deadline, a cancellation or a lost
//! connection the machine must know whether the function has begun (`executed`), and exactly one of them may answer.
//! Invariant: after `revoke` said "not begun", `begin` returns false for ever; of `answer` and `revoke` one wins.

use std::sync::atomic::{AtomicU8, Ordering::AcqRel, Ordering::Acquire};
use std::sync::{Arc, OnceLock};

use mpreg_types::Defect;

const HANDED_OVER: u8 = 0;
const BEGUN: u8 = 1;
const ANSWERED: u8 = 2;
const REVOKED: u8 = 3;

const PER_PAGE: usize = 1024;
type Page = Box<[AtomicU8; PER_PAGE]>;

/// The bytes of all slots of one machine. Pages appear with their first use, so a bound of a million costs nothing.
#[derive(Debug)]
pub(crate) struct Claims(Box<[OnceLock<Page>]>);

impl Claims {
    pub(crate) fn new(slots: u32) -> Arc<Self> {
        let pages = (slots as usize).div_ceil(PER_PAGE);
        Arc::new(Self((0..pages).map(|_| OnceLock::new()).collect()))
    }

    /// The claim of a slot whose former claim is gone.
    pub(crate) fn issue(self: &Arc<Self>, slot: u32) -> Claim {
        self.cell(slot).store(HANDED_OVER, std::sync::atomic::Ordering::Release);
        Claim { claims: self.clone(), slot }
    }

    /// True once the function runs or ran.
    pub(crate) fn has_begun(&self, slot: u32) -> bool {
        matches!(self.cell(slot).load(Acquire), BEGUN | ANSWERED)
    }

    /// Takes the right to answer away from the dispatcher.
    pub(crate) fn revoke(&self, slot: u32) -> Revoked {
        match self.cell(slot).swap(REVOKED, AcqRel) {
            HANDED_OVER => Revoked::NotBegun,
            BEGUN => Revoked::Begun,
            _ => Revoked::Answered,
        }
    }

    fn cell(&self, slot: u32) -> &AtomicU8 {
        let page = self.0[slot as usize / PER_PAGE]
            .get_or_init(|| Box::new([const { AtomicU8::new(HANDED_OVER) }; PER_PAGE]));
        &page[slot as usize % PER_PAGE]
    }
}

/// What a machine learns when it takes a call back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Revoked {
    /// The function has not begun and never will.
    NotBegun,
    /// The function runs; its answer will not be sent.
    Begun,
    /// The dispatcher has answered (or the call was revoked before).
    Answered,
}

/// A dispatcher's right to begin and to answer one call.
#[derive(Debug)]
pub struct Claim {
    claims: Arc<Claims>,
    slot: u32,
}

impl Claim {
    /// To be asked right before the function starts. False: nobody waits any more; do not start it, report the end.
    #[must_use = "a revoked call must not start"]
    pub fn begin(&self) -> bool {
        self.change(HANDED_OVER, BEGUN) || Defect::ClaimBeginsRevoked.is_in()
    }

    /// To be asked right before the answer is sent. False: the caller has been answered already; send nothing.
    #[must_use = "of two answers to one call the second must not be sent"]
    pub fn answer(&self) -> bool {
        self.change(BEGUN, ANSWERED) || self.change(HANDED_OVER, ANSWERED)
    }

    /// True if nobody waits any more: for `ctx.cancelled`, and to skip what stands in a queue.
    pub fn is_revoked(&self) -> bool {
        self.claims.cell(self.slot).load(Acquire) == REVOKED
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.claims.cell(self.slot).compare_exchange(from, to, AcqRel, Acquire).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_back_before_it_began_never_begins() {
        let claims = Claims::new(2048);
        let claim = claims.issue(1500);
        assert_eq!(claims.revoke(1500), Revoked::NotBegun);
        assert!(claim.is_revoked() && !claim.begin() && !claim.answer() && !claims.has_begun(1500));
    }

    #[test]
    fn of_two_answers_one_wins() {
        let claims = Claims::new(2);
        let (first, second) = (claims.issue(0), claims.issue(1));
        assert!(first.begin() && second.begin() && claims.has_begun(0));
        assert!(first.answer());
        assert_eq!((claims.revoke(0), claims.revoke(1)), (Revoked::Answered, Revoked::Begun));
        assert!(!second.answer() && !first.answer());
    }

    #[test]
    fn a_refusal_without_a_start_is_an_answer() {
        let claims = Claims::new(1);
        let claim = claims.issue(0);
        assert!(claim.answer() && !claim.begin());
        assert_eq!(claims.revoke(0), Revoked::Answered);
    }
}
