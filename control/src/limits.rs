//! Bounds of the control side.

/// Changes that a follower takes in one step.
pub const CHANGES_PER_STEP: usize = 4_000;

/// Parts of the directory that are locked one by one.
pub const DIRECTORY_PARTS: usize = 64;

/// Largest `policies.json` that is read.
pub const SMALL_FILE_BYTES_MAX: u64 = 64 * 1024;

const _: () = assert!(DIRECTORY_PARTS.is_power_of_two());
