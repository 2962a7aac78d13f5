//! What goes wrong: processes die and stall, machines lose power, connections break, the network parts.

use std::time::Duration;

use mpreg_engine::Loss;
use mpreg_types::ConnectionId;

use super::World;
use crate::item::Item;
use crate::wire::Wire;

impl World {
    /// The process dies, as by `kill -9`: the kernel ends its connections and refuses further ones.
    pub fn kill(&mut self, place: usize) {
        self.end_process(place, Loss::Abrupt);
    }

    /// The machine loses power: silence.
    pub fn power_off(&mut self, place: usize) {
        self.links.isolate(place);
        let wires = self.drop_process(place);
        for (id, side) in wires {
            if let Some(wire) = self.wires.get_mut(&id) {
                wire.ways[side].close();
            }
        }
    }

    /// The machine is on again and its network is back; no process runs there.
    pub fn power_on(&mut self, place: usize) {
        self.links.part(0, [place]);
        self.resume_carrying();
    }

    /// Every cut is over.
    pub fn heal(&mut self) {
        self.links.open_all();
        self.resume_carrying();
    }

    /// The process handles nothing for `duration`, and then everything late.
    pub fn pause(&mut self, place: usize, duration: Duration) {
        if !std::mem::replace(&mut self.places[place].paused, true) {
            self.places[place].was_paused = true;
            self.after(duration, Item::Resume(place));
        }
    }

    pub(crate) fn resume(&mut self, place: usize) {
        self.places[place].paused = false;
        let mut waiting = std::mem::take(&mut self.places[place].waiting);
        // Which thread of it runs first is chance; late timers before everything that waits is the worst order.
        if self.random(2) == 0 {
            waiting.sort_by_key(|item| !matches!(item, Item::Timer(..) | Item::Tick(_)));
        }
        for item in waiting {
            self.happen(item);
        }
    }

    /// A random connection breaks. False: there is none.
    pub fn break_one(&mut self) -> bool {
        self.break_any(|_| true)
    }

    /// A random connection of `place` breaks. False: there is none.
    pub fn break_one_of(&mut self, place: usize) -> bool {
        self.break_any(|wire| wire.ends.iter().any(|end| end.place == place))
    }

    fn break_any(&mut self, wanted: impl Fn(&Wire) -> bool) -> bool {
        let stands = |wire: &Wire| wire.ways.iter().all(|way| way.open) && wanted(wire);
        let open: Vec<ConnectionId> =
            self.wires.iter().filter(|(_, wire)| stands(wire)).map(|(id, _)| *id).collect();
        if open.is_empty() {
            return false;
        }
        let id = self.pick(&open);
        self.reset(id);
        true
    }

    pub(crate) fn end_process(&mut self, place: usize, loss: Loss) {
        let wires = self.drop_process(place);
        for (id, side) in wires {
            if loss == Loss::Orderly {
                self.flush(id, side);
            } else {
                self.lose_some(id, side);
            }
            if let Some(wire) = self.wires.get_mut(&id) {
                wire.ways[side].close();
            }
            self.end_way(id, side, loss);
        }
    }

    fn drop_process(&mut self, place: usize) -> Vec<(ConnectionId, usize)> {
        self.places[place].waiting.clear();
        self.places[place].paused = false;
        let process = self.places[place].process.take();
        process.map(|process| process.wires.into_iter().collect()).unwrap_or_default()
    }
}
