//! Streams at their caller: items count for the attempt that is present, and none is made after the first of them.

use mpreg_types::{ConnectionId, ItemHead, StreamId, Time, item_cost};

use crate::key::Index;
use crate::slot::{CallSlot, State};
use crate::{CallKey, CallTable, Outbound};

impl CallTable {
    /// An item came over a connection; whose it is. `None`: it is dropped and counted, its call has ended, or is another
    /// attempt by now, or the sender broke the window and is closed.
    pub fn item<P: Outbound>(
        &mut self,
        on: ConnectionId,
        stream: StreamId,
        head: &ItemHead,
        now: Time,
        port: &mut P,
    ) -> Option<CallKey> {
        let index = Index::of_token(head.token);
        let (flow, sent, started_at) = match self.slots.get_mut(index) {
            Some(CallSlot { state: State::Sent(sent), head, flow, started_at, .. })
                if head.stream && (sent.on, sent.stream) == (on, stream) =>
            {
                (flow, sent, started_at)
            }
            _ => {
                self.counters.late_items += 1;
                return None;
            }
        };
        if flow.window.arrived(item_cost(head.value_bytes)).is_err() {
            self.counters.overdrawn += 1;
            port.breach(on, stream);
            return None;
        }
        sent.started = true;
        started_at.get_or_insert(now);
        self.prolong(index);
        Some(CallKey::new(self.caller.bridge, index))
    }

    /// An item came from a function of this process. False: its call has ended.
    pub fn local_item(&mut self, key: CallKey, value_bytes: u64) -> bool {
        let index = key.index();
        let slot = self.slots.get_mut(index).filter(|slot| matches!(slot.state, State::Local));
        let counted = slot.is_some_and(|slot| slot.flow.window.arrived(item_cost(value_bytes)).is_ok());
        if counted {
            self.prolong(index);
        } else {
            self.counters.late_items += 1;
        }
        counted
    }

    /// The reader took items of a stream: their sender may make more.
    pub fn items_taken<P: Outbound>(&mut self, key: CallKey, bytes: u64, port: &mut P) {
        let Some(slot) = self.slots.get_mut(key.index()) else { return };
        // It counts what it has itself put in, so this cannot fail.
        if slot.flow.window.returned(bytes).is_err() {
            return;
        }
        match &slot.state {
            State::Sent(sent) => port.send_item_credit(sent.on, sent.stream, bytes),
            State::Local if slot.flow.gate.as_ref().is_some_and(|gate| gate.give(bytes) == Ok(true)) => {
                port.resume_local(key);
            }
            _ => {}
        }
    }

    /// The first item has come: from now on the stream lives as long as both ends, unless its function has a `timeout`.
    pub(crate) fn prolong(&mut self, index: Index) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        if std::mem::replace(&mut slot.flow.flowing, true) {
            return;
        }
        match slot.flow.limit {
            Some(limit) => {
                slot.deadline = limit;
                self.wheel.arm(index.slot, limit);
            }
            None => self.wheel.disarm(index.slot),
        }
    }
}
