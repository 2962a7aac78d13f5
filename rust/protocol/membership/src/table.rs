//! The membership table: one entry per other node, foca's knowledge plus what foca has no word for.
//!
//! Invariant: an entry mirrors foca's record of that node (id, refutation, state) after every call; only `Left`, the
//! signed leave, addresses and times are the table's own.

use std::collections::BTreeMap;

use mpreg_types::{MemberState, NodeId, Signed, Time};
use sha2::{Digest, Sha256};

use crate::swim_id::SwimId;
use crate::{Member, Row, RowState};

/// Everything known about one other node.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The public part.
    pub(crate) member: Member,
    /// See [`Row::generation`]; [`SwimId::LEFT`] exactly if the state is `Left`.
    pub(crate) generation: u32,
    /// See [`Row::refutation`].
    pub(crate) refutation: u16,
    /// When something came from it last.
    pub(crate) heard: Time,
    /// When it was asked to refute last; `Time::ZERO`: not in this life.
    pub(crate) asked: Time,
    /// When it was told that it is held for Down.
    pub(crate) told: Option<Time>,
    /// Who brought the accusation it stands under, if it was not ourselves.
    pub(crate) accuser: Option<NodeId>,
    /// The leave it signed.
    pub(crate) leave: Option<Signed>,
}

impl Entry {
    /// A node seen for the first time.
    pub(crate) fn new(member: Member, generation: u32, refutation: u16) -> Self {
        let heard = Time::ZERO;
        let (told, accuser, leave) = (None, None, None);
        Self { member, generation, refutation, heard, asked: Time::ZERO, told, accuser, leave }
    }

    /// As foca knows it.
    pub(crate) fn id(&self) -> SwimId {
        let identity = &self.member.identity;
        SwimId { node: identity.node, incarnation: identity.incarnation, generation: self.generation }
    }

    /// As it travels.
    pub(crate) fn row(&self) -> Row {
        let identity = &self.member.identity;
        let state = match self.member.state {
            MemberState::Alive => RowState::Alive,
            MemberState::Suspect => RowState::Suspect,
            MemberState::Down => RowState::Down,
            MemberState::Left => RowState::Left,
        };
        Row {
            node: identity.node,
            incarnation: identity.incarnation,
            generation: self.generation,
            refutation: self.refutation,
            state,
            addresses: identity.addresses.clone(),
        }
    }

    /// Alive or Suspect.
    pub(crate) fn is_living(&self) -> bool {
        matches!(self.member.state, MemberState::Alive | MemberState::Suspect)
    }
}

/// All other nodes.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) entries: BTreeMap<NodeId, Entry>,
}

impl Table {
    pub(crate) fn get(&self, node: NodeId) -> Option<&Entry> {
        self.entries.get(&node)
    }

    pub(crate) fn get_mut(&mut self, node: NodeId) -> Option<&mut Entry> {
        self.entries.get_mut(&node)
    }

    /// State of `node`, if it is known.
    pub(crate) fn state(&self, node: NodeId) -> Option<MemberState> {
        self.get(node).map(|entry| entry.member.state)
    }

    /// Alive and Suspect members.
    pub(crate) fn living(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().filter(|entry| entry.is_living())
    }

    /// All rows, this node's own among them, sorted by node.
    pub(crate) fn rows(&self, own: &Row) -> Vec<Row> {
        let mut rows: Vec<Row> = self.entries.values().map(Entry::row).collect();
        let place = rows.partition_point(|row| row.node < own.node);
        rows.insert(place, own.clone());
        rows
    }

    /// What two nodes compare. Only living rows: who forgot a dead member and who still remembers it agree, so nobody
    /// is taught again what it was right to forget.
    pub(crate) fn hash(&self, own: &Row) -> [u8; 16] {
        let mut sha = Sha256::new();
        for row in self.rows(own).iter().filter(|row| row.state <= RowState::Suspect) {
            hash_row(row, &mut sha);
        }
        let mut hash = [0; 16];
        hash.copy_from_slice(&sha.finalize()[..16]);
        hash
    }
}

/// What two nodes compare of one row.
pub(crate) fn hash_row(row: &Row, sha: &mut Sha256) {
    sha.update(row.node.as_bytes());
    sha.update(row.incarnation.0.to_be_bytes());
    sha.update(row.generation.to_be_bytes());
    sha.update(row.refutation.to_be_bytes());
    sha.update([u8::from(row.state == RowState::Suspect)]);
}
