//! One value on its way through the nodes of a hint.

use super::node::{Field, Node, Shape};
use crate::codec::build::Pairs;
use crate::codec::call;
use crate::codec::failure::{Coded, Failure, Kind, Step, shown, type_name};
use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple, PyType,
};

/// Deeper than any value that was decoded: met only by a hint that leads back to itself without going into the value.
const DEPTH: usize = 1_024;
/// None: the value is right as it is.
pub(super) type Converted<'py> = Coded<Option<Bound<'py, PyAny>>>;

/// See the module.
pub(super) struct Conversion<'a, 'py> {
    pub(super) nodes: &'a [Node],
    pub(super) py: Python<'py>,
    /// Only what needs no conversion of numbers: the first round of a union, so that 3 fits `float | int` as an int.
    pub(super) strict: bool,
    depth: usize,
    pub(super) unions: usize,
    pub(super) deep_failures: usize,
}

impl<'a, 'py> Conversion<'a, 'py> {
    pub(super) fn new(nodes: &'a [Node], py: Python<'py>) -> Self {
        Self { nodes, py, strict: false, depth: 0, unions: 0, deep_failures: 0 }
    }

    pub(super) fn convert(&mut self, index: usize, value: &Bound<'py, PyAny>) -> Converted<'py> {
        let Some(node) = self.nodes.get(index) else { return Err(Failure::decode("a hint without an end")) };
        // The plain ones first: a list of floats is mostly this.
        match &node.shape {
            Shape::Any => return Ok(None),
            Shape::Float if value.is_exact_instance_of::<PyFloat>() => return Ok(None),
            Shape::Int if value.is_exact_instance_of::<PyInt>() => return Ok(None),
            Shape::Str if value.is_exact_instance_of::<PyString>() => return Ok(None),
            Shape::Float if !self.strict && value.is_exact_instance_of::<PyInt>() => {
                return self.float(value);
            }
            _ => {}
        }
        if self.depth >= DEPTH {
            return Err(Failure::decode("a hint that leads back to itself"));
        }
        self.depth += 1;
        let converted = self.shape(node, value);
        self.depth -= 1;
        converted
    }

    fn failed(&self, error: PyErr) -> Box<Failure> {
        Failure::python(self.py, Kind::Decode, error)
    }

    fn shape(&mut self, node: &'a Node, value: &Bound<'py, PyAny>) -> Converted<'py> {
        let fits = match &node.shape {
            Shape::Any => true,
            Shape::None => value.is_none(),
            Shape::Bool => value.is_exact_instance_of::<PyBool>(),
            Shape::Int => value.is_instance_of::<PyInt>(),
            Shape::Float => value.is_instance_of::<PyFloat>(),
            Shape::Str => value.is_instance_of::<PyString>(),
            Shape::Bytes => value.is_instance_of::<PyBytes>(),
            Shape::Instance(class) => self.is_instance(value, class)?,
            Shape::List(item) => return self.list(node, *item, value),
            Shape::Set(item) => return self.set::<PySet>(node, *item, value),
            Shape::FrozenSet(item) => return self.set::<PyFrozenSet>(node, *item, value),
            Shape::TupleOf(item) => return self.tuple(node, |_| *item, value),
            Shape::Tuple(items) => return self.fixed_tuple(node, items, value),
            Shape::Dict(key, item) => return self.dict(node, (*key, *item), value),
            Shape::Items(class, item) => return self.items(node, class, *item, value),
            Shape::Union(nodes) => return self.union(node, nodes, value),
            Shape::Literal(pairs) => return self.literal(node, pairs, value),
            Shape::Enum(class, members) => return self.enumeration(node, class, members, value),
            Shape::Dataclass(class, fields, names) => {
                return self.dataclass(node, (class, fields, names), value);
            }
            Shape::TypedDict(fields) => return self.typed_dict(node, fields, value),
            Shape::NamedTuple(class, fields) => return self.named_tuple(node, class, fields, value),
            Shape::NdArray(class, item) => self.is_array(class, item.as_ref(), value)?,
            Shape::Foreign(call) => return self.foreign(call, value),
        };
        if fits { Ok(None) } else { self.number(node, value) }
    }

    fn is_instance(&self, value: &Bound<'py, PyAny>, class: &Py<PyAny>) -> Coded<bool> {
        value.is_instance(class.bind(self.py)).map_err(|error| self.failed(error))
    }

    fn is_array(
        &self,
        class: &Py<PyAny>,
        item: Option<&Py<PyAny>>,
        value: &Bound<'py, PyAny>,
    ) -> Coded<bool> {
        if !self.is_instance(value, class)? {
            return Ok(false);
        }
        let Some(item) = item else { return Ok(true) };
        let kind = value
            .getattr(intern!(self.py, "dtype"))
            .and_then(|dtype| dtype.getattr(intern!(self.py, "type")));
        let is = kind.and_then(|kind| kind.cast::<PyType>()?.is_subclass(item.bind(self.py)));
        is.map_err(|error| self.failed(error))
    }

    /// The last chance of a plain hint: an int for a float, numpy's numbers and texts for Python's.
    fn number(&mut self, node: &'a Node, value: &Bound<'py, PyAny>) -> Converted<'py> {
        let is_plain =
            matches!(node.shape, Shape::Bool | Shape::Int | Shape::Float | Shape::Str | Shape::Bytes);
        if self.strict || !is_plain {
            return Err(mismatch(node, value));
        }
        if matches!(node.shape, Shape::Float) && value.is_instance_of::<PyInt>() {
            return self.float(value);
        }
        if !self.is_numpy_scalar(value).map_err(|error| self.failed(error))? {
            return Err(mismatch(node, value));
        }
        let item = value.call_method0(intern!(self.py, "item")).map_err(|error| self.failed(error))?;
        // `item` of a longdouble is a longdouble again.
        if item.get_type().is(value.get_type()) {
            return Err(mismatch(node, value));
        }
        let converted = self.shape(node, &item).map_err(|_| mismatch(node, value))?;
        Ok(Some(converted.unwrap_or(item)))
    }

    /// Of an int.
    fn float(&self, value: &Bound<'py, PyAny>) -> Converted<'py> {
        let float: f64 = value.extract().map_err(|error| self.failed(error))?;
        Ok(Some(PyFloat::new(self.py, float).into_any()))
    }

    fn list(&mut self, node: &'a Node, item: usize, value: &Bound<'py, PyAny>) -> Converted<'py> {
        let Ok(list) = value.cast::<PyList>() else { return Err(mismatch(node, value)) };
        let mut changed: Option<Bound<'py, PyList>> = None;
        for (index, old) in list.iter().enumerate() {
            if let Some(new) = self.convert(item, &old).map_err(|failure| failure.at_index(index))? {
                let copy = changed.get_or_insert_with(|| list.get_slice(0, list.len()));
                copy.set_item(index, new).map_err(|error| self.failed(error))?;
            }
        }
        Ok(changed.map(Bound::into_any))
    }

    fn tuple(
        &mut self,
        node: &'a Node,
        item: impl Fn(usize) -> usize,
        value: &Bound<'py, PyAny>,
    ) -> Converted<'py> {
        let Ok(tuple) = value.cast::<PyTuple>() else { return Err(mismatch(node, value)) };
        let mut changed: Option<Vec<Bound<'py, PyAny>>> = None;
        for (index, old) in tuple.iter_borrowed().enumerate() {
            if let Some(new) = self.convert(item(index), &old).map_err(|failure| failure.at_index(index))? {
                let items = changed.get_or_insert_with(|| tuple.iter().collect());
                if let Some(place) = items.get_mut(index) {
                    *place = new;
                }
            }
        }
        let Some(items) = changed else { return Ok(None) };
        Ok(Some(PyTuple::new(self.py, items).map_err(|error| self.failed(error))?.into_any()))
    }

    fn fixed_tuple(
        &mut self,
        node: &'a Node,
        items: &'a [usize],
        value: &Bound<'py, PyAny>,
    ) -> Converted<'py> {
        if let Ok(tuple) = value.cast::<PyTuple>()
            && tuple.len() != items.len()
        {
            let (name, count, wanted) = (&node.name, tuple.len(), items.len());
            return Err(Failure::decode(format!("expected {name} with {wanted} items, got {count}")));
        }
        // A length that differs was refused; a value that is no tuple is refused there.
        self.tuple(node, |index| items.get(index).copied().unwrap_or(usize::MAX), value)
    }

    fn set<T: pyo3::PyTypeInfo>(
        &mut self,
        node: &'a Node,
        item: usize,
        value: &Bound<'py, PyAny>,
    ) -> Converted<'py> {
        if !value.is_instance_of::<T>() {
            return Err(mismatch(node, value));
        }
        self.unordered(item, value)
    }

    /// The items of a set or frozenset.
    fn unordered(&mut self, item: usize, value: &Bound<'py, PyAny>) -> Converted<'py> {
        let mut items = Vec::new();
        let mut is_changed = false;
        for old in value.try_iter().map_err(|error| self.failed(error))? {
            let old = old.map_err(|error| self.failed(error))?;
            let new = self.convert(item, &old).map_err(|failure| failure.at_key(&old))?;
            is_changed |= new.is_some();
            items.push(new.unwrap_or(old));
        }
        if !is_changed {
            return Ok(None);
        }
        let items = PyList::new(self.py, items).and_then(|items| value.get_type().call1((items,)));
        Ok(Some(items.map_err(|error| self.failed(error))?))
    }

    fn dict(&mut self, node: &'a Node, of: (usize, usize), value: &Bound<'py, PyAny>) -> Converted<'py> {
        let Ok(dict) = value.cast::<PyDict>() else { return Err(mismatch(node, value)) };
        let mut changed: Option<Bound<'py, PyDict>> = None;
        for (index, (old_key, old)) in Pairs::new(dict).enumerate() {
            let key = self.convert(of.0, &old_key).map_err(|failure| failure.at_key(&old_key))?;
            let item = self.convert(of.1, &old).map_err(|failure| failure.at_key(&old_key))?;
            if changed.is_none() && key.is_none() && item.is_none() {
                continue;
            }
            let copy = match changed.take() {
                Some(copy) => copy,
                None => first_pairs(dict, index).map_err(|error| self.failed(error))?,
            };
            let set = copy.set_item(key.unwrap_or(old_key), item.unwrap_or(old));
            set.map_err(|error| self.failed(error))?;
            changed = Some(copy);
        }
        Ok(changed.map(Bound::into_any))
    }

    fn items(
        &mut self,
        node: &'a Node,
        class: &Py<PyAny>,
        item: usize,
        value: &Bound<'py, PyAny>,
    ) -> Converted<'py> {
        if !self.is_instance(value, class)? {
            return Err(mismatch(node, value));
        }
        if value.is_instance_of::<PyList>() {
            self.list(node, item, value)
        } else if value.is_instance_of::<PyTuple>() {
            self.tuple(node, |_| item, value)
        } else if value.is_instance_of::<PySet>() || value.is_instance_of::<PyFrozenSet>() {
            self.unordered(item, value)
        } else {
            // A str is a sequence of str, bytes one of int, a dict a collection of its keys.
            Ok(None)
        }
    }

    fn literal(
        &self,
        node: &'a Node,
        pairs: &'a [(Py<PyAny>, Py<PyAny>)],
        value: &Bound<'py, PyAny>,
    ) -> Converted<'py> {
        for (wire, result) in pairs {
            let wire = wire.bind(self.py);
            // 1 is not True here.
            if wire.get_type().is(value.get_type()) && wire.eq(value).map_err(|error| self.failed(error))? {
                return Ok(Some(result.bind(self.py).clone()));
            }
        }
        Err(Failure::decode(format!("expected {}, got {}", node.name, shown(value))))
    }

    fn enumeration(
        &self,
        node: &'a Node,
        class: &Py<PyType>,
        members: &Py<PyAny>,
        value: &Bound<'py, PyAny>,
    ) -> Converted<'py> {
        let class = class.bind(self.py);
        if value.is_instance(class).map_err(|error| self.failed(error))? {
            return Ok(None);
        }
        if let Ok(members) = members.bind(self.py).cast::<PyDict>()
            && let Ok(Some(member)) = members.get_item(value)
        {
            return Ok(Some(member));
        }
        // Values that cannot be hashed, combinations of flags, `_missing_`.
        match class.call1((value,)) {
            Ok(member) => Ok(Some(member)),
            Err(error) if error.is_instance_of::<PyException>(self.py) => {
                Err(Failure::decode(format!("expected a value of {}, got {}", node.name, shown(value))))
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    fn dataclass(
        &mut self,
        node: &'a Node,
        (class, fields, all_names): (&'a Py<PyType>, &'a [Field], &'a Py<PyTuple>),
        value: &Bound<'py, PyAny>,
    ) -> Converted<'py> {
        let class = class.bind(self.py);
        let Ok(dict) = value.cast::<PyDict>() else {
            let fits = value.is_instance(class).map_err(|error| self.failed(error))?;
            return if fits { Ok(None) } else { Err(mismatch(node, value)) };
        };
        let mut names = Vec::with_capacity(fields.len());
        let mut values = Vec::with_capacity(fields.len());
        let mut later = Vec::new();
        for field in fields {
            let Some(item) = self.field(node, field, dict)? else { continue };
            if field.init {
                names.push(field.name.bind(self.py));
                values.push(item);
            } else {
                later.push((field, item));
            }
        }
        if names.len() + later.len() != dict.len() {
            return Err(unexpected(node, fields, dict));
        }
        let all_names = all_names.bind(self.py);
        let names =
            if names.len() == all_names.len() { Ok(all_names.clone()) } else { PyTuple::new(self.py, names) };
        let object = names.and_then(|names| call::call(class, &values, Some(&names)));
        let object = object.map_err(|error| self.failed(error))?;
        for (field, item) in later {
            // Works for frozen classes too.
            let set = self.py.get_type::<PyAny>().getattr(intern!(self.py, "__setattr__"));
            let set = set.and_then(|set| set.call1((&object, &field.name, item)));
            set.map_err(|error| self.failed(error).at_field(&field.text))?;
        }
        Ok(Some(object))
    }

    /// The converted value of a field; None if it may be absent and is.
    fn field(&mut self, node: &'a Node, field: &'a Field, dict: &Bound<'py, PyDict>) -> Converted<'py> {
        match dict.get_item(&field.name).map_err(|error| self.failed(error))? {
            Some(item) => {
                let new = self.convert(field.node, &item).map_err(|failure| failure.at_field(&field.text))?;
                Ok(Some(new.unwrap_or(item)))
            }
            None if field.required => {
                Err(Failure::decode(format!("expected {}: field '{}' is missing", node.name, field.text)))
            }
            None => Ok(None),
        }
    }

    fn typed_dict(
        &mut self,
        node: &'a Node,
        fields: &'a [Field],
        value: &Bound<'py, PyAny>,
    ) -> Converted<'py> {
        let Ok(dict) = value.cast::<PyDict>() else { return Err(mismatch(node, value)) };
        let mut changed: Option<Bound<'py, PyDict>> = None;
        for field in fields {
            let Some(item) = dict.get_item(&field.name).map_err(|error| self.failed(error))? else {
                self.field(node, field, dict)?;
                continue;
            };
            let new = self.convert(field.node, &item);
            let Some(new) = new.map_err(|failure| failure.at_key(field.name.bind(self.py)))? else {
                continue;
            };
            let copy = match changed.take() {
                Some(copy) => copy,
                None => dict.copy().map_err(|error| self.failed(error))?,
            };
            copy.set_item(&field.name, new).map_err(|error| self.failed(error))?;
            changed = Some(copy);
        }
        Ok(changed.map(Bound::into_any))
    }

    fn named_tuple(
        &mut self,
        node: &'a Node,
        class: &Py<PyType>,
        fields: &'a [Field],
        value: &Bound<'py, PyAny>,
    ) -> Converted<'py> {
        let Ok(tuple) = value.cast::<PyTuple>() else { return Err(mismatch(node, value)) };
        if tuple.len() != fields.len() {
            let (name, wanted, count) = (&node.name, fields.len(), tuple.len());
            return Err(Failure::decode(format!("expected {name} with {wanted} items, got {count}")));
        }
        let mut items = Vec::with_capacity(fields.len());
        for (field, old) in fields.iter().zip(tuple.iter()) {
            let new = self.convert(field.node, &old).map_err(|failure| failure.at_field(&field.text))?;
            items.push(new.unwrap_or(old));
        }
        let object = call::call(class.bind(self.py), &items, None);
        Ok(Some(object.map_err(|error| self.failed(error))?))
    }

    /// msgspec and pydantic say themselves what is wrong, and where.
    fn foreign(&self, call: &Py<PyAny>, value: &Bound<'py, PyAny>) -> Converted<'py> {
        call.bind(self.py).call1((value,)).map(Some).map_err(|error| {
            let get = |name| error.value(self.py).getattr(name).and_then(|text| text.extract::<String>());
            match (get(intern!(self.py, "mpreg_path")), get(intern!(self.py, "mpreg_message"))) {
                (Ok(path), Ok(message)) => Failure::decode(message).at(Step::Raw(path)),
                _ => self.failed(error),
            }
        })
    }
}

/// A new dict with the first `count` pairs of another.
fn first_pairs<'py>(dict: &Bound<'py, PyDict>, count: usize) -> PyResult<Bound<'py, PyDict>> {
    let copy = PyDict::new(dict.py());
    Pairs::new(dict).take(count).try_for_each(|(key, value)| copy.set_item(key, value))?;
    Ok(copy)
}

#[cold]
pub(super) fn mismatch(node: &Node, value: &Bound<'_, PyAny>) -> Box<Failure> {
    Failure::decode(format!("expected {}, got {}", node.name, type_name(value)))
}

#[cold]
fn unexpected(node: &Node, fields: &[Field], dict: &Bound<'_, PyDict>) -> Box<Failure> {
    let is_field = |key: &Bound<'_, PyAny>| fields.iter().any(|field| key.eq(&field.name).unwrap_or(false));
    let key = Pairs::new(dict).map(|(key, _)| key).find(|key| !is_field(key));
    let key = key.map_or_else(String::new, |key| shown(&key));
    Failure::decode(format!("expected {}, which has no field {key}", node.name))
}
