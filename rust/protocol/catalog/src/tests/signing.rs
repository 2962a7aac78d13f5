//! A signature for tests: SHA-256 over key and message. It stops accidents, not liars.

use std::sync::Arc;

use mpreg_types::{NodeId, NodeKey, Signature, Signed, Signer, Verified};
use sha2::{Digest, Sha256};

#[derive(Debug)]
pub(super) struct TestSigner(NodeKey);

impl TestSigner {
    pub(super) fn new(number: u64) -> Arc<Self> {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_be_bytes());
        Arc::new(Self(NodeKey::from_bytes(key)))
    }

    pub(super) fn id(&self) -> NodeId {
        NodeId::of(&self.0)
    }
}

fn signature(key: &NodeKey, message: &[u8]) -> Signature {
    let half: [u8; 32] = Sha256::new().chain_update(key.as_bytes()).chain_update(message).finalize().into();
    let mut whole = [0; 64];
    whole[..32].copy_from_slice(&half);
    Signature::from_bytes(whole)
}

impl Signer for TestSigner {
    fn key(&self) -> NodeKey {
        self.0
    }

    fn sign(&self, message: &[u8]) -> Signature {
        signature(&self.0, message)
    }
}

/// What `wire::verify` does for real.
#[expect(clippy::disallowed_methods, reason = "the tests' own check stands in for wire::verify")]
pub(super) fn verify(signed: Signed) -> Verified<Signed> {
    assert_eq!(signature(&signed.key, &signed.body), signed.signature, "a relay changed what it relayed");
    Verified::assume_verified(signed)
}
