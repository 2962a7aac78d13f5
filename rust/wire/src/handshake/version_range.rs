use std::fmt;

use serde::{Deserialize, Serialize};

/// Versions of the protocol that a side speaks, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRange {
    /// Oldest.
    pub lowest: u16,
    /// Newest.
    pub highest: u16,
}

impl VersionRange {
    /// What this program speaks.
    pub const OURS: Self = Self { lowest: 1, highest: 1 };

    /// Highest version that both speak.
    pub fn common(self, other: Self) -> Option<u16> {
        let highest = self.highest.min(other.highest);
        (highest >= self.lowest.max(other.lowest)).then_some(highest)
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.lowest, self.highest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_versions_meet_at_the_highest_common_one() {
        let range = |lowest, highest| VersionRange { lowest, highest };
        assert_eq!(range(1, 2).common(range(2, 3)), Some(2));
        assert_eq!(range(1, 3).common(range(1, 2)), Some(2));
        assert_eq!(range(1, 1).common(range(2, 3)), None);
        assert_eq!(range(3, 1).common(range(1, 3)), None, "an empty range has nothing in common");
    }
}
