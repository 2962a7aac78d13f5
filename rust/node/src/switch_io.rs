//! The I/O thread's side of a node: feeds the `Switch` what arrives and runs what it puts out.
//!
//! Everything of one read is one batch: calls go to their dispatchers together, replies to their mailboxes together,
//! and each connection that was written to is flushed once.

mod closing;
mod invoking;
mod steps;

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use mpreg_rpc::{
    NotSent, OWN_CALLS, Output, Peer, SWITCH_BRIDGE, Switch, SwitchConfig, WorkerOffer, bridge_of,
    encode_error,
};
use mpreg_transport::{AdmitError, CloseReason, Connection, FrameHandler, Goodbye, Incoming, Lost};
use mpreg_types::{
    CallHead, ConnectionId, ErrorBody, ErrorCode, Executed, ForeignText, Payload, ReplyHead, StreamId, Time,
    Untaken,
};
use mpreg_wire::{FrameKind, Role};

use crate::answers::send_answer;
use crate::assigned::Assigned;
use crate::backlog::Backlog;
use crate::command::Command;
use crate::dispatch::{Dispatcher, Invocation, InvocationKey, Origin};
use crate::graph::Desk;
use crate::mailbox::{Item, News, PortId};
use crate::node_shared::NodeShared;
use crate::port::send_failure;
use crate::runtime::Runtime;
use steps::{OwnCalls, kept};

/// See the module.
pub(crate) struct SwitchIo {
    shared: Arc<NodeShared>,
    runtime: Arc<Runtime>,
    pub(crate) switch: Switch,
    snapshot_version: u64,
    links: BTreeMap<ConnectionId, Link>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) replies: Vec<Item>,
    deliveries: Vec<(Arc<dyn Dispatcher>, Vec<Invocation>)>,
    assigned: Assigned,
    desk: Desk,
    own_calls: OwnCalls,
    dirty: Vec<Arc<Connection>>,
    /// Bytes of chunked values on their way, over all connections.
    receiving: u64,
    fresh_batch: bool,
    /// The node takes no calls any more.
    parting: bool,
    armed: Option<Time>,
}

struct Link {
    connection: Arc<Connection>,
    origin: Arc<Origin>,
    /// Bytes of chunked values on their way over it.
    receiving: u64,
    backlog: Backlog,
}

impl SwitchIo {
    pub(crate) fn new(shared: Arc<NodeShared>, runtime: Arc<Runtime>, seed: u64) -> Self {
        let snapshot = shared.snapshot.load_full();
        let switch = Switch::new(SwitchConfig::default(), snapshot.clone(), shared.workload.clone(), seed);
        Self {
            snapshot_version: snapshot.version(),
            switch,
            links: BTreeMap::new(),
            outputs: Vec::new(),
            replies: Vec::new(),
            deliveries: Vec::new(),
            assigned: Assigned::default(),
            desk: Desk::new(&shared),
            own_calls: OwnCalls::default(),
            dirty: Vec::new(),
            receiving: 0,
            fresh_batch: true,
            parting: false,
            armed: None,
            shared,
            runtime,
        }
    }

    /// Takes in what changed without a frame: ended calls, a new snapshot, passed deadlines.
    pub(crate) fn turn(&mut self) {
        let now = self.runtime.clock.now();
        self.catch_up(now);
        // First of all: a graph whose deadline has passed says more of it than the switch can.
        self.desk.turn(now);
        self.switch.tick(now, &mut self.outputs);
        self.run_outputs(now);
        self.batch_end();
    }

    /// When [`Self::turn`] is due.
    pub(crate) fn next_turn(&mut self) -> Option<Time> {
        self.armed = self.next_deadline();
        self.armed
    }

    fn next_deadline(&mut self) -> Option<Time> {
        self.switch.next_deadline().into_iter().chain(self.desk.next_deadline()).min()
    }

    /// The node is another start from now on: its snapshots count from the first again.
    pub(crate) fn begin_anew(&mut self) {
        self.snapshot_version = 0;
    }

    /// From now on the own functions take no new call.
    pub(crate) fn drain(&mut self) {
        self.switch.drain();
    }

    /// The drain is over: what still runs is cancelled.
    pub(crate) fn end_drain(&mut self) {
        let now = self.runtime.clock.now();
        self.catch_up(now);
        self.switch.end_drain(now, &mut self.outputs);
        self.run_outputs(now);
        self.batch_end();
    }

    pub(crate) fn set_starting(&mut self, starting: bool) {
        self.switch.set_starting(starting);
    }

    /// A worker of this node offers a function.
    pub(crate) fn worker_offers(&mut self, on: ConnectionId, offer: WorkerOffer) {
        self.switch.worker_offers(on, offer);
    }

    /// A worker of this node offers that function no longer.
    pub(crate) fn worker_withdraws(&mut self, on: ConnectionId, handle: u64) {
        self.switch.worker_withdraws(on, handle);
    }

    /// Calls held for others.
    pub(crate) fn is_idle(&self) -> bool {
        self.switch.is_empty()
    }

    /// True if no call of the other side is under way on that connection.
    pub(crate) fn is_quiet(&self, on: ConnectionId) -> bool {
        self.switch.is_quiet(on)
    }

    /// Every connection of the node.
    pub(crate) fn connections(&self) -> Vec<Arc<Connection>> {
        self.links.values().map(|link| link.connection.clone()).collect()
    }

    fn catch_up(&mut self, now: Time) {
        let snapshot = self.shared.snapshot.load();
        if snapshot.version() != self.snapshot_version {
            self.snapshot_version = snapshot.version();
            self.switch.snapshot_changed(snapshot.clone(), now, &mut self.outputs);
            self.desk.snapshot_changed(&snapshot, now);
        }
        let mut finished = Vec::new();
        self.shared.inbound.take_finished(&mut finished);
        for key in finished {
            self.assigned.end(key.slot());
            self.switch.finished(key, now, &mut self.outputs);
        }
        self.run_outputs(now);
    }

    /// The time of this batch, after what happened before it.
    pub(crate) fn enter(&mut self) -> Time {
        let now = self.runtime.clock.now();
        if mem::replace(&mut self.fresh_batch, false) {
            self.catch_up(now);
        }
        now
    }

    pub(crate) fn run_outputs(&mut self, now: Time) {
        // A failed forward makes new outputs, and so do inputs that came for steps, so this is no single pass.
        loop {
            for output in mem::take(&mut self.outputs) {
                self.run_output(output, now);
            }
            if self.outputs.is_empty() && !self.go_on_with_steps(now) {
                return;
            }
        }
    }

    fn run_output(&mut self, output: Output, now: Time) {
        match output {
            Output::Invoke(invocation) => self.invoke(invocation, now),
            Output::CancelLocal { key, from, stream } => {
                self.assigned.cancel(key.slot(), InvocationKey::Remote(from, stream));
            }
            Output::Gather { key, step, arguments, deadline } => {
                self.desk.gather(key, &step, arguments, deadline, now);
            }
            Output::CancelGather { key } => self.desk.ungather(key, now),
            Output::Keep { to, stream, head, value, step, arrived, idempotent } => {
                let keep = self.shared.keep(&step, arrived, idempotent);
                let (head, value) = kept(keep.as_deref(), head, value);
                self.outputs.push(Output::Reply { to, stream, head, value });
            }
            Output::Reply { to: OWN_CALLS, stream, head, value } => {
                self.own_answered(stream, head, value, now);
            }
            Output::Reply { to, stream, head, value } => self.reply(to, stream, head, &value),
            Output::Forward { relay, to, head, value } => {
                let sent = match self.connection(to) {
                    Some(connection) => {
                        self.mark_dirty(&connection);
                        connection.send_call(&head, &value).map_err(|error| send_failure(&error))
                    }
                    None => Err(mpreg_rpc::SendFailure::Closed),
                };
                let outcome = sent.map_err(|why| NotSent { why, head, value });
                self.switch.forwarded(relay, outcome, now, &mut self.outputs);
            }
            Output::CancelRemote { to, stream } => {
                if let Some(connection) = self.connection(to) {
                    connection.send_cancel(stream);
                    self.mark_dirty(&connection);
                }
            }
            Output::Item { to, stream, head, value } => self.pass_item(to, stream, head, &value),
            Output::ItemCredit { to, stream, bytes } => self.pass_credit(to, stream, bytes),
            Output::Resume { key, from, stream } => {
                self.assigned.resume(key.slot(), InvocationKey::Remote(from, stream));
            }
            Output::Breach { on, stream } => self.breached(on, stream),
            Output::Dial { node } => {
                self.shared.command(Command::Wanted(node));
            }
            Output::Started { to, tokens } => {
                if let Some(connection) = self.connection(to) {
                    // A full control queue means that the peer reads nothing: it will not miss the report.
                    let _ = connection.send_started(tokens);
                    self.mark_dirty(&connection);
                }
            }
        }
    }

    pub(crate) fn reply(&mut self, to: ConnectionId, stream: StreamId, mut head: ReplyHead, value: &Payload) {
        if let Some(connection) = self.connection(to) {
            // An error names its node for people: a client has no catalog to look it up in.
            if let Some(extras) = head.extras.as_mut().filter(|extras| !head.ok && extras.label.is_none()) {
                extras.label = extras.node.map(|node| ForeignText::new(self.shared.label_of(node)));
            }
            send_answer(&connection, stream, &head, value);
            self.mark_dirty(&connection);
        }
    }

    pub(crate) fn connection(&self, id: ConnectionId) -> Option<Arc<Connection>> {
        self.links.get(&id).map(|link| link.connection.clone())
    }

    pub(crate) fn mark_dirty(&mut self, connection: &Arc<Connection>) {
        if !self.dirty.iter().any(|dirty| Arc::ptr_eq(dirty, connection)) {
            self.dirty.push(connection.clone());
        }
    }

    pub(crate) fn reply_came(
        &mut self,
        connection: &Connection,
        stream: StreamId,
        head: ReplyHead,
        value: Payload,
        owed: usize,
    ) {
        let bridge = bridge_of(head.token);
        if bridge == SWITCH_BRIDGE {
            let now = self.enter();
            connection.consumed(owed);
            self.switch.reply(connection.id(), stream, head, value, now, &mut self.outputs);
            return self.run_outputs(now);
        }
        let port = PortId(bridge);
        let connection = connection.id();
        let item = Item::Reply { port, connection, stream, head, value, wire_bytes: owed };
        if self.desk.owns(port) {
            let now = self.enter();
            self.desk.arrived(item, now);
            return self.run_outputs(now);
        }
        self.replies.push(item);
    }

    fn refuse_value(&mut self, connection: &Connection, stream: StreamId, head: &CallHead, why: AdmitError) {
        let (code, retry) = match why {
            AdmitError::TooLarge { .. } => {
                (ErrorCode::TooLarge, "send it in parts, or raise max_value_bytes")
            }
            AdmitError::NoRoom { .. } => (ErrorCode::Overloaded, "try again, or raise receive_bytes"),
        };
        let value = encode_error(&ErrorBody::new(code, format!("{why}; {retry}")));
        let head = ReplyHead::error(head.token, Executed::No, value.len() as u64);
        self.reply(connection.id(), stream, head, &value);
    }

    /// Membership, catalog and looks are the control thread's.
    fn control(&self, connection: &Arc<Connection>, kind: FrameKind, stream: StreamId, payload: Bytes) {
        if let (Some(parent), FrameKind::LookReply) = (&self.shared.parent, kind) {
            return parent.answer_part(stream.0, &payload);
        }
        let Some(link) = self.links.get(&connection.id()) else { return };
        let Some(queued) = link.backlog.add(payload.len()) else {
            let why = "its control frames come faster than they can be worked on";
            return connection.close(Goodbye::new(CloseReason::Overloaded, why));
        };
        let connection = connection.clone();
        self.shared.command(match kind {
            FrameKind::Look => Command::ClientLook { connection, token: stream, body: payload, queued },
            _ => Command::Frame(connection, kind, payload, queued),
        });
    }

    fn started(&mut self, connection: &Connection, tokens: &[u64]) {
        let now = self.enter();
        let (relayed, own): (Vec<u64>, Vec<u64>) =
            tokens.iter().partition(|&&token| bridge_of(token) == SWITCH_BRIDGE);
        if !relayed.is_empty() {
            self.switch.started(connection.id(), &relayed, now, &mut self.outputs);
        }
        self.replies.extend(own.into_iter().map(|token| Item::Started {
            port: PortId(bridge_of(token)),
            connection: connection.id(),
            token,
        }));
        self.run_outputs(now);
    }
}

/// Replies of one batch, each port's together.
pub(crate) fn deliver_replies(runtime: &Runtime, replies: &mut Vec<Item>) {
    let mut replies = mem::take(replies).into_iter().peekable();
    while let Some(first) = replies.next() {
        let port = first.port();
        let Some(mailbox) = port.and_then(|port| runtime.mailboxes.find(port)) else { continue };
        let rest = std::iter::from_fn(|| replies.next_if(|next| next.port() == port));
        mailbox.push_all(std::iter::once(first).chain(rest));
    }
}

impl FrameHandler for SwitchIo {
    fn opened(&mut self, connection: &Arc<Connection>) {
        let peer = connection.peer();
        let (caller, whom) = match peer.role {
            Role::Worker => (self.shared.label.clone(), Peer::Worker),
            Role::Client => {
                let name = peer.name.to_string();
                (format!("{}/{name}", peer.cluster), Peer::Client { node: peer.node, name })
            }
            Role::Node | Role::Gateway => {
                let instance = peer.instance.as_ref().map_or_else(|| peer.node.short(), ToString::to_string);
                (format!("{}/{}/{instance}", peer.cluster, peer.name), Peer::Member(peer.node))
            }
        };
        let origin = Arc::new(Origin { caller, cluster: peer.cluster.to_string() });
        let link = Link { connection: connection.clone(), origin, receiving: 0, backlog: Backlog::default() };
        self.links.insert(connection.id(), link);
        self.runtime.connections.insert(connection);
        self.switch.connected(connection.id(), whom);
        if let Some(parent) = &self.shared.parent {
            parent.set_entry(Some((connection.id(), peer.node, self.shared.label.clone())));
            self.runtime.mailboxes.tell_all(&News::RouteChanged);
        }
        self.shared.command(Command::Opened(connection.clone()));
        if self.parting {
            connection.take_no_more(CloseReason::Leaving);
        }
    }

    fn frame(&mut self, connection: &Arc<Connection>, frame: Incoming) {
        match frame {
            Incoming::Call { stream, head, value, wire_bytes } => {
                let now = self.enter();
                // Admission bounds what is held from here on, so the credit returns at once.
                connection.consumed(wire_bytes);
                self.switch.call(connection.id(), stream, head, value, now, &mut self.outputs);
                self.run_outputs(now);
            }
            Incoming::Reply { stream, head, value, wire_bytes } => {
                self.reply_came(connection, stream, head, value, wire_bytes);
            }
            Incoming::RefusedCall { stream, head, why } => self.refuse_value(connection, stream, &head, why),
            Incoming::RefusedReply { stream, head, why } => {
                let (head, value) = refused_reply(&head, why);
                self.reply_came(connection, stream, head, value, 0);
            }
            Incoming::Cancel { stream } => {
                let now = self.enter();
                self.switch.cancel(connection.id(), stream, now, &mut self.outputs);
                self.run_outputs(now);
            }
            Incoming::Item { stream, head, value } => self.item_came(connection, stream, head, value),
            Incoming::RefusedItem { stream, head, why } => self.item_refused(connection, stream, head, why),
            Incoming::Credit { stream, bytes } => self.credit_came(connection, stream, bytes),
            Incoming::Started { tokens } => self.started(connection, &tokens),
            Incoming::Control { kind, stream, payload } => self.control(connection, kind, stream, payload),
        }
    }

    fn goodbye(&mut self, connection: &Arc<Connection>, why: CloseReason, untaken: Untaken) {
        self.heard_goodbye(connection, why, untaken);
    }

    fn batch_end(&mut self) {
        self.fresh_batch = true;
        for (dispatcher, mut batch) in self.deliveries.drain(..) {
            dispatcher.deliver(&mut batch);
        }
        deliver_replies(&self.runtime, &mut self.replies);
        for connection in self.dirty.drain(..) {
            connection.flush();
        }
        self.shared.inbound.set_urgent(self.switch.has_waiting());
        let next = self.next_deadline();
        if next.is_some() && (self.armed.is_none() || next < self.armed) {
            self.shared.inbound.attention.notify_one();
        }
    }

    fn credit(&mut self, connection: &Arc<Connection>) {
        let now = self.enter();
        self.switch.writable(connection.id(), now, &mut self.outputs);
        self.run_outputs(now);
        self.batch_end();
        self.runtime.mailboxes.tell_all(&News::Credit(connection.id()));
    }

    fn admit(&mut self, connection: &Arc<Connection>, bytes: u64) -> Result<(), AdmitError> {
        let settings = &self.shared.config.settings;
        if bytes > settings.max_value_bytes {
            return Err(AdmitError::TooLarge { bytes, max: settings.max_value_bytes });
        }
        let Some(link) = self.links.get_mut(&connection.id()) else {
            return Err(AdmitError::NoRoom { bytes });
        };
        // One peer gets at most half of it.
        let fits = self.receiving + bytes <= settings.receive_bytes
            && link.receiving + bytes <= settings.receive_bytes / 2;
        if !fits {
            return Err(AdmitError::NoRoom { bytes });
        }
        link.receiving += bytes;
        self.receiving += bytes;
        Ok(())
    }

    fn released(&mut self, connection: &Arc<Connection>, bytes: u64) {
        self.receiving = self.receiving.saturating_sub(bytes);
        if let Some(link) = self.links.get_mut(&connection.id()) {
            link.receiving = link.receiving.saturating_sub(bytes);
        }
    }

    fn closed(&mut self, connection: &Arc<Connection>, lost: Lost) {
        self.lost(connection, lost);
    }
}

/// The reply that takes the place of one whose value was too large.
pub(crate) fn refused_reply(head: &ReplyHead, why: AdmitError) -> (ReplyHead, Payload) {
    let body = ErrorBody::new(ErrorCode::TooLarge, format!("the result did not fit: {why}"));
    let value = encode_error(&body);
    let executed = if head.ok { Executed::Yes } else { head.executed };
    (ReplyHead::error(head.token, executed, value.len() as u64), value)
}
