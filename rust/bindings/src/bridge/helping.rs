//! A loop that has run a step of a graph for the desk of its process brings the next step itself: nobody is woken.

use mpreg_node::{Item, Left};

use super::Bridge;

/// How often one drain goes on with steps of graphs that follow from those it has run.
const ROUNDS_MAX: usize = 64;

impl Bridge {
    /// Sees to answers for others that this drain has left; what has come for this loop meanwhile. After some rounds the
    /// loop's other work gets its turn.
    pub(super) fn see_to(&self, left: Left, rounds: &mut usize) -> Vec<Item> {
        let mut came = Vec::new();
        *rounds += 1;
        if *rounds > ROUNDS_MAX {
            left.pass_on();
        } else {
            // What a graph's next step needs of this loop it gets without being woken.
            let signalled = self.mailbox.hold();
            left.see_to();
            self.mailbox.take(&mut came);
            if signalled {
                self.eventfd.clear();
            }
        }
        came
    }
}
