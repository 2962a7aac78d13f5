//! Calls that wait their turn: for credit, for an entry node, for a slot of the own node.

use mpreg_rpc::{RetryConfig, Runs, TableConfig, WorkloadConfig};
use mpreg_types::{ConnectionId, ErrorCode, Executed, StreamId};

use crate::cluster::{node, offer};
use crate::port::Bench;

fn one_peer() -> Bench {
    let mut bench = Bench::new(node(1));
    bench.cluster.peer(node(2), 2);
    bench.cluster.offers(node(2), &offer("f"));
    bench.publish();
    bench
}

fn sequences(bench: &Bench) -> Vec<u64> {
    bench.port.sent.iter().map(|sent| sent.head.call.sequence & 0xffff).collect()
}

#[test]
fn calls_without_credit_are_sent_in_their_order() {
    let mut bench = one_peer();
    bench.port.credit.insert(ConnectionId(2), 1);
    for _ in 0..5 {
        bench.call("f");
    }
    assert_eq!(sequences(&bench), [1]);
    bench.writable(2, 2);
    bench.call("f");
    assert_eq!(sequences(&bench), [1, 2, 3]);
    bench.port.credit.insert(ConnectionId(2), 1);
    bench.call("f");
    assert_eq!(sequences(&bench), [1, 2, 3], "a new call does not overtake those that wait");
    bench.writable(2, 100);
    assert_eq!(sequences(&bench), [1, 2, 3, 4, 5, 6, 7]);
    bench.call("f");
    assert_eq!(sequences(&bench).last(), Some(&8));
}

#[test]
fn a_call_without_credit_ends_at_its_deadline_or_when_nobody_waits() {
    let mut bench = one_peer();
    bench.port.credit.insert(ConnectionId(2), 0);
    let first = bench.call("f");
    bench.call("f");
    assert!(bench.table.cancel(first, &mut bench.port));
    bench.pass_ms(1002);
    let failure = bench.failure();
    assert_eq!((failure.body.code, failure.executed), (ErrorCode::DeadlineExceeded, Executed::No));
    assert!(bench.port.cancelled.is_empty());
    bench.assert_empty();
    bench.writable(2, 10);
    assert!(bench.port.sent.is_empty());
}

#[test]
fn calls_that_wait_for_a_lost_connection_go_elsewhere_without_a_further_attempt() {
    let mut bench = one_peer();
    bench.port.credit.insert(ConnectionId(2), 0);
    bench.call("f");
    bench.call("f");
    let peer = bench.cluster.peer(node(2), 2);
    peer.clear_connection(ConnectionId(2));
    bench.cluster.peer(node(3), 3);
    bench.cluster.offers(node(3), &offer("f"));
    bench.publish();
    bench.lose(2, StreamId(1));
    assert_eq!(sequences(&bench), [1, 2]);
    assert!(bench.port.sent.iter().all(|sent| sent.to == ConnectionId(3) && sent.head.attempt == 1));
    assert_eq!(bench.table.counters().retries, 0);
}

#[test]
fn a_client_without_an_entry_node_waits_for_one() {
    let mut bench = Bench::new(node(1));
    bench.call_entry("f", false);
    bench.call_entry("f", false);
    bench.pass_ms(500);
    bench.port.entry = Some(ConnectionId(9));
    bench.table.entry_changed(bench.now, &mut bench.port, &mut bench.done);
    assert_eq!(sequences(&bench), [1, 2]);
    assert_eq!(bench.port.sent[0].head.remaining.as_millis(), 500);
}

#[test]
fn a_client_whose_entry_node_is_gone_waits_without_spending_an_attempt() {
    let mut bench = Bench::new(node(1));
    bench.port.entry = Some(ConnectionId(9));
    bench.port.refusing.insert(ConnectionId(9), mpreg_rpc::SendFailure::Closed);
    bench.call_entry("f", false);
    bench.port.entry = Some(ConnectionId(10));
    bench.table.entry_changed(bench.now, &mut bench.port, &mut bench.done);
    assert_eq!((bench.sent(0).0, bench.port.sent[0].head.attempt), (ConnectionId(10), 1));
    bench.call_entry("f", false);
    bench.port.entry = None;
    bench.lose(10, StreamId(0));
    bench.pass_ms(1002);
    for completion in bench.completions::<2>() {
        let failure = completion.outcome.unwrap_err();
        assert_eq!((failure.body.code, failure.executed), (ErrorCode::DeadlineExceeded, Executed::No));
    }
    bench.assert_empty();
}

/// A node alone with "mine", one call at a time.
fn narrow(waiting: u32) -> Bench {
    let workload = WorkloadConfig { waiting, ..WorkloadConfig::default() };
    let mut bench = Bench::with(node(1), TableConfig::default(), workload, RetryConfig::default());
    let slots = bench.workload.function_slots(Runs::OnLoop, Some(1));
    bench.cluster.own(&offer("mine"), &slots);
    bench.publish();
    bench
}

#[test]
fn calls_wait_for_a_slot_of_the_own_node_in_their_order() {
    let mut bench = narrow(10);
    let keys = [bench.call("mine"), bench.call("mine"), bench.call("mine")];
    for key in keys {
        let [local] = bench.port.local.drain(..).collect::<Vec<_>>().try_into().ok().unwrap();
        assert_eq!(local.key, key);
        assert!(local.claim.begin());
        drop(local.running);
        bench.local_result(key);
        assert_eq!(bench.success().node, Some(node(1)));
    }
    bench.assert_empty();
}

#[test]
fn a_slot_freed_by_another_thread_is_found_by_looking_again() {
    let mut bench = narrow(10);
    bench.call("mine");
    bench.call("mine");
    assert_eq!((bench.port.local.len(), bench.workload.load().queued), (1, 1));
    bench.pass_ms(100);
    assert_eq!(bench.port.local.len(), 1);
    // The first call still runs as far as the table knows, but its slot is free.
    drop(bench.port.local.remove(0).running);
    bench.pass_ms(5);
    assert_eq!((bench.port.local.len(), bench.workload.load().queued), (1, 0));
}

#[test]
fn too_many_waiting_calls_are_refused_as_overload() {
    let mut bench = narrow(1);
    bench.call("mine");
    bench.call("mine");
    bench.begin(mpreg_rpc::Route::Mesh, crate::cluster::target("mine"), 0, false);
    let failure = bench.failure();
    assert_eq!((failure.body.code, failure.executed), (ErrorCode::Overloaded, Executed::No));
    assert_eq!((failure.node, bench.workload.load().queued), (Some(node(1)), 1));
}

#[test]
fn a_call_that_waits_for_a_slot_ends_at_its_deadline_unstarted() {
    let mut bench = narrow(10);
    let running = bench.call("mine");
    bench.call("mine");
    assert!(bench.port.local[0].claim.begin());
    bench.pass_ms(1002);
    let executed = bench.completions::<2>().map(|completion| completion.outcome.unwrap_err().executed);
    assert_eq!(executed.iter().filter(|executed| **executed == Executed::No).count(), 1);
    bench.port.local.clear();
    bench.local_result(running);
    assert!(bench.port.local.is_empty());
    bench.pass_ms(10);
    bench.assert_empty();
}

#[test]
fn the_own_function_is_left_for_another_node_while_it_is_busy() {
    let mut bench = narrow(10);
    bench.cluster.peer(node(2), 2);
    bench.cluster.offers(node(2), &offer("mine"));
    bench.publish();
    bench.call("mine");
    assert_eq!((bench.port.local.len(), bench.port.sent.len()), (1, 0));
    for _ in 0..4 {
        bench.call("mine");
    }
    assert!(!bench.port.sent.is_empty());
}

#[test]
fn the_wrong_verb_is_refused_before_anything_is_sent() {
    let mut bench = one_peer();
    bench.cluster.offers(node(2), &mpreg_routing::Offer { streaming: true, ..offer("tail") });
    bench.publish();
    bench.call("tail");
    let failure = bench.failure();
    assert_eq!((failure.body.code, failure.executed), (ErrorCode::WrongVerb, Executed::No));
    assert!(bench.port.sent.is_empty());
    bench.assert_empty();
}

#[test]
fn a_local_call_that_nobody_waits_for_does_not_begin() {
    let mut bench = narrow(10);
    let key = bench.call("mine");
    assert!(bench.table.cancel(key, &mut bench.port));
    assert_eq!(bench.port.cancelled_local, [key]);
    let local = bench.port.local.remove(0);
    assert!(!local.claim.begin());
    drop(local.running);
    bench.local_result(key);
    bench.assert_empty();
}
