//! The extension module `_mpreg`.
mod codec;
mod names;
mod targets;

use pyo3::prelude::*;

/// Conversions, bridge, dispatcher and exceptions; the Python package on top is what people import.
#[pymodule(gil_used = false)]
fn _mpreg(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    names::add_to(module)?;
    targets::add_to(module)?;
    codec::module::add_to(module)?;
    Ok(())
}
