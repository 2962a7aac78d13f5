//! Streams at their caller.

use mpreg_routing::Offer;
use mpreg_rpc::{CallKey, Pass, Route};
use mpreg_types::{ConnectionId, ErrorCode, Executed, ItemHead, STREAM_WINDOW, StreamId, item_cost};

use crate::cluster::{node, offer, target};
use crate::port::Bench;

/// Node 1; its peers 2 and 3 offer "tail" (idempotent), which is a stream.
fn bench() -> Bench {
    let mut bench = Bench::new(node(1));
    for (number, connection) in [(2, 20), (3, 30)] {
        bench.cluster.peer(node(number), connection);
        bench.cluster.offers(node(number), &Offer { streaming: true, idempotent: true, ..offer("tail") });
    }
    bench.publish();
    bench
}

fn stream(bench: &mut Bench) -> CallKey {
    bench.begin_as(true, Route::Mesh, target("tail"), 2, false)
}

/// An item of the call sent as number `index`.
fn item(bench: &mut Bench, index: usize, value_bytes: u64) -> Option<CallKey> {
    let (on, stream, token) = bench.sent(index);
    let head = ItemHead { token, value_bytes };
    bench.table.item(on, stream, &head, bench.now, &mut bench.port)
}

#[test]
fn items_come_before_the_end_and_belong_to_their_call() {
    let mut bench = bench();
    let key = stream(&mut bench);
    assert!(bench.port.sent[0].head.stream);
    assert_eq!([item(&mut bench, 0, 5), item(&mut bench, 0, 0)], [Some(key); 2]);
    bench.succeed(0);
    assert_eq!(bench.success().head.executed, Executed::Yes);
    assert_eq!((item(&mut bench, 0, 5), bench.table.counters().late_items), (None, 1));
    bench.assert_empty();
}

#[test]
fn the_deadline_covers_the_first_item_only() {
    let mut bench = bench();
    stream(&mut bench);
    bench.pass_ms(900);
    assert!(item(&mut bench, 0, 1).is_some());
    bench.pass_ms(3_600_000);
    assert!(bench.done.is_empty() && item(&mut bench, 0, 1).is_some());
    bench.succeed(0);
    bench.success();
    bench.assert_empty();
}

#[test]
fn a_stream_whose_first_item_is_late_ends_with_the_deadline() {
    let mut bench = bench();
    stream(&mut bench);
    bench.pass_ms(1200);
    assert_eq!(bench.failure().body.code, ErrorCode::DeadlineExceeded);
    assert_eq!(item(&mut bench, 0, 1), None);
    bench.assert_empty();
}

#[test]
fn a_function_with_a_timeout_ends_its_stream() {
    let mut bench = Bench::new(node(1));
    bench.cluster.peer(node(2), 20);
    let timeout = Some(std::time::Duration::from_secs(5));
    bench.cluster.offers(node(2), &Offer { streaming: true, timeout, ..offer("tail") });
    bench.publish();
    stream(&mut bench);
    assert!(item(&mut bench, 0, 1).is_some());
    bench.pass_ms(4900);
    assert!(bench.done.is_empty());
    bench.pass_ms(200);
    let failure = bench.failure();
    assert_eq!((failure.body.code, failure.executed), (ErrorCode::DeadlineExceeded, Executed::Yes));
    assert_eq!(bench.port.cancelled.len(), 1);
}

#[test]
fn nothing_is_sent_again_once_an_item_came() {
    let mut bench = bench();
    stream(&mut bench);
    item(&mut bench, 0, 1);
    let on = bench.sent(0).0;
    bench.lose(on.0, StreamId(u64::MAX));
    let failure = bench.failure();
    assert_eq!((failure.body.code, failure.executed), (ErrorCode::ConnectionLost, Executed::Yes));
    bench.pass_ms(500);
    assert_eq!(bench.port.sent.len(), 1);
}

#[test]
fn before_the_first_item_it_is_sent_again_as_any_call_and_only_the_new_attempt_counts() {
    let mut bench = bench();
    let key = stream(&mut bench);
    bench.fail(0, ErrorCode::Overloaded, Executed::No);
    bench.pass_ms(100);
    assert_eq!(item(&mut bench, 0, 1), None);
    assert_eq!(item(&mut bench, 1, 1), Some(key));
}

#[test]
fn more_than_the_window_closes_the_connection_of_its_sender() {
    let mut bench = bench();
    let key = stream(&mut bench);
    for _ in 0..2 {
        assert_eq!(item(&mut bench, 0, 10 << 20), Some(key));
    }
    assert_eq!(item(&mut bench, 0, 0), None);
    let (on, stream, _) = bench.sent(0);
    assert_eq!((bench.port.breaches.as_slice(), bench.table.counters().overdrawn), (&[(on, stream)][..], 1));
    bench.table.items_taken(key, item_cost(10 << 20), &mut bench.port);
    assert_eq!(bench.port.item_credit, [(on, stream, STREAM_WINDOW / 2)]);
    assert_eq!(item(&mut bench, 0, 0), Some(key));
}

#[test]
fn items_on_another_connection_or_for_a_plain_call_are_dropped() {
    let mut bench = bench();
    bench.cluster.offers(node(2), &offer("f"));
    bench.publish();
    stream(&mut bench);
    bench.call("f");
    let (on, of_stream, token) = bench.sent(0);
    let head = ItemHead { token, value_bytes: 1 };
    for (on, of_stream) in [(ConnectionId(99), of_stream), (on, StreamId(of_stream.0 + 2))] {
        assert_eq!(bench.table.item(on, of_stream, &head, bench.now, &mut bench.port), None);
    }
    assert_eq!(item(&mut bench, 1, 1), None);
    assert_eq!(bench.table.counters().late_items, 3);
}

#[test]
fn a_stream_of_this_process_has_its_gate_and_is_resumed() {
    let mut bench = Bench::new(node(1));
    let slots = bench.workload.function_slots(mpreg_rpc::Runs::OnLoop, None);
    bench.cluster.own(&Offer { streaming: true, ..offer("tail") }, &slots);
    bench.publish();
    let key = stream(&mut bench);
    let local = bench.port.local.remove(0);
    let gate = local.gate.clone().unwrap();
    let cost = item_cost(u64::MAX);
    for _ in 0..2 {
        assert_eq!(gate.pass(cost), Pass::Passed);
        assert!(bench.table.local_item(key, u64::MAX));
    }
    assert_eq!(gate.pass(cost), Pass::Wait);
    bench.table.items_taken(key, cost, &mut bench.port);
    assert_eq!(bench.port.resumed, [key]);
    bench.pass_ms(5000);
    assert!(bench.done.is_empty() && bench.table.cancel(key, &mut bench.port));
    assert_eq!(gate.pass(1), Pass::Closed);
    assert!(!bench.table.local_item(key, 1));
}
