use std::any::Any;
use std::fmt;
use std::mem;
use std::sync::Arc;

use mpreg_routing::Slots;
use mpreg_types::Builtin;
use parking_lot::Mutex;

use crate::dispatch::{Dispatcher, Invocation, InvocationKey};
use crate::functions::{FunctionSpec, LocalEntry};
use crate::inbound::Inbound;
use crate::mailbox::Mailbox;

/// Graphs that the callers of this process run at one time; further ones wait for their turn.
const GRAPHS_MAX: u32 = 10_000;

/// Where graphs of this process's own callers wait until the I/O thread comes for them.
pub(crate) struct GraphDoor {
    waiting: Mutex<Vec<Knock>>,
    slots: Arc<Slots>,
    nothing: Arc<()>,
    inbound: Arc<Inbound>,
}

/// What waits at the door.
#[derive(Debug)]
pub(crate) enum Knock {
    /// Run this graph.
    Run(Box<Invocation>),
    /// Whoever reads the events of that one has room for more.
    Resume(InvocationKey),
    /// Nobody waits for that one any more.
    Cancel(InvocationKey),
}

impl GraphDoor {
    /// Wakes the switch's task when somebody comes.
    pub(crate) fn new(inbound: Arc<Inbound>) -> Arc<Self> {
        let slots = Arc::new(Slots::new(Some(GRAPHS_MAX), None));
        Arc::new(Self { waiting: Mutex::default(), slots, nothing: Arc::new(()), inbound })
    }

    /// What has come since the last time.
    pub(crate) fn take(&self) -> Vec<Knock> {
        mem::take(&mut self.waiting.lock())
    }

    /// The builtin functions that run graphs, as the ports of this process find it.
    pub(crate) fn entry(self: &Arc<Self>) -> Arc<LocalEntry> {
        let spec = FunctionSpec { idempotent: false, ..FunctionSpec::builtin(Builtin::Graph) };
        Arc::new(LocalEntry { handler: self.handler(), dispatcher: self.clone(), slots: self.slots(), spec })
    }

    /// What stands for a handler where there is no function of a user.
    pub(crate) fn handler(&self) -> Arc<dyn Any + Send + Sync> {
        self.nothing.clone()
    }

    /// How many graphs of this process's own callers may run.
    pub(crate) fn slots(&self) -> Arc<Slots> {
        self.slots.clone()
    }
}

impl Dispatcher for GraphDoor {
    fn deliver(&self, invocations: &mut Vec<Invocation>) {
        self.waiting.lock().extend(invocations.drain(..).map(|call| Knock::Run(Box::new(call))));
        self.inbound.attention.notify_one();
    }

    fn cancel(&self, key: InvocationKey) {
        self.waiting.lock().push(Knock::Cancel(key));
        self.inbound.attention.notify_one();
    }

    fn resume(&self, key: InvocationKey) {
        self.waiting.lock().push(Knock::Resume(key));
        self.inbound.attention.notify_one();
    }

    fn mailbox(&self) -> Option<Arc<Mailbox>> {
        None
    }
}

impl fmt::Debug for GraphDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GraphDoor({} waiting)", self.waiting.lock().len())
    }
}
