//! Frames are written, flushed, carried and delivered; connections end.

use std::time::Duration;

use mpreg_engine::{Input, Loss};
use mpreg_types::{ConnectionId, Time};

use super::World;
use crate::frame::Frame;
use crate::item::{Dialling, Item, Spot};

/// Longest time between a write and its flush, in microseconds.
const FLUSH_US: u64 = 100;

impl World {
    /// Puts a frame into what the process at `place` has written.
    pub(crate) fn write(&mut self, place: usize, id: ConnectionId, frame: Frame) {
        let Some(side) = self.side_of(place, id) else { return };
        let Some(wire) = self.wires.get_mut(&id) else { return };
        if let (Frame::Control { kind, .. }, true) = (&frame, wire.ways[side].open) {
            self.places[place].sent.add(*kind, frame.bytes() as u64);
        }
        if wire.ways[side].write(frame) {
            let pause = Duration::from_micros(self.random(FLUSH_US));
            self.after(pause, Item::Flush { wire: id, side });
        }
    }

    pub(crate) fn side_of(&self, place: usize, id: ConnectionId) -> Option<usize> {
        self.places[place].process.as_ref()?.wires.get(&id).copied()
    }

    pub(crate) fn flush(&mut self, id: ConnectionId, side: usize) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        for frame in wire.ways[side].take_written() {
            self.send(id, side, frame);
        }
    }

    fn send(&mut self, id: ConnectionId, side: usize, frame: Frame) {
        let at = self.now + self.links.delay(&mut self.rng);
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let at = wire.ways[side].send(frame, at);
        self.at(at, Item::Deliver { wire: id, side });
    }

    /// What has arrived of the frames of `side` is handled by the process at the other end.
    pub(crate) fn deliver(&mut self, id: ConnectionId, side: usize) {
        loop {
            let now = self.now;
            let Some(wire) = self.wires.get_mut(&id) else { return };
            let (from, to) = (wire.ends[side], wire.ends[1 - side]);
            if wire.ways[side].stalled.is_some() {
                return;
            }
            if !self.links.is_open(from.place, to.place) {
                wire.ways[side].stalled = Some(now);
                return;
            }
            let Some(frame) = wire.ways[side].arrive(now) else { break };
            let numbers = [now.as_micros(), id.0, side as u64, frame.bytes() as u64];
            match &frame {
                Frame::Control { payload, .. } => self.trace.note(&numbers, payload),
                _ => self.trace.note(&numbers, &[]),
            }
            let listens = wire.ways[1 - side].open || wire.dialling.is_some();
            if listens && self.is_there(to) {
                self.frame(id, 1 - side, frame);
            } else if !matches!(frame, Frame::End(_)) {
                // The kernel resets a connection that no process has.
                self.end_way(id, 1 - side, Loss::Abrupt);
            }
        }
        self.forget_if_over(id);
    }

    /// A link is open again: what is on its way gets through with the next retransmission.
    pub(crate) fn resend(&mut self, id: ConnectionId, side: usize) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        wire.ways[side].stalled = None;
        self.flush(id, side);
        self.deliver(id, side);
    }

    fn frame(&mut self, id: ConnectionId, side: usize, frame: Frame) {
        let Some(wire) = self.wires.get(&id) else { return };
        let (here, there) = (wire.ends[side].place, wire.ends[1 - side].place);
        let from = self.places[there].id;
        match frame {
            Frame::Opened => self.dial_connected(id),
            Frame::End(loss) => self.ended(id, side, loss),
            Frame::Control { kind, payload } => self.control_frame(here, from, kind, &payload),
            Frame::Goodbye { last, leaves } => self.goodbye(id, side, last, leaves),
            Frame::Call { stream, .. } if !self.takes(id, side, stream) => {}
            data => self.data_frame(here, there, id, data),
        }
    }

    /// Tells the other side of an end, unless it will hear of one already.
    pub(crate) fn end_way(&mut self, id: ConnectionId, side: usize, loss: Loss) {
        let at = self.now + self.links.delay(&mut self.rng);
        let Some(wire) = self.wires.get_mut(&id) else { return };
        if let Some(at) = wire.ways[side].end(loss, at) {
            self.at(at, Item::Deliver { wire: id, side });
        }
    }

    /// Closes a connection that nobody has needed for a while, unless a call is under way on it.
    /// A retired connection had its second; it stays if the other one ended before it.
    pub(crate) fn close_retired(&mut self, spot: Spot, id: ConnectionId) {
        let process = self.places[spot.place].process.as_ref().filter(|_| self.is_there(spot));
        let (Some(process), Some(side)) = (process, self.side_of(spot.place, id)) else { return };
        let Some(there) = self.wires.get(&id).map(|wire| wire.ends[1 - side].place) else { return };
        let node = self.places[there].id;
        if process.engine.as_ref().is_none_or(|engine| !engine.is_used(node, id)) {
            self.close(spot.place, id, true);
        }
    }

    pub(crate) fn close_idle(&mut self, spot: Spot, id: ConnectionId) {
        if !self.is_there(spot) {
            return;
        }
        let calls =
            self.side_of(spot.place, id).and_then(|side| self.wires.get(&id)?.ways[side].pending().into());
        let switch = self.places[spot.place].process.as_ref().and_then(|process| process.switch.as_ref());
        if calls == Some(0) && switch.is_some_and(|switch| switch.is_quiet(id)) {
            self.close(spot.place, id, true);
        }
    }

    fn ended(&mut self, id: ConnectionId, side: usize, loss: Loss) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        if side == 0
            && let Some(why) = wire.dialling.take()
        {
            // It ended before the dialler heard that it stands.
            let spot = wire.ends[0];
            self.dial_failed(spot, why);
            return;
        }
        self.answer_goodbye(id, side);
        self.lost(id, side, loss);
    }

    /// A connection is gone for the process at one end. The thread that reads sees it first, then the engine.
    pub(crate) fn lost(&mut self, id: ConnectionId, side: usize, loss: Loss) {
        let now = self.now;
        let Some(wire) = self.wires.get_mut(&id) else { return };
        if !wire.ways[side].open {
            return;
        }
        let untaken = wire.ways[side].close();
        let (spot, there) = (wire.ends[side], wire.ends[1 - side].place);
        let (place, peer, peer_is_node) = (spot.place, self.places[there].id, !self.places[there].is_client);
        let Some(process) = &mut self.places[place].process else { return };
        process.wires.remove(&id);
        if let Some(state) = process.snapshot.peer(peer) {
            state.clear_connection(id);
        }
        self.leave_entry(spot, id);
        self.with_tables(place, |table, desk, done| table.connection_lost(id, &untaken, now, desk, done));
        self.with_switch(place, |switch, out| switch.connection_lost(id, &untaken, now, out));
        if peer_is_node && !self.places[place].is_client {
            self.hear(place, Input::Disconnected { peer, connection: id, loss });
        }
    }

    /// Both processes lose the connection, as by a reset on the way; of what was under way some still arrives.
    pub(crate) fn reset(&mut self, id: ConnectionId) {
        for side in [0, 1] {
            self.lose_some(id, side);
            self.end_way(id, side, Loss::Abrupt);
        }
    }

    /// Of what `side` has under way, the last frames get lost.
    pub(crate) fn lose_some(&mut self, id: ConnectionId, side: usize) {
        let Some(wire) = self.wires.get(&id) else { return };
        let kept = self.random(wire.ways[side].on_the_way() as u64 + 1);
        if let Some(wire) = self.wires.get_mut(&id) {
            wire.ways[side].lose_after(usize::try_from(kept).unwrap_or(0));
        }
    }

    fn forget_if_over(&mut self, id: ConnectionId) {
        if self.wires.get(&id).is_some_and(crate::wire::Wire::is_over) {
            self.wires.remove(&id);
        }
    }

    pub(crate) fn dial_failed(&mut self, spot: crate::item::Spot, why: Dialling) {
        self.after(Duration::ZERO, Item::DialEnds(spot, why, mpreg_engine::DialOutcome::Failed));
    }

    /// Every link whose cut is over carries again, each connection at its own moment: the kernel has doubled its pauses
    /// for as long as nothing got through.
    pub(crate) fn resume_carrying(&mut self) {
        let now = self.now;
        let mut again: Vec<(ConnectionId, usize, Time)> = Vec::new();
        for (id, wire) in &self.wires {
            for (side, way) in wire.ways.iter().enumerate() {
                let (from, to) = (wire.ends[side].place, wire.ends[1 - side].place);
                if let Some(since) = way.stalled
                    && self.links.is_open(from, to)
                {
                    again.push((*id, side, since));
                }
            }
        }
        for (wire, side, since) in again {
            let pause = self.random_time(now.since(since)) + Duration::from_millis(1);
            self.after(pause, Item::Resend { wire, side });
        }
    }
}
