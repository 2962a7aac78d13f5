//! A member as others see it, and this node as it describes itself.

use mpreg_types::{ClusterId, Incarnation, LeaveReason, MemberState, NodeId, Time};
use serde::{Deserialize, Serialize};

use crate::Addresses;

/// One start of a node and where it listens; what a handshake proves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberIdentity {
    /// The node.
    pub node: NodeId,
    /// Its start.
    pub incarnation: Incarnation,
    /// Where it can be dialled.
    pub addresses: Addresses,
}

/// This node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalMember {
    /// Who it is and where it listens.
    pub identity: MemberIdentity,
    /// The cluster whose members it counts; a leave names it.
    pub cluster: ClusterId,
}

/// Another node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who it is and where it listens.
    pub identity: MemberIdentity,
    /// What is known about its life.
    pub state: MemberState,
    /// Why it left; `Some` exactly if `state` is `Left`.
    pub reason: Option<LeaveReason>,
    /// Since when it is in this state here, on this node's clock.
    pub since: Time,
}
