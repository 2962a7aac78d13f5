//! Every setting of the engine, with unit and relation to the others.

use std::time::Duration;

use crate::EngineError;

/// Settings of one [`crate::Engine`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Of membership; all nodes of a cluster use the same.
    pub membership: mpreg_membership::Config,
    /// Of the catalog; all nodes of a cluster use the same.
    pub catalog: mpreg_catalog::Config,
    /// Snapshots are at least this far apart, but for those with own registrations.
    pub publish_interval: Duration,
    /// A node that reached no seed by then starts alone.
    pub join_timeout: Duration,
    /// A node that reached a seed and got no catalog from it by then counts as joined; less than `join_timeout`.
    pub sync_patience: Duration,
    /// A fixed instance that another node holds, neither answering nor proven dead, counts as held after this long;
    /// longer than membership takes to decide.
    pub holder_timeout: Duration,
    /// Connections that this node dialled for a probe or a call, beyond the full mesh, are closed when nothing was on them
    /// for this long.
    pub idle_after: Duration,
    /// Most such connections kept; the one that has been idle for longest makes room.
    pub on_demand_max: usize,
    /// Most changes kept for those who resume a watch.
    pub history_changes_max: usize,
    /// Most bytes of them, roughly.
    pub history_bytes_max: usize,
    /// Most contract conflicts remembered as told; further ones are counted.
    pub conflicts_max: usize,
}

impl Config {
    /// For nodes of one data centre.
    pub fn lan() -> Self {
        Self {
            membership: mpreg_membership::Config::lan(),
            catalog: mpreg_catalog::Config::lan(),
            publish_interval: Duration::from_millis(5),
            join_timeout: Duration::from_secs(3),
            sync_patience: Duration::from_millis(500),
            holder_timeout: Duration::from_secs(6),
            idle_after: Duration::from_mins(1),
            on_demand_max: 256,
            history_changes_max: 4_096,
            history_bytes_max: 4 * 1024 * 1024,
            conflicts_max: 4_096,
        }
    }

    /// For nodes far apart.
    pub fn wan() -> Self {
        Self {
            membership: mpreg_membership::Config::wan(),
            catalog: mpreg_catalog::Config::wan(),
            join_timeout: Duration::from_secs(10),
            sync_patience: Duration::from_secs(2),
            holder_timeout: Duration::from_secs(20),
            ..Self::lan()
        }
    }

    /// [`Config::lan`] ten times faster, for tests in virtual time.
    pub fn test() -> Self {
        let lan = Self::lan();
        Self {
            membership: mpreg_membership::Config::test(),
            catalog: mpreg_catalog::Config::test(),
            publish_interval: lan.publish_interval / 10,
            join_timeout: lan.join_timeout / 10,
            sync_patience: lan.sync_patience / 10,
            holder_timeout: lan.holder_timeout / 10,
            idle_after: lan.idle_after / 10,
            ..lan
        }
    }

    /// One member is probed every `period`; what has to be longer than membership takes to decide grows with it.
    #[must_use]
    pub fn probing_every(mut self, period: Duration) -> Self {
        self.holder_timeout += period.saturating_sub(self.membership.probe_period);
        self.membership.probe_period = period;
        self
    }

    /// Checks every relation between the fields, those of the machines below included.
    pub fn check(&self) -> Result<(), EngineError> {
        self.membership.check()?;
        self.catalog.check()?;
        let bad = |what| Err(EngineError::Config { what });
        if self.sync_patience >= self.join_timeout {
            return bad("sync_patience must be less than join_timeout");
        }
        if self.holder_timeout <= self.membership.probe_period + self.membership.suspicion {
            return bad("holder_timeout must be more than probe_period + suspicion of membership");
        }
        if self.idle_after.is_zero() || self.on_demand_max == 0 {
            return bad("idle_after and on_demand_max must be more than 0");
        }
        if self.history_changes_max == 0 || self.history_bytes_max == 0 {
            return bad("history_changes_max and history_bytes_max must be more than 0");
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
        for config in [Config::lan(), Config::wan(), Config::test()] {
            assert!(config.check().is_ok());
        }
    }

    #[test]
    fn a_cluster_may_be_probed_as_rarely_as_once_a_minute() {
        let lan = Config::lan();
        for millis in [300, 3_999, 4_000, 60_000] {
            let config = lan.clone().probing_every(Duration::from_millis(millis));
            assert_eq!(config.check(), Ok(()), "{millis} ms");
            assert_eq!(config.holder_timeout, lan.holder_timeout + Duration::from_millis(millis - 300));
        }
    }

    #[test]
    fn every_broken_relation_is_named() {
        let lan = Config::lan();
        for (config, word) in [
            (Config { sync_patience: lan.join_timeout, ..lan.clone() }, "sync_patience"),
            (Config { holder_timeout: Duration::from_secs(2), ..lan.clone() }, "holder_timeout"),
            (Config { on_demand_max: 0, ..lan.clone() }, "on_demand_max"),
            (Config { history_bytes_max: 0, ..lan.clone() }, "history_bytes_max"),
        ] {
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
