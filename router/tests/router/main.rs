//! Tests of the router through its public interface.
#![expect(clippy::unwrap_used, reason = "also in the helpers of tests")]

mod drivers;
mod language;
mod oracle;
mod support;
mod tables;
