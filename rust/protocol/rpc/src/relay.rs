//! Calls of clients that another node runs: sent on once, answered by relaying its answer untouched.

use mpreg_types::{ConnectionId, ErrorBody, ErrorCode, Executed, Payload, ReplyHead, StreamId, Time};

use crate::inbound::{Cargo, Place, Relay, Then};
use crate::key::{Index, SWITCH_BRIDGE};
use crate::links::Fifo;
use crate::switch::{Said, Step, deadline_body, overloaded_body};
use crate::{InboundKey, NotSent, Output, SendFailure, Switch};

/// Calls that wait for credit on one connection.
#[derive(Debug, Default)]
pub(crate) struct CreditLine {
    pub(crate) line: Fifo,
    /// The first of them is out as a `Forward`: the next one goes when that was taken.
    pub(crate) trying: bool,
}

impl Switch {
    /// The outcome of a [`Output::Forward`].
    pub fn forwarded(
        &mut self,
        relay: InboundKey,
        outcome: Result<StreamId, NotSent>,
        now: Time,
        out: &mut Vec<Output>,
    ) {
        let index = relay.0;
        let step = &mut Step { now, out };
        let place = self
            .calls
            .get_mut(index)
            .map(|call| std::mem::replace(&mut call.place, Place::Arriving { wait_until: None }));
        let Some(Place::Forwarding { relay, then }) = place else {
            if let (Some(place), Some(call)) = (place, self.calls.get_mut(index)) {
                call.place = place;
            }
            self.counters.late += 1;
            return;
        };
        let to = relay.to;
        match outcome {
            Ok(stream) => {
                self.counters.forwarded += 1;
                self.sent_on(index, relay, then, stream, step);
                self.try_next(to, step);
            }
            Err(NotSent { why, mut head, value }) => {
                head.forwards = head.forwards.saturating_sub(1);
                let full = matches!(why, SendFailure::NoCredit | SendFailure::TooManyPending);
                if let Some(call) = self.calls.get_mut(index) {
                    call.cargo = Some(Cargo { head, value });
                }
                self.not_taken(index, relay, then, why, step);
                match self.no_credit.get_mut(&to) {
                    Some(line) if full && line.line.is_empty() => {
                        self.no_credit.remove(&to);
                    }
                    Some(line) if full => line.trying = false,
                    _ => self.try_next(to, step),
                }
            }
        }
    }

    /// A reply came for a relayed call. One that belongs to no relay (any more) is dropped and counted.
    pub fn reply(
        &mut self,
        on: ConnectionId,
        stream: StreamId,
        mut head: ReplyHead,
        value: Payload,
        now: Time,
        out: &mut Vec<Output>,
    ) {
        let index = Index::of_token(head.token);
        match self.calls.get(index).map(|call| &call.place) {
            Some(Place::Relayed { relay, stream: sent, .. }) if (relay.to, *sent) == (on, stream) => {}
            _ => {
                self.counters.late += 1;
                return;
            }
        }
        let Some(mut call) = self.forget(index) else { return };
        let kept = call.step.take().filter(|step| head.ok && step.keep.is_some());
        let Place::Relayed { relay, started, .. } = &mut call.place else { return };
        relay.answered(now.since(call.arrived), head.ok);
        let idempotent = relay.idempotent;
        let of_worker = relay.is_to_worker();
        relay.peer.circuit().succeeded();
        if let Some(load) = head.load {
            relay.peer.report_load(load, now);
        }
        head.token = call.token;
        if !head.ok {
            // The client has no catalog: it learns here who failed, and whether another attempt may follow.
            let extras = head.extras.get_or_insert_default();
            if of_worker {
                // Outside there is one node, whatever process of it ran the call.
                extras.node = None;
            }
            extras.node.get_or_insert(relay.peer.node());
            extras.idempotent = relay.idempotent;
            if *started {
                head.executed = Executed::Yes;
            }
        }
        let (from, stream, arrived) = (call.from, call.stream, call.arrived);
        if of_worker {
            drop(call);
            head.load = Some(self.workload.load());
            self.slot_freed(&mut Step { now, out });
        }
        out.push(match kept {
            Some(step) => Output::Keep { to: from, stream, head, value, step, arrived, idempotent },
            None => Output::Reply { to: from, stream, head, value },
        });
    }

    /// A callee reports the start of relayed calls, by the tokens that their frames carried.
    pub fn started(&mut self, on: ConnectionId, tokens: &[u64], now: Time, out: &mut Vec<Output>) {
        for token in tokens {
            let Some(call) = self.calls.get_mut(Index::of_token(*token)) else {
                self.counters.late += 1;
                continue;
            };
            match &mut call.place {
                Place::Relayed { relay, started, .. } if relay.to == on => {
                    if !std::mem::replace(started, true) {
                        self.reports.push((call.from, call.token));
                    }
                }
                _ => self.counters.late += 1,
            }
        }
        self.send_reports(&mut Step { now, out });
    }

    /// A connection has credit (or places for calls) again.
    pub fn writable(&mut self, on: ConnectionId, now: Time, out: &mut Vec<Output>) {
        if self.no_credit.get(&on).is_some_and(|line| !line.trying) {
            self.try_next(on, &mut Step { now, out });
        }
    }

    /// Sends a call on, or lets it stand in the line for credit.
    pub(crate) fn forward(&mut self, index: Index, relay: Relay, step: &mut Step<'_>) {
        let Some(call) = self.calls.get(index) else { return };
        let from_member = self.peers.get(&call.from).is_none_or(|link| link.peer.is_member());
        if from_member && !relay.is_to_worker() {
            let text =
                "nodes send their calls to the node that runs them; this one forwards for its clients only";
            return self.refuse(index, ErrorBody::new(ErrorCode::NoRoute, text), step);
        }
        let forwards = call.cargo.as_ref().map_or(0, |cargo| cargo.head.forwards);
        if forwards >= self.config.forwards_max {
            let text = format!(
                "the call was forwarded {forwards} times inside the cluster and still is not where it belongs"
            );
            return self.refuse(index, ErrorBody::new(ErrorCode::RouteLoop, text), step);
        }
        if call.deadline <= step.now {
            return self.refuse(index, deadline_body("before the call was sent on"), step);
        }
        let to = relay.to;
        if !self.no_credit.is_empty() && self.no_credit.contains_key(&to) {
            // Who came earlier goes earlier.
            return self.park(index, relay, step);
        }
        self.emit_forward(index, relay, step);
    }

    fn emit_forward(&mut self, index: Index, relay: Relay, step: &mut Step<'_>) {
        let Some(call) = self.calls.get_mut(index) else { return };
        let Some(Cargo { mut head, value }) = call.cargo.take() else { return };
        if let Some(name) = self.peers.get(&call.from).and_then(|link| link.peer.client_name()) {
            head.extras.get_or_insert_default().client = Some(name.to_owned());
        }
        head.forwards += 1;
        head.token = index.token(SWITCH_BRIDGE);
        head.remaining = call.deadline.since(step.now);
        let to = relay.to;
        call.place = Place::Forwarding { relay, then: Then::Relay };
        (call.waiting, call.gathered) = (None, None);
        self.wheel.arm(index.slot, call.deadline);
        step.out.push(Output::Forward { relay: InboundKey(index), to, head, value });
    }

    fn sent_on(&mut self, index: Index, relay: Relay, then: Then, stream: StreamId, step: &mut Step<'_>) {
        let to = relay.to;
        if then == Then::Drop {
            step.out.push(Output::CancelRemote { to, stream });
            self.forget(index);
            return;
        }
        let Some(link) = self.peers.get_mut(&to) else {
            // Lost between the write and this word of it.
            return self.peer_lost(index, &relay, Executed::Unknown, step);
        };
        if !link.relays.add(stream, index) {
            self.counters.duplicates += 1;
        }
        let Some(call) = self.calls.get_mut(index) else { return };
        call.place = Place::Relayed { relay, stream, started: false, cancelled: false };
        if then == Then::Cancel {
            self.cancel_relay(index, step);
        }
    }

    fn not_taken(&mut self, index: Index, relay: Relay, then: Then, why: SendFailure, step: &mut Step<'_>) {
        let node = Some(relay.peer.node());
        match (then, why) {
            (Then::Drop, _) => {
                self.forget(index);
            }
            (Then::Cancel, _) => {
                let body = ErrorBody::new(ErrorCode::CancelledByPeer, "cancelled before it was sent on");
                self.end(index, Executed::No, &body, node, step);
            }
            (Then::Relay, SendFailure::NoCredit | SendFailure::TooManyPending) => {
                self.park(index, relay, step);
            }
            (Then::Relay, SendFailure::Closed) if relay.is_to_worker() => {
                // Nothing of it was sent, and another worker may be there.
                self.workers.lost(relay.to);
                self.aim_at(index, &relay.wanted);
                drop(relay);
                self.place(index, step);
            }
            (Then::Relay, SendFailure::Closed) => {
                relay.peer.circuit().failed(step.now);
                let text = "the connection to the chosen node was lost before the call was sent";
                self.refuse_for(index, ErrorBody::new(ErrorCode::ConnectionLost, text), node, step);
            }
            (Then::Relay, SendFailure::TooLarge) => {
                let text = "the arguments are larger than the chosen node accepts (max_value_bytes)";
                self.refuse_for(index, ErrorBody::new(ErrorCode::TooLarge, text), node, step);
            }
        }
    }

    /// Into the line for credit: at its end, or at its front if that is where it came from.
    fn park(&mut self, index: Index, relay: Relay, step: &mut Step<'_>) {
        if !self.reserve_wait(index) {
            return self.refuse(index, overloaded_body(), step);
        }
        let Some(call) = self.calls.get_mut(index) else { return };
        self.wheel.arm(index.slot, call.deadline);
        let line = self.no_credit.entry(relay.to).or_default();
        if std::mem::take(&mut line.trying) {
            line.line.push_front(index.slot, &mut self.links);
        } else {
            line.line.push_back(index.slot, &mut self.links);
        }
        call.place = Place::Parked(relay);
    }

    /// Tries the first call of a line again; the next one follows when it was taken.
    fn try_next(&mut self, on: ConnectionId, step: &mut Step<'_>) {
        while let Some(line) = self.no_credit.get_mut(&on) {
            line.trying = false;
            let Some(slot) = line.line.pop_front(&mut self.links) else {
                self.no_credit.remove(&on);
                return;
            };
            line.trying = true;
            let Some(index) = self.calls.index_of(slot) else { continue };
            let Some(call) = self.calls.get_mut(index) else { continue };
            if call.deadline <= step.now {
                self.refuse(
                    index,
                    deadline_body("while the connection to the chosen node had no credit"),
                    step,
                );
                continue;
            }
            let place = std::mem::replace(&mut call.place, Place::Arriving { wait_until: None });
            if let Place::Parked(relay) = place {
                return self.emit_forward(index, relay, step);
            }
        }
    }

    /// The peer that had a call is gone: its caller learns what is known.
    pub(crate) fn peer_lost(&mut self, index: Index, relay: &Relay, executed: Executed, step: &mut Step<'_>) {
        let Some(call) = self.forget(index) else { return };
        let text = match executed {
            _ if relay.is_to_worker() => worker_lost(executed),
            Executed::No => "the connection to the chosen node was lost before the call was sent",
            Executed::Yes => "the connection to the node that ran the call was lost",
            Executed::Unknown => {
                "the connection to the chosen node was lost after the call was sent, so nobody knows whether it was \
                 executed; functions declared idempotent=True are tried again"
            }
        };
        let body = ErrorBody::new(ErrorCode::ConnectionLost, text);
        let node = Some(relay.peer.node());
        self.answer(call.from, call.stream, call.token, &body, Said { executed, node, ledger: None }, step);
        if let Some(Output::Reply { head, .. }) = step.out.last_mut() {
            head.extras.get_or_insert_default().idempotent = relay.idempotent;
        }
    }

    /// Tells the callee that nobody waits, and waits a little for its word.
    pub(crate) fn cancel_relay(&mut self, index: Index, step: &mut Step<'_>) {
        let Some(call) = self.calls.get_mut(index) else { return };
        if let Place::Relayed { relay, stream, cancelled, .. } = &mut call.place
            && !std::mem::replace(cancelled, true)
        {
            step.out.push(Output::CancelRemote { to: relay.to, stream: *stream });
            self.wheel.arm(index.slot, step.now + self.config.verdict_max);
        }
    }
}

/// What callers are told whose call a worker process had when it ended.
fn worker_lost(executed: Executed) -> &'static str {
    match executed {
        Executed::No => "the worker process that was to run the call ended before the call was sent to it",
        Executed::Yes => "the worker process that ran the call has ended",
        Executed::Unknown => {
            "the worker process that had the call has ended, so nobody knows whether it was executed; functions \
             declared idempotent=True are tried again"
        }
    }
}
