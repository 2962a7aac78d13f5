//! Who closes says which calls it took: of all others their callers know that they did not execute.

use mpreg_transport::{CloseReason, Incoming, LostCause, SendError};
use mpreg_types::{Payload, StreamId};
use mpreg_wire::{FrameFlags, FrameKind, Limits, Parting, Role, encode_call};

use crate::common::ends::{Over, Pair, Setup};
use crate::common::raw_peer::{RawPeer, frame};
use crate::common::recorder::Behaviour;
use crate::common::{call_head, reply_head, value};

macro_rules! over_everything {
    ($($name:ident,)*) => {
        $(
            mod $name {
                use super::Over;

                #[tokio::test]
                async fn tcp() {
                    super::$name(Over::Tcp).await;
                }

                #[tokio::test]
                async fn unix() {
                    super::$name(Over::Unix).await;
                }

                #[tokio::test]
                async fn tls() {
                    super::$name(Over::Tls).await;
                }

                #[tokio::test]
                async fn memory() {
                    super::$name(Over::Memory).await;
                }
            }
        )*
    };
}

over_everything! {
    calls_on_the_wire_are_known_not_to_be_taken,
    what_was_taken_is_still_answered,
    both_sides_say_it_at_once,
    it_is_heard_in_a_lane,
}

fn send(pair: &Pair, token: u64) -> StreamId {
    let stream = pair.dialer.connection.send_call(&call_head(token, 0), &Payload::default()).unwrap();
    pair.dialer.connection.flush();
    stream
}

/// Calls over and over while the other side closes: what it handed over and what it named as taken are the same.
async fn calls_on_the_wire_are_known_not_to_be_taken(over: Over) {
    for heard in 0_u64..20 {
        let mut pair = Setup::over(over).connect().await;
        let caller = pair.dialer.connection.clone();
        let calling = std::thread::spawn(move || {
            let mut sent = 0;
            while let Ok(stream) = caller.send_call(&call_head(1, 0), &Payload::default()) {
                caller.flush();
                sent = stream.0;
            }
            sent
        });
        for _ in 0..heard {
            pair.acceptor.events.frame().await;
        }
        pair.acceptor.connection.close(CloseReason::Leaving);
        let lost = pair.dialer.events.closed().await;
        assert_eq!(lost.cause, LostCause::Goodbye(CloseReason::Leaving.into()));
        let sent = calling.join().unwrap();
        let taken = pair.acceptor.events.rest().into_iter().filter_map(|event| match event {
            crate::common::recorder::Event::Frame(Incoming::Call { stream, .. }) => Some(stream),
            _ => None,
        });
        let taken_last = taken.last().unwrap_or(StreamId((2 * heard).saturating_sub(1)));
        assert_eq!(lost.untaken.first(), StreamId(taken_last.0 + 1), "of {sent}");
    }
}

async fn what_was_taken_is_still_answered(over: Over) {
    let mut pair = Setup::over(over).connect().await;
    let taken = send(&pair, 1);
    assert!(matches!(pair.acceptor.events.frame().await, Incoming::Call { .. }));
    pair.acceptor.connection.take_no_more(CloseReason::Leaving);
    assert_eq!(pair.dialer.events.goodbye().await.1.first(), StreamId(taken.0 + 1));
    let refused = pair.dialer.connection.send_call(&call_head(2, 0), &Payload::default());
    assert_eq!(refused, Err(SendError::Closed));
    assert!(pair.dialer.connection.is_open(), "an answer is to come");
    pair.acceptor.connection.send_reply(taken, &reply_head(1, 3), &value(1, 3)).unwrap();
    pair.acceptor.connection.close(CloseReason::Leaving);
    let Incoming::Reply { stream, .. } = pair.dialer.events.frame().await else { panic!() };
    assert_eq!(stream, taken);
    let lost = pair.dialer.events.closed().await;
    assert_eq!(lost.cause, LostCause::Goodbye(CloseReason::Leaving.into()));
    let lost = pair.acceptor.events.closed().await;
    assert_eq!(lost.cause, LostCause::Closed(CloseReason::Leaving.into()));
}

async fn both_sides_say_it_at_once(over: Over) {
    let mut pair = Setup::over(over).connect().await;
    let from_dialer = send(&pair, 1);
    let from_acceptor = pair.acceptor.connection.send_call(&call_head(1, 0), &Payload::default()).unwrap();
    pair.acceptor.connection.flush();
    pair.dialer.connection.close(CloseReason::Leaving);
    pair.acceptor.connection.close(CloseReason::Leaving);
    for (half, stream) in [(&mut pair.dialer, from_dialer), (&mut pair.acceptor, from_acceptor)] {
        let mut took = false;
        let lost = loop {
            match half.events.next().await {
                crate::common::recorder::Event::Frame(Incoming::Call { .. }) => took = true,
                crate::common::recorder::Event::Closed(lost) => break (lost, took),
                _ => {}
            }
        };
        // Whether the own call was taken is the other's to say; that it was said is what counts.
        assert!(lost.0.untaken.first() <= StreamId(stream.0 + 2), "{lost:?}");
        assert!(matches!(lost.0.cause, LostCause::Closed(_) | LostCause::Goodbye(_)), "{lost:?}");
    }
}

/// A goodbye that a thread reads in its lane counts as any other.
async fn it_is_heard_in_a_lane(over: Over) {
    let mut pair = Setup::over(over).connect().await;
    let lane = mpreg_transport::Lane::open(pair.dialer.connection.clone());
    assert_eq!(lane.is_some(), matches!(over, Over::Tcp | Over::Unix));
    pair.acceptor.connection.take_no_more(CloseReason::Unused);
    let heard = async {
        tokio::select! {
            (_, untaken) = pair.dialer.events.goodbye() => untaken,
            () = async { loop { lane.as_ref().map(mpreg_transport::Lane::read); tokio::task::yield_now().await; } } => {
                unreachable!()
            }
        }
    };
    assert_eq!(heard.await.first(), StreamId(1));
    let refused = pair.dialer.connection.send_call(&call_head(2, 0), &Payload::default());
    assert_eq!(refused, Err(SendError::Closed));
}

fn call(stream: u64, flags: FrameFlags, value_bytes: usize) -> Vec<u8> {
    let head = call_head(1, value_bytes);
    let sender = mpreg_wire::Process { node: head.call.origin, incarnation: head.call.incarnation };
    let mut meta = Vec::new();
    encode_call(&head, sender, &mut meta);
    let inline = if flags == FrameFlags::MORE { 0 } else { value_bytes };
    frame(FrameKind::Call, flags, stream, &meta, &vec![7; inline])
}

#[tokio::test]
async fn nothing_is_handed_over_after_it_and_the_rest_of_values_goes_by() {
    let (mut raw, mut half, _io) =
        RawPeer::connect(Role::Node, Limits::default(), Behaviour::default()).await;
    let chunk = |stream, flags, bytes| frame(FrameKind::Chunk, flags, stream, &[], &vec![7; bytes]);
    raw.write(&[call(2, FrameFlags::MORE, 300), chunk(2, FrameFlags::NONE, 100)].concat()).await;
    raw.write(&call(4, FrameFlags::NONE, 9)).await;
    assert!(matches!(half.events.frame().await, Incoming::Call { stream: StreamId(4), .. }));
    half.connection.take_no_more(CloseReason::Leaving);
    let said = Parting::decode(raw.frame().await.unwrap().payload()).unwrap();
    assert_eq!((said.last, said.unfinished), (StreamId(4), vec![StreamId(2)]));
    let rest = [
        chunk(2, FrameFlags::LAST, 200),
        call(6, FrameFlags::NONE, 9),
        call(8, FrameFlags::MORE, 300),
        chunk(8, FrameFlags::NONE, 200),
        frame(FrameKind::Cancel, FrameFlags::NONE, 6, &[], &[]),
        frame(FrameKind::Cancel, FrameFlags::NONE, 8, &[], &[]),
        frame(FrameKind::Ping, FrameFlags::NONE, 0, &[], &[0; 8]),
    ];
    raw.write(&rest.concat()).await;
    assert_eq!(raw.frame().await.unwrap().header.kind, FrameKind::Pong);
    let frames = half
        .events
        .rest()
        .into_iter()
        .filter(|event| matches!(event, crate::common::recorder::Event::Frame(Incoming::Call { .. })));
    assert_eq!(frames.count(), 0);
    assert_eq!(half.end.count("untaken_calls"), 2);
    half.connection.close(CloseReason::Leaving);
    assert!(raw.frames().await.is_empty(), "it was said before");
}

#[tokio::test]
async fn a_call_whose_value_was_not_sent_to_its_end_is_known_not_to_be_taken() {
    let limits = Limits { connection_window: 256 * 1024, ..Limits::default() };
    let (raw, mut half, _io) = RawPeer::connect(Role::Node, limits, Behaviour::default()).await;
    let large = half.connection.send_call(&call_head(1, 1_000_000), &value(1, 1_000_000)).unwrap();
    half.connection.flush();
    let small = half.connection.send_call(&call_head(2, 5), &value(2, 5)).unwrap();
    half.connection.flush();
    drop(raw);
    let lost = half.events.closed().await;
    assert!(matches!(lost.cause, LostCause::Ended | LostCause::Broken(_)), "{:?}", lost.cause);
    assert!(lost.untaken.contains(large) && !lost.untaken.contains(small), "{:?}", lost.untaken);
}
