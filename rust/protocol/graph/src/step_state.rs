use mpreg_types::{ErrorBody, Executed, ForeignText, PathKey, Payload, ResultRef, Time};

/// The result of a step, as its coordinator has it.
#[derive(Debug, Clone)]
pub enum StepValue {
    /// At hand.
    Inline(Payload),
    /// With the node that made it.
    Held(ResultRef),
}

/// A step that returned.
#[derive(Debug, Clone)]
pub struct StepDone {
    /// What.
    pub value: StepValue,
    /// Who ran it: `cluster/name/instance`.
    pub node: ForeignText,
}

/// A step that failed.
#[derive(Debug, Clone)]
pub struct StepFailed {
    /// Why.
    pub body: ErrorBody,
    /// What is known of its execution.
    pub executed: Executed,
    /// Who ran it, if that is known.
    pub node: Option<ForeignText>,
    /// How often it was sent.
    pub attempts: u8,
}

/// A held result, or a part of it, on its way into the arguments of a step.
#[derive(Debug, Clone)]
pub struct HeldPart {
    /// Where it goes.
    pub at: u64,
    /// What.
    pub held: ResultRef,
    /// Which part.
    pub path: Vec<PathKey>,
}

/// Where a step stands.
#[derive(Debug)]
pub(crate) enum StepState {
    /// So many of its inputs are missing.
    Waiting(usize),
    /// In line, or called.
    UnderWay { called: Option<Time> },
    /// It has returned.
    Done { began: Time, ended: Time, done: StepDone },
}

impl StepState {
    pub(crate) fn value(&self) -> Option<&StepValue> {
        match self {
            Self::Done { done, .. } => Some(&done.value),
            _ => None,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Done { .. })
    }
}
