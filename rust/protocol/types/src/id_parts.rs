//! A large table whose rows belong to nodes, as 256 parts by the first byte of the id: two tables that differ in a few
//! rows compare the hashes of their parts, and exchange the rows of few.
//!
//! Ids are hashes, so the parts of any cluster are about equally large.

use crate::NodeId;

/// Bytes of one part's hash: enough where both sides mean well, and the rows themselves are signed or compared again.
pub const PART_HASH_BYTES: usize = 8;
/// Parts that are as near as this are one run: what lies between is smaller than another message.
const GAP: u8 = 3;
const PARTS: usize = 256;

/// The hashes of all parts, one after the other, of rows sorted by their node; those of empty parts are zero.
pub fn part_hashes<T>(
    rows: &[T],
    node: impl Fn(&T) -> NodeId,
    hash: impl Fn(&[T]) -> [u8; PART_HASH_BYTES],
) -> Vec<u8> {
    let mut hashes = vec![0; PARTS * PART_HASH_BYTES];
    let part = |row: &T| node(row).as_bytes()[0];
    for rows in rows.chunk_by(|a, b| part(a) == part(b)) {
        let at = rows.first().map_or(0, |row| usize::from(part(row))) * PART_HASH_BYTES;
        hashes[at..at + PART_HASH_BYTES].copy_from_slice(&hash(rows));
    }
    hashes
}

/// Runs of parts in which the two differ (or few do not), first and last; `None` if one of them is no list of hashes.
pub fn differing_parts(ours: &[u8], theirs: &[u8]) -> Option<Vec<(u8, u8)>> {
    if ours.len() != PARTS * PART_HASH_BYTES || theirs.len() != ours.len() {
        return None;
    }
    let mut runs: Vec<(u8, u8)> = Vec::new();
    let pairs = ours.chunks_exact(PART_HASH_BYTES).zip(theirs.chunks_exact(PART_HASH_BYTES));
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
pub fn first_of_part(part: u8) -> NodeId {
    let mut id = [0; 16];
    id[0] = part;
    NodeId::from_bytes(id)
}

/// The last id of a part.
pub fn last_of_part(part: u8) -> NodeId {
    let mut id = [u8::MAX; 16];
    id[0] = part;
    NodeId::from_bytes(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_that_differ_are_one_run() {
        let ours = vec![0; PARTS * PART_HASH_BYTES];
        let mut theirs = ours.clone();
        for part in [0, 7, 10, 255] {
            theirs[part * PART_HASH_BYTES + 3] = 1;
        }
        assert_eq!(differing_parts(&ours, &theirs), Some(vec![(0, 0), (7, 10), (255, 255)]));
        assert_eq!(differing_parts(&ours, &theirs[1..]), None);
    }

    #[test]
    fn a_row_shows_in_the_hash_of_its_part_alone() {
        let rows = [first_of_part(3), last_of_part(3), first_of_part(9)];
        let hashes = part_hashes(&rows, |id| *id, |part| [u8::try_from(part.len()).unwrap_or(0); 8]);
        let nothing = part_hashes(&[], |id: &NodeId| *id, |_| [0; 8]);
        assert_eq!(differing_parts(&hashes, &nothing), Some(vec![(3, 3), (9, 9)]));
        assert_eq!((hashes[3 * 8], hashes[9 * 8]), (2, 1));
    }
}
