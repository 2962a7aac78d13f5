//! What a connection promises, over everything that can carry it.

use std::collections::BTreeMap;

use crate::common::ends::{Over, Pair, Setup};
use crate::common::recorder::Event;
use crate::common::{SOON, call_head, flat, reply_head, soon, value};
use mpreg_transport::{CloseReason, Incoming, LostCause, SendError};
use mpreg_types::{Payload, StreamId};
use mpreg_wire::FrameKind;

/// One test per carrier.
macro_rules! over_all {
    ($($(#[$doc:meta])* $name:ident)*) => {
        mod tcp { $(#[tokio::test] async fn $name() { super::$name(super::Over::Tcp).await; })* }
        mod unix { $(#[tokio::test] async fn $name() { super::$name(super::Over::Unix).await; })* }
        mod tls { $(#[tokio::test] async fn $name() { super::$name(super::Over::Tls).await; })* }
        mod memory { $(#[tokio::test] async fn $name() { super::$name(super::Over::Memory).await; })* }
    };
}

over_all! {
    both_sides_call_and_answer
    values_of_every_length_around_the_chunks_arrive_unchanged
    a_value_longer_than_the_window_gets_through
    many_segments_arrive_as_one_value
    calls_from_many_threads_arrive_once_and_in_the_order_of_their_streams
    a_close_says_why_after_everything_else
    a_dead_process_is_an_end_without_goodbye
    an_unread_connection_takes_so_much_and_no_more
    pings_measure_the_way
}

async fn both_sides_call_and_answer(over: Over) {
    let mut pair = Setup::over(over).connect().await;
    assert!(matches!(pair.dialer.events.next().await, Event::Opened));
    let payload = value(1, 100);
    for half in [&pair.dialer, &pair.acceptor] {
        half.connection.send_call(&call_head(5, 100), &payload).unwrap();
        half.connection.flush();
    }
    for (half, expected) in [(&mut pair.acceptor, StreamId(1)), (&mut pair.dialer, StreamId(2))] {
        let Incoming::Call { stream, head, value, wire_bytes } = half.events.frame().await else { panic!() };
        assert_eq!((stream, head.token, &value), (expected, 5, &payload));
        assert!(wire_bytes > 100);
        half.connection.send_reply(stream, &reply_head(head.token, 3), &b"yes".to_vec().into()).unwrap();
        half.connection.flush();
    }
    for (half, expected) in [(&mut pair.dialer, StreamId(1)), (&mut pair.acceptor, StreamId(2))] {
        let Incoming::Reply { stream, head, value, .. } = half.events.frame().await else { panic!() };
        assert_eq!((stream, head.token, &*value.head), (expected, 5, &b"yes"[..]));
    }
    assert_eq!(pair.dialer.connection.is_tls(), over == Over::Tls);
    assert!(pair.dialer.connection.is_local());
    assert_eq!(pair.dialer.connection.peer().name.as_str(), "b");
    assert_eq!(pair.acceptor.connection.peer().declared, over != Over::Tls);
}

async fn values_of_every_length_around_the_chunks_arrive_unchanged(over: Over) {
    const CHUNK: usize = 64 * 1024;
    let mut pair = Setup::echoing(over).connect().await;
    let lengths = [0, 1, 4096, 4097, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1, 700_000];
    let mut sent = BTreeMap::new();
    for (token, bytes) in (0..).zip(lengths) {
        let payload = value(token, bytes);
        let stream = pair.dialer.connection.send_call(&call_head(token, bytes), &payload).unwrap();
        sent.insert(stream, (token, flat(&payload)));
    }
    pair.dialer.connection.flush();
    for _ in lengths {
        let Incoming::Reply { stream, head, value, .. } = pair.dialer.events.frame().await else { panic!() };
        let (token, bytes) = sent.remove(&stream).expect("one reply for each call");
        assert_eq!(head.token, token);
        assert!(flat(&value) == bytes, "the value of {} bytes came back changed", bytes.len());
    }
}

async fn a_value_longer_than_the_window_gets_through(over: Over) {
    let mut setup = Setup::echoing(over);
    setup.limits.connection_window = 1024 * 1024;
    let mut pair = setup.connect().await;
    let bytes = 8 * 1024 * 1024 + 5;
    let payload = value(3, bytes);
    pair.dialer.connection.send_call(&call_head(1, bytes), &payload).unwrap();
    // A small call is not stuck behind the large value.
    pair.dialer.connection.send_call(&call_head(2, 10), &value(4, 10)).unwrap();
    pair.dialer.connection.flush();
    let Incoming::Reply { head, .. } = pair.dialer.events.frame().await else { panic!() };
    assert_eq!(head.token, 2);
    let Incoming::Reply { head, value, wire_bytes, .. } = pair.dialer.events.frame().await else { panic!() };
    assert_eq!((head.token, wire_bytes), (1, 0), "its credit went back as it came");
    assert!(flat(&value) == flat(&payload));
}

async fn many_segments_arrive_as_one_value(over: Over) {
    let mut pair = Setup::echoing(over).connect().await;
    for parts in [vec![3, 0, 5000, 1], vec![70_000, 10, 0, 100_000, 65_536, 1], vec![50; 2000]] {
        let mut segments = parts.iter().map(|bytes| value(*bytes as u64, *bytes).head);
        let payload = Payload { head: segments.next().unwrap(), tail: segments.collect() };
        pair.dialer.connection.send_call(&call_head(1, payload.len()), &payload).unwrap();
        pair.dialer.connection.flush();
        let Incoming::Reply { value, .. } = pair.dialer.events.frame().await else { panic!() };
        assert!(flat(&value) == flat(&payload));
    }
}

async fn calls_from_many_threads_arrive_once_and_in_the_order_of_their_streams(over: Over) {
    const THREADS: u64 = 3;
    const CALLS: u64 = 2000;
    let mut pair = Setup::over(over).connect().await;
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let connection = pair.dialer.connection.clone();
            std::thread::spawn(move || {
                let mut streams = Vec::new();
                for call in 0..CALLS {
                    let token = thread * CALLS + call;
                    // Some are written from the buffer, some as a segment of their own.
                    let bytes = if call % 64 == 0 { 5000 } else { usize::try_from(token % 200).unwrap() };
                    let payload = value(token, bytes);
                    loop {
                        match connection.send_call(&call_head(token, bytes), &payload) {
                            Ok(stream) => break streams.push((stream, token)),
                            Err(SendError::NoCredit) => std::thread::yield_now(),
                            Err(error) => panic!("{error}"),
                        }
                    }
                    if call % 3 == thread % 3 {
                        connection.flush();
                    }
                }
                connection.flush();
                streams
            })
        })
        .collect();
    let mut arrived = Vec::new();
    while (arrived.len() as u64) < THREADS * CALLS {
        let Incoming::Call { stream, head, value: got, .. } = pair.acceptor.events.frame().await else {
            panic!()
        };
        assert!(flat(&got) == flat(&value(head.token, got.len())), "call {} is torn", head.token);
        arrived.push((stream, head.token));
    }
    assert!(arrived.is_sorted(), "streams rise on the wire");
    let mut sent: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    sent.sort_unstable();
    assert_eq!(sent, arrived);
}

async fn a_close_says_why_after_everything_else(over: Over) {
    let mut pair = Setup::over(over).connect().await;
    let payload = value(1, 300_000);
    pair.dialer.connection.send_call(&call_head(1, 300_000), &payload).unwrap();
    pair.dialer.connection.send_control(FrameKind::Membership, b"last words").unwrap();
    pair.dialer.connection.close(CloseReason::Leaving);
    assert!(!pair.dialer.connection.is_open());
    assert_eq!(
        pair.dialer.connection.send_call(&call_head(2, 0), &Payload::default()),
        Err(SendError::Closed)
    );
    let Incoming::Control { kind, payload: words, .. } = pair.acceptor.events.frame().await else { panic!() };
    assert_eq!((kind, &words[..]), (FrameKind::Membership, &b"last words"[..]), "control frames come first");
    let Incoming::Call { value, .. } = pair.acceptor.events.frame().await else { panic!() };
    assert!(flat(&value) == flat(&payload));
    let lost = pair.acceptor.events.closed().await;
    assert_eq!(lost.cause, LostCause::Goodbye(CloseReason::Leaving.into()));
    let lost = pair.dialer.events.closed().await;
    assert_eq!(lost.cause, LostCause::Closed(CloseReason::Leaving.into()));
    assert!(!lost.untaken.contains(StreamId(1)), "all of what there was");
    assert!(!pair.acceptor.connection.is_open());
}

async fn a_dead_process_is_an_end_without_goodbye(over: Over) {
    let Pair { dialer: mut alive, acceptor: dead, dialer_io: _alive_io, acceptor_io: dead_io, .. } =
        Setup::over(over).connect().await;
    alive.connection.send_call(&call_head(1, 10), &value(1, 10)).unwrap();
    drop(dead_io);
    assert!(!dead.connection.is_open(), "who still holds it cannot go on sending");
    let lost = alive.events.closed().await;
    assert!(matches!(lost.cause, LostCause::Ended | LostCause::Broken(_)), "{:?}", lost.cause);
    assert_eq!(lost.untaken.first(), StreamId(1), "nothing was flushed");
    assert!(!alive.connection.is_open());
}

async fn an_unread_connection_takes_so_much_and_no_more(over: Over) {
    let mut setup = Setup::over(over);
    setup.limits.connection_window = 1024 * 1024;
    setup.acceptor.consumes = false;
    let mut pair = setup.connect().await;
    let payload = value(1, 1000);
    let (mut sent, mut owed) = (0_u64, 0);
    loop {
        match pair.dialer.connection.send_call(&call_head(sent, 1000), &payload) {
            Ok(_) => sent += 1,
            Err(error) => break assert_eq!(error, SendError::NoCredit),
        }
        pair.dialer.connection.flush();
    }
    assert!((900..1049).contains(&sent), "about the window in calls of 1,000 bytes: {sent}");
    for token in 0..sent {
        let Incoming::Call { head, wire_bytes, .. } = pair.acceptor.events.frame().await else { panic!() };
        assert_eq!(head.token, token);
        owed += wire_bytes;
    }
    pair.acceptor.connection.consumed(owed);
    pair.dialer.events.credit().await;
    pair.dialer.connection.send_call(&call_head(sent, 1000), &payload).unwrap();
    pair.dialer.connection.flush();
    let Incoming::Call { head, .. } = pair.acceptor.events.frame().await else { panic!() };
    assert_eq!(head.token, sent);
}

async fn pings_measure_the_way(over: Over) {
    let pair = Setup::over(over).connect().await;
    assert_eq!(pair.dialer.connection.rtt(), None);
    soon("an answer", async {
        while pair.dialer.connection.rtt().is_none() {
            pair.dialer.connection.send_ping().unwrap();
            pair.dialer.connection.flush();
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(pair.dialer.connection.rtt().unwrap() < SOON);
}
