use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// 32 bytes that keyless processes share (`secret_file`). Never sent, never printed.
#[derive(Clone)]
pub struct Secret([u8; 32]);

impl Secret {
    /// From the bytes of the file.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// HMAC-SHA256 over `message` (RFC 2104).
    pub(super) fn prove(&self, message: &[u8]) -> [u8; 32] {
        self.mac(message).finalize().into_bytes().into()
    }

    /// True if `proof` is over `message` with this secret; takes the same time wherever they differ.
    pub(super) fn proves(&self, message: &[u8], proof: &[u8; 32]) -> bool {
        self.mac(message).verify_slice(proof).is_ok()
    }

    fn mac(&self, message: &[u8]) -> Hmac<Sha256> {
        // HMAC fills short keys with zeros up to the block of 64 bytes.
        let mut block = [0; 64];
        block[..32].copy_from_slice(&self.0);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(message);
        mac
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What a side does with the shared secret.
#[derive(Debug, Clone, Default)]
pub enum SecretRule {
    /// Has none.
    #[default]
    None,
    /// Proves it to who asks, and asks nobody.
    Offered(Secret),
    /// Proves it and takes no peer that does not.
    Demanded(Secret),
}

impl SecretRule {
    /// The secret, if there is one.
    pub(super) fn secret(&self) -> Option<&Secret> {
        match self {
            Self::None => None,
            Self::Offered(secret) | Self::Demanded(secret) => Some(secret),
        }
    }

    /// True if a peer must prove it.
    pub(super) fn is_demanded(&self) -> bool {
        matches!(self, Self::Demanded(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_holds_for_its_message_and_secret_only() {
        let secret = Secret::new([1; 32]);
        let proof = secret.prove(b"message");
        assert!(secret.proves(b"message", &proof));
        assert!(!secret.proves(b"another", &proof));
        assert!(!Secret::new([2; 32]).proves(b"message", &proof));
    }

    #[test]
    fn it_is_not_printed() {
        assert_eq!(format!("{:?}", SecretRule::Offered(Secret::new([9; 32]))), "Offered(Secret(..))");
    }
}
