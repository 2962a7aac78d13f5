//! What a table acts through, written down; and a table with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mpreg_routing::Snapshot;
use mpreg_rpc::{
    CallFailure, CallKey, CallTable, Caller, Claim, Completion, Goodbye, ItemGate, LocalCall, Outbound,
    Request, RetryBudget, RetryConfig, Route, Running, SendFailure, Success, TableConfig, Workload,
    WorkloadConfig, encode_error,
};
use mpreg_types::{
    CallExtras, CallHead, ConnectionId, ErrorBody, ErrorCode, Executed, HopBudget, NodeId, Payload,
    PreparedTarget, ReplyExtras, ReplyHead, StepCall, StreamId, Time, Untaken,
};

use crate::cluster::{Cluster, INCARNATION, node};

pub(crate) const BRIDGE: u16 = 3;

pub(crate) struct Sent {
    pub(crate) to: ConnectionId,
    pub(crate) stream: StreamId,
    pub(crate) head: CallHead,
}

pub(crate) struct Local {
    pub(crate) key: CallKey,
    pub(crate) function: u64,
    pub(crate) claim: Claim,
    pub(crate) running: Running,
    pub(crate) gate: Option<Arc<ItemGate>>,
    pub(crate) value: Payload,
}

pub(crate) struct Port {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) entry: Option<ConnectionId>,
    pub(crate) starting: bool,
    pub(crate) round_trip: Option<Duration>,
    /// Connections that take nothing.
    pub(crate) refusing: BTreeMap<ConnectionId, SendFailure>,
    /// Calls that a connection takes before it has no credit.
    pub(crate) credit: BTreeMap<ConnectionId, usize>,
    pub(crate) sent: Vec<Sent>,
    pub(crate) cancelled: Vec<(ConnectionId, StreamId)>,
    pub(crate) local: Vec<Local>,
    pub(crate) cancelled_local: Vec<CallKey>,
    /// Steps whose inputs are being fetched, and their arguments.
    pub(crate) gathering: Vec<(CallKey, Payload)>,
    pub(crate) item_credit: Vec<(ConnectionId, StreamId, u64)>,
    pub(crate) resumed: Vec<CallKey>,
    pub(crate) breaches: Vec<(ConnectionId, StreamId)>,
    next_stream: u64,
}

impl Outbound for Port {
    fn snapshot(&mut self) -> &Snapshot {
        &self.snapshot
    }

    fn entry(&mut self) -> Option<ConnectionId> {
        self.entry
    }

    fn is_starting(&self) -> bool {
        self.starting
    }

    fn round_trip(&self, _: ConnectionId) -> Option<Duration> {
        self.round_trip
    }

    fn send_call(&mut self, to: ConnectionId, head: &CallHead, _: &Payload) -> Result<StreamId, SendFailure> {
        if let Some(why) = self.refusing.get(&to) {
            return Err(*why);
        }
        if let Some(credit) = self.credit.get_mut(&to) {
            *credit = credit.checked_sub(1).ok_or(SendFailure::NoCredit)?;
        }
        self.next_stream += 2;
        let stream = StreamId(self.next_stream);
        self.sent.push(Sent { to, stream, head: head.clone() });
        Ok(stream)
    }

    fn send_cancel(&mut self, to: ConnectionId, stream: StreamId) {
        self.cancelled.push((to, stream));
    }

    fn invoke_local(&mut self, call: LocalCall<'_>) -> Result<(), Box<ErrorBody>> {
        let LocalCall { key, function, claim, running, gate, value, .. } = call;
        self.local.push(Local { key, function, claim, running, gate, value: value.clone() });
        Ok(())
    }

    fn gather(&mut self, key: CallKey, _: &StepCall, arguments: &Payload, _: Time) {
        self.gathering.push((key, arguments.clone()));
    }

    fn cancel_gather(&mut self, key: CallKey) {
        self.gathering.retain(|(other, _)| *other != key);
    }

    fn cancel_local(&mut self, key: CallKey) {
        self.cancelled_local.push(key);
    }

    fn send_item_credit(&mut self, to: ConnectionId, stream: StreamId, bytes: u64) {
        self.item_credit.push((to, stream, bytes));
    }

    fn resume_local(&mut self, key: CallKey) {
        self.resumed.push(key);
    }

    fn breach(&mut self, on: ConnectionId, stream: StreamId) {
        self.breaches.push((on, stream));
    }
}

/// One table, its port and its clock.
pub(crate) struct Bench {
    pub(crate) cluster: Cluster,
    pub(crate) table: CallTable,
    pub(crate) port: Port,
    pub(crate) workload: Arc<Workload>,
    pub(crate) now: Time,
    pub(crate) done: Vec<Completion>,
}

fn table(
    me: NodeId,
    config: TableConfig,
    workload: &Arc<Workload>,
    retry: RetryConfig,
    seed: u64,
) -> CallTable {
    let caller = Caller { origin: me, incarnation: INCARNATION, bridge: BRIDGE };
    CallTable::new(config, caller, workload.clone(), Arc::new(RetryBudget::new(retry)), seed)
}

impl Bench {
    pub(crate) fn new(me: NodeId) -> Self {
        Self::with(me, TableConfig::default(), WorkloadConfig::default(), RetryConfig::default())
    }

    pub(crate) fn with(
        me: NodeId,
        config: TableConfig,
        workload: WorkloadConfig,
        retry: RetryConfig,
    ) -> Self {
        let mut cluster = Cluster::seen_by(me);
        let workload = Workload::new(workload);
        let port = Port {
            snapshot: cluster.publish(),
            entry: None,
            starting: false,
            round_trip: None,
            refusing: BTreeMap::new(),
            credit: BTreeMap::new(),
            sent: Vec::new(),
            cancelled: Vec::new(),
            local: Vec::new(),
            cancelled_local: Vec::new(),
            gathering: Vec::new(),
            item_credit: Vec::new(),
            resumed: Vec::new(),
            breaches: Vec::new(),
            next_stream: 99,
        };
        let table = table(me, config, &workload, retry, 1);
        Self { cluster, table, port, workload, now: Time::from_millis(1000), done: Vec::new() }
    }

    /// The thread ends, and another one has the next table of the same number.
    pub(crate) fn begin_anew(&mut self) {
        let seed = 2 << 32;
        self.table = table(node(1), TableConfig::default(), &self.workload, RetryConfig::default(), seed);
    }

    /// Publishes what the cluster looks like now.
    pub(crate) fn publish(&mut self) {
        self.port.snapshot = self.cluster.publish();
        self.table.snapshot_changed(self.now, &mut self.port, &mut self.done);
    }

    pub(crate) fn call(&mut self, text: &str) -> CallKey {
        self.begin(Route::Mesh, crate::cluster::target(text), 2, false)
    }

    pub(crate) fn call_entry(&mut self, text: &str, idempotent: bool) -> CallKey {
        self.begin(Route::Entry, crate::cluster::target(text), 2, idempotent)
    }

    /// A call with a deadline of one second.
    pub(crate) fn begin(
        &mut self,
        route: Route,
        target: Arc<PreparedTarget>,
        retries: u8,
        idempotent: bool,
    ) -> CallKey {
        self.begin_as(false, route, target, retries, idempotent)
    }

    /// The same, for one value or for a stream.
    pub(crate) fn begin_as(
        &mut self,
        stream: bool,
        route: Route,
        target: Arc<PreparedTarget>,
        retries: u8,
        idempotent: bool,
    ) -> CallKey {
        let deadline = self.now + Duration::from_secs(1);
        let hops = HopBudget::NEIGHBOURS;
        let request = Request { route, target, deadline, retries, idempotent, stream, hops, extras: None };
        let value = Payload::from(vec![0xc0]);
        self.table.begin(request, value, self.now, &mut self.port, &mut self.done)
    }

    /// A call with a deadline of one second that carries `extras`.
    pub(crate) fn begin_with(
        &mut self,
        route: Route,
        target: Arc<PreparedTarget>,
        extras: Box<CallExtras>,
    ) -> CallKey {
        let (deadline, hops) = (self.now + Duration::from_secs(1), HopBudget::NEIGHBOURS);
        let (stream, idempotent, retries) = (false, false, 0);
        let request =
            Request { route, target, deadline, retries, idempotent, stream, hops, extras: Some(extras) };
        self.table.begin(request, vec![0xc0].into(), self.now, &mut self.port, &mut self.done)
    }

    /// The inputs of the oldest step that lacks some have come, or one of them has not.
    pub(crate) fn gathered(&mut self, outcome: Result<Payload, ErrorCode>) {
        let (key, _) = self.port.gathering.remove(0);
        let outcome = outcome.map_err(|code| Box::new(ErrorBody::new(code, "lost")));
        self.table.gathered(key, outcome, self.now, &mut self.port, &mut self.done);
    }

    /// The function that was called first has ended.
    pub(crate) fn finish_local(&mut self) {
        let Local { key, running, .. } = self.port.local.remove(0);
        drop(running);
        self.local_result(key);
    }

    /// The call sent as number `index`.
    pub(crate) fn sent(&self, index: usize) -> (ConnectionId, StreamId, u64) {
        let sent = &self.port.sent[index];
        (sent.to, sent.stream, sent.head.token)
    }

    pub(crate) fn succeed(&mut self, index: usize) {
        let (on, stream, token) = self.sent(index);
        self.reply(on, stream, ReplyHead::ok(token, 1), vec![0xc0].into());
    }

    /// The call sent as number `index` is answered with an error.
    pub(crate) fn fail(&mut self, index: usize, code: ErrorCode, executed: Executed) {
        self.fail_with(index, code, executed, None);
    }

    pub(crate) fn fail_with(
        &mut self,
        index: usize,
        code: ErrorCode,
        executed: Executed,
        extras: Option<ReplyExtras>,
    ) {
        let (on, stream, token) = self.sent(index);
        let value = encode_error(&ErrorBody::new(code, format!("error {index}")));
        let mut head = ReplyHead::error(token, executed, value.len() as u64);
        head.extras = extras.map(Box::new);
        self.reply(on, stream, head, value);
    }

    pub(crate) fn reply(&mut self, on: ConnectionId, stream: StreamId, head: ReplyHead, value: Payload) {
        self.table.reply(on, stream, head, value, self.now, &mut self.port, &mut self.done);
    }

    pub(crate) fn local_result(&mut self, key: CallKey) {
        let head = ReplyHead::ok(key.token(), 1);
        self.table.local_result(key, head, vec![0xc0].into(), self.now, &mut self.port, &mut self.done);
    }

    pub(crate) fn lose(&mut self, on: u64, first_unsent: StreamId) {
        let on = ConnectionId(on);
        self.table.connection_lost(
            on,
            &Untaken::from(first_unsent),
            self.now,
            &mut self.port,
            &mut self.done,
        );
    }

    /// The other side took nothing from `untaken` on.
    pub(crate) fn goodbye(&mut self, on: u64, untaken: StreamId, leaves: bool) {
        let goodbye = Goodbye { untaken: Untaken::from(untaken), leaves };
        self.table.goodbye(ConnectionId(on), &goodbye, self.now, &mut self.port, &mut self.done);
    }

    pub(crate) fn writable(&mut self, on: u64, credit: usize) {
        self.port.credit.insert(ConnectionId(on), credit);
        self.table.writable(ConnectionId(on), self.now, &mut self.port, &mut self.done);
    }

    /// Lets time pass, with a tick whenever one is due.
    pub(crate) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.table.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.table.tick(self.now, &mut self.port, &mut self.done);
        }
        self.now = end;
        self.table.tick(self.now, &mut self.port, &mut self.done);
    }

    pub(crate) fn pass_ms(&mut self, millis: u64) {
        self.pass(Duration::from_millis(millis));
    }

    /// The only completion, which is a result.
    pub(crate) fn success(&mut self) -> Success {
        let [completion] = self.completions();
        completion.outcome.unwrap()
    }

    /// The only completion, which is an error.
    pub(crate) fn failure(&mut self) -> CallFailure {
        let [completion] = self.completions();
        *completion.outcome.unwrap_err()
    }

    pub(crate) fn completions<const N: usize>(&mut self) -> [Completion; N] {
        let done = std::mem::take(&mut self.done);
        let count = done.len();
        done.try_into().unwrap_or_else(|_| panic!("{count} calls have completed, not {N}"))
    }

    /// Nothing is left of any call.
    pub(crate) fn assert_empty(&mut self) {
        assert!(self.done.is_empty() && self.table.is_empty(), "{:?}", self.table);
        assert_eq!(self.table.next_deadline(), None);
        for row in self.port.snapshot.nodes() {
            assert_eq!(row.peer.in_flight(), 0, "{:?}", row.peer.node());
        }
        assert_eq!(self.workload.load().queued, 0);
    }
}
