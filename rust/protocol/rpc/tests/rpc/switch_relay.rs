//! Calls of clients that other nodes run.

use std::collections::BTreeSet;
use std::sync::Arc;

use mpreg_rpc::{SendFailure, SwitchConfig, WorkloadConfig, encode_error};
use mpreg_types::{
    CallHead, ClusterId, ConnectionId, ErrorBody, ErrorCode, Executed, Payload, PreparedTarget, ReplyHead,
    StreamId, Target, WantedCluster,
};

use crate::cluster::{INCARNATION, direct, idempotent, node, offer, select, target};
use crate::station::{CLIENT, MEMBER, OTHER_CLIENT, OTHER_MEMBER, Station};

const ALL_SENT: StreamId = StreamId(u64::MAX);

/// Node 1, whose peer node 2 offers "f" and "again" (idempotent).
fn station() -> Station {
    let mut station = Station::usual();
    station.cluster.offers(node(2), &offer("f"));
    station.cluster.offers(node(2), &idempotent("again"));
    station.publish();
    station
}

fn ok(token: u64) -> (ReplyHead, Payload) {
    (ReplyHead::ok(token, 1), vec![0xc0].into())
}

fn error(code: ErrorCode, executed: Executed) -> impl FnOnce(u64) -> (ReplyHead, Payload) {
    move |token| {
        let value = encode_error(&ErrorBody::new(code, "x"));
        (ReplyHead::error(token, executed, value.len() as u64), value)
    }
}

#[test]
fn a_call_is_sent_on_once_and_its_answer_comes_back_untouched() {
    let mut station = station();
    station.call(CLIENT, 5, &target("f"));
    let sent = &station.forwarded[0];
    assert_eq!((sent.to, sent.head.forwards, sent.head.call.sequence), (MEMBER, 1, 1));
    assert_eq!(sent.head.target.target, direct(node(2), "f").target);
    assert_eq!(sent.head.extras.as_ref().unwrap().client.as_deref(), Some("client-50"));
    assert_eq!(mpreg_rpc::bridge_of(sent.head.token), mpreg_rpc::SWITCH_BRIDGE);
    station.relayed_reply(0, ok);
    let [(to, stream, head, value)] = station.replies();
    assert_eq!((to, stream, head, value), (CLIENT, StreamId(5), ReplyHead::ok(5, 1), vec![0xc0].into()));
    station.relayed_reply(0, ok);
    assert_eq!(station.switch.counters().late, 1);
    station.assert_empty();
}

#[test]
fn a_reply_on_another_stream_or_connection_is_dropped() {
    let mut station = station();
    station.call(CLIENT, 5, &target("f"));
    let (stream, token) = (station.forwarded[0].stream, station.forwarded[0].head.token);
    let now = station.now;
    for (on, stream) in [(OTHER_MEMBER, stream), (MEMBER, StreamId(stream.0 + 2))] {
        station.act(|switch, out| switch.reply(on, stream, ReplyHead::ok(token, 0), vec![].into(), now, out));
    }
    assert_eq!((station.replies.len(), station.switch.counters().late), (0, 2));
}

#[test]
fn an_error_names_the_node_and_says_whether_it_may_be_repeated() {
    for (text, may) in [("f", false), ("again", true)] {
        let mut station = station();
        station.call(CLIENT, 5, &target(text));
        station.relayed_reply(0, error(ErrorCode::Overloaded, Executed::No));
        let extras = station.replies[0].2.extras.clone().unwrap();
        assert_eq!((extras.node, extras.idempotent), (Some(node(2)), may));
    }
}

#[test]
fn calls_of_clients_are_spread_and_the_tried_are_avoided() {
    let mut station = station();
    station.cluster.offers(node(3), &offer("f"));
    let slots = station.slots(None);
    station.cluster.own(&offer("f"), &slots);
    station.publish();
    for number in 0..60 {
        station.call(CLIENT, 2 * number + 1, &target("f"));
    }
    let to: BTreeSet<_> = station.forwarded.iter().map(|sent| sent.to).collect();
    assert_eq!(to, BTreeSet::from([MEMBER, OTHER_MEMBER]));
    assert!(!station.invoked.is_empty());
    let (forwarded, invoked) = (station.forwarded.len(), station.invoked.len());
    let tried = mpreg_types::Selector { tried: vec![node(2), node(1)], ..select("f") };
    let tried = Arc::new(PreparedTarget::new(Target::Select(tried)));
    for number in 60..80 {
        station.call(CLIENT, 2 * number + 1, &tried);
    }
    assert_eq!((station.forwarded.len() - forwarded, station.invoked.len() - invoked), (20, 0));
    assert!(station.forwarded[forwarded..].iter().all(|sent| sent.to == OTHER_MEMBER));
}

#[test]
fn a_lost_peer_is_told_with_what_is_known() {
    for (unsent, started, executed) in
        [(true, false, Executed::No), (false, false, Executed::Unknown), (false, true, Executed::Yes)]
    {
        let mut station = station();
        station.call(CLIENT, 5, &target("again"));
        let (stream, token) = (station.forwarded[0].stream, station.forwarded[0].head.token);
        let now = station.now;
        if started {
            station.act(|switch, out| switch.started(MEMBER, &[token], now, out));
            assert_eq!(station.started, [(CLIENT, vec![5])]);
        }
        station.lose(MEMBER, if unsent { stream } else { ALL_SENT });
        let extras = station.replies[0].2.extras.clone().unwrap();
        assert_eq!((extras.node, extras.idempotent), (Some(node(2)), true));
        assert_eq!(station.error(), (StreamId(5), ErrorCode::ConnectionLost, executed));
        station.assert_empty();
    }
}

#[test]
fn starts_are_passed_on_in_one_frame_per_client_and_once() {
    let mut station = station();
    station.call(CLIENT, 5, &target("f"));
    station.call(OTHER_CLIENT, 5, &target("f"));
    station.call(CLIENT, 7, &target("f"));
    let mut tokens: Vec<u64> = station.forwarded.iter().map(|sent| sent.head.token).collect();
    tokens.push(tokens[0]);
    let now = station.now;
    station.act(|switch, out| switch.started(MEMBER, &tokens, now, out));
    assert_eq!(station.started, [(CLIENT, vec![5, 7]), (OTHER_CLIENT, vec![5])]);
    station.act(|switch, out| switch.started(OTHER_MEMBER, &tokens, now, out));
    assert_eq!((station.started.len(), station.switch.counters().late), (2, 4));
}

#[test]
fn a_cancellation_goes_on_and_the_callees_word_comes_back() {
    let mut station = station();
    station.call(CLIENT, 5, &target("f"));
    station.cancel(CLIENT, 5);
    station.cancel(CLIENT, 5);
    assert_eq!(station.cancelled, [(MEMBER, station.forwarded[0].stream)]);
    station.relayed_reply(0, error(ErrorCode::CancelledByPeer, Executed::No));
    assert_eq!(station.error(), (StreamId(5), ErrorCode::CancelledByPeer, Executed::No));
    station.assert_empty();
}

#[test]
fn without_a_word_the_entry_node_says_unknown() {
    let mut station = station();
    station.call(CLIENT, 5, &target("f"));
    station.pass_ms(1002);
    assert_eq!(station.cancelled.len(), 1);
    station.pass_ms(65);
    assert!(station.replies.is_empty());
    station.pass_ms(10);
    assert_eq!(station.named(), Some(node(2)), "who has it, before the client gives up");
    assert_eq!(station.error(), (StreamId(5), ErrorCode::DeadlineExceeded, Executed::Unknown));
    station.assert_empty();
}

#[test]
fn a_vanished_client_cancels_at_the_callee() {
    let mut station = station();
    station.call(CLIENT, 5, &target("f"));
    station.call(OTHER_CLIENT, 5, &target("f"));
    station.lose(CLIENT, StreamId(0));
    assert_eq!(station.cancelled, [(MEMBER, station.forwarded[0].stream)]);
    station.relayed_reply(0, ok);
    station.relayed_reply(1, ok);
    let [(to, ..)] = station.replies();
    assert_eq!((to, station.switch.counters().late), (OTHER_CLIENT, 1));
    station.assert_empty();
}

#[test]
fn a_client_that_vanishes_or_cancels_while_its_call_is_written_is_not_forgotten() {
    for vanishes in [true, false] {
        let mut station = station();
        let mut out = Vec::new();
        let now = station.now;
        let head = Station::head(&target("f"));
        station.switch.call(CLIENT, StreamId(5), head, vec![].into(), now, &mut out);
        let [mpreg_rpc::Output::Forward { relay, head, .. }] = &out[..] else { panic!("{out:?}") };
        let (relay, token) = (*relay, head.token);
        if vanishes {
            station.lose(CLIENT, StreamId(0));
        } else {
            station.cancel(CLIENT, 5);
        }
        station.act(|switch, out| switch.forwarded(relay, Ok(StreamId(1)), now, out));
        assert_eq!(station.cancelled, [(MEMBER, StreamId(1))]);
        let (reply, value) = error(ErrorCode::CancelledByPeer, Executed::No)(token);
        station.act(|switch, out| switch.reply(MEMBER, StreamId(1), reply, value, now, out));
        if vanishes {
            assert_eq!(station.switch.counters().late, 1);
        } else {
            assert_eq!(station.error().2, Executed::No);
        }
        station.assert_empty();
    }
}

#[test]
fn what_a_connection_does_not_take_was_not_executed() {
    for (why, code) in
        [(SendFailure::Closed, ErrorCode::ConnectionLost), (SendFailure::TooLarge, ErrorCode::TooLarge)]
    {
        let mut station = station();
        station.refusing.insert(MEMBER, why);
        station.call(CLIENT, 5, &target("f"));
        assert_eq!(station.named(), Some(node(2)));
        assert_eq!(station.error(), (StreamId(5), code, Executed::No));
        station.assert_empty();
    }
}

#[test]
fn calls_without_credit_are_sent_on_in_their_order() {
    let mut station = station();
    station.credit.insert(MEMBER, 1);
    for stream in [1, 3, 5, 7] {
        station.call(CLIENT, stream, &target("f"));
    }
    assert_eq!((station.forwarded.len(), station.workload.load().queued), (1, 3));
    station.writable(MEMBER, 1);
    station.credit.insert(MEMBER, 1);
    station.call(CLIENT, 9, &target("f"));
    station.writable(MEMBER, 100);
    for index in 0..5 {
        station.relayed_reply(index, ok);
    }
    let streams = station.replies::<5>().map(|(_, stream, ..)| stream.0);
    assert_eq!(streams, [1, 3, 5, 7, 9]);
    assert!(station.forwarded.iter().all(|sent| sent.head.forwards == 1));
    station.assert_empty();
}

#[test]
fn a_call_that_waits_for_credit_can_be_cancelled_expire_or_go_elsewhere() {
    let mut station = station();
    station.credit.insert(MEMBER, 0);
    for stream in [1, 3] {
        station.call(CLIENT, stream, &target("f"));
    }
    station.cancel(CLIENT, 1);
    assert_eq!(station.error(), (StreamId(1), ErrorCode::CancelledByPeer, Executed::No));
    station.pass_ms(1002);
    assert_eq!(station.error(), (StreamId(3), ErrorCode::DeadlineExceeded, Executed::No));
    station.assert_empty();

    station.call(CLIENT, 5, &target("f"));
    let gone = station.cluster.peer(node(2), MEMBER.0);
    gone.clear_connection(MEMBER);
    station.cluster.offers(node(3), &offer("f"));
    station.publish();
    station.lose(MEMBER, StreamId(0));
    assert_eq!((station.forwarded[0].to, station.forwarded[0].head.forwards), (OTHER_MEMBER, 1));
    station.relayed_reply(0, ok);
    station.replies::<1>();
    station.assert_empty();
}

#[test]
fn a_call_waits_for_a_candidate_and_then_hears_what_there_is() {
    let mut station = station();
    station.call(CLIENT, 1, &target("later"));
    station.call(CLIENT, 3, &target("never"));
    station.pass_ms(300);
    station.cluster.offers(node(3), &offer("later"));
    station.publish();
    assert_eq!(station.forwarded[0].to, OTHER_MEMBER);
    station.pass_ms(195);
    assert!(station.replies.is_empty());
    station.pass_ms(10);
    assert_eq!(station.named(), None, "not one node's news");
    assert_eq!(station.error(), (StreamId(3), ErrorCode::FunctionNotFound, Executed::No));
}

#[test]
fn too_many_waiting_calls_are_refused() {
    let mut station =
        Station::new(SwitchConfig::default(), WorkloadConfig { waiting: 1, ..WorkloadConfig::default() });
    station.call(CLIENT, 1, &target("never"));
    station.call(CLIENT, 3, &target("never"));
    assert_eq!(station.error(), (StreamId(3), ErrorCode::Overloaded, Executed::No));
}

#[test]
fn while_the_node_starts_calls_wait_longer() {
    let mut station = Station::usual();
    station.switch.set_starting(true);
    station.call(CLIENT, 1, &target("never"));
    station.pass_ms(900);
    assert!(station.replies.is_empty());
    station.switch.set_starting(false);
    station.pass_ms(60);
    assert_eq!(station.error().1, ErrorCode::FunctionNotFound);
}

#[test]
fn another_cluster_is_no_route_at_once() {
    let mut station = station();
    let us = WantedCluster::One(ClusterId::parse("us").unwrap());
    let abroad = mpreg_types::Selector { cluster: us, ..select("f") };
    station.call(CLIENT, 1, &Arc::new(PreparedTarget::new(Target::Select(abroad))));
    assert_eq!(station.named(), None);
    assert_eq!(station.error(), (StreamId(1), ErrorCode::NoRoute, Executed::No));
}

#[test]
fn a_call_that_was_forwarded_too_often_is_a_loop() {
    let mut station = station();
    station.call_with(CLIENT, 1, CallHead { forwards: 3, ..Station::head(&target("f")) });
    assert_eq!(station.error(), (StreamId(1), ErrorCode::RouteLoop, Executed::No));
    station.assert_empty();
}

#[test]
fn members_are_not_relayed_for_each_other() {
    let mut station = station();
    station.call(OTHER_MEMBER, 1, &target("f"));
    assert_eq!(station.error(), (StreamId(1), ErrorCode::NoRoute, Executed::No));
    station.call(OTHER_MEMBER, 3, &direct(node(2), "f"));
    assert_eq!(station.error(), (StreamId(3), ErrorCode::NoRoute, Executed::No));
    station.assert_empty();
}

#[test]
fn a_client_may_name_the_node() {
    let mut station = station();
    station.call(CLIENT, 1, &direct(node(2), "f"));
    assert_eq!(station.forwarded[0].to, MEMBER);
    let peer = station.cluster.index.peer(node(3), INCARNATION).unwrap();
    peer.clear_connection(OTHER_MEMBER);
    station.call(CLIENT, 3, &direct(node(3), "f"));
    assert_eq!(station.named(), Some(node(3)));
    assert_eq!(station.error(), (StreamId(3), ErrorCode::NoRoute, Executed::No));
}

#[test]
fn a_draining_node_still_sends_its_clients_calls_on() {
    let mut station = station();
    station.switch.drain();
    station.call(CLIENT, 1, &target("f"));
    assert_eq!(station.forwarded.len(), 1);
}

#[test]
fn a_word_that_the_call_was_sent_over_a_lost_connection_is_a_loss() {
    let mut station = station();
    let mut out = Vec::new();
    let now = station.now;
    station.switch.call(CLIENT, StreamId(5), Station::head(&target("f")), vec![].into(), now, &mut out);
    let [mpreg_rpc::Output::Forward { relay, .. }] = &out[..] else { panic!("{out:?}") };
    let relay = *relay;
    station.lose(MEMBER, StreamId(0));
    station.act(|switch, out| switch.forwarded(relay, Ok(StreamId(1)), now, out));
    assert_eq!(station.error(), (StreamId(5), ErrorCode::ConnectionLost, Executed::Unknown));
    station.assert_empty();
}

#[test]
fn an_unknown_connection_is_nobody() {
    let mut station = station();
    station.call(ConnectionId(77), 1, &target("f"));
    station.cancel(ConnectionId(77), 1);
    assert_eq!(station.switch.counters().strays, 2);
    station.assert_empty();
}

#[test]
fn calls_that_find_no_credit_together_keep_their_order() {
    let mut station = station();
    for stream in [1, 3, 5] {
        station.call(CLIENT, stream, &target("later"));
    }
    station.credit.insert(MEMBER, 0);
    station.cluster.offers(node(2), &offer("later"));
    station.publish();
    station.writable(MEMBER, 1);
    station.writable(MEMBER, 9);
    for index in 0..3 {
        station.relayed_reply(index, ok);
    }
    assert_eq!(station.replies::<3>().map(|(_, stream, ..)| stream.0), [1, 3, 5]);
    station.assert_empty();
}

#[test]
fn an_error_after_a_reported_start_was_executed() {
    let mut station = station();
    station.call(CLIENT, 5, &target("f"));
    let (token, now) = (station.forwarded[0].head.token, station.now);
    station.act(|switch, out| switch.started(MEMBER, &[token], now, out));
    station.relayed_reply(0, error(ErrorCode::CancelledByPeer, Executed::Unknown));
    assert_eq!(station.error().2, Executed::Yes);
}

#[test]
fn ended_calls_leave_nothing_behind() {
    let mut station = station();
    let slots = station.slots(None);
    station.cluster.own(&offer("here"), &slots);
    station.publish();
    let mut held = Vec::new();
    for number in 0..4_000 {
        station.call(CLIENT, 4 * number + 1, &target("f"));
        station.call(CLIENT, 4 * number + 3, &direct(node(1), "here"));
        station.relayed_reply(0, ok);
        station.finish();
        station.forwarded.clear();
        station.replies.clear();
        if number % 1_000 == 999 {
            held.push(format!("{:?}", station.switch).len());
        }
    }
    // What a sweep has not taken yet differs a little from moment to moment.
    assert!(held[3] < held[0] * 3 / 2, "{held:?}");
}
