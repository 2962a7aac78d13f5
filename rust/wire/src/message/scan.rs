use rmp::Marker;

use crate::DecodeError;
use crate::message::NESTING_MAX;

const FIELD: &str = "a message";

/// What follows a marker: bytes of its own, and values inside it.
struct Shape {
    skip: usize,
    values: usize,
}

/// Length of the first value in `bytes`, with all that is inside it.
///
/// Walks without recursion and reserves nothing. An answer means that every length and count inside is true: there are
/// that many bytes and values, nested no deeper than `nesting`.
pub(crate) fn first_value_bytes(bytes: &[u8], nesting: usize) -> Result<usize, DecodeError> {
    let mut open = [0_usize; NESTING_MAX];
    let max = nesting.min(NESTING_MAX);
    let (mut depth, mut at) = (0, 0);
    loop {
        let Shape { skip, values } = shape(bytes, &mut at)?;
        if skip > bytes.len() - at {
            return Err(DecodeError::Truncated { field: FIELD });
        }
        at += skip;
        if values > 0 {
            if depth == max {
                return Err(DecodeError::TooDeep { max });
            }
            open[depth] = values;
            depth += 1;
            continue;
        }
        while depth > 0 {
            open[depth - 1] -= 1;
            if open[depth - 1] > 0 {
                break;
            }
            depth -= 1;
        }
        if depth == 0 {
            return Ok(at);
        }
    }
}

/// Reads a marker and the length or count that belongs to it.
fn shape(bytes: &[u8], at: &mut usize) -> Result<Shape, DecodeError> {
    let marker = *bytes.get(*at).ok_or(DecodeError::Truncated { field: FIELD })?;
    *at += 1;
    let mut read = |width: usize| -> Result<usize, DecodeError> {
        let end = *at + width;
        let field = bytes.get(*at..end).ok_or(DecodeError::Truncated { field: FIELD })?;
        *at = end;
        Ok(field.iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte)))
    };
    let leaf = |skip| Shape { skip, values: 0 };
    Ok(match Marker::from_u8(marker) {
        Marker::FixPos(_) | Marker::FixNeg(_) | Marker::Null | Marker::False | Marker::True => leaf(0),
        Marker::U8 | Marker::I8 => leaf(1),
        Marker::U16 | Marker::I16 | Marker::FixExt1 => leaf(2),
        Marker::U32 | Marker::I32 | Marker::F32 => leaf(4),
        Marker::U64 | Marker::I64 | Marker::F64 => leaf(8),
        Marker::FixStr(len) => leaf(len.into()),
        Marker::Str8 | Marker::Bin8 => leaf(read(1)?),
        Marker::Str16 | Marker::Bin16 => leaf(read(2)?),
        Marker::Str32 | Marker::Bin32 => leaf(read(4)?),
        // Extensions have one byte more: their type.
        Marker::FixExt2 => leaf(3),
        Marker::FixExt4 => leaf(5),
        Marker::FixExt8 => leaf(9),
        Marker::FixExt16 => leaf(17),
        Marker::Ext8 => leaf(read(1)? + 1),
        Marker::Ext16 => leaf(read(2)? + 1),
        Marker::Ext32 => leaf(read(4)? + 1),
        Marker::FixArray(count) => Shape { skip: 0, values: count.into() },
        Marker::Array16 => Shape { skip: 0, values: read(2)? },
        Marker::Array32 => Shape { skip: 0, values: read(4)? },
        Marker::FixMap(count) => Shape { skip: 0, values: 2 * usize::from(count) },
        Marker::Map16 => Shape { skip: 0, values: read(2)?.saturating_mul(2) },
        Marker::Map32 => Shape { skip: 0, values: read(4)?.saturating_mul(2) },
        Marker::Reserved => return Err(DecodeError::WrongType { field: FIELD, marker }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(bytes: &[u8]) -> Result<usize, DecodeError> {
        first_value_bytes(bytes, NESTING_MAX)
    }

    #[test]
    fn the_first_value_ends_where_its_last_part_ends() {
        assert_eq!(scan(&[0x07, 0x07]), Ok(1));
        // [[], {1: "ab"}, nil] and something after it
        assert_eq!(scan(&[0x93, 0x90, 0x81, 0x01, 0xa2, b'a', b'b', 0xc0, 0xff]), Ok(8));
        assert_eq!(scan(&[0xd8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]), Ok(18));
    }

    #[test]
    fn counts_and_lengths_beyond_the_end_are_refused() {
        for lie in [
            &[][..],
            &[0xa3, b'a'],
            &[0xc6, 0xff, 0xff, 0xff, 0xff],
            &[0xdd, 0xff, 0xff, 0xff, 0xff, 0, 0],
            &[0xdf, 0xff, 0xff, 0xff, 0xff, 0, 0],
            &[0xcf, 0, 0, 0],
            &[0xdc, 0],
            // Each count alone would do; together they promise more than there is.
            &[0x92, 0x94, 0, 0, 0, 0],
        ] {
            assert_eq!(scan(lie), Err(DecodeError::Truncated { field: FIELD }), "{lie:02x?}");
        }
    }

    #[test]
    fn nesting_is_counted_not_recursed() {
        let nested = |levels: usize| [vec![0x91; levels], vec![0xc0]].concat();
        assert_eq!(scan(&nested(NESTING_MAX)), Ok(NESTING_MAX + 1));
        assert_eq!(scan(&nested(NESTING_MAX + 1)), Err(DecodeError::TooDeep { max: NESTING_MAX }));
        assert_eq!(scan(&nested(1_000_000)), Err(DecodeError::TooDeep { max: NESTING_MAX }));
        assert_eq!(first_value_bytes(&nested(3), 2), Err(DecodeError::TooDeep { max: 2 }));
    }

    #[test]
    fn the_byte_that_means_nothing_is_refused() {
        assert_eq!(scan(&[0x91, 0xc1]), Err(DecodeError::WrongType { field: FIELD, marker: 0xc1 }));
    }
}
