//! The control side: who may connect, where that is kept, and how people and programs change it.
//! - Shape: `registry` decides and is pure; `store` keeps; `directory` is what the data path reads, `follower` keeps it
//!   up to date; `policies` are the hub's own keys; `rest` is the service API; `operator` is the command line.
//! - Invariants: no key is part of a `Debug` or `Display` text or of a log line. The data path never waits for a store.
//! - Not here: tokens and connection strings (`protocols/identity`), sessions (`ingest`), printing (`hub`).

pub mod clock;
pub mod config;
pub mod directory;
pub mod error;
pub mod events;
pub mod follower;
pub mod limits;
pub mod operator;
pub mod policies;
pub mod random;
pub mod registry;
pub mod rest;
pub mod store;

pub use config::RegistryConfig;
pub use directory::RegistryDirectory;
pub use error::RegistryError;
pub use follower::Follower;
pub use policies::{Permissions, Policies};
pub use registry::{Authentication, Change, ChangeKind, IdentityName, Record, Status};
pub use rest::Service;
pub use store::{SqliteStore, Store};
