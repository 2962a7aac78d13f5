use mpreg_types::{ClusterId, ForeignText, Incarnation, Instance, NodeId, NodeKey, NodeName};
use serde::{Deserialize, Serialize};

use super::{LocalHello, Refusal, VersionRange};
use crate::message::{self, decode_flat};
use crate::{Limits, PeerLimits, Role};

/// First bytes of every hello. The line end shows a channel that rewrites text, the zero one that cuts at it.
const MAGIC: [u8; 8] = *b"mpreg\r\n\0";
/// Magic, lowest and highest version: the part that no version ever changes.
const FIXED_BYTES: usize = 12;
/// A map, and the lists and limits in it.
const NESTING: usize = 2;

/// The hello on the wire: magic, `u16` lowest and `u16` highest version (big-endian), then this as a map.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) features: u64,
    pub(super) limits: PeerLimits,
    pub(super) role: Role,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cluster: Option<ClusterId>,
    pub(super) name: NodeName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) instance: Option<Instance>,
    pub(super) key: NodeKey,
    pub(super) incarnation: Incarnation,
    #[serde(default)]
    pub(super) addresses: Vec<String>,
    #[serde(with = "serde_bytes")]
    pub(super) nonce: [u8; 32],
    #[serde(default)]
    pub(super) demands_secret: bool,
}

impl Hello {
    /// What `local` says, as bytes.
    pub(super) fn encode(local: &LocalHello) -> Vec<u8> {
        let hello = Self {
            features: local.features,
            limits: local.limits,
            role: local.role,
            cluster: local.cluster.clone(),
            name: local.name.clone(),
            instance: local.instance.clone(),
            key: local.signer.key(),
            incarnation: local.incarnation,
            addresses: local.addresses.clone(),
            nonce: local.nonce,
            demands_secret: local.secret.is_demanded(),
        };
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&local.versions.lowest.to_be_bytes());
        out.extend_from_slice(&local.versions.highest.to_be_bytes());
        out.extend_from_slice(&message::encode(&hello));
        out
    }

    /// Reads a hello, and the highest version that it has in common with `ours`. What follows the versions is only
    /// read when there is one: a version with nothing in common may write it in another way.
    pub(super) fn decode(bytes: &[u8], ours: VersionRange) -> Result<(Self, u16), Refusal> {
        let max = u64::from(Limits::HANDSHAKE_BYTES_MAX);
        if bytes.len() as u64 > max {
            return Err(Refusal::TooLarge { bytes: bytes.len() as u64, max });
        }
        let Some(([magic @ .., l0, l1, h0, h1], rest)) = bytes.split_first_chunk::<FIXED_BYTES>() else {
            return Err(Refusal::BadMagic);
        };
        if *magic != MAGIC {
            return Err(Refusal::BadMagic);
        }
        let theirs =
            VersionRange { lowest: u16::from_be_bytes([*l0, *l1]), highest: u16::from_be_bytes([*h0, *h1]) };
        let version =
            ours.common(theirs).ok_or(Refusal::NoCommonVersion { refusing: ours, refused: theirs })?;
        let hello: Self = decode_flat(rest, NESTING).map_err(|error| Refusal::malformed(&error))?;
        hello.check()?;
        Ok((hello, version))
    }

    pub(super) fn node(&self) -> NodeId {
        NodeId::of(&self.key)
    }

    fn check(&self) -> Result<(), Refusal> {
        let plain = |address: &String| {
            (1..=LocalHello::ADDRESS_BYTES_MAX).contains(&address.len())
                && !address.chars().any(char::is_control)
        };
        let what = if self.role == Role::Gateway {
            "the role gateway is granted, never declared".to_owned()
        } else if self.cluster.is_none() && self.role != Role::Client {
            format!("a {} without a cluster", self.role)
        } else if self.addresses.len() > LocalHello::ADDRESSES_MAX {
            format!("{} listen addresses; at most {}", self.addresses.len(), LocalHello::ADDRESSES_MAX)
        } else if !self.addresses.iter().all(plain) {
            "a listen address that is empty, longer than 255 bytes or has control characters".to_owned()
        } else if !self.limits.are_usable() {
            format!("limits too low to talk with: {:?}", self.limits)
        } else {
            return Ok(());
        };
        Err(Refusal::Malformed { what: ForeignText::new(what) })
    }
}
