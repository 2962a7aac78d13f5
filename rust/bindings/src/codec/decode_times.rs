//! Msgpack extensions to big integers, dates, times, decimals and UUIDs.

use super::decoder::Decoder;
use super::failure::{Coded, Failure};
use super::format::{
    EXT_DATE, EXT_DATETIME, EXT_DECIMAL, EXT_INT, EXT_STEP, EXT_TIME, EXT_TIMEDELTA, EXT_UUID, zone,
};
use super::times::{DATE_BYTES, TIME_BYTES};
use super::{integer, library};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDate, PyDateTime, PyDelta, PyTime, PyTzInfo};

/// The longest key of the time zone database has 32.
const ZONE_KEY_BYTES: usize = 64;

struct Clock {
    hour: u8,
    minute: u8,
    second: u8,
    microsecond: u32,
    fold: bool,
}

impl<'py> Decoder<'_, 'py> {
    /// An extension whose code was read; its body comes next.
    pub(super) fn extension(&mut self, code: i8, count: usize) -> Coded<Bound<'py, PyAny>> {
        let py = self.py;
        let body = self.reader.slice(count)?;
        let object = match code {
            EXT_INT => integer::from_big_endian(py, &body),
            EXT_DATE => date(py, &body),
            EXT_TIME => time(py, &body),
            EXT_DATETIME => datetime(py, &body),
            EXT_TIMEDELTA => timedelta(py, &body),
            EXT_DECIMAL => decimal(py, &body),
            EXT_UUID => uuid(py, &body),
            EXT_STEP => return Err(Failure::decode("a reference to a step outside a graph")),
            _ => return Err(Failure::decode(format!("unknown kind of value (extension {code})"))),
        };
        object.map_err(|error| self.failed(error))
    }
}

fn malformed() -> PyErr {
    PyValueError::new_err("a value of the wrong length")
}

fn split<const N: usize>(body: &[u8]) -> PyResult<([u8; N], &[u8])> {
    body.split_first_chunk::<N>().map(|(head, rest)| (*head, rest)).ok_or_else(malformed)
}

fn whole<const N: usize>(body: &[u8]) -> PyResult<[u8; N]> {
    body.try_into().map_err(|_| malformed())
}

fn text(body: &[u8]) -> PyResult<&str> {
    std::str::from_utf8(body).map_err(|_| PyValueError::new_err("a text that is no UTF-8"))
}

fn date<'py>(py: Python<'py>, body: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let [high, low, month, day] = whole::<DATE_BYTES>(body)?;
    Ok(PyDate::new(py, i32::from(u16::from_be_bytes([high, low])), month, day)?.into_any())
}

fn clock([hour, minute, second, m0, m1, m2, m3, fold]: [u8; TIME_BYTES]) -> Clock {
    Clock { hour, minute, second, microsecond: u32::from_be_bytes([m0, m1, m2, m3]), fold: fold != 0 }
}

fn time<'py>(py: Python<'py>, body: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let (fields, rest) = split::<TIME_BYTES>(body)?;
    let Clock { hour, minute, second, microsecond, fold } = clock(fields);
    let zone = time_zone(py, rest)?;
    Ok(PyTime::new_with_fold(py, hour, minute, second, microsecond, zone.as_ref(), fold)?.into_any())
}

fn datetime<'py>(py: Python<'py>, body: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let ([high, low, month, day], rest) = split::<DATE_BYTES>(body)?;
    let (fields, rest) = split::<TIME_BYTES>(rest)?;
    let year = i32::from(u16::from_be_bytes([high, low]));
    let Clock { hour, minute, second, microsecond, fold } = clock(fields);
    let zone = time_zone(py, rest)?;
    let zone = zone.as_ref();
    Ok(PyDateTime::new_with_fold(py, year, month, day, hour, minute, second, microsecond, zone, fold)?
        .into_any())
}

fn time_zone<'py>(py: Python<'py>, body: &[u8]) -> PyResult<Option<Bound<'py, PyTzInfo>>> {
    let (kind, rest) = split::<1>(body)?;
    let zone = match kind {
        [zone::NAIVE] if rest.is_empty() => return Ok(None),
        [zone::UTC] if rest.is_empty() => library::timezone(py)?.getattr(intern!(py, "utc"))?,
        [zone::FIXED] => {
            let (seconds, rest) = split::<4>(rest)?;
            let (micros, name) = split::<4>(rest)?;
            let (seconds, micros) = (i32::from_be_bytes(seconds), i32::from_be_bytes(micros));
            let offset = PyDelta::new(py, 0, seconds, micros, true)?;
            let name = text(name)?;
            let class = library::timezone(py)?;
            if name.is_empty() { class.call1((offset,))? } else { class.call1((offset, name))? }
        }
        [zone::NAMED] => {
            let key = text(rest)?;
            if !is_zone_key(key) {
                return Err(PyValueError::new_err("a time zone key that is none"));
            }
            library::zone_info(py)?.call1((key,))?
        }
        _ => return Err(malformed()),
    };
    Ok(Some(zone.cast_into::<PyTzInfo>()?))
}

/// `zoneinfo` turns a key into a path and a package name. Without dots and leading slashes it can leave neither.
fn is_zone_key(key: &str) -> bool {
    (1..=ZONE_KEY_BYTES).contains(&key.len())
        && key.split('/').all(|part| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+'))
        })
}

fn timedelta<'py>(py: Python<'py>, body: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let [d0, d1, d2, d3, s0, s1, s2, s3, m0, m1, m2, m3] = whole(body)?;
    let days = i32::from_be_bytes([d0, d1, d2, d3]);
    let seconds = i32::from_be_bytes([s0, s1, s2, s3]);
    let micros = i32::from_be_bytes([m0, m1, m2, m3]);
    Ok(PyDelta::new(py, days, seconds, micros, true)?.into_any())
}

fn decimal<'py>(py: Python<'py>, body: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    library::decimal(py)?.call1((text(body)?,))
}

fn uuid<'py>(py: Python<'py>, body: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let class = library::uuid(py)?;
    let number = pyo3::types::PyDict::new(py);
    number.set_item(intern!(py, "int"), u128::from_be_bytes(whole(body)?))?;
    class.call((), Some(&number))
}
