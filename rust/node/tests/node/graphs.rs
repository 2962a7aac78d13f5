//! Steps of a graph that run where its desk is.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, ThreadId};

use bytes::Bytes;
use mpreg_node::{
    Dispatcher, Invocation, InvocationKey, Mailbox, Network, Outgoing, Replies, Settings, encode_graph, now,
};
use mpreg_types::{
    Builtin, CallGraph, ForeignText, FunctionName, Input, Payload, Pick, PreparedTarget, Selector, Step,
    Target, Wanted,
};
use parking_lot::Mutex;

use crate::line::{Line, SOON};
use crate::place::{ANSWER, Running, Scratch};

/// Graphs that are run until one of them has had the switch for its thread alone.
const GRAPHS: usize = 1000;

/// Hands its calls to a thread of its own, and notes which threads brought them.
#[derive(Debug)]
struct Elsewhere {
    work: Sender<Invocation>,
    brought_by: Mutex<Vec<ThreadId>>,
}

impl Elsewhere {
    /// With the thread that runs the calls.
    fn new() -> (Arc<Self>, ThreadId) {
        let (work, calls) = channel::<Invocation>();
        let runner = thread::spawn(move || {
            let mut replies = Replies::helping();
            for mut call in calls {
                assert!(call.ticket.begin(now()), "nobody takes a call back here");
                call.ticket.succeed(Payload::from(ANSWER.to_vec()), &mut replies);
                replies.flush();
            }
        });
        (Arc::new(Self { work, brought_by: Mutex::default() }), runner.thread().id())
    }
}

impl Dispatcher for Elsewhere {
    fn deliver(&self, invocations: &mut Vec<Invocation>) {
        for invocation in invocations.drain(..) {
            self.brought_by.lock().push(thread::current().id());
            self.work.send(invocation).unwrap();
        }
    }

    fn resume(&self, _: InvocationKey) {}

    fn cancel(&self, _: InvocationKey) {}

    fn mailbox(&self) -> Option<Arc<Mailbox>> {
        None
    }
}

/// Steps that each take the result of the one before.
fn chain(steps: u32) -> Payload {
    let step = |index: u32| Step {
        name: ForeignText::new("echo"),
        target: Selector::new(Wanted::Name(FunctionName::parse("echo").unwrap())),
        timeout: None,
        retries: 0,
        max_hops: None,
        metadata: None,
        value_bytes: 1,
        inputs: (index > 0)
            .then(|| Input { at: 1, pick: Pick { step: index - 1, path: Vec::new() } })
            .into_iter()
            .collect(),
    };
    let wanted = vec![Pick { step: steps - 1, path: Vec::new() }];
    let graph = CallGraph { steps: (0..steps).map(step).collect(), wanted, report: false };
    encode_graph(&graph, (0..steps).map(|_| Bytes::from_static(&[0x91]).into()))
}

#[test]
fn the_thread_that_has_run_a_step_brings_the_next_one_itself() {
    let (scratch, network) = (Scratch::new(), Network::new());
    let node = Running::start(scratch.config("desk", &[], Settings::default()), &network).unwrap();
    let (dispatcher, runner) = Elsewhere::new();
    node.offer_by("echo", dispatcher.clone());
    let mut line = Line::to(node.node());
    let brings_its_own = |_: usize| {
        let call = Outgoing {
            stream: false,
            target: Arc::new(PreparedTarget::new(Target::Here { function: Builtin::Graph.id() })),
            deadline: now() + SOON,
            retries: 0,
            idempotent: false,
            max_hops: None,
            extras: None,
        };
        line.send(call, chain(3)).unwrap();
        let brought_by = std::mem::take(&mut *dispatcher.brought_by.lock());
        assert_eq!(brought_by.len(), 3, "each step runs once");
        brought_by[1..] == [runner; 2]
    };
    assert!((0..GRAPHS).any(brings_its_own), "another thread was woken for the next step, each time");
}
