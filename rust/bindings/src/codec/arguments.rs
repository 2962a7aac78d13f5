//! The arguments of a call: written at the caller, bound and called at the callee. The format is in `codec`.

use super::call;
use super::decoder::Decoder;
use super::encoder::Encoder;
use super::failure::{Coded, Failure, Kind};
use super::hints::Parameters;
use super::reader::Reader;
use super::{decode, encode};
use crate::step::Hole;
use mpreg_types::Payload;
use pyo3::Borrowed;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

/// Positional values first, then the values of `names`: what a call by PEP 590 takes.
pub(crate) struct Arguments<'py> {
    pub(super) values: Vec<Bound<'py, PyAny>>,
    pub(super) names: Option<Bound<'py, PyTuple>>,
}

impl<'py> Arguments<'py> {
    /// Calls `function`; `first` (the context) goes before all others.
    pub(crate) fn call(
        mut self,
        function: &Bound<'py, PyAny>,
        first: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if let Some(first) = first {
            self.values.insert(0, first);
        }
        call::call(function, &self.values, self.names.as_ref())
    }

    /// How many of the values are positional.
    pub(super) fn positional(&self) -> usize {
        self.values.len() - self.names.as_ref().map_or(0, PyTupleMethods::len)
    }
}

/// Encodes the arguments of a call, of at most `limit` bytes: `EncodeError` or `TooLargeError` naming the argument.
pub(crate) fn encode_args<'a, 'py: 'a>(
    py: Python<'py>,
    positional: impl ExactSizeIterator<Item = Borrowed<'a, 'py, PyAny>>,
    keywords: Option<&Bound<'py, PyDict>>,
    limit: usize,
) -> PyResult<Payload> {
    let encoded = encode(limit, |encoder| write(encoder, positional, keywords));
    encoded.map_err(|failure| failure.into_error(py))
}

/// The same for a step of a graph: where other steps stand among its arguments nothing is written.
pub(crate) fn encode_step_args<'a, 'py: 'a>(
    py: Python<'py>,
    positional: impl ExactSizeIterator<Item = Borrowed<'a, 'py, PyAny>>,
    keywords: Option<&Bound<'py, PyDict>>,
    limit: usize,
) -> PyResult<(Payload, Vec<Hole>)> {
    let mut holes = Vec::new();
    let encoded = encode(limit, |encoder| {
        encoder.keep_holes();
        write(encoder, positional, keywords)?;
        holes = encoder.take_holes();
        Ok(())
    });
    encoded.map(|payload| (payload, holes)).map_err(|failure| failure.into_error(py))
}

#[inline]
fn write<'a, 'py: 'a>(
    encoder: &mut Encoder<'_>,
    positional: impl ExactSizeIterator<Item = Borrowed<'a, 'py, PyAny>>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> Coded<()> {
    encoder.out.array(positional.len())?;
    for (index, value) in positional.enumerate() {
        encoder.value(&value).map_err(|failure| failure.under(format!("argument {index}")))?;
    }
    let Some(keywords) = keywords.filter(|keywords| !keywords.is_empty()) else { return Ok(()) };
    encoder.keywords(keywords)
}

/// Decodes the arguments of a call. With `parameters` they are bound to the signature (`TypeError` if they do not fit,
/// before anything is converted), and each becomes what its hint asks for (`DecodeError` naming the argument).
pub(crate) fn decode_args<'py>(
    py: Python<'py>,
    payload: Payload,
    parameters: Option<&Parameters>,
) -> PyResult<Arguments<'py>> {
    let arguments = decode(py, Reader::new(payload), |decoder| read(decoder, parameters));
    let arguments = arguments.and_then(|mut arguments| {
        if let Some(parameters) = parameters {
            parameters.bind(&mut arguments)?;
        }
        Ok(arguments)
    });
    arguments.map_err(|failure| failure.into_error(py))
}

fn read<'py>(decoder: &mut Decoder<'_, 'py>, parameters: Option<&Parameters>) -> Coded<Arguments<'py>> {
    let count = decoder.array_header()?;
    let mut values = Vec::with_capacity(count);
    // No level of nesting: each argument may be as deep as a value.
    decoder.reader.promise(count)?;
    for index in 0..count {
        let value = decoder.item();
        values.push(value.map_err(|failure| failure.under(name_of(parameters, index)))?);
    }
    if decoder.reader.is_empty() {
        return Ok(Arguments { values, names: None });
    }
    let keywords = decoder.keywords()?;
    let mut names = Vec::with_capacity(keywords.len());
    for (name, value) in super::build::Pairs::new(&keywords) {
        if !name.is_exact_instance_of::<PyString>() {
            return Err(Failure::decode("a keyword that is no text").under("arguments"));
        }
        names.push(name);
        values.push(value);
    }
    let names = PyTuple::new(decoder.py, names);
    let names = names.map_err(|error| Failure::python(decoder.py, Kind::Decode, error))?;
    Ok(Arguments { values, names: Some(names) })
}

#[cold]
fn name_of(parameters: Option<&Parameters>, index: usize) -> String {
    let name = parameters.and_then(|parameters| parameters.positional_name(index));
    name.map_or_else(|| format!("argument {index}"), |name| format!("argument {name:?}").replace('"', "'"))
}
