//! What of the codec the extension module shows: the classes, and two functions for tests.

use super::failure::Failure;
use super::hints::{Converter, Parameters};
use super::memory::Memory;
use super::reader::Reader;
use super::{any_value, decode, decode_args, decode_value, encode, encode_args, encode_value};
use bytes::Bytes;
use mpreg_types::Payload;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

/// As the default of `max_value_bytes`.
const LIMIT_BYTES: usize = 1 << 30;

/// Adds the codec's part to `_mpreg`.
pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Converter>()?;
    module.add_class::<Memory>()?;
    module.add_function(wrap_pyfunction!(encode_bytes, module)?)?;
    module.add_function(wrap_pyfunction!(decode_bytes, module)?)?;
    module.add_function(wrap_pyfunction!(call_by_value, module)?)
}

/// Calls `function` as a node does: arguments and result travel as bytes, bound to `parameters` and made to `returns`.
#[pyfunction(signature = (function, args, kwargs = None, /, *, parameters = None, returns = None, first = None))]
fn call_by_value<'py>(
    function: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
    parameters: Option<&Bound<'py, PyAny>>,
    returns: Option<PyRef<'py, Converter>>,
    first: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = function.py();
    let name = function.getattr("__name__").and_then(|name| name.extract::<String>())?;
    let parameters = parameters.map(|parameters| Parameters::new(&name, parameters)).transpose()?;
    let payload = encode_args(py, args.iter_borrowed(), kwargs, LIMIT_BYTES)?;
    let result = decode_args(py, payload, parameters.as_ref())?.call(function, first)?;
    let payload = encode_value(&result, LIMIT_BYTES, "result")?;
    decode_value(py, payload, returns.as_deref(), "result")
}

/// The encoded form of a value, in one piece.
#[pyfunction(name = "encode", signature = (value, /, *, limit = LIMIT_BYTES))]
fn encode_bytes<'py>(value: &Bound<'py, PyAny>, limit: usize) -> PyResult<Bound<'py, PyBytes>> {
    let py = value.py();
    let payload = encode(limit, |encoder| encoder.value(value)).map_err(|failure| failure.into_error(py))?;
    if payload.tail.is_empty() {
        return Ok(PyBytes::new(py, &payload.head));
    }
    PyBytes::new_with(py, payload.len(), |mut place| {
        for segment in payload.segments() {
            let (part, rest) = place.split_at_mut(segment.len());
            part.copy_from_slice(segment);
            place = rest;
        }
        Ok(())
    })
}

/// The value that `encode` was given. `cuts`: as if the bytes had arrived in segments that end there.
#[pyfunction(name = "decode", signature = (buffer, /, *, cuts = None))]
fn decode_bytes<'py>(buffer: &Bound<'py, PyAny>, cuts: Option<Vec<usize>>) -> PyResult<Bound<'py, PyAny>> {
    let py = buffer.py();
    let value = match (buffer.cast_exact::<PyBytes>(), cuts) {
        (Ok(bytes), None) => decode(py, Reader::borrowed(bytes.as_bytes()), any_value),
        (_, cuts) => {
            let view = PyUntypedBuffer::get(buffer)?;
            let mut copy = Vec::new();
            if !super::view::append(&view, &mut copy) {
                return Err(Failure::decode("the bytes are not contiguous").into_error(py));
            }
            decode(py, Reader::new(cut(Bytes::from(copy), cuts.unwrap_or_default())), |decoder| {
                decoder.value()
            })
        }
    };
    value.map_err(|failure| failure.into_error(py))
}

fn cut(bytes: Bytes, cuts: Vec<usize>) -> Payload {
    let ends = cuts.iter().copied().chain([bytes.len()]);
    let mut start = 0;
    let mut parts = ends.map(|end| {
        let end = end.clamp(start, bytes.len());
        let part = Bytes::copy_from_slice(&bytes[start..end]);
        start = end;
        part
    });
    Payload { head: parts.next().unwrap_or_default(), tail: parts.collect() }
}
