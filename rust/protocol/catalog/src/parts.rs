//! The parts of a large catalog, by owner.

use mpreg_types::{PART_HASH_BYTES, part_hashes};

use crate::{DigestRow, Root};

/// The roots of all parts of sorted rows, one after the other, cut short.
pub(crate) fn roots(rows: &[DigestRow]) -> Vec<u8> {
    part_hashes(
        rows,
        |row| row.owner,
        |part| {
            let mut short = [0; PART_HASH_BYTES];
            short.copy_from_slice(&Root::over(part.iter().copied()).as_bytes()[..PART_HASH_BYTES]);
            short
        },
    )
}
