//! Calls that block their thread: `SyncClient` and `ctx.sync`.
//!
//! Each thread has ports of its own, so nothing is shared and a call takes no lock that another thread wants. The
//! thread waits without the interpreter and looks for signals every 100 ms, so Ctrl-C cancels the call.

use std::cell::RefCell;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mpreg_node::{Caller, Done, Item, Mailbox, Outgoing, Wake};
use mpreg_types::{Payload, Time};
use parking_lot::{Condvar, Mutex};
use pyo3::prelude::*;

use crate::completion::{Kind, PendingCall, Settled, Waiter};
use crate::exit;
use crate::hooks::node_error;
use crate::ports::Ports;
use crate::remote::Handle;
use crate::report::Report;

/// How often a waiting thread looks for signals.
const SIGNALS_EVERY: Duration = Duration::from_millis(100);

thread_local! {
    static THREAD: RefCell<Option<ThreadPorts>> = const { RefCell::new(None) };
}

/// A flag to sleep on.
#[derive(Debug, Default)]
struct Bell {
    rung: Mutex<bool>,
    sound: Condvar,
}

impl Bell {
    /// Until it rings, or for `SIGNALS_EVERY`.
    fn wait(&self) {
        let mut rung = self.rung.lock();
        if !*rung {
            let _ = self.sound.wait_for(&mut rung, SIGNALS_EVERY);
        }
        *rung = false;
    }
}

#[derive(Debug)]
struct Ringer(Arc<Bell>);

impl Wake for Ringer {
    fn wake(&self) {
        *self.0.rung.lock() = true;
        self.0.sound.notify_one();
    }
}

struct ThreadPorts {
    generation: u32,
    bell: Arc<Bell>,
    mailbox: Arc<Mailbox>,
    ports: Ports,
    requests: u64,
    done: Option<Done>,
}

impl ThreadPorts {
    fn new() -> Self {
        let bell = Arc::new(Bell::default());
        let mailbox = Mailbox::new(Box::new(Ringer(bell.clone())));
        Self {
            generation: mpreg_node::generation(),
            bell,
            mailbox,
            ports: Ports::default(),
            requests: 0,
            done: None,
        }
    }
}

/// Runs `work` on the thread's ports. They are out of their cell meanwhile: a signal handler may call, too, and gets
/// ports of its own.
fn with_ports<T>(work: impl FnOnce(&mut ThreadPorts) -> T) -> T {
    let mut ports = match THREAD.take() {
        Some(ports) if ports.generation == mpreg_node::generation() => ports,
        made_before_fork => {
            // Their locks may be held by threads that do not exist here: leak rather than drop.
            mem::forget(made_before_fork);
            ThreadPorts::new()
        }
    };
    let result = work(&mut ports);
    THREAD.set(Some(ports));
    result
}

/// Calls and waits for the result.
pub(crate) fn call<'py>(
    py: Python<'py>,
    caller: &Caller,
    handle: &Arc<Handle>,
    timeout: Duration,
    value: Payload,
) -> PyResult<Bound<'py, PyAny>> {
    let now = mpreg_node::now();
    let outgoing = handle.outgoing(py, timeout, now, false)?;
    send(py, caller, outgoing, value, Kind::Call(handle.clone()), now)
}

/// The same for whatever is sent as a call.
pub(crate) fn send<'py>(
    py: Python<'py>,
    caller: &Caller,
    outgoing: Outgoing,
    value: Payload,
    kind: Kind,
    now: Time,
) -> PyResult<Bound<'py, PyAny>> {
    with_ports(|thread| {
        let pending = PendingCall { waiter: Waiter::Thread, kind };
        let begun = thread.ports.begin(caller, &thread.mailbox, outgoing, value, pending, now);
        let (port, key) = begun.map_err(|error| node_error(py, &error))?;
        thread.ports.flush();
        loop {
            if let Some(Settled { pending, result, node }) = thread.ports.take_settled().pop() {
                return pending.kind.outcome(py, result, node.as_deref());
            }
            if let Err(interrupt) = thread.wait(py) {
                thread.ports.cancel(port, key);
                thread.ports.flush();
                return Err(interrupt);
            }
        }
    })
}

/// Starts an operation of the control thread and waits for its encoded result.
pub(crate) fn request(py: Python<'_>, start: impl FnOnce(Report)) -> PyResult<Bytes> {
    with_ports(|thread| {
        thread.requests += 1;
        thread.done = None;
        start(Report::new(thread.mailbox.clone(), thread.requests));
        loop {
            if let Some(done) = thread.done.take_if(|done| done.request == thread.requests) {
                return done.result.map_err(|error| node_error(py, &error));
            }
            thread.wait(py)?;
        }
    })
}

impl ThreadPorts {
    /// Sleeps without the interpreter until something has arrived, and takes it; an error is the signal handler's.
    fn wait(&mut self, py: Python<'_>) -> PyResult<()> {
        let bell = &self.bell;
        py.detach(|| {
            bell.wait();
            exit::hold_back();
        });
        py.check_signals()?;
        let mut items = Vec::new();
        self.mailbox.take(&mut items);
        let now = mpreg_node::now();
        for item in items {
            match item {
                Item::Done(done) => self.done = Some(done),
                other => self.ports.handle(other, now),
            }
        }
        self.ports.arm(now);
        self.ports.flush();
        Ok(())
    }
}
