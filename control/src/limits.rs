//! Bounds of the control side.

/// Longest text that says why an identity is disabled, in characters, as the hub allows.
pub const STATUS_REASON_CHARACTERS_MAX: usize = 128;

/// Rows in one INSERT. 11 values a row; SQLite takes 32,766 values in one statement.
pub const INSERT_ROWS_MAX: usize = 500;

/// Rows of an import that are handed to the store together; with `--skip-bad` also the size of a transaction.
pub const IMPORT_ROWS_PER_STEP: usize = 4_000;

/// Bad lines of an import that are reported one by one; the rest is counted.
pub const IMPORT_BAD_LINES_MAX: usize = 100;

/// Rows of an import file that are held in memory at most before they go to a hub that is reached by URL (about 200 MB).
pub const IMPORT_ROWS_HELD_MAX: usize = 1_000_000;

/// Identities in one page of a list, and in one answer of `GET /devices`.
pub const PAGE_IDENTITIES_MAX: usize = 1_000;

/// Identities in one `POST /devices`.
pub const BULK_IDENTITIES_MAX: usize = 100;

/// Largest request body of the REST API: 100 identities with keys, status and twin members that are skipped.
pub const REQUEST_BODY_BYTES_MAX: usize = 1024 * 1024;

/// Largest answer that the client of a hub's REST API reads: 1,000 identities of about 700 B, four times over.
pub const RESPONSE_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Entries of the store's change log. A follower that is further behind loads everything anew.
/// The number also stands in the schema, in the trigger that trims the log.
pub const CHANGES_KEPT: i64 = 200_000;

/// Changes that a follower takes in one step.
pub const CHANGES_PER_STEP: usize = 4_000;

/// Parts of the directory that are locked one by one.
pub const DIRECTORY_PARTS: usize = 64;

/// Largest `policies.json` and `hub.json` that is read.
pub const SMALL_FILE_BYTES_MAX: u64 = 64 * 1024;

const _: () = assert!(INSERT_ROWS_MAX * 11 < 32_766);
const _: () = assert!(DIRECTORY_PARTS.is_power_of_two());
