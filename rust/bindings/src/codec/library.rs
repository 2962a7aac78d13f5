//! Classes of the standard library and of numpy. All names are constants of this file; none ever comes from the wire.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyType};

/// What the codec needs of numpy.
pub(super) struct Numpy {
    pub(super) module: Py<PyModule>,
    pub(super) ndarray: Py<PyType>,
    pub(super) generic: Py<PyType>,
    pub(super) dtype: Py<PyType>,
}

impl Numpy {
    /// `numpy.ma` is loaded by numpy only when it is first asked for.
    pub(super) fn masked_array(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        match loaded(intern!(py, "numpy.ma"))? {
            Some(module) => module.getattr(intern!(py, "MaskedArray")),
            // Then there is no such array; its stand-in has no subclass that is an array.
            None => Ok(py.get_type::<pyo3::types::PyBool>().into_any()),
        }
    }
}

static NUMPY: PyOnceLock<Numpy> = PyOnceLock::new();

/// A module of this name, if somebody has imported it already.
pub(super) fn loaded<'py>(name: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let modules = name.py().import(intern!(name.py(), "sys"))?.getattr(intern!(name.py(), "modules"))?;
    Ok(modules.cast::<PyDict>()?.get_item(name)?.filter(|module| !module.is_none()))
}

/// No value can be an array as long as nobody has imported numpy.
pub(super) fn numpy_if_loaded(py: Python<'_>) -> PyResult<Option<&Numpy>> {
    if let Some(numpy) = NUMPY.get(py) {
        return Ok(Some(numpy));
    }
    match loaded(intern!(py, "numpy"))? {
        // While it is being imported it has not everything yet.
        Some(module) if module.hasattr(intern!(py, "ndarray"))? => numpy(py).map(Some),
        _ => Ok(None),
    }
}

/// Imports it on first use.
pub(super) fn numpy(py: Python<'_>) -> PyResult<&Numpy> {
    NUMPY.get_or_try_init(py, || {
        let module = py.import(intern!(py, "numpy"))?;
        let class =
            |name| -> PyResult<Py<PyType>> { Ok(module.getattr(name)?.cast_into::<PyType>()?.unbind()) };
        Ok(Numpy {
            ndarray: class(intern!(py, "ndarray"))?,
            generic: class(intern!(py, "generic"))?,
            dtype: class(intern!(py, "dtype"))?,
            module: module.unbind(),
        })
    })
}

macro_rules! class {
    ($(#[$doc:meta])* $name:ident, $module:literal, $class:literal) => {
        $(#[$doc])*
        pub(super) fn $name(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
            static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
            CLASS.import(py, $module, $class)
        }
    };
}

class!(enum_class, "enum", "Enum");
class!(decimal, "decimal", "Decimal");
class!(uuid, "uuid", "UUID");
class!(array, "array", "array");
class!(zone_info, "zoneinfo", "ZoneInfo");
class!(timezone, "datetime", "timezone");
