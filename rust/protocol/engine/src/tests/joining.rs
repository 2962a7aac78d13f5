use super::world::{World, entry, millis};
use crate::{EngineError, Event, Input};

#[test]
fn a_node_without_seeds_has_joined_at_once() {
    let mut world = World::new(1);
    world.start(0, &[]);
    assert_eq!(world.joined(0), Some(true));
    let mut world = World::new(1);
    world.start(0, &[0]);
    assert_eq!(world.joined(0), Some(true), "its own address is no seed");
}

#[test]
fn a_node_that_has_joined_can_call_what_was_there_before() {
    for (first, second) in [(0, 1), (1, 0)] {
        let mut world = World::new(2);
        world.boot(first);
        world.register(first, entry("f")).unwrap();
        world.start(first, &[]);
        world.run(millis(200));
        world.start(second, &[first]);
        let took = world.run_until("joined", millis(50), |world| world.joined(second).is_some());
        assert!(took < millis(25), "{took:?}");
        assert_eq!(world.joined(second), Some(false));
        world.run(millis(1));
        assert!(world.can_call(second, "f"));
    }
}

#[test]
fn everybody_is_introduced_by_name_once_for_each_start() {
    let mut world = World::new(4);
    for index in 0..4 {
        world.start(index, &[0]);
    }
    world.run_until("all agree", millis(500), World::agrees);
    world.kill(3);
    world.run(millis(3_000));
    world.start(3, &[0]);
    world.run_until("all agree", millis(500), World::agrees);
    world.run(millis(3_000));
    for index in 0..3 {
        for other in (0..4).filter(|other| *other != index) {
            let node = world.places[other].id;
            let named = |event: &Event| matches!(event, Event::Introduced { node: who, id } if *who == node && id.contains('/'));
            let introduced = world.places[index].events.iter().filter(|(_, event)| named(event)).count();
            assert_eq!(introduced, if other == 3 { 2 } else { 1 }, "{other} at {index}");
        }
    }
}

#[test]
fn with_one_seed_everybody_sees_everybody_in_every_shape() {
    let shapes: [fn(usize) -> usize; 3] = [|_| 0, |index| index.saturating_sub(1), |index| index / 2];
    for shape in shapes {
        let mut world = World::new(12);
        for index in 0..12 {
            world.boot(index);
            world.register(index, entry(&format!("f{index}"))).unwrap();
            world.start(index, &[shape(index)]);
        }
        world.run_until("all agree", millis(500), World::agrees);
        world.run(millis(5));
        for index in 0..12 {
            assert!((0..12).all(|function| world.can_call(index, &format!("f{function}"))));
        }
    }
}

#[test]
fn beyond_the_full_mesh_news_reaches_everybody_too() {
    let mut world = World::new(16);
    world.config.membership.full_mesh_max = 4;
    world.config.membership.active_view = 3;
    world.config.membership.push_fanout = 4;
    for index in 0..16 {
        world.start(index, &[0]);
    }
    world.run_until("all agree", millis(3_000), World::agrees);
    world.register(9, entry("f")).unwrap();
    let listed =
        |world: &World, index: usize| world.engine(index).catalog(&crate::CatalogQuery::default()).len();
    world.run_until("listed everywhere", millis(100), |world| (0..16).all(|index| listed(world, index) == 1));
}

#[test]
fn without_an_answer_a_node_starts_alone_and_goes_on_dialling() {
    let mut world = World::new(2);
    world.start(1, &[0]);
    world.run_until("joined", millis(301), |world| world.joined(1) == Some(true));
    assert!(world.now.since(mpreg_types::Time::from_millis(1_000)) >= world.config.join_timeout);
    world.start(0, &[]);
    world.run_until("met", millis(700), World::agrees);
    let told =
        world.places[1].events.iter().filter(|(_, event)| matches!(event, Event::Joined { .. })).count();
    assert_eq!(told, 1);
}

#[test]
fn two_that_dial_each_other_keep_one_connection() {
    let mut world = World::new(2);
    world.start(0, &[1]);
    world.start(1, &[0]);
    world.run_until("met", millis(100), World::agrees);
    assert_eq!((world.connections(0), world.connections(1)), (2, 2), "both dials met");
    let ids = [world.places[0].id, world.places[1].id];
    let used = |world: &World, at: usize| world.engine(at).peer(ids[1 - at]).unwrap().connection().unwrap();
    // Both ends of one connection are numbered one after the other.
    let (a, b) = (used(&world, 0).0, used(&world, 1).0);
    assert_eq!((a - 1) / 2, (b - 1) / 2, "{a} and {b}");
    world.run(millis(1_200));
    assert_eq!((world.connections(0), world.connections(1)), (1, 1));
    assert!(world.agrees());
    assert!(
        !world
            .happened(0, |event| matches!(event, Event::Member { change: crate::MemberChange::Suspect, .. }))
    );
}

#[test]
fn a_node_starts_once() {
    let mut world = World::new(1);
    world.start(0, &[]);
    assert_eq!(world.give(0, Input::Start { seeds: vec![] }), Err(EngineError::Started));
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let trace = || {
        let mut world = World::new(5);
        world.trace = Some(Vec::new());
        for index in 0..5 {
            world.start(index, &[0]);
            world.register(index, entry(&format!("f{index}"))).unwrap();
        }
        world.run(millis(300));
        world.kill(3);
        world.run(millis(600));
        world.trace.unwrap()
    };
    let (a, b) = (trace(), trace());
    assert!(a.len() > 500);
    assert_eq!(a, b);
}
