use std::time::Duration;

use mpreg_node::FunctionSpec;
use mpreg_types::{
    ContractHash, ForeignText, FunctionId, FunctionName, FunctionVersion, ResourceSet, Scope, Tag,
};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::codec::hints::Parameters;
use crate::hooks::config_error;

/// Where a function runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// `async def`: in a warm task of the node's loop.
    Async,
    /// Plain `def`: in a worker thread.
    Thread,
    /// `inline=True`: on the loop itself.
    Inline,
}

/// A registered function: what Rust needs to run it.
pub(crate) struct Function {
    pub(crate) name: FunctionName,
    pub(crate) callable: Py<PyAny>,
    pub(crate) mode: Mode,
    /// It answers with a stream.
    pub(crate) streaming: bool,
    /// Of an asynchronous generator: what drives it.
    pub(crate) pump: Option<Py<PyAny>>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) make_context: Option<Py<PyAny>>,
    pub(crate) parameters: Parameters,
    pub(crate) raises: Py<PyTuple>,
    /// Largest result, bytes.
    pub(crate) result_bytes_max: usize,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Function").field("name", &self.name).field("mode", &self.mode).finish_non_exhaustive()
    }
}

/// Reads a `mpreg._functions.Registration`.
pub(crate) fn read(
    registration: &Bound<'_, PyAny>,
    result_bytes_max: usize,
) -> PyResult<(FunctionSpec, Function)> {
    let py = registration.py();
    let spec = read_spec(registration)?;
    let make_context = registration.getattr(intern!(py, "make_context"))?;
    let pump = registration.getattr(intern!(py, "pump"))?;
    let function = Function {
        name: spec.name.clone(),
        callable: registration.getattr(intern!(py, "function"))?.unbind(),
        mode: match registration.getattr(intern!(py, "mode"))?.extract::<String>()?.as_str() {
            "async" => Mode::Async,
            "inline" => Mode::Inline,
            _ => Mode::Thread,
        },
        streaming: spec.streaming,
        pump: (!pump.is_none()).then(|| pump.unbind()),
        timeout: spec.timeout,
        make_context: (!make_context.is_none()).then(|| make_context.unbind()),
        parameters: Parameters::new(spec.name.as_str(), &registration.getattr(intern!(py, "parameters"))?)?,
        raises: registration.getattr(intern!(py, "raises"))?.cast_into::<PyTuple>()?.unbind(),
        result_bytes_max,
    };
    Ok((spec, function))
}

fn read_spec(registration: &Bound<'_, PyAny>) -> PyResult<FunctionSpec> {
    let py = registration.py();
    let text = |name: &str| registration.getattr(name)?.extract::<String>();
    let bad = |error: mpreg_types::NameError| config_error(py, error.to_string());
    let mut tags = std::collections::BTreeMap::new();
    for (key, value) in &registration.getattr(intern!(py, "tags"))?.cast_into::<PyDict>()? {
        tags.insert(
            Tag::parse(&key.extract::<String>()?).map_err(bad)?,
            Tag::parse(&value.extract::<String>()?).map_err(bad)?,
        );
    }
    let timeout: Option<f64> = registration.getattr(intern!(py, "timeout"))?.extract()?;
    let resources: Vec<String> = registration
        .getattr(intern!(py, "resources"))?
        .try_iter()?
        .map(|item| item?.extract())
        .collect::<PyResult<_>>()?;
    Ok(FunctionSpec {
        name: FunctionName::parse(&text("name")?).map_err(bad)?,
        id: FunctionId::parse(&text("id")?).map_err(bad)?,
        version: FunctionVersion::parse(&text("version")?).map_err(bad)?,
        resources: ResourceSet::parse(resources.iter().map(String::as_str)).map_err(bad)?,
        tags,
        scope: match text("scope")?.as_str() {
            "local" => Scope::Local,
            "cluster" => Scope::Cluster,
            _ => Scope::Global,
        },
        idempotent: registration.getattr(intern!(py, "idempotent"))?.extract()?,
        concurrency: registration.getattr(intern!(py, "concurrency"))?.extract()?,
        timeout: timeout
            .map(|seconds| {
                Duration::try_from_secs_f64(seconds).map_err(|e| PyValueError::new_err(e.to_string()))
            })
            .transpose()?,
        contract: ContractHash::of(&text("contract")?),
        signature: ForeignText::new(text("signature")?),
        doc: ForeignText::new(text("doc")?),
        threaded: text("mode")? == "thread",
        streaming: registration.getattr(intern!(py, "streaming"))?.extract()?,
    })
}
