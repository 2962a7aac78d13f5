//! Any inputs in any order: no panic, nothing unbounded, and what has left stays away.

use std::collections::BTreeSet;
use std::time::Duration;

use mpreg_membership::{
    Addresses, Config, DialId, DialOutcome, Input, Leave, LocalMember, Loss, MemberIdentity, Membership,
    Message, Output, Row, RowState, Timer,
};
use mpreg_types::{
    ClusterId, Incarnation, LeaveReason, Load, MemberState, NodeId, NodeKey, Signature, Signed, Time,
};
use proptest::prelude::*;

use crate::world::verified;

const MEMBERS_MAX: usize = 6;

fn key(byte: u8) -> NodeKey {
    NodeKey::from_bytes([byte; 32])
}

fn node(byte: u8) -> NodeId {
    NodeId::of(&key(byte))
}

fn addresses(byte: u8) -> Addresses {
    Addresses::new(vec![format!("10.0.0.{byte}:1")]).unwrap()
}

/// A step of the history; small numbers, so that steps meet.
#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Wake,
    Give(Input),
}

fn identity() -> impl Strategy<Value = MemberIdentity> {
    (0_u8..10, 1_u64..4).prop_map(|(byte, incarnation)| MemberIdentity {
        node: node(byte),
        incarnation: Incarnation(incarnation),
        addresses: addresses(byte),
    })
}

fn row() -> impl Strategy<Value = Row> {
    let generation = prop::sample::select(vec![0, 1, 2, u32::MAX - 1, u32::MAX]);
    let refutation = prop::sample::select(vec![0, 1, u16::MAX]);
    let state =
        prop::sample::select(vec![RowState::Alive, RowState::Suspect, RowState::Down, RowState::Left]);
    (identity(), generation, refutation, state).prop_map(|(identity, generation, refutation, state)| Row {
        node: identity.node,
        incarnation: identity.incarnation,
        generation,
        refutation,
        state,
        addresses: identity.addresses,
    })
}

/// A probe packet: kind, source, refutation, destination, tail.
fn packet() -> impl Strategy<Value = Message> {
    (1_u8..12, identity(), 0_u8..3, 0_u8..3, any::<bool>()).prop_map(
        |(kind, source, generation, probe, third)| {
            let mut bytes = vec![kind];
            let mut id = |of: &MemberIdentity, generation: u8| {
                bytes.extend_from_slice(of.node.as_bytes());
                bytes.extend_from_slice(&of.incarnation.0.to_be_bytes());
                bytes.extend_from_slice(&[0, 0, 0, generation]);
            };
            id(&source, generation);
            let me = MemberIdentity { node: node(0), incarnation: Incarnation(2), addresses: addresses(0) };
            let mut tail = Vec::new();
            std::mem::swap(&mut tail, &mut bytes);
            tail.extend_from_slice(&[0, probe]);
            tail.extend_from_slice(me.node.as_bytes());
            tail.extend_from_slice(&me.incarnation.0.to_be_bytes());
            tail.extend_from_slice(&[0; 4]);
            if third {
                tail.extend_from_slice(&[3; 28]);
            }
            tail.push(probe);
            Message::Swim(tail.into())
        },
    )
}

fn message() -> impl Strategy<Value = Message> {
    let rows = || prop::collection::vec(row(), 0..4);
    prop_oneof![
        4 => rows().prop_map(Message::News),
        2 => packet(),
        1 => any::<[u8; 16]>().prop_map(|hash| Message::Compare { hash }),
        2 => (rows(), prop::option::of(0_u8..10)).prop_map(|(rows, until)| Message::Table {
            after: None,
            until: until.map(node),
            rows,
        }),
        1 => prop::collection::vec((0_u8..10).prop_map(node), 0..4).prop_map(Message::WantLeaves),
        1 => prop::collection::vec(any::<u8>(), 0..70).prop_map(|bytes| Message::Swim(bytes.into())),
        1 => (prop::collection::vec(any::<u8>(), 0..70), any::<u32>()).prop_map(|(bytes, in_flight)| {
            Message::Answer { packet: bytes.into(), load: Load { in_flight, queued: u32::MAX } }
        }),
    ]
}

fn leave() -> impl Strategy<Value = Signed> {
    (0_u8..10, 1_u64..4).prop_map(|(byte, incarnation)| {
        let cluster = ClusterId::parse("test").unwrap();
        let (incarnation, reason) = (Incarnation(incarnation), LeaveReason::Maintenance);
        let body = Leave { cluster, node: node(byte), incarnation, reason }.encode();
        Signed { key: key(byte), signature: Signature::from_bytes([0; 64]), body }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let peer = || (0_u8..10).prop_map(node);
    let loss = prop::sample::select(vec![Loss::Abrupt, Loss::Orderly, Loss::Other]);
    let outcome = prop_oneof![
        peer().prop_map(|node| DialOutcome::Connected { node }),
        Just(DialOutcome::Refused),
        Just(DialOutcome::Failed),
        Just(DialOutcome::Myself),
        peer().prop_map(|found| DialOutcome::OtherNode { found }),
    ];
    let input = prop_oneof![
        4 => identity().prop_map(|peer| Input::Connected { peer }),
        2 => (peer(), loss).prop_map(|(peer, loss)| Input::Disconnected { peer, loss }),
        1 => peer().prop_map(|peer| Input::ProcessGone { peer }),
        1 => (peer(), peer()).prop_map(|(by, former)| Input::AddressTaken { by, former }),
        2 => (1_u64..40, outcome).prop_map(|(dial, outcome)| Input::Dialled { dial: DialId(dial), outcome }),
        8 => (peer(), message()).prop_map(|(from, message)| Input::Message { from, message }),
        1 => (peer(), leave()).prop_map(|(from, leave)| Input::Left { from, leave: verified(leave) }),
        1 => prop::collection::vec((0_u8..4).prop_map(addresses), 0..3).prop_map(|seeds| Input::Seeds { seeds }),
    ];
    prop_oneof![
        2 => prop::sample::select(vec![1, 50, 300, 3000, 700_000]).prop_map(Step::Wait),
        3 => Just(Step::Wake),
        8 => input.prop_map(Step::Give),
    ]
}

/// What must hold after every step.
fn check(machine: &Membership, out: &[Output], left: &mut BTreeSet<(NodeId, Incarnation)>) {
    assert!(machine.members().count() <= MEMBERS_MAX);
    for member in machine.members() {
        let start = (member.identity.node, member.identity.incarnation);
        assert_ne!(start.0, node(0), "a node is no member of its own table");
        match member.state {
            MemberState::Left => {
                left.insert(start);
                assert_eq!(member.reason, Some(LeaveReason::Maintenance));
            }
            _ => assert!(!left.contains(&start), "{start:?} left and is back"),
        }
    }
    // Who was forgotten may be learnt again; that is what remembering for ten minutes means.
    left.retain(|(node, _)| machine.member(*node).is_some());
    for output in out {
        if let Output::Dial { expect: Some(node), .. } = output {
            assert_ne!(machine.member(*node).map(|member| member.state), Some(MemberState::Left));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_history_is_survived(steps in prop::collection::vec(step(), 1..60), seed in any::<u64>()) {
        let config = Config { members_max: MEMBERS_MAX, full_mesh_max: 4, active_view: 2, ..Config::lan() };
        let identity = MemberIdentity { node: node(0), incarnation: Incarnation(2), addresses: addresses(0) };
        let me = LocalMember { identity, cluster: ClusterId::parse("test").unwrap() };
        let mut machine = Membership::new(config, me, seed).unwrap();
        let (mut now, mut timer): (Time, Option<(Timer, Time)>) = (Time::from_millis(1), None);
        let mut left = BTreeSet::new();
        for step in steps {
            let mut out = Vec::new();
            match step {
                Step::Wait(millis) => now += Duration::from_millis(millis),
                Step::Wake => if let Some((timer, at)) = timer.take() {
                    now = now.max(at);
                    machine.handle(Input::Timer(timer), now, &mut out);
                },
                Step::Give(input) => machine.handle(input, now, &mut out),
            }
            for output in &out {
                if let Output::SetTimer { timer: set, at } = output {
                    timer = Some((*set, *at));
                }
            }
            check(&machine, &out, &mut left);
        }
    }
}
