//! Work on many identities: scheduled jobs, imports and exports, automatic configurations, bulk calls.
//! - Source: Azure IoT Hub service REST API: jobs v2, import and export jobs, configurations.
//! - Shape: `schedule`, `transfer` and `configuration` each have a request (checked), a state with pure transitions, and a part that acts
//!   through [`millrace_control::Control`]; [`Jobs`] is the handle on all of them. `shape` is the JSON of identities.
//! - Invariants: what is answered is durable. After a crash work goes on where it stood: a device's step is at most repeated, never left
//!   out. Several nodes over one store work on a job one at a time, by a lease.
//! - Limits: `limits`; nothing is read or written but in pages.
//! - Not here: HTTP (`control/rest`), the query language (`control/query`), blobs of devices (`control/files`).

pub mod bulk;
pub mod config;
pub mod configuration;
mod documents;
pub mod error;
pub mod events;
mod jobs;
pub mod limits;
pub mod schedule;
pub mod shape;
mod time;
pub mod transfer;

pub use config::{ConfigurationsConfig, JobsConfig};
pub use documents::Page;
pub use error::JobError;
pub use jobs::{Jobs, Settings};
pub use transfer::Containers;

#[cfg(test)]
mod tests;
