//! Bad links, and the repair of tables that differ.

use std::time::Duration;

use mpreg_membership::{Config, Event, Input};
use mpreg_types::{LeaveReason, MemberState};

use crate::world::{World, verified};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn lost_and_doubled_messages_do_no_lasting_harm() {
    for seed in 0..6 {
        let mut world = World::converged(10, Config::lan(), seed);
        (world.links.lost_per_mille, world.links.doubled_per_mille) = (200, 200);
        world.run(SECOND * 30);
        world.kill(9);
        world.run(SECOND * 10);
        (world.links.lost_per_mille, world.links.doubled_per_mille) = (0, 0);
        let took = world.run_until(SECOND * 20, World::all_see_all);
        assert!(took.is_some_and(|took| took <= SECOND * 6), "seed {seed}: {took:?}");
        assert!(world.all_see(9, MemberState::Down), "seed {seed}");
    }
}

#[test]
fn doubled_messages_alone_change_nothing() {
    let mut world = World::converged(10, Config::lan(), 3);
    world.links.doubled_per_mille = 1000;
    world.run(SECOND * 20);
    assert!(world.events.is_empty(), "{:?}", world.events);
}

#[test]
fn a_cluster_forms_on_bad_links() {
    for seed in 0..4 {
        let mut world = World::new(10, Config::lan(), seed);
        (world.links.lost_per_mille, world.links.doubled_per_mille) = (100, 100);
        for node in 0..10 {
            world.start(node, &[0]);
        }
        world.run(SECOND * 10);
        (world.links.lost_per_mille, world.links.doubled_per_mille) = (0, 0);
        let took = world.run_until(SECOND * 20, World::all_see_all);
        assert!(took.is_some_and(|took| took <= SECOND * 6), "seed {seed}: {took:?}");
    }
}

#[test]
fn a_member_that_was_never_announced_is_found_by_comparing_tables() {
    for seed in 0..6 {
        let mut world = World::converged(5, Config::lan(), seed);
        // Node 0 is the only one that reaches the newcomer, and what it says about it is lost.
        world.add_place();
        world.links.cut.extend((1..5).flat_map(|other| [(other, 5), (5, other)]));
        world.start(5, &[0]);
        while world.state(0, 5).is_none() {
            world.run(Duration::from_millis(1));
        }
        world.links.lost_per_mille = 1000;
        world.run(SECOND / 20);
        world.links.lost_per_mille = 0;
        assert!((1..5).all(|other| world.state(other, 5).is_none()), "seed {seed}");
        let took = world.run_until(SECOND * 30, World::all_see_all);
        assert!(took.is_some_and(|took| took <= SECOND * 12), "seed {seed}: {took:?}");
    }
}

#[test]
fn a_leave_that_was_lost_is_learnt_from_whoever_knows_it() {
    for seed in 0..6 {
        let mut world = World::converged(6, Config::lan(), seed);
        world.links.lost_per_mille = 1000;
        let leave = world.signed_leave(5, LeaveReason::GracefulShutdown);
        world.leave(5, LeaveReason::GracefulShutdown);
        let from = world.nodes[5].id;
        world.give(0, Input::Left { from, leave: verified(leave) });
        world.run(SECOND / 10);
        world.links.lost_per_mille = 0;
        assert!((1..5).all(|other| world.state(other, 5) == Some(MemberState::Alive)), "seed {seed}");
        let took = world.run_until(SECOND * 30, |world| world.all_see(5, MemberState::Left));
        assert!(took.is_some_and(|took| took <= SECOND * 4), "seed {seed}: {took:?}");
    }
}

#[test]
fn who_was_forgotten_is_not_remembered_again() {
    let config = Config { remember: SECOND * 20, ..Config::lan() };
    let mut world = World::converged(6, config, 3);
    world.kill(4);
    world.run(SECOND * 15);
    assert!(world.all_see(4, MemberState::Down));
    world.run(SECOND * 60);
    assert_eq!(world.count(|event| matches!(event, Event::Forgotten { .. })), 5);
    assert_eq!(world.state(0, 4), None);
    assert_eq!(world.count(|event| matches!(event, Event::Up { .. } | Event::Returned { .. })), 0);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut world = World::converged(10, Config::lan(), seed);
        world.links.lost_per_mille = 100;
        world.stall(2, SECOND * 4);
        world.run(SECOND * 10);
        world.kill(5);
        world.run(SECOND * 10);
        let sent: Vec<u64> = world.nodes.iter().map(|node| node.sent_messages).collect();
        (world.events, sent)
    };
    let first = run(1);
    assert!(first == run(1));
    assert!(first != run(2));
}

#[test]
fn the_fast_settings_for_tests_hold_their_promises_too() {
    for seed in 0..10 {
        let mut world = World::converged(5, Config::test(), seed);
        world.stall(2, Duration::from_millis(200));
        world.run(SECOND);
        assert_eq!(world.count(|event| matches!(event, Event::Down { .. })), 0, "seed {seed}");
        world.links.black_hole(3);
        let took = world.run_until(SECOND, |world| world.all_see_from(3, &[0, 1, 2, 4]));
        assert!(took.is_some_and(|took| took <= Duration::from_millis(400)), "seed {seed}: {took:?}");
    }
}
