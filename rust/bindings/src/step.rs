//! `Step`: a call that is to be made as a part of a graph, and a reference to its result or to a part of that.
//!
//! Its arguments are encoded when it is made. Where another step stands among them nothing is written: the place is
//! remembered as a [`Hole`]. So steps are made one after another, each refers to older ones only, and there is no cycle.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mpreg_types::{PathKey, Payload, Selector, Target, Wanted};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyGenericAlias, PyInt, PyString, PyTuple, PyType};

use crate::codec;
use crate::hooks::config_error;
use crate::remote::Handle;

/// As the coordinator's limit.
pub(crate) const STEPS_MAX: usize = 10_000;

/// Counts the steps of this process.
static MADE: AtomicU64 = AtomicU64::new(0);

/// What all references to one step share.
#[derive(Debug)]
pub(crate) struct StepCore {
    /// Larger than that of every step it refers to.
    pub(crate) number: u64,
    pub(crate) handle: Arc<Handle>,
    /// References left out.
    pub(crate) arguments: Payload,
    pub(crate) holes: Vec<Hole>,
}

/// A reference among the arguments of a step.
#[derive(Debug)]
pub(crate) struct Hole {
    /// Offset in the encoded arguments where the value belongs.
    pub(crate) at: u64,
    pub(crate) core: Arc<StepCore>,
    pub(crate) path: Vec<PathKey>,
}

impl StepCore {
    /// The function as its caller named it.
    pub(crate) fn name(&self) -> &str {
        self.handle.name()
    }

    /// `steps` and all that they refer to, oldest first; `None` if there are more than [`STEPS_MAX`].
    pub(crate) fn closure<'a>(
        steps: impl Iterator<Item = &'a Arc<StepCore>>,
    ) -> Option<BTreeMap<u64, &'a Arc<StepCore>>> {
        let mut found = BTreeMap::new();
        let mut todo: Vec<_> = steps.collect();
        while let Some(core) = todo.pop() {
            if found.insert(core.number, core).is_some() {
                continue;
            }
            if found.len() > STEPS_MAX {
                return None;
            }
            todo.extend(
                core.holes.iter().map(|hole| &hole.core).filter(|core| !found.contains_key(&core.number)),
            );
        }
        Some(found)
    }
}

impl Drop for StepCore {
    /// A long chain, each kept alive by the next one only, would go down the stack step by step.
    fn drop(&mut self) {
        let mut gone = std::mem::take(&mut self.holes);
        while let Some(Hole { core, .. }) = gone.pop() {
            if let Some(mut last) = Arc::into_inner(core) {
                gone.append(&mut last.holes);
            }
        }
    }
}

/// A call that is to be made as a part of a graph: a reference to its result, to give to other steps or to `run`.
///
/// `step["rows"]`, `step[0]` and `step[-1]` refer to a key, field or index of the result, as steps of their own.
#[pyclass(module = "mpreg", frozen, weakref)]
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) core: Arc<StepCore>,
    /// From the result inwards.
    pub(crate) path: Vec<PathKey>,
}

impl Step {
    /// Binds and encodes the arguments.
    pub(crate) fn new(
        py: Python<'_>,
        handle: &Arc<Handle>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
        limit: usize,
    ) -> PyResult<Self> {
        if handle.selector().is_none() {
            return Err(config_error(
                py,
                "a step is placed by the graph's coordinator, not at a chosen node",
            ));
        }
        if let Some(check) = &handle.check {
            check.bind(py).call(args, kwargs)?;
        }
        let (arguments, holes) = codec::encode_step_args(py, args.iter_borrowed(), kwargs, limit)?;
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let core = StepCore { number, handle: handle.clone(), arguments, holes };
        Ok(Self { core: Arc::new(core), path: Vec::new() })
    }

    /// This reference, standing at `at` among some step's arguments.
    pub(crate) fn hole(&self, at: u64) -> Hole {
        Hole { at, core: self.core.clone(), path: self.path.clone() }
    }

    /// `shop.score["rows"][0]`.
    pub(crate) fn shown(&self) -> String {
        let mut shown = self.core.name().to_owned();
        for key in &self.path {
            // Writing to a String cannot fail.
            let _ = write!(shown, "{key}");
        }
        shown
    }

    fn refuse<T>(&self, what: &str) -> PyResult<T> {
        let why = format!("{} is a Step, a result that is not there yet: {what}", self.shown());
        Err(PyTypeError::new_err(why))
    }
}

#[pymethods]
impl Step {
    fn __getitem__(&self, key: &Bound<'_, PyAny>) -> PyResult<Self> {
        let key = if let Ok(name) = key.cast::<PyString>() {
            PathKey::Name(name.to_str()?.to_owned())
        } else if key.is_instance_of::<PyInt>() && !key.is_instance_of::<PyBool>() {
            PathKey::Index(key.extract().or_else(|_| self.refuse(&format!("no index is as large as {key}")))?)
        } else {
            let given = key.get_type().name()?.to_string();
            return self.refuse(&format!(
                "[...] takes a key or field (str) or an index (int), not {given}; other parts are taken by a function"
            ));
        };
        let path = self.path.iter().cloned().chain([key]).collect();
        Ok(Self { core: self.core.clone(), path })
    }

    fn __len__(&self) -> PyResult<usize> {
        self.refuse("it has no length; await client.run(step)")
    }

    fn __bool__(&self) -> PyResult<bool> {
        self.refuse("it is neither true nor false; await client.run(step), or write `step is None`")
    }

    fn __iter__(&self) -> PyResult<Py<PyAny>> {
        self.refuse("it cannot be iterated over or unpacked; refer to its items by step[0], step[1], ...")
    }

    fn __contains__(&self, _item: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.refuse("nobody knows what is in it; await client.run(step)")
    }

    fn __repr__(&self) -> String {
        format!("<Step {}>", self.shown())
    }

    #[classmethod]
    fn __class_getitem__<'py>(
        cls: &Bound<'py, PyType>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyGenericAlias>> {
        PyGenericAlias::new(cls.py(), cls.as_any(), item)
    }
}

impl Handle {
    /// The function as its caller named it.
    pub(crate) fn name(&self) -> &str {
        match self.selector().map(|selector| &selector.function) {
            Some(Wanted::Name(name)) => name.as_str(),
            Some(Wanted::Id(id)) => id.as_str(),
            None => "",
        }
    }

    /// What it asks for, unless its callee was chosen already.
    pub(crate) fn selector(&self) -> Option<&Selector> {
        match &self.target().target {
            Target::Select(selector) => Some(selector),
            Target::Direct { .. } | Target::Here { .. } => None,
        }
    }
}
