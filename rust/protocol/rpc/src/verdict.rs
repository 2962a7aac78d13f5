//! The end of an attempt: another one, or the end of the call with all that is known of it.

use std::time::Duration;

use mpreg_types::{
    ConnectionId, Defect, ErrorBody, ErrorCode, Executed, Ledger, NodeId, Payload, ReplyHead, Time,
};

use crate::attempt::{Failed, History, Word, together};
use crate::call_table::Turn;
use crate::key::Index;
use crate::retry::backoff;
use crate::slot::{CallSlot, State};
use crate::{CallFailure, CallKey, CallTable, Completion, Outbound, Route, decode_error};

impl CallTable {
    /// The callee, or a node on the way, answered with an error.
    pub(crate) fn refused<P: Outbound>(
        &mut self,
        index: Index,
        started: bool,
        head: ReplyHead,
        value: &Payload,
        turn: &mut Turn<'_, P>,
    ) {
        let Some(slot) = self.slots.get(index) else { return };
        let body = decode_error(value);
        let executed = if started { Executed::Yes } else { head.executed };
        let candidate = slot.candidate.as_ref();
        let mut failed =
            Failed::new(body, executed, candidate.map(|candidate| candidate.node())).with_extras(head.extras);
        if let Some(candidate) = candidate {
            // The catalog knows better than a reply.
            failed.idempotent = candidate.idempotent;
            if failed.body.code == ErrorCode::Draining {
                // Known at once, before its facts arrive: the next calls go elsewhere.
                candidate.peer.set_draining(true);
            }
        }
        self.release(index);
        if failed.body.code == ErrorCode::Draining && failed.executed == Executed::No {
            self.moved(index, failed, true, turn);
        } else {
            self.attempt_failed(index, failed, turn);
        }
    }

    /// An attempt failed and is over: makes another one after a pause, or fails the call.
    pub(crate) fn attempt_failed<P: Outbound>(
        &mut self,
        index: Index,
        mut failed: Failed,
        turn: &mut Turn<'_, P>,
    ) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let flowing = slot.flow.flowing && !Defect::TableRepeatsAfterItems.is_in();
        if flowing || slot.retries_left == 0 || !failed.may_repeat() {
            return self.fail(index, failed, turn);
        }
        let failures = 1 + slot.history.as_ref().map_or(0, |history| history.attempts.len());
        let pause = backoff(u32::try_from(failures).unwrap_or(u32::MAX), &mut self.rng);
        let at = turn.now + pause.max(failed.retry_after.unwrap_or(Duration::ZERO));
        if at >= slot.deadline {
            return self.fail(index, failed, turn);
        }
        self.deposit();
        if !self.budget.try_spend(turn.now) {
            self.counters.retries_denied += 1;
            return self.budget_spent(index, failed, turn);
        }
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.remember(&mut failed);
        slot.retries_left -= 1;
        slot.head.attempt = slot.head.attempt.saturating_add(1);
        if let (Some(node), false) = (failed.node, matches!(slot.route, Route::Candidate(_))) {
            slot.avoid(node);
        }
        slot.state = State::Pausing;
        self.wheel.arm(index.slot, at);
        self.counters.retries += 1;
    }

    /// No further attempt because of the budget: the first error is raised.
    fn budget_spent<P>(&mut self, index: Index, mut failed: Failed, turn: &mut Turn<'_, P>) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.remember(&mut failed);
        let (key, now, ledger) = (CallKey::new(self.caller.bridge, index), turn.now, failed.ledger);
        let first = slot.history.as_ref().map_or(failed, |history| history.first.clone());
        let failure = slot.failure(Failed { ledger, ..first }, now);
        self.counters.failed += 1;
        self.close(index);
        turn.done.push(Completion { key, outcome: Err(Box::new(failure)) });
    }

    /// Ends a call with an error. Whatever held it has let it go.
    pub(crate) fn fail<P>(&mut self, index: Index, mut failed: Failed, turn: &mut Turn<'_, P>) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let key = CallKey::new(self.caller.bridge, index);
        slot.remember(&mut failed);
        let failure = slot.failure(failed, turn.now);
        self.counters.failed += 1;
        self.close(index);
        turn.done.push(Completion { key, outcome: Err(Box::new(failure)) });
    }

    /// The deadline passed, and that much is known of the present attempt.
    pub(crate) fn deadline_passed<P>(&mut self, index: Index, word: Word, turn: &mut Turn<'_, P>) {
        let Word { executed, ledger, node, label } = word;
        let node = self.release(index).or(node);
        let Some(slot) = self.slots.get(index) else { return };
        let limit = slot.deadline.since(slot.begun);
        let stage = match &slot.state {
            State::NoEntry => "while no entry node could be reached",
            State::Parked(_) => "while the connection had no credit",
            State::NoSlot { .. } => "in the queue of the own node",
            State::Gathering { .. } => "while large inputs of the step were fetched",
            State::Pausing => "between two attempts",
            _ => "before a result came",
        };
        let text = format!("{limit:?} passed {stage}; give the call more time with remote(timeout=...)");
        self.counters.deadlines += 1;
        let body = ErrorBody::new(ErrorCode::DeadlineExceeded, text);
        self.fail(index, Failed { label, ledger, ..Failed::new(body, executed, node) }, turn);
    }

    /// Ends the present attempt for its candidate, and names it.
    pub(crate) fn release(&mut self, index: Index) -> Option<NodeId> {
        let slot = self.slots.get_mut(index)?;
        slot.gathered = None;
        let candidate = slot.candidate.take()?;
        candidate.peer.call_ended();
        Some(candidate.node())
    }

    /// Frees the slot of a call that has completed. One that runs in this process keeps its slot until it ends,
    /// because its claim names the slot.
    pub(crate) fn close(&mut self, index: Index) {
        self.wheel.disarm(index.slot);
        match self.slots.get_mut(index) {
            Some(slot) if matches!(slot.state, State::Local) => {
                slot.state = State::Abandoned;
                slot.value = Payload::default();
                slot.head.extras = None;
            }
            _ => {
                self.slots.remove(index);
            }
        }
    }
}

impl CallSlot {
    pub(crate) fn remember(&mut self, failed: &mut Failed) {
        failed.via = self.via();
        let attempt = failed.attempt();
        match &mut self.history {
            Some(history) => history.attempts.push(attempt),
            None => self.history = Some(Box::new(History { attempts: vec![attempt], first: failed.clone() })),
        }
    }

    /// The connection to the entry node that the present attempt is on.
    fn via(&self) -> Option<ConnectionId> {
        match &self.state {
            State::Sent(sent) | State::Verdict(sent) if matches!(self.route, Route::Entry) => Some(sent.on),
            _ => None,
        }
    }

    fn failure(&mut self, failed: Failed, now: Time) -> CallFailure {
        let attempts = self.history.take().map_or_else(Vec::new, |history| history.attempts);
        let executed = attempts.iter().fold(failed.executed, |all, attempt| together(all, attempt.executed));
        let ledger = self.ledger(failed.ledger, now);
        let retryable = failed.may_help_later(executed);
        let Failed { body, node, label, via, path, .. } = failed;
        CallFailure { body, executed, node, label, via, path, attempts, sent: self.sent, retryable, ledger }
    }

    /// The whole time of the call: what the callee `said` of its part, what the caller knows, the rest on the way.
    fn ledger(&self, said: Ledger, now: Time) -> Ledger {
        let mut ledger = said;
        let is_out = matches!(self.state, State::Sent(_) | State::Verdict(_) | State::Local);
        if !is_out && said == Ledger::default() {
            ledger.queue_us = Ledger::micros(now.since(self.begun));
            return ledger;
        }
        if let Some(started) = self.started_at.filter(|_| said.handler_us == 0) {
            // The callee said that it runs, and nothing after that.
            ledger.handler_us = Ledger::micros(now.since(started));
        }
        let out = Ledger::micros(now.since(self.handed_on));
        ledger.wire_us = out.saturating_sub(ledger.without_wire());
        ledger.queue_us = ledger.queue_us.saturating_add(Ledger::micros(self.handed_on.since(self.begun)));
        ledger
    }
}

impl Failed {
    /// The failure of a call that had no attempt.
    pub(crate) fn alone(self) -> CallFailure {
        let retryable = self.may_help_later(self.executed);
        let Self { body, executed, node, label, via, path, ledger, .. } = self;
        let attempts = Vec::new();
        CallFailure { body, executed, node, label, via, path, attempts, sent: 0, retryable, ledger }
    }
}
