//! Twins and digital twins: what a patch makes of them, what the device and the routes are told, what callers see.
//! Decides, never acts: `(twin, request, now)` -> [`Change`].
//! - Source: Azure IoT Hub device twins and digital twins; JSON merge patch (RFC 7396), JSON Patch (RFC 6902), DTDL versions 2 and 3.
//! - Shape: bytes -> `json` (bounded) -> `check` (names, sizes, depth) -> `section` (merge, metadata) -> `change` (the decision)
//!   -> `view`, `event`. What knows of models is in [`digital_twin`].
//! - Invariants: pure. Same input, same output; versions never go back and never skip; a refused request changes nothing.
//! - Limits: `limits`; nothing is allocated for a body before its length, its depth and its number of values are known to be small.
//! - Not here: storage (`control/store`), delivery to sessions (`control`), who may ask (`control/rest`).

mod change;
mod check;
pub mod digital_twin;
mod error;
mod etag;
mod event;
pub mod json;
pub mod limits;
mod path;
mod paths;
mod section;
#[cfg(test)]
mod tests;
mod time;
mod twin;
mod view;

pub use change::Change;
pub use error::{DecodeError, SectionName, TwinError};
pub use event::TwinEvent;
pub use paths::Paths;
pub use time::time_text;
pub use twin::Twin;
pub use view::IdentityFacts;
