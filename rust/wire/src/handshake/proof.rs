use bytes::Bytes;
use mpreg_types::Signature;
use serde::{Deserialize, Serialize};

use super::{LocalHello, Refusal};
use crate::Limits;
use crate::message::{self, decode_flat};

/// A map and nothing in it that nests.
const NESTING: usize = 1;

/// The proof on the wire.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Proof {
    /// Over the transcript, with the node key.
    pub(super) signature: Signature,
    /// HMAC over the transcript, by who has a shared secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<Bytes>,
    /// The certificate's delegation to the node key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) delegation: Option<Bytes>,
    /// A client's token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<Bytes>,
}

impl Proof {
    /// The proof of `local` over `message`, as bytes.
    pub(super) fn encode(local: &LocalHello, message: &[u8]) -> Vec<u8> {
        message::encode(&Self {
            signature: local.signer.sign(message),
            secret: local.secret.secret().map(|secret| Bytes::copy_from_slice(&secret.prove(message))),
            delegation: local.delegation.clone(),
            token: local.token.clone(),
        })
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        let max = u64::from(Limits::HANDSHAKE_BYTES_MAX);
        if bytes.len() as u64 > max {
            return Err(Refusal::TooLarge { bytes: bytes.len() as u64, max });
        }
        decode_flat(bytes, NESTING).map_err(|error| Refusal::malformed(&error))
    }
}
