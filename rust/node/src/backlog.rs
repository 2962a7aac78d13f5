//! Control frames between the I/O thread, which reads them as fast as they come, and the control thread, which works on
//! them: bounded for each connection, since they need no credit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel};

/// What the frames of one connection may hold at most. An honest peer has little more than a few batches under way.
const BYTES_MAX: usize = 64 << 20;
/// What a frame holds besides its payload.
const FRAME_BYTES: usize = 256;

/// What one connection has in the control thread's queue.
#[derive(Debug, Default)]
pub(crate) struct Backlog(Arc<AtomicUsize>);

/// A frame's share of it, until it is dropped.
#[derive(Debug)]
#[must_use = "dropping it gives the room back"]
pub(crate) struct Queued {
    all: Arc<AtomicUsize>,
    bytes: usize,
}

impl Backlog {
    /// Room for one more frame; `None`: its sender is faster than it may be.
    pub(crate) fn add(&self, payload_bytes: usize) -> Option<Queued> {
        let bytes = payload_bytes + FRAME_BYTES;
        let before = self.0.fetch_add(bytes, AcqRel);
        let queued = Queued { all: self.0.clone(), bytes };
        (before + bytes <= BYTES_MAX).then_some(queued)
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_frames_and_long_ones_are_bounded_and_room_comes_back() {
        for payload_bytes in [0, 100_000] {
            let backlog = Backlog::default();
            let mut queued: Vec<_> = std::iter::from_fn(|| backlog.add(payload_bytes)).collect();
            assert_eq!(queued.len(), BYTES_MAX / (payload_bytes + FRAME_BYTES));
            assert!(backlog.add(payload_bytes).is_none(), "a frame that was refused holds nothing");
            queued.pop();
            assert!(backlog.add(payload_bytes).is_some());
        }
    }
}
