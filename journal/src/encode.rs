//! Batch <-> record: rkyv bytes of the columns, as an LZ4 block where that is smaller.
//! - Invariants: what comes from disk is believed only after checksum, rkyv's own check and `BatchColumns::check`.
//! - Limits: the raw length is checked (`RecordHeader::decode`) before its memory is allocated.
//! - Shape: the encoder's buffer begins where a block of the disk does: what the segment already holds of that block, then the
//!   new records, then zeros up to the next block. So whole blocks can be written without asking what was there before.
//! - Hot path: [`Encoder::append`]: all buffers are kept; nothing is allocated once they have grown.

use std::sync::Arc;

use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};
use millrace_model::{Batch, BatchColumns, ShardId};
use rkyv::rancor;
use rkyv::util::AlignedVec;

use crate::error::JournalError;
use crate::limits::BLOCK_BYTES;
use crate::record::{HEADER_BYTES, RecordHeader};

/// Encodes batches one after the other into one buffer.
pub(crate) struct Encoder {
    raw: AlignedVec,
    /// Longer than what is used, so that it is cleared only when it grows.
    buffer: AlignedVec<BLOCK_BYTES>,
    /// What the first block holds that is in the segment already.
    kept: usize,
    /// The same and the records behind it.
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
            buffer: AlignedVec::new(),
            kept: 0,
            used: 0,
            raw_bytes: 0,
            small: CompressTable::small(),
            large: CompressTable::large(),
        }
    }

    /// Goes on behind these bytes of a block, which are in the segment already. Forgets all records.
    pub(crate) fn begin(&mut self, before: &[u8]) {
        self.kept = 0;
        self.clear();
        self.reserve(before.len());
        self.buffer.iter_mut().zip(before).for_each(|(place, byte)| *place = *byte);
        self.kept = before.len();
        self.used = self.kept;
    }

    /// Forgets the records so far.
    pub(crate) const fn clear(&mut self) {
        self.used = self.kept;
        self.raw_bytes = 0;
    }

    /// The records so far are in the segment: goes on behind them.
    pub(crate) fn keep(&mut self) {
        let in_block = self.used % BLOCK_BYTES;
        self.buffer.copy_within(self.used.saturating_sub(in_block)..self.used, 0);
        self.kept = in_block;
        self.clear();
    }

    /// The records so far.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.kept..self.used).unwrap_or_default()
    }

    /// The records so far with what lies before them in their first block, and zeros behind them up to the end of their last one.
    pub(crate) fn blocks(&mut self) -> &[u8] {
        let end = self.used.next_multiple_of(BLOCK_BYTES);
        self.reserve(end);
        self.buffer.iter_mut().take(end).skip(self.used).for_each(|byte| *byte = 0);
        self.buffer.get(..end).unwrap_or_default()
    }

    /// Makes room for so many bytes, and at least a block.
    fn reserve(&mut self, bytes: usize) {
        if self.buffer.len() < bytes.max(1) {
            self.buffer.resize(bytes.max(1).next_multiple_of(BLOCK_BYTES), 0);
        }
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
        self.reserve(payload_start.saturating_add(most).next_multiple_of(8));
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
        if u64::try_from(used.saturating_sub(self.kept)).unwrap_or(u64::MAX) > bytes_max {
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

#[cfg(test)]
mod tests {
    use millrace_model::Offset;

    use super::*;
    use crate::tests::batch;

    #[test]
    fn blocks_go_on_where_the_last_ones_ended_and_end_in_zeros() {
        let mut encoder = Encoder::new();
        encoder.begin(&[0xee; 64]);
        let mut expected = vec![0xee; 64];
        let mut file = Vec::new();
        for (messages, body_bytes) in [(30, 400), (1, 10), (1, 10), (9, 700), (2, 50)] {
            let block = expected.len() / BLOCK_BYTES * BLOCK_BYTES;
            encoder.append(&batch(Offset(5), messages, body_bytes, 1), 9, u64::MAX).unwrap();
            expected.extend_from_slice(encoder.bytes());
            file.truncate(block);
            file.extend_from_slice(encoder.blocks());
            assert_eq!(encoder.blocks().as_ptr().addr() % BLOCK_BYTES, 0);
            assert_eq!(file.len(), expected.len().next_multiple_of(BLOCK_BYTES));
            assert_eq!(file[..expected.len()], expected);
            assert!(file[expected.len()..].iter().all(|&byte| byte == 0), "nothing of larger groups before is left");
            encoder.keep();
        }
        encoder.append(&batch(Offset(5), 3, 100, 1), 9, u64::MAX).unwrap();
        encoder.clear();
        assert_eq!(encoder.bytes(), []);
        assert_eq!(
            encoder.blocks()[..expected.len() % BLOCK_BYTES],
            expected[expected.len() / BLOCK_BYTES * BLOCK_BYTES..]
        );
    }
}
