//! Values of the mesh itself (settings, views, metadata) between Python and bytes.

use bytes::{Bytes, BytesMut};
use pyo3::prelude::*;

use crate::codec;

/// Largest value of the mesh's own.
const BYTES_MAX: usize = 64 << 20;

/// One value in one piece.
pub(crate) fn encode(value: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    let payload = codec::encode_value(value, BYTES_MAX, "value")?;
    if payload.tail.is_empty() {
        return Ok(payload.head);
    }
    let mut whole = BytesMut::with_capacity(payload.len());
    payload.segments().for_each(|segment| whole.extend_from_slice(segment));
    Ok(whole.freeze())
}

/// The value that `encode` or a serde encoder wrote.
pub(crate) fn decode(py: Python<'_>, encoded: Bytes) -> PyResult<Bound<'_, PyAny>> {
    codec::decode_value(py, encoded.into(), None, "value")
}
