//! What the provisioning service tells metrics and logs. Nothing here names a device.

use std::time::Duration;

use millrace_control_store::error::RegistryError;
use millrace_model::HubError;

use crate::attestation::Denied;

/// Registrations that began.
pub const REGISTRATIONS_TOTAL: &str = "millrace_provisioning_registrations_total";
/// Assignments that ended, by `outcome`: assigned, failed, lost.
pub const ASSIGNMENTS_TOTAL: &str = "millrace_provisioning_assignments_total";
/// How long assignments took.
pub const ASSIGNMENT_SECONDS: &str = "millrace_provisioning_assignment_seconds";
/// Devices that did not prove themselves.
pub const DENIED_TOTAL: &str = "millrace_provisioning_denied_total";
/// Requests that were told to come later.
pub const THROTTLED_TOTAL: &str = "millrace_provisioning_throttled_total";
/// Answers that could not be handed to their session.
pub const UNDELIVERED_TOTAL: &str = "millrace_provisioning_undelivered_total";
/// Calls of the service API without a good token.
pub const REFUSED_TOTAL: &str = "millrace_provisioning_api_refused_total";
/// Failures of the store.
pub const STORE_FAILURES_TOTAL: &str = "millrace_provisioning_store_failures_total";

/// The service is up.
pub(crate) fn started(id_scope: &str, hubs: usize) {
    tracing::info!(id_scope, hubs, "provisioning service started");
}

/// A registration began.
pub(crate) fn registered() {
    metrics::counter!(REGISTRATIONS_TOTAL).increment(1);
}

/// A device has a hub.
pub(crate) fn assigned(took: Duration) {
    metrics::counter!(ASSIGNMENTS_TOTAL, "outcome" => "assigned").increment(1);
    metrics::histogram!(ASSIGNMENT_SECONDS).record(took.as_secs_f64());
}

/// A device got no hub.
pub(crate) fn assignment_failed(error: &HubError, took: Duration) {
    metrics::counter!(ASSIGNMENTS_TOTAL, "outcome" => "failed").increment(1);
    metrics::histogram!(ASSIGNMENT_SECONDS).record(took.as_secs_f64());
    tracing::warn!(error = %error, "a device got no hub");
}

/// Another node has taken an assignment over, or its outcome could not be kept; it is done again when the device asks.
pub(crate) fn assignment_lost() {
    metrics::counter!(ASSIGNMENTS_TOTAL, "outcome" => "lost").increment(1);
}

/// A device did not prove itself.
pub(crate) fn denied(reason: Denied) {
    metrics::counter!(DENIED_TOTAL).increment(1);
    tracing::debug!(reason = %reason, "a device may not register");
}

/// Somebody is told to come later.
pub(crate) fn throttled() {
    metrics::counter!(THROTTLED_TOTAL).increment(1);
}

/// A session did not get its answer.
pub(crate) fn undelivered() {
    metrics::counter!(UNDELIVERED_TOTAL).increment(1);
}

/// Somebody called the service API without a good token.
pub(crate) fn refused() {
    metrics::counter!(REFUSED_TOTAL).increment(1);
}

/// The store failed.
pub(crate) fn store_failed(error: &RegistryError) {
    metrics::counter!(STORE_FAILURES_TOTAL).increment(1);
    tracing::warn!(error = %error, cause = ?std::error::Error::source(error), "the provisioning service's store failed");
}

/// A call to a linked hub or a webhook failed.
pub(crate) fn call_failed(host: &str, error: &dyn std::fmt::Display) {
    tracing::warn!(host, error = %error, "a call of the provisioning service failed");
}
