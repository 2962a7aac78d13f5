//! Makes `str` and `bytes` objects. Unsafe: ASCII texts are written straight into a fresh string object.
#![expect(unsafe_code, reason = "pyo3's own makers of strings and bytes panic when memory runs out")]

use super::failure::{Coded, Failure, Kind};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use pyo3::{ffi, types::PyAny};

/// Checks UTF-8.
#[inline]
pub(super) fn new_text<'py>(py: Python<'py>, bytes: &[u8]) -> Coded<Bound<'py, PyString>> {
    #[cfg(not(feature = "abi3"))]
    if bytes.len() > 1 && bytes.is_ascii() {
        return new_ascii(py, bytes);
    }
    decode(py, bytes)
}

fn decode<'py>(py: Python<'py>, bytes: &[u8]) -> Coded<Bound<'py, PyString>> {
    // A slice is never longer than isize::MAX.
    let length = bytes.len().cast_signed();
    // SAFETY: attached (`py`); pointer and length are those of a slice that outlives the call.
    let object = unsafe {
        let object = ffi::PyUnicode_DecodeUTF8(bytes.as_ptr().cast(), length, std::ptr::null());
        Bound::<PyAny>::from_owned_ptr_or_err(py, object)
    };
    finish(py, object)
}

#[cfg(not(feature = "abi3"))]
#[inline]
fn new_ascii<'py>(py: Python<'py>, bytes: &[u8]) -> Coded<Bound<'py, PyString>> {
    const MAX_ASCII: u32 = 127;
    // SAFETY: attached. A new string of `len` ASCII characters has room for `len` bytes (and a zero, which it already
    // holds) at its data pointer; nobody else has seen it, and all bytes are ASCII (checked by the caller).
    let object = unsafe {
        let object = ffi::PyUnicode_New(bytes.len().cast_signed(), MAX_ASCII);
        if !object.is_null() {
            let data = ffi::PyUnicode_DATA(object).cast::<u8>();
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), data, bytes.len());
        }
        Bound::<PyAny>::from_owned_ptr_or_err(py, object)
    };
    finish(py, object)
}

/// Copies once.
#[inline]
pub(super) fn new_bytes<'py>(py: Python<'py>, bytes: &[u8]) -> Coded<Bound<'py, PyBytes>> {
    // SAFETY: attached; pointer and length are those of a slice that outlives the call.
    let object = unsafe {
        let object = ffi::PyBytes_FromStringAndSize(bytes.as_ptr().cast(), bytes.len().cast_signed());
        Bound::<PyAny>::from_owned_ptr_or_err(py, object)
    };
    match object {
        // SAFETY: the maker returns `bytes` or fails.
        Ok(object) => Ok(unsafe { object.cast_into_unchecked() }),
        Err(error) => Err(Failure::python(py, Kind::Decode, error)),
    }
}

#[inline]
fn finish<'py>(py: Python<'py>, object: PyResult<Bound<'py, PyAny>>) -> Coded<Bound<'py, PyString>> {
    match object {
        // SAFETY: both makers return a `str` or fail.
        Ok(object) => Ok(unsafe { object.cast_into_unchecked() }),
        Err(error) => Err(Failure::python(py, Kind::Decode, error)),
    }
}
