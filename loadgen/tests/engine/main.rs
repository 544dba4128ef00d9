//! Whole runs of the generator against a broker that can misbehave.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod broker;
mod processes;
mod runs;
mod tls;
