use bytes::Bytes;
use mpreg_types::{ForeignText, Instance, NodeKey, NodeName, ResourceSet};
use serde::{Deserialize, Serialize};

/// What a node says of itself; the first entry of its log. Encoded by field name, so that later versions may add fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFacts {
    /// What it is; replicas share it.
    pub name: NodeName,
    /// Tells replicas apart, if it was given one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Instance>,
    /// Its public key.
    pub key: NodeKey,
    /// Where it can be dialled, best first.
    pub addresses: Vec<String>,
    /// Certificate chain (DER), end entity first; empty without certificates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Bytes>,
    /// The certificate's word that `key` speaks for it, as the handshake carries it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<Bytes>,
    /// True: it is leaving; nobody should select it.
    #[serde(default)]
    pub draining: bool,
    /// Its Python code stands still: where, as far as that could be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy: Option<ForeignText>,
    /// Calls it runs at once; 0 = not told.
    #[serde(default)]
    pub capacity: u32,
    /// What every function of it has at hand; at most 64.
    #[serde(default, skip_serializing_if = "ResourceSet::is_empty")]
    pub resources: ResourceSet,
}

impl NodeFacts {
    /// A node that says nothing but its name and key.
    pub fn new(name: NodeName, key: NodeKey) -> Self {
        Self {
            name,
            instance: None,
            key,
            addresses: Vec::new(),
            certificates: Vec::new(),
            delegation: None,
            draining: false,
            busy: None,
            capacity: 0,
            resources: ResourceSet::EMPTY,
        }
    }
}
