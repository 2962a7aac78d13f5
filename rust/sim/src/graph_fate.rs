use bytes::Bytes;
use mpreg_types::{ErrorCode, Time};

/// What happened to one graph.
#[derive(Debug, Clone)]
pub struct GraphFate {
    /// Place of the caller.
    pub caller: usize,
    /// Its start; a caller that died is told nothing.
    pub start: u64,
    /// When the run is to end.
    pub deadline: Time,
    /// What plain evaluation gives.
    pub expected: Vec<Bytes>,
    /// Of every step.
    pub steps: Vec<StepFate>,
    /// The caller stopped waiting.
    pub cancelled: bool,
    /// How it ended, as often as it did.
    pub endings: Vec<GraphEnding>,
}

/// What happened to one step.
#[derive(Debug, Clone)]
pub struct StepFate {
    /// Its function may be executed more than once.
    pub idempotent: bool,
    /// Moments at which a handler began it.
    pub executions: Vec<Time>,
}

/// What the caller of a graph was told.
#[derive(Debug, Clone)]
pub struct GraphEnding {
    /// When.
    pub at: Time,
    /// The wanted values; or what kind of error it was, and for a graph's own of what cause.
    pub outcome: Result<Vec<Bytes>, (ErrorCode, Option<ErrorCode>)>,
}
