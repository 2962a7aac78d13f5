use std::fmt;

use serde::{Deserialize, Serialize};

/// One start of a process. Rises with every start of the same key: the later one is the living one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub u64);

impl Incarnation {
    /// The incarnation to start with: `max(unix ms, last persisted + 1, highest a peer has seen + 1)`.
    #[must_use]
    pub fn next(unix_ms: u64, persisted: Option<Self>, seen: Option<Self>) -> Self {
        let above = |past: Option<Self>| past.map_or(0, |p| p.0.saturating_add(1));
        Self(unix_ms.max(above(persisted)).max(above(seen)))
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "i{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_set_back_does_not_lower_it() {
        assert_eq!(Incarnation::next(5, Some(Incarnation(9)), None), Incarnation(10));
        assert_eq!(Incarnation::next(5, None, Some(Incarnation(20))), Incarnation(21));
        assert_eq!(Incarnation::next(50, Some(Incarnation(9)), Some(Incarnation(20))), Incarnation(50));
    }
}
