use std::sync::Arc;

use mpreg_types::ResourceSet;
use serde::{Deserialize, Serialize};

/// How a node's cluster and name are proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// By a certificate.
    Verified,
    /// By its word.
    Declared,
}

/// What a node says of itself, as far as choices and explanations need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeProfile {
    /// How it is shown: `cluster/name/instance`.
    pub label: Arc<str>,
    /// How that is proved.
    pub identity: Identity,
    /// What all its functions have at hand.
    pub resources: ResourceSet,
    /// True: it leaves and takes no new work.
    pub draining: bool,
}
