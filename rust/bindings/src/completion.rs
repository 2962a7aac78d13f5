//! From a finished call to the value or exception its caller gets.

use std::sync::Arc;

use mpreg_node::{CallFailure, Completion, Port};
use mpreg_types::{Executed, Payload};
use pyo3::intern;
use pyo3::prelude::*;

use crate::codec;
use crate::graph_run::GraphRun;
use crate::hooks::call_error;
use crate::reading::Reading;
use crate::remote::Handle;

/// What a caller is waiting for.
#[derive(Debug)]
pub(crate) struct PendingCall {
    pub(crate) waiter: Waiter,
    pub(crate) kind: Kind,
}

/// How its answer is read.
#[derive(Debug)]
pub(crate) enum Kind {
    /// The result of one function.
    Call(Arc<Handle>),
    /// Values and report of a graph.
    Graph(Box<GraphRun>),
    /// The end of a stream, which its reader reads.
    Stream,
}

impl Kind {
    /// The value, or the exception.
    pub(crate) fn outcome<'py>(
        &self,
        py: Python<'py>,
        result: Result<Payload, Box<CallFailure>>,
        node: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::Call(handle) => outcome(py, result, node, handle),
            Self::Graph(run) => run.outcome(py, result),
            Self::Stream => Ok(py.None().into_bound(py)),
        }
    }

    /// True if the caller wants to know who answered.
    fn wants_node(&self) -> bool {
        matches!(self, Self::Call(handle) if handle.outcome.is_some())
    }
}

/// Who waits.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// A future of the loop.
    Future(Py<PyAny>),
    /// The reader of a stream.
    Stream(Arc<Reading>),
    /// The calling thread.
    Thread,
}

/// The value, rebuilt by the handle's hint, or the exception.
fn outcome<'py>(
    py: Python<'py>,
    result: Result<Payload, Box<CallFailure>>,
    node: Option<&str>,
    handle: &Handle,
) -> PyResult<Bound<'py, PyAny>> {
    match result {
        Ok(value) => {
            let decoded = codec::decode_value(py, value, None, "result");
            let rebuilt = decoded.and_then(|decoded| match &handle.convert {
                Some(convert) => convert.bind(py).call1((decoded,)),
                None => Ok(decoded),
            });
            let rebuilt = rebuilt.and_then(|value| match &handle.outcome {
                Some(make) => make.bind(py).call1((node, value)),
                None => Ok(value),
            });
            rebuilt.inspect_err(|error| function_ran(py, error))
        }
        Err(failure) => Err(call_error(py, &failure, &handle.raises)),
    }
}

/// The answer is here, so the function ran, whatever is wrong with its value.
pub(crate) fn function_ran(py: Python<'_>, error: &PyErr) {
    if let Err(defect) = error.value(py).setattr(intern!(py, "executed"), Executed::Yes.as_str()) {
        defect.write_unraisable(py, None);
    }
}

/// What one completion gives to whom.
pub(crate) struct Settled {
    pub(crate) pending: PendingCall,
    pub(crate) result: Result<Payload, Box<CallFailure>>,
    /// Who answered, if the handle wants to know.
    pub(crate) node: Option<String>,
}

impl Settled {
    pub(crate) fn new(pending: PendingCall, completion: Completion, port: &Port) -> Self {
        let node = if pending.kind.wants_node() { port.answerer(&completion) } else { None };
        Self { pending, result: completion.result, node }
    }
}
