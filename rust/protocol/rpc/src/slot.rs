use std::sync::Arc;

use mpreg_routing::Candidate;
use mpreg_types::{
    CallHead, ConnectionId, NodeId, Payload, PreparedTarget, Selector, StreamId, Target, Time,
};

use crate::Route;
use crate::attempt::History;
use crate::flow::Flow;
use crate::workload::{Gathered, Waiting};

/// One call of a table, from `begin` to its completion.
#[derive(Debug)]
pub(crate) struct CallSlot {
    /// As the next attempt sends it; kept whole so that an attempt copies nothing.
    pub(crate) head: CallHead,
    /// Encoded once; every attempt sends these bytes.
    pub(crate) value: Payload,
    pub(crate) route: Route,
    /// What is asked for, with the candidates tried, once `head` names a candidate instead.
    pub(crate) selector: Option<Arc<PreparedTarget>>,
    pub(crate) deadline: Time,
    pub(crate) begun: Time,
    /// When the present (or last) attempt was handed on.
    pub(crate) handed_on: Time,
    /// When the callee's report of its start came, if it did.
    pub(crate) started_at: Option<Time>,
    /// While it waits for a candidate: until when.
    pub(crate) wait_until: Option<Time>,
    /// The wait is for a connection to the node it chose.
    pub(crate) dialled: bool,
    pub(crate) retries_left: u8,
    /// Times it may move on for nothing, because nobody took it.
    pub(crate) moves_left: u8,
    /// How often it was handed on: to a connection, or to a function of this process.
    pub(crate) sent: u8,
    /// See [`Request::idempotent`](crate::Request::idempotent).
    pub(crate) idempotent: bool,
    /// Of the present attempt; its peer counts the call as in flight.
    pub(crate) candidate: Option<Arc<Candidate>>,
    pub(crate) history: Option<Box<History>>,
    /// Of a step for a function of this process: its arguments with all inputs, from when they are here until it has them.
    pub(crate) gathered: Option<(Payload, Gathered)>,
    /// Of a stream.
    pub(crate) flow: Flow,
    pub(crate) state: State,
}

impl CallSlot {
    /// What is asked for.
    pub(crate) fn wanted(&self) -> &Target {
        &self.selector.as_ref().unwrap_or(&self.head.target).target
    }

    /// The next attempt goes to `candidate`.
    pub(crate) fn aim_at(&mut self, candidate: &Candidate) {
        let asked = std::mem::replace(&mut self.head.target, candidate.direct().clone());
        let asked = self.selector.get_or_insert(asked);
        if let Target::Select(Selector { sticky: Some(value), .. }) = &asked.target {
            // The chosen node may have workers to choose from.
            self.head.extras.get_or_insert_default().sticky = Some(*value);
        }
    }

    /// The next attempt goes to another node than this, if there is one.
    pub(crate) fn avoid(&mut self, node: NodeId) {
        let Target::Select(selector) = self.wanted() else { return };
        let mut selector = selector.clone();
        selector.tried.retain(|other| *other != node);
        if selector.tried.len() >= Selector::TRIED_MAX {
            selector.tried.remove(0);
        }
        selector.tried.push(node);
        let asked = Arc::new(PreparedTarget::new(Target::Select(selector)));
        match self.route {
            Route::Entry => self.head.target = asked,
            _ => self.selector = Some(asked),
        }
    }
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
    /// The inputs of a step for a function of this process are being fetched.
    Gathering { _waiting: Waiting, _room: Gathered },
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
