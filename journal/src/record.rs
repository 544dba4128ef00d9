//! One record of a segment: header and payload of one batch.
//! - Shape: tag u32 | payload length u32 | base offset u64 | count u32 | raw length u32 | flags u32 | crc32c u32 | payload |
//!   zeros up to a multiple of 8, little endian. The checksum covers the header before it and the payload.
//! - Invariants: the tag is the segment's own random number, so that neither an old file's contents nor a message body that
//!   looks like a record can pass for one.
//! - Limits: payload and raw length at most [`RAW_BYTES_MAX`], checked before anything is allocated.
//! - Not here: what the payload holds (`encode`), how records follow one another (`walk`).

use millrace_model::Offset;

use crate::limits::{RAW_BYTES_MAX, RECORD_ALIGNMENT};

/// Size of a record's header.
pub(crate) const HEADER_BYTES: usize = 32;

/// The payload is an LZ4 block; without it, the payload is raw.
const FLAG_LZ4: u32 = 1;

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) tag: u32,
    /// Bytes of the payload, without padding.
    pub(crate) length: u32,
    /// Offset of the first message.
    pub(crate) base: Offset,
    /// How many messages.
    pub(crate) count: u32,
    /// Bytes of the payload once decompressed.
    pub(crate) raw_length: u32,
    /// Whether the payload is an LZ4 block.
    pub(crate) compressed: bool,
}

impl RecordHeader {
    /// Offset after the last message.
    pub(crate) fn end(&self) -> Offset {
        self.base.plus(u64::from(self.count))
    }

    /// Bytes of the whole record on disk, padding included.
    pub(crate) fn record_bytes(&self) -> u64 {
        let header = u64::try_from(HEADER_BYTES).unwrap_or(0);
        header.saturating_add(u64::from(self.length)).next_multiple_of(RECORD_ALIGNMENT)
    }

    /// The header's bytes, with the checksum over them and `payload`.
    pub(crate) fn encode(&self, payload: &[u8]) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let (head, crc) = bytes.split_at_mut(HEADER_BYTES.saturating_sub(4));
        let fields = [
            &self.tag.to_le_bytes()[..],
            &self.length.to_le_bytes(),
            &self.base.0.to_le_bytes(),
            &self.count.to_le_bytes(),
            &self.raw_length.to_le_bytes(),
            &(if self.compressed { FLAG_LZ4 } else { 0 }).to_le_bytes(),
        ];
        let mut rest = &mut *head;
        for field in fields {
            let (place, after) = rest.split_at_mut(field.len());
            place.copy_from_slice(field);
            rest = after;
        }
        crc.copy_from_slice(&checksum(head, payload).to_le_bytes());
        bytes
    }

    /// Reads a header and says which checksum it wants; `None` when it cannot be one of the segment with this tag.
    pub(crate) fn decode(bytes: &[u8], tag: u32) -> Option<(Self, u32)> {
        let mut fields = Fields(bytes);
        let header = Self {
            tag: fields.u32()?,
            length: fields.u32()?,
            base: Offset(fields.u64()?),
            count: fields.u32()?,
            raw_length: fields.u32()?,
            compressed: match fields.u32()? {
                0 => false,
                FLAG_LZ4 => true,
                _ => return None,
            },
        };
        let crc = fields.u32()?;
        let within = |length: u32| usize::try_from(length).is_ok_and(|length| length <= RAW_BYTES_MAX);
        let sane = header.tag == tag
            && tag != 0
            && within(header.length)
            && within(header.raw_length)
            && header.count > 0
            && header.base.0.checked_add(u64::from(header.count)).is_some();
        sane.then_some((header, crc))
    }
}

/// The checksum of a record.
pub(crate) fn checksum(head: &[u8], payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(head), payload)
}

/// Takes little-endian numbers off the front of a slice.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl Fields<'_> {
    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_read_back_and_every_flipped_bit_shows() {
        let header =
            RecordHeader { tag: 0xfeed_beef, length: 5, base: Offset(7), count: 3, raw_length: 9, compressed: true };
        let payload = *b"12345";
        let bytes = header.encode(&payload);
        let (read, crc) = RecordHeader::decode(&bytes, header.tag).unwrap();
        assert_eq!((read, crc), (header, checksum(&bytes[..28], &payload)));
        assert_eq!((header.record_bytes(), header.end()), (40, Offset(10)));
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            let passes = RecordHeader::decode(&bytes, header.tag)
                .is_some_and(|(_, crc)| crc == checksum(&bytes[..28], &payload));
            assert!(!passes, "bit {bit}");
        }
        assert!(RecordHeader::decode(&bytes[..31], header.tag).is_none());
        assert!(RecordHeader::decode(&[0; 32], 0).is_none());
    }
}
