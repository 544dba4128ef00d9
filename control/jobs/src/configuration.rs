//! Automatic configurations: what many twins are to hold, by a condition on them.
//! - Source: Azure IoT Hub service REST API, Configuration; automatic device management.
//! - Shape: `document` (what is asked, checked) and `content` (what twins are to hold), `plan` (which configuration a twin follows), all
//!   pure -> `round` (compares all twins again and again), `apply` (changes them), `metrics` (counts), `service`.
//! - Invariants: of the configurations that mean a twin, the one with the highest priority is applied, of equal ones the newest; all of
//!   them are noted in the twin. A twin that already holds what it should is not written. Removing a configuration takes back nothing but
//!   its note.

mod apply;
mod content;
mod document;
mod metrics;
mod plan;
mod round;
mod service;

pub use content::{Content, Settings};
pub use document::{Configuration, Kind};
pub use metrics::Counts;
pub(crate) use round::Rounds;
