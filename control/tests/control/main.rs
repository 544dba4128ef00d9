//! The executor over a real SQLite store, with doors and a journal that only take notes.

mod certificates;
mod commands;
mod harness;
mod identities;
mod methods;
mod queries;
mod random;
mod sessions;
mod twins;
