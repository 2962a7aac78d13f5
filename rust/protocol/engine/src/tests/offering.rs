use mpreg_catalog::CatalogError;
use mpreg_types::{ContractHash, FunctionVersion, ResourceSet, Scope, Selector};

use super::world::{World, asking, entry, millis, name};
use crate::{EngineError, Event, FunctionEntry, Input};

fn remove(text: &str) -> Input {
    Input::Remove { name: name(text), version: FunctionVersion::ONE }
}

#[test]
fn what_is_registered_can_be_called_here_at_once_and_elsewhere_soon() {
    let mut world = World::converged(3);
    world.register(1, entry("f")).unwrap();
    assert!(world.can_call(1, "f"));
    assert!(world.choice(1, &asking("f")).unwrap().connection.is_none());
    let everywhere = |world: &mut World| (0..3).all(|index| world.can_call(index, "f"));
    let took = world.run_until("everywhere", millis(20), everywhere);
    assert!(took <= millis(5), "{took:?}");
    world.give(1, remove("f")).unwrap();
    assert!(!world.can_call(1, "f"));
    world.run_until("gone everywhere", millis(20), |world| (0..3).all(|index| !world.can_call(index, "f")));
}

#[test]
fn what_cannot_be_registered_changes_nothing() {
    let mut world = World::converged(2);
    world.register(0, entry("f")).unwrap();
    let error = world.register(0, FunctionEntry { scope: Scope::Local, ..entry("f") }).unwrap_err();
    assert!(matches!(error, EngineError::AlreadyRegistered { .. }));
    assert!(error.to_string().starts_with("f 1.0.0 is registered on this node already"), "{error}");
    let many = (0..65).map(|number| format!("r{number}")).collect::<Vec<_>>();
    let resources = ResourceSet::parse(many.iter().map(String::as_str)).unwrap();
    let error = world.register(0, FunctionEntry { resources, ..entry("g") }).unwrap_err();
    assert!(matches!(error, EngineError::Catalog(CatalogError::TooManyResources { .. })));
    assert!(!world.can_call(0, "g"));
    world.register(0, entry("g")).unwrap();
    assert_eq!(
        world.give(0, remove("h")),
        Err(EngineError::NotRegistered { name: name("h"), version: FunctionVersion::ONE })
    );
}

#[test]
fn local_functions_never_leave_their_node() {
    let mut world = World::converged(2);
    let before = world.engine(0).catalog_machine().own_version();
    world.register(0, FunctionEntry { scope: Scope::Local, ..entry("inner") }).unwrap();
    assert!(world.can_call(0, "inner"));
    world.run(millis(1_000));
    assert!(!world.can_call(1, "inner"));
    assert_eq!(world.engine(0).catalog_machine().own_version(), before);
    world.give(0, remove("inner")).unwrap();
    assert!(!world.can_call(0, "inner"));
}

#[test]
fn a_nodes_resources_count_for_all_its_functions() {
    let mut world = World::new(2);
    world.places[0].resources = ResourceSet::parse(["gpu"]).unwrap();
    for index in 0..2 {
        world.boot(index);
        world.register(index, entry("f")).unwrap();
        world.start(index, &[0]);
    }
    world.run_until("all agree", millis(100), World::agrees);
    world.run(millis(5));
    let gpu = Selector { resources: ResourceSet::parse(["gpu"]).unwrap(), ..asking("f") };
    for index in 0..2 {
        assert_eq!(world.choice(index, &gpu).unwrap().candidate.node(), world.places[0].id);
    }
}

#[test]
fn snapshots_come_at_most_every_interval_and_own_functions_at_once() {
    let mut world = World::converged(2);
    let interval = world.config.publish_interval;
    world.places[1].published.clear();
    for number in 0..50 {
        world.places[0].published.clear();
        world.register(0, entry(&format!("f{number}"))).unwrap();
        assert_eq!(world.places[0].published, [world.now]);
        world.run(interval / 5);
    }
    world.run(millis(20));
    let published = &world.places[1].published;
    assert!(published.len() >= 5, "{}", published.len());
    assert!(published.windows(2).all(|pair| pair[1].since(pair[0]) >= interval), "{published:?}");
    assert!((0..50).all(|number| world.can_call(1, &format!("f{number}"))));
    let quiet = world.places[1].published.len();
    world.run(millis(2_000));
    assert_eq!(world.places[1].published.len(), quiet, "an idle mesh publishes nothing");
}

#[test]
fn owners_that_differ_are_told_of_it_once_and_stay_callable() {
    let mut world = World::converged(3);
    let other = FunctionEntry { contract: ContractHash::from_bytes([9; 32]), ..entry("f") };
    world.register(0, entry("f")).unwrap();
    world.run(millis(20));
    world.register(1, other.clone()).unwrap();
    world.run(millis(1_000));
    let own = |world: &World, index: usize| {
        let me = world.places[index].id;
        let mine = |event: &&Event| matches!(event, Event::Conflict(c) if c.newcomer == me || c.other == me);
        world.places[index].events.iter().map(|(_, event)| event).filter(mine).count()
    };
    assert_eq!((own(&world, 0), own(&world, 1)), (1, 1), "both owners warn, once");
    for index in 0..3 {
        for contract in [entry("f").contract, other.contract] {
            let typed = Selector { contract: Some(contract), ..asking("f") };
            assert_eq!(world.choice(index, &typed).unwrap().candidate.contract, contract);
        }
    }
}
