//! How objects with fields travel: dataclasses, msgspec Structs, pydantic models. The plan is made once per class.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};
use std::borrow::Cow;

/// One field.
pub(super) struct Field {
    /// The attribute it is read from.
    pub(super) attribute: Py<PyString>,
    /// Its key on the wire.
    pub(super) key: String,
}

/// The form of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A dict of its fields.
    Map,
    /// A list of its fields (msgspec `array_like`).
    List,
    /// Its only field (pydantic `RootModel`).
    Root,
}

/// See the module.
pub(super) struct Model {
    pub(super) shape: Shape,
    pub(super) fields: Vec<Field>,
    /// Key and value that tell the members of a union apart (msgspec `tag`).
    pub(super) tag: Option<(String, Py<PyAny>)>,
    /// Further fields are in this attribute (pydantic `extra="allow"`).
    pub(super) has_extra: bool,
    /// Fields with this value do not travel (`msgspec.UNSET`).
    pub(super) unset: Option<Py<PyAny>>,
}

impl Model {
    /// None if the class is none of the three.
    pub(super) fn of(class: &Bound<'_, PyType>) -> PyResult<Option<Self>> {
        let py = class.py();
        if class.hasattr(intern!(py, "__pydantic_validator__"))?
            && class.hasattr(intern!(py, "model_fields"))?
        {
            return Self::pydantic(class).map(Some);
        }
        if class.hasattr(intern!(py, "__struct_encode_fields__"))? {
            return Self::msgspec(class).map(Some);
        }
        if class.hasattr(intern!(py, "__dataclass_fields__"))? {
            return Self::dataclass(class).map(Some);
        }
        Ok(None)
    }

    fn new(shape: Shape, fields: Vec<Field>) -> Self {
        Self { shape, fields, tag: None, has_extra: false, unset: None }
    }

    fn dataclass(class: &Bound<'_, PyType>) -> PyResult<Self> {
        let py = class.py();
        let fields = py.import(intern!(py, "dataclasses"))?.call_method1(intern!(py, "fields"), (class,))?;
        let fields = fields.try_iter()?.map(|field| Field::named(&field?.getattr(intern!(py, "name"))?));
        Ok(Self::new(Shape::Map, fields.collect::<PyResult<_>>()?))
    }

    fn pydantic(class: &Bound<'_, PyType>) -> PyResult<Self> {
        let py = class.py();
        let fields = class.getattr(intern!(py, "model_fields"))?;
        let fields = fields.try_iter()?.map(|name| Field::named(&name?)).collect::<PyResult<Vec<_>>>()?;
        let root = class.getattr_opt(intern!(py, "__pydantic_root_model__"))?;
        let is_root = root.map_or(Ok(false), |root| root.is_truthy())? && fields.len() == 1;
        let mut model = Self::new(if is_root { Shape::Root } else { Shape::Map }, fields);
        model.has_extra = !is_root;
        Ok(model)
    }

    fn msgspec(class: &Bound<'_, PyType>) -> PyResult<Self> {
        let py = class.py();
        let attributes = class.getattr(intern!(py, "__struct_fields__"))?.cast_into::<PyTuple>()?;
        // The names msgspec itself reads and writes (`rename=`), so that `msgspec.convert` understands them.
        let keys = class.getattr(intern!(py, "__struct_encode_fields__"))?.cast_into::<PyTuple>()?;
        let fields = attributes.iter().zip(keys.iter()).map(|(attribute, key)| {
            Ok(Field { attribute: attribute.cast_into::<PyString>()?.unbind(), key: key.extract()? })
        });
        let config = class.getattr(intern!(py, "__struct_config__"))?;
        let is_list = config.getattr(intern!(py, "array_like"))?.is_truthy()?;
        let fields = fields.collect::<PyResult<_>>()?;
        let mut model = Self::new(if is_list { Shape::List } else { Shape::Map }, fields);
        let tag = config.getattr(intern!(py, "tag"))?;
        if !tag.is_none() {
            model.tag = Some((config.getattr(intern!(py, "tag_field"))?.extract()?, tag.unbind()));
        }
        // A list has a place for each field, set or not.
        if !is_list {
            model.unset = Some(py.import(intern!(py, "msgspec"))?.getattr(intern!(py, "UNSET"))?.unbind());
        }
        Ok(model)
    }

    /// Keys and values in order: what travels of `value`.
    pub(super) fn read<'a, 'py>(
        &'a self,
        value: &Bound<'py, PyAny>,
    ) -> PyResult<Vec<(Cow<'a, str>, Bound<'py, PyAny>)>> {
        let py = value.py();
        let mut pairs = Vec::with_capacity(self.fields.len() + 1);
        if let Some((key, tag)) = &self.tag {
            pairs.push((Cow::from(key.as_str()), tag.bind(py).clone()));
        }
        for field in &self.fields {
            let item = value.getattr(&field.attribute)?;
            if self.unset.as_ref().is_none_or(|unset| !item.is(unset)) {
                pairs.push((Cow::from(field.key.as_str()), item));
            }
        }
        if self.has_extra
            && let Some(extra) = value.getattr_opt(intern!(py, "__pydantic_extra__"))?
            && let Ok(extra) = extra.cast::<PyDict>()
        {
            for pair in extra.items() {
                let (key, item) = pair.extract::<(String, Bound<'py, PyAny>)>()?;
                pairs.push((Cow::from(key), item));
            }
        }
        Ok(pairs)
    }
}

impl Field {
    fn named(name: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self { attribute: name.cast::<PyString>()?.clone().unbind(), key: name.extract()? })
    }
}
