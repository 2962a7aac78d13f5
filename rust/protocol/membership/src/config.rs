//! Every setting of membership, with unit and relation to the others.

use std::time::Duration;

use crate::ConfigError;

/// Settings of one [`crate::Membership`]; all nodes of a cluster use the same. Immutable once handed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Every so often one random member is probed; a probe without answer for this long is a suspicion.
    pub probe_period: Duration,
    /// How long a direct answer may take before others are asked to probe; less than half of `probe_period`.
    pub probe_rtt: Duration,
    /// How many others are asked to probe for us.
    pub indirect_probes: usize,
    /// How long a suspect has to refute. Silent death is seen about `probe_period` + this after it happens.
    pub suspicion: Duration,
    /// The stall of a living node, or of the machine with all nodes, that must not look like death.
    /// Invariant: `probe_period + suspicion >= 1.15 * tolerated_stall`.
    pub tolerated_stall: Duration,
    /// Suspicion after a process death: a connection ended abruptly and its redial was refused.
    pub process_suspicion: Duration,
    /// How long an accused node we are connected to has to answer us before we believe others that it is Down.
    pub confirmation: Duration,
    /// A timer that is later than this means that we slept, not the others.
    pub late_after: Duration,
    /// Every so often (jittered by a fifth) the table is compared with one random peer.
    pub repair_period: Duration,
    /// How long Down and Left members are remembered, and Down ones dialled.
    pub remember: Duration,
    /// A member held for Down that keeps sending is told so at most this often.
    pub told_so_period: Duration,
    /// News that is not urgent (a member seen up) is gathered for this long.
    pub news_delay: Duration,
    /// Up to this many members, this node included, every pair keeps a connection.
    pub full_mesh_max: usize,
    /// How many random members a node stays connected to beyond `full_mesh_max`.
    pub active_view: usize,
    /// Most peers a piece of news is sent to at once beyond `full_mesh_max`; at least `active_view`.
    pub push_fanout: usize,
    /// Most members known at once; rows of further ones are dropped and counted.
    pub members_max: usize,
    /// First back-off between two dials of the same node; doubles with each failure.
    pub dial_backoff_first: Duration,
    /// Longest back-off.
    pub dial_backoff_max: Duration,
    /// Most dials in flight.
    pub dials_max: usize,
    /// A dial that has not been reported by then frees its place; the driver's own time-out is not longer.
    pub dial_timeout: Duration,
    /// Of a pair that should be connected the lower `NodeId` dials at once, the other one after this long.
    pub dial_patience: Duration,
    /// Most messages kept for a member that is being dialled; the oldest is dropped and counted.
    pub pending_max: usize,
}

impl Config {
    /// For nodes of one data centre: silent death seen by all in about 2.5 s, stalls of 2 s tolerated.
    pub fn lan() -> Self {
        Self {
            probe_period: Duration::from_millis(300),
            probe_rtt: Duration::from_millis(100),
            indirect_probes: 3,
            suspicion: Duration::from_secs(2),
            tolerated_stall: Duration::from_secs(2),
            process_suspicion: Duration::from_millis(500),
            confirmation: Duration::from_millis(500),
            late_after: Duration::from_millis(250),
            repair_period: Duration::from_secs(5),
            remember: Duration::from_mins(10),
            told_so_period: Duration::from_millis(100),
            news_delay: Duration::from_millis(10),
            full_mesh_max: 64,
            active_view: 8,
            push_fanout: 16,
            members_max: 16_384,
            dial_backoff_first: Duration::from_millis(100),
            dial_backoff_max: Duration::from_secs(5),
            dials_max: 4,
            dial_timeout: Duration::from_secs(1),
            dial_patience: Duration::from_secs(1),
            pending_max: 4,
        }
    }

    /// For nodes far apart: the same promises at round trips up to 500 ms, five times slower.
    pub fn wan() -> Self {
        let lan = Self::lan();
        Self {
            probe_period: lan.probe_period * 5,
            probe_rtt: lan.probe_rtt * 5,
            suspicion: lan.suspicion * 5,
            process_suspicion: lan.process_suspicion * 5,
            confirmation: lan.confirmation * 5,
            dial_timeout: lan.dial_timeout * 5,
            dial_patience: lan.dial_patience * 2,
            ..lan
        }
    }

    /// [`Config::lan`] ten times faster, the tolerated stall too: for virtual time only, where nothing stalls unasked.
    pub fn test() -> Self {
        let lan = Self::lan();
        Self {
            probe_period: lan.probe_period / 10,
            probe_rtt: lan.probe_rtt / 10,
            suspicion: lan.suspicion / 10,
            tolerated_stall: lan.tolerated_stall / 10,
            process_suspicion: lan.process_suspicion / 10,
            confirmation: lan.confirmation / 10,
            late_after: lan.late_after / 10,
            repair_period: lan.repair_period / 10,
            remember: lan.remember / 10,
            told_so_period: lan.told_so_period / 10,
            news_delay: lan.news_delay / 10,
            dial_backoff_first: lan.dial_backoff_first / 10,
            dial_backoff_max: lan.dial_backoff_max / 10,
            dial_timeout: lan.dial_timeout / 10,
            dial_patience: lan.dial_patience / 10,
            ..lan
        }
    }

    /// [`Config::test`] for real time, where a loaded machine does stall: suspicion stays at 1 s.
    pub fn test_real_time() -> Self {
        Self {
            suspicion: Duration::from_secs(1),
            tolerated_stall: Duration::from_millis(800),
            late_after: Self::lan().late_after,
            confirmation: Self::lan().confirmation,
            ..Self::test()
        }
    }

    /// Checks every relation between the fields.
    pub fn check(&self) -> Result<(), ConfigError> {
        let zero = [
            ("probe_period", self.probe_period.is_zero()),
            ("indirect_probes", self.indirect_probes == 0),
            ("process_suspicion", self.process_suspicion.is_zero()),
            ("confirmation", self.confirmation.is_zero()),
            ("late_after", self.late_after.is_zero()),
            ("repair_period", self.repair_period.is_zero()),
            ("remember", self.remember.is_zero()),
            ("full_mesh_max", self.full_mesh_max == 0),
            ("active_view", self.active_view == 0),
            ("push_fanout", self.push_fanout == 0),
            ("members_max", self.members_max == 0),
            ("dial_backoff_first", self.dial_backoff_first.is_zero()),
            ("dials_max", self.dials_max == 0),
            ("dial_timeout", self.dial_timeout.is_zero()),
            ("pending_max", self.pending_max == 0),
        ];
        if let Some((field, _)) = zero.into_iter().find(|(_, is_zero)| *is_zero) {
            return Err(ConfigError::Zero { field });
        }
        if self.probe_rtt.is_zero() || self.probe_rtt * 2 >= self.probe_period {
            return Err(ConfigError::ProbeRttTooLong { rtt: self.probe_rtt, period: self.probe_period });
        }
        let (have, need) = (self.probe_period + self.suspicion, self.tolerated_stall * 23 / 20);
        if have < need {
            return Err(ConfigError::SuspicionTooShort { have, need, stall: self.tolerated_stall });
        }
        if self.dial_backoff_max < self.dial_backoff_first {
            let (first, max) = (self.dial_backoff_first, self.dial_backoff_max);
            return Err(ConfigError::BackoffReversed { first, max });
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::lan()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presets_hold_their_own_rules() {
        for config in [Config::lan(), Config::wan(), Config::test(), Config::test_real_time()] {
            assert_eq!(config.check(), Ok(()));
        }
        assert!(Config::test_real_time().suspicion >= Duration::from_secs(1));
    }

    #[test]
    fn a_suspicion_that_kills_a_stalled_node_is_refused() {
        let lan = Config::lan();
        assert_eq!(lan.probe_period + lan.suspicion, Duration::from_millis(2300));
        let short = Config { suspicion: Duration::from_millis(1999), ..lan };
        assert!(matches!(short.check(), Err(ConfigError::SuspicionTooShort { .. })));
    }

    #[test]
    fn other_contradictions_are_refused() {
        let rtt = Config { probe_rtt: Duration::from_millis(150), ..Config::lan() };
        assert!(matches!(rtt.check(), Err(ConfigError::ProbeRttTooLong { .. })));
        let none = Config { dials_max: 0, ..Config::lan() };
        assert_eq!(none.check(), Err(ConfigError::Zero { field: "dials_max" }));
        let reversed = Config { dial_backoff_max: Duration::from_millis(1), ..Config::lan() };
        assert!(matches!(reversed.check(), Err(ConfigError::BackoffReversed { .. })));
    }
}
