//! What an operator may set about the journal.

use std::time::Duration;

use serde::Deserialize;

use crate::limits::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};

/// Section `[journal]` of the configuration file; one for all shards.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JournalConfig {
    /// Size at which a segment is full and the next one begins; it is allocated at once. Default 64 MiB.
    pub segment_bytes: u64,
    /// Least time between two syncs, in microseconds; the first one after a pause is immediate. When few messages wait (below 64) it
    /// is six times as long, because a sync costs the same for one message as for a thousand. Default 1000.
    pub sync_interval_us: u64,
    /// Batches that may wait for the disk before the shard has to stop reading its sockets. Default 64.
    pub queue_batches: usize,
    /// Newest batches kept in memory for readers. Default 16 MiB.
    pub recent_bytes: usize,
    /// Most disk space of one shard's journal; 0 means until the disk is full. Default 0.
    pub total_bytes_max: u64,
    /// The journal counts as full when a further segment would leave less than this free on the disk. Default 256 MiB.
    pub keep_free_bytes: u64,
    /// Whether data is synced before it counts as durable; `false` survives a crash of the program, but not of the machine. Default true.
    pub sync: bool,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 64 * 1024 * 1024,
            sync_interval_us: 1000,
            queue_batches: 64,
            recent_bytes: 16 * 1024 * 1024,
            total_bytes_max: 0,
            keep_free_bytes: 256 * 1024 * 1024,
            sync: true,
        }
    }
}

impl JournalConfig {
    /// Every problem of this section; empty when there is none.
    #[must_use]
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            problems.push(format!(
                "segment_bytes = {}: must be between {SEGMENT_BYTES_MIN} and {SEGMENT_BYTES_MAX}",
                self.segment_bytes
            ));
        }
        if self.sync_interval_us > 1_000_000 {
            problems.push(format!("sync_interval_us = {}: must be at most 1000000", self.sync_interval_us));
        }
        if !(1..=65_536).contains(&self.queue_batches) {
            problems.push(format!("queue_batches = {}: must be between 1 and 65536", self.queue_batches));
        }
        if self.total_bytes_max != 0 && self.total_bytes_max < self.segment_bytes.saturating_mul(2) {
            problems.push(format!(
                "total_bytes_max = {}: must be 0 (no bound) or at least two segments ({})",
                self.total_bytes_max,
                self.segment_bytes.saturating_mul(2)
            ));
        }
        problems
    }

    pub(crate) const fn sync_interval(&self) -> Duration {
        Duration::from_micros(self.sync_interval_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_every_problem_is_named() {
        assert_eq!(JournalConfig::default().validate(), Vec::<String>::new());
        let bad = JournalConfig {
            segment_bytes: 1,
            sync_interval_us: u64::MAX,
            queue_batches: 0,
            total_bytes_max: 1,
            ..JournalConfig::default()
        };
        assert_eq!(bad.validate().len(), 4);
    }
}
