#[cfg(feature = "seeded-bugs")]
use std::cell::Cell;

/// A defect put into shipped code on purpose, to prove that the simulator finds it. Each stands at one place, as one
/// condition; without the feature `seeded-bugs` that condition is the constant `false`, so nothing of it is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Defect {
    /// The catalog takes a batch though versions before it are missing.
    CatalogIgnoresGaps,
    /// The catalog takes the log of an earlier start than the one it knows.
    CatalogTakesFormerStarts,
    /// A node that slept takes its own lateness for the silence of others.
    MembershipIgnoresItsSleep,
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
    /// A call that runs when it is taken back is reported as not executed.
    SwitchDeniesTheStart,
    /// A call that was taken back begins all the same.
    ClaimBeginsRevoked,
    /// Calls that were forwarded over a connection are forgotten when it breaks.
    SwitchForgetsRelays,
    /// Once a snapshot was put off, no further one is published in time.
    EngineNeverPublishesAgain,
}

impl Defect {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::CatalogIgnoresGaps,
        Self::CatalogTakesFormerStarts,
        Self::MembershipIgnoresItsSleep,
        Self::MembershipTakesSilenceForRefusal,
        Self::MembershipForgetsAbruptLosses,
        Self::MembershipKeepsDeathsToItself,
        Self::TableRepeatsUnknown,
        Self::TableMiscountsUnsent,
        Self::SwitchDeniesTheStart,
        Self::ClaimBeginsRevoked,
        Self::SwitchForgetsRelays,
        Self::EngineNeverPublishesAgain,
    ];

    /// True if this defect is in the code that runs.
    #[cfg(not(feature = "seeded-bugs"))]
    #[expect(clippy::unused_self, reason = "without the feature there is nothing to choose")]
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
