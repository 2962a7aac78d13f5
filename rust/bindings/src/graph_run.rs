//! One run of a call graph, from the steps asked for to their values or the error of the step that failed.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use mpreg_node::{CallFailure, Caller, Outgoing, decode_answer, decode_failure, encode_graph};
use mpreg_types::{
    Builtin, CallGraph, ErrorBody, ErrorCode, Executed, GraphFailure, GraphReport, Input, Payload, Pick,
    PreparedTarget, Target, Time,
};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use crate::codec::{self, hints::Converter};
use crate::completion::function_ran;
use crate::hooks::{call_error, config_error, graph_error, mesh_error};
use crate::plain;
use crate::remote::{Handle, Inherited};
use crate::step::{STEPS_MAX, Step, StepCore};

/// Further attempts at handing a graph to its coordinator, all of which know that it has not begun.
const RETRIES: u8 = 2;

static COORDINATOR: LazyLock<Arc<PreparedTarget>> = LazyLock::new(|| here(Builtin::Graph));
static WATCHED_COORDINATOR: LazyLock<Arc<PreparedTarget>> = LazyLock::new(|| here(Builtin::Events));

fn here(builtin: Builtin) -> Arc<PreparedTarget> {
    Arc::new(PreparedTarget::new(Target::Here { function: builtin.id() }))
}

/// What is needed to read the answer to a graph.
#[derive(Debug)]
pub(crate) struct GraphRun {
    /// Of each step, as it was numbered for the coordinator.
    pub(crate) handles: Vec<Arc<Handle>>,
    pub(crate) wanted: Vec<Asked>,
    /// Makes of the values and the report what the caller gets.
    finish: Py<PyAny>,
}

/// One value that the caller asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Number of the step, for the coordinator.
    pub(crate) step: u32,
    handle: Arc<Handle>,
    /// For the error if it cannot be read: `result of shop.score["rows"]`.
    what: String,
    /// The hint is for the whole only.
    pub(crate) is_whole: bool,
}

/// A graph ready to go: how, its bytes, and how its answer is read.
pub(crate) struct Departure {
    pub(crate) outgoing: Outgoing,
    pub(crate) value: Payload,
    pub(crate) run: GraphRun,
}

/// The arguments of `run` and `run_events`, checked by Python.
pub(crate) struct GraphAsked<'py> {
    pub(crate) steps: Vec<PyRef<'py, Step>>,
    pub(crate) finish: Py<PyAny>,
    pub(crate) report: bool,
    /// Of `run_events`.
    pub(crate) watched: bool,
    pub(crate) timeout: Option<Duration>,
}

/// Numbers and encodes the steps that are asked for and all that they refer to; they may take `timeout`.
pub(crate) fn depart(
    py: Python<'_>,
    caller: &Caller,
    asked: GraphAsked<'_>,
    timeout: Duration,
    now: Time,
) -> PyResult<Departure> {
    let GraphAsked { steps: wanted, finish, report, watched, .. } = asked;
    let inherited = Inherited::now(py, timeout)?;
    let too_many = || {
        config_error(
            py,
            format!("a graph has {STEPS_MAX} steps at most; run it in parts, or do more in each step"),
        )
    };
    let found = StepCore::closure(wanted.iter().map(|step| &step.core)).ok_or_else(too_many)?;
    let numbers: Vec<u64> = found.keys().copied().collect();
    // Every step that is looked for is in the closure, whose size fits.
    let index = |core: &StepCore| {
        numbers.binary_search(&core.number).map_or(u32::MAX, |at| u32::try_from(at).unwrap_or(u32::MAX))
    };
    let metadata = inherited.extras.as_ref().and_then(|extras| extras.metadata.clone());
    let steps = found.values().filter_map(|core| step_of(core, metadata.as_ref(), index)).collect();
    let picks = wanted.iter().map(|step| Pick { step: index(&step.core), path: step.path.clone() });
    let graph = CallGraph { steps, wanted: picks.collect(), report };
    let value = encode_graph(&graph, found.values().map(|core| core.arguments.clone()));
    let (bytes, limit) = (value.len(), caller.max_value_bytes());
    if bytes > limit {
        let text = format!(
            "the graph has {bytes} bytes with the arguments of its steps, more than {limit} (`max_value_bytes`); \
             run it in parts, or raise the limit"
        );
        return Err(mesh_error(py, ErrorCode::TooLarge, text));
    }
    let outgoing = Outgoing {
        target: if watched { WATCHED_COORDINATOR.clone() } else { COORDINATOR.clone() },
        deadline: now + inherited.timeout,
        retries: RETRIES,
        idempotent: false,
        stream: watched,
        max_hops: None,
        extras: inherited.extras.map(Box::new),
    };
    let handles = found.values().map(|core| core.handle.clone()).collect();
    let wanted = wanted.iter().map(|step| Asked {
        step: index(&step.core),
        handle: step.core.handle.clone(),
        what: format!("result of {}", step.shown()),
        is_whole: step.path.is_empty(),
    });
    Ok(Departure { outgoing, value, run: GraphRun { handles, wanted: wanted.collect(), finish } })
}

fn step_of(
    core: &StepCore,
    metadata: Option<&Bytes>,
    index: impl Fn(&StepCore) -> u32,
) -> Option<mpreg_types::Step> {
    let inputs = core.holes.iter().map(|hole| {
        let pick = Pick { step: index(&hole.core), path: hole.path.clone() };
        Input { at: hole.at, pick }
    });
    core.handle.as_step(core.name(), metadata, core.arguments.len() as u64, inputs.collect())
}

impl GraphRun {
    /// What the caller gets.
    pub(crate) fn outcome<'py>(
        &self,
        py: Python<'py>,
        result: Result<Payload, Box<CallFailure>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match result {
            Ok(value) => self.values(py, &value).inspect_err(|error| function_ran(py, error)),
            Err(failure) => Err(self.error(py, &failure)),
        }
    }

    pub(crate) fn values<'py>(&self, py: Python<'py>, answer: &Payload) -> PyResult<Bound<'py, PyAny>> {
        let (answer, values) = decode_answer(answer).map_err(|body| unreadable(py, &body))?;
        if values.len() != self.wanted.len() {
            let text =
                format!("the graph was asked for {} values and answers {}", self.wanted.len(), values.len());
            return Err(mesh_error(py, ErrorCode::Decode, text));
        }
        let values = values.into_iter().zip(&self.wanted).map(|(value, asked)| asked.decode(py, value));
        let values = PyList::new(py, values.collect::<PyResult<Vec<_>>>()?)?;
        let report = answer.report.map(|report| report_of(py, &report)).transpose()?;
        self.finish.bind(py).call1((values, report))
    }

    pub(crate) fn error(&self, py: Python<'_>, failure: &CallFailure) -> PyErr {
        let nothing = PyTuple::empty(py).unbind();
        if failure.body.code == ErrorCode::DeadlineExceeded {
            // Seen here before the coordinator's word came: which step it was is not known.
            let cause = call_error(py, failure, &nothing);
            let text =
                "the graph's deadline passed before its answer came; give it more time with run(timeout=...)";
            return graph_error(py, failure, text, None, cause);
        }
        let Some(failed) = decode_failure(&failure.body) else { return call_error(py, failure, &nothing) };
        let declared =
            failed.step.and_then(|step| self.handles.get(step as usize)).map(|handle| &handle.raises);
        let name = failed.step.is_some().then(|| failed.name.as_str().to_owned());
        let of_step = of_step(failed, failure);
        let cause = call_error(py, &of_step, declared.unwrap_or(&nothing));
        let said = of_step.body.message.as_str();
        let text =
            name.as_ref().map_or_else(|| said.to_owned(), |name| format!("step {name} failed: {said}"));
        graph_error(py, &of_step, &text, name.as_deref(), cause)
    }
}

impl Asked {
    pub(crate) fn decode<'py>(&self, py: Python<'py>, value: Payload) -> PyResult<Bound<'py, PyAny>> {
        let hint = self.handle.convert.as_ref().filter(|_| self.is_whole);
        let hint = hint.map(|hint| hint.bind(py).cast::<Converter>()).transpose()?;
        codec::decode_value(py, value, hint.map(Bound::get), &self.what)
    }
}

/// What an empty run gives, without asking anybody.
pub(crate) fn nothing_to_run<'py>(
    py: Python<'py>,
    finish: &Py<PyAny>,
    report: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let nothing = GraphReport { steps: Vec::new(), critical_path: Vec::new(), hops: 0, total_us: 0 };
    let report = report.then(|| report_of(py, &nothing)).transpose()?;
    finish.bind(py).call1((PyList::empty(py), report))
}

/// The failure of one step in the words of an ordinary call's.
fn of_step(failed: GraphFailure, graph: &CallFailure) -> CallFailure {
    let retryable = failed.executed == Executed::No && failed.cause.code.is_retryable();
    CallFailure {
        body: failed.cause,
        executed: failed.executed,
        node: failed.node.map(String::from),
        path: graph.path.clone(),
        attempts: failed.attempts,
        retry_after: None,
        retryable,
        ledger: graph.ledger,
    }
}

pub(crate) fn unreadable(py: Python<'_>, body: &ErrorBody) -> PyErr {
    mesh_error(py, body.code, body.message.as_str())
}

/// As plain values, by the names of the fields.
fn report_of<'py>(py: Python<'py>, report: &GraphReport) -> PyResult<Bound<'py, PyAny>> {
    let encoded = rmp_serde::to_vec_named(report);
    let encoded = encoded.map_err(|error| mesh_error(py, ErrorCode::Internal, error.to_string()))?;
    plain::decode(py, encoded.into())
}
