use crate::{StepFate, Violation, World};

/// No step is executed more than once, unless its function is idempotent; and those of a graph that was answered have
/// all been.
pub fn steps_once(world: &World) -> Result<(), Violation> {
    const NAME: &str = "a step executes at most once";
    for (graph, fate) in world.ledger.graphs() {
        let answered = fate.endings.iter().any(|ending| ending.outcome.is_ok());
        let is_wrong = |step: &StepFate| {
            let times = step.executions.len();
            (times > 1 && !step.idempotent) || (times == 0 && answered)
        };
        if let Some(step) = fate.steps.iter().position(is_wrong) {
            let times = fate.steps[step].executions.len();
            return Err(Violation::new(
                NAME,
                format!("step {step} of graph {graph} ran {times} times: {fate:?}"),
            ));
        }
    }
    Ok(())
}
