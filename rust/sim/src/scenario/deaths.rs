use std::collections::BTreeSet;
use std::time::Duration;

use crate::oracle::{DeathTimes, converges, death_in_time, no_false_death};
use crate::{Violation, World};

/// Processes of ten nodes die one after the other; each death is seen in time and harms nobody else.
pub fn process_deaths(seed: u64) -> Result<(), Violation> {
    deaths(seed, World::kill, DeathTimes::PROCESS)
}

/// Machines of ten nodes lose power one after the other.
pub fn silent_deaths(seed: u64) -> Result<(), Violation> {
    deaths(seed, World::power_off, DeathTimes::SILENT)
}

fn deaths(seed: u64, die: fn(&mut World, usize), times: DeathTimes) -> Result<(), Violation> {
    let mut world = World::converged(10, 0, seed)?;
    let mut dead = BTreeSet::new();
    for victim in [3, 7, 0] {
        let pause = world.random_time(Duration::from_millis(900));
        world.run(pause);
        die(&mut world, victim);
        dead.insert(victim);
        death_in_time(&mut world, victim, times)?;
    }
    no_false_death(&world, &dead)?;
    // A machine that lost power has its network back before its process.
    for place in dead {
        world.power_on(place);
        world.start(place, &[1]);
    }
    converges(&mut world, Duration::from_secs(8))?;
    Ok(())
}
