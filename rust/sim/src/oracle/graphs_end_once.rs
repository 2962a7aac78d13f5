use std::time::Duration;

use crate::{Violation, World};

/// Longest wait for the coordinator's word after the deadline, and some ticks.
const AFTER_DEADLINE: Duration = Duration::from_millis(110);

/// Every graph ends exactly once at its caller and in time, unless the caller died, was paused or stopped waiting; and
/// nothing is left of any.
pub fn graphs_end_once(world: &World) -> Result<(), Violation> {
    const NAME: &str = "a graph ends exactly once";
    for (graph, fate) in world.ledger.graphs() {
        let caller_lives = world.start_of(fate.caller) == Some(fate.start);
        let ended = fate.endings.len();
        let once = match (fate.cancelled, caller_lives) {
            (true, _) => ended == 0,
            (false, true) => ended == 1,
            (false, false) => ended <= 1,
        };
        if !once {
            return Err(Violation::new(NAME, format!("graph {graph} ended {ended} times: {fate:?}")));
        }
        let late = fate.endings.iter().any(|ending| ending.at > fate.deadline + AFTER_DEADLINE);
        if late && !world.was_paused(fate.caller) {
            return Err(Violation::new(NAME, format!("graph {graph} ended after its deadline: {fate:?}")));
        }
    }
    match world.leftovers() {
        None => Ok(()),
        Some(what) => Err(Violation::new(NAME, what)),
    }
}
