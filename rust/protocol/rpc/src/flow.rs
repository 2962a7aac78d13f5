//! What a call that asked for a stream has beside other calls: at its reader, at its sender, and at the entry node
//! between them.

use std::sync::Arc;

use mpreg_types::{STREAM_WINDOW, Time};

use crate::ItemGate;
use crate::item_gate::Overdrawn;

/// The stream of one call.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    /// Where items arrive: what is under way, as it counts.
    pub(crate) window: Window,
    /// Where items are made in this process.
    pub(crate) gate: Option<Arc<ItemGate>>,
    /// An item has come: nothing is sent again any more, and the deadline no longer holds.
    pub(crate) flowing: bool,
    /// What holds instead: the function's own `timeout`.
    pub(crate) limit: Option<Time>,
}

impl Flow {
    /// Nobody reads any more.
    pub(crate) fn close(&self) {
        if let Some(gate) = &self.gate {
            gate.close();
        }
    }

    /// True if an item that was made here has passed its gate.
    pub(crate) fn has_passed(&self) -> bool {
        self.gate.as_ref().is_some_and(|gate| gate.is_flowing())
    }
}

/// Bytes of items that arrived and were not given back.
#[derive(Debug, Default)]
pub(crate) struct Window {
    under_way: u64,
}

impl Window {
    /// An item arrived.
    pub(crate) fn arrived(&mut self, cost: u64) -> Result<(), Overdrawn> {
        let sum = self.under_way.saturating_add(cost);
        if sum > STREAM_WINDOW {
            return Err(Overdrawn);
        }
        self.under_way = sum;
        Ok(())
    }

    /// Items were taken.
    pub(crate) fn returned(&mut self, bytes: u64) -> Result<(), Overdrawn> {
        self.under_way = self.under_way.checked_sub(bytes).ok_or(Overdrawn)?;
        Ok(())
    }
}

/// What a reader has taken and not yet told its sender: told in lumps, so that it costs little, and early enough that a
/// sender never waits for a reader that has taken everything.
#[derive(Debug, Default)]
pub struct Taken(u64);

/// From here on it is told. A sender without credit for the dearest item, half of a window, has more than that under way.
const TELL_FROM: u64 = STREAM_WINDOW / 4;

impl Taken {
    /// An item of that cost was taken; what is to be told now.
    pub fn add(&mut self, cost: u64) -> Option<u64> {
        self.0 += cost;
        (self.0 >= TELL_FROM).then(|| std::mem::take(&mut self.0))
    }
}

#[cfg(test)]
mod tests {
    use mpreg_types::item_cost;
    use proptest::prelude::*;

    use super::*;
    use crate::Pass;

    proptest! {
        /// Sender and reader never wait for each other, and the window is never exceeded.
        #[test]
        fn items_of_any_sizes_get_through(sizes in prop::collection::vec(prop_oneof![0_u64..2000, 0_u64..1_000_000], 1..400), lag in 0_usize..50) {
            let (gate, mut window, mut taken) = (ItemGate::new(), Window::default(), Taken::default());
            let mut held = std::collections::VecDeque::new();
            let mut taken_of = |held: &mut std::collections::VecDeque<u64>, window: &mut Window| {
                let Some(cost) = held.pop_front() else { return false };
                match taken.add(cost) {
                    Some(bytes) => { window.returned(bytes).unwrap(); gate.give(bytes).unwrap() }
                    None => false,
                }
            };
            for size in sizes {
                let cost = item_cost(size);
                while gate.pass(cost) == Pass::Wait {
                    prop_assert!(!held.is_empty(), "both wait");
                    let mut woken = false;
                    while !woken && !held.is_empty() {
                        woken = taken_of(&mut held, &mut window);
                    }
                    prop_assert!(woken, "the reader took everything and nobody was woken");
                }
                prop_assert_eq!(window.arrived(cost), Ok(()));
                held.push_back(cost);
                if held.len() > lag {
                    taken_of(&mut held, &mut window);
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        let mut window = Window::default();
        assert_eq!(window.arrived(STREAM_WINDOW), Ok(()));
        assert_eq!((window.arrived(1), window.returned(STREAM_WINDOW + 1)), (Err(Overdrawn), Err(Overdrawn)));
        assert_eq!(window.returned(STREAM_WINDOW), Ok(()));
    }
}
