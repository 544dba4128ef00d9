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
/// Requests to the service API that were refused for want of a valid token or permission.
pub const REFUSALS_TOTAL: &str = "millrace_service_refusals_total";

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

/// A request to the service API was refused.
pub(crate) fn refused() {
    metrics::counter!(REFUSALS_TOTAL).increment(1);
}

/// The service API failed for a reason of its own.
pub(crate) fn service_failed(error: &RegistryError) {
    tracing::warn!(error = %error, cause = ?std::error::Error::source(error), "service request failed");
}
