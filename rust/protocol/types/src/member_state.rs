use serde::{Deserialize, Serialize};

/// A node as membership sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    /// Answers.
    Alive,
    /// Did not answer and has not refuted yet; chosen only if no `Alive` candidate is left.
    Suspect,
    /// Held for dead; its entries are hidden and return with it.
    Down,
    /// Said goodbye; forgotten after ten minutes.
    Left,
}
