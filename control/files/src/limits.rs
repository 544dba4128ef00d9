//! Bounds of file uploads that are not configured.

use std::time::Duration;

/// Longest name of a blob, device id included, in characters (Azure: 1,024).
pub(crate) const BLOB_CHARACTERS_MAX: usize = 1_024;

/// Longest part of a name between slashes, once encoded: file systems take 255 bytes, and a file being written has a suffix.
pub(crate) const SEGMENT_BYTES_MAX: usize = 240;

/// Part of a file that is written at once: the least that S3 takes.
pub(crate) const PART_BYTES: usize = 5 * 1024 * 1024;

/// Blocks of one file (Azure: 50,000).
pub(crate) const BLOCKS_MAX: u64 = 50_000;

/// Bytes of a block's id before base64 (Azure: 64).
pub(crate) const BLOCK_ID_BYTES_MAX: usize = 64;

/// A block list: each entry is an id of at most 88 characters between tags of 25.
pub(crate) const BLOCK_LIST_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What may be staged for one upload is its largest size so many times: blocks that came twice count twice.
pub(crate) const STAGED_FACTOR: u64 = 2;

/// Uploads whose staged bytes are counted in memory, some 150 bytes each; more have to wait.
pub(crate) const METERS_MAX: usize = 100_000;

/// How long a request waits for its turn to write.
pub(crate) const WRITE_WAIT: Duration = Duration::from_secs(10);

/// What a client that was told to wait should wait, in seconds.
pub(crate) const RETRY_SECONDS: &str = "5";

/// For so long after its end an upload is remembered, so that its last word can still come.
pub(crate) const GRACE_SECONDS: u64 = 3_600;

/// Finished uploads that are remembered of a device, so that saying so twice is no error.
pub(crate) const FINISHED_KEPT: usize = 10;

/// Notifications that wait for a service; more are dropped, and counted.
pub(crate) const NOTIFICATIONS_MAX: u64 = 100_000;

/// Longest description that a device gives of an outcome.
pub(crate) const DESCRIPTION_CHARACTERS_MAX: usize = 1_024;

/// How often unfinished uploads are looked for.
pub(crate) const SWEEP_INTERVAL: Duration = Duration::from_secs(300);

/// Objects that one sweep removes.
pub(crate) const SWEEP_OBJECTS_MAX: usize = 10_000;

/// Locks for the uploads of devices, shared by id.
pub(crate) const STRIPES: usize = 64;

/// First parts of the hub's own addresses.
pub(crate) const CONTAINER_NAMES_TAKEN: [&str; 15] = [
    "certificates",
    "configurations",
    "devices",
    "digitaltwins",
    "enrollmentgroups",
    "enrollments",
    "files",
    "health",
    "jobs",
    "messages",
    "metrics",
    "models",
    "registrations",
    "statistics",
    "twins",
];

const _: () = assert!(BLOCK_ID_BYTES_MAX * 2 <= SEGMENT_BYTES_MAX);
const _: () = assert!(BLOCK_LIST_BYTES_MAX >= 50_000 * (88 + 25) + 100);
