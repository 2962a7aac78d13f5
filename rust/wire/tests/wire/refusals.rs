//! What is no hello, and refusals on their way to the other side.

use bytes::BytesMut;
use mpreg_types::{ForeignText, Incarnation, NodeId};
use mpreg_wire::handshake::{
    Handshake, HandshakeError, LocalHello, Refusal, VersionRange, handshake_payload,
};
use mpreg_wire::{FrameHeader, FrameKind, Limits, Role, cut_frame};

use crate::handshake::{acceptor, cluster, dialer};

fn hello_refused(payload: &[u8]) -> Refusal {
    let b = acceptor();
    Handshake::new(b.local, b.policy, b.channel).on_hello(payload, |_| None).unwrap_err()
}

fn hello_of(change: impl FnOnce(&mut LocalHello)) -> Vec<u8> {
    let mut a = dialer();
    change(&mut a.local);
    Handshake::new(a.local, a.policy, a.channel).hello().to_vec()
}

#[test]
fn a_hello_that_is_none_is_refused() {
    let max = u64::from(Limits::HANDSHAKE_BYTES_MAX);
    assert_eq!(hello_refused(&[0; 8193]), Refusal::TooLarge { bytes: 8193, max });
    assert_eq!(hello_refused(b""), Refusal::BadMagic);
    assert_eq!(hello_refused(b"SSH-2.0-OpenSSH_9.6"), Refusal::BadMagic);
    let hello = hello_of(|_| ());
    assert!(matches!(hello_refused(&hello[..hello.len() - 1]), Refusal::Malformed { .. }));
    assert!(matches!(hello_refused(&[&hello[..], b"\0"].concat()), Refusal::Malformed { .. }));
}

#[test]
fn a_hello_must_not_nest() {
    let fixed = b"mpreg\r\n\0\0\x01\0\x01";
    let deep = [&fixed[..], &[0x81, 0xa1, b'x', 0x91, 0x91, 0xc0]].concat();
    let Refusal::Malformed { what } = hello_refused(&deep) else { panic!("not malformed") };
    assert!(what.as_str().contains("nested deeper than 2"), "{what:?}");
}

#[test]
fn a_hello_against_the_rules_is_refused() {
    // What no program of ours would say.
    let say = |mut hello: Vec<u8>, from: &[u8], to: &[u8]| {
        let at = hello.windows(from.len()).position(|window| window == from).unwrap();
        hello.splice(at..at + from.len(), to.iter().copied());
        hello
    };
    let gateway = say(hello_of(|_| ()), b"role\xa4node", b"role\xa7gateway");
    let client = hello_of(|l| (l.role, l.cluster) = (Role::Client, None));
    let homeless = say(client, b"role\xa6client", b"role\xa4node");
    let rows: [(Vec<u8>, &str); 7] = [
        (homeless, "a node without a cluster"),
        (gateway, "granted, never declared"),
        (hello_of(|l| l.addresses = vec!["a".to_owned(); 17]), "17 listen addresses; at most 16"),
        (hello_of(|l| l.addresses = vec!["a".repeat(256)]), "longer than 255 bytes"),
        (hello_of(|l| l.addresses = vec![String::new()]), "empty"),
        (hello_of(|l| l.addresses = vec!["127.0.0.1:1\n".to_owned()]), "control characters"),
        (hello_of(|l| l.limits.connection_window = 0), "limits too low"),
    ];
    for (hello, why) in rows {
        let error = hello_refused(&hello).to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn what_a_newer_hello_adds_is_skipped() {
    let mut hello = hello_of(|_| ());
    assert_eq!(hello[12] & 0xf0, 0x80, "a short map");
    hello[12] += 1;
    hello.extend_from_slice(b"\xa6colour\xa3red");
    let b = acceptor();
    let peer = Handshake::new(b.local, b.policy, b.channel).on_hello(&hello, |_| None).unwrap();
    assert_eq!(peer.claims().name.as_str(), "node-1");
}

/// One of each reason.
pub(crate) fn every_refusal() -> Vec<(&'static str, Refusal)> {
    let (refusing, refused) = (cluster("eu"), cluster("us"));
    let (early, late) = (VersionRange { lowest: 1, highest: 2 }, VersionRange { lowest: 3, highest: 4 });
    vec![
        ("unexpected_frame", Refusal::UnexpectedFrame { expected: 1, got: 32 }),
        ("too_large", Refusal::TooLarge { bytes: 9000, max: 8192 }),
        ("bad_magic", Refusal::BadMagic),
        ("no_common_version", Refusal::NoCommonVersion { refusing: early, refused: late }),
        ("malformed", Refusal::Malformed { what: ForeignText::new("why\x07") }),
        ("itself", Refusal::Itself { node: NodeId::from_bytes([1; 16]) }),
        ("role_not_accepted", Refusal::RoleNotAccepted { role: Role::Worker, accepted: vec![Role::Node] }),
        ("foreign_cluster", Refusal::ForeignCluster { refusing: refusing.clone(), refused: refused.clone() }),
        ("other_cluster", Refusal::OtherCluster { role: Role::Client, refusing, refused }),
        ("no_certificate", Refusal::NoCertificate),
        (
            "certificate_mismatch",
            Refusal::CertificateMismatch {
                certificate: ForeignText::new("spiffe://eu/node/a"),
                said: ForeignText::new("spiffe://eu/node/b"),
            },
        ),
        ("stale_incarnation", Refusal::StaleIncarnation { known: Incarnation(9), said: Incarnation(8) }),
        ("secret_demanded", Refusal::SecretDemanded),
        ("secret_missing", Refusal::SecretMissing),
        ("secret_wrong", Refusal::SecretWrong),
        ("bad_signature", Refusal::BadSignature),
        ("too_slow", Refusal::TooSlow { limit_ms: 5000 }),
        ("full", Refusal::Full { connections: 10_000 }),
        ("other", Refusal::Other { text: ForeignText::new("something new") }),
    ]
}

#[test]
fn every_refusal_reaches_the_other_side_as_it_is() {
    for (name, refusal) in every_refusal() {
        let payload = refusal.encode();
        assert!(payload.len() < Limits::HANDSHAKE_BYTES_MAX as usize / 4, "{name}");
        assert_eq!(Refusal::decode(&payload), Ok(refusal.clone()), "{name}");
        assert!(!refusal.to_string().chars().any(char::is_control), "{name}: {refusal:?}");
    }
}

#[test]
fn a_refusal_of_a_newer_version_keeps_its_text() {
    #[derive(serde::Serialize)]
    struct Newer {
        text: &'static str,
        reason: std::collections::BTreeMap<&'static str, [[u8; 1]; 1]>,
    }
    let reason = std::collections::BTreeMap::from([("bad_moon", [[1]])]);
    let payload = mpreg_wire::message::encode(&Newer { text: "the moon is wrong", reason });
    let text = ForeignText::new("the moon is wrong");
    assert_eq!(Refusal::decode(&payload), Ok(Refusal::Other { text }));
}

#[test]
fn only_the_next_frame_of_a_handshake_is_read() {
    let frame = |kind, payload: &[u8]| {
        let header = FrameHeader::control(kind, payload.len()).unwrap();
        let mut bytes = BytesMut::from(&[&header.encode()[..], payload].concat()[..]);
        cut_frame(&mut bytes, Limits::HANDSHAKE_BYTES_MAX).unwrap().unwrap()
    };
    let hello = frame(FrameKind::Hello, b"hi");
    assert_eq!(handshake_payload(&hello, FrameKind::Hello), Ok(&b"hi"[..]));
    let early = frame(FrameKind::Membership, b"rumour");
    let unexpected = Refusal::UnexpectedFrame { expected: 1, got: 16 };
    assert_eq!(handshake_payload(&early, FrameKind::Hello), Err(HandshakeError::Refused(unexpected)));
    let refuse = frame(FrameKind::Refuse, &Refusal::BadMagic.encode());
    let by_peer = HandshakeError::RefusedByPeer(Refusal::BadMagic);
    assert_eq!(handshake_payload(&refuse, FrameKind::Proof), Err(by_peer));
    let nonsense = frame(FrameKind::Refuse, b"\xc1");
    let error = handshake_payload(&nonsense, FrameKind::Proof).unwrap_err();
    assert!(matches!(error, HandshakeError::Refused(Refusal::Malformed { .. })));
}

#[test]
fn bytes_of_another_protocol_become_a_refusal() {
    let mut http = BytesMut::from(&b"GET / HTTP/1.1\r\n\r\n"[..]);
    let error = Refusal::from(cut_frame(&mut http, Limits::HANDSHAKE_BYTES_MAX).unwrap_err());
    assert!(error.to_string().contains("no mpreg process"), "{error}");
    let mut tls = BytesMut::from(&[&[0, 0, 0, 1, 0xfe][..], &[0; 11]].concat()[..]);
    let error = Refusal::from(cut_frame(&mut tls, Limits::HANDSHAKE_BYTES_MAX).unwrap_err());
    assert!(error.to_string().contains("unknown frame kind 254"), "{error}");
}
