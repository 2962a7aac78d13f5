use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use mpreg_types::StreamId;

/// Own streams that wait for a reply. We gave the numbers ourselves, so a hash that a peer could aim at is no danger.
#[derive(Debug, Default)]
pub(crate) struct StreamSet(HashSet<u64, BuildHasherDefault<Spread>>);

impl StreamSet {
    pub(crate) fn insert(&mut self, stream: StreamId) {
        self.0.insert(stream.0);
    }

    /// True if it was in.
    pub(crate) fn remove(&mut self, stream: StreamId) -> bool {
        self.0.remove(&stream.0)
    }

    pub(crate) fn contains(&self, stream: StreamId) -> bool {
        self.0.contains(&stream.0)
    }

    /// Forgets those that `keep` does not hold to.
    pub(crate) fn retain(&mut self, keep: impl Fn(StreamId) -> bool) {
        self.0.retain(|stream| keep(StreamId(*stream)));
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Fibonacci hashing: one multiplication spreads numbers that follow each other over the high bits.
#[derive(Debug, Default)]
pub(crate) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // The set takes its buckets from the low bits, the product is best in the high ones.
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}
