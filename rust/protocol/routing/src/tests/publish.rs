use std::sync::Arc;

use mpreg_types::{ConnectionId, MemberState};

use super::world::{FIRST, OWN, World, asking, client_call, name, node, offer, version};

#[test]
fn a_snapshot_never_changes() {
    let mut world = World::new();
    world.put(1, &offer("f"));
    let before = world.snapshot();
    world.put(1, &offer("g"));
    world.index.remove_function(node(1), FIRST, &name("f"), &version("1"));
    world.facts(1, &["gpu"], false);
    let after = world.snapshot();
    let offered = |snapshot: &crate::Snapshot| snapshot.names().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!((offered(&before), offered(&after)), (vec!["f".to_owned()], vec!["g".to_owned()]));
    assert_ne!(before.label(node(1)), after.label(node(1)));
    assert_eq!(after.version(), before.version() + 1);
}

#[test]
fn an_unchanged_index_says_so() {
    let mut world = World::new();
    assert!(world.index.is_changed());
    world.snapshot();
    assert!(!world.index.is_changed());
    world.index.set_member(node(OWN), FIRST, MemberState::Alive);
    assert!(!world.index.is_changed());
    world.index.remove_function(node(1), FIRST, &name("f"), &version("1"));
    world.index.drop_node(node(1));
    assert!(!world.index.is_changed());
    world.index.set_member(node(1), FIRST, MemberState::Alive);
    assert!(world.index.is_changed());
}

#[test]
fn what_did_not_change_is_shared_between_snapshots() {
    let mut world = World::new();
    for number in 0..1000 {
        world.put(1, &offer(&format!("f{number}")));
    }
    let before = world.snapshot();
    world.put(1, &offer("f5"));
    let after = world.snapshot();
    let same = before.shares_shards_with(&after);
    assert_eq!(same, crate::snapshot::SHARDS - 1);
}

#[test]
fn a_dropped_node_takes_all_it_offered_with_it() {
    let mut world = World::new();
    for text in ["f", "g"] {
        world.put(1, &offer(text));
        world.put(2, &offer(text));
    }
    world.index.drop_node(node(1));
    let snapshot = world.snapshot();
    assert!(snapshot.peer(node(1)).is_none());
    assert_eq!(snapshot.candidates(&name("f")).count(), 1);
    assert_eq!(snapshot.candidates(&name("g")).count(), 1);
    world.index.drop_node(node(OWN));
    assert!(world.snapshot().peer(node(OWN)).is_some());
}

#[test]
fn the_direct_target_is_made_once() {
    let mut world = World::new();
    world.put(1, &offer("f"));
    let snapshot = world.snapshot();
    let targets: Vec<_> = (0..2)
        .map(|random| {
            Arc::clone(snapshot.select(&asking("f"), &client_call(random)).unwrap().candidate.direct())
        })
        .collect();
    assert!(Arc::ptr_eq(&targets[0], &targets[1]));
    assert_eq!(snapshot.peer(node(1)).unwrap().connection(), Some(ConnectionId(1)));
}
