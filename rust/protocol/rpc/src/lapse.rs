//! What ends or wakes a call before its answer: time, a cancellation, a lost connection.

use std::sync::Arc;
use std::time::Duration;

use mpreg_routing::Candidate;
use mpreg_types::{ConnectionId, Defect, ErrorBody, ErrorCode, Executed, Ledger, StreamId, Time, Untaken};

use crate::claim::Revoked;
use crate::inbound::{Place, Then};
use crate::key::Index;
use crate::switch::{Said, Step, deadline_body};
use crate::{InboundKey, Output, Switch};

/// Most tokens of one start report: with room to spare below the smallest frame a peer may ask for.
const REPORT_MAX: usize = 1024;
/// While the node is starting: how often a call whose `wait` is over looks whether it still is.
const STARTING_POLL: Duration = Duration::from_millis(50);

impl Switch {
    /// Time has passed. To be called at [`Self::next_deadline`] or soon after.
    pub fn tick(&mut self, now: Time, out: &mut Vec<Output>) {
        let step = &mut Step { now, out };
        while let Some(slot) = self.wheel.pop_expired(now) {
            if let Some(index) = self.calls.index_of(slot) {
                self.time_is_up(index, step);
            }
        }
        if self.poll_at.is_some_and(|at| at <= now) {
            self.fill_lines(step);
        }
        self.send_reports(step);
    }

    /// When `tick` is due; `None`: nothing waits for time.
    pub fn next_deadline(&self) -> Option<Time> {
        match (self.wheel.next(), self.poll_at) {
            (Some(timer), Some(poll)) => Some(timer.min(poll)),
            (timer, poll) => timer.or(poll),
        }
    }

    /// The caller does not wait any more; it is told what is known of the execution.
    pub fn cancel(&mut self, from: ConnectionId, stream: StreamId, now: Time, out: &mut Vec<Output>) {
        let Some(link) = self.peers.get(&from) else {
            self.counters.strays += 1;
            return;
        };
        let found = link.calls.find(stream).and_then(|index| Some((index, self.calls.get(index)?)));
        let Some((index, call)) = found.filter(|(_, call)| (call.from, call.stream) == (from, stream)) else {
            self.counters.late += 1;
            return;
        };
        self.counters.cancelled += 1;
        let body = ErrorBody::new(ErrorCode::CancelledByPeer, "cancelled by the caller");
        let relayed = matches!(call.place, Place::Forwarding { .. } | Place::Relayed { .. });
        let step = &mut Step { now, out };
        if relayed { self.cancel_forwarded(index, step) } else { self.take_back(index, &body, step) }
    }

    /// The drain is over: what still waits or runs here is answered and cancelled. Calls sent on to others stay, their
    /// answers may still come.
    pub fn end_drain(&mut self, now: Time, out: &mut Vec<Output>) {
        let text = "the node leaves and the call ran longer than its drain_timeout";
        let body = ErrorBody::new(ErrorCode::CancelledByPeer, text);
        let step = &mut Step { now, out };
        let all: Vec<Index> = self.peers.values().flat_map(|link| link.calls.indices()).collect();
        for index in all {
            match self.calls.get(index).map(|call| &call.place) {
                Some(Place::Relayed { relay, stream, started, .. }) if relay.is_to_worker() => {
                    let executed = if *started { Executed::Yes } else { Executed::Unknown };
                    step.out.push(Output::CancelRemote { to: relay.to, stream: *stream });
                    self.end(index, executed, &body, Some(self.me), step);
                }
                Some(Place::Forwarding { .. } | Place::Relayed { .. }) | None => {}
                Some(_) => self.take_back(index, &body, step),
            }
        }
    }

    /// A connection is gone. Calls on the streams in `untaken` provably did not execute.
    pub fn connection_lost(&mut self, on: ConnectionId, untaken: &Untaken, now: Time, out: &mut Vec<Output>) {
        let step = &mut Step { now, out };
        let Some(link) = self.peers.remove(&on) else { return };
        // Before any of its calls looks for another place.
        self.workers.lost(on);
        for index in link.calls.indices() {
            self.caller_lost(index, on, step);
        }
        let mut told = false;
        for index in link.relays.indices() {
            let Some(call) = self.calls.get_mut(index) else { continue };
            let place = std::mem::replace(&mut call.place, Place::Arriving { wait_until: None });
            match place {
                Place::Relayed { .. } if Defect::SwitchForgetsRelays.is_in() => {}
                Place::Relayed { relay, stream, started, .. } if relay.to == on => {
                    // One broken connection is one failure of its peer, however many calls were on it.
                    if !std::mem::replace(&mut told, true) {
                        relay.peer.circuit().failed(now);
                    }
                    let executed = match started {
                        true => Executed::Yes,
                        false if untaken.contains(stream) => Executed::No,
                        false => Executed::Unknown,
                    };
                    self.peer_lost(index, &relay, executed, step);
                }
                other => call.place = other,
            }
        }
        self.slot_freed(step);
        self.leave_credit_line(on, step);
    }

    /// Calls that waited for credit of a connection look for another place.
    pub(crate) fn leave_credit_line(&mut self, on: ConnectionId, step: &mut Step<'_>) {
        let Some(mut waiting) = self.no_credit.remove(&on) else { return };
        while let Some(slot) = waiting.line.pop_front(&mut self.links) {
            // Nothing of it was sent, so it is not "sent once" yet.
            self.place_again(slot, step);
        }
    }

    /// Looks for the place of a call that has just left a line.
    pub(crate) fn place_again(&mut self, slot: u32, step: &mut Step<'_>) {
        let Some(index) = self.calls.index_of(slot) else { return };
        let Some(call) = self.calls.get_mut(index) else { return };
        let place = std::mem::replace(&mut call.place, Place::Arriving { wait_until: None });
        match &place {
            Place::NoCandidate { until } => call.place = Place::Arriving { wait_until: Some(*until) },
            Place::Parked(relay) => self.aim_at(index, &relay.wanted),
            _ => {}
        }
        drop(place);
        self.place(index, step);
    }

    pub(crate) fn await_candidate(&mut self, index: Index, until: Time, now: Time) {
        let Some(call) = self.calls.get_mut(index) else { return };
        call.place = Place::NoCandidate { until };
        self.no_candidate.push_back(index.slot, &mut self.links);
        // Past `until` only while the node is starting.
        let next_look = if until > now { until } else { now + STARTING_POLL };
        self.wheel.arm(index.slot, next_look.min(call.deadline));
    }

    pub(crate) fn await_slot(&mut self, index: Index, candidate: Arc<Candidate>, now: Time) {
        let Some(call) = self.calls.get_mut(index) else { return };
        let function = candidate.local.as_ref().map_or(0, |local| local.handle);
        call.place = Place::NoSlot { candidate, function };
        self.no_slot.entry(function).or_default().push_back(index.slot, &mut self.links);
        self.wheel.arm(index.slot, call.deadline);
        self.poll_at.get_or_insert(now + self.config.poll);
    }

    /// Takes a call out of the line it stands in, if it does. Its place still says which.
    pub(crate) fn leave_line(&mut self, index: Index) {
        match self.calls.get(index).map(|call| &call.place) {
            Some(Place::NoCandidate { .. }) => self.no_candidate.remove(index.slot, &mut self.links),
            Some(Place::NoSlot { function, .. }) => {
                if let Some(line) = self.no_slot.get_mut(function) {
                    line.remove(index.slot, &mut self.links);
                    if line.is_empty() {
                        self.no_slot.remove(function);
                    }
                }
                if self.no_slot.is_empty() {
                    self.poll_at = None;
                }
            }
            Some(Place::Parked(relay)) => {
                if let Some(line) = self.no_credit.get_mut(&relay.to) {
                    line.line.remove(index.slot, &mut self.links);
                    if line.line.is_empty() && !line.trying {
                        self.no_credit.remove(&relay.to);
                    }
                }
            }
            _ => {}
        }
    }

    /// Sends what was gathered of starts: one frame per connection.
    pub(crate) fn send_reports(&mut self, step: &mut Step<'_>) {
        if self.reports.is_empty() {
            return;
        }
        self.counters.reported += self.reports.len() as u64;
        self.reports.sort_unstable();
        for of_one in self.reports.chunk_by(|a, b| a.0 == b.0) {
            for part in of_one.chunks(REPORT_MAX) {
                let tokens = part.iter().map(|(_, token)| *token).collect();
                step.out.push(Output::Started { to: part[0].0, tokens });
            }
        }
        self.reports.clear();
    }

    fn time_is_up(&mut self, index: Index, step: &mut Step<'_>) {
        let Some(call) = self.calls.get_mut(index) else { return };
        let passed = call.deadline <= step.now;
        if passed && matches!(call.place, Place::Running { .. }) && self.goes_on(index, step.now) {
            return;
        }
        let Some(call) = self.calls.get_mut(index) else { return };
        match &mut call.place {
            Place::NoCandidate { .. } => {
                self.leave_line(index);
                self.place_again(index.slot, step);
            }
            Place::Running { reported, .. } if !passed => {
                if self.claims.has_begun(index.slot) {
                    *reported = true;
                    self.reports.push((call.from, call.token));
                    self.wheel.arm(index.slot, call.deadline);
                } else {
                    self.wheel.arm(index.slot, call.deadline.min(step.now + self.config.report_after));
                }
            }
            Place::Relayed { cancelled: true, .. } => self.no_word(index, step),
            Place::Relayed { .. } | Place::Forwarding { .. } => {
                self.counters.deadlines += 1;
                self.cancel_forwarded(index, step);
            }
            Place::NoSlot { .. } | Place::Gathering | Place::Parked(_) | Place::Running { .. } => {
                self.counters.deadlines += 1;
                let stage = match &call.place {
                    Place::Gathering => "while large inputs of the step were fetched",
                    Place::NoSlot { .. } => "in the queue of the node that was to run the call",
                    Place::Parked(_) => "while the connection to the chosen node had no credit",
                    _ => "before the function returned",
                };
                self.take_back(index, &deadline_body(stage), step);
            }
            Place::Arriving { .. } | Place::Abandoned { .. } => {}
        }
    }

    /// Answers a call that is here, in a line or at a dispatcher, with an error.
    fn take_back(&mut self, index: Index, body: &ErrorBody, step: &mut Step<'_>) {
        let Some(call) = self.calls.get_mut(index) else { return };
        let (from, stream, token) = (call.from, call.stream, call.token);
        let (function, since) = match call.place {
            Place::Running { function, since, .. } => (function, since),
            Place::Abandoned { .. } => return,
            _ => {
                self.leave_line(index);
                self.gather_no_more(index, step);
                return self.end(index, Executed::No, body, Some(self.me), step);
            }
        };
        let mut ledger = Ledger::queued(since.since(call.arrived));
        call.place = Place::Abandoned { function };
        call.flow.close();
        self.wheel.disarm(index.slot);
        let executed = match self.claims.revoke(index.slot) {
            Revoked::Begun if Defect::SwitchDeniesTheStart.is_in() => Executed::No,
            Revoked::NotBegun => Executed::No,
            Revoked::Begun => Executed::Yes,
            Revoked::Answered => return,
        };
        ledger.add_at_callee(step.now.since(since), executed);
        step.out.push(Output::CancelLocal { key: InboundKey(index), from, stream });
        let said = Said { executed, node: Some(self.me), ledger: Some(ledger) };
        self.answer(from, stream, token, body, said, step);
    }

    fn cancel_forwarded(&mut self, index: Index, step: &mut Step<'_>) {
        match self.calls.get_mut(index).map(|call| &mut call.place) {
            Some(Place::Forwarding { then, .. }) => *then = Then::Cancel,
            _ => self.cancel_relay(index, step),
        }
    }

    /// The callee of a cancelled relay said nothing.
    fn no_word(&mut self, index: Index, step: &mut Step<'_>) {
        let Some(call) = self.calls.get(index) else { return };
        let Place::Relayed { relay, started, .. } = &call.place else { return };
        let executed = if *started { Executed::Yes } else { Executed::Unknown };
        let node = Some(relay.peer.node());
        let body = deadline_body("and the node that has the call did not say whether it was executed");
        self.end(index, executed, &body, node, step);
    }

    /// The caller of a call is gone: what runs for it is cancelled.
    fn caller_lost(&mut self, index: Index, on: ConnectionId, step: &mut Step<'_>) {
        let Some(call) = self.calls.get_mut(index).filter(|call| call.from == on) else { return };
        self.counters.orphaned += 1;
        let stream = call.stream;
        match &mut call.place {
            Place::Running { function, .. } => {
                call.place = Place::Abandoned { function: *function };
                call.flow.close();
                self.wheel.disarm(index.slot);
                if self.claims.revoke(index.slot) != Revoked::Answered {
                    step.out.push(Output::CancelLocal { key: InboundKey(index), from: on, stream });
                }
            }
            Place::Abandoned { .. } => {}
            Place::Forwarding { then, .. } => *then = Then::Drop,
            Place::Relayed { relay, stream, cancelled, .. } => {
                if !*cancelled {
                    step.out.push(Output::CancelRemote { to: relay.to, stream: *stream });
                }
                self.forget(index);
            }
            Place::Arriving { .. }
            | Place::NoCandidate { .. }
            | Place::Gathering
            | Place::NoSlot { .. }
            | Place::Parked(_) => {
                self.leave_line(index);
                self.gather_no_more(index, step);
                self.forget(index);
            }
        }
    }
}
