//! The signed batch, the unit of everything: cut by its owner, verified, stored, compared and relayed byte for byte.
//!
//! Body = domain tag, then msgpack `[cluster, owner, incarnation, from, to, part, parts, [[version, key, value]..]]`.
//! A row without a value is a tombstone. `from = 0` is a part of a snapshot at version `to`.

use bytes::Bytes;
use mpreg_types::{ClusterId, Incarnation, NodeId, Signed, Signer};
use serde::{Deserialize, Serialize};

use crate::Refusal;
use crate::entry_key::KIND_BYTES;

/// Begins every signed body, so that no signature made for another purpose passes as a batch.
const TAG: &[u8; 16] = b"mpreg/catalog/1\0";
/// Most bytes of rows in one batch, as [`row_bytes`] counts them, unless it is a single row.
pub(crate) const ROWS_BYTES_MAX: usize = 64 * 1024;
/// More than a row takes beside its key and value.
const ROW_OVERHEAD: usize = 24;
/// More than a batch takes beside its rows: tag, cluster name, ids and numbers.
const BODY_OVERHEAD: usize = 256;
/// Longest body of a batch.
pub(crate) const BODY_BYTES_MAX: usize = ROWS_BYTES_MAX + ROW_OVERHEAD + BODY_OVERHEAD;
/// Most parts of a snapshot: any two neighbours together exceed [`ROWS_BYTES_MAX`], and `Config` bounds their sum.
const PARTS_MAX: u16 = 4096;
/// What a stored batch counts at least, so that many tiny ones also lead to a snapshot.
const COST_MIN: usize = 1024;

/// What a row with such a key and value counts against the limits.
pub(crate) fn row_bytes(key: &[u8], value: Option<&[u8]>) -> usize {
    key.len() + value.map_or(0, <[u8]>::len) + ROW_OVERHEAD
}

/// What a stored batch counts.
pub(crate) fn stored_cost(signed: &Signed) -> usize {
    signed.body.len().max(COST_MIN)
}

/// One change: the value `key` has since `version`, or `None` since it was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) version: u64,
    pub(crate) key: Bytes,
    pub(crate) value: Option<Bytes>,
}

/// Which batch it is within its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) part: u16,
    pub(crate) parts: u16,
}

impl Span {
    /// Changes `from..=to`.
    pub(crate) fn changes(from: u64, to: u64) -> Self {
        Self { from, to, part: 0, parts: 1 }
    }

    pub(crate) fn is_snapshot(self) -> bool {
        self.from == 0
    }

    fn is_sound(self) -> bool {
        let ordered = self.from <= self.to && self.to > 0;
        let numbered = self.part < self.parts && self.parts <= PARTS_MAX;
        ordered && numbered && (self.is_snapshot() || self.parts == 1)
    }
}

/// A batch whose signature holds and whose body is sound. Keys and values are slices of `signed.body`: one copy.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) owner: NodeId,
    pub(crate) incarnation: Incarnation,
    pub(crate) span: Span,
    pub(crate) rows: Vec<Row>,
    pub(crate) signed: Signed,
}

#[derive(Serialize, Deserialize)]
struct WireBody<'a> {
    #[serde(borrow)]
    cluster: &'a str,
    owner: NodeId,
    incarnation: Incarnation,
    from: u64,
    to: u64,
    part: u16,
    parts: u16,
    #[serde(borrow)]
    rows: Vec<WireRow<'a>>,
}

#[derive(Serialize, Deserialize)]
struct WireRow<'a>(
    u64,
    #[serde(borrow)] &'a serde_bytes::Bytes,
    #[serde(borrow)] Option<&'a serde_bytes::Bytes>,
);

/// Cuts `rows` into the fewest runs that each fit a batch; no rows make one empty run.
pub(crate) fn runs(rows: &[Row]) -> Vec<&[Row]> {
    let mut runs = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, row) in rows.iter().enumerate() {
        let size = row_bytes(&row.key, row.value.as_deref());
        if index > start && bytes + size > ROWS_BYTES_MAX {
            runs.push(&rows[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += size;
    }
    runs.push(&rows[start..]);
    runs
}

impl<'a> WireRow<'a> {
    fn of(row: &'a Row) -> Self {
        Self(
            row.version,
            serde_bytes::Bytes::new(&row.key),
            row.value.as_deref().map(serde_bytes::Bytes::new),
        )
    }
}

impl Batch {
    /// Reads a body of `cluster`. The caller knows that the signature holds.
    pub(crate) fn parse(signed: Signed, cluster: &ClusterId) -> Result<Self, Refusal> {
        if signed.body.len() > BODY_BYTES_MAX {
            return Err(Refusal::Oversize);
        }
        let body = signed.body.strip_prefix(TAG).ok_or(Refusal::WrongTag)?;
        let wire: WireBody<'_> = rmp_serde::from_slice(body).map_err(|_| Refusal::Malformed)?;
        if wire.cluster != cluster.as_str() {
            return Err(Refusal::WrongCluster);
        }
        if wire.owner != signed.signer() {
            return Err(Refusal::WrongKey);
        }
        let span = Span { from: wire.from, to: wire.to, part: wire.part, parts: wire.parts };
        let range = wire.from.max(1)..=wire.to;
        let sound = |row: &WireRow<'_>| {
            range.contains(&row.0) && row.1.len() >= KIND_BYTES && (row.2.is_some() || !span.is_snapshot())
        };
        if !span.is_sound() || !wire.rows.iter().all(sound) {
            return Err(Refusal::BadVersions);
        }
        let slice = |bytes: &serde_bytes::Bytes| signed.body.slice_ref(bytes);
        let rows = wire.rows.iter();
        let rows =
            rows.map(|row| Row { version: row.0, key: slice(row.1), value: row.2.map(slice) }).collect();
        Ok(Self { owner: wire.owner, incarnation: wire.incarnation, span, rows, signed })
    }
}

/// Signs batches as one owner.
#[derive(Debug, Clone)]
pub(crate) struct BatchWriter {
    pub(crate) cluster: ClusterId,
    pub(crate) owner: NodeId,
    pub(crate) incarnation: Incarnation,
    pub(crate) signer: std::sync::Arc<dyn Signer>,
}

impl BatchWriter {
    /// Encodes and signs; the rows come back as slices of the signed body.
    pub(crate) fn write(&self, span: Span, rows: &[Row]) -> Batch {
        assert!(span.is_sound(), "an owner numbers its own batches soundly: {span:?}");
        let wire = WireBody {
            cluster: self.cluster.as_str(),
            owner: self.owner,
            incarnation: self.incarnation,
            from: span.from,
            to: span.to,
            part: span.part,
            parts: span.parts,
            rows: rows.iter().map(WireRow::of).collect(),
        };
        let mut body = TAG.to_vec();
        let written = rmp_serde::encode::write(&mut body, &wire);
        assert!(written.is_ok(), "plain rows always encode: {written:?}");
        let signed = Signed::new(&*self.signer, Bytes::from(body.into_boxed_slice()));
        match Batch::parse(signed, &self.cluster) {
            Ok(batch) => batch,
            Err(refusal) => unreachable!("an owner's own batch is sound, but {refusal}"),
        }
    }
}
