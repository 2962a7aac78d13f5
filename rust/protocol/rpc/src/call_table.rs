//! The caller's side: one table per bridge, that is per Python loop or blocking caller, owned by its thread.
//!
//! Invariants: a call completes exactly once (or is cancelled and never completes); a call that was handed to a
//! connection is not sent again unless that is known not to matter (`executed="no"`, or `idempotent=True`); a reply
//! counts only if it comes on the connection and stream of the present attempt.

use std::collections::BTreeMap;
use std::sync::Arc;

use mpreg_types::{
    CallHead, CallId, ConnectionId, ErrorBody, ErrorCode, Executed, Incarnation, NodeId, Payload, ReplyHead,
    StreamId, Target, Time,
};

use crate::attempt::{Failed, Word};
use crate::claim::{Claims, Revoked};
use crate::flow::Flow;
use crate::goodbye::MOVES_MAX;
use crate::key::Index;
use crate::links::{Fifo, Links};
use crate::retry::RetryBudget;
use crate::rng::Rng;
use crate::slab::Slab;
use crate::slot::{CallSlot, Sent, State};
use crate::wheel::Wheel;
use crate::workload::Workload;
use crate::{CallKey, Completion, Outbound, Request, Route, Success, TableConfig, TableCounters};

/// Who makes the calls of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The node or client.
    pub origin: NodeId,
    /// Its start.
    pub incarnation: Incarnation,
    /// The table's number in the process, not [`SWITCH_BRIDGE`](crate::SWITCH_BRIDGE).
    pub bridge: u16,
}

/// The calls of one thread.
#[derive(Debug)]
pub struct CallTable {
    pub(crate) config: TableConfig,
    pub(crate) caller: Caller,
    pub(crate) slots: Slab<CallSlot>,
    pub(crate) wheel: Wheel,
    pub(crate) links: Links,
    pub(crate) no_candidate: Fifo,
    pub(crate) no_entry: Fifo,
    /// Lines of calls without credit; a connection without one has no entry.
    pub(crate) parked: BTreeMap<ConnectionId, Fifo>,
    /// Lines of calls without a slot, by function; a function without one has no entry.
    pub(crate) no_slot: BTreeMap<u64, Fifo>,
    /// When to look for free slots again, while a call waits for one.
    pub(crate) poll_at: Option<Time>,
    pub(crate) claims: Arc<Claims>,
    pub(crate) workload: Arc<Workload>,
    pub(crate) budget: Arc<RetryBudget>,
    /// Calls whose share the budget has not got yet: it is shared between threads, so it is told rarely.
    pub(crate) undeposited: u32,
    pub(crate) rng: Rng,
    sequence: u64,
    pub(crate) counters: TableCounters,
}

/// What one input of a table works with.
pub(crate) struct Turn<'a, P> {
    pub(crate) now: Time,
    pub(crate) port: &'a mut P,
    pub(crate) done: &'a mut Vec<Completion>,
}

/// Calls after which the retry budget is told.
const DEPOSIT_EVERY: u32 = 64;

impl CallTable {
    /// An empty table. `workload` and `budget` are the node's (or the client's); `seed` gives jitter and ties.
    pub fn new(
        config: TableConfig,
        caller: Caller,
        workload: Arc<Workload>,
        budget: Arc<RetryBudget>,
        seed: u64,
    ) -> Self {
        // The numbers of bridges are used again: what comes late for a former table must mean nothing to this one.
        let slots = Slab::new(config.calls_max).counting_from((seed >> 32) as u32);
        Self {
            config,
            caller,
            claims: Claims::new(slots.max()),
            slots,
            wheel: Wheel::new(),
            links: Links::default(),
            no_candidate: Fifo::default(),
            no_entry: Fifo::default(),
            parked: BTreeMap::new(),
            no_slot: BTreeMap::new(),
            poll_at: None,
            workload,
            budget,
            undeposited: 0,
            rng: Rng::new(seed),
            // The upper bits keep the numbers of several tables of one process apart.
            sequence: u64::from(caller.bridge) << 48,
            counters: TableCounters::default(),
        }
    }

    /// Makes a call: it is sent, or stands in a line, or is in `done` already.
    pub fn begin<P: Outbound>(
        &mut self,
        request: Request,
        value: Payload,
        now: Time,
        port: &mut P,
        done: &mut Vec<Completion>,
    ) -> CallKey {
        self.counters.begun += 1;
        self.undeposited += 1;
        if self.undeposited >= DEPOSIT_EVERY {
            self.deposit();
        }
        self.sequence += 1;
        let (caller, sequence) = (self.caller, self.sequence);
        // What a node itself answers with a stream has its deadline for the whole of it.
        let limit = matches!(request.target.target, Target::Here { .. }).then_some(request.deadline);
        let make = |index: Index| CallSlot {
            head: CallHead {
                token: index.token(caller.bridge),
                call: CallId { origin: caller.origin, incarnation: caller.incarnation, sequence },
                attempt: 1,
                remaining: request.deadline.since(now),
                value_bytes: value.len() as u64,
                hops_left: request.hops,
                forwards: 0,
                stream: request.stream,
                target: request.target,
                extras: request.extras,
            },
            value,
            route: request.route,
            selector: None,
            deadline: request.deadline,
            begun: now,
            handed_on: now,
            started_at: None,
            wait_until: None,
            dialled: false,
            retries_left: request.retries,
            moves_left: MOVES_MAX,
            sent: 0,
            idempotent: request.idempotent,
            candidate: None,
            history: None,
            gathered: None,
            flow: Flow { limit, ..Flow::default() },
            state: State::Choosing,
        };
        let Some(index) = self.slots.insert_with(make) else {
            return self.refuse(done);
        };
        let mut turn = Turn { now, port, done };
        if request.deadline <= now {
            self.deadline_passed(index, Word::none(Executed::No), &mut turn);
        } else {
            self.attempt(index, &mut turn);
        }
        CallKey::new(caller.bridge, index)
    }

    /// Ends a call that nobody waits for any more, without a completion. False if it had ended.
    pub fn cancel<P: Outbound>(&mut self, key: CallKey, port: &mut P) -> bool {
        let index = key.index();
        let Some(slot) = self.slots.get(index).filter(|slot| !matches!(slot.state, State::Abandoned)) else {
            return false;
        };
        self.counters.cancelled += 1;
        match slot.state {
            State::Sent(sent) | State::Verdict(sent) => port.send_cancel(sent.on, sent.stream),
            State::Local => {
                slot.flow.close();
                self.claims.revoke(index.slot);
                port.cancel_local(key);
            }
            State::Gathering { .. } => port.cancel_gather(key),
            _ => self.leave_line(index),
        }
        self.release(index);
        self.close(index);
        true
    }

    /// Who has a call now, if anybody has.
    pub fn callee(&self, key: CallKey) -> Option<(NodeId, Incarnation)> {
        let slot = self.slots.get(key.index())?;
        let has_it = matches!(slot.state, State::Sent(_) | State::Verdict(_) | State::Local);
        let candidate = slot.candidate.as_ref().filter(|_| has_it)?;
        Some((candidate.node(), candidate.incarnation()))
    }

    /// A reply came. One to a call that has ended, or to another attempt of it, is dropped and counted.
    #[expect(clippy::too_many_arguments, reason = "four of them are one frame, three what every input has")]
    pub fn reply<P: Outbound>(
        &mut self,
        on: ConnectionId,
        stream: StreamId,
        head: ReplyHead,
        value: Payload,
        now: Time,
        port: &mut P,
        done: &mut Vec<Completion>,
    ) {
        let index = Index::of_token(head.token);
        let turn = &mut Turn { now, port, done };
        let Some(slot) = self.slots.get(index) else {
            self.counters.late_replies += 1;
            return;
        };
        let (State::Sent(sent) | State::Verdict(sent)) = slot.state else {
            self.counters.late_replies += 1;
            return;
        };
        if (sent.on, sent.stream) != (on, stream) {
            self.counters.late_replies += 1;
            return;
        }
        if let Some(candidate) = &slot.candidate {
            candidate.peer.circuit().succeeded();
            if let Some(load) = head.load {
                candidate.peer.report_load(load, now);
            }
        }
        match (&slot.state, head.ok) {
            (State::Verdict(_), _) => {
                self.deadline_passed(index, Word::of(head, &value, sent.started), turn);
            }
            (_, true) => self.succeed(index, head, value, turn),
            (_, false) => self.refused(index, sent.started, head, &value, turn),
        }
    }

    /// The callee reports that it runs the call with this token.
    pub fn started<P: Outbound>(
        &mut self,
        on: ConnectionId,
        token: u64,
        now: Time,
        port: &mut P,
        done: &mut Vec<Completion>,
    ) {
        let index = Index::of_token(token);
        match self.slots.get_mut(index) {
            Some(CallSlot { state: State::Sent(sent), started_at, .. }) if sent.on == on => {
                sent.started = true;
                *started_at = Some(now);
            }
            // It says that somebody runs it, and only the word says who.
            Some(CallSlot { state: State::Verdict(sent), route: Route::Entry, .. }) if sent.on == on => {
                sent.started = true;
            }
            Some(CallSlot { state: State::Verdict(sent), .. }) if sent.on == on => {
                self.deadline_passed(index, Word::none(Executed::Yes), &mut Turn { now, port, done });
            }
            _ => self.counters.late_replies += 1,
        }
    }

    /// A function of this process has ended its work on a call (also on one it was told to cancel).
    pub fn local_result<P: Outbound>(
        &mut self,
        key: CallKey,
        head: ReplyHead,
        value: Payload,
        now: Time,
        port: &mut P,
        done: &mut Vec<Completion>,
    ) {
        let index = key.index();
        let turn = &mut Turn { now, port, done };
        match self.slots.get(index).map(|slot| &slot.state) {
            Some(State::Local) if head.ok => {
                // It ended, so there is nothing to wait for before the slot is used again.
                self.succeed(index, head, value, turn);
            }
            Some(State::Local) => {
                if let Some(slot) = self.slots.get_mut(index) {
                    slot.state = State::Choosing;
                }
                self.refused(index, false, head, &value, turn);
            }
            Some(State::Abandoned) => {
                self.counters.late_replies += 1;
                self.slots.remove(index);
            }
            _ => self.counters.late_replies += 1,
        }
        if !self.no_slot.is_empty() {
            self.fill_slots(turn);
        }
    }

    /// Nothing goes on any more (the node stops, the client closes): every call ends with `code` and `message`.
    pub fn fail_all<P: Outbound>(
        &mut self,
        code: ErrorCode,
        message: &str,
        now: Time,
        port: &mut P,
        done: &mut Vec<Completion>,
    ) {
        let live: Vec<Index> = self.slots.iter().map(|(index, _)| index).collect();
        let mut turn = Turn { now, port, done };
        for index in live {
            let Some(executed) = self.stop(index, turn.port) else { continue };
            let node = self.release(index);
            self.fail(index, Failed::new(ErrorBody::new(code, message), executed, node), &mut turn);
        }
    }

    /// Calls not completed yet, and those a function of this process still works on.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What happened so far.
    pub fn counters(&self) -> TableCounters {
        self.counters
    }

    /// Takes a call back from wherever it is; what is known of its execution, `None` if it had completed.
    pub(crate) fn stop<P: Outbound>(&mut self, index: Index, port: &mut P) -> Option<Executed> {
        match self.slots.get(index)?.state {
            State::Abandoned => None,
            State::Sent(sent) | State::Verdict(sent) => {
                port.send_cancel(sent.on, sent.stream);
                Some(sent.executed())
            }
            State::Local => {
                self.slots.get(index)?.flow.close();
                let revoked = self.claims.revoke(index.slot);
                port.cancel_local(CallKey::new(self.caller.bridge, index));
                Some(if revoked == Revoked::NotBegun { Executed::No } else { Executed::Yes })
            }
            State::Gathering { .. } => {
                port.cancel_gather(CallKey::new(self.caller.bridge, index));
                Some(Executed::No)
            }
            _ => {
                self.leave_line(index);
                Some(Executed::No)
            }
        }
    }

    pub(crate) fn deposit(&mut self) {
        self.budget.deposit(std::mem::take(&mut self.undeposited));
    }

    fn succeed<P>(&mut self, index: Index, head: ReplyHead, value: Payload, turn: &mut Turn<'_, P>) {
        let node = self.release(index).or(head.extras.as_ref().and_then(|extras| extras.node));
        self.counters.succeeded += 1;
        self.wheel.disarm(index.slot);
        self.slots.remove(index);
        let key = CallKey::new(self.caller.bridge, index);
        turn.done.push(Completion { key, outcome: Ok(Success { head, value, node }) });
    }

    /// The table is full. The completion has a key that no call has or had.
    fn refuse(&mut self, done: &mut Vec<Completion>) -> CallKey {
        self.counters.refused += 1;
        let generation = u32::try_from(self.counters.refused % (1 << 28)).unwrap_or(0);
        let key = CallKey::new(self.caller.bridge, Index::new(crate::SLOTS_MAX, generation));
        let text = format!(
            "{} calls of one event loop are under way, more than it holds: await some of them before the next",
            self.slots.len()
        );
        let body = ErrorBody::new(ErrorCode::Overloaded, text);
        self.counters.failed += 1;
        done.push(Completion { key, outcome: Err(Box::new(Failed::new(body, Executed::No, None).alone())) });
        key
    }
}

impl Sent {
    /// What is known of its execution when nothing more will be heard.
    pub(crate) fn executed(self) -> Executed {
        if self.started { Executed::Yes } else { Executed::Unknown }
    }
}
