//! The control side: what a node's driver does with its engine.

use std::time::Duration;

use bytes::Bytes;
use mpreg_catalog::{Message as CatalogMessage, Refusal};
use mpreg_engine::{Addresses, CloseReason, EngineError, Event, Input, Message, Output, PeerNode, Timer};
use mpreg_membership::Message as MembershipMessage;
use mpreg_types::{Incarnation, NodeId, Signed, Verified};
use mpreg_wire::verify::{CheapScheme, SignatureScheme};
use mpreg_wire::{FrameKind, message};

use super::boot::node_name;
use super::{Observed, World};
use crate::frame::Frame;
use crate::item::{Dialling, Item, Spot};

/// How long a connection that both sides stopped using is kept.
const RETIRED: Duration = Duration::from_secs(2);

impl World {
    /// Hands an input to the engine at `place` and does what it wants.
    pub(crate) fn feed(&mut self, place: usize, input: Input) -> Result<(), EngineError> {
        let Some(process) = &mut self.places[place].process else { return Ok(()) };
        let Some(engine) = &mut process.engine else { return Ok(()) };
        let spot = Spot { place, start: process.start };
        let mut out = Vec::new();
        let done = engine.handle(input, self.now, &mut out);
        for output in out {
            self.carry_out(spot, output);
        }
        done
    }

    /// Hands in what only others can have caused: it cannot fail.
    pub(crate) fn hear(&mut self, place: usize, input: Input) {
        let heard = self.feed(place, input);
        assert!(heard.is_ok(), "an engine refused what others said: {heard:?}");
    }

    pub(crate) fn timer(&mut self, spot: Spot, timer: Timer) {
        if !self.is_there(spot) {
            return;
        }
        let now = self.now;
        let Some(process) = &mut self.places[spot.place].process else { return };
        // Set again meanwhile: this one no longer counts.
        if process.timers.get(&timer).is_some_and(|at| *at <= now) {
            process.timers.remove(&timer);
            self.hear(spot.place, Input::Timer(timer));
        }
    }

    fn carry_out(&mut self, spot: Spot, output: Output) {
        match output {
            Output::Send { to, message } => self.send_control(spot.place, &[to], &message),
            Output::SendMany { to, message } => self.send_control(spot.place, &to, &message),
            Output::SetTimer { timer, at } => {
                if let Some(process) = &mut self.places[spot.place].process {
                    process.timers.insert(timer, at);
                }
                self.at(at, Item::Timer(spot, timer));
            }
            Output::Dial { dial, expect, addresses } => {
                let delay = self.links.delay(&mut self.rng);
                self.after(delay, Item::Dial { from: spot, why: Dialling::Engine(dial, expect), addresses });
            }
            Output::Close { connection, reason } => {
                self.close(spot.place, connection, reason != CloseReason::Down);
            }
            Output::Retire { connection } => self.after(RETIRED, Item::Retired(spot, connection)),
            Output::CloseIdle { connection } => {
                self.after(Duration::ZERO, Item::CloseIdle(spot, connection));
            }
            // Nobody has certificates here.
            Output::CheckCertificates { .. } => {}
            Output::Publish(snapshot) => self.published(spot.place, snapshot),
            Output::Event(event) => self.event(spot.place, &event),
        }
    }

    /// A call at `place` waits for a connection: its engine hears of it as from another thread.
    pub(crate) fn wanted(&mut self, place: usize, node: NodeId) {
        self.wanted += 1;
        if let Some(process) = &self.places[place].process {
            let spot = Spot { place, start: process.start };
            self.after(Duration::ZERO, Item::Wanted(spot, node));
        }
    }

    fn event(&mut self, place: usize, event: &Event) {
        match event {
            Event::Member { node, change, .. } => {
                if let (true, Some(of)) = (self.records, self.by_id.get(node)) {
                    self.observed.push(Observed { at: self.now, by: place, of: *of, change: *change });
                }
            }
            Event::Joined { .. } => {
                if let Some(process) = &mut self.places[place].process {
                    process.starting = false;
                }
                self.with_switch(place, |switch, _| switch.set_starting(false));
            }
            Event::Refused { refusal, .. } => {
                // Nobody lies here: late news of the departed is refused, everything else is a defect.
                let is_late = matches!(
                    refusal,
                    Refusal::StaleIncarnation { .. } | Refusal::OwnerDown | Refusal::OwnerLeft
                );
                if !is_late {
                    self.history.refused.push(format!("{:?}: place {place} refused {refusal:?}", self.now));
                }
            }
            _ => {}
        }
    }

    fn send_control(&mut self, from: usize, to: &[NodeId], message: &Message) {
        let (kind, payload) = match message {
            Message::Membership(message) => (FrameKind::Membership, message::encode(message)),
            Message::Catalog(message) => (FrameKind::Catalog, message::encode(message)),
        };
        let payload = Bytes::from(payload);
        for node in to {
            let engine = self.places[from].process.as_ref().and_then(|process| process.engine.as_ref());
            let used = engine.and_then(|engine| engine.peer(*node)).and_then(|peer| peer.connection());
            if let Some(wire) = used {
                self.write(from, wire, Frame::Control { kind, payload: payload.clone() });
            }
        }
    }

    /// A control frame arrives: read and verified as real nodes do.
    pub(crate) fn control_frame(&mut self, place: usize, from: NodeId, kind: FrameKind, payload: &[u8]) {
        let input = match kind {
            FrameKind::Membership => {
                message::decode(payload).ok().and_then(|message| membership_input(from, message))
            }
            FrameKind::Catalog => {
                message::decode(payload).ok().and_then(|message| catalog_input(from, message))
            }
            _ => None,
        };
        assert!(input.is_some(), "a frame of an honest node cannot be read or verified: {kind:?}");
        if let Some(input) = input {
            self.hear(place, input);
        }
    }

    /// The start of the node at `place` that shook hands.
    pub(crate) fn peer_node(&self, place: usize, incarnation: Incarnation) -> Option<PeerNode> {
        let there = &self.places[place];
        if there.is_client {
            return None;
        }
        Some(PeerNode {
            node: there.id,
            incarnation,
            name: node_name(place)?,
            instance: None,
            addresses: Addresses::new(vec![there.address.clone()]).ok()?,
            declared: true,
        })
    }
}

fn membership_input(from: NodeId, message: MembershipMessage) -> Option<Input> {
    Some(match message {
        MembershipMessage::Leave(signed) => Input::Left { from, leave: verified(&signed)? },
        message => Input::Membership { from, message },
    })
}

fn catalog_input(from: NodeId, message: CatalogMessage) -> Option<Input> {
    Some(match message {
        CatalogMessage::Batches(batches) => {
            Input::Batches { from, batches: batches.iter().map(verified).collect::<Option<_>>()? }
        }
        message => Input::Catalog { from, message },
    })
}

fn verified(signed: &Signed) -> Option<Verified<Signed>> {
    CheapScheme.verify(signed).ok()
}
