//! `Stream`: what `client.stream(...)` returns, an asynchronous iterator over the items of one call.
//!
//! The call is sent when the stream is made. `__anext__` makes a small awaitable that has its item at once if one is
//! there, so a batch of items is read without a pass of the loop. Leaving the iteration, by whatever way, cancels the
//! generator at the callee.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mpreg_node::{CallFailure, CallKey, PortId};
use mpreg_types::Payload;
use parking_lot::Mutex;
use pyo3::exceptions::{PyRuntimeError, PyRuntimeWarning, PyStopAsyncIteration, PyStopIteration};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyGenericAlias, PyList};

use crate::bridge::Bridge;
use crate::call::Pending;
use crate::codec;
use crate::completion::function_ran;
use crate::hooks::call_error;
use crate::reading::{Next, Reading, What};

/// Items of a stream, by `async for`: asked for when it was made, read by one task of the loop that made it.
///
/// Dropped, closed, or its reading task cancelled, it cancels the generator; dropped without ever being iterated it warns
/// (`RuntimeWarning`). Also an async context manager, which closes it at the end.
#[pyclass(module = "mpreg", frozen, weakref)]
#[derive(Debug)]
pub(crate) struct Stream {
    bridge: Arc<Bridge>,
    reading: Arc<Reading>,
    port: PortId,
    key: CallKey,
    iterated: AtomicBool,
    rest: Mutex<Rest>,
}

/// What comes before anything that was not looked at yet.
#[derive(Debug, Default)]
struct Rest {
    items: VecDeque<Py<PyAny>>,
    /// What is to be raised by the read after them.
    error: Option<PyErr>,
}

impl Stream {
    pub(crate) fn new(bridge: Arc<Bridge>, reading: Arc<Reading>, port: PortId, key: CallKey) -> Self {
        let iterated = AtomicBool::new(false);
        Self { bridge, reading, port, key, iterated, rest: Mutex::default() }
    }

    /// The next item if it is there; the end as an error; `None`: nothing yet.
    fn read<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.bridge.check_process(py)?;
        if let Some(next) = self.next_of_rest(py) {
            return next.map(Some);
        }
        match self.reading.next() {
            Next::Item(item, told) => {
                if let Some(bytes) = told {
                    self.bridge.items_taken(self.port, self.key, bytes);
                }
                self.decode(py, item).map(Some).inspect_err(|_| self.abandon(py))
            }
            Next::End(reply) => self.conclude(py, reply).map(Some),
            Next::Over => Err(PyStopAsyncIteration::new_err(())),
            Next::Nothing => Ok(None),
        }
    }

    fn next_of_rest<'py>(&self, py: Python<'py>) -> Option<PyResult<Bound<'py, PyAny>>> {
        let mut rest = self.rest.lock();
        match rest.items.pop_front() {
            Some(item) => Some(Ok(item.into_bound(py))),
            None => rest.error.take().map(Err),
        }
    }

    /// Reads the reply that ends the stream: what there is of it, one after another.
    fn conclude<'py>(
        &self,
        py: Python<'py>,
        reply: Result<Payload, Box<CallFailure>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match (&self.reading.what, reply) {
            (What::Items(_), Ok(_)) => Err(PyStopAsyncIteration::new_err(())),
            (What::Items(handle), Err(failure)) => Err(call_error(py, &failure, &handle.raises)),
            (What::Events(run), reply) => {
                let (items, error) = run.last_events(py, reply);
                *self.rest.lock() = Rest { items: items.into(), error };
                self.next_of_rest(py).unwrap_or_else(|| Err(PyStopAsyncIteration::new_err(())))
            }
        }
    }

    fn decode<'py>(&self, py: Python<'py>, item: Payload) -> PyResult<Bound<'py, PyAny>> {
        let handle = match &self.reading.what {
            What::Items(handle) => handle,
            What::Events(run) => return run.event(py, &item),
        };
        let decoded = codec::decode_value(py, item, None, "item");
        let rebuilt = decoded.and_then(|decoded| match &handle.convert {
            Some(convert) => convert.bind(py).call1((decoded,)),
            None => Ok(decoded),
        });
        rebuilt.inspect_err(|error| function_ran(py, error))
    }

    /// True if a read would give something at once, the end aside.
    fn has_items(&self) -> bool {
        !self.rest.lock().items.is_empty() || self.reading.has_items()
    }

    /// Nobody reads any more: the callee hears of it, and whoever waits here gets the end.
    fn abandon(&self, py: Python<'_>) {
        self.iterated.store(true, Ordering::Release);
        if !self.bridge.is_own() {
            return;
        }
        let rest = mem::take(&mut *self.rest.lock());
        drop(rest);
        if self.reading.close() {
            self.bridge.cancel(py, &Pending::Call(self.port, self.key));
        }
        self.bridge.wake_reader_later(py, &self.reading);
    }
}

#[pymethods]
impl Stream {
    fn __aiter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf.get().iterated.store(true, Ordering::Release);
        slf
    }

    fn __anext__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Step>> {
        slf.get().iterated.store(true, Ordering::Release);
        let py = slf.py();
        Bound::new(py, Step { stream: slf.unbind(), waits: AtomicBool::new(false) })
    }

    /// What is there already, at most `limit` items: for readers that cross threads.
    fn ready<'py>(&self, py: Python<'py>, limit: usize) -> PyResult<Bound<'py, PyList>> {
        let items = PyList::empty(py);
        while items.len() < limit && self.has_items() {
            match self.read(py) {
                Ok(Some(item)) => items.append(item)?,
                Ok(None) => break,
                Err(error) => {
                    // What came before it is read first.
                    self.rest.lock().error = Some(error);
                    break;
                }
            }
        }
        Ok(items)
    }

    /// Cancels the generator at the callee; what was not read is dropped. Twice changes nothing.
    fn close(&self, py: Python<'_>) {
        self.abandon(py);
    }

    /// The same as `close`, to be awaited.
    fn aclose<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Given>> {
        self.abandon(py);
        Given::new(py, py.None())
    }

    fn __aenter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Given>> {
        slf.get().iterated.store(true, Ordering::Release);
        let py = slf.py();
        Given::new(py, slf.unbind().into_any())
    }

    fn __aexit__<'py>(
        &self,
        py: Python<'py>,
        _kind: &Bound<'py, PyAny>,
        _value: &Bound<'py, PyAny>,
        _traceback: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Given>> {
        self.aclose(py)
    }

    #[classmethod]
    fn __class_getitem__<'py>(
        cls: &Bound<'py, pyo3::types::PyType>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyGenericAlias>> {
        PyGenericAlias::new(cls.py(), cls.as_any(), item)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let iterated = *self.iterated.get_mut();
        if !self.bridge.is_own() || (iterated && !self.reading.is_open()) {
            return;
        }
        Python::attach(|py| {
            // It may go while an exception is on its way, which must arrive.
            let raised = PyErr::take(py);
            self.abandon(py);
            let text = c"a Stream was never iterated, so it was cancelled; write `async for` over it";
            if !iterated && let Err(error) = PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), text, 1) {
                error.write_unraisable(py, None);
            }
            if let Some(raised) = raised {
                raised.restore(py);
            }
        });
    }
}

/// `_mpreg.Step`: waits for one item.
#[pyclass(module = "mpreg._mpreg", frozen)]
#[derive(Debug)]
pub(crate) struct Step {
    stream: Py<Stream>,
    waits: AtomicBool,
}

#[pymethods]
impl Step {
    fn __await__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let stream = self.stream.get();
        if let Some(item) = stream.read(py)? {
            return Err(PyStopIteration::new_err((item.unbind(),)));
        }
        let future = stream.bridge.futures.create(py)?;
        if !stream.reading.wait(future.clone().unbind()) {
            return Err(PyRuntimeError::new_err(
                "another task waits for the next item of this stream already",
            ));
        }
        self.waits.store(true, Ordering::Release);
        future.setattr(intern!(py, "_asyncio_future_blocking"), true)?;
        Ok(future)
    }

    fn send<'py>(&self, py: Python<'py>, _value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.__next__(py)
    }

    #[pyo3(signature = (typ, val = None, tb = None))]
    fn throw(
        &self,
        py: Python<'_>,
        typ: Bound<'_, PyAny>,
        val: Option<Bound<'_, PyAny>>,
        tb: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let _ = tb;
        self.stream.get().abandon(py);
        // `throw(type, value)` is the old form; both name the exception to raise.
        Err(PyErr::from_value(val.unwrap_or(typ)))
    }

    fn close(&self, py: Python<'_>) {
        if self.waits.load(Ordering::Acquire) {
            self.stream.get().abandon(py);
        }
    }
}

/// `_mpreg.Given`: an awaitable that has its value already.
#[pyclass(module = "mpreg._mpreg", frozen)]
#[derive(Debug)]
pub(crate) struct Given(Mutex<Option<Py<PyAny>>>);

impl Given {
    fn new(py: Python<'_>, value: Py<PyAny>) -> PyResult<Bound<'_, Self>> {
        Bound::new(py, Self(Mutex::new(Some(value))))
    }
}

#[pymethods]
impl Given {
    fn __await__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self) -> PyResult<()> {
        let value = self.0.lock().take();
        Err(value.map_or_else(|| PyStopIteration::new_err(()), |value| PyStopIteration::new_err((value,))))
    }
}
