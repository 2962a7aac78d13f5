//! Stepping coroutines inside a context of their own. Unsafe because pyo3 has no safe `PyIter_Send` for coroutines
//! and no `PyContext_Enter`.
#![expect(unsafe_code, reason = "PyIter_Send and PyContext_* have no safe wrapper in pyo3")]

use pyo3::exceptions::PyStopIteration;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;

/// What one step of a coroutine gave.
pub(crate) enum Step<'py> {
    /// It waits for this.
    Yielded(Bound<'py, PyAny>),
    /// It is done.
    Returned(Bound<'py, PyAny>),
    /// It is done, too.
    Raised(PyErr),
}

/// `coroutine.send(None)` inside `context`.
pub(crate) fn step<'py>(coroutine: &Bound<'py, PyAny>, context: &Bound<'py, PyAny>) -> Step<'py> {
    within(context, || send_none(coroutine)).unwrap_or_else(Step::Raised)
}

/// `coroutine.throw(error)` inside `context`.
pub(crate) fn throw<'py>(
    coroutine: &Bound<'py, PyAny>,
    error: PyErr,
    context: &Bound<'py, PyAny>,
) -> Step<'py> {
    let py = coroutine.py();
    let thrown =
        within(context, || match coroutine.call_method1(intern!(py, "throw"), (error.into_value(py),)) {
            Ok(waits_for) => Step::Yielded(waits_for),
            Err(end) if end.is_instance_of::<PyStopIteration>(py) => {
                end.value(py).getattr(intern!(py, "value")).map_or_else(Step::Raised, Step::Returned)
            }
            Err(error) => Step::Raised(error),
        });
    thrown.unwrap_or_else(Step::Raised)
}

fn send_none<'py>(coroutine: &Bound<'py, PyAny>) -> Step<'py> {
    let py = coroutine.py();
    let mut result: *mut ffi::PyObject = std::ptr::null_mut();
    // SAFETY: both objects are alive, we are attached, and `result` is written with a new reference (or null).
    let status = unsafe { ffi::PyIter_Send(coroutine.as_ptr(), ffi::Py_None(), &raw mut result) };
    // SAFETY: a new reference, or null with an exception set.
    let value = unsafe { Bound::from_owned_ptr_or_opt(py, result) };
    match (status, value) {
        (ffi::PySendResult::PYGEN_NEXT, Some(value)) => Step::Yielded(value),
        (ffi::PySendResult::PYGEN_RETURN, Some(value)) => Step::Returned(value),
        _ => Step::Raised(PyErr::fetch(py)),
    }
}

/// A copy of the current context (`contextvars.copy_context()`).
#[cfg(not(feature = "abi3"))]
pub(crate) fn copy_context(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: attached; returns a new reference or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent()) }
}

/// Runs `work` with `context` as the current one.
#[cfg(not(feature = "abi3"))]
pub(crate) fn within<T>(context: &Bound<'_, PyAny>, work: impl FnOnce() -> T) -> PyResult<T> {
    let py = context.py();
    // SAFETY: attached, and `context` came from `copy_context`.
    if unsafe { ffi::PyContext_Enter(context.as_ptr()) } != 0 {
        return Err(PyErr::fetch(py));
    }
    let result = work();
    // SAFETY: entered above on this thread; nothing in between left it.
    if unsafe { ffi::PyContext_Exit(context.as_ptr()) } != 0 {
        return Err(PyErr::fetch(py));
    }
    Ok(result)
}

/// A copy of the current context (`contextvars.copy_context()`).
#[cfg(feature = "abi3")]
pub(crate) fn copy_context(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import(intern!(py, "contextvars"))?.call_method0(intern!(py, "copy_context"))
}

/// Runs `work` with `context` as the current one: the limited API has no `PyContext_Enter`, so it goes
/// through `context.run` and a callable that lives as long as the call.
#[cfg(feature = "abi3")]
pub(crate) fn within<T>(context: &Bound<'_, PyAny>, work: impl FnOnce() -> T) -> PyResult<T> {
    use pyo3::exceptions::PyRuntimeError;

    type Work<'a> = Option<Box<dyn FnOnce() + 'a>>;

    let py = context.py();
    let mut result = None;
    let mut boxed: Work<'_> = Some(Box::new(|| result = Some(work())));
    let address = (&raw mut boxed) as usize;
    let runner = pyo3::types::PyCFunction::new_closure(py, None, None, move |_args, _kwargs| {
        // SAFETY: `boxed` lives on this stack frame until `context.run` below has returned, and runs once.
        let work = unsafe { &mut *(address as *mut Work<'_>) };
        if let Some(work) = work.take() {
            work();
        }
    })?;
    context.call_method1(intern!(py, "run"), (runner,))?;
    drop(boxed);
    result.ok_or_else(|| PyRuntimeError::new_err("context.run did not run"))
}
