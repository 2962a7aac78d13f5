use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use mpreg_types::{CallHead, ConnectionId, Payload, ReplyHead, StreamId};
use mpreg_wire::handshake::PeerIdentity;
use mpreg_wire::{FrameKind, Limits, Process, encode_started};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::lane::LaneState;
use crate::link::Written;
use crate::outbox::{Outbox, Phase};
use crate::read_side::ReadHere;
use crate::send_limits::SendLimits;
use crate::{Counters, Link, LostCause, ProtocolError, SendError};

/// An established connection to one peer, shared by every thread that sends on it.
///
/// Sending appends to an outbox and gives nothing to the kernel; [`Connection::flush`] writes, on the thread that
/// calls it, whatever all threads have appended. Only one thread writes at a time and nobody waits for it: who comes
/// meanwhile leaves the work to the one who is writing. What the kernel does not take is finished by a task on the io
/// thread. Reading is that thread's, but for a [`Lane`](crate::Lane).
pub struct Connection {
    id: ConnectionId,
    peer: PeerIdentity,
    dialled: bool,
    is_local: bool,
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<Counters>,
    pub(crate) link: Link,
    pub(crate) open: AtomicBool,
    /// Further calls of the peer are taken.
    pub(crate) taking: AtomicBool,
    outbox: Mutex<Outbox>,
    /// The kernel took no more.
    pub(crate) blocked: Notify,
    /// Something for the reading task: the end, or credit for those who wait.
    pub(crate) attention: Notify,
    takes_again: AtomicBool,
    pub(crate) lane: LaneState,
    read_side: OnceLock<Weak<dyn ReadHere>>,
    /// Own streams from this one on were never opened.
    next_stream: AtomicU64,
    /// Received bytes that the peer has no credit back for.
    under_way: AtomicU64,
    /// Of those, what was consumed.
    owed: AtomicU64,
    return_from: u64,
    started: Instant,
    /// Smoothed, in microseconds; 0 before the first answer.
    rtt: AtomicU64,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Connection {
    pub(crate) fn new(
        link: Link,
        own: Process,
        peer: PeerIdentity,
        dialled: bool,
        limits: Limits,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        let outbox = Outbox::new(SendLimits::new(&limits, &peer.limits), own, dialled);
        Counters::add(&counters.opened, 1);
        Arc::new(Self {
            id: ConnectionId(NEXT_ID.fetch_add(1, Ordering::Relaxed)),
            return_from: SendLimits::return_from(&limits),
            next_stream: AtomicU64::new(outbox.next_stream()),
            is_local: link.is_local(),
            peer,
            dialled,
            limits,
            counters,
            link,
            open: AtomicBool::new(true),
            taking: AtomicBool::new(true),
            outbox: Mutex::new(outbox),
            blocked: Notify::new(),
            attention: Notify::new(),
            takes_again: AtomicBool::new(false),
            lane: LaneState::default(),
            read_side: OnceLock::new(),
            under_way: AtomicU64::new(0),
            owed: AtomicU64::new(0),
            started: Instant::now(),
            rtt: AtomicU64::new(0),
        })
    }

    /// Its number in this process; never used again.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// Who is at the other end, as the handshake proved it.
    pub fn peer(&self) -> &PeerIdentity {
        &self.peer
    }

    /// True until either side closes it or it breaks.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// True if this side dialled.
    pub fn dialled(&self) -> bool {
        self.dialled
    }

    /// True if the other end is on this machine.
    pub fn is_local(&self) -> bool {
        self.is_local
    }

    /// True if it is encrypted.
    pub fn is_tls(&self) -> bool {
        self.link.is_tls()
    }

    /// Time of a ping and its answer, smoothed; `None` before the first answer.
    pub fn rtt(&self) -> Option<Duration> {
        match self.rtt.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(micros)),
        }
    }

    /// Bytes of calls and replies that wait for the kernel; large values are not counted.
    pub fn queued_bytes(&self) -> usize {
        self.outbox.lock().queued()
    }

    /// Appends a Membership, Catalog or similar frame; it is written before all calls and replies.
    pub fn send_control(&self, kind: FrameKind, payload: &[u8]) -> Result<(), SendError> {
        self.outbox.lock().push_control(kind, StreamId(0), payload)
    }

    /// Asks the entry node for a view; the answer repeats `token`.
    pub fn send_look(&self, token: u64, payload: &[u8]) -> Result<(), SendError> {
        self.outbox.lock().push_control(FrameKind::Look, StreamId(token), payload)
    }

    /// Answers a look.
    pub fn send_look_reply(&self, token: StreamId, payload: &[u8]) -> Result<(), SendError> {
        self.outbox.lock().push_control(FrameKind::LookReply, token, payload)
    }

    /// Appends a call and opens its stream. On an error nothing of it was or will be sent. The value is shared, not
    /// copied, where it is large.
    pub fn send_call(&self, head: &CallHead, value: &Payload) -> Result<StreamId, SendError> {
        let mut outbox = self.outbox.lock();
        let stream = outbox.push_call(head, value)?;
        // Before the peer can answer, and so before the reader can ask.
        self.next_stream.store(outbox.next_stream(), Ordering::Release);
        Ok(stream)
    }

    /// Appends the reply to a call of the peer. Without credit it waits here; a peer that never takes its replies is
    /// closed.
    pub fn send_reply(&self, stream: StreamId, head: &ReplyHead, value: &Payload) -> Result<(), SendError> {
        let pushed = self.outbox.lock().push_reply(stream, head, value);
        if matches!(pushed, Err(SendError::RepliesNotTaken { .. })) {
            self.close(crate::CloseReason::Overloaded);
        }
        pushed
    }

    /// Tells that nobody waits any more for the reply on `stream`; what is left of its value is not sent. The peer may
    /// have answered already.
    pub fn send_cancel(&self, stream: StreamId) {
        self.outbox.lock().push_cancel(stream);
    }

    /// Tells that the calls of the peer with these tokens have begun to execute.
    pub fn send_started(&self, tokens: impl IntoIterator<Item = u64>) -> Result<(), SendError> {
        let mut payload = Vec::new();
        encode_started(tokens, &mut payload);
        self.send_control(FrameKind::Started, &payload)
    }

    /// Asks for an answer, which then shows in [`Self::rtt`].
    pub fn send_ping(&self) -> Result<(), SendError> {
        self.send_control(FrameKind::Ping, &self.age_us().to_be_bytes())
    }

    /// The answer to a ping came.
    pub(crate) fn ponged(&self, payload: &[u8]) {
        let Ok(sent) = payload.try_into().map(u64::from_be_bytes) else { return };
        let sample = self.age_us().saturating_sub(sent).max(1);
        let smoothed = match self.rtt.load(Ordering::Relaxed) {
            0 => sample,
            // As TCP does (RFC 6298).
            before => (before * 7 + sample) / 8,
        };
        self.rtt.store(smoothed.max(1), Ordering::Relaxed);
    }

    fn age_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The local consumer took (or threw away) `wire_bytes` of what arrived; credit flows back in lumps.
    pub fn consumed(&self, wire_bytes: usize) {
        let owed = self.owed.fetch_add(wire_bytes as u64, Ordering::Relaxed) + wire_bytes as u64;
        if owed < self.return_from {
            return;
        }
        let mut outbox = self.outbox.lock();
        // Never more than arrived: the peer would take it for a breach of the protocol.
        let under_way = self.under_way.load(Ordering::Acquire);
        let amount = self.owed.swap(0, Ordering::Relaxed).min(under_way);
        if amount == 0 {
            return;
        }
        if outbox.push_credit(amount).is_ok() {
            self.under_way.fetch_sub(amount, Ordering::AcqRel);
        } else {
            self.owed.fetch_add(amount, Ordering::Relaxed);
        }
        drop(outbox);
        self.flush();
    }

    /// `wire_bytes` more have arrived; an error if the peer had no credit for them.
    pub(crate) fn arrived(&self, wire_bytes: u64) -> Result<(), ProtocolError> {
        let bytes = self.under_way.fetch_add(wire_bytes, Ordering::AcqRel) + wire_bytes;
        let window = self.limits.connection_window;
        if bytes > window { Err(ProtocolError::Window { bytes, window }) } else { Ok(()) }
    }

    /// What reads it from now on; told once.
    pub(crate) fn read_by(&self, read_side: Weak<dyn ReadHere>) {
        let told = self.read_side.set(read_side);
        debug_assert!(told.is_ok(), "a connection has one reading half");
    }

    /// One small read on this thread: how many bytes came.
    pub(crate) fn read_here(&self) -> usize {
        self.read_side.get().and_then(Weak::upgrade).map_or(0, |read_side| read_side.read_here())
    }

    /// Says the goodbye that is owed, on this thread; unless another one is reading, which then does.
    pub(crate) fn say_goodbye_here(&self) {
        if let Some(read_side) = self.read_side.get().and_then(Weak::upgrade) {
            read_side.say_goodbye_here();
        }
    }

    /// True if that own stream was opened at some time.
    pub(crate) fn was_opened(&self, stream: StreamId) -> bool {
        stream.0 < self.next_stream.load(Ordering::Acquire)
    }

    /// True if `stream` belongs to this side: the dialler has the odd ones.
    pub(crate) fn is_own(&self, stream: StreamId) -> bool {
        (stream.0 % 2 == 1) == self.dialled
    }

    pub(crate) fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock()
    }

    /// Writes what was appended, on this thread, as far as the kernel takes it. Once per batch is enough.
    pub fn flush(&self) {
        let outbox = self.outbox.lock();
        if !outbox.blocked && self.write(outbox) {
            self.blocked.notify_one();
        }
    }

    /// For the writer task, once the kernel takes bytes again; false when there is nothing left for it to do.
    pub(crate) fn flush_blocked(&self) -> bool {
        self.write(self.outbox.lock())
    }

    /// Writes batch after batch until all is written or the kernel takes no more, which it tells by true. The lock is
    /// free while bytes move; meanwhile others append and leave the writing to this thread.
    fn write<'a>(&'a self, mut outbox: MutexGuard<'a, Outbox>) -> bool {
        if outbox.writing {
            return false;
        }
        // A blocked link may hold encrypted bytes of a batch that is done, and wants to be asked once more.
        let mut unflushed = std::mem::take(&mut outbox.blocked);
        while !matches!(outbox.phase, Phase::Over(_))
            && (std::mem::take(&mut unflushed) || !outbox.batch.is_done() || outbox.take_batch())
        {
            outbox.writing = true;
            let mut batch = std::mem::take(&mut outbox.batch);
            let frames = std::mem::take(&mut outbox.frames);
            drop(outbox);
            let (before, control_before) = (batch.len(), batch.control_left());
            let written = self.link.try_write(&mut batch);
            Counters::add(&self.counters.frames_out, frames);
            Counters::add(&self.counters.bytes_out, (before - batch.len()) as u64);
            Counters::add(&self.counters.control_bytes_out, (control_before - batch.control_left()) as u64);
            outbox = self.outbox.lock();
            outbox.writing = false;
            outbox.batch = batch;
            match written {
                Ok(Written::All) => {}
                Ok(Written::Blocked) => {
                    outbox.blocked = true;
                    break;
                }
                Err(error) => self.end(&mut outbox, LostCause::Broken(error.kind())),
            }
        }
        if outbox.takes_again() {
            self.takes_again.store(true, Ordering::Release);
            self.attention.notify_one();
        }
        if outbox.phase != Phase::Open {
            self.attention.notify_one();
        }
        outbox.blocked
    }

    /// True if all that was appended is written and every own call on it has ended.
    pub fn is_quiet(&self) -> bool {
        self.outbox.lock().is_quiet()
    }

    /// True, once, if those who were turned away may try again.
    pub(crate) fn takes_again(&self) -> bool {
        self.takes_again.load(Ordering::Acquire) && self.takes_again.swap(false, Ordering::AcqRel)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id)
            .field("peer", &self.peer.node)
            .field("dialled", &self.dialled)
            .field("open", &self.is_open())
            .finish_non_exhaustive()
    }
}
