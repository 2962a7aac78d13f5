use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mpreg_catalog::{FunctionEntry, Refusal};
use mpreg_engine::{
    Addresses, CloseReason as EngineClose, Config, Engine, Event, Input, Local, MemberChange, Message, Output,
};
use mpreg_routing::{LocalFunction, Snapshot};
use mpreg_transport::{CloseReason, Connection, Goodbye};
use mpreg_types::{ConnectionId, NodeId, Time};
use mpreg_wire::FrameKind;
use rustls::pki_types::UnixTime;

use super::Driver;
use crate::certificates::Certificates;
use crate::entropy::random_bytes;
use crate::error::NodeError;
use crate::functions::LocalEntry;
use crate::mailbox::News;
use crate::node_shared::NodeShared;

/// How often a connection that both sides stop using is looked at.
const RETIRE_LOOK: Duration = Duration::from_millis(100);
/// It is closed when it was quiet so many looks in a row: the other side has heard of the one that is used, too.
const RETIRE_LOOKS: u32 = 10;

/// The engine of a node that listens on `addresses`, as the start that the node is now.
pub(super) fn fresh_engine(
    shared: &NodeShared,
    addresses: &[String],
    own: Option<&Certificates>,
) -> Result<Engine, NodeError> {
    let seed = random_bytes::<32>().map_err(|error| NodeError::config(error.to_string()))?;
    let config = &shared.config;
    let local = Local {
        node: shared.node,
        incarnation: shared.incarnation(),
        cluster: config.cluster.clone(),
        name: config.name.clone(),
        instance: config.instance.clone(),
        addresses: Addresses::new(addresses.to_vec())
            .map_err(|error| NodeError::config(error.to_string()))?,
        resources: config.resources.clone(),
        capacity: config.settings.concurrency,
        certificates: own.map(|own| own.chain.clone()).unwrap_or_default(),
        delegation: own.map(|own| own.delegation.clone()),
    };
    let mut settings = Config::lan().probing_every(config.settings.probe_interval);
    settings.membership.full_mesh_max = config.settings.full_mesh_max;
    settings.idle_after = config.settings.idle_after;
    settings.membership.active_view = settings.membership.active_view.min(config.settings.full_mesh_max);
    Engine::new(settings, local, shared.signer.clone(), seed).map_err(|error| engine_error(&error))
}

pub(super) fn engine_error(error: &mpreg_engine::EngineError) -> NodeError {
    NodeError::config(error.to_string())
}

impl Driver {
    /// Hands `input` to the engine. Only inputs of the own user can fail.
    pub(super) fn feed(&mut self, input: Input) -> Result<(), NodeError> {
        let now = self.runtime.clock.now();
        self.engine.borrow_mut().handle(input, now, &mut self.outputs).map_err(|error| engine_error(&error))
    }

    /// Hands in what only peers can have caused; what is wrong with it is counted by the engine.
    pub(super) fn hear(&mut self, input: Input) {
        if let Err(error) = self.feed(input) {
            tracing::debug!(node = %self.shared.label, %error, "an input was not taken");
        }
    }

    /// Announces a function.
    pub(super) fn offer(&mut self, handle: u64, entry: &Arc<LocalEntry>) -> Result<(), NodeError> {
        let spec = &entry.spec;
        let function = FunctionEntry {
            id: spec.id.clone(),
            version: spec.version.clone(),
            resources: spec.resources.clone(),
            signature: spec.signature.clone(),
            doc: spec.doc.clone(),
            tags: spec.tags.clone(),
            scope: spec.scope,
            idempotent: spec.idempotent,
            streaming: spec.streaming,
            timeout: spec.timeout,
            ..FunctionEntry::new(spec.name.clone(), spec.contract)
        };
        let local = LocalFunction { handle, slots: entry.slots.clone() };
        self.feed(Input::Register { entry: function, local })
    }

    /// Takes a function back.
    pub(super) fn withdraw(&mut self, entry: &LocalEntry) {
        self.hear(Input::Remove { name: entry.spec.name.clone(), version: entry.spec.version.clone() });
    }

    /// Runs what the engine has put out, until it puts out nothing more.
    pub(super) fn run_outputs(&mut self) {
        let mut written: Vec<Arc<Connection>> = Vec::new();
        while !self.outputs.is_empty() {
            for output in std::mem::take(&mut self.outputs) {
                self.run_output(output, &mut written);
            }
        }
        for connection in written {
            connection.flush();
        }
    }

    fn run_output(&mut self, output: Output, written: &mut Vec<Arc<Connection>>) {
        match output {
            Output::Send { to, message } => self.send(&[to], &message, written),
            Output::SendMany { to, message } => self.send(&to, &message, written),
            Output::SetTimer { timer, at } => self.timers.set(timer, at),
            Output::Dial { dial, expect, addresses } => self.dial(dial, expect, &addresses),
            Output::Close { connection, reason } => {
                if let Some(connection) = self.peers.find(connection) {
                    connection.close(goodbye(reason));
                }
            }
            Output::Retire { connection } => self.retire(connection),
            Output::CloseIdle { connection } => self.close_idle(connection),
            Output::CheckCertificates { node, incarnation, name, key, certificates, delegation } => {
                let now = UnixTime::now();
                let vouches = |own: &Certificates| own.vouch_for(&name, key, &certificates, &delegation, now);
                if self.certificates.as_ref().is_some_and(vouches) {
                    self.hear(Input::Certified { node, incarnation, name });
                } else {
                    tracing::debug!(node = %self.shared.label, member = %node, "its certificates do not hold here");
                }
            }
            Output::Publish(snapshot) => self.publish(snapshot),
            Output::Event(event) => self.event(event),
        }
    }

    fn send(&self, to: &[NodeId], message: &Message, written: &mut Vec<Arc<Connection>>) {
        let (kind, payload) = match message {
            Message::Membership(message) => (FrameKind::Membership, mpreg_wire::message::encode(message)),
            Message::Catalog(message) => (FrameKind::Catalog, mpreg_wire::message::encode(message)),
        };
        for node in to {
            let used = self.engine.borrow().peer(*node).and_then(|peer| peer.connection());
            let Some(connection) = self.peers.to(*node, used) else { continue };
            match connection.send_control(kind, &payload) {
                Ok(()) if !written.iter().any(|other| Arc::ptr_eq(other, connection)) => {
                    written.push(connection.clone());
                }
                Ok(()) => {}
                // The peer reads nothing: repair catches up with it when it does.
                Err(error) => tracing::debug!(peer = %node.short(), %error, "a control frame was dropped"),
            }
        }
    }

    /// Both sides stop using it: it is closed when what was written is flushed and the calls on it have ended, however
    /// long that takes. If the other one ends before it, it is the one that is used, and stays.
    fn retire(&self, id: ConnectionId) {
        let Some(connection) = self.peers.find(id).cloned() else { return };
        let (switch, engine) = (Arc::downgrade(&self.switch), Rc::downgrade(&self.engine));
        let runtime = self.runtime.clone();
        tokio::task::spawn_local(async move {
            let mut quiet = 0;
            loop {
                tokio::time::sleep(RETIRE_LOOK).await;
                let Some(switch) = switch.upgrade().filter(|_| connection.is_open()) else { return };
                let is_used =
                    |engine: Rc<RefCell<Engine>>| engine.borrow().is_used(connection.peer().node, id);
                if engine.upgrade().is_none_or(is_used) {
                    return;
                }
                let is_quiet = connection.is_quiet() && switch.lock().is_quiet(id);
                quiet = if is_quiet { quiet + 1 } else { 0 };
                if quiet >= RETIRE_LOOKS {
                    let connection = connection.clone();
                    runtime.on_io(move || switch.lock().close_if_quiet(&connection, CloseReason::Duplicate));
                }
            }
        });
    }

    /// Nobody has needed it for a while.
    fn close_idle(&self, id: ConnectionId) {
        let Some(connection) = self.peers.find(id).cloned() else { return };
        let switch = self.switch.clone();
        self.runtime.on_io(move || switch.lock().close_if_quiet(&connection, CloseReason::Unused));
    }

    fn publish(&mut self, snapshot: Arc<Snapshot>) {
        self.shared.snapshot.store(snapshot);
        self.shared.inbound.attention.notify_one();
        self.runtime.mailboxes.tell_all(&News::RouteChanged);
        for done in self.published.drain(..) {
            // Whoever registered may have stopped waiting.
            let _ = done.send(Ok(()));
        }
        self.looks.note_news();
    }

    pub(super) fn now(&self) -> Time {
        self.runtime.clock.now()
    }
}

fn goodbye(reason: EngineClose) -> Goodbye {
    match reason {
        EngineClose::Down => Goodbye::new(CloseReason::Unresponsive, "held for dead"),
        EngineClose::OldIncarnation { known } => {
            Goodbye::new(CloseReason::Replaced, &format!("incarnation {known} is connected"))
        }
        EngineClose::Left => Goodbye::new(CloseReason::Leaving, "it has left"),
        EngineClose::TooManyMembers => {
            Goodbye::new(CloseReason::Other, "the cluster has as many members as allowed")
        }
    }
}

/// One line for what an operator should know of `me`.
pub(super) fn log(label: &str, me: NodeId, event: &Event) {
    match event {
        Event::Member { id, change, .. } => match change {
            // It has no name yet; said for people when it has.
            MemberChange::Up => tracing::debug!(node = %label, member = %id, "up"),
            MemberChange::Suspect => {
                tracing::info!(node = %label, member = %id, "suspected: it does not answer");
            }
            MemberChange::Refuted => tracing::info!(node = %label, member = %id, "answers again"),
            MemberChange::Down => {
                tracing::warn!(node = %label, member = %id, "down: it is called no more until it returns");
            }
            MemberChange::Returned => tracing::info!(node = %label, member = %id, "returned"),
            MemberChange::Left(reason) => tracing::info!(node = %label, member = %id, %reason, "left"),
            MemberChange::Forgotten => tracing::debug!(node = %label, member = %id, "forgotten"),
        },
        Event::Introduced { id, .. } => tracing::info!(node = %label, member = %id, "joined"),
        // The two owners say it; to all others it is a line of the doctor.
        Event::Conflict(conflict) if conflict.newcomer != me && conflict.other != me => {}
        Event::Conflict(conflict) => {
            tracing::warn!(node = %label, ?conflict, "owners offer different functions under one name and version");
        }
        Event::InstanceHeld { holder, id, address } => {
            let address = address.as_deref();
            tracing::warn!(node = %label, holder = %holder.short(), %id, address, "another node has this name and instance");
        }
        Event::InstanceClaimed { by, id, address } => {
            let address = address.as_deref();
            tracing::warn!(node = %label, by = %by.short(), %id, address, "another node wants this name and instance: it has to give way");
        }
        Event::NewcomerRefused { node, id, address, holder_address, .. } => {
            let (address, holder) = (address.as_deref(), holder_address.as_deref());
            tracing::info!(
                node = %label, refused = %node.short(), %id, address, holder,
                "a newcomer was refused: another node has its name and instance, and lives"
            );
        }
        Event::Superseded { incarnation } => {
            tracing::warn!(node = %label, %incarnation, "a later start of this node is known");
        }
        Event::Refused { from, refusal, .. } if *refusal != Refusal::OwnerLeft => {
            tracing::warn!(node = %label, from = %from.short(), %refusal, "catalog entries were refused");
        }
        // Late batches of one who said goodbye are no news: every leave has some.
        Event::Refused { .. } | Event::Joined { .. } | Event::Change(_) => {}
    }
}
