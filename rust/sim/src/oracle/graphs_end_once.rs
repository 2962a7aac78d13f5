use super::completes_once::{AFTER_DEADLINE, ends_once};
use crate::{Violation, World};

/// Every graph ends exactly once at its caller and in time, unless the caller died, was paused or stopped waiting; and
/// nothing is left of any.
pub fn graphs_end_once(world: &World) -> Result<(), Violation> {
    const NAME: &str = "a graph ends exactly once";
    for (graph, fate) in world.ledger.graphs() {
        let caller_lives = world.start_of(fate.caller) == Some(fate.start);
        let ended = fate.endings.len();
        if !ends_once(ended, fate.cancelled, caller_lives) {
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
