//! Calls to the own node's functions: admitted at once, in their turn, or refused before anything starts.

use std::sync::Arc;

use mpreg_routing::Candidate;
use mpreg_types::{Builtin, ErrorBody, ErrorCode, Time};

use crate::choose::wrong_verb;
use crate::inbound::{Cargo, Place};
use crate::key::Index;
use crate::switch::{Step, deadline_body, overloaded_body};
use crate::workload::Running;
use crate::{InboundKey, Invocation, Output, Switch};

/// Lines looked at when a slot may have become free; further ones have their turn the next time.
const LINES_PER_LOOK: usize = 32;

impl Switch {
    /// The dispatcher has ended its work on a call: answered it, or was told that nobody waits.
    pub fn finished(&mut self, key: InboundKey, now: Time, out: &mut Vec<Output>) {
        let index = key.0;
        let place = self.calls.get(index).map(|call| &call.place);
        let Some(Place::Running { function, .. } | Place::Abandoned { function }) = place else {
            self.counters.late += 1;
            return;
        };
        let function = *function;
        self.forget(index);
        self.report_own_load(now);
        if !self.no_slot.is_empty() {
            let step = &mut Step { now, out };
            self.fill(function, step);
            self.fill_lines(step);
        }
    }

    /// Runs a call, lets it stand in its function's line, or refuses it.
    pub(crate) fn admit(&mut self, index: Index, candidate: Arc<Candidate>, step: &mut Step<'_>) {
        let Some(call) = self.calls.get_mut(index) else { return };
        let stream = call.asks_stream;
        if let Some(timeout) = candidate.timeout {
            call.deadline = call.deadline.min(step.now + timeout);
            call.flow.limit = Some(step.now + timeout);
        }
        // What it holds for graphs it hands out to the end.
        let among_nodes = Builtin::find(&candidate.id).is_some_and(|builtin| !builtin.is_for_clients());
        if self.is_draining() && !among_nodes {
            let text =
                "the node leaves and takes no new calls; another one that offers the function is tried";
            return self.refuse(index, ErrorBody::new(ErrorCode::Draining, text), step);
        }
        if candidate.streaming != stream {
            return self.refuse(index, wrong_verb(&candidate), step);
        }
        let Some(local) = &candidate.local else {
            let text = "the node's own function has no handler; this is a defect of mpreg, please report it";
            return self.refuse(index, ErrorBody::new(ErrorCode::Internal, text), step);
        };
        if self.gathers(index, step) {
            return;
        }
        // Who came earlier goes earlier.
        let queued = !self.no_slot.is_empty() && self.no_slot.contains_key(&local.handle);
        match if queued { None } else { Running::start(&local.slots) } {
            Some(running) => self.run(index, local.handle, running, step),
            None if self.reserve_wait(index) => self.await_slot(index, candidate, step.now),
            None => self.refuse(index, overloaded_body(), step),
        }
    }

    /// Gives free slots to the calls that wait for one, function by function.
    pub(crate) fn fill_lines(&mut self, step: &mut Step<'_>) {
        let last = self.filled_last;
        let ahead = self.no_slot.range(last.saturating_add(1)..).chain(self.no_slot.range(..=last));
        let functions: Vec<u64> = ahead.map(|(function, _)| *function).take(LINES_PER_LOOK).collect();
        for function in functions {
            self.filled_last = function;
            self.fill(function, step);
        }
        self.poll_at = (!self.no_slot.is_empty()).then(|| step.now + self.config.poll);
    }

    fn fill(&mut self, function: u64, step: &mut Step<'_>) {
        while let Some((index, running)) = self.next_with_slot(function) {
            self.leave_line(index);
            self.run(index, function, running, step);
        }
    }

    fn next_with_slot(&self, function: u64) -> Option<(Index, Running)> {
        let index = self.calls.index_of(self.no_slot.get(&function)?.first()?)?;
        match &self.calls.get(index)?.place {
            Place::NoSlot { candidate, .. } => {
                Some((index, Running::start(&candidate.local.as_ref()?.slots)?))
            }
            _ => None,
        }
    }

    fn run(&mut self, index: Index, function: u64, running: Running, step: &mut Step<'_>) {
        if self.workers.offers(function) {
            return self.hand_to_worker(index, function, running, step);
        }
        let gate = self.open_gate(index);
        let Some(call) = self.calls.get_mut(index) else { return };
        if call.deadline <= step.now {
            return self.refuse(index, deadline_body("before the function could start"), step);
        }
        let Some(Cargo { head, value }) = call.cargo.take() else { return };
        call.place = Place::Running { function, since: step.now, reported: false };
        (call.waiting, call.gathered) = (None, None);
        self.wheel.arm(index.slot, call.deadline.min(step.now + self.config.report_after));
        self.counters.invoked += 1;
        step.out.push(Output::Invoke(Invocation {
            key: InboundKey(index),
            function,
            from: call.from,
            stream: call.stream,
            claim: self.claims.issue(index.slot),
            running,
            gate,
            head,
            value,
            arrived: call.arrived,
            deadline: call.deadline,
        }));
        self.report_own_load(step.now);
    }

    /// So that own calls and those of clients weigh this node like any other.
    fn report_own_load(&self, now: Time) {
        self.snapshot.own().report_load(self.workload.load(), now);
    }
}
