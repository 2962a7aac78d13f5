//! Fills lists and tuples in place, and walks dicts without their iterator objects.
#![expect(
    unsafe_code,
    reason = "the C API's macros for fresh lists and tuples, and PyDict_Next, have no safe form"
)]

use super::failure::{Coded, Failure, Kind};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// A list or tuple under construction. Dropped early, its empty places are skipped by its destructor.
pub(super) struct Builder<'py> {
    object: Bound<'py, PyAny>,
    length: usize,
    filled: usize,
    tuple: bool,
}

impl<'py> Builder<'py> {
    /// A list of `length` places, all to be filled.
    #[inline]
    pub(super) fn list(py: Python<'py>, length: usize) -> Coded<Self> {
        // SAFETY: attached; returns a new reference or NULL with an exception.
        let object = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyList_New(size(length)?)) };
        let object = object.map_err(|error| Failure::python(py, Kind::Decode, error))?;
        Ok(Self { object, length, filled: 0, tuple: false })
    }

    /// The same for a tuple.
    #[inline]
    pub(super) fn tuple(py: Python<'py>, length: usize) -> Coded<Self> {
        // SAFETY: as above. (The empty tuple is shared; no place of it is ever filled.)
        let object = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyTuple_New(size(length)?)) };
        let object = object.map_err(|error| Failure::python(py, Kind::Decode, error))?;
        Ok(Self { object, length, filled: 0, tuple: true })
    }

    /// Fills the next place. More items than places are a defect of the caller and are dropped.
    #[inline]
    pub(super) fn push(&mut self, item: Bound<'py, PyAny>) {
        debug_assert!(self.filled < self.length);
        if self.filled >= self.length {
            return;
        }
        let index = self.filled.cast_signed();
        self.filled += 1;
        // SAFETY: the object is a fresh list or tuple with `length` places that only this builder has a use for, the
        // index is below it, the place is still empty, and the reference to `item` is given away.
        unsafe { set(self.object.as_ptr(), index, item.into_ptr(), self.tuple) }
    }

    /// All places were filled.
    #[inline]
    pub(super) fn finish(self) -> Bound<'py, PyAny> {
        debug_assert_eq!(self.filled, self.length);
        self.object
    }
}

#[inline]
fn size(length: usize) -> Coded<ffi::Py_ssize_t> {
    length.try_into().map_err(|_| Failure::decode("more items than this machine can hold"))
}

/// # Safety
/// As the macros of the C API: a list (or tuple) nobody else uses, an index in range, an owned item.
#[cfg(not(feature = "abi3"))]
#[inline]
unsafe fn set(object: *mut ffi::PyObject, index: isize, item: *mut ffi::PyObject, tuple: bool) {
    // SAFETY: passed on to the caller.
    unsafe {
        if tuple {
            ffi::PyTuple_SET_ITEM(object, index, item);
        } else {
            ffi::PyList_SET_ITEM(object, index, item);
        }
    }
}

/// # Safety
/// As above.
#[cfg(feature = "abi3")]
unsafe fn set(object: *mut ffi::PyObject, index: isize, item: *mut ffi::PyObject, tuple: bool) {
    // SAFETY: passed on to the caller; these check again and cannot fail under its conditions.
    unsafe {
        if tuple {
            ffi::PyTuple_SetItem(object, index, item);
        } else {
            ffi::PyList_SetItem(object, index, item);
        }
    }
}

/// The pairs of an exact dict, each kept alive while it is looked at. Use it within the dict's critical section.
/// A dict that changes meanwhile yields some pairs or others, never a dangling one: count them.
pub(super) struct Pairs<'a, 'py> {
    dict: &'a Bound<'py, PyDict>,
    position: ffi::Py_ssize_t,
}

impl<'a, 'py> Pairs<'a, 'py> {
    #[inline]
    pub(super) fn new(dict: &'a Bound<'py, PyDict>) -> Self {
        Self { dict, position: 0 }
    }
}

impl<'py> Iterator for Pairs<'_, 'py> {
    type Item = (Bound<'py, PyAny>, Bound<'py, PyAny>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let py = self.dict.py();
        let mut key = std::ptr::null_mut();
        let mut value = std::ptr::null_mut();
        // SAFETY: attached; a dict, and a position that only PyDict_Next has changed (it checks it against the dict's
        // present size). The borrowed references become owned ones before any other code can run.
        unsafe {
            if ffi::PyDict_Next(self.dict.as_ptr(), &raw mut self.position, &raw mut key, &raw mut value) == 0
            {
                return None;
            }
            Some((Bound::from_borrowed_ptr(py, key), Bound::from_borrowed_ptr(py, value)))
        }
    }
}
