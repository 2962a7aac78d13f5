use std::collections::{BTreeMap, BTreeSet};

use mpreg_types::{
    CallExtras, Defect, GraphId, HeldInput, Incarnation, NodeId, Payload, StepCall, Target, Time,
};

use crate::desk_port::{Cargo, DeskCall};
use crate::events::Events;
use crate::grant::open_grant;
use crate::run::Run;
use crate::step_state::HeldPart;

/// A graph that came to a desk.
#[derive(Debug)]
pub(crate) struct GraphRun<K, T> {
    pub(crate) id: GraphId,
    pub(crate) run: Run,
    pub(crate) deadline: Time,
    /// Steps under way.
    pub(crate) called: BTreeMap<u32, K>,
    /// Who had a step when it was cancelled: its result may be held there, and the word of it on its way.
    pub(crate) callees: BTreeSet<(NodeId, Incarnation)>,
    /// What all steps carry of the caller's.
    pub(crate) extras: CallExtras,
    /// Until it is answered.
    pub(crate) ticket: Option<T>,
    /// If its caller watches it.
    pub(crate) events: Option<Box<Events>>,
}

impl<K, T> GraphRun<K, T> {
    /// The call of a step.
    pub(crate) fn step_call(
        &self,
        step: u32,
        arguments: Payload,
        held: Vec<HeldPart>,
        keep: bool,
        now: Time,
    ) -> Option<DeskCall> {
        let step = self.run.step(step)?;
        let input =
            |part: HeldPart| HeldInput { at: part.at, grant: open_grant(&part.held), path: part.path };
        let inputs: Vec<HeldInput> = held.into_iter().map(input).collect();
        // Its result may be wanted for as long as the graph runs, however short the step's own time is.
        let brief = step.timeout.filter(|_| Defect::DeskHoldsForAStepsTime.is_in());
        let keep = keep.then(|| brief.unwrap_or(self.deadline.since(now)));
        let watched = self.events.is_some();
        let special = keep.is_some() || !inputs.is_empty() || watched;
        let extras = CallExtras {
            metadata: step.metadata.clone().or_else(|| self.extras.metadata.clone()),
            step: special.then(|| Box::new(StepCall { graph: self.id, keep, inputs, watched })),
            ..self.extras.clone()
        };
        let own = step.timeout.map_or(self.deadline, |timeout| now + timeout);
        Some(DeskCall {
            target: Target::Select(step.target.clone()),
            deadline: own.min(self.deadline),
            retries: step.retries,
            idempotent: false,
            max_hops: step.max_hops,
            extras: Some(Box::new(extras)),
            cargo: Cargo::Step(arguments),
        })
    }
}
