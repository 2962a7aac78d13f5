use std::sync::Arc;

use mpreg_types::ConnectionId;

use crate::Candidate;

/// A candidate that was chosen, and the way to it.
#[derive(Debug, Clone)]
pub struct Choice {
    /// Who.
    pub candidate: Arc<Candidate>,
    /// The connection to it that stood at the moment of the choice; `None`: it is the own node, or one that has to be dialled
    /// first.
    pub connection: Option<ConnectionId>,
}
