//! The fields of dates, times and time differences as bytes.
//!
//! The limited API has no access to the fields: there they are read as attributes.

#![cfg_attr(not(feature = "abi3"), expect(clippy::unnecessary_wraps, reason = "attributes can fail"))]

use pyo3::prelude::*;
use pyo3::types::{PyDate, PyDateTime, PyDelta, PyTime};
#[cfg(not(feature = "abi3"))]
use pyo3::types::{PyDateAccess, PyDeltaAccess, PyTimeAccess};

/// year u16, month u8, day u8.
pub(super) const DATE_BYTES: usize = 4;
/// hour, minute, second u8, microsecond u32, fold u8.
pub(super) const TIME_BYTES: usize = 8;

/// Also of a datetime.
#[cfg(not(feature = "abi3"))]
pub(super) fn date(value: &Bound<'_, PyDate>) -> PyResult<[u8; DATE_BYTES]> {
    let [high, low] = u16::try_from(value.get_year())?.to_be_bytes();
    Ok([high, low, value.get_month(), value.get_day()])
}

#[cfg(not(feature = "abi3"))]
pub(super) fn time(value: &Bound<'_, PyTime>) -> PyResult<[u8; TIME_BYTES]> {
    Ok(clock(value))
}

/// The time of a datetime.
#[cfg(not(feature = "abi3"))]
pub(super) fn datetime(value: &Bound<'_, PyDateTime>) -> PyResult<[u8; TIME_BYTES]> {
    Ok(clock(value))
}

#[cfg(not(feature = "abi3"))]
fn clock(value: &impl PyTimeAccess) -> [u8; TIME_BYTES] {
    let [m0, m1, m2, m3] = value.get_microsecond().to_be_bytes();
    let fold = u8::from(value.get_fold());
    [value.get_hour(), value.get_minute(), value.get_second(), m0, m1, m2, m3, fold]
}

/// Days, seconds, microseconds; only the days are ever negative.
#[cfg(not(feature = "abi3"))]
pub(super) fn delta(value: &Bound<'_, PyDelta>) -> PyResult<[i32; 3]> {
    Ok([value.get_days(), value.get_seconds(), value.get_microseconds()])
}

#[cfg(feature = "abi3")]
fn attribute<'py, T: for<'a> FromPyObject<'a, 'py, Error = PyErr>>(
    value: &Bound<'py, PyAny>,
    name: &str,
) -> PyResult<T> {
    value.getattr(name)?.extract()
}

#[cfg(feature = "abi3")]
pub(super) fn date(value: &Bound<'_, PyDate>) -> PyResult<[u8; DATE_BYTES]> {
    let [high, low] = attribute::<u16>(value, "year")?.to_be_bytes();
    Ok([high, low, attribute(value, "month")?, attribute(value, "day")?])
}

#[cfg(feature = "abi3")]
pub(super) fn time(value: &Bound<'_, PyTime>) -> PyResult<[u8; TIME_BYTES]> {
    clock(value)
}

/// The time of a datetime.
#[cfg(feature = "abi3")]
pub(super) fn datetime(value: &Bound<'_, PyDateTime>) -> PyResult<[u8; TIME_BYTES]> {
    clock(value)
}

#[cfg(feature = "abi3")]
fn clock(value: &Bound<'_, PyAny>) -> PyResult<[u8; TIME_BYTES]> {
    let [m0, m1, m2, m3] = attribute::<u32>(value, "microsecond")?.to_be_bytes();
    let [hour, minute, second] =
        [attribute(value, "hour")?, attribute(value, "minute")?, attribute(value, "second")?];
    Ok([hour, minute, second, m0, m1, m2, m3, attribute(value, "fold")?])
}

/// Days, seconds, microseconds; only the days are ever negative.
#[cfg(feature = "abi3")]
pub(super) fn delta(value: &Bound<'_, PyDelta>) -> PyResult<[i32; 3]> {
    Ok([attribute(value, "days")?, attribute(value, "seconds")?, attribute(value, "microseconds")?])
}
