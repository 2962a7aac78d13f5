//! What arrives at a node: admission to the own functions, relay to others, and the answers.
//!
//! Invariants: every call is answered exactly once while its connection lives, by the switch, by the dispatcher (the
//! [`Claim`](crate::Claim) decides which) or by relaying another's answer; a call is forwarded once; nothing starts
//! after its deadline; every connection that is lost cancels what runs for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use mpreg_routing::{Context, NoCandidate, Snapshot};
use mpreg_types::{
    Builtin, CallHead, ConnectionId, ErrorBody, ErrorCode, Executed, FunctionId, FunctionVersion,
    Incarnation, Ledger, NodeId, Payload, PreparedTarget, ReplyExtras, ReplyHead, Scope, Selector, StreamId,
    Target, Time,
};

use crate::builtins::Builtins;
use crate::claim::Claims;
use crate::flow::Flow;
use crate::inbound::{Cargo, Inbound, Place, Relay};
use crate::key::Index;
use crate::links::{Fifo, Links};
use crate::peer_link::PeerLink;
use crate::relay::CreditLine;
use crate::rng::Rng;
use crate::slab::Slab;
use crate::wheel::Wheel;
use crate::workers::Workers;
use crate::workload::Workload;
use crate::{Output, Peer, SwitchConfig, SwitchCounters, encode_error};

/// One node's switch, owned by its I/O thread.
#[derive(Debug)]
pub struct Switch {
    pub(crate) config: SwitchConfig,
    pub(crate) me: NodeId,
    incarnation: Incarnation,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) workload: Arc<Workload>,
    pub(crate) claims: Arc<Claims>,
    pub(crate) calls: Slab<Inbound>,
    pub(crate) wheel: Wheel,
    pub(crate) links: Links,
    pub(crate) peers: BTreeMap<ConnectionId, PeerLink>,
    pub(crate) workers: Workers,
    pub(crate) no_candidate: Fifo,
    /// Lines of calls without a slot, by function; a function without one has no entry.
    pub(crate) no_slot: BTreeMap<u64, Fifo>,
    /// Function whose line was looked at last, when there are more than can be looked at each time.
    pub(crate) filled_last: u64,
    /// Lines of calls without credit; a connection without one has no entry.
    pub(crate) no_credit: BTreeMap<ConnectionId, CreditLine>,
    /// When to look for free slots again, while a call waits for one.
    pub(crate) poll_at: Option<Time>,
    /// Start reports of this input, by the callers' connections and tokens.
    pub(crate) reports: Vec<(ConnectionId, u64)>,
    draining: bool,
    pub(crate) starting: bool,
    pub(crate) rng: Rng,
    pub(crate) builtins: Builtins,
    pub(crate) counters: SwitchCounters,
}

/// What one input of a switch works with.
pub(crate) struct Step<'a> {
    pub(crate) now: Time,
    pub(crate) out: &'a mut Vec<Output>,
}

/// What an error of the switch says beside its body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said {
    pub(crate) executed: Executed,
    /// In whose name; `None`: nobody's in particular.
    pub(crate) node: Option<NodeId>,
    pub(crate) ledger: Option<Ledger>,
}

impl Switch {
    /// Without connections. `snapshot` is the own node's newest; `workload` is shared with its call tables; `seed`
    /// breaks ties.
    pub fn new(config: SwitchConfig, snapshot: Arc<Snapshot>, workload: Arc<Workload>, seed: u64) -> Self {
        let calls = Slab::new(config.inbound_max);
        Self {
            config,
            me: snapshot.own().node(),
            incarnation: snapshot.own().incarnation(),
            snapshot,
            workload,
            claims: Claims::new(calls.max()),
            calls,
            wheel: Wheel::new(),
            links: Links::default(),
            peers: BTreeMap::new(),
            workers: Workers::default(),
            no_candidate: Fifo::default(),
            no_slot: BTreeMap::new(),
            filled_last: 0,
            no_credit: BTreeMap::new(),
            poll_at: None,
            reports: Vec::new(),
            draining: false,
            starting: false,
            rng: Rng::new(seed),
            builtins: Builtins::new(config.graphs_max),
            counters: SwitchCounters::default(),
        }
    }

    /// A connection stands. Calls over it before that are dropped and counted.
    pub fn connected(&mut self, on: ConnectionId, peer: Peer) {
        self.peers.insert(on, PeerLink::new(peer));
    }

    /// From now on the own functions take no new call; calls for other nodes are still sent on.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// While the node is starting, calls wait for a candidate as long as they may.
    pub fn set_starting(&mut self, starting: bool) {
        self.starting = starting;
    }

    /// A call arrived, whole.
    pub fn call(
        &mut self,
        from: ConnectionId,
        stream: StreamId,
        mut head: CallHead,
        value: Payload,
        now: Time,
        out: &mut Vec<Output>,
    ) {
        self.counters.calls += 1;
        let step = &mut Step { now, out };
        let Some(link) = self.peers.get_mut(&from) else {
            self.counters.strays += 1;
            return;
        };
        let deadline = now + head.remaining.min(self.config.deadline_max);
        if let Some(extras) = head.extras.as_mut().filter(|_| !link.peer.is_member()) {
            // A client speaks for itself only, a worker for its node.
            extras.client = link.peer.client_name().map(ToOwned::to_owned);
            extras.path.clear();
            extras.pinned_exit = None;
        }
        let Some(index) = self.take_in(from, stream, deadline, Cargo { head, value }, step) else { return };
        if deadline <= now {
            return self.refuse(index, deadline_body("before the call arrived"), step);
        }
        self.place(index, step);
    }

    /// A place for a call; `None`: it was answered, or is no new one.
    pub(crate) fn take_in(
        &mut self,
        from: ConnectionId,
        stream: StreamId,
        deadline: Time,
        cargo: Cargo,
        step: &mut Step<'_>,
    ) -> Option<Index> {
        let (token, asks_stream) = (cargo.head.token, cargo.head.stream);
        let make = |_| Inbound {
            from,
            stream,
            token,
            arrived: step.now,
            deadline,
            cargo: Some(cargo),
            waiting: None,
            gathered: None,
            step: None,
            dialled: false,
            asks_stream,
            flow: Flow::default(),
            place: Place::Arriving { wait_until: None },
        };
        let Some(index) = self.calls.insert_with(make) else {
            let text = "the node holds as many calls as it may (inbound_max); try again later";
            let body = ErrorBody::new(ErrorCode::Overloaded, text);
            let said = Said { executed: Executed::No, node: Some(self.me), ledger: None };
            self.answer(from, stream, token, &body, said, step);
            return None;
        };
        if !self.peers.get_mut(&from)?.calls.add(stream, index) {
            self.counters.duplicates += 1;
            self.calls.remove(index);
            return None;
        }
        Some(index)
    }

    /// Another snapshot was published: calls without a candidate look again. To be told before the frames that were
    /// read after it.
    pub fn snapshot_changed(&mut self, snapshot: Arc<Snapshot>, now: Time, out: &mut Vec<Output>) {
        self.incarnation = snapshot.own().incarnation();
        self.snapshot = snapshot;
        let mut step = Step { now, out };
        for _ in 0..self.no_candidate.len() {
            let Some(slot) = self.no_candidate.pop_front(&mut self.links) else { break };
            self.place_again(slot, &mut step);
        }
    }

    /// True if no call that came over that connection, or was forwarded over it, is under way.
    pub fn is_quiet(&self, on: ConnectionId) -> bool {
        self.peers.get(&on).is_none_or(PeerLink::is_quiet)
    }

    /// True if calls stand in line for a slot of an own function.
    pub fn has_waiting(&self) -> bool {
        !self.no_slot.is_empty()
    }

    /// True if nothing is held but calls that other nodes have.
    pub fn only_relays(&self) -> bool {
        self.calls.iter().all(|(_, call)| match &call.place {
            Place::Relayed { relay, .. } => !relay.is_to_worker(),
            _ => false,
        })
    }

    /// Calls held: running, waiting, relayed, and those that a dispatcher still works on.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// True if none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What happened so far.
    pub fn counters(&self) -> SwitchCounters {
        self.counters
    }

    /// Looks for the place of a call: an own function, another node, or a line.
    pub(crate) fn place(&mut self, index: Index, step: &mut Step<'_>) {
        let cargo = self.calls.get(index).and_then(|call| call.cargo.as_ref());
        let Some(wanted) = cargo.map(|cargo| cargo.head.target.clone()) else { return };
        match &wanted.target {
            Target::Direct { node, incarnation, function, version } if *node == self.me => {
                self.place_here(index, *incarnation, function, version, step);
            }
            Target::Direct { node, incarnation, .. } => {
                self.place_at(index, *node, *incarnation, &wanted, step);
            }
            Target::Select(selector) => self.select(index, selector, &wanted, step),
            Target::Here { function } => self.place_builtin(index, function, step),
        }
    }

    /// A call that names this node.
    fn place_here(
        &mut self,
        index: Index,
        incarnation: Incarnation,
        function: &FunctionId,
        version: &FunctionVersion,
        step: &mut Step<'_>,
    ) {
        if Builtin::find(function).is_some() && incarnation == self.incarnation {
            return self.place_builtin(index, function, step);
        }
        if incarnation != self.incarnation {
            let text = "the node was restarted since it was chosen; the call goes to another one, or to its new start";
            return self.refuse(index, ErrorBody::new(ErrorCode::WrongIncarnation, text), step);
        }
        let found = self.snapshot.own_function(function, version).filter(|own| own.scope != Scope::Local);
        if let Some(candidate) = found.cloned() {
            self.admit(index, candidate, step);
        } else {
            let text =
                format!("the node no longer offers {function} {version}; see mpreg.explain for who does");
            self.refuse(index, ErrorBody::new(ErrorCode::FunctionNotFound, text), step);
        }
    }

    /// A client's call that names another node.
    fn place_at(
        &mut self,
        index: Index,
        node: NodeId,
        incarnation: Incarnation,
        wanted: &Arc<PreparedTarget>,
        step: &mut Step<'_>,
    ) {
        let peer = self.snapshot.peer(node).filter(|peer| peer.incarnation() == incarnation).cloned();
        match peer.map(|peer| (peer.connection(), peer)) {
            Some((Some(to), peer)) => {
                let relay = Relay::new(to, peer, false, wanted.clone());
                self.forward(index, relay, step);
            }
            Some((None, peer)) if peer.is_dialled_on_demand() && self.dials(index, node, step) => {}
            Some((None, _)) => {
                let text = "the node that the call names cannot be reached from its entry node";
                self.refuse_for(index, ErrorBody::new(ErrorCode::NoRoute, text), Some(node), step);
            }
            None => {
                let text = "the node that the call names has left or was restarted";
                self.refuse_for(index, ErrorBody::new(ErrorCode::WrongIncarnation, text), Some(node), step);
            }
        }
    }

    /// A client's call for which this node chooses.
    fn select(
        &mut self,
        index: Index,
        selector: &Selector,
        wanted: &Arc<PreparedTarget>,
        step: &mut Step<'_>,
    ) {
        let from = self.calls.get(index).and_then(|call| self.peers.get(&call.from));
        let own_call = from.is_some_and(|link| link.peer == Peer::Worker);
        let context = Context { own_call, now: step.now, random: self.rng.next() };
        match self.snapshot.select(selector, &context) {
            Err(none) => self.nobody(index, none, selector, &context, step),
            Ok(choice) if choice.candidate.local.is_some() => {
                self.admit(index, choice.candidate, step);
            }
            Ok(choice) => {
                let Some(to) = choice.connection else {
                    let (node, peer) = (choice.candidate.node(), &choice.candidate.peer);
                    if peer.is_dialled_on_demand() && self.dials(index, node, step) {
                        return;
                    }
                    let text = "the connection to the chosen node was lost before the call was sent";
                    let body = ErrorBody::new(ErrorCode::ConnectionLost, text);
                    return self.refuse_for(index, body, Some(choice.candidate.node()), step);
                };
                let candidate = choice.candidate;
                self.keep_sticky(index, selector);
                self.aim_at(index, candidate.direct());
                let relay = Relay::new(to, candidate.peer.clone(), candidate.idempotent, wanted.clone());
                self.forward(index, relay, step);
            }
        }
    }

    /// The chosen node may have workers to choose from.
    fn keep_sticky(&mut self, index: Index, selector: &Selector) {
        let cargo = self.calls.get_mut(index).and_then(|call| call.cargo.as_mut());
        if let (Some(cargo), Some(_)) = (cargo, selector.sticky) {
            cargo.head.extras.get_or_insert_default().sticky = selector.sticky;
        }
    }

    /// Has the chosen node dialled, or lets the call go on waiting for that. False: it has waited long enough.
    fn dials(&mut self, index: Index, node: NodeId, step: &mut Step<'_>) -> bool {
        let Some(call) = self.calls.get(index) else { return false };
        let limit = (call.arrived + self.config.dial_max).min(call.deadline);
        if step.now >= limit || !self.reserve_wait(index) {
            return false;
        }
        if let Some(call) = self.calls.get_mut(index)
            && !std::mem::replace(&mut call.dialled, true)
        {
            step.out.push(Output::Dial { node });
        }
        self.await_candidate(index, limit, step.now);
        true
    }

    fn nobody(
        &mut self,
        index: Index,
        none: NoCandidate,
        selector: &Selector,
        context: &Context,
        step: &mut Step<'_>,
    ) {
        let Some(call) = self.calls.get_mut(index) else { return };
        let until = match call.place {
            Place::Arriving { wait_until: Some(until) } => until,
            _ => (step.now + selector.wait).min(call.deadline),
        };
        let waits = step.now < until || (self.starting && step.now < call.deadline);
        if !waits || !none.may_change() {
            // Nobody in particular: so the caller knows that another attempt is of no use.
            let body = none.describe(&self.snapshot, selector, context);
            return self.refuse_for(index, body, None, step);
        }
        if !self.reserve_wait(index) {
            return self.refuse(index, overloaded_body(), step);
        }
        self.await_candidate(index, until, step.now);
    }

    /// The frame that is sent on names the target.
    pub(crate) fn aim_at(&mut self, index: Index, target: &Arc<PreparedTarget>) {
        if let Some(cargo) = self.calls.get_mut(index).and_then(|call| call.cargo.as_mut()) {
            cargo.head.target = target.clone();
        }
    }

    /// Room among the waiting calls, if the call has none yet.
    pub(crate) fn reserve_wait(&mut self, index: Index) -> bool {
        let Some(call) = self.calls.get_mut(index) else { return false };
        if call.waiting.is_none() {
            let bytes = call.cargo.as_ref().map_or(0, |cargo| cargo.value.len() as u64);
            call.waiting = self.workload.try_wait(bytes);
        }
        call.waiting.is_some()
    }

    /// Answers a call that this node did not start.
    pub(crate) fn refuse(&mut self, index: Index, body: ErrorBody, step: &mut Step<'_>) {
        self.refuse_for(index, body, Some(self.me), step);
    }

    /// Answers a call that was not started, in the name of `node`.
    #[expect(clippy::needless_pass_by_value, reason = "every caller makes the body for this one use")]
    pub(crate) fn refuse_for(
        &mut self,
        index: Index,
        body: ErrorBody,
        node: Option<NodeId>,
        step: &mut Step<'_>,
    ) {
        self.counters.refused += 1;
        self.end(index, Executed::No, &body, node, step);
    }

    /// Answers a call with an error, and forgets it.
    pub(crate) fn end(
        &mut self,
        index: Index,
        executed: Executed,
        body: &ErrorBody,
        node: Option<NodeId>,
        step: &mut Step<'_>,
    ) {
        let Some(call) = self.forget(index) else { return };
        // Of a call that was sent on nobody here knows where its time went.
        let waited = !matches!(call.place, Place::Relayed { .. });
        let ledger = waited.then(|| Ledger::queued(step.now.since(call.arrived)));
        self.answer(call.from, call.stream, call.token, body, Said { executed, node, ledger }, step);
    }

    pub(crate) fn answer(
        &self,
        to: ConnectionId,
        stream: StreamId,
        token: u64,
        body: &ErrorBody,
        said: Said,
        step: &mut Step<'_>,
    ) {
        let Said { executed, node, ledger } = said;
        let value = encode_error(body);
        let mut head = ReplyHead::error(token, executed, value.len() as u64);
        head.load = Some(self.workload.load());
        head.extras = Some(Box::new(ReplyExtras { node, ledger, ..ReplyExtras::default() }));
        step.out.push(Output::Reply { to, stream, head, value });
    }

    /// Frees the place of a call, which is in no line any more.
    pub(crate) fn forget(&mut self, index: Index) -> Option<Inbound> {
        self.wheel.disarm(index.slot);
        let call = self.calls.remove(index)?;
        let calls = &self.calls;
        let is_live = |index| calls.get(index).is_some();
        if let Some(link) = self.peers.get_mut(&call.from) {
            link.calls.ended(is_live);
        }
        if let Place::Relayed { relay, .. } = &call.place
            && let Some(link) = self.peers.get_mut(&relay.to)
        {
            link.relays.ended(is_live);
        }
        Some(call)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining
    }
}

pub(crate) fn deadline_body(stage: &str) -> ErrorBody {
    let text = format!("the deadline passed {stage}; give the call more time with remote(timeout=...)");
    ErrorBody::new(ErrorCode::DeadlineExceeded, text)
}

pub(crate) fn overloaded_body() -> ErrorBody {
    let text = "the node runs and keeps waiting as many calls as it may; call more slowly, add nodes, or raise \
                concurrency, threads or waiting in its Config";
    ErrorBody::new(ErrorCode::Overloaded, text)
}
