//! A large catalog as 256 parts, by the first byte of the owner: two that differ in a few owners exchange few rows.
//!
//! Ids are hashes, so the parts of any cluster are about equally large.

use mpreg_types::NodeId;

use crate::{DigestRow, Root};

/// Bytes of one part's root.
const ROOT_BYTES: usize = 8;
/// Parts that are as near as this are one run: what lies between is smaller than another message.
const GAP: u8 = 3;
/// Parts of a catalog.
const PARTS: usize = 256;

/// The roots of all parts of sorted rows, one after the other, cut short.
pub(crate) fn roots(rows: &[DigestRow]) -> Vec<u8> {
    let mut roots = vec![0; PARTS * ROOT_BYTES];
    for part in rows.chunk_by(|a, b| a.owner.as_bytes()[0] == b.owner.as_bytes()[0]) {
        let at = part.first().map_or(0, |row| usize::from(row.owner.as_bytes()[0])) * ROOT_BYTES;
        roots[at..at + ROOT_BYTES]
            .copy_from_slice(&Root::over(part.iter().copied()).as_bytes()[..ROOT_BYTES]);
    }
    roots
}

/// Runs of parts in which the two differ (or few do not), first and last; `None` if one of them is no list of roots.
pub(crate) fn differing(ours: &[u8], theirs: &[u8]) -> Option<Vec<(u8, u8)>> {
    if ours.len() != PARTS * ROOT_BYTES || theirs.len() != ours.len() {
        return None;
    }
    let mut runs: Vec<(u8, u8)> = Vec::new();
    let pairs = ours.chunks_exact(ROOT_BYTES).zip(theirs.chunks_exact(ROOT_BYTES));
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

/// The first id of a part.
pub(crate) fn start(part: u8) -> NodeId {
    let mut id = [0; 16];
    id[0] = part;
    NodeId::from_bytes(id)
}

/// The last id of a part.
pub(crate) fn end(part: u8) -> NodeId {
    let mut id = [u8::MAX; 16];
    id[0] = part;
    NodeId::from_bytes(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_that_differ_are_one_run() {
        let ours = vec![0; PARTS * ROOT_BYTES];
        let mut theirs = ours.clone();
        for part in [0, 7, 10, 255] {
            theirs[part * ROOT_BYTES + 3] = 1;
        }
        assert_eq!(differing(&ours, &theirs), Some(vec![(0, 0), (7, 10), (255, 255)]));
        assert_eq!(differing(&ours, &theirs[1..]), None);
    }
}
