use serde::{Deserialize, Serialize};

use crate::NameError;

/// How many cluster borders a call may cross, 0 to 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct HopBudget(u8);

impl HopBudget {
    /// Own cluster only.
    pub const NONE: Self = Self(0);
    /// Direct neighbours: what a node allows unless told otherwise.
    pub const NEIGHBOURS: Self = Self(1);
    /// The longest path there is.
    pub const MAX: Self = Self(16);

    /// Checks the range.
    pub fn new(hops: u8) -> Result<Self, NameError> {
        if hops <= Self::MAX.0 {
            Ok(Self(hops))
        } else {
            Err(NameError::new("hop budget", &hops.to_string(), "it takes 0 to 16 cluster borders"))
        }
    }

    /// Borders left.
    pub fn left(self) -> u8 {
        self.0
    }

    /// After one border; `None` when it is spent.
    #[must_use]
    pub fn spend(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }
}

impl TryFrom<u8> for HopBudget {
    type Error = NameError;
    fn try_from(hops: u8) -> Result<Self, Self::Error> {
        Self::new(hops)
    }
}

impl From<HopBudget> for u8 {
    fn from(budget: HopBudget) -> Self {
        budget.0
    }
}
