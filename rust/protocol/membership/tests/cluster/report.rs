//! The numbers of the design, measured over many seeds. Not a test of anything: run it with
//! `cargo test -p mpreg-membership --release -- --ignored --nocapture report`.

use std::time::Duration;

use mpreg_membership::Config;
use mpreg_types::{LeaveReason, MemberState};

use crate::world::{Samples, World, deaths};

const SECOND: Duration = Duration::from_secs(1);

#[expect(clippy::disallowed_macros, clippy::print_stdout, reason = "the report is the purpose")]
fn print(line: &str) {
    println!("{line}");
}

fn sample(name: &str, seeds: u64, one: impl Fn(u64) -> Vec<Duration>) {
    print(&format!("{name}: {}", Samples::new((0..seeds).flat_map(one).collect())));
}

#[test]
#[ignore = "a measurement; takes a minute in release"]
fn report() {
    for (count, victims, seeds) in [(3, 1, 300), (10, 3, 100), (50, 10, 30)] {
        sample(&format!("{count} silent: suspected by all"), seeds, |seed| {
            deaths(count, victims, seed, |world, victim| world.links.black_hole(victim)).0
        });
        sample(&format!("{count} silent: down for all"), seeds, |seed| {
            deaths(count, victims, seed, |world, victim| world.links.black_hole(victim)).1
        });
        sample(&format!("{count} process: down for all"), seeds, |seed| {
            deaths(count, victims, seed, World::kill).1
        });
        let seeds = seeds / 3;
        sample(&format!("{count} heal after 15 s"), seeds, |seed| {
            vec![crate::partition::heal_takes(count, SECOND * 15, seed)]
        });
        sample(&format!("{count} return after a pause of 10 s"), seeds, |seed| {
            let mut world = World::converged(count, Config::lan(), seed);
            world.stall(1, SECOND * 10);
            world.run(Duration::from_millis(9_999));
            vec![world.run_until(SECOND * 12, World::all_see_all).unwrap()]
        });
        sample(&format!("{count} leave"), seeds, |seed| {
            let mut world = World::converged(count, Config::lan(), seed);
            world.leave(1, LeaveReason::GracefulShutdown);
            vec![world.run_until(SECOND, |world| world.all_see(1, MemberState::Left)).unwrap()]
        });
        sample(&format!("{count} join"), seeds, |seed| {
            let mut world = World::new(count, Config::lan(), seed);
            (0..count - 1).for_each(|node| world.start(node, &[0]));
            world.run(SECOND * 2);
            world.start(count - 1, &[0]);
            vec![world.run_until(SECOND * 10, World::all_see_all).unwrap()]
        });
        idle(count);
    }
}

fn idle(count: usize) {
    let sent = |world: &World| -> (u64, u64) {
        let nodes = world.nodes.iter();
        nodes.fold((0, 0), |sum, node| (sum.0 + node.sent_messages, sum.1 + node.sent_bytes))
    };
    let mut world = World::new(count, Config::lan(), 1);
    world.counts_bytes = true;
    (0..count).for_each(|node| world.start(node, &[0]));
    world.run(SECOND * 3);
    let start = sent(&world);
    world.run(SECOND * 100);
    let end = sent(&world);
    let per_node_hundredths = |total: u64| total / count as u64;
    let (messages, bytes) =
        (per_node_hundredths(end.0 - start.0), per_node_hundredths(end.1 - start.1) / 100);
    print(&format!("{count} idle: {messages} messages per 100 s and {bytes} bytes/s per node"));
    let start = (start.0 / count as u64, start.1 / count as u64);
    print(&format!(
        "{count} started together: {} messages, {} bytes per node until settled",
        start.0, start.1
    ));
}
