use crate::{Violation, World};

/// A graph's answer is what its steps give one after another, in one process.
pub fn graphs_answer_plainly(world: &World) -> Result<(), Violation> {
    for (graph, fate) in world.ledger.graphs() {
        for ending in &fate.endings {
            if let Ok(values) = &ending.outcome
                && *values != fate.expected
            {
                let what = format!("graph {graph} was answered {values:?}, and not as expected: {fate:?}");
                return Err(Violation::new("a graph equals its sequential evaluation", what));
            }
        }
    }
    Ok(())
}
