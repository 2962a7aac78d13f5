//! What Rust asks of Python, and only when something went wrong: to build an exception, and to describe one.

use mpreg_node::{CallFailure, NodeError};
use mpreg_types::{ErrorBody, ErrorCode, Executed, Ledger};
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};

use crate::plain;

static HOOKS: PyOnceLock<Hooks> = PyOnceLock::new();

struct Hooks {
    make_error: Py<PyAny>,
    describe_exception: Py<PyAny>,
}

/// Set once, when `mpreg._native` is imported.
#[pyfunction]
#[pyo3(signature = (make_error, describe_exception, /))]
pub(crate) fn set_hooks(py: Python<'_>, make_error: Py<PyAny>, describe_exception: Py<PyAny>) {
    // A second import of the package (reload) keeps the first hooks: they are the same functions.
    let _ = HOOKS.set(py, Hooks { make_error, describe_exception });
}

fn hooks(py: Python<'_>) -> PyResult<&Hooks> {
    HOOKS.get(py).ok_or_else(|| PyRuntimeError::new_err("mpreg._mpreg is private: import mpreg"))
}

/// `make_error(code, fields)` as an error to raise; what the hook itself raises is a defect and raised instead.
fn make(py: Python<'_>, code: ErrorCode, fields: &Bound<'_, PyDict>) -> PyErr {
    hooks(py)
        .and_then(|hooks| hooks.make_error.bind(py).call1((code.as_str(), fields)))
        .map_or_else(|defect| defect, PyErr::from_value)
}

/// An error of the own settings or arguments.
pub(crate) fn config_error(py: Python<'_>, message: impl AsRef<str>) -> PyErr {
    mesh_error(py, ErrorCode::Config, message)
}

/// What a child made by `fork` is told that uses something of its parent's.
pub(crate) fn made_before_fork(py: Python<'_>) -> PyErr {
    config_error(py, "it was made before fork; create it in the child")
}

/// An error of the mesh itself; nothing ran.
pub(crate) fn mesh_error(py: Python<'_>, code: ErrorCode, message: impl AsRef<str>) -> PyErr {
    let fields = PyDict::new(py);
    let filled = fields
        .set_item(intern!(py, "message"), message.as_ref())
        .and_then(|()| fields.set_item(intern!(py, "executed"), Executed::No.as_str()));
    match filled {
        Ok(()) => make(py, code, &fields),
        Err(error) => error,
    }
}

/// An error of a node's or client's operation.
pub(crate) fn node_error(py: Python<'_>, error: &NodeError) -> PyErr {
    let fields = PyDict::new(py);
    match body_fields(&fields, &error.body, error.executed) {
        Ok(()) => make(py, error.body.code, &fields),
        Err(error) => error,
    }
}

/// The exception of a failed call.
pub(crate) fn call_error(py: Python<'_>, failure: &CallFailure, declared: &Py<PyTuple>) -> PyErr {
    let fields = PyDict::new(py);
    match fill(&fields, failure, declared) {
        Ok(()) => make(py, failure.body.code, &fields),
        Err(error) => error,
    }
}

/// The exception of a failed graph: `cause` is that of the step, or of the deadline.
pub(crate) fn graph_error(
    py: Python<'_>,
    failure: &CallFailure,
    message: &str,
    step: Option<&str>,
    cause: PyErr,
) -> PyErr {
    let fields = PyDict::new(py);
    let filled = fill_graph(&fields, failure, message, step);
    let error = match filled {
        Ok(()) => make(py, ErrorCode::Graph, &fields),
        Err(error) => error,
    };
    error.set_cause(py, Some(cause));
    error
}

fn fill_graph(
    fields: &Bound<'_, PyDict>,
    failure: &CallFailure,
    message: &str,
    step: Option<&str>,
) -> PyResult<()> {
    let py = fields.py();
    fields.set_item(intern!(py, "message"), message)?;
    fields.set_item(intern!(py, "executed"), failure.executed.as_str())?;
    fields.set_item(intern!(py, "attempts"), failure.attempts)?;
    fields.set_item(intern!(py, "path"), &failure.path)?;
    fields.set_item(intern!(py, "ledger"), ledger_fields(py, &failure.ledger)?)?;
    for (key, text) in [("step", step), ("node", failure.node.as_deref())] {
        if let Some(text) = text {
            fields.set_item(key, text)?;
        }
    }
    Ok(())
}

fn fill(fields: &Bound<'_, PyDict>, failure: &CallFailure, declared: &Py<PyTuple>) -> PyResult<()> {
    let py = fields.py();
    body_fields(fields, &failure.body, failure.executed)?;
    fields.set_item(intern!(py, "attempts"), failure.attempts)?;
    fields.set_item(intern!(py, "declared"), declared)?;
    fields.set_item(intern!(py, "retryable"), failure.retryable)?;
    fields.set_item(intern!(py, "path"), &failure.path)?;
    if let Some(node) = &failure.node {
        fields.set_item(intern!(py, "node"), node)?;
    }
    if let Some(after) = failure.retry_after {
        fields.set_item(intern!(py, "retry_after"), after.as_secs_f64())?;
    }
    fields.set_item(intern!(py, "ledger"), ledger_fields(py, &failure.ledger)?)?;
    Ok(())
}

fn body_fields(fields: &Bound<'_, PyDict>, body: &ErrorBody, executed: Executed) -> PyResult<()> {
    let py = fields.py();
    fields.set_item(intern!(py, "message"), body.message.as_str())?;
    fields.set_item(intern!(py, "executed"), executed.as_str())?;
    for (key, text) in [("type_name", &body.type_name), ("base", &body.base), ("traceback", &body.traceback)]
    {
        if let Some(text) = text {
            fields.set_item(key, text.as_str())?;
        }
    }
    let raises: Vec<&str> = body.raises.iter().map(mpreg_types::ForeignText::as_str).collect();
    fields.set_item(intern!(py, "raises"), raises)?;
    // Other codes have data of the mesh's own.
    let is_raised = matches!(body.code, ErrorCode::Remote | ErrorCode::BadArguments);
    if let Some(data) = body.data.as_ref().filter(|_| is_raised) {
        fields.set_item(intern!(py, "data"), plain::decode(py, data.clone())?)?;
    }
    Ok(())
}

fn ledger_fields<'py>(py: Python<'py>, ledger: &Ledger) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyDict::new(py);
    let stages = [
        ("queue", ledger.queue_us),
        ("wire", ledger.wire_us),
        ("interpreter", ledger.interpreter_us),
        ("loop", ledger.loop_us),
        ("handler", ledger.handler_us),
    ];
    for (stage, micros) in stages {
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a call are far below 2^53")]
        fields.set_item(stage, micros as f64 / 1e6)?;
    }
    Ok(fields)
}

/// What an exception of a handler looks like to its caller. Never fails: what cannot be described is named by its type.
pub(crate) fn describe_exception(py: Python<'_>, error: &PyErr, raises: &Py<PyTuple>) -> ErrorBody {
    let described = hooks(py).and_then(|hooks| {
        hooks.describe_exception.bind(py).call1((error.clone_ref(py).into_value(py), raises))
    });
    described.and_then(|fields| read_description(&fields)).unwrap_or_else(|defect| {
        defect.write_unraisable(py, None);
        ErrorBody::new(ErrorCode::Remote, "the function raised an exception that cannot be described")
    })
}

fn read_description(fields: &Bound<'_, PyAny>) -> PyResult<ErrorBody> {
    let text = |name: &str| -> PyResult<Option<String>> {
        fields.get_item(name).ok().filter(|value| !value.is_none()).map(|value| value.extract()).transpose()
    };
    let mut body = ErrorBody::new(ErrorCode::Remote, text("message")?.unwrap_or_default());
    body.type_name = text("type_name")?.map(Into::into);
    body.base = text("base")?.map(Into::into);
    body.traceback = text("traceback")?.map(Into::into);
    if let Ok(raises) = fields.get_item("raises") {
        body.raises = raises.extract::<Vec<String>>()?.into_iter().map(Into::into).collect();
    }
    if let Ok(alternatives) = fields.get_item("data") {
        let alternatives = alternatives.cast_into::<PyTuple>()?;
        body.data = alternatives.iter().find_map(|data| plain::encode(&data).ok());
    }
    Ok(body)
}
