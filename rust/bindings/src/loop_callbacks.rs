use std::sync::{Arc, Weak};

use pyo3::intern;
use pyo3::prelude::*;

use crate::bridge::Bridge;

/// What the loop calls; weak, so that a loop and its bridge can go.
#[pyclass(module = "mpreg._mpreg", frozen)]
#[derive(Debug)]
struct Callbacks(Weak<Bridge>);

#[pymethods]
impl Callbacks {
    fn drain(&self, py: Python<'_>) -> PyResult<()> {
        self.0.upgrade().map_or(Ok(()), |bridge| bridge.drain(py))
    }

    fn flush(&self) {
        if let Some(bridge) = self.0.upgrade() {
            bridge.flush();
        }
    }
}

/// The bound methods, made once.
#[derive(Debug)]
pub(crate) struct LoopCallbacks {
    drain: Py<PyAny>,
    flush: Py<PyAny>,
}

impl LoopCallbacks {
    pub(crate) fn new(py: Python<'_>, bridge: &Arc<Bridge>) -> PyResult<Self> {
        let callbacks = Bound::new(py, Callbacks(Arc::downgrade(bridge)))?;
        Ok(Self {
            drain: callbacks.getattr(intern!(py, "drain"))?.unbind(),
            flush: callbacks.getattr(intern!(py, "flush"))?.unbind(),
        })
    }

    pub(crate) fn drain<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.drain.bind(py).clone()
    }

    pub(crate) fn flush<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.flush.bind(py).clone()
    }
}
