use bytes::Bytes;
use mpreg_types::Signed;

use super::proof::Proof;
use super::transcript::DOMAIN;
use super::{PeerIdentity, Refusal, Secret};
use crate::verify::SignatureScheme;

/// One side of a handshake that knows what the peer says, and waits for its proof.
#[derive(Debug)]
pub struct AwaitingProof {
    peer: PeerIdentity,
    proof: Vec<u8>,
    /// What the peer must have signed.
    expected: Vec<u8>,
    /// The secret that the peer must prove, if one is demanded.
    secret: Option<Secret>,
}

impl AwaitingProof {
    pub(super) fn new(peer: PeerIdentity, proof: Vec<u8>, expected: Vec<u8>, secret: Option<Secret>) -> Self {
        Self { peer, proof, expected, secret }
    }

    /// Payload of the own [`FrameKind::Proof`](crate::FrameKind::Proof); send it at once.
    pub fn proof(&self) -> &[u8] {
        &self.proof
    }

    /// Who the peer says it is; nothing of it is proven yet.
    pub fn claims(&self) -> &PeerIdentity {
        &self.peer
    }

    /// The peer's proof.
    pub fn on_proof(self, payload: &[u8], scheme: &dyn SignatureScheme) -> Result<PeerIdentity, Refusal> {
        let proof = Proof::decode(payload)?;
        let body = Bytes::from(self.expected);
        if let Some(secret) = &self.secret {
            let said = proof.secret.as_deref().ok_or(Refusal::SecretMissing)?;
            let said = said.try_into().map_err(|_| Refusal::SecretWrong)?;
            if !secret.proves(&body, said) {
                return Err(Refusal::SecretWrong);
            }
        }
        let signed = Signed { key: self.peer.key, signature: proof.signature, body };
        scheme.verify_in(DOMAIN, &signed).map_err(|_| Refusal::BadSignature)?;
        Ok(PeerIdentity { delegation: proof.delegation, token: proof.token, ..self.peer })
    }
}
