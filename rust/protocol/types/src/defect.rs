#[cfg(feature = "seeded-bugs")]
use std::cell::Cell;

/// A defect put into shipped code on purpose, to prove that the simulator finds it. Each stands at one place, as one
/// condition; without the feature `seeded-bugs` that condition is the constant `false`, so nothing of it is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Defect {
    /// The catalog takes a batch though versions before it are missing.
    CatalogIgnoresGaps,
    /// What is missing of a log that is held in part is never asked for.
    CatalogNeverAsksForTheRest,
    /// A suspect has only as long to refute as a rumour has to be confirmed.
    MembershipSuspectsBriefly,
    /// A dial that failed after a lost connection counts as a refused one.
    MembershipTakesSilenceForRefusal,
    /// A refused redial after an abrupt loss proves nothing.
    MembershipForgetsAbruptLosses,
    /// Who sends though it is held for Down is not told so.
    MembershipKeepsDeathsToItself,
    /// A call that may have been executed is sent again.
    TableRepeatsUnknown,
    /// The last call that was handed to the kernel counts as unsent.
    TableMiscountsUnsent,
    /// The last call that a goodbye names as taken counts as not taken.
    GoodbyeDeniesTheLast,
    /// A call that runs when it is taken back is reported as not executed.
    SwitchDeniesTheStart,
    /// A call that was taken back begins all the same.
    ClaimBeginsRevoked,
    /// Calls that were forwarded over a connection are forgotten when it breaks.
    SwitchForgetsRelays,
    /// Items leave though their reader has no room for them.
    GateIgnoresCredit,
    /// A stream that was lost after items had come is asked for again.
    TableRepeatsAfterItems,
    /// What membership thinks of a node does not reach those who choose.
    EngineKeepsTheDeadSelectable,
    /// Only the coordinator's own results are freed when a graph ends.
    DeskFreesOnlyItsOwn,
    /// A graph that nobody waits for any more is forgotten, but not cancelled.
    DeskForgetsToCancel,
    /// A result is held for as long as its own step had time, not for as long as its graph has.
    DeskHoldsForAStepsTime,
    /// A step whose result was lost runs again, whatever its function is.
    RunRepeatsAnyStep,
}

impl Defect {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::CatalogIgnoresGaps,
        Self::CatalogNeverAsksForTheRest,
        Self::MembershipSuspectsBriefly,
        Self::MembershipTakesSilenceForRefusal,
        Self::MembershipForgetsAbruptLosses,
        Self::MembershipKeepsDeathsToItself,
        Self::TableRepeatsUnknown,
        Self::TableMiscountsUnsent,
        Self::GoodbyeDeniesTheLast,
        Self::SwitchDeniesTheStart,
        Self::ClaimBeginsRevoked,
        Self::SwitchForgetsRelays,
        Self::GateIgnoresCredit,
        Self::TableRepeatsAfterItems,
        Self::EngineKeepsTheDeadSelectable,
        Self::DeskFreesOnlyItsOwn,
        Self::DeskForgetsToCancel,
        Self::DeskHoldsForAStepsTime,
        Self::RunRepeatsAnyStep,
    ];

    /// True if this defect is in the code that runs.
    #[cfg(not(feature = "seeded-bugs"))]
    #[inline]
    pub const fn is_in(self) -> bool {
        false
    }

    /// True if this defect is in the code that runs on this thread.
    #[cfg(feature = "seeded-bugs")]
    pub fn is_in(self) -> bool {
        CHOSEN.get() == Some(self)
    }

    /// From now on `defect` and no other is in the code that runs on this thread.
    #[cfg(feature = "seeded-bugs")]
    pub fn choose(defect: Option<Self>) {
        CHOSEN.set(defect);
    }
}

#[cfg(feature = "seeded-bugs")]
thread_local! {
    static CHOSEN: Cell<Option<Defect>> = const { Cell::new(None) };
}
