use mpreg_types::ForeignText;

use super::world::{World, entry, millis};
use crate::{Change, ChangeKind, Event, FunctionEntry, Input, TokenTooOld, WatchToken};

fn told(world: &World, index: usize) -> Vec<Change> {
    let changes = world.places[index].events.iter().filter_map(|(_, event)| match event {
        Event::Change(change) => Some(change.clone()),
        _ => None,
    });
    changes.collect()
}

#[test]
fn every_change_is_told_once_with_a_rising_token() {
    let mut world = World::converged(3);
    world.register(1, entry("f")).unwrap();
    world.run(millis(20));
    world.give(1, Input::Remove { name: "f".parse().unwrap(), version: entry("f").version }).unwrap();
    world.register(1, FunctionEntry { doc: ForeignText::new("new"), ..entry("f") }).unwrap();
    world.run(millis(2_000));
    let (added, changed, removed) = (ChangeKind::Added, ChangeKind::Changed, ChangeKind::Removed);
    assert_eq!(world.changes(1), [added, removed, added].map(|kind| (kind, "f".to_owned())));
    // Within one batch a removal and a new offer of one name are one change.
    assert_eq!(world.changes(0), [added, changed].map(|kind| (kind, "f".to_owned())));
    for index in 0..3 {
        let tokens: Vec<u64> = told(&world, index).iter().map(|change| change.token.sequence).collect();
        assert!(tokens.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{tokens:?}");
        assert_eq!(told(&world, index).last().unwrap().function.doc.as_str(), "new");
    }
}

/// Found by `churn`: the whole log came before membership knew its owner, and an old removal in it undid a later offer.
#[test]
fn a_function_that_was_removed_and_offered_again_before_anybody_looked_is_there() {
    let mut world = World::new(4);
    for index in 0..4 {
        world.start(index, &[0, 1, 2, 3]);
    }
    for offered in [true, false, true] {
        if offered {
            world.register(3, entry("f")).unwrap();
        } else {
            world.give(3, Input::Remove { name: "f".parse().unwrap(), version: entry("f").version }).unwrap();
        }
        world.run(millis(1));
    }
    world.run_until("all agree", millis(500), World::agrees);
    world.run(millis(10));
    for index in 0..4 {
        assert!(world.can_call(index, "f"));
        let added = world.changes(index).iter().filter(|(kind, _)| *kind == ChangeKind::Added).count();
        let removed = world.changes(index).iter().filter(|(kind, _)| *kind == ChangeKind::Removed).count();
        assert_eq!(added, removed + 1);
    }
}

#[test]
fn a_watch_is_resumed_from_its_token() {
    let mut world = World::converged(2);
    let start = world.engine(0).watch_token();
    for number in 0..10 {
        world.register(1, entry(&format!("f{number}"))).unwrap();
    }
    world.run(millis(50));
    let told = told(&world, 0);
    assert_eq!(told.len(), 10);
    let since = |token| world.engine(0).changes_since(token).map(|all| all.cloned().collect::<Vec<_>>());
    assert_eq!(since(start).unwrap(), told);
    assert_eq!(since(told[6].token).unwrap(), told[7..]);
    assert_eq!(since(world.engine(0).watch_token()).unwrap(), []);
    let foreign = WatchToken { node: world.places[1].id, ..start };
    assert_eq!(since(foreign).unwrap_err(), TokenTooOld);
}

#[test]
fn names_of_the_mesh_itself_are_not_watched() {
    let mut world = World::converged(2);
    world.register(1, entry("mpreg.inner")).unwrap();
    world.run(millis(50));
    assert!(world.can_call(0, "mpreg.inner"));
    assert_eq!(world.changes(0), []);
}
