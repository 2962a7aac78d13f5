//! A large table as 256 parts, by the first byte of the node: two that differ in a few rows exchange a few parts.
//!
//! Ids are hashes, so the parts of any cluster are about equally large.

use mpreg_types::NodeId;
use sha2::{Digest, Sha256};

use crate::table::hash_row;
use crate::{Row, RowState};

/// Bytes of one part's hash.
const HASH_BYTES: usize = 8;
/// Parts that are as near as this are one run: what lies between is smaller than another message.
const GAP: u8 = 3;
/// Parts of a table.
const PARTS: usize = 256;

/// The hashes of all parts, one after the other; of living rows only, as the whole table's.
pub(crate) fn hashes(rows: &[Row]) -> Vec<u8> {
    let mut hashes = vec![0; PARTS * HASH_BYTES];
    let living: Vec<&Row> = rows.iter().filter(|row| row.state <= RowState::Suspect).collect();
    for part in living.chunk_by(|a, b| a.node.as_bytes()[0] == b.node.as_bytes()[0]) {
        let mut sha = Sha256::new();
        for row in part {
            hash_row(row, &mut sha);
        }
        let at = part.first().map_or(0, |row| usize::from(row.node.as_bytes()[0])) * HASH_BYTES;
        hashes[at..at + HASH_BYTES].copy_from_slice(&sha.finalize()[..HASH_BYTES]);
    }
    hashes
}

/// Runs of parts in which the two differ (or few do not), first and last; `None` if one of them is no list of hashes.
pub(crate) fn differing(ours: &[u8], theirs: &[u8]) -> Option<Vec<(u8, u8)>> {
    if ours.len() != PARTS * HASH_BYTES || theirs.len() != ours.len() {
        return None;
    }
    let mut runs: Vec<(u8, u8)> = Vec::new();
    let pairs = ours.chunks_exact(HASH_BYTES).zip(theirs.chunks_exact(HASH_BYTES));
    for (part, (ours, theirs)) in (0..=u8::MAX).zip(pairs) {
        if ours == theirs {
            continue;
        }
        match runs.last_mut() {
            Some((_, last)) if part - *last <= GAP => *last = part,
            _ => runs.push((part, part)),
        }
    }
    Some(runs)
}

/// The last id before a part; `None` before the first.
pub(crate) fn before(part: u8) -> Option<NodeId> {
    part.checked_sub(1).and_then(end)
}

/// The last id of a part; `None` of the last part: it has no end.
pub(crate) fn end(part: u8) -> Option<NodeId> {
    let mut id = [u8::MAX; 16];
    id[0] = part;
    (part < u8::MAX).then(|| NodeId::from_bytes(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_that_differ_are_one_run_and_ranges_meet() {
        let ours = vec![0; PARTS * HASH_BYTES];
        let mut theirs = ours.clone();
        for part in [0, 7, 10, 255] {
            theirs[part * HASH_BYTES + 3] = 1;
        }
        assert_eq!(differing(&ours, &theirs), Some(vec![(0, 0), (7, 10), (255, 255)]));
        assert_eq!(differing(&ours, &theirs[1..]), None);
        assert_eq!((before(0), end(255)), (None, None));
        assert_eq!(before(8), end(7));
    }
}
