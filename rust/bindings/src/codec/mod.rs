//! Python values to bytes and back.
//!
//! # The format
//! A value is one msgpack value. None, bool, int up to 64 bits, float, str, bytes, list and dict (with any keys, in
//! order) are what msgpack has for them. Everything else:
//!
//! - An array whose first element is the extension `fixext1(EXT_TAG, tag)` is no list but what the tag says, made of
//!   the elements that follow: a tuple, set or frozenset of them; a bytearray, memoryview, array or numpy value with
//!   its description and its bytes (a `bin`). So a projection `step[i]` into a tuple reads element `i + 1`, and every
//!   reader of msgpack can skip what it does not know.
//! - Extensions hold what has no parts: integers beyond 64 bits, dates and times, decimals, UUIDs. (`format` lists all.)
//! - Enum members travel as their value, objects with fields (dataclass, msgspec Struct, pydantic model) as dicts,
//!   subclasses of builtin types as their base.
//!
//! The **arguments** of a call are one array of the positional arguments and, only if there are any, one map of the
//! keyword arguments after it: a call without keywords pays nothing for them.
//!
//! Strings and buffers over 64 KiB lie in segments of their own (`Payload`): `bytes` and `str` objects are held, not
//! copied; everything writable is copied once. The segments one after the other are the value, so nothing depends on
//! where they end: on the way they may be cut and joined at will.
//!
//! # Use
//! Hand the payload in by value when decoding: memory that nobody else holds becomes the memory of the arrays.
//! All functions may run Python code (properties, converters, finalisers): hold no lock and no borrow while calling.

mod arguments;
mod array_text;
mod build;
mod call;
mod decode_buffers;
mod decode_times;
mod decoder;
mod dtypes;
mod encode_buffers;
mod encode_times;
mod encoder;
mod failure;
mod format;
pub(crate) mod hints;
mod integer;
mod item_format;
mod key_cache;
mod kinds;
mod library;
mod memory;
mod model;
pub(crate) mod module;
mod reader;
mod scratch;
mod text;
mod times;
mod view;
mod writer;

pub(crate) use arguments::{Arguments, decode_args, encode_args, encode_step_args};

use decoder::Decoder;
use encoder::Encoder;
use failure::Coded;
use hints::Converter;
use mpreg_types::Payload;
use pyo3::prelude::*;
use reader::Reader;

/// Encodes one value of at most `limit` bytes: `EncodeError` or `TooLargeError` naming the path inside it.
/// `what` begins that path ("result").
pub(crate) fn encode_value(value: &Bound<'_, PyAny>, limit: usize, what: &str) -> PyResult<Payload> {
    encode(limit, |encoder| encoder.value(value).map_err(|failure| failure.under(what)))
        .map_err(|failure| failure.into_error(value.py()))
}

/// Decodes one value, and rebuilds what the hint asks for: `DecodeError` naming the path inside it.
pub(crate) fn decode_value<'py>(
    py: Python<'py>,
    payload: Payload,
    hint: Option<&Converter>,
    what: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let value = decode(py, Reader::new(payload), any_value);
    let value = value.and_then(|value| match hint {
        Some(hint) => hint.apply(&value),
        None => Ok(value),
    });
    value.map_err(|failure| failure.under(what).into_error(py))
}

/// `Decoder::value` for all lifetimes.
fn any_value<'py>(decoder: &mut Decoder<'_, 'py>) -> Coded<Bound<'py, PyAny>> {
    decoder.value()
}

fn encode(limit: usize, work: impl FnOnce(&mut Encoder<'_>) -> Coded<()>) -> Coded<Payload> {
    scratch::with(|scratch| {
        let mut encoder = Encoder::new(scratch, limit);
        work(&mut encoder)?;
        encoder.finish()
    })
}

fn decode<'py, T>(
    py: Python<'py>,
    reader: Reader<'_>,
    work: impl FnOnce(&mut Decoder<'_, 'py>) -> Coded<T>,
) -> Coded<T> {
    scratch::with(|scratch| {
        let mut decoder = Decoder::new(py, reader, scratch);
        let result = work(&mut decoder)?;
        decoder.end()?;
        Ok(result)
    })
}
