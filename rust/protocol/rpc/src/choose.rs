//! Starting an attempt: choose a candidate, hand the call on, or let it stand in the line of what it lacks.

use mpreg_routing::{Candidate, Choice, Context};
use mpreg_types::{ConnectionId, ErrorBody, ErrorCode, Executed, Target};

use crate::attempt::{Failed, Word};
use crate::call_table::Turn;
use crate::key::Index;
use crate::slot::{Sent, State};
use crate::workload::Running;
use crate::{CallKey, CallTable, ItemGate, LocalCall, Outbound, Route, SendFailure};

impl CallTable {
    /// Starts an attempt of a call that is in no line and on no connection.
    pub(crate) fn attempt<P: Outbound>(&mut self, index: Index, turn: &mut Turn<'_, P>) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.state = State::Choosing;
        match &slot.route {
            Route::Mesh => self.choose(index, turn),
            Route::Candidate(candidate) => {
                let (candidate, connection) = (candidate.clone(), candidate.peer.connection());
                self.go(index, Choice { candidate, connection }, turn);
            }
            Route::Entry => match turn.port.entry() {
                Some(entry) => self.send(index, entry, turn),
                None => self.await_entry(index),
            },
        }
    }

    fn choose<P: Outbound>(&mut self, index: Index, turn: &mut Turn<'_, P>) {
        let random = self.rng.next();
        let Some(slot) = self.slots.get(index) else { return };
        let Target::Select(selector) = slot.wanted() else {
            let text = "the node that the call names has left or was restarted";
            let body = ErrorBody::new(ErrorCode::WrongIncarnation, text);
            return self.fail(index, Failed::new(body, Executed::No, None), turn);
        };
        let context = Context { own_call: true, now: turn.now, random };
        match turn.port.snapshot().select(selector, &context) {
            Ok(choice) => self.go(index, choice, turn),
            Err(none) => {
                let until = slot.wait_until.unwrap_or(turn.now + selector.wait).min(slot.deadline);
                let waits = turn.now < until || (turn.port.is_starting() && turn.now < slot.deadline);
                if waits && none.may_change() {
                    self.await_candidate(index, turn.now, until);
                } else {
                    let body = none.describe(turn.port.snapshot(), selector, &context);
                    self.fail(index, Failed::new(body, Executed::No, None), turn);
                }
            }
        }
    }

    fn go<P: Outbound>(&mut self, index: Index, choice: Choice, turn: &mut Turn<'_, P>) {
        let Choice { candidate, connection } = choice;
        if connection.is_none()
            && candidate.peer.is_dialled_on_demand()
            && self.dials(index, &candidate, turn)
        {
            return;
        }
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.aim_at(&candidate);
        (slot.wait_until, slot.dialled) = (None, false);
        if let Some(timeout) = candidate.timeout {
            slot.deadline = slot.deadline.min(slot.begun + timeout);
            slot.flow.limit = Some(slot.begun + timeout);
        }
        if candidate.streaming != slot.head.stream {
            let failed = Failed::new(wrong_verb(&candidate), Executed::No, Some(candidate.node()));
            return self.fail(index, failed, turn);
        }
        candidate.peer.call_sent();
        let local = candidate.local.is_some();
        slot.candidate = Some(candidate);
        match connection {
            _ if local => self.invoke(index, turn),
            Some(connection) => self.send(index, connection, turn),
            None => self.not_sent(index, turn),
        }
    }

    /// Has the chosen node dialled, or lets the call go on waiting for that. False: it has waited long enough.
    fn dials<P: Outbound>(&mut self, index: Index, to: &Candidate, turn: &mut Turn<'_, P>) -> bool {
        let Some(slot) = self.slots.get_mut(index) else { return false };
        let limit = (slot.begun + self.config.dial_max).min(slot.deadline);
        if turn.now >= limit {
            return false;
        }
        // Woken by other news than time: the dial is under way.
        let was_dialled = std::mem::replace(&mut slot.dialled, true);
        let under_way = slot.wait_until.filter(|until| was_dialled && turn.now < *until);
        let until = under_way.unwrap_or_else(|| {
            turn.port.dial(to.node());
            limit.min(turn.now + self.config.dial_patience)
        });
        self.await_candidate(index, turn.now, until);
        true
    }

    fn send<P: Outbound>(&mut self, index: Index, on: ConnectionId, turn: &mut Turn<'_, P>) {
        // Who came earlier goes earlier.
        if !self.parked.is_empty() && self.parked.contains_key(&on) {
            self.park(index, on);
        } else {
            self.transmit(index, on, turn);
        }
    }

    /// Hands a call to a connection. False: it stands in the line for credit (at its end) again.
    pub(crate) fn transmit<P: Outbound>(
        &mut self,
        index: Index,
        on: ConnectionId,
        turn: &mut Turn<'_, P>,
    ) -> bool {
        let Some(slot) = self.slots.get_mut(index) else { return true };
        if slot.deadline <= turn.now {
            self.deadline_passed(index, Word::none(Executed::No), turn);
            return true;
        }
        slot.head.remaining = slot.deadline.since(turn.now);
        slot.handed_on = turn.now;
        slot.started_at = None;
        match turn.port.send_call(on, &slot.head, &slot.value) {
            Ok(stream) => {
                slot.sent = slot.sent.saturating_add(1);
                slot.state = State::Sent(Sent { on, stream, started: false });
                self.wheel.arm(index.slot, slot.deadline);
            }
            Err(SendFailure::NoCredit | SendFailure::TooManyPending) => {
                self.park(index, on);
                return false;
            }
            Err(SendFailure::Closed) if matches!(slot.route, Route::Entry) => self.await_entry(index),
            Err(SendFailure::Closed) => self.turned_away(index, true, turn),
            Err(SendFailure::TooLarge) => {
                let text = format!(
                    "the arguments have {} bytes, more than the other side accepts (max_value_bytes)",
                    slot.head.value_bytes
                );
                let node = self.release(index);
                let body = ErrorBody::new(ErrorCode::TooLarge, text);
                self.fail(index, Failed::new(body, Executed::No, node), turn);
            }
        }
        true
    }

    /// The candidate's connection was gone before anything was written to it.
    fn not_sent<P: Outbound>(&mut self, index: Index, turn: &mut Turn<'_, P>) {
        if let Some(candidate) = self.slots.get(index).and_then(|slot| slot.candidate.as_ref()) {
            candidate.peer.circuit().failed(turn.now);
        }
        let node = self.release(index);
        let text = "the connection to the chosen node was lost before the call was sent";
        let body = ErrorBody::new(ErrorCode::ConnectionLost, text);
        self.attempt_failed(index, Failed::new(body, Executed::No, node), turn);
    }

    /// Hands a call to a function of this process, or lets it stand in the line for a slot.
    pub(crate) fn invoke<P: Outbound>(&mut self, index: Index, turn: &mut Turn<'_, P>) {
        if self.gathers(index, turn) {
            return;
        }
        let Some(slot) = self.slots.get(index) else { return };
        let Some(local) = slot.candidate.as_ref().and_then(|candidate| candidate.local.as_ref()) else {
            return;
        };
        let queued = !self.no_slot.is_empty() && self.no_slot.contains_key(&local.handle);
        let handle = local.handle;
        let running = if queued { None } else { Running::start(&local.slots) };
        if let Some(running) = running {
            self.run(index, handle, running, turn);
        } else if let Some(waiting) = self.workload.try_wait(slot.head.value_bytes) {
            self.await_slot(index, handle, waiting, turn.now);
        } else {
            let node = self.release(index);
            let text = "the own node runs and keeps waiting as many calls as it may; call more slowly, or raise \
                        concurrency, threads or waiting in its Config";
            let body = ErrorBody::new(ErrorCode::Overloaded, text);
            self.attempt_failed(index, Failed::new(body, Executed::No, node), turn);
        }
    }

    /// Hands a call that has a slot to its function.
    pub(crate) fn run<P: Outbound>(
        &mut self,
        index: Index,
        function: u64,
        running: Running,
        turn: &mut Turn<'_, P>,
    ) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        if slot.deadline <= turn.now {
            return self.deadline_passed(index, Word::none(Executed::No), turn);
        }
        slot.head.remaining = slot.deadline.since(turn.now);
        slot.handed_on = turn.now;
        slot.sent = slot.sent.saturating_add(1);
        slot.state = State::Local;
        slot.flow.gate = slot.head.stream.then(ItemGate::new);
        self.wheel.arm(index.slot, slot.deadline);
        let call = LocalCall {
            function,
            key: CallKey::new(self.caller.bridge, index),
            claim: self.claims.issue(index.slot),
            running,
            gate: slot.flow.gate.clone(),
            head: &slot.head,
            value: slot.gathered.as_ref().map_or(&slot.value, |(arguments, _)| arguments),
            deadline: slot.deadline,
        };
        let taken = turn.port.invoke_local(call);
        slot.gathered = None;
        if let Err(body) = taken {
            slot.sent = slot.sent.saturating_sub(1);
            slot.state = State::Choosing;
            let node = self.release(index);
            self.attempt_failed(index, Failed::new(*body, Executed::No, node), turn);
        }
    }
}

/// `call` of a streaming function, or `stream` of another one.
pub(crate) fn wrong_verb(candidate: &Candidate) -> ErrorBody {
    let (is, verb) = if candidate.streaming {
        ("answers with a stream of items", "stream")
    } else {
        ("answers with one value", "call")
    };
    ErrorBody::new(ErrorCode::WrongVerb, format!("{} {is}: use {verb}(...)", candidate.name))
}
