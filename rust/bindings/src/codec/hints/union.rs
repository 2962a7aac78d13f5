//! Unions: the alternatives are tried in order, first without any conversion of numbers, then with it.

use super::conversion::{Conversion, Converted, mismatch};
use super::node::{Node, Shape};
use crate::codec::failure::Failure;
use crate::codec::library;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple};

/// Alternatives that failed somewhere inside, in unions within unions. Those can fail exponentially often on a value
/// made for it; honest values stay far below.
const DEEP_FAILURES: usize = 1_000_000;

impl<'a, 'py> Conversion<'a, 'py> {
    pub(super) fn union(
        &mut self,
        node: &'a Node,
        nodes: &'a [usize],
        value: &Bound<'py, PyAny>,
    ) -> Converted<'py> {
        let outer = self.strict;
        self.unions += 1;
        let mut converted = self.alternatives(node, nodes, value, true);
        if !outer && converted.as_ref().is_err_and(|failure| !failure.is_bare()) {
            converted = self.alternatives(node, nodes, value, false);
        }
        self.strict = outer;
        self.unions -= 1;
        converted
    }

    fn alternatives(
        &mut self,
        node: &'a Node,
        nodes: &'a [usize],
        value: &Bound<'py, PyAny>,
        strict: bool,
    ) -> Converted<'py> {
        let mut tried = 0;
        let mut last = None;
        for &index in nodes {
            if !self.is_plausible(index, value, strict) {
                continue;
            }
            tried += 1;
            self.strict = strict;
            match self.convert(index, value) {
                Ok(converted) => return Ok(converted),
                Err(failure) if failure.is_bare() => return Err(failure),
                Err(failure) => {
                    self.deep_failures += usize::from(failure.is_deep() && self.unions > 1);
                    last = Some(failure);
                }
            }
            if self.deep_failures > DEEP_FAILURES {
                return Err(Failure::decode(format!("too many ways to read it as {}", node.name)));
            }
        }
        // With one alternative in question its own message says more.
        match last {
            Some(failure) if tried == 1 => Err(failure),
            _ => Err(mismatch(node, value)),
        }
    }

    /// A quick look that spares making an error for most alternatives.
    fn is_plausible(&self, index: usize, value: &Bound<'py, PyAny>, strict: bool) -> bool {
        let Some(node) = self.nodes.get(index) else { return false };
        let is_number = || !strict && self.is_numpy_scalar(value).unwrap_or(false);
        match &node.shape {
            Shape::None => value.is_none(),
            Shape::Bool => value.is_exact_instance_of::<PyBool>() || is_number(),
            // In the first round True is a bool only, so that it fits `int | bool` as what it is.
            Shape::Int if strict => {
                value.is_instance_of::<PyInt>() && !value.is_exact_instance_of::<PyBool>()
            }
            Shape::Int => value.is_instance_of::<PyInt>() || is_number(),
            Shape::Float if strict => value.is_instance_of::<PyFloat>(),
            Shape::Float => {
                value.is_instance_of::<PyFloat>() || value.is_instance_of::<PyInt>() || is_number()
            }
            Shape::Str => value.is_instance_of::<PyString>() || is_number(),
            Shape::Bytes => value.is_instance_of::<PyBytes>() || is_number(),
            Shape::List(_) => value.is_instance_of::<PyList>(),
            Shape::Set(_) => value.is_instance_of::<PySet>(),
            Shape::FrozenSet(_) => value.is_instance_of::<PyFrozenSet>(),
            Shape::TupleOf(_) | Shape::Tuple(_) | Shape::NamedTuple(..) => value.is_instance_of::<PyTuple>(),
            Shape::Dict(..) | Shape::TypedDict(_) => value.is_instance_of::<PyDict>(),
            _ => true,
        }
    }

    pub(super) fn is_numpy_scalar(&self, value: &Bound<'py, PyAny>) -> PyResult<bool> {
        match library::numpy_if_loaded(self.py)? {
            Some(numpy) => value.is_instance(numpy.generic.bind(self.py)),
            None => Ok(false),
        }
    }
}
