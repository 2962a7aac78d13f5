//! The signed leave: the one thing that removes a member for good, so only its owner can say it.
//!
//! Body on the wire: the domain tag, then `MessagePack` of {cluster, node, incarnation, reason}. The tag keeps a
//! signature made for a leave from meaning anything elsewhere, and the cluster keeps it from meaning anything next door.

use bytes::Bytes;
use mpreg_types::{ClusterId, Incarnation, LeaveReason, NodeId, Signed, Verified};
use serde::{Deserialize, Serialize};

use crate::LeaveError;

const DOMAIN_TAG: &[u8] = b"mpreg-leave-v1\0";

/// What a node signs when it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leave {
    /// The cluster it leaves.
    pub cluster: ClusterId,
    /// Who leaves.
    pub node: NodeId,
    /// Which start of it; a later start is not affected.
    pub incarnation: Incarnation,
    /// Why.
    pub reason: LeaveReason,
}

impl Leave {
    /// The bytes to sign.
    pub fn encode(&self) -> Bytes {
        let mut body = DOMAIN_TAG.to_vec();
        // Writing to a Vec cannot fail, and the struct holds nothing MessagePack lacks: an error would leave a body
        // that every receiver counts as malformed.
        let written = rmp_serde::encode::write(&mut body, self);
        debug_assert!(written.is_ok(), "a leave is always encodable");
        body.into()
    }

    /// Reads a leave whose signature was checked, and checks that it is about its signer and `cluster`.
    pub fn decode(signed: &Verified<Signed>, cluster: &ClusterId) -> Result<Self, LeaveError> {
        let body = signed.body.strip_prefix(DOMAIN_TAG).ok_or(LeaveError::OtherDomain)?;
        let leave: Self = rmp_serde::from_slice(body).map_err(|_| LeaveError::Malformed)?;
        if leave.cluster != *cluster {
            return Err(LeaveError::OtherCluster);
        }
        if signed.signer() != leave.node {
            return Err(LeaveError::OtherSigner);
        }
        Ok(leave)
    }
}
