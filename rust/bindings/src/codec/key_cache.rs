//! Short dict keys repeat from message to message: the strings made for them (and their hashes) are kept.

use super::failure::Coded;
use super::text::new_text;
use pyo3::prelude::*;
use pyo3::types::PyString;

const SLOTS: usize = 512;
/// Longer keys are rarely field names.
pub(super) const KEY_BYTES: usize = 32;

struct Slot {
    bytes: [u8; KEY_BYTES],
    length: usize,
    key: Py<PyString>,
}

/// Direct-mapped: a key that falls on the place of another one replaces it, so it is bounded and needs no policy.
#[derive(Default)]
pub(super) struct KeyCache {
    slots: Vec<Option<Slot>>,
}

impl KeyCache {
    /// The string for `bytes` (at most `KEY_BYTES` of them count for the cache).
    #[inline]
    pub(super) fn get<'py>(&mut self, py: Python<'py>, bytes: &[u8]) -> Coded<Bound<'py, PyString>> {
        if bytes.len() > KEY_BYTES {
            return new_text(py, bytes);
        }
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, || None);
        }
        let place = place(bytes);
        if let Some(Some(slot)) = self.slots.get(place)
            && slot.bytes.get(..slot.length) == Some(bytes)
        {
            return Ok(slot.key.bind(py).clone());
        }
        self.miss(py, place, bytes)
    }

    #[cold]
    fn miss<'py>(&mut self, py: Python<'py>, place: usize, bytes: &[u8]) -> Coded<Bound<'py, PyString>> {
        let key = new_text(py, bytes)?;
        let mut slot = Slot { bytes: [0; KEY_BYTES], length: bytes.len(), key: key.clone().unbind() };
        slot.bytes[..bytes.len()].copy_from_slice(bytes);
        if let Some(old) = self.slots.get_mut(place) {
            *old = Some(slot);
        }
        Ok(key)
    }
}

/// A few multiplications over 8-byte words: spread is all it needs, an attacker gains nothing but misses.
#[inline]
fn place(bytes: &[u8]) -> usize {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = bytes.len() as u64;
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let word = word.try_into().map_or(0, u64::from_le_bytes);
        hash = (hash ^ word).wrapping_mul(FACTOR).rotate_left(29);
    }
    for &byte in words.remainder() {
        hash = hash.rotate_left(8) ^ u64::from(byte);
    }
    let hash = hash.wrapping_mul(FACTOR);
    usize::try_from(hash >> 55).unwrap_or(0) % SLOTS
}
