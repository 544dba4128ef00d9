//! One segment: a preallocated file of records, named after the offset of its first message.
//! - Shape: header 64 B | zeros | at 4096 the header again | record*, the first one at 4160; header = magic 8 B | version u32 | shard u16 | zero u16 | base offset u64 | tag u32 |
//!   zero 32 B | crc32c u32, little endian. What follows the last record is zero, or superseded by the next segment.
//! - Units: offsets count messages, positions count bytes.
//! - Invariants: a file under its final name has a synced header. No message at or past the base of the next segment counts:
//!   that is how the unsafe tail of a segment whose sync failed is left behind.
//! - Not here: creating segments (`writer`), reading them (`walk`).

use std::path::{Path, PathBuf};

use millrace_model::{Offset, ShardId};

use crate::record::Fields;

/// Size of a segment's header.
const HEADER_BYTES: usize = 64;

/// Position of the header's copy: another page, so that one bad sector does not cost the whole segment.
const HEADER_COPY_POSITION: usize = 4096;

/// Position of the block that the first record lies in, behind the header's copy.
pub(crate) const RECORDS_BLOCK: usize = HEADER_COPY_POSITION;

/// Position of the first record.
pub(crate) const RECORDS_START: u64 = 4160;

/// Format of segments and records that this program writes.
pub(crate) const VERSION: u32 = 1;

const _: () = assert!(RECORDS_BLOCK.is_multiple_of(crate::limits::BLOCK_BYTES));

const MAGIC: [u8; 8] = *b"MILLRACE";
const SUFFIX: &str = ".journal";

/// The header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) version: u32,
    pub(crate) shard: ShardId,
    pub(crate) base: Offset,
    /// Random number that begins every record of this segment; never zero.
    pub(crate) tag: u32,
}

impl SegmentHeader {
    /// The header of a new segment, with a tag that nobody can foresee.
    pub(crate) fn new(shard: ShardId, base: Offset) -> Self {
        Self { version: VERSION, shard, base, tag: random_tag() }
    }

    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let fields = [
            &MAGIC[..],
            &self.version.to_le_bytes(),
            &self.shard.0.to_le_bytes(),
            &[0; 2],
            &self.base.0.to_le_bytes(),
            &self.tag.to_le_bytes(),
            &[0; 32],
        ];
        let mut rest = &mut bytes[..];
        let mut crc = 0;
        for field in fields {
            let (place, after) = rest.split_at_mut(field.len());
            place.copy_from_slice(field);
            crc = crc32c::crc32c_append(crc, field);
            rest = after;
        }
        rest.copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// All that comes before the first record.
    pub(crate) fn encode_twice(&self) -> Vec<u8> {
        let mut bytes = self.encode().to_vec();
        bytes.resize(HEADER_COPY_POSITION, 0);
        bytes.extend_from_slice(&self.encode());
        bytes
    }

    /// Reads the header of a segment that begins with these bytes, from its copy if need be; says whether both are intact.
    pub(crate) fn decode_twice(bytes: &[u8]) -> (Option<Self>, bool) {
        let copy = bytes.get(HEADER_COPY_POSITION..).and_then(Self::decode);
        let first = Self::decode(bytes);
        (first.or(copy), first.is_some() && first == copy)
    }

    /// `None` when the bytes are no intact header.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (covered, crc) = bytes.get(..HEADER_BYTES)?.split_last_chunk::<4>()?;
        let (magic, rest) = covered.split_first_chunk::<8>()?;
        if *magic != MAGIC || crc32c::crc32c(covered) != u32::from_le_bytes(*crc) {
            return None;
        }
        let mut fields = Fields(rest);
        let version = fields.u32()?;
        let shard = ShardId(fields.u16()?);
        fields.u16()?;
        Some(Self { version, shard, base: Offset(fields.u64()?), tag: fields.u32()? })
    }
}

/// Keyed by the operating system's randomness.
fn random_tag() -> u32 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    let random = RandomState::new().build_hasher().finish();
    u32::try_from(random & u64::from(u32::MAX)).unwrap_or(1).max(1)
}

/// Name of the segment that begins at `base`.
pub(crate) fn file_name(base: Offset) -> String {
    format!("{:020}{SUFFIX}", base.0)
}

/// The offset that a segment's name states; `None` for any other name.
pub(crate) fn base_of(name: &str) -> Option<Offset> {
    let digits = name.strip_suffix(SUFFIX)?;
    let written_by_us = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    written_by_us.then(|| digits.parse().ok().map(Offset)).flatten()
}

/// Directory of one shard's journal.
pub(crate) fn shard_directory(directory: &Path, shard: ShardId) -> PathBuf {
    directory.join(format!("shard-{shard}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_names_read_back() {
        let header = SegmentHeader::new(ShardId(7), Offset(1234));
        let bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Some(header));
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&bytes), None, "bit {bit}");
        }
        let mut twice = header.encode_twice();
        assert_eq!(u64::try_from(twice.len()).unwrap(), RECORDS_START);
        assert_eq!(SegmentHeader::decode_twice(&twice), (Some(header), true));
        twice[9] ^= 1;
        assert_eq!(SegmentHeader::decode_twice(&twice), (Some(header), false));
        twice[HEADER_COPY_POSITION] ^= 1;
        assert_eq!(SegmentHeader::decode_twice(&twice), (None, false));
        assert_eq!(file_name(Offset(1234)), "00000000000000001234.journal");
        assert_eq!(base_of("00000000000000001234.journal"), Some(Offset(1234)));
        for stray in ["1234.journal", "0000000000000000123x.journal", "99999999999999999999.journal", "lock"] {
            assert_eq!(base_of(stray), None, "{stray}");
        }
    }
}
