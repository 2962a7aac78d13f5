use std::time::Duration;

use mpreg_types::{ClusterId, ConnectionId, MemberState, Selector, WantedCluster};

use super::world::{
    FIRST, NOW, World, asking, busy, client_call, constrained, contract, node, offer, resources, version,
};
use crate::{Circuit, CircuitState, Explanation, Obstacle, Offer, Route};

fn reasons(explanation: &Explanation) -> Vec<(String, Option<Obstacle>)> {
    explanation.candidates.iter().map(|row| (row.node.clone(), row.reason)).collect()
}

#[test]
fn every_candidate_has_its_reason_and_the_chosen_one_is_first() {
    let mut world = World::new();
    let gpu = || Offer { resources: resources(&["gpu"]), contract: contract(1), ..offer("f") };
    for number in 1..=12 {
        world.put(number, &gpu());
        world.facts(number, &[], number == 6);
    }
    world.put(2, &Offer { contract: contract(9), ..gpu() });
    world.index.set_member(node(4), FIRST, MemberState::Suspect);
    for _ in 0..Circuit::FAILURES {
        world.peer(5).circuit().failed(NOW - Duration::from_secs(1));
    }
    world.peer(7).clear_connection(ConnectionId(7));
    world.index.set_member(node(8), FIRST, MemberState::Down);
    world.index.set_member(node(9), FIRST, MemberState::Left);
    world.put(10, &Offer { contract: contract(1), ..offer("f") });
    world.put(11, &Offer { version: version("0.1.0"), ..gpu() });
    world.index.remove_function(node(11), FIRST, &"f".parse().unwrap(), &version("1"));
    world.put(12, &Offer { version: version("0.2.0"), ..gpu() });
    world.index.remove_function(node(12), FIRST, &"f".parse().unwrap(), &version("1"));
    busy(&world.peer(1), 5);
    let selector = Selector {
        resources: resources(&["gpu"]),
        contract: Some(contract(1)),
        tried: vec![node(3)],
        ..constrained("f", ">=0.2")
    };
    let explanation = world.snapshot().explain(&selector, &client_call(0));
    let expected = [
        (1, None),
        (12, Some(Obstacle::LowerVersion)),
        (2, Some(Obstacle::OtherContract)),
        (3, Some(Obstacle::Tried)),
        (4, Some(Obstacle::Suspect)),
        (5, Some(Obstacle::CircuitOpen)),
        (6, Some(Obstacle::Draining)),
        (7, Some(Obstacle::Unreachable)),
        (8, Some(Obstacle::Down)),
        (9, Some(Obstacle::Left)),
        (10, Some(Obstacle::Resources)),
        (11, Some(Obstacle::Version)),
    ];
    let expected: Vec<_> = expected.map(|(n, reason)| (format!("eu/n{n}/{n}"), reason)).into();
    assert_eq!(reasons(&explanation), expected);
    assert_eq!(explanation.chosen.as_deref(), Some("eu/n1/1"));
    assert_eq!(explanation.error, None);
    let (first, fifth, seventh) =
        (&explanation.candidates[0], &explanation.candidates[5], &explanation.candidates[7]);
    assert!((first.score - 5.0).abs() < f64::EPSILON && first.load_known);
    assert_eq!((first.route, fifth.circuit, seventh.route), (Route::Direct, CircuitState::Open, Route::None));
}

#[test]
fn it_chooses_what_the_call_would_have_chosen() {
    let mut world = World::new();
    for number in 1..=5 {
        world.put(number, &offer("f"));
    }
    let snapshot = world.snapshot();
    for random in 0..20 {
        let choice = snapshot.select(&asking("f"), &client_call(random)).unwrap();
        let explanation = snapshot.explain(&asking("f"), &client_call(random));
        assert_eq!(explanation.candidates[0].node_id, choice.candidate.node());
        assert_eq!(
            explanation.candidates.iter().filter(|row| row.reason == Some(Obstacle::NotDrawn)).count(),
            4
        );
    }
}

#[test]
fn without_a_choice_it_carries_the_callers_error() {
    let mut world = World::new();
    world.put(1, &offer("f"));
    let explanation = world.snapshot().explain(&constrained("f", "2"), &client_call(0));
    assert_eq!((explanation.chosen, explanation.candidates.len()), (None, 1));
    assert!(explanation.error.unwrap().message.as_str().contains("versions there: 1.0.0"));
    let us = WantedCluster::One(ClusterId::parse("us").unwrap());
    let abroad = world.snapshot().explain(&Selector { cluster: us, ..asking("f") }, &client_call(0));
    assert!(abroad.candidates.is_empty() && abroad.error.is_some());
}
