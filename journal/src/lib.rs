//! The durable log of one shard: batches go in, are on disk before anybody hears of it, and can be read again by every sink.
//! - Shape: `DIR/shard-N/` holds segments of records; one thread writes, any number of
//!   [`Reader`]s read, the newest batches from memory.
//! - Invariants: what is below [`Journal::durable`] survives a crash; nothing else has been acknowledged. Offsets never go
//!   back and are never given twice. Damage is reported with its exact range, never skipped in silence.
//! - Limits: `limits.rs`; the queue of an [`Appender`] and the memory for readers are bounded by [`JournalConfig`].
//! - Errors: a full or failing disk is [`Health::Stalled`], not an error: the queue fills, the shard stops reading its sockets,
//!   and writing resumes by itself.
//! - Not here: who may trim (`router` knows the cursors), what an acknowledgement looks like (`ingest`).
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod active;
mod appender;
mod config;
mod encode;
mod error;
mod events;
pub mod files;
mod inspect;
mod journal;
mod limits;
mod quarantine;
mod reader;
mod recent;
mod record;
mod recovery;
mod segment;
mod segments;
mod shared;
mod storage;
mod walk;
mod writer;

#[cfg(test)]
mod tests;

pub use appender::{Appender, Full};
pub use config::JournalConfig;
pub use error::JournalError;
pub use inspect::{DamageInspection, Inspection, SegmentInspection, ShardInspection, inspect};
pub use journal::Journal;
pub use quarantine::Quarantined;
pub use reader::Reader;
pub use recovery::Recovery;
pub use shared::Health;
