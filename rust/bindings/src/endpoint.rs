//! The bases of `Node`, `Client`, `SyncClient` and `ctx.sync`: where `call` enters Rust.

use std::sync::Arc;
use std::time::Duration;

use mpreg_node::Caller;
use mpreg_types::{ErrorCode, PreparedTarget};
use parking_lot::{Mutex, RwLock};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::blocking;
use crate::call::Call;
use crate::client_core::ClientCore;
use crate::codec;
use crate::completion::Kind;
use crate::graph_events::{Classes, Watched};
use crate::graph_run::{Departure, GraphAsked, depart, nothing_to_run};
use crate::hooks::{made_before_fork, mesh_error, node_error};
use crate::loops;
use crate::node_core::NodeCore;
use crate::plain;
use crate::reading::What;
use crate::remote::{Handle, RemoteCore};
use crate::report::{Finish, Report, decoded};
use crate::step::Step;
use crate::stream::Stream;
use crate::targets;

/// Handles remembered per caller before the memory starts anew.
const TARGETS_MAX: usize = 10_000;

/// Through what an endpoint calls now; shared with the handles made from it.
#[derive(Debug)]
pub(crate) struct EndpointState {
    through: RwLock<Through>,
}

#[derive(Debug)]
enum Through {
    Attached(Attached),
    Detached(String),
}

/// What was started, and the process it was started in: an endpoint made before a fork may be started after it.
#[derive(Debug)]
struct Attached {
    generation: u32,
    caller: Caller,
    timeout: Duration,
}

impl EndpointState {
    fn new() -> Arc<Self> {
        Arc::new(Self { through: RwLock::new(Through::Detached(String::new())) })
    }

    /// What to call through and the deadline of calls that name none, or why not.
    pub(crate) fn caller(&self, py: Python<'_>) -> PyResult<(Caller, Duration)> {
        match &*self.through.read() {
            Through::Attached(attached) if attached.generation != mpreg_node::generation() => {
                Err(made_before_fork(py))
            }
            Through::Attached(attached) => Ok((attached.caller.clone(), attached.timeout)),
            Through::Detached(why) => Err(mesh_error(py, ErrorCode::ConnectionLost, why)),
        }
    }

    pub(crate) fn call<'py>(
        &self,
        py: Python<'py>,
        handle: &Arc<Handle>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Call>> {
        let (caller, timeout) = self.caller(py)?;
        let bridge = loops::current_bridge(py)?;
        let value = codec::encode_args(py, args.iter_borrowed(), kwargs, caller.max_value_bytes())?;
        bridge.call(py, &caller, handle, timeout, value)
    }

    pub(crate) fn stream<'py>(
        &self,
        py: Python<'py>,
        handle: &Arc<Handle>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Stream>> {
        let (caller, timeout) = self.caller(py)?;
        let bridge = loops::current_bridge(py)?;
        let value = codec::encode_args(py, args.iter_borrowed(), kwargs, caller.max_value_bytes())?;
        bridge.stream(py, &caller, handle, timeout, value)
    }

    pub(crate) fn call_blocking<'py>(
        &self,
        py: Python<'py>,
        handle: &Arc<Handle>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        loops::refuse_on_serving_loop(py, "this call")?;
        let (caller, timeout) = self.caller(py)?;
        let value = codec::encode_args(py, args.iter_borrowed(), kwargs, caller.max_value_bytes())?;
        blocking::call(py, &caller, handle, timeout, value)
    }

    /// A step that calls by `handle`; made at any time, also before the start.
    pub(crate) fn step(
        &self,
        py: Python<'_>,
        handle: &Arc<Handle>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Step> {
        let limit = match &*self.through.read() {
            Through::Attached(attached) => attached.caller.max_value_bytes(),
            // The run that it becomes a part of knows the limit.
            Through::Detached(_) => usize::MAX,
        };
        Step::new(py, handle, args, kwargs, limit)
    }

    fn run<'py>(&self, py: Python<'py>, asked: GraphAsked<'py>) -> PyResult<Bound<'py, Call>> {
        let (caller, default) = self.caller(py)?;
        let bridge = loops::current_bridge(py)?;
        if asked.steps.is_empty() {
            let GraphAsked { finish, report, .. } = asked;
            let finish: Finish =
                Box::new(move |py, _| nothing_to_run(py, &finish, report).map(Bound::unbind));
            return bridge.request(py, finish, |report| report.into_callback()(Ok(mpreg_node::nil())));
        }
        let now = mpreg_node::now();
        let timeout = asked.timeout.unwrap_or(default);
        let Departure { outgoing, value, run } = depart(py, &caller, asked, timeout, now)?;
        bridge.send(py, &caller, outgoing, value, Kind::Graph(Box::new(run)), now)
    }

    fn watch_graph<'py>(
        &self,
        py: Python<'py>,
        asked: GraphAsked<'py>,
        classes: Classes,
    ) -> PyResult<Bound<'py, Stream>> {
        let (caller, default) = self.caller(py)?;
        let bridge = loops::current_bridge(py)?;
        let now = mpreg_node::now();
        let timeout = asked.timeout.unwrap_or(default);
        let Departure { outgoing, value, run } = depart(py, &caller, asked, timeout, now)?;
        let watched = Watched { run, classes };
        bridge.read(py, &caller, outgoing, value, What::Events(Box::new(watched)), now)
    }

    fn run_blocking<'py>(&self, py: Python<'py>, asked: GraphAsked<'py>) -> PyResult<Bound<'py, PyAny>> {
        loops::refuse_on_serving_loop(py, "run")?;
        let (caller, default) = self.caller(py)?;
        if asked.steps.is_empty() {
            return nothing_to_run(py, &asked.finish, asked.report);
        }
        let now = mpreg_node::now();
        let timeout = asked.timeout.unwrap_or(default);
        let Departure { outgoing, value, run } = depart(py, &caller, asked, timeout, now)?;
        blocking::send(py, &caller, outgoing, value, Kind::Graph(Box::new(run)), now)
    }

    pub(crate) fn candidates<'py>(
        self: &Arc<Self>,
        py: Python<'py>,
        handle: &Arc<Handle>,
    ) -> PyResult<Bound<'py, Call>> {
        let (caller, timeout) = self.caller(py)?;
        let bridge = loops::current_bridge(py)?;
        let (state, template) = (self.clone(), handle.clone());
        let finish: Finish = Box::new(move |py, rows| handles_of(py, &state, &template, &rows));
        bridge.request(py, finish, |report| ask_candidates(&caller, handle, timeout, report))
    }

    pub(crate) fn candidates_blocking<'py>(
        self: &Arc<Self>,
        py: Python<'py>,
        handle: &Arc<Handle>,
    ) -> PyResult<Bound<'py, PyAny>> {
        loops::refuse_on_serving_loop(py, "call_all")?;
        let (caller, timeout) = self.caller(py)?;
        let rows = blocking::request(py, |report| ask_candidates(&caller, handle, timeout, report))?;
        Ok(handles_of(py, self, handle, &rows)?.into_bound(py))
    }
}

fn ask_candidates(caller: &Caller, handle: &Handle, timeout: Duration, report: Report) {
    let body = mpreg_node::encode_candidates_request(&handle.target().target);
    caller.look("candidates", body, handle.timeout.unwrap_or(timeout), report.into_callback());
}

/// A handle for each row of the answer.
fn handles_of(
    py: Python<'_>,
    state: &Arc<EndpointState>,
    template: &Handle,
    rows: &[u8],
) -> PyResult<Py<PyAny>> {
    let rows = mpreg_node::decode_candidates(rows).map_err(|error| node_error(py, &error))?;
    let handles = rows.into_iter().map(|row| {
        let target = Arc::new(PreparedTarget::new(row.target));
        Py::new(py, RemoteCore::new(template.direct(py, target, row.node), state.clone()))
    });
    Ok(PyList::new(py, handles.collect::<PyResult<Vec<_>>>()?)?.into_any().unbind())
}

/// `_mpreg._Endpoint`.
#[pyclass(name = "_Endpoint", module = "mpreg._mpreg", subclass, frozen)]
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) state: Arc<EndpointState>,
    targets: Mutex<Targets>,
}

#[derive(Debug)]
struct Targets {
    generation: u64,
    handles: Py<PyDict>,
}

impl Endpoint {
    fn new(py: Python<'_>) -> Self {
        let targets = Targets { generation: targets::generation(), handles: PyDict::new(py).unbind() };
        Self { state: EndpointState::new(), targets: Mutex::new(targets) }
    }

    /// The handle for a name or function, prepared at its first use.
    fn handle_for(slf: &Bound<'_, Self>, target: &Bound<'_, PyAny>) -> PyResult<Arc<Handle>> {
        let (py, this) = (slf.py(), slf.get());
        let handles = this.handles(py);
        // What cannot be hashed cannot be remembered, and `_prepare` says what is wrong with it.
        if let Ok(Some(found)) = handles.get_item(target) {
            return Ok(found.cast::<RemoteCore>()?.get().handle.clone());
        }
        let prepared = slf.call_method1(intern!(py, "_prepare"), (target,))?;
        let handle = prepared.cast::<RemoteCore>()?.get().handle.clone();
        if handles.len() >= TARGETS_MAX {
            handles.clear();
        }
        handles.set_item(target, prepared)?;
        Ok(handle)
    }

    fn handles<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        let generation = targets::generation();
        let mut targets = self.targets.lock();
        if targets.generation != generation {
            *targets = Targets { generation, handles: PyDict::new(py).unbind() };
        }
        targets.handles.bind(py).clone()
    }
}

#[pymethods]
impl Endpoint {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn py_new(py: Python<'_>, _args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::new(py)
    }

    fn _attach(&self, core: &Bound<'_, PyAny>, timeout: f64) -> PyResult<()> {
        let caller = match core.cast::<NodeCore>() {
            Ok(node) => node.get().caller(),
            Err(_) => core.cast::<ClientCore>()?.get().caller(),
        };
        let (generation, timeout) = (mpreg_node::generation(), Duration::from_secs_f64(timeout));
        *self.state.through.write() = Through::Attached(Attached { generation, caller, timeout });
        Ok(())
    }

    fn _detach(&self, why: String) {
        *self.state.through.write() = Through::Detached(why);
    }

    /// A call as a step of a graph, for `run` or as an argument of other steps. Nothing is sent yet.
    ///
    /// By function object or name, with the function's own arguments, among which steps may stand.
    #[pyo3(signature = (target, /, *args, **kwargs))]
    fn step<'py>(
        slf: &Bound<'py, Self>,
        target: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Step> {
        let handle = Self::handle_for(slf, target)?;
        slf.get().state.step(slf.py(), &handle, args, kwargs)
    }

    /// Runs a graph; what happens in it is read on this loop, as instances of `classes`.
    #[pyo3(signature = (steps, finish, classes, /, *, timeout))]
    fn _run_events<'py>(
        &self,
        py: Python<'py>,
        steps: Vec<PyRef<'py, Step>>,
        finish: Py<PyAny>,
        classes: Classes,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, Stream>> {
        let timeout = timeout.map(Duration::from_secs_f64);
        let asked = GraphAsked { steps, finish, report: true, watched: true, timeout };
        self.state.watch_graph(py, asked, classes)
    }

    fn _request<'py>(
        &self,
        py: Python<'py>,
        verb: &str,
        body: &Bound<'py, PyAny>,
        timeout: f64,
    ) -> PyResult<Bound<'py, Call>> {
        let (caller, _) = self.state.caller(py)?;
        let bridge = loops::current_bridge(py)?;
        let (body, timeout) = (plain::encode(body)?, Duration::from_secs_f64(timeout));
        bridge.request(py, decoded(), |report| caller.look(verb, body, timeout, report.into_callback()))
    }

    fn _request_blocking<'py>(
        &self,
        py: Python<'py>,
        verb: &str,
        body: &Bound<'py, PyAny>,
        timeout: f64,
    ) -> PyResult<Bound<'py, PyAny>> {
        loops::refuse_on_serving_loop(py, verb)?;
        let (caller, _) = self.state.caller(py)?;
        let (body, timeout) = (plain::encode(body)?, Duration::from_secs_f64(timeout));
        let answer =
            blocking::request(py, |report| caller.look(verb, body, timeout, report.into_callback()))?;
        plain::decode(py, answer)
    }
}

/// `_mpreg.CallerCore`: base of `Node` and `Client`.
#[pyclass(name = "CallerCore", module = "mpreg._mpreg", extends = Endpoint, subclass, frozen)]
#[derive(Debug)]
pub(crate) struct CallerCore;

#[pymethods]
impl CallerCore {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn py_new(
        py: Python<'_>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        PyClassInitializer::from(Endpoint::new(py)).add_subclass(Self)
    }

    /// Calls a function by its object (typed) or its name; every argument goes to it. Options stand in `remote`.
    ///
    /// The call is on its way when this returns: await the `Call` for the result.
    #[pyo3(signature = (target, /, *args, **kwargs))]
    fn call<'py>(
        slf: &Bound<'py, Self>,
        target: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Call>> {
        let endpoint = slf.as_super();
        let handle = Endpoint::handle_for(endpoint, target)?;
        endpoint.get().state.call(slf.py(), &handle, args, kwargs)
    }

    /// The items of a generator, by its object (typed) or its name: `async for item in caller.stream(f, ...)`.
    ///
    /// The deadline covers the time to the first item. Leaving the loop, `aclose()` or dropping it cancels the generator.
    #[pyo3(signature = (target, /, *args, **kwargs))]
    fn stream<'py>(
        slf: &Bound<'py, Self>,
        target: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Stream>> {
        let endpoint = slf.as_super();
        let handle = Endpoint::handle_for(endpoint, target)?;
        endpoint.get().state.stream(slf.py(), &handle, args, kwargs)
    }

    #[pyo3(signature = (steps, finish, /, *, report, timeout))]
    fn _run_graph<'py>(
        slf: &Bound<'py, Self>,
        steps: Vec<PyRef<'py, Step>>,
        finish: Py<PyAny>,
        report: bool,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, Call>> {
        let timeout = timeout.map(Duration::from_secs_f64);
        slf.as_super()
            .get()
            .state
            .run(slf.py(), GraphAsked { steps, finish, report, watched: false, timeout })
    }
}

/// `_mpreg.BlockingCore`: base of `SyncClient` and of `ctx.sync`.
#[pyclass(name = "BlockingCore", module = "mpreg._mpreg", extends = Endpoint, subclass, frozen)]
#[derive(Debug)]
pub(crate) struct BlockingCore;

#[pymethods]
impl BlockingCore {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn py_new(
        py: Python<'_>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        PyClassInitializer::from(Endpoint::new(py)).add_subclass(Self)
    }

    /// Calls a function by its object (typed) or its name and waits for the result. Options stand in `remote`.
    #[pyo3(signature = (target, /, *args, **kwargs))]
    fn call<'py>(
        slf: &Bound<'py, Self>,
        target: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let endpoint = slf.as_super();
        let handle = Endpoint::handle_for(endpoint, target)?;
        endpoint.get().state.call_blocking(slf.py(), &handle, args, kwargs)
    }

    #[pyo3(signature = (steps, finish, /, *, report, timeout))]
    fn _run_graph<'py>(
        slf: &Bound<'py, Self>,
        steps: Vec<PyRef<'py, Step>>,
        finish: Py<PyAny>,
        report: bool,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let timeout = timeout.map(Duration::from_secs_f64);
        slf.as_super()
            .get()
            .state
            .run_blocking(slf.py(), GraphAsked { steps, finish, report, watched: false, timeout })
    }
}
