//! What is said of a call when its time is over, and when nobody waits for it.

use std::time::Duration;

use mpreg_rpc::{RetryConfig, Route, TableConfig, WorkloadConfig};
use mpreg_types::{ConnectionId, ErrorCode, Executed, MemberState, ReplyExtras, ReplyHead, StreamId};

use crate::cluster::{INCARNATION, node, offer, target};
use crate::port::Bench;

/// A node with one peer on connection 2, which offers "f".
fn bench() -> Bench {
    let mut bench = Bench::new(node(1));
    bench.cluster.peer(node(2), 2);
    bench.cluster.offers(node(2), &offer("f"));
    bench.publish();
    bench
}

fn deadline(bench: &mut Bench) -> Executed {
    let failure = bench.failure();
    assert_eq!(failure.body.code, ErrorCode::DeadlineExceeded);
    bench.assert_empty();
    failure.executed
}

#[test]
fn at_the_deadline_the_callee_has_the_last_word() {
    for (ok, executed) in
        [(false, Executed::No), (false, Executed::Yes), (false, Executed::Unknown), (true, Executed::Yes)]
    {
        let mut bench = bench();
        bench.call("f");
        bench.pass_ms(1010);
        let (on, stream, token) = bench.sent(0);
        assert_eq!(bench.port.cancelled, [(on, stream)]);
        assert!(bench.done.is_empty());
        if ok {
            bench.succeed(0);
        } else {
            let value =
                mpreg_rpc::encode_error(&mpreg_types::ErrorBody::new(ErrorCode::CancelledByPeer, "x"));
            bench.reply(on, stream, ReplyHead::error(token, executed, value.len() as u64), value);
        }
        assert_eq!(deadline(&mut bench), executed);
    }
}

#[test]
fn the_wait_for_the_word_is_two_round_trips_and_a_bit_within_bounds() {
    for (round_trip, patience) in [(Some(10), 40), (Some(0), 20), (Some(500), 100), (None, 100)] {
        let mut bench = bench();
        bench.port.round_trip = round_trip.map(Duration::from_millis);
        bench.call("f");
        bench.pass_ms(1002);
        assert_eq!(bench.port.cancelled.len(), 1);
        bench.pass_ms(patience - 4);
        assert!(bench.done.is_empty(), "{round_trip:?}");
        bench.pass_ms(6);
        assert_eq!(deadline(&mut bench), Executed::Unknown);
    }
}

#[test]
fn a_reported_start_needs_no_word() {
    let mut early = bench();
    early.call("f");
    let (on, _, token) = early.sent(0);
    early.table.started(on, token, early.now, &mut early.port, &mut early.done);
    early.pass_ms(1002);
    assert_eq!((early.port.cancelled.len(), deadline(&mut early)), (1, Executed::Yes));

    let mut late = bench();
    late.call("f");
    late.pass_ms(1002);
    late.table.started(on, late.sent(0).2, late.now, &mut late.port, &mut late.done);
    assert_eq!(deadline(&mut late), Executed::Yes);
}

/// A client's call, sent to its entry node on connection 9, whose deadline has passed.
#[test]
fn what_comes_late_for_a_former_table_of_the_same_number_is_nothing_to_the_next() {
    let mut bench = bench();
    bench.call("f");
    let (on, _, former) = bench.sent(0);
    bench.begin_anew();
    bench.call("f");
    assert_ne!(bench.sent(1).2, former);
    bench.table.started(on, former, bench.now, &mut bench.port, &mut bench.done);
    bench.lose(on.0, StreamId(u64::MAX));
    assert_eq!(bench.failure().executed, Executed::Unknown, "nobody said that it runs");
}

fn clients_call(started: bool) -> Bench {
    let mut bench = Bench::new(node(1));
    bench.port.entry = Some(ConnectionId(9));
    bench.call_entry("f", false);
    let (on, stream, token) = bench.sent(0);
    if started {
        bench.table.started(on, token, bench.now, &mut bench.port, &mut bench.done);
    }
    bench.pass_ms(1002);
    assert_eq!((bench.port.cancelled.clone(), bench.done.len()), (vec![(on, stream)], 0));
    bench
}

#[test]
fn a_client_hears_from_the_word_who_has_its_call() {
    for started in [false, true] {
        let mut bench = clients_call(started);
        let label = Some("default/b/2".to_owned().into());
        let extras = ReplyExtras { node: Some(node(2)), label, ..ReplyExtras::default() };
        bench.fail_with(0, ErrorCode::CancelledByPeer, Executed::No, Some(extras));
        let failure = bench.failure();
        assert_eq!(failure.executed, if started { Executed::Yes } else { Executed::No });
        assert_eq!((failure.node, failure.via), (Some(node(2)), Some(ConnectionId(9))));
        let [tried] = &failure.attempts[..] else { panic!("{failure:?}") };
        for label in [&failure.label, &tried.label] {
            assert_eq!(label.as_ref().unwrap().as_str(), "default/b/2");
        }
        assert_eq!((tried.node, tried.via), (failure.node, failure.via));
        bench.assert_empty();
    }
}

#[test]
fn a_client_that_hears_nothing_blames_nobody() {
    for (started, late_report, executed) in [
        (false, false, Executed::Unknown),
        (true, false, Executed::Yes),
        // It says that somebody runs it, and not who: the word may still come.
        (false, true, Executed::Yes),
    ] {
        let mut bench = clients_call(started);
        if late_report {
            let (on, _, token) = bench.sent(0);
            bench.table.started(on, token, bench.now, &mut bench.port, &mut bench.done);
            assert!(bench.done.is_empty());
        }
        bench.pass_ms(110);
        let failure = bench.failure();
        assert_eq!((failure.body.code, failure.executed), (ErrorCode::DeadlineExceeded, executed));
        assert_eq!((failure.node, failure.label, failure.via), (None, None, Some(ConnectionId(9))));
        bench.assert_empty();
    }
}

#[test]
fn a_call_that_never_left_went_through_nobody() {
    let mut bench = Bench::new(node(1));
    bench.call_entry("f", false);
    bench.pass_ms(1002);
    let failure = bench.failure();
    assert_eq!((failure.body.code, failure.sent, failure.via), (ErrorCode::DeadlineExceeded, 0, None));
}

#[test]
fn a_start_reported_over_another_connection_counts_for_nothing() {
    let mut bench = bench();
    bench.call("f");
    let token = bench.sent(0).2;
    bench.table.started(ConnectionId(55), token, bench.now, &mut bench.port, &mut bench.done);
    bench.pass_ms(1200);
    assert_eq!((deadline(&mut bench), bench.table.counters().late_replies), (Executed::Unknown, 1));
}

#[test]
fn a_connection_lost_while_waiting_for_the_word_says_what_it_can() {
    for (unsent, executed) in [(true, Executed::No), (false, Executed::Unknown)] {
        let mut bench = bench();
        bench.call("f");
        bench.pass_ms(1002);
        let stream = bench.sent(0).1;
        bench.lose(2, if unsent { stream } else { StreamId(stream.0 + 1) });
        assert_eq!(deadline(&mut bench), executed);
    }
}

#[test]
fn work_is_never_sent_after_its_deadline() {
    let mut bench = bench();
    let late = mpreg_rpc::Request {
        route: Route::Mesh,
        target: target("f"),
        deadline: bench.now,
        retries: 2,
        idempotent: false,
        stream: false,
        hops: mpreg_types::HopBudget::NEIGHBOURS,
        extras: None,
    };
    bench.table.begin(late, vec![].into(), bench.now, &mut bench.port, &mut bench.done);
    assert_eq!((deadline(&mut bench), bench.port.sent.len()), (Executed::No, 0));
}

#[test]
fn the_time_left_travels_and_the_functions_own_timeout_is_the_shorter() {
    let mut bench = bench();
    let timeout = Some(Duration::from_millis(200));
    bench.cluster.offers(node(2), &mpreg_routing::Offer { timeout, ..offer("short") });
    bench.publish();
    bench.call("f");
    bench.call("short");
    let left: Vec<_> = bench.port.sent.iter().map(|sent| sent.head.remaining.as_millis()).collect();
    assert_eq!(left, [1000, 200]);
    bench.pass_ms(310);
    assert_eq!(bench.failure().body.code, ErrorCode::DeadlineExceeded);
}

#[test]
fn a_cancelled_call_never_completes_and_its_reply_is_dropped() {
    let mut bench = bench();
    let key = bench.call("f");
    let (on, stream, _) = bench.sent(0);
    assert!(bench.table.cancel(key, &mut bench.port));
    assert!(!bench.table.cancel(key, &mut bench.port));
    assert_eq!(bench.port.cancelled, [(on, stream)]);
    bench.succeed(0);
    bench.pass_ms(2000);
    assert_eq!((bench.table.counters().cancelled, bench.table.counters().late_replies), (1, 1));
    bench.assert_empty();
}

#[test]
fn a_local_call_that_has_not_begun_by_its_deadline_never_begins() {
    for (begun, executed) in [(false, Executed::No), (true, Executed::Yes)] {
        let mut bench = Bench::new(node(1));
        let slots = bench.workload.function_slots(mpreg_rpc::Runs::OnLoop, None);
        bench.cluster.own(&offer("mine"), &slots);
        bench.publish();
        let key = bench.call("mine");
        let local = bench.port.local.pop().unwrap();
        assert_eq!((local.key, local.function), (key, 1));
        if begun {
            assert!(local.claim.begin());
        }
        bench.pass_ms(1002);
        let failure = bench.failure();
        assert_eq!((failure.body.code, failure.executed), (ErrorCode::DeadlineExceeded, executed));
        assert_eq!(bench.port.cancelled_local, [key]);
        assert!(local.claim.is_revoked() && !local.claim.begin());
        assert_eq!(bench.table.len(), 1, "the slot stays until the function has ended");
        assert_eq!(slots.taken(), 1);
        drop(local.running);
        bench.local_result(key);
        bench.assert_empty();
    }
}

#[test]
fn everything_ends_when_the_table_is_told_to() {
    let mut bench =
        Bench::with(node(1), TableConfig::default(), WorkloadConfig::default(), RetryConfig::default());
    bench.cluster.peer(node(2), 2);
    bench.cluster.offers(node(2), &offer("f"));
    let slots = bench.workload.function_slots(mpreg_rpc::Runs::OnLoop, Some(1));
    bench.cluster.own(&offer("mine"), &slots);
    bench.publish();
    bench.call("f");
    let running = bench.call("mine");
    bench.call("mine");
    bench.call("nobody");
    bench.table.fail_all(ErrorCode::ConnectionLost, "closed", bench.now, &mut bench.port, &mut bench.done);
    let executed = bench.completions::<4>().map(|completion| completion.outcome.unwrap_err().executed);
    assert_eq!(executed, [Executed::Unknown, Executed::No, Executed::No, Executed::No]);
    bench.port.local.clear();
    bench.local_result(running);
    bench.pass_ms(10);
    bench.assert_empty();
}

#[test]
fn a_full_table_refuses_at_once() {
    let config = TableConfig { calls_max: 2, ..TableConfig::default() };
    let mut bench = Bench::with(node(1), config, WorkloadConfig::default(), RetryConfig::default());
    let held = bench.call("nobody");
    bench.call("nobody");
    let refused = bench.call("nobody");
    let [completion] = bench.completions();
    assert_eq!(completion.key, refused);
    let failure = completion.outcome.unwrap_err();
    assert_eq!((failure.body.code, failure.executed), (ErrorCode::Overloaded, Executed::No));
    assert!(!bench.table.cancel(refused, &mut bench.port));
    assert!(bench.table.cancel(held, &mut bench.port));
    bench.call("nobody");
    assert!(bench.done.is_empty());
}

#[test]
fn a_call_waits_for_a_candidate_as_long_as_it_may_and_is_woken_by_it() {
    let mut bench = bench();
    bench.call("later");
    bench.pass_ms(400);
    bench.cluster.offers(node(2), &offer("later"));
    bench.publish();
    assert_eq!(bench.port.sent.len(), 1);
    bench.succeed(0);
    bench.success();

    bench.call("never");
    bench.pass_ms(480);
    assert!(bench.done.is_empty());
    bench.pass_ms(25);
    let failure = bench.failure();
    assert_eq!((failure.body.code, failure.executed), (ErrorCode::FunctionNotFound, Executed::No));
    assert_eq!(failure.sent, 0);
    bench.assert_empty();
}

#[test]
fn while_the_node_starts_a_call_waits_longer() {
    let mut bench = Bench::new(node(1));
    bench.port.starting = true;
    bench.call("f");
    bench.pass_ms(800);
    assert!(bench.done.is_empty());
    bench.port.starting = false;
    bench.pass_ms(60);
    assert_eq!(bench.failure().body.code, ErrorCode::FunctionNotFound);
    bench.assert_empty();
}

#[test]
fn a_dead_candidate_is_waited_for() {
    let mut bench = bench();
    bench.cluster.index.set_member(node(2), INCARNATION, MemberState::Down);
    bench.publish();
    bench.call("f");
    assert!(bench.port.sent.is_empty());
    bench.cluster.index.set_member(node(2), INCARNATION, MemberState::Alive);
    bench.publish();
    assert_eq!(bench.port.sent.len(), 1);
}

#[test]
fn an_error_says_where_the_time_went() {
    let mut bench = bench();
    bench.call("f");
    bench.pass_ms(50);
    let ledger = mpreg_types::Ledger { handler_us: 30_000, ..Default::default() };
    let extras = mpreg_types::ReplyExtras { ledger: Some(ledger), ..Default::default() };
    bench.fail_with(0, ErrorCode::Remote, Executed::Yes, Some(extras));
    let ledger = bench.failure().ledger;
    assert_eq!((ledger.handler_us, ledger.wire_us, ledger.queue_us), (30_000, 20_000, 0));
}

#[test]
fn what_never_left_was_waiting() {
    let mut bench = Bench::new(node(1));
    bench.call("never");
    bench.pass_ms(505);
    let ledger = bench.failure().ledger;
    assert!((500_000..=505_000).contains(&ledger.queue_us) && ledger.wire_us == 0, "{ledger:?}");
}

#[test]
fn from_the_report_of_its_start_on_the_time_is_the_functions() {
    let mut bench = bench();
    bench.call("f");
    bench.pass_ms(30);
    let (on, stream, token) = bench.sent(0);
    bench.table.started(on, token, bench.now, &mut bench.port, &mut bench.done);
    bench.pass_ms(40);
    bench.lose(on.0, StreamId(stream.0 + 2));
    let ledger = bench.failure().ledger;
    assert_eq!((ledger.queue_us, ledger.wire_us, ledger.handler_us), (0, 30_000, 40_000));
}
