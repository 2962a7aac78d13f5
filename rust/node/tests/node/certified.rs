//! Clusters with certificates: who shook hands with whom makes no difference for what is known of a name.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use mpreg_node::{Faults, Network, Node, NodeConfig, Settings};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use serde::Deserialize;

use crate::line::Line;
use crate::place::{Running, Scratch, looked};

/// A certificate authority, with its files in a scratch directory.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(scratch: &Scratch) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(scratch.path("ca.pem"), issuer.pem()).unwrap();
        Self(issuer)
    }

    /// Settings with a certificate for the node `name`.
    fn certify(&self, scratch: &Scratch, name: &str) -> Settings {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let uri = format!("spiffe://eu/node/{name}");
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let (chain, private) = (scratch.path(&format!("{name}.pem")), scratch.path(&format!("{name}.key")));
        fs::write(&chain, params.signed_by(&key, &self.0).unwrap().pem()).unwrap();
        fs::write(&private, key.serialize_pem()).unwrap();
        fs::set_permissions(&private, fs::Permissions::from_mode(0o600)).unwrap();
        Settings {
            tls_ca: Some(scratch.path("ca.pem")),
            tls_cert: Some(chain),
            tls_key: Some(private),
            ..Settings::default()
        }
    }
}

#[derive(Debug, Deserialize)]
struct MemberRow {
    declared: bool,
}

fn members(node: &Running) -> Vec<MemberRow> {
    rmp_serde::from_slice(&looked(node.node(), "members")).unwrap()
}

#[test]
fn names_are_proved_at_every_member_also_where_nobody_shook_hands() {
    let (scratch, network) = (Scratch::new(), Network::with_faults(Faults::new()));
    let authority = Authority::new(&scratch);
    let place = |name: &str, seeds: Vec<String>| {
        let config = scratch.config(name, &[], authority.certify(&scratch, name));
        let config = NodeConfig { listen: "127.0.0.1:0".to_owned(), seeds, ..config };
        Node::within(config, network.clone()).unwrap()
    };
    let seed = Running::begin(place("a", Vec::new())).unwrap();
    let (one, other) = (place("b", vec![seed.node().address()]), place("c", vec![seed.node().address()]));
    // They hear of each other from the seed, and never meet.
    one.block(&other, true);
    let (one, other) = (Running::begin(one).unwrap(), Running::begin(other).unwrap());
    for node in [&seed, &one, &other] {
        let all_proved = || {
            let rows = members(node);
            rows.len() == 3 && rows.iter().all(|row| !row.declared)
        };
        Line::to(node.node()).until("proof of all names", all_proved);
    }
    assert!(!one.node().is_connected_to(other.node()));
}

#[test]
fn names_without_certificates_are_declared() {
    let (scratch, network) = (Scratch::new(), Network::new());
    let seed = Running::start(scratch.config("a", &[], Settings::default()), &network).unwrap();
    let other = Running::start(scratch.config("b", &["a"], Settings::default()), &network).unwrap();
    for node in [&seed, &other] {
        Line::to(node.node()).until("both members", || members(node).len() == 2);
        assert!(members(node).iter().all(|row| row.declared), "{:?}", members(node));
    }
}
