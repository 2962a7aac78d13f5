//! One catalog and hand-made batches: each rule of taking and refusing.

use bytes::Bytes;
use mpreg_types::{ClusterId, Incarnation, MemberState, NodeId, Signed, Signer, Time, Verified};

use super::function;
use super::signing::{TestSigner, verify};
use crate::batch::{Batch, BatchWriter, ROWS_BYTES_MAX, Row, Span};
use crate::{
    Catalog, Config, Digest, DigestRow, EntryKey, EntryKind, EntryValue, Event, Input, Message, OpaqueEntry,
    Output, Refusal, Timer, WantRow,
};

/// A row: version, name, doc or `None` for a tombstone.
type RowSpec<'a> = (u64, &'a str, Option<&'a str>);

fn writer(owner: u64, incarnation: u64, cluster: &str) -> BatchWriter {
    let signer = TestSigner::new(owner);
    let cluster = ClusterId::parse(cluster).unwrap();
    BatchWriter { cluster, owner: signer.id(), incarnation: Incarnation(incarnation), signer }
}

fn rows(specs: &[RowSpec<'_>]) -> Vec<Row> {
    let row = |&(version, name, doc): &RowSpec<'_>| {
        let value = function(name, doc.unwrap_or(""));
        Row { version, key: value.key().encode(), value: doc.map(|_| value.encode().unwrap()) }
    };
    specs.iter().map(row).collect()
}

/// Changes `from..=to` of `owner`, signed by it. `incarnation` of mesh nodes is 100.
pub(super) fn batch_of(
    owner: u64,
    to: u64,
    incarnation: u64,
    from: u64,
    specs: &[RowSpec<'_>],
) -> Verified<Signed> {
    verify(writer(owner, incarnation, "test").write(Span::changes(from, to), &rows(specs)).signed)
}

fn batch(from: u64, to: u64, specs: &[RowSpec<'_>]) -> Verified<Signed> {
    batch_of(OWNER, to, 100, from, specs)
}

fn snapshot(to: u64, part: u16, parts: u16, specs: &[RowSpec<'_>]) -> Verified<Signed> {
    let span = Span { from: 0, to, part, parts };
    verify(writer(OWNER, 100, "test").write(span, &rows(specs)).signed)
}

const OWNER: u64 = 2;
const RELAY: u64 = 1;

fn id(number: u64) -> NodeId {
    TestSigner::new(number).id()
}

/// Node 0, which knows node 2 as a member and is connected to nodes 1 and 2.
struct Bench {
    catalog: Catalog,
    now: Time,
}

impl Bench {
    fn new() -> Self {
        Self::with(Config::lan())
    }

    fn with(config: Config) -> Self {
        let signer = TestSigner::new(0);
        let cluster = ClusterId::parse("test").unwrap();
        let catalog = Catalog::new(config, (signer.id(), Incarnation(100)), cluster, signer, 1).unwrap();
        let mut bench = Self { catalog, now: Time::from_millis(1) };
        for peer in [RELAY, OWNER] {
            bench.member(peer, 100, MemberState::Alive);
            bench.run(Input::Connected { peer: id(peer) });
        }
        bench
    }

    fn run(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.catalog.handle(input, self.now, &mut out).unwrap();
        out
    }

    fn member(&mut self, node: u64, incarnation: u64, state: MemberState) -> Vec<Output> {
        self.run(Input::Member { node: id(node), incarnation: Incarnation(incarnation), state })
    }

    fn take(&mut self, batch: Verified<Signed>) -> Vec<Output> {
        self.run(Input::Batches { from: id(RELAY), batches: vec![batch] })
    }

    /// Takes `batch` and says why it was refused.
    fn refusal(&mut self, batch: Verified<Signed>) -> Option<Refusal> {
        let before = (self.rows(), self.names());
        let out = self.take(batch);
        let refusal = out.iter().find_map(|output| match output {
            Output::Event(Event::Refused { refusal, .. }) => Some(*refusal),
            _ => None,
        });
        if refusal.is_some() {
            assert_eq!((self.rows(), self.names()), before, "a refused batch changed something");
        }
        refusal
    }

    fn rows(&self) -> Vec<DigestRow> {
        self.catalog.digest_rows()
    }

    fn version(&self) -> u64 {
        self.rows().iter().find(|row| row.owner == id(OWNER)).map_or(0, |row| row.version)
    }

    fn names(&self) -> Vec<String> {
        let name = |(key, _, value): (EntryKey, u64, EntryValue)| match value {
            EntryValue::Function(function) => format!("{}={}", function.name, function.doc.as_str()),
            _ => key.to_string(),
        };
        self.catalog.entries(&id(OWNER)).map(name).collect()
    }

    /// The batches, as (from, to), with which `want` is answered.
    fn served(&mut self, want: WantRow) -> Vec<(u64, u64)> {
        let cluster = ClusterId::parse("test").unwrap();
        let out = self.run(Input::Message { from: id(RELAY), message: Message::Want(vec![want]) });
        let Some((Output::Send { message: Message::Served { more: false }, .. }, sent)) = out.split_last()
        else {
            panic!("{out:?}")
        };
        let sent = sent.iter().flat_map(|output| match output {
            Output::Send { message: Message::Batches(batches), .. } => batches.clone(),
            other => panic!("{other:?}"),
        });
        let spans = sent.map(|signed| Batch::parse(signed, &cluster).unwrap().span);
        spans.map(|span| (span.from, span.to)).collect()
    }

    /// Who is asked for what after `wait` ms.
    fn wants(&mut self, wait: u64) -> Vec<(NodeId, WantRow)> {
        self.now += std::time::Duration::from_millis(wait);
        let out = self.run(Input::Timer(Timer::Want));
        wants_in(&out)
    }
}

/// The row of one that holds nothing of that start of the owner.
fn nothing(incarnation: u64) -> DigestRow {
    DigestRow { owner: id(OWNER), incarnation: Incarnation(incarnation), version: 0, snapshot: 0 }
}

fn wants_in(out: &[Output]) -> Vec<(NodeId, WantRow)> {
    let wants = out.iter().filter_map(|output| match output {
        Output::Send { to, message: Message::Want(rows) } => Some(rows.iter().map(|row| (*to, *row))),
        _ => None,
    });
    wants.flatten().collect()
}

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
fn an_older_snapshot_that_comes_late_changes_nothing() {
    let mut bench = Bench::new();
    bench.take(snapshot(9, 0, 1, &[(9, "d", Some("1"))]));
    bench.take(snapshot(5, 0, 1, &[(2, "b", Some("1"))]));
    assert_eq!(bench.names(), ["d=1"]);
    assert_eq!(bench.catalog.counters().batches_known, 1);
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
