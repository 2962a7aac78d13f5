use std::sync::Arc;

use mpreg_routing::Candidate;
use mpreg_types::{CallExtras, HopBudget, PreparedTarget, Time};

/// One call to make.
#[derive(Debug)]
pub struct Request {
    /// Who selects.
    pub route: Route,
    /// What is asked for. [`Route::Mesh`] needs a `Select`; [`Route::Candidate`] ignores it.
    pub target: Arc<PreparedTarget>,
    /// The call ends by then.
    pub deadline: Time,
    /// Further attempts at most.
    pub retries: u8,
    /// The caller's own knowledge: true only if the function object it holds was declared `idempotent=True`.
    ///
    /// It decides when nobody better is left to ask. A node knows from the candidate's catalog entry; a client from
    /// its entry node's reply (`ReplyExtras::idempotent`). Only when the client's own connection breaks after the call
    /// was handed to the kernel, this hint decides; without it (a call by name) the call is not sent again.
    pub idempotent: bool,
    /// True if the reply is a stream of items.
    pub stream: bool,
    /// Borders the call may cross.
    pub hops: HopBudget,
    /// What few calls carry.
    pub extras: Option<Box<CallExtras>>,
}

/// Who selects the candidate.
#[derive(Debug, Clone)]
pub enum Route {
    /// The entry node this client is connected to.
    Entry,
    /// This node, on its routing snapshot.
    Mesh,
    /// Nobody: it is chosen already (one of `call_all`). Further attempts go to the same one.
    Candidate(Arc<Candidate>),
}
