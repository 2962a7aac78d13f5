//! Where an asynchronous generator's items go: `push(item)`, called for each of them by the loop that drives it
//! (`mpreg._streams.pump`). What it returns is to be awaited, if it is anything: credit of the reader, or the loop's
//! other work's turn.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use mpreg_node::{InvocationKey, ItemSender, Pass};
use mpreg_types::{ErrorBody, ErrorCode, Payload};
use parking_lot::Mutex;
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;

use crate::bridge::Bridge;
use crate::codec;
use crate::context::CallInfo;
use crate::invocation::encode_code;
use crate::registration::Function;

/// Items after which the loop's other work gets its turn.
const ITEMS_PER_TURN: usize = 128;

/// The items of one stream.
#[derive(Debug)]
pub(crate) struct Sink {
    bridge: Weak<Bridge>,
    key: InvocationKey,
    sender: ItemSender,
    function: Arc<Function>,
    info: Arc<CallInfo>,
    sent: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The item that waits for credit, and who waits with it.
    waiting: Option<(Payload, Py<PyAny>)>,
    /// Why the stream had to end.
    failure: Option<ErrorBody>,
}

impl Sink {
    pub(crate) fn new(
        bridge: &Arc<Bridge>,
        key: InvocationKey,
        sender: ItemSender,
        function: Arc<Function>,
        info: Arc<CallInfo>,
    ) -> Arc<Self> {
        Arc::new(Self {
            bridge: Arc::downgrade(bridge),
            key,
            sender,
            function,
            info,
            sent: AtomicUsize::new(0),
            state: Mutex::default(),
        })
    }

    pub(crate) fn key(&self) -> InvocationKey {
        self.key
    }

    /// The stream is over. Why, if it had to end: the error that its generator got says the same.
    pub(crate) fn end(&self) -> Option<ErrorBody> {
        if let Some(bridge) = self.bridge.upgrade() {
            bridge.sink_ended(self.key);
        }
        self.state.lock().failure.take()
    }

    /// There may be credit: whom to wake, if the item is gone or nobody reads any more.
    pub(crate) fn resume(&self, py: Python<'_>, bridge: &Bridge) -> Option<Py<PyAny>> {
        let (item, future) = self.state.lock().waiting.take()?;
        match self.sender.pass(&item) {
            Pass::Passed => self.send(py, bridge, item),
            Pass::Closed => {}
            Pass::Wait => {
                self.state.lock().waiting = Some((item, future));
                return None;
            }
        }
        Some(future)
    }

    fn send(&self, py: Python<'_>, bridge: &Bridge, item: Payload) {
        self.info.flows(self.function.timeout);
        if let Err(body) = bridge.send_item(py, &self.sender, item) {
            self.state.lock().failure.get_or_insert(*body);
        }
    }
}

/// What cannot be sent ends its stream.
pub(crate) fn unsendable(py: Python<'_>, function: &Function, error: &PyErr) -> ErrorBody {
    let why = format!("an item of {} cannot be sent: {}", function.name, error.value(py));
    ErrorBody::new(encode_code(py, error), why)
}

/// `_mpreg.ItemSink`.
#[pyclass(module = "mpreg._mpreg", frozen)]
#[derive(Debug)]
pub(crate) struct ItemSink(pub(crate) Arc<Sink>);

#[pymethods]
impl ItemSink {
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let sink = &self.0;
        let Some(bridge) = sink.bridge.upgrade() else { return Err(cancelled(py)?) };
        let encoded =
            codec::encode_value(item, sink.function.result_bytes_max, "item").inspect_err(|error| {
                sink.state.lock().failure = Some(unsendable(py, &sink.function, error));
            })?;
        match sink.sender.pass(&encoded) {
            Pass::Closed => Err(cancelled(py)?),
            Pass::Wait => {
                let future = bridge.futures.create(py)?;
                sink.state.lock().waiting = Some((encoded, future.clone().unbind()));
                bridge.sink_waits(sink);
                Ok(Some(future))
            }
            Pass::Passed => {
                sink.send(py, &bridge, encoded);
                if let Some(failure) = &sink.state.lock().failure {
                    return Err(PyRuntimeError::new_err(failure.message.as_str().to_owned()));
                }
                let turn = (sink.sent.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(ITEMS_PER_TURN);
                if turn { Ok(Some(Bound::new(py, Turn::default())?.into_any())) } else { Ok(None) }
            }
        }
    }
}

/// Nobody reads any more.
fn cancelled(py: Python<'_>) -> PyResult<PyErr> {
    let class = py.import(intern!(py, "asyncio.exceptions"))?.getattr(intern!(py, "CancelledError"))?;
    Ok(PyErr::from_value(class.call0()?))
}

/// `_mpreg.Turn`: lets the loop do its other work once.
#[pyclass(module = "mpreg._mpreg", frozen)]
#[derive(Debug, Default)]
struct Turn(Mutex<bool>);

#[pymethods]
impl Turn {
    fn __await__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        (!std::mem::replace(&mut *self.0.lock(), true)).then(|| py.None())
    }
}

/// For streams that have no sender: a call that was not asked for as one.
pub(crate) fn not_a_stream() -> ErrorBody {
    ErrorBody::new(
        ErrorCode::Internal,
        "a stream was called for one value; this is a defect of mpreg, please report it",
    )
}
