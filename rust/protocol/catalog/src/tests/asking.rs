//! One catalog among peers that have more: what it asks for, when and of whom, and what it answers.

use mpreg_types::{MemberState, NodeId, first_of_part, last_of_part};

use super::bench::{Bench, OWNER, RELAY, batch, batch_of, id, nothing, snapshot, wants_in};
use crate::{Digest, DigestRow, Event, Input, Message, Output, Refusal, WantRow, parts};

#[test]
fn a_gap_is_not_taken_and_asked_for_after_half_a_second() {
    let mut bench = Bench::new();
    bench.take(batch(1, 1, &[(1, "a", Some("1"))]));
    bench.take(batch(3, 3, &[(3, "c", Some("1"))]));
    assert_eq!((bench.version(), bench.catalog.counters().gaps), (1, 1));
    assert_eq!(bench.wants(499), []);
    let [(peer, row)] = bench.wants(1)[..] else { panic!("one request") };
    assert_eq!((peer, row.held.version), (id(RELAY), 1));
    assert_eq!(bench.wants(1), [], "asked once");
}

#[test]
fn a_gap_that_closes_by_itself_is_not_asked_for() {
    let mut bench = Bench::new();
    bench.take(batch(1, 1, &[(1, "a", Some("1"))]));
    bench.take(batch(3, 3, &[(3, "c", Some("1"))]));
    bench.take(batch(2, 2, &[(2, "b", Some("1"))]));
    bench.take(batch(3, 3, &[(3, "c", Some("1"))]));
    assert_eq!(bench.wants(500), []);
}

#[test]
fn an_owner_of_whom_nothing_is_held_is_asked_for_at_once() {
    let mut bench = Bench::new();
    let out = bench.take(batch(3, 3, &[(3, "c", Some("1"))]));
    assert_eq!(wants_in(&out).len(), 1);
}

#[test]
fn a_request_is_answered_with_what_the_asker_lacks_and_no_more() {
    let mut bench = Bench::new();
    bench.take(snapshot(5, 0, 2, &[(1, "a", Some("1"))]));
    bench.take(snapshot(5, 1, 2, &[(5, "b", Some("1"))]));
    bench.take(batch(6, 7, &[(7, "c", Some("1"))]));
    let all = [(0, 5), (0, 5), (6, 7)];
    let held = |version, snapshot| DigestRow { version, snapshot, ..nothing(100) };
    let want = |held, gathering, part| WantRow { held, gathering, part };
    assert_eq!(bench.served(want(nothing(100), 0, 0)), all);
    assert_eq!(bench.served(want(nothing(99), 0, 0)), all, "an earlier start is held");
    assert_eq!(bench.served(want(nothing(101), 0, 0)), [], "a later start is not here");
    assert_eq!(bench.served(want(nothing(100), 5, 1)), all[1..], "a part is here already");
    assert_eq!(bench.served(want(nothing(100), 4, 1)), all, "a part of another snapshot is no use");
    assert_eq!(bench.served(want(held(4, 2), 0, 0)), all, "what it lacks is in the snapshot only");
    assert_eq!(bench.served(want(held(7, 2), 0, 0)), all[..2], "it lacks the snapshot");
    assert_eq!(bench.served(want(held(5, 5), 0, 0)), all[2..]);
    assert_eq!(bench.served(want(held(7, 5), 0, 0)), []);
    bench.member(OWNER, 100, MemberState::Down);
    assert_eq!(bench.served(want(nothing(100), 0, 0)), [], "what is hidden is not passed on");
}

#[test]
fn only_the_missing_parts_of_a_snapshot_are_asked_for() {
    let mut bench = Bench::new();
    bench.take(batch(1, 1, &[(1, "a", Some("1"))]));
    bench.take(snapshot(9, 0, 3, &[(1, "a", Some("1"))]));
    bench.take(batch(10, 10, &[(10, "z", Some("1"))]));
    let [(_, row)] = bench.wants(500)[..] else { panic!("one request") };
    assert_eq!((row.gathering, row.part), (9, 1));
}

fn digest(rows: Vec<DigestRow>) -> Message {
    let (first, last) = (NodeId::from_bytes([0; 16]), NodeId::from_bytes([0xff; 16]));
    Message::Digest(Digest { first, last, rows, answer: true })
}

#[test]
fn a_snapshot_that_was_lost_is_asked_for_though_nothing_else_is_missing() {
    let mut bench = Bench::new();
    bench.take(batch(1, 2, &[(2, "a", Some("1"))]));
    let row = DigestRow { version: 2, snapshot: 2, ..nothing(100) };
    bench.run(Input::Message { from: id(RELAY), message: digest(vec![row]) });
    let [(_, want)] = bench.wants(500)[..] else { panic!("one request") };
    assert_eq!((want.held.version, want.held.snapshot), (2, 0));
}

#[test]
fn a_boast_of_one_peer_keeps_no_other_from_being_asked() {
    let mut bench = Bench::new();
    let row = |version| DigestRow { version, ..nothing(100) };
    let out = bench.run(Input::Message { from: id(RELAY), message: digest(vec![row(u64::MAX)]) });
    assert_eq!(wants_in(&out)[0].0, id(RELAY));
    let out = bench.run(Input::Message { from: id(OWNER), message: digest(vec![row(3)]) });
    assert_eq!(wants_in(&out), [], "asked already");
    let out = bench.run(Input::Message { from: id(RELAY), message: Message::Served { more: false } });
    assert_eq!(wants_in(&out)[0].0, id(OWNER));
    let out = bench.run(Input::Message { from: id(OWNER), message: Message::Served { more: false } });
    assert_eq!(wants_in(&out), [], "nobody is left");
    assert_eq!(bench.catalog.counters().wants_abandoned, 1);
}

#[test]
fn a_peer_that_promises_more_but_brings_nothing_is_not_asked_again() {
    let mut bench = Bench::new();
    let row = DigestRow { version: 3, ..nothing(100) };
    bench.run(Input::Message { from: id(RELAY), message: digest(vec![row]) });
    let out = bench.run(Input::Message { from: id(RELAY), message: Message::Served { more: true } });
    assert_eq!(wants_in(&out), []);
}

#[test]
fn a_long_digest_is_told_in_ranges_that_each_stand_alone() {
    let filled = || {
        let mut bench = Bench::new();
        for owner in 10..10 + 2 * Digest::ROWS_MAX as u64 {
            bench.member(owner, 100, MemberState::Alive);
            bench.take(batch_of(owner, 1, 100, 1, &[(1, "a", Some("1"))]));
        }
        bench
    };
    let (mut bench, mut same) = (filled(), filled());
    same.take(batch(1, 1, &[(1, "a", Some("1"))]));
    // Every part differs from what nobody has.
    let nothing_alike = vec![1; parts::roots(&[]).len()];
    let out = bench.run(Input::Message { from: id(RELAY), message: Message::Parts(nothing_alike) });
    let digests = out.into_iter().filter_map(|output| match output {
        Output::Send { message: Message::Digest(digest), .. } => Some(digest),
        _ => None,
    });
    let digests: Vec<Digest> = digests.collect();
    let bounds = |at: usize| u128::from_be_bytes(*digests[at].last.as_bytes()) + 1;
    assert_eq!(digests.len(), 2);
    assert_eq!(bounds(0), u128::from_be_bytes(*digests[1].first.as_bytes()));
    let mut answers = Vec::new();
    for digest in digests {
        let out = same.run(Input::Message { from: id(RELAY), message: Message::Digest(digest) });
        answers.extend(out.into_iter().filter(|output| matches!(output, Output::Send { .. })));
    }
    let [Output::Send { message: Message::Digest(answer), .. }] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!(answer.rows.iter().map(|row| row.owner).collect::<Vec<_>>(), [id(OWNER)]);
}

#[test]
fn of_large_catalogs_only_the_parts_that_differ_are_told() {
    let filled = || {
        let mut bench = Bench::new();
        for owner in 10..10 + Digest::ROWS_MAX as u64 {
            bench.member(owner, 100, MemberState::Alive);
            bench.take(batch_of(owner, 1, 100, 1, &[(1, "a", Some("1"))]));
        }
        bench
    };
    let (mut bench, mut same) = (filled(), filled());
    let from = id(RELAY);
    let root = bench.catalog.root();
    assert_eq!(same.run(Input::Message { from, message: Message::Root(root) }), [], "equal: silence");
    let mut parts = parts::roots(&bench.catalog.digest_rows());
    assert_eq!(same.run(Input::Message { from, message: Message::Parts(parts.clone()) }), []);
    parts[8 * 0x70] ^= 1;
    let out = bench.run(Input::Message { from, message: Message::Parts(parts) });
    let [Output::Send { message: Message::Digest(digest), .. }] = &out[..] else { panic!("{out:?}") };
    assert_eq!((digest.first, digest.last), (first_of_part(0x70), last_of_part(0x70)));
    let mut rows = bench.catalog.digest_rows();
    rows.retain(|row| row.owner.as_bytes()[0] == 0x70);
    assert_eq!((&digest.rows, digest.answer), (&rows, false));
    let out = bench.run(Input::Message { from, message: Message::Parts(vec![0; 7]) });
    assert!(
        matches!(out[..], [Output::Event(Event::Refused { refusal: Refusal::TooManyRows, .. })]),
        "{out:?}"
    );
}
