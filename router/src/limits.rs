//! Bounds of the rule language, the route table and the drivers.

/// Longest condition. The hub's own limit for a route is of the same order.
pub const CONDITION_BYTES_MAX: usize = 4096;

/// Deepest nesting of a condition. `AND`, `OR` and `||` chains count as one level, however long.
pub const CONDITION_DEPTH_MAX: usize = 32;

/// Most values in one `IN [..]`.
pub const LIST_LEN_MAX: usize = 256;

/// Most steps of one `$body.` or `$twin.` path. Extraction recurses once per step.
pub const PATH_STEPS_MAX: usize = 32;

/// Most distinct properties that the conditions of one table may read; a row of spans is kept for each message of a chunk.
pub const PROPERTY_FIELDS_MAX: usize = 1024;

/// Most distinct body paths that the conditions of one table may read.
pub const BODY_FIELDS_MAX: usize = 256;

/// Deepest nesting of a body that a condition reads.
pub const BODY_DEPTH_MAX: usize = 128;

/// Most routes in a table (Azure IoT Hub: 100).
pub const ROUTES_MAX: usize = 100;

/// Most endpoints that a table may know.
pub const ENDPOINTS_MAX: usize = 64;

/// Most enrichments in a table (Azure IoT Hub: 10).
pub const ENRICHMENTS_MAX: usize = 10;

/// Longest text that an expression may build; a longer one is undefined.
pub const TEXT_BYTES_MAX: usize = 512 * 1024;

/// Messages that are evaluated together: four words of a bit mask, small enough that all columns stay in the cache.
pub const CHUNK_ROWS: usize = 256;

/// Routed batches that a shard's cache keeps for the slower sinks. One is at most 2 KiB for each endpoint.
pub const ROUTED_BATCHES_MAX: usize = 64;

/// A dead-letter file is closed at this size.
pub const DEAD_LETTER_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Default bound of all dead-letter files together.
pub const DEAD_LETTER_BYTES_MAX: u64 = 1024 * 1024 * 1024;

// A span of properties for a full chunk stays below 3 MiB.
const _: () = assert!(CHUNK_ROWS * PROPERTY_FIELDS_MAX * 8 < 3 * 1024 * 1024);
const _: () = assert!(CHUNK_ROWS.is_multiple_of(64));
// Every path can be reached, and the JSON reader's own bound (200 levels below what it skips) never decides.
const _: () = assert!(PATH_STEPS_MAX < BODY_DEPTH_MAX && BODY_DEPTH_MAX < 200);
// Field numbers are u16.
const _: () = assert!(PROPERTY_FIELDS_MAX < 0xffff && BODY_FIELDS_MAX < 0xffff);
