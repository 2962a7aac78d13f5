//! What kind of value a class makes, found out once per class and remembered.
//!
//! Invariant: an entry is used only for the class it was made for: a class that can go away is watched by a weak
//! reference, so the cache keeps no class alive and a new one at the same address is not mistaken for it.

use super::library;
use super::model::Model;
use crate::step::Step;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyByteArray, PyBytes, PyDate, PyDateTime, PyDelta, PyDict, PyFloat, PyFrozenSet, PyInt, PyList,
    PyMemoryView, PySet, PyString, PyTime, PyTuple, PyType, PyTypeMethods, PyWeakrefMethods,
    PyWeakrefReference,
};
use std::sync::Arc;

const SLOTS: usize = 128;

/// How values of a class travel.
#[derive(Clone)]
pub(super) enum ValueKind {
    Int,
    Float,
    Str,
    Bytes,
    ByteArray,
    MemoryView,
    List,
    Tuple,
    Dict,
    Set,
    FrozenSet,
    Date,
    Time,
    DateTime,
    TimeDelta,
    Decimal,
    Uuid,
    Enum,
    Model(Arc<Model>),
    NdArray,
    MaskedArray,
    NumpyScalar,
    Array,
    /// A reference in a call graph.
    Step,
    /// By the buffer protocol, or not at all.
    Other,
}

struct Slot {
    class: usize,
    alive: Option<Py<PyWeakrefReference>>,
    kind: ValueKind,
}

/// Direct-mapped by the address of the class.
#[derive(Default)]
pub(super) struct KindCache {
    slots: Vec<Option<Slot>>,
}

impl KindCache {
    pub(super) fn get(&mut self, value: &Bound<'_, PyAny>) -> PyResult<ValueKind> {
        let py = value.py();
        let class = value.get_type();
        let address = class.as_ptr() as usize;
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, || None);
        }
        let place = (address >> 4 ^ address >> 11) % SLOTS;
        if let Some(Some(slot)) = self.slots.get(place)
            && slot.class == address
            && slot.alive.as_ref().is_none_or(|alive| alive.bind(py).upgrade().is_some())
        {
            return Ok(slot.kind.clone());
        }
        let kind = classify(&class)?;
        let alive = if is_static(&class) { None } else { Some(PyWeakrefReference::new(&class)?.unbind()) };
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = Some(Slot { class: address, alive, kind: kind.clone() });
        }
        Ok(kind)
    }
}

#[expect(unsafe_code, reason = "pyo3 has no safe form of PyType_GetFlags")]
fn is_static(class: &Bound<'_, PyType>) -> bool {
    // SAFETY: attached, and it is a class.
    let flags = unsafe { ffi::PyType_GetFlags(class.as_type_ptr()) };
    flags & ffi::Py_TPFLAGS_HEAPTYPE == 0
}

/// The order matters: an Enum or a dataclass may be an `int` or a `dict` too, and `numpy.float64` is a `float`.
fn classify(class: &Bound<'_, PyType>) -> PyResult<ValueKind> {
    let py = class.py();
    if class.is_subclass(library::enum_class(py)?)? {
        return Ok(ValueKind::Enum);
    }
    if let Some(numpy) = library::numpy_if_loaded(py)? {
        if class.is_subclass(&library::Numpy::masked_array(py)?)? {
            return Ok(ValueKind::MaskedArray);
        }
        if class.is_subclass(numpy.ndarray.bind(py))? {
            return Ok(ValueKind::NdArray);
        }
        if class.is_subclass(numpy.generic.bind(py))? {
            return Ok(ValueKind::NumpyScalar);
        }
    }
    if let Some(model) = Model::of(class)? {
        return Ok(ValueKind::Model(Arc::new(model)));
    }
    if let Some(kind) = builtin(class)? {
        return Ok(kind);
    }
    if class.is(py.get_type::<Step>()) {
        return Ok(ValueKind::Step);
    }
    for (module, name, kind) in [
        (intern!(py, "decimal"), intern!(py, "Decimal"), ValueKind::Decimal),
        (intern!(py, "uuid"), intern!(py, "UUID"), ValueKind::Uuid),
        (intern!(py, "array"), intern!(py, "array"), ValueKind::Array),
    ] {
        if let Some(module) = library::loaded(module)?
            && class.is_subclass(&module.getattr(name)?)?
        {
            return Ok(kind);
        }
    }
    Ok(ValueKind::Other)
}

fn builtin(class: &Bound<'_, PyType>) -> PyResult<Option<ValueKind>> {
    Ok(Some(if class.is_subclass_of::<PyInt>()? {
        ValueKind::Int
    } else if class.is_subclass_of::<PyFloat>()? {
        ValueKind::Float
    } else if class.is_subclass_of::<PyString>()? {
        ValueKind::Str
    } else if class.is_subclass_of::<PyBytes>()? {
        ValueKind::Bytes
    } else if class.is_subclass_of::<PyByteArray>()? {
        ValueKind::ByteArray
    } else if class.is_subclass_of::<PyMemoryView>()? {
        ValueKind::MemoryView
    } else if class.is_subclass_of::<PyList>()? {
        ValueKind::List
    } else if class.is_subclass_of::<PyTuple>()? {
        ValueKind::Tuple
    } else if class.is_subclass_of::<PyDict>()? {
        ValueKind::Dict
    } else if class.is_subclass_of::<PySet>()? {
        ValueKind::Set
    } else if class.is_subclass_of::<PyFrozenSet>()? {
        ValueKind::FrozenSet
    } else {
        return time(class);
    }))
}

fn time(class: &Bound<'_, PyType>) -> PyResult<Option<ValueKind>> {
    // A datetime is a date too.
    Ok(Some(if class.is_subclass_of::<PyDateTime>()? {
        ValueKind::DateTime
    } else if class.is_subclass_of::<PyDate>()? {
        ValueKind::Date
    } else if class.is_subclass_of::<PyTime>()? {
        ValueKind::Time
    } else if class.is_subclass_of::<PyDelta>()? {
        ValueKind::TimeDelta
    } else {
        return Ok(None);
    }))
}
