//! A function and how to call it, prepared once: names are parsed and the target is encoded here, not per call.

use std::sync::Arc;
use std::time::Duration;

use mpreg_node::{METADATA_BYTES_MAX, Outgoing};
use mpreg_types::{
    CallExtras, ClusterId, ContractHash, ForeignText, FunctionId, FunctionName, HopBudget, Input,
    PreparedTarget, ResourceSet, Selector, Step, Target, Time, VersionConstraint, Wanted, WantedCluster,
};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use xxhash_rust::xxh3::xxh3_64;

use crate::call::Call;
use crate::context::current_call;
use crate::endpoint::{Endpoint, EndpointState};
use crate::hooks::config_error;
use crate::plain;
use crate::step;
use crate::stream::Stream;

/// What a call needs besides its arguments.
#[derive(Debug)]
pub(crate) struct Handle {
    target: Arc<PreparedTarget>,
    /// `None`: what the caller was attached with.
    pub(crate) timeout: Option<Duration>,
    retries: u8,
    /// The function object at hand was declared so.
    idempotent: bool,
    max_hops: Option<HopBudget>,
    metadata: Option<bytes::Bytes>,
    pub(crate) convert: Option<Py<PyAny>>,
    pub(crate) raises: Py<PyTuple>,
    /// Takes the arguments of a step, and raises `TypeError` unless they fit the function object at hand.
    pub(crate) check: Option<Py<PyAny>>,
    /// Makes of who answered and the result what the caller gets instead of the result.
    pub(crate) outcome: Option<Py<PyAny>>,
    node: Option<String>,
}

impl Handle {
    /// A call under these options, beginning now; inherits deadline, trace and metadata of the call being run.
    pub(crate) fn outgoing(
        &self,
        py: Python<'_>,
        default: Duration,
        now: Time,
        stream: bool,
    ) -> PyResult<Outgoing> {
        let Inherited { timeout, mut extras } = Inherited::now(py, self.timeout.unwrap_or(default))?;
        if self.outcome.is_some() {
            extras.get_or_insert_with(CallExtras::default).tell_node = true;
        }
        if let Some(metadata) = &self.metadata {
            extras.get_or_insert_with(CallExtras::default).metadata = Some(metadata.clone());
        }
        Ok(Outgoing {
            target: self.target.clone(),
            deadline: now + timeout,
            retries: self.retries,
            idempotent: self.idempotent,
            stream,
            max_hops: self.max_hops,
            extras: extras.map(Box::new),
        })
    }

    /// This call as the step `name` of a graph. `metadata` is what the caller's own call came with. `None`: its callee
    /// was chosen already.
    pub(crate) fn as_step(
        &self,
        name: &str,
        metadata: Option<&bytes::Bytes>,
        value_bytes: u64,
        inputs: Vec<Input>,
    ) -> Option<Step> {
        Some(Step {
            name: ForeignText::new(name),
            target: self.selector()?.clone(),
            timeout: self.timeout,
            retries: self.retries,
            max_hops: self.max_hops,
            metadata: self.metadata.as_ref().or(metadata).cloned(),
            value_bytes,
            inputs,
        })
    }

    /// The same call to one chosen candidate, without attempts elsewhere.
    pub(crate) fn direct(&self, py: Python<'_>, target: Arc<PreparedTarget>, node: String) -> Self {
        Self { target, retries: 0, outcome: None, node: Some(node), ..self.copy(py) }
    }

    /// The same call; its result comes as `make(node, result)`.
    fn with_outcome(&self, py: Python<'_>, make: Py<PyAny>) -> Self {
        Self { outcome: Some(make), ..self.copy(py) }
    }

    fn copy(&self, py: Python<'_>) -> Self {
        let clone = |object: &Option<Py<PyAny>>| object.as_ref().map(|object| object.clone_ref(py));
        Self {
            target: self.target.clone(),
            timeout: self.timeout,
            retries: self.retries,
            idempotent: self.idempotent,
            max_hops: self.max_hops,
            metadata: self.metadata.clone(),
            convert: clone(&self.convert),
            raises: self.raises.clone_ref(py),
            check: clone(&self.check),
            outcome: clone(&self.outcome),
            node: self.node.clone(),
        }
    }
}

/// What a call made inside another one takes over from it.
#[derive(Debug)]
pub(crate) struct Inherited {
    /// Not longer than what is left of the outer call.
    pub(crate) timeout: Duration,
    /// Its trace and metadata.
    pub(crate) extras: Option<CallExtras>,
}

impl Inherited {
    /// For a call that may take `timeout` by itself.
    pub(crate) fn now(py: Python<'_>, timeout: Duration) -> PyResult<Self> {
        let Some(outer) = current_call(py)? else { return Ok(Self { timeout, extras: None }) };
        let extras = outer.extras.as_ref().map(|outer| CallExtras {
            trace: outer.trace.clone(),
            metadata: outer.metadata.clone(),
            ..CallExtras::default()
        });
        Ok(Self { timeout: timeout.min(outer.remaining()), extras })
    }
}

/// `_mpreg.RemoteCore`: a handle, and the caller it calls through.
#[pyclass(name = "RemoteCore", module = "mpreg._mpreg", subclass, frozen)]
#[derive(Debug)]
pub(crate) struct RemoteCore {
    pub(crate) handle: Arc<Handle>,
    endpoint: Arc<EndpointState>,
}

impl RemoteCore {
    pub(crate) fn new(handle: Handle, endpoint: Arc<EndpointState>) -> Self {
        Self { handle: Arc::new(handle), endpoint }
    }
}

#[pymethods]
impl RemoteCore {
    #[new]
    #[pyo3(signature = (
        caller, /, *, name = None, id = None, version = "*", resources = None, cluster = None, contract = None,
        timeout = None, max_hops = None, retries = 2, wait = 0.5, sticky = None, metadata = None, convert = None,
        raises = None, idempotent = false, check = None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "the options of `remote(...)`, each by its keyword")]
    fn py_new(
        caller: &Bound<'_, Endpoint>,
        name: Option<&str>,
        id: Option<&str>,
        version: &str,
        resources: Option<&Bound<'_, PyAny>>,
        cluster: Option<&str>,
        contract: Option<&str>,
        timeout: Option<f64>,
        max_hops: Option<u8>,
        retries: u8,
        wait: f64,
        sticky: Option<&str>,
        metadata: Option<&Bound<'_, PyAny>>,
        convert: Option<Py<PyAny>>,
        raises: Option<Py<PyTuple>>,
        idempotent: bool,
        check: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let py = caller.py();
        let bad = |error: mpreg_types::NameError| config_error(py, error.to_string());
        let selector = Selector {
            cluster: match cluster {
                None => WantedCluster::OwnFirst,
                Some("*") => WantedCluster::Any,
                Some(one) => WantedCluster::One(ClusterId::parse(one).map_err(bad)?),
            },
            version: VersionConstraint::parse(version).map_err(bad)?,
            resources: parse_resources(resources)?,
            contract: contract.map(ContractHash::of),
            sticky: sticky.map(|text| xxh3_64(text.as_bytes())),
            wait: seconds(py, "wait", wait)?,
            ..Selector::new(wanted(py, name, id)?)
        };
        let metadata = metadata.map(|metadata| encode_metadata(metadata)).transpose()?;
        let handle = Handle {
            target: Arc::new(PreparedTarget::new(Target::Select(selector))),
            timeout: timeout.map(|timeout| seconds(py, "timeout", timeout)).transpose()?,
            retries,
            idempotent,
            max_hops: max_hops.map(HopBudget::new).transpose().map_err(bad)?,
            metadata,
            convert,
            raises: raises.unwrap_or_else(|| PyTuple::empty(py).unbind()),
            check,
            outcome: None,
            node: None,
        };
        Ok(Self::new(handle, caller.get().state.clone()))
    }

    /// Sends the call; await what it returns.
    #[pyo3(signature = (*args, **kwargs))]
    fn call<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Call>> {
        self.endpoint.call(py, &self.handle, args, kwargs)
    }

    /// Asks for the items of a generator; `async for` over what it returns.
    #[pyo3(name = "open_stream", signature = (*args, **kwargs))]
    fn stream<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Stream>> {
        self.endpoint.stream(py, &self.handle, args, kwargs)
    }

    /// Calls and waits, without the interpreter.
    #[pyo3(signature = (*args, **kwargs))]
    fn call_blocking<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.endpoint.call_blocking(py, &self.handle, args, kwargs)
    }

    /// The call as a step of a graph, for `run` or as an argument of other steps. Nothing is sent yet.
    #[pyo3(signature = (*args, **kwargs))]
    fn step(
        &self,
        py: Python<'_>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<step::Step> {
        self.endpoint.step(py, &self.handle, args, kwargs)
    }

    /// A handle for each candidate known now.
    fn candidates<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Call>> {
        self.endpoint.candidates(py, &self.handle)
    }

    /// The same, blocking.
    fn candidates_blocking<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.endpoint.candidates_blocking(py, &self.handle)
    }

    /// The same handle for calls that tell who answered.
    fn with_outcome(&self, py: Python<'_>, make: Py<PyAny>) -> Self {
        Self::new(self.handle.with_outcome(py, make), self.endpoint.clone())
    }

    /// As users see it, for what `candidates` returned.
    #[getter]
    fn node(&self) -> Option<&str> {
        self.handle.node.as_deref()
    }
}

impl Handle {
    pub(crate) fn target(&self) -> &Arc<PreparedTarget> {
        &self.target
    }
}

fn wanted(py: Python<'_>, name: Option<&str>, id: Option<&str>) -> PyResult<Wanted> {
    let bad = |error: mpreg_types::NameError| config_error(py, error.to_string());
    match (name, id) {
        (Some(name), None) => Ok(Wanted::Name(FunctionName::parse(name).map_err(bad)?)),
        (None, Some(id)) => Ok(Wanted::Id(FunctionId::parse(id).map_err(bad)?)),
        _ => Err(config_error(py, "a call takes the function's name or its id, one of the two")),
    }
}

fn parse_resources(resources: Option<&Bound<'_, PyAny>>) -> PyResult<ResourceSet> {
    let Some(resources) = resources else { return Ok(ResourceSet::EMPTY) };
    let texts = resources.try_iter()?.map(|item| item?.extract()).collect::<PyResult<Vec<String>>>()?;
    ResourceSet::parse(texts.iter().map(String::as_str))
        .map_err(|error| config_error(resources.py(), error.to_string()))
}

/// Longest time a call may take or wait.
const SECONDS_MAX: f64 = 24.0 * 3600.0;

fn seconds(py: Python<'_>, what: &str, seconds: f64) -> PyResult<Duration> {
    if (0.0..=SECONDS_MAX).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(config_error(
            py,
            format!("{what}={seconds} is out of range: it takes 0 to {SECONDS_MAX} seconds"),
        ))
    }
}

fn encode_metadata(metadata: &Bound<'_, PyAny>) -> PyResult<bytes::Bytes> {
    let encoded = plain::encode(metadata)?;
    if encoded.len() > METADATA_BYTES_MAX {
        let why = format!("metadata takes {METADATA_BYTES_MAX} bytes at most, this has {}", encoded.len());
        return Err(config_error(metadata.py(), why));
    }
    Ok(encoded)
}
