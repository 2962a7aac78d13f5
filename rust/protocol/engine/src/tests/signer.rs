use mpreg_types::{NodeKey, Signature, Signed, Signer, Verified};

#[derive(Debug)]
pub(super) struct TestSigner(pub(super) NodeKey);

impl Signer for TestSigner {
    fn key(&self) -> NodeKey {
        self.0
    }
    fn sign(&self, _: &[u8]) -> Signature {
        Signature::from_bytes([7; 64])
    }
}

#[expect(clippy::disallowed_methods, reason = "these tests check no signatures; wire and its tests do")]
pub(super) fn verified(signed: Signed) -> Verified<Signed> {
    Verified::assume_verified(signed)
}
