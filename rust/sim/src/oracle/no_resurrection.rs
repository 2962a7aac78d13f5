use std::collections::{BTreeMap, BTreeSet};

use mpreg_types::{Incarnation, MemberState, NodeId};

use crate::{Violation, World};

/// Nothing resurrects: what a node holds of an owner only ever becomes newer, and who has left does not come back in the
/// same start.
#[derive(Debug, Default)]
pub struct NoResurrection {
    /// By observer, its start and the owner: the latest seen of what is shown.
    latest: BTreeMap<(usize, u64, NodeId), (Incarnation, u64)>,
    left: BTreeSet<(usize, u64, NodeId, Incarnation)>,
}

impl NoResurrection {
    /// Looks at every node.
    pub fn look(&mut self, world: &World) -> Result<(), Violation> {
        const NAME: &str = "nothing resurrects";
        for place in world.running() {
            let (Some(engine), Some(start)) = (world.engine(place), world.start_of(place)) else { continue };
            for member in engine.membership().members() {
                let seen = (place, start, member.identity.node, member.identity.incarnation);
                if member.state == MemberState::Left {
                    self.left.insert(seen);
                } else if self.left.contains(&seen) {
                    let what =
                        format!("place {place} holds {:?} for {:?} after it left", seen.2, member.state);
                    return Err(Violation::new(NAME, what));
                }
            }
            for view in engine.catalog_machine().owners().filter(|view| view.shown) {
                let row = view.row;
                let (key, now) = ((place, start, row.owner), (row.incarnation, row.version));
                let before = self.latest.insert(key, now);
                if before.is_some_and(|before| before > now) {
                    let what =
                        format!("place {place} went back from {before:?} to {now:?} of {:?}", row.owner);
                    return Err(Violation::new(NAME, what));
                }
            }
        }
        Ok(())
    }
}
