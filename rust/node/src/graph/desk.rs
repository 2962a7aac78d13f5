//! The desk of a node, on its I/O thread: what arrives for `mpreg_graph::Desk` and for the results held here.

use std::sync::Arc;

use mpreg_graph::{GraphLimits, NewGraph, Plan, grant};
use mpreg_routing::Snapshot;
use mpreg_rpc::{CallKey, InboundKey};
use mpreg_types::{
    Builtin, ErrorBody, ErrorCode, Executed, ForeignText, GraphId, NodeId, Payload, StepCall, Time,
};
use mpreg_wire::decode_graph;

use super::calling::{Calling, Gathered, Lacks, told};
use super::fetching;
use crate::dispatch::{Dispatcher, Invocation, InvocationKey, Replies, Ticket};
use crate::echo_door::EchoDoor;
use crate::graph::Knock;
use crate::inbound::Inbound;
use crate::mailbox::{Item, Mailbox, PortId, Wake};
use crate::node_shared::NodeShared;
use crate::port::Want;

/// See the module.
pub(crate) struct Desk {
    shared: Arc<NodeShared>,
    machine: mpreg_graph::Desk<CallKey, Ticket, Lacks>,
    /// What came of the inputs of steps that came over connections.
    inbound: Vec<Gathered<InboundKey>>,
    calling: Calling,
}

/// Wakes the switch's task.
struct Attention(Arc<Inbound>);

impl Wake for Attention {
    fn wake(&self) {
        self.0.attention.notify_one();
    }

    fn is_anybodys(&self) -> bool {
        true
    }

    fn work_here(&self) -> bool {
        self.0.turn_here()
    }
}

impl Desk {
    pub(crate) fn new(shared: &Arc<NodeShared>) -> Self {
        let mailbox = Mailbox::new(Box::new(Attention(shared.inbound.clone())));
        Self {
            shared: shared.clone(),
            machine: mpreg_graph::Desk::new(shared.node),
            inbound: Vec::new(),
            calling: Calling {
                shared: shared.clone(),
                mailbox,
                port: None,
                replies: Replies::default(),
                gathered: Vec::new(),
                cause: None,
            },
        }
    }

    /// True if replies with that number are for the desk.
    pub(crate) fn owns(&self, port: PortId) -> bool {
        self.calling.port.as_ref().is_some_and(|own| own.id() == port)
    }

    /// A reply or report for one of its calls.
    pub(crate) fn arrived(&mut self, item: Item, now: Time) {
        self.calling.cause = item.came_over().map(|(connection, _)| connection);
        if let Some(port) = &mut self.calling.port {
            port.handle(item, now);
        }
        self.settle(now);
    }

    /// A call to a builtin function, from `peer` (or from this process).
    pub(crate) fn serve(&mut self, builtin: Builtin, call: Invocation, peer: NodeId, now: Time) {
        self.calling.cause = call.ticket.cause();
        match builtin {
            Builtin::Graph | Builtin::Events => self.run_graph(call, now),
            Builtin::Result => fetching::serve(&self.shared, call, peer, &mut self.calling.replies),
            Builtin::Free => fetching::free(&self.shared, call, peer, &mut self.calling.replies),
            Builtin::Stats => self.shared.stats_door.deliver(&mut vec![call]),
            Builtin::Echo => EchoDoor::answer(call, &mut self.calling.replies),
        }
        self.settle(now);
    }

    /// A step of a graph came whose inputs are with other nodes: they are put into its `arguments`. Told by
    /// [`Self::take_gathered`].
    pub(crate) fn gather(
        &mut self,
        key: InboundKey,
        step: &StepCall,
        arguments: Payload,
        deadline: Time,
        now: Time,
    ) {
        let job = Lacks::Inbound(key);
        self.machine.gather(job, arguments, step, deadline, now, &mut self.calling);
        self.settle(now);
    }

    /// Nobody waits for those inputs any more.
    pub(crate) fn ungather(&mut self, key: InboundKey, now: Time) {
        self.machine.ungather(|job| *job == Lacks::Inbound(key), &mut self.calling);
        self.settle(now);
    }

    /// What came of the inputs of steps that came.
    pub(crate) fn take_gathered(&mut self) -> Vec<Gathered<InboundKey>> {
        std::mem::take(&mut self.inbound)
    }

    /// Takes in what other threads have left here, and passed deadlines.
    pub(crate) fn turn(&mut self, now: Time) {
        self.calling.cause = None;
        for knock in self.shared.graph_door.take() {
            match knock {
                Knock::Run(call) => self.run_graph(*call, now),
                Knock::Resume(key) => self.machine.resume(|ticket| ticket.key() == key, &mut self.calling),
                Knock::Cancel(key) => self.cancel(key, now),
            }
        }
        if self.calling.port.is_some() {
            let mut items = Vec::new();
            self.calling.mailbox.take(&mut items);
            for item in items {
                match (item, &mut self.calling.port) {
                    (Item::News(news), Some(port)) => port.hear(&news),
                    (item, Some(port)) => port.handle(item, now),
                    _ => {}
                }
            }
        }
        self.machine.tick(now, &mut self.calling);
        if self.shared.results.next_deadline().is_some_and(|due| due <= now) {
            self.shared.results.sweep(now, |_| false);
        }
        self.settle(now);
    }

    /// Frees what is held for coordinators that are no more, and looks again for holders that were not known.
    pub(crate) fn snapshot_changed(&mut self, snapshot: &Snapshot, now: Time) {
        self.machine.look_again(now, &mut self.calling);
        self.settle(now);
        if self.shared.results.next_deadline().is_none() {
            return;
        }
        let (me, incarnation) = (self.shared.node, self.shared.incarnation());
        self.shared.results.sweep(now, |graph: &GraphId| {
            let GraphId { coordinator, incarnation: start, .. } = *graph;
            if coordinator == me {
                return start != incarnation;
            }
            snapshot.peer(coordinator).is_none_or(|peer| peer.incarnation() != start)
        });
    }

    /// When [`Self::turn`] is due.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.machine.next_deadline().into_iter().chain(self.shared.results.next_deadline()).min()
    }

    fn run_graph(&mut self, call: Invocation, now: Time) {
        let Invocation { head, deadline, value, mut ticket, .. } = call;
        let plan = match plan(&value) {
            Ok(plan) => plan,
            Err(body) => return ticket.fail(*body, Executed::No, &mut self.calling.replies),
        };
        if !ticket.begin(now) {
            let text = "the caller gave up before the graph could start";
            let body = ErrorBody::new(ErrorCode::CancelledByPeer, text);
            return ticket.fail(body, Executed::No, &mut self.calling.replies);
        }
        let extras = head.extras.map(|extras| *extras).unwrap_or_default();
        let graph = NewGraph { plan, deadline, extras, watched: head.stream, ticket };
        self.machine.run(graph, now, &mut self.calling);
    }

    fn cancel(&mut self, key: InvocationKey, now: Time) {
        // A ticket that is dropped says that its graph has ended.
        drop(self.machine.cancel(|ticket| ticket.key() == key, now, &mut self.calling));
    }

    /// Works through calls that have ended and what follows from them, then writes.
    fn settle(&mut self, now: Time) {
        loop {
            for (job, outcome) in std::mem::take(&mut self.calling.gathered) {
                match (job, &mut self.calling.port) {
                    (Lacks::Inbound(key), _) => self.inbound.push((key, outcome)),
                    (Lacks::Own(key), Some(port)) => port.gathered(key, outcome, now),
                    (Lacks::Own(_), None) => {}
                }
            }
            let Some(port) = &mut self.calling.port else { break };
            let (ended, wants, sent) = (port.take_completions(), port.take_wants(), port.take_sent());
            if ended.is_empty() && wants.is_empty() && sent.is_empty() {
                port.arm(now);
                port.flush();
                break;
            }
            let sent: Vec<_> =
                sent.into_iter().map(|(key, node)| (key, ForeignText::new(port.label(node)))).collect();
            for (key, node) in sent {
                self.machine.sent(key, node, &mut self.calling);
            }
            for want in wants {
                self.see_to(want, now);
            }
            for completion in ended {
                let node = self.calling.port.as_ref().and_then(|port| port.answerer(&completion));
                self.machine.ended(completion.key, told(completion, node), now, &mut self.calling);
            }
        }
        self.calling.replies.flush();
    }

    fn see_to(&mut self, want: Want, now: Time) {
        match want {
            Want::Gather(key, mut step, arguments, deadline) => {
                // It was not sent to anybody, so nobody has sealed it.
                for input in &mut step.inputs {
                    input.grant = grant(&input.grant, step.graph, self.shared.node);
                }
                self.machine.gather(Lacks::Own(key), arguments, &step, deadline, now, &mut self.calling);
            }
            Want::Nothing(key) => {
                self.machine.ungather(|job| *job == Lacks::Own(key), &mut self.calling);
            }
        }
    }
}

/// Reads a graph and checks it.
fn plan(value: &Payload) -> Result<Plan, Box<ErrorBody>> {
    let (graph, arguments) = decode_graph(value)?;
    let plan = Plan::new(graph, &arguments, GraphLimits::default());
    plan.map_err(|error| Box::new(ErrorBody::new(ErrorCode::Graph, error.to_string())))
}
