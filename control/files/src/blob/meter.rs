//! Counts what is staged for each upload, so that one upload cannot fill the store with blocks that are never put together.
//! - Invariants: counts what came, not what is there: a block that comes twice counts twice. Counts begin anew with the program.
//! - Limits: [`METERS_MAX`] uploads; of each `upload_bytes_max` times [`STAGED_FACTOR`] bytes and [`BLOCKS_MAX`] times as many blocks.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::error::BlobError;
use crate::limits::{BLOCKS_MAX, METERS_MAX, STAGED_FACTOR};

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Meters(Mutex<HashMap<Box<str>, Meter>>);

#[derive(Default)]
struct Meter {
    bytes: u64,
    blocks: u64,
    /// Seconds since 1970 of the last block.
    touched: u64,
}

impl Meters {
    /// A block begins; answers how many bytes it may have, and at most `block_bytes_max`.
    pub(super) fn begin(
        &self,
        upload: &str,
        upload_bytes_max: u64,
        block_bytes_max: u64,
        now_unix: u64,
    ) -> Result<u64, BlobError> {
        let mut meters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if meters.len() >= METERS_MAX && !meters.contains_key(upload) {
            return Err(BlobError::BUSY);
        }
        let meter = meters.entry(upload.into()).or_default();
        meter.touched = now_unix;
        meter.blocks = meter.blocks.saturating_add(1);
        if meter.blocks > BLOCKS_MAX.saturating_mul(STAGED_FACTOR) {
            return Err(BlobError::TOO_MANY_BLOCKS);
        }
        let left = upload_bytes_max.saturating_mul(STAGED_FACTOR).saturating_sub(meter.bytes);
        Ok(left.min(block_bytes_max).min(upload_bytes_max))
    }

    /// So many bytes have come.
    pub(super) fn add(&self, upload: &str, bytes: u64) {
        let mut meters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(meter) = meters.get_mut(upload) {
            meter.bytes = meter.bytes.saturating_add(bytes);
        }
    }

    /// The upload is over.
    pub(crate) fn forget(&self, upload: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(upload);
    }

    /// Forgets those that nothing came for since then.
    pub(super) fn forget_before(&self, unix: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, meter| meter.touched >= unix);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staged_bytes_have_a_bound() {
        let meters = Meters::default();
        assert_eq!(meters.begin("u", 100, 60, 1), Ok(60));
        meters.add("u", 150);
        assert_eq!(meters.begin("u", 100, 60, 2), Ok(50));
        meters.add("u", 50);
        assert_eq!(meters.begin("u", 100, 60, 3), Ok(0));
        assert_eq!(meters.begin("other", 100, 200, 3), Ok(100));
        meters.forget_before(3);
        assert_eq!(meters.begin("u", 100, 60, 4), Ok(0), "still known");
        meters.forget("u");
        assert_eq!(meters.begin("u", 100, 60, 5), Ok(60));
    }

    #[test]
    fn blocks_have_a_bound() {
        let meters = Meters::default();
        for _ in 0..BLOCKS_MAX * STAGED_FACTOR {
            meters.begin("u", 100, 1, 1).unwrap();
        }
        assert_eq!(meters.begin("u", 100, 1, 1), Err(BlobError::TOO_MANY_BLOCKS));
    }
}
