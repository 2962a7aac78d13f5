use crate::{Violation, World};

/// No call is executed more than once, over all its attempts and nodes, unless its function is idempotent.
pub fn executes_once(world: &World) -> Result<(), Violation> {
    let twice = |fate: &crate::Fate| !fate.idempotent && fate.executions.len() > 1;
    match world.ledger.calls().find(|(_, fate)| twice(fate)) {
        None => Ok(()),
        Some((call, fate)) => {
            let what = format!("{call} was executed {} times: {fate:?}", fate.executions.len());
            Err(Violation::new("a call executes at most once", what))
        }
    }
}
