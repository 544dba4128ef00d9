//! What the service API tells metrics and logs.

use millrace_model::HubError;

/// Requests to the service API that were refused for want of a valid token or permission.
pub const REFUSALS_TOTAL: &str = "millrace_service_refusals_total";

/// Requests to the service API that failed for a reason of the hub's own.
pub const FAILURES_TOTAL: &str = "millrace_service_failures_total";

/// A request to the service API was refused.
pub(crate) fn refused() {
    metrics::counter!(REFUSALS_TOTAL).increment(1);
}

/// The service API failed for a reason of its own; the cause was logged where it was met.
pub(crate) fn failed(error: &HubError, tracking_id: &str) {
    metrics::counter!(FAILURES_TOTAL).increment(1);
    tracing::warn!(code = error.code, tracking_id, "service request failed");
}
