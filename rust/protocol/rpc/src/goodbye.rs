//! The other side of a connection says goodbye: it takes no further call over it, and names those it has not taken.
//!
//! Such a call did not execute, and that nobody took it is no failure of anybody: it moves on at once, at the cost of no
//! retry, as a call does that a leaving node refuses. Moves are bounded, so a peer that never takes what it gets holds up
//! its own calls and nothing else.

use std::time::Duration;

use mpreg_types::{ConnectionId, Defect, ErrorBody, ErrorCode, Executed, StreamId, Time, Untaken};

use crate::attempt::{Failed, Word};
use crate::call_table::Turn;
use crate::inbound::Place;
use crate::key::Index;
use crate::retry::backoff;
use crate::slot::State;
use crate::switch::{Said, Step};
use crate::{CallTable, Completion, Outbound, Output, Route, Switch};

/// How often a call moves on for nothing; after that it costs retries.
pub(crate) const MOVES_MAX: u8 = 4;

/// What a goodbye says of calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goodbye {
    /// Calls that the other side has not taken. Those it took it still answers.
    pub untaken: Untaken,
    /// The node is leaving; else only the connection goes.
    pub leaves: bool,
}

impl Goodbye {
    /// True if a call on `stream` is known not to have been taken.
    fn denies(&self, stream: StreamId) -> bool {
        let counted = StreamId(stream.0 + 2 * u64::from(Defect::GoodbyeDeniesTheLast.is_in()));
        self.untaken.contains(counted)
    }
}

impl CallTable {
    /// The other side of a connection said goodbye. No call is sent over it any more.
    pub fn goodbye<P: Outbound>(
        &mut self,
        on: ConnectionId,
        goodbye: &Goodbye,
        now: Time,
        port: &mut P,
        done: &mut Vec<Completion>,
    ) {
        let turn = &mut Turn { now, port, done };
        let untaken: Vec<Index> = self
            .slots
            .iter()
            .filter(|(_, slot)| match slot.state {
                // Who reported a start has taken it, whatever it says now.
                State::Sent(sent) | State::Verdict(sent) => {
                    sent.on == on && !sent.started && goodbye.denies(sent.stream)
                }
                _ => false,
            })
            .map(|(index, _)| index)
            .collect();
        for index in untaken {
            if self.slots.get(index).is_some_and(|slot| matches!(slot.state, State::Verdict(_))) {
                self.deadline_passed(index, Word::none(Executed::No), turn);
            } else {
                self.turned_away(index, goodbye.leaves, turn);
            }
        }
        self.leave_credit_line(on, turn);
    }

    /// The connection was closed in order before the call was taken; it goes to another node if it is to `avoid` this one
    /// and there is another.
    pub(crate) fn turned_away<P: Outbound>(&mut self, index: Index, avoid: bool, turn: &mut Turn<'_, P>) {
        let node = self.release(index);
        let body = ErrorBody::new(ErrorCode::ConnectionLost, NOT_TAKEN);
        self.moved(index, Failed::new(body, Executed::No, node), avoid, turn);
    }

    /// An attempt came to nothing because its node, or its connection, went in order: another one follows.
    pub(crate) fn moved<P: Outbound>(
        &mut self,
        index: Index,
        mut failed: Failed,
        avoid: bool,
        turn: &mut Turn<'_, P>,
    ) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let has_one_place = matches!(slot.route, Route::Candidate(_)) && avoid;
        if slot.moves_left == 0 || slot.flow.flowing || has_one_place {
            return self.attempt_failed(index, failed, turn);
        }
        let pause = match MOVES_MAX - slot.moves_left {
            0 => Duration::ZERO,
            moves => backoff(moves.into(), &mut self.rng),
        };
        let at = turn.now + pause;
        if at >= slot.deadline {
            return self.fail(index, failed, turn);
        }
        slot.remember(&mut failed);
        slot.moves_left -= 1;
        slot.head.attempt = slot.head.attempt.saturating_add(1);
        if let (Some(node), true) = (failed.node, avoid) {
            slot.avoid(node);
        }
        self.counters.moved += 1;
        if pause.is_zero() {
            return self.attempt(index, turn);
        }
        slot.state = State::Pausing;
        self.wheel.arm(index.slot, at);
    }
}

impl Switch {
    /// The other side of a connection said goodbye. No call is sent on over it any more; its own calls that came before
    /// are still answered.
    pub fn goodbye(&mut self, on: ConnectionId, goodbye: &Goodbye, now: Time, out: &mut Vec<Output>) {
        let step = &mut Step { now, out };
        let Some(link) = self.peers.get(&on) else { return };
        let relays: Vec<Index> = link.relays.indices().collect();
        // Before any of its calls looks for another place.
        self.workers.lost(on);
        for index in relays {
            let is_untaken = match self.calls.get(index).map(|call| &call.place) {
                Some(Place::Relayed { relay, stream, started: false, .. }) => {
                    relay.to == on && goodbye.denies(*stream)
                }
                _ => false,
            };
            if is_untaken {
                self.not_taken_by_peer(index, goodbye.leaves, step);
            }
        }
        self.slot_freed(step);
        self.leave_credit_line(on, step);
    }

    fn not_taken_by_peer(&mut self, index: Index, leaves: bool, step: &mut Step<'_>) {
        let Some(call) = self.forget(index) else { return };
        let Place::Relayed { relay, .. } = &call.place else { return };
        // Its value went with it, so its caller sends it again. A leaving worker is not the node leaving.
        let code =
            if leaves && !relay.is_to_worker() { ErrorCode::Draining } else { ErrorCode::ConnectionLost };
        let body = ErrorBody::new(code, NOT_TAKEN);
        let said = Said { executed: Executed::No, node: Some(relay.peer.node()), ledger: None };
        self.answer(call.from, call.stream, call.token, &body, said, step);
    }
}

const NOT_TAKEN: &str = "the other side closed the connection before it took the call";
