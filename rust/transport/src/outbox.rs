use std::collections::VecDeque;

use bytes::Bytes;
use mpreg_types::{CallHead, Payload, ReplyHead, StreamId};
use mpreg_wire::{
    FrameError, FrameFlags, FrameHeader, FrameKind, HEADER_BYTES, Process, encode_call, encode_credit,
    encode_reply,
};

use crate::batch::{Batch, Lane};
use crate::bulk::Bulk;
use crate::flows::Flows;
use crate::parting::Partings;
use crate::send_limits::SendLimits;
use crate::stream_set::StreamSet;
use crate::{LostCause, ProtocolError, SendError};

/// Control frames that wait to be written; more means that the peer reads nothing.
pub(crate) const CONTROL_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Parts of values up to this size are copied behind their head, which is cheaper than a segment of their own.
const COPY_BYTES_MAX: usize = 4 * 1024;
/// Chunks that go into one batch, so that control frames and small calls wait for no more than that.
const BULK_BYTES_PER_BATCH: usize = 256 * 1024;

/// What one connection has to send, in three classes: control frames first, then small frames in their order, then
/// chunks of large values, value by value in turn, and
/// items of streams that found no credit, stream by stream in turn.
///
/// Stream ids are given here, at the moment the head is appended, so their order is the order on the wire. Credit is
/// taken when a small frame is appended and when a chunk is cut; a reply that finds none waits in `parked`.
#[derive(Debug)]
pub(crate) struct Outbox {
    pub(crate) limits: SendLimits,
    sender: Process,
    pub(crate) phase: Phase,
    /// A thread is writing `batch` right now.
    pub(crate) writing: bool,
    /// The kernel took no more; the writer task waits until it does.
    pub(crate) blocked: bool,
    pub(crate) batch: Batch,
    control: Lane,
    pub(crate) calls: Lane,
    pub(crate) bulk: VecDeque<Bulk>,
    pub(crate) flows: Flows,
    items_first: bool,
    parked: VecDeque<Parked>,
    /// Bytes of replies in `bulk` and `parked`.
    untaken: u64,
    pub(crate) pending: StreamSet,
    next_stream: u64,
    pub(crate) credit: u64,
    /// What the dearest call would have cost that was turned away since somebody was told to try again.
    turned_away: Option<u64>,
    /// The first own stream that [`Self::discard`] threw away.
    first_discarded: Option<StreamId>,
    /// Own calls whose values were not sent to their ends, and will not be.
    pub(crate) given_up: Vec<StreamId>,
    /// Frames appended since the last batch was taken.
    pub(crate) frames: u64,
    pub(crate) partings: Partings,
}

/// How far the end has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    Open,
    /// Nothing new is taken; what is there goes out, and a goodbye.
    Closing(LostCause),
    /// Nothing more is written.
    Over(LostCause),
}

/// A reply without credit.
#[derive(Debug)]
struct Parked {
    stream: StreamId,
    meta: Vec<u8>,
    value: Payload,
}

impl Outbox {
    pub(crate) fn new(limits: SendLimits, sender: Process, dialled: bool) -> Self {
        Self {
            credit: limits.window,
            limits,
            sender,
            phase: Phase::Open,
            writing: false,
            blocked: false,
            batch: Batch::default(),
            control: Lane::default(),
            calls: Lane::default(),
            bulk: VecDeque::new(),
            flows: Flows::default(),
            items_first: false,
            parked: VecDeque::new(),
            untaken: 0,
            pending: StreamSet::default(),
            next_stream: if dialled { 1 } else { 2 },
            turned_away: None,
            first_discarded: None,
            given_up: Vec::new(),
            frames: 0,
            partings: Partings::default(),
        }
    }

    pub(crate) fn check_open(&self) -> Result<(), SendError> {
        if self.phase == Phase::Open { Ok(()) } else { Err(SendError::Closed) }
    }

    pub(crate) fn check_length(&self, bytes: usize) -> Result<(), SendError> {
        let (bytes, max) = (bytes as u64, self.limits.value_bytes);
        if bytes > max { Err(SendError::TooLarge { bytes, max }) } else { Ok(()) }
    }

    pub(crate) fn push_control(
        &mut self,
        kind: FrameKind,
        stream: StreamId,
        payload: &[u8],
    ) -> Result<(), SendError> {
        self.check_open()?;
        if self.control.len() + HEADER_BYTES + payload.len() > CONTROL_BYTES_MAX {
            return Err(SendError::ControlFull);
        }
        if payload.len() > self.limits.frame_bytes as usize {
            let (length, max) = (payload.len() as u64, self.limits.frame_bytes.into());
            return Err(FrameError::TooLarge { length, max }.into());
        }
        let header = FrameHeader::new(kind, FrameFlags::NONE, stream, 0, payload.len())?;
        self.append_control(&header, payload);
        Ok(())
    }

    fn append_control(&mut self, header: &FrameHeader, payload: &[u8]) {
        self.control.buffer().extend_from_slice(&header.encode());
        self.control.buffer().extend_from_slice(payload);
        self.frames += 1;
    }

    pub(crate) fn push_call(&mut self, head: &CallHead, value: &Payload) -> Result<StreamId, SendError> {
        self.check_open()?;
        self.partings.check_taking()?;
        let bytes = value.len();
        debug_assert_eq!(head.value_bytes, bytes as u64, "the peer would close the connection");
        self.check_length(bytes)?;
        if self.pending.len() >= self.limits.pending as usize {
            self.turn_away(0);
            return Err(SendError::TooManyPending { max: self.limits.pending });
        }
        if !self.parked.is_empty() || self.queued() > self.limits.high_water {
            self.turn_away(0);
            return Err(SendError::NoCredit);
        }
        let stream = StreamId(self.next_stream);
        let sender = self.sender;
        if !self.push_value(FrameKind::Call, stream, |buffer| encode_call(head, sender, buffer), value)? {
            return Err(SendError::NoCredit);
        }
        self.next_stream += 2;
        self.pending.insert(stream);
        Ok(stream)
    }

    pub(crate) fn push_reply(
        &mut self,
        stream: StreamId,
        head: &ReplyHead,
        value: &Payload,
    ) -> Result<(), SendError> {
        self.check_open()?;
        let bytes = value.len();
        debug_assert_eq!(head.value_bytes, bytes as u64, "the peer would close the connection");
        self.check_length(bytes)?;
        if self.flows.contains(stream) {
            let mut meta = Vec::new();
            encode_reply(head, &mut meta);
            self.flows.push(FrameKind::Reply, stream, meta, value.clone(), self.limits.chunk_bytes);
            return Ok(());
        }
        if bytes > self.limits.chunk_bytes {
            self.check_untaken(bytes)?;
        }
        if self.parked.is_empty()
            && self.push_value(FrameKind::Reply, stream, |buffer| encode_reply(head, buffer), value)?
        {
            return Ok(());
        }
        if self.parked.len() >= self.limits.pending as usize {
            return Err(SendError::RepliesNotTaken { max: self.limits.pending });
        }
        self.check_untaken(bytes)?;
        let mut meta = Vec::new();
        encode_reply(head, &mut meta);
        self.parked.push_back(Parked { stream, meta, value: value.clone() });
        self.untaken += bytes as u64;
        Ok(())
    }

    pub(crate) fn check_untaken(&self, bytes: usize) -> Result<(), SendError> {
        let max = self.limits.untaken;
        if self.untaken + self.flows.bytes() + bytes as u64 > max {
            Err(SendError::NoRoom { max })
        } else {
            Ok(())
        }
    }

    /// Behind the call it cancels, in the lane of the calls: it must never be read first. Nothing if nobody waits for
    /// that reply any more.
    pub(crate) fn push_cancel(&mut self, stream: StreamId) {
        if !matches!(self.phase, Phase::Over(_)) && self.pending.remove(stream) {
            self.bulk.retain(|bulk| bulk.stream() != stream);
            self.push_empty(FrameKind::Cancel, FrameFlags::NONE, stream);
        }
    }

    /// The peer cancelled: what is left of that reply is not sent. A last chunk tells the end of what has begun.
    pub(crate) fn drop_reply(&mut self, stream: StreamId) {
        if let Some(at) = self.parked.iter().position(|parked| parked.stream == stream) {
            self.untaken -= self.parked.remove(at).map_or(0, |parked| parked.value.len() as u64);
        } else if let Some(at) = self.bulk.iter().position(|bulk| bulk.stream() == stream) {
            self.untaken -= self.bulk.remove(at).map_or(0, |bulk| bulk.left() as u64);
            self.push_empty(FrameKind::Chunk, FrameFlags::LAST, stream);
        } else if self.flows.remove(stream) {
            self.push_empty(FrameKind::Chunk, FrameFlags::LAST, stream);
        }
    }

    fn push_empty(&mut self, kind: FrameKind, flags: FrameFlags, stream: StreamId) {
        if let Ok(header) = FrameHeader::new(kind, flags, stream, 0, 0) {
            self.calls.buffer().extend_from_slice(&header.encode());
            self.frames += 1;
        }
    }

    /// Appends a call or reply with its value, or with its value's chunks to follow. False, and nothing appended, if
    /// there is not enough credit.
    fn push_value(
        &mut self,
        kind: FrameKind,
        stream: StreamId,
        encode: impl FnOnce(&mut Vec<u8>),
        value: &Payload,
    ) -> Result<bool, SendError> {
        let in_chunks = value.len() > self.limits.chunk_bytes;
        let (flags, inline) = if in_chunks { (FrameFlags::MORE, 0) } else { (FrameFlags::NONE, value.len()) };
        // Encoded in place; the header, which needs the length, is filled in afterwards.
        let offset = self.calls.len();
        let buffer = self.calls.buffer();
        let start = buffer.len();
        buffer.extend_from_slice(&[0; HEADER_BYTES]);
        encode(buffer);
        let meta_bytes = buffer.len() - start - HEADER_BYTES;
        let cost = (meta_bytes + inline) as u64;
        let header = match FrameHeader::new(kind, flags, stream, meta_bytes, inline) {
            Ok(header) if self.take_credit(cost) => header,
            other => {
                self.calls.buffer().truncate(start);
                if kind == FrameKind::Call && other.is_ok() {
                    self.turn_away(cost);
                }
                return other.map(|_| false).map_err(Into::into);
            }
        };
        self.calls.buffer()[start..start + HEADER_BYTES].copy_from_slice(&header.encode());
        if kind == FrameKind::Call {
            self.calls.note_head(stream, offset);
        }
        if in_chunks {
            if kind == FrameKind::Reply {
                self.untaken += value.len() as u64;
            }
            self.bulk.push_back(Bulk::new(stream, value.clone()));
        } else {
            for segment in value.segments() {
                append(&mut self.calls, segment);
            }
        }
        self.frames += 1;
        Ok(true)
    }

    fn turn_away(&mut self, cost: u64) {
        self.turned_away = Some(self.turned_away.unwrap_or(0).max(cost));
    }

    /// While large values wait, small frames leave them a part, or they would never get any.
    fn small_floor(&self) -> u64 {
        if self.bulk.is_empty() && self.flows.is_empty() { 0 } else { self.limits.small_floor }
    }

    fn take_credit(&mut self, cost: u64) -> bool {
        let enough = self.credit >= cost + self.small_floor();
        if enough {
            self.credit -= cost;
        }
        enough
    }

    /// Bytes of small frames that wait to be written.
    pub(crate) fn queued(&self) -> usize {
        self.calls.len() + self.batch.len()
    }

    /// Makes the next batch; false if there is nothing to write. The last batch was written to its end.
    pub(crate) fn take_batch(&mut self) -> bool {
        self.batch.clear();
        std::mem::swap(&mut self.batch.control, &mut self.control);
        self.unpark();
        let mut room = BULK_BYTES_PER_BATCH;
        // In turns, so that neither keeps the other from credit and room.
        self.items_first = !self.items_first;
        if self.items_first {
            self.cut_items(&mut room);
            self.cut_chunks(&mut room);
        } else {
            self.cut_chunks(&mut room);
            self.cut_items(&mut room);
        }
        std::mem::swap(&mut self.batch.calls, &mut self.calls);
        !self.batch.is_done()
    }

    fn unpark(&mut self) {
        while let Some(Parked { stream, meta, value }) = self.parked.pop_front() {
            let bytes = value.len() as u64;
            self.untaken -= bytes;
            match self.push_value(FrameKind::Reply, stream, |buffer| buffer.extend_from_slice(&meta), &value)
            {
                Ok(true) => {}
                Ok(false) => {
                    self.untaken += bytes;
                    return self.parked.push_front(Parked { stream, meta, value });
                }
                // It could be framed when it was parked, and nothing of it has changed since.
                Err(error) => tracing::error!(%error, ?stream, "a reply is lost"),
            }
        }
    }

    fn cut_chunks(&mut self, room: &mut usize) {
        while let Some(mut bulk) = self.bulk.pop_front() {
            let bytes = bulk.left().min(self.limits.chunk_bytes);
            if bytes > *room || self.credit < bytes as u64 + self.limits.bulk_floor {
                self.bulk.push_front(bulk);
                return;
            }
            let flags = if bytes == bulk.left() { FrameFlags::LAST } else { FrameFlags::NONE };
            let Ok(header) = FrameHeader::new(FrameKind::Chunk, flags, bulk.stream(), 0, bytes) else {
                return;
            };
            self.calls.buffer().extend_from_slice(&header.encode());
            bulk.cut(bytes, |segment| append(&mut self.calls, &segment));
            self.credit -= bytes as u64;
            if !self.is_own(bulk.stream()) {
                self.untaken -= bytes as u64;
            }
            self.frames += 1;
            *room -= bytes;
            if bulk.left() > 0 {
                self.bulk.push_back(bulk);
            }
        }
    }

    /// The peer returned credit.
    pub(crate) fn add_credit(&mut self, bytes: u64) -> Result<(), ProtocolError> {
        let used = self.limits.window - self.credit;
        if bytes > used {
            return Err(ProtocolError::Credit { bytes, used });
        }
        self.credit += bytes;
        Ok(())
    }

    /// Replies to these have come. A call that was answered before its value was whole, because it was refused, is
    /// not sent to its end.
    pub(crate) fn finished(&mut self, streams: &[StreamId]) {
        for &stream in streams {
            if self.bulk.iter().any(|bulk| bulk.stream() == stream) {
                self.push_cancel(stream);
            }
            self.pending.remove(stream);
        }
    }

    /// True if a call on `stream` still waits for its reply.
    pub(crate) fn is_pending(&self, stream: StreamId) -> bool {
        self.pending.contains(stream)
    }

    /// True if nothing waits to be written and no own call waits for its reply.
    pub(crate) fn is_quiet(&self) -> bool {
        self.pending.len() == 0
            && self.parked.is_empty()
            && self.bulk.is_empty()
            && self.flows.is_empty()
            && self.queued() == 0
    }

    pub(crate) fn is_own(&self, stream: StreamId) -> bool {
        stream.0 % 2 == self.next_stream % 2
    }

    /// The own stream that the next call gets.
    pub(crate) fn next_stream(&self) -> u64 {
        self.next_stream
    }

    /// True, once, if somebody was turned away and would no longer be.
    pub(crate) fn takes_again(&mut self) -> bool {
        let Some(cost) = self.turned_away else { return false };
        let takes = self.phase == Phase::Open
            && self.parked.is_empty()
            && self.pending.len() < self.limits.pending as usize
            && self.queued() <= self.limits.high_water / 2
            && self.credit >= cost.max(self.limits.again) + self.small_floor();
        if takes {
            self.turned_away = None;
        }
        takes
    }

    /// True once all that was to be said before the end is with the kernel.
    pub(crate) fn is_said(&self) -> bool {
        matches!(self.phase, Phase::Closing(_))
            && self.partings.are_said()
            && !self.writing
            && !self.blocked
            && self.batch.is_done()
            && self.control.is_empty()
            && self.calls.is_empty()
            && self.bulk.is_empty()
            && self.flows.is_empty()
            && self.parked.is_empty()
    }

    /// Returns `bytes` of credit to the peer, which may wait for nothing else: even a full queue takes it. There are
    /// never more of these than lumps in a window.
    pub(crate) fn push_credit(&mut self, bytes: u64) -> Result<(), SendError> {
        self.check_open()?;
        self.append_credit(StreamId(0), bytes)
    }

    pub(crate) fn append_credit(&mut self, stream: StreamId, bytes: u64) -> Result<(), SendError> {
        let payload = encode_credit(bytes);
        let header = FrameHeader::new(FrameKind::Credit, FrameFlags::NONE, stream, 0, payload.len())?;
        self.append_control(&header, &payload);
        Ok(())
    }

    /// The end does not wait any longer for credit: large values stay unfinished, so that the goodbye can be said.
    pub(crate) fn give_up_values(&mut self) {
        let given_up = self.bulk.iter().map(Bulk::stream).filter(|stream| self.is_own(*stream));
        self.given_up.extend(given_up.collect::<Vec<_>>());
        self.bulk.clear();
        self.flows.clear();
        self.parked.clear();
        self.untaken = 0;
    }

    /// Throws away what was not begun to be written.
    pub(crate) fn discard(&mut self) {
        self.first_discarded = self.first_discarded.or(self.calls.first_head());
        self.control = Lane::default();
        self.calls = Lane::default();
        self.give_up_values();
    }

    /// The first own stream of which no byte was handed to the kernel.
    pub(crate) fn first_unsent(&self) -> StreamId {
        let never_given = StreamId(self.next_stream);
        self.batch
            .first_unwritten()
            .or(self.first_discarded)
            .or_else(|| self.calls.first_head())
            .unwrap_or(never_given)
    }
}

pub(crate) fn append(lane: &mut Lane, segment: &Bytes) {
    if segment.len() <= COPY_BYTES_MAX {
        lane.buffer().extend_from_slice(segment);
    } else {
        lane.splice(segment.clone());
    }
}
