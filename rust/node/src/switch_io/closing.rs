//! Connections that end, and a node that takes no more calls.

use std::sync::Arc;

use mpreg_rpc::Goodbye;
use mpreg_transport::{CloseReason, Connection, FrameHandler, Lost};
use mpreg_types::Untaken;

use super::SwitchIo;
use crate::command::Command;
use crate::mailbox::News;

impl SwitchIo {
    /// True if nothing is held but calls that other nodes run for clients of this one.
    pub(crate) fn only_relays(&self) -> bool {
        self.switch.only_relays()
    }

    /// No call is taken any more, over no connection that there is or will be; those that were taken are answered. The
    /// other sides are told which those are.
    pub(crate) fn take_no_more(&mut self) -> Vec<Arc<Connection>> {
        self.parting = true;
        self.connections()
    }

    /// Closes a connection for which there is no use, unless something is under way on it. No call of the peer is taken
    /// in between, for which the switch is needed, and no own one is begun.
    pub(crate) fn close_if_quiet(&self, connection: &Connection, why: CloseReason) {
        if self.switch.is_quiet(connection.id()) {
            connection.close_if_quiet(why);
        }
        if !connection.is_open() {
            self.avoid(connection);
        }
    }

    /// No snapshot leads over that connection any more.
    fn avoid(&self, connection: &Connection) {
        if let Some(peer) = self.shared.snapshot.load().peer(connection.peer().node) {
            peer.clear_connection(connection.id());
        }
    }

    /// The other side takes no further call.
    pub(super) fn heard_goodbye(&mut self, connection: &Arc<Connection>, why: CloseReason, untaken: Untaken) {
        let now = self.enter();
        self.avoid(connection);
        let goodbye = Goodbye { untaken, leaves: why == CloseReason::Leaving };
        self.switch.goodbye(connection.id(), &goodbye, now, &mut self.outputs);
        self.run_outputs(now);
        if let Some(parent) = &self.shared.parent {
            parent.set_entry(None);
        }
        self.runtime.mailboxes.tell_all(&News::Goodbye(connection.id(), goodbye));
    }

    /// A connection has ended.
    pub(super) fn lost(&mut self, connection: &Arc<Connection>, lost: Lost) {
        let now = self.enter();
        self.links.remove(&connection.id());
        self.runtime.connections.remove(connection.id());
        // Before anybody looks for another way.
        self.avoid(connection);
        self.switch.connection_lost(connection.id(), &lost.untaken, now, &mut self.outputs);
        self.run_outputs(now);
        self.batch_end();
        if let Some(parent) = &self.shared.parent {
            parent.set_entry(None);
        }
        self.runtime.mailboxes.tell_all(&News::Lost(connection.id(), lost.untaken));
        self.shared.command(Command::Closed(connection.clone(), lost.cause));
    }
}
