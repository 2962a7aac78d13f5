use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use mpreg_types::{NodeKey, Signature, Signer};

use super::{SignatureScheme, sealed};

/// Checks real signatures.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ed25519;

impl sealed::Scheme for Ed25519 {
    fn holds(&self, key: &NodeKey, message: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature.as_bytes());
        VerifyingKey::from_bytes(key.as_bytes())
            .is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
    }
}

impl SignatureScheme for Ed25519 {}

/// Signs with a node's secret key; erased from memory when dropped.
pub struct Ed25519Signer(SigningKey);

impl Ed25519Signer {
    /// From 32 secret bytes of the operating system's, or of `node.key`.
    pub fn new(secret: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&secret))
    }
}

impl Signer for Ed25519Signer {
    fn key(&self) -> NodeKey {
        NodeKey::from_bytes(self.0.verifying_key().to_bytes())
    }

    fn sign(&self, message: &[u8]) -> Signature {
        Signature::from_bytes(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for Ed25519Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ed25519Signer({:?})", self.key())
    }
}
