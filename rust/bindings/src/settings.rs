//! Settings come as plain dicts from Python's `Config` and become the typed configuration of the node crate.

use pyo3::prelude::*;
use serde::de::DeserializeOwned;

use crate::hooks::config_error;
use crate::plain;

/// Reads a mapping as `T`; what does not fit is `ConfigError`.
pub(crate) fn read<T: DeserializeOwned>(settings: &Bound<'_, PyAny>) -> PyResult<T> {
    let encoded = plain::encode(settings)?;
    rmp_serde::from_slice(&encoded).map_err(|error| config_error(settings.py(), error.to_string()))
}
