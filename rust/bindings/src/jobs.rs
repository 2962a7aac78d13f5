//! Running functions on the loop: inline ones at once, `async def` ones in warm tasks.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use mpreg_node::{Invocation, InvocationKey};
use mpreg_types::{ErrorBody, ErrorCode};
use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;

use crate::bridge::Bridge;
use crate::futures::Futures;
use crate::invocation::{Answer, Running, prepare};
use crate::registration::{Function, Mode};
use crate::worker::Worker;

/// Warm tasks kept for later; more than that end when they are idle.
const IDLE_MAX: usize = 256;

/// Workers that one suspended worker calls.
const HEIRS: usize = 2;

/// A coroutine not yet started.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) coroutine: Py<PyAny>,
    pub(crate) context: Py<PyAny>,
    pub(crate) running: Running,
}

/// The calls that a loop runs.
#[derive(Debug, Default)]
pub(crate) struct Jobs(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Job>,
    /// Futures that idle workers wait for.
    idle: Vec<Py<PyAny>>,
    /// Tasks of calls that have suspended, for cancelling.
    suspended: HashMap<InvocationKey, Py<PyAny>>,
}

impl Jobs {
    /// Runs a batch: inline functions to their end, coroutines as far as they go without waiting.
    pub(crate) fn run(
        &self,
        py: Python<'_>,
        bridge: &Arc<Bridge>,
        invocations: Vec<Invocation>,
    ) -> PyResult<()> {
        for invocation in invocations {
            let Ok(function) = invocation.handler.clone().downcast::<Function>() else { continue };
            let (mode, streaming) = (function.mode, function.streaming);
            let ready = match prepare(py, function, invocation) {
                Ok(ready) => ready,
                Err(refusal) => {
                    bridge.answer(py, *refusal);
                    continue;
                }
            };
            match (mode, ready.call()) {
                (Mode::Async, (Ok(items), context, mut running)) if streaming => {
                    match running.pump(&items, bridge) {
                        Ok(coroutine) => {
                            let (coroutine, context) = (coroutine.unbind(), context.unbind());
                            self.0.lock().queue.push_back(Job { coroutine, context, running });
                        }
                        Err(error) => bridge.answer(py, running.conclude(py, Err(error))),
                    }
                }
                (Mode::Async, (Ok(coroutine), context, running)) => {
                    let (coroutine, context) = (coroutine.unbind(), context.unbind());
                    self.0.lock().queue.push_back(Job { coroutine, context, running });
                }
                (_, (outcome, _, running)) => bridge.answer(py, running.conclude(py, outcome)),
            }
        }
        self.wake_workers(py, bridge)
    }

    /// Resumes idle workers, or makes new ones, until the queue is empty or a new one will see to it.
    fn wake_workers(&self, py: Python<'_>, bridge: &Arc<Bridge>) -> PyResult<()> {
        loop {
            let Some(idle) = self.heir() else { return Ok(()) };
            match idle {
                Some(future) => bridge.futures.complete(future.bind(py), Ok(py.None().into_bound(py)))?,
                // It starts with the loop's next pass and takes what is queued then.
                None => return Worker::spawn(py, bridge),
            }
        }
    }

    /// Who takes what is queued: an idle worker, or `Some(None)` if there has to be a new one; `None` if nothing is.
    #[expect(clippy::option_option, reason = "two questions with one answer each, under one lock")]
    fn heir(&self) -> Option<Option<Py<PyAny>>> {
        let mut state = self.0.lock();
        (!state.queue.is_empty()).then(|| state.idle.pop())
    }

    /// For a worker that has suspended while calls are queued: others take over. Two of them, so that a burst of calls
    /// that all suspend has its workers after a few passes of the loop, and one that does not makes no crowd.
    pub(crate) fn hand_over(&self, py: Python<'_>, bridge: &Arc<Bridge>) -> PyResult<()> {
        for _ in 0..HEIRS {
            let Some(idle) = self.heir() else { return Ok(()) };
            match idle {
                Some(future) => Futures::complete_later(future.bind(py))?,
                None => Worker::spawn(py, bridge)?,
            }
        }
        Ok(())
    }

    /// For a worker: the next coroutine to start.
    pub(crate) fn next(&self) -> Option<Job> {
        self.0.lock().queue.pop_front()
    }

    /// For a worker without work: what to wait for; `None` = there are enough idle ones.
    pub(crate) fn idle<'py>(&self, py: Python<'py>, bridge: &Bridge) -> PyResult<Option<Bound<'py, PyAny>>> {
        if self.0.lock().idle.len() >= IDLE_MAX {
            return Ok(None);
        }
        let future = bridge.futures.create(py)?;
        future.setattr(intern!(py, "_asyncio_future_blocking"), true)?;
        self.0.lock().idle.push(future.clone().unbind());
        Ok(Some(future))
    }

    /// A call has suspended: `task` is what to cancel.
    pub(crate) fn suspended(&self, key: InvocationKey, task: Py<PyAny>) {
        self.0.lock().suspended.insert(key, task);
    }

    /// A call that had suspended is over.
    pub(crate) fn ended(&self, key: InvocationKey) {
        self.0.lock().suspended.remove(&key);
    }

    /// Cancels one call: a queued one is answered, a suspended one gets `CancelledError` at its `await`.
    pub(crate) fn cancel(&self, py: Python<'_>, bridge: &Bridge, key: InvocationKey) -> PyResult<()> {
        let mut state = self.0.lock();
        if let Some(index) = state.queue.iter().position(|job| job.running.ticket.key() == key) {
            let job = state.queue.remove(index);
            drop(state);
            if let Some(job) = job {
                job.coroutine.call_method0(py, intern!(py, "close"))?;
                let body = ErrorBody::new(ErrorCode::CancelledByPeer, "the caller cancelled the call");
                bridge.answer(py, Answer::refuse(job.running.ticket, body));
            }
            return Ok(());
        }
        let Some(task) = state.suspended.remove(&key) else { return Ok(()) };
        drop(state);
        task.call_method0(py, intern!(py, "cancel"))?;
        Ok(())
    }

    /// Lets idle workers end and cancels the others.
    pub(crate) fn close(&self, py: Python<'_>) {
        let state = std::mem::take(&mut *self.0.lock());
        for future in state.idle.into_iter().chain(state.suspended.into_values()) {
            if let Err(error) = future.call_method0(py, intern!(py, "cancel")) {
                error.write_unraisable(py, None);
            }
        }
    }
}
