use super::Refusal;
use crate::{Frame, FrameKind};

/// How a handshake failed; tells who refused whom.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// This side refuses; the reason goes to the peer in a [`FrameKind::Refuse`] frame.
    #[error("refused the peer: {0}")]
    Refused(#[from] Refusal),
    /// The peer refuses; nothing more is sent.
    #[error("refused by the peer: {0}")]
    RefusedByPeer(Refusal),
}

/// The payload of `frame` if it is the `expected` next one of a handshake; the refusal if the peer sent that.
pub fn handshake_payload(frame: &Frame, expected: FrameKind) -> Result<&[u8], HandshakeError> {
    match frame.header.kind {
        kind if kind == expected => Ok(frame.payload()),
        FrameKind::Refuse => Err(match Refusal::decode(frame.payload()) {
            Ok(refusal) => HandshakeError::RefusedByPeer(refusal),
            Err(error) => HandshakeError::Refused(Refusal::malformed(&error)),
        }),
        kind => Err(HandshakeError::Refused(Refusal::unexpected(expected, kind))),
    }
}
