//! The executor over a real SQLite store, with doors and a journal that only take notes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod certificates;
mod commands;
mod failures;
mod harness;
mod identities;
mod methods;
mod queries;
mod races;
mod random;
mod sessions;
mod twins;
