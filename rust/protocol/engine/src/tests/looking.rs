use mpreg_types::{
    ContractHash, ErrorCode, ForeignText, FunctionVersion, MemberState, NamePattern, ResourceSet, Scope, Tag,
};

use super::world::{World, entry, millis, name};
use crate::{CatalogQuery, FunctionEntry, FunctionRow, Identity};

fn version(text: &str) -> FunctionVersion {
    FunctionVersion::parse(text).unwrap()
}

fn shop() -> World {
    let mut world = World::new(2);
    world.places[0].name = "pricing";
    world.places[1].name = "stock";
    world.places[1].instance = Some("a");
    world.places[1].resources = ResourceSet::parse(["gpu"]).unwrap();
    for index in 0..2 {
        world.start(index, &[0]);
    }
    let tag = |text: &str| Tag::parse(text).unwrap();
    let score = FunctionEntry {
        doc: ForeignText::new("Scores rows."),
        signature: ForeignText::new("(rows: list[float]) -> float"),
        tags: [(tag("v"), tag("blue"))].into(),
        resources: ResourceSet::parse(["dataset-v2"]).unwrap(),
        ..entry("shop.score")
    };
    world.register(0, FunctionEntry { version: version("1.2.0"), ..score.clone() }).unwrap();
    world.register(1, score).unwrap();
    world.register(1, entry("shop.price")).unwrap();
    world.register(1, entry("mpreg.inner")).unwrap();
    world.register(0, FunctionEntry { scope: Scope::Local, ..entry("shop.local") }).unwrap();
    world.run_until("all agree", millis(200), World::agrees);
    world.run(millis(20));
    world
}

fn listed(world: &World, index: usize, query: &CatalogQuery) -> Vec<String> {
    let short = |row: FunctionRow| format!("{} {} {}", row.name, row.version, row.node);
    world.engine(index).catalog(query).into_iter().map(short).collect()
}

#[test]
fn the_catalog_lists_what_users_registered_in_order() {
    let world = shop();
    let pricing = format!("eu/pricing/{}", world.places[0].id.short());
    let all = [
        "shop.price 1.0.0 eu/stock/a".to_owned(),
        format!("shop.score 1.2.0 {pricing}"),
        "shop.score 1.0.0 eu/stock/a".to_owned(),
    ];
    for index in 0..2 {
        assert_eq!(listed(&world, index, &CatalogQuery::default()), all);
    }
    let own = listed(&world, 0, &CatalogQuery { own: true, ..CatalogQuery::default() });
    assert_eq!(own[0], format!("shop.local 1.0.0 {pricing}"));
    let scores = NamePattern::parse("*.score").unwrap();
    let scores = CatalogQuery { function: Some(scores), ..CatalogQuery::default() };
    assert_eq!(listed(&world, 0, &scores), all[1..]);
    let gpu = ResourceSet::parse(["gpu", "dataset-v2"]).unwrap();
    assert_eq!(listed(&world, 0, &CatalogQuery { resources: gpu, ..scores }), all[2..]);
}

#[test]
fn a_row_says_the_same_on_the_owners_node_and_elsewhere() {
    let world = shop();
    let rows = |index: usize| world.engine(index).catalog(&CatalogQuery::default());
    assert_eq!(rows(0), rows(1));
    let row = &rows(0)[2];
    assert_eq!(row.doc.as_str(), "Scores rows.");
    assert_eq!(row.signature.as_str(), "(rows: list[float]) -> float");
    assert_eq!(row.resources, ResourceSet::parse(["dataset-v2", "gpu"]).unwrap());
    assert_eq!((row.cluster.as_str(), row.tags.len(), row.node_id), ("eu", 1, world.places[1].id));
}

#[test]
fn a_description_has_every_version_and_every_signature() {
    let mut world = shop();
    let other = FunctionEntry {
        contract: ContractHash::from_bytes([9; 32]),
        signature: ForeignText::new("(rows)"),
        ..entry("shop.score")
    };
    world.register(0, other).unwrap();
    world.run(millis(20));
    let description = world.engine(1).describe(&name("shop.score"), false, world.now).unwrap();
    let short: Vec<_> = description
        .versions
        .iter()
        .map(|row| (row.version.to_string(), row.signature.as_str(), row.offers.len()))
        .collect();
    let typed = "(rows: list[float]) -> float";
    assert_eq!(
        short,
        [("1.2.0".into(), typed, 1), ("1.0.0".into(), "(rows)", 1), ("1.0.0".into(), typed, 1)]
    );
    let error = world.engine(1).describe(&name("shop.scoer"), false, world.now).unwrap_err();
    assert_eq!(error.code, ErrorCode::FunctionNotFound);
    assert!(error.message.as_str().contains("did you mean \"shop.score\""), "{}", error.message.as_str());
    assert!(world.engine(1).describe(&name("shop.local"), false, world.now).is_err());
    assert!(world.engine(0).describe(&name("shop.local"), true, world.now).is_ok());
}

#[test]
fn members_are_listed_with_name_state_and_address() {
    let mut world = shop();
    let rows = world.engine(0).members();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].id, format!("pricing/{}", world.places[0].id.short()));
    let other = &rows[1];
    assert_eq!((other.id.as_str(), other.instance.as_str()), ("stock/a", "a"));
    assert_eq!((other.state, other.reason, other.identity), (MemberState::Alive, None, Identity::Declared));
    assert_eq!((other.address.as_deref(), other.draining), (Some("memory:1"), false));
    world.kill(1);
    world.run_until("down", millis(300), |world| world.state(0, 1) == Some(MemberState::Down));
    assert_eq!(world.engine(0).members()[1].id, "stock/a", "the departed keep their name");
}
