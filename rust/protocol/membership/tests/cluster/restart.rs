//! Incarnations: the newer start of a node replaces the older one, never the other way round.

use std::time::Duration;

use mpreg_membership::{Config, DropReason, Event, Input, MemberIdentity, Output, Row, RowState};
use mpreg_types::{Incarnation, LeaveReason, MemberState};

use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_restart_is_seen_by_all_as_the_newer_start() {
    for (down_for, seeds) in [(SECOND / 20, 10), (SECOND, 5), (SECOND * 30, 2)] {
        for seed in 0..seeds {
            let mut world = World::converged(10, Config::lan(), seed);
            world.kill(3);
            world.run(down_for);
            let old = world.nodes[3].incarnation;
            world.start(3, &[0]);
            let took = world.run_until(SECOND * 10, World::all_see_all);
            assert!(took.is_some_and(|took| took <= SECOND), "seed {seed}: {took:?}");
            let id = world.nodes[3].id;
            let up = |event: &Event| matches!(event, Event::Up { member, replaced } if member.identity.node == id && *replaced == Some(old));
            assert_eq!(world.count(up), 9, "seed {seed}");
            world.run(SECOND * 5);
            assert!(world.all_see_all(), "the death of the old start does not reach the new one");
        }
    }
}

#[test]
fn a_node_that_left_can_start_again() {
    let mut world = World::converged(5, Config::lan(), 1);
    world.leave(2, LeaveReason::Maintenance);
    world.run(SECOND);
    world.start(2, &[0]);
    let took = world.run_until(SECOND * 10, World::all_see_all);
    assert!(took.is_some_and(|took| took <= SECOND), "{took:?}");
}

#[test]
fn connections_of_an_older_start_or_one_that_left_are_refused() {
    let mut world = World::converged(3, Config::lan(), 1);
    let new = world.nodes[1].identity();
    let old = MemberIdentity { incarnation: Incarnation(new.incarnation.0 - 1), ..new.clone() };
    let drop_of = |world: &mut World, peer: MemberIdentity| {
        let mut out = Vec::new();
        let now = world.now;
        world.nodes[0].machine.as_mut().unwrap().handle(Input::Connected { peer }, now, &mut out);
        out.into_iter()
            .find_map(|output| if let Output::Drop { reason, .. } = output { Some(reason) } else { None })
    };
    let known = new.incarnation;
    assert_eq!(drop_of(&mut world, old), Some(DropReason::OldIncarnation { known }));
    world.leave(2, LeaveReason::GracefulShutdown);
    world.run(SECOND / 10);
    let gone = world.nodes[2].identity();
    assert_eq!(drop_of(&mut world, gone), Some(DropReason::Left));
    assert_eq!(world.state(0, 1), Some(MemberState::Alive));
}

#[test]
fn a_process_learns_that_a_later_start_of_it_is_known() {
    let mut world = World::converged(3, Config::lan(), 1);
    let identity = world.nodes[1].identity();
    let later = Incarnation(identity.incarnation.0 + 5);
    let row = Row {
        node: identity.node,
        incarnation: later,
        generation: 0,
        refutation: 0,
        state: RowState::Alive,
        addresses: identity.addresses,
    };
    let from = world.nodes[0].id;
    for _ in 0..2 {
        let message = mpreg_membership::Message::News(vec![row.clone()]);
        world.give(1, Input::Message { from, message });
    }
    let superseded =
        |event: &Event| matches!(event, Event::Superseded { incarnation } if *incarnation == later);
    assert_eq!(world.count(superseded), 1);
}
