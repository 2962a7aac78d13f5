//! Rebuilds what a type hint asks for from the plain values that travel.
//!
//! The Python side (`mpreg._hints`) reads a hint once and hands over a flat list of nodes; here they become a
//! `Converter` that checks and converts values without any Python frame, except where a class of the user is made.
//!
//! Invariant: a converter never changes the value it is given: what must change is copied.

mod conversion;
mod node;
mod parameters;
mod union;

pub(crate) use parameters::Parameters;

use super::failure::Coded;
use conversion::Conversion;
use node::Node;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

/// What a hint became. Immutable: all threads use it.
#[pyclass(frozen, module = "mpreg._mpreg", name = "Converter")]
pub(crate) struct Converter {
    nodes: Vec<Node>,
    root: usize,
}

impl Converter {
    /// The value the hint asks for.
    pub(crate) fn apply<'py>(&self, value: &Bound<'py, PyAny>) -> Coded<Bound<'py, PyAny>> {
        let converted = Conversion::new(&self.nodes, value.py()).convert(self.root, value)?;
        Ok(converted.unwrap_or_else(|| value.clone()))
    }
}

#[pymethods]
impl Converter {
    /// `nodes`: tuples (kind, name, ...), which refer to each other by their index.
    #[new]
    fn new(nodes: &Bound<'_, PyList>, root: usize) -> PyResult<Self> {
        let count = nodes.len();
        let parse = |node: Bound<'_, PyAny>| Node::parse(node.cast::<PyTuple>()?, count);
        let nodes = nodes.iter().map(parse).collect::<PyResult<Vec<_>>>()?;
        node::check(root, nodes.len())?;
        Ok(Self { nodes, root })
    }

    fn __call__<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.apply(value).map_err(|failure| failure.into_error(value.py()))
    }

    fn __repr__(&self) -> String {
        format!("<converter to {}>", self.nodes.get(self.root).map_or("?", |node| node.name.as_str()))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.nodes.iter().try_for_each(|node| node.traverse(&visit))
    }
}
