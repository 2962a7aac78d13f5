use std::fmt;

use serde::{Deserialize, Serialize};

/// Ed25519 public key of a node (RFC 8032), 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeKey(#[serde(with = "serde_bytes")] [u8; 32]);

impl NodeKey {
    /// From its 32 bytes; whether they are a point on the curve shows when a signature is checked.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({:02x}{:02x}{:02x}..)", self.0[0], self.0[1], self.0[2])
    }
}

/// Ed25519 signature (RFC 8032), 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature(#[serde(with = "serde_bytes")] [u8; 64]);

impl Signature {
    /// From its 64 bytes.
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// Its 64 bytes.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({:02x}{:02x}{:02x}..)", self.0[0], self.0[1], self.0[2])
    }
}

/// Signs with a node's secret key. Deterministic, so machines may hold one; the edge draws the key and hands it in.
pub trait Signer: fmt::Debug + Send + Sync {
    /// The public half.
    fn key(&self) -> NodeKey;
    /// Signs `message`, which begins with a domain tag.
    fn sign(&self, message: &[u8]) -> Signature;
}
