use std::io::ErrorKind;
use std::sync::Arc;

use bytes::BytesMut;
use mpreg_types::StreamId;
use mpreg_wire::handshake::Refusal;
use mpreg_wire::{
    DecodeError, Frame, FrameError, FrameFlags, FrameKind, HEADER_BYTES, Limits, Parting, TargetCache,
    allowed, cut_frame, decode_call, decode_credit, decode_item, decode_reply, decode_started,
};

use crate::values::{Chunked, ValueHead, Values};
use crate::{
    AdmitError, CloseReason, Connection, Counters, FrameHandler, Incoming, LostCause, ProtocolError,
};

/// Read in one turn; then other connections get theirs.
const TURN_BYTES: usize = 256 * 1024;
/// Room of a read: from the first to the last, doubled while reads fill it.
const READ_BYTES_MIN: usize = 4 * 1024;
const READ_BYTES_MAX: usize = 256 * 1024;
const PING_BYTES: usize = 8;

/// The reading half of a connection: bytes to frames, frames checked and handed over.
#[derive(Debug)]
pub(crate) struct Reader {
    connection: Arc<Connection>,
    buffer: BytesMut,
    room: usize,
    targets: TargetCache,
    values: Values,
    /// The peer's last stream; the next call has a higher one.
    last_stream: u64,
    /// The last one that was handed over, or whose value was announced, before this side stopped taking calls.
    last_taken: u64,
    /// Of those before it, calls whose values were still arriving then.
    unfinished: Vec<StreamId>,
    tally: Tally,
}

/// What is told to the connection once per turn.
#[derive(Debug, Default)]
struct Tally {
    frames: u64,
    bytes: u64,
    control_bytes: u64,
    /// Replies to these came.
    finished: Vec<StreamId>,
    /// Credit for what nobody has to consume any more.
    consumed: usize,
    /// The peer returned credit.
    credit: bool,
}

/// How a turn ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// There may be more to read at once.
    More,
    /// The kernel has no more for now.
    Drained,
}

/// Why reading is over.
#[derive(Debug)]
pub(crate) enum Stop {
    Lost(LostCause),
    Breach(ProtocolError),
}

impl From<ProtocolError> for Stop {
    fn from(error: ProtocolError) -> Self {
        Self::Breach(error)
    }
}

impl From<FrameError> for Stop {
    fn from(error: FrameError) -> Self {
        Self::Breach(error.into())
    }
}

impl Reader {
    /// `buffer` holds what came behind the handshake.
    pub(crate) fn new(connection: Arc<Connection>, buffer: BytesMut) -> Self {
        Self {
            values: Values::new(connection.limits.pending_calls),
            connection,
            buffer,
            room: READ_BYTES_MIN,
            targets: TargetCache::new(),
            last_stream: 0,
            last_taken: 0,
            unfinished: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Reads and hands over until the kernel has no more or the turn is over.
    pub(crate) fn turn(&mut self, handler: &mut impl FrameHandler) -> Result<Turn, Stop> {
        let result = self.read_frames(handler);
        self.settle(handler);
        handler.batch_end();
        result
    }

    fn read_frames(&mut self, handler: &mut impl FrameHandler) -> Result<Turn, Stop> {
        let mut read = 0;
        // First what is in the buffer already: the handshake may have left whole frames there.
        self.cut(handler)?;
        while read < TURN_BYTES {
            self.buffer.reserve(self.room);
            match self.connection.link.try_read(&mut self.buffer, self.room) {
                Ok(0) => return Err(Stop::Lost(LostCause::Ended)),
                Ok(count) => {
                    read += count;
                    self.tally.bytes += count as u64;
                    self.room = match count {
                        _ if count >= self.room => (self.room * 2).min(READ_BYTES_MAX),
                        _ if count < self.room / 4 => (self.room / 2).max(READ_BYTES_MIN),
                        _ => self.room,
                    };
                    self.cut(handler)?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Turn::Drained),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Stop::Lost(LostCause::Broken(error.kind()))),
            }
        }
        Ok(Turn::More)
    }

    /// One small read on a thread that is not the runtime's: how many bytes came.
    pub(crate) fn turn_here(&mut self, handler: &mut impl FrameHandler) -> Result<usize, Stop> {
        let result = match self.connection.link.read_here(&mut self.buffer) {
            Ok(0) => return Err(Stop::Lost(LostCause::Ended)),
            Ok(count) => {
                self.tally.bytes += count as u64;
                self.cut(handler).map(|()| count)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(0);
            }
            Err(error) => return Err(Stop::Lost(LostCause::Broken(error.kind()))),
        };
        self.settle(handler);
        handler.batch_end();
        result
    }

    fn cut(&mut self, handler: &mut impl FrameHandler) -> Result<(), Stop> {
        while let Some(frame) = cut_frame(&mut self.buffer, self.connection.limits.max_frame_bytes)? {
            self.tally.frames += 1;
            self.frame(frame, handler)?;
        }
        Ok(())
    }

    /// Tells the connection what the turn brought.
    fn settle(&mut self, handler: &mut impl FrameHandler) {
        let Tally { frames, bytes, control_bytes, finished, consumed, credit } = &mut self.tally;
        let counters = &self.connection.counters;
        Counters::add(&counters.frames_in, std::mem::take(frames));
        Counters::add(&counters.bytes_in, std::mem::take(bytes));
        Counters::add(&counters.control_bytes_in, std::mem::take(control_bytes));
        if !finished.is_empty() || *credit {
            let mut outbox = self.connection.outbox();
            outbox.finished(finished);
            let takes_again = outbox.takes_again();
            drop(outbox);
            finished.clear();
            *credit = false;
            // Chunks and replies may have waited for credit.
            self.connection.flush();
            if takes_again {
                handler.credit(&self.connection);
            }
        }
        match std::mem::take(consumed) {
            0 => {}
            consumed => self.connection.consumed(consumed),
        }
    }

    fn frame(&mut self, frame: Frame, handler: &mut impl FrameHandler) -> Result<(), Stop> {
        let (kind, stream) = (frame.header.kind, frame.header.stream);
        let role = self.connection.peer().role;
        if !allowed(role, kind) {
            return Err(ProtocolError::Role { role, kind }.into());
        }
        match kind {
            FrameKind::Call => return self.call(frame, handler),
            FrameKind::Reply => return self.reply(frame, handler),
            FrameKind::Item => return self.item(frame, handler),
            FrameKind::Chunk => return self.chunk(&frame, handler),
            _ => self.tally.control_bytes += HEADER_BYTES as u64 + u64::from(frame.header.length),
        }
        match kind {
            FrameKind::Cancel => self.cancel(stream, handler)?,
            FrameKind::Started => {
                // Tokens mean something to their table alone, which also checks where the report came from.
                let tokens = decode_started(frame.payload())?;
                handler.frame(&self.connection, Incoming::Started { tokens });
            }
            FrameKind::Credit => {
                let bytes = decode_credit(frame.payload())?;
                if stream.0 != 0 {
                    return self.stream_credit(stream, bytes, handler);
                }
                self.connection.outbox().add_credit(bytes)?;
                self.tally.credit = true;
            }
            FrameKind::Ping => self.answer_ping(frame.payload())?,
            FrameKind::Pong => self.connection.ponged(frame.payload()),
            // What it took it still answers: reading goes on until it has closed.
            FrameKind::Goodbye => {
                let parting = Parting::decode(frame.payload())?;
                let untaken = self.connection.hear_goodbye(&parting)?;
                handler.goodbye(&self.connection, CloseReason::from_byte(parting.reason), untaken);
            }
            FrameKind::Refuse => {
                let refusal = Refusal::decode(frame.payload()).map_err(|why| content(kind, why))?;
                return Err(Stop::Lost(LostCause::Refused(refusal)));
            }
            _ => {
                let payload = frame.into_payload();
                handler.frame(&self.connection, Incoming::Control { kind, stream, payload });
            }
        }
        Ok(())
    }

    fn answer_ping(&self, payload: &[u8]) -> Result<(), FrameError> {
        if payload.len() != PING_BYTES {
            return Err(FrameError::BadPayload { kind: FrameKind::Ping, bytes: payload.len() });
        }
        // A full queue means that the peer reads nothing; it gets no answer, as it should expect.
        if self.connection.send_control(FrameKind::Pong, payload).is_ok() {
            self.connection.flush();
        }
        Ok(())
    }

    fn call(&mut self, frame: Frame, handler: &mut impl FrameHandler) -> Result<(), Stop> {
        let (kind, stream) = (frame.header.kind, frame.header.stream);
        let wire_bytes = frame.header.length as usize;
        self.connection.arrived(wire_bytes as u64)?;
        if self.connection.is_own(stream) {
            return Err(ProtocolError::Stream { kind, stream }.into());
        }
        if stream.0 <= self.last_stream {
            Counters::add(&self.connection.counters.duplicate_frames, 1);
            self.tally.consumed += wire_bytes;
            return Ok(());
        }
        self.last_stream = stream.0;
        let peer = self.connection.peer().process();
        let head = decode_call(frame.meta(), peer, &mut self.targets).map_err(|why| content(kind, why))?;
        if !self.connection.is_taking() {
            return self.leave_untaken(&frame, head.value_bytes);
        }
        self.last_taken = stream.0;
        if frame.header.flags.contains(FrameFlags::MORE) {
            self.tally.consumed += wire_bytes;
            let bytes = head.value_bytes;
            return self.announce(stream, ValueHead::Call(head), bytes, &frame, handler);
        }
        check_whole(&frame, head.value_bytes)?;
        let value = frame.into_payload().into();
        handler.frame(&self.connection, Incoming::Call { stream, head, value, wire_bytes });
        Ok(())
    }

    /// This side takes no calls any more: the peer hears of it by the goodbye.
    fn leave_untaken(&mut self, frame: &Frame, announced: u64) -> Result<(), Stop> {
        Counters::add(&self.connection.counters.untaken_calls, 1);
        self.tally.consumed += frame.header.length as usize;
        if frame.header.flags.contains(FrameFlags::MORE) {
            self.values.check_room()?;
            self.values.announce(frame.header.stream, None, announced);
        }
        Ok(())
    }

    /// Says the goodbye that the connection owes. It takes no calls any more, so what is named is final.
    pub(crate) fn say_goodbye(&mut self, handler: &mut impl FrameHandler) {
        if !self.connection.owes_goodbye() {
            return;
        }
        let (unfinished, admitted) = self.values.skip_calls();
        self.unfinished.extend(unfinished);
        if admitted > 0 {
            handler.released(&self.connection, admitted);
        }
        self.connection.outbox().say_goodbye(StreamId(self.last_taken), &self.unfinished);
    }

    fn reply(&mut self, frame: Frame, handler: &mut impl FrameHandler) -> Result<(), Stop> {
        let (kind, stream) = (frame.header.kind, frame.header.stream);
        let wire_bytes = frame.header.length as usize;
        self.connection.arrived(wire_bytes as u64)?;
        if !self.is_opened_here(stream) || self.values.contains(stream) {
            return Err(ProtocolError::Stream { kind, stream }.into());
        }
        let head = decode_reply(frame.meta()).map_err(|why| content(kind, why))?;
        if frame.header.flags.contains(FrameFlags::MORE) {
            self.tally.consumed += wire_bytes;
            let bytes = head.value_bytes;
            return self.announce(stream, ValueHead::Reply(head), bytes, &frame, handler);
        }
        check_whole(&frame, head.value_bytes)?;
        self.tally.finished.push(stream);
        let value = frame.into_payload().into();
        handler.frame(&self.connection, Incoming::Reply { stream, head, value, wire_bytes });
        Ok(())
    }

    fn item(&mut self, frame: Frame, handler: &mut impl FrameHandler) -> Result<(), Stop> {
        let (kind, stream) = (frame.header.kind, frame.header.stream);
        let wire_bytes = frame.header.length as usize;
        self.connection.arrived(wire_bytes as u64)?;
        // The stream's own window bounds what is held of it, so a slow reader takes nothing from other streams.
        self.tally.consumed += wire_bytes;
        if !self.is_opened_here(stream) || self.values.contains(stream) {
            return Err(ProtocolError::Stream { kind, stream }.into());
        }
        let head = decode_item(&frame.header, frame.meta())?;
        if frame.header.flags.contains(FrameFlags::MORE) {
            return self.announce(stream, ValueHead::Item(head), head.value_bytes, &frame, handler);
        }
        let value = frame.into_payload().into();
        handler.frame(&self.connection, Incoming::Item { stream, head, value });
        Ok(())
    }

    fn stream_credit(
        &self,
        stream: StreamId,
        bytes: u64,
        handler: &mut impl FrameHandler,
    ) -> Result<(), Stop> {
        if self.connection.is_own(stream) || stream.0 > self.last_stream {
            return Err(ProtocolError::Stream { kind: FrameKind::Credit, stream }.into());
        }
        handler.frame(&self.connection, Incoming::Credit { stream, bytes });
        Ok(())
    }

    /// A value will come in chunks, if the handler admits it.
    fn announce(
        &mut self,
        stream: StreamId,
        head: ValueHead,
        bytes: u64,
        frame: &Frame,
        handler: &mut impl FrameHandler,
    ) -> Result<(), Stop> {
        let arrived = frame.payload().len() as u64;
        if arrived > 0 || bytes == 0 {
            return Err(ProtocolError::ValueLength { stream, announced: bytes, arrived }.into());
        }
        self.values.check_room()?;
        let max = self.connection.limits.max_value_bytes;
        let admitted = if bytes > max {
            Err(AdmitError::TooLarge { bytes, max })
        } else {
            handler.admit(&self.connection, bytes)
        };
        let why = match admitted {
            Ok(()) => {
                self.values.announce(stream, Some(head), bytes);
                return Ok(());
            }
            Err(why) => why,
        };
        Counters::add(&self.connection.counters.refused_values, 1);
        self.values.announce(stream, None, bytes);
        let refused = match head {
            ValueHead::Call(head) => Incoming::RefusedCall { stream, head, why },
            ValueHead::Reply(head) => {
                self.tally.finished.push(stream);
                Incoming::RefusedReply { stream, head, why }
            }
            ValueHead::Item(head) => Incoming::RefusedItem { stream, head, why },
        };
        handler.frame(&self.connection, refused);
        Ok(())
    }

    fn chunk(&mut self, frame: &Frame, handler: &mut impl FrameHandler) -> Result<(), Stop> {
        let (kind, stream, wire_bytes) = (frame.header.kind, frame.header.stream, frame.header.length);
        if wire_bytes > Limits::CHUNK_BYTES_MAX {
            let (length, max) = (wire_bytes.into(), Limits::CHUNK_BYTES_MAX.into());
            return Err(FrameError::TooLarge { length, max }.into());
        }
        self.connection.arrived(wire_bytes.into())?;
        // Room for the value was admitted, so its chunks need no window: a value longer than it still gets through.
        self.tally.consumed += wire_bytes as usize;
        let is_last = frame.header.flags.contains(FrameFlags::LAST);
        let Some(chunked) = self.values.chunk(stream, frame.payload(), is_last) else {
            return Err(ProtocolError::Stream { kind, stream }.into());
        };
        match chunked? {
            Chunked::More | Chunked::Skipped => {}
            Chunked::Whole(head, value) => {
                handler.released(&self.connection, value.len() as u64);
                let whole = match head {
                    ValueHead::Call(head) => Incoming::Call { stream, head, value, wire_bytes: 0 },
                    ValueHead::Reply(head) => {
                        self.tally.finished.push(stream);
                        Incoming::Reply { stream, head, value, wire_bytes: 0 }
                    }
                    ValueHead::Item(head) => Incoming::Item { stream, head, value },
                };
                handler.frame(&self.connection, whole);
            }
            Chunked::Short { admitted, breach } => {
                let was_cancelled =
                    self.connection.is_own(stream) && !self.connection.outbox().is_pending(stream);
                handler.released(&self.connection, admitted);
                if !was_cancelled {
                    return Err(breach.into());
                }
            }
        }
        Ok(())
    }

    /// A call that is still arriving is forgotten; the handler has not heard of it. Another one is the handler's.
    fn cancel(&mut self, stream: StreamId, handler: &mut impl FrameHandler) -> Result<(), Stop> {
        if self.connection.is_own(stream) || stream.0 > self.last_stream {
            return Err(ProtocolError::Stream { kind: FrameKind::Cancel, stream }.into());
        }
        match self.values.cancel(stream) {
            Some(0) => {}
            Some(admitted) => handler.released(&self.connection, admitted),
            None => {
                self.connection.outbox().drop_reply(stream);
                handler.frame(&self.connection, Incoming::Cancel { stream });
            }
        }
        Ok(())
    }

    fn is_opened_here(&self, stream: StreamId) -> bool {
        self.connection.is_own(stream) && self.connection.was_opened(stream)
    }

    /// The connection is over: gives back what was admitted for values that will never be whole.
    pub(crate) fn finish(&mut self, handler: &mut impl FrameHandler) {
        match self.values.clear() {
            0 => {}
            admitted => handler.released(&self.connection, admitted),
        }
    }

    /// Throws away what has come, so that the peer's last words do not meet a reset.
    pub(crate) fn skip(&mut self) -> Option<usize> {
        self.buffer.clear();
        self.buffer.reserve(READ_BYTES_MIN);
        match self.connection.link.try_read(&mut self.buffer, usize::MAX) {
            Ok(count) => Some(count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(_) => Some(0),
        }
    }
}

fn content(kind: FrameKind, why: DecodeError) -> ProtocolError {
    ProtocolError::Content { kind, why }
}

/// The value in the frame is as long as its head says.
fn check_whole(frame: &Frame, announced: u64) -> Result<(), ProtocolError> {
    let arrived = frame.payload().len() as u64;
    if arrived == announced {
        Ok(())
    } else {
        Err(ProtocolError::ValueLength { stream: frame.header.stream, announced, arrived })
    }
}
