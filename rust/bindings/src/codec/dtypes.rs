//! numpy's element types, as text (`<f8`, `>M8[ns]`) or, for structured ones, as their fields.
//!
//! Wire form: str | `[base, [shape..]]` (subarray) | `[itemsize, aligned, [[name, dtype, offset, title or nil]..]]`.
//! Invariant: no type made from the wire holds object references: texts obey a grammar without them, and it is checked.

use super::decoder::Decoder;
use super::encoder::{Encoder, cast};
use super::failure::{Coded, Failure, Kind};
use super::library;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

const KEPT: usize = 16;
/// "<M8[ns]", "<U1000000".
const TEXT_BYTES: usize = 32;

/// Types seen last, with their texts. Numbers like `numpy.float64` have one object for all arrays.
#[derive(Default)]
pub(super) struct DtypeCache {
    kept: Vec<(String, Py<PyAny>)>,
    next: usize,
}

impl DtypeCache {
    fn text(&self, dtype: &Bound<'_, PyAny>) -> Option<&str> {
        self.kept.iter().find(|(_, kept)| kept.is(dtype)).map(|(text, _)| text.as_str())
    }

    fn dtype(&self, text: &str) -> Option<&Py<PyAny>> {
        self.kept.iter().find(|(kept, _)| kept == text).map(|(_, dtype)| dtype)
    }

    fn keep(&mut self, text: &str, dtype: &Bound<'_, PyAny>) {
        let entry = (text.to_owned(), dtype.clone().unbind());
        match self.kept.get_mut(self.next) {
            Some(old) => *old = entry,
            None => self.kept.push(entry),
        }
        self.next = (self.next + 1) % KEPT;
    }
}

impl Encoder<'_> {
    pub(super) fn dtype(&mut self, dtype: &Bound<'_, PyAny>) -> Coded<()> {
        if let Some(text) = self.dtypes.text(dtype) {
            return self.out.text(text);
        }
        let py = dtype.py();
        let python = |error| Failure::python(py, Kind::Encode, error);
        let get = |name| dtype.getattr(name).map_err(python);
        if get(intern!(py, "hasobject"))?.is_truthy().map_err(python)? {
            return Err(Failure::encode("arrays of Python objects cannot travel; send `array.tolist()`"));
        }
        let names = get(intern!(py, "names"))?;
        if !names.is_none() {
            return self.structured(dtype, cast(&names)?);
        }
        let subarray = get(intern!(py, "subdtype"))?;
        if !subarray.is_none() {
            let (base, shape): (Bound<'_, PyAny>, Vec<u64>) = subarray.extract().map_err(python)?;
            self.enter()?;
            self.out.array(2)?;
            self.dtype(&base)?;
            self.shape(&shape)?;
            self.leave();
            return Ok(());
        }
        let text = get(intern!(py, "str"))?;
        let text = cast::<PyString>(&text)?.to_str().map_err(python)?;
        // 2: made by an extension, its text says only how long it is.
        let is_foreign = get(intern!(py, "isbuiltin"))?.eq(2).map_err(python)?;
        if is_foreign || !is_text(text) {
            return Err(Failure::encode(format!(
                "arrays of {dtype} cannot travel; convert it (`array.astype`)"
            )));
        }
        self.dtypes.keep(text, dtype);
        self.out.text(text)
    }

    fn structured(&mut self, dtype: &Bound<'_, PyAny>, names: &Bound<'_, PyTuple>) -> Coded<()> {
        let py = dtype.py();
        let python = |error| Failure::python(py, Kind::Encode, error);
        let get = |name| dtype.getattr(name).map_err(python);
        let fields = get(intern!(py, "fields"))?;
        self.enter()?;
        self.out.array(3)?;
        self.out.uint(get(intern!(py, "itemsize"))?.extract().map_err(python)?)?;
        self.out.boolean(get(intern!(py, "isalignedstruct"))?.is_truthy().map_err(python)?)?;
        self.enter()?;
        self.out.array(names.len())?;
        for name in names.iter() {
            let field = fields.get_item(&name).map_err(python)?;
            let field = cast::<PyTuple>(&field)?;
            self.enter()?;
            self.out.array(4)?;
            self.value(&name)?;
            self.dtype(&field.get_item(0).map_err(python)?)?;
            self.value(&field.get_item(1).map_err(python)?)?;
            match field.get_item(2).ok().filter(PyAnyMethods::is_instance_of::<PyString>) {
                Some(title) => self.value(&title)?,
                None => self.out.nil()?,
            }
            self.leave();
        }
        self.leave();
        self.leave();
        Ok(())
    }

    pub(super) fn shape(&mut self, shape: &[u64]) -> Coded<()> {
        self.enter()?;
        self.out.array(shape.len())?;
        shape.iter().try_for_each(|&length| self.out.uint(length))?;
        self.leave();
        Ok(())
    }
}

impl<'py> Decoder<'_, 'py> {
    /// The next value, as an element type.
    pub(super) fn dtype(&mut self) -> Coded<Bound<'py, PyAny>> {
        let py = self.py;
        let python = |error| Failure::python(py, Kind::Decode, error);
        let value = self.value()?;
        let dtype = self.build_dtype(&value)?;
        if dtype.getattr(intern!(py, "hasobject")).and_then(|flag| flag.is_truthy()).map_err(python)? {
            return Err(Failure::decode("an array type with Python objects"));
        }
        Ok(dtype)
    }

    fn build_dtype(&mut self, value: &Bound<'py, PyAny>) -> Coded<Bound<'py, PyAny>> {
        let py = self.py;
        let python = |error| Failure::python(py, Kind::Decode, error);
        if let Ok(text) = value.cast::<PyString>() {
            let text = text.to_str().map_err(python)?;
            return self.simple_dtype(text);
        }
        let wrong = || Failure::decode("an array type that is none");
        let parts = value.cast::<PyList>().map_err(|_| wrong())?;
        let spec = match parts.len() {
            2 => {
                let base = self.build_dtype(&parts.get_item(0).map_err(python)?)?;
                let shape: Vec<u64> = parts.get_item(1).and_then(|shape| shape.extract()).map_err(python)?;
                let shape = PyTuple::new(py, shape).map_err(python)?;
                (base, shape).into_pyobject(py).map_err(python)?.into_any()
            }
            3 => self.fields(parts)?,
            _ => return Err(wrong()),
        };
        let dtype = library::numpy(py).map_err(missing(py))?.dtype.bind(py);
        let aligned =
            parts.len() == 3 && parts.get_item(1).and_then(|flag| flag.is_truthy()).map_err(python)?;
        dtype.call1((spec, aligned)).map_err(python)
    }

    fn fields(&mut self, parts: &Bound<'py, PyList>) -> Coded<Bound<'py, PyAny>> {
        let py = self.py;
        let python = |error| Failure::python(py, Kind::Decode, error);
        let columns = [PyList::empty(py), PyList::empty(py), PyList::empty(py), PyList::empty(py)];
        let list = parts.get_item(2).map_err(python)?;
        for field in list.try_iter().map_err(python)? {
            let field: [Bound<'py, PyAny>; 4] = field.and_then(|field| field.extract()).map_err(python)?;
            let [name, dtype, offset, title] = field;
            let offset: u64 = offset.extract().map_err(python)?;
            let dtype = self.build_dtype(&dtype)?;
            columns[0].append(name).map_err(python)?;
            columns[1].append(dtype).map_err(python)?;
            columns[2].append(offset).map_err(python)?;
            columns[3].append(title).map_err(python)?;
        }
        let spec = PyDict::new(py);
        for (key, column) in ["names", "formats", "offsets", "titles"].into_iter().zip(columns) {
            spec.set_item(key, column).map_err(python)?;
        }
        let itemsize: u64 = parts.get_item(0).and_then(|size| size.extract()).map_err(python)?;
        spec.set_item(intern!(py, "itemsize"), itemsize).map_err(python)?;
        Ok(spec.into_any())
    }

    fn simple_dtype(&mut self, text: &str) -> Coded<Bound<'py, PyAny>> {
        let py = self.py;
        if let Some(dtype) = self.dtypes.dtype(text) {
            return Ok(dtype.bind(py).clone());
        }
        if !is_text(text) {
            return Err(Failure::decode("an array type that is none"));
        }
        let class = library::numpy(py).map_err(missing(py))?.dtype.bind(py);
        let dtype = class.call1((text,)).map_err(|error| Failure::python(py, Kind::Decode, error))?;
        self.dtypes.keep(text, &dtype);
        Ok(dtype)
    }
}

/// Says what to do where numpy is not installed.
pub(super) fn missing(py: Python<'_>) -> impl Fn(PyErr) -> Box<Failure> {
    move |error| {
        if error.is_instance_of::<pyo3::exceptions::PyImportError>(py) {
            return Failure::decode(
                "a numpy array came in, but numpy is not installed here (`pip install numpy`)",
            );
        }
        Failure::python(py, Kind::Decode, error)
    }
}

/// Byte order, kind, size, and for times a unit: no text of an object type, no list of fields, no name.
fn is_text(text: &str) -> bool {
    let Some((order, rest)) = text.split_at_checked(1) else { return false };
    let Some((kind, rest)) = rest.split_at_checked(1) else { return false };
    let (size, unit) = rest.split_at(rest.find('[').unwrap_or(rest.len()));
    let unit_fits = unit.is_empty()
        || unit
            .strip_prefix('[')
            .and_then(|unit| unit.strip_suffix(']'))
            .is_some_and(|unit| !unit.is_empty() && unit.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    text.len() <= TEXT_BYTES
        && "<>|".contains(order)
        && "biufcmMSUV".contains(kind)
        && !size.is_empty()
        && size.bytes().all(|byte| byte.is_ascii_digit())
        && (unit.is_empty() || "mM".contains(kind))
        && unit_fits
}
