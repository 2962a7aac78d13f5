use std::collections::BTreeSet;
use std::time::Duration;

use mpreg_types::MemberState;

use crate::oracle::{converges, no_false_death};
use crate::world::except;
use crate::{Violation, World};

/// What must not look like death.
const STALL: Duration = Duration::from_secs(2);

/// One node after the other stalls for 2 s on good links, and a connection of it breaks: nobody is held for dead.
pub fn one_stalls(seed: u64) -> Result<(), Violation> {
    let mut world = World::converged(10, 0, seed)?;
    for _ in 0..3 {
        let victim = world.random(10);
        let victim = usize::try_from(victim).unwrap_or(0);
        world.break_one_of(victim);
        world.pause(victim, STALL);
        let pause = world.random_time(Duration::from_millis(400));
        world.run(STALL + Duration::from_millis(800) + pause);
    }
    no_false_death(&world, &BTreeSet::new())?;
    converges(&mut world, Duration::from_secs(6))?;
    Ok(())
}

/// The machine with all nodes stalls for 2 s.
pub fn all_stall(seed: u64) -> Result<(), Violation> {
    let mut world = World::converged(10, 0, seed)?;
    for place in world.running() {
        world.pause(place, STALL);
    }
    world.run(STALL + Duration::from_secs(4));
    no_false_death(&world, &BTreeSet::new())?;
    converges(&mut world, Duration::from_secs(2))?;
    Ok(())
}

/// A node paused for 10 s is held for dead, and returns by itself within 1 s of resuming.
pub fn paused_for_long(seed: u64) -> Result<(), Violation> {
    let mut world = World::converged(6, 0, seed)?;
    let victim = usize::try_from(world.random(6)).unwrap_or(0);
    world.pause(victim, Duration::from_secs(10));
    world.run(Duration::from_millis(9_999));
    let others = except(world.running(), &[victim]);
    if let Some(by) = others.iter().find(|by| world.state(**by, victim) != Some(MemberState::Down)) {
        let what = format!("place {by} does not hold the paused place {victim} for dead");
        return Err(Violation::new("death is seen in time", what));
    }
    world.run(Duration::from_millis(1));
    converges(&mut world, Duration::from_secs(1))?;
    no_false_death(&world, &BTreeSet::from([victim]))
}
