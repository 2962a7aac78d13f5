//! Beyond the full mesh: few connections, and news still reaches all.

use std::time::Duration;

use mpreg_membership::Config;
use mpreg_types::{LeaveReason, MemberState};

use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

/// A small stand-in for a large cluster: the rules change at 9 members instead of 65.
fn config() -> Config {
    Config { full_mesh_max: 8, active_view: 4, push_fanout: 8, ..Config::lan() }
}

#[test]
fn deaths_and_leaves_reach_all_over_the_active_views() {
    for seed in 0..3 {
        let mut world = World::converged(40, config(), seed);
        world.links.black_hole(7);
        let dead = |world: &World| {
            let others: Vec<usize> = (0..40).filter(|other| *other != 7).collect();
            world.all_see_from(7, &others)
        };
        let took = world.run_until(SECOND * 20, dead);
        assert!(took.is_some_and(|took| took <= SECOND * 4), "seed {seed}: {took:?}");
        world.leave(8, LeaveReason::GracefulShutdown);
        let left = |world: &World| {
            (0..40).filter(|o| *o != 7 && *o != 8).all(|o| world.state(o, 8) == Some(MemberState::Left))
        };
        let took = world.run_until(SECOND * 20, left);
        assert!(took.is_some_and(|took| took <= SECOND / 2), "seed {seed}: {took:?}");
    }
}

#[test]
fn a_newcomer_is_known_to_all_and_wants_only_its_view() {
    let mut world = World::new(30, config(), 1);
    for node in 0..29 {
        world.start(node, &[0]);
    }
    assert!(world.run_until(SECOND * 20, World::all_see_all).is_some());
    world.start(29, &[0]);
    let took = world.run_until(SECOND * 20, World::all_see_all);
    assert!(took.is_some_and(|took| took <= SECOND / 2), "{took:?}");
    let machine = world.nodes[29].machine.as_ref().unwrap();
    let wanted = (1..29).filter(|other| machine.is_wanted(world.nodes[*other].id)).count();
    assert!((3..=4).contains(&wanted), "its view, which may hold the seed: {wanted}");
    assert!(machine.is_wanted(world.nodes[0].id), "the seed");
}

#[test]
fn a_machine_that_stalls_kills_nobody_in_a_large_cluster_either() {
    let mut world = World::converged(40, config(), 2);
    for node in 0..40 {
        world.stall(node, SECOND * 2);
    }
    world.run(SECOND * 6);
    assert_eq!(world.count(|event| matches!(event, mpreg_membership::Event::Down { .. })), 0);
    assert!(world.all_see_all());
}
