use std::fmt;

use mpreg_types::{Incarnation, NodeId};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// SHA-256 over the sorted digest rows: equal roots mean equal catalogs.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root(#[serde(with = "serde_bytes")] [u8; 32]);

impl Root {
    /// Over `rows`, which are sorted by owner.
    pub(crate) fn over(rows: impl IntoIterator<Item = DigestRow>) -> Self {
        let mut hash = sha2::Sha256::new();
        for row in rows {
            hash.update(row.owner.as_bytes());
            for number in [row.incarnation.0, row.version, row.snapshot] {
                hash.update(number.to_be_bytes());
            }
        }
        Self(hash.finalize().into())
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root({:02x}{:02x}{:02x}..)", self.0[0], self.0[1], self.0[2])
    }
}

/// How far a node is with one owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestRow {
    /// Whose log.
    pub owner: NodeId,
    /// Of which start.
    pub incarnation: Incarnation,
    /// Up to which version.
    pub version: u64,
    /// Version of the snapshot it stores, 0 for none.
    pub snapshot: u64,
}

impl DigestRow {
    /// True if this row has something that `held` lacks.
    pub(crate) fn is_ahead_of(&self, held: Option<&Self>) -> bool {
        held.is_none_or(|held| {
            self.incarnation > held.incarnation
                || (self.incarnation == held.incarnation
                    && (self.version > held.version || self.snapshot > held.snapshot))
        })
    }
}

/// Rows of every owner between `first` and `last` that is alive at the sender. What is not listed is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// The rows begin here.
    pub first: NodeId,
    /// They end here, this one included.
    pub last: NodeId,
    /// At most 1,024, sorted by owner.
    pub rows: Vec<DigestRow>,
    /// True: these are the rows in which the sender is ahead of a digest it got; no answer is due.
    pub answer: bool,
}

impl Digest {
    /// Most rows of one message.
    pub const ROWS_MAX: usize = 1024;
}

/// One owner of whom the sender lacks something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantRow {
    /// What the sender has; a start it holds nothing of is asked for with version 0.
    pub held: DigestRow,
    /// Version of the snapshot whose parts the sender is gathering, 0 for none.
    pub gathering: u64,
    /// The first part of it that is missing.
    pub part: u16,
}

impl WantRow {
    /// Most rows of one message.
    pub const ROWS_MAX: usize = 256;
}
