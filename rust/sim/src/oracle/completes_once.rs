use std::time::Duration;

use crate::{Violation, World};

/// Longest wait for the word of the callee, or a coordinator, after the deadline, and some ticks.
pub(super) const AFTER_DEADLINE: Duration = Duration::from_millis(110);

/// Every call ends exactly once at its caller and in time, unless the caller died, was paused or stopped waiting; and
/// nothing is left of any.
pub fn completes_once(world: &World) -> Result<(), Violation> {
    const NAME: &str = "a call completes exactly once";
    if let Some((place, key)) = world.ledger.strays.first() {
        return Err(Violation::new(
            NAME,
            format!("place {place} completed {key:?}, which had ended or never was"),
        ));
    }
    for (call, fate) in world.ledger.calls() {
        let caller_lives = world.start_of(fate.caller) == Some(fate.start);
        let ended = fate.endings.len();
        if !ends_once(ended, fate.cancelled, caller_lives) {
            return Err(Violation::new(NAME, format!("{call} ended {ended} times: {fate:?}")));
        }
        // A stream whose first item came in time lives on.
        let flowed = fate.stream.as_ref().is_some_and(|stream| !stream.received.is_empty());
        let late = !flowed && fate.endings.iter().any(|ending| ending.at > fate.deadline + AFTER_DEADLINE);
        if late && !world.was_paused(fate.caller) {
            return Err(Violation::new(NAME, format!("{call} ended after its deadline: {fate:?}")));
        }
    }
    match world.leftovers() {
        None => Ok(()),
        Some(what) => Err(Violation::new(NAME, what)),
    }
}

/// Who stopped waiting hears of no end; who lives of exactly one; who died of one at most.
pub(super) fn ends_once(ended: usize, cancelled: bool, caller_lives: bool) -> bool {
    match (cancelled, caller_lives) {
        (true, _) => ended == 0,
        (false, true) => ended == 1,
        (false, false) => ended <= 1,
    }
}
