use serde::{Deserialize, Serialize};

/// What is known of whether a failed call's function ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Executed {
    /// Provably not started: safe to try elsewhere.
    No,
    /// A result came, or the callee reported the start.
    Yes,
    /// The last party that knew is gone.
    Unknown,
}

impl Executed {
    /// "no", "yes" or "unknown".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Yes => "yes",
            Self::Unknown => "unknown",
        }
    }
}
