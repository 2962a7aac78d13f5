//! What is under way in the world of the tests.

use mpreg_types::{ConnectionId, NodeId};

use crate::{Addresses, DialId, Input, Loss, Message};

/// What the queue holds.
#[derive(Debug)]
pub(super) enum Item {
    /// Something for one process.
    Input { to: usize, start: u64, input: Input },
    /// A message at the end of a connection.
    Frame { to: usize, connection: ConnectionId, from: (usize, ConnectionId), message: Message },
    /// A dial reaches the other side.
    Arrive { from: usize, start: u64, dial: DialId, expect: Option<NodeId>, addresses: Addresses },
    /// The other side ended a connection.
    Ended { at: usize, connection: ConnectionId, loss: Loss },
    /// A retired connection has been idle.
    Idle { at: usize, connection: ConnectionId },
}

/// One end of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) peer: usize,
    /// Its name for the connection.
    pub(super) far: ConnectionId,
}
