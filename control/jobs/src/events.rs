//! What jobs and configurations tell metrics and logs.
//! - Invariants: no text holds the address of a container: it carries a signature.

use millrace_model::HubError;

/// Jobs that have ended; label `outcome`.
pub const JOBS_ENDED_TOTAL: &str = "millrace_jobs_ended_total";

/// Steps of devices that jobs have tried; label `outcome`.
pub const JOB_STEPS_TOTAL: &str = "millrace_job_steps_total";

/// Identities that imports and exports have worked on; label `kind`.
pub const TRANSFERRED_TOTAL: &str = "millrace_transferred_identities_total";

/// Twins that were compared with the automatic configurations.
pub const CONFIGURATION_TWINS_TOTAL: &str = "millrace_configuration_twins_total";

/// Twins that automatic configurations have changed.
pub const CONFIGURATION_CHANGES_TOTAL: &str = "millrace_configuration_changes_total";

/// A job, import or export has ended.
pub(crate) fn job_ended(id: &str, outcome: &'static str) {
    metrics::counter!(JOBS_ENDED_TOTAL, "outcome" => outcome).increment(1);
    tracing::info!(job = id, outcome, "job ended");
}

/// Steps of devices were tried and recorded.
pub(crate) fn steps_recorded(succeeded: usize, failed: usize) {
    let count = |number: usize| u64::try_from(number).unwrap_or_default();
    metrics::counter!(JOB_STEPS_TOTAL, "outcome" => "succeeded").increment(count(succeeded));
    metrics::counter!(JOB_STEPS_TOTAL, "outcome" => "failed").increment(count(failed));
}

/// Identities were imported or exported.
pub(crate) fn transferred(kind: &'static str, identities: usize) {
    metrics::counter!(TRANSFERRED_TOTAL, "kind" => kind).increment(u64::try_from(identities).unwrap_or_default());
}

/// A twin was compared with the configurations.
pub(crate) fn twin_compared(is_changed: bool) {
    metrics::counter!(CONFIGURATION_TWINS_TOTAL).increment(1);
    if is_changed {
        metrics::counter!(CONFIGURATION_CHANGES_TOTAL).increment(1);
    }
}

/// A job has to wait, because the store or the hub did not let it go on; it is tried again.
pub(crate) fn job_waits(id: &str, error: &HubError) {
    tracing::warn!(job = id, %error, "job waits");
}

/// The round of comparing twins with configurations has failed; it is tried again.
pub(crate) fn round_failed(error: &HubError) {
    tracing::warn!(%error, "automatic configurations wait");
}

/// A configuration could not be applied to a twin; the next round tries again.
pub(crate) fn not_applied(id: &str, error: &HubError) {
    tracing::debug!(configuration = id, %error, "configuration not applied");
}

/// Something stored cannot be read.
pub(crate) fn corrupt(what: &'static str, name: &str) {
    tracing::error!(what, name, "what is stored cannot be read");
}
