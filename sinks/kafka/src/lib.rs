//! Delivers batches to Kafka: each selected message becomes one record, keyed by its device.
//! - Source: the idempotent producer of Apache Kafka (`acks=all`), through librdkafka.
//! - Shape: batch -> `in_flight` (what is not yet acknowledged, per shard) -> `request` (key, headers, payload) -> `client`
//!   (librdkafka) -> delivery reports -> `in_flight` -> [`KafkaSink::safe`](millrace_model::Sink::safe).
//! - Invariants: at least once, in order per device, also across broker failures; README.md states the guarantee in full.
//! - Limits: messages and bytes in flight are bounded by [`KafkaConfig`]; a full queue answers `Busy` or `Unavailable`.

mod client;
mod config;
mod events;
mod in_flight;
mod request;
mod restart;
mod sink;
mod topic;

pub use config::{Compression, HeaderSet, KafkaConfig};
pub use sink::KafkaSink;
pub use topic::{Topic, TopicError};
