//! Calls that worker processes of the node run.

use std::collections::BTreeSet;
use std::sync::Arc;

use mpreg_rpc::{Peer, SendFailure, WorkerOffer, decode_error};
use mpreg_types::{
    CallExtras, CallHead, ConnectionId, ErrorCode, Executed, Load, Payload, PreparedTarget, ReplyExtras,
    ReplyHead, Scope, Selector, StreamId, Target,
};

use crate::cluster::{direct, node, offer, select, target};
use crate::station::{CLIENT, MEMBER, Station};

const FIRST: ConnectionId = ConnectionId(201);
const SECOND: ConnectionId = ConnectionId(202);
const ALL_SENT: StreamId = StreamId(u64::MAX);

/// How a worker is addressed.
fn at_worker(number: u8, text: &str) -> Arc<PreparedTarget> {
    direct(node(200 + number), text)
}

fn join(station: &mut Station, on: ConnectionId, number: u8, function: u64) {
    station.switch.connected(on, Peer::Worker);
    let target = at_worker(number, "f");
    let number = number.into();
    station.switch.worker_offers(on, WorkerOffer { number, function, idempotent: true, target });
}

/// Node 1, two of whose workers offer "f".
fn station(concurrency: Option<u32>) -> (Station, u64) {
    let mut station = Station::usual();
    let slots = station.slots(concurrency);
    let function = station.cluster.own(&offer("f"), &slots);
    station.publish();
    join(&mut station, FIRST, 1, function);
    join(&mut station, SECOND, 2, function);
    (station, function)
}

fn ok(token: u64) -> (ReplyHead, Payload) {
    (ReplyHead::ok(token, 1), vec![0xc0].into())
}

fn sticky(value: u64) -> Arc<PreparedTarget> {
    Arc::new(PreparedTarget::new(Target::Select(Selector { sticky: Some(value), ..select("f") })))
}

fn receivers(station: &Station) -> Vec<ConnectionId> {
    station.forwarded.iter().map(|sent| sent.to).collect()
}

#[test]
fn a_call_goes_to_the_worker_with_the_fewest_running() {
    let (mut station, _) = station(None);
    for number in 0..4 {
        station.call(CLIENT, 2 * number + 1, &target("f"));
    }
    assert_eq!(receivers(&station).iter().filter(|to| **to == FIRST).count(), 2);
    let busy = station.forwarded[0].to;
    for index in 0..4 {
        if station.forwarded[index].to != busy {
            station.relayed_reply(index, ok);
        }
    }
    station.call(CLIENT, 9, &target("f"));
    station.call(MEMBER, 2, &direct(node(1), "f"));
    assert!(receivers(&station)[4..].iter().all(|to| *to != busy));
    assert!(station.invoked.is_empty(), "the parent runs nothing");
}

#[test]
fn equal_workers_are_chosen_by_chance() {
    let (mut station, _) = station(None);
    for number in 0..32 {
        station.call(CLIENT, 2 * number + 1, &target("f"));
        station.relayed_reply(station.forwarded.len() - 1, ok);
    }
    assert_eq!(BTreeSet::from_iter(receivers(&station)), BTreeSet::from([FIRST, SECOND]));
}

#[test]
fn the_worker_gets_its_own_target_and_the_name_of_the_caller() {
    let (mut station, _) = station(None);
    station.call(CLIENT, 1, &target("f"));
    station.call(MEMBER, 2, &direct(node(1), "f"));
    let label = station.cluster.publish().label(node(2)).cloned().unwrap();
    for (sent, caller) in
        station.forwarded.iter().zip(["client-50", label.split_once('/').map_or("", |p| p.1)])
    {
        let number = if sent.to == FIRST { 1 } else { 2 };
        assert_eq!(sent.head.target, at_worker(number, "f"));
        let named = sent.head.extras.as_ref().and_then(|extras| extras.client.as_deref());
        assert_eq!(named.unwrap_or_default(), caller);
    }
}

#[test]
fn sticky_calls_go_to_one_worker_also_when_a_member_chose_this_node() {
    let (mut station, function) = station(None);
    for value in 0..40 {
        station.call(CLIENT, 4 * value + 1, &sticky(value));
        let extras = CallExtras { sticky: Some(value), ..CallExtras::default() };
        let head = Station::head(&direct(node(1), "f"));
        station.call_with(MEMBER, 4 * value + 2, CallHead { extras: Some(Box::new(extras)), ..head });
    }
    let before = receivers(&station);
    assert!(before.chunks(2).all(|pair| pair[0] == pair[1]), "{before:?}");
    assert_eq!(BTreeSet::from_iter(before.clone()), BTreeSet::from([FIRST, SECOND]));
    // Another process takes over for the second worker: the keys stay where they were.
    station.lose(SECOND, ALL_SENT);
    station.replies.clear();
    let third = ConnectionId(203);
    join(&mut station, third, 2, function);
    for value in 0..40 {
        station.call(CLIENT, 1000 + 2 * value + 1, &sticky(value));
    }
    let after = receivers(&station).split_off(before.len());
    let expected = before.chunks(2).map(|pair| if pair[0] == SECOND { third } else { FIRST });
    assert_eq!(after, expected.collect::<Vec<_>>());
}

#[test]
fn a_call_chosen_for_another_node_carries_its_sticky_value() {
    let mut station = Station::usual();
    station.cluster.offers(node(2), &offer("f"));
    station.publish();
    station.call(CLIENT, 1, &sticky(5));
    assert_eq!(station.forwarded[0].head.extras.as_ref().unwrap().sticky, Some(5));
}

#[test]
fn the_limits_of_a_function_hold_for_all_workers_together() {
    let (mut station, _) = station(Some(2));
    for number in 0..3 {
        station.call(CLIENT, 2 * number + 1, &target("f"));
    }
    assert_eq!((station.forwarded.len(), station.workload.load()), (2, Load { in_flight: 2, queued: 1 }));
    station.relayed_reply(0, |token| {
        (
            ReplyHead { load: Some(Load { in_flight: 77, queued: 0 }), ..ReplyHead::ok(token, 1) },
            vec![0xc0].into(),
        )
    });
    assert_eq!(receivers(&station)[2], receivers(&station)[0], "the one that has a free place");
    let [(_, _, head, _)] = station.replies();
    assert_eq!(head.load, Some(Load { in_flight: 1, queued: 1 }), "the node's load, not the worker's");
    station.relayed_reply(1, ok);
    station.relayed_reply(2, ok);
    station.replies.clear();
    station.assert_empty();
}

#[test]
fn a_worker_that_ends_is_told_with_what_is_known() {
    for (unsent, started, executed) in
        [(true, false, Executed::No), (false, false, Executed::Unknown), (false, true, Executed::Yes)]
    {
        let (mut station, function) = station(None);
        station.switch.worker_withdraws(SECOND, function);
        station.call(MEMBER, 2, &direct(node(1), "f"));
        let (stream, token) = (station.forwarded[0].stream, station.forwarded[0].head.token);
        let now = station.now;
        if started {
            station.act(|switch, out| switch.started(FIRST, &[token], now, out));
            assert_eq!(station.started, [(MEMBER, vec![2])]);
        }
        station.lose(FIRST, if unsent { stream } else { ALL_SENT });
        let [(_, _, head, value)] = station.replies();
        let extras = head.extras.unwrap();
        assert_eq!((extras.node, extras.idempotent, head.executed), (Some(node(1)), true, executed));
        let error = decode_error(&value);
        assert_eq!(error.code, ErrorCode::ConnectionLost);
        assert!(error.message.as_str().contains("worker process"), "{error:?}");
        station.assert_empty();
    }
}

#[test]
fn what_a_gone_worker_did_not_take_goes_to_another_one() {
    let (mut station, _) = station(None);
    station.refusing.insert(FIRST, SendFailure::Closed);
    for number in 0..4 {
        station.call(CLIENT, 2 * number + 1, &target("f"));
    }
    assert_eq!(receivers(&station), [SECOND; 4]);
    station.refusing.insert(SECOND, SendFailure::Closed);
    station.call(CLIENT, 9, &target("f"));
    // As for a function that was removed: the parent has it no more.
    assert_eq!(station.invoked.len(), 1);
}

#[test]
fn an_error_names_the_node_and_not_the_worker() {
    let (mut station, _) = station(None);
    station.call(CLIENT, 1, &target("f"));
    station.relayed_reply(0, |token| {
        let extras = ReplyExtras { node: Some(node(201)), ..ReplyExtras::default() };
        let head = ReplyHead { extras: Some(Box::new(extras)), ..ReplyHead::error(token, Executed::Yes, 0) };
        (head, vec![].into())
    });
    assert_eq!(station.named(), Some(node(1)));
}

#[test]
fn the_end_of_a_drain_ends_what_workers_run() {
    let (mut station, _) = station(None);
    for (stream, executed) in [(1, Executed::Yes), (3, Executed::Unknown)] {
        station.call(CLIENT, stream, &target("f"));
        let sent = station.forwarded.last().unwrap();
        let (to, token, now) = (sent.to, sent.head.token, station.now);
        if executed == Executed::Yes {
            station.act(|switch, out| switch.started(to, &[token], now, out));
        }
    }
    station.switch.drain();
    let now = station.now;
    station.act(|switch, out| switch.end_drain(now, out));
    assert_eq!(station.cancelled.len(), 2);
    let [(_, _, first, _), (_, _, second, value)] = station.replies();
    assert_eq!((first.executed, second.executed), (Executed::Yes, Executed::Unknown));
    assert!(decode_error(&value).message.as_str().contains("drain_timeout"));
    station.assert_empty();
}

#[test]
fn a_worker_calls_in_the_name_of_its_node() {
    let (mut station, _) = station(None);
    station.cluster.offers(node(2), &offer("there"));
    let slots = station.slots(None);
    station.cluster.own(&mpreg_routing::Offer { scope: Scope::Local, ..offer("inside") }, &slots);
    station.publish();
    let extras = CallExtras { client: Some("somebody".to_owned()), ..CallExtras::default() };
    let head = CallHead { extras: Some(Box::new(extras)), ..Station::head(&target("there")) };
    station.call_with(FIRST, 1, head);
    let sent = &station.forwarded[0];
    assert_eq!((sent.to, sent.head.extras.as_ref().unwrap().client.as_deref()), (MEMBER, None));
    station.call(FIRST, 3, &target("inside"));
    assert_eq!(station.invoked.len(), 1, "functions of local scope are its own");
    station.call(FIRST, 5, &target("f"));
    assert_eq!(station.forwarded.len(), 2, "its own node's function, which a worker runs");
}

#[test]
fn an_offer_of_one_who_is_gone_counts_for_nothing() {
    let (mut station, function) = station(None);
    for on in [FIRST, SECOND] {
        station.lose(on, ALL_SENT);
    }
    let offer = WorkerOffer { number: 1, function, idempotent: false, target: at_worker(1, "f") };
    station.switch.worker_offers(FIRST, offer);
    station.call(CLIENT, 1, &target("f"));
    assert!(station.forwarded.is_empty() && station.invoked.len() == 1);
}
