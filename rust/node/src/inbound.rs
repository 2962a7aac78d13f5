use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use mpreg_rpc::{InboundKey, Workload};
use mpreg_types::Load;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::switch_io::SwitchIo;

/// What the dispatchers of a node tell its switch: which calls have ended.
///
/// They tell in batches, and the I/O thread is woken only if calls are waiting for the places that became free.
pub(crate) struct Inbound {
    finished: Mutex<Vec<InboundKey>>,
    /// The switch has calls in line.
    urgent: AtomicBool,
    workload: Arc<Workload>,
    /// The node as users see it.
    pub(crate) label: String,
    /// Wakes the switch's task: ended calls, a new snapshot, an earlier deadline.
    pub(crate) attention: Notify,
    /// The switch, for threads that do a little of its work themselves.
    switch: OnceLock<Weak<Mutex<SwitchIo>>>,
}

/// Ended calls that may pile up before the switch is woken to forget them.
const FINISHED_MAX: usize = 1024;

impl Inbound {
    pub(crate) fn new(workload: Arc<Workload>, label: String) -> Arc<Self> {
        Arc::new(Self {
            finished: Mutex::default(),
            urgent: AtomicBool::new(false),
            workload,
            label,
            attention: Notify::new(),
            switch: OnceLock::new(),
        })
    }

    /// Who has it; told once.
    pub(crate) fn belongs_to(&self, switch: &Arc<Mutex<SwitchIo>>) {
        let told = self.switch.set(Arc::downgrade(switch));
        debug_assert!(told.is_ok(), "a node has one switch");
    }

    /// A turn of the switch on this thread, unless another is at it.
    pub(crate) fn turn_here(&self) -> bool {
        let Some(switch) = self.switch.get().and_then(Weak::upgrade) else { return false };
        let Some(mut switch) = switch.try_lock() else { return false };
        switch.turn();
        true
    }

    /// These calls have ended, and their slots are free.
    pub(crate) fn finished(&self, mut keys: Vec<InboundKey>) {
        let mut finished = self.finished.lock();
        finished.append(&mut keys);
        let many = finished.len() >= FINISHED_MAX;
        drop(finished);
        if many || self.urgent.load(Ordering::Acquire) {
            self.attention.notify_one();
        }
    }

    /// For the switch: what has ended since the last time.
    pub(crate) fn take_finished(&self, keys: &mut Vec<InboundKey>) {
        mem::swap(&mut *self.finished.lock(), keys);
    }

    /// For the switch: whether calls stand in line.
    pub(crate) fn set_urgent(&self, urgent: bool) {
        self.urgent.store(urgent, Ordering::Release);
    }

    /// How busy the node is; rides on replies.
    pub(crate) fn load(&self) -> Load {
        self.workload.load()
    }
}

impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound").finish_non_exhaustive()
    }
}
