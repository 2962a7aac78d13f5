use mpreg_types::MemberState;

use super::world::{World, asking, entry, millis};
use crate::ChangeKind;

#[test]
fn a_killed_node_is_avoided_at_once_and_down_soon() {
    let mut world = World::converged(4);
    for index in [1, 2] {
        world.register(index, entry("f")).unwrap();
    }
    world.run(millis(20));
    world.places.iter_mut().for_each(|place| place.events.clear());
    world.kill(1);
    world.run(millis(2));
    let alive = world.places[2].id;
    for _ in 0..50 {
        assert_eq!(world.choice(0, &asking("f")).unwrap().candidate.node(), alive, "its connection is gone");
        world.run(millis(1));
    }
    world.run_until("down", millis(200), |world| {
        [0, 2, 3].iter().all(|index| world.state(*index, 1) == Some(MemberState::Down))
    });
    world.run(millis(10));
    assert_eq!(world.changes(0), [(ChangeKind::Removed, "f".to_owned())]);
    assert_eq!(world.engine(0).catalog(&crate::CatalogQuery::default()).len(), 1);
}

#[test]
fn a_restarted_node_takes_the_place_of_its_former_start() {
    let mut world = World::converged(3);
    world.register(1, entry("f")).unwrap();
    world.register(1, entry("old")).unwrap();
    world.run(millis(20));
    world.places.iter_mut().for_each(|place| place.events.clear());
    world.kill(1);
    // So quickly that nobody has noticed.
    world.run(millis(1));
    world.boot(1);
    world.register(1, entry("f")).unwrap();
    world.register(1, entry("new")).unwrap();
    world.start(1, &[0]);
    world.run_until("back", millis(300), World::agrees);
    world.run(millis(10));
    for index in [0, 2] {
        let choice = world.choice(index, &asking("f")).unwrap();
        assert_eq!(choice.candidate.incarnation(), world.places[1].incarnation);
        assert!(choice.connection.is_some());
        assert!(world.can_call(index, "new") && !world.can_call(index, "old"));
        let mut changes = world.changes(index);
        changes.sort_by_key(|(kind, name)| (name.clone(), *kind == ChangeKind::Added));
        let (added, removed) = (ChangeKind::Added, ChangeKind::Removed);
        let expected = [(removed, "f"), (added, "f"), (added, "new"), (removed, "old")];
        assert_eq!(changes, expected.map(|(kind, name)| (kind, name.to_owned())));
    }
}

#[test]
fn after_a_partition_both_sides_have_everything_again() {
    let mut world = World::converged(4);
    for index in 0..4 {
        world.register(index, entry(&format!("f{index}"))).unwrap();
    }
    world.run(millis(50));
    world.places.iter_mut().for_each(|place| place.events.clear());
    for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        world.cut(a, b);
    }
    world.run_until("split", millis(2_000), |world| {
        world.state(0, 2) == Some(MemberState::Down)
            && world.state(1, 3) == Some(MemberState::Down)
            && world.state(2, 1) == Some(MemberState::Down)
            && world.state(3, 0) == Some(MemberState::Down)
    });
    world.run(millis(50));
    assert!(!world.can_call(0, "f2") && world.can_call(0, "f1"));
    world.register(2, entry("during")).unwrap();
    world.run(millis(1_000));
    world.heal();
    world.run_until("healed", millis(800), World::agrees);
    world.run(millis(20));
    for index in 0..4 {
        for name in ["f0", "f1", "f2", "f3", "during"] {
            assert!(world.can_call(index, name), "{index} {name}");
        }
    }
    let mut changes = world.changes(0);
    changes.sort_by_key(|(kind, name)| (name.clone(), *kind == ChangeKind::Added));
    let (added, removed) = (ChangeKind::Added, ChangeKind::Removed);
    let expected = [(added, "during"), (removed, "f2"), (added, "f2"), (removed, "f3"), (added, "f3")];
    assert_eq!(changes, expected.map(|(kind, name)| (kind, name.to_owned())));
}

#[test]
fn a_suspect_is_chosen_only_if_nobody_else_is_there() {
    let mut world = World::converged(4);
    for index in [1, 2] {
        world.register(index, entry("f")).unwrap();
    }
    world.run(millis(20));
    (0..4).filter(|other| *other != 1).for_each(|other| world.cut(1, other));
    world.run_until("suspect", millis(300), |world| world.state(0, 1) == Some(MemberState::Suspect));
    world.run(millis(1));
    let other = world.places[2].id;
    for _ in 0..20 {
        assert_eq!(world.choice(0, &asking("f")).unwrap().candidate.node(), other);
        world.run(millis(1));
    }
}

/// Each start has a new key, as processes without a `data_dir` have.
#[test]
fn one_address_with_many_former_holders_has_one_connection_that_stays() {
    let mut world = World::converged(4);
    for _ in 0..4 {
        let last = world.places.len() - 1;
        world.kill(last);
        world.add_place();
        world.places[last + 1].address = world.places[last].address.clone();
        world.start(last + 1, &[0]);
        world.run_until("back", millis(2_000), World::agrees);
    }
    world.run(millis(3_000));
    let (made, dials) = (world.connections_made(), world.dials());
    world.run(millis(30_000));
    assert_eq!((world.connections_made(), world.dials()), (made, dials), "nothing is left to find out");
    for index in world.running() {
        assert_eq!(world.connections(index), 3, "{index}");
    }
}

#[test]
fn a_second_connection_that_ends_at_once_leaves_the_first_one() {
    let mut world = World::converged(2);
    let used = world.connection(0, 1);
    let second = world.connect(0, 1);
    world.run(millis(5));
    world.end(0, second);
    world.run(millis(5_000));
    assert_eq!(world.connection(0, 1), used);
    assert_eq!(world.connections(0), 1);
}
