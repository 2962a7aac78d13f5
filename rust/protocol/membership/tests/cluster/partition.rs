//! Partitions: both sides live on, and after the heal everybody sees everybody.

use std::time::Duration;

use mpreg_membership::{Config, Event, Input};
use mpreg_types::MemberState;

use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn heal_takes(count: usize, split: Duration, seed: u64) -> Duration {
    let mut world = World::converged(count, Config::lan(), seed);
    world.links.split();
    world.run(split);
    let half = count / 2;
    assert_eq!(world.state(0, half), Some(MemberState::Down), "seed {seed}");
    assert_eq!(world.state(0, 1), if half > 1 { Some(MemberState::Alive) } else { Some(MemberState::Down) });
    world.links.heal();
    let took = world.run_until(SECOND * 30, World::all_see_all).expect("everybody sees everybody");
    // And it stays so.
    world.run(SECOND * 6);
    assert!(world.all_see_all(), "seed {seed}");
    assert_eq!(world.count(|event| matches!(event, Event::Forgotten { .. })), 0);
    took
}

#[test]
fn after_a_partition_of_15_s_everybody_sees_everybody_within_6_s() {
    for (count, seeds) in [(3, 20), (10, 10), (50, 2)] {
        for seed in 0..seeds {
            let took = heal_takes(count, SECOND * 15, seed);
            assert!(took <= SECOND * 6, "{count} nodes, seed {seed}: {took:?}");
        }
    }
}

#[test]
fn after_a_partition_of_five_minutes_too() {
    let took = heal_takes(10, SECOND * 300, 1);
    assert!(took <= SECOND * 6, "{took:?}");
}

#[test]
fn after_a_partition_longer_than_memory_the_seeds_bring_it_together() {
    let config = Config { remember: SECOND * 20, ..Config::lan() };
    let mut world = World::converged(6, config, 2);
    world.links.split();
    world.run(SECOND * 60);
    assert_eq!(world.state(0, 5), None, "forgotten");
    assert_eq!(world.state(5, 0), None, "forgotten");
    world.links.heal();
    let took = world.run_until(SECOND * 30, World::all_see_all);
    assert!(took.is_some_and(|took| took <= SECOND * 6), "{took:?}");
}

fn forget_the_seeds(world: &mut World) {
    for node in world.running() {
        world.give(node, Input::Seeds { seeds: Vec::new() });
    }
}

#[test]
fn without_any_seed_the_dead_are_dialled_and_soon_all_are_connected_again() {
    for seed in 0..3 {
        let mut world = World::converged(10, Config::lan(), seed);
        forget_the_seeds(&mut world);
        world.links.split();
        world.run(SECOND * 60);
        world.links.heal();
        let took = world.run_until(SECOND * 30, World::all_see_all);
        assert!(took.is_some_and(|took| took <= SECOND * 6), "seed {seed}: {took:?}");
        // Who is seen again is dialled at once, whatever the back-off had come to.
        world.run(SECOND * 3 / 2);
        let pairs = (0..10).flat_map(|a| (0..a).map(move |b| (a, b)));
        let apart: Vec<_> = pairs.filter(|(a, b)| !world.is_connected(*a, *b)).collect();
        assert!(apart.is_empty(), "seed {seed}: {apart:?}");
    }
}

#[test]
fn the_dead_are_dialled_until_they_are_forgotten() {
    let config = Config { remember: SECOND * 30, ..Config::lan() };
    let mut world = World::converged(4, config, 1);
    forget_the_seeds(&mut world);
    world.kill(3);
    world.run(SECOND * 25);
    world.nodes[0].dials.clear();
    world.run(SECOND * 7);
    assert!(!world.nodes[0].dials.is_empty(), "back-off is at most 5 s");
    world.run(SECOND * 5);
    world.nodes[0].dials.clear();
    world.run(SECOND * 60);
    assert_eq!(world.state(0, 3), None);
    assert!(world.nodes[0].dials.is_empty());
}

#[test]
fn two_that_cannot_reach_each_other_are_kept_alive_by_the_others() {
    for seed in 0..5 {
        let mut world = World::converged(5, Config::lan(), seed);
        world.links.cut.extend([(1, 2), (2, 1)]);
        world.run(SECOND * 20);
        assert_eq!(world.count(|event| matches!(event, Event::Down { .. })), 0, "seed {seed}");
        world.links.heal();
        world.run(SECOND * 6);
        assert!(world.all_see_all(), "seed {seed}");
    }
}

#[test]
fn a_one_way_cut_between_two_kills_nobody() {
    for seed in 0..5 {
        let mut world = World::converged(5, Config::lan(), seed);
        world.links.cut.insert((1, 2));
        world.run(SECOND * 20);
        assert_eq!(world.count(|event| matches!(event, Event::Down { .. })), 0, "seed {seed}");
        world.links.heal();
        world.run(SECOND * 6);
        assert!(world.all_see_all(), "seed {seed}");
    }
}
