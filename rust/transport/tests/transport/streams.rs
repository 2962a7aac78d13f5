//! Items of streams on one connection: their order, what they wait for, and what no peer may send of them.

use mpreg_transport::{Incoming, LostCause, ProtocolError};
use mpreg_types::{ItemHead, StreamId};
use mpreg_wire::{
    FrameError, FrameFlags, FrameKind, Limits, Process, Role, encode_call, encode_credit, encode_item,
};

use crate::common::ends::Half;
use crate::common::raw_peer::{RawPeer, frame};
use crate::common::recorder::Behaviour;
use crate::common::{call_head, flat, reply_head, value};

const NONE: FrameFlags = FrameFlags::NONE;
const ITEM: usize = 60_000;
/// The smallest that is shared: items leave a quarter of it to small frames.
const WINDOW: u64 = 1 << 20;
/// More than it holds.
const ITEMS: u64 = 20;

fn item(stream: u64, flags: FrameFlags, meta: usize, bytes: usize) -> Vec<u8> {
    frame(FrameKind::Item, flags, stream, &vec![1; meta], &vec![7; bytes])
}

fn head(token: u64, value_bytes: usize) -> ItemHead {
    ItemHead { token, value_bytes: value_bytes as u64 }
}

/// A peer that has asked for a stream: the proper side knows it as 2.
async fn asked(limits: Limits) -> (RawPeer, Half, crate::common::ends::IoThread) {
    let (mut peer, mut half, io) = RawPeer::connect(Role::Node, limits, Behaviour::default()).await;
    let call = call_head(7, 1);
    let mut meta = Vec::new();
    encode_call(&call, Process { node: call.call.origin, incarnation: call.call.incarnation }, &mut meta);
    peer.write(&frame(FrameKind::Call, NONE, 2, &meta, &[7])).await;
    assert!(matches!(half.events.frame().await, Incoming::Call { .. }));
    (peer, half, io)
}

async fn breach(bytes: &[u8]) -> ProtocolError {
    let (mut peer, mut half, _io) = asked(Limits::default()).await;
    peer.write(bytes).await;
    let lost = half.events.closed().await;
    let LostCause::Protocol(error) = lost.cause else { panic!("{:?}", lost.cause) };
    error
}

#[tokio::test]
async fn items_and_credit_for_streams_that_nobody_opened() {
    for stream in [1, 2] {
        let refused = ProtocolError::Stream { kind: FrameKind::Item, stream: StreamId(stream) };
        assert_eq!(breach(&item(stream, NONE, 8, 1)).await, refused);
    }
    for stream in [1, 4] {
        let refused = ProtocolError::Stream { kind: FrameKind::Credit, stream: StreamId(stream) };
        assert_eq!(breach(&frame(FrameKind::Credit, NONE, stream, &[], &encode_credit(1))).await, refused);
    }
    let short = FrameError::BadPayload { kind: FrameKind::Credit, bytes: 3 };
    assert_eq!(breach(&frame(FrameKind::Credit, NONE, 2, &[], b"abc")).await, ProtocolError::Frame(short));
}

#[tokio::test]
async fn items_arrive_whole_and_their_credit_is_that_of_the_stream() {
    let (mut peer, mut half, _io) = asked(Limits::default()).await;
    let stream = half.connection.send_call(&call_head(9, 1), &value(1, 1)).unwrap();
    half.connection.flush();
    assert_eq!(peer.frame().await.unwrap().header.kind, FrameKind::Call);
    let mut bytes = item(stream.0, NONE, 8, 3);
    let mut meta = Vec::new();
    encode_item(&head(9, 5), true, &mut meta);
    bytes.extend(frame(FrameKind::Item, FrameFlags::MORE, stream.0, &meta, &[]));
    bytes.extend(frame(FrameKind::Chunk, NONE, stream.0, &[], b"abc"));
    bytes.extend(frame(FrameKind::Chunk, FrameFlags::LAST, stream.0, &[], b"de"));
    bytes.extend(frame(FrameKind::Credit, NONE, 2, &[], &encode_credit(77)));
    peer.write(&bytes).await;
    let Incoming::Item { head: first, value, .. } = half.events.frame().await else { panic!("an item") };
    assert_eq!((first.value_bytes, flat(&value)), (3, vec![7; 3]));
    let Incoming::Item { head: second, value, .. } = half.events.frame().await else { panic!("an item") };
    assert_eq!((second, flat(&value)), (head(9, 5), b"abcde".to_vec()));
    let Incoming::Credit { stream, bytes } = half.events.frame().await else { panic!("credit") };
    assert_eq!((stream, bytes), (StreamId(2), 77));
    half.connection.send_stream_credit(StreamId(5), 66);
    half.connection.flush();
    let credit = peer.frame().await.unwrap();
    assert_eq!((credit.header.kind, credit.header.stream), (FrameKind::Credit, StreamId(5)));
}

#[tokio::test]
async fn items_without_credit_of_the_connection_wait_in_their_order_and_the_end_behind_them() {
    let limits = Limits { connection_window: WINDOW, ..Limits::default() };
    let (mut peer, half, _io) = asked(limits).await;
    for number in 0..ITEMS {
        half.connection.send_item(StreamId(2), &head(7, ITEM), &value(number, ITEM)).unwrap();
    }
    half.connection.send_item(StreamId(2), &head(7, 100_000), &value(99, 100_000)).unwrap();
    half.connection.send_reply(StreamId(2), &reply_head(7, 1), &value(7, 1)).unwrap();
    // A small frame passes what waits.
    half.connection.send_call(&call_head(1, 1), &value(1, 1)).unwrap();
    half.connection.flush();
    let (mut kinds, mut items, mut large) = (Vec::new(), Vec::new(), Vec::new());
    let mut owed = 0;
    while !kinds.contains(&FrameKind::Reply) {
        let frame = peer.frame().await.unwrap();
        owed += u64::from(frame.header.length);
        kinds.push(frame.header.kind);
        match frame.header.kind {
            FrameKind::Item if frame.header.flags == NONE => items.push(frame.payload().to_vec()),
            FrameKind::Chunk => large.extend_from_slice(frame.payload()),
            _ => {}
        }
        if owed > WINDOW / 2 {
            peer.write(&crate::common::raw_peer::frame(
                FrameKind::Credit,
                NONE,
                0,
                &[],
                &encode_credit(owed),
            ))
            .await;
            owed = 0;
        }
    }
    assert_eq!(items, (0..ITEMS).map(|number| flat(&value(number, ITEM))).collect::<Vec<_>>());
    assert_eq!(large, flat(&value(99, 100_000)));
    let call = kinds.iter().position(|kind| *kind == FrameKind::Call).unwrap();
    assert!(call < 15, "{kinds:?}");
}

#[tokio::test]
async fn what_waits_of_a_cancelled_stream_is_dropped_and_what_was_begun_is_ended() {
    let limits = Limits { connection_window: WINDOW, ..Limits::default() };
    let (mut peer, mut half, _io) = asked(limits).await;
    half.connection.send_item(StreamId(2), &head(7, 2_000_000), &value(1, 2_000_000)).unwrap();
    half.connection.send_item(StreamId(2), &head(7, 5), &value(2, 5)).unwrap();
    half.connection.flush();
    assert_eq!(peer.frame().await.unwrap().header.flags, FrameFlags::MORE);
    peer.write(&frame(FrameKind::Cancel, NONE, 2, &[], &[])).await;
    assert!(matches!(half.events.frame().await, Incoming::Cancel { .. }));
    half.connection.flush();
    let mut last = peer.frame().await.unwrap();
    while last.header.flags != FrameFlags::LAST {
        assert_eq!(last.header.kind, FrameKind::Chunk);
        last = peer.frame().await.unwrap();
    }
    assert_eq!((last.header.kind, last.header.length), (FrameKind::Chunk, 0));
    assert!(half.connection.is_quiet());
}
