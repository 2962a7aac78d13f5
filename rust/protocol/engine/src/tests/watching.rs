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
