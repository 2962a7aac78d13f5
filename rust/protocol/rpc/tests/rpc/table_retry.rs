//! Which failed attempts are followed by another one.

use std::collections::BTreeSet;
use std::time::Duration;

use mpreg_rpc::{RetryConfig, Route, SendFailure, TableConfig, WorkloadConfig};
use mpreg_types::{ConnectionId, ErrorCode, Executed, ReplyExtras, ReplyHead, StreamId, Target};

use crate::cluster::{idempotent, node, offer, select, target};
use crate::port::Bench;

/// A node with three peers that offer "once" and "again" (idempotent), on connections 2, 3 and 4.
fn mesh() -> Bench {
    mesh_with(RetryConfig::default())
}

fn mesh_with(retry: RetryConfig) -> Bench {
    let mut bench = Bench::with(node(1), TableConfig::default(), WorkloadConfig::default(), retry);
    for number in [2, 3, 4] {
        bench.cluster.peer(node(number), number.into());
        bench.cluster.offers(node(number), &offer("once"));
        bench.cluster.offers(node(number), &idempotent("again"));
    }
    bench.publish();
    bench
}

/// A client with its entry node on connection 9.
fn client() -> Bench {
    let mut bench = Bench::new(node(1));
    bench.port.entry = Some(ConnectionId(9));
    bench
}

/// Everything up to here left the process.
const ALL_SENT: StreamId = StreamId(u64::MAX);

#[test]
fn a_reply_completes_its_call_and_only_once() {
    let mut bench = mesh();
    let key = bench.call("once");
    let (on, stream, token) = bench.sent(0);
    assert_eq!(token, key.token());
    bench.reply(on, StreamId(stream.0 + 2), ReplyHead::ok(token, 0), vec![].into());
    bench.reply(ConnectionId(77), stream, ReplyHead::ok(token, 0), vec![].into());
    assert!(bench.done.is_empty());
    bench.succeed(0);
    assert_eq!(bench.success().node, Some(node(u8::try_from(on.0).unwrap())));
    bench.succeed(0);
    assert_eq!((bench.table.counters().late_replies, bench.table.counters().succeeded), (3, 1));
    bench.assert_empty();
}

#[test]
fn an_unsent_call_goes_to_another_candidate() {
    let mut bench = mesh();
    bench.call("once");
    let (on, stream, _) = bench.sent(0);
    bench.lose(on.0, stream);
    assert!(bench.done.is_empty());
    bench.pass_ms(20);
    assert_eq!(bench.port.sent.len(), 2);
    assert_ne!(bench.sent(1).0, on);
    assert_eq!(
        (bench.port.sent[1].head.attempt, bench.port.sent[1].head.call),
        (2, bench.port.sent[0].head.call)
    );
    bench.succeed(1);
    bench.success();
    bench.assert_empty();
}

#[test]
fn a_call_that_left_is_not_sent_again() {
    let mut bench = mesh();
    bench.call("once");
    let (on, stream, _) = bench.sent(0);
    bench.lose(on.0, StreamId(stream.0 + 2));
    let failure = bench.failure();
    assert_eq!((failure.body.code, failure.executed), (ErrorCode::ConnectionLost, Executed::Unknown));
    assert!(!failure.retryable && bench.port.sent.len() == 1);
    bench.assert_empty();
}

#[test]
fn a_call_whose_start_was_reported_counts_as_executed_when_the_connection_breaks() {
    let mut bench = mesh();
    bench.call("once");
    let (on, _, token) = bench.sent(0);
    bench.table.started(on, token, bench.now, &mut bench.port, &mut bench.done);
    bench.lose(on.0, ALL_SENT);
    let failure = bench.failure();
    assert_eq!((failure.executed, failure.retryable), (Executed::Yes, false));
    bench.assert_empty();
}

#[test]
fn an_idempotent_call_that_had_begun_when_the_connection_broke_is_sent_again() {
    let mut bench = mesh();
    bench.call("again");
    let (on, _, token) = bench.sent(0);
    bench.table.started(on, token, bench.now, &mut bench.port, &mut bench.done);
    bench.lose(on.0, ALL_SENT);
    bench.pass_ms(20);
    assert_ne!(bench.sent(1).0, on);
}

#[test]
fn an_idempotent_call_is_sent_again_whatever_happened() {
    let mut bench = mesh();
    bench.call("again");
    bench.lose(bench.sent(0).0.0, ALL_SENT);
    bench.pass_ms(20);
    bench.fail(1, ErrorCode::Overloaded, Executed::No);
    bench.pass_ms(50);
    bench.fail(2, ErrorCode::Overloaded, Executed::No);
    let failure = bench.failure();
    assert_eq!((failure.body.code, failure.executed), (ErrorCode::Overloaded, Executed::Unknown));
    let tried: BTreeSet<_> = failure.attempts.iter().map(|attempt| attempt.node.unwrap()).collect();
    assert_eq!(tried, BTreeSet::from([node(2), node(3), node(4)]));
    let codes: Vec<_> = failure.attempts.iter().map(|attempt| attempt.code).collect();
    assert_eq!(codes, [ErrorCode::ConnectionLost, ErrorCode::Overloaded, ErrorCode::Overloaded]);
    bench.assert_empty();
}

#[test]
fn a_client_repeats_an_unknown_outcome_only_if_somebody_knows_that_it_may() {
    let cases = [
        (false, false, true, 1),
        (true, false, true, 2),
        (false, true, false, 2),
        (true, false, false, 1),
        (false, false, false, 1),
    ];
    let told = [Executed::Unknown, Executed::Yes];
    for ((hint, said, lost, sent), executed) in
        cases.into_iter().flat_map(|case| told.map(|told| (case, told)))
    {
        let mut bench = client();
        bench.call_entry("f", hint);
        if lost {
            bench.port.entry = None;
            bench.lose(9, ALL_SENT);
        } else {
            let extras = ReplyExtras { node: Some(node(5)), idempotent: said, ..ReplyExtras::default() };
            bench.fail_with(0, ErrorCode::ConnectionLost, executed, Some(extras));
        }
        bench.port.entry = Some(ConnectionId(10));
        bench.pass_ms(20);
        bench.table.entry_changed(bench.now, &mut bench.port, &mut bench.done);
        assert_eq!(bench.port.sent.len(), sent, "hint {hint}, said {said}, lost {lost}, {executed:?}");
    }
}

#[test]
fn a_client_names_the_nodes_that_were_tried() {
    let mut bench = client();
    bench.call_entry("f", false);
    for (index, number) in [(0, 5), (1, 6)] {
        let extras = ReplyExtras { node: Some(node(number)), ..ReplyExtras::default() };
        bench.fail_with(index, ErrorCode::Draining, Executed::No, Some(extras));
        bench.pass_ms(50);
    }
    let tried: Vec<_> = bench.port.sent.iter().map(|sent| tried(&sent.head.target.target)).collect();
    assert_eq!(tried, [vec![], vec![node(5)], vec![node(5), node(6)]]);
}

fn tried(target: &Target) -> Vec<mpreg_types::NodeId> {
    match target {
        Target::Select(selector) => selector.tried.clone(),
        Target::Direct { .. } | Target::Here { .. } => panic!("a client does not select"),
    }
}

#[test]
fn what_the_function_raised_and_what_cannot_change_is_not_repeated() {
    for code in ErrorCode::ALL.iter().filter(|code| !code.is_retryable()) {
        let mut bench = client();
        bench.call_entry("f", true);
        bench.fail(0, *code, Executed::No);
        let failure = bench.failure();
        assert_eq!((failure.body.code, failure.attempts.len()), (*code, 1));
        bench.pass_ms(900);
        assert_eq!(bench.port.sent.len(), 1, "{code}");
        bench.assert_empty();
    }
}

#[test]
fn an_answered_call_is_not_repeated_even_if_idempotent() {
    let mut bench = mesh();
    bench.call("again");
    bench.fail(0, ErrorCode::Overloaded, Executed::Yes);
    assert_eq!(bench.failure().executed, Executed::Yes);
}

#[test]
fn a_candidate_that_lost_the_function_is_not_the_whole_mesh() {
    let mut bench = mesh();
    bench.call("once");
    bench.fail(0, ErrorCode::FunctionNotFound, Executed::No);
    bench.pass_ms(20);
    assert_ne!(bench.sent(1).0, bench.sent(0).0);
}

#[test]
fn attempts_are_bounded_and_the_last_error_is_raised() {
    for retries in [0_u8, 1, 2, 4] {
        let mut bench = mesh();
        bench.begin(Route::Mesh, target("once"), retries, false);
        for index in 0..=usize::from(retries) {
            bench.fail(index, ErrorCode::Overloaded, Executed::No);
            bench.pass_ms(100);
        }
        let failure = bench.failure();
        assert_eq!(failure.attempts.len(), usize::from(retries) + 1);
        assert_eq!(failure.sent, retries + 1);
        assert_eq!(failure.body.message.as_str(), format!("error {retries}"));
        assert!(failure.retryable && failure.executed == Executed::No);
        bench.assert_empty();
    }
}

#[test]
fn a_spent_budget_raises_the_first_error() {
    let mut bench = mesh_with(RetryConfig { percent: 0, per_second: 1, saved_max: 0 });
    bench.call("once");
    bench.fail(0, ErrorCode::RateLimited, Executed::No);
    bench.pass_ms(20);
    bench.fail(1, ErrorCode::Overloaded, Executed::No);
    let failure = bench.failure();
    assert_eq!((failure.body.code, failure.attempts.len()), (ErrorCode::RateLimited, 2));
    assert_eq!((bench.table.counters().retries, bench.table.counters().retries_denied), (1, 1));
    bench.assert_empty();
}

#[test]
fn a_storm_is_answered_with_a_tenth_of_its_calls() {
    let mut bench = mesh();
    let mut answered = 0;
    for _ in 0..2_000 {
        bench.call("once");
        bench.pass_ms(1);
        while answered < bench.port.sent.len() {
            bench.fail(answered, ErrorCode::Overloaded, Executed::No);
            answered += 1;
        }
    }
    // 2 s: a tenth of 2,000 calls, 10 a second, and the 10 of the first second's pot.
    let retries = bench.table.counters().retries;
    assert!((200..=240).contains(&retries), "{retries}");
}

#[test]
fn a_pause_lasts_as_long_as_the_callee_asks_for() {
    let mut bench = mesh();
    bench.call("once");
    let extras = ReplyExtras { retry_after: Some(Duration::from_millis(300)), ..ReplyExtras::default() };
    bench.fail_with(0, ErrorCode::RateLimited, Executed::No, Some(extras.clone()));
    bench.pass_ms(299);
    assert_eq!(bench.port.sent.len(), 1);
    bench.pass_ms(20);
    assert_eq!(bench.port.sent.len(), 2);
    let longer = ReplyExtras { retry_after: Some(Duration::from_secs(5)), ..extras };
    bench.fail_with(1, ErrorCode::RateLimited, Executed::No, Some(longer));
    assert_eq!(bench.failure().body.code, ErrorCode::RateLimited, "no use in waiting beyond the deadline");
}

#[test]
fn a_draining_node_is_avoided_by_the_next_calls_at_once() {
    let mut bench = mesh();
    bench.call("once");
    let drained = bench.sent(0).0;
    bench.fail(0, ErrorCode::Draining, Executed::No);
    for _ in 0..50 {
        bench.call("once");
    }
    assert!(bench.port.sent[1..].iter().all(|sent| sent.to != drained));
}

#[test]
fn a_connection_that_closed_unseen_costs_an_attempt_and_nothing_else() {
    let mut bench = mesh();
    for on in [2, 3] {
        bench.port.refusing.insert(ConnectionId(on), SendFailure::Closed);
    }
    bench.call("once");
    bench.pass_ms(100);
    assert_eq!(bench.sent(0).0, ConnectionId(4));
    bench.succeed(0);
    bench.success();
    bench.assert_empty();
}

#[test]
fn a_value_too_large_for_the_peer_is_an_error_at_once() {
    let mut bench = client();
    bench.port.refusing.insert(ConnectionId(9), SendFailure::TooLarge);
    bench.call_entry("f", false);
    let failure = bench.failure();
    assert_eq!((failure.body.code, failure.executed), (ErrorCode::TooLarge, Executed::No));
    bench.assert_empty();
}

#[test]
fn a_chosen_candidate_is_the_only_one_tried() {
    let mut bench = mesh();
    let context = mpreg_routing::Context { own_call: true, now: bench.now, random: 1 };
    let candidates = bench.port.snapshot.matching(&select("once"), &context).unwrap();
    assert_eq!(candidates.len(), 3);
    for choice in candidates {
        bench.begin(Route::Candidate(choice.candidate), target("once"), 2, false);
    }
    let chosen: Vec<_> = bench.port.sent.iter().map(|sent| sent.to.0).collect();
    assert_eq!(chosen, [2, 3, 4]);
    bench.fail(0, ErrorCode::Overloaded, Executed::No);
    bench.pass_ms(20);
    assert_eq!(bench.sent(3).0, ConnectionId(2));
}

#[test]
fn one_broken_connection_is_one_failure_of_its_peer() {
    let mut bench = mesh();
    for _ in 0..60 {
        bench.call("once");
    }
    bench.lose(2, ALL_SENT);
    let peer = bench.port.snapshot.peer(node(2)).unwrap();
    assert_eq!(peer.circuit().state(bench.now), mpreg_routing::CircuitState::Closed);
}
