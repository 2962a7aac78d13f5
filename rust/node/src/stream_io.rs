//! Streams on the I/O thread of a node: items go to their readers' mailboxes or on to clients, credit to whoever makes
//! them.

use std::sync::Arc;

use mpreg_rpc::{SWITCH_BRIDGE, bridge_of, encode_error};
use mpreg_transport::{AdmitError, Connection, ProtocolError};
use mpreg_types::{
    ConnectionId, ErrorBody, ErrorCode, Executed, ItemHead, Payload, ReplyHead, STREAM_WINDOW, StreamId,
};

use crate::mailbox::{Item, PortId};
use crate::switch_io::SwitchIo;

impl SwitchIo {
    pub(crate) fn item_came(
        &mut self,
        connection: &Connection,
        stream: StreamId,
        head: ItemHead,
        value: Payload,
    ) {
        if bridge_of(head.token) != SWITCH_BRIDGE {
            self.replies.push(arrived(connection, stream, head, value));
            return;
        }
        let now = self.enter();
        self.switch.item(connection.id(), stream, head, value, &mut self.outputs);
        self.run_outputs(now);
    }

    pub(crate) fn item_refused(
        &mut self,
        connection: &Connection,
        stream: StreamId,
        head: ItemHead,
        why: AdmitError,
    ) {
        let (reply, value) = refused_item(head, why);
        connection.send_cancel(stream);
        self.reply_came(connection, stream, reply, value, 0);
    }

    pub(crate) fn credit_came(&mut self, connection: &Connection, stream: StreamId, bytes: u64) {
        let now = self.enter();
        self.switch.credit(connection.id(), stream, bytes, &mut self.outputs);
        self.run_outputs(now);
    }

    /// Passes an item on to a client. One that it does not take ends its stream.
    pub(crate) fn pass_item(&mut self, to: ConnectionId, stream: StreamId, head: ItemHead, value: &Payload) {
        let Some(connection) = self.connection(to) else { return };
        self.mark_dirty(&connection);
        let sent = connection.send_item(stream, &head, value).or_else(|why| crate::items::refused(&why));
        if let Err(body) = sent {
            let value = encode_error(&body);
            let reply = ReplyHead::error(head.token, Executed::Yes, value.len() as u64);
            self.reply(to, stream, reply, &value);
            let now = self.enter();
            self.switch.cancel(to, stream, now, &mut self.outputs);
        }
    }

    pub(crate) fn pass_credit(&mut self, to: ConnectionId, stream: StreamId, bytes: u64) {
        if let Some(connection) = self.connection(to) {
            connection.send_stream_credit(stream, bytes);
            self.mark_dirty(&connection);
        }
    }

    pub(crate) fn breached(&mut self, on: ConnectionId, stream: StreamId) {
        if let Some(connection) = self.connection(on) {
            breach(&connection, stream);
        }
    }
}

/// An item for the port that its token names.
pub(crate) fn arrived(connection: &Connection, stream: StreamId, head: ItemHead, value: Payload) -> Item {
    Item::StreamItem { port: PortId(bridge_of(head.token)), connection: connection.id(), stream, head, value }
}

/// The end of a stream of which an item did not fit: there must be no gap in it.
pub(crate) fn refused_item(head: ItemHead, why: AdmitError) -> (ReplyHead, Payload) {
    let body = ErrorBody::new(ErrorCode::TooLarge, format!("an item of the stream did not fit: {why}"));
    let value = encode_error(&body);
    (ReplyHead::error(head.token, Executed::Yes, value.len() as u64), value)
}

pub(crate) fn breach(connection: &Arc<Connection>, stream: StreamId) {
    connection.breached(ProtocolError::StreamWindow { stream, window: STREAM_WINDOW });
}
