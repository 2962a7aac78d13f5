//! Nodes and connections that go in order: what they have not taken moves on, for nothing.

use mpreg_rpc::{RetryConfig, Route, SendFailure, TableConfig, WorkloadConfig};
use mpreg_types::{ConnectionId, ErrorCode, Executed, StreamId};

use crate::cluster::{node, offer, target};
use crate::port::Bench;
use crate::station::{CLIENT, MEMBER, OTHER_MEMBER, Station};

/// A node with three peers that offer "once", on connections 2, 3 and 4. Nobody may retry anything.
fn mesh() -> Bench {
    let retry = RetryConfig { percent: 0, per_second: 1, saved_max: 0 };
    let mut bench = Bench::with(node(1), TableConfig::default(), WorkloadConfig::default(), retry);
    for number in [2, 3, 4] {
        bench.cluster.peer(node(number), number.into());
        bench.cluster.offers(node(number), &offer("once"));
    }
    bench.publish();
    bench
}

/// Begins a call without retries; where it was sent.
fn call(bench: &mut Bench) -> (ConnectionId, StreamId) {
    bench.begin(Route::Mesh, target("once"), 0, false);
    let (on, stream, _) = bench.sent(bench.port.sent.len() - 1);
    (on, stream)
}

#[test]
fn an_untaken_call_goes_elsewhere_at_once_and_costs_no_retry() {
    let mut bench = mesh();
    for round in 0..20 {
        let (on, stream) = call(&mut bench);
        bench.goodbye(on.0, stream, true);
        let (to, _, _) = bench.sent(2 * round + 1);
        assert_ne!(to, on, "the node leaves");
        bench.succeed(2 * round + 1);
        assert!(bench.success().node.is_some());
    }
    let counters = bench.table.counters();
    assert_eq!((counters.moved, counters.retries, counters.retries_denied), (20, 0, 0));
    bench.assert_empty();
}

#[test]
fn a_call_that_was_taken_is_still_answered_and_lost_with_the_connection() {
    let mut bench = mesh();
    let (on, stream) = call(&mut bench);
    bench.goodbye(on.0, StreamId(stream.0 + 1), true);
    assert_eq!((bench.port.sent.len(), bench.done.len()), (1, 0));
    bench.succeed(0);
    bench.success();
    let (on, stream) = call(&mut bench);
    bench.goodbye(on.0, StreamId(stream.0 + 1), true);
    bench.lose(on.0, StreamId(stream.0 + 1));
    let failure = bench.failure();
    assert_eq!((failure.body.code, failure.executed), (ErrorCode::ConnectionLost, Executed::Unknown));
    bench.assert_empty();
}

#[test]
fn who_reported_the_start_of_a_call_cannot_deny_it() {
    let mut bench = mesh();
    let (on, stream) = call(&mut bench);
    let (token, now) = (bench.sent(0).2, bench.now);
    bench.table.started(on, token, now, &mut bench.port, &mut bench.done);
    bench.goodbye(on.0, stream, true);
    assert_eq!((bench.port.sent.len(), bench.done.len()), (1, 0));
    bench.lose(on.0, stream);
    assert_eq!(bench.failure().executed, Executed::Yes);
    bench.assert_empty();
}

#[test]
fn a_peer_that_never_takes_what_it_gets_holds_up_its_own_calls_only() {
    let mut bench = Bench::new(node(1));
    bench.cluster.peer(node(2), 2);
    bench.cluster.offers(node(2), &offer("once"));
    bench.publish();
    bench.begin(Route::Mesh, target("once"), 0, false);
    let mut answered = 0;
    while bench.done.is_empty() {
        let (on, stream, _) = bench.sent(answered);
        bench.goodbye(on.0, stream, false);
        answered += 1;
        bench.pass_ms(50);
    }
    assert_eq!(answered, 5, "the first attempt and four moves");
    let failure = bench.failure();
    assert_eq!((failure.body.code, failure.executed), (ErrorCode::ConnectionLost, Executed::No));
    assert!(failure.retryable);
    bench.assert_empty();
}

#[test]
fn what_a_leaving_node_refuses_costs_no_retry() {
    let mut bench = mesh();
    let (on, _) = call(&mut bench);
    bench.fail(0, ErrorCode::Draining, Executed::No);
    assert_ne!(bench.sent(1).0, on);
    bench.fail(1, ErrorCode::Draining, Executed::No);
    bench.pass_ms(50);
    bench.succeed(2);
    bench.success();
    assert_eq!((bench.table.counters().moved, bench.table.counters().retries), (2, 0));
    bench.assert_empty();
}

#[test]
fn a_connection_that_closes_before_the_news_of_it_costs_no_retry() {
    let mut bench = mesh();
    for closed in [2, 3] {
        bench.port.refusing.insert(ConnectionId(closed), SendFailure::Closed);
    }
    for call in 0..20 {
        bench.begin(Route::Mesh, target("once"), 0, false);
        bench.pass_ms(100);
        assert_eq!(bench.sent(call).0, ConnectionId(4));
        bench.succeed(call);
        bench.success();
    }
    assert!(bench.table.counters().moved > 0);
    bench.assert_empty();
}

#[test]
fn a_clients_call_goes_to_the_next_entry_node() {
    let mut bench = Bench::new(node(1));
    bench.port.entry = Some(ConnectionId(9));
    bench.begin(Route::Entry, target("once"), 0, false);
    let (on, stream, _) = bench.sent(0);
    bench.port.entry = None;
    bench.goodbye(on.0, stream, true);
    assert_eq!((bench.port.sent.len(), bench.done.len()), (1, 0), "it waits for another entry node");
    bench.port.entry = Some(ConnectionId(10));
    bench.table.entry_changed(bench.now, &mut bench.port, &mut bench.done);
    assert_eq!(bench.sent(1).0, ConnectionId(10));
    bench.succeed(1);
    bench.success();
    bench.assert_empty();
}

#[test]
fn an_entry_node_tells_its_client_what_another_node_has_not_taken() {
    for (leaves, code) in [(true, ErrorCode::Draining), (false, ErrorCode::ConnectionLost)] {
        let mut station = Station::usual();
        station.cluster.offers(node(2), &offer("f"));
        station.publish();
        station.call(CLIENT, 5, &target("f"));
        station.call(CLIENT, 7, &target("f"));
        let (taken, untaken) = (station.forwarded[0].stream, station.forwarded[1].stream);
        station.goodbye(OTHER_MEMBER, taken, leaves);
        assert!(station.replies.is_empty(), "another connection");
        station.goodbye(MEMBER, untaken, leaves);
        let (stream, said, executed) = station.error();
        assert_eq!((stream, said, executed), (StreamId(7), code, Executed::No));
        station.relayed_reply(0, |token| (mpreg_types::ReplyHead::ok(token, 1), vec![0xc0].into()));
        let [(_, stream, head, _)] = station.replies();
        assert!(stream == StreamId(5) && head.ok, "what was taken is answered");
        station.assert_empty();
    }
}
