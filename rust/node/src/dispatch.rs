//! How a call reaches the code that runs a function, and how its result gets back.

use std::any::Any;
use std::fmt;
use std::mem;
use std::sync::Arc;

use mpreg_rpc::{CallKey, Claim, InboundKey, ItemGate, Running, encode_error};
use mpreg_transport::Connection;
use mpreg_types::{
    CallHead, ConnectionId, ErrorBody, ErrorCode, Executed, ForeignText, Ledger, Payload, ReplyExtras,
    ReplyHead, StreamId, Time,
};

use crate::answers::send_answer;
use crate::graph::Keep;
use crate::inbound::Inbound;
use crate::items::ItemSender;
use crate::mailbox::{Item, Mailbox, PortId};

/// Runs functions somewhere: on an event loop, or in a pool of threads.
pub trait Dispatcher: Send + Sync + fmt::Debug {
    /// Takes a batch. Called on the I/O thread, or on the calling thread for local calls: must neither block nor touch Python.
    fn deliver(&self, invocations: &mut Vec<Invocation>);
    /// There is credit for the item that this one waits with.
    fn resume(&self, key: InvocationKey);
    /// Nobody waits for this one any more.
    fn cancel(&self, key: InvocationKey);
    /// The mailbox it delivers to, if it is one: calls of the thread that drains it need no wake-up.
    fn mailbox(&self) -> Option<Arc<Mailbox>>;
}

/// Identity of an invocation within this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InvocationKey {
    /// It came over a connection.
    Remote(ConnectionId, StreamId),
    /// It was called in this process.
    Local(PortId, CallKey),
}

/// Who called, as the handler sees it.
#[derive(Debug, Clone)]
pub struct Origin {
    /// `cluster/name/instance` of a node, `cluster/name` of a client.
    pub caller: String,
    /// The cluster where the call began.
    pub cluster: String,
}

/// One call to run.
pub struct Invocation {
    /// Who called.
    pub origin: Arc<Origin>,
    /// What `register` was given for this function.
    pub handler: Arc<dyn Any + Send + Sync>,
    /// The call's metadata.
    pub head: CallHead,
    /// When its caller stops waiting.
    pub deadline: Time,
    /// Its arguments.
    pub value: Payload,
    /// Where the result goes.
    pub ticket: Ticket,
}

impl fmt::Debug for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invocation")
            .field("call", &self.head.call)
            .field("key", &self.ticket.key())
            .finish_non_exhaustive()
    }
}

/// The duty to answer one call. Dropped unanswered it answers `cancelled_by_peer`, so no caller waits in vain.
pub struct Ticket {
    to: Option<ReplyTo>,
    key: InvocationKey,
    token: u64,
    claim: Claim,
    stages: Stages,
    /// The connection whose frame it follows from.
    cause: Option<ConnectionId>,
    items: Option<ItemSender>,
    /// Set for steps of graphs whose large results stay here.
    keep: Option<Box<Keep>>,
    /// Its slot: free again when the ticket is gone.
    running: Option<Running>,
}

/// When a call reached what: told only if it fails.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stages {
    /// This node.
    pub(crate) arrived: Time,
    /// The dispatcher of its function.
    pub(crate) handed_over: Time,
    /// True if that has threads; false if it has a loop.
    pub(crate) threaded: bool,
    /// The function.
    begun: Option<Time>,
}

impl Stages {
    pub(crate) fn new(arrived: Time, handed_over: Time, threaded: bool) -> Self {
        Self { arrived, handed_over, threaded, begun: None }
    }

    fn ledger(&self, now: Time) -> Ledger {
        let mut ledger = Ledger::queued(self.handed_over.since(self.arrived));
        let begun = self.begun.unwrap_or(now);
        let waited = Ledger::micros(begun.since(self.handed_over));
        *(if self.threaded { &mut ledger.interpreter_us } else { &mut ledger.loop_us }) = waited;
        ledger.handler_us = Ledger::micros(now.since(begun));
        ledger
    }
}

enum ReplyTo {
    Remote {
        connection: Arc<Connection>,
        stream: StreamId,
        slot: InboundKey,
        inbound: Arc<Inbound>,
        /// The caller wants to know who answers.
        tell_node: bool,
    },
    Local {
        mailbox: Arc<Mailbox>,
        port: PortId,
        key: CallKey,
    },
}

impl Ticket {
    pub(crate) fn remote(
        connection: Arc<Connection>,
        stream: StreamId,
        token: u64,
        invoked: (InboundKey, Claim, Running, Option<Arc<ItemGate>>),
        stages: Stages,
        inbound: Arc<Inbound>,
        tell_node: bool,
    ) -> Self {
        let (key, cause) = (InvocationKey::Remote(connection.id(), stream), Some(connection.id()));
        let (slot, claim, running, gate) = invoked;
        let items = gate.map(|gate| ItemSender::remote(connection.clone(), stream, token, gate));
        Self {
            to: Some(ReplyTo::Remote { connection, stream, slot, inbound, tell_node }),
            key,
            token,
            claim,
            stages,
            cause,
            items,
            keep: None,
            running: Some(running),
        }
    }

    pub(crate) fn local(
        mailbox: Arc<Mailbox>,
        port: PortId,
        key: CallKey,
        claim: Claim,
        running: Running,
        gate: Option<Arc<ItemGate>>,
        stages: Stages,
    ) -> Self {
        let items = gate.map(|gate| ItemSender::local(mailbox.clone(), port, key, gate));
        let to = Some(ReplyTo::Local { mailbox, port, key });
        Self {
            to,
            key: InvocationKey::Local(port, key),
            token: key.token(),
            claim,
            stages,
            cause: None,
            items,
            keep: None,
            running: Some(running),
        }
    }

    /// It is a graph's, and follows from what came over that connection.
    pub(crate) fn caused_by(mut self, connection: Option<ConnectionId>) -> Self {
        self.cause = connection;
        self
    }

    /// The connection that it came over, or that what it follows from came over.
    pub(crate) fn cause(&self) -> Option<ConnectionId> {
        self.cause
    }

    /// Sends the items, if the call asks for a stream.
    pub fn items(&self) -> Option<&ItemSender> {
        self.items.as_ref()
    }

    /// A large result stays here, for other steps of the graph.
    pub(crate) fn keeping(mut self, keep: Option<Box<Keep>>) -> Self {
        self.keep = keep;
        self
    }

    /// To be asked right before the function starts, at `now`. False: nobody waits any more, and it must not start; the
    /// ticket is still to be answered.
    #[must_use = "a call that was taken back must not start"]
    pub fn begin(&mut self, now: Time) -> bool {
        self.stages.begun = Some(now);
        self.claim.begin()
    }

    /// True if nobody waits any more.
    pub fn is_cancelled(&self) -> bool {
        self.claim.is_revoked()
    }

    /// Identity of the invocation.
    pub fn key(&self) -> InvocationKey {
        self.key
    }

    /// The connection it came over; `None` for a local call.
    pub fn connection(&self) -> Option<&Arc<Connection>> {
        match &self.to {
            Some(ReplyTo::Remote { connection, .. }) => Some(connection),
            _ => None,
        }
    }

    /// Its slot, for whoever runs it instead.
    pub(crate) fn take_running(&mut self) -> Option<Running> {
        self.running.take()
    }

    /// Another process has answered a call of this one: what its caller's mailbox gets.
    pub(crate) fn answered(mut self, head: ReplyHead, value: Payload) -> Option<Item> {
        let Some(ReplyTo::Local { port, key, .. }) = self.to else { return None };
        self.to = None;
        Some(Item::LocalReply { port, key, head, value })
    }

    /// Answers with a result.
    pub fn succeed(self, value: Payload, replies: &mut Replies) {
        // What nobody waits for is not held either.
        let held = self.keep.as_ref().filter(|_| !self.is_cancelled()).and_then(|keep| keep.hold(&value));
        match held {
            None => self.give(value, replies),
            Some(Err(full)) => self.fail(full, Executed::Yes, replies),
            Some(Ok(held)) => {
                if let Some(keep) = self.keep.as_ref().filter(|_| self.is_cancelled()) {
                    keep.let_go(&held);
                }
                let extras = ReplyExtras { held: Some(Box::new(held)), ..ReplyExtras::default() };
                self.answer(true, Executed::Yes, Payload::default(), Some(Box::new(extras)), replies);
            }
        }
    }

    fn give(self, value: Payload, replies: &mut Replies) {
        let extras = match &self.to {
            Some(ReplyTo::Remote { inbound, tell_node: true, .. }) => {
                let label = Some(ForeignText::new(inbound.label.clone()));
                Some(Box::new(ReplyExtras { label, ..ReplyExtras::default() }))
            }
            _ => None,
        };
        self.answer(true, Executed::Yes, value, extras, replies);
    }

    /// Answers with an error; `body` is an encoded `ErrorBody`.
    pub fn fail(self, mut body: ErrorBody, executed: Executed, replies: &mut Replies) {
        if let Some(ReplyTo::Remote { inbound, .. }) = &self.to {
            body.node = Some(ForeignText::new(inbound.label.clone()));
        }
        let ledger = Some(self.stages.ledger(crate::runtime::now()));
        let extras = Some(Box::new(ReplyExtras { ledger, ..ReplyExtras::default() }));
        self.answer(false, executed, encode_error(&body), extras, replies);
    }

    fn answer(
        mut self,
        ok: bool,
        executed: Executed,
        value: Payload,
        extras: Option<Box<ReplyExtras>>,
        replies: &mut Replies,
    ) {
        if let Some(running) = &mut self.running {
            running.answered(crate::runtime::now().since(self.stages.arrived), ok);
        }
        let bytes = value.len() as u64;
        let head = ReplyHead { ok, executed, extras, ..ReplyHead::ok(self.token, bytes) };
        if let Some(to) = self.to.take() {
            replies.add(to, self.claim.answer(), head, value);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(to) = self.to.take() else { return };
        let body = ErrorBody::new(ErrorCode::CancelledByPeer, "the node dropped the call: it is stopping");
        let value = encode_error(&body);
        let head = ReplyHead::error(self.token, Executed::Unknown, value.len() as u64);
        let mut replies = Replies::default();
        replies.add(to, self.claim.answer(), head, value);
        replies.flush();
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({:?})", self.key)
    }
}

/// Answers of one batch, sent with one write per connection.
#[derive(Default)]
pub struct Replies {
    dirty: Vec<Arc<Connection>>,
    finished: Vec<(Arc<Inbound>, InboundKey)>,
    /// Answers to local calls of the thread that answers: they need no wake-up.
    own: Option<Arc<Mailbox>>,
    own_items: Vec<Item>,
    /// The thread does the work of mailboxes that are anybody's itself: for the next step of a graph nobody is woken.
    helps: bool,
    left: Vec<Arc<Mailbox>>,
    left_items: usize,
}

/// Answers for such mailboxes that a thread sees to itself; when there are more, it has other things to do.
const HELP_MAX: usize = 4;

/// Mailboxes that a thread has left answers in, and is to see to when it holds no lock.
#[derive(Debug, Default)]
#[must_use = "nobody was woken for what is in them"]
pub struct Left(Vec<Arc<Mailbox>>, bool);

impl Left {
    /// True if there is nothing to see to.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sees to them.
    pub fn see_to(self) {
        self.0.iter().for_each(|mailbox| mailbox.see_to(self.1));
    }

    /// Has their owners see to them.
    pub fn pass_on(self) {
        Self(self.0, true).see_to();
    }
}

impl Replies {
    /// For a thread that drains `mailbox`: what goes there is kept in [`Replies::take_own`] instead.
    pub fn of_thread(mailbox: Arc<Mailbox>) -> Self {
        Self { own: Some(mailbox), helps: true, ..Self::default() }
    }

    /// For a thread that holds no lock when it flushes.
    pub fn helping() -> Self {
        Self { helps: true, ..Self::default() }
    }

    /// `wanted`: false if the caller has been answered already, by a deadline or a cancellation.
    fn add(&mut self, to: ReplyTo, wanted: bool, mut head: ReplyHead, value: Payload) {
        match to {
            ReplyTo::Remote { connection, stream, slot, inbound, .. } => {
                if wanted {
                    head.load = Some(inbound.load());
                    send_answer(&connection, stream, &head, &value);
                    self.mark_dirty(&connection);
                }
                self.finished.push((inbound, slot));
            }
            ReplyTo::Local { mailbox, port, key } => {
                self.hand_over(&mailbox, Item::LocalReply { port, key, head, value });
            }
        }
    }

    pub(crate) fn mark_dirty(&mut self, connection: &Arc<Connection>) {
        if !self.dirty.iter().any(|other| Arc::ptr_eq(other, connection)) {
            self.dirty.push(connection.clone());
        }
    }

    pub(crate) fn hand_over(&mut self, mailbox: &Arc<Mailbox>, item: Item) {
        if self.own.as_ref().is_some_and(|own| Arc::ptr_eq(own, mailbox)) {
            self.own_items.push(item);
        } else if self.helps && mailbox.is_anybodys() {
            self.left_items += 1;
            if mailbox.leave(item) {
                self.left.push(mailbox.clone());
            }
        } else {
            mailbox.push(item);
        }
    }

    /// What was left for others since the last time.
    pub fn take_left(&mut self) -> Left {
        let many = mem::take(&mut self.left_items) > HELP_MAX;
        Left(mem::take(&mut self.left), many)
    }

    /// Answers to local calls of this thread since the last time.
    pub fn take_own(&mut self) -> Vec<Item> {
        mem::take(&mut self.own_items)
    }

    /// Writes what has been answered since the last flush.
    pub fn flush(&mut self) {
        for connection in self.dirty.drain(..) {
            connection.flush();
        }
        let mut finished = mem::take(&mut self.finished).into_iter().peekable();
        while let Some((inbound, slot)) = finished.next() {
            let mut slots = vec![slot];
            while let Some((_, slot)) = finished.next_if(|(other, _)| Arc::ptr_eq(other, &inbound)) {
                slots.push(slot);
            }
            inbound.finished(slots);
        }
        // A loop has its locks; it sees to them itself.
        if self.own.is_none() {
            self.take_left().see_to();
        }
    }
}

impl fmt::Debug for Replies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies").field("dirty", &self.dirty.len()).finish_non_exhaustive()
    }
}
