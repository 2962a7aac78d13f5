use std::time::Duration;

use crate::CatalogError;
use crate::batch::ROWS_BYTES_MAX;

/// Times and limits of the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How long own changes are gathered before they are signed together; at most 10 ms, because a function must be
    /// callable from everywhere soon after its decorator returned.
    pub tick: Duration,
    /// Mean time between comparisons with a random peer; each one is drawn from 80 % to 120 % of it.
    pub anti_entropy: Duration,
    /// How long a node waits before it asks for what a digest showed it to lack: batches under way arrive meanwhile.
    /// What it holds nothing of it asks for at once.
    pub want_delay: Duration,
    /// How long a peer may take to answer before another one is asked; longer than the largest answer takes.
    pub want_timeout: Duration,
    /// How long the log of an owner that membership does not know is held, hidden.
    pub unknown_held: Duration,
    /// How long the log of an owner that is down is kept; membership forgets its members after the same time.
    pub down_kept: Duration,
    /// Most owners held that membership does not know.
    pub unknown_owners_max: usize,
    /// Most bytes held of owners that membership does not know; several times `owner_bytes_max`.
    pub unknown_bytes_max: usize,
    /// Most owners that are known to be behind at one time; what is beyond is found by a later comparison.
    pub missing_owners_max: usize,
    /// Most live entries of one owner. This and the next three hold for own entries and for those of others, so a
    /// cluster should agree on them.
    pub entries_max: usize,
    /// Most bytes of one entry, key and value; at most 64 KiB.
    pub entry_bytes_max: usize,
    /// Most bytes of all live entries of one owner.
    pub owner_bytes_max: usize,
    /// Most resources of one entry.
    pub resources_max: usize,
    /// An owner makes a snapshot when its log outgrows twice its live entries by this much.
    pub snapshot_slack_bytes: usize,
    /// Bytes of batches sent for one request; the asker asks again for the rest.
    pub answer_bytes_max: usize,
}

impl Config {
    /// For a cluster in one place.
    pub const fn lan() -> Self {
        Self {
            tick: Duration::from_millis(10),
            anti_entropy: Duration::from_secs(5),
            want_delay: Duration::from_millis(500),
            want_timeout: Duration::from_secs(5),
            unknown_held: Duration::from_secs(10),
            down_kept: Duration::from_mins(10),
            unknown_owners_max: 1024,
            unknown_bytes_max: 64 * 1024 * 1024,
            missing_owners_max: 16_384,
            entries_max: 10_000,
            entry_bytes_max: 64 * 1024,
            owner_bytes_max: 16 * 1024 * 1024,
            resources_max: 64,
            snapshot_slack_bytes: 64 * 1024,
            answer_bytes_max: 1024 * 1024,
        }
    }

    /// For a cluster with long links: more patience before asking twice.
    pub const fn wan() -> Self {
        Self { want_delay: Duration::from_secs(1), want_timeout: Duration::from_secs(15), ..Self::lan() }
    }

    /// [`Config::lan`] ten times faster, for tests in virtual time.
    pub const fn test() -> Self {
        Self {
            tick: Duration::from_millis(1),
            anti_entropy: Duration::from_millis(500),
            want_delay: Duration::from_millis(50),
            want_timeout: Duration::from_millis(500),
            unknown_held: Duration::from_secs(1),
            down_kept: Duration::from_mins(1),
            ..Self::lan()
        }
    }

    /// Checks the relations that the fields' notes state.
    pub fn check(&self) -> Result<(), CatalogError> {
        let bad = |what| Err(CatalogError::BadConfig { what });
        if self.tick > Duration::from_millis(10) {
            return bad("tick must be at most 10 ms");
        }
        if self.anti_entropy.is_zero() {
            return bad("anti_entropy must be more than 0");
        }
        if self.want_delay >= self.want_timeout {
            return bad("want_delay must be less than want_timeout");
        }
        if self.entry_bytes_max == 0 || self.entry_bytes_max > ROWS_BYTES_MAX {
            return bad("entry_bytes_max must be 1 to 65,536");
        }
        if self.owner_bytes_max < self.entry_bytes_max || self.unknown_bytes_max < self.owner_bytes_max {
            return bad("entry_bytes_max <= owner_bytes_max <= unknown_bytes_max must hold");
        }
        if self.owner_bytes_max > 64 * 1024 * 1024 {
            return bad(
                "owner_bytes_max must be at most 64 MiB, so that the parts of a snapshot can be numbered",
            );
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
    fn the_shipped_configurations_hold_their_own_relations() {
        for config in [Config::lan(), Config::wan(), Config::test()] {
            assert_eq!(config.check(), Ok(()));
        }
    }

    #[test]
    fn every_broken_relation_is_named() {
        let lan = Config::lan();
        for (config, word) in [
            (Config { tick: Duration::from_millis(11), ..lan.clone() }, "tick"),
            (Config { anti_entropy: Duration::ZERO, ..lan.clone() }, "anti_entropy"),
            (Config { want_delay: lan.want_timeout, ..lan.clone() }, "want_delay"),
            (Config { entry_bytes_max: 65_537, ..lan.clone() }, "entry_bytes_max"),
            (Config { unknown_bytes_max: 1024, ..lan.clone() }, "unknown_bytes_max"),
            (Config { owner_bytes_max: 1 << 27, unknown_bytes_max: 1 << 28, ..lan.clone() }, "64 MiB"),
        ] {
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
