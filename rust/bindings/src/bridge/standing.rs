//! Whose bridge this is: its loop, what that loop serves, and the process it was made in.

use mpreg_node::generation;
use pyo3::intern;
use pyo3::prelude::*;

use super::Bridge;
use crate::hooks::made_before_fork;
use crate::serving::Serves;

impl Bridge {
    /// The loop.
    pub(crate) fn event_loop<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.event_loop.bind(py).clone()
    }

    /// `ConfigError` in a child made by `fork`: nobody drains it there, and its locks may be held for ever.
    pub(crate) fn check_process(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_own() { Ok(()) } else { Err(made_before_fork(py)) }
    }

    /// False in a child made by `fork`.
    pub(crate) fn is_own(&self) -> bool {
        self.made_in == generation()
    }

    /// A node's functions run on this loop for as long as the answer lives.
    pub(crate) fn serve(&self) -> Serves {
        self.serving.begin()
    }

    /// True if functions of some node run on this loop.
    pub(crate) fn serves(&self) -> bool {
        self.serving.goes_on()
    }

    /// True once its loop was closed: nothing will be drained any more.
    pub(crate) fn is_dead(&self, py: Python<'_>) -> bool {
        let closed = self.event_loop.bind(py).call_method0(intern!(py, "is_closed"));
        closed.and_then(|closed| closed.is_truthy()).unwrap_or(true)
    }
}
