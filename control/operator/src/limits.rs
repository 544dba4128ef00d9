//! Bounds of the command line.

use std::time::Duration;

/// Rows of an import that are handed to the store together; with `--skip-bad` also the size of a transaction.
pub const IMPORT_ROWS_PER_STEP: usize = 4_000;

/// Bad lines of an import that are reported one by one; the rest is counted.
pub const IMPORT_BAD_LINES_MAX: usize = 100;

/// Rows of an import file that are held in memory at most before they go to a hub that is reached by URL (about 200 MB).
pub const IMPORT_ROWS_HELD_MAX: usize = 1_000_000;

/// Largest answer of a hub that is read: 100 twins with all sections full and their metadata, some 200 KiB each, and half as much again.
pub const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Identities in one `POST /devices`, as the REST API allows.
pub const BULK_IDENTITIES_MAX: usize = 100;

/// Rows of a query, or of a list that has pages, that are asked for together.
pub const PAGE_ROWS: usize = 100;

/// Largest file or standard input that is an argument: more than any body that a hub takes.
pub const INPUT_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Largest `hub.json`, and largest file with a connection string.
pub const SMALL_FILE_BYTES_MAX: u64 = 64 * 1024;

/// Characters of a hub's explanation that are shown.
pub const EXPLANATION_CHARACTERS_MAX: usize = 2_000;

/// How long connecting to a hub may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a call may take, unless it waits for a device.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// How much longer than the device a caller of a method waits for the hub.
pub const METHOD_GRACE: Duration = Duration::from_secs(15);

/// How long the tokens live that calls are signed with.
pub const TOKEN_SECONDS: u64 = 300;

/// How often a job is looked at while its end is waited for.
pub const JOB_POLL: Duration = Duration::from_secs(1);
