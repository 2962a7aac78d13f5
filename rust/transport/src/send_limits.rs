use mpreg_wire::{Limits, PeerLimits};

/// What this side may send on one connection: the smaller of what both sides allow, and how credit is shared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SendLimits {
    /// Longest frame the peer reads.
    pub(crate) frame_bytes: u32,
    /// Values above this go in chunks of this size.
    pub(crate) chunk_bytes: usize,
    /// Longest value.
    pub(crate) value_bytes: u64,
    /// Credit when nothing is under way.
    pub(crate) window: u64,
    /// Calls that may wait for their replies, and replies that may wait for credit.
    pub(crate) pending: u32,
    /// Bytes of replies that may wait for the peer to take them.
    pub(crate) untaken: u64,
    /// Queued bytes beyond which calls are turned away.
    pub(crate) high_water: usize,
    /// Chunks leave this much credit to small frames.
    pub(crate) bulk_floor: u64,
    /// Small frames leave this much credit to waiting chunks.
    pub(crate) small_floor: u64,
    /// Credit from which on those turned away are told to try again.
    pub(crate) again: u64,
}

/// A window of fewer frames than this is too small to be shared out.
const SHARED_FRAMES_MIN: u64 = 8;

impl SendLimits {
    pub(crate) fn new(own: &Limits, peer: &PeerLimits) -> Self {
        let window = peer.connection_window;
        let shared = window >= SHARED_FRAMES_MIN * u64::from(peer.max_frame_bytes);
        Self {
            frame_bytes: peer.max_frame_bytes,
            chunk_bytes: own.chunk_bytes as usize,
            value_bytes: own.max_value_bytes.min(peer.max_value_bytes),
            window,
            pending: own.pending_calls.min(peer.pending_calls),
            untaken: own.receive_bytes,
            high_water: usize::try_from(own.out_high_water).unwrap_or(usize::MAX),
            bulk_floor: if shared { window / 4 } else { 0 },
            small_floor: if shared { window / 8 } else { 0 },
            again: window / 8,
        }
    }

    /// Consumed bytes after which a receiver returns credit: seldom enough to cost nothing, and early enough that a
    /// sender never waits with less than the largest frame (and, if the window is shared, than both floors).
    pub(crate) fn return_from(own: &Limits) -> u64 {
        let window = own.connection_window;
        (window / 4).min(window.saturating_sub(own.max_frame_bytes.into())).max(1)
    }
}
