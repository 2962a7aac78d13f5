//! Calls to the own node's functions.

use std::time::Duration;

use mpreg_routing::Offer;
use mpreg_rpc::{Peer, SwitchConfig, WorkloadConfig};
use mpreg_types::{
    CallHead, ConnectionId, ErrorCode, Executed, Incarnation, PreparedTarget, Scope, StreamId, Target,
};

use crate::cluster::{direct, node, offer, target};
use crate::station::{CLIENT, MEMBER, OTHER_MEMBER, Station};

/// Node 1 with "f", so many at one time.
fn station(concurrency: Option<u32>) -> Station {
    station_with(concurrency, WorkloadConfig::default())
}

fn station_with(concurrency: Option<u32>, workload: WorkloadConfig) -> Station {
    let mut station = Station::new(SwitchConfig::default(), workload);
    let slots = station.slots(concurrency);
    station.cluster.own(&offer("f"), &slots);
    station.publish();
    station
}

fn f() -> std::sync::Arc<PreparedTarget> {
    direct(node(1), "f")
}

#[test]
fn a_call_is_handed_to_its_function_as_it_came() {
    let mut station = station(None);
    station.call(MEMBER, 5, &f());
    let call = &station.invoked[0];
    assert_eq!((call.function, call.from, call.stream, call.head.token), (1, MEMBER, StreamId(5), 5));
    assert_eq!(call.deadline, station.now + Duration::from_secs(1));
    assert!(call.claim.begin() && call.claim.answer());
    assert_eq!(station.workload.load().in_flight, 1);
    station.finish();
    station.assert_empty();
}

#[test]
fn what_cannot_be_executed_is_refused_before_it_starts() {
    let mut station = station(None);
    let slots = station.slots(None);
    station.cluster.own(&Offer { scope: Scope::Local, ..offer("mine") }, &slots);
    station.cluster.own(&Offer { streaming: true, ..offer("tail") }, &slots);
    station.publish();
    let other_start = Target::Direct {
        node: node(1),
        incarnation: Incarnation(8),
        function: mpreg_types::FunctionId::from(&crate::cluster::name("f")),
        version: mpreg_types::FunctionVersion::ONE,
    };
    let other_start = std::sync::Arc::new(PreparedTarget::new(other_start));
    for (stream, to, code) in [
        (1, other_start, ErrorCode::WrongIncarnation),
        (3, direct(node(1), "unknown"), ErrorCode::FunctionNotFound),
        (5, direct(node(1), "mine"), ErrorCode::FunctionNotFound),
        (7, direct(node(1), "tail"), ErrorCode::WrongVerb),
        (9, direct(node(9), "f"), ErrorCode::WrongIncarnation),
        (11, direct(node(2), "f"), ErrorCode::NoRoute),
    ] {
        station.call(MEMBER, stream, &to);
        assert!(station.named().is_some());
        assert_eq!(station.error(), (StreamId(stream), code, Executed::No));
    }
    station.call_with(MEMBER, 13, CallHead { remaining: Duration::ZERO, ..Station::head(&f()) });
    assert_eq!(station.error(), (StreamId(13), ErrorCode::DeadlineExceeded, Executed::No));
    assert!(station.invoked.is_empty() && station.forwarded.is_empty());
    station.assert_empty();
}

#[test]
fn a_leaving_node_refuses_new_calls_and_ends_the_old_ones() {
    let mut station = station(Some(1));
    station.call(MEMBER, 1, &f());
    station.call(MEMBER, 3, &f());
    station.switch.drain();
    station.call(MEMBER, 5, &f());
    assert_eq!(station.error(), (StreamId(5), ErrorCode::Draining, Executed::No));
    station.finish();
    assert_eq!(station.invoked[0].stream, StreamId(3), "a call admitted before still runs");
    station.finish();
    station.assert_empty();
}

#[test]
fn calls_wait_for_a_slot_in_their_order_and_functions_do_not_block_each_other() {
    let mut station = station(Some(1));
    let slots = station.slots(None);
    station.cluster.own(&offer("free"), &slots);
    station.publish();
    for stream in [1, 3, 5] {
        station.call(MEMBER, stream, &f());
    }
    station.call(OTHER_MEMBER, 1, &direct(node(1), "free"));
    let begun: Vec<_> = station.invoked.iter().map(|call| (call.from, call.stream.0)).collect();
    assert_eq!(begun, [(MEMBER, 1), (OTHER_MEMBER, 1)]);
    assert_eq!(station.workload.load().queued, 2);
    station.finish();
    assert_eq!(station.invoked[1].stream, StreamId(3));
    station.finish();
    station.finish();
    assert_eq!(station.invoked[0].stream, StreamId(5));
    station.finish();
    station.assert_empty();
}

#[test]
fn a_slot_freed_by_a_local_call_is_found_by_looking_again() {
    let mut station = station_with(None, WorkloadConfig { concurrency: 1, ..WorkloadConfig::default() });
    let slots = station.slots(None);
    assert!(slots.try_take());
    station.call(MEMBER, 1, &f());
    station.pass_ms(50);
    assert!(station.invoked.is_empty());
    slots.give_back();
    station.pass_ms(4);
    assert_eq!(station.invoked.len(), 1);
}

#[test]
fn beyond_the_waiting_calls_it_is_overload() {
    let mut station = station_with(Some(1), WorkloadConfig { waiting: 2, ..WorkloadConfig::default() });
    for stream in [1, 3, 5, 7] {
        station.call(MEMBER, stream, &f());
    }
    assert_eq!(station.named(), Some(node(1)));
    assert_eq!(station.error(), (StreamId(7), ErrorCode::Overloaded, Executed::No));
    assert_eq!(station.workload.load().queued, 2);
}

#[test]
fn a_full_switch_refuses() {
    let mut station =
        Station::new(SwitchConfig { inbound_max: 1, ..Default::default() }, WorkloadConfig::default());
    let slots = station.slots(None);
    station.cluster.own(&offer("f"), &slots);
    station.publish();
    station.call(MEMBER, 1, &f());
    station.call(MEMBER, 3, &f());
    assert_eq!(station.error(), (StreamId(3), ErrorCode::Overloaded, Executed::No));
}

#[test]
fn work_whose_deadline_passed_in_the_queue_never_starts() {
    let mut station = station(Some(1));
    station.call_with(MEMBER, 1, CallHead { remaining: Duration::from_secs(9), ..Station::head(&f()) });
    station.call(MEMBER, 3, &f());
    assert!(station.invoked[0].claim.begin());
    station.pass_ms(1002);
    assert_eq!(station.error(), (StreamId(3), ErrorCode::DeadlineExceeded, Executed::No));
    station.finish();
    assert!(station.invoked.is_empty());
    station.assert_empty();
}

#[test]
fn a_slot_that_frees_after_the_deadline_starts_nothing() {
    let mut station = station(Some(1));
    station.call_with(MEMBER, 1, CallHead { remaining: Duration::from_secs(9), ..Station::head(&f()) });
    station.call(MEMBER, 3, &f());
    // Later than the deadline, but before any tick.
    station.now += Duration::from_millis(1005);
    station.finish();
    assert_eq!(station.error(), (StreamId(3), ErrorCode::DeadlineExceeded, Executed::No));
    assert!(station.invoked.is_empty());
    station.assert_empty();
}

#[test]
fn at_the_deadline_the_caller_hears_whether_it_began() {
    for (begun, executed) in [(false, Executed::No), (true, Executed::Yes)] {
        let mut station = station(None);
        station.call(MEMBER, 1, &f());
        if begun {
            assert!(station.invoked[0].claim.begin());
        }
        station.pass_ms(1002);
        assert_eq!(station.error(), (StreamId(1), ErrorCode::DeadlineExceeded, executed));
        assert_eq!(station.cancelled_local, [StreamId(1)]);
        assert!(!station.invoked[0].claim.begin() && !station.invoked[0].claim.answer());
        assert_eq!(station.workload.load().in_flight, 1, "the slot is taken until the function ends");
        station.finish();
        station.assert_empty();
    }
}

#[test]
fn a_functions_own_timeout_is_the_shorter() {
    let mut station = station(None);
    let slots = station.slots(None);
    station.cluster.own(&Offer { timeout: Some(Duration::from_millis(100)), ..offer("short") }, &slots);
    station.publish();
    station.call(MEMBER, 1, &direct(node(1), "short"));
    assert_eq!(station.invoked[0].deadline, station.now + Duration::from_millis(100));
}

#[test]
fn a_cancelled_call_is_answered_once_with_what_is_known() {
    for (begun, answered, executed) in
        [(false, false, Some(Executed::No)), (true, false, Some(Executed::Yes)), (true, true, None)]
    {
        let mut station = station(None);
        station.call(MEMBER, 1, &f());
        let claim = &station.invoked[0].claim;
        assert!((!begun || claim.begin()) && (!answered || claim.answer()));
        station.cancel(MEMBER, 1);
        station.cancel(MEMBER, 1);
        match executed {
            Some(executed) => {
                assert_eq!(station.error(), (StreamId(1), ErrorCode::CancelledByPeer, executed));
                assert_eq!(station.cancelled_local.len(), 1);
            }
            None => assert!(station.replies.is_empty() && station.cancelled_local.is_empty()),
        }
        station.finish();
        station.assert_empty();
    }
}

#[test]
fn a_call_cancelled_in_the_queue_never_starts() {
    let mut station = station(Some(1));
    for stream in [1, 3, 5] {
        station.call(MEMBER, stream, &f());
    }
    station.cancel(MEMBER, 3);
    assert_eq!(station.error(), (StreamId(3), ErrorCode::CancelledByPeer, Executed::No));
    station.finish();
    assert_eq!(station.invoked[0].stream, StreamId(5));
    station.cancel(OTHER_MEMBER, 5);
    assert_eq!(station.switch.counters().late, 1, "the stream is another connection's");
}

#[test]
fn a_lost_connection_cancels_what_ran_for_it_and_nothing_else() {
    let mut station = station(Some(2));
    station.call(MEMBER, 1, &f());
    station.call(OTHER_MEMBER, 1, &f());
    station.call(MEMBER, 3, &f());
    station.lose(MEMBER, StreamId(0));
    assert_eq!((station.cancelled_local.len(), station.switch.counters().orphaned), (1, 2));
    assert!(station.invoked[0].claim.is_revoked() && !station.invoked[1].claim.is_revoked());
    assert_eq!(station.workload.load().queued, 0);
    station.finish();
    station.finish();
    station.assert_empty();
    station.call(MEMBER, 5, &f());
    assert_eq!(station.switch.counters().strays, 1);
}

#[test]
fn calls_that_run_longer_are_reported_in_one_frame_per_connection() {
    let mut station = station(None);
    for stream in [1, 3, 5] {
        station.call(MEMBER, stream, &f());
    }
    station.call(OTHER_MEMBER, 1, &f());
    for call in &station.invoked[1..] {
        assert!(call.claim.begin());
    }
    station.pass_ms(19);
    assert!(station.started.is_empty());
    station.pass_ms(5);
    assert_eq!(station.started, [(MEMBER, vec![3, 5]), (OTHER_MEMBER, vec![1])]);
    assert!(station.invoked[0].claim.begin());
    station.pass_ms(500);
    assert_eq!(station.started[2..], [(MEMBER, vec![1])], "reported once it has begun, and each once");
}

#[test]
fn a_quick_call_is_not_reported() {
    let mut station = station(None);
    station.call(MEMBER, 1, &f());
    assert!(station.invoked[0].claim.begin() && station.invoked[0].claim.answer());
    station.pass_ms(10);
    station.finish();
    station.pass_ms(100);
    assert!(station.started.is_empty());
    station.assert_empty();
}

#[test]
fn a_repeated_frame_is_dropped() {
    let mut station = station(None);
    station.call(MEMBER, 1, &f());
    station.call(MEMBER, 1, &f());
    station.finish();
    station.call(MEMBER, 1, &f());
    station.call(MEMBER, 3, &f());
    assert_eq!((station.switch.counters().duplicates, station.switch.counters().invoked), (2, 2));
}

#[test]
fn a_clients_call_may_run_on_its_entry_node() {
    let mut station = station(None);
    let mut head = Station::head(&target("f"));
    let forged = mpreg_types::CallExtras {
        client: Some("root".into()),
        path: vec![mpreg_types::ClusterId::parse("us").unwrap()],
        pinned_exit: Some(node(9)),
        ..Default::default()
    };
    head.extras = Some(Box::new(forged));
    station.call_with(CLIENT, 1, head);
    let extras = station.invoked[0].head.extras.clone().unwrap();
    assert_eq!(
        (extras.client.as_deref(), extras.path.len(), extras.pinned_exit),
        (Some("client-50"), 0, None)
    );
}

#[test]
fn a_finished_report_that_comes_twice_is_counted() {
    let mut station = station(None);
    station.call(MEMBER, 1, &f());
    let key = station.invoked[0].key;
    station.finish();
    let now = station.now;
    station.act(|switch, out| switch.finished(key, now, out));
    assert_eq!(station.switch.counters().late, 1);
}

#[test]
fn many_lines_are_served_in_turn() {
    let mut station = station_with(None, WorkloadConfig { concurrency: 1, ..WorkloadConfig::default() });
    let slots: Vec<_> = (0..100).map(|_| station.slots(None)).collect();
    for (number, slots) in slots.iter().enumerate() {
        station.cluster.own(&offer(&format!("g{number}")), slots);
    }
    station.publish();
    station.switch.connected(ConnectionId(7), Peer::Member(node(7)));
    for number in 0..100 {
        station.call(ConnectionId(7), 2 * number + 1, &direct(node(1), &format!("g{number}")));
    }
    for _ in 0..100 {
        assert_eq!(station.invoked.len(), 1);
        station.finish();
    }
    station.pass_ms(4);
    station.assert_empty();
}
