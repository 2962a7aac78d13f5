//! Which loops run functions of nodes now: a blocking call there would wait for itself.
//!
//! A notebook's loop outlives its nodes, so this is counted, not remembered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many nodes have their functions run on one loop.
#[derive(Debug, Default)]
pub(crate) struct Serving(Arc<AtomicUsize>);

/// One node's part of it, until it is dropped.
#[derive(Debug)]
pub(crate) struct Serves(Arc<AtomicUsize>);

impl Serving {
    pub(crate) fn begin(&self) -> Serves {
        self.0.fetch_add(1, Ordering::AcqRel);
        Serves(self.0.clone())
    }

    pub(crate) fn goes_on(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

impl Drop for Serves {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
