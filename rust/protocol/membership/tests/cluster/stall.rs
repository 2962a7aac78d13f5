//! Stalls: up to the tolerated one nobody dies; after longer ones a node returns by itself.

use std::time::Duration;

use mpreg_membership::{Config, Event, Input, Message, Row, RowState};
use mpreg_types::MemberState;

use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

fn deaths(world: &World) -> usize {
    world.count(|event| matches!(event, Event::Down { .. } | Event::Forgotten { .. }))
}

fn a_stall_of_one_kills_nobody(count: usize, stalls: usize, seed: u64) {
    let mut world = World::converged(count, Config::lan(), seed);
    for stall in 0..stalls {
        world.stall(stall % count, SECOND * 2);
        world.run(SECOND * 3 + Duration::from_millis(seed * 41 % 300));
        assert_eq!(deaths(&world), 0, "seed {seed}, stall {stall}");
    }
    assert!(world.all_see_all(), "seed {seed}");
}

#[test]
fn one_node_of_three_stalls_for_2_s_and_nobody_dies() {
    (0..30).for_each(|seed| a_stall_of_one_kills_nobody(3, 3, seed));
}

#[test]
fn one_node_of_ten_stalls_for_2_s_and_nobody_dies() {
    (0..10).for_each(|seed| a_stall_of_one_kills_nobody(10, 4, seed));
}

#[test]
fn one_node_of_fifty_stalls_for_2_s_and_nobody_dies() {
    (0..2).for_each(|seed| a_stall_of_one_kills_nobody(50, 4, seed));
}

#[test]
fn the_machine_with_all_nodes_stalls_for_2_s_and_nobody_dies() {
    for (count, seeds) in [(3, 20), (10, 8), (50, 2)] {
        for seed in 0..seeds {
            let mut world = World::converged(count, Config::lan(), seed);
            for node in 0..count {
                world.stall(node, SECOND * 2);
            }
            world.run(SECOND * 8);
            assert_eq!(deaths(&world), 0, "{count} nodes, seed {seed}");
            assert_eq!(
                world.count(|event| matches!(event, Event::Suspect { .. })),
                0,
                "accused for our sleep"
            );
            assert!(world.all_see_all(), "{count} nodes, seed {seed}");
            let late = |node: usize| world.nodes[node].machine.as_ref().unwrap().counters().late;
            assert!((0..count).all(|node| late(node) >= 1));
        }
    }
}

#[test]
fn staggered_stalls_kill_nobody() {
    for seed in 0..5 {
        let mut world = World::converged(10, Config::lan(), seed);
        for round in 0..3 {
            for node in 0..4 {
                world.stall((node * 3 + round) % 10, Duration::from_millis(1500 + seed * 100));
                world.run(Duration::from_millis(130));
            }
            world.run(SECOND * 4);
        }
        assert_eq!(deaths(&world), 0, "seed {seed}");
        assert!(world.all_see_all(), "seed {seed}");
    }
}

#[test]
fn a_node_paused_for_10_s_is_down_and_returns_by_itself_within_1_s() {
    for (count, seeds) in [(3, 20), (10, 8), (50, 1)] {
        for seed in 0..seeds {
            let mut world = World::converged(count, Config::lan(), seed);
            world.stall(1, SECOND * 10);
            world.run(Duration::from_millis(9_999));
            assert!(world.all_see(1, MemberState::Down), "{count} nodes, seed {seed}");
            world.events.clear();
            let took = world.run_until(SECOND * 5, World::all_see_all);
            assert!(took.is_some_and(|took| took <= SECOND), "{count} nodes, seed {seed}: {took:?}");
            let returned = world.count(|event| matches!(event, Event::Returned { .. }));
            assert!(returned >= count - 1, "the same start came back, {returned} saw it");
            assert_eq!(world.count(|event| matches!(event, Event::Up { .. })), 0);
        }
    }
}

#[test]
fn a_refutation_that_waited_while_we_slept_is_heard_before_the_suspicion_ends() {
    for seed in 0..20 {
        let mut world = World::converged(2, Config::lan(), seed);
        world.links.black_hole(1);
        while world.state(0, 1) != Some(MemberState::Suspect) {
            world.run(Duration::from_millis(1));
        }
        // Asleep from just before the end of the suspicion; the refutation arrives meanwhile.
        let identity = world.nodes[1].identity();
        let suspect = world.nodes[0].machine.as_ref().unwrap().member(identity.node).unwrap();
        let end = suspect.since + Config::lan().suspicion;
        world.run(end.since(world.now).saturating_sub(Duration::from_micros(1)));
        world.stall(0, SECOND);
        let refutation = Row {
            node: identity.node,
            incarnation: identity.incarnation,
            generation: 0,
            refutation: 1,
            state: RowState::Alive,
            addresses: identity.addresses,
        };
        let message = Message::News(vec![refutation]);
        world.mail(0, Input::Message { from: identity.node, message });
        world.run(SECOND + Duration::from_millis(1));
        assert_eq!(world.state(0, 1), Some(MemberState::Alive), "seed {seed}");
        let died =
            |(_, observer, event): &(_, usize, Event)| *observer == 0 && matches!(event, Event::Down { .. });
        assert!(!world.events.iter().any(died), "seed {seed}");
    }
}

#[test]
fn good_links_raise_no_suspicion_for_minutes() {
    let mut world = World::converged(10, Config::lan(), 11);
    world.run(SECOND * 120);
    assert!(world.events.is_empty(), "{:?}", world.events);
}
