use std::sync::Arc;
use std::time::Duration;

use mpreg_routing::{Candidate, PeerState};
use mpreg_types::{CallHead, ConnectionId, Payload, PreparedTarget, StepCall, StreamId, Time};

use crate::flow::Flow;
use crate::workers::Chosen;
use crate::workload::{Gathered, Running, Waiting};

/// One call that arrived, from its frame to its answer.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) from: ConnectionId,
    pub(crate) stream: StreamId,
    /// The caller's, for the answer.
    pub(crate) token: u64,
    pub(crate) arrived: Time,
    pub(crate) deadline: Time,
    /// The call itself until it is handed on.
    pub(crate) cargo: Option<Cargo>,
    /// Its place among the waiting calls, from the first time it waits until it leaves here.
    pub(crate) waiting: Option<Waiting>,
    /// Room for the inputs of a step, from when they are asked for until it leaves here.
    pub(crate) gathered: Option<Gathered>,
    /// What a step says, while a worker of this node has its call.
    pub(crate) step: Option<Box<StepCall>>,
    /// It waits, or has waited, for a connection to the node chosen for it.
    pub(crate) dialled: bool,
    /// It asks for a stream.
    pub(crate) asks_stream: bool,
    /// Of a stream.
    pub(crate) flow: Flow,
    pub(crate) place: Place,
}

#[derive(Debug)]
pub(crate) struct Cargo {
    pub(crate) head: CallHead,
    pub(crate) value: Payload,
}

/// Where an inbound call is. Its timer is armed for what the place waits for at most.
#[derive(Debug)]
pub(crate) enum Place {
    /// A place is being looked for.
    Arriving { wait_until: Option<Time> },
    /// In the line of calls without a candidate.
    NoCandidate { until: Time },
    /// The inputs of the step are being fetched, for an own function.
    Gathering,
    /// In the line of calls without a slot of this own function.
    NoSlot { candidate: Arc<Candidate>, function: u64 },
    /// Handed to a dispatcher.
    Running { function: u64, since: Time, reported: bool },
    /// Answered by the switch, or without a caller; the dispatcher still works on it.
    Abandoned { function: u64 },
    /// In the line of calls without credit on the chosen peer's connection.
    Parked(Relay),
    /// A `Forward` is out.
    Forwarding { relay: Relay, then: Then },
    /// On the peer's connection.
    Relayed { relay: Relay, stream: StreamId, started: bool, cancelled: bool },
}

/// What is to be done with a call once its `Forward` is confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Relay,
    /// Its caller cancelled meanwhile.
    Cancel,
    /// Its caller's connection was lost meanwhile.
    Drop,
}

/// A call on its way to another node. The peer counts it as in flight while this exists.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) to: ConnectionId,
    pub(crate) peer: Arc<PeerState>,
    pub(crate) idempotent: bool,
    /// What the caller asked for, should another choice be needed before anything was sent.
    pub(crate) wanted: Arc<PreparedTarget>,
    /// To a worker of this node: the slot that the call has here.
    running: Option<Running>,
}

impl Relay {
    pub(crate) fn new(
        to: ConnectionId,
        peer: Arc<PeerState>,
        idempotent: bool,
        wanted: Arc<PreparedTarget>,
    ) -> Self {
        Self::with(to, peer, idempotent, wanted, None)
    }

    pub(crate) fn to_worker(chosen: Chosen, wanted: Arc<PreparedTarget>, running: Running) -> Self {
        let Chosen { to, peer, idempotent, target: _ } = chosen;
        Self::with(to, peer, idempotent, wanted, Some(running))
    }

    fn with(
        to: ConnectionId,
        peer: Arc<PeerState>,
        idempotent: bool,
        wanted: Arc<PreparedTarget>,
        running: Option<Running>,
    ) -> Self {
        peer.call_sent();
        Self { to, peer, idempotent, wanted, running }
    }

    /// The worker has answered, `took` after the call arrived.
    pub(crate) fn answered(&mut self, took: Duration, ok: bool) {
        if let Some(running) = &mut self.running {
            running.answered(took, ok);
        }
    }

    /// To a worker of this node, not to another node.
    pub(crate) fn is_to_worker(&self) -> bool {
        self.running.is_some()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.peer.call_ended();
    }
}
