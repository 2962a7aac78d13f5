//! The end of a connection in order, as HTTP/2 has it (RFC 9113, 6.8).
//!
//! Who closes says first which call of the peer it took last, and takes none after it; what it took it still answers. So
//! the peer knows of every other call that it did not execute. Both sides may say so, also at once.

use mpreg_types::{StreamId, Untaken};
use mpreg_wire::{FrameHeader, FrameKind, Parting};

use crate::outbox::Outbox;
use crate::{CloseReason, Goodbye, ProtocolError, SendError};

/// What was said of the end of one connection.
#[derive(Debug, Default)]
pub(crate) struct Partings {
    /// To be said as soon as the reader tells what it took.
    owed: Option<Goodbye>,
    said: Option<CloseReason>,
    heard: Option<Heard>,
}

/// What the peer said.
#[derive(Debug)]
struct Heard {
    goodbye: Goodbye,
    last: StreamId,
    untaken: Untaken,
}

impl Partings {
    /// The peer is to be told, unless it was already.
    pub(crate) fn owe(&mut self, goodbye: Goodbye) {
        if self.said != Some(goodbye.reason) {
            self.owed.get_or_insert(goodbye);
        }
    }

    pub(crate) fn is_owed(&self) -> bool {
        self.owed.is_some()
    }

    pub(crate) fn are_said(&self) -> bool {
        self.said.is_some() && self.owed.is_none()
    }

    /// What the peer said last.
    pub(crate) fn heard(&self) -> Option<&Goodbye> {
        self.heard.as_ref().map(|heard| &heard.goodbye)
    }

    /// An error if the peer takes no more calls.
    pub(crate) fn check_taking(&self) -> Result<(), SendError> {
        if self.heard.is_none() { Ok(()) } else { Err(SendError::Closed) }
    }
}

impl Outbox {
    /// Says what is owed: the reader took the peer's streams up to `last` but for `unfinished`, and takes no other.
    pub(crate) fn say_goodbye(&mut self, last: StreamId, unfinished: &[StreamId]) {
        let Some(goodbye) = self.partings.owed.take() else { return };
        self.partings.said = Some(goodbye.reason);
        let payload = goodbye.parting(last, unfinished).encode();
        if let Ok(header) = FrameHeader::control(FrameKind::Goodbye, payload.len()) {
            self.calls.buffer().extend_from_slice(&header.encode());
            self.calls.buffer().extend_from_slice(&payload);
            self.frames += 1;
        }
    }

    /// The peer said goodbye: which own calls it has not taken. It may take back what it said it took, never more.
    pub(crate) fn hear_goodbye(&mut self, parting: &Parting) -> Result<Untaken, ProtocolError> {
        let (last, next) = (parting.last, self.next_stream());
        let before = self.partings.heard.as_ref().map_or(StreamId(next), |heard| heard.last);
        let is_stream = |stream: StreamId| stream.0 < next && stream.0 % 2 == next % 2;
        let are_streams = parting.unfinished.iter().all(|stream| *stream <= last && is_stream(*stream));
        if last > before || (last.0 != 0 && !is_stream(last)) || !are_streams {
            return Err(ProtocolError::Goodbye { last, before });
        }
        let mut untaken = Untaken::after(last, parting.unfinished.clone());
        if let Some(heard) = &self.partings.heard {
            untaken = heard.untaken.clone().and_from(untaken.first()).and_these(&parting.unfinished);
        }
        self.pending.retain(|stream| !untaken.contains(stream));
        self.bulk.retain(|bulk| !is_stream(bulk.stream()) || !untaken.contains(bulk.stream()));
        let goodbye = Goodbye::of(parting);
        self.partings.heard = Some(Heard { goodbye, last, untaken: untaken.clone() });
        Ok(untaken)
    }

    /// Own calls that the peer has not taken, at the end of the connection.
    pub(crate) fn untaken(&self) -> Untaken {
        let first_unsent = self.first_unsent();
        let untaken = match &self.partings.heard {
            Some(heard) => heard.untaken.clone().and_from(first_unsent),
            None => Untaken::from(first_unsent),
        };
        untaken.and_these(&self.given_up)
    }
}
