//! Integers of any size.
#![expect(unsafe_code, reason = "pyo3 raises and drops a Python exception for each integer beyond its type")]

use super::failure::{Coded, Failure, Kind};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt};
use pyo3::{IntoPyObjectExt, ffi};

/// What an `int` fits.
pub(super) enum Integer {
    Signed(i64),
    Unsigned(u64),
    /// Two's complement, big endian, as short as possible.
    Big(Vec<u8>),
}

/// `value` is an `int` or a subclass of it.
#[inline]
pub(super) fn read(value: &Bound<'_, PyAny>, kind: Kind) -> Coded<Integer> {
    let mut overflow = 0;
    // SAFETY: attached; the caller hands in an int, so it cannot fail (and no `__index__` is called).
    let number = unsafe { ffi::PyLong_AsLongLongAndOverflow(value.as_ptr(), &raw mut overflow) };
    if overflow == 0 {
        return Ok(Integer::Signed(number));
    }
    wide(value, overflow > 0).map_err(|error| Failure::python(value.py(), kind, error))
}

#[cold]
fn wide(value: &Bound<'_, PyAny>, positive: bool) -> PyResult<Integer> {
    let py = value.py();
    let int = py.get_type::<PyInt>();
    // Through the class: a subclass may have changed the methods.
    let bits: usize = int.call_method1(intern!(py, "bit_length"), (value,))?.extract()?;
    if positive && bits <= 64 {
        return Ok(Integer::Unsigned(value.extract()?));
    }
    let bytes = (value, bits / 8 + 1, intern!(py, "big"));
    let signed = pyo3::types::PyDict::new(py);
    signed.set_item(intern!(py, "signed"), true)?;
    let bytes = int.call_method(intern!(py, "to_bytes"), bytes, Some(&signed))?;
    Ok(Integer::Big(bytes.cast::<PyBytes>()?.as_bytes().to_vec()))
}

/// The inverse of `Integer::Big`.
#[cold]
pub(super) fn from_big_endian<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let signed = pyo3::types::PyDict::new(py);
    signed.set_item(intern!(py, "signed"), true)?;
    let int = py.get_type::<PyInt>();
    int.call_method(intern!(py, "from_bytes"), (PyBytes::new(py, bytes), intern!(py, "big")), Some(&signed))
}

#[inline]
pub(super) fn new_signed(py: Python<'_>, value: i64) -> Coded<Bound<'_, PyAny>> {
    value.into_bound_py_any(py).map_err(|error| Failure::python(py, Kind::Decode, error))
}

#[inline]
pub(super) fn new_unsigned(py: Python<'_>, value: u64) -> Coded<Bound<'_, PyAny>> {
    value.into_bound_py_any(py).map_err(|error| Failure::python(py, Kind::Decode, error))
}
