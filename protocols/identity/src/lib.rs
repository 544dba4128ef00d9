//! How a device says who it is: keys, connection strings, SAS tokens, MQTT user names and telemetry topics.
//! - Source: Azure IoT Hub's documented formats, and what the public SDKs were seen to send.
//! - Invariants: pure. No socket, file, clock or randomness; nothing here panics on any input; no key or signature is
//!   ever part of a `Debug` or `Display` text.
//! - Not here: who is registered (`control`), what a wrong answer costs the connection (`ingest`).

pub mod connection_string;
pub mod error;
pub mod key;
pub mod sas;
pub mod thumbprint;
pub mod topic;
pub mod user_name;
pub mod x509;

pub use connection_string::ConnectionString;
pub use error::{ConnectionStringError, KeyError, TokenError, UserNameError};
pub use key::Key;
pub use sas::Token;
pub use thumbprint::{Thumbprint, ThumbprintError};
pub use user_name::UserName;
