//! Rows of one coming row group: staged in the order of arrival, then sorted by device.
//! - Shape: a row is 40 bytes that point into the batch it came in; the batch is held, not copied, unless less than half of
//!   its messages are meant for this sink.
//! - Invariants: sorted rows are ordered by device id (bytes), then by offset.
//! - Limits: the caller stops at `row_group_rows` and `row_group_bytes`; one delivery more is the most it overshoots by.
//! - Hot path: [`RowGroup::push`]: no allocation per row; a hash look-up per sender and batch, not per row.

use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;
use millrace_model::{Batch, Delivery, Enrichment, IdentityRef, MessageSource, Offset};

/// Rows in the order of arrival.
#[derive(Debug, Default)]
pub(crate) struct RowGroup {
    segments: Vec<Segment>,
    rows: Vec<Row>,
    identities: Vec<Box<[u8]>>,
    identity_numbers: HashMap<Box<[u8]>, u32>,
    bytes: usize,
}

/// What the rows of one delivery have in common.
#[derive(Debug)]
struct Segment {
    bytes: Bytes,
    enrichments: Arc<[Enrichment]>,
}

#[derive(Debug)]
enum Bytes {
    Shared(Arc<Batch>),
    Copied(Vec<u8>),
}

#[derive(Debug, Clone, Copy)]
struct Row {
    offset: u64,
    enqueued_at: i64,
    segment: u32,
    start: u32,
    bag_end: u32,
    body_end: u32,
    identity: u32,
    source: MessageSource,
}

/// Rows ordered by device.
#[derive(Debug)]
pub(crate) struct SortedRows {
    group: RowGroup,
    order: Vec<u32>,
}

/// One row, borrowed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowRef<'a> {
    pub(crate) identity: IdentityRef<'a>,
    pub(crate) offset: Offset,
    pub(crate) enqueued_at: i64,
    pub(crate) source: MessageSource,
    pub(crate) bag: &'a [u8],
    pub(crate) body: &'a [u8],
    pub(crate) enrichments: &'a [Enrichment],
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Shared(batch) => &batch.columns().bytes,
            Self::Copied(bytes) => bytes,
        }
    }
}

impl RowGroup {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Memory that it holds.
    pub(crate) fn size_bytes(&self) -> usize {
        self.bytes + self.rows.len() * (size_of::<Row>() + size_of::<u32>())
    }

    /// Stages the selected messages among `rows` of a delivery's batch, in order, but those that `refuse` answers true for.
    pub(crate) fn push(&mut self, delivery: &Delivery, rows: Range<usize>) {
        let batch = &delivery.batch;
        let selected =
            || delivery.selected.iter().skip_while(|&row| row < rows.start).take_while(|&row| row < rows.end);
        let count = selected().count();
        if count == 0 {
            return;
        }
        let mut copy = (count.saturating_mul(2) < batch.len()).then(Vec::new);
        let segment = number(self.segments.len());
        let mut known = vec![u32::MAX; batch.columns().identity_end.len()];
        self.rows.reserve(count);
        for index in selected() {
            if let Some(mut row) = self.row(batch, index, segment, &mut known) {
                if let Some(copy) = &mut copy {
                    row.move_to(&batch.columns().bytes, copy);
                }
                self.rows.push(row);
            }
        }
        let bytes = copy.map_or_else(|| Bytes::Shared(Arc::clone(batch)), Bytes::Copied);
        self.bytes += match &bytes {
            Bytes::Shared(batch) => batch.size_bytes(),
            Bytes::Copied(bytes) => bytes.capacity(),
        };
        self.segments.push(Segment { bytes, enrichments: Arc::clone(&delivery.enrichments) });
    }

    /// Orders the rows by device, then offset.
    pub(crate) fn sort(self) -> SortedRows {
        let ranks = self.ranks();
        let mut starts = vec![0_u32; ranks.len() + 1];
        let rank = |row: &Row| ranks.get(index(row.identity)).map_or(0, |&rank| index(rank));
        for row in &self.rows {
            if let Some(count) = starts.get_mut(rank(row) + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        // A counting sort is stable: rows of one device stay in the order of arrival, which is that of offsets.
        let mut order = vec![0; self.rows.len()];
        for (row, at) in self.rows.iter().zip(0..) {
            if let Some(next) = starts.get_mut(rank(row)) {
                if let Some(place) = order.get_mut(index(*next)) {
                    *place = at;
                }
                *next += 1;
            }
        }
        SortedRows { group: self, order }
    }

    /// The rank of each identity's device id; equal for equal device ids.
    fn ranks(&self) -> Vec<u32> {
        // Decoded once, not once a comparison: that alone was half of what a row costs where 100,000 devices send in turn.
        let devices: Vec<&str> =
            (0..number(self.identities.len())).map(|identity| self.identity(identity).device_id).collect();
        let device = |number: u32| devices.get(index(number)).copied().unwrap_or_default();
        let mut sorted: Vec<u32> = (0..number(self.identities.len())).collect();
        sorted.sort_unstable_by_key(|&identity| device(identity));
        let mut ranks = vec![0; sorted.len()];
        let mut rank = 0;
        let mut previous = None;
        for &identity in &sorted {
            if previous.is_some_and(|previous| previous != device(identity)) {
                rank += 1;
            }
            previous = Some(device(identity));
            if let Some(place) = ranks.get_mut(index(identity)) {
                *place = rank;
            }
        }
        ranks
    }

    fn row(&mut self, batch: &Batch, at: usize, segment: u32, known: &mut [u32]) -> Option<Row> {
        let columns = batch.columns();
        let start = at.checked_sub(1).and_then(|before| columns.body_end.get(before)).copied().unwrap_or(0);
        let local = *columns.identity.get(at)?;
        let identity = known.get_mut(index(local))?;
        if *identity == u32::MAX {
            *identity = self.intern(identity_bytes(batch, local)?);
        }
        let source = match columns.source.get(at) {
            Some(0) => MessageSource::Telemetry,
            _ => batch.message(at)?.source,
        };
        Some(Row {
            offset: batch.base().0.saturating_add(u64::try_from(at).ok()?),
            enqueued_at: *columns.enqueued_at.get(at)?,
            segment,
            start,
            bag_end: *columns.bag_end.get(at)?,
            body_end: *columns.body_end.get(at)?,
            identity: *identity,
            source,
        })
    }

    fn intern(&mut self, identity: &[u8]) -> u32 {
        if let Some(&known) = self.identity_numbers.get(identity) {
            return known;
        }
        let new = number(self.identities.len());
        self.bytes += 2 * (identity.len() + size_of::<Box<[u8]>>()) + 2 * size_of::<u32>();
        self.identities.push(identity.into());
        self.identity_numbers.insert(identity.into(), new);
        new
    }

    fn identity(&self, number: u32) -> IdentityRef<'_> {
        self.identities.get(index(number)).and_then(|bytes| IdentityRef::decode(bytes)).unwrap_or_default()
    }
}

impl Row {
    /// Copies its bytes from a batch to the end of `copy` and points there.
    fn move_to(&mut self, bytes: &[u8], copy: &mut Vec<u8>) {
        let at = number(copy.len());
        copy.extend_from_slice(bytes.get(index(self.start)..index(self.body_end)).unwrap_or_default());
        self.bag_end = at + (self.bag_end - self.start);
        self.body_end = at + (self.body_end - self.start);
        self.start = at;
    }
}

impl SortedRows {
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// The rows from `from` on that make one slice: at most `rows_max`, and no more once they exceed `bytes_max`.
    pub(crate) fn slice(&self, from: usize, rows_max: usize, bytes_max: usize) -> Vec<RowRef<'_>> {
        let mut bytes = 0;
        let mut previous = (u32::MAX, IdentityRef::default());
        self.order
            .get(from..)
            .unwrap_or_default()
            .iter()
            .take(rows_max)
            .map_while(|&at| {
                if bytes >= bytes_max {
                    return None;
                }
                let row = self.group.rows.get(index(at))?;
                bytes += index(row.body_end - row.start);
                if previous.0 != row.identity {
                    previous = (row.identity, self.group.identity(row.identity));
                }
                self.borrow(row, previous.1)
            })
            .collect()
    }

    fn borrow<'a>(&'a self, row: &Row, identity: IdentityRef<'a>) -> Option<RowRef<'a>> {
        let segment = self.group.segments.get(index(row.segment))?;
        let bytes = segment.bytes.as_slice();
        Some(RowRef {
            identity,
            offset: Offset(row.offset),
            enqueued_at: row.enqueued_at,
            source: row.source,
            bag: bytes.get(index(row.start)..index(row.bag_end))?,
            body: bytes.get(index(row.bag_end)..index(row.body_end))?,
            enrichments: &segment.enrichments,
        })
    }
}

fn identity_bytes(batch: &Batch, local: u32) -> Option<&[u8]> {
    let columns = batch.columns();
    let start = local.checked_sub(1).and_then(|before| columns.identity_end.get(index(before))).copied().unwrap_or(0);
    columns.identities.get(index(start)..index(*columns.identity_end.get(index(local))?))
}

/// Numbers of rows, segments and identities: a row group has at most 16 Mi + 16 Ki rows.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[expect(clippy::as_conversions, reason = "usize has at least 32 bits on every supported target")]
const fn index(number: u32) -> usize {
    number as usize
}
