//! How fast a death is seen by all.

use std::time::Duration;

use mpreg_membership::{Config, Event, Input};
use mpreg_types::MemberState;

use crate::world::{Samples, World, deaths};

const SECOND: Duration = Duration::from_secs(1);

fn over_seeds(
    count: usize,
    victims: usize,
    seeds: std::ops::Range<u64>,
    die: fn(&mut World, usize),
) -> (Samples, Samples) {
    let runs: Vec<_> = seeds.map(|seed| deaths(count, victims, seed, die)).collect();
    let suspected = runs.iter().flat_map(|run| run.0.clone()).collect();
    let down = runs.iter().flat_map(|run| run.1.clone()).collect();
    (Samples::new(suspected), Samples::new(down))
}

fn silently(world: &mut World, victim: usize) {
    world.links.black_hole(victim);
}

fn by_kill(world: &mut World, victim: usize) {
    world.kill(victim);
}

fn assert_silent(count: usize, victims: usize, seeds: std::ops::Range<u64>) {
    let (suspected, down) = over_seeds(count, victims, seeds, silently);
    assert!(suspected.percentile(90) <= SECOND * 3 / 2, "suspected {suspected}");
    assert!(down.percentile(50) <= SECOND * 3 && down.percentile(99) <= SECOND * 4, "down {down}");
    // Nor sooner than a stall that is to be tolerated.
    assert!(down.percentile(0) >= SECOND * 2, "down {down}");
}

fn assert_process(count: usize, victims: usize, seeds: std::ops::Range<u64>) {
    let (_, down) = over_seeds(count, victims, seeds, by_kill);
    assert!(down.percentile(50) <= SECOND && down.percentile(99) <= SECOND * 2, "down {down}");
}

#[test]
fn a_silent_death_is_seen_by_2_in_time() {
    assert_silent(3, 1, 0..40);
}

#[test]
fn a_silent_death_is_seen_by_9_in_time() {
    assert_silent(10, 3, 0..15);
}

#[test]
fn a_silent_death_is_seen_by_49_in_time() {
    assert_silent(50, 8, 0..2);
}

#[test]
fn a_process_death_is_seen_by_2_in_time() {
    assert_process(3, 1, 0..40);
}

#[test]
fn a_process_death_is_seen_by_9_in_time() {
    assert_process(10, 3, 0..15);
}

#[test]
fn a_process_death_is_seen_by_49_in_time() {
    assert_process(50, 8, 0..2);
}

#[test]
fn an_address_that_answers_with_another_node_proves_its_holder_down_at_once() {
    let mut world = World::converged(10, Config::lan(), 3);
    world.kill(4);
    world.run(SECOND / 200);
    let (by, former) = (world.nodes[5].id, world.nodes[4].id);
    world.give(0, Input::AddressTaken { by, former });
    assert_eq!(world.state(0, 4), Some(MemberState::Down));
    let took = world.run_until(SECOND, |world| world.all_see(4, MemberState::Down));
    assert!(took.is_some_and(|took| took <= Duration::from_millis(100)), "{took:?}");
}

#[test]
fn another_process_on_the_address_of_a_dead_one_is_found_by_dialling() {
    let mut world = World::converged(5, Config::lan(), 3);
    world.kill(4);
    world.nodes[4].address = "10.9.9.9:1".to_owned();
    world.nodes[3].address = "10.0.0.4:40000".to_owned();
    let took = world.run_until(SECOND, |world| world.state(0, 4) == Some(MemberState::Down));
    assert!(took.is_some_and(|took| took <= Duration::from_millis(200)), "{took:?}");
}

#[test]
fn a_lost_connection_alone_changes_nothing() {
    let mut world = World::converged(10, Config::lan(), 5);
    for (a, b) in [(1, 2), (3, 4), (1, 5)] {
        world.break_connection(a, b);
    }
    world.run(SECOND * 5);
    assert!(world.events.is_empty(), "{:?}", world.events);
    assert!(world.is_connected(1, 2) && world.is_connected(3, 4) && world.is_connected(1, 5));
}

#[test]
fn half_of_the_cluster_dies_at_once() {
    let mut world = World::converged(20, Config::lan(), 5);
    for victim in 10..20 {
        world.kill(victim);
    }
    let seen = |world: &World| (10..20).all(|victim| world.all_see(victim, MemberState::Down));
    let took = world.run_until(SECOND * 10, seen);
    assert!(took.is_some_and(|took| took <= SECOND * 2), "{took:?}");
    assert!(world.all_see_all());
    assert_eq!(world.count(|event| matches!(event, Event::Returned { .. })), 0);
}
