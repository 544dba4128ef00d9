//! From record to record through one segment, telling intact records, damage and the end apart. Used by recovery, inspection
//! and readers alike, so that they agree on what a segment holds.
//! - Invariants: every offset from the base to the end is in exactly one record or in one [`Damage`]. Records at or past
//!   `until` do not count.
//! - Limits: memory for one record and [`READ_BYTES`].
//! - Errors: only those of the file system; whatever the bytes are, they are one of the three.

use std::io;
use std::ops::Range;

use millrace_model::Offset;

use crate::limits::{READ_BYTES, RECORD_ALIGNMENT};
use crate::record::{self, RecordHeader};
use crate::segment::{RECORDS_START, SegmentHeader};
use crate::storage::StoredFile;

/// Bytes that are no record where one should be, and the offsets that are missing for it (either may be empty).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) bytes: Range<u64>,
    pub(crate) offsets: Range<Offset>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// An intact record at this position.
    Record(RecordHeader, u64),
    /// Damage, with an intact record behind it.
    Damage(Damage),
    /// No further record. `dirty_until` is where the last byte lies that is not zero.
    End { dirty_until: u64 },
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Walk {
    window: Window,
    tag: u32,
    /// Where the next record should begin.
    pub(crate) position: u64,
    /// What offset it should begin with.
    pub(crate) next: Offset,
    pub(crate) until: Option<Offset>,
    /// The segment's header, if it is intact.
    pub(crate) header: Option<SegmentHeader>,
    /// Whether the header and its copy are both as they were written.
    pub(crate) is_header_intact: bool,
}

impl Walk {
    /// Begins with the first record of the segment that by its name begins at `base`.
    pub(crate) fn new(file: Box<dyn StoredFile>, base: Offset, until: Option<Offset>) -> io::Result<Self> {
        let mut window = Window { file, buffer: Vec::new(), start: 0 };
        let head_bytes = usize::try_from(RECORDS_START).unwrap_or(usize::MAX);
        let (header, is_header_intact) = SegmentHeader::decode_twice(window.at(0, head_bytes)?);
        let tag = match header {
            Some(header) => header.tag,
            // The records state the tag too; the first one's checksum says whether to believe it.
            None => record::Fields(window.at(RECORDS_START, 4)?).u32().unwrap_or(0),
        };
        Ok(Self { window, tag, position: RECORDS_START, next: base, until, header, is_header_intact })
    }

    /// Moves on by one record, one damage, or not at all.
    pub(crate) fn step(&mut self) -> io::Result<Step> {
        if self.is_superseded(self.next) {
            return Ok(Step::End { dirty_until: self.position });
        }
        let mut here = self.record(self.position)?;
        if here.is_none_or(|header| header.base != self.next) {
            // What was read ahead may be older than what the writer has put there since.
            self.window.forget();
            here = self.record(self.position)?;
        }
        match here {
            Some(header) if header.base == self.next => {
                let position = self.position;
                self.position = position.saturating_add(header.record_bytes());
                self.next = header.end();
                Ok(Step::Record(header, position))
            }
            _ => self.resume_behind_damage(),
        }
    }

    /// The payload of a record that [`Self::step`] gave.
    pub(crate) fn payload(&mut self, header: &RecordHeader, position: u64) -> io::Result<&[u8]> {
        self.window.at(position.saturating_add(size(record::HEADER_BYTES)), length(header.length))
    }

    /// Raw bytes, for the copy of a damaged range.
    pub(crate) fn bytes(&mut self, position: u64, count: usize) -> io::Result<&[u8]> {
        self.window.at(position, count)
    }

    /// Size of the file.
    pub(crate) fn file_bytes(&self) -> io::Result<u64> {
        self.window.file.bytes()
    }

    fn is_superseded(&self, offset: Offset) -> bool {
        self.until.is_some_and(|until| offset >= until)
    }

    fn resume_behind_damage(&mut self) -> io::Result<Step> {
        let end = self.window.file.bytes()?;
        let mut dirty_until = self.position;
        let mut position = self.position;
        while position < end {
            let chunk = self.window.at(position, READ_BYTES)?;
            if chunk.is_empty() {
                break;
            }
            let chunk_bytes = size(chunk.len());
            if let Some(last) = chunk.iter().rposition(|&byte| byte != 0) {
                dirty_until = position.saturating_add(size(last)).saturating_add(1);
            }
            for candidate in candidates(chunk, self.tag) {
                let at = position.saturating_add(candidate);
                if let Some(header) = self.record(at)?
                    && header.base >= self.next
                    && !self.is_superseded(header.base)
                {
                    let damage = Damage { bytes: self.position..at, offsets: self.next..header.base };
                    self.position = at;
                    self.next = header.base;
                    return Ok(Step::Damage(damage));
                }
            }
            position = position.saturating_add(chunk_bytes);
        }
        Ok(Step::End { dirty_until })
    }

    /// The record at `position`, if an intact one begins there.
    fn record(&mut self, position: u64) -> io::Result<Option<RecordHeader>> {
        let head = self.window.at(position, record::HEADER_BYTES)?;
        let Some((header, crc)) = RecordHeader::decode(head, self.tag) else { return Ok(None) };
        let left = self.window.file.bytes()?.saturating_sub(position);
        if u64::from(header.length) > left {
            return Ok(None);
        }
        let whole = self.window.at(position, record::HEADER_BYTES.saturating_add(length(header.length)))?;
        let Some((head, payload)) = whole.split_at_checked(record::HEADER_BYTES) else { return Ok(None) };
        let covered = head.get(..record::HEADER_BYTES.saturating_sub(4)).unwrap_or_default();
        let intact = payload.len() == length(header.length) && record::checksum(covered, payload) == crc;
        Ok(intact.then_some(header))
    }
}

/// Where in `chunk` a record may begin: the aligned places that hold the tag.
fn candidates(chunk: &[u8], tag: u32) -> Vec<u64> {
    if tag == 0 {
        return Vec::new();
    }
    let tag = tag.to_le_bytes();
    let step = length(u32::try_from(RECORD_ALIGNMENT).unwrap_or(8));
    let places = chunk.chunks(step).enumerate().filter(|(_, place)| place.starts_with(&tag));
    places.map(|(number, _)| size(number.saturating_mul(step))).collect()
}

/// A piece of a file in memory.
#[derive(Debug)]
struct Window {
    file: Box<dyn StoredFile>,
    buffer: Vec<u8>,
    start: u64,
}

impl Window {
    /// `count` bytes from `position` on; fewer only at the end of the file.
    fn at(&mut self, position: u64, count: usize) -> io::Result<&[u8]> {
        let held = self.range(position, count);
        if self.buffer.get(held.clone()).is_none_or(<[u8]>::is_empty) {
            self.buffer.resize(count.max(READ_BYTES), 0);
            self.start = position;
            let filled = self.file.read_at(&mut self.buffer, position).inspect_err(|_| self.buffer.clear())?;
            self.buffer.truncate(filled);
            return Ok(self.buffer.get(..count.min(filled)).unwrap_or_default());
        }
        Ok(self.buffer.get(held).unwrap_or_default())
    }

    fn forget(&mut self) {
        self.buffer.clear();
    }

    fn range(&self, position: u64, count: usize) -> Range<usize> {
        let from = position.checked_sub(self.start).and_then(|from| usize::try_from(from).ok()).unwrap_or(usize::MAX);
        from..from.saturating_add(count)
    }
}

fn size(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn length(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
