//! The one place of this crate that asks what time it is.

use std::time::SystemTime;

use millrace_model::Timestamp;

/// The wall clock.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}
