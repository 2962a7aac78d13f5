use std::time::Duration;

use mpreg_types::LeaveReason;

use crate::oracle::{converges, graphs_are_honest};
use crate::world::{Habits, Offer};
use crate::{Violation, World};

const NODES: usize = 5;
const CLIENTS: usize = 2;
/// So many nodes offer the functions of steps.
const WORKERS: usize = 4;
/// Rounds with faults.
const ROUNDS: usize = 8;
/// Graphs of the phase in which nothing goes wrong.
const CALM: usize = 80;

/// Call graphs while connections break, processes die, stall, drain and come back, and links are cut; then without
/// faults, when each must be answered, and what was held for it is freed long before its deadline.
pub fn graphs(seed: u64) -> Result<(), Violation> {
    let mut world = stormy_graphs(seed)?;
    graphs_are_honest(&world)?;
    world.heal();
    for place in 0..NODES {
        begin_again(&mut world, place);
    }
    converges(&mut world, Duration::from_secs(10))?;
    // Clients that lost their entry node have another one, and what was learnt of overloads and losses is forgotten.
    world.run(Duration::from_secs(5));
    calm_graphs(&mut world)
}

/// The world after the phase with faults, when the last deadline has passed.
pub fn stormy_graphs(seed: u64) -> Result<World, Violation> {
    let mut world = World::converged(NODES, CLIENTS, seed)?;
    for place in 0..WORKERS {
        offer_steps(&mut world, place);
    }
    converges(&mut world, Duration::from_secs(2))?;
    // Long enough that nodes die while others still need what they hold.
    let work = Duration::from_millis(250);
    world.habits = Habits { refuses: 0, raises: 1, hangs: 1, work, ..world.habits };
    for _ in 0..ROUNDS {
        world.load_graphs(12, Duration::from_millis(400));
        fault(&mut world);
        for _ in 0..2 {
            let pause = Duration::from_millis(50) + world.random_time(Duration::from_millis(400));
            world.run(pause);
            fault(&mut world);
        }
    }
    world.heal();
    // The longest deadline, the longest wait for a word, and what a pause held back.
    world.run(Duration::from_secs(5));
    Ok(world)
}

fn calm_graphs(world: &mut World) -> Result<(), Violation> {
    let before = world.ledger.graphs().count();
    // Shorter than a step's own time, so that all succeed; several of them are longer.
    let work = Duration::from_millis(350);
    world.habits = Habits { refuses: 0, raises: 0, hangs: 0, work, ..world.habits };
    world.graph_time = (Duration::from_secs(20), Duration::from_secs(20));
    world.load_graphs(CALM, Duration::from_secs(1));
    world.run(Duration::from_secs(8));
    for (graph, fate) in world.ledger.graphs().skip(before) {
        if !fate.cancelled && !fate.endings.iter().any(|ending| ending.outcome.is_ok()) {
            let what = format!("graph {graph} was not answered on good links: {fate:?}");
            return Err(Violation::new("a graph is answered", what));
        }
    }
    graphs_are_honest(world)
}

fn offer_steps(world: &mut World, place: usize) {
    world.offer(place, &Offer::new(crate::STEP_ONCE));
    world.offer(place, &Offer::idempotent(crate::STEP_AGAIN));
}

fn begin_again(world: &mut World, place: usize) {
    if world.is_draining(place) {
        world.leave(place, LeaveReason::GracefulShutdown);
    }
    if world.start_of(place).is_none() {
        world.start(place, &[0, 1, 2, 3, 4]);
        if place < WORKERS {
            offer_steps(world, place);
        }
    }
}

fn fault(world: &mut World) {
    let victim = usize::try_from(world.random(NODES as u64)).unwrap_or(0);
    let other = (victim + 1) % NODES;
    let pause = Duration::from_millis(5) + world.random_time(Duration::from_millis(900));
    let runs = world.start_of(victim).is_some();
    match world.random(10) {
        0..=2 if runs => world.kill(victim),
        3 if world.is_draining(victim) => world.leave(victim, LeaveReason::GracefulShutdown),
        3 if runs => world.drain(victim),
        4 if runs => world.pause(victim, pause),
        5 => world.links.cut_one_way(victim, other),
        6 => world.heal(),
        7 => world.links.part(1, [victim, other]),
        _ if !runs || world.is_draining(victim) => begin_again(world, victim),
        _ => {
            world.break_one();
        }
    }
}
