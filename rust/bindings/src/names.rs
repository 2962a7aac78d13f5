//! Names, versions and constraints as Python hands them in: parsed here once, by `mpreg-types`.
//!
//! Python keeps no grammar of its own. A bad text is `ConfigError`, whose message is the parser's.

use mpreg_types::{
    ClusterId, FunctionId, FunctionName, FunctionVersion, Instance, NameError, NodeName, Resource, Tag,
    VersionConstraint,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Functions under it are the mesh's own.
const RESERVED: &str = "mpreg";
const RESERVED_RULE: &str = "names under \"mpreg.\" belong to the mesh itself; choose another prefix";

/// Adds this file's functions to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(check_name, module)?)?;
    module.add_function(wrap_pyfunction!(check_version, module)?)?;
    module.add_function(wrap_pyfunction!(check_constraint, module)?)?;
    module.add_function(wrap_pyfunction!(nearest, module)?)
}

/// `text` if it obeys the grammar of its kind.
#[pyfunction]
#[pyo3(signature = (kind, text, /))]
fn check_name(py: Python<'_>, kind: &str, text: &str) -> PyResult<String> {
    let checked = match kind {
        "function" => FunctionName::parse(text).map(|_| ()),
        "own_function" => own_function_name(text),
        "function_id" => FunctionId::parse(text).map(|_| ()),
        "node" => NodeName::parse(text).map(|_| ()),
        "instance" => Instance::parse(text).map(|_| ()),
        "cluster" => ClusterId::parse(text).map(|_| ()),
        "resource" => Resource::parse(text).map(|_| ()),
        "tag" => Tag::parse(text).map(|_| ()),
        other => return Err(PyValueError::new_err(format!("no grammar for names of kind {other:?}"))),
    };
    checked.map(|()| text.to_owned()).map_err(|error| config_error(py, &error))
}

/// The version in full: "1.2" becomes "1.2.0".
#[pyfunction]
#[pyo3(signature = (text, /))]
fn check_version(py: Python<'_>, text: &str) -> PyResult<String> {
    FunctionVersion::parse(text).map(|v| v.to_string()).map_err(|error| config_error(py, &error))
}

/// The constraint as it is shown and sent.
#[pyfunction]
#[pyo3(signature = (text, /))]
fn check_constraint(py: Python<'_>, text: &str) -> PyResult<String> {
    VersionConstraint::parse(text).map(|c| c.to_string()).map_err(|error| config_error(py, &error))
}

/// At most three of `names` that are like `text`, nearest first.
#[pyfunction]
#[pyo3(signature = (text, names, /))]
fn nearest(text: &str, names: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    let names = names.try_iter()?.map(|name| name?.extract()).collect::<PyResult<Vec<String>>>()?;
    Ok(mpreg_types::nearest(text, names.iter().map(String::as_str)).into_iter().map(str::to_owned).collect())
}

/// A name that users may give to what they offer.
fn own_function_name(text: &str) -> Result<(), NameError> {
    let name = FunctionName::parse(text)?;
    let first = name.as_str().split('.').next().unwrap_or_default();
    if first == RESERVED {
        Err(NameError::new("name for a function of yours", text, RESERVED_RULE))
    } else {
        Ok(())
    }
}

/// A `mpreg.ConfigError`; should the package be half gone (interpreter shutdown), a plain `ValueError`.
fn config_error(py: Python<'_>, error: &NameError) -> PyErr {
    let made = py
        .import("mpreg._errors")
        .and_then(|errors| errors.getattr("ConfigError"))
        .and_then(|class| class.call1((error.to_string(),)));
    made.map_or_else(|_| PyValueError::new_err(error.to_string()), PyErr::from_value)
}
