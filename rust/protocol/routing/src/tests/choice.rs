use std::time::Duration;

use mpreg_types::{ClusterId, ConnectionId, Incarnation, MemberState, Scope, Selector, WantedCluster};

use super::world::{
    FIRST, NOW, OWN, World, asking, asking_id, busy, client_call, constrained, contract, local, name, node,
    number, offer, own_call, resources, version,
};
use crate::{Circuit, NoCandidate, Offer};

#[test]
fn resources_of_node_and_function_together_must_cover_what_is_asked() {
    let mut world = World::new();
    world.facts(1, &["gpu"], false);
    world.put(1, &Offer { resources: resources(&["dataset-v2"]), ..offer("f") });
    world.put(2, &Offer { resources: resources(&["dataset-v2"]), ..offer("f") });
    world.put(3, &offer("f"));
    assert_eq!(world.always(&Selector { resources: resources(&["gpu", "dataset-v2"]), ..asking("f") }), 1);
    assert_eq!(
        world.tally(&Selector { resources: resources(&["dataset-v2"]), ..asking("f") }, false, 50).len(),
        2
    );
    assert_eq!(world.tally(&asking("f"), false, 100).len(), 3);
    let none = Selector { resources: resources(&["tpu"]), ..asking("f") };
    assert_eq!(world.snapshot().select(&none, &client_call(0)).unwrap_err(), NoCandidate::NotFound);
}

#[test]
fn the_nodes_resources_may_change_after_its_functions_are_known() {
    let mut world = World::new();
    let gpu = Selector { resources: resources(&["gpu"]), ..asking("f") };
    world.put(1, &Offer { id: name("other.id").as_str().parse().unwrap(), ..offer("f") });
    assert!(world.snapshot().select(&gpu, &client_call(0)).is_err());
    world.facts(1, &["gpu"], false);
    assert_eq!(world.always(&gpu), 1);
    assert_eq!(world.always(&Selector { resources: resources(&["gpu"]), ..asking_id("other.id") }), 1);
    world.facts(1, &[], false);
    assert!(world.snapshot().select(&gpu, &client_call(0)).is_err());
}

#[test]
fn the_highest_version_that_fits_wins_whatever_its_load() {
    let mut world = World::new();
    for (number, text) in [(1, "1.0.0"), (2, "1.9.0"), (3, "2.0.0"), (4, "3.0.0-rc.1")] {
        let peer = world.put(number, &Offer { version: version(text), ..offer("f") });
        busy(&peer, u32::from(number) * 100);
    }
    assert_eq!(world.always(&asking("f")), 3);
    assert_eq!(world.always(&constrained("f", "<2")), 2);
    assert_eq!(world.always(&constrained("f", "==1.0.0")), 1);
    assert_eq!(world.always(&constrained("f", ">=3.0.0-rc.1")), 4);
}

#[test]
fn the_dead_the_leaving_and_the_unreachable_are_no_candidates() {
    let mut world = World::new();
    for number in 1..=6 {
        world.put(number, &offer("f"));
    }
    world.index.set_member(node(1), FIRST, MemberState::Down);
    world.index.set_member(node(2), FIRST, MemberState::Left);
    world.facts(3, &[], true);
    world.peer(4).clear_connection(ConnectionId(4));
    world.index.set_member(node(5), FIRST, MemberState::Suspect);
    assert_eq!(world.always(&asking("f")), 6, "an alive one is there");
    world.peer(6).clear_connection(ConnectionId(6));
    assert_eq!(world.always(&asking("f")), 5, "the suspect is the last one");
    world.index.set_member(node(5), FIRST, MemberState::Down);
    assert!(world.snapshot().select(&asking("f"), &client_call(0)).is_err());
    world.index.set_member(node(5), FIRST, MemberState::Alive);
    assert_eq!(world.always(&asking("f")), 5, "and came back");
}

#[test]
fn a_broken_connection_counts_before_the_next_snapshot() {
    let mut world = World::new();
    world.put(1, &offer("f"));
    let peer = world.put(2, &offer("f"));
    let snapshot = world.snapshot();
    peer.clear_connection(ConnectionId(2));
    for random in 0..50 {
        let choice = snapshot.select(&asking("f"), &client_call(random)).unwrap();
        assert_eq!((number(&choice), choice.connection), (1, Some(ConnectionId(1))));
    }
}

#[test]
fn an_open_circuit_is_avoided_but_the_only_candidate_is_tried() {
    let mut world = World::new();
    let peer = world.put(1, &offer("f"));
    for _ in 0..Circuit::FAILURES {
        peer.circuit().failed(NOW - Duration::from_secs(1));
    }
    assert_eq!(world.always(&asking("f")), 1);
    world.put(2, &offer("f"));
    world.index.set_member(node(2), FIRST, MemberState::Suspect);
    assert_eq!(world.always(&asking("f")), 2, "even a suspect is better");
    world.index.set_member(node(2), FIRST, MemberState::Alive);
    assert_eq!(world.always(&asking("f")), 2);
    for _ in 0..Circuit::SUCCESSES {
        peer.circuit().succeeded();
    }
    assert_eq!(world.tally(&asking("f"), false, 100).len(), 2);
}

#[test]
fn tried_ones_are_avoided_while_another_is_left_even_of_a_lower_version() {
    let mut world = World::new();
    world.put(1, &Offer { version: version("2.0.0"), ..offer("f") });
    world.put(2, &offer("f"));
    let tried = |nodes: &[u8]| Selector { tried: nodes.iter().map(|n| node(*n)).collect(), ..asking("f") };
    assert_eq!(world.always(&tried(&[])), 1);
    assert_eq!(world.always(&tried(&[1])), 2);
    assert_eq!(world.always(&tried(&[1, 2])), 1);
}

#[test]
fn a_typed_call_prefers_owners_of_its_own_contract() {
    let mut world = World::new();
    world.put(1, &Offer { contract: contract(1), ..offer("f") });
    world.put(2, &Offer { contract: contract(2), version: version("2.0.0"), ..offer("f") });
    let typed = |number| Selector { contract: Some(contract(number)), ..asking("f") };
    assert_eq!(world.always(&typed(1)), 1);
    assert_eq!(world.always(&typed(2)), 2);
    assert_eq!(world.always(&typed(9)), 2, "both stay callable");
}

#[test]
fn of_two_the_less_loaded_is_taken_and_round_trips_break_ties() {
    let mut world = World::new();
    let (a, b) = (world.put(1, &offer("f")), world.put(2, &offer("f")));
    busy(&a, 3);
    busy(&b, 2);
    assert_eq!(world.always(&asking("f")), 2);
    busy(&b, 3);
    assert_eq!(world.tally(&asking("f"), false, 100).len(), 2);
    a.measured_rtt(500);
    b.measured_rtt(40_000);
    assert_eq!(world.always(&asking("f")), 1);
}

#[test]
fn power_of_two_choices_spreads_and_spares_the_loaded() {
    let mut world = World::new();
    for number in 1..=50 {
        let peer = world.put(number, &offer("f"));
        busy(&peer, u32::from(number % 10 == 0) * 1000);
    }
    let tally = world.tally(&asking("f"), false, 10_000);
    // A loaded one is taken only if both draws are loaded: 5/50 * 4/49 of the choices.
    let loaded: u64 = tally.iter().filter(|(number, _)| **number % 10 == 0).map(|(_, count)| count).sum();
    assert!((40..=130).contains(&loaded), "{loaded}");
    assert!(
        tally.iter().filter(|(n, _)| **n % 10 != 0).all(|(_, count)| (130..=320).contains(count)),
        "{tally:?}"
    );
}

#[test]
fn ties_are_broken_evenly_in_small_and_in_large_groups() {
    for size in [2, 3, 8, 9, 40] {
        let mut world = World::new();
        for number in 1..=size {
            world.put(number, &offer("f"));
        }
        let tally = world.tally(&asking("f"), false, 1000 * u64::from(size));
        assert_eq!(tally.len(), usize::from(size));
        assert!(tally.values().all(|count| (850..=1150).contains(count)), "{size}: {tally:?}");
    }
}

#[test]
fn a_nodes_own_calls_prefer_its_own_function_while_it_has_a_free_slot() {
    let mut world = World::new();
    for number in 1..=20 {
        world.put(number, &offer("f"));
    }
    let own = local(Some(1));
    world.index.put_function(node(OWN), FIRST, &offer("f"), Some(own.clone()));
    assert_eq!(world.tally(&asking("f"), true, 100).len(), 1);
    assert_eq!(world.tally(&asking("f"), false, 2000).len(), 21, "calls of clients are spread over all");
    assert!(own.slots.try_take());
    assert_eq!(world.tally(&asking("f"), true, 2000).len(), 21, "no free slot");
    own.slots.give_back();
    let choice = world.snapshot().select(&asking("f"), &own_call(1)).unwrap();
    assert_eq!((number(&choice), choice.connection), (OWN, None));
    let elsewhere = world.tally(&Selector { tried: vec![node(OWN)], ..asking("f") }, true, 100);
    assert!(!elsewhere.contains_key(&OWN));
    world.put(1, &Offer { version: version("2.0.0"), ..offer("f") });
    assert_eq!(
        world.snapshot().select(&asking("f"), &own_call(1)).map(|c| number(&c)),
        Ok(1),
        "version comes first"
    );
}

#[test]
fn a_draining_node_can_still_call_itself_and_nobody_else_calls_it() {
    let mut world = World::new();
    world.put(OWN, &Offer { scope: Scope::Local, ..offer("inner") });
    world.put(OWN, &offer("f"));
    world.facts(OWN, &[], true);
    let snapshot = world.snapshot();
    assert!(snapshot.select(&asking("inner"), &own_call(0)).is_ok());
    assert!(snapshot.select(&asking("f"), &client_call(0)).is_err());
    world.put(1, &offer("f"));
    assert_eq!(world.snapshot().select(&asking("f"), &own_call(0)).map(|c| number(&c)), Ok(1));
}

#[test]
fn local_functions_are_for_own_calls_only() {
    let mut world = World::new();
    world.put(OWN, &Offer { scope: Scope::Local, ..offer("f") });
    let snapshot = world.snapshot();
    assert!(snapshot.select(&asking("f"), &own_call(0)).is_ok());
    assert!(snapshot.select(&asking("f"), &client_call(0)).is_err());
    assert!(snapshot.matching(&asking("f"), &client_call(0)).is_err());
}

#[test]
fn one_sticky_value_stays_with_one_node_and_moves_only_when_that_one_goes() {
    let mut world = World::new();
    for number in 1..=20 {
        world.put(number, &offer("f"));
    }
    let sticky = |value| Selector { sticky: Some(value), ..asking("f") };
    let before: Vec<u8> = (0..500).map(|value| world.always(&sticky(value))).collect();
    assert!((1..=20).all(|number| before.contains(&number)), "spread over all");
    world.index.drop_node(node(7));
    for (value, former) in before.into_iter().enumerate() {
        let after = world.always(&sticky(value as u64));
        assert_eq!(after == former, former != 7, "only values of the lost node move");
    }
}

#[test]
fn a_renamed_function_is_found_by_its_id() {
    let mut world = World::new();
    let renamed = |text: &str, id: &str| Offer { id: id.parse().unwrap(), ..offer(text) };
    world.put(1, &renamed("new.name", "old.name"));
    world.put(2, &offer("old.name"));
    world.put(3, &renamed("old.name", "third"));
    let mut by_id = |id: &str| world.tally(&asking_id(id), false, 100).keys().copied().collect::<Vec<_>>();
    assert_eq!(by_id("old.name"), [1, 2]);
    assert_eq!(by_id("third"), [3]);
    assert_eq!(world.tally(&asking("old.name"), false, 100).keys().copied().collect::<Vec<_>>(), [2, 3]);
    assert!(world.snapshot().select(&asking_id("new.name"), &client_call(0)).is_err());
    // The id of an entry may change in place, and entries go.
    world.put(3, &renamed("old.name", "fourth"));
    assert!(world.snapshot().select(&asking_id("third"), &client_call(0)).is_err());
    world.index.remove_function(node(1), FIRST, &name("new.name"), &version("1"));
    assert_eq!(world.always(&asking_id("old.name")), 2);
}

#[test]
fn two_names_of_one_node_may_share_an_id() {
    let mut world = World::new();
    for text in ["a", "b"] {
        world.put(OWN, &Offer { id: "shared".parse().unwrap(), ..offer(text) });
    }
    world.index.remove_function(node(OWN), FIRST, &name("a"), &version("1"));
    let found =
        world.snapshot().own_function(&"shared".parse().unwrap(), &version("1")).map(|c| c.name.clone());
    assert_eq!(found, Some(name("b")));
}

#[test]
fn a_call_to_all_goes_to_the_best_version_of_each_usable_node_once() {
    let mut world = World::new();
    world.put(1, &offer("f"));
    world.put(1, &Offer { version: version("2.0.0"), ..offer("f") });
    world.put(2, &offer("f"));
    world.put(3, &offer("f"));
    world.put(4, &offer("f"));
    world.index.set_member(node(2), FIRST, MemberState::Suspect);
    world.index.set_member(node(3), FIRST, MemberState::Down);
    let all = world
        .snapshot()
        .matching(&Selector { tried: vec![node(4)], ..asking("f") }, &client_call(0))
        .unwrap();
    let all: Vec<_> =
        all.iter().map(|choice| (number(choice), choice.candidate.version.to_string())).collect();
    assert_eq!(all, [(1, "2.0.0".into()), (2, "1.0.0".into()), (4, "1.0.0".into())]);
}

#[test]
fn another_cluster_is_no_route_and_the_own_one_may_be_named() {
    let mut world = World::new();
    world.put(1, &offer("f"));
    let cluster =
        |text| Selector { cluster: WantedCluster::One(ClusterId::parse(text).unwrap()), ..asking("f") };
    assert_eq!(world.always(&cluster("eu")), 1);
    assert_eq!(world.always(&Selector { cluster: WantedCluster::Any, ..asking("f") }), 1);
    let error = world.snapshot().select(&cluster("us"), &client_call(0)).unwrap_err();
    assert_eq!((error, error.may_change()), (NoCandidate::OtherCluster, false));
}

#[test]
fn a_new_start_of_a_node_takes_the_place_of_the_former() {
    let mut world = World::new();
    world.put(1, &offer("f"));
    world.put(1, &offer("g"));
    let second = world.index.peer(node(1), Incarnation(2)).unwrap();
    second.set_connection(ConnectionId(99));
    assert!(world.snapshot().select(&asking("g"), &client_call(0)).is_err(), "what it offered is gone");
    world.index.put_function(node(1), Incarnation(2), &offer("f"), None);
    world.index.put_function(node(1), FIRST, &offer("g"), None);
    assert!(world.index.peer(node(1), FIRST).is_none());
    let choice = world.snapshot().select(&asking("f"), &client_call(0)).unwrap();
    assert_eq!((choice.candidate.incarnation(), choice.connection), (Incarnation(2), Some(ConnectionId(99))));
    assert!(world.snapshot().select(&asking("g"), &client_call(0)).is_err(), "late news of the former start");
}
