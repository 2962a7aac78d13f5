//! The parts of a large table, by node.

use mpreg_types::{NodeId, PART_HASH_BYTES, last_of_part, part_hashes};
use sha2::{Digest, Sha256};

use crate::table::hash_row;
use crate::{Row, RowState};

/// The hashes of all parts, one after the other; of living rows only, as the whole table's.
pub(crate) fn hashes(rows: &[Row]) -> Vec<u8> {
    let living: Vec<&Row> = rows.iter().filter(|row| row.state <= RowState::Suspect).collect();
    part_hashes(
        &living,
        |row| row.node,
        |part| {
            let mut sha = Sha256::new();
            for row in part {
                hash_row(row, &mut sha);
            }
            let mut short = [0; PART_HASH_BYTES];
            short.copy_from_slice(&sha.finalize()[..PART_HASH_BYTES]);
            short
        },
    )
}

/// The last id before a part; `None` before the first.
pub(crate) fn before(part: u8) -> Option<NodeId> {
    part.checked_sub(1).map(last_of_part)
}

/// The last id of a part; `None` of the last part: it has no end.
pub(crate) fn end(part: u8) -> Option<NodeId> {
    (part < u8::MAX).then(|| last_of_part(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_parts_meet() {
        assert_eq!((before(0), end(255)), (None, None));
        assert_eq!(before(8), end(7));
    }
}
