//! Bounds of this sink that no configuration changes.

/// Parts that a window is cut into. Its length is exact to one part: a window of N seconds holds the points of the last
/// N x 29/30 to N seconds.
pub(crate) const WINDOW_BUCKETS: usize = 30;

/// Longest window or silence: 31 days.
pub(crate) const PERIOD_SECONDS_MAX: u64 = 31 * 24 * 3600;

/// Most rules of one sink. Each costs 32 bytes per device, and a window rule another 512.
pub(crate) const RULES_MAX: usize = 256;

/// Most webhooks and topics of one sink.
pub(crate) const ACTIONS_MAX: usize = 64;

/// Most steps of a JSON path.
pub(crate) const PATH_STEPS_MAX: usize = 16;

/// Longest name of a rule, an action or a sink.
pub(crate) const NAME_BYTES_MAX: usize = 128;

/// Longest summary text of a rule.
pub(crate) const SUMMARY_BYTES_MAX: usize = 4096;

/// What is read of a webhook's answer before the connection is given up.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Longest pause that a webhook may ask for with `Retry-After`.
pub(crate) const RETRY_AFTER_SECONDS_MAX: u64 = 3600;

/// How many devices are looked at to find the longest idle one when the table is full.
pub(crate) const EVICTION_SAMPLE: usize = 64;

/// A shard whose newest message is this close to the clock counts as caught up.
pub(crate) const CAUGHT_UP_MS: i64 = 2000;

/// A shard that delivered nothing for this long counts as caught up.
pub(crate) const QUIET_MS: i64 = 2000;

/// Most devices whose silence is decided in one poll, so that the thread stays free for messages.
pub(crate) const DUE_PER_POLL_MAX: usize = 20_000;

/// A frame is written at least this often, so that the time in which the hub was down is known when it comes back.
pub(crate) const ALIVE_SECONDS: u64 = 30;

/// Longest frame of the state file.
pub(crate) const FRAME_BYTES_MAX: usize = 1 << 30;

/// The state file is rewritten when it is this large and four times as large as after its last rewriting.
pub(crate) const COMPACT_BYTES_MIN: u64 = 16 * 1024 * 1024;

// A window is an array of 16-byte buckets and a head of 32 bytes.
const _: () = assert!(WINDOW_BUCKETS * 16 + 32 <= 512);
