//! A peer knows a later start of this node than the one that runs, as after its clock was set back. Then it starts once
//! more, above the one that is known, before it has announced anything.
//!
//! A node that is a member already ends instead: a second process has its key, and the later start is the living one.

use std::cell::RefCell;

use mpreg_engine::Engine;
use mpreg_transport::HandshakeFailure;
use mpreg_types::{Incarnation, Load, NodeId};
use mpreg_wire::handshake::{HandshakeError, Refusal};

use super::{Driver, Stopping};
use crate::doorway::{KnockError, Standing};
use crate::error::NodeError;

/// How often a node goes above what peers know before it gives up: an honest cluster agrees on one start.
const ANEW_MAX: u32 = 8;

/// Starts beyond it are not believed: there has to be room for later ones for ever.
const KNOWN_MAX: Incarnation = Incarnation(u64::MAX / 2);

/// The latest start of `node` that this node knows of: an earlier one is refused.
pub(super) fn known_start(engine: &RefCell<Engine>, node: NodeId) -> Option<Incarnation> {
    engine.borrow().membership().member(node).map(|member| member.identity.incarnation)
}

/// The start that the peer knows and the one of this node that it refused for it, if that is why.
pub(super) fn refused_start(error: &KnockError) -> Option<(Incarnation, Incarnation)> {
    match error {
        KnockError::Handshake(HandshakeFailure::Refused(HandshakeError::RefusedByPeer(
            Refusal::StaleIncarnation { known, said },
        ))) => Some((*known, *said)),
        _ => None,
    }
}

impl Driver {
    /// What this node says of itself in a handshake.
    pub(super) fn standing(&self) -> Standing {
        Standing { addresses: self.addresses.clone(), incarnation: self.shared.incarnation() }
    }

    /// A peer refused the start `said`, because it knows the start `known`. It has proved nothing, so a node that
    /// others hold for a member does not end at its word; and at the word of one that came by itself no node does.
    pub(super) fn outstarted(&mut self, known: Incarnation, said: Incarnation, dialled: bool) {
        if said != self.shared.incarnation() || known <= said || self.stopping != Stopping::No {
            return;
        }
        let is_new = self.shared.is_starting() || !self.met;
        if is_new && self.anew < ANEW_MAX && known < KNOWN_MAX {
            if let Err(error) = self.begin_anew(Incarnation::next(0, None, Some(known))) {
                self.fatal = Some(error);
            }
        } else if self.superseded || (dialled && (is_new || self.peers.is_empty())) {
            self.fatal = Some(NodeError::config(format!(
                "a later start of node {} is known (start {known}, this is {said}): a second process has its key. \
                 Stop one of them, or give each a data_dir of its own",
                self.shared.label
            )));
        }
    }

    /// Becomes the start `incarnation`. What was said as the former one is taken back: its connections go.
    fn begin_anew(&mut self, incarnation: Incarnation) -> Result<(), NodeError> {
        tracing::info!(node = %self.shared.label, %incarnation, "its clock was set back: it starts above the start that peers know");
        self.anew += 1;
        self.shared.begin_anew(incarnation)?;
        self.outdated = self.newest.get();
        for connection in self.switch.lock().connections() {
            connection.close(mpreg_transport::CloseReason::Replaced);
        }
        for dial in self.tasks.drain(..) {
            dial.abort();
        }
        // Dials of the former engine that have ended: their numbers would be taken for those of the new one.
        while self.dialled.1.try_recv().is_ok() {}
        let engine = super::outputs::fresh_engine(&self.shared, &self.addresses, self.certificates.as_ref())?;
        *self.engine.borrow_mut() = engine;
        self.peers = super::Peers::default();
        self.timers = super::Timers::new();
        self.outputs.clear();
        self.told_load = Load::default();
        self.met = false;
        self.superseded = false;
        self.announce()?;
        self.switch.lock().begin_anew();
        self.shared.inbound.attention.notify_one();
        Ok(())
    }
}
