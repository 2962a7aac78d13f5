use mpreg_types::{
    ClusterId, ConnectionId, ErrorBody, ErrorCode, Executed, ForeignText, Ledger, NodeId, Payload, ReplyHead,
};

use crate::CallKey;

/// A call has ended; its key is free for others.
#[derive(Debug)]
pub struct Completion {
    /// Which call.
    pub key: CallKey,
    /// How it ended.
    pub outcome: Result<Success, Box<CallFailure>>,
}

/// A call that returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Success {
    /// As the callee wrote it.
    pub head: ReplyHead,
    /// The encoded result.
    pub value: Payload,
    /// Who answered; `None` for a client's call whose entry node did not say.
    pub node: Option<NodeId>,
}

/// A call that failed: everything the exception is built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFailure {
    /// What went wrong.
    pub body: ErrorBody,
    /// Over all attempts: `Yes` or `Unknown` if any of them was.
    pub executed: Executed,
    /// Who said so, or who was lost.
    pub node: Option<NodeId>,
    /// Its name as users see it, if a reply told it.
    pub label: Option<ForeignText>,
    /// The connection to the entry node that a client's last attempt went over; `None`: it never left.
    pub via: Option<ConnectionId>,
    /// Clusters walked.
    pub path: Vec<ClusterId>,
    /// Every attempt that failed, in order; the last may be the error itself.
    pub attempts: Vec<Attempt>,
    /// How often it was sent; an attempt that found nobody, or no open connection, was not.
    pub sent: u8,
    /// True if the user may try again without a second execution, and it may help.
    pub retryable: bool,
    /// Where the time went.
    pub ledger: Ledger,
}

/// One attempt that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The node tried, if it is known.
    pub node: Option<NodeId>,
    /// Its name as users see it, if a reply told it.
    pub label: Option<ForeignText>,
    /// The connection to the entry node that a client's attempt went over; `None`: it never left.
    pub via: Option<ConnectionId>,
    /// Why it failed.
    pub code: ErrorCode,
    /// What was known of its execution.
    pub executed: Executed,
}
