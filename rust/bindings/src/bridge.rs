//! The bridge of one asyncio loop: everything that crosses between the loop and the mesh goes through its drain.
//!
//! The I/O thread fills the mailbox and wakes the loop once per batch (an eventfd); the loop drains it in one pass:
//! replies complete futures, invocations run, and what was written meanwhile leaves with one flush per connection.
//! Only the loop's thread touches the state, and no lock is held while Python code runs: a resumed task may call again.

mod helping;
mod standing;
mod streams;

use std::collections::{HashMap, VecDeque};
use std::ffi::c_long;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use mpreg_node::{
    CallKey, Caller, Done, Invocation, InvocationKey, Item, Mailbox, Outgoing, PortId, Replies, generation,
};
use mpreg_types::{Payload, Time};
use parking_lot::Mutex;
use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::intern;
use pyo3::prelude::*;

use crate::call::{Call, Pending};
use crate::completion::{Kind, PendingCall, Settled, Waiter};
use crate::exit;
use crate::futures::Futures;
use crate::hooks::node_error;
use crate::invocation::Answer;
use crate::item_sink::Sink;
use crate::jobs::Jobs;
use crate::loop_callbacks::LoopCallbacks;
use crate::ports::Ports;
use crate::quiet_lanes::QuietLanes;
use crate::remote::Handle;
use crate::report::{Finish, Report};
use crate::serving::Serving;
use crate::wake::EventFd;

/// Items handled in one drain before the loop's other work gets its turn.
const DRAIN_ITEMS_MAX: usize = 1024;

/// A batch that is still growing leaves when it has so many calls and half of those under way, or so many answers. The
/// peer works on the first part while the rest is made: one write for all would have both sides wait in turns, and more
/// parts would cost more wake-ups than they win.
const CALLS_PER_WRITE_MIN: usize = 32;
const ANSWERS_PER_WRITE: usize = 128;

/// One asyncio loop's side of the mesh.
#[derive(Debug)]
pub(crate) struct Bridge {
    event_loop: Py<PyAny>,
    /// The thread that its loop runs on, as Python names it.
    pub(crate) thread: c_long,
    callbacks: Mutex<Option<LoopCallbacks>>,
    eventfd: EventFd,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) futures: Futures,
    pub(crate) jobs: Jobs,
    /// Streams whose next item waits for credit.
    sinks: Mutex<HashMap<InvocationKey, Arc<Sink>>>,
    serving: Serving,
    /// The process it was made in, see [`generation`].
    made_in: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    lanes: QuietLanes,
    ports: Ports,
    replies: Replies,
    requests: HashMap<u64, Request>,
    next_request: u64,
    /// Arrived, but over the limit of the last drain.
    backlog: VecDeque<Item>,
    draining: Draining,
    drain_scheduled: bool,
    flush_scheduled: bool,
    /// Calls made since the last flush.
    calls_unsent: usize,
    /// Calls answered since the last flush.
    answers_unsent: usize,
    /// What a task raised to end the program.
    exit: Option<PyErr>,
}

/// Whether the loop drains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Draining {
    No,
    Once,
    /// It came to drain once more before the drain had ended.
    Again,
}

impl State {
    fn flush_calls(&mut self) {
        self.calls_unsent = 0;
        self.ports.flush();
    }

    fn flush_answers(&mut self) {
        self.answers_unsent = 0;
        self.replies.flush();
    }
}

/// An operation of the control thread that somebody awaits.
struct Request {
    future: Py<PyAny>,
    finish: Finish,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").finish_non_exhaustive()
    }
}

impl Bridge {
    /// A bridge for `event_loop`, which is running on this thread.
    pub(crate) fn open(event_loop: &Bound<'_, PyAny>) -> PyResult<Arc<Self>> {
        let py = event_loop.py();
        let eventfd = EventFd::new()?;
        let mailbox = Mailbox::new(Box::new(eventfd.writer()?));
        let lanes = QuietLanes::new(&eventfd)?;
        let watched = lanes.raw();
        let state = State {
            lanes,
            ports: Ports::default(),
            replies: Replies::of_thread(mailbox.clone()),
            requests: HashMap::new(),
            next_request: 0,
            backlog: VecDeque::new(),
            draining: Draining::No,
            drain_scheduled: false,
            flush_scheduled: false,
            calls_unsent: 0,
            answers_unsent: 0,
            exit: None,
        };
        let bridge = Arc::new(Self {
            event_loop: event_loop.clone().unbind(),
            thread: exit::this_thread(py)?,
            callbacks: Mutex::new(None),
            eventfd,
            mailbox,
            futures: Futures::new(event_loop)?,
            jobs: Jobs::default(),
            sinks: Mutex::default(),
            serving: Serving::default(),
            made_in: generation(),
            state: Mutex::new(state),
        });
        let callbacks = LoopCallbacks::new(py, &bridge)?;
        event_loop.call_method1(intern!(py, "add_reader"), (watched, callbacks.drain(py)))?;
        *bridge.callbacks.lock() = Some(callbacks);
        Ok(bridge)
    }

    /// Sends a call; what it returns completes when the reply comes.
    pub(crate) fn call<'py>(
        self: &Arc<Self>,
        py: Python<'py>,
        caller: &Caller,
        handle: &Arc<Handle>,
        timeout: Duration,
        value: Payload,
    ) -> PyResult<Bound<'py, Call>> {
        let now = mpreg_node::now();
        let outgoing = handle.outgoing(py, timeout, now, false)?;
        self.send(py, caller, outgoing, value, Kind::Call(handle.clone()), now)
    }

    /// The same for whatever is sent as a call.
    pub(crate) fn send<'py>(
        self: &Arc<Self>,
        py: Python<'py>,
        caller: &Caller,
        outgoing: Outgoing,
        value: Payload,
        kind: Kind,
        now: Time,
    ) -> PyResult<Bound<'py, Call>> {
        let future = self.futures.create(py)?.unbind();
        let pending = PendingCall { waiter: Waiter::Future(future.clone_ref(py)), kind };
        let (port, key) = self.begin(py, caller, outgoing, value, pending, now)?;
        Bound::new(py, Call::new(self.clone(), future, Pending::Call(port, key)))
    }

    fn begin(
        &self,
        py: Python<'_>,
        caller: &Caller,
        outgoing: Outgoing,
        value: Payload,
        pending: PendingCall,
        now: Time,
    ) -> PyResult<(PortId, CallKey)> {
        let mut state = self.state.lock();
        let (port, key) = state
            .ports
            .begin(caller, &self.mailbox, outgoing, value, pending, now)
            .map_err(|error| node_error(py, &error))?;
        state.calls_unsent += 1;
        let local = state.ports.has_local_work();
        let outstanding = state.ports.outstanding();
        if state.calls_unsent >= CALLS_PER_WRITE_MIN.max(outstanding / 2) || outstanding <= 1 {
            state.flush_calls();
        }
        if state.draining != Draining::No {
            // The drain flushes what is left at its end, and takes local work with it.
        } else if local {
            let schedule = !mem::replace(&mut state.drain_scheduled, true);
            drop(state);
            self.schedule_drain(py, schedule)?;
        } else if state.calls_unsent > 0 && !mem::replace(&mut state.flush_scheduled, true) {
            drop(state);
            self.call_soon(py, |callbacks| callbacks.flush(py))?;
        }
        Ok((port, key))
    }

    /// Starts an operation of the control thread; `start` is given what it reports its end to.
    pub(crate) fn request<'py>(
        self: &Arc<Self>,
        py: Python<'py>,
        finish: Finish,
        start: impl FnOnce(Report),
    ) -> PyResult<Bound<'py, Call>> {
        let future = self.futures.create(py)?.unbind();
        let mut state = self.state.lock();
        state.next_request += 1;
        let request = state.next_request;
        state.requests.insert(request, Request { future: future.clone_ref(py), finish });
        drop(state);
        start(Report::new(self.mailbox.clone(), request));
        Bound::new(py, Call::new(self.clone(), future, Pending::Request(request)))
    }

    /// Nobody awaits this call any more.
    pub(crate) fn cancel(&self, py: Python<'_>, pending: &Pending) {
        if !self.is_own() {
            return;
        }
        let mut state = self.state.lock();
        let dropped = match pending {
            Pending::Call(port, key) => {
                state.ports.cancel(*port, *key).and_then(|pending| match pending.waiter {
                    Waiter::Future(future) => Some(future),
                    Waiter::Stream(_) | Waiter::Thread => None,
                })
            }
            Pending::Request(request) => state.requests.remove(request).map(|request| request.future),
        };
        if state.draining == Draining::No {
            state.flush_calls();
        }
        drop(state);
        // A gathered or shielded future may have other waiters: they are cancelled with it.
        if let Some(future) = dropped
            && let Err(error) = future.call_method0(py, intern!(py, "cancel"))
        {
            error.write_unraisable(py, None);
        }
    }

    /// Sends what the calls of this tick have written.
    pub(crate) fn flush(&self) {
        let mut state = self.state.lock();
        state.flush_scheduled = false;
        state.flush_calls();
        state.flush_answers();
        let (own, left) = (state.replies.take_own(), state.replies.take_left());
        drop(state);
        if !own.is_empty() {
            self.mailbox.push_all(own);
        }
        left.see_to();
    }

    /// Takes what has arrived, completes futures, runs functions, and sends what was written meanwhile.
    pub(crate) fn drain(self: &Arc<Self>, py: Python<'_>) -> PyResult<()> {
        let mut state = self.state.lock();
        if state.draining != Draining::No {
            // A handler runs the loop from inside a handler: the outer drain goes on where it was, and comes again.
            self.eventfd.clear();
            state.draining = Draining::Again;
            return Ok(());
        }
        state.draining = Draining::Once;
        state.drain_scheduled = false;
        let signalled = self.mailbox.hold();
        if !state.lanes.read() || signalled {
            self.eventfd.clear();
        }
        let mut items = Vec::new();
        self.mailbox.take(&mut items);
        if !state.backlog.is_empty() || items.len() > DRAIN_ITEMS_MAX {
            // A part is taken off its front, so that a long one is not copied again and again.
            state.backlog.extend(items.drain(..));
            let part = state.backlog.len().min(DRAIN_ITEMS_MAX);
            items.extend(state.backlog.drain(..part));
        }
        state.lanes.judge(&items);
        let more = !state.backlog.is_empty();
        drop(state);
        crate::log::deliver(py);
        self.handle(py, items);
        let mut state = self.state.lock();
        let again = more || state.draining == Draining::Again;
        state.draining = Draining::No;
        state.flush_calls();
        state.flush_answers();
        let schedule = again && !mem::replace(&mut state.drain_scheduled, true);
        let exit = state.exit.take();
        drop(state);
        self.schedule_drain(py, schedule)?;
        exit.map_or(Ok(()), Err)
    }

    /// Works through `items` and the local calls and answers that follow from them.
    fn handle(self: &Arc<Self>, py: Python<'_>, mut items: Vec<Item>) {
        let mut rounds = 0;
        loop {
            let mut invocations = Vec::new();
            let mut done = Vec::new();
            let mut cancelled = Vec::new();
            let mut resumed = Vec::new();
            let now = mpreg_node::now();
            let mut state = self.state.lock();
            for item in items.drain(..) {
                match item {
                    Item::Invoke(invocation) => invocations.push(*invocation),
                    Item::Cancel(key) => cancelled.push(key),
                    Item::Resume(key) => resumed.push(key),
                    Item::Done(finished) => {
                        done.extend(state.requests.remove(&finished.request).map(|f| (f, finished)));
                    }
                    other => state.ports.handle(other, now),
                }
            }
            state.ports.arm(now);
            state.ports.take_invocations(&mut invocations);
            let readers = state.ports.feed_readers();
            let settled = state.ports.take_settled();
            drop(state);
            // First of all: a handler that is cancelled cleans up before whoever waits for the stop goes on.
            self.cancel_invocations(py, cancelled);
            self.finish_requests(py, done);
            for reading in &readers {
                self.wake_reader(py, reading);
            }
            self.resume_sinks(py, resumed);
            self.settle(py, settled);
            self.run(py, invocations);
            let mut state = self.state.lock();
            let mut own = state.replies.take_own();
            let left = state.replies.take_left();
            if !left.is_empty() {
                drop(state);
                own.extend(self.see_to(left, &mut rounds));
                state = self.state.lock();
            }
            if state.backlog.is_empty() {
                items.extend(own);
            } else {
                // Items of a stream, and its end, stay behind those of it that wait there.
                state.backlog.extend(own);
            }
            if items.is_empty() && !state.ports.has_local_work() {
                return;
            }
        }
    }

    fn settle(&self, py: Python<'_>, settled: Vec<Settled>) {
        for Settled { pending, result, node } in settled {
            match pending.waiter {
                Waiter::Future(future) => {
                    let outcome = pending.kind.outcome(py, result, node.as_deref());
                    self.report(py, self.futures.complete(future.bind(py), outcome));
                }
                Waiter::Stream(reading) => {
                    reading.end(result);
                    self.wake_reader(py, &reading);
                }
                Waiter::Thread => {}
            }
        }
    }

    fn finish_requests(&self, py: Python<'_>, done: Vec<(Request, Done)>) {
        for (Request { future, finish }, finished) in done {
            let outcome = match finished.result {
                Ok(encoded) => finish(py, encoded).map(|value| value.into_bound(py)),
                Err(error) => Err(node_error(py, &error)),
            };
            self.report(py, self.futures.complete(future.bind(py), outcome));
        }
    }

    fn run(self: &Arc<Self>, py: Python<'_>, invocations: Vec<Invocation>) {
        let failed = self.jobs.run(py, self, invocations);
        self.report(py, failed);
    }

    fn cancel_invocations(&self, py: Python<'_>, keys: Vec<InvocationKey>) {
        for key in keys {
            self.report(py, self.jobs.cancel(py, self, key));
        }
    }

    /// Answers a call: with the drain's other answers, or with the tick's if a suspended handler ended on its own.
    pub(crate) fn answer(&self, py: Python<'_>, answer: Answer) {
        let mut state = self.state.lock();
        answer.send(&mut state.replies);
        state.answers_unsent += 1;
        if state.answers_unsent >= ANSWERS_PER_WRITE {
            state.flush_answers();
        }
        let schedule = state.draining == Draining::No && !mem::replace(&mut state.flush_scheduled, true);
        drop(state);
        if schedule {
            let scheduled = self.call_soon(py, |callbacks| callbacks.flush(py));
            self.report(py, scheduled);
        }
    }

    /// Ends everything: its loop is closed, or the process ends.
    pub(crate) fn close(&self, py: Python<'_>) {
        drop(self.mailbox.close());
        self.jobs.close(py);
        let mut state = self.state.lock();
        state.lanes.leave();
        let gone = (mem::take(&mut state.ports), mem::take(&mut state.requests));
        let sinks = mem::take(&mut *self.sinks.lock());
        let left = state.replies.take_left();
        drop(state);
        left.pass_on();
        // What goes with them may run Python code that comes back here.
        drop((gone, sinks));
    }

    fn schedule_drain(&self, py: Python<'_>, schedule: bool) -> PyResult<()> {
        if schedule { self.call_soon(py, |callbacks| callbacks.drain(py)) } else { Ok(()) }
    }

    fn call_soon<'py>(
        &self,
        py: Python<'py>,
        pick: impl FnOnce(&LoopCallbacks) -> Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let callback = self.callbacks.lock().as_ref().map(pick);
        if let Some(callback) = callback {
            self.event_loop.bind(py).call_method1(intern!(py, "call_soon"), (callback,))?;
        }
        Ok(())
    }

    /// An exception that belongs to nobody is written, and never ends a drain. One that ends the program goes to the
    /// loop when the drain is over: a task that raised it was resumed in here instead of by the loop.
    fn report(&self, py: Python<'_>, result: PyResult<()>) {
        let Err(error) = result else { return };
        if error.is_instance_of::<PySystemExit>(py) || error.is_instance_of::<PyKeyboardInterrupt>(py) {
            self.state.lock().exit.get_or_insert(error);
        } else {
            error.write_unraisable(py, Some(self.event_loop.bind(py)));
        }
    }
}
