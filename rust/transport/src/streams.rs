use mpreg_types::{ItemHead, Payload, StreamId};

use crate::{Connection, ProtocolError, SendError};

impl Connection {
    /// Appends an item of the stream that the peer's call on `stream` asked for. What finds no credit of the connection
    /// waits here, in its order and before the reply that ends the stream; the stream's own credit is its sender's to
    /// count.
    pub fn send_item(&self, stream: StreamId, head: &ItemHead, value: &Payload) -> Result<(), SendError> {
        self.outbox().push_item(stream, head, value)
    }

    /// Tells the sender of the own stream `stream` that `bytes` of it were taken.
    pub fn send_stream_credit(&self, stream: StreamId, bytes: u64) {
        // A closed connection has no sender any more.
        let _ = self.outbox().push_stream_credit(stream, bytes);
    }

    /// The peer broke a rule that only the machines above know: it gets to know, and the connection is closed.
    pub fn breached(&self, error: ProtocolError) {
        tracing::warn!(connection = ?self, %error, "the peer broke the protocol");
        self.close_for(error);
        self.attention.notify_one();
    }
}
