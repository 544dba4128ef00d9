//! The durable log of a shard.
