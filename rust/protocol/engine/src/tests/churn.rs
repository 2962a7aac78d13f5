//! Whatever happens: once it has calmed down all nodes list the same, and who followed the changes knows the list.

use std::collections::BTreeMap;

use mpreg_types::{ForeignText, FunctionVersion, LeaveReason, NodeId};
use proptest::prelude::*;

use super::world::{World, entry, millis, name};
use crate::{CatalogQuery, ChangeKind, Event, FunctionEntry, Input};

const NODES: usize = 4;

#[derive(Debug, Clone, Copy)]
enum Step {
    Register { node: usize, function: u8 },
    Remove { node: usize, function: u8 },
    Kill { node: usize },
    Leave { node: usize },
    Start { node: usize },
    Cut { a: usize, b: usize },
    Heal,
    Wait { millis: u64 },
}

fn a_step() -> impl Strategy<Value = Step> {
    let node = 0..NODES;
    prop_oneof![
        4 => (node.clone(), 0_u8..4).prop_map(|(node, function)| Step::Register { node, function }),
        2 => (node.clone(), 0_u8..4).prop_map(|(node, function)| Step::Remove { node, function }),
        1 => node.clone().prop_map(|node| Step::Kill { node }),
        1 => node.clone().prop_map(|node| Step::Leave { node }),
        3 => node.clone().prop_map(|node| Step::Start { node }),
        2 => (node.clone(), node).prop_map(|(a, b)| Step::Cut { a, b }),
        2 => Just(Step::Heal),
        4 => (1_u64..400).prop_map(|millis| Step::Wait { millis }),
    ]
}

/// What a node follows from its changes: documents by owner and name.
type Followed = BTreeMap<(NodeId, String), String>;

fn follow(world: &World, index: usize) -> Result<Followed, TestCaseError> {
    let mut followed = Followed::new();
    for (_, event) in &world.places[index].events {
        let Event::Change(change) = event else { continue };
        let row = &change.function;
        let key = (row.node_id, row.name.to_string());
        let former = match change.change {
            ChangeKind::Removed => followed.remove(&key),
            ChangeKind::Added | ChangeKind::Changed => followed.insert(key, row.doc.as_str().to_owned()),
            ChangeKind::Conflict => continue,
        };
        prop_assert_eq!(former.is_none(), change.change == ChangeKind::Added, "{:?}", change);
    }
    Ok(followed)
}

fn take(world: &mut World, step: Step, changes: &mut u32) {
    match step {
        Step::Register { node, function } => {
            *changes += 1;
            let doc = ForeignText::new(changes.to_string());
            let entry = FunctionEntry { doc, ..entry(&format!("f{function}")) };
            // Registered already is an answer, too.
            let _ = world.register(node, entry);
        }
        Step::Remove { node, function } => {
            let (name, version) = (name(&format!("f{function}")), FunctionVersion::ONE);
            let _ = world.give(node, Input::Remove { name, version });
        }
        Step::Kill { node } => world.kill(node),
        Step::Leave { node } if world.places[node].engine.is_some() => {
            world.leave(node, LeaveReason::GracefulShutdown);
        }
        Step::Start { node } if world.places[node].engine.is_none() => {
            world.places[node].events.clear();
            world.start(node, &[0, 1, 2, 3]);
        }
        Step::Cut { a, b } if a != b => world.cut(a, b),
        Step::Heal => world.heal(),
        Step::Wait { millis: count } => world.run(millis(count)),
        Step::Leave { .. } | Step::Start { .. } | Step::Cut { .. } => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn after_the_storm_all_list_the_same_and_followers_know_it(steps in prop::collection::vec(a_step(), 0..60)) {
        let mut world = World::new(NODES);
        let mut changes = 0;
        for node in 0..NODES {
            world.start(node, &[0, 1, 2, 3]);
        }
        for step in steps {
            take(&mut world, step, &mut changes);
            // A process that starts in the same microsecond as its former one would have the same incarnation.
            world.run(millis(1));
        }
        world.heal();
        for node in 0..NODES {
            take(&mut world, Step::Start { node }, &mut changes);
        }
        // Pairs that were cut off from each other alone are dialled with back-off, while all agree already.
        let linked = |world: &World, a: usize, b: usize| {
            a == b || world.engine(a).peer(world.places[b].id).is_some_and(|peer| peer.connection().is_some())
        };
        let connected = |world: &World| (0..NODES).all(|a| (0..NODES).all(|b| linked(world, a, b)));
        world.run_until("all agree", millis(5_000), |world| world.agrees() && connected(world));
        world.run(millis(100));
        let list = world.engine(0).catalog(&CatalogQuery::default());
        for node in 0..NODES {
            prop_assert_eq!(&world.engine(node).catalog(&CatalogQuery::default()), &list);
            let known: Followed = list
                .iter()
                .map(|row| ((row.node_id, row.name.to_string()), row.doc.as_str().to_owned()))
                .collect();
            prop_assert_eq!(follow(&world, node)?, known);
            for row in &list {
                prop_assert!(world.can_call(node, row.name.as_str()));
            }
            let others = world.engine(node).members().len();
            prop_assert!(others >= NODES);
        }
    }
}
