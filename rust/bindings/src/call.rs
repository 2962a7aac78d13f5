//! `Call`: what `client.call(...)` returns.
//!
//! It is a coroutine object of its own around an exact `asyncio.Future`, because `create_task` and `TaskGroup` refuse
//! a bare future, and because only an object of our own sees that its awaiting task was cancelled: the cancellation
//! arrives here as `throw`, and goes on to the callee.

use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::exceptions::{PyRuntimeError, PyRuntimeWarning};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyGenericAlias;

use mpreg_node::{CallKey, PortId};

use crate::bridge::Bridge;

/// What a `Call` waits for.
#[derive(Debug)]
pub(crate) enum Pending {
    /// A call of one port.
    Call(PortId, CallKey),
    /// An operation of the control thread; it runs to its end even if nobody waits.
    Request(u64),
}

/// A call under way: sent when it was made, awaited once, by any task of the loop that made it.
///
/// Awaited it gives the result or raises what the call came to. Cancelling the task that awaits it cancels the function where it
/// runs. Dropped unawaited it is cancelled with a `RuntimeWarning`.
#[pyclass(module = "mpreg", frozen, weakref)]
#[derive(Debug)]
pub(crate) struct Call {
    bridge: Arc<Bridge>,
    future: Py<PyAny>,
    pending: Pending,
    progress: Mutex<Progress>,
}

#[derive(Debug)]
enum Progress {
    Fresh,
    Awaited(Py<PyAny>),
    Done,
}

impl Call {
    pub(crate) fn new(bridge: Arc<Bridge>, future: Py<PyAny>, pending: Pending) -> Self {
        Self { bridge, future, pending, progress: Mutex::new(Progress::Fresh) }
    }

    /// The inner future's iterator, made at the first step.
    fn iterator<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let mut progress = self.progress.lock();
        match &*progress {
            Progress::Awaited(iterator) => Ok(iterator.bind(py).clone()),
            Progress::Done => {
                Err(PyRuntimeError::new_err("a Call can be awaited once only; make another call"))
            }
            Progress::Fresh => {
                self.bridge.check_process(py)?;
                let iterator = self.future.bind(py).call_method0(intern!(py, "__await__"))?;
                *progress = Progress::Awaited(iterator.clone().unbind());
                Ok(iterator)
            }
        }
    }

    fn end(&self) {
        *self.progress.lock() = Progress::Done;
    }

    /// Nobody waits any more: the callee hears of it.
    fn abandon(&self, py: Python<'_>) {
        self.end();
        self.bridge.cancel(py, &self.pending);
    }
}

#[pymethods]
impl Call {
    fn __await__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().iterator(slf.py())?;
        Ok(slf)
    }

    fn __iter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        Self::__await__(slf)
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let iterator = self.iterator(py)?;
        let step = iterator.call_method0(intern!(py, "__next__"));
        if step.is_err() {
            self.end();
        }
        step
    }

    /// For event loops: it is a coroutine.
    fn send<'py>(&self, py: Python<'py>, _value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.__next__(py)
    }

    /// For event loops.
    #[pyo3(signature = (typ, val = None, tb = None))]
    fn throw(
        &self,
        py: Python<'_>,
        typ: Bound<'_, PyAny>,
        val: Option<Bound<'_, PyAny>>,
        tb: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let _ = tb;
        self.abandon(py);
        // `throw(type, value)` is the old form; both name the exception to raise.
        Err(PyErr::from_value(val.unwrap_or(typ)))
    }

    /// Cancels the call without awaiting it, and without the warning. Twice changes nothing.
    fn close(&self, py: Python<'_>) {
        if !matches!(*self.progress.lock(), Progress::Done) {
            self.abandon(py);
        }
    }

    #[classmethod]
    fn __class_getitem__<'py>(
        cls: &Bound<'py, pyo3::types::PyType>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyGenericAlias>> {
        PyGenericAlias::new(cls.py(), cls.as_any(), item)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.bridge.is_own() || !matches!(*self.progress.lock(), Progress::Fresh) {
            return;
        }
        Python::attach(|py| {
            // It may go while an exception is on its way, which must arrive.
            let raised = PyErr::take(py);
            self.bridge.cancel(py, &self.pending);
            let text = c"a Call was never awaited, so it was cancelled; write `await` before it";
            if let Err(error) = PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), text, 1) {
                error.write_unraisable(py, None);
            }
            if let Some(raised) = raised {
                raised.restore(py);
            }
        });
    }
}

/// Makes `Call` a coroutine for `asyncio.iscoroutine`, and so for `create_task`, `gather` and `TaskGroup`.
pub(crate) fn register(py: Python<'_>) -> PyResult<()> {
    let coroutine = py.import(intern!(py, "collections.abc"))?.getattr(intern!(py, "Coroutine"))?;
    coroutine.call_method1(intern!(py, "register"), (py.get_type::<Call>(),))?;
    Ok(())
}
