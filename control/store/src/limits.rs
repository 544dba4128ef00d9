//! Bounds of what is kept.

/// Longest text that says why an identity is disabled, in characters, as the hub allows.
pub const STATUS_REASON_CHARACTERS_MAX: usize = 128;

/// Longest name of what manages a module, in characters.
pub const MANAGED_BY_CHARACTERS_MAX: usize = 128;

/// Longest scope, in characters: `ms-azure-iot-edge://`, a device id, a generation, and room.
pub const SCOPE_CHARACTERS_MAX: usize = 512;

/// Scopes of parents: IoT Edge goes five levels deep.
pub const PARENT_SCOPES_MAX: usize = 5;

/// Modules of one device, as the hub allows.
pub const DEVICE_MODULES_MAX: usize = 50;

/// Rows in one INSERT. 18 values a row; SQLite takes 32,766 values in one statement.
pub const INSERT_ROWS_MAX: usize = 500;

/// Rows of documents in one statement of SQLite; 5 values a row.
pub const STATEMENT_ROWS_MAX: usize = 1_000;

/// Identities in one page of a list, and in one answer of `GET /devices`.
pub const PAGE_IDENTITIES_MAX: usize = 1_000;

/// Entries of the store's change log. A follower that is further behind loads everything anew.
/// The number also stands in the schema, in the trigger that trims the log.
pub const CHANGES_KEPT: i64 = 200_000;

const _: () = assert!(INSERT_ROWS_MAX * 18 < 32_766 && STATEMENT_ROWS_MAX * 5 < 32_766);

/// Owner and name of a document together. PostgreSQL takes at most 2,704 bytes in an entry of an index.
pub const KEY_BYTES_MAX: usize = 2_304;

/// Bodies and keys of one batch together: 256 writes of 64 KiB.
pub const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Changes and batches that share one transaction. More would make the first of them wait longer than they save.
pub const GROUP_MEMBERS_MAX: usize = 256;

/// Changes and batches that wait for a transaction. Whoever comes then waits for room.
pub const QUEUE_MEMBERS_MAX: usize = 1_024;

/// Bytes of batches that wait or are being written, in KiB. Whoever comes then waits for room.
pub const QUEUE_KIBIBYTES_MAX: usize = 64 * 1024;

const _: () = assert!(BATCH_BYTES_MAX / 1024 < QUEUE_KIBIBYTES_MAX);
