//! What changes cost and how fast they are everywhere, on links without faults.

use std::time::Duration;

use super::function;
use super::mesh::{Mesh, Traffic};
use crate::{Config, EntryKey, Input};

const SECOND: Duration = Duration::from_secs(1);

/// A full mesh of `count` nodes, each offering `functions`, at rest.
fn full_mesh(count: usize, functions: usize) -> Mesh {
    let mut mesh = Mesh::new(count, 7, Config::lan());
    for node in 0..count {
        for index in 0..functions {
            mesh.put(
                node,
                function(&format!("n{node}.f{index}"), "a doc of usual length, as people write them"),
            );
        }
    }
    mesh.connect_all();
    mesh.run_for(SECOND);
    mesh.run_until_converged(6 * SECOND);
    mesh.run_for(10 * SECOND);
    mesh.check();
    mesh.traffic = Traffic::default();
    mesh
}

#[test]
fn a_change_in_a_full_mesh_costs_one_message_per_peer() {
    for count in [3, 10, 50] {
        let mut mesh = full_mesh(count, 5);
        mesh.put(0, function("late.one", "x"));
        mesh.run_for(Duration::from_millis(13));
        mesh.check();
        assert_eq!(mesh.traffic.messages("batches"), count as u64 - 1);
        let rest = mesh.traffic.total().0 - mesh.traffic.messages("batches");
        assert_eq!(rest, mesh.traffic.messages("root"), "{:?}", mesh.traffic);
    }
}

#[test]
fn many_changes_at_once_travel_in_one_batch() {
    let mut mesh = full_mesh(3, 0);
    for index in 0..100 {
        mesh.put(0, function(&format!("f{index}"), "x"));
    }
    mesh.run_for(Duration::from_millis(13));
    mesh.check();
    assert_eq!(mesh.traffic.messages("batches"), 2);
}

#[test]
fn an_idle_mesh_compares_roots_and_nothing_else() {
    let mut mesh = full_mesh(50, 5);
    mesh.run_for(100 * SECOND);
    let roots = mesh.traffic.messages("root");
    assert_eq!(mesh.traffic.total().0, roots, "{:?}", mesh.traffic);
    assert!((50 * 20 - 50..=50 * 20 + 50).contains(&roots), "{roots} roots in 100 s");
    assert!(mesh.traffic.total().1 / 50 / 100 < 20, "bytes per node and second: {:?}", mesh.traffic);
}

#[test]
fn a_joining_node_is_sent_everything_once() {
    let mut mesh = full_mesh(50, 20);
    let whole: usize = mesh.sites[0].catalog.owners().map(|owner| owner.stored_bytes).sum();
    let node = mesh.add();
    mesh.put(node, function("newcomer.f", "x"));
    mesh.connect(node, 0);
    mesh.run_for(Duration::from_millis(20));
    for other in 1..node {
        mesh.connect(node, other);
    }
    let took = mesh.run_until_converged(SECOND / 2);
    mesh.run_for(2 * SECOND);
    mesh.check();
    let received = mesh.sites[node].received_bytes;
    assert!(received <= whole + 1024, "{received} of {whole} bytes in {took:?}");
    assert!(mesh.traffic.messages("want") <= 52, "{:?}", mesh.traffic);
}

#[test]
fn a_node_that_connects_to_all_at_once_is_sent_everything_once_from_several_sides() {
    let mut mesh = full_mesh(20, 20);
    let whole: usize = mesh.sites[0].catalog.owners().map(|owner| owner.stored_bytes).sum();
    let node = mesh.add();
    for other in 0..node {
        mesh.connect(node, other);
    }
    mesh.run_until_converged(SECOND / 2);
    mesh.run_for(2 * SECOND);
    mesh.check();
    assert!(mesh.sites[node].received_bytes <= whole, "{:?}", mesh.traffic);
}

#[test]
fn a_large_log_is_fetched_in_chunks() {
    let mut mesh = Mesh::new(2, 3, Config::lan());
    let doc = "d".repeat(30_000);
    for index in 0..200 {
        mesh.put(0, function(&format!("f{index}"), &doc));
    }
    mesh.run_for(SECOND);
    mesh.connect_all();
    mesh.run_until_converged(SECOND);
    mesh.check();
    // 6 MB, at most 1 MiB per request.
    assert!(mesh.traffic.messages("want") >= 6, "{:?}", mesh.traffic);
    assert_eq!(mesh.traffic.messages("want"), mesh.traffic.messages("served"));
}

#[test]
fn beyond_the_full_mesh_a_change_costs_each_link_at_most_twice() {
    let mut mesh = Mesh::new(200, 11, Config::lan());
    for node in 0..200 {
        mesh.put(node, function(&format!("n{node}.f"), "x"));
    }
    mesh.connect_view(8);
    mesh.run_until_converged(10 * SECOND);
    mesh.run_for(2 * SECOND);
    mesh.check();
    mesh.traffic = Traffic::default();
    mesh.put(0, function("late.one", "x"));
    let took = mesh.run_until_converged(SECOND);
    mesh.check();
    let batches = mesh.traffic.messages("batches");
    assert!(batches <= 2 * mesh.links() as u64, "{batches} messages over {} links, {took:?}", mesh.links());
    assert!(mesh.traffic.messages("want") == 0, "{:?}", mesh.traffic);
}

#[test]
fn a_change_and_its_withdrawal_within_a_tick_leave_nothing() {
    let mut mesh = full_mesh(3, 1);
    mesh.put(1, function("brief", "x"));
    let EntryKey::Function { .. } = function("brief", "x").key() else { unreachable!() };
    mesh.input(1, Input::Remove { key: function("brief", "x").key() });
    mesh.run_for(Duration::from_millis(13));
    mesh.check();
    let owner = mesh.sites[1].id;
    assert_eq!(mesh.sites[0].catalog.entries(&owner).count(), 1);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let mut mesh = full_mesh(10, 3);
        mesh.loss_permille = 100;
        mesh.put(3, function("again", "x"));
        mesh.run_for(20 * SECOND);
        (
            mesh.traffic,
            mesh.sites.iter_mut().map(|site| format!("{:?}", site.catalog.root())).collect::<Vec<_>>(),
        )
    };
    assert_eq!(run(), run());
}

#[test]
fn a_new_connection_costs_one_root_when_both_ends_hold_the_same() {
    let mut mesh = full_mesh(10, 2);
    mesh.disconnect(3, 4);
    mesh.connect(3, 4);
    mesh.run_for(Duration::from_millis(10));
    assert_eq!(mesh.traffic.total().0, 1, "{:?}", mesh.traffic);
}

#[test]
fn what_a_joining_node_asked_for_is_not_sent_on_to_those_who_have_it() {
    let mut mesh = Mesh::new(20, 9, Config::lan());
    for node in 0..20 {
        mesh.put(node, function(&format!("n{node}.f"), "x"));
    }
    mesh.connect_view(6);
    mesh.run_until_converged(10 * SECOND);
    mesh.run_for(2 * SECOND);
    let node = mesh.add();
    mesh.traffic = Traffic::default();
    mesh.connect_view(6);
    mesh.run_until_converged(SECOND);
    mesh.run_for(2 * SECOND);
    mesh.check();
    assert_eq!(mesh.sites[node].catalog.counters().batches_forwarded, 0);
}
