use std::time::Duration;

use mpreg_types::{ErrorCode, Executed, LeaveReason};

use crate::oracle::{calls_are_honest, converges};
use crate::world::{Habits, Offer};
use crate::{Violation, World};

const NODES: usize = 5;
const CLIENTS: usize = 3;
/// So many nodes offer the functions; the others, and clients, have to go over connections.
const WORKERS: usize = 3;

/// A mesh where some nodes offer the two functions that callers ask for.
fn working(seed: u64) -> Result<World, Violation> {
    let mut world = World::converged(NODES, CLIENTS, seed)?;
    for place in 0..WORKERS {
        offer_work(&mut world, place);
    }
    converges(&mut world, Duration::from_secs(2))?;
    Ok(world)
}

fn offer_work(world: &mut World, place: usize) {
    world.offer(place, &Offer::new(crate::WORK_ONCE));
    world.offer(place, &Offer::idempotent(crate::WORK_AGAIN));
}

/// Without faults every call ends once, executes once and nothing is unknown.
pub fn calls_without_faults(seed: u64) -> Result<(), Violation> {
    let mut world = working(seed)?;
    world.habits.hangs = 0;
    world.load(400, Duration::from_secs(2));
    world.run(Duration::from_secs(4));
    calls_are_honest(&world)?;
    let unknown = world.ledger.count(|ending| matches!(ending.error, Some((_, Executed::Unknown))));
    let results = world.ledger.count(|ending| ending.error.is_none());
    if unknown > 0 || results < 150 {
        let what = format!("{unknown} of 400 calls are unknown and {results} got a result on good links");
        return Err(Violation::new("a call completes exactly once", what));
    }
    Ok(())
}

/// Nodes leave and start again one after the other, as in a rolling restart, while everybody calls: no call fails for it,
/// and none is unknown.
pub fn polite_leaves(seed: u64) -> Result<(), Violation> {
    let mut world = working(seed)?;
    world.habits = Habits { hangs: 0, gives_up: 0, ..world.habits };
    let callers = world.running_with_clients().len() as u64;
    for place in (0..NODES).cycle().take(3 * NODES) {
        world.load(150, Duration::from_millis(600));
        let pause = world.random_time(Duration::from_millis(200));
        world.run(pause);
        world.leave_politely(place);
        world.run(Duration::from_millis(800));
        if world.start_of(place).is_some() {
            let what = format!("the node at {place} has not left although all its calls have ended");
            return Err(Violation::new("who leaves politely leaves", what));
        }
        world.start(place, &(0..NODES).collect::<Vec<_>>());
        if place < WORKERS {
            offer_work(&mut world, place);
        }
        world.run(Duration::from_millis(500));
    }
    world.run(Duration::from_secs(3));
    calls_are_honest(&world)?;
    let results = world.ledger.count(|ending| ending.error.is_none());
    let failed = |ending: &crate::Ending| {
        matches!(
            ending.error,
            Some((ErrorCode::ConnectionLost | ErrorCode::Draining | ErrorCode::NoRoute, _))
        )
    };
    let failures = world.ledger.count(failed);
    if failures > 0 || results < 1_000 || callers < 8 {
        let first = world.ledger.calls().find(|(_, fate)| fate.endings.iter().any(failed));
        let what = format!("{failures} calls failed by it, {results} got a result; the first: {first:?}");
        return Err(Violation::new("no call is lost by who leaves politely", what));
    }
    Ok(())
}

/// Nodes in a mesh that is larger than the full one.
const MANY: usize = 101;

/// In a mesh with few connections most callers have none to the nodes they call: those are dialled, no call fails for it,
/// and connections that nobody needs any more are closed.
pub fn calls_beyond_the_full_mesh(seed: u64) -> Result<(), Violation> {
    let mut world = World::new(MANY, CLIENTS, seed);
    world.records = false;
    world.config.idle_after = Duration::from_secs(3);
    for place in 0..MANY {
        world.start(place, &[0]);
    }
    // Everybody is connected to place 0, the seed.
    for place in 1..=WORKERS {
        offer_work(&mut world, place);
    }
    converges(&mut world, Duration::from_secs(10))?;
    for place in MANY..MANY + CLIENTS {
        world.start(place, &[]);
    }
    // What was dialled while the mesh formed is closed.
    world.run(Duration::from_secs(8));
    world.habits = Habits { refuses: 0, raises: 0, hangs: 0, gives_up: 0, ..world.habits };
    world.load(400, Duration::from_secs(1));
    world.run(Duration::from_secs(3));
    calls_are_honest(&world)?;
    // Deadlines are as short as 20 ms here.
    let told = |code| world.ledger.count(|ending| ending.error.is_some_and(|(said, _)| said == code));
    let (results, late) =
        (world.ledger.count(|ending| ending.error.is_none()), told(ErrorCode::DeadlineExceeded));
    let per_node = world.connections() * 2 / MANY;
    if results < 300 || results + late < 400 || world.wanted < 20 || per_node > MAX_PER_NODE {
        let what = format!(
            "of 400 calls {results} got a result and {late} ran out of time; {} dials for calls, {per_node} connections \
             per node",
            world.wanted
        );
        return Err(Violation::new("calls reach nodes that are not connected", what));
    }
    Ok(())
}

/// The active view in both directions, and what was dialled for probes and calls in the last seconds.
const MAX_PER_NODE: usize = 60;

/// Calls while connections break, processes die, stall, drain and come back, and links are cut.
pub fn calls_survive_chaos(seed: u64) -> Result<(), Violation> {
    chaos(seed).and_then(|world| calls_are_honest(&world))
}

/// The world after [`calls_survive_chaos`], before anybody judges it.
pub fn chaos(seed: u64) -> Result<World, Violation> {
    let mut world = working(seed)?;
    // Long enough that connections break under most calls' work.
    world.habits.work = Duration::from_millis(250);
    for _ in 0..12 {
        world.load(150, Duration::from_millis(500));
        fault(&mut world);
        world.break_one();
        let pause = world.random_time(Duration::from_millis(300));
        world.run(pause);
        world.break_one();
        let pause = world.random_time(Duration::from_millis(600));
        world.run(pause);
    }
    world.heal();
    // The longest deadline, the longest wait for a word, and what a pause held back.
    world.run(Duration::from_secs(5));
    Ok(world)
}

fn fault(world: &mut World) {
    let victim = usize::try_from(world.random(NODES as u64)).unwrap_or(0);
    let other = (victim + 1) % NODES;
    let pause = Duration::from_millis(5) + world.random_time(Duration::from_millis(900));
    let runs = world.start_of(victim).is_some();
    match world.random(9) {
        0 if runs => world.kill(victim),
        1 if runs => world.leave(victim, LeaveReason::GracefulShutdown),
        2 if runs => world.pause(victim, pause),
        3 => world.links.cut_one_way(victim, other),
        4 => world.heal(),
        5 => {
            let client = NODES + usize::try_from(world.random(CLIENTS as u64)).unwrap_or(0);
            world.pause(client, pause);
        }
        _ if !runs => {
            world.start(victim, &[0, 1, 2, 3, 4]);
            if victim < WORKERS {
                offer_work(world, victim);
            }
        }
        _ => {
            world.break_one();
        }
    }
}
