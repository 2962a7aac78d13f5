//! Warm tasks for `async def` functions.
//!
//! A task per call costs more than the call: creating it, one pass of the loop to start it, one to end it. Here a
//! `Worker` is the coroutine of one ordinary `asyncio.Task`, and runs many calls, one after the other, in the same
//! step as long as they do not suspend. Handlers see a real current task and a context of their own. A worker whose
//! call suspended belongs to that call and retires after it: user code may have kept or cancelled its task.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use pyo3::exceptions::PyStopIteration;
use pyo3::intern;
use pyo3::prelude::*;

use crate::bridge::Bridge;
use crate::coroutine::{Step, step, throw};
use crate::jobs::Job;

/// The coroutine of one warm task.
#[pyclass(module = "mpreg._mpreg", frozen)]
#[derive(Debug)]
pub(crate) struct Worker {
    bridge: Weak<Bridge>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    task: Option<Py<PyAny>>,
    /// The call that has suspended; this worker belongs to it.
    suspended: Option<Job>,
}

impl Worker {
    /// Starts a warm task; it takes its first job at its first step.
    pub(crate) fn spawn(py: Python<'_>, bridge: &Arc<Bridge>) -> PyResult<()> {
        let worker = Bound::new(py, Self { bridge: Arc::downgrade(bridge), state: Mutex::default() })?;
        let task = bridge.event_loop(py).call_method1(intern!(py, "create_task"), (&worker,))?;
        worker.get().state.lock().task = Some(task.unbind());
        Ok(())
    }

    /// One step of the task: `Ok` is what the task shall wait for, `Err` ends it.
    fn advance<'py>(slf: &Bound<'py, Self>, thrown: Option<PyErr>) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        let suspended = this.state.lock().suspended.take();
        let (job, step) = match (suspended, thrown) {
            (Some(job), Some(error)) => {
                let step = throw(job.coroutine.bind(py), error, job.context.bind(py));
                (job, step)
            }
            (Some(job), None) => {
                let step = step(job.coroutine.bind(py), job.context.bind(py));
                (job, step)
            }
            // Idle and cancelled: the loop is closing.
            (None, Some(error)) => return Err(error),
            (None, None) => return this.work(py),
        };
        match step {
            Step::Yielded(waits_for) => {
                this.state.lock().suspended = Some(job);
                Ok(waits_for)
            }
            Step::Returned(value) => Err(this.retire(py, job, Ok(value))),
            Step::Raised(error) => Err(this.retire(py, job, Err(error))),
        }
    }

    /// Runs jobs until one suspends or none is left.
    fn work<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let Some(bridge) = self.bridge.upgrade() else { return Err(PyStopIteration::new_err(())) };
        while let Some(job) = bridge.jobs.next() {
            match step(job.coroutine.bind(py), job.context.bind(py)) {
                Step::Yielded(waits_for) => {
                    let mut state = self.state.lock();
                    if let Some(task) = &state.task {
                        bridge.jobs.suspended(job.running.ticket.key(), task.clone_ref(py));
                    }
                    state.suspended = Some(job);
                    drop(state);
                    bridge.jobs.hand_over(py, &bridge)?;
                    return Ok(waits_for);
                }
                Step::Returned(value) => bridge.answer(py, job.running.conclude(py, Ok(value))),
                Step::Raised(error) => bridge.answer(py, job.running.conclude(py, Err(error))),
            }
        }
        bridge.jobs.idle(py, &bridge)?.ok_or_else(|| PyStopIteration::new_err(()))
    }

    fn retire(&self, py: Python<'_>, job: Job, outcome: PyResult<Bound<'_, PyAny>>) -> PyErr {
        let key = job.running.ticket.key();
        let answer = job.running.conclude(py, outcome);
        if let Some(bridge) = self.bridge.upgrade() {
            bridge.jobs.ended(key);
            bridge.answer(py, answer);
        }
        PyStopIteration::new_err(())
    }
}

#[pymethods]
impl Worker {
    fn __await__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::advance(slf, None)
    }

    fn send<'py>(slf: &Bound<'py, Self>, _value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        Self::advance(slf, None)
    }

    #[pyo3(signature = (error, _value = None, _traceback = None))]
    fn throw<'py>(
        slf: &Bound<'py, Self>,
        error: Bound<'py, PyAny>,
        _value: Option<Bound<'py, PyAny>>,
        _traceback: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let error = PyErr::from_value(error);
        Self::advance(slf, Some(error))
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let Some(job) = self.state.lock().suspended.take() else { return Ok(()) };
        job.coroutine.call_method0(py, intern!(py, "close"))?;
        Ok(())
    }
}
