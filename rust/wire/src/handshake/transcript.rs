use sha2::{Digest, Sha256};

use super::{Channel, Side};
use crate::Role;

/// Every proof of a handshake begins with it.
pub(super) const DOMAIN: &[u8] = b"mpreg/handshake/1\0";

/// What both sides have said, as each prover hashes it.
#[derive(Debug)]
pub(super) struct Transcript {
    /// Over everything but the prover.
    common: Sha256,
}

impl Transcript {
    /// Over both hellos and the TLS exporter. Each part carries its length, so no two transcripts have equal bytes.
    pub(super) fn new(channel: &Channel, own_hello: &[u8], peer_hello: &[u8]) -> Self {
        let (dialer, acceptor) = match channel.side {
            Side::Dialer => (own_hello, peer_hello),
            Side::Acceptor => (peer_hello, own_hello),
        };
        let exporter = channel.exporter.as_deref();
        let mut common = Sha256::new();
        common.update(DOMAIN);
        for part in [dialer, acceptor, exporter.unwrap_or_default()] {
            common.update((part.len() as u64).to_be_bytes());
            common.update(part);
        }
        common.update([u8::from(exporter.is_some())]);
        Self { common }
    }

    /// What the prover at `side` with the declared `role` signs: the domain tag and H. With side and role in it no
    /// proof can be sent back to the one who made it.
    pub(super) fn message(&self, side: Side, role: Role) -> Vec<u8> {
        let mut hash = self.common.clone();
        hash.update([side.byte()]);
        hash.update(role.as_str());
        [DOMAIN, &hash.finalize()].concat()
    }
}
