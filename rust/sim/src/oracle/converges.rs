use std::time::Duration;

use mpreg_engine::Convergence;
use mpreg_types::NodeId;

use crate::{Violation, World};

/// How exactly the time is taken.
const STEP: Duration = Duration::from_millis(10);

/// Every running node sees exactly the running nodes alive, in their present starts, and lists exactly what they offer;
/// at the latest after `limit`. How long it took.
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
