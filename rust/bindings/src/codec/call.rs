//! Calls a Python function with arguments that lie in an array (PEP 590).
#![cfg_attr(
    not(feature = "abi3"),
    expect(unsafe_code, reason = "pyo3 has no safe call with arguments from a slice")
)]

use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// `arguments`: the positional ones, then the values of `names`.
#[cfg(not(feature = "abi3"))]
pub(super) fn call<'py>(
    function: &Bound<'py, PyAny>,
    arguments: &[Bound<'py, PyAny>],
    names: Option<&Bound<'py, PyTuple>>,
) -> PyResult<Bound<'py, PyAny>> {
    use pyo3::ffi;
    let py = function.py();
    let positional = arguments.len().saturating_sub(names.map_or(0, PyTupleMethods::len));
    let names = names.map_or(std::ptr::null_mut(), Bound::as_ptr);
    // SAFETY: attached. `Bound` is a pointer to its object with no other content (repr(transparent) over Py, which is
    // over NonNull), so the slice is an array of `positional` plus one object for each name, all alive during the
    // call. The flag that lets the callee write before the array is not set.
    unsafe {
        let array = arguments.as_ptr().cast::<*mut ffi::PyObject>();
        Bound::from_owned_ptr_or_err(
            py,
            ffi::PyObject_Vectorcall(function.as_ptr(), array, positional, names),
        )
    }
}

/// The same where the limited API of Python 3.11 has no such call.
#[cfg(feature = "abi3")]
pub(super) fn call<'py>(
    function: &Bound<'py, PyAny>,
    arguments: &[Bound<'py, PyAny>],
    names: Option<&Bound<'py, PyTuple>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = function.py();
    let positional = arguments.len().saturating_sub(names.map_or(0, PyTupleMethods::len));
    let (positional, values) = arguments.split_at(positional);
    let positional = PyTuple::new(py, positional)?;
    let Some(names) = names else { return function.call1(positional) };
    let keywords = pyo3::types::PyDict::new(py);
    for (name, value) in names.iter().zip(values) {
        keywords.set_item(name, value)?;
    }
    function.call(positional, Some(&keywords))
}
