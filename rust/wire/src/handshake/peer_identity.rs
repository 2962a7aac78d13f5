use bytes::Bytes;
use mpreg_types::{ClusterId, Incarnation, Instance, NodeId, NodeKey, NodeName};

use crate::{PeerLimits, Process, Role};

/// Who is at the other end, after the handshake: proven with the node key, and the rest as far as [`Self::declared`]
/// says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// Which process; the hash of `key`.
    pub node: NodeId,
    /// Its public key.
    pub key: NodeKey,
    /// Which start of it.
    pub incarnation: Incarnation,
    /// What it is to this process: a node of another cluster is a gateway.
    pub role: Role,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its name.
    pub name: NodeName,
    /// Its instance, if it was given one.
    pub instance: Option<Instance>,
    /// Where it says it can be dialled.
    pub addresses: Vec<String>,
    /// Version of the protocol on this connection.
    pub version: u16,
    /// Features that both sides have.
    pub features: u64,
    /// True without a certificate: cluster and name are what the peer says they are.
    pub declared: bool,
    /// What it takes.
    pub limits: PeerLimits,
    /// The certificate's delegation to `key`, not checked here.
    pub delegation: Option<Bytes>,
    /// A client's token, not checked here.
    pub token: Option<Bytes>,
}

impl PeerIdentity {
    /// Which start of which process, as the call codec wants it.
    pub fn process(&self) -> Process {
        Process { node: self.node, incarnation: self.incarnation }
    }
}
