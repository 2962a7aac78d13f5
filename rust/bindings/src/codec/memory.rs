//! Memory of Rust that Python objects stand on: a numpy array or memoryview keeps it alive through this class.
#![expect(unsafe_code, reason = "the buffer protocol hands out pointers")]

use bytes::BytesMut;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::{CString, c_int, c_void};

/// Exports itself as one C-contiguous buffer. Never resized, so any number of views may stand on it.
#[pyclass(frozen, module = "mpreg._mpreg", name = "Memory")]
pub(crate) struct Memory {
    /// Of `owner`, which is not touched any more: writing is up to those who hold a view.
    data: *mut u8,
    length: isize,
    readonly: bool,
    format: CString,
    itemsize: isize,
    shape: Vec<isize>,
    strides: Vec<isize>,
    _owner: BytesMut,
}

// SAFETY: the pointer is into memory that this object owns and Rust never reads or writes again; Python's own rules for
// concurrent use of a buffer hold for the views.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Plain bytes.
    pub(super) fn of_bytes(memory: BytesMut) -> Option<Self> {
        let length = memory.len();
        Self::shaped(memory, false, CString::from(c"B"), 1, &[length])
    }

    /// None if the shape and the item size do not make exactly this memory.
    pub(super) fn shaped(
        mut owner: BytesMut,
        readonly: bool,
        format: CString,
        itemsize: usize,
        shape: &[usize],
    ) -> Option<Self> {
        let mut bytes = itemsize;
        let mut strides = Vec::with_capacity(shape.len());
        for &length in shape.iter().rev() {
            strides.push(isize::try_from(bytes).ok()?);
            bytes = bytes.checked_mul(length)?;
        }
        strides.reverse();
        if bytes != owner.len() {
            return None;
        }
        Some(Self {
            data: owner.as_mut_ptr(),
            length: isize::try_from(bytes).ok()?,
            readonly,
            format,
            itemsize: isize::try_from(itemsize).ok()?,
            shape: shape.iter().map(|&length| isize::try_from(length).ok()).collect::<Option<_>>()?,
            strides,
            _owner: owner,
        })
    }
}

#[pymethods]
impl Memory {
    /// # Safety
    /// Called by the interpreter, with a view to fill.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let this = slf.get();
        // SAFETY: the interpreter hands in a view to fill, or NULL by mistake of its caller.
        let Some(view) = (unsafe { view.as_mut() }) else {
            return Err(PyBufferError::new_err("no view to fill"));
        };
        view.obj = std::ptr::null_mut();
        if this.readonly && flags & ffi::PyBUF_WRITABLE == ffi::PyBUF_WRITABLE {
            return Err(PyBufferError::new_err("this memory is read-only"));
        }
        let asks = |flag| flags & flag == flag;
        view.buf = this.data.cast::<c_void>();
        view.len = this.length;
        view.readonly = c_int::from(this.readonly);
        view.itemsize = this.itemsize;
        view.ndim = if asks(ffi::PyBUF_ND) { c_int::try_from(this.shape.len())? } else { 1 };
        // The exporter lends format, shape and strides; who asks for a view only reads them. They live as long as
        // this object, which the view keeps alive.
        view.format =
            if asks(ffi::PyBUF_FORMAT) { this.format.as_ptr().cast_mut() } else { std::ptr::null_mut() };
        view.shape = if asks(ffi::PyBUF_ND) { this.shape.as_ptr().cast_mut() } else { std::ptr::null_mut() };
        view.strides =
            if asks(ffi::PyBUF_STRIDES) { this.strides.as_ptr().cast_mut() } else { std::ptr::null_mut() };
        view.suboffsets = std::ptr::null_mut();
        view.internal = std::ptr::null_mut();
        view.obj = slf.into_any().into_ptr();
        Ok(())
    }
}
