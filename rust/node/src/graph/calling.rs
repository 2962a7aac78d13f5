//! What the desk acts through: a port of its own, the results held here, and the dispatchers of steps.

use std::sync::Arc;

use mpreg_graph::{Cargo, DeskCall, DeskPort, FetchRefused, Outcome, StepDone, StepFailed, StepValue};
use mpreg_rpc::{CallKey, InboundKey, Pass};
use mpreg_types::{
    Builtin, ConnectionId, ErrorBody, ErrorCode, Fetch, ForeignText, GraphEvent, GraphId, Incarnation,
    NodeId, Payload, PreparedTarget, Target, Time,
};
use mpreg_wire::{encode_answer, encode_event, encode_failure, message};

use crate::caller::Caller;
use crate::dispatch::{Replies, Ticket};
use crate::mailbox::Mailbox;
use crate::node_shared::NodeShared;
use crate::port::{Completion, Outgoing, Port};

/// A step that lacks inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lacks {
    /// The desk itself has called it.
    Own(CallKey),
    /// It came over a connection.
    Inbound(InboundKey),
}

/// A step, and its arguments with all inputs, or why there are none.
pub(crate) type Gathered<K> = (K, Result<Payload, Box<ErrorBody>>);

/// See the module.
pub(super) struct Calling {
    pub(super) shared: Arc<NodeShared>,
    pub(super) mailbox: Arc<Mailbox>,
    /// Opened for the first graph.
    pub(super) port: Option<Port>,
    pub(super) replies: Replies,
    /// What came of inputs that were to be fetched.
    pub(super) gathered: Vec<Gathered<Lacks>>,
    /// The connection whose frame is worked on.
    pub(super) cause: Option<ConnectionId>,
}

impl DeskPort for Calling {
    type Key = CallKey;
    type Ticket = Ticket;
    type Job = Lacks;

    fn incarnation(&self) -> Incarnation {
        self.shared.incarnation()
    }

    fn call(&mut self, call: DeskCall, now: Time) -> Result<CallKey, Box<ErrorBody>> {
        let DeskCall { target, deadline, retries, idempotent, max_hops, extras, cargo } = call;
        if let Target::Direct { node, incarnation, function, .. } = &target {
            let builtin = Builtin::find(function);
            let known = builtin.and_then(|builtin| self.shared.builtin_of(*node, *incarnation, builtin));
            if known.is_none() {
                let text = "the node has left or was restarted";
                return Err(Box::new(ErrorBody::new(ErrorCode::WrongIncarnation, text)));
            }
        }
        let value = match cargo {
            Cargo::Step(arguments) => arguments,
            Cargo::Fetch(wanted) => message::encode(&wanted).into(),
            Cargo::Free(graph) => message::encode(&graph).into(),
        };
        let target = Arc::new(PreparedTarget::new(target));
        let outgoing = Outgoing { target, deadline, retries, idempotent, stream: false, max_hops, extras };
        if self.port.is_none() {
            let opened = Port::open(&Caller::Node(self.shared.clone()), &self.mailbox);
            self.port = Some(opened.map_err(|error| {
                let text = format!("call graphs do not run here: {error}");
                Box::new(ErrorBody::new(ErrorCode::Internal, text))
            })?);
        }
        match &mut self.port {
            Some(port) => {
                port.because_of(self.cause);
                Ok(port.begin(outgoing, value, now))
            }
            None => unreachable!("it was opened just now"),
        }
    }

    fn cancel(&mut self, key: CallKey) -> Option<(NodeId, Incarnation)> {
        let port = self.port.as_mut()?;
        let callee = port.callee(key);
        port.cancel(key);
        callee
    }

    fn fetch_own(&mut self, wanted: &Fetch) -> Result<Payload, FetchRefused> {
        self.shared.results.fetch(wanted, self.shared.node)
    }

    fn free_own(&mut self, graph: GraphId) {
        self.shared.results.free(graph);
    }

    fn run(&mut self, job: Lacks, arguments: Payload) {
        self.gathered.push((job, Ok(arguments)));
    }

    fn refuse(&mut self, job: Lacks, why: ErrorBody) {
        self.gathered.push((job, Err(Box::new(why))));
    }

    fn tell(&mut self, ticket: &Ticket, event: &GraphEvent, value: Option<&Payload>) -> bool {
        let Some(items) = ticket.items() else { return true };
        let item = encode_event(event, value.cloned());
        match items.pass(&item) {
            // One that the connection does not take goes with the end of the graph.
            Pass::Passed => items.send(item, &mut self.replies).is_ok(),
            Pass::Wait => false,
            Pass::Closed => true,
        }
    }

    fn answer(&mut self, ticket: Ticket, outcome: Outcome) {
        match outcome {
            Ok((answer, values)) => ticket.succeed(encode_answer(&answer, values), &mut self.replies),
            Err(failure) => ticket.fail(encode_failure(&failure), failure.executed, &mut self.replies),
        }
    }
}

/// A call of the desk's as the desk hears of it; `node` is who answered.
pub(super) fn told(completion: Completion, node: Option<String>) -> Result<StepDone, Box<StepFailed>> {
    let node = node.map(ForeignText::new);
    match completion.result {
        Ok(value) => {
            let held = completion.extras.and_then(|extras| extras.held);
            let value = held.map_or(StepValue::Inline(value), |held| StepValue::Held(*held));
            Ok(StepDone { value, node: node.unwrap_or_default() })
        }
        Err(failure) => Err(Box::new(StepFailed {
            body: failure.body,
            executed: failure.executed,
            node,
            attempts: failure.attempts,
        })),
    }
}
