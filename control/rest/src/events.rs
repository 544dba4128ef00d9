//! What the service API tells metrics and logs.

use millrace_control_store::RegistryError;

/// Requests to the service API that were refused for want of a valid token or permission.
pub const REFUSALS_TOTAL: &str = "millrace_service_refusals_total";

/// A request to the service API was refused.
pub(crate) fn refused() {
    metrics::counter!(REFUSALS_TOTAL).increment(1);
}

/// The service API failed for a reason of its own.
pub(crate) fn service_failed(error: &RegistryError) {
    tracing::warn!(error = %error, cause = ?std::error::Error::source(error), "service request failed");
}
