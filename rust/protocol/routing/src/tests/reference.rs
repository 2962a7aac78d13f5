//! The choice against the rule read naively: filter by filter, over all candidates, with sets and clones.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use mpreg_types::{ConnectionId, Load, MemberState, Scope, Selector, VersionConstraint};
use proptest::prelude::*;

use super::world::{FIRST, NOW, OWN, World, asking, asking_id, contract, local, node, resources, version};
use crate::{Candidate, Circuit, Context, Offer, Snapshot};

#[derive(Debug, Clone)]
struct Node {
    state: u8,
    draining: bool,
    connected: bool,
    open: bool,
    load: Option<u32>,
    resources: BTreeSet<u8>,
    offers: Vec<(u8, u8, BTreeSet<u8>, u8, bool)>,
    slots: u32,
}

#[derive(Debug, Clone)]
struct Question {
    by_id: bool,
    constraint: usize,
    resources: BTreeSet<u8>,
    contract: Option<u8>,
    tried: BTreeSet<u8>,
    sticky: Option<u64>,
    own_call: bool,
    random: u64,
}

const VERSIONS: [&str; 4] = ["1.0.0", "1.1.0", "2.0.0", "2.1.0-rc.1"];
const CONSTRAINTS: [&str; 5] = ["*", "<2", ">=1.1", "==2.0.0", ">=2.1.0-rc.1"];
const NAMES: [&str; 2] = ["f", "g"];
const RESOURCES: [&str; 3] = ["a", "b", "c"];

fn set(most: u8) -> impl Strategy<Value = BTreeSet<u8>> {
    prop::collection::btree_set(0..most, 0..3)
}

fn a_node() -> impl Strategy<Value = Node> {
    // Mostly healthy, so that the later steps of the rule have something to choose from.
    let offers = prop::collection::vec((0_u8..2, 0_u8..4, set(3), 0_u8..2, prop::bool::weighted(0.1)), 0..4);
    (
        prop_oneof![6 => Just(0_u8), 2 => Just(1), 1 => Just(2), 1 => Just(3)],
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.9),
        prop::bool::weighted(0.2),
        prop::option::of(0_u32..4),
        set(3),
        offers,
        0_u32..2,
    )
        .prop_map(|(state, draining, connected, open, load, resources, offers, slots)| Node {
            state,
            draining,
            connected,
            open,
            load,
            resources,
            offers,
            slots,
        })
}

fn a_question() -> impl Strategy<Value = Question> {
    let plain = (any::<bool>(), 0..CONSTRAINTS.len(), set(2), prop::option::of(0_u8..2));
    let more =
        (prop::collection::btree_set(0_u8..8, 0..4), prop::option::of(0_u64..9), any::<bool>(), any::<u64>());
    (plain, more).prop_map(|((by_id, constraint, resources, contract), (tried, sticky, own_call, random))| {
        Question { by_id, constraint, resources, contract, tried, sticky, own_call, random }
    })
}

fn named(numbers: &BTreeSet<u8>) -> Vec<&'static str> {
    numbers.iter().map(|number| RESOURCES[usize::from(*number)]).collect()
}

fn build(nodes: &[Node]) -> World {
    let mut world = World::new();
    for (number, plan) in nodes.iter().enumerate() {
        let number = u8::try_from(number).unwrap();
        let peer = world.peer(number);
        world.facts(number, &named(&plan.resources), plan.draining);
        for (name, version_number, own, hash, is_local) in &plan.offers {
            let offer = Offer {
                // "g" is "f" renamed: both have the id "f".
                id: "f".parse().unwrap(),
                version: version(VERSIONS[usize::from(*version_number)]),
                resources: resources(&named(own)),
                scope: if *is_local && number == OWN { Scope::Local } else { Scope::Global },
                ..Offer::new(NAMES[usize::from(*name)].parse().unwrap(), contract(*hash))
            };
            let local = (number == OWN).then(|| local(Some(plan.slots)));
            world.index.put_function(node(number), FIRST, &offer, local);
        }
        if let Some(calls) = plan.load {
            peer.report_load(Load { in_flight: calls, queued: 0 }, NOW - Duration::from_secs(1));
        }
        if plan.open {
            (0..Circuit::FAILURES).for_each(|_| peer.circuit().failed(NOW - Duration::from_secs(1)));
        }
        if number != OWN {
            let states = [MemberState::Alive, MemberState::Suspect, MemberState::Down, MemberState::Left];
            world.index.set_member(node(number), FIRST, states[usize::from(plan.state)]);
            if !plan.connected {
                peer.clear_connection(ConnectionId(u64::from(number)));
            }
        }
    }
    world
}

fn ask(question: &Question) -> (Selector, Context) {
    let plain = if question.by_id { asking_id("f") } else { asking("f") };
    let selector = Selector {
        version: VersionConstraint::parse(CONSTRAINTS[question.constraint]).unwrap(),
        resources: resources(&named(&question.resources)),
        contract: question.contract.map(contract),
        tried: question.tried.iter().map(|number| node(*number)).collect(),
        sticky: question.sticky,
        ..plain
    };
    (selector, Context { own_call: question.own_call, now: NOW, random: question.random })
}

/// Keeps those that `wish` holds for, unless it holds for none.
fn prefer(all: Vec<&Candidate>, wish: impl Fn(&Candidate) -> bool) -> Vec<&Candidate> {
    let kept: Vec<_> = all.iter().copied().filter(|candidate| wish(candidate)).collect();
    if kept.is_empty() { all } else { kept }
}

/// The candidates that are equally right by (a) to (d), and for own calls and sticky ones the one that is.
fn right<'a>(snapshot: &'a Snapshot, selector: &Selector, context: &Context) -> Vec<&'a Candidate> {
    let names: Vec<_> = NAMES.iter().map(|text| text.parse().unwrap()).collect();
    let by_id = matches!(selector.function, mpreg_types::Wanted::Id(_));
    let all = names.iter().flat_map(|name| snapshot.candidates(name)).map(AsRef::as_ref);
    let usable = all.filter(|c: &&Candidate| {
        let peer = &c.peer;
        let local_call = peer.is_own() && context.own_call;
        (by_id || c.name.as_str() == "f")
            && selector.version.matches(&c.version)
            && c.resources.covers(&selector.resources)
            && (c.scope != Scope::Local || context.own_call)
            && matches!(peer.member(), MemberState::Alive | MemberState::Suspect)
            && (!peer.is_draining() || local_call)
            && (peer.connection().is_some() || peer.is_own())
    });
    let left = prefer(usable.collect(), |c| !c.peer.is_draining());
    let left = prefer(left, |c| c.peer.circuit().state(NOW) != crate::CircuitState::Open);
    let left = prefer(left, |c| c.peer.member() == MemberState::Alive);
    let left = prefer(left, |c| !selector.tried.contains(&c.node()));
    let left = prefer(left, |c| selector.contract.is_none_or(|contract| contract == c.contract));
    let highest = left.iter().map(|c| c.version.clone()).max();
    let left = prefer(left, |c| Some(&c.version) == highest.as_ref());
    if selector.sticky.is_none() && context.own_call {
        return prefer(left, |c| c.local.as_ref().is_some_and(|local| local.slots.has_free()));
    }
    left
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn the_choice_is_one_that_the_rule_allows(
        nodes in prop::collection::vec(a_node(), 1..24),
        question in a_question(),
    ) {
        let mut world = build(&nodes);
        let snapshot = world.snapshot();
        let (selector, context) = ask(&question);
        let right = right(&snapshot, &selector, &context);
        let choice = snapshot.select(&selector, &context);
        prop_assert_eq!(choice.is_ok(), !right.is_empty());
        let Ok(choice) = choice else { return Ok(()) };
        let chosen = &*choice.candidate;
        prop_assert!(right.iter().any(|candidate| std::ptr::eq(*candidate, chosen)), "{chosen:?} not in {right:?}");
        if selector.sticky.is_none() && right.len() > 1 {
            // Whoever is drawn, the most loaded of all never wins alone.
            let loads: Vec<u32> = right.iter().map(|candidate| candidate.peer.load(NOW)).collect();
            let most = loads.iter().copied().max().unwrap_or_default();
            let alone = loads.iter().filter(|load| **load == most).count() == 1;
            prop_assert!(!alone || chosen.peer.load(NOW) < most, "{loads:?}");
        }
        // With the chance changed, sticky calls go to the same node, and others to one that is right as well.
        let again = snapshot.select(&selector, &Context { random: !context.random, ..context }).unwrap();
        if selector.sticky.is_some() {
            prop_assert_eq!(again.candidate.node(), chosen.node());
        } else {
            prop_assert!(right.iter().any(|candidate| std::ptr::eq(*candidate, Arc::as_ptr(&again.candidate))));
        }
        let explained = snapshot.explain(&selector, &context);
        prop_assert_eq!(explained.candidates.iter().filter(|row| row.reason.is_none()).count(), 1);
        prop_assert_eq!(explained.candidates[0].node_id, chosen.node());
    }
}
