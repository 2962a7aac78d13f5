//! One node of a hint, and how it is read from what `mpreg._hints` wrote.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit};

/// A field of a dataclass, `TypedDict` or `NamedTuple`.
pub(super) struct Field {
    pub(super) name: Py<PyString>,
    pub(super) text: String,
    pub(super) node: usize,
    pub(super) required: bool,
    /// It is an argument of the constructor; else it is set afterwards.
    pub(super) init: bool,
}

/// What a value must be. Numbers are indices of other nodes.
pub(super) enum Shape {
    Any,
    None,
    Bool,
    Int,
    Float,
    Str,
    Bytes,
    /// `isinstance`.
    Instance(Py<PyAny>),
    List(usize),
    Set(usize),
    FrozenSet(usize),
    /// Of any length.
    TupleOf(usize),
    Tuple(Vec<usize>),
    Dict(usize, usize),
    /// An abstract container: a list, tuple or set with such items, or any other instance of the class.
    Items(Py<PyAny>, usize),
    Union(Vec<usize>),
    /// What travels, and what it stands for.
    Literal(Vec<(Py<PyAny>, Py<PyAny>)>),
    /// The class, and its members by value.
    Enum(Py<PyType>, Py<PyAny>),
    Dataclass(Py<PyType>, Vec<Field>, Py<PyTuple>),
    TypedDict(Vec<Field>),
    NamedTuple(Py<PyType>, Vec<Field>),
    /// With elements of this class, if any is given.
    NdArray(Py<PyAny>, Option<Py<PyAny>>),
    /// Any callable: it returns the value or raises `mpreg._hints.MismatchError` (or anything).
    Foreign(Py<PyAny>),
}

/// A shape, and how a message calls it.
pub(super) struct Node {
    pub(super) shape: Shape,
    pub(super) name: String,
}

/// Indices are checked once, here.
pub(super) fn check(index: usize, count: usize) -> PyResult<usize> {
    if index < count { Ok(index) } else { Err(PyValueError::new_err("a node that does not exist")) }
}

impl Node {
    pub(super) fn parse(spec: &Bound<'_, PyTuple>, count: usize) -> PyResult<Self> {
        let kind: String = spec.get_item(0)?.extract()?;
        let name = spec.get_item(1)?.extract()?;
        let index = |at: usize| check(spec.get_item(at)?.extract()?, count);
        let indices = |at: usize| {
            let list: Vec<usize> = spec.get_item(at)?.extract()?;
            list.into_iter().map(|index| check(index, count)).collect::<PyResult<Vec<_>>>()
        };
        let object = |at: usize| Ok::<_, PyErr>(spec.get_item(at)?.unbind());
        let class = |at: usize| Ok::<_, PyErr>(spec.get_item(at)?.cast_into::<PyType>()?.unbind());
        let shape = match kind.as_str() {
            "any" => Shape::Any,
            "none" => Shape::None,
            "bool" => Shape::Bool,
            "int" => Shape::Int,
            "float" => Shape::Float,
            "str" => Shape::Str,
            "bytes" => Shape::Bytes,
            "instance" => Shape::Instance(object(2)?),
            "list" => Shape::List(index(2)?),
            "set" => Shape::Set(index(2)?),
            "frozenset" => Shape::FrozenSet(index(2)?),
            "tuple_of" => Shape::TupleOf(index(2)?),
            "tuple" => Shape::Tuple(indices(2)?),
            "dict" => Shape::Dict(index(2)?, index(3)?),
            "items" => Shape::Items(object(2)?, index(3)?),
            "union" => Shape::Union(indices(2)?),
            "literal" => Shape::Literal(spec.get_item(2)?.extract()?),
            "enum" => Shape::Enum(class(2)?, object(3)?),
            "dataclass" => Self::dataclass(spec, count)?,
            "typeddict" => Shape::TypedDict(fields(&spec.get_item(2)?, count)?),
            "namedtuple" => Shape::NamedTuple(class(2)?, fields(&spec.get_item(3)?, count)?),
            "ndarray" => Shape::NdArray(object(2)?, spec.get_item(3)?.extract()?),
            "foreign" => Shape::Foreign(object(2)?),
            _ => return Err(PyValueError::new_err(format!("a node of unknown kind {kind:?}"))),
        };
        Ok(Self { shape, name })
    }

    fn dataclass(spec: &Bound<'_, PyTuple>, count: usize) -> PyResult<Shape> {
        let fields = fields(&spec.get_item(3)?, count)?;
        let names = fields.iter().filter(|field| field.init).map(|field| field.name.bind(spec.py()));
        let names = PyTuple::new(spec.py(), names.collect::<Vec<_>>())?.unbind();
        Ok(Shape::Dataclass(spec.get_item(2)?.cast_into::<PyType>()?.unbind(), fields, names))
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match &self.shape {
            Shape::Instance(object) | Shape::Items(object, _) | Shape::Foreign(object) => visit.call(object),
            Shape::Literal(pairs) => pairs.iter().try_for_each(|(wire, value)| {
                visit.call(wire)?;
                visit.call(value)
            }),
            Shape::Enum(class, members) => {
                visit.call(class)?;
                visit.call(members)
            }
            Shape::Dataclass(class, ..) | Shape::NamedTuple(class, _) => visit.call(class),
            Shape::NdArray(class, item) => {
                visit.call(class)?;
                item.as_ref().map_or(Ok(()), |item| visit.call(item))
            }
            _ => Ok(()),
        }
    }
}

/// (name, node, required, init) each.
fn fields(list: &Bound<'_, PyAny>, count: usize) -> PyResult<Vec<Field>> {
    let field = |item: PyResult<Bound<'_, PyAny>>| {
        let (name, node, required, init): (Bound<'_, PyString>, usize, bool, bool) = item?.extract()?;
        let name = PyString::intern(name.py(), name.to_str()?);
        let text = name.to_str()?.to_owned();
        Ok(Field { name: name.unbind(), text, node: check(node, count)?, required, init })
    };
    list.try_iter()?.map(field).collect()
}
