//! The device API: telemetry, commands and file uploads for devices that connect only now and then.
//! - Source: Azure IoT Hub device REST API; `api-version` is neither demanded nor checked. C# writes `deviceBound`, the others `devicebound`;
//!   C puts a slash behind some paths.
//! - Invariants: a handler that names a [`Caller`] runs only for an identity that has shown who it is.
//! - Errors: the hub's, see [`crate::error`].
//! - Not here: modules, which do not speak HTTP to a hub; twins and methods, which have no HTTP form for devices.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{MethodRouter, any, delete, get, post};
use millrace_control_files::Files;
use millrace_ingest::Directory;
use millrace_model::HubError;
use millrace_model::door::Intake;

use crate::error::Refusal;
use crate::limits::BATCH_BODY_BYTES_MAX;

mod batch;
mod caller;
mod commands;
mod properties;
mod telemetry;
#[cfg(test)]
mod tests;
mod uploads;

pub use commands::{Commands, ControlSide, Pending, Settlement};

pub(crate) use caller::Caller;

/// What the device API works with.
#[derive(Clone)]
pub struct DeviceApi {
    /// Who may.
    pub directory: Arc<dyn Directory>,
    /// Names that a token may be made out for; none: whatever host name the client says it dialled.
    pub host_names: Arc<[String]>,
    /// Where messages go.
    pub intake: Arc<dyn Intake>,
    /// Where commands come from.
    pub commands: Arc<dyn Commands>,
    /// Where files go; none: nowhere.
    pub files: Option<Arc<Files>>,
}

impl DeviceApi {
    /// The routes, to be merged with those of other parts.
    pub fn router(self) -> Router {
        let receive = || answering(get(commands::receive));
        let settle = || answering(delete(commands::settle));
        let abandon = || answering(post(commands::abandon));
        let begin = || answering(post(uploads::begin));
        let finish = || answering(post(uploads::finish));
        Router::new()
            .route("/devices/{device}/messages/events", answering(post(telemetry::send)))
            .route("/devices/{device}/messages/devicebound", receive())
            .route("/devices/{device}/messages/deviceBound", receive())
            .route("/devices/{device}/messages/devicebound/{lock}", settle())
            .route("/devices/{device}/messages/deviceBound/{lock}", settle())
            .route("/devices/{device}/messages/devicebound/{lock}/abandon", abandon())
            .route("/devices/{device}/messages/deviceBound/{lock}/abandon", abandon())
            .route("/devices/{device}/files", begin())
            .route("/devices/{device}/files/", begin())
            .route("/devices/{device}/files/notifications", finish())
            .route("/devices/{device}/files/notifications/", finish())
            .route("/devices/{device}/files/notifications/{upload}", finish())
            .route("/devices/{device}/files/notifications/{upload}/", finish())
            .route("/devices/{device}/modules/{module}/messages/{*rest}", any(refuse_module))
            .layer(DefaultBodyLimit::max(BATCH_BODY_BYTES_MAX))
            .with_state(self)
    }
}

impl std::fmt::Debug for DeviceApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceApi").field("host_names", &self.host_names).finish_non_exhaustive()
    }
}

/// With the hub's own answer to other methods.
fn answering(methods: MethodRouter<DeviceApi>) -> MethodRouter<DeviceApi> {
    methods.fallback(|| async { Refusal(HubError::METHOD) })
}

async fn refuse_module() -> Refusal {
    Refusal(HubError::OPERATION.because("modules do not send or receive by HTTPS: MQTT does it"))
}
