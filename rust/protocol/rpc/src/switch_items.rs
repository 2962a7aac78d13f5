//! Streams at the node that makes them, and at the entry node, which passes items one way and credit the other and
//! keeps neither: what it holds of a stream is never more than its reader's window.

use std::sync::Arc;

use mpreg_types::{ConnectionId, ItemHead, Payload, StreamId, Time, item_cost};

use crate::inbound::Place;
use crate::key::Index;
use crate::{InboundKey, ItemGate, Output, Switch};

impl Switch {
    /// An item came for a relayed call. One that belongs to no relay (any more) is dropped and counted.
    pub fn item(
        &mut self,
        on: ConnectionId,
        stream: StreamId,
        head: ItemHead,
        value: Payload,
        out: &mut Vec<Output>,
    ) {
        let index = Index::of_token(head.token);
        let Some(call) = self.calls.get_mut(index) else {
            self.counters.late_items += 1;
            return;
        };
        match &mut call.place {
            Place::Relayed { relay, stream: sent, started, cancelled: false }
                if (relay.to, *sent) == (on, stream) && call.asks_stream =>
            {
                *started = true;
            }
            _ => {
                self.counters.late_items += 1;
                return;
            }
        }
        if call.flow.window.arrived(item_cost(head.value_bytes)).is_err() {
            self.counters.overdrawn += 1;
            out.push(Output::Breach { on, stream });
            return;
        }
        if !std::mem::replace(&mut call.flow.flowing, true) {
            self.wheel.disarm(index.slot);
        }
        let head = ItemHead { token: call.token, ..head };
        out.push(Output::Item { to: call.from, stream: call.stream, head, value });
    }

    /// The reader of a stream took items of it. Credit for what has ended is dropped and counted.
    pub fn credit(&mut self, from: ConnectionId, stream: StreamId, bytes: u64, out: &mut Vec<Output>) {
        let found = self.peers.get(&from).and_then(|link| link.calls.find(stream));
        let Some(index) = found else {
            self.counters.late_items += 1;
            return;
        };
        let Some(call) = self.calls.get_mut(index).filter(|call| (call.from, call.stream) == (from, stream))
        else {
            self.counters.late_items += 1;
            return;
        };
        let overdrawn = match (&call.place, &call.flow.gate) {
            (Place::Running { .. }, Some(gate)) => match gate.give(bytes) {
                Ok(true) => {
                    out.push(Output::Resume { key: InboundKey(index), from, stream });
                    false
                }
                Ok(false) => false,
                Err(_) => true,
            },
            (Place::Relayed { relay, stream, .. }, _) => {
                let returned = call.flow.window.returned(bytes);
                if returned.is_ok() {
                    out.push(Output::ItemCredit { to: relay.to, stream: *stream, bytes });
                }
                returned.is_err()
            }
            (Place::Abandoned { .. }, _) => {
                self.counters.late_items += 1;
                false
            }
            // Nothing of it can have been sent.
            _ => true,
        };
        if overdrawn {
            self.counters.overdrawn += 1;
            out.push(Output::Breach { on: from, stream });
        }
    }

    /// A gate for the items of a call that is handed to its function.
    pub(crate) fn open_gate(&mut self, index: Index) -> Option<Arc<ItemGate>> {
        let call = self.calls.get_mut(index).filter(|call| call.asks_stream)?;
        call.flow.gate = Some(ItemGate::new());
        call.flow.gate.clone()
    }

    /// The deadline of a running call passed. True: it is a stream whose first item was in time, and it goes on.
    pub(crate) fn goes_on(&mut self, index: Index, now: Time) -> bool {
        let Some(call) = self.calls.get_mut(index) else { return false };
        if call.flow.gate.as_ref().is_none_or(|gate| gate.close_unless_flowing()) {
            return false;
        }
        match call.flow.limit {
            Some(limit) if limit <= now => false,
            Some(limit) => {
                call.deadline = limit;
                self.wheel.arm(index.slot, limit);
                true
            }
            None => true,
        }
    }
}
