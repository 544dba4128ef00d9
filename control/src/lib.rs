//! The control side: twins, methods, commands, sessions, and who may connect.
//! - Shape: `directory` is what the data path reads, `follower` keeps it up to date; `policies` are the hub's own keys. [`Control`]
//!   carries out what devices ask (`lanes`, `requests`) and what the service asks (its public methods, a file for each topic).
//! - Invariants: no key is part of a `Debug` or `Display` text or of a log line. The data path never waits for a store. What is answered is
//!   durable.
//! - Not here: what is kept and how (`control/store`), decisions about twins, commands and queries (`control/twin`, `control/command`,
//!   `control/query`), tokens and connection strings (`protocols/identity`), HTTP (`control/rest`).

mod announcements;
mod certificates;
mod commands;
pub mod config;
mod control;
mod deadlines;
mod deliveries;
mod digital_twins;
pub mod directory;
pub mod events;
mod failure;
mod feedback;
pub mod follower;
mod identities;
mod lanes;
mod lifecycle;
pub mod limits;
mod methods;
mod models;
mod notices;
pub mod policies;
mod queries;
mod queues;
mod refresher;
mod refreshes;
mod requests;
#[cfg(test)]
mod samples;
mod sessions;
mod snapshots;
mod stripes;
mod tell;
mod throttle;
mod tokens;
mod trusted;
mod twins;

pub use certificates::{CertificateKind, CertificateView};
pub use commands::Received;
pub use config::{ControlConfig, RegistryConfig};
pub use control::{Control, Parts, Settings};
pub use digital_twins::DigitalTwin;
pub use directory::RegistryDirectory;
pub use failure::hub_error;
pub use feedback::ReceivedFeedback;
pub use follower::Follower;
pub use models::ModelSummary;
pub use policies::{Permissions, Policies};
pub use queries::Row;
pub use refresher::Refresher;
pub use sessions::Presence;
pub use throttle::{Operation, ThrottleConfig};
pub use trusted::Trusted;
