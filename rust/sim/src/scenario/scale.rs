use std::fmt;
use std::time::Duration;

use mpreg_types::FunctionName;

use crate::oracle::disagreement;
use crate::place::Traffic;
use crate::{Offer, Violation, World};

/// How exactly times are taken.
const STEP: Duration = Duration::from_millis(5);
/// Nodes that start at the same moment; the next ones come half a second later.
const WAVE: usize = 50;
/// How long idleness is measured.
const IDLE_SECONDS: u64 = 10;
/// Changes measured, by nodes spread over the mesh.
const CHANGES: usize = 5;

/// Figures of a large mesh.
#[derive(Debug, Clone, Copy)]
pub struct Report {
    /// Nodes.
    pub nodes: usize,
    /// From the last start until all see all and everything they offer.
    pub join: Duration,
    /// From the first start on, per node, control frames and their bytes.
    pub join_traffic: Traffic,
    /// From a registration until every node has it; the longest of those measured.
    pub change: Duration,
    /// Catalog frames and bytes of one change in all, beyond those of an idle mesh.
    pub change_frames: u64,
    /// Their bytes.
    pub change_bytes: u64,
    /// From the death of a process until it is Down everywhere.
    pub death: Duration,
    /// Control bytes per node and second with nothing to say.
    pub idle_bytes: u64,
    /// Connections per node.
    pub connections: usize,
    /// Signed bytes of the catalog that a node stores.
    pub stored_bytes: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} nodes, each told of node 0 and offering two functions", self.nodes)?;
        let Traffic { frames, bytes, .. } = self.join_traffic;
        writeln!(
            f,
            "  joined {:?} after the last start; {frames} frames, {bytes} bytes per node",
            self.join
        )?;
        let (frames, bytes) = (self.change_frames, self.change_bytes);
        writeln!(
            f,
            "  a change is everywhere after {:?}: {frames} messages, {bytes} bytes in all",
            self.change
        )?;
        writeln!(f, "  a dead process is Down everywhere after {:?}", self.death)?;
        writeln!(
            f,
            "  idle: {} bytes/s per node, {} connections per node",
            self.idle_bytes, self.connections
        )?;
        write!(f, "  state: {} members, {} bytes of signed batches per node", self.nodes, self.stored_bytes)
    }
}

/// A mesh of `nodes` starts, changes, loses a node, idles.
pub fn scale(nodes: usize, seed: u64) -> Result<Report, Violation> {
    let mut world = World::new(nodes, 0, seed);
    world.records = false;
    for place in 0..nodes {
        if place % WAVE == 0 && place > 0 {
            world.run(Duration::from_millis(500));
        }
        world.offer(place, &Offer::new("everywhere"));
        world.offer(place, &Offer::new(&format!("only.{place}")));
        world.start(place, &[0]);
    }
    let join =
        until(&mut world, "all see all", Duration::from_mins(1), |world| disagreement(world).is_none())?;
    let count = nodes as u64;
    let joining = world.traffic_of_all();
    let join_traffic = Traffic { frames: joining.frames / count, bytes: joining.bytes / count, ..joining };
    world.run(Duration::from_secs(10));
    let before = world.traffic_of_all();
    world.run(Duration::from_secs(IDLE_SECONDS));
    let idle = world.traffic_of_all() - before;
    let (change, cost) = changes(&mut world, idle)?;
    let stored = |view: mpreg_catalog::OwnerView| view.stored_bytes;
    let stored_bytes =
        world.engine(nodes / 2).map_or(0, |engine| engine.catalog_machine().owners().map(stored).sum());
    let connections = world.connections() * 2 / nodes;
    Ok(Report {
        nodes,
        join,
        join_traffic,
        change,
        change_frames: cost.catalog_frames,
        change_bytes: cost.catalog_bytes,
        death: death(&mut world)?,
        idle_bytes: idle.bytes / IDLE_SECONDS / count,
        connections,
        stored_bytes,
    })
}

/// The slowest of some changes, and what one of them costs on average.
fn changes(world: &mut World, idle: Traffic) -> Result<(Duration, Traffic), Violation> {
    let nodes = world.running().len();
    let (mut slowest, mut spent) = (Duration::ZERO, Traffic::default());
    let window = Duration::from_secs(1);
    for number in 0..CHANGES {
        let owner = number * nodes / CHANGES;
        let name = format!("new.{number}");
        let before = world.traffic_of_all();
        let start = world.now;
        world.offer(owner, &Offer::new(&name));
        let known = |world: &mut World| (0..nodes).all(|place| knows(world, place, &name));
        let took = until(world, "every node has the change", Duration::from_secs(20), known)?;
        slowest = slowest.max(took);
        // What is forwarded once more, and asked for in vain, belongs to it.
        world.run(window.saturating_sub(world.now.since(start)));
        let all = world.traffic_of_all() - before;
        spent.catalog_frames += all.catalog_frames.saturating_sub(idle.catalog_frames / IDLE_SECONDS);
        spent.catalog_bytes += all.catalog_bytes.saturating_sub(idle.catalog_bytes / IDLE_SECONDS);
    }
    let count = CHANGES as u64;
    let (catalog_frames, catalog_bytes) = (spent.catalog_frames / count, spent.catalog_bytes / count);
    Ok((slowest, Traffic { catalog_frames, catalog_bytes, ..Traffic::default() }))
}

fn knows(world: &World, place: usize, name: &str) -> bool {
    let (Ok(name), Some(engine)) = (FunctionName::parse(name), world.engine(place)) else { return false };
    engine.snapshot().candidates(&name).next().is_some()
}

fn death(world: &mut World) -> Result<Duration, Violation> {
    let victim = world.running().len() - 1;
    world.kill(victim);
    until(world, "the death is known everywhere", Duration::from_secs(20), |world| {
        let down = |other: usize| world.state(other, victim) == Some(mpreg_types::MemberState::Down);
        world.running().into_iter().all(down)
    })
}

fn until(
    world: &mut World,
    what: &str,
    limit: Duration,
    done: impl Fn(&mut World) -> bool,
) -> Result<Duration, Violation> {
    let start = world.now;
    while !done(world) {
        if world.now.since(start) > limit {
            let what = match disagreement(world) {
                Some(why) => format!("not within {limit:?}: {what}; {why}"),
                None => format!("not within {limit:?}: {what}"),
            };
            return Err(Violation::new("large meshes", what));
        }
        world.run(STEP);
    }
    Ok(world.now.since(start))
}
