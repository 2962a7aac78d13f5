use std::collections::BTreeSet;

use mpreg_types::{CallGraph, Payload, Pick, Step};

/// Bounds of one graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GraphLimits {
    /// Steps.
    pub steps: usize,
    /// References and wanted values.
    pub picks: usize,
    /// Keys of one reference.
    pub path: usize,
    /// Bytes of results that the coordinator has at hand for it.
    pub bytes: u64,
    /// Large results that one step refers to: they must fit into the frame of its call.
    pub held_inputs: usize,
    /// Steps under way at one time; further ones wait for their turn.
    pub in_flight: usize,
}

impl Default for GraphLimits {
    fn default() -> Self {
        Self { steps: 10_000, picks: 100_000, path: 256, held_inputs: 500, bytes: 1 << 30, in_flight: 1_024 }
    }
}

/// A graph that was checked: it has no cycle, and every reference leads somewhere.
#[derive(Debug)]
pub struct Plan {
    pub(crate) steps: Vec<PlannedStep>,
    pub(crate) wanted: Vec<Pick>,
    pub(crate) report: bool,
    pub(crate) limits: GraphLimits,
}

/// One step with its place in the graph.
#[derive(Debug)]
pub(crate) struct PlannedStep {
    pub(crate) step: Step,
    /// Its arguments, references left out.
    pub(crate) arguments: Payload,
    /// Steps it refers to, each once.
    pub(crate) needs: Vec<u32>,
    /// Steps that refer to it, each once.
    pub(crate) dependents: Vec<u32>,
}

/// Why a graph is refused before anything runs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// More than a limit.
    #[error("the graph has {count} {what}, more than {limit}; run it in parts")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How much.
        count: usize,
        /// How much there may be.
        limit: usize,
    },
    /// A step refers to itself, to one that comes after it, or to none.
    #[error(
        "step {step} of the graph ({name}) refers to step {to}, which does not come before it: a cycle, or none at all"
    )]
    Order {
        /// Which step.
        step: usize,
        /// Its name.
        name: String,
        /// What it refers to.
        to: u32,
    },
    /// References that do not rise, or lie outside of the arguments.
    #[error("step {step} of the graph has references outside of its arguments")]
    Offsets {
        /// Which step.
        step: usize,
    },
    /// The arguments do not have the length that the steps say.
    #[error("the arguments of the graph's steps have {bytes} bytes, not the {said} that the steps say")]
    Length {
        /// How long they are.
        bytes: usize,
        /// How long they should be.
        said: u64,
    },
}

impl Plan {
    /// Checks `graph`; `arguments` are those of all its steps, one after another.
    pub fn new(graph: CallGraph, arguments: &Payload, limits: GraphLimits) -> Result<Self, PlanError> {
        check_counts(&graph, &limits)?;
        let CallGraph { steps, wanted, report } = graph;
        let said = steps.iter().fold(0_u64, |sum, step| sum.saturating_add(step.value_bytes));
        if said != arguments.len() as u64 {
            return Err(PlanError::Length { bytes: arguments.len(), said });
        }
        let count = steps.len();
        let mut planned: Vec<PlannedStep> = Vec::with_capacity(count);
        let mut from = 0;
        for (index, step) in steps.into_iter().enumerate() {
            let to = from + usize::try_from(step.value_bytes).unwrap_or(usize::MAX);
            let needs = needs_of(index, &step)?;
            for need in &needs {
                planned[*need as usize].dependents.push(u32::try_from(index).unwrap_or(u32::MAX));
            }
            planned.push(PlannedStep {
                step,
                arguments: arguments.slice(from, to),
                needs,
                dependents: Vec::new(),
            });
            from = to;
        }
        for pick in &wanted {
            if pick.step as usize >= count {
                return Err(PlanError::Order { step: count, name: "the caller".to_owned(), to: pick.step });
            }
        }
        Ok(Self { steps: planned, wanted, report, limits })
    }
}

fn check_counts(graph: &CallGraph, limits: &GraphLimits) -> Result<(), PlanError> {
    let inputs = graph.steps.iter().flat_map(|step| &step.inputs).map(|input| &input.pick);
    let picks = inputs.clone().count() + graph.wanted.len();
    let path = inputs.chain(&graph.wanted).map(|pick| pick.path.len()).max().unwrap_or(0);
    for (what, count, limit) in [
        ("steps", graph.steps.len(), limits.steps),
        ("references", picks, limits.picks),
        ("keys in one reference", path, limits.path),
    ] {
        if count > limit {
            return Err(PlanError::TooMany { what, count, limit });
        }
    }
    Ok(())
}

fn needs_of(index: usize, step: &Step) -> Result<Vec<u32>, PlanError> {
    let rising = step.inputs.windows(2).all(|pair| pair[0].at <= pair[1].at);
    let inside = step.inputs.last().is_none_or(|last| last.at <= step.value_bytes);
    if !rising || !inside {
        return Err(PlanError::Offsets { step: index });
    }
    let needs: BTreeSet<u32> = step.inputs.iter().map(|input| input.pick.step).collect();
    match needs.last() {
        Some(to) if *to as usize >= index => {
            Err(PlanError::Order { step: index, name: step.name.as_str().to_owned(), to: *to })
        }
        _ => Ok(needs.into_iter().collect()),
    }
}
