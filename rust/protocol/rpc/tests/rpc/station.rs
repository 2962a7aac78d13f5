//! One switch with its node, its clock and what it wants done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mpreg_routing::Slots;
use mpreg_rpc::{
    Goodbye, InboundKey, Invocation, NotSent, Output, Peer, Runs, SendFailure, Switch, SwitchConfig,
    Workload, WorkloadConfig, decode_error,
};
use mpreg_types::{
    CallHead, CallId, ConnectionId, ErrorBody, ErrorCode, Executed, HopBudget, ItemHead, NodeId, Payload,
    PreparedTarget, ReplyHead, StepCall, StreamId, Time, Untaken,
};

use crate::cluster::{Cluster, INCARNATION, node};

/// Connection of a client, of another client, and of two members.
pub(crate) const CLIENT: ConnectionId = ConnectionId(100);
pub(crate) const OTHER_CLIENT: ConnectionId = ConnectionId(101);
pub(crate) const MEMBER: ConnectionId = ConnectionId(2);
pub(crate) const OTHER_MEMBER: ConnectionId = ConnectionId(3);

pub(crate) struct Forwarded {
    pub(crate) to: ConnectionId,
    pub(crate) stream: StreamId,
    pub(crate) head: CallHead,
}

pub(crate) struct Station {
    pub(crate) cluster: Cluster,
    pub(crate) switch: Switch,
    pub(crate) workload: Arc<Workload>,
    pub(crate) now: Time,
    /// Connections that take nothing.
    pub(crate) refusing: BTreeMap<ConnectionId, SendFailure>,
    /// Calls that a connection takes before it has no credit.
    pub(crate) credit: BTreeMap<ConnectionId, usize>,
    pub(crate) invoked: Vec<Invocation>,
    pub(crate) cancelled_local: Vec<StreamId>,
    pub(crate) replies: Vec<(ConnectionId, StreamId, ReplyHead, Payload)>,
    pub(crate) forwarded: Vec<Forwarded>,
    pub(crate) cancelled: Vec<(ConnectionId, StreamId)>,
    pub(crate) started: Vec<(ConnectionId, Vec<u64>)>,
    pub(crate) items: Vec<(ConnectionId, StreamId, ItemHead)>,
    pub(crate) item_credit: Vec<(ConnectionId, StreamId, u64)>,
    pub(crate) resumed: Vec<StreamId>,
    pub(crate) breaches: Vec<(ConnectionId, StreamId)>,
    /// Steps whose inputs are being fetched, and their arguments.
    pub(crate) gathering: Vec<(InboundKey, StepCall, Payload)>,
    /// Results of workers, of which what is large stays here.
    pub(crate) kept: Vec<(ConnectionId, StreamId, Payload, Box<StepCall>)>,
    next_stream: u64,
}

impl Station {
    /// Node 1 with a connection of each kind.
    pub(crate) fn new(config: SwitchConfig, workload: WorkloadConfig) -> Self {
        let mut cluster = Cluster::seen_by(node(1));
        cluster.peer(node(2), MEMBER.0);
        cluster.peer(node(3), OTHER_MEMBER.0);
        let workload = Workload::new(workload);
        let mut switch = Switch::new(config, cluster.publish(), workload.clone(), 1);
        for (on, number) in [(CLIENT, 50), (OTHER_CLIENT, 51)] {
            switch.connected(on, Peer::Client { node: node(number), name: format!("client-{number}") });
        }
        for (on, number) in [(MEMBER, 2), (OTHER_MEMBER, 3)] {
            switch.connected(on, Peer::Member(node(number)));
        }
        Self {
            cluster,
            switch,
            workload,
            now: Time::from_millis(1000),
            refusing: BTreeMap::new(),
            credit: BTreeMap::new(),
            invoked: Vec::new(),
            cancelled_local: Vec::new(),
            replies: Vec::new(),
            forwarded: Vec::new(),
            cancelled: Vec::new(),
            started: Vec::new(),
            items: Vec::new(),
            item_credit: Vec::new(),
            resumed: Vec::new(),
            breaches: Vec::new(),
            gathering: Vec::new(),
            kept: Vec::new(),
            next_stream: 99,
        }
    }

    pub(crate) fn usual() -> Self {
        Self::new(SwitchConfig::default(), WorkloadConfig::default())
    }

    pub(crate) fn slots(&self, concurrency: Option<u32>) -> Arc<Slots> {
        self.workload.function_slots(Runs::OnLoop, concurrency)
    }

    pub(crate) fn publish(&mut self) {
        let (snapshot, now) = (self.cluster.publish(), self.now);
        self.act(|switch, out| switch.snapshot_changed(snapshot, now, out));
    }

    pub(crate) fn head(to: &Arc<PreparedTarget>) -> CallHead {
        CallHead {
            token: 0xabcd,
            call: CallId { origin: node(50), incarnation: INCARNATION, sequence: 1 },
            attempt: 1,
            remaining: Duration::from_secs(1),
            value_bytes: 1,
            hops_left: HopBudget::NEIGHBOURS,
            forwards: 0,
            stream: false,
            target: to.clone(),
            extras: None,
        }
    }

    /// A call of one second, with the stream as its token.
    pub(crate) fn call(&mut self, from: ConnectionId, stream: u64, to: &Arc<PreparedTarget>) {
        self.call_with(from, stream, CallHead { token: stream, ..Self::head(to) });
    }

    pub(crate) fn call_with(&mut self, from: ConnectionId, stream: u64, head: CallHead) {
        let now = self.now;
        self.act(|switch, out| switch.call(from, StreamId(stream), head, vec![0xc0].into(), now, out));
    }

    /// One input, and all that follows from it.
    pub(crate) fn act(&mut self, input: impl FnOnce(&mut Switch, &mut Vec<Output>)) {
        let mut out = Vec::new();
        input(&mut self.switch, &mut out);
        while !out.is_empty() {
            let mut more = Vec::new();
            for output in out {
                self.carry_out(output, &mut more);
            }
            out = more;
        }
    }

    fn carry_out(&mut self, output: Output, more: &mut Vec<Output>) {
        match output {
            Output::Invoke(invocation) => self.invoked.push(invocation),
            Output::CancelLocal { stream, .. } => self.cancelled_local.push(stream),
            Output::Reply { to, stream, head, value } => self.replies.push((to, stream, head, value)),
            Output::Gather { key, step, arguments, .. } => self.gathering.push((key, step, arguments)),
            Output::CancelGather { key } => self.gathering.retain(|(other, ..)| *other != key),
            Output::Keep { to, stream, value, step, .. } => self.kept.push((to, stream, value, step)),
            Output::Dial { .. } => {}
            Output::Item { to, stream, head, .. } => self.items.push((to, stream, head)),
            Output::ItemCredit { to, stream, bytes } => self.item_credit.push((to, stream, bytes)),
            Output::Resume { stream, .. } => self.resumed.push(stream),
            Output::Breach { on, stream } => self.breaches.push((on, stream)),
            Output::CancelRemote { to, stream } => self.cancelled.push((to, stream)),
            Output::Started { to, tokens } => self.started.push((to, tokens)),
            Output::Forward { relay, to, head, value } => {
                let full = match self.credit.get_mut(&to) {
                    Some(0) => Some(SendFailure::NoCredit),
                    Some(credit) => {
                        *credit -= 1;
                        None
                    }
                    None => None,
                };
                let outcome = if let Some(why) = self.refusing.get(&to).copied().or(full) {
                    Err(NotSent { why, head, value })
                } else {
                    self.next_stream += 2;
                    let stream = StreamId(self.next_stream);
                    self.forwarded.push(Forwarded { to, stream, head });
                    Ok(stream)
                };
                self.switch.forwarded(relay, outcome, self.now, more);
            }
        }
    }

    /// The inputs of the oldest step that lacks some have come, or one of them has not.
    pub(crate) fn gathered(&mut self, outcome: Result<Payload, ErrorCode>) {
        let (key, ..) = self.gathering.remove(0);
        let (outcome, now) = (outcome.map_err(|code| Box::new(ErrorBody::new(code, "lost"))), self.now);
        self.act(|switch, out| switch.gathered(key, outcome, now, out));
    }

    /// The callee answers the call forwarded as number `index`.
    pub(crate) fn relayed_reply(&mut self, index: usize, reply: impl FnOnce(u64) -> (ReplyHead, Payload)) {
        let Forwarded { to, stream, head } = &self.forwarded[index];
        let (to, stream, now) = (*to, *stream, self.now);
        let (head, value) = reply(head.token);
        self.act(|switch, out| switch.reply(to, stream, head, value, now, out));
    }

    /// The dispatcher has ended the oldest call.
    pub(crate) fn finish(&mut self) {
        let Invocation { key, running, .. } = self.invoked.remove(0);
        drop(running);
        let now = self.now;
        self.act(|switch, out| switch.finished(key, now, out));
    }

    pub(crate) fn cancel(&mut self, from: ConnectionId, stream: u64) {
        let now = self.now;
        self.act(|switch, out| switch.cancel(from, StreamId(stream), now, out));
    }

    pub(crate) fn lose(&mut self, on: ConnectionId, first_unsent: StreamId) {
        let now = self.now;
        self.act(|switch, out| switch.connection_lost(on, &Untaken::from(first_unsent), now, out));
    }

    /// The other side took nothing from `untaken` on.
    pub(crate) fn goodbye(&mut self, on: ConnectionId, untaken: StreamId, leaves: bool) {
        let (now, goodbye) = (self.now, Goodbye { untaken: Untaken::from(untaken), leaves });
        self.act(|switch, out| switch.goodbye(on, &goodbye, now, out));
    }

    pub(crate) fn writable(&mut self, on: ConnectionId, credit: usize) {
        self.credit.insert(on, credit);
        let now = self.now;
        self.act(|switch, out| switch.writable(on, now, out));
    }

    pub(crate) fn pass_ms(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while let Some(at) = self.switch.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            let now = self.now;
            self.act(|switch, out| switch.tick(now, out));
        }
        self.now = end;
    }

    /// The only answer given since the last look: whose, with what code, and what of its execution.
    pub(crate) fn error(&mut self) -> (StreamId, ErrorCode, Executed) {
        let [(_, stream, head, value)] = self.replies();
        assert!(!head.ok);
        (stream, decode_error(&value).code, head.executed)
    }

    pub(crate) fn replies<const N: usize>(&mut self) -> [(ConnectionId, StreamId, ReplyHead, Payload); N] {
        let replies = std::mem::take(&mut self.replies);
        let count = replies.len();
        replies.try_into().unwrap_or_else(|_| panic!("{count} answers, not {N}"))
    }

    /// Whom the only answer names.
    pub(crate) fn named(&self) -> Option<NodeId> {
        self.replies.last()?.2.extras.as_ref()?.node
    }

    /// Nothing is left of any call.
    pub(crate) fn assert_empty(&mut self) {
        assert!(self.switch.is_empty() && self.replies.is_empty(), "{:?}", self.switch);
        assert_eq!((self.switch.next_deadline(), self.workload.load()), (None, mpreg_types::Load::default()));
        for row in self.cluster.publish().nodes() {
            assert_eq!(row.peer.in_flight(), 0, "{:?}", row.peer.node());
        }
    }
}
