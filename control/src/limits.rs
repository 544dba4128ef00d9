//! Bounds of the control side.

use std::time::Duration;

/// Changes that a follower takes in one step.
pub const CHANGES_PER_STEP: usize = 4_000;

/// Parts of the directory that are locked one by one.
pub const DIRECTORY_PARTS: usize = 64;

/// Largest `policies.json` that is read.
pub const SMALL_FILE_BYTES_MAX: u64 = 64 * 1024;

/// Lanes in which requests of devices are carried out, one after the other in each. So many writes of devices share a commit of the
/// store at most; a lane that nobody uses is a parked task of some hundred bytes.
pub const LANES: usize = 256;

/// Requests that wait in one lane; more are refused, and the door tells its peer to try later. Closing is never refused: there are no
/// more of those than sessions.
pub const LANE_REQUESTS_MAX: usize = 1_024;

/// Parts of the table of sessions that are locked one by one.
pub const SESSION_PARTS: usize = 64;

/// Identities without a session whose last activity is remembered, 16 bytes each.
pub const LAST_SEEN_MAX: usize = if cfg!(test) { 4_096 } else { 1_048_576 };

/// Locks that keep changes of one identity in order.
pub const STRIPES: usize = 1_024;

/// How often a change is decided anew because another process was faster.
pub const ATTEMPTS_MAX: usize = 16;

/// How long something is offered to a session whose shard is full. Then the session has to end: it would miss something.
pub const TELL_WAIT_MAX: Duration = Duration::from_secs(5);

/// First and longest pause between two such offers.
pub const TELL_PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));

/// Shortest time between two looks into the change log that devices ask for.
pub const REFRESH_PAUSE: Duration = Duration::from_millis(2);

/// Method callers that wait for a device to connect, all devices together.
pub const ARRIVALS_MAX: usize = 100_000;

/// Changes of the service that are under way, those included whose makers have gone away. More are refused with "try later".
pub const UNDER_WAY_MAX: usize = 16 * 1024;

/// Sessions that wait for a look into the change log; more are told to come again.
pub const REFRESHES_MAX: usize = 16 * 1024;

/// Notes of other nodes that are looked into at once.
pub const NOTED_AT_ONCE: usize = 128;

/// Noted queues that are remembered for sessions that are just beginning: many more than are noted while one begins.
pub const NOTED_QUEUES_KEPT: usize = 1_024;

/// Pause before other nodes are listened to again.
pub const NOTICE_PAUSE: Duration = Duration::from_millis(200);

/// Queues that time is let pass in at once, so that the store has many writes for one commit.
pub const SETTLED_AT_ONCE: usize = 128;

/// How long a queue whose store failed is left alone, in milliseconds.
pub const SETTLE_PAUSE: i64 = 1_000;

/// Longest sleep until a deadline, because clocks are set.
pub const SLEEP_MAX: Duration = Duration::from_secs(30);

/// Events that wait to be offered to the journal again; the newest beyond that is lost, and counted.
pub const EVENTS_WAITING_MAX: usize = 10_000;

/// Pause before an event is offered again.
pub const EVENT_PAUSE: Duration = Duration::from_millis(200);

/// Changes of identities announced at a time, before the position behind them is stored.
pub const ANNOUNCED_PER_STEP: usize = 256;

/// Descriptions of deleted identities that are kept until their deletion is announced.
pub const FAREWELLS_MAX: usize = 10_000;

/// Pieces of feedback that are kept, each of one or more records; beyond that new ones are lost, and counted.
pub const FEEDBACK_KEPT_MAX: u64 = 1_000_000;

/// Batches of feedback that wait for the service at a time, locked ones included; further records wait in pieces.
pub const FEEDBACK_BATCHES_MAX: usize = 256;

/// How often feedback that nobody receives is looked through for what is too old.
pub const FEEDBACK_SWEEP: Duration = Duration::from_secs(60);

/// How often the snapshots of models and certificates are compared with the store.
pub const SNAPSHOT_PAUSE: Duration = Duration::from_millis(500);

/// DTDL models that a hub keeps, and their bytes in all; every node holds them in memory.
pub const MODELS_MAX: usize = 10_000;

/// See [`MODELS_MAX`].
pub const MODEL_BYTES_MAX: usize = 256 * 1024;

/// Certificates and revocation lists that a hub keeps.
pub const CERTIFICATES_MAX: usize = 1_000;

/// Characters in the name of a certificate.
pub const CERTIFICATE_NAME_MAX: usize = 64;

/// Rows of one query's answer, and of one step of a scan.
pub const ROWS_MAX: usize = 1_000;

/// Identities that one call of a query looks at before it answers with what it has and where to go on.
pub const ROWS_SCANNED_MAX: usize = 100_000;

const _: () = assert!(DIRECTORY_PARTS.is_power_of_two());
const _: () = assert!(SESSION_PARTS.is_power_of_two());
const _: () = assert!(LANES.is_power_of_two() && LANES <= 65_536);
const _: () = assert!(STRIPES.is_power_of_two() && STRIPES <= 65_536);
