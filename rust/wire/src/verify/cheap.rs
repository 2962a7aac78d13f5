use mpreg_types::{NodeKey, Signature, Signer};
use sha2::{Digest, Sha256};

use super::{SignatureScheme, sealed};

/// The simulator's signatures: a hash of key and message, some fifty times cheaper than Ed25519.
///
/// **Protects against nobody**: who knows a public key can sign for it. It finds what a simulation must find: bytes
/// that were changed on the way, and bodies under the wrong key. No production code may choose it.
#[derive(Debug, Clone, Copy, Default)]
pub struct CheapScheme;

impl sealed::Scheme for CheapScheme {
    fn holds(&self, key: &NodeKey, message: &[u8], signature: &Signature) -> bool {
        cheap_signature(key, message) == *signature
    }
}

impl SignatureScheme for CheapScheme {}

/// Signs for [`CheapScheme`].
#[derive(Debug, Clone)]
pub struct CheapSigner(NodeKey);

impl CheapSigner {
    /// The same `seed`, the same key.
    pub fn new(seed: [u8; 32]) -> Self {
        Self(NodeKey::from_bytes(Sha256::digest(seed).into()))
    }
}

impl Signer for CheapSigner {
    fn key(&self) -> NodeKey {
        self.0
    }

    fn sign(&self, message: &[u8]) -> Signature {
        cheap_signature(&self.0, message)
    }
}

fn cheap_signature(key: &NodeKey, message: &[u8]) -> Signature {
    let digest = Sha256::new().chain_update(key.as_bytes()).chain_update(message).finalize();
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(&digest);
    bytes[32..].copy_from_slice(&digest);
    Signature::from_bytes(bytes)
}
