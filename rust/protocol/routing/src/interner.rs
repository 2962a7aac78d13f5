use std::collections::BTreeSet;
use std::sync::Arc;

use mpreg_types::ResourceSet;
use xxhash_rust::xxh3::xxh3_64;

/// Keeps one copy of each set of resources: thousands of functions share the few sets of their nodes.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    sets: BTreeSet<Arc<ResourceSet>>,
    swept_len: usize,
}

/// Sets below this number are not worth a sweep.
const SWEEP_MIN: usize = 64;

impl Interner {
    pub(crate) fn intern(&mut self, set: ResourceSet) -> Arc<ResourceSet> {
        if let Some(known) = self.sets.get(&set) {
            return Arc::clone(known);
        }
        // Sets that nobody uses any more go when the number has doubled, so a sweep costs O(1) per set.
        if self.sets.len() >= SWEEP_MIN.max(2 * self.swept_len) {
            self.sets.retain(|set| Arc::strong_count(set) > 1);
            self.swept_len = self.sets.len();
        }
        let set = Arc::new(set);
        self.sets.insert(Arc::clone(&set));
        set
    }
}

/// One bit of 64 per resource: a set that lacks a bit of the asked set's lacks a resource, without comparing text.
pub(crate) fn signature(set: &ResourceSet) -> u64 {
    set.iter().fold(0, |bits, resource| bits | 1 << (xxh3_64(resource.as_str().as_bytes()) & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sets_are_one_and_unused_ones_go() {
        let mut interner = Interner::default();
        let set = |number: usize| ResourceSet::parse([format!("r{number}").as_str()]).unwrap();
        let kept = interner.intern(set(0));
        for number in 1..10_000 {
            interner.intern(set(number));
        }
        assert!(Arc::ptr_eq(&kept, &interner.intern(set(0))));
        assert!(interner.sets.len() <= SWEEP_MIN, "{}", interner.sets.len());
    }
}
