//! What is held of one start of one owner: its entries at `version`, and the signed batches that made them.
//!
//! Invariants. `entries` is the owner's state at `version`. The stored snapshot and the stored batches after it cover
//! `1..=version` without a gap, so whoever lacks anything can be served from here. A batch is taken whole or not at
//! all: every check comes before the first change.

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use mpreg_types::{Defect, Incarnation, NodeId, Signed};

use crate::batch::{Batch, Row, Span, row_bytes, stored_cost};
use crate::{Config, DigestRow, EntryKey, EntryValue, Refusal, WantRow};

/// A live entry: its encoded value, a slice of the signed bytes that are stored anyway.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) version: u64,
    pub(crate) value: Bytes,
}

/// An entry that is new, changed or (`None`) gone.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) key: EntryKey,
    pub(crate) version: u64,
    /// Version of what it replaced, if anything was there.
    pub(crate) before: Option<u64>,
    pub(crate) value: Option<Arc<EntryValue>>,
}

/// What a batch did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    /// Nothing: all of it was known.
    Known,
    /// It begins too far ahead; nothing changed.
    Gap,
    /// It was news: changes, a new part of a snapshot, or a newer snapshot of what was known.
    News,
    /// As `News`, and a snapshot is complete with it.
    NewSnapshot,
}

impl Applied {
    /// True if something was taken.
    pub(crate) fn is_news(self) -> bool {
        matches!(self, Self::News | Self::NewSnapshot)
    }
}

/// A complete snapshot.
#[derive(Debug, Default)]
struct Snapshot {
    /// 0 while there is none.
    to: u64,
    parts: Vec<Signed>,
}

/// A snapshot whose parts are still coming in; only the newest is gathered.
#[derive(Debug)]
struct Gathering {
    to: u64,
    parts: Vec<Option<Batch>>,
    bytes: usize,
}

impl Gathering {
    fn of(span: Span) -> Self {
        Self { to: span.to, parts: vec![None; usize::from(span.parts)], bytes: 0 }
    }

    fn first_missing(&self) -> u16 {
        let missing = self.parts.iter().position(Option::is_none);
        missing.and_then(|part| u16::try_from(part).ok()).unwrap_or(0)
    }
}

#[derive(Debug)]
struct StoredBatch {
    to: u64,
    signed: Signed,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct OwnerLog {
    pub(crate) incarnation: Incarnation,
    version: u64,
    entries: BTreeMap<Bytes, Held>,
    /// Sum of [`row_bytes`] over the live entries.
    live_bytes: usize,
    snapshot: Snapshot,
    /// Sorted by `to`; all end after the snapshot.
    batches: VecDeque<StoredBatch>,
    /// Sum of [`stored_cost`] over snapshot and batches.
    stored_bytes: usize,
    gathering: Option<Gathering>,
    progress: u64,
}

/// Rows of a batch that are news, checked and decoded.
type Staged = BTreeMap<Bytes, (u64, Option<(Bytes, EntryValue)>)>;

/// Most bytes stored of one log. An owner's own rule keeps it to twice its live entries, the slack and one tick.
fn stored_bytes_max(config: &Config) -> usize {
    4 * config.owner_bytes_max + config.snapshot_slack_bytes
}

fn check_size(entries: usize, bytes: usize, config: &Config) -> Result<(), Refusal> {
    if entries > config.entries_max {
        Err(Refusal::TooManyEntries)
    } else if bytes > config.owner_bytes_max {
        Err(Refusal::OwnerTooLarge)
    } else {
        Ok(())
    }
}

/// Decodes a value that is news, within the limits.
fn read(key: &Bytes, value: &Bytes, config: &Config) -> Result<(EntryKey, EntryValue), Refusal> {
    if key.len() + value.len() > config.entry_bytes_max {
        return Err(Refusal::EntryTooLarge);
    }
    let parsed = EntryKey::decode(key);
    let decoded = EntryValue::decode(&parsed, value);
    if decoded.resource_count() > config.resources_max {
        return Err(Refusal::TooManyResources);
    }
    Ok((parsed, decoded))
}

impl OwnerLog {
    pub(crate) fn new(incarnation: Incarnation) -> Self {
        Self {
            incarnation,
            version: 0,
            entries: BTreeMap::new(),
            live_bytes: 0,
            snapshot: Snapshot::default(),
            batches: VecDeque::new(),
            stored_bytes: 0,
            gathering: None,
            progress: 0,
        }
    }

    /// How far this log is, as a digest says it.
    pub(crate) fn row(&self, owner: NodeId) -> DigestRow {
        DigestRow { owner, incarnation: self.incarnation, version: self.version, snapshot: self.snapshot.to }
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// True if nothing at all is held, not even a part of a snapshot.
    pub(crate) fn is_empty(&self) -> bool {
        self.version == 0 && self.gathering.is_none()
    }

    pub(crate) fn entries(&self) -> &BTreeMap<Bytes, Held> {
        &self.entries
    }

    pub(crate) fn live_bytes(&self) -> usize {
        self.live_bytes
    }

    pub(crate) fn stored_bytes(&self) -> usize {
        self.stored_bytes
    }

    /// Bytes of everything signed that is kept here.
    pub(crate) fn held_bytes(&self) -> usize {
        self.stored_bytes + self.gathering.as_ref().map_or(0, |gathering| gathering.bytes)
    }

    /// The request for what `self` lacks.
    pub(crate) fn want(&self, owner: NodeId) -> WantRow {
        let gathering = self.gathering.as_ref();
        WantRow {
            held: self.row(owner),
            gathering: gathering.map_or(0, |g| g.to),
            part: gathering.map_or(0, Gathering::first_missing),
        }
    }

    /// Rises whenever this log takes something, even a mere part.
    pub(crate) fn progress(&self) -> u64 {
        self.progress
    }

    /// Takes `batch` of this start; what it changed is appended to `changes`. An error changes nothing, but for a
    /// snapshot found too large at its last part, which is forgotten.
    pub(crate) fn apply(
        &mut self,
        batch: Batch,
        config: &Config,
        changes: &mut Vec<Change>,
    ) -> Result<Applied, Refusal> {
        assert_eq!(batch.incarnation, self.incarnation, "a log holds one start of its owner");
        let applied = if batch.span.is_snapshot() {
            self.gather(batch, config, changes)?
        } else {
            self.advance(batch, config, changes)?
        };
        self.progress += u64::from(applied.is_news());
        Ok(applied)
    }

    fn advance(
        &mut self,
        batch: Batch,
        config: &Config,
        changes: &mut Vec<Change>,
    ) -> Result<Applied, Refusal> {
        let span = batch.span;
        if span.to <= self.version {
            return Ok(Applied::Known);
        }
        if span.from > self.version + 1 && !Defect::CatalogIgnoresGaps.is_in() {
            return Ok(Applied::Gap);
        }
        let cost = stored_cost(&batch.signed);
        if self.stored_bytes + cost > stored_bytes_max(config) {
            return Err(Refusal::LogTooLong);
        }
        let staged = self.stage(batch.rows, config)?;
        self.check_growth(&staged, config)?;
        self.version = span.to;
        for (key, (version, value)) in staged {
            self.change(key, version, value, changes);
        }
        self.stored_bytes += cost;
        self.batches.push_back(StoredBatch { to: span.to, signed: batch.signed });
        Ok(Applied::News)
    }

    /// Rows at or before `version` are in the state already, or were replaced by later ones.
    fn stage(&self, rows: Vec<Row>, config: &Config) -> Result<Staged, Refusal> {
        let mut staged = Staged::new();
        for row in rows.into_iter().filter(|row| row.version > self.version) {
            let value = match row.value {
                Some(value) => Some((value.clone(), read(&row.key, &value, config)?.1)),
                None => None,
            };
            if staged.insert(row.key, (row.version, value)).is_some() {
                return Err(Refusal::BadVersions);
            }
        }
        Ok(staged)
    }

    /// Would the live entries fit the limits with `staged`?
    fn check_growth(&self, staged: &Staged, config: &Config) -> Result<(), Refusal> {
        let (mut count, mut bytes) = (self.entries.len(), self.live_bytes);
        for (key, (_, value)) in staged {
            if let Some(held) = self.entries.get(key) {
                count -= 1;
                bytes -= row_bytes(key, Some(&held.value));
            }
            if let Some((value, _)) = value {
                count += 1;
                bytes += row_bytes(key, Some(value));
            }
        }
        check_size(count, bytes, config)
    }

    fn change(
        &mut self,
        key: Bytes,
        version: u64,
        value: Option<(Bytes, EntryValue)>,
        changes: &mut Vec<Change>,
    ) {
        // Taken out first: putting in again moves the key's slice, too, from the old batch to the new one.
        let before = self.entries.remove(&key);
        if let Some(before) = &before {
            self.live_bytes -= row_bytes(&key, Some(&before.value));
        }
        let before = before.map(|held| held.version);
        match value {
            Some((encoded, decoded)) => {
                self.live_bytes += row_bytes(&key, Some(&encoded));
                self.entries.insert(key, Held { version, value: encoded });
                let (key, value) = (decoded.key(), Some(Arc::new(decoded)));
                changes.push(Change { key, version, before, value });
            }
            None if before.is_some() => {
                changes.push(Change { key: EntryKey::decode(&key), version, before, value: None });
            }
            None => {}
        }
    }

    fn gather(
        &mut self,
        part: Batch,
        config: &Config,
        changes: &mut Vec<Change>,
    ) -> Result<Applied, Refusal> {
        let span = part.span;
        if span.to <= self.snapshot.to {
            return Ok(Applied::Known);
        }
        let gathering = match &mut self.gathering {
            Some(gathering) if gathering.to > span.to => return Ok(Applied::Known),
            Some(gathering) if gathering.to == span.to => gathering,
            older => older.insert(Gathering::of(span)),
        };
        let agrees = gathering.parts.len() == usize::from(span.parts);
        let Some(slot) = gathering.parts.get_mut(usize::from(span.part)).filter(|_| agrees) else {
            return Err(Refusal::BadVersions);
        };
        if slot.is_some() {
            return Ok(Applied::Known);
        }
        gathering.bytes += part.signed.body.len();
        if gathering.bytes > stored_bytes_max(config) {
            self.gathering = None;
            return Err(Refusal::OwnerTooLarge);
        }
        *slot = Some(part);
        if gathering.parts.iter().any(Option::is_none) {
            return Ok(Applied::News);
        }
        let parts = self.gathering.take().into_iter().flat_map(|gathering| gathering.parts);
        self.take_snapshot(span.to, parts.flatten().collect(), config, changes)?;
        Ok(Applied::NewSnapshot)
    }

    fn take_snapshot(
        &mut self,
        to: u64,
        parts: Vec<Batch>,
        config: &Config,
        changes: &mut Vec<Change>,
    ) -> Result<(), Refusal> {
        if to >= self.version {
            self.replace(to, &parts, config, changes)?;
        } else {
            self.move_slices(to, &parts);
        }
        self.batches.retain(|batch| batch.to > to);
        self.snapshot = Snapshot { to, parts: parts.into_iter().map(|part| part.signed).collect() };
        let stored = self.snapshot.parts.iter().chain(self.batches.iter().map(|batch| &batch.signed));
        self.stored_bytes = stored.map(stored_cost).sum();
        Ok(())
    }

    /// Makes the snapshot's rows the whole state.
    fn replace(
        &mut self,
        to: u64,
        parts: &[Batch],
        config: &Config,
        changes: &mut Vec<Change>,
    ) -> Result<(), Refusal> {
        let mut entries = BTreeMap::new();
        let mut bytes = 0;
        let mut news = Vec::new();
        for Row { version, key, value } in parts.iter().flat_map(|part| &part.rows) {
            let Some(value) = value else { unreachable!("a snapshot with a tombstone does not parse") };
            let before = self.entries.get(key).map(|held| held.version);
            if before != Some(*version) {
                let (key, value) = read(key, value, config)?;
                news.push(Change { key, version: *version, before, value: Some(Arc::new(value)) });
            }
            bytes += row_bytes(key, Some(value));
            if entries.insert(key.clone(), Held { version: *version, value: value.clone() }).is_some() {
                return Err(Refusal::BadVersions);
            }
        }
        check_size(entries.len(), bytes, config)?;
        for (key, held) in self.entries.iter().filter(|(key, _)| !entries.contains_key(*key)) {
            news.push(Change {
                key: EntryKey::decode(key),
                version: to,
                before: Some(held.version),
                value: None,
            });
        }
        (self.version, self.entries, self.live_bytes) = (to, entries, bytes);
        changes.append(&mut news);
        Ok(())
    }

    /// The state stays, but what it slices out of batches that are about to be dropped moves to the snapshot; else one
    /// small entry would keep a whole batch in memory.
    fn move_slices(&mut self, to: u64, parts: &[Batch]) {
        let rows = parts.iter().flat_map(|part| &part.rows);
        let rows: BTreeMap<&Bytes, &Row> = rows.map(|row| (&row.key, row)).collect();
        let entries = std::mem::take(&mut self.entries);
        let moved = entries.into_iter().map(|(key, held)| {
            let row = rows.get(&key).filter(|row| row.version == held.version);
            match row.and_then(|row| Some((row.key.clone(), row.value.clone()?))) {
                Some((key, value)) => (key, Held { version: held.version, value }),
                None if held.version > to => (key, held),
                // Only an owner that breaks its own log comes here.
                None => {
                    let value = Bytes::copy_from_slice(&held.value);
                    (Bytes::copy_from_slice(&key), Held { version: held.version, value })
                }
            }
        });
        self.entries = moved.collect();
    }

    /// Appends to `out` what the sender of `want` lacks, within `budget` bytes but at least one batch if `out` is empty.
    /// False if something was left out.
    pub(crate) fn serve(&self, want: &WantRow, budget: &mut usize, out: &mut Vec<Signed>) -> bool {
        let held = match want.held.incarnation.cmp(&self.incarnation) {
            Ordering::Less => DigestRow { version: 0, snapshot: 0, ..want.held },
            Ordering::Equal => want.held,
            Ordering::Greater => return true,
        };
        let parts = if self.snapshot.to > held.snapshot { &self.snapshot.parts[..] } else { &[] };
        let known = if want.gathering == self.snapshot.to { usize::from(want.part) } else { 0 };
        let batches = self.batches.iter().filter(|batch| batch.to > held.version).map(|batch| &batch.signed);
        for signed in parts.iter().skip(known).chain(batches) {
            let size = signed.body.len();
            if size > *budget && !out.is_empty() {
                return false;
            }
            *budget = budget.saturating_sub(size);
            out.push(signed.clone());
        }
        true
    }
}
