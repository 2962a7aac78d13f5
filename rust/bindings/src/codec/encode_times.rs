//! Dates, times, decimals and UUIDs to msgpack extensions.

use super::encoder::{Encoder, cast};
use super::failure::{Coded, Failure, Kind};
use super::format::{EXT_DATE, EXT_DATETIME, EXT_DECIMAL, EXT_TIME, EXT_TIMEDELTA, EXT_UUID, zone};
use super::library;
use super::times;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDate, PyDateTime, PyDelta, PyString, PyTime};

const SECONDS_PER_DAY: i32 = 86_400;

impl Encoder<'_> {
    pub(super) fn date(&mut self, value: &Bound<'_, PyDate>) -> Coded<()> {
        let date = times::date(value).map_err(|error| Failure::python(value.py(), Kind::Encode, error))?;
        self.out.ext(EXT_DATE, &date)
    }

    pub(super) fn time(&mut self, value: &Bound<'_, PyTime>) -> Coded<()> {
        let python = |error| Failure::python(value.py(), Kind::Encode, error);
        let mut body = times::time(value).map_err(python)?.to_vec();
        zone_of(value.as_any(), None, &mut body)?;
        self.out.ext(EXT_TIME, &body)
    }

    pub(super) fn datetime(&mut self, value: &Bound<'_, PyDateTime>) -> Coded<()> {
        let python = |error| Failure::python(value.py(), Kind::Encode, error);
        let mut body = Vec::with_capacity(24);
        body.extend_from_slice(&times::date(cast(value.as_any())?).map_err(python)?);
        body.extend_from_slice(&times::datetime(value).map_err(python)?);
        zone_of(value.as_any(), Some(value.as_any()), &mut body)?;
        self.out.ext(EXT_DATETIME, &body)
    }

    pub(super) fn timedelta(&mut self, value: &Bound<'_, PyDelta>) -> Coded<()> {
        let parts = times::delta(value).map_err(|error| Failure::python(value.py(), Kind::Encode, error))?;
        self.out.ext(EXT_TIMEDELTA, parts.map(i32::to_be_bytes).as_flattened())
    }

    /// Its text says everything: sign, digits, exponent, kind of NaN.
    pub(super) fn decimal(&mut self, value: &Bound<'_, PyAny>) -> PyResult<Coded<()>> {
        let text = library::decimal(value.py())?.call_method1(intern!(value.py(), "__str__"), (value,))?;
        Ok(self.out.ext(EXT_DECIMAL, text.cast::<PyString>()?.to_str()?.as_bytes()))
    }

    pub(super) fn uuid(&mut self, value: &Bound<'_, PyAny>) -> PyResult<Coded<()>> {
        let number: u128 = value.getattr(intern!(value.py(), "int"))?.extract()?;
        Ok(self.out.ext(EXT_UUID, &number.to_be_bytes()))
    }
}

/// Appends the zone of a time or datetime. `moment` is what an unknown kind of zone is asked about.
fn zone_of(value: &Bound<'_, PyAny>, moment: Option<&Bound<'_, PyAny>>, body: &mut Vec<u8>) -> Coded<()> {
    let py = value.py();
    let python = |error| Failure::python(py, Kind::Encode, error);
    let tz = value.getattr(intern!(py, "tzinfo")).map_err(python)?;
    if tz.is_none() {
        body.push(zone::NAIVE);
        return Ok(());
    }
    let timezone = library::timezone(py).map_err(python)?;
    if tz.is(&timezone.getattr(intern!(py, "utc")).map_err(python)?) {
        body.push(zone::UTC);
        return Ok(());
    }
    if let Some(key) = key_of(&tz).map_err(python)? {
        body.push(zone::NAMED);
        body.extend_from_slice(key.as_bytes());
        return Ok(());
    }
    // `datetime.timezone`, or any other class: its offset at this moment is what survives.
    let offset = tz.call_method1(intern!(py, "utcoffset"), (moment,)).map_err(python)?;
    let Ok(offset) = offset.cast::<PyDelta>() else {
        return Err(Failure::encode(
            "its time zone has no offset without a date; use `zoneinfo` or a fixed offset",
        ));
    };
    // Less than a day either way: one number of seconds.
    let [days, seconds, micros] = times::delta(offset).map_err(python)?;
    body.push(zone::FIXED);
    body.extend_from_slice(&(days * SECONDS_PER_DAY + seconds).to_be_bytes());
    body.extend_from_slice(&micros.to_be_bytes());
    if tz.is_exact_instance(timezone) {
        body.extend_from_slice(name_of(&tz).map_err(python)?.as_bytes());
    }
    Ok(())
}

/// The key of a `zoneinfo.ZoneInfo` (also of a subclass); none if it was made from a file.
fn key_of(tz: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    let py = tz.py();
    let Some(zoneinfo) = library::loaded(intern!(py, "zoneinfo"))? else { return Ok(None) };
    if !tz.is_instance(&zoneinfo.getattr(intern!(py, "ZoneInfo"))?)? {
        return Ok(None);
    }
    tz.getattr(intern!(py, "key"))?.extract()
}

/// The name given to a `datetime.timezone`, or nothing if it is the default one.
fn name_of(tz: &Bound<'_, PyAny>) -> PyResult<String> {
    // `timezone.__getinitargs__` is (offset,) or (offset, name).
    let args = tz.call_method0(intern!(tz.py(), "__getinitargs__"))?;
    if args.len()? < 2 { Ok(String::new()) } else { args.get_item(1)?.extract() }
}
