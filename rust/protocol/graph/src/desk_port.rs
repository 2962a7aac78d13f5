use std::time::Duration;

use mpreg_types::{
    CallExtras, ErrorBody, Fetch, GraphAnswer, GraphEvent, GraphFailure, GraphId, HopBudget, Incarnation,
    NodeId, Payload, Target, Time,
};

use crate::results::FetchRefused;

/// What a [`Desk`](crate::Desk) acts through; implemented by the driver that owns it. Nothing here blocks or calls back
/// into the desk: what follows from a call is told later, by [`Desk::ended`](crate::Desk::ended).
pub trait DeskPort {
    /// Names a call of the desk.
    type Key: Copy + Ord;
    /// The duty to answer who brought a graph.
    type Ticket;
    /// A step that runs here, before it has all its inputs.
    type Job;

    /// This start of the node.
    fn incarnation(&self) -> Incarnation;
    /// Makes a call. An error says that it never will be.
    fn call(&mut self, call: DeskCall, now: Time) -> Result<Self::Key, Box<ErrorBody>>;
    /// Nobody waits for that call any more. Who has it, if anybody: what it has made since may be held there.
    fn cancel(&mut self, key: Self::Key) -> Option<(NodeId, Incarnation)>;
    /// A result that this node holds, asked for by itself.
    fn fetch_own(&mut self, wanted: &Fetch) -> Result<Payload, FetchRefused>;
    /// A graph has ended of which this node holds results.
    fn free_own(&mut self, graph: GraphId);
    /// All inputs of a step are here.
    fn run(&mut self, job: Self::Job, arguments: Payload);
    /// An input of a step is not to be had: it does not start.
    fn refuse(&mut self, job: Self::Job, why: ErrorBody);
    /// Something has happened in a graph that is watched. False: its reader has no room for it now; it is kept, and told
    /// again after [`Desk::resume`](crate::Desk::resume).
    fn tell(&mut self, ticket: &Self::Ticket, event: &GraphEvent, value: Option<&Payload>) -> bool;
    /// A graph has ended.
    fn answer(&mut self, ticket: Self::Ticket, outcome: Outcome);
}

/// How a graph ended: its answer with the wanted values, or why there is none.
pub type Outcome = Result<(GraphAnswer, Vec<Payload>), Box<GraphFailure>>;

/// A call that a desk makes.
#[derive(Debug)]
pub struct DeskCall {
    /// Where it goes: `Select` for steps, `Direct` for all others.
    pub target: Target,
    /// When the desk stops waiting.
    pub deadline: Time,
    /// Further attempts at most.
    pub retries: u8,
    /// True: repeating it does no harm.
    pub idempotent: bool,
    /// Borders it may cross; `None` = as many as the node allows.
    pub max_hops: Option<HopBudget>,
    /// What few calls carry.
    pub extras: Option<Box<CallExtras>>,
    /// Its value.
    pub cargo: Cargo,
}

/// The value of a call that a desk makes.
#[derive(Debug)]
pub enum Cargo {
    /// Arguments of a step. Its grants are open: they are sealed for whoever it is sent to.
    Step(Payload),
    /// A result, or a part of it, is wanted.
    Fetch(Fetch),
    /// A graph has ended.
    Free(GraphId),
}

/// How long a holder is told that it may free what it holds.
pub(crate) const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);
