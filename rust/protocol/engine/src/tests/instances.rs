use std::time::Duration;

use mpreg_types::{LeaveReason, MemberState};

use super::world::{World, millis};
use crate::{Event, MemberChange};

/// Where the node that holds the place of `index` listens.
fn held(world: &World, index: usize) -> Option<String> {
    world.places[index].events.iter().find_map(|(_, event)| match event {
        Event::InstanceHeld { address, id, .. } => {
            assert_eq!(id, "db/main");
            address.clone()
        }
        _ => None,
    })
}

fn claimed(world: &World, index: usize) -> bool {
    world.happened(index, |event| matches!(event, Event::InstanceClaimed { id, .. } if id == "db/main"))
}

/// What `index` logs of the node at `of`.
fn told(world: &World, index: usize, of: usize) -> Vec<&'static str> {
    let of = world.places[of].id;
    let line = |event: &Event| match event {
        Event::Introduced { node, .. } => (*node == of).then_some("joined"),
        Event::Member { node, change: MemberChange::Left(_), .. } => (*node == of).then_some("left"),
        Event::NewcomerRefused { node, .. } => (*node == of).then_some("refused"),
        Event::InstanceClaimed { by, .. } => (*by == of).then_some("claimed"),
        _ => None,
    };
    world.places[index].events.iter().filter_map(|(_, event)| line(event)).collect()
}

/// Nodes 1 and 2 want to be db/main.
fn rivals(count: usize) -> World {
    let mut world = World::new(count);
    for index in [1, 2] {
        world.places[index].name = "db";
        world.places[index].instance = Some("main");
    }
    world
}

#[test]
fn a_living_holder_keeps_its_place_and_the_newcomer_learns_where_it_is() {
    for seed in [0, 1] {
        let mut world = rivals(3);
        world.start(0, &[]);
        world.start(1, &[0]);
        world.run(millis(200));
        world.start(2, &[seed]);
        world.run_until("held", millis(100), |world| held(world, 2).is_some());
        assert_eq!(held(&world, 2), Some("memory:1".to_owned()));
        assert_eq!(world.joined(2), None);
        world.run(millis(100));
        assert!(claimed(&world, 1));
        assert_eq!((held(&world, 1), world.state(0, 1)), (None, Some(MemberState::Alive)));
    }
}

#[test]
fn a_newcomer_is_not_there_before_it_knows_who_else_is() {
    let mut world = rivals(3);
    world.config.sync_patience = Duration::from_micros(10);
    world.start(0, &[]);
    world.start(1, &[0]);
    world.run(millis(200));
    world.start(2, &[0]);
    world.run_until("held", millis(100), |world| held(world, 2).is_some());
    assert_eq!(world.joined(2), None);
}

#[test]
fn of_a_refused_newcomer_others_hear_once_who_it_was_and_why() {
    let mut world = rivals(3);
    world.start(0, &[]);
    world.start(1, &[0]);
    world.run(millis(200));
    world.start(2, &[0]);
    world.run_until("held", millis(100), |world| held(world, 2).is_some());
    world.leave(2, LeaveReason::GracefulShutdown);
    world.run(millis(200));
    assert_eq!(told(&world, 1, 2), ["claimed"]);
    assert_eq!(told(&world, 0, 2), ["refused"]);
    let refused = world.places[0].events.iter().find_map(|(_, event)| match event {
        Event::NewcomerRefused { node, id, address, holder, holder_address } => {
            Some((*node, id.as_str(), address.as_deref(), *holder, holder_address.as_deref()))
        }
        _ => None,
    });
    let (newcomer, holder) = (world.places[2].id, world.places[1].id);
    assert_eq!(refused, Some((newcomer, "db/main", Some("memory:2"), holder, Some("memory:1"))));
}

#[test]
fn the_place_of_a_killed_holder_is_free_at_once() {
    let mut world = rivals(3);
    world.start(0, &[]);
    world.start(1, &[0]);
    world.run(millis(200));
    world.kill(1);
    world.start(2, &[0]);
    let took = world.run_until("joined", millis(100), |world| world.joined(2) == Some(false));
    assert!(took < world.config.membership.process_suspicion, "{took:?}");
    assert_eq!((held(&world, 2), world.state(2, 1)), (None, Some(MemberState::Down)));
    world.run(millis(200));
    world.leave(2, LeaveReason::GracefulShutdown);
    world.run(millis(200));
    assert_eq!(told(&world, 0, 2), ["joined", "left"], "it was no rival of a living node");
}

#[test]
fn the_newcomer_may_listen_where_the_holder_was() {
    let mut world = rivals(3);
    world.start(0, &[]);
    world.start(1, &[0]);
    world.run(millis(200));
    world.kill(1);
    world.places[2].address = world.places[1].address.clone();
    world.start(2, &[0]);
    world.run_until("joined", millis(100), |world| world.joined(2) == Some(false));
    world.run_until("down", millis(100), |world| world.state(0, 1) == Some(MemberState::Down));
}

#[test]
fn a_silent_holder_is_left_to_membership() {
    let mut world = rivals(4);
    for index in [0, 1, 3] {
        world.start(index, &[0]);
    }
    world.run(millis(200));
    // Its machine lost its network a moment ago.
    for other in [0, 2, 3] {
        world.cut(1, other);
    }
    world.start(2, &[0]);
    world.run(millis(100));
    assert_eq!((world.joined(2), held(&world, 2)), (None, None), "nobody knows yet");
    world.run_until("joined", world.config.holder_timeout, |world| world.joined(2) == Some(false));
    assert_eq!(world.state(2, 1), Some(MemberState::Down));
}

#[test]
fn a_holder_that_only_the_newcomer_cannot_reach_keeps_its_place() {
    let mut world = rivals(5);
    for index in [0, 1, 3, 4] {
        world.start(index, &[0]);
    }
    world.run(millis(200));
    world.cut(1, 2);
    world.start(2, &[0]);
    world.run_until("held", world.config.holder_timeout + millis(50), |world| held(world, 2).is_some());
    assert_eq!(world.joined(2), None);
    assert_eq!(world.state(0, 1), Some(MemberState::Alive));
}

#[test]
fn of_two_that_meet_after_a_partition_the_older_one_stays() {
    let mut world = rivals(4);
    let sides = [(0, 2), (0, 3), (1, 2), (1, 3)];
    for (a, b) in sides {
        world.cut(a, b);
    }
    world.start(0, &[]);
    world.start(1, &[0]);
    world.run(millis(50));
    world.start(3, &[0]);
    world.start(2, &[3]);
    world.run(millis(1_000));
    assert!(world.joined(1).is_some() && world.joined(2).is_some());
    world.heal();
    world.run_until("held", millis(1_000), |world| held(world, 2).is_some());
    assert_eq!(held(&world, 1), None);
    assert!(claimed(&world, 1));
}

#[test]
fn other_instances_and_generated_ones_do_not_clash() {
    let mut world = rivals(4);
    world.places[2].instance = Some("second");
    world.places[3].name = "db";
    for index in 0..4 {
        world.start(index, &[0]);
    }
    world.run_until("all agree", millis(200), World::agrees);
    assert!((0..4).all(|index| held(&world, index).is_none() && world.joined(index).is_some()));
}
