//! The node's own log: changes get their versions at once and are signed together at the next cut.
//!
//! Invariant: nothing is signed twice with one version. The signed part is an [`OwnerLog`] fed with the own batches, so
//! an owner holds itself to the rules that others hold it to.

use std::collections::BTreeMap;

use bytes::Bytes;
use mpreg_types::Signed;

use crate::batch::{BatchWriter, Row, Span, row_bytes, runs};
use crate::owner_log::OwnerLog;
use crate::{CatalogError, Config, EntryKey, EntryValue};

#[derive(Debug)]
pub(crate) struct OwnLog {
    writer: BatchWriter,
    signed: OwnerLog,
    /// Last version given out.
    version: u64,
    /// Changes after `signed.version()`: the last one of each key.
    pending: BTreeMap<Bytes, Row>,
    /// Live entries, with what is pending.
    count: usize,
    /// Their [`row_bytes`].
    bytes: usize,
}

impl OwnLog {
    pub(crate) fn new(writer: BatchWriter) -> Self {
        let signed = OwnerLog::new(writer.incarnation);
        Self { writer, signed, version: 0, pending: BTreeMap::new(), count: 0, bytes: 0 }
    }

    /// What is signed, and so known or owed to others.
    pub(crate) fn signed(&self) -> &OwnerLog {
        &self.signed
    }

    /// Last version given out, signed or not.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Live entries as (key, version, value), with what is pending; in no particular order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&Bytes, u64, &Bytes)> {
        let pending = self.pending.values();
        let pending = pending.filter_map(|row| Some((&row.key, row.version, row.value.as_ref()?)));
        let signed = self.signed.entries().iter().filter(|(key, _)| !self.pending.contains_key(*key));
        pending.chain(signed.map(|(key, held)| (key, held.version, &held.value)))
    }

    pub(crate) fn get(&self, key: &Bytes) -> Option<&Bytes> {
        match self.pending.get(key) {
            Some(row) => row.value.as_ref(),
            None => self.signed.entries().get(key).map(|held| &held.value),
        }
    }

    /// Offers `value`. Its new version, or `None` if it is offered so already.
    pub(crate) fn put(&mut self, value: &EntryValue, config: &Config) -> Result<Option<u64>, CatalogError> {
        let key = value.key();
        if value.is_local() {
            return Err(CatalogError::LocalScope { key });
        }
        let (count, limit) = (value.resource_count(), config.resources_max);
        if count > limit {
            return Err(CatalogError::TooManyResources { key, count, limit });
        }
        let (raw, encoded) = (key.encode(), value.encode()?);
        let (bytes, limit) = (raw.len() + encoded.len(), config.entry_bytes_max);
        if bytes > limit {
            return Err(CatalogError::EntryTooLarge { key, bytes, limit });
        }
        let before = self.get(&raw);
        if before == Some(&encoded) {
            return Ok(None);
        }
        let freed = before.map(|before| row_bytes(&raw, Some(before)));
        let count = self.count + usize::from(freed.is_none());
        if count > config.entries_max {
            return Err(CatalogError::TooManyEntries { limit: config.entries_max });
        }
        let bytes = self.bytes - freed.unwrap_or(0) + row_bytes(&raw, Some(&encoded));
        if bytes > config.owner_bytes_max {
            return Err(CatalogError::OwnerTooLarge { key, bytes, limit: config.owner_bytes_max });
        }
        (self.count, self.bytes) = (count, bytes);
        Ok(Some(self.note(raw, Some(encoded))))
    }

    /// Withdraws `key`; the version of its tombstone.
    pub(crate) fn remove(&mut self, key: &EntryKey) -> Result<u64, CatalogError> {
        let raw = key.encode();
        let freed = self.get(&raw).map(|before| row_bytes(&raw, Some(before)));
        let Some(freed) = freed else { return Err(CatalogError::NotOffered { key: key.clone() }) };
        self.count -= 1;
        self.bytes -= freed;
        Ok(self.note(raw, None))
    }

    fn note(&mut self, key: Bytes, value: Option<Bytes>) -> u64 {
        self.version += 1;
        self.pending.insert(key.clone(), Row { version: self.version, key, value });
        self.version
    }

    /// Signs what is pending, and a snapshot when the log has outgrown its live entries; all of it is to be sent.
    pub(crate) fn cut(&mut self, config: &Config) -> Vec<Signed> {
        let mut rows: Vec<Row> = std::mem::take(&mut self.pending).into_values().collect();
        if rows.is_empty() {
            return Vec::new();
        }
        rows.sort_unstable_by_key(|row| row.version);
        let mut out = Vec::new();
        for run in runs(&rows) {
            let to = run.last().map_or(self.version, |row| row.version);
            self.sign(Span::changes(self.signed.version() + 1, to), run, config, &mut out);
        }
        assert_eq!(self.signed.version(), self.version, "a cut signs every version that was given out");
        if self.signed.stored_bytes() > 2 * self.signed.live_bytes() + config.snapshot_slack_bytes {
            self.snapshot(config, &mut out);
        }
        out
    }

    fn snapshot(&mut self, config: &Config, out: &mut Vec<Signed>) {
        let entries = self.signed.entries().iter();
        let rows: Vec<Row> = entries
            .map(|(key, held)| Row {
                version: held.version,
                key: key.clone(),
                value: Some(held.value.clone()),
            })
            .collect();
        let runs = runs(&rows);
        let Ok(parts) = u16::try_from(runs.len()) else { unreachable!("the configuration bounds the parts") };
        for (part, run) in (0..parts).zip(runs) {
            let span = Span { from: 0, to: self.version, part, parts };
            self.sign(span, run, config, out);
        }
    }

    fn sign(&mut self, span: Span, rows: &[Row], config: &Config, out: &mut Vec<Signed>) {
        let batch = self.writer.write(span, rows);
        out.push(batch.signed.clone());
        let applied = self.signed.apply(batch, config, &mut Vec::new());
        assert!(applied.is_ok(), "own changes were checked when they were made: {applied:?}");
    }
}
