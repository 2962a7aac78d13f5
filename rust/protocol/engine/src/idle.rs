//! Connections that were dialled on demand, beyond the full mesh: how many are kept and for how long.
//!
//! Who dialled a connection looks after it, so the two sides never close it for each other; one that the other side
//! wants all the same is dialled by that side then, and is its own from there on.

use std::time::Duration;

use mpreg_types::Time;

use crate::links::Dialled;
use crate::{Engine, Output, Timer};

/// Looks in the time after which a connection is idle.
const LOOKS: u32 = 6;

impl Engine {
    pub(crate) fn idle_look(&self) -> Duration {
        self.config.idle_after / LOOKS
    }

    /// Closes those that nobody has needed for a while.
    pub(crate) fn close_idle(&mut self, now: Time, out: &mut Vec<Output>) {
        if !self.has_view {
            return;
        }
        for (used, dialled) in self.on_demand() {
            if now.since(used) >= self.config.idle_after {
                out.push(Output::CloseIdle { connection: dialled.connection });
            }
        }
        out.push(Output::SetTimer { timer: Timer::Idle, at: now + self.idle_look() });
    }

    /// A connection came: one that was idle for longest may have to go for it.
    pub(crate) fn make_room(&mut self, newcomer: mpreg_types::NodeId, out: &mut Vec<Output>) {
        if !self.has_view {
            return;
        }
        let on_demand = self.on_demand();
        if on_demand.len() > self.config.on_demand_max {
            let others = on_demand.into_iter().filter(|(_, dialled)| dialled.node != newcomer);
            if let Some((_, oldest)) = others.min_by_key(|(used, _)| *used) {
                out.push(Output::CloseIdle { connection: oldest.connection });
            }
        }
    }

    /// Those on which no own call is under way, with the time they were used last.
    fn on_demand(&self) -> Vec<(Time, Dialled)> {
        let unwanted = self.links.dialled().filter(|dialled| !self.membership.is_wanted(dialled.node));
        let used = |dialled: Dialled| {
            let peer = self.index.known_peer(dialled.node)?;
            let used = peer.replied_at().map_or(dialled.since, |at| at.max(dialled.since));
            (peer.in_flight() == 0).then_some((used, dialled))
        };
        unwanted.filter_map(used).collect()
    }
}
