use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mpreg_engine::Engine;
use mpreg_transport::{HandshakeFailure, Link, Listener};
use mpreg_types::ConnectionId;
use mpreg_wire::Role;
use mpreg_wire::handshake::{Policy, Side};

use super::Driver;
use super::anew::{known_start, refused_start};
use super::refusals::Refusals;
use crate::command::Command;
use crate::doorway::{Doorway, KnockError, Standing};
use crate::node_shared::NodeShared;
use crate::runtime::Runtime;
use crate::switch_io::SwitchIo;

/// After an error of the listener itself, as too many open files: a moment for it to pass.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Whom a node takes: members and clients of its cluster. Links to other clusters wait for federation.
pub(super) fn policy(_shared: &NodeShared) -> Policy {
    Policy::roles([Role::Node, Role::Client])
}

impl Driver {
    /// Takes connections until the node ends; handshakes run side by side.
    pub(super) fn spawn_acceptor(&mut self, listener: Listener, doorway: Rc<Doorway>) {
        let door = Door {
            doorway,
            addresses: self.addresses.clone(),
            engine: self.engine.clone(),
            newest: self.newest.clone(),
            shared: self.shared.clone(),
            runtime: self.runtime.clone(),
            switch: self.switch.clone(),
            refusals: self.refusals.clone(),
        };
        let task = tokio::task::spawn_local(async move {
            loop {
                match listener.accept().await {
                    Ok(link) => {
                        tokio::task::spawn_local(door.clone().admit(link));
                    }
                    Err(error) => {
                        tracing::warn!(node = %door.shared.label, %error, "a connection was not accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        });
        self.acceptors.push(task);
    }
}

/// Gives the switch its turns without frames: deadlines, ended calls, snapshots.
pub(crate) fn spawn_turns(
    switch: &Arc<parking_lot::Mutex<SwitchIo>>,
    shared: &Arc<NodeShared>,
    runtime: &Arc<Runtime>,
) {
    shared.inbound.belongs_to(switch);
    let (switch, shared, own) = (Arc::downgrade(switch), shared.clone(), runtime.clone());
    runtime.on_io(move || {
        tokio::task::spawn_local(async move {
            // Weak: when the node ends, so does this task with its next wake-up.
            while let Some(next) = switch.upgrade().map(|switch| switch.lock().next_turn()) {
                tokio::select! {
                    () = super::sleep_until(&own, next) => {}
                    () = shared.inbound.attention.notified() => {}
                }
                if let Some(switch) = switch.upgrade() {
                    switch.lock().turn();
                }
            }
        });
    });
}

/// What one handshake needs.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) doorway: Rc<Doorway>,
    pub(super) addresses: Vec<String>,
    pub(super) engine: Rc<RefCell<Engine>>,
    pub(super) newest: Rc<Cell<ConnectionId>>,
    pub(super) shared: Arc<NodeShared>,
    pub(super) runtime: Arc<Runtime>,
    pub(super) switch: Arc<parking_lot::Mutex<SwitchIo>>,
    pub(super) refusals: Rc<Refusals>,
}

impl Door {
    async fn admit(self, link: Link) {
        let incarnation = self.shared.incarnation();
        let standing = Standing { addresses: self.addresses.clone(), incarnation };
        let known = |node| known_start(&self.engine, node);
        let shaken = self.doorway.shake(link, Side::Acceptor, standing, known).await;
        if let Err(error) = &shaken
            && let Some((known, said)) = refused_start(error)
        {
            self.shared.command(Command::Outstarted { known, said, dialled: false });
        }
        match shaken {
            // Shaken as a start that is over: the peer dials again, or is dialled.
            Ok(_) if incarnation != self.shared.incarnation() => {}
            Ok(established) => match established.run(&self.runtime.io_handle(), self.switch.clone()) {
                Ok(connection) => self.newest.set(connection.id()),
                Err(error) => {
                    tracing::warn!(node = %self.shared.label, %error, "a connection could not be moved to its thread");
                }
            },
            // Somebody looked whether anybody listens: no news.
            Err(KnockError::Handshake(HandshakeFailure::Broken(_))) => {}
            Err(error) if self.refusals.is_news(error.to_string(), self.runtime.clock.now()) => {
                tracing::warn!(node = %self.shared.label, %error, "a peer was not taken");
            }
            Err(error) => tracing::debug!(node = %self.shared.label, %error, "a peer was not taken"),
        }
    }
}
