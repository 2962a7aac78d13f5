use std::fmt;

use serde::{Deserialize, Serialize};

use crate::NameError;

/// Why a node leaves; part of the signed leave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaveReason {
    /// The process ends in order.
    #[default]
    GracefulShutdown,
    /// It will be back after maintenance.
    Maintenance,
    /// Its work moves elsewhere.
    ClusterRebalance,
    /// An operator took it out.
    ManualRemoval,
}

impl LeaveReason {
    /// Every reason there is.
    pub const ALL: [Self; 4] =
        [Self::GracefulShutdown, Self::Maintenance, Self::ClusterRebalance, Self::ManualRemoval];

    /// Parses the name of a reason.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        const RULE: &str = "it is one of graceful_shutdown, maintenance, cluster_rebalance, manual_removal";
        Self::ALL
            .into_iter()
            .find(|reason| reason.as_str() == text)
            .ok_or_else(|| NameError::new("leave reason", text, RULE))
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GracefulShutdown => "graceful_shutdown",
            Self::Maintenance => "maintenance",
            Self::ClusterRebalance => "cluster_rebalance",
            Self::ManualRemoval => "manual_removal",
        }
    }
}

impl fmt::Display for LeaveReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
