//! One line of the membership table as it travels: rumours and repair speak in rows.

use mpreg_types::{Incarnation, NodeId};
use serde::{Deserialize, Serialize};

use crate::Addresses;

/// State of a member in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowState {
    /// It answers.
    Alive,
    /// It did not answer and may refute.
    Suspect,
    /// It is held for dead.
    Down,
    /// It said goodbye. Only a hint that a signed leave can be asked for; never believed by itself.
    Left,
}

/// What one node believes about one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The member.
    pub node: NodeId,
    /// Its start.
    pub incarnation: Incarnation,
    /// How often it came back from being held for Down in this incarnation; only the member raises it.
    pub generation: u32,
    /// How often it refuted a suspicion in this generation; only the member raises it.
    pub refutation: u16,
    /// What is believed.
    pub state: RowState,
    /// Where it listens.
    pub addresses: Addresses,
}

impl Row {
    /// SWIM's order of precedence, most significant first: a row replaces another of the same node if it is greater.
    pub fn precedence(&self) -> impl Ord + use<> {
        let down = self.state >= RowState::Down;
        (self.incarnation, self.generation, down, self.refutation, self.state)
    }

    /// Bytes it takes in a message, roughly and not too little.
    pub(crate) fn weight(&self) -> usize {
        64 + self.addresses.weight()
    }
}
