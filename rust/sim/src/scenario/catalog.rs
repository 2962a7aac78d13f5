use std::time::Duration;

use mpreg_types::LeaveReason;

use crate::oracle::{Always, converges};
use crate::world::Offer;
use crate::{Violation, World};

/// Within this time after the last fault all agree again.
const CALM: Duration = Duration::from_secs(8);

/// Nodes offer and withdraw functions all the time while connections break: all learn everything.
pub fn changes_reach_all(seed: u64) -> Result<(), Violation> {
    let mut world = World::converged(8, 0, seed)?;
    let mut always = Always::default();
    for round in 0..60 {
        change(&mut world);
        if round % 10 == 9 {
            world.break_one();
        }
        let pause = world.random_time(Duration::from_millis(60));
        always.run(&mut world, pause)?;
    }
    converges(&mut world, CALM)?;
    always.look(&world)
}

/// The network parts, both sides go on changing, one-way cuts come and go; after the heal nothing is lost.
pub fn split_and_heal(seed: u64) -> Result<(), Violation> {
    let mut world = World::converged(8, 0, seed)?;
    let mut always = Always::default();
    for _ in 0..2 {
        if world.random(2) == 0 {
            world.links.part(1, [0, 2, 5]);
        } else {
            let (a, b) = (world.random(4), 4 + world.random(4));
            world.links.cut_one_way(place(a), place(b));
            world.links.cut_one_way(place(b), place((a + 1) % 4));
        }
        for _ in 0..10 {
            change(&mut world);
            let pause = world.random_time(Duration::from_millis(1_200));
            always.run(&mut world, pause)?;
        }
        world.heal();
        converges(&mut world, CALM)?;
        always.look(&world)?;
    }
    Ok(())
}

/// Nodes are killed, leave, lose power, come back as new starts; the rest goes on changing.
pub fn nodes_come_and_go(seed: u64) -> Result<(), Violation> {
    let mut world = World::converged(6, 0, seed)?;
    let mut always = Always::default();
    for _ in 0..25 {
        let victim = place(world.random(6));
        let runs = world.start_of(victim).is_some();
        match world.random(6) {
            0 if runs => world.kill(victim),
            1 if runs => world.leave(victim, LeaveReason::Maintenance),
            2 if runs => world.power_off(victim),
            _ if !runs => {
                world.power_on(victim);
                world.start(victim, &[0, 1, 2, 3, 4, 5]);
                world.offer(victim, &Offer::new("again.here"));
            }
            _ => change(&mut world),
        }
        let pause = world.random_time(Duration::from_millis(700));
        always.run(&mut world, pause)?;
    }
    world.heal();
    for stopped in 0..6 {
        if world.start_of(stopped).is_none() {
            world.start(stopped, &[0, 1, 2, 3, 4, 5]);
        }
    }
    converges(&mut world, CALM)?;
    always.run(&mut world, Duration::from_secs(6))?;
    converges(&mut world, Duration::ZERO)?;
    Ok(())
}

/// A random running node offers or withdraws one of a few functions.
fn change(world: &mut World) {
    let running = world.running();
    if running.is_empty() {
        return;
    }
    let (place, name) = (world.pick(&running), format!("f{}", world.random(5)));
    if !world.offer(place, &Offer { doc_bytes: 3_000, ..Offer::new(&name) }) {
        world.withdraw(place, &name);
    }
}

fn place(number: u64) -> usize {
    usize::try_from(number).unwrap_or(0)
}
