//! Every limit, as a typed error for the owner and as a counted refusal for others.

use std::time::Duration;

use bytes::Bytes;
use mpreg_types::{ClusterId, FunctionName, Incarnation, NodeKey, NodeName, ResourceSet, Scope, Time};

use super::function;
use super::mesh::Mesh;
use super::signing::TestSigner;
use crate::{
    Catalog, CatalogError, Config, Counters, EntryKey, EntryKind, EntryValue, Input, NodeFacts, OpaqueEntry,
};

fn put(catalog: &mut Catalog, value: EntryValue) -> Result<(), CatalogError> {
    let before = (catalog.own_version(), catalog.owners().next());
    let mut out = Vec::new();
    let result = catalog.handle(Input::Put { value }, Time::ZERO, &mut out);
    if result.is_err() {
        assert_eq!((catalog.own_version(), catalog.owners().next(), out), (before.0, before.1, Vec::new()));
    }
    result
}

fn catalog(config: Config) -> Catalog {
    let signer = TestSigner::new(0);
    let cluster = ClusterId::parse("test").unwrap();
    Catalog::new(config, (signer.id(), Incarnation(1)), cluster, signer, 1).unwrap()
}

fn resources(count: usize) -> ResourceSet {
    let texts: Vec<String> = (0..count).map(|index| format!("r{index}")).collect();
    ResourceSet::parse(texts.iter().map(String::as_str)).unwrap()
}

fn with_resources(count: usize) -> EntryValue {
    let EntryValue::Function(mut entry) = function("placed", "x") else { unreachable!() };
    entry.resources = resources(count);
    EntryValue::Function(entry)
}

/// An entry whose key and value take exactly `bytes`.
fn opaque(bytes: usize) -> EntryValue {
    let key = EntryKey::Unknown { kind: EntryKind(77), key: Bytes::from_static(b"12345678") };
    EntryValue::Opaque(OpaqueEntry { key, value: vec![1; bytes - 10].into() })
}

#[test]
fn entries_per_owner() {
    let mut catalog = catalog(Config { entries_max: 3, ..Config::lan() });
    for name in ["a", "b", "c"] {
        put(&mut catalog, function(name, "x")).unwrap();
    }
    let error = put(&mut catalog, function("d", "x")).unwrap_err();
    assert_eq!(error, CatalogError::TooManyEntries { limit: 3 });
    put(&mut catalog, function("c", "changing one is no new one")).unwrap();
    let key = function("a", "").key();
    catalog.handle(Input::Remove { key }, Time::ZERO, &mut Vec::new()).unwrap();
    put(&mut catalog, function("d", "x")).unwrap();
}

#[test]
fn bytes_per_entry() {
    let mut catalog = catalog(Config::lan());
    put(&mut catalog, opaque(65_536)).unwrap();
    let error = put(&mut catalog, opaque(65_537)).unwrap_err();
    assert!(matches!(error, CatalogError::EntryTooLarge { bytes: 65_537, limit: 65_536, .. }), "{error}");
}

#[test]
fn bytes_per_owner() {
    let config = Config { owner_bytes_max: 100_000, ..Config::lan() };
    let mut catalog = catalog(config);
    put(&mut catalog, function("a", &"x".repeat(60_000))).unwrap();
    let error = put(&mut catalog, function("b", &"x".repeat(60_000))).unwrap_err();
    assert!(matches!(error, CatalogError::OwnerTooLarge { limit: 100_000, .. }), "{error}");
    put(&mut catalog, function("a", "shorter")).unwrap();
    put(&mut catalog, function("b", &"x".repeat(60_000))).unwrap();
    let key = function("b", "").key();
    catalog.handle(Input::Remove { key }, Time::ZERO, &mut Vec::new()).unwrap();
    put(&mut catalog, function("b", &"x".repeat(60_000))).unwrap();
}

#[test]
fn resources_per_entry() {
    let mut catalog = catalog(Config::lan());
    put(&mut catalog, with_resources(64)).unwrap();
    let error = put(&mut catalog, with_resources(65)).unwrap_err();
    assert!(matches!(error, CatalogError::TooManyResources { count: 65, limit: 64, .. }), "{error}");
    let mut facts = NodeFacts::new(NodeName::parse("n").unwrap(), NodeKey::from_bytes([0; 32]));
    facts.resources = resources(65);
    let error = put(&mut catalog, EntryValue::NodeFacts(facts)).unwrap_err();
    assert!(error.to_string().contains("node facts"), "{error}");
}

#[test]
fn other_own_mistakes() {
    let mut catalog = catalog(Config::lan());
    let EntryValue::Function(mut local) = function("inside", "x") else { unreachable!() };
    local.scope = Scope::Local;
    let error = put(&mut catalog, EntryValue::Function(local)).unwrap_err();
    assert!(matches!(error, CatalogError::LocalScope { .. }), "{error}");
    let key = function("never", "").key();
    let error = catalog.handle(Input::Remove { key }, Time::ZERO, &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "this node does not offer never 1.2.0");
    let cluster = ClusterId::parse("test").unwrap();
    let me = (TestSigner::new(1).id(), Incarnation(1));
    let error = Catalog::new(Config::lan(), me, cluster, TestSigner::new(2), 1).unwrap_err();
    assert_eq!(error, CatalogError::ForeignSigner);
}

#[test]
fn offering_the_same_again_is_no_change() {
    let mut catalog = catalog(Config::lan());
    put(&mut catalog, function("a", "x")).unwrap();
    let mut out = Vec::new();
    catalog.handle(Input::Put { value: function("a", "x") }, Time::ZERO, &mut out).unwrap();
    assert_eq!((out, catalog.own_version()), (Vec::new(), 1));
}

/// An owner with the usual limits and a receiver with `strict` ones; the receiver's counters at the end.
fn received(strict: Config, offers: Vec<EntryValue>) -> (Counters, Mesh) {
    let mut mesh = Mesh::new(1, 1, Config::lan());
    mesh.config = strict;
    mesh.add();
    mesh.connect_all();
    for value in offers {
        mesh.put(0, value);
    }
    mesh.run_for(Duration::from_mins(1));
    (mesh.sites[1].catalog.counters().clone(), mesh)
}

fn refusals(counters: &Counters) -> Vec<&'static str> {
    counters.refused().map(|(name, _)| name).collect()
}

#[test]
fn the_same_limits_hold_for_others_and_what_breaks_them_is_not_fetched_again() {
    let lan = Config::lan;
    let many = || ["a", "b", "c"].map(|name| function(name, "x")).to_vec();
    let long = || ["a", "b"].map(|name| function(name, &"x".repeat(40_000))).to_vec();
    let cases = [
        (Config { entries_max: 2, ..lan() }, many(), "too_many_entries"),
        (Config { entry_bytes_max: 30_000, ..lan() }, long(), "entry_too_large"),
        (Config { owner_bytes_max: 70_000, ..lan() }, long(), "owner_too_large"),
        (Config { resources_max: 3, ..lan() }, vec![with_resources(4)], "too_many_resources"),
    ];
    for (strict, offers, reason) in cases {
        let (counters, mesh) = received(strict, offers);
        assert_eq!(refusals(&counters), [reason]);
        assert_eq!(counters.refused_total(), 1, "{reason} is not asked for again");
        let owner = mesh.sites[0].id;
        assert!(mesh.sites[1].catalog.entries(&owner).count() < 2);
    }
}

#[test]
fn an_owner_that_comes_back_within_the_limits_is_taken_again() {
    let many = ["a", "b", "c"].map(|name| function(name, "x")).to_vec();
    let (_, mut mesh) = received(Config { entries_max: 2, ..Config::lan() }, many);
    mesh.input(0, Input::Remove { key: function("a", "").key() });
    // The whole log is still too long on the way; only a snapshot shows the owner to be within the limits.
    for round in 0..200 {
        mesh.put(0, function("b", &format!("doc {round}")));
        mesh.run_for(Duration::from_millis(20));
    }
    mesh.run_until_converged(Duration::from_secs(12));
    mesh.check();
}

#[test]
fn a_log_without_the_snapshots_it_owes_is_refused_at_last() {
    let strict = Config { owner_bytes_max: 65_536, snapshot_slack_bytes: 1024, ..Config::lan() };
    let (_, mut mesh) = received(strict, Vec::new());
    let docs: Vec<String> = (0..2).map(|index| index.to_string().repeat(30_000)).collect();
    for round in 0..12 {
        mesh.put(0, function("a", &docs[round % 2]));
        mesh.run_for(Duration::from_millis(20));
    }
    // 12 x 30 kB are out, and the owner, with its own larger slack, made snapshots in between.
    assert!(mesh.sites[1].catalog.counters().snapshots_applied > 0);
    assert!(mesh.converged());
    mesh.sites[0].catalog.config.snapshot_slack_bytes = usize::MAX / 2;
    for round in 0..12 {
        mesh.put(0, function("a", &docs[round % 2]));
        mesh.run_for(Duration::from_millis(20));
    }
    assert!(refusals(mesh.sites[1].catalog.counters()).contains(&"log_too_long"));
}

#[test]
fn owners_that_membership_does_not_know_are_held_in_a_bounded_number() {
    let config = Config { unknown_owners_max: 2, ..Config::lan() };
    let mut mesh = Mesh::new(1, 1, config);
    for index in 1..=4 {
        let node = mesh.add_stranger();
        mesh.put(node, function("f", "x"));
        mesh.connect(0, index);
    }
    mesh.run_for(Duration::from_secs(1));
    assert_eq!(mesh.sites[0].catalog.owners().filter(|owner| !owner.shown).count(), 2);
    assert_eq!(refusals(mesh.sites[0].catalog.counters()), ["too_many_unknown"]);
}

#[test]
fn owners_that_membership_does_not_know_are_held_within_their_bytes() {
    let config = Config { unknown_bytes_max: 100_000, owner_bytes_max: 90_000, ..Config::lan() };
    let mut mesh = Mesh::new(1, 1, config);
    for index in 1..=2 {
        let node = mesh.add_stranger();
        mesh.put(node, function("f", &"x".repeat(60_000)));
        mesh.connect(0, index);
    }
    mesh.run_for(Duration::from_secs(1));
    assert_eq!(mesh.sites[0].catalog.owners().filter(|owner| !owner.shown).count(), 1);
}

#[test]
fn the_table_of_what_is_missing_is_bounded() {
    let mut mesh = Mesh::new(10, 1, Config { missing_owners_max: 3, ..Config::lan() });
    for node in 0..10 {
        mesh.put(node, function(&format!("n{node}"), "x"));
    }
    mesh.run_for(Duration::from_millis(20));
    for node in 1..9 {
        mesh.connect(0, node);
    }
    mesh.run_for(Duration::from_millis(20));
    mesh.connect(9, 0);
    mesh.run_for(Duration::from_millis(20));
    assert!(mesh.sites[9].catalog.counters().wants_overflowed > 0);
    mesh.run_until_converged(Duration::from_secs(30));
    mesh.check();
}

#[test]
fn stored_bytes_stay_within_twice_the_live_ones_however_often_entries_change() {
    let mut mesh = Mesh::new(2, 1, Config::lan());
    mesh.connect_all();
    for round in 0..1000 {
        let name = FunctionName::parse(&format!("f{}", round % 10)).unwrap();
        mesh.put(0, function(name.as_str(), &format!("doc {round}")));
        mesh.run_for(Duration::from_millis(15));
        for site in &mesh.sites {
            let stored = site.catalog.owners().map(|owner| owner.stored_bytes).max().unwrap();
            assert!(stored <= 64 * 1024 + 8 * 1024, "{stored}");
        }
    }
    mesh.run_for(Duration::from_secs(1));
    mesh.check();
}
