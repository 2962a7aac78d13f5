use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use mpreg_types::{ClusterId, Incarnation, Instance, NodeName, Signer};

use super::{SecretRule, VersionRange};
use crate::{Limits, PeerLimits, Role};

/// What this side says of itself, and what it proves it with.
#[derive(Debug, Clone)]
pub struct LocalHello {
    /// Signs the proof; its key is said in the hello.
    pub signer: Arc<dyn Signer>,
    /// This start of the process.
    pub incarnation: Incarnation,
    /// `Node`, `Client` or `Worker`; never `Gateway`, which is granted.
    pub role: Role,
    /// The own cluster; only a client may leave it open and take that of its entry node.
    pub cluster: Option<ClusterId>,
    /// The own name.
    pub name: NodeName,
    /// The instance, if it was given.
    pub instance: Option<Instance>,
    /// Where this side can be dialled, at most [`LocalHello::ADDRESSES_MAX`].
    pub addresses: Vec<String>,
    /// Versions spoken: [`VersionRange::OURS`].
    pub versions: VersionRange,
    /// Bit set of optional abilities; bits the other side does not know are ignored.
    pub features: u64,
    /// What the other side must keep to.
    pub limits: PeerLimits,
    /// 32 random bytes of the operating system's, new for every connection.
    pub nonce: [u8; 32],
    /// The shared secret of keyless processes.
    pub secret: SecretRule,
    /// The certificate's delegation to the node key; opaque here.
    pub delegation: Option<Bytes>,
    /// A client's token; opaque here. Only for channels that keep it secret.
    pub token: Option<Bytes>,
}

impl LocalHello {
    /// Most addresses in a hello.
    pub const ADDRESSES_MAX: usize = 16;
    /// Longest address.
    pub const ADDRESS_BYTES_MAX: usize = 255;

    /// The hello of a process without cluster, secret and addresses; set the fields that differ.
    pub fn new(
        signer: Arc<dyn Signer>,
        incarnation: Incarnation,
        role: Role,
        name: NodeName,
        nonce: [u8; 32],
    ) -> Self {
        Self {
            signer,
            incarnation,
            role,
            cluster: None,
            name,
            instance: None,
            addresses: Vec::new(),
            versions: VersionRange::OURS,
            features: 0,
            limits: Limits::default().for_peer(),
            nonce,
            secret: SecretRule::None,
            delegation: None,
            token: None,
        }
    }
}

/// Whom this side takes.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Other clusters whose nodes are taken, as gateways.
    pub trust: BTreeSet<ClusterId>,
    /// Roles that are taken on this connection.
    pub roles: BTreeSet<Role>,
    /// Only with a certificate.
    pub certificate: bool,
}

impl Policy {
    /// Takes `roles` of the own cluster.
    pub fn roles(roles: impl IntoIterator<Item = Role>) -> Self {
        Self { roles: roles.into_iter().collect(), ..Self::default() }
    }
}
