//! Bounds of this sink that are not configuration.

use millrace_model::limits::{BATCH_BYTES_MAX, MESSAGE_BYTES_MAX};

/// Rows that are turned into Arrow arrays and encoded in one go: about 8 ms of work, after which the caller gets its thread back.
pub(crate) const SLICE_ROWS_MAX: usize = 8 * 1024;

/// Bag and body bytes that are encoded in one go; a slice overshoots by at most one message.
pub(crate) const SLICE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Most typed columns of one sink: each costs a builder per slice and a column chunk per row group.
pub(crate) const COLUMNS_MAX: usize = 256;

/// Steps of one JSON path; also how deep a body is followed.
pub(crate) const PATH_STEPS_MAX: usize = 16;

/// How many parts of one file are on their way to an object store at a time.
pub(crate) const UPLOAD_PARTS_MAX: usize = 4;

/// Size of one part: 10,000 parts (the limit of S3) make 156 GiB.
pub(crate) const UPLOAD_PART_BYTES: usize = 16 * 1024 * 1024;

/// Date folders that are still searched for complete files after one that lies wholly below the cursor.
pub(crate) const DATES_BEYOND: usize = 3;

/// Longest pause after a failure, in seconds; the first is one second, and each doubles.
pub(crate) const PAUSE_SECONDS_MAX: u64 = 30;

// Arrow's strings and binaries are indexed by i32; percent-decoding at worst turns one byte into three (U+FFFD).
const _: () = assert!(3 * (SLICE_BYTES_MAX + 2 * MESSAGE_BYTES_MAX) < 0x7fff_ffff);
// A row group's smallest size has to hold a batch.
pub(crate) const ROW_GROUP_BYTES_MIN: usize = 4 * 1024 * 1024;
const _: () = assert!(ROW_GROUP_BYTES_MIN > BATCH_BYTES_MAX + 2 * MESSAGE_BYTES_MAX);
