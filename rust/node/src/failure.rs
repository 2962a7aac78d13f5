use std::time::Duration;

use mpreg_types::{ErrorBody, Executed, Ledger};

use crate::caller::Caller;

/// A call that failed, in the words its user sees.
#[derive(Debug, Clone)]
pub struct CallFailure {
    /// What went wrong.
    pub body: ErrorBody,
    /// What is known of its execution, over all attempts.
    pub executed: Executed,
    /// Who said so, or who was lost: `cluster/name/instance`.
    pub node: Option<String>,
    /// Clusters walked and nodes tried, in order.
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
        let clusters = failure.path.iter().map(ToString::to_string);
        let nodes = failure.attempts.iter().filter_map(|attempt| attempt.node).map(|node| caller.label(node));
        Self {
            path: clusters.chain(nodes).collect(),
            attempts: failure.sent,
            node: match (&failure.body.node, failure.node) {
                (Some(said), _) => Some(said.as_str().to_owned()),
                (None, Some(node)) => Some(caller.label(node)),
                // Whoever refused a client without a name was its entry node.
                (None, None) => caller.entry_label(),
            },
            body: failure.body,
            executed: failure.executed,
            retry_after: None,
            retryable: failure.retryable,
            ledger: failure.ledger,
        }
    }
}
