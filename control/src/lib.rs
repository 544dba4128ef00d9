//! The control side: twins, methods, commands, sessions, and who may connect.
//! - Shape: `directory` is what the data path reads, `follower` keeps it up to date; `policies` are the hub's own keys.
//! - Invariants: no key is part of a `Debug` or `Display` text or of a log line. The data path never waits for a store.
//! - Not here: what is kept and how (`control/store`), tokens and connection strings (`protocols/identity`), HTTP (`control/rest`).

pub mod config;
pub mod directory;
pub mod events;
pub mod follower;
pub mod limits;
pub mod policies;

pub use config::RegistryConfig;
pub use directory::RegistryDirectory;
pub use follower::Follower;
pub use policies::{Permissions, Policies};
