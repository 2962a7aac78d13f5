use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{NodeId, NodeKey, Signature, Signer};

/// Bytes with the signature of the node that made them. Relayed and stored byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// Public key of the signer; its [`NodeId`] is the hash.
    pub key: NodeKey,
    /// Over `body`, which begins with a domain tag.
    pub signature: Signature,
    /// What was signed.
    pub body: Bytes,
}

impl Signed {
    /// Signs `body`.
    pub fn new(signer: &dyn Signer, body: Bytes) -> Self {
        Self { key: signer.key(), signature: signer.sign(&body), body }
    }

    /// Who signed, if the signature holds.
    pub fn signer(&self) -> NodeId {
        NodeId::of(&self.key)
    }
}
