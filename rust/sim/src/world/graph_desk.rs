//! The desk of a node: what arrives for it, and what it acts through.

use std::sync::Arc;
use std::time::Duration;

use mpreg_graph::{
    Cargo, DeskCall, DeskPort, FetchRefused, GraphLimits, NewGraph, Outcome, Plan, StepDone, StepFailed,
    StepValue, grant, part_of,
};
use mpreg_routing::Candidate;
use mpreg_rpc::{CallKey, Completion, Request, Route, encode_error};
use mpreg_types::{
    Builtin, ErrorBody, ErrorCode, Executed, Fetch, ForeignText, GraphEvent, GraphId, HopBudget, Incarnation,
    NodeId, Payload, PreparedTarget, ReplyHead, Target, Time,
};
use mpreg_wire::{decode_graph, encode_answer, encode_failure, message};

use super::World;
use crate::graphs::{DESK_BRIDGE, Knock, Machine, Work};
use crate::item::{Item, Spot};
use crate::job::{Job, JobKey};

/// Steps of one graph under way at one time: few, so that others have to wait.
const IN_FLIGHT: usize = 4;

/// What the desk at one place acts through.
struct Calling<'a> {
    world: &'a mut World,
    place: usize,
}

impl World {
    /// A call is handed to its function, or to the desk if it is a builtin one. `peer` brought it.
    pub(crate) fn hand_over(&mut self, place: usize, key: JobKey, function: u64, job: Job, peer: usize) {
        let peer = self.places[peer].id;
        match Builtin::of_handle(function) {
            Some(builtin) => self.knock(place, Knock::Builtin(builtin, Box::new((key, job)), peer)),
            None => self.take_job(place, key, job),
        }
    }

    pub(crate) fn knock(&mut self, place: usize, knock: Knock) {
        let Some(process) = &mut self.places[place].process else { return };
        let spot = Spot { place, start: process.start };
        if let Some(graphs) = &mut process.graphs {
            graphs.knocks.push(knock);
            self.after(Duration::ZERO, Item::Desk(spot));
        }
    }

    /// Takes in what has come for the desk, and passed deadlines.
    pub(crate) fn desk_turn(&mut self, place: usize) {
        let now = self.now;
        let graphs = self.places[place].process.as_mut().and_then(|process| process.graphs.as_mut());
        let Some(graphs) = graphs else { return };
        graphs.store.sweep(now, |_| false);
        for knock in std::mem::take(&mut graphs.knocks) {
            self.answer_the_door(place, knock);
        }
        self.with_desk(place, |desk, port| desk.tick(now, port));
        self.settle(place);
        self.arm(place);
    }

    /// Another snapshot: what is held for coordinators that are no more is freed.
    pub(crate) fn desk_sees(&mut self, place: usize) {
        let (me, incarnation, now) = (self.places[place].id, self.places[place].incarnation, self.now);
        let Some(process) = &mut self.places[place].process else { return };
        let (snapshot, Some(graphs)) = (&process.snapshot, &mut process.graphs) else { return };
        graphs.store.sweep(now, |graph| {
            if graph.coordinator == me {
                return graph.incarnation != incarnation;
            }
            snapshot.peer(graph.coordinator).is_none_or(|peer| peer.incarnation() != graph.incarnation)
        });
        self.with_desk(place, |desk, port| desk.look_again(now, port));
        self.settle(place);
    }

    /// Calls of the desk have ended; it hears of them when it has done what it is at.
    pub(crate) fn desk_calls_ended(&mut self, place: usize, done: Vec<Completion>) {
        let Some(process) = &mut self.places[place].process else { return };
        let Some(graphs) = &mut process.graphs else { return };
        graphs.ended.extend(done.into_iter().map(|completion| (completion.key, told(completion))));
        self.settle(place);
    }

    fn settle(&mut self, place: usize) {
        let now = self.now;
        loop {
            let graphs = self.places[place].process.as_mut().and_then(|process| process.graphs.as_mut());
            let Some(graphs) = graphs.filter(|graphs| graphs.machine.is_some()) else { return };
            let ended = std::mem::take(&mut graphs.ended);
            if ended.is_empty() {
                return;
            }
            for (key, outcome) in ended {
                self.with_desk(place, |desk, port| desk.ended(key, outcome, now, port));
            }
        }
    }

    fn with_desk<R>(
        &mut self,
        place: usize,
        act: impl FnOnce(&mut Machine, &mut Calling<'_>) -> R,
    ) -> Option<R> {
        let graphs = self.places[place].process.as_mut()?.graphs.as_mut()?;
        let mut machine = graphs.machine.take()?;
        let done = act(&mut machine, &mut Calling { world: self, place });
        if let Some(graphs) = self.places[place].process.as_mut().and_then(|process| process.graphs.as_mut())
        {
            graphs.machine = Some(machine);
        }
        Some(done)
    }

    fn answer_the_door(&mut self, place: usize, knock: Knock) {
        let now = self.now;
        match knock {
            Knock::Builtin(Builtin::Graph, work, _) => self.open_graph(place, *work),
            Knock::Builtin(builtin, work, peer) => {
                let (key, job) = *work;
                let me = self.places[place].id;
                let graphs = self.places[place].process.as_mut().and_then(|process| process.graphs.as_mut());
                let Some(graphs) = graphs else { return };
                let (bytes, _) = (&job.value.head, job.claim.begin());
                let outcome = match (builtin, message::decode::<Fetch>(bytes), message::decode(bytes)) {
                    (Builtin::Result, Ok(wanted), _) => {
                        part_of(me, &wanted, graphs.store.fetch(&wanted, peer))
                    }
                    (Builtin::Free, _, Ok(graph @ GraphId { coordinator, .. })) if coordinator == peer => {
                        graphs.store.free(graph);
                        Ok(Payload::default())
                    }
                    other => unreachable!("an honest node asks for nothing else: {other:?}"),
                };
                let outcome = outcome.map_err(|body| (body, Executed::No));
                self.answer_with(place, key, job, outcome);
            }
            Knock::Gather(key, mut step, arguments, deadline) => {
                let me = self.places[place].id;
                if matches!(key, JobKey::Local(_)) {
                    // It was not sent to anybody, so nobody has sealed it.
                    for input in &mut step.inputs {
                        input.grant = grant(&input.grant, step.graph, me);
                    }
                }
                self.with_desk(place, |desk, port| {
                    desk.gather(key, arguments, &step, deadline, now, port);
                });
            }
            Knock::Ungather(key) => {
                self.with_desk(place, |desk, port| desk.ungather(|job| *job == key, port));
            }
            Knock::Gathered(JobKey::Local(key), outcome) => {
                self.with_table(place, key.bridge(), |table, desk, done| {
                    table.gathered(key, outcome, now, desk, done);
                });
            }
            Knock::Gathered(JobKey::Remote(key), outcome) => {
                self.with_switch(place, |switch, out| switch.gathered(key, outcome, now, out));
            }
            Knock::Cancel(key) => {
                let ticket =
                    self.with_desk(place, |desk, port| desk.cancel(|ticket| ticket.0 == key, now, port));
                if let Some((key, job)) = ticket.flatten() {
                    let body = ErrorBody::new(ErrorCode::CancelledByPeer, "nobody waits for the graph");
                    self.answer_with(place, key, job, Err((Box::new(body), Executed::Unknown)));
                }
            }
        }
    }

    fn open_graph(&mut self, place: usize, (key, job): Work) {
        let now = self.now;
        let read = decode_graph(&job.value);
        assert!(read.is_ok(), "a graph of an honest caller cannot be read: {read:?}");
        let Ok((graph, arguments)) = read else { return };
        let limits = GraphLimits { in_flight: IN_FLIGHT, ..GraphLimits::default() };
        let plan = Plan::new(graph, &arguments, limits);
        assert!(plan.is_ok(), "a graph of an honest caller is refused: {plan:?}");
        let Ok(plan) = plan else { return };
        if !job.claim.begin() {
            let body = ErrorBody::new(ErrorCode::CancelledByPeer, "the caller gave up");
            return self.answer_with(place, key, job, Err((Box::new(body), Executed::No)));
        }
        let (deadline, extras) = (job.deadline, job.extras.clone());
        let graph = NewGraph { plan, deadline, extras, watched: false, ticket: (key, job) };
        self.with_desk(place, |desk, port| desk.run(graph, now, port));
    }

    /// A job has ended: with a value, or why there is none.
    pub(crate) fn answer_with(
        &mut self,
        place: usize,
        key: JobKey,
        job: Job,
        outcome: Result<Payload, (Box<ErrorBody>, Executed)>,
    ) {
        let (head, value) = match outcome {
            Ok(value) => (ReplyHead::ok(job.token, value.len() as u64), value),
            Err((body, executed)) => {
                let value = encode_error(&body);
                (ReplyHead::error(job.token, executed, value.len() as u64), value)
            }
        };
        self.answer_job(place, key, job, head, value);
    }
}

impl DeskPort for Calling<'_> {
    type Key = CallKey;
    type Ticket = Work;
    type Job = JobKey;

    fn incarnation(&self) -> Incarnation {
        self.world.places[self.place].incarnation
    }

    fn call(&mut self, call: DeskCall, now: Time) -> Result<CallKey, Box<ErrorBody>> {
        let gone = || Box::new(ErrorBody::new(ErrorCode::WrongIncarnation, "it is not known here"));
        let process = self.world.places[self.place].process.as_ref().ok_or_else(gone)?;
        let route = match &call.target {
            Target::Direct { node, incarnation, function, .. } => {
                let peer = process.snapshot.peer(*node).filter(|peer| peer.incarnation() == *incarnation);
                let (builtin, peer) = Builtin::find(function).zip(peer).ok_or_else(gone)?;
                Route::Candidate(Arc::new(Candidate::builtin(builtin, peer.clone(), None)))
            }
            _ => Route::Mesh,
        };
        let value = match call.cargo {
            Cargo::Step(arguments) => arguments,
            Cargo::Fetch(wanted) => message::encode(&wanted).into(),
            Cargo::Free(graph) => message::encode(&graph).into(),
        };
        let request = Request {
            route,
            target: Arc::new(PreparedTarget::new(call.target)),
            deadline: call.deadline,
            retries: call.retries,
            idempotent: call.idempotent,
            stream: false,
            hops: call.max_hops.unwrap_or(HopBudget::NEIGHBOURS),
            extras: call.extras,
        };
        let mut key = None;
        self.world.with_table(self.place, DESK_BRIDGE, |table, desk, done| {
            key = Some(table.begin(request, value, now, desk, done));
        });
        key.ok_or_else(gone)
    }

    fn cancel(&mut self, key: CallKey) -> Option<(NodeId, Incarnation)> {
        let mut callee = None;
        self.world.with_table(self.place, DESK_BRIDGE, |table, desk, _| {
            callee = table.callee(key);
            table.cancel(key, desk);
        });
        callee
    }

    fn fetch_own(&mut self, wanted: &Fetch) -> Result<Payload, FetchRefused> {
        let place = &mut self.world.places[self.place];
        let graphs = place.process.as_mut().and_then(|process| process.graphs.as_mut());
        graphs.map_or(Err(FetchRefused::Gone), |graphs| graphs.store.fetch(wanted, place.id))
    }

    fn free_own(&mut self, graph: GraphId) {
        let process = self.world.places[self.place].process.as_mut();
        if let Some(graphs) = process.and_then(|process| process.graphs.as_mut()) {
            graphs.store.free(graph);
        }
    }

    fn run(&mut self, key: JobKey, arguments: Payload) {
        self.world.knock(self.place, Knock::Gathered(key, Ok(arguments)));
    }

    fn refuse(&mut self, key: JobKey, why: ErrorBody) {
        self.world.knock(self.place, Knock::Gathered(key, Err(Box::new(why))));
    }

    fn tell(&mut self, _: &Work, _: &GraphEvent, _: Option<&Payload>) -> bool {
        true
    }

    fn answer(&mut self, (key, job): Work, outcome: Outcome) {
        let outcome = match outcome {
            Ok((answer, values)) => Ok(encode_answer(&answer, values)),
            Err(failure) => Err((Box::new(encode_failure(&failure)), failure.executed)),
        };
        self.world.answer_with(self.place, key, job, outcome);
    }
}

/// A call of the desk's as the desk hears of it.
fn told(completion: Completion) -> Result<StepDone, Box<StepFailed>> {
    let label = |node: NodeId| ForeignText::new(node.short());
    match completion.outcome {
        Ok(success) => {
            let held = success.head.extras.and_then(|extras| extras.held);
            let value = held.map_or(StepValue::Inline(success.value), |held| StepValue::Held(*held));
            Ok(StepDone { value, node: success.node.map(label).unwrap_or_default() })
        }
        Err(failure) => Err(Box::new(StepFailed {
            body: failure.body,
            executed: failure.executed,
            node: failure.node.map(label),
            attempts: failure.sent,
        })),
    }
}
