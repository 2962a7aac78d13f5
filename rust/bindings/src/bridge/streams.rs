//! Streams on a loop: those it reads, and those its functions make.

use std::sync::Arc;
use std::time::Duration;

use mpreg_node::{CallKey, Caller, InvocationKey, ItemSender, Outgoing, PortId};
use mpreg_types::{ErrorBody, Payload, Time};
use pyo3::prelude::*;

use super::{ANSWERS_PER_WRITE, Bridge, Draining};
use crate::completion::{Kind, PendingCall, Waiter};
use crate::futures::Futures;
use crate::item_sink::Sink;
use crate::reading::{Reading, What};
use crate::remote::Handle;
use crate::stream::Stream;

impl Bridge {
    /// Asks for a stream; its items are there when they come.
    pub(crate) fn stream<'py>(
        self: &Arc<Self>,
        py: Python<'py>,
        caller: &Caller,
        handle: &Arc<Handle>,
        timeout: Duration,
        value: Payload,
    ) -> PyResult<Bound<'py, Stream>> {
        let now = mpreg_node::now();
        let outgoing = handle.outgoing(py, timeout, now, true)?;
        self.read(py, caller, outgoing, value, What::Items(handle.clone()), now)
    }

    /// The same for whatever is read as a stream.
    pub(crate) fn read<'py>(
        self: &Arc<Self>,
        py: Python<'py>,
        caller: &Caller,
        outgoing: Outgoing,
        value: Payload,
        what: What,
        now: Time,
    ) -> PyResult<Bound<'py, Stream>> {
        let reading = Reading::new(what);
        let pending = PendingCall { waiter: Waiter::Stream(reading.clone()), kind: Kind::Stream };
        let (port, key) = self.begin(py, caller, outgoing, value, pending, now)?;
        Bound::new(py, Stream::new(self.clone(), reading, port, key))
    }

    /// A reader took items: their sender hears of it.
    pub(crate) fn items_taken(&self, port: PortId, key: CallKey, bytes: u64) {
        let mut state = self.state.lock();
        state.ports.items_taken(port, key, bytes);
        if state.draining == Draining::No {
            state.flush_calls();
        }
    }

    /// There is more to read, or there will be no more.
    pub(crate) fn wake_reader(&self, py: Python<'_>, reading: &Reading) {
        if let Some(future) = reading.take_waiter() {
            self.report(py, self.futures.complete(future.bind(py), Ok(py.None().into_bound(py))));
        }
    }

    /// The same for code that may run inside a task, where no other one can be entered.
    pub(crate) fn wake_reader_later(&self, py: Python<'_>, reading: &Reading) {
        if let Some(future) = reading.take_waiter() {
            self.report(py, Futures::complete_later(future.bind(py)));
        }
    }

    /// Sends an item with the others of the drain or of the tick.
    pub(crate) fn send_item(
        &self,
        py: Python<'_>,
        sender: &ItemSender,
        item: Payload,
    ) -> Result<(), Box<ErrorBody>> {
        let mut state = self.state.lock();
        sender.send(item, &mut state.replies)?;
        state.answers_unsent += 1;
        if state.answers_unsent >= ANSWERS_PER_WRITE {
            state.flush_answers();
        }
        let schedule = state.draining == Draining::No && !std::mem::replace(&mut state.flush_scheduled, true);
        drop(state);
        if schedule {
            let scheduled = self.call_soon(py, |callbacks| callbacks.flush(py));
            self.report(py, scheduled);
        }
        Ok(())
    }

    /// An item waits for credit.
    pub(crate) fn sink_waits(&self, sink: &Arc<Sink>) {
        self.sinks.lock().insert(sink.key(), sink.clone());
    }

    /// That stream has ended.
    pub(crate) fn sink_ended(&self, key: InvocationKey) {
        self.sinks.lock().remove(&key);
    }

    pub(super) fn resume_sinks(&self, py: Python<'_>, keys: Vec<InvocationKey>) {
        for key in keys {
            let sink = self.sinks.lock().get(&key).cloned();
            if let Some(sink) = sink
                && let Some(future) = sink.resume(py, self)
            {
                self.sink_ended(key);
                self.report(py, self.futures.complete(future.bind(py), Ok(py.None().into_bound(py))));
            }
        }
    }
}
