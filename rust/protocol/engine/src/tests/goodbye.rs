use mpreg_types::{LeaveReason, MemberState};

use super::world::{World, asking, entry, millis};
use crate::{ChangeKind, EngineError, Event, Input, MemberChange};

#[test]
fn a_draining_node_is_no_longer_chosen_and_still_a_member() {
    let mut world = World::converged(3);
    world.register(1, entry("f")).unwrap();
    world.run(millis(20));
    world.give(1, Input::Drain).unwrap();
    let took =
        world.run_until("seen", millis(20), |world| !world.can_call(0, "f") && !world.can_call(2, "f"));
    assert!(took <= millis(5), "{took:?}");
    assert!(world.can_call(1, "f"), "what is under way there can end its work");
    let id = world.places[1].id;
    let row = world.engine(0).members().into_iter().find(|row| row.node_id == id).unwrap();
    assert!(row.draining && row.state == MemberState::Alive);
    let explained = world
        .engine(0)
        .explain(&asking("f"), &mpreg_routing::Context { own_call: false, now: world.now, random: 0 });
    assert_eq!(explained.candidates[0].reason, Some(mpreg_routing::Obstacle::Draining));
}

#[test]
fn a_busy_node_is_seen_so_and_still_chosen_and_a_drain_does_not_end_it() {
    let mut world = World::converged(3);
    world.register(1, entry("f")).unwrap();
    world.run(millis(20));
    let id = world.places[1].id;
    let busy = |world: &World, at: usize| {
        let row = world.engine(at).members().into_iter().find(|row| row.node_id == id).unwrap();
        assert_eq!(row.state, MemberState::Alive);
        row.busy.map(String::from)
    };
    world.give(1, Input::Busy { stack: Some("in sleep".to_owned().into()) }).unwrap();
    assert_eq!(busy(&world, 1).as_deref(), Some("in sleep"));
    world.run_until("seen", millis(20), |world| (0..3).all(|at| busy(world, at).is_some()));
    assert!(world.can_call(0, "f"));
    world.give(1, Input::Drain).unwrap();
    world.run(millis(20));
    assert_eq!(busy(&world, 0).as_deref(), Some("in sleep"));
    world.give(1, Input::Busy { stack: None }).unwrap();
    world.run_until("over", millis(20), |world| (0..3).all(|at| busy(world, at).is_none()));
    assert!(!world.can_call(0, "f"), "it still drains");
}

#[test]
fn a_leave_is_seen_everywhere_with_its_reason_and_nobody_dials_who_left() {
    let mut world = World::converged(4);
    world.register(1, entry("f")).unwrap();
    world.run(millis(20));
    world.places.iter_mut().for_each(|place| place.events.clear());
    world.give(1, Input::Drain).unwrap();
    world.run(millis(20));
    world.leave(1, LeaveReason::Maintenance);
    world.run_until("gone", millis(10), |world| {
        [0, 2, 3].iter().all(|index| world.state(*index, 1) == Some(MemberState::Left))
    });
    world.run(millis(10));
    let id = world.places[1].id;
    for index in [0, 2, 3] {
        let row = world.engine(index).members().into_iter().find(|row| row.node_id == id).unwrap();
        assert_eq!((row.reason, row.id), (Some(LeaveReason::Maintenance), format!("node/{}", id.short())));
        assert!(!world.can_call(index, "f"));
        assert_eq!(world.changes(index), [(ChangeKind::Removed, "f".to_owned())]);
        let left = MemberChange::Left(LeaveReason::Maintenance);
        assert!(
            world.happened(index, |event| matches!(event, Event::Member { change, .. } if *change == left))
        );
        assert!(
            !world.happened(index, |event| matches!(event, Event::Member { change: MemberChange::Down, .. }))
        );
    }
    let dials: usize = world.places.iter().map(|place| place.dials).sum();
    world.run(millis(5_000));
    assert_eq!(world.places.iter().map(|place| place.dials).sum::<usize>(), dials);
    assert!(world.agrees());
    world.run(world.config.membership.remember);
    assert!(world.state(0, 1).is_none(), "forgotten in the end");
    assert!(world.engine(0).peer(id).is_none());
}

#[test]
fn when_all_spokes_leave_the_hub_is_alone_and_quiet() {
    let mut world = World::converged(5);
    for index in 1..5 {
        world.give(index, Input::Drain).unwrap();
        world.leave(index, LeaveReason::GracefulShutdown);
    }
    world.run(millis(100));
    let dials = world.places[0].dials;
    world.run(millis(5_000));
    assert_eq!(world.places[0].dials, dials);
    assert_eq!(world.connections(0), 0);
}

#[test]
fn after_its_leave_a_node_is_silent() {
    let mut world = World::converged(2);
    world.give(1, Input::Leave { reason: LeaveReason::GracefulShutdown }).unwrap();
    world.trace = Some(Vec::new());
    assert_eq!(world.register(1, entry("f")), Err(EngineError::Left));
    world.run(millis(500));
    let trace = world.trace.take().unwrap();
    assert!(!trace.iter().any(|line| line.contains("s 1 ")), "{trace:#?}");
    assert!(world.engine(1).counters().after_leave > 0);
}

#[test]
fn a_node_that_left_may_come_back() {
    let mut world = World::converged(3);
    world.register(1, entry("f")).unwrap();
    world.run(millis(20));
    world.leave(1, LeaveReason::Maintenance);
    world.run(millis(50));
    world.boot(1);
    world.register(1, entry("f")).unwrap();
    world.start(1, &[0]);
    world.run_until("back", millis(200), |world| world.agrees() && world.can_call(2, "f"));
    assert_eq!(world.choice(2, &asking("f")).unwrap().candidate.incarnation(), world.places[1].incarnation);
}
