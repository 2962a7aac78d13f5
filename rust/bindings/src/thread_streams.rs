//! Plain generators in worker threads. One whose next item finds no credit gives its thread back and is taken up again,
//! by any thread, when there is: readers that are slow hold their own stream and no thread.

use mpreg_node::{InvocationKey, ItemSender, Pass, Replies};
use mpreg_types::{ErrorBody, ErrorCode, Payload};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyIterator;

use crate::codec;
use crate::coroutine::within;
use crate::invocation::Running;
use crate::item_sink::{not_a_stream, unsendable};

/// A generator between two items.
#[derive(Debug)]
pub(crate) struct StreamJob {
    items: Py<PyIterator>,
    context: Py<PyAny>,
    running: Running,
    sender: ItemSender,
    /// The item that waits for credit.
    waiting: Option<Payload>,
}

/// How a turn ended.
enum Turn {
    /// An item waits for credit.
    Waits,
    /// The generator is over.
    Over(PyResult<()>),
    /// Nobody reads any more.
    Closed,
    /// The stream has to end.
    Failed(ErrorBody),
}

fn cancelled() -> ErrorBody {
    ErrorBody::new(ErrorCode::CancelledByPeer, "nobody reads the stream any more")
}

impl StreamJob {
    /// `outcome` is what the function returned. Answered already if that is no generator.
    pub(crate) fn new(
        outcome: PyResult<Bound<'_, PyAny>>,
        context: &Bound<'_, PyAny>,
        running: Running,
        replies: &mut Replies,
    ) -> Option<Self> {
        let py = context.py();
        let Some(sender) = running.ticket.items().cloned() else {
            running.conclude_stream(py, Ok(()), Some(not_a_stream())).send(replies);
            return None;
        };
        match outcome.and_then(|items| items.try_iter()) {
            Ok(items) => {
                let (items, context) = (items.unbind(), context.clone().unbind());
                Some(Self { items, context, running, sender, waiting: None })
            }
            Err(error) => {
                running.conclude_stream(py, Err(error), None).send(replies);
                None
            }
        }
    }

    pub(crate) fn key(&self) -> InvocationKey {
        self.running.ticket.key()
    }

    pub(crate) fn running(&self) -> &Running {
        &self.running
    }

    /// True if nobody reads any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Makes items until one has to wait, then gives itself back; otherwise it is answered.
    pub(crate) fn advance(mut self, py: Python<'_>, replies: &mut Replies) -> Option<Self> {
        let context = self.context.clone_ref(py).into_bound(py);
        let turn = within(&context, || self.turn(py, replies)).unwrap_or_else(|error| Turn::Over(Err(error)));
        let (outcome, failure) = match turn {
            Turn::Waits => return Some(self),
            Turn::Over(outcome) => (outcome, None),
            // Whoever closed it has answered, or is about to: this is never a stream that ended well.
            Turn::Closed => (self.close(&context), Some(cancelled())),
            Turn::Failed(failure) => (self.close(&context), Some(failure)),
        };
        self.running.conclude_stream(py, outcome, failure).send(replies);
        None
    }

    fn turn(&mut self, py: Python<'_>, replies: &mut Replies) -> Turn {
        let mut items = self.items.clone_ref(py).into_bound(py);
        let function = self.running.function.clone();
        loop {
            if let Some(item) = self.waiting.take() {
                match self.sender.pass(&item) {
                    Pass::Closed => return Turn::Closed,
                    Pass::Wait => {
                        self.waiting = Some(item);
                        return Turn::Waits;
                    }
                    Pass::Passed => {
                        self.running.info.flows(function.timeout);
                        if let Err(failure) = self.sender.send(item, replies) {
                            return Turn::Failed(*failure);
                        }
                        // Nobody knows how long the next item takes.
                        self.sender.flush_soon();
                    }
                }
            }
            if self.sender.is_closed() {
                return Turn::Closed;
            }
            match items.next() {
                None => return Turn::Over(Ok(())),
                Some(Err(error)) => return Turn::Over(Err(error)),
                Some(Ok(item)) => match codec::encode_value(&item, function.result_bytes_max, "item") {
                    Ok(encoded) => self.waiting = Some(encoded),
                    Err(error) => return Turn::Failed(unsendable(py, &function, &error)),
                },
            }
        }
    }

    /// Lets the generator clean up.
    fn close(&self, context: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = context.py();
        let items = self.items.bind(py);
        if !items.hasattr(intern!(py, "close"))? {
            return Ok(());
        }
        within(context, || items.call_method0(intern!(py, "close"))).flatten().map(drop)
    }
}
