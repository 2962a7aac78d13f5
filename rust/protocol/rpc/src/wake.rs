//! What wakes a call: time, credit, a new snapshot, a free slot, a new entry node, a lost connection.

use std::time::Duration;

use mpreg_types::{ConnectionId, Defect, ErrorBody, ErrorCode, Executed, Ledger, StreamId, Time, Untaken};

use crate::attempt::{Failed, Word};
use crate::call_table::Turn;
use crate::key::Index;
use crate::slot::{Sent, State};
use crate::workload::{Running, Waiting};
use crate::{CallKey, CallTable, Completion, Outbound, Route};

impl CallTable {
    /// Time has passed. To be called at [`Self::next_deadline`] or soon after.
    pub fn tick<P: Outbound>(&mut self, now: Time, port: &mut P, done: &mut Vec<Completion>) {
        let mut turn = Turn { now, port, done };
        while let Some(slot) = self.wheel.pop_expired(now) {
            if let Some(index) = self.slots.index_of(slot) {
                self.time_is_up(index, &mut turn);
            }
        }
        if self.poll_at.is_some_and(|at| at <= now) {
            self.fill_slots(&mut turn);
        }
    }

    /// When `tick` is due; `None`: nothing waits for time.
    pub fn next_deadline(&self) -> Option<Time> {
        match (self.wheel.next(), self.poll_at) {
            (Some(timer), Some(poll)) => Some(timer.min(poll)),
            (timer, poll) => timer.or(poll),
        }
    }

    /// Another snapshot was published: calls without a candidate look again.
    pub fn snapshot_changed<P: Outbound>(&mut self, now: Time, port: &mut P, done: &mut Vec<Completion>) {
        let mut turn = Turn { now, port, done };
        for _ in 0..self.no_candidate.len() {
            let Some(slot) = self.no_candidate.pop_front(&mut self.links) else { break };
            self.attempt_in(slot, &mut turn);
        }
    }

    /// The client has a (new) connection to an entry node: calls that waited for it go there.
    pub fn entry_changed<P: Outbound>(&mut self, now: Time, port: &mut P, done: &mut Vec<Completion>) {
        let mut turn = Turn { now, port, done };
        for _ in 0..self.no_entry.len() {
            let Some(slot) = self.no_entry.pop_front(&mut self.links) else { break };
            self.attempt_in(slot, &mut turn);
        }
    }

    /// A connection has credit (or places for calls) again: calls that waited for it are sent in their order.
    pub fn writable<P: Outbound>(
        &mut self,
        on: ConnectionId,
        now: Time,
        port: &mut P,
        done: &mut Vec<Completion>,
    ) {
        let mut turn = Turn { now, port, done };
        while let Some(line) = self.parked.get_mut(&on) {
            let Some(slot) = line.pop_front(&mut self.links) else {
                self.parked.remove(&on);
                break;
            };
            let Some(index) = self.slots.index_of(slot) else { continue };
            if !self.transmit(index, on, &mut turn) {
                // `transmit` put it at the end of the line; its place is the first.
                if let Some(line) = self.parked.get_mut(&on) {
                    line.remove(slot, &mut self.links);
                    line.push_front(slot, &mut self.links);
                }
                break;
            }
        }
    }

    /// A connection is gone. Calls on the streams in `untaken` provably did not execute.
    pub fn connection_lost<P: Outbound>(
        &mut self,
        on: ConnectionId,
        untaken: &Untaken,
        now: Time,
        port: &mut P,
        done: &mut Vec<Completion>,
    ) {
        let turn = &mut Turn { now, port, done };
        // Broken connections are rare; a scan costs the calls less than a list per connection would.
        let lost: Vec<(Index, Sent)> = self
            .slots
            .iter()
            .filter_map(|(index, slot)| match slot.state {
                State::Sent(sent) | State::Verdict(sent) if sent.on == on => Some((index, sent)),
                _ => None,
            })
            .collect();
        // One broken connection is one failure of its peer, however many calls were on it.
        let peer = lost.iter().find_map(|(index, _)| self.slots.get(*index)?.candidate.clone());
        if let Some(candidate) = peer {
            candidate.peer.circuit().failed(now);
        }
        for (index, sent) in lost {
            let counted = sent.stream.0 + 2 * u64::from(Defect::TableMiscountsUnsent.is_in());
            let is_untaken = untaken.contains(StreamId(counted)) && !sent.started;
            let executed = if is_untaken { Executed::No } else { sent.executed() };
            self.lost(index, executed, turn);
        }
        self.leave_credit_line(on, turn);
    }

    /// Calls that waited for credit of a connection look for another one.
    pub(crate) fn leave_credit_line<P: Outbound>(&mut self, on: ConnectionId, turn: &mut Turn<'_, P>) {
        let Some(mut line) = self.parked.remove(&on) else { return };
        while let Some(slot) = line.pop_front(&mut self.links) {
            // Nothing of it was sent: it starts again, and that is no further attempt.
            if let Some(index) = self.slots.index_of(slot) {
                self.release(index);
                self.attempt(index, turn);
            }
        }
    }

    /// Gives free slots of the own node to calls that wait for one.
    pub(crate) fn fill_slots<P: Outbound>(&mut self, turn: &mut Turn<'_, P>) {
        let functions: Vec<u64> = self.no_slot.keys().copied().collect();
        for function in functions {
            while let Some((index, running)) = self.next_with_slot(function) {
                self.leave_line(index);
                self.run(index, function, running, turn);
            }
        }
        self.poll_at = (!self.no_slot.is_empty()).then(|| turn.now + self.config.poll);
    }

    pub(crate) fn await_candidate(&mut self, index: Index, now: Time, until: Time) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.state = State::NoCandidate;
        slot.wait_until = Some(until);
        self.no_candidate.push_back(index.slot, &mut self.links);
        // Past `until` only while the node is starting: that ends without a word to this table.
        let next_look = if until > now { until } else { now + STARTING_POLL };
        self.wheel.arm(index.slot, next_look.min(slot.deadline));
    }

    pub(crate) fn await_entry(&mut self, index: Index) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.state = State::NoEntry;
        self.no_entry.push_back(index.slot, &mut self.links);
        self.wheel.arm(index.slot, slot.deadline);
    }

    pub(crate) fn await_slot(&mut self, index: Index, function: u64, waiting: Waiting, now: Time) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.state = State::NoSlot { function, _waiting: waiting };
        self.no_slot.entry(function).or_default().push_back(index.slot, &mut self.links);
        self.wheel.arm(index.slot, slot.deadline);
        self.poll_at.get_or_insert(now + self.config.poll);
    }

    pub(crate) fn park(&mut self, index: Index, on: ConnectionId) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.state = State::Parked(on);
        self.parked.entry(on).or_default().push_back(index.slot, &mut self.links);
        self.wheel.arm(index.slot, slot.deadline);
        self.counters.parked += 1;
    }

    /// Takes a call out of the line it stands in, if it does. Its state still says which.
    pub(crate) fn leave_line(&mut self, index: Index) {
        match self.slots.get(index).map(|slot| &slot.state) {
            Some(State::NoCandidate) => self.no_candidate.remove(index.slot, &mut self.links),
            Some(State::NoEntry) => self.no_entry.remove(index.slot, &mut self.links),
            Some(State::Parked(on)) => {
                let on = *on;
                if let Some(line) = self.parked.get_mut(&on) {
                    line.remove(index.slot, &mut self.links);
                    if line.is_empty() {
                        self.parked.remove(&on);
                    }
                }
            }
            Some(State::NoSlot { function, .. }) => {
                let function = *function;
                if let Some(line) = self.no_slot.get_mut(&function) {
                    line.remove(index.slot, &mut self.links);
                    if line.is_empty() {
                        self.no_slot.remove(&function);
                    }
                }
                if self.no_slot.is_empty() {
                    self.poll_at = None;
                }
            }
            _ => {}
        }
    }

    fn next_with_slot(&self, function: u64) -> Option<(Index, Running)> {
        let index = self.slots.index_of(self.no_slot.get(&function)?.first()?)?;
        let candidate = self.slots.get(index)?.candidate.as_ref()?;
        Some((index, Running::start(&candidate.local.as_ref()?.slots)?))
    }

    fn attempt_in<P: Outbound>(&mut self, slot: u32, turn: &mut Turn<'_, P>) {
        if let Some(index) = self.slots.index_of(slot) {
            self.attempt(index, turn);
        }
    }

    fn time_is_up<P: Outbound>(&mut self, index: Index, turn: &mut Turn<'_, P>) {
        let Some(slot) = self.slots.get(index) else { return };
        match slot.state {
            State::Choosing | State::Abandoned => {}
            State::NoCandidate => {
                self.leave_line(index);
                self.attempt(index, turn);
            }
            State::Pausing => self.attempt(index, turn),
            State::NoEntry | State::Parked(_) | State::NoSlot { .. } => {
                self.leave_line(index);
                self.deadline_passed(index, Word::none(Executed::No), turn);
            }
            State::Gathering { .. } => {
                turn.port.cancel_gather(CallKey::new(self.caller.bridge, index));
                self.deadline_passed(index, Word::none(Executed::No), turn);
            }
            // A client waits for the word of a call that has started, too: it does not know yet who has it.
            State::Sent(sent) if !sent.started || matches!(slot.route, Route::Entry) => {
                turn.port.send_cancel(sent.on, sent.stream);
                let patience = self.patience(index, sent.on, turn.port);
                self.wheel.arm(index.slot, turn.now + patience);
                if let Some(slot) = self.slots.get_mut(index) {
                    slot.state = State::Verdict(sent);
                }
            }
            State::Verdict(sent) => self.deadline_passed(index, Word::none(sent.executed()), turn),
            // Its first item is on the way from another thread.
            State::Local if slot.flow.has_passed() && !slot.flow.flowing => self.prolong(index),
            State::Sent(_) | State::Local => {
                let (local, handed_on) = (matches!(slot.state, State::Local), slot.handed_on);
                if let Some(executed) = self.stop(index, turn.port) {
                    let mut ledger = Ledger::default();
                    if local {
                        ledger.add_at_callee(turn.now.since(handed_on), executed);
                    }
                    self.deadline_passed(index, Word { ledger, ..Word::none(executed) }, turn);
                }
            }
        }
    }

    /// How long to wait for the callee's word after the deadline.
    fn patience<P: Outbound>(&self, index: Index, on: ConnectionId, port: &P) -> Duration {
        let entry = self.slots.get(index).is_some_and(|slot| matches!(slot.route, Route::Entry));
        match port.round_trip(on) {
            // The word may come from a node behind the entry node, and nothing is known of that way.
            Some(round_trip) if !entry => {
                (round_trip * 2).saturating_add(self.config.verdict_extra).min(self.config.verdict_max)
            }
            _ => self.config.verdict_max,
        }
    }

    fn lost<P: Outbound>(&mut self, index: Index, executed: Executed, turn: &mut Turn<'_, P>) {
        let Some(slot) = self.slots.get(index) else { return };
        if matches!(slot.state, State::Verdict(_)) {
            return self.deadline_passed(index, Word::none(executed), turn);
        }
        let idempotent = slot.candidate.as_ref().map_or(slot.idempotent, |candidate| candidate.idempotent);
        let node = self.release(index);
        let text = match executed {
            Executed::No => "the connection was lost before the call was sent",
            Executed::Yes => "the connection was lost while the function ran",
            Executed::Unknown => {
                "the connection was lost after the call was sent, so nobody knows whether it was executed; \
                 functions declared idempotent=True are tried again"
            }
        };
        let body = ErrorBody::new(ErrorCode::ConnectionLost, text);
        self.attempt_failed(index, Failed { idempotent, ..Failed::new(body, executed, node) }, turn);
    }
}

/// While the node is starting: how often a call whose `wait` is over looks whether it still is.
const STARTING_POLL: Duration = Duration::from_millis(50);
