//! The extension module `_mpreg`.
use pyo3::prelude::*;

/// Conversions, bridge, dispatcher and exceptions; the Python package on top is what people import.
#[pymodule(gil_used = false)]
fn _mpreg(_module: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}
