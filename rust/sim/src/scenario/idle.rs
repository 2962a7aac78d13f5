use std::time::Duration;

use crate::oracle::{idle_bytes, no_false_death};
use crate::{Violation, World};

/// Bytes of control frames that an idle node of fifty may send in a second.
const IDLE_BYTES: u64 = 2_000;

/// Fifty nodes have nothing to say for 30 s.
pub fn idle_mesh(seed: u64) -> Result<(), Violation> {
    let mut world = World::converged(50, 0, seed)?;
    idle_bytes(&mut world, Duration::from_secs(30), IDLE_BYTES)?;
    no_false_death(&world, &std::collections::BTreeSet::new())
}
