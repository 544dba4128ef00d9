//! Bounds of the journal that are not configuration.

use std::time::Duration;

use millrace_model::limits::{BATCH_BYTES_MAX, BATCH_MESSAGES_MAX, MESSAGE_BYTES_MAX};

/// Largest uncompressed batch that is written or believed. A sealed batch has at most 1 MiB and a message of text, and 25
/// bytes of columns a message; the rest is room for long identities.
pub(crate) const RAW_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Records begin at multiples of this, so that a search for the next one is quick.
pub(crate) const RECORD_ALIGNMENT: u64 = 8;

/// Blocks of the disk that are written whole: the page of the file system, and a multiple of any sector.
pub(crate) const BLOCK_BYTES: usize = 4096;

/// Zeros written at a time ahead of the records. One in some fifty groups waits for them, 0.5 ms.
pub(crate) const ZEROS_BYTES: usize = if cfg!(test) { 2 * BLOCK_BYTES } else { 512 * 1024 };

/// With less than this written ahead, more is.
pub(crate) const ZEROS_LEFT_MIN: u64 = if cfg!(test) { 4096 } else { 256 * 1024 };

/// A group of batches is written with one call and one sync; it is closed when its encoded form reaches this size.
pub(crate) const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Most batches in one group.
pub(crate) const GROUP_BATCHES_MAX: usize = 256;

/// This much waiting is written at once, whatever the sync interval says.
pub(crate) const HURRY_BYTES: usize = 256 * 1024;

/// Pause between two attempts of a journal that cannot write.
pub(crate) const STALL_PAUSE: Duration = Duration::from_millis(200);

/// How much is read from a segment at a time.
pub(crate) const READ_BYTES: usize = if cfg!(test) { 8192 } else { 256 * 1024 };

/// Recovery checks this much of the newest segments (about a second at 1 GB/s); readers check older ones as they come by.
pub(crate) const VERIFY_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Damaged bytes kept aside, all together; damage beyond it is reported but not copied.
pub(crate) const QUARANTINE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Damaged places remembered, so that several readers report one only once; beyond it they may report it again.
pub(crate) const QUARANTINE_PLACES_MAX: usize = 4096;

/// Smallest segment that a configuration may ask for: two of the largest ordinary batches.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 4 * 1024 * 1024;

/// Largest segment that a configuration may ask for.
pub(crate) const SEGMENT_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

const _: () = assert!(RAW_BYTES_MAX > 2 * (BATCH_BYTES_MAX + MESSAGE_BYTES_MAX + 25 * BATCH_MESSAGES_MAX));
const _: () = assert!(HURRY_BYTES < GROUP_BYTES_MAX);
const _: () = assert!(ZEROS_BYTES.is_multiple_of(BLOCK_BYTES) && BLOCK_BYTES.is_multiple_of(512));

/// Fewer waiting messages than this are held back for [`FEW_INTERVALS`] intervals instead of one: a sync costs the processor some
/// 50 us, whatever it syncs.
pub(crate) const FEW_MESSAGES: u64 = 64;

/// How many intervals few messages wait at the most.
pub(crate) const FEW_INTERVALS: u32 = 6;
