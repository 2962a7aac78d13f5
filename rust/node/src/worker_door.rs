use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::dispatch::{Dispatcher, Invocation, InvocationKey};
use crate::inbound::Inbound;
use crate::mailbox::Mailbox;

/// Where calls of a parent itself (steps of graphs that it coordinates) wait for the switch, which hands them to its
/// workers.
pub(crate) struct WorkerDoor {
    waiting: Mutex<Vec<Errand>>,
    inbound: Arc<Inbound>,
}

/// What waits there.
#[derive(Debug)]
pub(crate) enum Errand {
    /// Have a worker run the function of that number.
    Run(u64, Box<Invocation>),
    /// Nobody waits for that one any more.
    Cancel(InvocationKey),
}

impl WorkerDoor {
    pub(crate) fn new(inbound: Arc<Inbound>) -> Arc<Self> {
        Arc::new(Self { waiting: Mutex::default(), inbound })
    }

    /// What has come since the last time.
    pub(crate) fn take(&self) -> Vec<Errand> {
        std::mem::take(&mut self.waiting.lock())
    }

    fn leave(&self, errands: impl IntoIterator<Item = Errand>) {
        self.waiting.lock().extend(errands);
        self.inbound.attention.notify_one();
    }
}

impl fmt::Debug for WorkerDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorkerDoor({} waiting)", self.waiting.lock().len())
    }
}

/// One function that workers run, as calls of the parent itself find it.
#[derive(Debug)]
pub(crate) struct ToWorkers {
    pub(crate) function: u64,
    pub(crate) door: Arc<WorkerDoor>,
}

impl Dispatcher for ToWorkers {
    fn deliver(&self, invocations: &mut Vec<Invocation>) {
        let run = |call| Errand::Run(self.function, Box::new(call));
        self.door.leave(invocations.drain(..).map(run));
    }

    fn cancel(&self, key: InvocationKey) {
        self.door.leave([Errand::Cancel(key)]);
    }

    /// A step is never a stream.
    fn resume(&self, _: InvocationKey) {}

    fn mailbox(&self) -> Option<Arc<Mailbox>> {
        None
    }
}
