//! What can be wrong with what is handed in. None of these changes any state.

use std::time::Duration;

use thiserror::Error;

/// Settings that contradict each other or the promises of the design; no machine is made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// A living node that stalls would be declared dead.
    #[error(
        "probe_period + suspicion is {have:?}, but a stall of {stall:?} is to be tolerated, which takes {need:?}: \
         raise suspicion"
    )]
    SuspicionTooShort {
        /// `probe_period + suspicion` as set.
        have: Duration,
        /// The least that tolerates the stall.
        need: Duration,
        /// The stall to tolerate.
        stall: Duration,
    },
    /// A probe cycle has to leave room for the direct and the indirect question.
    #[error("probe_rtt {rtt:?} must be more than zero and less than half of probe_period {period:?}")]
    ProbeRttTooLong {
        /// `probe_rtt` as set.
        rtt: Duration,
        /// `probe_period` as set.
        period: Duration,
    },
    /// A duration or number that must not be zero is.
    #[error("{field} must not be zero")]
    Zero {
        /// Name of the field.
        field: &'static str,
    },
    /// The back-off would not grow.
    #[error("dial_backoff_max {max:?} must not be less than dial_backoff_first {first:?}")]
    BackoffReversed {
        /// `dial_backoff_first` as set.
        first: Duration,
        /// `dial_backoff_max` as set.
        max: Duration,
    },
}

/// Addresses of a node that no row can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AddressesError {
    /// More than [`crate::Addresses::MAX`].
    #[error("{count} addresses; a node has at most {}", crate::Addresses::MAX)]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// One is longer than [`crate::Addresses::BYTES_MAX`].
    #[error("an address of {bytes} bytes; it has at most {}", crate::Addresses::BYTES_MAX)]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
}

/// Why a signed leave is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LeaveError {
    /// The signed bytes are something else.
    #[error("the signed bytes do not begin with the domain tag of a leave")]
    OtherDomain,
    /// The tag is right and the rest is not.
    #[error("the body of the leave cannot be decoded")]
    Malformed,
    /// It is about another cluster.
    #[error("the leave names another cluster")]
    OtherCluster,
    /// Only the owner may sign its leave.
    #[error("the leave is signed by another node than the one it names")]
    OtherSigner,
}
