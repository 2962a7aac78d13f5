use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mpreg_transport::{Connection, LostCause};
use mpreg_types::{ForeignText, Incarnation, LeaveReason, NodeId};
use mpreg_wire::FrameKind;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::backlog::Queued;
use crate::caller::End;
use crate::client::nil;
use crate::error::NodeError;

/// What the driver of a node is told by other threads.
pub(crate) enum Command {
    /// A function is there; `done` is told when callers can see it.
    Register {
        /// Its handle in `Functions`.
        handle: u64,
        /// Told when the snapshot with it is out, or why there will be none.
        done: std::sync::mpsc::Sender<Result<(), NodeError>>,
    },
    /// A function is gone.
    Remove {
        /// Its handle.
        handle: u64,
        /// Told when the snapshot without it is out.
        done: std::sync::mpsc::Sender<()>,
    },
    /// A view of the mesh.
    Look {
        /// Which.
        verb: String,
        /// The question, encoded.
        body: Bytes,
        /// When nobody waits any more.
        timeout: Duration,
        /// Told the answer.
        end: End,
    },
    /// What this node has done so far.
    Stats(End),
    /// A handshake has succeeded.
    Opened(Arc<Connection>),
    /// A connection has ended.
    Closed(Arc<Connection>, LostCause),
    /// A call waits for a connection to that node.
    Wanted(NodeId),
    /// A control frame came.
    Frame(Arc<Connection>, FrameKind, Bytes, Queued),
    /// A client asks for a view.
    ClientLook {
        /// The client's connection.
        connection: Arc<Connection>,
        /// Repeated by the answer.
        token: mpreg_types::StreamId,
        /// The question.
        body: Bytes,
        /// Its place in the queue.
        queued: Queued,
    },
    /// Python code stands still, with its stack as far as it could be seen; `None`: it gets on.
    Busy(Option<ForeignText>),
    /// Leave.
    Stop(LeaveReason, End),
    /// Vanish, as by `kill -9`.
    Kill,
    /// A peer refused the start `said` of this node, because it knows a later one.
    Outstarted {
        /// The one it knows.
        known: Incarnation,
        /// The one that was refused.
        said: Incarnation,
        /// This node dialled it, and so had chosen whom to ask.
        dialled: bool,
    },
    /// Tell when the node has ended.
    Ended(End),
    /// For the test kit: a fingerprint of what the node sees.
    Fingerprint(std::sync::mpsc::Sender<String>),
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Register { .. } => "Register",
            Self::Remove { .. } => "Remove",
            Self::Look { .. } => "Look",
            Self::Stats(_) => "Stats",
            Self::Opened(_) => "Opened",
            Self::Closed(..) => "Closed",
            Self::Wanted(_) => "Wanted",
            Self::Frame(..) => "Frame",
            Self::ClientLook { .. } => "ClientLook",
            Self::Busy(_) => "Busy",
            Self::Stop(..) => "Stop",
            Self::Kill => "Kill",
            Self::Outstarted { .. } => "Outstarted",
            Self::Ended(_) => "Ended",
            Self::Fingerprint(_) => "Fingerprint",
        };
        f.write_str(name)
    }
}

/// Closes a queue that nobody will work on: who has asked for the end, or asks now, must not wait for it.
pub(crate) fn answer_ends(inbox: &mut UnboundedReceiver<Command>) {
    inbox.close();
    while let Ok(command) = inbox.try_recv() {
        if let Command::Stop(_, end) | Command::Ended(end) = command {
            end(Ok(nil()));
        }
    }
}
