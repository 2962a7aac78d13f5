//! One catalog on the bench, and hand-made batches to feed it.

use std::time::Duration;

use mpreg_types::{ClusterId, Incarnation, MemberState, NodeId, Signed, Time, Verified};

use super::function;
use super::signing::{TestSigner, verify};
use crate::batch::{Batch, BatchWriter, Row, Span};
use crate::{
    Catalog, Config, DigestRow, EntryKey, EntryValue, Event, Input, Message, Output, Refusal, Timer, WantRow,
};

/// A row: version, name, doc or `None` for a tombstone.
pub(super) type RowSpec<'a> = (u64, &'a str, Option<&'a str>);

pub(super) fn writer(owner: u64, incarnation: u64, cluster: &str) -> BatchWriter {
    let signer = TestSigner::new(owner);
    let cluster = ClusterId::parse(cluster).unwrap();
    BatchWriter { cluster, owner: signer.id(), incarnation: Incarnation(incarnation), signer }
}

pub(super) fn rows(specs: &[RowSpec<'_>]) -> Vec<Row> {
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

pub(super) fn batch(from: u64, to: u64, specs: &[RowSpec<'_>]) -> Verified<Signed> {
    batch_of(OWNER, to, 100, from, specs)
}

pub(super) fn snapshot(to: u64, part: u16, parts: u16, specs: &[RowSpec<'_>]) -> Verified<Signed> {
    let span = Span { from: 0, to, part, parts };
    verify(writer(OWNER, 100, "test").write(span, &rows(specs)).signed)
}

pub(super) const OWNER: u64 = 2;
pub(super) const RELAY: u64 = 1;

pub(super) fn id(number: u64) -> NodeId {
    TestSigner::new(number).id()
}

/// Node 0, which knows node 2 as a member and is connected to nodes 1 and 2.
pub(super) struct Bench {
    pub(super) catalog: Catalog,
    pub(super) now: Time,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(Config::lan())
    }

    pub(super) fn with(config: Config) -> Self {
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

    pub(super) fn run(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.catalog.handle(input, self.now, &mut out).unwrap();
        out
    }

    pub(super) fn member(&mut self, node: u64, incarnation: u64, state: MemberState) -> Vec<Output> {
        self.run(Input::Member { node: id(node), incarnation: Incarnation(incarnation), state })
    }

    pub(super) fn take(&mut self, batch: Verified<Signed>) -> Vec<Output> {
        self.run(Input::Batches { from: id(RELAY), batches: vec![batch] })
    }

    /// Takes `batch` and says why it was refused.
    pub(super) fn refusal(&mut self, batch: Verified<Signed>) -> Option<Refusal> {
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

    pub(super) fn rows(&self) -> Vec<DigestRow> {
        self.catalog.digest_rows()
    }

    pub(super) fn version(&self) -> u64 {
        self.rows().iter().find(|row| row.owner == id(OWNER)).map_or(0, |row| row.version)
    }

    pub(super) fn names(&self) -> Vec<String> {
        let name = |(key, _, value): (EntryKey, u64, EntryValue)| match value {
            EntryValue::Function(function) => format!("{}={}", function.name, function.doc.as_str()),
            _ => key.to_string(),
        };
        self.catalog.entries(&id(OWNER)).map(name).collect()
    }

    /// The batches, as (from, to), with which `want` is answered.
    pub(super) fn served(&mut self, want: WantRow) -> Vec<(u64, u64)> {
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
    pub(super) fn wants(&mut self, wait: u64) -> Vec<(NodeId, WantRow)> {
        self.now += Duration::from_millis(wait);
        let out = self.run(Input::Timer(Timer::Want));
        wants_in(&out)
    }
}

/// The row of one that holds nothing of that start of the owner.
pub(super) fn nothing(incarnation: u64) -> DigestRow {
    DigestRow { owner: id(OWNER), incarnation: Incarnation(incarnation), version: 0, snapshot: 0 }
}

pub(super) fn wants_in(out: &[Output]) -> Vec<(NodeId, WantRow)> {
    let wants = out.iter().filter_map(|output| match output {
        Output::Send { to, message: Message::Want(rows) } => Some(rows.iter().map(|row| (*to, *row))),
        _ => None,
    });
    wants.flatten().collect()
}
