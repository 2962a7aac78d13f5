//! Msgpack to arrays and memoryviews. Large ones stand on the memory they arrived in.

use super::array_text;
use super::decoder::Decoder;
use super::dtypes::missing;
use super::failure::{Coded, Failure};
use super::format::{ALIGNMENT, DIMENSIONS};
use super::item_format::ItemFormat;
use super::library;
use super::memory::Memory;
use bytes::BytesMut;
use pyo3::IntoPyObjectExt;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyList, PyMemoryView, PyString, PyTuple};
use std::ffi::CString;

impl<'py> Decoder<'_, 'py> {
    fn flag(&mut self) -> Coded<bool> {
        let value = self.item()?;
        value.cast_exact::<PyBool>().map(PyBoolMethods::is_true).map_err(|_| wrong())
    }

    fn name(&mut self) -> Coded<String> {
        let value = self.item()?;
        let text = value.cast_exact::<PyString>().map_err(|_| wrong())?;
        Ok(text.to_str().map_err(|error| self.failed(error))?.to_owned())
    }

    fn shape(&mut self) -> Coded<Vec<usize>> {
        let value = self.item()?;
        let list = value.cast_exact::<PyList>().map_err(|_| wrong())?;
        if list.len() > DIMENSIONS {
            return Err(Failure::decode(format!("an array with more than {DIMENSIONS} dimensions")));
        }
        list.extract().map_err(|error| self.failed(error))
    }

    /// The padding, then the data.
    fn data(&mut self, alignment: usize) -> Coded<BytesMut> {
        let padding = self.bin_header()?;
        self.reader.slice(padding)?;
        let count = self.bin_header()?;
        self.reader.memory(count, alignment)
    }

    pub(super) fn memory_view(&mut self) -> Coded<Bound<'py, PyAny>> {
        let readonly = self.flag()?;
        let format = self.name()?;
        let shape = self.shape()?;
        let item = ItemFormat::parse(&format).ok_or_else(wrong)?;
        let memory = self.data(item.bytes())?;
        let format = CString::new(format).map_err(|_| wrong())?;
        let memory = Memory::shaped(memory, readonly, format, item.bytes(), &shape).ok_or_else(wrong)?;
        let memory = Bound::new(self.py, memory).map_err(|error| self.failed(error))?;
        Ok(PyMemoryView::from(memory.as_any()).map_err(|error| self.failed(error))?.into_any())
    }

    pub(super) fn array_array(&mut self) -> Coded<Bound<'py, PyAny>> {
        let py = self.py;
        let typecode = self.name()?;
        let itemsize = self.item()?;
        let memory = self.data(1)?;
        let is_text = matches!(typecode.as_str(), "u" | "w");
        let build = || {
            let array = library::array(py)?.call1((typecode,))?;
            if !array.getattr(intern!(py, "itemsize"))?.eq(itemsize)? {
                let message = "an array.array of a machine whose items have another size; send a numpy array";
                return Err(pyo3::exceptions::PyValueError::new_err(message));
            }
            let bytes = memory.len();
            let memory =
                Memory::of_bytes(memory).ok_or_else(|| pyo3::exceptions::PyMemoryError::new_err(bytes))?;
            array.call_method1(intern!(py, "frombytes"), (memory,))?;
            if is_text {
                // Looks at each character: not every number is one.
                array.call_method0(intern!(py, "tounicode"))?;
            }
            Ok(array)
        };
        build().map_err(|error| self.failed(error))
    }

    pub(super) fn ndarray(&mut self) -> Coded<Bound<'py, PyAny>> {
        let py = self.py;
        self.reader.keep_promise();
        let dtype = self.dtype()?;
        let in_fortran_order = self.flag()?;
        let shape = self.shape()?;
        let attribute = |name| dtype.getattr(name).and_then(|value| value.extract::<usize>());
        let alignment = attribute(intern!(py, "alignment")).map_err(|error| self.failed(error))?;
        let itemsize = attribute(intern!(py, "itemsize")).map_err(|error| self.failed(error))?;
        let memory = self.data(alignment.min(ALIGNMENT))?;
        let bytes = shape.iter().try_fold(itemsize, |bytes, &length| bytes.checked_mul(length));
        if bytes != Some(memory.len()) {
            return Err(Failure::decode("an array whose shape does not fit its bytes"));
        }
        self.check_text(&dtype, &memory)?;
        let build = || {
            let shape = PyTuple::new(py, shape)?;
            let memory = Memory::of_bytes(memory).into_bound_py_any(py)?;
            let order = if in_fortran_order { intern!(py, "F") } else { intern!(py, "C") };
            library::numpy(py)?.ndarray.bind(py).call1((shape, dtype, memory, 0, py.None(), order))
        };
        build().map_err(missing(py))
    }

    fn check_text(&self, dtype: &Bound<'py, PyAny>, items: &[u8]) -> Coded<()> {
        match array_text::is_text(dtype, items) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::decode("an array with text that is none")),
            Err(error) => Err(self.failed(error)),
        }
    }

    pub(super) fn numpy_scalar(&mut self) -> Coded<Bound<'py, PyAny>> {
        let py = self.py;
        self.reader.keep_promise();
        let dtype = self.dtype()?;
        let count = self.bin_header()?;
        let memory = self.reader.memory(count, ALIGNMENT)?;
        self.check_text(&dtype, &memory)?;
        let build = || {
            let itemsize: usize = dtype.getattr(intern!(py, "itemsize"))?.extract()?;
            if itemsize == 0 {
                // An empty text: `numpy.ndarray` would make one of one character out of it.
                let class = dtype.getattr(intern!(py, "type"))?;
                let is_void = dtype.getattr(intern!(py, "kind"))?.eq("V")?;
                return if is_void { class.call1((PyBytes::new(py, b""),)) } else { class.call0() };
            }
            if itemsize != memory.len() {
                return Err(pyo3::exceptions::PyValueError::new_err("a number that does not fit its type"));
            }
            let memory = Memory::of_bytes(memory).into_bound_py_any(py)?;
            let array = library::numpy(py)?.ndarray.bind(py).call1((PyTuple::empty(py), dtype, memory))?;
            array.get_item(PyTuple::empty(py))
        };
        build().map_err(missing(py))
    }
}

#[cold]
fn wrong() -> Box<Failure> {
    Failure::decode("an array that is not put together as one")
}
