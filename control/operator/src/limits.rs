//! Bounds of the command line.

/// Rows of an import that are handed to the store together; with `--skip-bad` also the size of a transaction.
pub const IMPORT_ROWS_PER_STEP: usize = 4_000;

/// Bad lines of an import that are reported one by one; the rest is counted.
pub const IMPORT_BAD_LINES_MAX: usize = 100;

/// Rows of an import file that are held in memory at most before they go to a hub that is reached by URL (about 200 MB).
pub const IMPORT_ROWS_HELD_MAX: usize = 1_000_000;

/// Largest answer that the client of a hub's REST API reads: 1,000 identities of about 700 B, four times over.
pub const RESPONSE_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Identities in one `POST /devices`, as the REST API allows.
pub const BULK_IDENTITIES_MAX: usize = 100;

/// Largest `hub.json` that is read.
pub const SMALL_FILE_BYTES_MAX: u64 = 64 * 1024;
