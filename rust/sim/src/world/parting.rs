//! Connections end in order, as real ones do: who closes says which calls it took, and so does the other side.

use std::time::Duration;

use mpreg_engine::{Input, Loss};
use mpreg_rpc::{Goodbye, Switch};
use mpreg_types::{ConnectionId, LeaveReason, StreamId, Time};

use super::World;
use crate::frame::Frame;
use crate::item::{Item, Spot};
use crate::wire::Parting;

/// How long who closes waits for the other's goodbye, if calls of its own are under way.
const LINGER: Duration = Duration::from_millis(250);
/// How often a leaving node looks whether its calls have ended.
const LEAVE_LOOK: Duration = Duration::from_millis(5);
/// How long running calls may take.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// How far a node has come that leaves politely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// Its own functions still run.
    Draining,
    /// It takes no calls any more and answers those it took.
    Parting,
}

impl World {
    /// The process at `place` closes a connection in order. With calls of its own under way it waits for the other's
    /// goodbye, if one `answers`.
    pub(crate) fn close(&mut self, place: usize, id: ConnectionId, answers: bool) {
        let Some(side) = self.side_of(place, id) else { return };
        if self.wires.get(&id).is_none_or(|wire| wire.ways[side].is_closing()) {
            return;
        }
        self.say_goodbye(id, side, false);
        self.flush(id, side);
        self.end_way(id, side, Loss::Orderly);
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let (spot, way) = (wire.ends[side], &mut wire.ways[side]);
        if !answers || way.pending() == 0 || way.heard.is_some() {
            return self.lost(id, side, Loss::Orderly);
        }
        way.parting = Parting::Closing;
        self.after(LINGER, Item::CloseTimesOut(spot, id));
    }

    pub(crate) fn close_times_out(&mut self, spot: Spot, id: ConnectionId) {
        if self.is_there(spot)
            && let Some(side) = self.side_of(spot.place, id)
        {
            self.lost(id, side, Loss::Orderly);
        }
    }

    /// Says which calls were taken, unless that was said.
    pub(crate) fn say_goodbye(&mut self, id: ConnectionId, side: usize, leaves: bool) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let place = wire.ends[side].place;
        if wire.ways[side].parting == Parting::No {
            let last = wire.ways[side].part();
            self.write(place, id, Frame::Goodbye { last, leaves });
        }
    }

    /// The other side has hung up after its goodbye, and gets one in turn.
    pub(crate) fn answer_goodbye(&mut self, id: ConnectionId, side: usize) {
        let said = self.wires.get(&id).is_some_and(|wire| {
            wire.ways[side].heard.is_some() && wire.ways[side].open && !wire.ways[side].is_closing()
        });
        if said {
            self.say_goodbye(id, side, false);
            self.flush(id, side);
            self.end_way(id, side, Loss::Orderly);
        }
    }

    /// True if the process at `side` takes this call of the other one.
    pub(crate) fn takes(&mut self, id: ConnectionId, side: usize, stream: StreamId) -> bool {
        self.wires.get_mut(&id).is_some_and(|wire| wire.ways[side].takes(stream))
    }

    /// A goodbye arrives.
    pub(crate) fn goodbye(&mut self, id: ConnectionId, side: usize, last: StreamId, leaves: bool) {
        let now = self.now;
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let (spot, there) = (wire.ends[side], wire.ends[1 - side].place);
        let (untaken, is_closing) = (wire.ways[side].hear(last), wire.ways[side].is_closing());
        let (place, peer) = (spot.place, self.places[there].id);
        if let Some(state) = self.places[place].process.as_ref().and_then(|it| it.snapshot.peer(peer)) {
            state.clear_connection(id);
        }
        self.leave_entry(spot, id);
        let goodbye = Goodbye { untaken, leaves };
        self.with_tables(place, |table, desk, done| table.goodbye(id, &goodbye, now, desk, done));
        self.with_switch(place, |switch, out| switch.goodbye(id, &goodbye, now, out));
        if is_closing {
            self.lost(id, side, Loss::Orderly);
        }
    }

    /// A client looks for another entry node.
    pub(crate) fn leave_entry(&mut self, spot: Spot, id: ConnectionId) {
        let process = self.places[spot.place].process.as_mut().filter(|process| process.entry == Some(id));
        if let Some(process) = process {
            process.entry = None;
            let pause = Duration::from_millis(5) + self.random_time(Duration::from_millis(50));
            self.after(pause, Item::ClientDials(spot));
        }
    }

    /// All peers of a process hear that it takes no more.
    pub(crate) fn part_with_all(&mut self, place: usize) {
        let Some(process) = &mut self.places[place].process else { return };
        process.parting = true;
        for (id, side) in process.wires.clone() {
            self.say_goodbye(id, side, true);
        }
    }

    /// The node at `place` begins to leave, and waits for the calls under way, as real ones do.
    pub fn leave_politely(&mut self, place: usize) {
        let Some(process) = &self.places[place].process else { return };
        let spot = Spot { place, start: process.start };
        self.drain(place);
        self.after(Duration::ZERO, Item::Leaves(spot, Leaving::Draining, self.now + DRAIN_MAX));
    }

    pub(crate) fn leaves(&mut self, spot: Spot, leaving: Leaving, until: Time) {
        if !self.is_there(spot) {
            return;
        }
        let Some(process) = &self.places[spot.place].process else { return };
        let switch = process.switch.as_ref();
        let late = self.now >= until;
        let done = late
            || match leaving {
                Leaving::Draining => {
                    process.workload.load().in_flight == 0 && switch.is_none_or(Switch::only_relays)
                }
                Leaving::Parting => process.jobs.is_empty() && switch.is_none_or(Switch::is_empty),
            };
        let next = match leaving {
            Leaving::Draining if done => {
                self.part_with_all(spot.place);
                Leaving::Parting
            }
            Leaving::Parting if done => {
                let _ = self.feed(spot.place, Input::Leave { reason: LeaveReason::GracefulShutdown });
                return self.end_process(spot.place, Loss::Orderly);
            }
            same => same,
        };
        self.after(LEAVE_LOOK, Item::Leaves(spot, next, until));
    }
}
