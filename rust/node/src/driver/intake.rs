use std::sync::Arc;

use bytes::Bytes;
use mpreg_catalog::Message as CatalogMessage;
use mpreg_engine::{Addresses, Input, PeerNode};
use mpreg_membership::{Loss, Message as MembershipMessage};
use mpreg_transport::{CloseReason, Connection, LostCause};
use mpreg_types::{ForeignText, Signed, Verified};
use mpreg_wire::verify::{Ed25519, SignatureScheme};
use mpreg_wire::{FrameKind, Role};

use super::{Driver, Stopping};
use crate::client::nil;
use crate::command::Command;
use crate::error::NodeError;

impl Driver {
    /// One command of another thread.
    pub(super) fn command(&mut self, command: Command) {
        let now = self.runtime.clock.now();
        match command {
            Command::Register { handle, done } => match self.shared.functions.find(handle) {
                Some(entry) => match self.offer(handle, &entry) {
                    Ok(()) => self.published.push(done),
                    Err(error) => drop(done.send(Err(error))),
                },
                None => drop(done.send(Ok(()))),
            },
            Command::Remove { handle, done } => {
                if let Some(entry) = self.shared.functions.find(handle) {
                    self.withdraw(&entry);
                }
                self.shared.functions.remove(handle);
                let _ = done.send(());
            }
            Command::Look { verb, body, timeout, end } => {
                let asker = super::looks::Asker::Own(end);
                self.look(&verb, &body, now + timeout, asker);
            }
            Command::ClientLook { connection, token, body, queued } => {
                self.client_look(connection, token, &body);
                drop(queued);
            }
            Command::Stats(end) => end(Ok(self.stats())),
            Command::Opened(connection) => self.opened(&connection),
            Command::Closed(connection, cause) => self.closed(&connection, &cause),
            Command::Wanted(node) => self.hear(Input::Wanted { node }),
            Command::Frame(connection, kind, payload, queued) => {
                self.frame(&connection, kind, &payload);
                drop(queued);
            }
            Command::Busy(stack) => self.busy(stack),
            Command::Stop(reason, end) => {
                self.stop_ends.push(end);
                self.begin_stop(reason);
            }
            Command::Outstarted { known, said, dialled } => self.outstarted(known, said, dialled),
            Command::Ended(end) => self.ended.push(end),
            Command::Kill => self.kill(),
            Command::Fingerprint(tell) => drop(tell.send(self.fingerprint())),
        }
    }

    fn busy(&mut self, stack: Option<ForeignText>) {
        log_busy(&self.shared.label, stack.as_ref());
        self.hear(Input::Busy { stack });
    }

    fn opened(&mut self, connection: &Arc<Connection>) {
        if self.is_outdated(connection) {
            return connection.close(CloseReason::Replaced);
        }
        let peer = connection.peer();
        if peer.role != Role::Node {
            return;
        }
        self.met = true;
        self.peers.add(connection);
        // Whoever asks for the round trip finds one.
        let _ = connection.send_ping();
        connection.flush();
        let Ok(addresses) = Addresses::new(peer.addresses.clone()) else {
            tracing::warn!(node = %self.shared.label, peer = %peer.node.short(), "too many addresses in its hello");
            return connection.close(CloseReason::Protocol);
        };
        let node = PeerNode {
            node: peer.node,
            incarnation: peer.incarnation,
            name: peer.name.clone(),
            instance: peer.instance.clone(),
            addresses,
            declared: peer.declared,
        };
        self.hear(Input::Connected {
            peer: node,
            connection: connection.id(),
            dialled: connection.dialled(),
        });
    }

    fn closed(&mut self, connection: &Arc<Connection>, cause: &LostCause) {
        if let LostCause::Protocol(error) = cause {
            let peer = connection.peer();
            tracing::warn!(node = %self.shared.label, peer = %peer.name, id = %peer.node, %error, "a peer broke the protocol");
        }
        if connection.peer().role == Role::Worker {
            self.worker_gone(connection.id());
        }
        if connection.peer().role != Role::Node {
            return self.looks.forget_client(connection.id());
        }
        self.peers.remove(connection);
        let loss = match cause {
            LostCause::Ended | LostCause::Broken(_) => Loss::Abrupt,
            LostCause::Goodbye(_) | LostCause::Closed(_) => Loss::Orderly,
            _ => Loss::Other,
        };
        let peer = connection.peer().node;
        self.hear(Input::Disconnected { peer, connection: connection.id(), loss });
    }

    /// A control frame of a member. What cannot be read closes the connection: its sender is broken or hostile.
    fn frame(&mut self, connection: &Arc<Connection>, kind: FrameKind, payload: &Bytes) {
        if self.is_outdated(connection) {
            return;
        }
        let handled = match kind {
            FrameKind::Membership => self.membership_frame(connection, payload),
            FrameKind::Catalog => self.catalog_frame(connection, payload),
            _ => Ok(()),
        };
        if let Err(error) = handled {
            tracing::warn!(node = %self.shared.label, peer = %connection.peer().node, %error, "a bad control frame");
            connection.close(CloseReason::Protocol);
        }
    }

    fn membership_frame(&mut self, connection: &Arc<Connection>, payload: &[u8]) -> Result<(), NodeError> {
        let from = connection.peer().node;
        let input = match read(payload)? {
            MembershipMessage::Leave(signed) if self.engine.borrow().membership().has_leave(&signed) => {
                return Ok(());
            }
            MembershipMessage::Leave(signed) => Input::Left { from, leave: verify(&signed)? },
            message => {
                // It may be a probe, which is answered with the load.
                self.tell_load();
                Input::Membership { from, message }
            }
        };
        self.hear(input);
        Ok(())
    }

    fn tell_load(&mut self) {
        let load = self.shared.workload.load();
        if load != self.told_load {
            self.told_load = load;
            self.hear(Input::Load { load });
        }
    }

    fn catalog_frame(&mut self, connection: &Arc<Connection>, payload: &[u8]) -> Result<(), NodeError> {
        let from = connection.peer().node;
        let input = match read(payload)? {
            CatalogMessage::Batches(batches) => {
                Input::Batches { from, batches: batches.iter().map(verify).collect::<Result<_, _>>()? }
            }
            message => Input::Catalog { from, message },
        };
        self.hear(input);
        Ok(())
    }

    /// True for one of a former start of this node.
    fn is_outdated(&self, connection: &Connection) -> bool {
        connection.id() <= self.outdated
    }

    fn fingerprint(&mut self) -> String {
        let mut engine = self.engine.borrow_mut();
        if engine.is_publishing() {
            return String::new();
        }
        format!("{:?}", engine.converged())
    }

    /// As by `kill -9`: no goodbye, no leave.
    fn kill(&mut self) {
        if let Some(faults) = self.doorway.network.faults() {
            faults.kill(&self.shared.fault_label());
        }
        self.stopping = Stopping::Left;
        self.fatal = None;
        for end in self.stop_ends.drain(..) {
            end(Ok(nil()));
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(payload: &[u8]) -> Result<T, NodeError> {
    mpreg_wire::message::decode(payload)
        .map_err(|error| NodeError::new(mpreg_types::ErrorCode::Decode, error.to_string()))
}

fn verify(signed: &Signed) -> Result<Verified<Signed>, NodeError> {
    Ed25519.verify(signed).map_err(|error| NodeError::new(mpreg_types::ErrorCode::Auth, error.to_string()))
}

/// One line when it begins, one when it is over.
pub(crate) fn log_busy(node: &str, stack: Option<&ForeignText>) {
    if let Some(stack) = stack {
        tracing::warn!(
            %node, stack = %stack.as_str(),
            "busy: its event loop has not come for its work for a second; what blocks belongs into a thread (plain def)"
        );
    } else {
        tracing::warn!(%node, "no longer busy");
    }
}
