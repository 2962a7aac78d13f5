use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use mpreg_types::PreparedTarget;

use super::target::decode_target;
use crate::DecodeError;

/// Targets seen lately by their bytes, so that the same target is parsed once and then shared.
///
/// Two generations of half the capacity each: what is used moves to the young one, and when that is full the old one
/// is forgotten. So no peer can make it grow, and what is called all the time survives a flood of targets that are
/// called once.
pub struct TargetCache {
    /// The one of the last call: many calls in a row have the same.
    last: Option<Arc<PreparedTarget>>,
    last_bytes: Bytes,
    young: HashMap<Bytes, Arc<PreparedTarget>>,
    old: HashMap<Bytes, Arc<PreparedTarget>>,
}

impl TargetCache {
    /// Most targets that are kept.
    pub const CAPACITY: usize = 1024;
    /// Longer ones are parsed each time: with many resources or nodes tried they seldom come twice.
    pub const CACHED_BYTES_MAX: usize = 512;

    const GENERATION: usize = Self::CAPACITY / 2;

    /// With nothing in it.
    pub fn new() -> Self {
        Self { last: None, last_bytes: Bytes::new(), young: HashMap::new(), old: HashMap::new() }
    }

    /// The target with these bytes.
    pub fn get(&mut self, encoded: &[u8]) -> Result<Arc<PreparedTarget>, DecodeError> {
        if let Some(last) = &self.last
            && self.last_bytes == encoded
        {
            return Ok(Arc::clone(last));
        }
        if let Some((bytes, target)) = self.young.get_key_value(encoded) {
            self.last_bytes = bytes.clone();
            self.last = Some(Arc::clone(target));
            return Ok(Arc::clone(target));
        }
        let (bytes, target) = if let Some(entry) = self.old.remove_entry(encoded) {
            entry
        } else {
            let target = decode_target(encoded)?;
            // A copy, so that the cache holds no reader's buffer alive.
            let bytes = Bytes::copy_from_slice(encoded);
            (bytes.clone(), Arc::new(PreparedTarget::from_wire(target, bytes)))
        };
        self.keep(bytes, &target);
        Ok(target)
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// True if none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn keep(&mut self, bytes: Bytes, target: &Arc<PreparedTarget>) {
        if bytes.len() > Self::CACHED_BYTES_MAX {
            return;
        }
        if self.young.len() >= Self::GENERATION {
            // Swapping keeps the memory of both maps: nothing is allocated once they are full.
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        self.last_bytes = bytes.clone();
        self.last = Some(Arc::clone(target));
        self.young.insert(bytes, Arc::clone(target));
    }
}

impl Default for TargetCache {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TargetCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TargetCache({} targets)", self.len())
    }
}
