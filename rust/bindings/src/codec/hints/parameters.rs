//! The signature of a registered function: arguments are bound to it before anything is converted or called.

use super::Converter;
use crate::codec::arguments::Arguments;
use crate::codec::failure::{Coded, Failure, Kind, shown};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// `inspect.Parameter.kind`.
const POSITIONAL_ONLY: u8 = 0;
const EITHER: u8 = 1;
const REST: u8 = 2;
const KEYWORD_ONLY: u8 = 3;
const OTHER_KEYWORDS: u8 = 4;

/// What turns an argument into what its hint asks for.
enum Convert {
    Native(Py<Converter>),
    /// Any other callable.
    Call(Py<PyAny>),
}

/// Options of `remote(...)`, which newcomers give to the call itself.
const CALL_OPTIONS: [&str; 9] =
    ["timeout", "retries", "wait", "resources", "version", "cluster", "sticky", "metadata", "returns"];

/// What each item of `*args` or `**kwargs` must be.
struct Each(Option<Convert>);

struct Parameter {
    name: String,
    required: bool,
    /// May be given by name.
    by_name: bool,
    convert: Option<Convert>,
}

/// See the module. Made once, when the function is registered.
pub(crate) struct Parameters {
    function: String,
    /// First those that may be given by position (`by_position` of them), then the keyword-only ones.
    list: Vec<Parameter>,
    by_position: usize,
    /// Missing ones are looked for only if there can be any.
    required_by_position: usize,
    has_required_keyword: bool,
    has_converters: bool,
    /// `*args` and `**kwargs`, if the function has them.
    rest: Option<Each>,
    other_keywords: Option<Each>,
}

impl Parameters {
    /// Of objects with `name`, `kind` (as `inspect` counts), `required` and `convert` (a callable or None).
    pub(crate) fn new(function: &str, parameters: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = parameters.py();
        let mut by_position = Vec::new();
        let mut keyword_only = Vec::new();
        let (mut rest, mut other_keywords) = (None, None);
        for parameter in parameters.try_iter()? {
            let parameter = parameter?;
            let convert = Convert::from_object(&parameter.getattr(intern!(py, "convert"))?);
            let kind: u8 = parameter.getattr(intern!(py, "kind"))?.extract()?;
            let name = parameter.getattr(intern!(py, "name"))?.extract()?;
            let required = parameter.getattr(intern!(py, "required"))?.is_truthy()?;
            let by_name = kind != POSITIONAL_ONLY;
            match kind {
                POSITIONAL_ONLY | EITHER => by_position.push(Parameter { name, required, by_name, convert }),
                KEYWORD_ONLY => keyword_only.push(Parameter { name, required, by_name, convert }),
                REST => rest = Some(Each(convert)),
                OTHER_KEYWORDS => other_keywords = Some(Each(convert)),
                _ => return Err(PyValueError::new_err("a parameter of unknown kind")),
            }
        }
        let required_by_position = by_position.iter().filter(|parameter| parameter.required).count();
        let has_required_keyword = keyword_only.iter().any(|parameter| parameter.required);
        let count = by_position.len();
        by_position.append(&mut keyword_only);
        let list = by_position;
        let has_converters = list.iter().any(|parameter| parameter.convert.is_some())
            || matches!(rest, Some(Each(Some(_))))
            || matches!(other_keywords, Some(Each(Some(_))));
        Ok(Self {
            function: function.to_owned(),
            list,
            by_position: count,
            required_by_position,
            has_required_keyword,
            has_converters,
            rest,
            other_keywords,
        })
    }

    pub(crate) fn positional_name(&self, index: usize) -> Option<&str> {
        self.list.get(..self.by_position)?.get(index).map(|parameter| parameter.name.as_str())
    }

    /// Checks that the arguments fit, then converts them.
    pub(crate) fn bind(&self, arguments: &mut Arguments<'_>) -> Coded<()> {
        let positional = arguments.positional();
        if positional > self.by_position && self.rest.is_none() {
            let most = self.by_position;
            let plural = if most == 1 { "" } else { "s" };
            return Err(
                self.misfit(format!("takes at most {most} positional argument{plural}, got {positional}"))
            );
        }
        let named = match arguments.names.clone() {
            Some(names) => {
                let names = names.iter().map(|name| self.place(&name, positional));
                Some(names.collect::<Coded<Vec<_>>>()?)
            }
            None => None,
        };
        self.check_missing(positional, named.as_deref().unwrap_or(&[]))?;
        if !self.has_converters {
            return Ok(());
        }
        let (by_position, by_name) = arguments.values.split_at_mut(positional);
        for (index, value) in by_position.iter_mut().enumerate() {
            let parameter = self.list.get(..self.by_position).and_then(|list| list.get(index));
            match parameter {
                Some(parameter) => {
                    convert(&self.function, parameter.convert.as_ref(), value, || parameter.name.clone())?;
                }
                None => {
                    convert(
                        &self.function,
                        self.rest.as_ref().and_then(|each| each.0.as_ref()),
                        value,
                        || index.to_string(),
                    )?;
                }
            }
        }
        let keywords = arguments.names.iter().flat_map(PyTupleMethods::iter);
        for ((value, place), name) in by_name.iter_mut().zip(named.into_iter().flatten()).zip(keywords) {
            let converter = match place {
                Some(place) => self.list.get(place).and_then(|parameter| parameter.convert.as_ref()),
                None => self.other_keywords.as_ref().and_then(|each| each.0.as_ref()),
            };
            convert(&self.function, converter, value, || name.to_string())?;
        }
        Ok(())
    }

    /// Which parameter a keyword is for; None: one of the other keywords.
    fn place(&self, name: &Bound<'_, PyAny>, positional: usize) -> Coded<Option<usize>> {
        let text = name.cast::<PyString>().ok().and_then(|name| name.to_str().ok()).unwrap_or_default();
        match self.list.iter().position(|parameter| parameter.by_name && parameter.name == text) {
            Some(place) if place < positional.min(self.by_position) => {
                Err(self.misfit(format!("got two values for argument '{text}'")))
            }
            Some(place) => Ok(Some(place)),
            None if self.other_keywords.is_some() => Ok(None),
            None => {
                let name = shown(name);
                Err(self.misfit(if self.list.iter().any(|parameter| parameter.name == text) {
                    format!("takes an argument {name} only by position")
                } else if CALL_OPTIONS.contains(&text) {
                    format!("takes no argument {name}; options of the call stand in remote(..., {text}=...)")
                } else {
                    format!("takes no argument {name}")
                }))
            }
        }
    }

    fn check_missing(&self, positional: usize, named: &[Option<usize>]) -> Coded<()> {
        if positional >= self.required_by_position && !self.has_required_keyword {
            return Ok(());
        }
        let given = |place: usize| place < positional.min(self.by_position) || named.contains(&Some(place));
        let missing =
            self.list.iter().enumerate().filter(|(place, parameter)| parameter.required && !given(*place));
        let missing: Vec<_> = missing.map(|(_, parameter)| format!("'{}'", parameter.name)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(self.misfit(format!(
            "is missing the argument{} {}",
            if missing.len() > 1 { "s" } else { "" },
            missing.join(", ")
        )))
    }

    #[cold]
    fn misfit(&self, what: String) -> Box<Failure> {
        Failure::new(Kind::Arguments, format!("{}() {what}", self.function))
    }
}

impl Convert {
    fn from_object(object: &Bound<'_, PyAny>) -> Option<Self> {
        if object.is_none() {
            return None;
        }
        Some(match object.cast::<Converter>() {
            Ok(converter) => Self::Native(converter.clone().unbind()),
            Err(_) => Self::Call(object.clone().unbind()),
        })
    }
}

fn convert(
    function: &str,
    converter: Option<&Convert>,
    value: &mut Bound<'_, PyAny>,
    name: impl Fn() -> String,
) -> Coded<()> {
    let py = value.py();
    let result = match converter {
        None => return Ok(()),
        Some(Convert::Native(converter)) => converter.get().apply(value),
        Some(Convert::Call(call)) => {
            call.bind(py).call1((&*value,)).map_err(|error| Failure::python(py, Kind::Decode, error))
        }
    };
    *value = result.map_err(|failure| failure.under(format!("{function}() argument '{}'", name())))?;
    Ok(())
}
