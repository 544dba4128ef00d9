//! The service REST API of the hub.
//! - Source: Azure IoT Hub service REST API; `api-version` is neither demanded nor checked. What the hub has no route for, and this one
//!   has, is marked as an extension in `openapi.json`: cloud-to-device messages, models, certificates.
//! - Shape: `routes` (one file for each topic, and the table of all) behind `authorization`; `request` takes bodies, paths and headers
//!   apart, `answer` makes the hub's answers; `openapi.json` is served as it stands.
//! - Invariants: each operation names the permission it needs; who cannot show it learns nothing but that, before a body is read. Ids are
//!   percent-decoded once.
//! - Limits: bodies as in `limits`, lists `PAGE_IDENTITIES_MAX`, bulk calls `BULK_IDENTITIES_MAX`.
//! - Errors: one JSON body that satisfies all SDKs.
//! - Not here: what is done (`control`, `control/jobs`, `control/files`), listeners and TLS (`hub`, `ingest/https`).

mod answer;
mod authorization;
pub mod events;
pub mod limits;
mod openapi;
mod request;
mod routes;
mod state;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use millrace_control_jobs::shape;
pub use request::CONTINUATION;
pub use routes::router;
pub use state::ServiceState;

#[cfg(test)]
mod tests;
