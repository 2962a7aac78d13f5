//! What one thread keeps between two values: a buffer and the caches. Nothing in it is ever shared.
//!
//! It is taken out while in use. A codec that is entered again meanwhile (the garbage collector may run any finaliser)
//! finds nothing and starts with an empty one. Objects held at the end of a thread are released by pyo3 later, on a
//! thread that is attached; after the interpreter is gone they are not touched.

use super::dtypes::DtypeCache;
use super::key_cache::KeyCache;
use super::kinds::KindCache;
use std::cell::Cell;

/// A buffer that grew larger is given back to the allocator.
const KEPT_BYTES: usize = 256 * 1024;

/// See the module.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) buffer: Vec<u8>,
    pub(super) keys: KeyCache,
    pub(super) kinds: KindCache,
    pub(super) dtypes: DtypeCache,
}

thread_local! {
    static SPARE: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// Runs `work` with this thread's scratch.
pub(super) fn with<R>(work: impl FnOnce(&mut Scratch) -> R) -> R {
    let mut scratch = SPARE.try_with(Cell::take).ok().flatten().unwrap_or_default();
    let result = work(&mut scratch);
    if scratch.buffer.capacity() > KEPT_BYTES {
        scratch.buffer = Vec::new();
    }
    // A thread that is ending has no place to keep it any more.
    let _ = SPARE.try_with(|spare| spare.set(Some(scratch)));
    result
}
