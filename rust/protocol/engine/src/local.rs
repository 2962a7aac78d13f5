use bytes::Bytes;
use mpreg_membership::Addresses;
use mpreg_types::{ClusterId, Incarnation, Instance, NodeId, NodeName, ResourceSet};

/// The node whose engine it is.
#[derive(Debug, Clone)]
pub struct Local {
    /// Its id, the hash of its key.
    pub node: NodeId,
    /// Its start.
    pub incarnation: Incarnation,
    /// Its cluster.
    pub cluster: ClusterId,
    /// What it is; replicas share it.
    pub name: NodeName,
    /// The part of its id after "/", if it is fixed; else the first six hex digits of its `NodeId` stand there.
    pub instance: Option<Instance>,
    /// Where it can be dialled, best first.
    pub addresses: Addresses,
    /// What every function of it has at hand.
    pub resources: ResourceSet,
    /// Calls it runs at once; 0 = not told.
    pub capacity: u32,
    /// Certificate chain (DER), end entity first; empty without certificates.
    pub certificates: Vec<Bytes>,
    /// The certificate's word that the node's key speaks for it.
    pub delegation: Option<Bytes>,
}
