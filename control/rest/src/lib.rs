//! The service REST API: the registry part of Azure IoT Hub's, for the hub's admin listener.
//! - Source: Azure IoT Hub service REST API, identity registry; `api-version` is neither demanded nor checked.
//! - Shape: `/devices`, `/devices/{id}`, `/devices/{id}/modules`, `/devices/{id}/modules/{id}`, `/statistics/devices`
//! - Invariants: each operation names the permission it needs; who cannot show it learns nothing but that.
//! - Limits: bodies have at most `REQUEST_BODY_BYTES_MAX`, lists `PAGE_IDENTITIES_MAX`, bulk calls `BULK_IDENTITIES_MAX`.
//! - Errors: one JSON body that satisfies all SDKs, see `rest::error`.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;

use crate::limits::REQUEST_BODY_BYTES_MAX;
use millrace_control::policies::Policies;
use millrace_control_store::store::Store;

mod authorization;
mod bulk;
mod devices;
mod error;
mod etag;
mod events;
mod limits;
pub mod shape;

pub use devices::CONTINUATION;

/// What the REST API works with.
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

#[cfg(test)]
pub(crate) mod tests;
