//! What no peer may send closes the connection, is counted, is told to the peer, and harms nobody else.

use mpreg_transport::{CloseReason, Goodbye, Incoming, LostCause, ProtocolError};
use mpreg_types::{Payload, StreamId};
use mpreg_wire::{
    FrameError, FrameFlags, FrameKind, Limits, Parting, Process, Role, encode_call, encode_credit,
    encode_reply,
};

use crate::common::ends::Half;
use crate::common::raw_peer::{RawPeer, frame};
use crate::common::recorder::{Behaviour, Event};
use crate::common::{call_head, reply_head, value};

const NONE: FrameFlags = FrameFlags::NONE;
const MORE: FrameFlags = FrameFlags::MORE;
const LAST: FrameFlags = FrameFlags::LAST;

fn call_meta(value_bytes: usize) -> Vec<u8> {
    let head = call_head(1, value_bytes);
    let mut meta = Vec::new();
    encode_call(&head, Process { node: head.call.origin, incarnation: head.call.incarnation }, &mut meta);
    meta
}

fn reply_meta(value_bytes: usize) -> Vec<u8> {
    let mut meta = Vec::new();
    encode_reply(&reply_head(1, value_bytes), &mut meta);
    meta
}

fn call(stream: u64, value_bytes: usize) -> Vec<u8> {
    frame(FrameKind::Call, NONE, stream, &call_meta(value_bytes), &vec![7; value_bytes])
}

fn announced(stream: u64, value_bytes: usize) -> Vec<u8> {
    frame(FrameKind::Call, MORE, stream, &call_meta(value_bytes), &[])
}

fn chunk(stream: u64, flags: FrameFlags, bytes: usize) -> Vec<u8> {
    frame(FrameKind::Chunk, flags, stream, &[], &vec![7; bytes])
}

/// Sends `bytes` as a peer of `role`; what the proper side makes of it.
async fn breach_from(role: Role, bytes: &[u8]) -> ProtocolError {
    let (mut peer, mut half, _io) = RawPeer::connect(role, Limits::default(), Behaviour::default()).await;
    peer.write(bytes).await;
    let lost = half.events.closed().await;
    let LostCause::Protocol(error) = lost.cause else { panic!("{:?}", lost.cause) };
    assert!(!half.connection.is_open());
    assert_eq!(half.end.count("protocol_errors"), 1);
    assert_eq!(half.end.count("refused_frames"), 1);
    let goodbye = peer.frames().await.pop().expect("a goodbye");
    assert_eq!(goodbye.header.kind, FrameKind::Goodbye);
    let said = Parting::decode(goodbye.payload()).unwrap();
    assert_eq!(said.reason, CloseReason::Protocol as u8);
    assert_eq!(String::from_utf8(said.detail).unwrap(), error.to_string(), "the peer gets to know why");
    error
}

async fn breach(bytes: &[u8]) -> ProtocolError {
    breach_from(Role::Node, bytes).await
}

#[tokio::test]
async fn bytes_that_are_no_frame() {
    let garbage = breach(b"GET / HTTP/1.1\r\n\r\n").await;
    assert!(matches!(garbage, ProtocolError::Frame(FrameError::TooLarge { .. })), "{garbage}");
    let mut unknown = call(2, 1);
    unknown[4] = 200;
    assert_eq!(breach(&unknown).await, ProtocolError::Frame(FrameError::UnknownKind(200)));
    let oversized = frame(FrameKind::Membership, NONE, 0, &[], &vec![0; 128 * 1024 + 1]);
    let error = breach(&oversized[..16]).await;
    assert!(
        matches!(error, ProtocolError::Frame(FrameError::TooLarge { .. })),
        "before its bytes come: {error}"
    );
}

#[tokio::test]
async fn metadata_that_cannot_be_read() {
    let error = breach(&frame(FrameKind::Call, NONE, 2, &[0xc1; 9], b"x")).await;
    assert!(matches!(error, ProtocolError::Content { kind: FrameKind::Call, .. }), "{error}");
}

#[tokio::test]
async fn kinds_beyond_the_role() {
    for (role, kind) in [
        (Role::Client, FrameKind::Membership),
        (Role::Client, FrameKind::Started),
        (Role::Worker, FrameKind::Catalog),
        (Role::Node, FrameKind::Hello),
        (Role::Node, FrameKind::Route),
    ] {
        let error = breach_from(role, &frame(kind, NONE, 0, &[], &[0; 8])).await;
        assert_eq!(error, ProtocolError::Role { role, kind });
    }
}

#[tokio::test]
async fn streams_of_the_wrong_side_or_never_opened() {
    let wrong = |kind, stream| ProtocolError::Stream { kind, stream: StreamId(stream) };
    assert_eq!(breach(&call(3, 1)).await, wrong(FrameKind::Call, 3));
    let reply = |stream| frame(FrameKind::Reply, NONE, stream, &reply_meta(1), b"x");
    assert_eq!(breach(&reply(1)).await, wrong(FrameKind::Reply, 1));
    assert_eq!(breach(&reply(2)).await, wrong(FrameKind::Reply, 2));
    assert_eq!(breach(&chunk(2, LAST, 5)).await, wrong(FrameKind::Chunk, 2));
    assert_eq!(breach(&frame(FrameKind::Cancel, NONE, 2, &[], &[])).await, wrong(FrameKind::Cancel, 2));
    assert_eq!(breach(&frame(FrameKind::Cancel, NONE, 1, &[], &[])).await, wrong(FrameKind::Cancel, 1));
}

#[tokio::test]
async fn values_of_another_length_than_announced() {
    let wrong = |announced, arrived| ProtocolError::ValueLength { stream: StreamId(2), announced, arrived };
    assert_eq!(breach(&frame(FrameKind::Call, NONE, 2, &call_meta(3), b"four")).await, wrong(3, 4));
    assert_eq!(breach(&frame(FrameKind::Call, MORE, 2, &call_meta(5), b"x")).await, wrong(5, 1));
    assert_eq!(breach(&announced(2, 0)).await, wrong(0, 0));
    let long = [announced(2, 10), chunk(2, NONE, 8), chunk(2, LAST, 8)].concat();
    assert_eq!(breach(&long).await, wrong(10, 16));
    assert_eq!(breach(&[announced(2, 10), chunk(2, LAST, 9)].concat()).await, wrong(10, 9));
    assert_eq!(breach(&[announced(2, 10), chunk(2, NONE, 0)].concat()).await, wrong(10, 0));
    assert_eq!(breach(&[announced(2, 10), chunk(2, NONE, 10)].concat()).await, wrong(10, 10));
    let error = breach(&[announced(2, 100_000), chunk(2, NONE, 65_537)].concat()).await;
    assert!(matches!(error, ProtocolError::Frame(FrameError::TooLarge { length: 65_537, .. })), "{error}");
}

#[tokio::test]
async fn more_bytes_than_the_window() {
    let limits = Limits { connection_window: 128 * 1024, ..Limits::default() };
    let behaviour = Behaviour { consumes: false, ..Behaviour::default() };
    let (mut raw, mut half, _io) = RawPeer::connect(Role::Node, limits, behaviour).await;
    for stream in [2, 4, 6] {
        raw.write(&call(stream, 50_000)).await;
    }
    let cause = half.events.closed().await.cause;
    assert!(matches!(cause, LostCause::Protocol(ProtocolError::Window { window: 131_072, .. })), "{cause:?}");
}

#[tokio::test]
async fn more_credit_than_was_used() {
    let credit = frame(FrameKind::Credit, NONE, 0, &[], &encode_credit(1));
    assert_eq!(breach(&credit).await, ProtocolError::Credit { bytes: 1, used: 0 });
}

#[tokio::test]
async fn more_values_at_once_than_calls_may_wait() {
    let limits = Limits { pending_calls: 3, ..Limits::default() };
    let (mut raw, mut half, _io) = RawPeer::connect(Role::Node, limits, Behaviour::default()).await;
    for stream in [2, 4, 6, 8] {
        raw.write(&announced(stream, 100)).await;
    }
    let events = async {
        let (mut admitted, mut released) = (0, 0);
        loop {
            match half.events.next().await {
                Event::Admitted(bytes) => admitted += bytes,
                Event::Released(bytes) => released += bytes,
                Event::Closed(lost) => break (admitted, released, lost.cause),
                _ => {}
            }
        }
    };
    let (admitted, released, cause) = events.await;
    assert_eq!(cause, LostCause::Protocol(ProtocolError::TooManyValues { max: 3 }));
    assert_eq!((admitted, released), (300, 300), "all that was admitted is given back");
}

#[tokio::test]
async fn a_repeated_stream_is_dropped_and_counted_and_the_connection_lives() {
    let (mut raw, mut half, _io) =
        RawPeer::connect(Role::Node, Limits::default(), Behaviour::default()).await;
    raw.write(&[call(4, 1), call(4, 2), call(2, 3), call(6, 4)].concat()).await;
    for expected in [(4, 1), (6, 4)] {
        let Incoming::Call { stream, value, .. } = half.events.frame().await else { panic!() };
        assert_eq!((stream.0, value.len()), expected);
    }
    assert_eq!(half.end.count("duplicate_frames"), 2);
    assert!(half.connection.is_open());
}

#[tokio::test]
async fn a_frame_in_two_halves_is_one_frame_and_half_a_frame_is_none() {
    let (mut raw, mut half, _io) =
        RawPeer::connect(Role::Node, Limits::default(), Behaviour::default()).await;
    let whole = call(2, 5000);
    for piece in [&whole[..7], &whole[7..100], &whole[100..]] {
        raw.write(piece).await;
        tokio::task::yield_now().await;
    }
    let Incoming::Call { value, .. } = half.events.frame().await else { panic!() };
    assert_eq!(value.len(), 5000);
    raw.write(&call(4, 5000)[..4000]).await;
    drop(raw);
    let lost = half.events.closed().await;
    assert_eq!(lost.cause, LostCause::Ended);
}

fn goodbye(reason: u8, last: u64, unfinished: &[u64]) -> Vec<u8> {
    let unfinished = unfinished.iter().copied().map(StreamId).collect();
    let parting = Parting { reason, last: StreamId(last), unfinished, detail: b"hi".to_vec() };
    frame(FrameKind::Goodbye, NONE, 0, &[], &parting.encode())
}

/// Waits for the goodbye of a peer that says it with bytes of its own.
async fn said(half: &mut Half) -> LostCause {
    half.events.closed().await.cause
}

#[tokio::test]
async fn a_goodbye_of_a_newer_version_is_a_goodbye() {
    let (mut raw, mut half, _io) =
        RawPeer::connect(Role::Node, Limits::default(), Behaviour::default()).await;
    raw.write(&goodbye(250, 0, &[])).await;
    drop(raw);
    assert_eq!(said(&mut half).await, LostCause::Goodbye(Goodbye::new(CloseReason::Other, "hi")));
}

#[tokio::test]
async fn goodbyes_that_name_what_they_cannot() {
    let short = frame(FrameKind::Goodbye, NONE, 0, &[], &[1, 0, 0]);
    assert!(matches!(breach(&short).await, ProtocolError::Frame(FrameError::BadPayload { .. })));
    // The proper side dials, so its streams are odd; it has opened none.
    for (last, unfinished) in [(1, &[][..]), (2, &[]), (u64::MAX, &[]), (0, &[1])] {
        let error = breach(&goodbye(1, last, unfinished)).await;
        assert!(matches!(error, ProtocolError::Goodbye { .. }), "{last} {unfinished:?}: {error}");
    }
}

#[tokio::test]
async fn a_later_goodbye_may_name_fewer_calls_and_never_more() {
    for (second, is_breach) in [(1, false), (3, false), (0, false), (5, true)] {
        let (mut raw, mut half, _io) =
            RawPeer::connect(Role::Node, Limits::default(), Behaviour::default()).await;
        for token in 0..4 {
            half.connection.send_call(&call_head(token, 0), &Payload::default()).unwrap();
        }
        raw.write(&[goodbye(1, 3, &[]), goodbye(1, second, &[])].concat()).await;
        drop(raw);
        assert_eq!(half.events.goodbye().await.1.first(), StreamId(4));
        let lost = half.events.closed().await;
        assert_eq!(matches!(lost.cause, LostCause::Protocol(ProtocolError::Goodbye { .. })), is_breach);
        if !is_breach {
            assert_eq!(lost.untaken.first(), StreamId(second + 1));
        }
    }
}

#[tokio::test]
async fn a_value_that_is_not_admitted_goes_by_and_the_next_call_is_served() {
    let behaviour = Behaviour { admits: 1000, ..Behaviour::default() };
    let (mut raw, mut half, _io) = RawPeer::connect(Role::Node, Limits::default(), behaviour).await;
    raw.write(&[announced(2, 5000), chunk(2, NONE, 4000), chunk(2, LAST, 1000), call(4, 9)].concat()).await;
    let Incoming::RefusedCall { stream, .. } = half.events.frame().await else { panic!() };
    assert_eq!(stream, StreamId(2));
    let Incoming::Call { stream, .. } = half.events.frame().await else { panic!() };
    assert_eq!(stream, StreamId(4));
    assert_eq!(half.end.count("refused_values"), 1);
}

#[tokio::test]
async fn a_value_longer_than_any_may_be_is_refused_without_asking() {
    let limits = Limits { max_value_bytes: 100_000, ..Limits::default() };
    let (mut raw, mut half, _io) = RawPeer::connect(Role::Node, limits, Behaviour::default()).await;
    raw.write(&announced(2, 100_001)).await;
    let Incoming::RefusedCall { why, .. } = half.events.frame().await else { panic!() };
    assert_eq!(why.to_string(), "a value of 100001 bytes; at most 100000 are taken");
}

#[tokio::test]
async fn what_was_admitted_is_given_back_whether_it_came_or_was_cancelled() {
    // The sender decides what comes in chunks: also what is shorter than a chunk.
    let whole = [announced(2, 300), chunk(2, NONE, 100), chunk(2, LAST, 200)].concat();
    let cancelled = [announced(2, 5000), chunk(2, NONE, 4000), frame(FrameKind::Cancel, NONE, 2, &[], &[])];
    for (sent, bytes) in [(whole, 300), (cancelled.concat(), 5000)] {
        let (mut raw, mut half, _io) =
            RawPeer::connect(Role::Node, Limits::default(), Behaviour::default()).await;
        // One longer than a chunk in one frame was never admitted.
        raw.write(&[sent, call(4, 100_000)].concat()).await;
        let mut heard = Vec::new();
        loop {
            match half.events.next().await {
                Event::Frame(Incoming::Call { stream: StreamId(4), .. }) => break,
                Event::Admitted(bytes) => heard.push(("admitted", bytes)),
                Event::Released(bytes) => heard.push(("released", bytes)),
                _ => {}
            }
        }
        assert_eq!(heard, [("admitted", bytes), ("released", bytes)]);
    }
}

#[tokio::test]
async fn a_short_reply_is_a_breach_unless_its_call_was_cancelled() {
    for cancelled in [false, true] {
        let (mut raw, mut half, _io) =
            RawPeer::connect(Role::Node, Limits::default(), Behaviour::default()).await;
        let stream = half.connection.send_call(&call_head(1, 0), &Payload::default()).unwrap();
        half.connection.flush();
        let head = frame(FrameKind::Reply, MORE, stream.0, &reply_meta(70_000), &[]);
        raw.write(&[head, chunk(stream.0, NONE, 60_000)].concat()).await;
        while !matches!(half.events.next().await, Event::Admitted(70_000)) {}
        if cancelled {
            half.connection.send_cancel(stream);
            half.connection.flush();
        }
        raw.write(&[chunk(stream.0, LAST, 0), call(2, 9)].concat()).await;
        assert!(matches!(half.events.next().await, Event::Released(70_000)));
        if cancelled {
            assert!(matches!(half.events.frame().await, Incoming::Call { .. }));
        } else {
            assert!(matches!(half.events.closed().await.cause, LostCause::Protocol(_)));
        }
    }
}

#[tokio::test]
async fn one_bad_peer_does_not_touch_another_connection() {
    let (mut bad, mut victim, _io) =
        RawPeer::connect(Role::Node, Limits::default(), Behaviour::default()).await;
    let (mut good, mut half, _io) =
        RawPeer::connect(Role::Node, Limits::default(), Behaviour::default()).await;
    bad.write(b"garbage garbage garbage").await;
    victim.events.closed().await;
    good.write(&call(2, 3)).await;
    assert!(matches!(half.events.frame().await, Incoming::Call { .. }));
    half.connection.send_reply(StreamId(2), &reply_head(1, 3), &value(1, 3)).unwrap();
    half.connection.flush();
    assert_eq!(good.frame().await.unwrap().header.kind, FrameKind::Reply);
}
