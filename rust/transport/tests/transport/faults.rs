//! The faults of the test kit, on links in memory and over TCP.

use std::time::{Duration, Instant};

use mpreg_transport::{Address, CloseReason, Faults, Incoming, LostCause, Network};
use mpreg_types::Payload;

use crate::common::ends::{Over, Pair, Setup};
use crate::common::recorder::Event;
use crate::common::{SOON, call_head, soon, value};

async fn pair_with(over: Over) -> (std::sync::Arc<Faults>, Pair) {
    let faults = Faults::new();
    let network = Network::with_faults(faults.clone());
    let pair = Setup { network, ..Setup::over(over) }.connect().await;
    (faults, pair)
}

fn send(pair: &Pair, token: u64) {
    pair.dialer.connection.send_call(&call_head(token, 10), &value(token, 10)).unwrap();
    pair.dialer.connection.flush();
}

async fn arrived(pair: &mut Pair) -> u64 {
    let Incoming::Call { head, .. } = pair.acceptor.events.frame().await else { panic!() };
    head.token
}

#[tokio::test]
async fn a_cut_is_silence_and_a_heal_delivers_everything() {
    for over in [Over::Memory, Over::Tcp] {
        let (faults, mut pair) = pair_with(over).await;
        send(&pair, 1);
        assert_eq!(arrived(&mut pair).await, 1);
        faults.cut("b", "a");
        send(&pair, 2);
        pair.acceptor.connection.send_call(&call_head(3, 0), &Payload::default()).unwrap();
        pair.acceptor.connection.flush();
        // What passed would be here by the time a link that is not cut has been made and used.
        let (_, mut other) = pair_with(over).await;
        send(&other, 9);
        assert_eq!(arrived(&mut other).await, 9);
        let heard: Vec<_> =
            pair.acceptor.events.rest().into_iter().chain(pair.dialer.events.rest()).collect();
        assert!(heard.iter().all(|event| matches!(event, Event::Opened)), "{heard:?}");
        assert!(pair.dialer.connection.is_open() && pair.acceptor.connection.is_open());
        faults.heal("a", "b");
        assert_eq!(arrived(&mut pair).await, 2);
        assert!(matches!(pair.dialer.events.frame().await, Incoming::Call { .. }));
    }
}

#[tokio::test]
async fn a_delay_slows_both_directions_and_keeps_every_byte() {
    for over in [Over::Memory, Over::Tcp] {
        let (faults, mut pair) = pair_with(over).await;
        let delay = Duration::from_millis(40);
        faults.delay("a", "b", delay);
        let start = Instant::now();
        let bytes = 3 * 1024 * 1024;
        let payload = value(1, bytes);
        pair.dialer.connection.send_call(&call_head(1, bytes), &payload).unwrap();
        pair.dialer.connection.flush();
        let Incoming::Call { stream, value, .. } = pair.acceptor.events.frame().await else { panic!() };
        assert!(value == payload);
        assert!(start.elapsed() >= delay);
        let reply = crate::common::reply_head(1, bytes);
        pair.acceptor.connection.send_reply(stream, &reply, &payload).unwrap();
        pair.acceptor.connection.flush();
        let Incoming::Reply { value, .. } = pair.dialer.events.frame().await else { panic!() };
        assert!(value == payload);
        assert!(start.elapsed() >= 2 * delay);
        faults.heal("a", "b");
        pair.dialer.connection.close(CloseReason::Leaving);
        let cause = pair.acceptor.events.closed().await.cause;
        assert_eq!(cause, LostCause::Goodbye(CloseReason::Leaving.into()));
    }
}

#[tokio::test]
async fn a_severed_connection_breaks_on_both_sides_and_can_be_made_again() {
    for over in [Over::Memory, Over::Tcp] {
        let (faults, mut pair) = pair_with(over).await;
        faults.sever("a", "b");
        let cause = pair.dialer.events.closed().await.cause;
        assert_eq!(cause, LostCause::Broken(std::io::ErrorKind::ConnectionReset));
        let cause = pair.acceptor.events.closed().await.cause;
        assert!(matches!(cause, LostCause::Ended | LostCause::Broken(_)), "{cause:?}");
    }
}

#[tokio::test]
async fn the_dead_refuse_and_the_cut_off_do_not_answer() {
    let faults = Faults::new();
    let network = Network::with_faults(faults.clone());
    let address = Address::parse("memory:b").unwrap();
    let listener = network.listen(&address, Some(&"b".into())).await.unwrap();
    let label = "a".into();
    faults.kill("b");
    assert!(network.dial(&address, Some(&label), SOON).await.unwrap_err().is_refused());
    faults.revive("b");
    faults.pause("b");
    let error = network.dial(&address, Some(&label), Duration::from_millis(20)).await.unwrap_err();
    assert!(!error.is_refused());
    assert!(error.to_string().contains("no answer within 20ms"), "{error}");
    let (dialled, ()) = soon("a dial that began in the pause", async {
        tokio::join!(network.dial(&address, Some(&label), SOON), async { faults.resume("b") })
    })
    .await;
    dialled.unwrap();
    drop(listener);
    assert!(network.dial(&address, Some(&label), SOON).await.unwrap_err().is_refused());
}

#[tokio::test]
async fn a_kill_breaks_every_connection_of_the_node() {
    let (faults, mut pair) = pair_with(Over::Tcp).await;
    faults.kill("b");
    pair.dialer.events.closed().await;
    pair.acceptor.events.closed().await;
}
