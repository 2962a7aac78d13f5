use std::time::Duration;

use mpreg_engine::Convergence;
use mpreg_types::{FunctionName, NodeId};

use crate::{Violation, World};

/// How exactly the time is taken.
const STEP: Duration = Duration::from_millis(10);

/// Every running node sees exactly the running nodes alive, in their present starts, and lists exactly what they offer,
/// in its catalog and in its snapshot; at the latest after `limit`. How long it took.
pub fn converges(world: &mut World, limit: Duration) -> Result<Duration, Violation> {
    let start = world.now;
    while let Some(what) = disagreement(world) {
        if world.now.since(start) >= limit {
            return Err(Violation::new("catalog converges", format!("not within {limit:?}: {what}")));
        }
        world.run(STEP);
    }
    Ok(world.now.since(start))
}

/// A function that runs somewhere and cannot be chosen on the snapshot that `place` published last.
fn unpublished(world: &World, place: usize) -> Option<String> {
    let snapshot = &world.places[place].process.as_ref()?.snapshot;
    world.running().into_iter().find_map(|owner| {
        let process = world.places[owner].process.as_ref()?;
        let start = (world.id(owner), world.places[owner].incarnation);
        let is_there = |name: &&FunctionName| {
            snapshot.candidates(name).any(|candidate| (candidate.node(), candidate.incarnation()) == start)
        };
        let missing = process.offers.iter().find(|name| !is_there(name))?;
        Some(format!("the snapshot of place {place} does not have {missing} of place {owner}"))
    })
}

/// What two nodes (or a node and the truth) differ in, if they do.
pub fn disagreement(world: &mut World) -> Option<String> {
    let running = world.running();
    let mut alive: Vec<NodeId> = running.iter().map(|place| world.id(*place)).collect();
    alive.sort_unstable();
    let mut first: Option<Convergence> = None;
    for place in running {
        let believes = world.engine_mut(place)?.converged();
        if believes.alive != alive {
            let (sees, run) = (believes.alive.len(), alive.len());
            return Some(format!("place {place} sees {sees} nodes alive of {run} running"));
        }
        if let (true, Some(what)) = (world.records, unpublished(world, place)) {
            return Some(what);
        }
        match &first {
            None => {
                if let Some(what) = false_owner(world, place, &believes) {
                    return Some(what);
                }
                first = Some(believes);
            }
            Some(first) if *first == believes => {}
            Some(_) => return Some(format!("the catalog of place {place} differs from the first one")),
        }
    }
    None
}

/// An owner whose log is not where the owner itself is.
fn false_owner(world: &World, place: usize, believes: &Convergence) -> Option<String> {
    let row_of = |owner: NodeId| believes.owners.iter().find(|row| row.owner == owner);
    world.running().into_iter().find_map(|owner| {
        let engine = world.engine(owner)?;
        let (incarnation, version) = (engine.local().incarnation, engine.catalog_machine().own_version());
        let right = row_of(world.id(owner))
            .is_some_and(|row| row.incarnation == incarnation && row.version == version);
        (!right).then(|| format!("place {place} does not have version {version} of place {owner}"))
    })
}
