use std::time::Duration;

use mpreg_types::{ErrorBody, ErrorCode, Executed, ForeignText, Ledger, NodeId};

use crate::caller::Caller;

/// A call that failed, in the words its user sees.
#[derive(Debug, Clone)]
pub struct CallFailure {
    /// What went wrong.
    pub body: ErrorBody,
    /// What is known of its execution, over all attempts.
    pub executed: Executed,
    /// Who said so, or who was lost: `cluster/name/instance`. `None`: the call never left, or the deadline of a
    /// client's call passed and nobody said who has it.
    pub node: Option<String>,
    /// Clusters walked, a client's entry node, and nodes tried, in order.
    pub path: Vec<String>,
    /// How often the call was sent.
    pub attempts: u8,
    /// When trying again makes sense.
    pub retry_after: Option<Duration>,
    /// True if the user may try again without a second execution, and it may help.
    pub retryable: bool,
    /// Where the time went.
    pub ledger: Ledger,
}

impl CallFailure {
    pub(crate) fn of(failure: mpreg_rpc::CallFailure, caller: &Caller) -> Self {
        let named = name(failure.label.as_ref(), failure.node, caller);
        // Who refused a client and gave no name was its entry node, and so was who got lost. Not so at a deadline: the
        // entry node may have sent the call on, so it is on the path and is not blamed.
        let entry = failure.via.filter(|_| failure.body.code != ErrorCode::DeadlineExceeded);
        Self {
            path: path(&failure, caller),
            attempts: failure.sent,
            node: named.or_else(|| caller.entry_label(entry?)),
            body: failure.body,
            executed: failure.executed,
            retry_after: None,
            retryable: failure.retryable,
            ledger: failure.ledger,
        }
    }
}

/// A node as it calls itself, else as the caller knows it.
fn name(label: Option<&ForeignText>, node: Option<NodeId>, caller: &Caller) -> Option<String> {
    label.map(|label| label.as_str().to_owned()).or_else(|| node.map(|node| caller.label(node)))
}

/// Nobody stands in it twice in a row, and an entry node once while it stays the same.
fn path(failure: &mpreg_rpc::CallFailure, caller: &Caller) -> Vec<String> {
    let mut path: Vec<String> = failure.path.iter().map(ToString::to_string).collect();
    let mut via = None;
    for attempt in &failure.attempts {
        let entered = attempt.via.filter(|on| via != Some(*on));
        via = attempt.via.or(via);
        let entry = entered.and_then(|on| caller.entry_label(on));
        let tried = name(attempt.label.as_ref(), attempt.node, caller);
        for step in entry.into_iter().chain(tried) {
            if path.last() != Some(&step) {
                path.push(step);
            }
        }
    }
    path
}
