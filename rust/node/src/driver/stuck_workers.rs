use std::collections::BTreeMap;

use mpreg_types::{ConnectionId, ForeignText};

use crate::worker_offer::Busy;

/// Which workers of a node stand still, and at what: the node is busy while one does.
#[derive(Debug, Default)]
pub(super) struct Stuck {
    workers: BTreeMap<ConnectionId, (u32, ForeignText)>,
}

impl Stuck {
    /// A worker stands still, or goes on.
    pub(super) fn heard(&mut self, worker: ConnectionId, busy: Busy) {
        match busy.stack {
            Some(stack) => self.workers.insert(worker, (busy.number, stack)),
            None => self.workers.remove(&worker),
        };
    }

    /// It has ended. True: it stood still.
    pub(super) fn gone(&mut self, worker: ConnectionId) -> bool {
        self.workers.remove(&worker).is_some()
    }

    /// What the node says of itself: the first one's stack stands for all: a node's facts are no place for many.
    pub(super) fn said(&self) -> Option<ForeignText> {
        let (number, stack) = self.workers.values().min_by_key(|(number, _)| *number)?;
        let others = match self.workers.len() - 1 {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        Some(ForeignText::new(format!("worker #{number}{others}: {}", stack.as_str())))
    }
}
