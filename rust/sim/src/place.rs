use std::sync::Arc;

use mpreg_types::{Incarnation, NodeId, Signer};
use mpreg_wire::FrameKind;
use mpreg_wire::verify::CheapSigner;

use crate::item::Item;
use crate::process::Process;

/// One machine with an address, where a process may run. Its key stays, so every start of it is the same node.
#[derive(Debug)]
pub struct Place {
    pub(crate) id: NodeId,
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) address: String,
    /// Of its latest start.
    pub(crate) incarnation: Incarnation,
    /// How often a process began here.
    pub(crate) starts: u64,
    pub(crate) process: Option<Process>,
    pub(crate) is_client: bool,
    pub(crate) paused: bool,
    /// It has been paused at some time.
    pub(crate) was_paused: bool,
    /// What waits for a paused process.
    pub(crate) waiting: Vec<Item>,
    pub(crate) sent: Traffic,
}

/// Control frames that a place has sent, headers included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// How many.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many of them were the catalog's.
    pub catalog_frames: u64,
    /// Bytes of those.
    pub catalog_bytes: u64,
}

impl Traffic {
    pub(crate) fn add(&mut self, kind: FrameKind, bytes: u64) {
        self.frames += 1;
        self.bytes += bytes;
        if kind == FrameKind::Catalog {
            self.catalog_frames += 1;
            self.catalog_bytes += bytes;
        }
    }
}

impl std::ops::Add for Traffic {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            frames: self.frames + other.frames,
            bytes: self.bytes + other.bytes,
            catalog_frames: self.catalog_frames + other.catalog_frames,
            catalog_bytes: self.catalog_bytes + other.catalog_bytes,
        }
    }
}

impl std::ops::Sub for Traffic {
    type Output = Self;
    fn sub(self, earlier: Self) -> Self {
        Self {
            frames: self.frames - earlier.frames,
            bytes: self.bytes - earlier.bytes,
            catalog_frames: self.catalog_frames - earlier.catalog_frames,
            catalog_bytes: self.catalog_bytes - earlier.catalog_bytes,
        }
    }
}

impl Place {
    pub(crate) fn new(number: usize, seed: u64, is_client: bool) -> Self {
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&(number as u64).to_be_bytes());
        secret[8..16].copy_from_slice(&seed.to_be_bytes());
        let signer = CheapSigner::new(secret);
        Self {
            id: NodeId::of(&signer.key()),
            signer: Arc::new(signer),
            address: format!("memory:{number}"),
            incarnation: Incarnation(1_700_000_000_000),
            starts: 0,
            process: None,
            is_client,
            paused: false,
            was_paused: false,
            waiting: Vec::new(),
            sent: Traffic::default(),
        }
    }
}
