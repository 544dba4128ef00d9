//! What the service API works with.

use std::sync::Arc;

use millrace_control::{Control, Policies};
use millrace_control_files::Files;
use millrace_control_jobs::Jobs;

/// What the service API works with. Cheap to clone.
#[derive(Clone)]
pub struct ServiceState {
    /// Identities, twins, methods, commands, models, certificates.
    pub control: Control,
    /// Jobs and configurations.
    pub jobs: Jobs,
    /// File notifications, if devices may upload files.
    pub files: Option<Arc<Files>>,
    /// Whose tokens are accepted.
    pub policies: Arc<Policies>,
    /// The hub's host name, as in connection strings.
    pub host_name: Arc<str>,
    /// How far a client's clock may be off, in seconds.
    pub token_skew_seconds: u64,
}

impl std::fmt::Debug for ServiceState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceState").field("host_name", &self.host_name).finish_non_exhaustive()
    }
}
