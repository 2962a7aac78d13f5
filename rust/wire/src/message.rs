//! Messages of the machines and of the handshake: structs by name, so that a reader skips the fields it does not know
//! and fills in those it misses.
//!
//! Serde and `rmp-serde` follow what the bytes declare, by recursion. So the bytes are walked before, with a counter
//! instead of recursion: what passes is one whole value, no deeper than [`NESTING_MAX`], and says of no string or
//! container that it holds more than there are bytes left.

mod scan;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::DecodeError;
pub(crate) use scan::first_value_bytes;

/// Deepest nesting of containers that is read.
pub const NESTING_MAX: usize = 256;

/// Longest part of a serde error that is kept; it may quote what the peer sent.
const WHY_CHARS_MAX: usize = 200;

/// `message` as a map by field names.
pub fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    match rmp_serde::to_vec_named(message) {
        Ok(bytes) => bytes,
        // Not an input: our own derived types, written to memory.
        Err(error) => unreachable!("a message of this program cannot be written: {error}"),
    }
}

/// Reads what [`encode`] wrote, or a newer version of it.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    decode_flat(bytes, NESTING_MAX)
}

/// [`decode`] with a lower limit on nesting.
pub(crate) fn decode_flat<T: DeserializeOwned>(bytes: &[u8], nesting: usize) -> Result<T, DecodeError> {
    let len = first_value_bytes(bytes, nesting)?;
    if len < bytes.len() {
        return Err(DecodeError::Trailing { bytes: bytes.len() - len });
    }
    rmp_serde::from_slice(bytes).map_err(|error| {
        let why = mpreg_types::escape_control(&error.to_string());
        DecodeError::Shape { why: why.chars().take(WHY_CHARS_MAX).collect() }
    })
}
