//! Items on their way from a function to whoever reads its stream.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mpreg_rpc::{CallKey, ItemGate, Pass};
use mpreg_transport::{Connection, SendError};
use mpreg_types::{ErrorBody, ErrorCode, ItemHead, Payload, StreamId, item_cost};

use crate::dispatch::Replies;
use crate::mailbox::{Item, Mailbox, PortId};
use crate::runtime::Runtime;

/// Sends the items of one stream, in their order and before its ticket is answered.
///
/// It asks for credit first ([`Self::pass`]); an item that has to wait is kept by the dispatcher until it is told by
/// [`Dispatcher::resume`](crate::Dispatcher::resume).
#[derive(Clone)]
pub struct ItemSender {
    to: ItemTo,
    token: u64,
    gate: Arc<ItemGate>,
    /// The I/O thread will write what was sent.
    will_flush: Arc<AtomicBool>,
}

#[derive(Clone)]
enum ItemTo {
    Remote { connection: Arc<Connection>, stream: StreamId },
    Local { mailbox: Arc<Mailbox>, port: PortId, key: CallKey },
}

impl ItemSender {
    pub(crate) fn remote(
        connection: Arc<Connection>,
        stream: StreamId,
        token: u64,
        gate: Arc<ItemGate>,
    ) -> Self {
        Self { to: ItemTo::Remote { connection, stream }, token, gate, will_flush: Arc::default() }
    }

    pub(crate) fn local(mailbox: Arc<Mailbox>, port: PortId, key: CallKey, gate: Arc<ItemGate>) -> Self {
        let to = ItemTo::Local { mailbox, port, key };
        Self { to, token: key.token(), gate, will_flush: Arc::default() }
    }

    /// May an item of that length leave now?
    pub fn pass(&self, value: &Payload) -> Pass {
        self.gate.pass(item_cost(value.len() as u64))
    }

    /// True once nobody reads any more.
    pub fn is_closed(&self) -> bool {
        self.gate.is_closed()
    }

    /// Has the I/O thread write what was sent, for a thread that may be busy for long before it flushes its batch. Items
    /// that are made meanwhile leave with the same write.
    pub fn flush_soon(&self) {
        let ItemTo::Remote { connection, .. } = &self.to else { return };
        if self.will_flush.swap(true, Ordering::AcqRel) {
            return;
        }
        let Ok(runtime) = Runtime::current() else { return };
        let (connection, will_flush) = (connection.clone(), self.will_flush.clone());
        runtime.on_io(move || {
            will_flush.store(false, Ordering::Release);
            connection.flush();
        });
    }

    /// Sends an item that has passed, with the batch. An error is the end of the stream.
    pub fn send(&self, value: Payload, replies: &mut Replies) -> Result<(), Box<ErrorBody>> {
        match &self.to {
            ItemTo::Remote { connection, stream } => {
                let head = ItemHead { token: self.token, value_bytes: value.len() as u64 };
                replies.mark_dirty(connection);
                connection.send_item(*stream, &head, &value).or_else(|why| refused(&why))
            }
            ItemTo::Local { mailbox, port, key } => {
                replies.hand_over(mailbox, Item::LocalItem { port: *port, key: *key, value });
                Ok(())
            }
        }
    }
}

/// What a connection that did not take an item means for its stream.
pub(crate) fn refused(why: &SendError) -> Result<(), Box<ErrorBody>> {
    let code = match why {
        // Its reader is told by the loss itself.
        SendError::Closed => return Ok(()),
        SendError::TooLarge { .. } => ErrorCode::TooLarge,
        _ => ErrorCode::Overloaded,
    };
    Err(Box::new(ErrorBody::new(code, format!("an item of the stream could not be sent: {why}"))))
}

impl fmt::Debug for ItemSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ItemSender").field("gate", &self.gate).finish_non_exhaustive()
    }
}
