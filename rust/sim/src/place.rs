use std::sync::Arc;

use mpreg_types::{Incarnation, NodeId, Signer};
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
