use std::sync::Arc;

use mpreg_rpc::{Goodbye, bridge_of};
use mpreg_transport::{AdmitError, CloseReason, Connection, FrameHandler, Incoming, Lost};
use mpreg_types::Untaken;
use mpreg_wire::FrameKind;
use tokio::sync::{Notify, oneshot};

use crate::client_shared::ClientShared;
use crate::mailbox::{Item, News, PortId};
use crate::runtime::Runtime;
use crate::stream_io::{arrived, refused_item};
use crate::switch_io::{deliver_replies, refused_reply};

/// The I/O thread's side of a client: replies go to their mailboxes, views to who asked. Nobody calls a client.
pub(crate) struct ClientIo {
    shared: Arc<ClientShared>,
    runtime: Arc<Runtime>,
    replies: Vec<Item>,
    receiving: u64,
    /// Told when the entry is set.
    opened: Option<oneshot::Sender<()>>,
    /// Told when another entry node is to be found.
    ended: Arc<Notify>,
    /// The entry node takes no more calls; those it took are still answered.
    leaving: Option<Arc<Connection>>,
}

impl ClientIo {
    pub(crate) fn new(
        shared: Arc<ClientShared>,
        runtime: Arc<Runtime>,
        opened: oneshot::Sender<()>,
        ended: Arc<Notify>,
    ) -> Self {
        Self {
            shared,
            runtime,
            replies: Vec::new(),
            receiving: 0,
            opened: Some(opened),
            ended,
            leaving: None,
        }
    }
}

impl FrameHandler for ClientIo {
    fn opened(&mut self, connection: &Arc<Connection>) {
        self.runtime.connections.insert(connection);
        let peer = connection.peer();
        let instance = peer.instance.as_ref().map_or_else(|| peer.node.short(), ToString::to_string);
        let label = format!("{}/{}/{instance}", peer.cluster, peer.name);
        self.shared.set_entry(Some((connection.id(), peer.node, label)));
        if let Some(opened) = self.opened.take() {
            // Nobody waits if the client was dropped meanwhile.
            let _ = opened.send(());
        }
        self.runtime.mailboxes.tell_all(&News::RouteChanged);
    }

    fn frame(&mut self, connection: &Arc<Connection>, frame: Incoming) {
        match frame {
            Incoming::Reply { stream, head, value, wire_bytes } => {
                let port = PortId(bridge_of(head.token));
                let connection = connection.id();
                self.replies.push(Item::Reply { port, connection, stream, head, value, wire_bytes });
            }
            Incoming::RefusedReply { stream, head, why } => {
                let port = PortId(bridge_of(head.token));
                let (head, value) = refused_reply(&head, why);
                let connection = connection.id();
                self.replies.push(Item::Reply { port, connection, stream, head, value, wire_bytes: 0 });
            }
            Incoming::Item { stream, head, value } => {
                self.replies.push(arrived(connection, stream, head, value));
            }
            Incoming::RefusedItem { stream, head, why } => {
                connection.send_cancel(stream);
                let port = PortId(bridge_of(head.token));
                let (head, value) = refused_item(head, why);
                let connection = connection.id();
                self.replies.push(Item::Reply { port, connection, stream, head, value, wire_bytes: 0 });
            }
            Incoming::Started { tokens } => {
                let started = |token| Item::Started {
                    port: PortId(bridge_of(token)),
                    connection: connection.id(),
                    token,
                };
                self.replies.extend(tokens.into_iter().map(started));
            }
            Incoming::Control { kind: FrameKind::LookReply, stream, payload } => {
                self.shared.answer_part(stream.0, &payload);
            }
            Incoming::Call { wire_bytes, .. } => connection.consumed(wire_bytes),
            Incoming::RefusedCall { .. }
            | Incoming::Credit { .. }
            | Incoming::Cancel { .. }
            | Incoming::Control { .. } => {}
        }
    }

    fn goodbye(&mut self, connection: &Arc<Connection>, why: CloseReason, untaken: Untaken) {
        let goodbye = Goodbye { untaken, leaves: why == CloseReason::Leaving };
        if self.leaving.replace(connection.clone()).is_none() {
            self.shared.leave_entry(connection.id());
            self.ended.notify_one();
        }
        deliver_replies(&self.runtime, &mut self.replies);
        self.runtime.mailboxes.tell_all(&News::Goodbye(connection.id(), goodbye));
    }

    fn batch_end(&mut self) {
        deliver_replies(&self.runtime, &mut self.replies);
        if let Some(connection) = self.leaving.as_ref().filter(|connection| connection.is_quiet()) {
            connection.close(CloseReason::Unused);
        }
    }

    fn credit(&mut self, connection: &Arc<Connection>) {
        self.runtime.mailboxes.tell_all(&News::Credit(connection.id()));
    }

    fn admit(&mut self, _connection: &Arc<Connection>, bytes: u64) -> Result<(), AdmitError> {
        let settings = &self.shared.config.settings;
        if bytes > settings.max_value_bytes {
            return Err(AdmitError::TooLarge { bytes, max: settings.max_value_bytes });
        }
        if self.receiving + bytes > settings.receive_bytes {
            return Err(AdmitError::NoRoom { bytes });
        }
        self.receiving += bytes;
        Ok(())
    }

    fn released(&mut self, _connection: &Arc<Connection>, bytes: u64) {
        self.receiving = self.receiving.saturating_sub(bytes);
    }

    fn closed(&mut self, connection: &Arc<Connection>, lost: Lost) {
        self.runtime.connections.remove(connection.id());
        self.shared.leave_entry(connection.id());
        deliver_replies(&self.runtime, &mut self.replies);
        self.runtime.mailboxes.tell_all(&News::Lost(connection.id(), lost.untaken));
        self.shared.fail_looks(&format!("the entry node is gone: {}", lost.cause));
        if self.leaving.is_none() {
            self.ended.notify_one();
        }
    }
}
