//! Payloads of the control frames that are plain numbers.

use crate::{FrameError, FrameKind};

/// Payload of a [`FrameKind::Credit`] frame: bytes of credit returned, of the connection or of the header's stream.
pub fn encode_credit(bytes: u64) -> [u8; 8] {
    bytes.to_be_bytes()
}

/// Reads what [`encode_credit`] wrote.
pub fn decode_credit(payload: &[u8]) -> Result<u64, FrameError> {
    payload
        .try_into()
        .map(u64::from_be_bytes)
        .map_err(|_| FrameError::BadPayload { kind: FrameKind::Credit, bytes: payload.len() })
}

/// Appends the payload of a [`FrameKind::Started`] frame: tokens of the calls that began to execute, 8
/// bytes each. Tokens, because they mean something to the caller's table without a look-up by stream.
pub fn encode_started(tokens: impl IntoIterator<Item = u64>, out: &mut Vec<u8>) {
    for token in tokens {
        out.extend_from_slice(&token.to_be_bytes());
    }
}

/// Reads what [`encode_started`] wrote.
pub fn decode_started(payload: &[u8]) -> Result<Vec<u64>, FrameError> {
    let (tokens, rest) = payload.as_chunks::<8>();
    if rest.is_empty() {
        Ok(tokens.iter().map(|bytes| u64::from_be_bytes(*bytes)).collect())
    } else {
        Err(FrameError::BadPayload { kind: FrameKind::Started, bytes: payload.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_is_eight_bytes() {
        assert_eq!(decode_credit(&encode_credit(70_000)), Ok(70_000));
        let bad = FrameError::BadPayload { kind: FrameKind::Credit, bytes: 3 };
        assert_eq!(decode_credit(b"abc"), Err(bad));
    }

    #[test]
    fn started_names_any_number_of_calls() {
        let mut out = Vec::new();
        encode_started([1, u64::MAX], &mut out);
        assert_eq!(decode_started(&out).unwrap(), [1, u64::MAX]);
        let bad = FrameError::BadPayload { kind: FrameKind::Started, bytes: 15 };
        assert_eq!(decode_started(&out[..15]), Err(bad));
    }
}
