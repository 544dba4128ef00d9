//! Bounds of jobs, imports, exports and configurations.

use std::time::Duration;

/// Characters of a job's id.
pub const JOB_ID_CHARACTERS_MAX: usize = 64;

/// Longest time that a scheduled job may take, in seconds: two days, as the hub allows.
pub const EXECUTION_SECONDS_MAX: u64 = 172_800;

/// How far ahead a job may be scheduled, in days.
pub const SCHEDULE_DAYS_MAX: i64 = 365;

/// Jobs of one kind that are kept, ended ones included.
pub const JOBS_KEPT_MAX: u64 = 10_000;

/// Scheduled jobs that have not ended.
pub const JOBS_ACTIVE_MAX: usize = 500;

/// Rows of devices that one step lists. One write each and one for the job itself fit into a batch of the store.
pub const LISTED_PER_STEP: usize = 250;

/// Outcomes of devices that are written together.
pub const OUTCOMES_PER_WRITE: usize = 64;

/// Bytes of outcomes that are written together, unless one alone is more: answers of methods are written anew, which can make numbers in
/// them four times as long, and a batch of the store has an end.
pub const OUTCOME_BYTES_PER_WRITE: usize = 4 * 1024 * 1024;

/// Rows that are read ahead of the devices that are worked on.
pub const ROWS_READ_AHEAD: usize = 250;

/// How often a device's step is tried again when the hub itself has no room for it.
pub const STEP_ATTEMPTS_MAX: u32 = 8;

/// First pause between two such attempts; it doubles.
pub const STEP_PAUSE: Duration = Duration::from_millis(250);

/// How often a change of a document is decided anew because another process was faster.
pub const ATTEMPTS_MAX: usize = 16;

/// Identities in one `POST /devices`.
pub const BULK_IDENTITIES_MAX: usize = 100;

/// Identities of a bulk call or an import that are worked on at the same time.
pub const APPLIED_AT_ONCE: usize = 50;

/// Lines of an import that are worked on together.
pub const IMPORT_LINES_PER_STEP: usize = 200;

/// Longest line of an import: an identity with keys and a full twin.
pub const IMPORT_LINE_BYTES_MAX: usize = 256 * 1024;

/// Characters of the name of a blob or of the address of a container.
pub const BLOB_NAME_CHARACTERS_MAX: usize = 1_024;

/// Errors that an import writes into its log; later ones are counted.
pub const IMPORT_ERRORS_MAX: u64 = 100_000;

/// Configurations of a hub.
pub const CONFIGURATIONS_MAX: u64 = 100;

/// Bytes of a configuration as JSON.
pub const CONFIGURATION_BYTES_MAX: usize = 256 * 1024;

/// Characters of a configuration's id.
pub const CONFIGURATION_ID_CHARACTERS_MAX: usize = 128;

/// Labels of a configuration.
pub const LABELS_MAX: usize = 20;

/// Characters of a label's name or value.
pub const LABEL_CHARACTERS_MAX: usize = 255;

/// Metrics of a configuration.
pub const METRICS_MAX: usize = 20;

/// Modules in one deployment, as the hub allows 20 beside the two of the runtime.
pub const DEPLOYMENT_MODULES_MAX: usize = 50;

/// Twins that are read at a time when all of them are compared with the configurations.
pub const TWINS_PER_STEP: usize = 500;

/// Twins that are changed at the same time when configurations are applied.
pub const FOLLOWED_AT_ONCE: usize = 50;

/// Identities whose change waits to be compared with the configurations; more are left to the next round.
pub const HINTS_MAX: usize = 10_000;

const _: () = assert!(LISTED_PER_STEP < millrace_control_store::documents::WRITES_MAX);
const _: () = assert!(OUTCOMES_PER_WRITE < millrace_control_store::documents::WRITES_MAX);
const _: () = assert!(CONFIGURATION_BYTES_MAX < millrace_control_store::documents::BODY_BYTES_MAX);
