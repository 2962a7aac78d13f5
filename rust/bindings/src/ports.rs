//! The ports of one thread: one for each node or client it has called through, with the calls under way.

use std::sync::Arc;

use mpreg_node::{CallKey, Caller, Invocation, Item, Mailbox, NodeError, Outgoing, Port, PortId};
use mpreg_types::{Payload, Time};

use crate::completion::{PendingCall, Settled, Waiter};
use crate::reading::Reading;

/// Every port of one thread.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    ports: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    caller: u64,
    port: Port,
    /// By the call's slot.
    pending: Vec<Option<(CallKey, PendingCall)>>,
    /// Calls without a slot until their completions are taken: they found the table full, or had ended, some as they
    /// began, when another one got their slot.
    slotless: Vec<(CallKey, PendingCall)>,
    outstanding: usize,
}

impl Entry {
    /// Who waits for that call.
    fn keep(&mut self, key: CallKey, pending: PendingCall) {
        self.outstanding += 1;
        if key.is_refused() {
            return self.slotless.push((key, pending));
        }
        let slot = key.slot();
        if slot >= self.pending.len() {
            self.pending.resize_with(slot + 1, || None);
        }
        self.slotless.extend(self.pending[slot].replace((key, pending)));
    }

    fn release(&mut self, key: CallKey) -> Option<PendingCall> {
        let place = self.pending.get_mut(key.slot()).filter(|_| !key.is_refused());
        let of_slot = place.and_then(|place| place.take_if(|(kept, _)| *kept == key));
        let (_, pending) = of_slot.or_else(|| {
            let at = self.slotless.iter().position(|(kept, _)| *kept == key)?;
            Some(self.slotless.swap_remove(at))
        })?;
        self.outstanding -= 1;
        Some(pending)
    }
}

impl Ports {
    /// Begins a call through `caller`, over a port of its own.
    pub(crate) fn begin(
        &mut self,
        caller: &Caller,
        mailbox: &Arc<Mailbox>,
        outgoing: Outgoing,
        value: Payload,
        pending: PendingCall,
        now: Time,
    ) -> Result<(PortId, CallKey), NodeError> {
        let known = self.ports.iter().position(|entry| entry.caller == caller.id());
        let index = if let Some(index) = known {
            index
        } else {
            self.ports.retain(|entry| entry.port.is_open() || entry.outstanding > 0);
            let port = Port::open(caller, mailbox)?;
            self.ports.push(Entry {
                caller: caller.id(),
                port,
                pending: Vec::new(),
                slotless: Vec::new(),
                outstanding: 0,
            });
            self.ports.len() - 1
        };
        let entry = &mut self.ports[index];
        let key = entry.port.begin(outgoing, value, now);
        entry.keep(key, pending);
        Ok((entry.port.id(), key))
    }

    /// Calls under way over all ports.
    pub(crate) fn outstanding(&self) -> usize {
        self.ports.iter().map(|entry| entry.outstanding).sum()
    }

    /// Something arrived for one port, or for all.
    pub(crate) fn handle(&mut self, item: Item, now: Time) {
        match item.port() {
            Some(port) => {
                if let Some(entry) = self.ports.iter_mut().find(|entry| entry.port.id() == port) {
                    entry.port.handle(item, now);
                }
            }
            None => {
                if let Item::News(news) = item {
                    self.ports.iter_mut().for_each(|entry| entry.port.hear(&news));
                }
            }
        }
    }

    /// After a batch: has the thread woken when the earliest deadline is due.
    pub(crate) fn arm(&mut self, now: Time) {
        for entry in &mut self.ports {
            entry.port.arm(now);
        }
    }

    /// True if local calls or completions wait for the thread itself.
    pub(crate) fn has_local_work(&self) -> bool {
        self.ports.iter().any(|entry| entry.port.has_local_work())
    }

    /// Local calls to run on this thread.
    pub(crate) fn take_invocations(&mut self, invocations: &mut Vec<Invocation>) {
        for entry in &mut self.ports {
            entry.port.take_invocations(invocations);
        }
    }

    /// Items of streams go to those who read them; whom to wake. To be done before the calls that have ended are taken:
    /// those are the streams' ends.
    pub(crate) fn feed_readers(&mut self) -> Vec<Arc<Reading>> {
        let mut awaited = Vec::new();
        for entry in &mut self.ports {
            for (key, item) in entry.port.take_items() {
                let reader = entry.pending.get(key.slot()).and_then(Option::as_ref);
                if let Some((kept, PendingCall { waiter: Waiter::Stream(reading), .. })) = reader
                    && *kept == key
                    && reading.add(item)
                {
                    awaited.push(reading.clone());
                }
            }
        }
        awaited
    }

    /// The reader of a stream took items.
    pub(crate) fn items_taken(&mut self, port: PortId, key: CallKey, bytes: u64) {
        if let Some(entry) = self.ports.iter_mut().find(|entry| entry.port.id() == port) {
            entry.port.items_taken(key, bytes);
        }
    }

    /// Calls that have ended, with those who wait for them.
    pub(crate) fn take_settled(&mut self) -> Vec<Settled> {
        let mut settled = Vec::new();
        for entry in &mut self.ports {
            for completion in entry.port.take_completions() {
                if let Some(pending) = entry.release(completion.key) {
                    settled.push(Settled::new(pending, completion, &entry.port));
                }
            }
        }
        settled
    }

    /// Cancels one call; returns who waited for it, unless it had ended.
    pub(crate) fn cancel(&mut self, port: PortId, key: CallKey) -> Option<PendingCall> {
        let entry = self.ports.iter_mut().find(|entry| entry.port.id() == port)?;
        if !entry.port.cancel(key) {
            return None;
        }
        entry.release(key)
    }

    /// Writes what the calls since the last flush have produced.
    pub(crate) fn flush(&mut self) {
        for entry in &mut self.ports {
            entry.port.flush();
        }
    }
}
