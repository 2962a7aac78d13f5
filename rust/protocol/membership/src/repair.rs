//! Anti-entropy: two peers compare their tables by hash and, if they differ, both end up with the better rows.
//!
//! `Compare` is answered only when it differs, with the whole table in messages that each cover a range of nodes. The
//! receiver learns, answers with what the sender lacks in that range, and asks for the signed leaves it lacks itself.

use std::collections::BTreeMap;

use mpreg_types::{MemberState, NodeId, differing_parts};
use rand::RngExt;

use crate::membership::Membership;
use crate::parts;
use crate::rumours::Origin;
use crate::schedule::Task;
use crate::{Message, Output, Row, RowState};

/// Rows of a table are cut into messages of about this many bytes, well below the largest frame.
const TABLE_BYTES: usize = 60_000;
/// Up to this many rows a table that differs is sent whole; beyond, its parts are compared first.
const WHOLE_ROWS: usize = 512;
/// Most leaves sent for one question; who lacks more asks again.
const LEAVES_MAX: usize = 256;

impl Membership {
    /// The next comparison with a random peer, a fifth earlier or later.
    pub(crate) fn plan_repair(&mut self) {
        let wait = self.config.repair_period * self.rng.random_range(800..=1200) / 1000;
        self.schedule.add(self.now + wait, Task::Repair);
    }

    /// Compares tables with one random peer.
    pub(crate) fn compare_with_one(&mut self, out: &mut Vec<Output>) {
        let state = |node: &NodeId| self.table.state(*node);
        let peers: Vec<NodeId> =
            self.peers.iter().copied().filter(|node| state(node) != Some(MemberState::Left)).collect();
        if !peers.is_empty() {
            let peer = peers[self.rng.random_range(0..peers.len())];
            self.send_compare(peer, out);
        }
    }

    pub(crate) fn send_compare(&self, peer: NodeId, out: &mut Vec<Output>) {
        let hash = self.table.hash(&self.own_row());
        out.push(Output::Send { to: peer, message: Message::Compare { hash } });
    }

    /// A peer's hash: silence if it is ours, our table if not.
    pub(crate) fn compare(&self, from: NodeId, hash: [u8; 16], out: &mut Vec<Output>) {
        let own = self.own_row();
        if hash == self.table.hash(&own) {
            return;
        }
        let rows = self.table.rows(&own);
        if rows.len() <= WHOLE_ROWS {
            let messages = tables(rows, None, None).into_iter();
            out.extend(messages.map(|message| Output::Send { to: from, message }));
        } else {
            let message = Message::Parts(parts::hashes(&rows));
            out.push(Output::Send { to: from, message });
        }
    }

    /// Hashes of a peer's parts: our rows of those that differ.
    pub(crate) fn parts(&mut self, from: NodeId, theirs: &[u8], out: &mut Vec<Output>) {
        let rows = self.table.rows(&self.own_row());
        let Some(ranges) = differing_parts(&parts::hashes(&rows), theirs) else {
            self.counters.malformed += 1;
            return;
        };
        for (first, last) in ranges {
            let (after, until) = (parts::before(first), parts::end(last));
            let part = rows.iter().filter(|row| (first..=last).contains(&row.node.as_bytes()[0]));
            let messages = tables(part.cloned().collect(), after, until).into_iter();
            out.extend(messages.map(|message| Output::Send { to: from, message }));
        }
    }

    /// A part of a peer's table: learns from it and answers with what the peer lacks.
    pub(crate) fn table_from(
        &mut self,
        from: NodeId,
        after: Option<NodeId>,
        until: Option<NodeId>,
        rows: Vec<Row>,
        out: &mut Vec<Output>,
    ) {
        let theirs: BTreeMap<NodeId, Row> = rows.iter().map(|row| (row.node, row.clone())).collect();
        self.learn(rows, Origin::Table(from), out);
        let covered =
            |node: NodeId| after.is_none_or(|after| node > after) && until.is_none_or(|until| node <= until);
        let (mut better, mut leaves, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
        for row in self.table.rows(&self.own_row()).into_iter().filter(|row| covered(row.node)) {
            match theirs.get(&row.node) {
                // What is dead here and unknown there needs no telling.
                None if row.state >= RowState::Down => {}
                None => better.push(row),
                Some(other) if row.state == RowState::Left => {
                    if other.state != RowState::Left && other.incarnation <= row.incarnation {
                        leaves.push(row.node);
                    }
                }
                Some(other) if other.state == RowState::Left => {
                    if other.incarnation >= row.incarnation {
                        wanted.push(row.node);
                    } else {
                        better.push(row);
                    }
                }
                Some(other) if row.precedence() > other.precedence() => better.push(row),
                Some(_) => {}
            }
        }
        if !better.is_empty() {
            self.post(from, Message::News(better), out);
        }
        if !wanted.is_empty() {
            self.post(from, Message::WantLeaves(wanted), out);
        }
        self.send_leaves(from, leaves, out);
    }

    /// Sends the signed leaves of `nodes`, as far as they are known.
    pub(crate) fn send_leaves(&mut self, to: NodeId, nodes: Vec<NodeId>, out: &mut Vec<Output>) {
        for node in nodes.into_iter().take(LEAVES_MAX) {
            if let Some(leave) = self.table.get(node).and_then(|entry| entry.leave.clone()) {
                self.post(to, Message::Leave(leave), out);
            }
        }
    }
}

/// Cuts sorted rows into messages; together they cover every node there could be in `after < node <= until`.
fn tables(rows: Vec<Row>, mut after: Option<NodeId>, end: Option<NodeId>) -> Vec<Message> {
    let mut messages = Vec::new();
    let (mut part, mut bytes) = (Vec::new(), 0);
    for row in rows {
        if bytes + row.weight() > TABLE_BYTES
            && let Some(until) = part.last().map(|row: &Row| row.node)
        {
            let rows = std::mem::take(&mut part);
            messages.push(Message::Table { after, until: Some(until), rows });
            (bytes, after) = (0, Some(until));
        }
        bytes += row.weight();
        part.push(row);
    }
    messages.push(Message::Table { after, until: end, rows: part });
    messages
}

#[cfg(test)]
mod tests {
    use mpreg_types::Incarnation;

    use super::*;
    use crate::Addresses;

    #[test]
    fn a_large_table_is_cut_into_ranges_that_cover_everything() {
        let row = |index: u16| {
            let mut id = [0; 16];
            id[..2].copy_from_slice(&index.to_be_bytes());
            Row {
                node: NodeId::from_bytes(id),
                incarnation: Incarnation(1),
                generation: 0,
                refutation: 0,
                state: RowState::Alive,
                addresses: Addresses::new(vec!["10.0.0.1:40000".to_owned()]).unwrap(),
            }
        };
        let messages = tables((0..3000).map(row).collect(), None, None);
        assert!(messages.len() > 2);
        let (mut expected_after, mut count) = (None, 0);
        for message in &messages {
            let Message::Table { after, until, rows } = message else { panic!("{message:?}") };
            assert_eq!(*after, expected_after);
            assert!(rows.iter().map(Row::weight).sum::<usize>() <= TABLE_BYTES);
            assert!(until.is_none_or(|until| rows.last().map(|row| row.node) == Some(until)));
            expected_after = *until;
            count += rows.len();
        }
        assert_eq!((expected_after, count), (None, 3000));
    }
}
