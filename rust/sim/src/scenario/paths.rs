use std::time::Duration;

use crate::world::{Habits, Offer};
use crate::{Violation, World};

const SEED: u64 = 1;
/// The time everything takes, whatever the count: what the idle mesh does meanwhile is the same in two runs.
const WINDOW: Duration = Duration::from_secs(20);
/// What is still under way at the window's end, ends.
const AFTER: Duration = Duration::from_secs(5);
/// Handlers that begin and end soon, and callers that wait.
const QUICK: Habits = Habits {
    refuses: 0,
    raises: 0,
    hangs: 0,
    gives_up: 0,
    queue: Duration::from_millis(1),
    work: Duration::from_millis(1),
};

/// `count` calls by three nodes and a client, to two of the nodes.
pub fn call_path(count: usize) -> Result<(), Violation> {
    let mut world = busy(&[crate::WORK_ONCE, crate::WORK_AGAIN])?;
    world.load(count, WINDOW);
    world.run(WINDOW + AFTER);
    all(count, world.ledger.count(|ending| ending.error.is_none()), "calls got a result")
}

/// `count` random call graphs of up to sixteen steps each, by the same.
pub fn graph_path(count: usize) -> Result<(), Violation> {
    let mut world = busy(&[crate::STEP_ONCE, crate::STEP_AGAIN])?;
    world.graph_time = (WINDOW, WINDOW);
    world.load_graphs(count, WINDOW);
    world.run(WINDOW + AFTER);
    let answered = |(_, fate): &(_, &crate::GraphFate)| fate.endings.iter().any(|end| end.outcome.is_ok());
    let answered = world.ledger.graphs().filter(answered).count();
    all(count, answered, "graphs were answered")
}

/// `count` functions registered, one after another, by ten nodes in turn: what it costs to tell all.
pub fn change_path(count: usize) -> Result<(), Violation> {
    let mut world = World::converged(10, 0, SEED)?;
    world.records = false;
    let pause = WINDOW / u32::try_from(count.max(1)).unwrap_or(u32::MAX);
    for number in 0..count {
        world.offer(number % 10, &Offer::new(&format!("new.{number}")));
        world.run(pause);
    }
    world.run(WINDOW.saturating_sub(pause * u32::try_from(count).unwrap_or(0)) + AFTER);
    crate::oracle::disagreement(&mut world)
        .map_or(Ok(()), |why| Err(Violation::new("changes reach all", why)))
}

/// Walks a path so many times.
pub type Walk = fn(usize) -> Result<(), Violation>;

/// Every representative path, by its name.
pub const PATHS: &[(&str, Walk)] = &[("call", call_path), ("graph", graph_path), ("change", change_path)];

fn busy(functions: &[&str]) -> Result<World, Violation> {
    let mut world = World::converged(3, 1, SEED)?;
    world.records = false;
    world.habits = QUICK;
    for place in 0..2 {
        for name in functions {
            world.offer(place, &Offer { idempotent: name.ends_with("again"), ..Offer::new(name) });
        }
    }
    world.run(Duration::from_secs(1));
    Ok(world)
}

fn all(count: usize, done: usize, what: &str) -> Result<(), Violation> {
    let why = || Violation::new("paths", format!("{done} of {count} {what}"));
    if done == count { Ok(()) } else { Err(why()) }
}
