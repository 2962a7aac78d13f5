//! What a call costs, in nanoseconds; never asserted, because machines differ.
//! `cargo test --release -p mpreg-rpc --test rpc -- --ignored --nocapture timing`

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "it measures time")]
#![expect(clippy::disallowed_macros, clippy::print_stderr, reason = "its result is for people")]

use std::hint::black_box;
use std::time::Instant;

use mpreg_rpc::{Output, Route};
use mpreg_types::{ReplyHead, StreamId};

use crate::cluster::{direct, node, offer, target};
use crate::port::Bench;
use crate::station::{CLIENT, MEMBER, Station};

const CALLS: u32 = 1_000_000;
const IN_FLIGHT: usize = 64;

fn report(what: &str, begun: Instant) {
    eprintln!("{what}: {} ns", begun.elapsed().as_nanos() / u128::from(CALLS));
}

/// Rounds of `IN_FLIGHT` calls begun and then answered.
fn rounds(mut round: impl FnMut()) {
    for _ in 0..CALLS as usize / IN_FLIGHT {
        round();
    }
}

#[test]
#[ignore = "a measurement"]
fn of_a_table() {
    for (what, route) in [("begin + reply, mesh", Route::Mesh), ("begin + reply, client", Route::Entry)] {
        let mut bench = Bench::new(node(1));
        bench.port.entry = Some(mpreg_types::ConnectionId(9));
        for number in [2, 3, 4] {
            bench.cluster.peer(node(number), number.into());
            bench.cluster.offers(node(number), &offer("f"));
        }
        bench.publish();
        let target = target("f");
        let begun = Instant::now();
        rounds(|| {
            for _ in 0..IN_FLIGHT {
                black_box(bench.begin(route.clone(), target.clone(), 2, false));
            }
            for index in 0..IN_FLIGHT {
                bench.succeed(index);
            }
            assert_eq!(bench.done.len(), IN_FLIGHT);
            bench.done.clear();
            bench.port.sent.clear();
        });
        report(what, begun);
    }
}

#[test]
#[ignore = "a measurement"]
fn of_a_switch() {
    let mut station = Station::usual();
    let slots = station.slots(None);
    station.cluster.own(&offer("f"), &slots);
    station.publish();
    let head = Station::head(&direct(node(1), "f"));
    let (mut out, mut stream, now) = (Vec::new(), 0, station.now);
    let begun = Instant::now();
    rounds(|| {
        for _ in 0..IN_FLIGHT {
            stream += 2;
            let value = bytes::Bytes::from_static(b"\xc0");
            station.switch.call(MEMBER, StreamId(stream), head.clone(), value.into(), now, &mut out);
        }
        let invoked = std::mem::take(&mut out);
        for output in invoked {
            let Output::Invoke(call) = output else { panic!("{output:?}") };
            assert!(call.claim.begin() && call.claim.answer());
            drop(call.running);
            station.switch.finished(call.key, now, &mut out);
        }
    });
    report("call + finished, own function", begun);
}

#[test]
#[ignore = "a measurement"]
fn of_a_relay() {
    let mut station = Station::usual();
    station.cluster.offers(node(2), &offer("f"));
    station.publish();
    let head = Station::head(&target("f"));
    let (mut out, mut stream, now) = (Vec::new(), 0, station.now);
    let begun = Instant::now();
    rounds(|| {
        let mut sent = Vec::with_capacity(IN_FLIGHT);
        for _ in 0..IN_FLIGHT {
            stream += 2;
            let value = bytes::Bytes::from_static(b"\xc0");
            station.switch.call(CLIENT, StreamId(stream), head.clone(), value.into(), now, &mut out);
            let Some(Output::Forward { relay, head, .. }) = out.pop() else { panic!("{out:?}") };
            station.switch.forwarded(relay, Ok(StreamId(stream)), now, &mut out);
            sent.push((StreamId(stream), head.token));
        }
        for (stream, token) in sent {
            let value = bytes::Bytes::from_static(b"\xc0");
            station.switch.reply(MEMBER, stream, ReplyHead::ok(token, 1), value.into(), now, &mut out);
        }
        assert_eq!(out.len(), IN_FLIGHT);
        out.clear();
    });
    report("call + forwarded + reply, relayed", begun);
}
