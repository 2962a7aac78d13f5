use serde::{Deserialize, Serialize};

/// Who may see and call a function.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Callers inside the same `Node` object; never in a log.
    Local,
    /// Members and clients of the own cluster.
    Cluster,
    /// Also trusted clusters, if the export rules let it.
    #[default]
    Global,
}
