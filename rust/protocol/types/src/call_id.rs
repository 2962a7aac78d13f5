use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Incarnation, NodeId};

/// Identity of one call, whatever number of attempts it takes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallId {
    /// Node or client that made the call.
    pub origin: NodeId,
    /// Its start.
    pub incarnation: Incarnation,
    /// Counts its calls.
    pub sequence: u64,
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:x}-{:x}", self.origin.short(), self.incarnation.0, self.sequence)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
