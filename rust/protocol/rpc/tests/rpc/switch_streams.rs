//! Streams at the node that makes them, and at the entry node between.

use mpreg_routing::Offer;
use mpreg_rpc::{Pass, bridge_of};
use mpreg_types::{
    CallHead, ConnectionId, ErrorCode, Executed, ItemHead, ReplyHead, STREAM_WINDOW, StreamId, item_cost,
};

use crate::cluster::{direct, node, offer, target};
use crate::station::{CLIENT, MEMBER, OTHER_CLIENT, Station};

fn ask(
    station: &mut Station,
    from: ConnectionId,
    stream: u64,
    wanted: &std::sync::Arc<mpreg_types::PreparedTarget>,
) {
    let head = CallHead { token: stream, stream: true, ..Station::head(wanted) };
    station.call_with(from, stream, head);
}

/// Node 1 runs "tail", a stream, and has been asked for it by a member on stream 7.
fn callee(timeout: Option<std::time::Duration>) -> Station {
    let mut station = Station::usual();
    let slots = station.slots(None);
    station.cluster.own(&Offer { streaming: true, timeout, ..offer("tail") }, &slots);
    station.publish();
    ask(&mut station, MEMBER, 7, &direct(node(1), "tail"));
    station
}

/// Node 1 has sent a client's request for "tail", a stream of node 2, on.
fn entry() -> Station {
    let mut station = Station::usual();
    station.cluster.offers(node(2), &Offer { streaming: true, ..offer("tail") });
    station.publish();
    ask(&mut station, CLIENT, 5, &target("tail"));
    station
}

fn relayed_item(station: &mut Station, value_bytes: u64) {
    let (to, stream, token) = (MEMBER, station.forwarded[0].stream, station.forwarded[0].head.token);
    let head = ItemHead { token, value_bytes };
    station.act(|switch, out| switch.item(to, stream, head, vec![0xc0].into(), out));
}

fn credit(station: &mut Station, from: ConnectionId, stream: u64, bytes: u64) {
    station.act(|switch, out| switch.credit(from, StreamId(stream), bytes, out));
}

#[test]
fn items_pass_the_gate_of_their_call_and_credit_resumes_it() {
    let mut station = callee(None);
    assert!(station.invoked[0].claim.begin());
    let gate = station.invoked[0].gate.clone().unwrap();
    assert_eq!((gate.pass(STREAM_WINDOW), gate.pass(100)), (Pass::Passed, Pass::Wait));
    credit(&mut station, MEMBER, 7, 60);
    assert!(station.resumed.is_empty());
    credit(&mut station, MEMBER, 7, 60);
    assert_eq!((station.resumed.as_slice(), gate.pass(100)), (&[StreamId(7)][..], Pass::Passed));
    assert!(station.breaches.is_empty());
}

#[test]
fn credit_for_what_was_not_sent_closes_the_connection() {
    let mut station = callee(None);
    credit(&mut station, MEMBER, 7, 1);
    assert_eq!(station.breaches, [(MEMBER, StreamId(7))]);
    credit(&mut station, MEMBER, 9, 1);
    assert_eq!(station.switch.counters().late_items, 1);
    assert_eq!(station.switch.counters().overdrawn, 1);
}

#[test]
fn a_stream_that_flows_outlives_its_deadline_but_not_its_timeout() {
    for (timeout, lives) in [(None, true), (Some(std::time::Duration::from_secs(3)), false)] {
        let mut station = callee(timeout);
        assert!(station.invoked[0].claim.begin());
        let gate = station.invoked[0].gate.clone().unwrap();
        assert_eq!(gate.pass(1), Pass::Passed);
        station.pass_ms(2500);
        assert!(station.replies.is_empty());
        station.pass_ms(60_000);
        assert_eq!(station.replies.is_empty(), lives);
        assert_eq!(gate.is_closed(), !lives);
        if !lives {
            assert_eq!(station.error(), (StreamId(7), ErrorCode::DeadlineExceeded, Executed::Yes));
        }
    }
}

#[test]
fn a_deadline_before_the_first_item_a_cancellation_and_a_lost_reader_close_the_gate() {
    for end in [
        |s: &mut Station| s.pass_ms(1100),
        |s: &mut Station| s.cancel(MEMBER, 7),
        |s: &mut Station| {
            s.lose(MEMBER, StreamId(u64::MAX));
        },
    ] {
        let mut station = callee(None);
        let gate = station.invoked[0].gate.clone().unwrap();
        end(&mut station);
        assert_eq!((gate.pass(1), station.cancelled_local.as_slice()), (Pass::Closed, &[StreamId(7)][..]));
    }
}

#[test]
fn an_entry_node_passes_items_one_way_and_credit_the_other() {
    let mut station = entry();
    let sent = station.forwarded[0].stream;
    assert!(station.forwarded[0].head.stream && bridge_of(station.forwarded[0].head.token) == 0);
    relayed_item(&mut station, 84);
    assert_eq!(station.items, [(CLIENT, StreamId(5), ItemHead { token: 5, value_bytes: 84 })]);
    credit(&mut station, CLIENT, 5, 100);
    assert_eq!(station.item_credit, [(MEMBER, sent, 100)]);
    station.pass_ms(3_600_000);
    assert!(station.replies.is_empty() && station.cancelled.is_empty());
    station.relayed_reply(0, |token| (ReplyHead::ok(token, 1), vec![0xc0].into()));
    let [(to, stream, head, _)] = station.replies();
    assert_eq!((to, stream, head.ok), (CLIENT, StreamId(5), true));
    relayed_item(&mut station, 84);
    assert_eq!((station.items.len(), station.switch.counters().late_items), (1, 1));
    station.assert_empty();
}

#[test]
fn an_entry_node_lets_neither_side_break_the_window() {
    let mut station = entry();
    credit(&mut station, CLIENT, 5, 1);
    assert_eq!(station.breaches, [(CLIENT, StreamId(5))]);
    let mut station = entry();
    for _ in 0..3 {
        relayed_item(&mut station, 1 << 30);
    }
    let sent = station.forwarded[0].stream;
    assert_eq!((station.breaches.as_slice(), station.items.len()), (&[(MEMBER, sent)][..], 2));
    credit(&mut station, CLIENT, 5, 2 * item_cost(1 << 30));
    credit(&mut station, CLIENT, 5, 1);
    assert_eq!((station.item_credit.len(), station.breaches.len()), (1, 2));
}

#[test]
fn items_of_strangers_and_of_cancelled_streams_are_dropped() {
    let mut station = entry();
    credit(&mut station, OTHER_CLIENT, 5, 1);
    let (stream, token) = (station.forwarded[0].stream, station.forwarded[0].head.token);
    for (on, token) in [(OTHER_CLIENT, token), (MEMBER, token + 1)] {
        let head = ItemHead { token, value_bytes: 1 };
        station.act(|switch, out| switch.item(on, stream, head, vec![0xc0].into(), out));
    }
    station.cancel(CLIENT, 5);
    relayed_item(&mut station, 1);
    assert_eq!((station.items.len(), station.switch.counters().late_items), (0, 4));
}

#[test]
fn a_lost_callee_ends_the_stream_with_what_is_known() {
    let mut station = entry();
    relayed_item(&mut station, 1);
    station.lose(MEMBER, StreamId(u64::MAX));
    assert_eq!(station.error(), (StreamId(5), ErrorCode::ConnectionLost, Executed::Yes));
}
