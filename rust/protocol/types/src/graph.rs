//! Call graphs as data: what a caller submits, what a step's call and its reply carry, what the caller gets back.
//!
//! **A graph on the wire** is the value of a call to [`Builtin::Graph`](crate::Builtin::Graph): the length of an encoded [`CallGraph`] as u32 (big
//! endian), the graph, and then the arguments of its steps one after another. Arguments are encoded without their
//! references: where one belongs, nothing stands, and [`Input::at`] says where its value is put in. The answer is built
//! alike: length, [`GraphAnswer`], values.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{ErrorBody, Executed, ForeignText, GraphEvent, HopBudget, Incarnation, NodeId, Selector};

/// Results up to this length travel inline; larger ones stay with the node that made them.
pub const INLINE_RESULT_BYTES: usize = 64 * 1024;

/// What a caller wants done: steps in an order in which each comes after those it refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallGraph {
    /// At most 10,000; a reference to a later step (so every cycle) is refused.
    pub steps: Vec<Step>,
    /// What the caller gets back, in this order; any steps, not only leaves.
    pub wanted: Vec<Pick>,
    /// True: the answer has a [`GraphReport`].
    pub report: bool,
}

/// One call of a graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The function as the caller named it; for reports and errors.
    pub name: ForeignText,
    /// Where it may run.
    pub target: Selector,
    /// Longest time it may take, besides the graph's own deadline.
    #[serde(default)]
    pub timeout: Option<Duration>,
    /// Further attempts at most.
    pub retries: u8,
    /// Borders it may cross; `None` = as many as the node allows.
    #[serde(default)]
    pub max_hops: Option<HopBudget>,
    /// `metadata=`, encoded.
    #[serde(default)]
    pub metadata: Option<Bytes>,
    /// Length of its arguments, references left out.
    pub value_bytes: u64,
    /// The references in its arguments, by rising `at`.
    pub inputs: Vec<Input>,
}

/// A reference among the arguments of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Offset in the step's arguments where the value is put in.
    pub at: u64,
    /// Which value.
    pub pick: Pick,
}

/// The result of a step, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pick {
    /// Which step, counted from 0.
    pub step: u32,
    /// From the result inwards; empty = the whole.
    pub path: Vec<PathKey>,
}

/// One `[...]` of a reference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathKey {
    /// A mapping's key or a field.
    Name(String),
    /// An index, from the end if negative, or a mapping's key.
    Index(i64),
}

impl std::fmt::Display for PathKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => write!(f, "[{name:?}]"),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// Identity of one run of a graph; its coordinator counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GraphId {
    /// The node that drives the steps.
    pub coordinator: NodeId,
    /// Its start.
    pub incarnation: Incarnation,
    /// Counts its graphs.
    pub number: u64,
}

/// What the call of a step says besides an ordinary call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepCall {
    /// Of which graph.
    pub graph: GraphId,
    /// Set: a result over [`INLINE_RESULT_BYTES`] stays at the callee, which answers with a [`ResultRef`] and holds it for
    /// so long unless it is told to free it: what was left to the graph when the step was called.
    pub keep: Option<Duration>,
    /// Results that the callee fetches and puts into the arguments before its function starts.
    pub inputs: Vec<HeldInput>,
    /// True: somebody watches the run, so the callee says how far its function is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub watched: bool,
}

/// A result that the callee of a step fetches from its holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldInput {
    /// Offset in the arguments where the value is put in.
    pub at: u64,
    /// The right to fetch it.
    pub grant: Grant,
    /// Which part; the holder cuts it out.
    pub path: Vec<PathKey>,
}

/// The right of one node to fetch one held result. Worth nothing in another node's hands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Who holds it.
    pub holder: NodeId,
    /// Its start.
    pub incarnation: Incarnation,
    /// Which result of the holder.
    pub result: u64,
    /// Made by the coordinator from the result's token for the node that fetches; the token itself until that is known.
    #[serde(with = "serde_bytes")]
    pub proof: [u8; 16],
    /// Length of the whole result.
    pub bytes: u64,
}

/// The value of a call to [`Builtin::Result`](crate::Builtin::Result).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// Of which graph.
    pub graph: GraphId,
    /// Which result.
    pub result: u64,
    /// See [`Grant::proof`].
    #[serde(with = "serde_bytes")]
    pub proof: [u8; 16],
    /// Which part.
    pub path: Vec<PathKey>,
}

/// A result that its maker holds. The coordinator alone has the token, and makes [`Grant`]s from it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultRef {
    /// Who holds it.
    pub holder: NodeId,
    /// Its start.
    pub incarnation: Incarnation,
    /// Which result of the holder.
    pub result: u64,
    /// 128 secret bits, drawn by the holder.
    #[serde(with = "serde_bytes")]
    pub token: [u8; 16],
    /// Its length.
    pub bytes: u64,
    /// True: the step that made it may run again if it is lost.
    pub idempotent: bool,
}

impl std::fmt::Debug for ResultRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the token.
        write!(f, "ResultRef({}/{}, {} bytes)", self.holder.short(), self.result, self.bytes)
    }
}

/// What stands before the values in the answer to a graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GraphAnswer {
    /// Length of each wanted value, in order.
    pub values: Vec<u64>,
    /// If it was asked for.
    #[serde(default)]
    pub report: Option<GraphReport>,
    /// What a reader of events has not been sent yet, without values: those are here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<GraphEvent>,
}

/// Who did what, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphReport {
    /// Each step that ran, in the order of the graph.
    pub steps: Vec<StepReport>,
    /// Indices into `steps`: the chain that the whole waited for.
    pub critical_path: Vec<u32>,
    /// Cluster borders crossed.
    pub hops: u32,
    /// From the coordinator's first to its last moment with it, in microseconds.
    pub total_us: u64,
}

/// One step of a [`GraphReport`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReport {
    /// As [`Step::name`].
    pub name: ForeignText,
    /// Who ran it: `cluster/name/instance`.
    pub node: ForeignText,
    /// Where that is.
    pub cluster: ForeignText,
    /// Microseconds from the graph's start to when the step was sent.
    pub began_us: u64,
    /// Microseconds from the graph's start to when its result was known.
    pub ended_us: u64,
    /// Length of its result.
    pub bytes: u64,
    /// Steps whose results it waited for.
    pub after: Vec<u32>,
}

/// Why a graph failed: the `data` of its error's body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GraphFailure {
    /// Which step, if it was one.
    pub step: Option<u32>,
    /// Its name.
    pub name: ForeignText,
    /// What went wrong with it.
    pub cause: ErrorBody,
    /// What is known of that step's execution.
    pub executed: Executed,
    /// Who ran it, if that is known.
    pub node: Option<ForeignText>,
    /// How often it was sent.
    pub attempts: u8,
    /// What a reader of events has not been sent yet, without values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<GraphEvent>,
}

/// Why a step could not get an input: the `data` of its [`ErrorCode::ResultLost`](crate::ErrorCode::ResultLost).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFailure {
    /// Who holds, or held, the result.
    pub holder: NodeId,
    /// Which result of the holder.
    pub result: u64,
    /// What is wrong with the part that was asked for; `None` if the whole is gone.
    pub cause: Option<Box<ErrorBody>>,
}
