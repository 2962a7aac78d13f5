//! Python objects to msgpack.
//!
//! Invariant: nothing of Rust is locked or half-changed while Python code runs (a property, a finaliser), and the
//! number of items written is the number announced: a container that changes meanwhile is an error.

use super::build::Pairs;
use super::dtypes::DtypeCache;
use super::failure::{Coded, Failure, Kind, type_name};
use super::format::{NESTING, OUT_OF_BAND_BYTES, tag};
use super::integer::{self, Integer};
use super::kinds::{KindCache, ValueKind};
use super::model::{Model, Shape};
use super::scratch::Scratch;
use super::writer::Writer;
use crate::step::{Hole, Step};
use bytes::Bytes;
use mpreg_types::Payload;
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple,
};

/// See the module.
pub(super) struct Encoder<'a> {
    pub(super) out: Writer,
    kinds: &'a mut KindCache,
    pub(super) dtypes: &'a mut DtypeCache,
    buffer: &'a mut Vec<u8>,
    depth: usize,
    /// Inside a dict key or a member of a set: what cannot be hashed where it arrives is refused here.
    hashed: bool,
    /// References found so far; `None` where none may stand.
    holes: Option<Vec<Hole>>,
}

impl<'a> Encoder<'a> {
    pub(super) fn new(scratch: &'a mut Scratch, limit: usize) -> Self {
        let Scratch { buffer, kinds, dtypes, .. } = scratch;
        buffer.clear();
        Self {
            out: Writer::new(std::mem::take(buffer), limit),
            kinds,
            dtypes,
            buffer,
            depth: 0,
            hashed: false,
            holes: None,
        }
    }

    /// From now on steps of a graph are left out, and their places remembered.
    pub(super) fn keep_holes(&mut self) {
        self.holes = Some(Vec::new());
    }

    /// Where steps were left out.
    pub(super) fn take_holes(&mut self) -> Vec<Hole> {
        self.holes.take().unwrap_or_default()
    }

    /// All that was written.
    pub(super) fn finish(self) -> Coded<Payload> {
        self.out.check_total()?;
        let (payload, buffer) = self.out.finish();
        *self.buffer = buffer;
        Ok(payload)
    }

    /// Any value.
    #[inline]
    pub(super) fn value(&mut self, value: &Bound<'_, PyAny>) -> Coded<()> {
        if let Ok(text) = value.cast_exact::<PyString>() {
            self.text(text)
        } else if value.is_exact_instance_of::<PyInt>() {
            self.int(value)
        } else if let Ok(float) = value.cast_exact::<PyFloat>() {
            self.out.float(float.value())
        } else if let Ok(dict) = value.cast_exact::<PyDict>() {
            self.dict(dict)
        } else if let Ok(list) = value.cast_exact::<PyList>() {
            self.list(list)
        } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
            self.tuple(tuple)
        } else if value.is_none() {
            self.out.nil()
        } else if let Ok(boolean) = value.cast_exact::<PyBool>() {
            self.out.boolean(boolean.is_true())
        } else if let Ok(bytes) = value.cast_exact::<PyBytes>() {
            self.bytes(bytes)
        } else {
            self.rare(value)
        }
    }

    #[inline]
    fn int(&mut self, value: &Bound<'_, PyAny>) -> Coded<()> {
        match integer::read(value, Kind::Encode)? {
            Integer::Signed(number) => self.out.int(number),
            Integer::Unsigned(number) => self.out.uint(number),
            Integer::Big(bytes) => self.out.ext(super::format::EXT_INT, &bytes),
        }
    }

    #[inline]
    fn text(&mut self, text: &Bound<'_, PyString>) -> Coded<()> {
        match text.to_str() {
            Ok(utf8) if utf8.len() <= OUT_OF_BAND_BYTES => self.out.text(utf8),
            Ok(_) => self.large_text(text),
            Err(error) => Err(surrogates(text.py(), error)),
        }
    }

    #[cold]
    fn large_text(&mut self, text: &Bound<'_, PyString>) -> Coded<()> {
        let held = PyBackedStr::try_from(text.clone()).map_err(|error| surrogates(text.py(), error))?;
        self.out.str_header(held.len())?;
        self.out.segment(Bytes::from_owner(held))
    }

    /// The immutable object itself is the segment: no copy.
    pub(super) fn bytes(&mut self, bytes: &Bound<'_, PyBytes>) -> Coded<()> {
        let content = bytes.as_bytes();
        if content.len() <= OUT_OF_BAND_BYTES {
            return self.out.bin(content);
        }
        self.out.bin_header(content.len())?;
        self.out.segment(Bytes::from_owner(PyBackedBytes::from(bytes.clone())))
    }

    #[inline]
    pub(super) fn enter(&mut self) -> Coded<()> {
        if self.depth < NESTING {
            self.depth += 1;
            return Ok(());
        }
        Err(Failure::encode(format!("nested deeper than {NESTING}, or it contains itself")))
    }

    #[inline]
    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    #[inline]
    fn list(&mut self, list: &Bound<'_, PyList>) -> Coded<()> {
        self.enter()?;
        let count = list.len();
        self.out.array(count)?;
        let mut written = 0;
        for item in list.iter() {
            self.value(&item).map_err(|failure| failure.at_index(written))?;
            written += 1;
        }
        self.leave();
        unchanged(written == count && list.len() == count)
    }

    #[inline]
    fn tuple(&mut self, tuple: &Bound<'_, PyTuple>) -> Coded<()> {
        self.enter()?;
        self.out.tagged(tag::TUPLE, tuple.len())?;
        for (index, item) in tuple.iter_borrowed().enumerate() {
            self.value(&item).map_err(|failure| failure.at_index(index))?;
        }
        self.leave();
        Ok(())
    }

    #[inline]
    fn dict(&mut self, dict: &Bound<'_, PyDict>) -> Coded<()> {
        self.enter()?;
        let count = dict.len();
        self.out.map(count)?;
        let mut written = 0;
        with_critical_section(dict.as_any(), || -> Coded<()> {
            for (key, value) in Pairs::new(dict) {
                self.pair(&key, &value)?;
                written += 1;
                // One that grows for ever would be written for ever.
                if written > count {
                    break;
                }
            }
            Ok(())
        })?;
        self.leave();
        unchanged(written == count && dict.len() == count)
    }

    /// The keyword arguments of a call.
    pub(super) fn keywords(&mut self, keywords: &Bound<'_, PyDict>) -> Coded<()> {
        let count = keywords.len();
        let mut written = 0;
        self.out.map(count)?;
        for (name, value) in Pairs::new(keywords).take(count) {
            let under = |failure: Box<Failure>| failure.under(format!("argument '{name}'"));
            self.text(cast(&name)?).map_err(under)?;
            self.value(&value).map_err(under)?;
            written += 1;
        }
        unchanged(written == count && keywords.len() == count)
    }

    #[inline]
    fn pair(&mut self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> Coded<()> {
        match key.cast_exact::<PyString>() {
            Ok(text) => self.text(text).map_err(|failure| failure.at_key(key))?,
            Err(_) => self.hashable(key).map_err(|failure| failure.at_key(key))?,
        }
        self.value(value).map_err(|failure| failure.at_key(key))
    }

    fn hashable(&mut self, value: &Bound<'_, PyAny>) -> Coded<()> {
        let outer = std::mem::replace(&mut self.hashed, true);
        self.value(value)?;
        self.hashed = outer;
        Ok(())
    }

    /// All that is not a plain value of an exact class.
    #[inline(never)]
    fn rare(&mut self, value: &Bound<'_, PyAny>) -> Coded<()> {
        let py = value.py();
        let python = |error| Failure::python(py, Kind::Encode, error);
        match self.kinds.get(value).map_err(python)? {
            ValueKind::Int => self.int(value),
            ValueKind::Float => self.out.float(value.extract().map_err(python)?),
            ValueKind::Str => self.text(cast(value)?),
            ValueKind::Bytes => self.bytes(cast(value)?),
            ValueKind::ByteArray => self.byte_array(cast(value)?),
            ValueKind::List => self.list(cast(value)?),
            ValueKind::Tuple => self.tuple(cast(value)?),
            ValueKind::Dict => self.dict_subclass(value),
            ValueKind::Set => self.set(value, tag::SET, cast::<PySet>(value)?.len()),
            ValueKind::FrozenSet => self.set(value, tag::FROZENSET, cast::<PyFrozenSet>(value)?.len()),
            ValueKind::Date => self.date(cast(value)?),
            ValueKind::Time => self.time(cast(value)?),
            ValueKind::DateTime => self.datetime(cast(value)?),
            ValueKind::TimeDelta => self.timedelta(cast(value)?),
            ValueKind::Decimal => self.decimal(value).map_err(python)?,
            ValueKind::Uuid => self.uuid(value).map_err(python)?,
            ValueKind::Enum => self.enumeration(value),
            ValueKind::Model(model) => self.model(value, &model),
            ValueKind::NdArray => self.ndarray(value),
            ValueKind::MaskedArray => Err(Failure::encode(
                "a masked array would lose its mask; send `array.data` and `array.mask` as two values",
            )),
            ValueKind::NumpyScalar => self.numpy_scalar(value),
            ValueKind::Array => self.array_array(value),
            ValueKind::Step => self.reference(cast(value)?),
            ValueKind::MemoryView | ValueKind::Other => self.memory_view(value),
        }
    }

    /// Writes nothing: the coordinator of the graph puts the value in.
    fn reference(&mut self, step: &Bound<'_, Step>) -> Coded<()> {
        if self.hashed {
            return Err(Failure::encode(
                "a Step cannot be a dict key or in a set; put it in a list or a dict value",
            ));
        }
        let Some(holes) = &mut self.holes else {
            return Err(Failure::encode(
                "a Step can only be an argument of another step; await client.run(step)",
            ));
        };
        holes.push(step.get().hole(self.out.len() as u64));
        Ok(())
    }

    fn byte_array(&mut self, value: &Bound<'_, PyByteArray>) -> Coded<()> {
        self.enter()?;
        self.out.tagged(tag::BYTEARRAY, 1)?;
        self.buffer(value.as_any())?;
        self.leave();
        Ok(())
    }

    /// `items()` keeps the order of an `OrderedDict`, which the dict underneath does not know.
    fn dict_subclass(&mut self, value: &Bound<'_, PyAny>) -> Coded<()> {
        let items = cast::<pyo3::types::PyMapping>(value)?.items();
        let items = items.map_err(|error| Failure::python(value.py(), Kind::Encode, error))?;
        self.enter()?;
        self.out.map(items.len())?;
        for item in items.iter() {
            let (key, value) =
                item.extract().map_err(|error| Failure::python(item.py(), Kind::Encode, error))?;
            self.pair(&key, &value)?;
        }
        self.leave();
        Ok(())
    }

    fn set(&mut self, value: &Bound<'_, PyAny>, tag: u8, count: usize) -> Coded<()> {
        let python = |error| Failure::python(value.py(), Kind::Encode, error);
        self.enter()?;
        self.out.tagged(tag, count)?;
        let mut written = 0;
        for item in value.try_iter().map_err(python)? {
            let item = item.map_err(python)?;
            self.hashable(&item).map_err(|failure| failure.at_key(&item))?;
            written += 1;
        }
        self.leave();
        unchanged(written == count)
    }

    fn enumeration(&mut self, value: &Bound<'_, PyAny>) -> Coded<()> {
        let member = value.getattr(pyo3::intern!(value.py(), "_value_"));
        let member = member.map_err(|error| Failure::python(value.py(), Kind::Encode, error))?;
        // The value may be an Enum member again.
        self.enter()?;
        self.value(&member)?;
        self.leave();
        Ok(())
    }

    fn model(&mut self, value: &Bound<'_, PyAny>, model: &Model) -> Coded<()> {
        if self.hashed {
            let name = type_name(value);
            return Err(Failure::encode(format!(
                "a {name} arrives as a dict, which cannot be a key or in a set"
            )));
        }
        let fields = model.read(value).map_err(|error| Failure::python(value.py(), Kind::Encode, error))?;
        self.enter()?;
        match model.shape {
            Shape::Map => self.out.map(fields.len())?,
            Shape::List => self.out.array(fields.len())?,
            Shape::Root => {}
        }
        for (key, item) in &fields {
            if model.shape == Shape::Map {
                self.out.text(key)?;
            }
            self.value(item).map_err(|failure| failure.at_field(key))?;
        }
        self.leave();
        Ok(())
    }
}

/// The caller knows the kind of the object from its class.
pub(super) fn cast<'a, 'py, T: pyo3::PyTypeCheck>(value: &'a Bound<'py, PyAny>) -> Coded<&'a Bound<'py, T>> {
    value.cast::<T>().map_err(|error| Failure::python(value.py(), Kind::Encode, error.into()))
}

#[inline]
fn unchanged(same: bool) -> Coded<()> {
    if same { Ok(()) } else { Err(Failure::encode("changed while it was being encoded")) }
}

#[cold]
fn surrogates(py: Python<'_>, error: PyErr) -> Box<Failure> {
    if error.is_instance_of::<pyo3::exceptions::PyUnicodeEncodeError>(py) {
        return Failure::encode("text with a lone surrogate is no Unicode; send it as bytes (`os.fsencode`)");
    }
    Failure::python(py, Kind::Encode, error)
}
