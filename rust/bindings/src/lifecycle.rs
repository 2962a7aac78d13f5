//! The two ends of a process that Python tells us of: its exit, and a fork.

use mpreg_node::Runtime;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::{exit, loops, thread_pool, watch};

/// Registers both handlers; starts nothing.
pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let at_exit = wrap_pyfunction!(at_exit, module)?;
    py.import(intern!(py, "atexit"))?.call_method1(intern!(py, "register"), (at_exit,))?;
    let keywords = PyDict::new(py);
    keywords.set_item(intern!(py, "after_in_child"), wrap_pyfunction!(after_fork, module)?)?;
    py.import(intern!(py, "os"))?.call_method(intern!(py, "register_at_fork"), (), Some(&keywords))?;
    Ok(())
}

/// Says GOODBYE, ends what is pending and joins the threads: nothing of ours may want the interpreter while it ends.
#[pyfunction]
fn at_exit(py: Python<'_>) {
    exit::begin();
    py.detach(Runtime::shut_down);
    watch::end(py);
    thread_pool::end_all(py);
    loops::end_stuck(py);
    loops::close_all(py);
}

/// The child owns nothing of the parent: its sockets are closed without a byte, everything else is forgotten.
#[pyfunction]
fn after_fork() {
    Runtime::forget_after_fork();
    loops::forget_all();
    watch::forget_all();
}
