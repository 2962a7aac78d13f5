use serde::{Deserialize, Serialize};

use crate::ForeignText;

/// What happened in a graph whose caller watches it: an item of the answer to [`Builtin::Events`](crate::Builtin::Events).
///
/// That a step made the graph fail, and how the graph ended, is in the reply that ends the stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GraphEvent {
    /// A step was sent to the node that is to run it: again, if that one did not run it, or its result was lost.
    Started {
        /// Which, as in the graph.
        step: u32,
        /// Who: `cluster/name/instance`.
        node: ForeignText,
    },
    /// A step has returned. Its value follows, if it was asked for as a whole and is small.
    Finished {
        /// Which.
        step: u32,
        /// Who ran it.
        node: ForeignText,
        /// Microseconds from when it was sent.
        us: u64,
    },
}

impl GraphEvent {
    /// Which step it is about.
    pub fn step(&self) -> u32 {
        match self {
            Self::Started { step, .. } | Self::Finished { step, .. } => *step,
        }
    }
}
