//! A thread that reads a quiet connection itself, and how the io thread takes over when it does not.

use mpreg_transport::{CloseReason, Incoming, Lane, LaneRead, LostCause};
use mpreg_types::Payload;
use tokio::task::yield_now;

use crate::common::ends::{Over, Pair, Setup};
use crate::common::{call_head, soon, value};

const WITH_LANES: [Over; 2] = [Over::Tcp, Over::Unix];

fn send(pair: &Pair, token: u64) {
    pair.dialer.connection.send_call(&call_head(token, 0), &Payload::default()).unwrap();
    pair.dialer.connection.flush();
}

async fn token_that_arrived(pair: &mut Pair) -> u64 {
    let Incoming::Call { head, .. } = pair.acceptor.events.frame().await else { panic!() };
    head.token
}

/// Reads in the lane until it gives `wanted`.
async fn read_until(lane: &Lane, wanted: LaneRead) {
    soon("a read in the lane", async {
        while lane.read() != wanted {
            yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn two_threads_that_read_lose_and_swap_nothing() {
    for over in WITH_LANES {
        let mut pair = Setup::over(over).connect().await;
        let lane = Lane::open(pair.acceptor.connection.clone()).unwrap();
        assert!(lane.socket().is_some());
        assert!(Lane::open(pair.acceptor.connection.clone()).is_none(), "one thread at a time");
        for token in 1..=200 {
            send(&pair, token);
            // The io thread reads too until it has heard of the lane, or if this test was not scheduled for a while.
            assert_eq!(token_that_arrived_by(&lane, &mut pair).await, token);
        }
    }
}

/// The next call, whoever reads it.
async fn token_that_arrived_by(lane: &Lane, pair: &mut Pair) -> u64 {
    tokio::select! {
        token = token_that_arrived(pair) => token,
        () = async { loop { lane.read(); yield_now().await; } } => unreachable!(),
    }
}

#[tokio::test]
async fn a_lane_hands_over_on_the_thread_that_reads() {
    let mut pair = Setup::over(Over::Tcp).connect().await;
    let connection = pair.acceptor.connection.clone();
    // Lanes end when nothing was read for some milliseconds, so a slow machine may need several.
    soon("a read in a lane", async {
        for token in 1.. {
            let Some(lane) = Lane::open(connection.clone()) else { continue };
            send(&pair, token);
            let mut in_lane = false;
            tokio::select! {
                arrived = token_that_arrived(&mut pair) => assert_eq!(arrived, token),
                () = async { loop { in_lane |= lane.read() == LaneRead::Some; yield_now().await; } } => {}
            }
            if in_lane {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_its_holder_leaves_unread_the_io_thread_reads() {
    for over in WITH_LANES {
        let mut pair = Setup::over(over).connect().await;
        let lane = Lane::open(pair.acceptor.connection.clone()).unwrap();
        for token in 1..=3 {
            send(&pair, token);
            assert_eq!(token_that_arrived(&mut pair).await, token);
        }
        read_until(&lane, LaneRead::Over).await;
        assert!(Lane::open(pair.acceptor.connection.clone()).is_none(), "it is still in somebody's hands");
        drop(lane);
        let again = Lane::open(pair.acceptor.connection.clone());
        assert!(again.is_some());
        drop(again);
        send(&pair, 4);
        assert_eq!(token_that_arrived(&mut pair).await, 4);
    }
}

#[tokio::test]
async fn two_ends_that_leave_their_lanes_while_both_write_do_not_wait_for_each_other() {
    // More than a kernel holds.
    let bytes = 4 << 20;
    let large = value(1, bytes);
    for over in WITH_LANES {
        let mut pair = Setup::over(over).connect().await;
        // In some of them the lanes have begun when the kernel takes no more, in others not yet, or not any more.
        for _ in 0..10 {
            let ends = [&pair.dialer, &pair.acceptor];
            let lanes = ends.map(|end| Lane::open(end.connection.clone()).unwrap());
            exchange(&mut pair, 0, &Payload::default()).await;
            exchange(&mut pair, bytes, &large).await;
            drop(lanes);
        }
    }
}

/// One call in each direction at the same time, read by the io threads.
async fn exchange(pair: &mut Pair, bytes: usize, value: &Payload) {
    for end in [&pair.dialer, &pair.acceptor] {
        end.connection.send_call(&call_head(1, bytes), value).unwrap();
        end.connection.flush();
    }
    for end in [&mut pair.dialer, &mut pair.acceptor] {
        assert!(matches!(end.events.frame().await, Incoming::Call { .. }));
    }
}

#[tokio::test]
async fn the_end_of_a_connection_reaches_its_handler_from_a_lane() {
    for over in WITH_LANES {
        let mut pair = Setup::over(over).connect().await;
        let lane = Lane::open(pair.acceptor.connection.clone()).unwrap();
        pair.dialer.connection.close(CloseReason::Leaving);
        read_until(&lane, LaneRead::Over).await;
        let lost = pair.acceptor.events.closed().await;
        assert!(matches!(lost.cause, LostCause::Goodbye(_)), "{:?}", lost.cause);
        assert_eq!(lane.read(), LaneRead::Over);
    }
}

#[tokio::test]
async fn what_is_no_plain_socket_has_no_lane() {
    for over in [Over::Memory, Over::Tls] {
        let pair = Setup::over(over).connect().await;
        assert!(Lane::open(pair.acceptor.connection.clone()).is_none());
    }
}
