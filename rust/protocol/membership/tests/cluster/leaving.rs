//! Leaving: known to all at once, for good, and signed.

use std::time::Duration;

use mpreg_membership::{Config, Event, Input, Leave};
use mpreg_types::{ClusterId, LeaveReason, MemberState, NodeKey, Signature, Signed, Signer};

use crate::world::{World, verified};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_leave_is_seen_everywhere_within_500_ms_with_its_reason() {
    for (count, seeds) in [(3, 10), (10, 5), (50, 1)] {
        for seed in 0..seeds {
            let mut world = World::converged(count, Config::lan(), seed);
            world.leave(1, LeaveReason::Maintenance);
            let took = world.run_until(SECOND, |world| world.all_see(1, MemberState::Left));
            assert!(took.is_some_and(|took| took <= SECOND / 2), "{count} nodes, seed {seed}: {took:?}");
            let left = |event: &Event| matches!(event, Event::Left { reason: LeaveReason::Maintenance, .. });
            assert_eq!(world.count(left), count - 1);
            let member = world.nodes[0].machine.as_ref().unwrap().member(world.nodes[1].id).unwrap();
            assert_eq!(member.reason, Some(LeaveReason::Maintenance));
            world.run(SECOND * 5);
            assert_eq!(world.count(|event| matches!(event, Event::Down { .. } | Event::Suspect { .. })), 0);
        }
    }
}

#[test]
fn who_left_is_never_dialled_and_forgotten_in_the_end() {
    let config = Config { remember: SECOND * 30, ..Config::lan() };
    let mut world = World::converged(6, config, 4);
    for node in 2..6 {
        world.leave(node, LeaveReason::GracefulShutdown);
    }
    world.run(SECOND);
    for node in 0..2 {
        world.nodes[node].dials.clear();
    }
    world.run(SECOND * 20);
    assert!(world.all_see(3, MemberState::Left));
    world.run(SECOND * 20);
    assert_eq!(world.state(0, 3), None);
    assert_eq!(world.count(|event| matches!(event, Event::Forgotten { .. })), 2 * 4);
    assert!(world.nodes[0].dials.is_empty() && world.nodes[1].dials.is_empty());
}

#[test]
fn a_leave_during_a_partition_is_learnt_after_the_heal() {
    for seed in 0..5 {
        let mut world = World::converged(6, Config::lan(), seed);
        world.links.split();
        world.run(SECOND * 8);
        world.leave(5, LeaveReason::GracefulShutdown);
        world.run(SECOND);
        assert_eq!(world.state(4, 5), Some(MemberState::Left));
        assert_eq!(world.state(0, 5), Some(MemberState::Down));
        world.links.heal();
        let took = world.run_until(SECOND * 20, |world| world.all_see(5, MemberState::Left));
        assert!(took.is_some_and(|took| took <= SECOND * 6), "seed {seed}: {took:?}");
    }
}

#[test]
fn rumours_about_a_life_after_the_leave_are_not_believed() {
    let mut world = World::converged(4, Config::lan(), 9);
    // Node 3 is cut off while node 1 leaves, and brings its old belief back.
    world.stall(3, SECOND * 6);
    world.run(SECOND / 10);
    world.leave(1, LeaveReason::GracefulShutdown);
    world.run(SECOND * 12);
    assert!(world.all_see(1, MemberState::Left));
    let returned = |event: &Event| matches!(event, Event::Up { member, .. } | Event::Returned { member } if member.identity.node == world.nodes[1].id);
    assert_eq!(world.count(returned), 0);
}

#[derive(Debug)]
struct Other;

impl Signer for Other {
    fn key(&self) -> NodeKey {
        NodeKey::from_bytes([99; 32])
    }
    fn sign(&self, _: &[u8]) -> Signature {
        Signature::from_bytes([0; 64])
    }
}

#[test]
fn nobody_makes_another_node_leave() {
    let mut world = World::converged(3, Config::lan(), 2);
    let victim = &world.nodes[1];
    let leave = |cluster: &str| Leave {
        cluster: ClusterId::parse(cluster).unwrap(),
        node: victim.id,
        incarnation: victim.incarnation,
        reason: LeaveReason::ManualRemoval,
    };
    let own = world.signed_leave(1, LeaveReason::ManualRemoval);
    let elsewhere = Signed { body: leave("elsewhere").encode(), ..own.clone() };
    let untagged = Signed { body: own.body.slice(1..), ..own.clone() };
    let cut = Signed { body: own.body.slice(..own.body.len() - 1), ..own };
    let by_another = Signed::new(&Other, leave("test").encode());
    let from = world.nodes[2].id;
    for bad in [elsewhere, untagged, cut, by_another] {
        world.give(0, Input::Left { from, leave: verified(bad) });
    }
    assert_eq!(world.state(0, 1), Some(MemberState::Alive));
    assert_eq!(world.nodes[0].machine.as_ref().unwrap().counters().bad_leave, 4);
}

#[test]
fn a_leave_that_skips_the_signature_check_is_dropped() {
    let mut world = World::converged(3, Config::lan(), 2);
    let signed = world.signed_leave(1, LeaveReason::GracefulShutdown);
    let from = world.nodes[1].id;
    world.give(0, Input::Message { from, message: mpreg_membership::Message::Leave(signed) });
    assert_eq!(world.state(0, 1), Some(MemberState::Alive));
    assert_eq!(world.nodes[0].machine.as_ref().unwrap().counters().bad_leave, 1);
}

#[test]
fn a_copy_of_a_known_leave_is_told_from_everything_that_has_to_be_checked() {
    let mut world = World::converged(3, Config::lan(), 2);
    let signed = world.signed_leave(1, LeaveReason::Maintenance);
    let other_reason = world.signed_leave(1, LeaveReason::ManualRemoval);
    let forged = Signed { signature: Signature::from_bytes([1; 64]), ..signed.clone() };
    let knows = |world: &World, signed: &Signed| world.nodes[0].machine.as_ref().unwrap().has_leave(signed);
    assert!(!knows(&world, &signed));
    world.leave(1, LeaveReason::Maintenance);
    world.run(SECOND);
    assert!(knows(&world, &signed));
    assert!(!knows(&world, &other_reason) && !knows(&world, &forged));
}
