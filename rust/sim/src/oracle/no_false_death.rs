use std::collections::BTreeSet;

use mpreg_engine::MemberChange;

use crate::{Violation, World};

/// Nobody but `excused` was held for dead, by anybody, since observations were last cleared.
pub fn no_false_death(world: &World, excused: &BTreeSet<usize>) -> Result<(), Violation> {
    let is_false = |seen: &&crate::Observed| seen.change == MemberChange::Down && !excused.contains(&seen.of);
    match world.observed.iter().find(is_false) {
        None => Ok(()),
        Some(seen) => {
            let what = format!("{:?}: place {} held the living place {} for dead", seen.at, seen.by, seen.of);
            Err(Violation::new("no false death", what))
        }
    }
}
