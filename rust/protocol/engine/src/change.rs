use mpreg_types::{Incarnation, NodeId};
use serde::{Deserialize, Serialize};

use crate::FunctionRow;

/// A place in a node's sequence of changes: who resumes a watch hands the last one back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WatchToken {
    /// The node that counted; another one counts differently.
    pub node: NodeId,
    /// Its start.
    pub incarnation: Incarnation,
    /// Rises by one with every change.
    pub sequence: u64,
}

/// What happened to a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// A living node offers it that did not before.
    Added,
    /// Its owner offers it in another form.
    Changed,
    /// Its owner no longer offers it, or is gone. The row has no signature, doc or tags.
    Removed,
    /// It differs from another owner's of the same name and version; both stay callable.
    Conflict,
}

/// One change of what is offered. Each happens once: added, changed any number of times, removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Its place.
    pub token: WatchToken,
    /// What happened.
    pub change: ChangeKind,
    /// To what.
    pub function: FunctionRow,
}
