//! One call being run for somebody: from its bytes to the function, and from the outcome back to bytes.

use std::sync::Arc;

use mpreg_node::{Invocation, Replies, Ticket};
use mpreg_types::{ErrorBody, ErrorCode, Executed, Payload};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;

use crate::bridge::Bridge;
use crate::codec::{self, Arguments};
use crate::context::{CallContext, CallInfo, ambient};
use crate::coroutine::{copy_context, within};
use crate::hooks::describe_exception;
use crate::item_sink::{ItemSink, Sink, not_a_stream};
use crate::registration::Function;
use crate::watch;

/// The duty to answer a call that has reached its function.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) ticket: Ticket,
    pub(crate) function: Arc<Function>,
    pub(crate) info: Arc<CallInfo>,
    /// Of an asynchronous generator that has been started.
    pub(crate) sink: Option<Arc<Sink>>,
}

/// A call ready to start: decoded, bound, and with the context it will run in.
pub(crate) struct Ready<'py> {
    arguments: Arguments<'py>,
    first: Option<Bound<'py, PyAny>>,
    pub(crate) context: Bound<'py, PyAny>,
    pub(crate) running: Running,
}

/// What the caller of a call shall get.
#[derive(Debug)]
pub(crate) struct Answer {
    ticket: Ticket,
    outcome: Result<Payload, (ErrorBody, Executed)>,
}

impl Answer {
    /// Adds it to a batch of answers; no Python code runs.
    pub(crate) fn send(self, replies: &mut Replies) {
        match self.outcome {
            Ok(value) => self.ticket.succeed(value, replies),
            Err((body, executed)) => self.ticket.fail(body, executed, replies),
        }
    }

    pub(crate) fn refuse(ticket: Ticket, body: ErrorBody) -> Self {
        Self { ticket, outcome: Err((body, Executed::No)) }
    }
}

/// Decodes and binds; what does not fit is answered with `executed="no"`.
pub(crate) fn prepare(
    py: Python<'_>,
    function: Arc<Function>,
    invocation: Invocation,
) -> Result<Ready<'_>, Box<Answer>> {
    let info = Arc::new(CallInfo::new(&function.name, &invocation));
    let Invocation { value, mut ticket, deadline, .. } = invocation;
    let now = mpreg_node::now();
    if now >= deadline {
        let body = ErrorBody::new(
            ErrorCode::DeadlineExceeded,
            "the deadline passed before the function could start",
        );
        return Err(Box::new(Answer::refuse(ticket, body)));
    }
    match bind(py, &function, value, &info) {
        // From here on the function counts as begun; a call that was taken back meanwhile must not.
        Ok(_) if !ticket.begin(now) => {
            let body = ErrorBody::new(
                ErrorCode::CancelledByPeer,
                "the caller gave up before the function could start",
            );
            Err(Box::new(Answer::refuse(ticket, body)))
        }
        Ok((arguments, first, context)) => {
            watch::stir();
            Ok(Ready { arguments, first, context, running: Running { ticket, function, info, sink: None } })
        }
        Err(body) => Err(Box::new(Answer::refuse(ticket, *body))),
    }
}

type Started<'py> = (Arguments<'py>, Option<Bound<'py, PyAny>>, Bound<'py, PyAny>);

fn bind<'py>(
    py: Python<'py>,
    function: &Function,
    value: Payload,
    info: &Arc<CallInfo>,
) -> Result<Started<'py>, Box<ErrorBody>> {
    let internal = |error: PyErr| Box::new(ErrorBody::new(ErrorCode::Internal, error.to_string()));
    let arguments =
        codec::decode_args(py, value, Some(&function.parameters)).map_err(|error| misfit(py, &error))?;
    let context = copy_context(py).map_err(internal)?;
    let call = Bound::new(py, CallContext { info: info.clone() }).map_err(internal)?;
    within(&context, || ambient(py)?.call_method1(intern!(py, "set"), (&call,)))
        .flatten()
        .map_err(internal)?;
    let first = function
        .make_context
        .as_ref()
        .map(|make| make.bind(py).call1((call,)))
        .transpose()
        .map_err(internal)?;
    Ok((arguments, first, context))
}

/// Arguments that do not fit the signature, or a value that does not fit its hint.
fn misfit(py: Python<'_>, error: &PyErr) -> Box<ErrorBody> {
    let shape = error.is_instance_of::<PyTypeError>(py);
    let code = if shape { ErrorCode::BadArguments } else { ErrorCode::Decode };
    Box::new(ErrorBody::new(code, error.value(py).to_string()))
}

impl<'py> Ready<'py> {
    /// Calls the function in its context: the result, or for `async def` the coroutine.
    pub(crate) fn call(self) -> (PyResult<Bound<'py, PyAny>>, Bound<'py, PyAny>, Running) {
        let Self { arguments, first, context, running } = self;
        let callable = running.function.callable.bind(context.py());
        let outcome = within(&context, || arguments.call(callable, first)).flatten();
        (outcome, context, running)
    }
}

/// Too large, or not to be encoded at all: what the encoder raised says which.
pub(crate) fn encode_code(py: Python<'_>, error: &PyErr) -> ErrorCode {
    let said = error.value(py).getattr(intern!(py, "code")).and_then(|code| code.extract::<String>());
    if said.is_ok_and(|code| code == ErrorCode::TooLarge.as_str()) {
        ErrorCode::TooLarge
    } else {
        ErrorCode::Encode
    }
}

impl Running {
    /// The coroutine that drives an asynchronous generator.
    pub(crate) fn pump<'py>(
        &mut self,
        items: &Bound<'py, PyAny>,
        bridge: &Arc<Bridge>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = items.py();
        let (Some(pump), Some(sender)) = (&self.function.pump, self.ticket.items()) else {
            let why = not_a_stream().message.as_str().to_owned();
            return Err(PyRuntimeError::new_err(why));
        };
        let (function, info) = (self.function.clone(), self.info.clone());
        let sink = Sink::new(bridge, self.ticket.key(), sender.clone(), function, info);
        let push = Bound::new(py, ItemSink(sink.clone()))?;
        let coroutine = pump.bind(py).call1((items, push))?;
        self.sink = Some(sink);
        Ok(coroutine)
    }

    /// The end of a stream, or why it had to end.
    pub(crate) fn conclude_stream(
        self,
        py: Python<'_>,
        outcome: PyResult<()>,
        failure: Option<ErrorBody>,
    ) -> Answer {
        let Self { ticket, function, .. } = self;
        let outcome = match (failure, outcome) {
            (Some(failure), _) => Err((failure, Executed::Yes)),
            (None, Ok(())) => {
                codec::encode_value(&py.None().into_bound(py), function.result_bytes_max, "result")
                    .map_err(|error| (ErrorBody::new(ErrorCode::Internal, error.to_string()), Executed::Yes))
            }
            (None, Err(error)) => Err((describe_exception(py, &error, &function.raises), Executed::Yes)),
        };
        Answer { ticket, outcome }
    }

    /// What the function returned or raised, as an answer.
    pub(crate) fn conclude(self, py: Python<'_>, outcome: PyResult<Bound<'_, PyAny>>) -> Answer {
        if let Some(sink) = &self.sink {
            let failure = sink.end();
            return self.conclude_stream(py, outcome.map(drop), failure);
        }
        let Self { ticket, function, .. } = self;
        let outcome = match outcome {
            Ok(value) => codec::encode_value(&value, function.result_bytes_max, "result").map_err(|error| {
                let why = format!("the result of {} cannot be sent: {}", function.name, error.value(py));
                (ErrorBody::new(encode_code(py, &error), why), Executed::Yes)
            }),
            Err(error) => Err((describe_exception(py, &error, &function.raises), Executed::Yes)),
        };
        Answer { ticket, outcome }
    }
}
