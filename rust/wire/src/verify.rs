//! Signatures: the one door through which signed bytes become [`Verified`].
//!
//! Invariant: a [`Verified<Signed>`] exists only if its signature was checked here against the key it carries. Whether
//! that key may say what it says is decided by who reads the body. Every signed body begins with a domain tag, so that
//! what was signed for one purpose is never taken for another.
//!
//! Ed25519: RFC 8032, with the strict checks of Chalkias, Garillot and Nikolaenko (<https://eprint.iacr.org/2020/1244>): no
//! small-order keys, no second encoding of a signature.

mod cheap;
mod ed25519;

use std::fmt;

use mpreg_types::{NodeKey, Signature, Signed, Verified};

pub use cheap::{CheapScheme, CheapSigner};
pub use ed25519::{Ed25519, Ed25519Signer};

/// How signatures are checked: [`Ed25519`], or [`CheapScheme`] in the simulator. Sealed: another implementation could
/// vouch for anything.
pub trait SignatureScheme: sealed::Scheme + fmt::Debug + Send + Sync {
    /// Checks that `signed.signature` is by `signed.key` over `signed.body`.
    fn verify(&self, signed: &Signed) -> Result<Verified<Signed>, BadSignature> {
        if self.holds(&signed.key, &signed.body, &signed.signature) {
            Ok(vouch(signed.clone()))
        } else {
            Err(BadSignature::Wrong)
        }
    }

    /// [`Self::verify`], and that the body was signed for the purpose `domain` it begins with.
    fn verify_in(&self, domain: &[u8], signed: &Signed) -> Result<Verified<Signed>, BadSignature> {
        if signed.body.starts_with(domain) { self.verify(signed) } else { Err(BadSignature::OtherDomain) }
    }
}

/// Why a signature counts for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// Not by this key over these bytes.
    #[error("the signature is not by the key it names over these bytes")]
    Wrong,
    /// Signed for another purpose.
    #[error("the signed bytes begin with the tag of another purpose")]
    OtherDomain,
}

#[expect(clippy::disallowed_methods, reason = "the one place that vouches, after the check")]
fn vouch(signed: Signed) -> Verified<Signed> {
    Verified::assume_verified(signed)
}

mod sealed {
    use super::{NodeKey, Signature};

    /// The check itself.
    pub trait Scheme {
        fn holds(&self, key: &NodeKey, message: &[u8], signature: &Signature) -> bool;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use mpreg_types::Signer;

    use super::*;

    fn both() -> [(Box<dyn Signer>, Box<dyn SignatureScheme>); 2] {
        [
            (Box::new(Ed25519Signer::new([7; 32])), Box::new(Ed25519)),
            (Box::new(CheapSigner::new([7; 32])), Box::new(CheapScheme)),
        ]
    }

    #[test]
    fn what_a_key_signed_is_vouched_for() {
        for (signer, scheme) in both() {
            let signed = Signed::new(&*signer, Bytes::from_static(b"tag: body"));
            assert_eq!(*scheme.verify(&signed).unwrap(), signed);
            assert_eq!(*scheme.verify_in(b"tag: ", &signed).unwrap(), signed);
        }
    }

    #[test]
    fn what_was_changed_or_is_by_another_key_is_not() {
        for (signer, scheme) in both() {
            let good = Signed::new(&*signer, Bytes::from_static(b"tag: body"));
            let other_body = Signed { body: Bytes::from_static(b"tag: Body"), ..good.clone() };
            let other_key = Signed { key: Ed25519Signer::new([8; 32]).key(), ..good.clone() };
            let mut bytes = *good.signature.as_bytes();
            bytes[40] ^= 1;
            let other_signature = Signed { signature: Signature::from_bytes(bytes), ..good.clone() };
            for bad in [other_body, other_key, other_signature] {
                assert_eq!(scheme.verify(&bad), Err(BadSignature::Wrong), "{scheme:?}");
            }
            assert_eq!(scheme.verify_in(b"purpose: ", &good), Err(BadSignature::OtherDomain));
        }
    }

    #[test]
    fn same_secret_same_signature() {
        let signer = || Ed25519Signer::new([1; 32]);
        assert_eq!(signer().sign(b"x"), signer().sign(b"x"));
        let signer = || CheapSigner::new([1; 32]);
        assert_eq!(signer().sign(b"x"), signer().sign(b"x"));
    }

    #[test]
    fn a_signer_does_not_print_its_secret() {
        let secret = [0xab; 32];
        assert!(!format!("{:?}", Ed25519Signer::new(secret)).contains("171"));
        assert!(!format!("{:?}", Ed25519Signer::new(secret)).contains("abab"));
    }

    #[test]
    fn keys_of_small_order_sign_nothing() {
        // The neutral element: with R = neutral and s = 0 the plain equation holds for every message.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        let forged = Signed {
            key: NodeKey::from_bytes(neutral),
            signature: Signature::from_bytes(signature),
            body: Bytes::from_static(b"anything"),
        };
        assert_eq!(Ed25519.verify(&forged), Err(BadSignature::Wrong));
    }
}
