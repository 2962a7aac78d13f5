use std::sync::Arc;

use crate::dispatch::{Dispatcher, InvocationKey};

/// Which dispatcher has a call, by the call's slot: whom to tell that nobody waits for it any more. Kept here because
/// the function itself may be removed while it runs.
#[derive(Debug, Default)]
pub(crate) struct Assigned(Vec<Option<Arc<dyn Dispatcher>>>);

impl Assigned {
    /// The call in `slot` goes to `dispatcher`.
    pub(crate) fn assign(&mut self, slot: usize, dispatcher: &Arc<dyn Dispatcher>) {
        if slot >= self.0.len() {
            self.0.resize(slot + 1, None);
        }
        self.0[slot] = Some(dispatcher.clone());
    }

    /// The dispatcher has ended its work on the call in `slot`.
    pub(crate) fn end(&mut self, slot: usize) {
        if let Some(place) = self.0.get_mut(slot) {
            *place = None;
        }
    }

    /// Tells whoever has the call in `slot` that there is credit for the item that it waits with.
    pub(crate) fn resume(&self, slot: usize, key: InvocationKey) {
        if let Some(Some(dispatcher)) = self.0.get(slot) {
            dispatcher.resume(key);
        }
    }

    /// Tells whoever has the call in `slot`, which is `key` to it, that nobody waits for it any more.
    pub(crate) fn cancel(&mut self, slot: usize, key: InvocationKey) {
        if let Some(dispatcher) = self.0.get_mut(slot).and_then(Option::take) {
            dispatcher.cancel(key);
        }
    }
}
