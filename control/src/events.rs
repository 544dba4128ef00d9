//! What the control side tells metrics and logs. Nothing here names a device, and nothing is called per message.

use std::time::Duration;

use millrace_control_store::error::RegistryError;

/// Changes of identities that the hub has taken over.
pub const CHANGES_TOTAL: &str = "millrace_registry_changes_total";
/// Attempts to read changes that failed; the hub goes on with what it knows.
pub const FOLLOW_FAILURES_TOTAL: &str = "millrace_registry_follow_failures_total";
/// Times that all identities were loaded.
pub const LOADS_TOTAL: &str = "millrace_registry_loads_total";
/// How long the last load took.
pub const LOAD_SECONDS: &str = "millrace_registry_load_seconds";
/// Changes that were not taken over because `identities_max` is reached.
pub const LEFT_OUT_TOTAL: &str = "millrace_registry_left_out_total";

/// All identities are loaded.
pub(crate) fn loaded(identities: usize, left_out: usize, took: Duration) {
    metrics::counter!(LOADS_TOTAL).increment(1);
    metrics::gauge!(LOAD_SECONDS).set(took.as_secs_f64());
    tracing::info!(identities, seconds = took.as_secs_f64(), "registry loaded");
    if left_out > 0 {
        full(left_out, true);
    }
}

/// Identities were left out because `identities_max` is reached. Logged when it begins, not each time.
pub(crate) fn full(left_out: usize, first: bool) {
    metrics::counter!(LEFT_OUT_TOTAL).increment(u64::try_from(left_out).unwrap_or(u64::MAX));
    if first {
        tracing::error!("registry.identities_max is reached: some identities cannot connect");
    }
}

/// Changes are taken over.
pub(crate) fn changed(changes: usize) {
    metrics::counter!(CHANGES_TOTAL).increment(u64::try_from(changes).unwrap_or(u64::MAX));
}

/// Changes could not be read. Logged when it begins, not each time.
pub(crate) fn follow_failed(error: &RegistryError, first: bool) {
    metrics::counter!(FOLLOW_FAILURES_TOTAL).increment(1);
    if first {
        tracing::warn!(error = %error, cause = ?std::error::Error::source(error), "registry changes cannot be read");
    }
}

/// Changes can be read again.
pub(crate) fn follow_recovered() {
    tracing::info!("registry changes can be read again");
}

/// Failures of the store while it was asked for twins, queues or identities.
pub const STORE_FAILURES_TOTAL: &str = "millrace_control_store_failures_total";
/// Requests of sessions that were refused because their lane is full.
pub const LANE_REFUSALS_TOTAL: &str = "millrace_control_lane_refusals_total";
/// Requests of sessions that were carried out.
pub const REQUESTS_TOTAL: &str = "millrace_control_requests_total";
/// Operations that were refused because there were too many.
pub const THROTTLED_TOTAL: &str = "millrace_control_throttled_total";
/// Sessions that were ended because their shard took no more for too long.
pub const SESSIONS_GIVEN_UP_TOTAL: &str = "millrace_control_sessions_given_up_total";
/// Twins changed.
pub const TWIN_CHANGES_TOTAL: &str = "millrace_control_twin_changes_total";
/// Direct methods called; label `outcome`: answered, offline, timeout, refused.
pub const METHOD_CALLS_TOTAL: &str = "millrace_control_method_calls_total";
/// Commands enqueued.
pub const COMMANDS_ENQUEUED_TOTAL: &str = "millrace_control_commands_enqueued_total";
/// Commands handed to devices; one that is handed out again counts again.
pub const COMMANDS_DELIVERED_TOTAL: &str = "millrace_control_commands_delivered_total";
/// Commands that left their queue, whatever became of them.
pub const COMMANDS_REMOVED_TOTAL: &str = "millrace_control_commands_removed_total";
/// Feedback records that were lost because nobody receives any.
pub const FEEDBACK_LOST_TOTAL: &str = "millrace_control_feedback_lost_total";
/// Events handed to the journal.
pub const EVENTS_TOTAL: &str = "millrace_control_events_total";
/// Events lost because the journal took none for too long.
pub const EVENTS_LOST_TOTAL: &str = "millrace_control_events_lost_total";

/// Notes of other nodes that concerned a session of this one.
pub const NOTICES_TOTAL: &str = "millrace_control_notices_total";
/// Times that notes of other nodes may have been missed, because the connection to the database was lost.
pub const NOTICE_GAPS_TOTAL: &str = "millrace_control_notice_gaps_total";

/// Another node has noted something that concerns a session.
pub(crate) fn notice() {
    metrics::counter!(NOTICES_TOTAL).increment(1);
}

/// Other nodes are not heard. Logged when it begins, not each time.
pub(crate) fn deaf(error: &RegistryError, first: bool) {
    if first {
        tracing::warn!(error = %error, cause = ?std::error::Error::source(error), "other nodes cannot be heard");
    }
}

/// Other nodes are heard again.
pub(crate) fn heard_again() {
    metrics::counter!(NOTICE_GAPS_TOTAL).increment(1);
    tracing::info!("other nodes are heard again");
}

/// The store failed in the middle of a request.
pub(crate) fn store_failed(error: &RegistryError) {
    metrics::counter!(STORE_FAILURES_TOTAL).increment(1);
    tracing::warn!(error = %error, cause = ?std::error::Error::source(error), "the control side's store failed");
}

/// Something in the store cannot be read.
pub(crate) fn corrupt(what: &'static str, error: &dyn std::error::Error) {
    metrics::counter!(STORE_FAILURES_TOTAL).increment(1);
    tracing::error!(what, error = %error, "a stored document cannot be read");
}

/// A lane is full.
pub(crate) fn lane_full() {
    metrics::counter!(LANE_REFUSALS_TOTAL).increment(1);
}

/// A request of a session was taken up.
pub(crate) fn request() {
    metrics::counter!(REQUESTS_TOTAL).increment(1);
}

/// An operation was refused by a throttle.
pub(crate) fn throttled() {
    metrics::counter!(THROTTLED_TOTAL).increment(1);
}

/// A session took no more for too long.
pub(crate) fn session_given_up() {
    metrics::counter!(SESSIONS_GIVEN_UP_TOTAL).increment(1);
}

/// A twin changed.
pub(crate) fn twin_changed() {
    metrics::counter!(TWIN_CHANGES_TOTAL).increment(1);
}

/// A direct method call ended.
pub(crate) fn method_ended(outcome: &'static str) {
    metrics::counter!(METHOD_CALLS_TOTAL, "outcome" => outcome).increment(1);
}

/// A queue of commands changed.
pub(crate) fn queue_changed(enqueued: bool, removed: usize) {
    if enqueued {
        metrics::counter!(COMMANDS_ENQUEUED_TOTAL).increment(1);
    }
    metrics::counter!(COMMANDS_REMOVED_TOTAL).increment(u64::try_from(removed).unwrap_or(u64::MAX));
}

/// A command was handed out.
pub(crate) fn command_delivered() {
    metrics::counter!(COMMANDS_DELIVERED_TOTAL).increment(1);
}

/// Feedback was thrown away. Logged when it begins, not each time.
pub(crate) fn feedback_lost(records: usize, first: bool) {
    metrics::counter!(FEEDBACK_LOST_TOTAL).increment(u64::try_from(records).unwrap_or(u64::MAX));
    if first {
        tracing::warn!("feedback on commands is thrown away: nobody receives it");
    }
}

/// An event is safe.
pub(crate) fn announced() {
    metrics::counter!(EVENTS_TOTAL).increment(1);
}

/// An event was thrown away. Logged when it begins, not each time.
pub(crate) fn announcement_lost(first: bool) {
    metrics::counter!(EVENTS_LOST_TOTAL).increment(1);
    if first {
        tracing::error!("events of the control side are lost: the journal takes none");
    }
}

/// Changes of identities were not announced, because the log no longer goes back that far.
pub(crate) fn lifecycle_skipped(from: i64, to: i64) {
    tracing::warn!(from, to, "the change log is shorter than what was to be announced: lifecycle events are left out");
}
