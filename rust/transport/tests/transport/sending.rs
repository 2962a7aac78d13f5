//! What leaves a connection, in which order, and what is known of it at the end.

use std::time::Duration;

use mpreg_transport::{CloseReason, Incoming, SendError};
use mpreg_types::{Payload, StreamId};
use mpreg_wire::{FrameFlags, FrameKind, Limits, Role, encode_call, encode_credit, encode_reply};
use tokio::time::timeout;

use crate::common::ends::{Over, Setup};
use crate::common::raw_peer::{RawPeer, frame};
use crate::common::recorder::{Behaviour, Event};
use crate::common::{call_head, flat, reply_head, soon, value};

async fn raw(limits: Limits) -> (RawPeer, crate::common::ends::Half, crate::common::ends::IoThread) {
    RawPeer::connect(Role::Node, limits, Behaviour::default()).await
}

/// A reply of `value_bytes` zeros as the raw peer sends it.
fn reply(stream: StreamId, value_bytes: usize) -> Vec<u8> {
    let mut meta = Vec::new();
    encode_reply(&reply_head(1, value_bytes), &mut meta);
    frame(FrameKind::Reply, FrameFlags::NONE, stream.0, &meta, &vec![0; value_bytes])
}

#[tokio::test]
async fn the_first_unsent_stream_is_the_first_that_the_peer_never_sees_a_byte_of() {
    // So large that the kernel's buffers, not the window, are what is full.
    let limits = Limits { connection_window: 1 << 30, out_high_water: 1 << 20, ..Limits::default() };
    let (mut peer, mut half, _io) = raw(limits).await;
    let payload = value(1, 3000);
    let mut given = StreamId(0);
    // Until the queue is full and stays so: then the kernel is full too.
    loop {
        match half.connection.send_call(&call_head(1, 3000), &payload) {
            Ok(stream) => given = stream,
            Err(error) => {
                assert_eq!(error, SendError::NoCredit, "the peer reads nothing");
                if timeout(Duration::from_millis(500), half.events.credit()).await.is_err() {
                    break;
                }
            }
        }
        half.connection.flush();
    }
    // The goodbye cannot be said, so the connection ends with what the kernel has.
    half.connection.close(CloseReason::Leaving);
    let lost = half.events.closed().await;
    assert!(lost.untaken.first() <= given, "something was left: {:?} of {given:?}", lost.untaken.first());
    let seen = peer.frames().await;
    let whole = seen.iter().filter(|frame| frame.header.kind == FrameKind::Call).count() as u64;
    let torn = u64::from(!peer.torn().is_empty());
    assert_eq!(lost.untaken.first().0, 1 + 2 * (whole + torn));
}

#[tokio::test]
async fn a_connection_with_a_call_under_way_is_not_closed_for_being_quiet() {
    let (mut peer, mut half, _io) = raw(Limits::default()).await;
    let stream = half.connection.send_call(&call_head(1, 9), &value(1, 9)).unwrap();
    half.connection.close_if_quiet(CloseReason::Unused);
    half.connection.flush();
    assert_eq!(peer.frame().await.unwrap().header.kind, FrameKind::Call);
    peer.write(&reply(stream, 9)).await;
    assert!(matches!(half.events.frame().await, Incoming::Reply { .. }));
    soon("the end of the call", async {
        while !half.connection.is_quiet() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    half.connection.close_if_quiet(CloseReason::Unused);
    assert_eq!(peer.frame().await.unwrap().header.kind, FrameKind::Goodbye);
}

#[tokio::test]
async fn control_frames_overtake_what_waits() {
    let (mut peer, half, _io) = raw(Limits::default()).await;
    let payload = value(1, 100);
    for token in 0..10 {
        half.connection.send_call(&call_head(token, 100), &payload).unwrap();
    }
    half.connection.send_control(FrameKind::Catalog, b"news").unwrap();
    half.connection.send_started([2, 4]).unwrap();
    half.connection.flush();
    let mut kinds = Vec::new();
    for _ in 0..12 {
        kinds.push(peer.frame().await.unwrap().header.kind);
    }
    assert_eq!(kinds[..2], [FrameKind::Catalog, FrameKind::Started]);
    assert_eq!(kinds[2..], [FrameKind::Call; 10]);
}

#[tokio::test]
async fn the_control_queue_is_bounded() {
    let (_peer, half, _io) = raw(Limits::default()).await;
    let message = vec![0; 100_000];
    let mut sent = 0;
    let error = loop {
        match half.connection.send_control(FrameKind::Membership, &message) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((error, sent), (SendError::ControlFull, 41), "4 MiB");
    let too_long = vec![0; 128 * 1024 + 1];
    half.connection.flush();
    let error = half.connection.send_control(FrameKind::Membership, &too_long).unwrap_err();
    assert!(matches!(error, SendError::NoFrame(_)), "{error}");
}

#[tokio::test]
async fn large_values_take_turns() {
    let (mut peer, half, _io) = raw(Limits::default()).await;
    for token in 1..=2 {
        half.connection.send_call(&call_head(token, 200_000), &value(token, 200_000)).unwrap();
    }
    half.connection.flush();
    let mut chunks = Vec::new();
    while chunks.len() < 8 {
        let frame = peer.frame().await.unwrap();
        if frame.header.kind == FrameKind::Chunk {
            chunks.push((frame.header.stream.0, frame.header.length));
        }
    }
    let full = 65_536;
    let rest = 200_000 - 3 * full;
    let turns = [full, full, full, rest].into_iter().flat_map(|bytes| [(1, bytes), (3, bytes)]);
    assert_eq!(chunks, turns.collect::<Vec<_>>());
}

/// The lengths of the chunks that come before `calls` calls have come.
async fn chunks_until(peer: &mut RawPeer, mut calls: usize) -> Vec<u32> {
    let mut chunks = Vec::new();
    while calls > 0 {
        let frame = peer.frame().await.unwrap();
        match frame.header.kind {
            FrameKind::Chunk => chunks.push(frame.header.length),
            _ => calls -= 1,
        }
    }
    chunks
}

#[tokio::test]
async fn large_and_small_values_leave_each_other_credit() {
    const WINDOW: u64 = 4 * 1024 * 1024;
    let (mut peer, mut half, _io) = raw(Limits { connection_window: WINDOW, ..Limits::default() }).await;
    half.connection.send_call(&call_head(0, 100_000_000), &Payload::from(vec![0; 100_000_000])).unwrap();
    half.connection.flush();
    // The large value takes what it may, without a byte of credit coming back.
    let mut bulk = 0;
    while bulk + 65_536 <= WINDOW * 3 / 4 {
        bulk += u64::from(peer.frame().await.unwrap().header.length);
    }
    // Small calls still go.
    let small = value(1, 1000);
    let mut calls = 0;
    loop {
        match half.connection.send_call(&call_head(1, 1000), &small) {
            Ok(_) => calls += 1,
            Err(error) => break assert_eq!(error, SendError::NoCredit),
        }
        half.connection.flush();
    }
    assert!(calls > 400, "an eighth of the window in calls of 1,000 bytes: {calls}");
    assert_eq!(chunks_until(&mut peer, calls).await, []);
    // A lump of credit, as receivers return it, serves both.
    peer.write(&frame(FrameKind::Credit, FrameFlags::NONE, 0, &[], &encode_credit(WINDOW / 4))).await;
    half.events.credit().await;
    half.connection.send_call(&call_head(1, 1000), &small).unwrap();
    half.connection.flush();
    let chunks = chunks_until(&mut peer, 1).await;
    assert!(!chunks.is_empty(), "small calls do not starve the large value");
}

#[tokio::test]
async fn a_cancel_follows_its_call_and_ends_its_value() {
    let (mut peer, half, _io) = raw(Limits::default()).await;
    let bulk = half.connection.send_call(&call_head(1, 500_000), &value(1, 500_000)).unwrap();
    let small = half.connection.send_call(&call_head(2, 5), &value(2, 5)).unwrap();
    half.connection.send_cancel(bulk);
    half.connection.send_cancel(small);
    half.connection.send_cancel(small);
    half.connection.close(CloseReason::Unused);
    let frames = peer.frames().await;
    let seen: Vec<_> = frames.iter().map(|frame| (frame.header.kind, frame.header.stream)).collect();
    let expected = [
        (FrameKind::Call, bulk),
        (FrameKind::Call, small),
        (FrameKind::Cancel, bulk),
        (FrameKind::Cancel, small),
        (FrameKind::Goodbye, StreamId(0)),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn nothing_is_sent_for_a_call_that_was_answered_before_it_was_cancelled() {
    let (mut peer, mut half, _io) = raw(Limits::default()).await;
    let stream = half.connection.send_call(&call_head(1, 5), &value(1, 5)).unwrap();
    half.connection.flush();
    peer.write(&reply(stream, 3)).await;
    assert!(matches!(half.events.frame().await, Incoming::Reply { .. }));
    // The reply counts as arrived at the end of its batch; a ping behind it makes sure of that.
    peer.write(&frame(FrameKind::Ping, FrameFlags::NONE, 0, &[], &[0; 8])).await;
    assert_eq!(peer.frame().await.unwrap().header.kind, FrameKind::Call);
    assert_eq!(peer.frame().await.unwrap().header.kind, FrameKind::Pong);
    half.connection.send_cancel(stream);
    half.connection.close(CloseReason::Unused);
    let kinds: Vec<_> = peer.frames().await.iter().map(|frame| frame.header.kind).collect();
    assert_eq!(kinds, [FrameKind::Goodbye]);
}

#[tokio::test]
async fn calls_wait_for_replies_up_to_the_limit() {
    let (mut peer, mut half, _io) = raw(Limits { pending_calls: 2, ..Limits::default() }).await;
    let send = || half.connection.send_call(&call_head(1, 5), &value(1, 5));
    let (first, second) = (send().unwrap(), send().unwrap());
    assert_eq!(send(), Err(SendError::TooManyPending { max: 2 }));
    half.connection.flush();
    peer.write(&reply(second, 3)).await;
    half.events.credit().await;
    assert_eq!(send(), Ok(StreamId(5)));
    half.connection.send_cancel(first);
    assert_eq!(send(), Ok(StreamId(7)), "a cancelled call no longer waits");
}

#[tokio::test]
async fn replies_without_credit_wait_and_calls_are_turned_away() {
    let limits = Limits { connection_window: 128 * 1024, ..Limits::default() };
    let (mut peer, mut half, _io) = raw(limits).await;
    let payload = value(1, 60_000);
    for stream in [2, 4, 6] {
        half.connection.send_reply(StreamId(stream), &reply_head(1, 60_000), &payload).unwrap();
    }
    half.connection.flush();
    assert_eq!(half.connection.send_call(&call_head(1, 5), &value(1, 5)), Err(SendError::NoCredit));
    let mut used = 0;
    for stream in [2, 4] {
        let frame = peer.frame().await.unwrap();
        assert_eq!(frame.header.stream.0, stream);
        used += u64::from(frame.header.length);
    }
    peer.write(&frame(FrameKind::Credit, FrameFlags::NONE, 0, &[], &encode_credit(used))).await;
    assert_eq!(peer.frame().await.unwrap().header.stream, StreamId(6));
    half.events.credit().await;
    half.connection.send_call(&call_head(1, 5), &value(1, 5)).unwrap();
}

#[tokio::test]
async fn who_was_turned_away_is_not_woken_before_there_is_enough_credit() {
    let limits = Limits { connection_window: 128 * 1024, ..Limits::default() };
    let (mut peer, mut half, _io) = raw(limits).await;
    let payload = value(1, 60_000);
    let send = || half.connection.send_call(&call_head(1, 60_000), &payload);
    assert!(send().is_ok() && send().is_ok());
    assert_eq!(send(), Err(SendError::NoCredit));
    half.connection.flush();
    let credit = |bytes| frame(FrameKind::Credit, FrameFlags::NONE, 0, &[], &encode_credit(bytes));
    let ping = frame(FrameKind::Ping, FrameFlags::NONE, 0, &[], &[0; 8]);
    peer.write(&[credit(30_000), ping].concat()).await;
    while peer.frame().await.unwrap().header.kind != FrameKind::Pong {}
    let heard = half.events.rest();
    assert!(heard.iter().all(|event| matches!(event, Event::Opened)), "too little: {heard:?}");
    peer.write(&credit(30_000)).await;
    half.events.credit().await;
    assert!(half.connection.send_call(&call_head(1, 60_000), &payload).is_ok());
}

#[tokio::test]
async fn a_peer_that_never_takes_its_replies_is_closed() {
    let limits = Limits { connection_window: 128 * 1024, pending_calls: 4, ..Limits::default() };
    let (_peer, mut half, _io) = raw(limits).await;
    let payload = value(1, 60_000);
    let error = (1..)
        .find_map(|n| half.connection.send_reply(StreamId(2 * n), &reply_head(1, 60_000), &payload).err());
    assert_eq!(error, Some(SendError::RepliesNotTaken { max: 4 }));
    let cause = half.events.closed().await.cause;
    assert_eq!(cause.to_string(), "closed: the peer does not take its replies");
}

#[tokio::test]
async fn values_longer_than_the_peer_takes_are_not_sent() {
    let limits = Limits { max_value_bytes: 1000, ..Limits::default() };
    let (mut peer, half, _io) = raw(limits).await;
    let too_large = Err(SendError::TooLarge { bytes: 1001, max: 1000 });
    assert_eq!(half.connection.send_call(&call_head(1, 1001), &value(1, 1001)), too_large.clone());
    let reply = half.connection.send_reply(StreamId(2), &reply_head(1, 1001), &value(1, 1001));
    assert_eq!(reply, too_large.map(|_: StreamId| ()));
    assert_eq!(half.connection.send_call(&call_head(1, 1000), &value(1, 1000)), Ok(StreamId(1)));
    half.connection.close(CloseReason::Unused);
    assert_eq!(peer.frames().await.len(), 2, "the call and the goodbye");
}

#[tokio::test]
async fn the_rest_of_a_refused_value_is_not_sent() {
    let (mut peer, mut half, _io) = raw(Limits { connection_window: 256 * 1024, ..Limits::default() }).await;
    let bytes = 50_000_000;
    let stream = half.connection.send_call(&call_head(1, bytes), &Payload::from(vec![0; bytes])).unwrap();
    half.connection.flush();
    assert_eq!(peer.frame().await.unwrap().header.flags, FrameFlags::MORE);
    peer.write(&reply(stream, 3)).await;
    assert!(matches!(half.events.frame().await, Incoming::Reply { .. }));
    half.connection.close(CloseReason::Unused);
    let frames = peer.frames().await;
    let kinds: Vec<_> = frames.iter().map(|frame| frame.header.kind).collect();
    assert_eq!(kinds[..3], [FrameKind::Chunk; 3], "the window, and no more");
    assert_eq!(kinds[3..], [FrameKind::Cancel, FrameKind::Goodbye]);
}

#[tokio::test]
async fn a_reply_whose_call_was_cancelled_is_not_sent_to_its_end() {
    let (mut peer, mut half, _io) = raw(Limits { connection_window: 256 * 1024, ..Limits::default() }).await;
    let bytes = 50_000_000;
    let stream = StreamId(2);
    let mut meta = Vec::new();
    encode_call(&call_head(1, 0), half.connection.peer().process(), &mut meta);
    peer.write(&frame(FrameKind::Call, FrameFlags::NONE, stream.0, &meta, &[])).await;
    assert!(matches!(half.events.frame().await, Incoming::Call { .. }));
    half.connection.send_reply(stream, &reply_head(1, bytes), &Payload::from(vec![0; bytes])).unwrap();
    half.connection.flush();
    assert_eq!(peer.frame().await.unwrap().header.flags, FrameFlags::MORE);
    for _ in 0..3 {
        assert_eq!(peer.frame().await.unwrap().header.flags, FrameFlags::NONE);
    }
    peer.write(&frame(FrameKind::Cancel, FrameFlags::NONE, stream.0, &[], &[])).await;
    assert!(matches!(half.events.frame().await, Incoming::Cancel { .. }));
    half.connection.close(CloseReason::Unused);
    let frames = peer.frames().await;
    let kinds: Vec<_> = frames.iter().map(|frame| frame.header.kind).collect();
    assert_eq!(kinds, [FrameKind::Chunk, FrameKind::Goodbye]);
    let end = frames[0].header;
    assert_eq!(
        (end.flags, end.length, end.stream),
        (FrameFlags::LAST, 0, stream),
        "an end, and nothing more"
    );
}

#[tokio::test]
async fn a_close_says_why_even_if_a_value_waits_for_credit_that_never_comes() {
    let (mut peer, mut half, _io) = raw(Limits { connection_window: 256 * 1024, ..Limits::default() }).await;
    half.connection.send_call(&call_head(1, 1_000_000), &value(1, 1_000_000)).unwrap();
    half.connection.close(CloseReason::Leaving);
    assert_eq!(peer.frames().await.pop().unwrap().header.kind, FrameKind::Goodbye);
    assert_eq!(half.events.closed().await.untaken.first(), StreamId(3));
}

#[tokio::test]
async fn a_hundred_megabytes_arrive_unchanged() {
    let mut pair = Setup::over(Over::Tcp).connect().await;
    let bytes = 100 * 1024 * 1024;
    let payload = Payload::from(vec![0x5a; bytes]);
    pair.dialer.connection.send_call(&call_head(1, bytes), &payload).unwrap();
    pair.dialer.connection.flush();
    let Incoming::Call { value, .. } = pair.acceptor.events.frame().await else { panic!() };
    assert!(flat(&value) == flat(&payload));
}

#[tokio::test]
async fn replies_that_the_peer_does_not_take_are_held_within_a_limit() {
    let bytes = 1 << 20;
    let limits = Limits { max_value_bytes: 1 << 20, receive_bytes: 3 << 20, ..Limits::default() };
    let (mut peer, half, _io) = raw(limits).await;
    let reply =
        |stream| half.connection.send_reply(StreamId(stream), &reply_head(1, bytes), &value(1, bytes));
    assert_eq!([2, 4, 6].map(reply), [Ok(()), Ok(()), Ok(())]);
    assert_eq!(reply(8), Err(SendError::NoRoom { max: 3 << 20 }));
    let small = half.connection.send_reply(StreamId(10), &reply_head(1, 9), &value(1, 9));
    assert_eq!(small, Ok(()), "small ones only need credit");
    half.connection.flush();
    while peer.frame().await.unwrap().header.flags != FrameFlags::LAST {}
    assert_eq!(reply(12), Ok(()), "one was taken");
}
