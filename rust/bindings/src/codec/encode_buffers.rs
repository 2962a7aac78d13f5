//! Arrays and everything else with the buffer protocol to msgpack: its shape, then its memory, copied exactly once.

use super::encoder::{Encoder, cast};
use super::failure::{Coded, Failure, Kind, type_name};
use super::format::{OUT_OF_BAND_BYTES, tag};
use super::item_format::ItemFormat;
use super::library;
use super::view;
use bytes::Bytes;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};

impl Encoder<'_> {
    /// The content of a contiguous buffer as `bin`.
    pub(super) fn buffer(&mut self, value: &Bound<'_, PyAny>) -> Coded<()> {
        let buffer =
            PyUntypedBuffer::get(value).map_err(|error| Failure::python(value.py(), Kind::Encode, error))?;
        self.contiguous(&buffer)
    }

    fn contiguous(&mut self, buffer: &PyUntypedBuffer) -> Coded<()> {
        let count = buffer.len_bytes();
        self.out.bin_header(count)?;
        if count <= OUT_OF_BAND_BYTES {
            return contiguous(view::append(buffer, self.out.buffer(count)?));
        }
        self.out.check_room(count)?;
        let mut copy = Vec::with_capacity(count);
        contiguous(view::append(buffer, &mut copy))?;
        self.out.segment(Bytes::from(copy))
    }

    pub(super) fn ndarray(&mut self, value: &Bound<'_, PyAny>) -> Coded<()> {
        let py = value.py();
        let python = |error| Failure::python(py, Kind::Encode, error);
        let numpy = library::numpy(py).map_err(python)?;
        // A subclass (matrix, memmap, recarray) travels as the plain array under it.
        let array = if value.is_exact_instance(numpy.ndarray.bind(py)) {
            value.clone()
        } else {
            numpy.module.bind(py).call_method1(intern!(py, "asarray"), (value,)).map_err(python)?
        };
        let get = |name| array.getattr(name).map_err(python);
        let dtype = get(intern!(py, "dtype"))?;
        let flags = get(intern!(py, "flags"))?;
        let flag = |name| flags.getattr(name).and_then(|flag| flag.is_truthy()).map_err(python);
        let in_c_order = flag(intern!(py, "c_contiguous"))?;
        let in_fortran_order = !in_c_order && flag(intern!(py, "f_contiguous"))?;
        let shape: Vec<u64> = get(intern!(py, "shape"))?.extract().map_err(python)?;
        let count: usize = get(intern!(py, "nbytes"))?.extract().map_err(python)?;
        self.enter()?;
        self.out.tagged(tag::NDARRAY, 5)?;
        self.dtype(&dtype)?;
        self.out.boolean(in_fortran_order)?;
        self.shape(&shape)?;
        self.out.padding(count)?;
        self.out.check_room(count)?;
        if count > OUT_OF_BAND_BYTES && (in_c_order || in_fortran_order) {
            self.buffer(&opaque(&array, &dtype).map_err(python)?)?;
        } else {
            let order = if in_fortran_order { intern!(py, "F") } else { intern!(py, "C") };
            let names = dtype.getattr(intern!(py, "names")).map_err(python)?;
            let array = if names.is_none() { array } else { opaque(&array, &dtype).map_err(python)? };
            let bytes = array.call_method1(intern!(py, "tobytes"), (order,)).map_err(python)?;
            self.bytes(cast::<PyBytes>(&bytes)?)?;
        }
        self.leave();
        Ok(())
    }

    pub(super) fn numpy_scalar(&mut self, value: &Bound<'_, PyAny>) -> Coded<()> {
        let py = value.py();
        let python = |error| Failure::python(py, Kind::Encode, error);
        self.enter()?;
        self.out.tagged(tag::NUMPY_SCALAR, 2)?;
        self.dtype(&value.getattr(intern!(py, "dtype")).map_err(python)?)?;
        let bytes = value.call_method0(intern!(py, "tobytes")).map_err(python)?;
        self.bytes(cast::<PyBytes>(&bytes)?)?;
        self.leave();
        Ok(())
    }

    pub(super) fn array_array(&mut self, value: &Bound<'_, PyAny>) -> Coded<()> {
        let py = value.py();
        let python = |error| Failure::python(py, Kind::Encode, error);
        let typecode = value.getattr(intern!(py, "typecode")).map_err(python)?;
        let buffer = PyUntypedBuffer::get(value).map_err(python)?;
        self.enter()?;
        self.out.tagged(tag::ARRAY, 4)?;
        self.value(&typecode)?;
        self.out.uint(buffer.item_size() as u64)?;
        self.out.padding(buffer.len_bytes())?;
        self.contiguous(&buffer)?;
        self.leave();
        Ok(())
    }

    /// A memoryview, or any other object with a buffer, which arrives as a memoryview.
    pub(super) fn memory_view(&mut self, value: &Bound<'_, PyAny>) -> Coded<()> {
        let py = value.py();
        let python = |error| Failure::python(py, Kind::Encode, error);
        let view = match PyMemoryView::from(value) {
            Ok(view) => view.into_any(),
            Err(error) if value.is_instance_of::<PyMemoryView>() => return Err(python(error)),
            Err(_) => return Err(unsupported(value)),
        };
        let get = |name| view.getattr(name).map_err(python);
        let format: String = get(intern!(py, "format"))?.extract().map_err(python)?;
        let itemsize: usize = get(intern!(py, "itemsize"))?.extract().map_err(python)?;
        if ItemFormat::parse(&format).is_none_or(|format| format.bytes() != itemsize) {
            let message =
                format!("items of format {format:?} cannot travel; send `bytes(...)` or a numpy array");
            return Err(Failure::encode(message));
        }
        let count: usize = get(intern!(py, "nbytes"))?.extract().map_err(python)?;
        let shape: Vec<u64> = get(intern!(py, "shape"))?.extract().map_err(python)?;
        self.enter()?;
        self.out.tagged(tag::MEMORYVIEW, 5)?;
        self.out.boolean(get(intern!(py, "readonly"))?.is_truthy().map_err(python)?)?;
        self.out.text(&format)?;
        self.shape(&shape)?;
        self.out.padding(count)?;
        let is_contiguous = get(intern!(py, "c_contiguous"))?.is_truthy().map_err(python)?;
        if count > OUT_OF_BAND_BYTES && is_contiguous && !shape.is_empty() {
            self.buffer(&view)?;
        } else {
            self.out.check_room(count)?;
            let bytes = view.call_method0(intern!(py, "tobytes")).map_err(python)?;
            self.bytes(cast::<PyBytes>(&bytes)?)?;
        }
        self.leave();
        Ok(())
    }
}

/// The array as one of opaque items. As what they are numpy exports neither datetimes nor some structures, and of
/// structures it copies only the fields: what lies between them would be memory nobody has written.
fn opaque<'py>(array: &Bound<'py, PyAny>, dtype: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = array.py();
    let size: u64 = dtype.getattr(intern!(py, "itemsize"))?.extract()?;
    if size == 0 {
        return Ok(array.clone());
    }
    array.call_method1(intern!(py, "view"), (format!("V{size}"),))
}

fn contiguous(copied: bool) -> Coded<()> {
    if copied { Ok(()) } else { Err(Failure::encode("its memory is not contiguous")) }
}

#[cold]
fn unsupported(value: &Bound<'_, PyAny>) -> Box<Failure> {
    let name = type_name(value);
    let hint = if value.is_instance_of::<pyo3::types::PyType>() {
        "send its name"
    } else if value.hasattr(intern!(value.py(), "__await__")).unwrap_or(false) {
        "await it first"
    } else if value.hasattr(intern!(value.py(), "__next__")).unwrap_or(false) {
        "send `list(...)`, or make the function a generator"
    } else {
        "send a dataclass, or a dict of plain values"
    };
    Failure::encode(format!("a value of type {name} cannot travel; {hint}"))
}
