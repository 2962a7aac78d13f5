//! What a running function knows of its call, and how calls made inside it inherit from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mpreg_node::{Invocation, Origin};
use mpreg_types::{CallExtras, CallHead, CallId, FunctionName, Time};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::plain;

static AMBIENT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The context variable `ambient`: the call that the running code works for.
pub(crate) fn ambient(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    let variable = AMBIENT.get_or_try_init(py, || {
        let keywords = PyDict::new(py);
        keywords.set_item(intern!(py, "default"), py.None())?;
        let class = py.import(intern!(py, "contextvars"))?.getattr(intern!(py, "ContextVar"))?;
        Ok::<_, PyErr>(class.call(("mpreg_call",), Some(&keywords))?.unbind())
    })?;
    Ok(variable.bind(py))
}

/// The call that the running code works for, if any.
pub(crate) fn current_call(py: Python<'_>) -> PyResult<Option<Arc<CallInfo>>> {
    let value = ambient(py)?.call_method0(intern!(py, "get"))?;
    Ok(value.cast::<CallContext>().ok().map(|context| context.get().info.clone()))
}

/// No call takes longer.
const LONGEST: Duration = Duration::from_hours(24);

/// A call while its function runs; shared by the context object and the dispatcher.
#[derive(Debug)]
pub(crate) struct CallInfo {
    function: FunctionName,
    origin: Arc<Origin>,
    call: CallId,
    begun: Time,
    /// In microseconds; that of a stream moves when its first item left.
    deadline: AtomicU64,
    flows: AtomicBool,
    pub(crate) extras: Option<Box<CallExtras>>,
    cancelled: AtomicBool,
}

impl CallInfo {
    pub(crate) fn new(function: &FunctionName, invocation: &Invocation) -> Self {
        let head: &CallHead = &invocation.head;
        Self {
            function: function.clone(),
            origin: invocation.origin.clone(),
            call: head.call,
            begun: mpreg_node::now(),
            deadline: AtomicU64::new(invocation.deadline.as_micros()),
            flows: AtomicBool::new(false),
            extras: head.extras.clone(),
            cancelled: AtomicBool::new(false),
        }
    }

    /// The caller gave up.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    /// An item of its stream left in time: from now on only the function's own `timeout` ends it. Work without one has as
    /// long as the longest call.
    pub(crate) fn flows(&self, timeout: Option<Duration>) {
        if !self.flows.swap(true, Ordering::Relaxed) {
            let deadline = self.begun + timeout.unwrap_or(LONGEST);
            self.deadline.store(deadline.as_micros(), Ordering::Relaxed);
        }
    }

    pub(crate) fn remaining(&self) -> Duration {
        Time::from_micros(self.deadline.load(Ordering::Relaxed)).since(mpreg_node::now())
    }
}

/// Frozen. Made by the dispatcher for each call, and set in `ambient` for its handler.
#[pyclass(module = "mpreg", frozen)]
#[derive(Debug)]
pub(crate) struct CallContext {
    pub(crate) info: Arc<CallInfo>,
}

#[pymethods]
impl CallContext {
    #[getter]
    fn call_id(&self) -> String {
        self.info.call.to_string()
    }

    #[getter]
    fn function(&self) -> &str {
        self.info.function.as_str()
    }

    #[getter]
    fn caller(&self) -> &str {
        &self.info.origin.caller
    }

    #[getter]
    fn cluster(&self) -> &str {
        &self.info.origin.cluster
    }

    #[getter]
    fn path(&self) -> Vec<String> {
        let extras = self.info.extras.as_ref();
        extras.map_or_else(Vec::new, |extras| extras.path.iter().map(ToString::to_string).collect())
    }

    #[getter]
    fn trace_id(&self) -> Option<&str> {
        // W3C traceparent: version-traceid-parentid-flags.
        self.info.extras.as_ref()?.trace.as_deref()?.split('-').nth(1)
    }

    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.info.extras.as_ref().and_then(|extras| extras.metadata.clone()) {
            Some(encoded) => plain::decode(py, encoded),
            None => Ok(PyDict::new(py).into_any()),
        }
    }

    #[getter]
    fn remaining(&self) -> f64 {
        self.info.remaining().as_secs_f64()
    }

    #[getter]
    fn cancelled(&self) -> bool {
        self.info.cancelled.load(Ordering::Acquire) || self.info.remaining().is_zero()
    }
}
