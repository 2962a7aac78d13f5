use std::io::ErrorKind;

use mpreg_types::{StreamId, Untaken};
use mpreg_wire::handshake::Refusal;
use mpreg_wire::{DecodeError, FrameError, FrameKind, Role};
use thiserror::Error;

use crate::Goodbye;

/// Why nothing was sent. In every case no byte of the frame was or will be handed to the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The connection is closed or closing.
    #[error("the connection is closed")]
    Closed,
    /// Too much is under way or waits to be written; `FrameHandler::credit` tells when it makes sense to try again.
    #[error("the peer takes no more for now")]
    NoCredit,
    /// As many calls as the peer allows wait for their replies; `FrameHandler::credit` tells when one has come.
    #[error("{max} calls wait for their replies already")]
    TooManyPending {
        /// The limit.
        max: u32,
    },
    /// The value is longer than this side sends or the peer takes.
    #[error("a value of {bytes} bytes; at most {max} are taken")]
    TooLarge {
        /// Its length.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// The peer does not take its replies as fast as they are made.
    #[error("more than {max} bytes of replies wait for the peer to take them")]
    NoRoom {
        /// The limit.
        max: u64,
    },
    /// Metadata or a message longer than a frame.
    #[error(transparent)]
    NoFrame(#[from] FrameError),
    /// The queue of control frames is full: the peer reads nothing.
    #[error("the control queue is full")]
    ControlFull,
    /// The peer asks and does not take the answers; the connection is closed.
    #[error("{max} replies wait for credit: the peer does not take them")]
    RepliesNotTaken {
        /// The limit.
        max: u32,
    },
}

/// What a peer sent that no peer sends. Closes the connection; nothing of the frame took effect.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// No frame, or too long a frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Metadata or a payload that cannot be read.
    #[error("{kind:?} frame: {why}")]
    Content {
        /// Kind of the frame.
        kind: FrameKind,
        /// What is wrong.
        why: DecodeError,
    },
    /// A kind that the peer's role does not send.
    #[error("a {kind:?} frame from a {role}")]
    Role {
        /// The peer's role.
        role: Role,
        /// Kind of the frame.
        kind: FrameKind,
    },
    /// A stream of the wrong side, or one that was never opened.
    #[error("a {kind:?} frame for stream {stream:?}, which is not open that way")]
    Stream {
        /// Kind of the frame.
        kind: FrameKind,
        /// Which.
        stream: StreamId,
    },
    /// The value is not as long as its head says, or a chunk is empty or too long.
    #[error("the value of stream {stream:?} is announced with {announced} bytes and has {arrived}")]
    ValueLength {
        /// Which.
        stream: StreamId,
        /// By its head.
        announced: u64,
        /// So far.
        arrived: u64,
    },
    /// More values under way at once than calls may be pending.
    #[error("more than {max} values under way at once")]
    TooManyValues {
        /// The limit.
        max: u32,
    },
    /// More bytes under way than the connection's window.
    #[error("{bytes} bytes under way; the window is {window}")]
    Window {
        /// Under way.
        bytes: u64,
        /// The limit.
        window: u64,
    },
    /// More items under way on a stream than its window, or more of it returned than was under way.
    #[error("stream {stream:?}: its items do not fit its window of {window} bytes")]
    StreamWindow {
        /// Which.
        stream: StreamId,
        /// The limit.
        window: u64,
    },
    /// A goodbye that names what was never opened, or more than an earlier one.
    #[error("a goodbye that names stream {last:?}; it can be none from {before:?} on")]
    Goodbye {
        /// What it names as taken.
        last: StreamId,
        /// What it named before, or what is not open yet.
        before: StreamId,
    },
    /// More credit came back than was used.
    #[error("{bytes} bytes of credit returned; {used} were used")]
    Credit {
        /// Returned.
        bytes: u64,
        /// Used.
        used: u64,
    },
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LostCause {
    /// This side closed it.
    #[error("closed: {0}")]
    Closed(Goodbye),
    /// The peer closed it on purpose.
    #[error("the peer closed: {0}")]
    Goodbye(Goodbye),
    /// The peer refused our proof when this side took the connection for established already.
    #[error("refused by the peer: {0}")]
    Refused(Refusal),
    /// The stream ended without a goodbye: the process is gone.
    #[error("the peer is gone without a goodbye")]
    Ended,
    /// Reset or broken: the process is gone, or something on the way cut the connection.
    #[error("the connection broke: {0}")]
    Broken(ErrorKind),
    /// The peer broke the protocol and was closed.
    #[error("the peer broke the protocol: {0}")]
    Protocol(ProtocolError),
}

/// What is known when a connection has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Own calls that provably did not execute: nothing of them was handed to the kernel, or their values not to the end, or
    /// the peer's goodbye says so.
    pub untaken: Untaken,
    /// Why.
    pub cause: LostCause,
}
