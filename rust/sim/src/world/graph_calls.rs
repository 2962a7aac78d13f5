//! Graphs are run by callers, and what they were told is written down.

use std::sync::Arc;
use std::time::Duration;

use mpreg_routing::{Candidate, LocalFunction};
use mpreg_rpc::{CallFailure, Request, Route, Runs, Success};
use mpreg_types::{Builtin, HopBudget, Payload, PreparedTarget, ReplyExtras, ReplyHead, ResultRef, Target};
use mpreg_wire::{decode_answer, decode_failure, encode_graph};

use super::World;
use super::boot::BRIDGE;
use crate::graph_case::{GraphCase, INLINE_BYTES, flat, result, step_of};
use crate::graph_fate::{GraphEnding, GraphFate, StepFate};
use crate::item::{Item, Spot};
use crate::job::Job;

impl World {
    /// `count` graphs by random running processes within `duration` from now.
    pub fn load_graphs(&mut self, count: usize, duration: Duration) {
        self.spread(count, duration, Item::Graph);
    }

    pub(crate) fn run_graph(&mut self, spot: Spot) {
        if !self.is_there(spot) {
            return;
        }
        let number = self.ledger.graphs.len() as u64 + 1;
        let case = GraphCase::random(number, self);
        let (shortest, longest) = self.graph_time;
        let deadline = self.now + shortest + self.random_time(longest.saturating_sub(shortest));
        let value = encode_graph(&case.graph, [case.arguments]);
        let fate = |idempotent| StepFate { idempotent, executions: Vec::new() };
        let fate = GraphFate {
            caller: spot.place,
            start: spot.start,
            deadline,
            expected: case.expected,
            steps: case.idempotent.into_iter().map(fate).collect(),
            cancelled: false,
            endings: Vec::new(),
        };
        self.ledger.graphs.insert(number, fate);
        let Some(route) = self.graph_route(spot.place) else { return };
        let request = Request {
            route,
            target: Arc::new(PreparedTarget::new(Target::Here { function: Builtin::Graph.id() })),
            deadline,
            retries: u8::try_from(self.random(3)).unwrap_or(0),
            idempotent: false,
            stream: false,
            hops: HopBudget::NEIGHBOURS,
            extras: None,
        };
        let (now, mut key) = (self.now, None);
        self.with_table(spot.place, BRIDGE, |table, desk, done| {
            let begun = table.begin(request, value, now, desk, done);
            if let Some(process) = &mut desk.world.places[spot.place].process {
                process.graph_calls.insert(begun, number);
            }
            key = Some(begun);
        });
        if let (Some(key), true) = (key, self.random(100) < self.habits.gives_up) {
            let patience = self.random_time(Duration::from_millis(300));
            self.after(patience, Item::GiveUp(spot, key));
        }
    }

    /// A client's graphs go to its entry node, a node's to itself.
    fn graph_route(&self, place: usize) -> Option<Route> {
        if self.places[place].is_client {
            return Some(Route::Entry);
        }
        let process = self.places[place].process.as_ref()?;
        let slots = process.workload.function_slots(Runs::OnLoop, None);
        let local = LocalFunction { handle: Builtin::Graph.handle(), slots };
        let own = process.snapshot.own().clone();
        Some(Route::Candidate(Arc::new(Candidate::builtin(Builtin::Graph, own, Some(local)))))
    }

    pub(crate) fn graph_ended(&mut self, graph: u64, outcome: Result<Success, Box<CallFailure>>) {
        let outcome = match outcome {
            Ok(success) => {
                let answer = decode_answer(&success.value);
                assert!(answer.is_ok(), "an answer of an honest coordinator cannot be read: {answer:?}");
                Ok(answer.into_iter().flat_map(|(_, values)| values).map(|value| flat(&value)).collect())
            }
            Err(failure) => {
                let cause = decode_failure(&failure.body).map(|failure| failure.cause.code);
                Err((failure.body.code, cause))
            }
        };
        if let Some(fate) = self.ledger.graphs.get_mut(&graph) {
            fate.endings.push(GraphEnding { at: self.now, outcome });
        }
    }

    /// A handler begins a step.
    pub(crate) fn step_begins(&mut self, arguments: &Payload) {
        let now = self.now;
        if let Some((graph, step)) = step_of(arguments)
            && let Some(fate) = self.ledger.graphs.get_mut(&graph).and_then(|fate| fate.steps.get_mut(step))
        {
            fate.executions.push(now);
        }
    }

    /// What a handler gives for a job, and how it is answered: a large result of a step may stay here.
    pub(crate) fn outcome(&mut self, place: usize, job: &Job) -> (ReplyHead, Payload) {
        if step_of(&job.value).is_none() {
            let whole = job.making.as_ref().map(|making| making.total.to_be_bytes().to_vec());
            let value = Payload::from(whole.unwrap_or_else(|| vec![0xc0]));
            return (ReplyHead::ok(job.token, value.len() as u64), value);
        }
        let value = result(&job.value);
        match self.keep(place, job, &value) {
            Some(kept) => {
                let said = ReplyExtras { held: Some(Box::new(kept)), ..ReplyExtras::default() };
                let head = ReplyHead { extras: Some(Box::new(said)), ..ReplyHead::ok(job.token, 0) };
                (head, Payload::default())
            }
            None => (ReplyHead::ok(job.token, value.len() as u64), value),
        }
    }

    fn keep(&mut self, place: usize, job: &Job, value: &Payload) -> Option<ResultRef> {
        let step = job.extras.step.as_deref()?;
        let left = step.keep.filter(|_| value.len() > INLINE_BYTES && !job.claim.is_revoked())?;
        let (number, index) = step_of(&job.value)?;
        let idempotent = self.ledger.graphs.get(&number)?.steps.get(index)?.idempotent;
        let mut token = [0; 16];
        token[..8].copy_from_slice(&self.random(u64::MAX).to_be_bytes());
        let here = &mut self.places[place];
        let graphs = here.process.as_mut()?.graphs.as_mut()?;
        let result = graphs.store.keep(step.graph, token, value.clone(), job.arrived + left).ok()?;
        let (holder, incarnation, bytes) = (here.id, here.incarnation, value.len() as u64);
        Some(ResultRef { holder, incarnation, result, token, bytes, idempotent })
    }
}
