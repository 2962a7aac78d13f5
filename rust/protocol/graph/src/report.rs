use mpreg_types::{ForeignText, GraphReport, Ledger, StepReport, Time};

use crate::plan::PlannedStep;
use crate::step_state::{StepState, StepValue};

/// Who did what, and when, of a graph whose steps are all done.
pub(crate) fn report(steps: &[PlannedStep], states: &[StepState], begun: Time, now: Time) -> GraphReport {
    let rows: Vec<StepReport> =
        steps.iter().zip(states).filter_map(|(step, state)| row(step, state, begun)).collect();
    let critical_path = critical_path(&rows);
    GraphReport { critical_path, hops: 0, total_us: Ledger::micros(now.since(begun)), steps: rows }
}

fn row(step: &PlannedStep, state: &StepState, begun: Time) -> Option<StepReport> {
    let StepState::Done { began, ended, done } = state else { return None };
    let bytes = match &done.value {
        StepValue::Inline(value) => value.len() as u64,
        StepValue::Held(held) => held.bytes,
    };
    Some(StepReport {
        name: step.step.name.clone(),
        cluster: ForeignText::new(done.node.as_str().split('/').next().unwrap_or_default()),
        node: done.node.clone(),
        began_us: Ledger::micros(began.since(begun)),
        ended_us: Ledger::micros(ended.since(begun)),
        bytes,
        after: step.needs.clone(),
    })
}

/// From the step that ended last back along the inputs that came last.
fn critical_path(rows: &[StepReport]) -> Vec<u32> {
    let last = |steps: &mut dyn Iterator<Item = usize>| steps.max_by_key(|step| rows[*step].ended_us);
    let mut path = Vec::new();
    let mut next = last(&mut (0..rows.len()));
    while let Some(step) = next {
        path.push(u32::try_from(step).unwrap_or(u32::MAX));
        next = last(&mut rows[step].after.iter().map(|need| *need as usize));
    }
    path.reverse();
    path
}
