//! The registry's routes alone, over a store and without an executor.
//! - Not here: everything else; [`crate::router`] has it all.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use millrace_control::policies::Policies;
use millrace_control_store::store::Store;

use crate::limits::REQUEST_BODY_BYTES_MAX;

mod authorization;
mod bulk;
mod devices;
mod error;
mod etag;
mod shape;

/// What the registry's routes work with.
#[derive(Clone)]
pub struct Service {
    /// Where identities are kept.
    pub store: Arc<dyn Store>,
    /// Whose tokens are accepted.
    pub policies: Arc<Policies>,
    /// The hub's host name, as in connection strings.
    pub host_name: Arc<str>,
    /// How far a client's clock may be off, in seconds.
    pub token_skew_seconds: u64,
}

impl Service {
    /// The routes, to be merged into the admin listener's.
    pub fn router(self) -> Router {
        let devices = get(devices::list).post(bulk::apply);
        let module = get(devices::read_module).put(devices::write_module).delete(devices::delete_module);
        Router::new()
            .route("/devices", devices.clone())
            .route("/devices/", devices)
            .route("/devices/{device}", get(devices::read).put(devices::write).delete(devices::delete))
            .route("/devices/{device}/modules", get(devices::modules))
            .route("/devices/{device}/modules/{module}", module)
            .route("/statistics/devices", get(devices::statistics))
            .layer(DefaultBodyLimit::max(REQUEST_BODY_BYTES_MAX))
            .with_state(self)
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("host_name", &self.host_name).finish_non_exhaustive()
    }
}
