use std::time::Duration;

use serde::{Deserialize, Serialize};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// How large and how many, for frames and connections. What runs on top (calls, catalog, graphs) has its own.
///
/// Every field may be set; [`Limits::check`] holds the relations between them. Limits that both ends must agree on are
/// constants instead: those here, `STREAM_WINDOW` of the types and [`NESTING_MAX`](crate::NESTING_MAX),
/// [`METADATA_BYTES_MAX`](crate::METADATA_BYTES_MAX), [`PATH_MAX`](crate::PATH_MAX),
/// [`RESOURCES_MAX`](crate::RESOURCES_MAX).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest frame that is read, metadata and payload; at least [`Limits::FRAME_BYTES_MIN`].
    pub max_frame_bytes: u32,
    /// Values above this are sent in chunks of this size; at most [`Limits::CHUNK_BYTES_MAX`].
    pub chunk_bytes: u32,
    /// Longest value that is sent or taken; at most half of `receive_bytes`.
    pub max_value_bytes: u64,
    /// What the node holds of values that are arriving; one peer gets at most half. Also what it holds of replies that a
    /// peer does not take.
    pub receive_bytes: u64,
    /// Credit of one connection: bytes under way before the sender waits; at least one frame.
    pub connection_window: u64,
    /// What one connection holds to be written before senders wait.
    pub out_high_water: u64,
    /// Calls of one side of one connection that wait for their reply.
    pub pending_calls: u32,
    /// Connections of one node; the next one is refused.
    pub connections: u32,
    /// Handshakes under way at one node; when full the oldest is dropped, not the newcomer.
    pub half_open: u32,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
}

impl Limits {
    /// Longest chunk: the border between small and bulk.
    pub const CHUNK_BYTES_MAX: u32 = 64 * 1024;
    /// What every side reads, so that a full chunk or the longest metadata with a small value always fits.
    pub const FRAME_BYTES_MIN: u32 = 128 * 1024;
    /// Longest frame of a handshake.
    pub const HANDSHAKE_BYTES_MAX: u32 = 8 * 1024;

    /// Checks the relations between the fields.
    pub fn check(&self) -> Result<(), LimitsError> {
        let rules = [
            (
                self.max_frame_bytes >= Self::FRAME_BYTES_MIN,
                "max_frame_bytes must be at least 131072 (128 KiB)",
            ),
            (
                (1..=Self::CHUNK_BYTES_MAX).contains(&self.chunk_bytes),
                "chunk_bytes must be between 1 and 65536 (64 KiB)",
            ),
            (self.max_value_bytes >= 1, "max_value_bytes must be at least 1"),
            (
                self.max_value_bytes <= self.receive_bytes / 2,
                "max_value_bytes must be at most half of receive_bytes: one peer gets no more",
            ),
            (
                self.connection_window >= u64::from(self.max_frame_bytes),
                "connection_window must hold a frame of max_frame_bytes",
            ),
            (
                self.out_high_water >= u64::from(self.max_frame_bytes),
                "out_high_water must hold a frame of max_frame_bytes",
            ),
            (self.pending_calls >= 1, "pending_calls must be at least 1"),
            (self.connections >= 1, "connections must be at least 1"),
            (self.half_open >= 1, "half_open must be at least 1"),
            (!self.handshake_timeout.is_zero(), "handshake_timeout must be more than 0"),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(LimitsError(rule)),
            None => Ok(()),
        }
    }

    /// The part that a peer has to know.
    pub fn for_peer(&self) -> PeerLimits {
        PeerLimits {
            max_frame_bytes: self.max_frame_bytes,
            max_value_bytes: self.max_value_bytes,
            connection_window: self.connection_window,
            pending_calls: self.pending_calls,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_frame_bytes: Self::FRAME_BYTES_MIN,
            chunk_bytes: Self::CHUNK_BYTES_MAX,
            max_value_bytes: GIB,
            receive_bytes: 2 * GIB,
            connection_window: 16 * MIB,
            out_high_water: 4 * MIB,
            pending_calls: 65_536,
            connections: 10_000,
            half_open: 1024,
            handshake_timeout: Duration::from_secs(5),
        }
    }
}

/// Which relation between limits does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LimitsError(&'static str);

/// What the other side of a connection takes; said in its hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerLimits {
    /// Longest frame it reads.
    pub max_frame_bytes: u32,
    /// Longest value it takes.
    pub max_value_bytes: u64,
    /// Bytes it lets be under way on the connection.
    pub connection_window: u64,
    /// Calls it lets wait for their reply.
    pub pending_calls: u32,
}

impl PeerLimits {
    /// True if one can talk to such a peer at all: it reads a whole frame and lets at least one call be under way.
    pub fn are_usable(&self) -> bool {
        self.max_frame_bytes >= Limits::FRAME_BYTES_MIN
            && self.connection_window >= u64::from(self.max_frame_bytes)
            && self.pending_calls >= 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_hold_their_own_rules() {
        assert_eq!(Limits::default().check(), Ok(()));
        assert!(Limits::default().for_peer().are_usable());
    }

    #[test]
    fn every_broken_relation_is_named() {
        type Change = fn(&mut Limits);
        let broken = |change: Change| {
            let mut limits = Limits::default();
            change(&mut limits);
            limits.check().unwrap_err().to_string()
        };
        let rows: [(Change, &str); 11] = [
            (|l| l.max_frame_bytes -= 1, "max_frame_bytes must be at least"),
            (|l| l.chunk_bytes = 0, "chunk_bytes must"),
            (|l| l.chunk_bytes += 1, "chunk_bytes must"),
            (|l| l.max_value_bytes = 0, "max_value_bytes must be at least 1"),
            (|l| l.max_value_bytes += 1, "half of receive_bytes"),
            (|l| l.connection_window = 1, "connection_window must"),
            (|l| l.out_high_water = 1, "out_high_water must"),
            (|l| l.pending_calls = 0, "pending_calls must"),
            (|l| l.connections = 0, "connections must"),
            (|l| l.half_open = 0, "half_open must"),
            (|l| l.handshake_timeout = Duration::ZERO, "handshake_timeout must"),
        ];
        for (change, text) in rows {
            let error = broken(change);
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn a_peer_that_takes_no_frame_is_of_no_use() {
        let good = Limits::default().for_peer();
        assert!(!PeerLimits { max_frame_bytes: Limits::FRAME_BYTES_MIN - 1, ..good }.are_usable());
        assert!(!PeerLimits { connection_window: 0, ..good }.are_usable());
        assert!(!PeerLimits { pending_calls: 0, ..good }.are_usable());
    }
}
