use mpreg_types::{ClusterId, ErrorCode, MemberState, Scope, Selector, WantedCluster};

use super::world::{
    FIRST, OWN, World, asking, client_call, constrained, node, offer, own_call, resources, version,
};
use crate::Offer;

fn told(world: &mut World, selector: &Selector) -> (ErrorCode, String) {
    let (snapshot, context) = (world.snapshot(), client_call(0));
    let error = snapshot.select(selector, &context).unwrap_err().describe(&snapshot, selector, &context);
    (error.code, error.message.as_str().to_owned())
}

fn text(world: &mut World, selector: &Selector) -> String {
    let (code, text) = told(world, selector);
    assert_eq!(code, ErrorCode::FunctionNotFound);
    text
}

#[test]
fn nobody_offers_anything() {
    assert_eq!(
        text(&mut World::new(), &asking("shop.score")),
        "no function \"shop.score\" can be called: nobody in cluster \"eu\" offers any function yet; \
         is the node that offers it running?"
    );
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest_visible_ones() {
    let mut world = World::new();
    world.put(1, &offer("shop.score"));
    world.put(1, &offer("mpreg.shop.scoer"));
    world.put(OWN, &Offer { scope: Scope::Local, ..offer("shop.scores") });
    assert_eq!(
        text(&mut world, &asking("shop.scoer")),
        "no function \"shop.scoer\" can be called: nobody in cluster \"eu\" offers it; did you mean \"shop.score\"?"
    );
    assert_eq!(
        text(&mut world, &asking("zebra")),
        "no function \"zebra\" can be called: nobody in cluster \"eu\" offers it or anything with a similar name"
    );
    let snapshot = world.snapshot();
    let own = snapshot.select(&asking("shop.scoer"), &own_call(0)).unwrap_err();
    let own = own.describe(&snapshot, &asking("shop.scoer"), &own_call(0));
    assert!(own.message.as_str().contains("\"shop.scores\""), "{}", own.message.as_str());
}

#[test]
fn a_version_or_resource_that_nobody_has_is_answered_with_those_that_exist() {
    let mut world = World::new();
    world.put(1, &Offer { resources: resources(&["gpu", "eu"]), ..offer("f") });
    world.put(2, &Offer { version: version("1.2.0"), ..offer("f") });
    assert_eq!(
        text(&mut world, &constrained("f", ">=2")),
        "no function \"f\" version >=2 can be called: 2 offers in cluster \"eu\" (2 other version); \
         versions there: 1.2.0, 1.0.0"
    );
    assert_eq!(
        text(&mut world, &Selector { resources: resources(&["tpu"]), ..asking("f") }),
        "no function \"f\" with resources {tpu} can be called: 2 offers in cluster \"eu\" (2 lacks a resource); \
         resources there: {}, {eu, gpu}"
    );
}

#[test]
fn candidates_that_cannot_be_used_are_counted_by_reason() {
    let mut world = World::new();
    for number in 1..=3 {
        world.put(number, &offer("f"));
        world.index.set_member(node(number), FIRST, MemberState::Down);
    }
    world.put(4, &offer("f"));
    world.facts(4, &[], true);
    assert_eq!(
        text(&mut world, &asking("f")),
        "no function \"f\" can be called: 4 offers in cluster \"eu\" (1 draining, 3 down)"
    );
}

#[test]
fn long_lists_are_cut() {
    let mut world = World::new();
    for number in 1..=20 {
        world.put(number, &Offer { version: version(&format!("1.{number}")), ..offer("f") });
    }
    let text = text(&mut world, &constrained("f", "==9"));
    assert!(
        text.ends_with("1.20.0, 1.19.0, 1.18.0, 1.17.0, 1.16.0, 1.15.0, 1.14.0, 1.13.0 and 12 more"),
        "{text}"
    );
}

#[test]
fn another_cluster_is_named() {
    let us = WantedCluster::One(ClusterId::parse("us").unwrap());
    let (code, text) = told(&mut World::new(), &Selector { cluster: us, ..asking("f") });
    assert_eq!(code, ErrorCode::NoRoute);
    assert!(text.contains("no route from cluster \"eu\" for function \"f\" in cluster \"us\""), "{text}");
}
