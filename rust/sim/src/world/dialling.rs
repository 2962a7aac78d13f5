//! Dials: SYN, handshake, and the ways in which they fail.

use std::time::Duration;

use mpreg_engine::{Addresses, DialOutcome, Input};
use mpreg_rpc::Peer;
use mpreg_types::ConnectionId;

use super::World;
use super::boot::BRIDGE;
use crate::frame::Frame;
use crate::item::{Dialling, Item, Spot};
use crate::wire::Wire;

/// From the SYN's arrival to the last proof.
const HANDSHAKE: Duration = Duration::from_millis(3);

impl World {
    pub(crate) fn dial_arrives(&mut self, from: Spot, why: Dialling, addresses: &Addresses) {
        if !self.is_there(from) {
            return;
        }
        let to = self.places.iter().position(|place| addresses.contains(&place.address));
        let Some(to) = to else { return self.answer_dial(from, why, DialOutcome::Refused) };
        let timeout = self.config.membership.dial_timeout * 9 / 10;
        if to == from.place {
            return self.answer_dial(from, why, DialOutcome::Myself);
        }
        if !self.links.is_open(from.place, to) || !self.links.is_open(to, from.place) {
            return self.after(timeout, Item::DialEnds(from, why, DialOutcome::Failed));
        }
        let Some(process) = self.places[to].process.as_ref().filter(|process| !process.parting) else {
            return self.answer_dial(from, why, DialOutcome::Refused);
        };
        let far = Spot { place: to, start: process.start };
        self.last_wire += 1;
        let id = ConnectionId(self.last_wire);
        self.wires.insert(id, Wire::new([from, far], why));
        self.after(HANDSHAKE, Item::Handshake { wire: id });
        self.after(timeout, Item::DialTimesOut { wire: id });
    }

    fn answer_dial(&mut self, from: Spot, why: Dialling, outcome: DialOutcome) {
        let delay = self.links.delay(&mut self.rng);
        self.after(delay, Item::DialEnds(from, why, outcome));
    }

    /// The acceptor has all it needs; its last word goes to the dialler. A paused acceptor answers nothing, and what a
    /// handshake needs does not get through a cut: such a dial times out.
    pub(crate) fn handshake(&mut self, id: ConnectionId) {
        let Some(wire) = self.wires.get(&id) else { return };
        let [from, to] = wire.ends;
        let reaches = self.links.is_open(from.place, to.place) && self.links.is_open(to.place, from.place);
        let awake = !self.places[to.place].paused && !self.places[from.place].paused;
        if !reaches || !awake || wire.dialling.is_none() || !self.is_there(from) || !self.is_there(to) {
            return;
        }
        let incarnations = [self.places[from.place].incarnation, self.places[to.place].incarnation];
        if let Some(wire) = self.wires.get_mut(&id) {
            wire.incarnations = incarnations;
        }
        self.opened(id, 1);
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let at = self.now + self.links.delay(&mut self.rng);
        let at = wire.ways[1].send(Frame::Opened, at);
        self.at(at, Item::Deliver { wire: id, side: 1 });
    }

    /// The dialler hears that the connection stands.
    pub(crate) fn dial_connected(&mut self, id: ConnectionId) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let (spot, there) = (wire.ends[0], wire.ends[1].place);
        match wire.dialling.take() {
            Some(Dialling::Engine(dial, expect)) => {
                self.opened(id, 0);
                let found = self.places[there].id;
                let outcome = match expect.filter(|expected| *expected != found) {
                    Some(_) => DialOutcome::OtherNode { found },
                    None => DialOutcome::Connected { node: found },
                };
                self.hear(spot.place, Input::Dialled { dial, outcome });
            }
            Some(Dialling::Client) => self.opened(id, 0),
            // It gave up: the acceptor's connection leads nowhere.
            None => self.end_way(id, 0, mpreg_engine::Loss::Abrupt),
        }
    }

    pub(crate) fn dial_times_out(&mut self, id: ConnectionId) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let Some(why) = wire.dialling.take() else { return };
        let spot = wire.ends[0];
        if wire.is_over() {
            self.wires.remove(&id);
        } else {
            self.end_way(id, 0, mpreg_engine::Loss::Abrupt);
        }
        self.dial_failed(spot, why);
    }

    pub(crate) fn dial_ends(&mut self, spot: Spot, why: Dialling, outcome: DialOutcome) {
        if !self.is_there(spot) {
            return;
        }
        match why {
            Dialling::Engine(dial, _) => self.hear(spot.place, Input::Dialled { dial, outcome }),
            Dialling::Client => self.after(Duration::from_millis(50), Item::ClientDials(spot)),
        }
    }

    /// A client without an entry node tries one.
    pub(crate) fn client_dials(&mut self, spot: Spot) {
        let has_entry = |world: &Self| {
            world.places[spot.place].process.as_ref().is_none_or(|process| process.entry.is_some())
        };
        if !self.is_there(spot) || has_entry(self) {
            return;
        }
        let nodes: Vec<usize> =
            (0..self.places.len()).filter(|place| !self.places[*place].is_client).collect();
        let entry = self.pick(&nodes);
        let Ok(addresses) = Addresses::new(vec![self.places[entry].address.clone()]) else { return };
        let delay = self.links.delay(&mut self.rng);
        self.after(delay, Item::Dial { from: spot, why: Dialling::Client, addresses });
    }

    /// One end of a connection stands.
    fn opened(&mut self, id: ConnectionId, side: usize) {
        let now = self.now;
        let Some(wire) = self.wires.get_mut(&id) else { return };
        wire.ways[side].open = true;
        let (here, there) = (wire.ends[side].place, wire.ends[1 - side].place);
        let incarnation = wire.incarnations[1 - side];
        let (node, peer_is_client) = (self.places[there].id, self.places[there].is_client);
        let Some(process) = &mut self.places[here].process else { return };
        process.wires.insert(id, side);
        let parting = process.parting;
        if self.places[here].is_client {
            if let Some(process) = &mut self.places[here].process {
                process.entry = Some(id);
            }
            return self.with_table(here, BRIDGE, |table, desk, done| table.entry_changed(now, desk, done));
        }
        let peer = if peer_is_client {
            Peer::Client { node, name: format!("client-{there}") }
        } else {
            Peer::Member(node)
        };
        self.with_switch(here, |switch, _| switch.connected(id, peer));
        if let Some(peer) = self.peer_node(there, incarnation) {
            self.hear(here, Input::Connected { peer, connection: id, dialled: side == 0 });
        }
        if parting {
            self.say_goodbye(id, side, true);
        }
    }
}
