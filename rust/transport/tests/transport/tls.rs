//! Certificates: whose CA counts for whom, and that nothing goes back to plaintext.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use mpreg_transport::{Address, Established, HandshakeFailure, Network, Tls, TlsError, TlsFiles};
use mpreg_types::ClusterId;
use mpreg_wire::handshake::{Policy, Side};
use mpreg_wire::{Limits, Role};
use rustls::pki_types::UnixTime;

use crate::common::certificates::Authority;
use crate::common::ends::{CLUSTER, End};
use crate::common::{SOON, soon};

type Shaken = Result<Established, HandshakeFailure>;

fn cluster(name: &str) -> ClusterId {
    ClusterId::parse(name).unwrap()
}

fn end(name: &'static str, key: u8, role: Role, tls: Option<Tls>) -> End {
    End::new(name, key, role, Limits::default(), tls)
}

async fn shake(dialer: &End, acceptor: &End) -> (Shaken, Shaken) {
    let network = Network::new();
    let listener = network.listen(&Address::parse("127.0.0.1:0").unwrap(), None).await.unwrap();
    let link = network.dial(listener.address(), None, SOON).await.unwrap();
    let accepted = listener.accept().await.unwrap();
    soon("the handshake", async {
        tokio::join!(dialer.shake(link, Side::Dialer), acceptor.shake(accepted, Side::Acceptor))
    })
    .await
}

#[tokio::test]
async fn nodes_of_one_cluster_know_each_other_by_their_certificates() {
    let ca = Authority::new();
    let dialer = end("a", 1, Role::Node, Some(ca.tls(CLUSTER, "spiffe://eu/node/a").unwrap()));
    let acceptor = end("b", 2, Role::Node, Some(ca.tls(CLUSTER, "spiffe://eu/node/b").unwrap()));
    let (a, b) = shake(&dialer, &acceptor).await;
    let (a, b) = (a.unwrap(), b.unwrap());
    assert!(!a.peer().declared && !b.peer().declared);
    let (of_b, of_a) = (a.certificate().unwrap(), b.certificate().unwrap());
    assert_eq!(of_b.name.to_string(), "spiffe://eu/node/b");
    assert_eq!(of_a.name.to_string(), "spiffe://eu/node/a");
    assert_eq!(of_a.exporter, of_b.exporter, "both ends are of one session");
}

#[tokio::test]
async fn a_hello_that_says_another_name_than_the_certificate_is_refused() {
    let ca = Authority::new();
    let dialer = end("mallory", 1, Role::Node, Some(ca.tls(CLUSTER, "spiffe://eu/node/a").unwrap()));
    let acceptor = end("b", 2, Role::Node, Some(ca.tls(CLUSTER, "spiffe://eu/node/b").unwrap()));
    let (_, b) = shake(&dialer, &acceptor).await;
    let failure = b.unwrap_err().to_string();
    assert!(failure.contains("spiffe://eu/node/a") && failure.contains("mallory"), "{failure}");
}

#[tokio::test]
async fn another_ca_counts_for_nothing() {
    let (ca, forged) = (Authority::new(), Authority::new());
    let dialer = end("a", 1, Role::Node, Some(forged.tls(CLUSTER, "spiffe://eu/node/a").unwrap()));
    let acceptor = end("b", 2, Role::Node, Some(ca.tls(CLUSTER, "spiffe://eu/node/b").unwrap()));
    let (a, b) = shake(&dialer, &acceptor).await;
    let (a, b) = (a.unwrap_err(), b.unwrap_err());
    assert!(matches!(a, HandshakeFailure::Certificate(_)), "{a}");
    assert!(a.to_string().contains("spiffe://eu/node/b does not hold"), "{a}");
    assert!(!b.to_string().is_empty());
}

/// Files of `own` that also trust `other`'s CA for `cluster_name`.
fn trusting(own: TlsFiles, cluster_name: &str, other: &Authority) -> TlsFiles {
    TlsFiles { trusted: [(cluster(cluster_name), other.ca())].into(), ..own }
}

#[tokio::test]
async fn the_names_cluster_chooses_the_ca() {
    let (eu, us) = (Authority::new(), Authority::new());
    let eu_tls =
        Tls::from_files(&cluster("eu"), &trusting(eu.issue(&["spiffe://eu/node/b"]), "us", &us)).unwrap();
    let us_tls =
        Tls::from_files(&cluster("us"), &trusting(us.issue(&["spiffe://us/node/a"]), "eu", &eu)).unwrap();
    let mut acceptor = end("b", 2, Role::Node, Some(eu_tls.clone()));
    acceptor.policy = Policy { trust: [cluster("us")].into(), ..Policy::roles(Role::ALL) };
    let mut dialer = end("a", 1, Role::Node, Some(us_tls));
    dialer.policy = Policy { trust: [cluster("eu")].into(), ..Policy::roles(Role::ALL) };
    dialer.cluster = "us";
    let (a, b) = shake(&dialer, &acceptor).await;
    assert_eq!(b.unwrap().peer().role, Role::Gateway);
    a.unwrap();
    // The trusted cluster's CA cannot sign names of this one.
    let stolen = us.issue(&["spiffe://eu/node/a"]);
    let stolen = TlsFiles { ca: us.ca(), trusted: [(cluster("eu"), eu.ca())].into(), ..stolen };
    let imposter = end("a", 3, Role::Node, Some(Tls::from_files(&cluster("eu"), &stolen).unwrap()));
    let (_, b) = shake(&imposter, &acceptor).await;
    assert!(b.unwrap_err().to_string().contains("spiffe://eu/node/a does not hold"));
}

#[tokio::test]
async fn an_unknown_cluster_is_named() {
    let (eu, us) = (Authority::new(), Authority::new());
    let acceptor = end("b", 2, Role::Node, Some(eu.tls("eu", "spiffe://eu/node/b").unwrap()));
    let dialer = end("a", 1, Role::Node, Some(us.tls("us", "spiffe://us/node/a").unwrap()));
    let (a, _) = shake(&dialer, &acceptor).await;
    let failure = a.unwrap_err().to_string();
    assert!(failure.contains("no CA is known for cluster \"eu\""), "{failure}");
}

#[tokio::test]
async fn a_clients_certificate_does_not_make_a_node() {
    let ca = Authority::new();
    let client = || Some(ca.tls(CLUSTER, "spiffe://eu/client/a").unwrap());
    let node = || Some(ca.tls(CLUSTER, "spiffe://eu/node/b").unwrap());
    let (a, b) = shake(&end("a", 1, Role::Client, client()), &end("b", 2, Role::Node, node())).await;
    assert!(a.is_ok() && b.is_ok(), "a client's certificate is good for a client");
    let (_, b) = shake(&end("a", 1, Role::Node, client()), &end("b", 2, Role::Node, node())).await;
    assert!(b.unwrap_err().to_string().contains("spiffe://eu/client/a"));
    let (a, _) = shake(&end("b", 2, Role::Node, node()), &end("a", 1, Role::Client, client())).await;
    assert!(a.unwrap_err().to_string().contains("only a node's may accept connections"));
}

#[tokio::test]
async fn plaintext_and_tls_do_not_meet() {
    let ca = Authority::new();
    let plain = end("a", 1, Role::Node, None);
    let tls = end("b", 2, Role::Node, Some(ca.tls(CLUSTER, "spiffe://eu/node/b").unwrap()));
    let (a, b) = shake(&plain, &tls).await;
    assert!(matches!(a.unwrap_err(), HandshakeFailure::PeerSpeaksTls));
    assert!(matches!(b.unwrap_err(), HandshakeFailure::Tls(_)));
    let (a, b) = shake(&tls, &plain).await;
    assert!(a.is_err());
    assert!(b.unwrap_err().to_string().contains("speaks TLS where the other does not"));
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let ca = Authority::new();
    let files = ca.issue(&["spiffe://eu/node/a"]);
    for mode in [0o640, 0o604, 0o660] {
        fs::set_permissions(&files.key, fs::Permissions::from_mode(mode)).unwrap();
        let error = Tls::from_files(&cluster("eu"), &files).unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
}

#[test]
fn certificates_that_cannot_work_are_refused_at_once() {
    let ca = Authority::new();
    let load = |files: &TlsFiles| Tls::from_files(&cluster("eu"), files).unwrap_err().to_string();
    let good = ca.issue(&["spiffe://eu/node/a"]);
    for (names, expected) in [
        (vec![], "has 0 URI names"),
        (vec!["spiffe://eu/node/a", "spiffe://eu/node/b"], "has 2 URI names"),
        (vec!["https://example.org"], "\"https://example.org\" in the certificate is not spiffe://"),
        (vec!["spiffe://us/node/a"], "no CA is known for cluster \"us\""),
    ] {
        let error = load(&ca.issue(&names));
        assert!(error.contains(expected), "{error}");
    }
    let other_key = TlsFiles { key: ca.issue(&["spiffe://eu/node/b"]).key, ..good.clone() };
    assert!(load(&other_key).contains("certificate and key cannot be used"));
    let no_certificate = TlsFiles { certificate: good.key.clone(), ..good.clone() };
    assert!(load(&no_certificate).contains("there is no certificate in it"));
    let missing = TlsFiles { ca: "/nowhere/ca.pem".into(), ..good.clone() };
    assert!(load(&missing).starts_with("/nowhere/ca.pem"));
    let other_ca = TlsFiles { ca: Authority::new().ca(), ..good };
    assert!(matches!(
        Tls::from_files(&cluster("eu"), &other_ca),
        Err(TlsError::File { .. } | TlsError::Certificate { .. })
    ));
}

#[tokio::test]
async fn a_certificate_can_be_checked_again_later() {
    let ca = Authority::new();
    let tls = ca.tls(CLUSTER, "spiffe://eu/node/a").unwrap();
    let dialer = end("a", 1, Role::Node, Some(tls.clone()));
    let acceptor = end("b", 2, Role::Node, Some(ca.tls(CLUSTER, "spiffe://eu/node/b").unwrap()));
    let (a, _b) = shake(&dialer, &acceptor).await;
    let established = a.unwrap();
    let certificate = established.certificate().unwrap();
    tls.recheck(certificate, UnixTime::now()).unwrap();
    let long_after = UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::from(u32::MAX) * 100));
    assert!(tls.recheck(certificate, long_after).unwrap_err().to_string().contains("does not hold"));
}
