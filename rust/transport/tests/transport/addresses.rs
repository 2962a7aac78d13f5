//! Listening and dialling.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use mpreg_transport::{Address, DialError, ListenError, Network};

use crate::common::{SOON, Scratch};

fn parse(text: &str) -> Address {
    Address::parse(text).unwrap()
}

#[tokio::test]
async fn port_zero_becomes_the_one_the_system_chose() {
    let network = Network::new();
    let listener = network.listen(&parse("127.0.0.1:0"), None).await.unwrap();
    let Address::Tcp { port, .. } = listener.address() else { panic!() };
    assert_ne!(*port, 0);
    let error = network.listen(listener.address(), None).await.unwrap_err();
    assert!(matches!(error, ListenError::InUse { .. }), "{error}");
}

#[tokio::test]
async fn a_host_name_is_resolved_and_an_unknown_one_named() {
    let network = Network::new();
    let listener = network.listen(&parse("localhost:0"), None).await.unwrap();
    let Address::Tcp { port, .. } = listener.address() else { panic!() };
    let link = network.dial(&parse(&format!("localhost:{port}")), None, SOON).await.unwrap();
    assert!(link.is_local() && link.is_tcp() && !link.is_tls());
    let error = network.dial(&parse("no-such-host.invalid:1"), None, SOON).await.unwrap_err();
    assert!(matches!(error, DialError::Unresolved { .. }), "{error}");
    assert!(error.to_string().starts_with("no-such-host.invalid:1"), "{error}");
}

#[tokio::test]
async fn nobody_there_is_a_refusal() {
    let network = Network::new();
    let scratch = Scratch::new();
    let gone = network.listen(&parse("127.0.0.1:0"), None).await.unwrap().address().clone();
    for address in [gone, parse("memory:nobody"), Address::Unix(scratch.path("nobody"))] {
        let error = network.dial(&address, None, SOON).await.unwrap_err();
        assert!(error.is_refused(), "{error}");
    }
}

#[tokio::test]
async fn a_unix_socket_lies_where_only_its_owner_can_go() {
    let scratch = Scratch::new();
    let network = Network::new();
    let address = Address::Unix(scratch.path("d/s"));
    let listener = network.listen(&address, None).await.unwrap();
    assert_eq!(fs::metadata(scratch.path("d")).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(matches!(network.listen(&address, None).await, Err(ListenError::InUse { .. })));
    network.dial(&address, None, SOON).await.unwrap();
    drop(listener);
    assert!(!scratch.path("d/s").exists(), "the file goes with the listener");
    fs::set_permissions(scratch.path("d"), fs::Permissions::from_mode(0o750)).unwrap();
    assert!(matches!(network.listen(&address, None).await, Err(ListenError::OpenDirectory { .. })));
    std::os::unix::fs::symlink(scratch.root(), scratch.path("link")).unwrap();
    let linked = Address::Unix(scratch.path("link/s"));
    assert!(matches!(network.listen(&linked, None).await, Err(ListenError::OpenDirectory { .. })));
}

#[tokio::test]
async fn the_socket_of_a_dead_process_is_replaced() {
    let scratch = Scratch::new();
    let path = scratch.path("d/s");
    let network = Network::new();
    drop(network.listen(&Address::Unix(path.clone()), None).await.unwrap());
    // The standard library leaves the file behind, as a killed process does.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let listener = network.listen(&Address::Unix(path), None).await.unwrap();
    network.dial(listener.address(), None, SOON).await.unwrap();
    listener.accept().await.unwrap();
}
