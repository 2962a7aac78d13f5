//! From a link to a connection: who is refused, why, and that both sides know.

use std::time::Duration;

use mpreg_transport::{Address, HandshakeFailure, Link, Network};
use mpreg_types::{ClusterId, Incarnation};
use mpreg_wire::handshake::{HandshakeError, LocalHello, Refusal, Secret, SecretRule, Side};
use mpreg_wire::{Limits, Role};

use crate::common::ends::{End, IoThread};
use crate::common::recorder::{Behaviour, Recorder};
use crate::common::{SOON, soon};

/// Two ends of one link.
async fn link() -> (Link, Link) {
    let network = Network::new();
    let listener = network.listen(&Address::parse("127.0.0.1:0").unwrap(), None).await.unwrap();
    let link = network.dial(listener.address(), None, SOON).await.unwrap();
    (link, listener.accept().await.unwrap())
}

/// Shakes hands with changed hellos; how it failed on each side.
async fn failures(
    change_dialer: impl FnOnce(&mut LocalHello),
    change_acceptor: impl FnOnce(&mut LocalHello),
    known: Option<Incarnation>,
) -> (HandshakeFailure, HandshakeFailure) {
    let (dialer, acceptor) = (End::node("a", 1), End::node("b", 2));
    let (mut hello_a, mut hello_b) = (dialer.hello(), acceptor.hello());
    change_dialer(&mut hello_a);
    change_acceptor(&mut hello_b);
    let (link_a, link_b) = link().await;
    let (a, b) = soon("the handshake", async {
        tokio::join!(
            dialer.handshakes.shake(link_a, Side::Dialer, hello_a, dialer.policy.clone(), |_| None),
            acceptor.handshakes.shake(link_b, Side::Acceptor, hello_b, acceptor.policy.clone(), |_| known)
        )
    })
    .await;
    // The dialler may have proven all it needs before it hears that it is refused.
    let a = match a {
        Err(failure) => failure,
        Ok(established) => {
            let io = IoThread::start();
            let (recorder, mut events) = Recorder::new(Behaviour::default());
            let handler = std::sync::Arc::new(parking_lot::Mutex::new(recorder));
            let _connection = established.run(&io.handle, handler).unwrap();
            match events.closed().await.cause {
                mpreg_transport::LostCause::Refused(refusal) => HandshakeError::RefusedByPeer(refusal).into(),
                other => panic!("{other:?}"),
            }
        }
    };
    (a, b.unwrap_err())
}

fn secret(byte: u8) -> SecretRule {
    SecretRule::Demanded(Secret::new([byte; 32]))
}

#[tokio::test]
async fn whoever_is_refused_learns_why_on_both_sides() {
    let (a, b) = failures(|a| a.secret = secret(1), |b| b.secret = secret(2), None).await;
    for failure in [&a, &b] {
        assert!(failure.to_string().contains("different shared secrets"), "{failure}");
        assert!(failure.to_string().contains("secret_file"), "the remedy: {failure}");
    }
    let (a, b) = failures(|a| a.cluster = Some(ClusterId::parse("us").unwrap()), |_| (), None).await;
    for failure in [&a, &b] {
        assert!(failure.to_string().contains("\"us\""), "{failure}");
    }
}

#[tokio::test]
async fn a_stale_start_is_refused_and_told_the_living_one() {
    let (a, b) = failures(|_| (), |_| (), Some(Incarnation(5))).await;
    let HandshakeFailure::Refused(HandshakeError::RefusedByPeer(Refusal::StaleIncarnation { known, .. })) = a
    else {
        panic!("{a}")
    };
    assert_eq!(known, Incarnation(5));
    assert!(matches!(
        b,
        HandshakeFailure::Refused(HandshakeError::Refused(Refusal::StaleIncarnation { .. }))
    ));
}

#[tokio::test]
async fn a_silent_peer_is_refused_after_the_timeout() {
    let limits = Limits { handshake_timeout: Duration::from_millis(30), ..Limits::default() };
    let end = End::new("b", 2, Role::Node, limits, None);
    let (_silent, accepted) = link().await;
    let failure = end.shake(accepted, Side::Acceptor).await.unwrap_err();
    assert!(failure.to_string().contains("longer than 30 ms"), "{failure}");
    assert_eq!(end.count("handshakes_refused"), 1);
}

#[tokio::test]
async fn the_oldest_half_open_handshake_makes_way() {
    let end = End::new("b", 2, Role::Node, Limits { half_open: 1, ..Limits::default() }, None);
    let (_silent, first) = link().await;
    let (dialled, second) = link().await;
    let dialer = End::node("a", 1);
    let (first, second, dialled) = soon("the handshakes", async {
        tokio::join!(
            end.shake(first, Side::Acceptor),
            end.shake(second, Side::Acceptor),
            dialer.shake(dialled, Side::Dialer)
        )
    })
    .await;
    assert!(matches!(first.unwrap_err(), HandshakeFailure::Displaced));
    assert_eq!(end.count("handshakes_displaced"), 1);
    assert!(second.is_ok() && dialled.is_ok());
}

#[tokio::test]
async fn connections_are_limited_and_a_place_comes_back() {
    let end = End::new("b", 2, Role::Node, Limits { connections: 1, ..Limits::default() }, None);
    let dialer = End::node("a", 1);
    let shake = async || {
        let (a, b) = link().await;
        soon("the handshake", async {
            tokio::join!(dialer.shake(a, Side::Dialer), end.shake(b, Side::Acceptor))
        })
        .await
    };
    let first = shake().await;
    assert!(first.0.is_ok() && first.1.is_ok());
    assert_eq!(end.handshakes.connections(), 1);
    let (a, b) = shake().await;
    assert!(matches!(b, Err(HandshakeFailure::Refused(HandshakeError::Refused(Refusal::Full { .. })))));
    assert!(a.unwrap_err().to_string().contains("no room for more"));
    assert_eq!(end.count("connections_over_limit"), 1);
    drop(first);
    assert!(shake().await.1.is_ok());
}

#[tokio::test]
async fn another_protocol_is_refused_at_its_first_bytes() {
    let end = End::node("b", 2);
    let network = Network::new();
    let listener = network.listen(&Address::parse("127.0.0.1:0").unwrap(), None).await.unwrap();
    let Address::Tcp { host, port } = listener.address() else { panic!() };
    let mut stranger = tokio::net::TcpStream::connect((&**host, *port)).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stranger, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let accepted = listener.accept().await.unwrap();
    let failure = soon("the refusal", end.shake(accepted, Side::Acceptor)).await.unwrap_err();
    assert!(failure.to_string().contains("no mpreg process"), "{failure}");
}

#[tokio::test]
async fn a_peer_that_hangs_up_is_a_broken_handshake() {
    let end = End::node("b", 2);
    let (gone, accepted) = link().await;
    drop(gone);
    let failure = soon("the end", end.shake(accepted, Side::Acceptor)).await.unwrap_err();
    assert!(matches!(failure, HandshakeFailure::Broken(_)), "{failure}");
    assert_eq!(end.count("handshakes_failed"), 1);
}
