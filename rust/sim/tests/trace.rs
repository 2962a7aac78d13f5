//! One seed, one run.

use std::time::Duration;

use mpreg_sim::{Offer, Trace, Violation, World};

/// A bit of everything that chance decides.
fn run(seed: u64) -> Result<Trace, Violation> {
    let mut world = World::converged(6, 2, seed)?;
    for place in 0..6 {
        world.offer(place, &Offer::new("work.once"));
        world.offer(place, &Offer::idempotent("work.again"));
    }
    world.load(200, Duration::from_secs(3));
    world.run(Duration::from_millis(500));
    world.pause(2, Duration::from_secs(1));
    world.break_one();
    world.run(Duration::from_millis(700));
    world.kill(4);
    world.links.cut_one_way(1, 3);
    world.run(Duration::from_secs(2));
    world.heal();
    world.start(4, &[0]);
    world.run(Duration::from_secs(2));
    Ok(world.trace())
}

#[test]
fn the_same_seed_twice_gives_the_same_trace() {
    for seed in 1..=3 {
        let trace = run(seed).unwrap();
        assert!(trace.steps() > 500, "{trace:?}");
        assert_eq!(trace, run(seed).unwrap(), "seed {seed}");
    }
}

#[test]
fn another_seed_gives_another_trace() {
    assert_ne!(run(1).unwrap(), run(2).unwrap());
}
