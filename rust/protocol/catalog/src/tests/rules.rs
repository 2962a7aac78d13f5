//! One catalog and hand-made batches: each rule of taking and refusing.

use bytes::Bytes;
use mpreg_types::{Incarnation, MemberState, Scope, Signed, Signer, Verified};

use super::bench::{Bench, OWNER, RELAY, RowSpec, batch, batch_of, id, nothing, rows, snapshot, writer};
use super::function;
use super::signing::{TestSigner, verify};
use crate::batch::{ROWS_BYTES_MAX, Row, Span};
use crate::{
    Digest, DigestRow, EntryKey, EntryKind, EntryValue, Event, Input, Message, OpaqueEntry, Output, Refusal,
    Timer, WantRow,
};

#[test]
fn batches_in_order_are_taken_and_twice_changes_nothing() {
    let mut bench = Bench::new();
    for _ in 0..2 {
        bench.take(batch(1, 2, &[(1, "a", Some("1")), (2, "b", Some("1"))]));
        bench.take(batch(3, 4, &[(3, "a", None), (4, "b", Some("2"))]));
        assert_eq!(bench.names(), ["b=2"]);
        assert_eq!(bench.version(), 4);
    }
    assert_eq!(bench.catalog.counters().batches_known, 2);
    assert_eq!(bench.catalog.counters().batches_applied, 2);
}

#[test]
fn an_overlapping_batch_brings_only_what_is_new() {
    let mut bench = Bench::new();
    bench.take(batch(1, 3, &[(1, "a", Some("1")), (2, "b", Some("1")), (3, "a", None)].as_slice()[1..]));
    let out = bench.take(batch(2, 5, &[(2, "b", Some("1")), (4, "c", Some("1"))]));
    assert_eq!(bench.names(), ["b=1", "c=1"]);
    assert_eq!(out.iter().filter(|output| matches!(output, Output::Event(Event::Put { .. }))).count(), 1);
}

#[test]
fn a_snapshot_replaces_the_whole_state_when_all_its_parts_are_here() {
    let mut bench = Bench::new();
    bench.take(batch(1, 3, &[(1, "a", Some("1")), (2, "b", Some("1")), (3, "c", Some("1"))]));
    bench.take(snapshot(9, 1, 2, &[(9, "d", Some("1"))]));
    assert_eq!(bench.version(), 3);
    bench.take(snapshot(9, 0, 2, &[(2, "b", Some("1"))]));
    assert_eq!((bench.version(), bench.names()), (9, vec!["b=1".into(), "d=1".into()]));
    bench.take(batch(10, 10, &[(10, "b", None)]));
    assert_eq!(bench.names(), ["d=1"]);
}

#[test]
fn an_older_snapshot_leaves_the_state_and_drops_the_batches_it_covers() {
    let mut bench = Bench::new();
    bench.take(batch(1, 2, &[(1, "a", Some("1")), (2, "b", Some("1"))]));
    bench.take(batch(3, 3, &[(3, "a", None)]));
    bench.take(snapshot(2, 0, 1, &[(1, "a", Some("1")), (2, "b", Some("1"))]));
    assert_eq!((bench.version(), bench.names()), (3, vec!["b=1".into()]));
    let sent = bench.served(WantRow { held: nothing(100), gathering: 0, part: 0 });
    assert_eq!(sent, [(0, 2), (3, 3)]);
}

#[test]
fn an_older_snapshot_that_comes_late_changes_nothing() {
    let mut bench = Bench::new();
    bench.take(snapshot(9, 0, 1, &[(9, "d", Some("1"))]));
    bench.take(snapshot(5, 0, 1, &[(2, "b", Some("1"))]));
    assert_eq!(bench.names(), ["d=1"]);
    assert_eq!(bench.catalog.counters().batches_known, 1);
}

fn with_body(batch: &Verified<Signed>, change: impl FnOnce(&mut Vec<u8>)) -> Verified<Signed> {
    let mut body = batch.body.to_vec();
    change(&mut body);
    let signer: std::sync::Arc<dyn Signer> = TestSigner::new(OWNER);
    verify(Signed::new(&*signer, body.into()))
}

#[test]
fn a_bad_body_is_refused_with_its_reason_and_changes_nothing() {
    let good = batch(1, 1, &[(1, "a", Some("1"))]);
    let foreign =
        writer(OWNER, 100, "other").write(Span::changes(1, 1), &rows(&[(1, "a", Some("1"))])).signed;
    let signer = TestSigner::new(9);
    let stolen = Signed::new(&*signer, good.body.clone());
    let versions = rows(&[(5, "a", Some("1"))]);
    let oversize = with_body(&good, |body| body.resize(80_000, 0));
    let cases = [
        (oversize, Refusal::Oversize),
        (with_body(&good, |body| body[0] ^= 1), Refusal::WrongTag),
        (with_body(&good, |body| body.truncate(5)), Refusal::WrongTag),
        (with_body(&good, |body| body.truncate(40)), Refusal::Malformed),
        (verify(foreign), Refusal::WrongCluster),
        (verify(stolen), Refusal::WrongKey),
        (snapshot_with_tombstone(), Refusal::BadVersions),
        (duplicate_key(), Refusal::BadVersions),
        (unchecked(Span::changes(1, 4), &versions), Refusal::BadVersions),
        (unchecked(Span::changes(6, 7), &versions), Refusal::BadVersions),
    ];
    for (batch, expected) in cases {
        let mut bench = Bench::new();
        bench.take(good.clone());
        assert_eq!(bench.refusal(batch), Some(expected));
        assert_eq!(bench.catalog.counters().refused().collect::<Vec<_>>(), [(expected.name(), 1)]);
    }
}

/// Encodes rows that `BatchWriter` would not write.
fn unchecked(span: Span, rows: &[Row]) -> Verified<Signed> {
    use serde_bytes::Bytes as Raw;
    let rows: Vec<_> = rows
        .iter()
        .map(|row| (row.version, Raw::new(&row.key), row.value.as_deref().map(Raw::new)))
        .collect();
    let body = ("test", id(OWNER), Incarnation(100), span.from, span.to, span.part, span.parts, rows);
    let mut bytes = b"mpreg/catalog/1\0".to_vec();
    rmp_serde::encode::write(&mut bytes, &body).unwrap();
    verify(Signed::new(&*TestSigner::new(OWNER), Bytes::from(bytes)))
}

fn snapshot_with_tombstone() -> Verified<Signed> {
    unchecked(Span { from: 0, to: 9, part: 0, parts: 1 }, &rows(&[(5, "a", None)]))
}

fn duplicate_key() -> Verified<Signed> {
    unchecked(Span::changes(2, 3), &rows(&[(2, "a", Some("1")), (3, "a", Some("2"))]))
}

#[test]
fn spans_that_contradict_themselves_are_refused() {
    for (from, to, part, parts) in
        [(0, 0, 0, 1), (3, 2, 0, 1), (1, 1, 0, 2), (0, 1, 2, 2), (0, 1, 0, 0), (0, 1, 0, 5000)]
    {
        let batch = unchecked(Span { from, to, part, parts }, &[]);
        assert_eq!(Bench::new().refusal(batch), Some(Refusal::BadVersions), "{from} {to} {part} {parts}");
    }
}

#[test]
fn parts_of_one_snapshot_that_disagree_are_refused() {
    let mut bench = Bench::new();
    bench.take(snapshot(9, 0, 3, &[]));
    assert_eq!(bench.refusal(snapshot(9, 1, 2, &[])), Some(Refusal::BadVersions));
}

#[test]
fn an_earlier_start_is_refused_and_a_later_one_drops_it() {
    let mut bench = Bench::new();
    bench.take(batch(1, 1, &[(1, "a", Some("1"))]));
    let stale = batch_of(OWNER, 1, 99, 1, &[(1, "old", Some("1"))]);
    assert_eq!(bench.refusal(stale), Some(Refusal::StaleIncarnation { newest: Incarnation(100) }));
    let out = bench.take(batch_of(OWNER, 1, 101, 1, &[(1, "new", Some("1"))]));
    assert!(matches!(out[0], Output::Event(Event::OwnerDropped { incarnation: Incarnation(100), .. })));
    assert_eq!(bench.names(), ["new=1"]);
    assert_eq!(bench.member(OWNER, 100, MemberState::Suspect), [], "news of the former start");
    let stale = batch(2, 2, &[(2, "a", Some("2"))]);
    assert_eq!(bench.refusal(stale), Some(Refusal::StaleIncarnation { newest: Incarnation(101) }));
}

#[test]
fn membership_knowing_a_later_start_refuses_the_earlier_one() {
    let mut bench = Bench::new();
    bench.take(batch(1, 1, &[(1, "a", Some("1"))]));
    let out = bench.member(OWNER, 101, MemberState::Alive);
    assert!(matches!(out[0], Output::Event(Event::OwnerDropped { .. })));
    let newest = Incarnation(101);
    assert_eq!(
        bench.refusal(batch(1, 1, &[(1, "a", Some("1"))])),
        Some(Refusal::StaleIncarnation { newest })
    );
    assert_eq!(bench.member(OWNER, 100, MemberState::Alive), [], "old news of membership");
    assert_eq!(bench.names(), [""; 0]);
}

#[test]
fn our_own_log_coming_back_is_known_and_what_we_never_signed_is_a_loud_refusal() {
    let mut bench = Bench::new();
    bench.run(Input::Put { value: function("mine", "1") });
    bench.run(Input::Timer(Timer::Cut));
    let own = |incarnation, to| batch_of(0, to, incarnation, 1, &[(1, "mine", Some("1"))]);
    assert_eq!(bench.refusal(own(100, 1)), None);
    assert_eq!(bench.refusal(own(99, 1)), Some(Refusal::StaleIncarnation { newest: Incarnation(100) }));
    assert_eq!(bench.refusal(own(100, 2)), Some(Refusal::NotOurs));
    assert_eq!(bench.refusal(own(101, 1)), Some(Refusal::NotOurs));
    let row = DigestRow { owner: id(0), incarnation: Incarnation(100), version: 7, snapshot: 0 };
    let digest = Digest { first: id(0), last: id(0), rows: vec![row], answer: true };
    let out = bench.run(Input::Message { from: id(RELAY), message: Message::Digest(digest) });
    assert!(matches!(out[..], [Output::Event(Event::Refused { refusal: Refusal::NotOurs, .. })]), "{out:?}");
    assert_eq!(bench.catalog.own_version(), 1);
}

#[test]
fn messages_that_break_the_rules_are_refused() {
    let mut bench = Bench::new();
    let row = DigestRow { owner: id(7), incarnation: Incarnation(1), version: 1, snapshot: 0 };
    let want = WantRow { held: row, gathering: 0, part: 0 };
    let digest = Digest { first: id(0), last: id(0), rows: vec![row; Digest::ROWS_MAX + 1], answer: true };
    let cases = [
        (RELAY, Message::Batches(Vec::new()), Refusal::Unverified),
        (RELAY, Message::Digest(digest), Refusal::TooManyRows),
        (RELAY, Message::Want(vec![want; WantRow::ROWS_MAX + 1]), Refusal::TooManyRows),
        (8, Message::Served { more: true }, Refusal::NotConnected),
    ];
    for (from, message, expected) in cases {
        let out = bench.run(Input::Message { from: id(from), message });
        let [Output::Event(Event::Refused { refusal, .. })] = out[..] else { panic!("{out:?}") };
        assert_eq!(refusal, expected);
    }
    assert_eq!(bench.catalog.counters().refused_total(), 4);
}

#[test]
fn unknown_kinds_and_unreadable_values_survive_byte_for_byte() {
    let mut bench = Bench::new();
    let strange = EntryValue::Opaque(OpaqueEntry {
        key: EntryKey::Unknown { kind: EntryKind(77), key: Bytes::from_static(b"\xffkey") },
        value: Bytes::from_static(b"\xc1 not even msgpack"),
    });
    let unreadable = EntryValue::Opaque(OpaqueEntry {
        key: function("a", "").key(),
        value: Bytes::from_static(b"\x81\xa3new\x01"),
    });
    let row = |version, value: &EntryValue| Row {
        version,
        key: value.key().encode(),
        value: Some(value.encode().unwrap()),
    };
    let signed = writer(OWNER, 100, "test")
        .write(Span::changes(1, 2), &[row(1, &strange), row(2, &unreadable)])
        .signed;
    bench.take(verify(signed.clone()));
    for value in [&strange, &unreadable] {
        assert_eq!(bench.catalog.entry(&id(OWNER), &value.key()).as_ref(), Some(value));
    }
    assert_eq!(bench.catalog.counters().values_opaque, 1);
    let held = DigestRow { owner: id(OWNER), incarnation: Incarnation(100), version: 0, snapshot: 0 };
    let message = Message::Want(vec![WantRow { held, gathering: 0, part: 0 }]);
    let out = bench.run(Input::Message { from: id(RELAY), message });
    let Output::Send { message: Message::Batches(sent), .. } = &out[0] else { panic!("{out:?}") };
    assert_eq!(sent, &[signed]);
}

#[test]
fn a_later_version_may_add_fields_to_a_known_kind() {
    #[derive(serde::Serialize)]
    struct Later<'a> {
        #[serde(flatten)]
        function: &'a crate::FunctionEntry,
        since: u64,
    }
    let EntryValue::Function(function) = function("a", "x") else { unreachable!() };
    let value = rmp_serde::to_vec_named(&Later { function: &function, since: 9 }).unwrap();
    let read = EntryValue::decode(&function.key(), &Bytes::from(value));
    assert_eq!(read, EntryValue::Function(function));
}

#[test]
fn a_value_that_contradicts_its_key_or_must_not_travel_is_no_function() {
    let key = function("a", "").key();
    let EntryValue::Function(mut local) = function("a", "x") else { unreachable!() };
    local.scope = Scope::Local;
    for value in [function("b", "x"), EntryValue::Function(local)] {
        let encoded = value.encode().unwrap();
        let read = EntryValue::decode(&key, &encoded);
        assert_eq!(read, EntryValue::Opaque(OpaqueEntry { key: key.clone(), value: encoded }));
    }
}

#[test]
fn old_news_of_membership_hides_nothing() {
    let mut bench = Bench::new();
    for state in [MemberState::Down, MemberState::Left] {
        assert_eq!(bench.member(OWNER, 99, state), []);
    }
    let out = bench.take(batch(1, 1, &[(1, "a", Some("1"))]));
    assert!(matches!(out[0], Output::Event(Event::OwnerShown { .. })), "{out:?}");
}

#[test]
fn early_and_doubled_timers_do_no_harm() {
    let mut bench = Bench::new();
    for timer in [Timer::AntiEntropy, Timer::AntiEntropy, Timer::Want, Timer::Expire, Timer::Cut] {
        let out = bench.run(Input::Timer(timer));
        assert!(out.iter().all(|output| matches!(output, Output::SetTimer { .. })), "{out:?}");
    }
}

#[test]
fn a_full_batch_fits_its_limit() {
    let name = "n".repeat(20);
    let specs: Vec<String> = (0..1200).map(|index| format!("{name}{index}")).collect();
    let specs: Vec<RowSpec<'_>> =
        specs.iter().zip(1..).map(|(name, version)| (version, &**name, None)).collect();
    let rows = rows(&specs);
    let runs = crate::batch::runs(&rows);
    assert!(runs.len() > 1);
    let (first, last) = (runs[0][0].version, runs[0][runs[0].len() - 1].version);
    let written = writer(OWNER, 100, "test").write(Span::changes(first, last), runs[0]);
    let size = written.signed.body.len();
    assert!(size <= ROWS_BYTES_MAX && size > ROWS_BYTES_MAX / 2, "{size}");
}
