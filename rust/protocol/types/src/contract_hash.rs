use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// SHA-256 over a function's parameter names, kinds, presence of defaults, annotations and return, as written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContractHash(#[serde(with = "serde_bytes")] [u8; 32]);

impl ContractHash {
    /// Of a contract as written.
    pub fn of(contract: &str) -> Self {
        Self(Sha256::digest(contract.as_bytes()).into())
    }

    /// From its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for ContractHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContractHash({:02x}{:02x}{:02x}..)", self.0[0], self.0[1], self.0[2])
    }
}
