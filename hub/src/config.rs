//! The configuration file: read once, checked whole, resolved into typed values.
//! - Shape: text -> [`document`] (TOML with positions) -> sections (serde) -> [`Config::resolve`] -> [`Config`].
//! - Invariants: every problem of a file is reported at once, each with its line.

mod control;
mod document;
mod resolve;
mod sections;

pub(crate) use control::ControlSections;
pub(crate) use document::Problem;
pub(crate) use resolve::{Config, Endpoint, EndpointKind, Flags};
pub(crate) use sections::{LogFormat, LogSection};
