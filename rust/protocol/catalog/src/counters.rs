use std::collections::BTreeMap;

use crate::Refusal;

/// What happened so far. Counts only rise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Batches applied that advanced an owner, own ones included.
    pub batches_applied: u64,
    /// Snapshots that were taken over, own ones included.
    pub snapshots_applied: u64,
    /// Batches that brought nothing new.
    pub batches_known: u64,
    /// Batches that began too far ahead; what lies between was asked for.
    pub gaps: u64,
    /// Batches handed on to other peers.
    pub batches_forwarded: u64,
    /// Batches sent because a peer asked.
    pub batches_served: u64,
    /// Roots sent.
    pub roots_sent: u64,
    /// Digests sent.
    pub digests_sent: u64,
    /// Requests sent.
    pub wants_sent: u64,
    /// Requests given up: nobody who had it answered.
    pub wants_abandoned: u64,
    /// Owners found behind that did not fit the table of such owners.
    pub wants_overflowed: u64,
    /// Values of a known kind that did not decode and are kept as they are.
    pub values_opaque: u64,
    /// Logs dropped because membership never came to know their owners.
    pub unknown_expired: u64,
    refused: BTreeMap<&'static str, u64>,
}

impl Counters {
    /// How often each kind of refusal happened, by its name.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.refused.iter().map(|(name, count)| (*name, *count))
    }

    /// All refusals together.
    pub fn refused_total(&self) -> u64 {
        self.refused.values().sum()
    }

    pub(crate) fn count_refusal(&mut self, refusal: Refusal) {
        *self.refused.entry(refusal.name()).or_default() += 1;
    }
}
