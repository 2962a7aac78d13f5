//! The desk of a node, on its I/O thread: it coordinates the graphs that came in here, fetches what steps that run here
//! lack, and hands out what is held for steps elsewhere. It decides nothing: `mpreg_graph` does.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use mpreg_graph::{Gathering, Order};
use mpreg_routing::Snapshot;
use mpreg_rpc::CallKey;
use mpreg_types::{
    Builtin, ErrorBody, ErrorCode, Executed, GraphId, HeldInput, NodeId, Payload, Selector, Time,
};

use super::fetching::{self, Wanted};
use super::graph_run::{GraphRun, Purpose};
use super::value;
use crate::caller::Caller;
use crate::dispatch::{Dispatcher, Invocation, InvocationKey, Replies};
use crate::graph::{Knock, sealed};
use crate::inbound::Inbound;
use crate::mailbox::{Item, Mailbox, PortId, Wake};
use crate::node_shared::NodeShared;
use crate::port::{Completion, Port};

/// See the module.
pub(crate) struct Desk {
    shared: Arc<NodeShared>,
    mailbox: Arc<Mailbox>,
    /// Opened for the first graph.
    port: Option<Port>,
    runs: BTreeMap<u64, GraphRun>,
    next_run: u64,
    gatherings: BTreeMap<u64, Incomplete>,
    next_gathering: u64,
    unknown: Vec<Missing>,
    purposes: HashMap<CallKey, Purpose>,
    replies: Replies,
}

/// A call that lacks inputs.
struct Incomplete {
    gathering: Gathering,
    dispatcher: Arc<dyn Dispatcher>,
    invocation: Invocation,
    fetches: Vec<CallKey>,
}

/// An input on its way into a gathering.
struct Missing {
    gathering: u64,
    input: usize,
    graph: GraphId,
    wanted: HeldInput,
    deadline: Time,
    /// How long its holder may be unknown here: the coordinator may have heard of it a moment earlier.
    until: Time,
}

/// How long a holder may be unknown, as long as a call waits for a candidate.
const HOLDER_WAIT: Duration = Selector::WAIT_DEFAULT;

/// Wakes the switch's task.
struct Attention(Arc<Inbound>);

impl Wake for Attention {
    fn wake(&self) {
        self.0.attention.notify_one();
    }
}

impl Desk {
    pub(crate) fn new(shared: &Arc<NodeShared>) -> Self {
        Self {
            shared: shared.clone(),
            mailbox: Mailbox::new(Box::new(Attention(shared.inbound.clone()))),
            port: None,
            runs: BTreeMap::new(),
            next_run: 0,
            gatherings: BTreeMap::new(),
            next_gathering: 0,
            unknown: Vec::new(),
            purposes: HashMap::new(),
            replies: Replies::default(),
        }
    }

    /// True if replies with that number are for the desk.
    pub(crate) fn owns(&self, port: PortId) -> bool {
        self.port.as_ref().is_some_and(|own| own.id() == port)
    }

    /// A reply or report for one of its calls.
    pub(crate) fn arrived(&mut self, item: Item, now: Time) {
        if let Some(port) = &mut self.port {
            port.handle(item, now);
        }
        self.settle(now);
    }

    /// A call to a builtin function, from `peer` (or from this process).
    pub(crate) fn serve(&mut self, builtin: Builtin, call: Invocation, peer: NodeId, now: Time) {
        match builtin {
            Builtin::Graph => self.run_graph(call, now),
            Builtin::Result => fetching::serve(&self.shared, call, peer, &mut self.replies),
            Builtin::Free => fetching::free(&self.shared, call, peer, &mut self.replies),
        }
        self.settle(now);
    }

    /// A step of a graph whose inputs are with other nodes: they are fetched, then `dispatcher` runs it.
    pub(crate) fn gather(&mut self, dispatcher: Arc<dyn Dispatcher>, call: Invocation, now: Time) {
        let Some(step) = call.head.extras.as_ref().and_then(|extras| extras.step.clone()) else { return };
        self.next_gathering += 1;
        let id = self.next_gathering;
        let gathering = Gathering::new(call.value.clone(), &step.inputs);
        let deadline = call.deadline;
        let fetches = Vec::with_capacity(step.inputs.len());
        self.gatherings.insert(id, Incomplete { gathering, dispatcher, invocation: call, fetches });
        let until = deadline.min(now + HOLDER_WAIT);
        for (input, wanted) in step.inputs.into_iter().enumerate() {
            self.fetch(Missing { gathering: id, input, graph: step.graph, wanted, deadline, until }, now);
        }
    }

    /// Fetches an input, or lets it wait until its holder is known here.
    fn fetch(&mut self, missing: Missing, now: Time) {
        let Missing { gathering, input, graph, ref wanted, deadline, until } = missing;
        if wanted.grant.holder == self.shared.node {
            let own = fetching::own(&self.shared, graph, wanted);
            self.input_came(gathering, input, own);
        } else if let Some((outgoing, value)) = fetching::request(&self.shared, graph, wanted, deadline) {
            let purpose = Purpose::Input { gathering, input, what: Wanted::of(wanted) };
            if let Some(key) = self.call(outgoing, value, purpose, now)
                && let Some(incomplete) = self.gatherings.get_mut(&gathering)
            {
                incomplete.fetches.push(key);
            }
        } else if now < until {
            self.unknown.push(missing);
        } else {
            self.input_came(gathering, input, Err(fetching::gone(wanted)));
        }
    }

    /// Looks again for holders that were not known here.
    fn look_again(&mut self, now: Time) {
        for missing in std::mem::take(&mut self.unknown) {
            self.fetch(missing, now);
        }
    }

    /// Takes in what other threads have left here, and passed deadlines.
    pub(crate) fn turn(&mut self, now: Time) {
        for knock in self.shared.graph_door.take() {
            match knock {
                Knock::Run(call) => self.run_graph(*call, now),
                Knock::Cancel(key) => self.cancel(key, now),
            }
        }
        if self.port.is_some() {
            let mut items = Vec::new();
            self.mailbox.take(&mut items);
            for item in items {
                match (item, &mut self.port) {
                    (Item::News(news), Some(port)) => port.hear(news),
                    (item, Some(port)) => port.handle(item, now),
                    _ => {}
                }
            }
        }
        let late = self.runs.iter().filter(|(_, run)| run.deadline <= now).map(|(id, _)| *id);
        for id in late.collect::<Vec<_>>() {
            self.drive(id, now, |run, out| run.run.deadline_passed(out));
        }
        if self.unknown.iter().any(|missing| missing.until <= now) {
            self.look_again(now);
        }
        if self.shared.results.next_deadline().is_some_and(|due| due <= now) {
            self.shared.results.sweep(now, |_| false);
        }
        self.settle(now);
    }

    /// Frees what is held for coordinators that are no more, and looks again for holders that were not known.
    pub(crate) fn snapshot_changed(&mut self, snapshot: &Snapshot, now: Time) {
        if !self.unknown.is_empty() {
            self.look_again(now);
            self.settle(now);
        }
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
        let runs = self.runs.values().map(|run| run.deadline);
        let unknown = self.unknown.iter().map(|missing| missing.until);
        runs.chain(unknown).chain(self.shared.results.next_deadline()).min()
    }

    fn run_graph(&mut self, call: Invocation, now: Time) {
        self.next_run += 1;
        let id = GraphId {
            coordinator: self.shared.node,
            incarnation: self.shared.incarnation(),
            number: self.next_run,
        };
        match GraphRun::new(id, call, now) {
            Ok(run) => {
                self.runs.insert(id.number, run);
                self.drive(id.number, now, |run, out| run.run.begin(now, out));
            }
            Err(refused) => {
                let (ticket, body) = *refused;
                ticket.fail(body, Executed::No, &mut self.replies);
            }
        }
    }

    fn cancel(&mut self, key: InvocationKey, now: Time) {
        let id = self.runs.iter().find(|(_, run)| run.key() == key).map(|(id, _)| *id);
        if let Some(id) = id {
            self.drive(id, now, |run, out| run.run.cancel(out));
            self.runs.remove(&id);
        }
    }

    /// Lets a run decide, and does what it orders.
    fn drive(&mut self, id: u64, now: Time, decide: impl FnOnce(&mut GraphRun, &mut Vec<Order>)) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        let mut orders = Vec::new();
        decide(run, &mut orders);
        for order in orders {
            self.follow(id, order, now);
        }
        if self.runs.get(&id).is_some_and(GraphRun::is_answered) {
            self.runs.remove(&id);
        }
    }

    fn follow(&mut self, id: u64, order: Order, now: Time) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        match order {
            Order::Call { step, arguments, held, keep } => {
                let Some(outgoing) = run.step_call(step, held, keep, now) else { return };
                let purpose = Purpose::Step { run: id, step };
                if let Some(key) = self.call(outgoing, arguments, purpose, now)
                    && let Some(run) = self.runs.get_mut(&id)
                {
                    run.called.insert(step, key);
                }
            }
            Order::Fetch { wanted, held, path } => {
                let (graph, deadline) = (run.id, run.deadline);
                let input = fetching::for_itself(&self.shared, graph, &held, path);
                let purpose = Purpose::Wanted { run: id, wanted, what: Wanted::of(&input) };
                if held.holder == self.shared.node {
                    let own = fetching::own(&self.shared, graph, &input);
                    self.wanted_came(id, wanted, own, now);
                } else if let Some((outgoing, value)) =
                    fetching::request(&self.shared, graph, &input, deadline)
                {
                    self.call(outgoing, value, purpose, now);
                } else {
                    self.wanted_came(id, wanted, Err(fetching::gone(&input)), now);
                }
            }
            Order::Cancel { step } => {
                if let (Some(key), Some(port)) = (run.called.remove(&step), &mut self.port) {
                    self.purposes.remove(&key);
                    port.cancel(key);
                }
            }
            Order::Free { holder, .. } if holder == self.shared.node => self.shared.results.free(run.id),
            Order::Free { holder, incarnation } => {
                if let Some((outgoing, value)) =
                    fetching::release(&self.shared, run.id, holder, incarnation, now)
                {
                    self.call(outgoing, value, Purpose::Free, now);
                }
            }
            Order::Ended(outcome) => run.answer(outcome, &mut self.replies),
        }
    }

    fn call(
        &mut self,
        outgoing: crate::port::Outgoing,
        value: Payload,
        purpose: Purpose,
        now: Time,
    ) -> Option<CallKey> {
        if self.port.is_none() {
            match Port::open(&Caller::Node(self.shared.clone()), &self.mailbox) {
                Ok(port) => self.port = Some(port),
                Err(error) => tracing::error!("{}: call graphs do not run: {error}", self.shared.label),
            }
        }
        let key = self.port.as_mut()?.begin(outgoing, value, now);
        self.purposes.insert(key, purpose);
        Some(key)
    }

    /// Works through calls that have ended and what follows from them, then writes.
    fn settle(&mut self, now: Time) {
        while let Some(port) = &mut self.port {
            let (ended, incomplete) = (port.take_completions(), port.take_incomplete());
            if ended.is_empty() && incomplete.is_empty() {
                port.arm(now);
                port.flush();
                break;
            }
            for (dispatcher, mut call) in incomplete {
                // It was not sent to anybody, so nobody has sealed it.
                call.head = sealed(&call.head, self.shared.node).unwrap_or(call.head);
                self.gather(dispatcher, call, now);
            }
            for completion in ended {
                self.completed(completion, now);
            }
        }
        self.replies.flush();
    }

    fn completed(&mut self, completion: Completion, now: Time) {
        match self.purposes.remove(&completion.key) {
            Some(Purpose::Step { run, step }) => {
                let node = self.port.as_ref().and_then(|port| port.answerer(&completion));
                self.drive(run, now, |run, out| run.step_ended(step, completion, node, now, out));
            }
            Some(Purpose::Wanted { run, wanted, what }) => {
                let outcome = completion.result.map_err(|failure| fetching::lost(*failure, what));
                self.wanted_came(run, wanted, outcome, now);
            }
            Some(Purpose::Input { gathering, input, what }) => {
                let outcome = completion.result.map_err(|failure| fetching::lost(*failure, what));
                self.input_came(gathering, input, outcome);
            }
            Some(Purpose::Free) | None => {}
        }
    }

    fn wanted_came(&mut self, run: u64, wanted: u32, outcome: Result<Payload, Box<ErrorBody>>, now: Time) {
        self.drive(run, now, |run, out| run.wanted_came(wanted, outcome, now, out));
    }

    fn input_came(&mut self, id: u64, input: usize, outcome: Result<Payload, Box<ErrorBody>>) {
        let Some(incomplete) = self.gatherings.get_mut(&id) else { return };
        match outcome {
            Ok(value) => {
                if incomplete.gathering.put(input, value)
                    && let Some(Incomplete { gathering, dispatcher, mut invocation, .. }) =
                        self.gatherings.remove(&id)
                {
                    invocation.value = gathering.finish();
                    dispatcher.deliver(&mut vec![invocation]);
                }
            }
            Err(body) => {
                let Some(Incomplete { invocation, fetches, .. }) = self.gatherings.remove(&id) else {
                    return;
                };
                invocation.ticket.fail(*body, Executed::No, &mut self.replies);
                for key in fetches {
                    self.purposes.remove(&key);
                    if let Some(port) = &mut self.port {
                        port.cancel(key);
                    }
                }
            }
        }
    }
}

/// Reads a graph and checks it.
pub(super) fn plan(value: &Payload) -> Result<mpreg_graph::Plan, Box<ErrorBody>> {
    let (graph, arguments) = value::decode_graph(value)?;
    let plan = mpreg_graph::Plan::new(graph, &arguments, mpreg_graph::GraphLimits::default());
    plan.map_err(|error| Box::new(ErrorBody::new(ErrorCode::Graph, error.to_string())))
}
