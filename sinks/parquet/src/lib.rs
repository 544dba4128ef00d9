//! The Parquet sink: delivered batches become sorted, compressed files in a folder or an object store, each row exactly once.
//! - Shape: [`ParquetSink`] owns a lane per shard: rows are staged, sorted and encoded into a temporary file (`row_group`,
//!   `columns`, `file`), which is then published under a name that says which offsets it covers (`client`, `name`).
//! - Invariants: readers never see a half file; complete files of one shard never overlap; [`ParquetSink`]'s position moves
//!   only past rows that are in a complete file.
//! - Not here: which messages come (`router`), queries over the files.

mod client;
mod columns;
mod config;
mod events;
mod file;
mod json_path;
mod lane;
mod limits;
mod name;
mod row_group;
mod sink;
mod target;
mod typed;

pub use config::{ColumnConfig, ColumnKind, CompressionKind, Options, ParquetConfig};
pub use sink::ParquetSink;
