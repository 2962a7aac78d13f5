use std::sync::Arc;

use mpreg_routing::Candidate;
use mpreg_types::{CallHead, ConnectionId, Payload, PreparedTarget, StreamId, Time};

use crate::Route;
use crate::attempt::History;
use crate::workload::Waiting;

/// One call of a table, from `begin` to its completion.
#[derive(Debug)]
pub(crate) struct CallSlot {
    /// As the next attempt sends it; kept whole so that an attempt copies nothing.
    pub(crate) head: CallHead,
    /// Encoded once; every attempt sends these bytes.
    pub(crate) value: Payload,
    pub(crate) route: Route,
    /// What is asked for, with the candidates tried.
    pub(crate) wanted: Arc<PreparedTarget>,
    pub(crate) deadline: Time,
    pub(crate) begun: Time,
    /// When the present (or last) attempt was handed on.
    pub(crate) handed_on: Time,
    /// While it waits for a candidate: until when.
    pub(crate) wait_until: Option<Time>,
    pub(crate) retries_left: u8,
    /// See [`Request::idempotent`](crate::Request::idempotent).
    pub(crate) idempotent: bool,
    /// Of the present attempt; its peer counts the call as in flight.
    pub(crate) candidate: Option<Arc<Candidate>>,
    pub(crate) history: Option<Box<History>>,
    pub(crate) state: State,
}

/// Where a call stands. Its timer is armed for what the state waits for at most.
#[derive(Debug)]
pub(crate) enum State {
    /// An attempt is being started.
    Choosing,
    /// In the line of calls without a candidate.
    NoCandidate,
    /// In the line of calls without an entry node.
    NoEntry,
    /// In the line of calls without credit on this connection.
    Parked(ConnectionId),
    /// In the line of calls without a slot of this function of the own process.
    NoSlot { function: u64, _waiting: Waiting },
    /// Between two attempts.
    Pausing,
    /// Handed to a connection.
    Sent(Sent),
    /// The deadline passed; waiting for the callee's word on whether it was executed.
    Verdict(Sent),
    /// Handed to a function of this process.
    Local,
    /// Completed; a function of this process still works on it.
    Abandoned,
}

/// A call on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) on: ConnectionId,
    pub(crate) stream: StreamId,
    /// The callee reported the start.
    pub(crate) started: bool,
}
