//! The segment being written: where its next record goes, and the zeros ahead of it.
//! - Shape: header | records | zeros that were written | zeros that were only allocated. A sync of blocks that were written before
//!   has nothing of the file system's own to write besides, so it costs the processor and the disk a third less.
//! - Invariants: blocks are written whole and in order. A block that holds durable records is written again, with the same records
//!   and more behind them: a sector of it that is lost or torn half-way is as it was before. Behind the last record lie zeros.
//! - Errors: after any, the segment is not to be written again (`writer` leaves it behind).

use std::io;
use std::path::PathBuf;

use millrace_model::Offset;

use crate::limits::{BLOCK_BYTES, ZEROS_BYTES, ZEROS_LEFT_MIN};
use crate::segment::RECORDS_START;
use crate::storage::StoredFile;

/// In memory that costs none: it is never written, so all of its pages are the system's one page of zeros.
#[repr(align(4096))]
struct Zeros([u8; ZEROS_BYTES]);

static ZEROS: Zeros = Zeros([0; ZEROS_BYTES]);

const _: () = assert!(align_of::<Zeros>() == BLOCK_BYTES);

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Active {
    file: Box<dyn StoredFile>,
    pub(crate) path: PathBuf,
    pub(crate) base: Offset,
    pub(crate) tag: u32,
    /// Where the next record goes.
    position: u64,
    capacity: u64,
    /// Up to here all blocks were written.
    written_until: u64,
}

impl Active {
    /// A segment whose header is safe, and nothing else in it.
    pub(crate) fn new(file: Box<dyn StoredFile>, path: PathBuf, base: Offset, tag: u32, capacity: u64) -> Self {
        Self { file, path, base, tag, position: RECORDS_START, capacity, written_until: block_end(RECORDS_START) }
    }

    /// Bytes that further records may take.
    pub(crate) const fn room(&self) -> u64 {
        self.capacity.saturating_sub(self.position)
    }

    /// Whether it holds no record yet.
    pub(crate) const fn is_fresh(&self) -> bool {
        self.position == RECORDS_START
    }

    /// Whether it is time to think of the next one.
    pub(crate) const fn is_half_full(&self) -> bool {
        self.position > self.capacity / 2
    }

    /// Writes the blocks that end with `records` bytes of new records; they are safe afterwards if `sync` is asked for.
    pub(crate) fn write(&mut self, blocks: &[u8], records: u64, sync: bool) -> io::Result<()> {
        let start = block_start(self.position);
        if sync {
            self.file.write_through(blocks, start)?;
        } else {
            self.file.write_at(blocks, start)?;
        }
        self.position = self.position.saturating_add(records);
        self.written_until = self.written_until.max(block_end(self.position));
        Ok(())
    }

    /// Writes zeros ahead of the records when few are left.
    pub(crate) fn write_ahead(&mut self) -> io::Result<()> {
        let left = self.written_until.saturating_sub(self.position);
        let room = block_start(self.capacity.saturating_sub(self.written_until));
        let zeros = ZEROS.0.get(..usize::try_from(room).unwrap_or(ZEROS_BYTES)).unwrap_or(&ZEROS.0);
        if left >= ZEROS_LEFT_MIN || zeros.is_empty() {
            return Ok(());
        }
        self.file.write_through(zeros, self.written_until)?;
        self.written_until = self.written_until.saturating_add(u64::try_from(zeros.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Makes safe what was written without asking for it.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Start of the block that holds `position`.
const fn block_start(position: u64) -> u64 {
    position.saturating_sub(position % BLOCK)
}

/// End of the blocks that hold what lies before `position`.
const fn block_end(position: u64) -> u64 {
    position.next_multiple_of(BLOCK)
}

#[expect(clippy::as_conversions, reason = "a constant that fits")]
const BLOCK: u64 = BLOCK_BYTES as u64;
