//! From the start to the first sight of the cluster: when may the user be told that the node has joined?
//!
//! As soon as one peer has shown its catalog, so that what was there before can be called; or, with nobody to answer,
//! after a while alone. A fixed instance has to be free besides.

use std::collections::BTreeSet;

use mpreg_catalog::Message as CatalogMessage;
use mpreg_membership::Addresses;
use mpreg_types::{NodeId, Time};

use crate::{Engine, EngineError, Event, Message, Output, Timer};

/// Where a node stands in its own life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nobody knows it.
    New,
    /// It looks for its cluster.
    Joining(Joining),
    /// It knows its cluster, or is alone.
    Joined,
    /// It has said goodbye.
    Left,
}

/// What a joining node waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joining {
    /// It starts alone then.
    alone_at: Time,
    /// It has a peer, and takes that for enough then.
    patience_ends: Option<Time>,
    /// A peer showed its catalog, or there is nobody or no more time to wait for.
    ready: bool,
    /// Peers that were asked for entries and have not finished their answer.
    asked: BTreeSet<NodeId>,
}

impl Engine {
    pub(crate) fn start(
        &mut self,
        seeds: Vec<Addresses>,
        now: Time,
        out: &mut Vec<Output>,
    ) -> Result<(), EngineError> {
        if self.phase != Phase::New {
            return Err(EngineError::Started);
        }
        self.announce(now, out)?;
        let own = &self.local.addresses;
        let is_other =
            |seed: &Addresses| !seed.is_empty() && !seed.iter().any(|address| own.contains(address));
        let alone = !seeds.iter().any(is_other);
        let alone_at = now + self.config.join_timeout;
        self.phase =
            Phase::Joining(Joining { alone_at, patience_ends: None, ready: alone, asked: BTreeSet::new() });
        self.run_membership(mpreg_membership::Input::Seeds { seeds }, now, out);
        if alone {
            self.join_if_ready(out);
        } else {
            out.push(Output::SetTimer { timer: Timer::Join, at: alone_at });
        }
        Ok(())
    }

    /// A first connection stands: its node's catalog is on the way.
    pub(crate) fn first_contact(&mut self, now: Time, out: &mut Vec<Output>) {
        // Whoever wants a place of its own has to know first who else is there, however slow they are to say.
        let wants_place = self.own_card.instance.is_some();
        let patience = if wants_place { self.config.join_timeout } else { self.config.sync_patience };
        if let Phase::Joining(joining) = &mut self.phase
            && joining.patience_ends.is_none()
        {
            let at = joining.alone_at.min(now + patience);
            joining.patience_ends = Some(at);
            out.push(Output::SetTimer { timer: Timer::Join, at });
        }
    }

    /// A catalog frame. Whoever was sent a digest and lacks nothing, or got all it asked for, knows what the peer knows.
    pub(crate) fn catalog_message(
        &mut self,
        from: NodeId,
        message: CatalogMessage,
        now: Time,
        out: &mut Vec<Output>,
    ) {
        let is_digest = matches!(message, CatalogMessage::Digest(_));
        let is_end = matches!(message, CatalogMessage::Served { more: false });
        let before = out.len();
        self.run_catalog(mpreg_catalog::Input::Message { from, message }, now, out);
        let Phase::Joining(joining) = &mut self.phase else { return };
        let asks = out[before..].iter().any(|output| {
            matches!(output, Output::Send { to, message: Message::Catalog(CatalogMessage::Want(_)) } if *to == from)
        });
        if asks {
            joining.asked.insert(from);
        } else if is_end {
            joining.asked.remove(&from);
            joining.ready = true;
        } else if is_digest && !joining.asked.contains(&from) {
            joining.ready = true;
        }
        self.join_if_ready(out);
    }

    pub(crate) fn join_timer(&mut self, now: Time, out: &mut Vec<Output>) {
        if let Phase::Joining(joining) = &mut self.phase {
            let patient = joining.patience_ends.is_none_or(|at| now < at);
            joining.ready |= !patient || now >= joining.alone_at;
            self.join_if_ready(out);
        }
    }

    pub(crate) fn join_if_ready(&mut self, out: &mut Vec<Output>) {
        if let Phase::Joining(joining) = &self.phase
            && joining.ready
            && self.claim.is_free()
        {
            self.phase = Phase::Joined;
            Self::event(Event::Joined { alone: self.links.is_empty() }, out);
        }
    }
}
