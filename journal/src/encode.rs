//! Batch <-> record: rkyv bytes of the columns, as an LZ4 block where that is smaller.
//! - Invariants: what comes from disk is believed only after checksum, rkyv's own check and `BatchColumns::check`.
//! - Limits: the raw length is checked (`RecordHeader::decode`) before its memory is allocated.
//! - Hot path: [`Encoder::append`]: all buffers are kept; nothing is allocated once they have grown.

use std::sync::Arc;

use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};
use millrace_model::{Batch, BatchColumns, ShardId};
use rkyv::rancor;
use rkyv::util::AlignedVec;

use crate::error::JournalError;
use crate::record::{HEADER_BYTES, RecordHeader};

/// Encodes batches one after the other into one buffer.
pub(crate) struct Encoder {
    raw: AlignedVec,
    /// Longer than what is used, so that it is cleared only when it grows.
    buffer: Vec<u8>,
    used: usize,
    raw_bytes: u64,
    small: CompressTable,
    large: CompressTable,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("used", &self.used).finish_non_exhaustive()
    }
}

/// Above this a small table cannot address the input.
const SMALL_TABLE_BYTES_MAX: usize = 65_534;

impl Encoder {
    pub(crate) fn new() -> Self {
        Self {
            raw: AlignedVec::new(),
            buffer: Vec::new(),
            used: 0,
            raw_bytes: 0,
            small: CompressTable::small(),
            large: CompressTable::large(),
        }
    }

    pub(crate) const fn clear(&mut self) {
        self.used = 0;
        self.raw_bytes = 0;
    }

    /// The records so far.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.used).unwrap_or_default()
    }

    /// How many bytes the records so far had before compression.
    pub(crate) const fn raw_bytes(&self) -> u64 {
        self.raw_bytes
    }

    /// Adds one record, unless the records would then take more than `bytes_max`; says whether it did.
    pub(crate) fn append(&mut self, batch: &Batch, tag: u32, bytes_max: u64) -> Result<bool, JournalError> {
        let broken = |reason: String| JournalError::Record { offset: batch.base(), reason };
        let mut raw = std::mem::take(&mut self.raw);
        raw.clear();
        let raw = rkyv::api::high::to_bytes_in::<_, rancor::Error>(batch.columns(), raw)
            .map_err(|error| broken(error.to_string()))?;
        self.raw = raw;

        let payload_start = self.used.saturating_add(HEADER_BYTES);
        let most = get_maximum_output_size(self.raw.len());
        let needed = payload_start.saturating_add(most).next_multiple_of(8);
        if self.buffer.len() < needed {
            self.buffer.resize(needed, 0);
        }
        let (done, payload_place) = self.buffer.split_at_mut(payload_start);
        let table = if self.raw.len() <= SMALL_TABLE_BYTES_MAX { &mut self.small } else { &mut self.large };
        let packed = compress_into_with_table(&self.raw, payload_place, table).unwrap_or(usize::MAX);
        let compressed = packed < self.raw.len();
        let length = packed.min(self.raw.len());
        let (payload, padding) = payload_place.split_at_mut(length);
        if !compressed {
            payload.copy_from_slice(&self.raw);
        }

        let number = |length: usize| u32::try_from(length).map_err(|_| broken("too large".to_owned()));
        let header = RecordHeader {
            tag,
            length: number(length)?,
            base: batch.base(),
            count: number(batch.len())?,
            raw_length: number(self.raw.len())?,
            compressed,
        };
        if let Some(place) = done.get_mut(self.used..) {
            place.copy_from_slice(&header.encode(payload));
        }
        let record_bytes = usize::try_from(header.record_bytes()).unwrap_or(usize::MAX);
        let pad = record_bytes.saturating_sub(HEADER_BYTES).saturating_sub(length);
        padding.iter_mut().take(pad).for_each(|byte| *byte = 0);

        let used = self.used.saturating_add(record_bytes);
        if u64::try_from(used).unwrap_or(u64::MAX) > bytes_max {
            return Ok(false);
        }
        self.used = used;
        self.raw_bytes = self.raw_bytes.saturating_add(u64::from(header.raw_length));
        Ok(true)
    }
}

/// The batch of a record whose checksum is right.
pub(crate) fn decode(shard: ShardId, header: &RecordHeader, payload: &[u8]) -> Result<Arc<Batch>, JournalError> {
    let broken = |reason: String| JournalError::Record { offset: header.base, reason };
    let raw_length = usize::try_from(header.raw_length).unwrap_or(usize::MAX);
    let mut raw = AlignedVec::<16>::with_capacity(raw_length);
    if header.compressed {
        raw.resize(raw_length, 0);
        let length = decompress_into(payload, &mut raw).map_err(|error| broken(error.to_string()))?;
        if length != raw_length {
            return Err(broken("shorter than stated once decompressed".to_owned()));
        }
    } else {
        raw.extend_from_slice(payload);
    }
    let archived =
        rkyv::access::<rkyv::Archived<BatchColumns>, rancor::Error>(&raw).map_err(|error| broken(error.to_string()))?;
    let columns =
        rkyv::deserialize::<BatchColumns, rancor::Error>(archived).map_err(|error| broken(error.to_string()))?;
    let batch = Batch::from_columns(shard, header.base, columns).map_err(|error| broken(error.to_string()))?;
    if batch.end() != header.end() {
        return Err(broken("holds another number of messages than stated".to_owned()));
    }
    Ok(Arc::new(batch))
}
