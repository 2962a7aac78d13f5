//! Handshakes between two sides in memory: who gets in, who is refused and why, and what a man in the middle achieves.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use mpreg_types::{ClusterId, ForeignText, Incarnation, Instance, NodeId, NodeName};
use mpreg_wire::handshake::{
    AwaitingProof, CertifiedName, Channel, Handshake, LocalHello, PeerIdentity, Policy, Refusal, Secret,
    SecretRule, Side, VersionRange,
};
use mpreg_wire::verify::{Ed25519, Ed25519Signer};
use mpreg_wire::{FrameKind, Limits, Role};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::strategies::fixed;

/// One end: what it says, whom it takes, and what its transport knows.
#[derive(Clone)]
pub(crate) struct End {
    pub(crate) local: LocalHello,
    pub(crate) policy: Policy,
    pub(crate) channel: Channel,
    known: Option<Incarnation>,
}

pub(crate) fn cluster(text: &str) -> ClusterId {
    ClusterId::parse(text).unwrap()
}

fn end(side: Side, role: Role, number: u8) -> End {
    let signer = Arc::new(Ed25519Signer::new([number; 32]));
    let name = NodeName::parse(&format!("{role}-{number}")).unwrap();
    let mut local = LocalHello::new(signer, Incarnation(u64::from(number)), role, name, [number ^ 0xf0; 32]);
    local.cluster = Some(cluster("eu"));
    let takes =
        if role == Role::Node { vec![Role::Node, Role::Client, Role::Worker] } else { vec![Role::Node] };
    End { local, policy: Policy::roles(takes), channel: Channel::plain(side), known: None }
}

pub(crate) fn dialer() -> End {
    end(Side::Dialer, Role::Node, 1)
}

pub(crate) fn acceptor() -> End {
    end(Side::Acceptor, Role::Node, 2)
}

fn client() -> End {
    let mut client = end(Side::Dialer, Role::Client, 3);
    client.local.cluster = None;
    client
}

type Outcome = Result<PeerIdentity, Refusal>;

/// Runs both ends, with everything on the way changed by `tamper(from, kind, payload)`.
fn run_through(a: End, b: End, tamper: impl Fn(Side, FrameKind, &[u8]) -> Vec<u8>) -> (Outcome, Outcome) {
    let (a_side, b_side) = (a.channel.side, b.channel.side);
    let open = |end: End| (Handshake::new(end.local, end.policy, end.channel), end.known);
    let ((a, a_known), (b, b_known)) = (open(a), open(b));
    let a_hello = tamper(a_side, FrameKind::Hello, a.hello());
    let b_hello = tamper(b_side, FrameKind::Hello, b.hello());
    let (a, b) = (a.on_hello(&b_hello, |_| a_known), b.on_hello(&a_hello, |_| b_known));
    let proof = |side, end: &Result<AwaitingProof, Refusal>| {
        end.as_ref().ok().map(|end| tamper(side, FrameKind::Proof, end.proof()))
    };
    let (a_proof, b_proof) = (proof(a_side, &a), proof(b_side, &b));
    // Who gets no proof because the other side refused sees its refusal instead.
    let finish = |end: Result<AwaitingProof, Refusal>, proof: Option<Vec<u8>>| {
        end.and_then(|end| match proof {
            Some(proof) => end.on_proof(&proof, &Ed25519),
            None => Err(Refusal::Other { text: ForeignText::new("the other side refused") }),
        })
    };
    (finish(a, b_proof), finish(b, a_proof))
}

fn run(a: End, b: End) -> (Outcome, Outcome) {
    run_through(a, b, |_, _, payload| payload.to_vec())
}

fn refusal(outcome: Outcome) -> Refusal {
    outcome.unwrap_err()
}

#[test]
fn two_nodes_learn_all_of_each_other() {
    let (mut a, b) = (dialer(), acceptor());
    a.local.instance = Some(Instance::parse("blue").unwrap());
    a.local.addresses = vec!["127.0.0.1:7000".to_owned(), "unix:/run/a".to_owned()];
    a.local.features = 0b110;
    a.local.delegation = Some(Bytes::from_static(b"delegation"));
    a.local.token = Some(Bytes::from_static(b"token"));
    let b = End { local: LocalHello { features: 0b011, ..b.local }, ..b };
    let (local, limits) = (a.local.clone(), Limits::default().for_peer());
    let (at_a, at_b) = run(a, b);
    let key = local.signer.key();
    let expected = PeerIdentity {
        node: NodeId::of(&key),
        key,
        incarnation: local.incarnation,
        role: Role::Node,
        cluster: cluster("eu"),
        name: local.name,
        instance: local.instance,
        addresses: local.addresses,
        version: 1,
        features: 0b010,
        declared: true,
        limits,
        delegation: local.delegation,
        token: local.token,
    };
    assert_eq!(at_b, Ok(expected));
    let at_a = at_a.unwrap();
    assert_eq!((at_a.name.as_str(), at_a.features), ("node-2", 0b010));
}

#[test]
fn a_client_without_a_cluster_enters_that_of_its_entry_node() {
    let (at_client, at_node) = run(client(), acceptor());
    let (at_client, at_node) = (at_client.unwrap(), at_node.unwrap());
    assert_eq!((at_client.role, at_client.cluster), (Role::Node, cluster("eu")));
    assert_eq!((at_node.role, at_node.cluster), (Role::Client, cluster("eu")));
}

#[test]
fn a_worker_of_the_cluster_is_taken() {
    let (at_worker, at_node) = run(end(Side::Dialer, Role::Worker, 4), acceptor());
    assert_eq!((at_worker.unwrap().role, at_node.unwrap().role), (Role::Node, Role::Worker));
}

#[test]
fn a_node_of_a_foreign_cluster_is_refused_and_both_are_named() {
    let (mut a, b) = (dialer(), acceptor());
    a.local.cluster = Some(cluster("us"));
    let (_, at_b) = run(a, b);
    let error = refusal(at_b);
    assert_eq!(error, Refusal::ForeignCluster { refusing: cluster("eu"), refused: cluster("us") });
    let text = error.to_string();
    assert!(text.contains("\"us\"") && text.contains("\"eu\"") && text.contains("trust="), "{text}");
}

#[test]
fn a_node_of_a_trusted_cluster_is_a_gateway() {
    let (mut a, mut b) = (dialer(), acceptor());
    a.local.cluster = Some(cluster("us"));
    for (end, other) in [(&mut a, "eu"), (&mut b, "us")] {
        end.policy.trust = BTreeSet::from([cluster(other)]);
        end.policy.roles.insert(Role::Gateway);
    }
    let (at_a, at_b) = run(a.clone(), b.clone());
    let (at_a, at_b) = (at_a.unwrap(), at_b.unwrap());
    assert_eq!((at_a.role, at_a.cluster), (Role::Gateway, cluster("eu")));
    assert_eq!((at_b.role, at_b.cluster), (Role::Gateway, cluster("us")));
    // Trust from one side only is none.
    a.policy.trust.clear();
    assert!(matches!(refusal(run(a, b).0), Refusal::ForeignCluster { .. }));
}

#[test]
fn clients_and_workers_of_another_cluster_are_refused() {
    for role in [Role::Client, Role::Worker] {
        let mut a = end(Side::Dialer, role, 5);
        a.local.cluster = Some(cluster("us"));
        let mut b = acceptor();
        b.policy.trust.insert(cluster("us"));
        let error = refusal(run(a, b).1);
        assert_eq!(error, Refusal::OtherCluster { role, refusing: cluster("eu"), refused: cluster("us") });
    }
}

#[test]
fn roles_that_are_not_taken_are_refused() {
    let mut b = acceptor();
    b.policy = Policy::roles([Role::Node, Role::Client]);
    let error = refusal(run(end(Side::Dialer, Role::Worker, 4), b).1);
    assert_eq!(error.to_string(), "the role worker is not taken here; taken: node, client");
    // Two clients: each takes nodes only.
    let (a, mut b) = (client(), end(Side::Acceptor, Role::Client, 9));
    b.local.cluster = None;
    let (at_a, at_b) = run(a, b);
    let expected = Refusal::RoleNotAccepted { role: Role::Client, accepted: vec![Role::Node] };
    assert_eq!((at_a, at_b), (Err(expected.clone()), Err(expected)));
}

#[test]
fn both_sides_take_the_highest_common_version() {
    let (mut a, mut b) = (dialer(), acceptor());
    a.local.versions = VersionRange { lowest: 1, highest: 3 };
    b.local.versions = VersionRange { lowest: 2, highest: 4 };
    let (at_a, at_b) = run(a, b);
    assert_eq!((at_a.unwrap().version, at_b.unwrap().version), (3, 3));
}

#[test]
fn without_a_common_version_both_ranges_are_named() {
    let (mut a, mut b) = (dialer(), acceptor());
    a.local.versions = VersionRange { lowest: 1, highest: 2 };
    b.local.versions = VersionRange { lowest: 3, highest: 4 };
    let (at_a, at_b) = run(a, b);
    let (at_a, at_b) = (refusal(at_a).to_string(), refusal(at_b).to_string());
    assert!(at_a.contains("the refusing side speaks 1 to 2, the refused side 3 to 4"), "{at_a}");
    assert!(at_b.contains("the refusing side speaks 3 to 4, the refused side 1 to 2"), "{at_b}");
}

#[test]
fn a_start_that_is_over_is_refused_with_the_later_one() {
    let mut b = acceptor();
    b.known = Some(Incarnation(70));
    let error = refusal(run(dialer(), b.clone()).1);
    assert_eq!(error, Refusal::StaleIncarnation { known: Incarnation(70), said: Incarnation(1) });
    // The same start, coming back after a broken connection, is welcome.
    b.known = Some(Incarnation(1));
    assert!(run(dialer(), b).1.is_ok());
}

#[test]
fn a_node_does_not_talk_to_itself() {
    let (a, mut b) = (dialer(), acceptor());
    b.local.signer = Arc::new(Ed25519Signer::new([1; 32]));
    let node = NodeId::of(&b.local.signer.key());
    assert_eq!(run(a, b), (Err(Refusal::Itself { node }), Err(Refusal::Itself { node })));
}

#[test]
fn equal_secrets_let_both_in_and_different_ones_neither() {
    let with = |mut end: End, rule| {
        end.local.secret = rule;
        end
    };
    let secret = || Secret::new([1; 32]);
    let other = || Secret::new([2; 32]);
    // (dialer's, acceptor's, what the dialer says, what the acceptor says)
    let rows = [
        (SecretRule::Demanded(secret()), SecretRule::Demanded(secret()), None, None),
        (SecretRule::Demanded(secret()), SecretRule::Offered(secret()), None, None),
        (SecretRule::Offered(secret()), SecretRule::Offered(other()), None, None),
        (SecretRule::Offered(secret()), SecretRule::None, None, None),
        (
            SecretRule::Demanded(secret()),
            SecretRule::Demanded(other()),
            Some(Refusal::SecretWrong),
            Some(Refusal::SecretWrong),
        ),
        // The side that demands nothing refuses too, so that no connection lives on one side only.
        (
            SecretRule::Demanded(secret()),
            SecretRule::Offered(other()),
            Some(Refusal::SecretWrong),
            Some(Refusal::SecretWrong),
        ),
    ];
    for (index, (a, b, says_a, says_b)) in rows.into_iter().enumerate() {
        let (at_a, at_b) = run(with(dialer(), a), with(acceptor(), b));
        assert_eq!((at_a.err(), at_b.err()), (says_a, says_b), "row {index}");
    }
}

#[test]
fn a_side_without_the_demanded_secret_is_refused_with_the_remedies() {
    let (mut a, b) = (dialer(), acceptor());
    a.local.secret = SecretRule::Demanded(Secret::new([1; 32]));
    assert_eq!(refusal(run(a.clone(), b.clone()).1), Refusal::SecretDemanded);
    // And if it tries all the same.
    let without_demand = |_: Side, kind, payload: &[u8]| {
        let flag = b"\xaedemands_secret\xc3";
        let at = payload.windows(flag.len()).position(|window| window == flag);
        let mut payload = payload.to_vec();
        if let (FrameKind::Hello, Some(at)) = (kind, at) {
            payload[at + flag.len() - 1] = 0xc2;
        }
        payload
    };
    let error = refusal(run_through(a, b, without_demand).0);
    assert_eq!(error, Refusal::SecretMissing);
    for remedy in ["secret_file", "tls_ca"] {
        assert!(error.to_string().contains(remedy), "{error}");
    }
}

#[test]
fn a_certificate_must_name_who_the_hello_names() {
    let rows = [
        ("spiffe://eu/node/node-1", Role::Node, true),
        ("spiffe://eu/node/NODE-1", Role::Node, true),
        ("spiffe://eu/node/other", Role::Node, false),
        ("spiffe://us/node/node-1", Role::Node, false),
        ("spiffe://eu/client/node-1", Role::Node, false),
        ("spiffe://eu/node/client-1", Role::Client, true),
        ("spiffe://eu/client/client-1", Role::Client, true),
        ("spiffe://eu/client/worker-1", Role::Worker, false),
    ];
    for (uri, role, good) in rows {
        let mut b = acceptor();
        b.channel.certificate = CertifiedName::parse(uri);
        b.policy.certificate = true;
        let outcome = run(end(Side::Dialer, role, 1), b).1;
        match outcome {
            Ok(peer) => assert!(good && !peer.declared, "{uri} for a {role}"),
            Err(error) => {
                assert!(!good && matches!(error, Refusal::CertificateMismatch { .. }), "{uri}: {error}");
                assert!(error.to_string().contains(uri), "{error}");
            }
        }
    }
}

#[test]
fn a_client_without_a_cluster_has_that_of_its_certificate() {
    let mut b = acceptor();
    b.channel.certificate = CertifiedName::parse("spiffe://us/client/client-3");
    let error = refusal(run(client(), b).1);
    let (refusing, refused) = (cluster("eu"), cluster("us"));
    assert_eq!(error, Refusal::OtherCluster { role: Role::Client, refusing, refused });
}

#[test]
fn who_must_have_a_certificate_is_refused_without() {
    let mut b = acceptor();
    b.policy.certificate = true;
    assert_eq!(refusal(run(dialer(), b).1), Refusal::NoCertificate);
}

#[test]
fn no_proof_holds_in_another_tls_session() {
    let (mut a, mut b) = (dialer(), acceptor());
    a.channel.exporter = Some(Bytes::from_static(&[1; 32]));
    b.channel.exporter = Some(Bytes::from_static(&[2; 32]));
    assert_eq!(run(a.clone(), b.clone()), (Err(Refusal::BadSignature), Err(Refusal::BadSignature)));
    // Nor does one without TLS hold in a session, empty as its exporter may be.
    a.channel.exporter = None;
    b.channel.exporter = Some(Bytes::new());
    assert_eq!(run(a, b), (Err(Refusal::BadSignature), Err(Refusal::BadSignature)));
}

#[test]
fn a_proof_sent_back_to_its_maker_is_none() {
    let (a, b) = (dialer(), acceptor());
    let a = Handshake::new(a.local, a.policy, a.channel);
    let b = Handshake::new(b.local, b.policy, b.channel);
    let b_hello = b.hello().to_vec();
    let a = a.on_hello(&b_hello, |_| None).unwrap();
    let own = a.proof().to_vec();
    assert_eq!(refusal(a.on_proof(&own, &Ed25519)), Refusal::BadSignature);
}

#[test]
fn a_proof_of_an_earlier_handshake_is_none() {
    let recorded = std::cell::RefCell::new(Vec::new());
    let (_, at_b) = run_through(dialer(), acceptor(), |side, kind, payload| {
        if (side, kind) == (Side::Dialer, FrameKind::Proof) {
            recorded.replace(payload.to_vec());
        }
        payload.to_vec()
    });
    assert!(at_b.is_ok(), "the first time it holds");
    let mut later = acceptor();
    later.local.nonce = [0x77; 32];
    let (_, at_b) = run_through(dialer(), later, |side, kind, payload| {
        if (side, kind) == (Side::Dialer, FrameKind::Proof) {
            recorded.borrow().clone()
        } else {
            payload.to_vec()
        }
    });
    assert_eq!(refusal(at_b), Refusal::BadSignature);
}

proptest! {
    #![proptest_config(fixed(96))]

    #[test]
    fn a_hello_changed_on_the_way_lets_nobody_in(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let (at_a, at_b) = run_through(dialer(), acceptor(), |side, kind, payload| {
            let mut payload = payload.to_vec();
            if (side, kind) == (Side::Dialer, FrameKind::Hello) {
                let at = at.index(payload.len());
                payload[at] ^= 1 << bit;
            }
            payload
        });
        prop_assert!(at_a.is_err(), "the dialer holds {:?} for a peer", at_a);
        prop_assert!(at_b.is_err(), "the acceptor holds {:?} for a peer", at_b);
    }

    #[test]
    fn a_proof_changed_on_the_way_does_not_let_its_maker_in(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let (mut a, mut b) = (dialer(), acceptor());
        for end in [&mut a, &mut b] {
            end.local.secret = SecretRule::Demanded(Secret::new([1; 32]));
        }
        let (_, at_b) = run_through(a, b, |side, kind, payload| {
            let mut payload = payload.to_vec();
            if (side, kind) == (Side::Dialer, FrameKind::Proof) {
                let at = at.index(payload.len());
                payload[at] ^= 1 << bit;
            }
            payload
        });
        prop_assert!(at_b.is_err(), "the acceptor holds {:?} for a peer", at_b);
    }

    #[test]
    fn no_bytes_make_a_handshake_panic(bytes in vec(any::<u8>(), 0..400), with_magic in any::<bool>()) {
        let hello = if with_magic { [b"mpreg\r\n\0\0\x01\0\x01", &bytes[..]].concat() } else { bytes.clone() };
        let b = acceptor();
        let b = Handshake::new(b.local, b.policy, b.channel);
        prop_assert!(b.on_hello(&hello, |_| None).is_err());
        let (_, at_b) = run_through(dialer(), acceptor(), |_, kind, payload| {
            if kind == FrameKind::Proof { bytes.clone() } else { payload.to_vec() }
        });
        prop_assert!(at_b.is_err());
    }
}
