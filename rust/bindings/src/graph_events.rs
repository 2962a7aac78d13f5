//! What happens in a graph that its caller watches, as objects of Python.

use mpreg_node::{CallFailure, decode_answer, decode_event, decode_failure};
use mpreg_types::{GraphEvent, INLINE_RESULT_BYTES, Payload};
use pyo3::intern;
use pyo3::prelude::*;

use crate::completion::function_ran;
use crate::graph_run::{Asked, GraphRun, unreadable};

/// The classes of events, as `mpreg._events` has them.
#[derive(Debug, FromPyObject)]
pub(crate) struct Classes {
    #[pyo3(item)]
    started: Py<PyAny>,
    #[pyo3(item)]
    finished: Py<PyAny>,
    #[pyo3(item)]
    failed: Py<PyAny>,
    #[pyo3(item)]
    ended: Py<PyAny>,
}

/// A graph that its caller watches.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) run: GraphRun,
    pub(crate) classes: Classes,
}

impl Watched {
    /// An event that came while the graph runs.
    pub(crate) fn event<'py>(&self, py: Python<'py>, item: &Payload) -> PyResult<Bound<'py, PyAny>> {
        let (event, value) = decode_event(item).map_err(|body| unreadable(py, &body))?;
        self.make(py, &event, value)
    }

    /// What the reply that ends a watched graph says: the events that were not sent before, the last one, and the error
    /// that follows them.
    pub(crate) fn last_events(
        &self,
        py: Python<'_>,
        reply: Result<Payload, Box<CallFailure>>,
    ) -> (Vec<Py<PyAny>>, Option<PyErr>) {
        let mut events = Vec::new();
        let error = match reply {
            Ok(answer) => self.all_went_well(py, &answer, &mut events).err(),
            Err(failure) => {
                let error = self.run.error(py, &failure);
                let told = self.it_failed(py, &failure, &error, &mut events);
                Some(told.err().unwrap_or(error))
            }
        };
        (events, error)
    }

    fn all_went_well(&self, py: Python<'_>, answer: &Payload, out: &mut Vec<Py<PyAny>>) -> PyResult<()> {
        let (said, values) = decode_answer(answer).map_err(|body| unreadable(py, &body))?;
        for event in said.events {
            let is_it = |asked: &Asked| asked.is_whole && asked.step == event.step();
            let value = self.run.wanted.iter().position(is_it).and_then(|at| values.get(at));
            let value = value.filter(|value| value.len() <= INLINE_RESULT_BYTES).cloned();
            out.push(self.make(py, &event, value)?.unbind());
        }
        let report = self.run.values(py, answer).inspect_err(|error| function_ran(py, error))?;
        out.push(self.classes.ended.bind(py).call1((report,))?.unbind());
        Ok(())
    }

    fn it_failed(
        &self,
        py: Python<'_>,
        failure: &CallFailure,
        error: &PyErr,
        out: &mut Vec<Py<PyAny>>,
    ) -> PyResult<()> {
        let Some(said) = decode_failure(&failure.body) else { return Ok(()) };
        for event in said.events {
            out.push(self.make(py, &event, None)?.unbind());
        }
        if let Some(step) = said.step {
            let cause = error.value(py).getattr(intern!(py, "__cause__"))?;
            out.push(self.classes.failed.bind(py).call1((self.name_of(step), cause))?.unbind());
        }
        Ok(())
    }

    fn make<'py>(
        &self,
        py: Python<'py>,
        event: &GraphEvent,
        value: Option<Payload>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let name = self.name_of(event.step());
        match event {
            GraphEvent::Started { node, .. } => self.classes.started.bind(py).call1((name, node.as_str())),
            GraphEvent::Finished { step, node, us } => {
                let asked = self.run.wanted.iter().find(|asked| asked.is_whole && asked.step == *step);
                let value = asked.zip(value).map(|(asked, value)| asked.decode(py, value)).transpose();
                let value = value.inspect_err(|error| function_ran(py, error))?;
                #[expect(clippy::cast_precision_loss, reason = "microseconds of a step are far below 2^53")]
                let seconds = *us as f64 / 1e6;
                self.classes.finished.bind(py).call1((name, node.as_str(), seconds, value))
            }
        }
    }

    /// As its caller named it.
    fn name_of(&self, step: u32) -> &str {
        self.run.handles.get(step as usize).map_or("", |handle| handle.name())
    }
}
