//! A port: the calls of one thread through one node or client.
//!
//! It owns the `CallTable` and is owned by the thread that issues the calls, so a call takes no lock that another
//! thread wants. What arrives for it comes through the thread's mailbox.

use std::sync::Arc;
use std::time::Duration;

use mpreg_routing::Snapshot;
use mpreg_rpc::{CallKey, CallTable, LocalCall, Outbound, Request, SendFailure, TableConfig};
use mpreg_transport::{Connection, SendError};
use mpreg_types::{
    CallExtras, CallHead, ConnectionId, ErrorBody, ErrorCode, HopBudget, Incarnation, Ledger, NodeId,
    Payload, PreparedTarget, ReplyExtras, StepCall, StreamId, Time,
};

use crate::assigned::Assigned;
use crate::caller::Caller;
use crate::dispatch::{Invocation, InvocationKey, Stages, Ticket};
use crate::error::NodeError;
use crate::failure::CallFailure;
use crate::graph::sealed;
use crate::mailbox::{Item, Mailbox, News, PortId};
use crate::runtime::Runtime;

/// One call to make.
#[derive(Debug)]
pub struct Outgoing {
    /// What is asked for, or a candidate chosen already.
    pub target: Arc<PreparedTarget>,
    /// When the caller stops waiting.
    pub deadline: Time,
    /// Further attempts at most.
    pub retries: u8,
    /// True if the function object at hand was declared `idempotent=True`.
    pub idempotent: bool,
    /// True if it asks for a stream of items.
    pub stream: bool,
    /// Borders it may cross; `None` = as many as the node allows.
    pub max_hops: Option<HopBudget>,
    /// What few calls carry.
    pub extras: Option<Box<CallExtras>>,
}

/// What a port wants of the inputs of a step that is to run in this process.
#[derive(Debug)]
pub(crate) enum Want {
    /// They are to be put into its arguments by that time.
    Gather(CallKey, StepCall, Payload, Time),
    /// Nobody waits for them any more.
    Nothing(CallKey),
}

/// A call that ended.
#[derive(Debug)]
pub struct Completion {
    /// Which.
    pub key: CallKey,
    /// Its encoded value, or why there is none.
    pub result: Result<Payload, Box<CallFailure>>,
    pub(crate) node: Option<NodeId>,
    pub(crate) extras: Option<Box<ReplyExtras>>,
}

/// See the module.
#[derive(Debug)]
pub struct Port {
    id: PortId,
    table: CallTable,
    link: PortLink,
    ended: Vec<mpreg_rpc::Completion>,
    items: Vec<(CallKey, Payload)>,
    /// The wake-ups that are set, the next one last.
    armed: Vec<Time>,
}

impl Port {
    /// A port for the thread that drains `mailbox`.
    pub fn open(caller: &Caller, mailbox: &Arc<Mailbox>) -> Result<Self, NodeError> {
        let runtime = Runtime::current()?;
        let id = runtime.mailboxes.open(mailbox).ok_or_else(|| {
            NodeError::config(
                "too many threads and loops of this process call through the mesh (65,535 at most)",
            )
        })?;
        let process = caller.process();
        let origin =
            mpreg_rpc::Caller { origin: process.node, incarnation: process.incarnation, bridge: id.0 };
        let seed = u64::from_le_bytes(
            crate::entropy::random_bytes::<8>().map_err(|error| NodeError::config(error.to_string()))?,
        );
        let table =
            CallTable::new(TableConfig::default(), origin, caller.workload(), caller.retry_budget(), seed);
        let link = PortLink {
            id,
            caller: caller.clone(),
            snapshot: caller.snapshot(),
            mailbox: mailbox.clone(),
            known: Vec::new(),
            dirty: Vec::new(),
            invocations: Vec::new(),
            wants: Vec::new(),
            sent: Vec::new(),
            assigned: Assigned::default(),
            cause: None,
            runtime,
        };
        Ok(Self { id, table, link, ended: Vec::new(), items: Vec::new(), armed: Vec::new() })
    }

    /// Its number: the part of a token that says whose reply it is.
    pub fn id(&self) -> PortId {
        self.id
    }

    /// False once its node has stopped or its client has closed.
    pub fn is_open(&self) -> bool {
        self.link.caller.is_open()
    }

    /// Sends a call. It ends as a [`Completion`], also when it fails at once.
    pub fn begin(&mut self, call: Outgoing, value: Payload, now: Time) -> CallKey {
        let request = Request {
            route: self.link.caller.route(&call.target.target),
            target: call.target,
            deadline: call.deadline,
            retries: call.retries,
            idempotent: call.idempotent,
            stream: call.stream,
            hops: call.max_hops.unwrap_or(self.link.caller.max_hops()),
            extras: call.extras,
        };
        self.link.snapshot = self.link.caller.snapshot();
        let key = self.table.begin(request, value, now, &mut self.link, &mut self.ended);
        self.arm(now);
        key
    }

    /// The calls made from now on follow from what came over that connection.
    pub(crate) fn because_of(&mut self, connection: Option<ConnectionId>) {
        self.link.cause = connection;
    }

    /// Nobody waits for this call any more; false if it had ended.
    pub fn cancel(&mut self, key: CallKey) -> bool {
        self.table.cancel(key, &mut self.link)
    }

    /// Who has a call now, if anybody has.
    pub(crate) fn callee(&self, key: CallKey) -> Option<(NodeId, Incarnation)> {
        self.table.callee(key)
    }

    /// Something arrived.
    pub fn handle(&mut self, item: Item, now: Time) {
        let Self { table, link, ended, items, armed, .. } = self;
        match item {
            Item::Reply { connection, stream, head, value, wire_bytes, .. } => {
                table.reply(connection, stream, head, value, now, link, ended);
                link.consumed(connection, wire_bytes);
            }
            Item::LocalReply { key, head, value, .. } => {
                link.assigned.end(key.slot());
                table.local_result(key, head, value, now, link, ended);
            }
            Item::StreamItem { connection, stream, head, value, .. } => {
                items.extend(table.item(connection, stream, &head, now, link).map(|key| (key, value)));
            }
            Item::LocalItem { key, value, .. } => {
                if table.local_item(key, value.len() as u64) {
                    items.push((key, value));
                }
            }
            Item::Started { connection, token, .. } => table.started(connection, token, now, link, ended),
            Item::Tick { .. } => {
                armed.pop();
                table.tick(now, link, ended);
            }
            Item::News(_) | Item::Invoke(_) | Item::Cancel(_) | Item::Resume(_) | Item::Done(_) => {}
        }
    }

    /// Has the thread woken when the earliest deadline is due; once per batch is enough.
    pub fn arm(&mut self, now: Time) {
        let Some(next) = self.table.next_deadline() else { return };
        // One that is overdue may be late, or lost with the thread that was to bring it.
        while self.armed.pop_if(|armed| *armed <= now).is_some() {}
        if self.armed.last().is_some_and(|armed| *armed <= next) {
            return;
        }
        self.armed.push(next);
        self.link.runtime.tick_at(next, self.id);
    }

    /// Something that concerns every port of the thread.
    pub fn hear(&mut self, news: &News) {
        let now = self.link.runtime.clock.now();
        let Self { table, link, ended, .. } = self;
        match news {
            News::Goodbye(connection, goodbye) => table.goodbye(*connection, goodbye, now, link, ended),
            News::Lost(connection, untaken) => {
                link.known.retain(|known| known.id() != *connection);
                table.connection_lost(*connection, untaken, now, link, ended);
            }
            News::Credit(connection) => table.writable(*connection, now, link, ended),
            News::RouteChanged => {
                link.snapshot = link.caller.snapshot();
                table.snapshot_changed(now, link, ended);
                table.entry_changed(now, link, ended);
                if let Some(why) = link.caller.closed_reason() {
                    table.fail_all(ErrorCode::ConnectionLost, &why, now, link, ended);
                }
            }
        }
        self.arm(now);
    }

    /// Items of streams since the last time, to be taken before the completions: those are their ends.
    pub fn take_items(&mut self) -> Vec<(CallKey, Payload)> {
        std::mem::take(&mut self.items)
    }

    /// The reader took items of that cost: their sender may make more.
    pub fn items_taken(&mut self, key: CallKey, bytes: u64) {
        self.table.items_taken(key, bytes, &mut self.link);
    }

    /// Calls that have ended since the last time.
    pub fn take_completions(&mut self) -> Vec<Completion> {
        let caller = &self.link.caller;
        self.ended
            .drain(..)
            .map(|ended| match ended.outcome {
                Ok(success) => Completion {
                    key: ended.key,
                    result: Ok(success.value),
                    node: success.node,
                    extras: success.head.extras,
                },
                Err(failure) => {
                    let failure = CallFailure::of(*failure, caller);
                    Completion { key: ended.key, result: Err(Box::new(failure)), node: None, extras: None }
                }
            })
            .collect()
    }

    /// Who answered, as users see it; for a client only if the call asked for it.
    pub fn answerer(&self, completion: &Completion) -> Option<String> {
        if let Err(failure) = &completion.result {
            return failure.node.clone();
        }
        let said = completion.extras.as_ref().and_then(|extras| extras.label.as_ref());
        said.map(|label| label.as_str().to_owned())
            .or_else(|| completion.node.map(|node| self.link.caller.label(node)))
    }

    /// Local calls that the thread itself shall run.
    pub fn take_invocations(&mut self, invocations: &mut Vec<Invocation>) {
        invocations.append(&mut self.link.invocations);
    }

    /// What it wants of the inputs of local steps, in this order.
    pub(crate) fn take_wants(&mut self) -> Vec<Want> {
        std::mem::take(&mut self.link.wants)
    }

    /// The inputs of a local step are here and in its arguments, or one of them is not to be had.
    pub(crate) fn gathered(&mut self, key: CallKey, outcome: Result<Payload, Box<ErrorBody>>, now: Time) {
        self.table.gathered(key, outcome, now, &mut self.link, &mut self.ended);
    }

    /// Steps of watched graphs that were handed on since the last time, and to whom.
    pub(crate) fn take_sent(&mut self) -> Vec<(CallKey, NodeId)> {
        std::mem::take(&mut self.link.sent)
    }

    /// A node as users see it.
    pub(crate) fn label(&self, node: NodeId) -> String {
        self.link.caller.label(node)
    }

    /// True if completions or local calls wait for the thread.
    pub fn has_local_work(&self) -> bool {
        !self.ended.is_empty() || !self.link.invocations.is_empty()
    }

    /// Writes what was sent since the last flush, one write per connection.
    pub fn flush(&mut self) {
        for connection in self.link.dirty.drain(..) {
            connection.flush();
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let now = self.link.runtime.clock.now();
        self.table.fail_all(ErrorCode::CancelledByPeer, "", now, &mut self.link, &mut self.ended);
        self.flush();
        self.link.runtime.mailboxes.close(self.id);
    }
}

/// What the table acts through.
#[derive(Debug)]
struct PortLink {
    id: PortId,
    caller: Caller,
    snapshot: Arc<Snapshot>,
    mailbox: Arc<Mailbox>,
    /// Connections used lately: a look here is cheaper than in the process's table.
    known: Vec<Arc<Connection>>,
    dirty: Vec<Arc<Connection>>,
    invocations: Vec<Invocation>,
    /// Of inputs of steps that are to run in this process.
    wants: Vec<Want>,
    /// Steps of watched graphs that were handed on, and to which node.
    sent: Vec<(CallKey, NodeId)>,
    assigned: Assigned,
    /// What the calls made now follow from.
    cause: Option<ConnectionId>,
    runtime: Arc<Runtime>,
}

/// Connections remembered before the memory starts anew.
const KNOWN_MAX: usize = 16;

impl PortLink {
    fn connection(&mut self, id: ConnectionId) -> Option<Arc<Connection>> {
        if let Some(known) = self.known.iter().find(|known| known.id() == id) {
            return Some(known.clone());
        }
        let found = self.runtime.connections.find(id)?;
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.push(found.clone());
        Some(found)
    }

    fn mark_dirty(&mut self, connection: Arc<Connection>) {
        if !self.dirty.iter().any(|dirty| Arc::ptr_eq(dirty, &connection)) {
            self.dirty.push(connection);
        }
    }

    fn consumed(&mut self, id: ConnectionId, wire_bytes: usize) {
        if let Some(connection) = self.connection(id) {
            connection.consumed(wire_bytes);
        }
    }
}

impl Outbound for PortLink {
    fn snapshot(&mut self) -> &Snapshot {
        &self.snapshot
    }

    fn entry(&mut self) -> Option<ConnectionId> {
        self.caller.entry()
    }

    fn is_starting(&self) -> bool {
        self.caller.is_starting()
    }

    fn round_trip(&self, connection: ConnectionId) -> Option<Duration> {
        self.known.iter().find(|known| known.id() == connection).and_then(|known| known.rtt())
    }

    fn send_call(
        &mut self,
        to: ConnectionId,
        head: &CallHead,
        value: &Payload,
    ) -> Result<StreamId, SendFailure> {
        let connection = self.connection(to).ok_or(SendFailure::Closed)?;
        let sealed = sealed(head, connection.peer().node);
        let stream = connection
            .send_call(sealed.as_ref().unwrap_or(head), value)
            .map_err(|error| send_failure(&error))?;
        if is_watched(head) {
            self.sent.push((CallKey::of_token(head.token), connection.peer().node));
        }
        self.mark_dirty(connection);
        Ok(stream)
    }

    fn send_cancel(&mut self, to: ConnectionId, stream: StreamId) {
        if let Some(connection) = self.connection(to) {
            connection.send_cancel(stream);
            self.mark_dirty(connection);
        }
    }

    fn dial(&mut self, node: NodeId) {
        self.caller.dial(node);
    }

    fn invoke_local(&mut self, call: LocalCall<'_>) -> Result<(), Box<ErrorBody>> {
        let function = self.caller.local_function(call.function)?;
        // What it waited before it is the caller's own part.
        let handed_on =
            Time::from_micros(call.deadline.as_micros().saturating_sub(Ledger::micros(call.head.remaining)));
        let stages = Stages::new(handed_on, handed_on, function.spec.threaded);
        let ticket = Ticket::local(
            self.mailbox.clone(),
            self.id,
            call.key,
            call.claim,
            call.running,
            call.gate,
            stages,
        )
        .caused_by(self.cause);
        let mut invocation = Invocation {
            handler: function.handler.clone(),
            origin: self.caller.origin(),
            head: call.head.clone(),
            deadline: call.deadline,
            value: call.value.clone(),
            ticket,
        };
        self.assigned.assign(call.key.slot(), &function.dispatcher);
        if is_watched(call.head) {
            self.sent.push((call.key, self.caller.process().node));
        }
        if let Some(step) = invocation.head.extras.as_ref().and_then(|extras| extras.step.as_ref()) {
            invocation.ticket = invocation.ticket.keeping(self.caller.keep(step, handed_on, &function));
        }
        let own = function.dispatcher.mailbox().is_some_and(|mailbox| Arc::ptr_eq(&mailbox, &self.mailbox));
        if own {
            self.invocations.push(invocation);
        } else {
            function.dispatcher.deliver(&mut vec![invocation]);
        }
        Ok(())
    }

    fn gather(&mut self, key: CallKey, step: &StepCall, arguments: &Payload, deadline: Time) {
        self.wants.push(Want::Gather(key, step.clone(), arguments.clone(), deadline));
    }

    fn cancel_gather(&mut self, key: CallKey) {
        self.wants.push(Want::Nothing(key));
    }

    fn send_item_credit(&mut self, to: ConnectionId, stream: StreamId, bytes: u64) {
        if let Some(connection) = self.connection(to) {
            connection.send_stream_credit(stream, bytes);
            self.mark_dirty(connection);
        }
    }

    fn resume_local(&mut self, key: CallKey) {
        self.assigned.resume(key.slot(), InvocationKey::Local(self.id, key));
    }

    fn breach(&mut self, on: ConnectionId, stream: StreamId) {
        if let Some(connection) = self.connection(on) {
            crate::stream_io::breach(&connection, stream);
        }
    }

    fn cancel_local(&mut self, key: CallKey) {
        self.assigned.cancel(key.slot(), InvocationKey::Local(self.id, key));
    }
}

/// A step of a graph that somebody watches.
fn is_watched(head: &CallHead) -> bool {
    head.extras.as_ref().and_then(|extras| extras.step.as_ref()).is_some_and(|step| step.watched)
}

pub(crate) fn send_failure(error: &SendError) -> SendFailure {
    match error {
        SendError::NoCredit => SendFailure::NoCredit,
        SendError::TooManyPending { .. } => SendFailure::TooManyPending,
        // Metadata that fits no frame is the caller's fault, not the connection's.
        SendError::TooLarge { .. } | SendError::NoFrame(_) => SendFailure::TooLarge,
        _ => SendFailure::Closed,
    }
}
