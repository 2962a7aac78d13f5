use std::sync::Arc;

use bytes::Bytes;
use mpreg_types::{CallHead, ItemHead, Payload, ReplyHead, StreamId, Untaken};
use mpreg_wire::FrameKind;
use thiserror::Error;

use crate::{CloseReason, Connection, Lost};

/// Takes what arrives. One object serves all connections of an io runtime; it is locked once per read, not per frame.
///
/// It runs on the io thread: nothing in it may wait. It may send and flush on any connection.
pub trait FrameHandler: Send + 'static {
    /// A connection begins; always the first that is heard of it.
    fn opened(&mut self, connection: &Arc<Connection>);

    /// One frame, or one whole value that came in chunks.
    fn frame(&mut self, connection: &Arc<Connection>, frame: Incoming);

    /// The peer takes no further call over this connection, for that reason, and has not taken these of ours. What it took
    /// it still answers.
    fn goodbye(&mut self, connection: &Arc<Connection>, why: CloseReason, untaken: Untaken);

    /// All frames of one read were handed over: the moment to flush and to wake others.
    fn batch_end(&mut self);

    /// After a [`SendError`](crate::SendError) for lack of credit, or for too many pending calls: trying again may
    /// now succeed.
    fn credit(&mut self, connection: &Arc<Connection>);

    /// May a value of `bytes` bytes arrive in chunks? `Ok` reserves them until [`Self::released`], which always follows.
    fn admit(&mut self, connection: &Arc<Connection>, bytes: u64) -> Result<(), AdmitError>;

    /// A value that was admitted is no longer arriving: it is whole and handed over next, it was cancelled by its sender,
    /// or the connection ended.
    fn released(&mut self, connection: &Arc<Connection>, bytes: u64);

    /// The connection ended; always the last that is heard of it.
    fn closed(&mut self, connection: &Arc<Connection>, lost: Lost);
}

/// Why a value may not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AdmitError {
    /// It is longer than any value may be.
    #[error("a value of {bytes} bytes; at most {max} are taken")]
    TooLarge {
        /// Its length.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// Too much is arriving already.
    #[error("no room for {bytes} more bytes of arriving values")]
    NoRoom {
        /// Its length.
        bytes: u64,
    },
}

/// What arrived.
///
/// `wire_bytes` is what the consumer owes the connection: once the value was taken (or thrown away), and not earlier,
/// [`Connection::consumed`] is called with it.
#[derive(Debug)]
pub enum Incoming {
    /// A call with its whole value.
    Call {
        /// The peer's stream.
        stream: StreamId,
        /// Metadata.
        head: CallHead,
        /// The value.
        value: Payload,
        /// What is owed for it.
        wire_bytes: usize,
    },
    /// A reply with its whole value.
    Reply {
        /// The own stream it answers.
        stream: StreamId,
        /// Metadata.
        head: ReplyHead,
        /// The value.
        value: Payload,
        /// What is owed for it.
        wire_bytes: usize,
    },
    /// An item of the stream that an own call asked for, with its whole value. Nothing is owed to the connection: the
    /// stream's window bounds what is held.
    Item {
        /// The own stream.
        stream: StreamId,
        /// Metadata.
        head: ItemHead,
        /// The value.
        value: Payload,
    },
    /// An item whose value was not admitted; the stream has a gap now.
    RefusedItem {
        /// The own stream.
        stream: StreamId,
        /// Metadata.
        head: ItemHead,
        /// Why.
        why: AdmitError,
    },
    /// The peer took items of this stream of its.
    Credit {
        /// The peer's stream.
        stream: StreamId,
        /// How many bytes of them, as the stream's window counts.
        bytes: u64,
    },
    /// A call whose value was not admitted; what arrives of it is thrown away. It wants an error reply.
    RefusedCall {
        /// The peer's stream.
        stream: StreamId,
        /// Metadata.
        head: CallHead,
        /// Why.
        why: AdmitError,
    },
    /// A reply whose value was not admitted.
    RefusedReply {
        /// The own stream it answers.
        stream: StreamId,
        /// Metadata.
        head: ReplyHead,
        /// Why.
        why: AdmitError,
    },
    /// The peer no longer waits for this call of its.
    Cancel {
        /// The peer's stream.
        stream: StreamId,
    },
    /// These own calls have begun to execute.
    Started {
        /// Tokens of the calls, as their heads named them.
        tokens: Vec<u64>,
    },
    /// Membership, Catalog, looks and their replies, as it came.
    Control {
        /// Which of them.
        kind: FrameKind,
        /// Zero, but of looks and their replies: the number the asker chose.
        stream: StreamId,
        /// The message.
        payload: Bytes,
    },
}
