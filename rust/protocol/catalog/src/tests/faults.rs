//! Loss, partitions, deaths, restarts and leaves: what is held comes back together, and nothing that is gone returns.

use std::time::Duration;

use mpreg_types::MemberState;

use super::function;
use super::mesh::Mesh;
use crate::{Config, EntryKey, Input, Refusal};

const SECOND: Duration = Duration::from_secs(1);

fn mesh(count: usize, seed: u64) -> Mesh {
    let mut mesh = Mesh::new(count, seed, Config::lan());
    for node in 0..count {
        mesh.put(node, function(&format!("n{node}.f"), "x"));
    }
    mesh.connect_all();
    mesh.run_until_converged(2 * SECOND);
    mesh.check();
    mesh
}

fn key(name: &str) -> EntryKey {
    function(name, "").key()
}

#[test]
fn what_was_lost_on_the_way_is_repaired() {
    for seed in 0..10 {
        let mut mesh = mesh(10, seed);
        mesh.loss_permille = 300;
        mesh.reorder = true;
        for round in 0..50 {
            mesh.put(
                round % 10,
                function(&format!("n{}.g{}", round % 10, round % 7), &format!("doc {round}")),
            );
            mesh.run_for(Duration::from_millis(40));
        }
        mesh.loss_permille = 0;
        mesh.run_until_converged(30 * SECOND);
        mesh.check();
    }
}

#[test]
fn a_healed_partition_keeps_what_either_side_wrote() {
    for seed in 0..5 {
        let mut mesh = mesh(10, seed);
        let across: Vec<(usize, usize)> = (0..5).flat_map(|a| (5..10).map(move |b| (a, b))).collect();
        for (a, b) in &across {
            mesh.disconnect(*a, *b);
        }
        mesh.run_for(3 * SECOND);
        for (a, b) in &across {
            mesh.member(*a, *b, MemberState::Down);
            mesh.member(*b, *a, MemberState::Down);
        }
        mesh.put(1, function("left.new", "l"));
        mesh.put(6, function("right.new", "r"));
        mesh.input(7, Input::Remove { key: key("n7.f") });
        mesh.run_for(20 * SECOND);
        for (a, b) in &across {
            mesh.member(*a, *b, MemberState::Alive);
            mesh.member(*b, *a, MemberState::Alive);
            mesh.connect(*a, *b);
        }
        mesh.run_until_converged(SECOND);
        mesh.check();
        let (left, right) = (mesh.sites[0].id, mesh.sites[7].id);
        let there = |at: usize, owner, name| mesh.sites[at].catalog.entry(owner, &key(name)).is_some();
        assert!(there(9, &mesh.sites[1].id, "left.new") && there(0, &mesh.sites[6].id, "right.new"));
        assert!(there(9, &left, "n0.f") && !there(0, &right, "n7.f"));
    }
}

#[test]
fn a_healed_partition_of_a_partial_mesh_converges_through_one_link() {
    let mut mesh = Mesh::new(40, 5, Config::lan());
    mesh.connect_view(6);
    let across: Vec<(usize, usize)> = (0..20).flat_map(|a| (20..40).map(move |b| (a, b))).collect();
    let told = |mesh: &mut Mesh, state| {
        for (a, b) in &across {
            mesh.member(*a, *b, state);
            mesh.member(*b, *a, state);
        }
    };
    // The link between 0 and 39 belongs to the ring.
    for (a, b) in &across {
        mesh.disconnect(*a, *b);
    }
    mesh.run_for(3 * SECOND);
    told(&mut mesh, MemberState::Down);
    for node in 0..40 {
        mesh.put(node, function(&format!("n{node}.f"), "x"));
    }
    mesh.run_for(10 * SECOND);
    mesh.connect(0, 39);
    // Membership knows later than the connection stands.
    mesh.run_for(SECOND / 5);
    told(&mut mesh, MemberState::Alive);
    mesh.run_until_converged(5 * SECOND);
    mesh.check();
}

#[test]
fn a_restarted_node_replaces_its_former_self() {
    let mut mesh = mesh(5, 1);
    mesh.restart(2);
    mesh.put(2, function("second.life", "x"));
    for other in [0, 1, 3, 4] {
        mesh.member(other, 2, MemberState::Alive);
    }
    mesh.connect_all();
    mesh.run_until_converged(2 * SECOND);
    mesh.run_for(12 * SECOND);
    mesh.check();
    let id = mesh.sites[2].id;
    for site in &mesh.sites {
        let names: Vec<String> = site.catalog.entries(&id).map(|(key, ..)| key.to_string()).collect();
        assert_eq!(names, ["second.life 1.2.0"]);
    }
}

#[test]
fn a_newer_start_is_believed_before_membership_knows_it_and_counts_after() {
    let mut mesh = mesh(3, 1);
    mesh.restart(2);
    mesh.put(2, function("second.life", "x"));
    mesh.connect_all();
    mesh.run_for(SECOND);
    let id = mesh.sites[2].id;
    assert!(mesh.sites[0].follower.entries(&id).is_none(), "the former start is gone, the new one not known");
    mesh.member(0, 2, MemberState::Alive);
    assert!(mesh.sites[0].follower.entries(&id).unwrap().contains_key(&key("second.life")));
}

#[test]
fn a_down_owner_is_hidden_and_returns_without_transfer() {
    let mut mesh = mesh(3, 1);
    let id = mesh.sites[2].id;
    for other in [0, 1] {
        mesh.disconnect(2, other);
        mesh.member(other, 2, MemberState::Down);
        assert!(mesh.sites[other].follower.entries(&id).is_none());
    }
    mesh.run_for(500 * SECOND);
    let before = mesh.sites[0].received_bytes;
    for other in [0, 1] {
        mesh.member(other, 2, MemberState::Alive);
    }
    assert_eq!(mesh.sites[0].follower.entries(&id).unwrap().len(), 1);
    mesh.connect_all();
    mesh.run_for(20 * SECOND);
    mesh.check();
    assert_eq!(mesh.sites[0].received_bytes, before);
}

#[test]
fn what_a_down_owner_changes_itself_is_told_when_it_returns() {
    let mut mesh = mesh(2, 1);
    let id = mesh.sites[1].id;
    mesh.member(0, 1, MemberState::Down);
    mesh.put(1, function("while.hidden", "x"));
    mesh.input(1, Input::Remove { key: key("n1.f") });
    mesh.run_for(SECOND);
    assert!(mesh.sites[0].follower.entries(&id).is_none());
    mesh.member(0, 1, MemberState::Alive);
    mesh.check();
    let told: Vec<_> = mesh.sites[0].follower.entries(&id).unwrap().keys().cloned().collect();
    assert_eq!(told, [key("while.hidden")]);
}

#[test]
fn a_log_is_dropped_ten_minutes_after_its_owner_went_down() {
    let mut mesh = mesh(3, 1);
    mesh.stop(2);
    let id = mesh.sites[2].id;
    mesh.member(0, 2, MemberState::Down);
    mesh.member(1, 2, MemberState::Down);
    mesh.run_for(599 * SECOND);
    assert_eq!(mesh.sites[0].catalog.entries(&id).count(), 1);
    mesh.run_for(2 * SECOND);
    assert_eq!(mesh.sites[0].catalog.entries(&id).count(), 0);
    mesh.check();
}

#[test]
fn a_log_of_a_down_or_left_owner_does_not_come_back_through_a_relay() {
    for state in [MemberState::Down, MemberState::Left] {
        let mut mesh = mesh(3, 1);
        let (id, relay) = (mesh.sites[2].id, mesh.sites[1].id);
        let batch = super::bench::batch_of(2, 101, 100, 2, &[(2, "n2.late", Some("x"))]);
        mesh.stop(2);
        mesh.member(0, 2, state);
        mesh.input(0, Input::Batches { from: relay, batches: vec![batch] });
        // The relay still holds it for alive and shows it in its digests.
        mesh.run_for(30 * SECOND);
        let expected = if state == MemberState::Down { Refusal::OwnerDown } else { Refusal::OwnerLeft };
        assert_eq!(mesh.sites[0].refusals, [expected]);
        assert!(mesh.sites[0].follower.entries(&id).is_none());
        assert_eq!(mesh.sites[0].catalog.entries(&id).count(), usize::from(state == MemberState::Down));
    }
}

#[test]
fn an_unknown_owner_is_held_ten_seconds_and_not_fetched_again_until_it_is_known() {
    let mut mesh = mesh(2, 1);
    let stranger = mesh.add_stranger();
    mesh.member(stranger, 0, MemberState::Alive);
    mesh.put(stranger, function("stranger.f", "x"));
    mesh.connect(stranger, 0);
    mesh.run_for(9 * SECOND);
    let id = mesh.sites[stranger].id;
    assert_eq!(mesh.sites[0].catalog.entries(&id).count(), 1);
    assert!(mesh.sites[0].follower.entries(&id).is_none());
    assert_eq!(mesh.sites[1].catalog.entries(&id).count(), 0, "what is hidden is not passed on");
    mesh.run_for(2 * SECOND);
    assert_eq!(mesh.sites[0].catalog.entries(&id).count(), 0);
    let received = mesh.sites[0].received_bytes;
    mesh.run_for(60 * SECOND);
    assert_eq!(mesh.sites[0].received_bytes, received);
    mesh.member(0, stranger, MemberState::Alive);
    mesh.run_for(12 * SECOND);
    assert!(mesh.sites[0].follower.entries(&id).is_some());
}

/// Node 0 to 2 are a mesh; `joiner` is connected to node 0 and has just asked it for everything.
fn asking_joiner(mesh: &mut Mesh) -> usize {
    let joiner = mesh.add();
    mesh.connect(joiner, 0);
    while mesh.sites[joiner].catalog.counters().wants_sent == 0 {
        mesh.run_for(Duration::from_micros(10));
    }
    joiner
}

#[test]
fn what_a_peer_does_not_answer_is_asked_of_another_one() {
    let mut mesh = mesh(3, 1);
    let joiner = asking_joiner(&mut mesh);
    mesh.loss_permille = 1000;
    mesh.run_for(Duration::from_millis(10));
    mesh.loss_permille = 0;
    mesh.connect(joiner, 1);
    mesh.run_for(4 * SECOND);
    assert!(!mesh.converged(), "one answer was waited for");
    mesh.run_until_converged(SECOND + SECOND / 10);
    mesh.check();
}

#[test]
fn what_was_asked_of_a_peer_that_went_away_is_asked_of_another_at_once() {
    let mut mesh = mesh(3, 1);
    let joiner = asking_joiner(&mut mesh);
    mesh.loss_permille = 1000;
    mesh.run_for(Duration::from_millis(10));
    mesh.loss_permille = 0;
    mesh.connect(joiner, 1);
    mesh.run_for(SECOND);
    assert_eq!(mesh.sites[joiner].catalog.counters().wants_sent, 1);
    mesh.disconnect(joiner, 0);
    mesh.run_until_converged(SECOND / 100);
    mesh.check();
}
