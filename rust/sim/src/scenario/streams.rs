use std::time::Duration;

use crate::oracle::{calls_are_honest, converges, streams_in_order};
use crate::world::{Habits, Offer};
use crate::{Violation, World};

const NODES: usize = 4;
const CLIENTS: usize = 3;
/// So many nodes make streams.
const WORKERS: usize = 2;

fn working(seed: u64) -> Result<World, Violation> {
    let mut world = World::converged(NODES, CLIENTS, seed)?;
    for place in 0..WORKERS {
        world.offer(place, &Offer::streaming(crate::WORK_STREAM));
    }
    converges(&mut world, Duration::from_secs(2))?;
    Ok(world)
}

/// Without faults every stream that is read to its end brings all its items.
pub fn streams_without_faults(seed: u64) -> Result<(), Violation> {
    let mut world = working(seed)?;
    world.habits = Habits { refuses: 0, raises: 0, ..world.habits };
    world.load_streams(60, Duration::from_secs(1));
    world.run(Duration::from_secs(20));
    calls_are_honest(&world)?;
    streams_in_order(&world)?;
    let ended_well = world.ledger.count(|ending| ending.error.is_none());
    if ended_well < 35 {
        let what = format!("{ended_well} of 60 streams ended well on good links");
        return Err(Violation::new("streams are read to their end", what));
    }
    Ok(())
}

/// Streams beside calls while connections break, and processes die, stall and come back.
pub fn streams_survive_chaos(seed: u64) -> Result<(), Violation> {
    let mut world = working(seed)?;
    for _ in 0..10 {
        world.load_streams(25, Duration::from_millis(400));
        let pause = world.random_time(Duration::from_millis(400));
        world.run(pause);
        let victim = usize::try_from(world.random(NODES as u64)).unwrap_or(0);
        match world.random(5) {
            0 if world.start_of(victim).is_some() => world.kill(victim),
            1 => {
                let pause = world.random_time(Duration::from_millis(300));
                world.pause(NODES + victim % CLIENTS, pause);
            }
            _ if world.start_of(victim).is_none() => {
                world.start(victim, &[0, 1, 2, 3]);
                if victim < WORKERS {
                    world.offer(victim, &Offer::streaming(crate::WORK_STREAM));
                }
            }
            _ => {
                world.break_one();
            }
        }
        world.break_one();
        let pause = world.random_time(Duration::from_millis(400));
        world.run(pause);
    }
    world.heal();
    world.run(Duration::from_secs(30));
    calls_are_honest(&world)?;
    streams_in_order(&world)
}
