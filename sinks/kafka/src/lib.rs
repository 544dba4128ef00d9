//! Delivers batches to Kafka.
