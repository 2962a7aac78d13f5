//! The age of what callers have cached for their targets.
//!
//! `call(f)` prepares a handle for `f` once and keeps it. When a function is marked again (a second name, another
//! version), Python calls `forget_targets`, and each caller drops its cache at its next call because the age differs.

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;

static GENERATION: AtomicU64 = AtomicU64::new(0);

/// Adds this file's functions to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(forget_targets, module)?)
}

/// Grows with every mark; a cache filled under another number is stale.
pub fn generation() -> u64 {
    GENERATION.load(Ordering::Acquire)
}

/// Drops what `call` has cached for its targets, in every caller.
#[pyfunction]
fn forget_targets() {
    GENERATION.fetch_add(1, Ordering::AcqRel);
}
