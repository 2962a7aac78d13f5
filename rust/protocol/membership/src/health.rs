//! Local health (Lifeguard): how far this node trusts its own impression that others are silent.
//!
//! A score from 0 (healthy) to 8; timers of probes and suspicions are stretched by a quarter per point, so a sick node
//! accuses three times slower. What raises it: finding oneself late, being suspected, and probes of *different*
//! members failing in a row (one silent member is its own trouble, several in a row are probably ours). What lowers
//! it: an answered probe.

use std::time::Duration;

use foca::ProbeNumber;
use mpreg_types::NodeId;

const SCORE_MAX: u32 = 8;
/// Points that double a timer, minus the first: a timer is stretched by `1 + score / STRETCH`.
const STRETCH: u32 = 4;

#[derive(Debug, Clone, Copy)]
struct Probe {
    target: NodeId,
    number: ProbeNumber,
    answered: bool,
}

/// The score and what it is made from.
#[derive(Debug, Default)]
pub(crate) struct LocalHealth {
    score: u32,
    probe: Option<Probe>,
    last_failed: Option<NodeId>,
}

impl LocalHealth {
    /// 0 is healthy.
    pub(crate) fn score(&self) -> u32 {
        self.score
    }

    /// Something speaks for trouble on our side.
    pub(crate) fn worse(&mut self) {
        self.score = (self.score + 1).min(SCORE_MAX);
    }

    /// A probe begins; the one before it has ended.
    pub(crate) fn probe_sent(&mut self, target: NodeId, number: ProbeNumber) {
        if let Some(failed) = self.probe.filter(|probe| !probe.answered) {
            if self.last_failed.is_some_and(|last| last != failed.target) {
                self.worse();
            }
            self.last_failed = Some(failed.target);
        }
        self.probe = Some(Probe { target, number, answered: false });
    }

    /// `target` answered, to us or through another; true if that was news.
    pub(crate) fn probe_answered(&mut self, target: NodeId, number: ProbeNumber) -> bool {
        if let Some(probe) = &mut self.probe
            && probe.target == target
            && probe.number == number
            && !probe.answered
        {
            probe.answered = true;
            self.last_failed = None;
            self.score = self.score.saturating_sub(1);
            return true;
        }
        false
    }

    /// `duration` as long as a node of this health should take it.
    pub(crate) fn stretch(&self, duration: Duration) -> Duration {
        duration * (STRETCH + self.score) / STRETCH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(byte: u8) -> NodeId {
        NodeId::from_bytes([byte; 16])
    }

    #[test]
    fn one_silent_member_is_not_our_trouble() {
        let mut health = LocalHealth::default();
        for number in 0..20 {
            health.probe_sent(node(1), number);
        }
        assert_eq!(health.score(), 0);
    }

    #[test]
    fn several_silent_members_in_a_row_are_and_answers_heal() {
        let mut health = LocalHealth::default();
        for number in 0..40 {
            health.probe_sent(node(number % 5), number);
        }
        assert_eq!(health.score(), SCORE_MAX);
        assert_eq!(health.stretch(Duration::from_secs(2)), Duration::from_secs(6));
        for number in 40..50 {
            health.probe_sent(node(1), number);
            health.probe_answered(node(1), number);
            health.probe_answered(node(1), number);
        }
        assert_eq!(health.score(), 0);
        assert_eq!(health.stretch(Duration::from_secs(2)), Duration::from_secs(2));
    }

    #[test]
    fn an_answer_from_elsewhere_or_to_an_older_probe_does_not_count() {
        let mut health = LocalHealth::default();
        health.worse();
        health.probe_sent(node(1), 7);
        health.probe_answered(node(2), 7);
        health.probe_answered(node(1), 6);
        assert_eq!(health.score(), 1);
    }
}
