//! What the journal tells the outside: one struct per event, one set of meters per shard.

use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge, Histogram};
use millrace_model::{Offset, ShardId};

use crate::error::JournalError;

/// Names of the journal's metrics. All carry the label `shard`.
pub(crate) mod name {
    pub(crate) const BYTES: &str = "millrace_journal_written_bytes";
    pub(crate) const RAW_BYTES: &str = "millrace_journal_uncompressed_bytes";
    pub(crate) const RECORDS: &str = "millrace_journal_records_total";
    pub(crate) const MESSAGES: &str = "millrace_journal_messages_total";
    pub(crate) const SYNCS: &str = "millrace_journal_syncs_total";
    pub(crate) const SYNC_SECONDS: &str = "millrace_journal_sync_seconds";
    pub(crate) const SEGMENTS_CREATED: &str = "millrace_journal_segments_created_total";
    pub(crate) const SEGMENTS_REMOVED: &str = "millrace_journal_segments_removed_total";
    pub(crate) const DISK_BYTES: &str = "millrace_journal_disk_bytes";
    pub(crate) const STALLS: &str = "millrace_journal_stalls_total";
    pub(crate) const STALLED_SECONDS: &str = "millrace_journal_stalled_seconds";
    pub(crate) const QUARANTINED_BYTES: &str = "millrace_journal_quarantined_bytes";
    pub(crate) const QUARANTINED: &str = "millrace_journal_quarantined_total";
    pub(crate) const QUARANTINED_MESSAGES: &str = "millrace_journal_quarantined_messages_total";
    pub(crate) const TRUNCATED_BYTES: &str = "millrace_journal_truncated_bytes";
    pub(crate) const READ_BYTES: &str = "millrace_journal_read_bytes";
}

/// Handles of the metrics, looked up once.
#[derive(Debug)]
pub(crate) struct Meters {
    pub(crate) bytes: Counter,
    pub(crate) raw_bytes: Counter,
    pub(crate) records: Counter,
    pub(crate) messages: Counter,
    pub(crate) syncs: Counter,
    pub(crate) sync_seconds: Histogram,
    pub(crate) segments_created: Counter,
    pub(crate) segments_removed: Counter,
    pub(crate) disk_bytes: Gauge,
    stalls: Counter,
    stalled_seconds: Gauge,
    quarantined: Counter,
    quarantined_bytes: Counter,
    quarantined_messages: Counter,
    truncated_bytes: Counter,
    /// What readers took from disk rather than from memory.
    pub(crate) read_bytes: Counter,
}

impl Meters {
    pub(crate) fn new(shard: ShardId) -> Self {
        let counter = |name| metrics::counter!(name, "shard" => shard.to_string());
        let gauge = |name| metrics::gauge!(name, "shard" => shard.to_string());
        Self {
            bytes: counter(name::BYTES),
            raw_bytes: counter(name::RAW_BYTES),
            records: counter(name::RECORDS),
            messages: counter(name::MESSAGES),
            syncs: counter(name::SYNCS),
            sync_seconds: metrics::histogram!(name::SYNC_SECONDS, "shard" => shard.to_string()),
            segments_created: counter(name::SEGMENTS_CREATED),
            segments_removed: counter(name::SEGMENTS_REMOVED),
            disk_bytes: gauge(name::DISK_BYTES),
            stalls: counter(name::STALLS),
            stalled_seconds: gauge(name::STALLED_SECONDS),
            quarantined: counter(name::QUARANTINED),
            quarantined_bytes: counter(name::QUARANTINED_BYTES),
            quarantined_messages: counter(name::QUARANTINED_MESSAGES),
            truncated_bytes: counter(name::TRUNCATED_BYTES),
            read_bytes: counter(name::READ_BYTES),
        }
    }

    pub(crate) fn stall(&self, now: Instant, since: Instant) {
        if now == since {
            self.stalls.increment(1);
        }
        self.stalled_seconds.set(now.saturating_duration_since(since).as_secs_f64());
    }

    pub(crate) fn resume(&self) {
        self.stalled_seconds.set(0.0);
    }
}

/// The journal cannot write; nothing is acknowledged until it can.
#[derive(Debug)]
pub(crate) struct Stall<'a> {
    pub(crate) shard: ShardId,
    pub(crate) reason: &'a str,
}

impl Stall<'_> {
    pub(crate) fn emit(self) {
        tracing::error!(shard = %self.shard, reason = self.reason, "journal cannot write: acknowledgements are held back");
    }
}

/// The journal writes again.
#[derive(Debug)]
pub(crate) struct Resumed {
    pub(crate) shard: ShardId,
    pub(crate) stalled: Duration,
}

impl Resumed {
    pub(crate) fn emit(self) {
        tracing::info!(shard = %self.shard, stalled_seconds = self.stalled.as_secs_f64(), "journal writes again");
    }
}

/// A part of a segment is unreadable, or offsets are missing.
#[derive(Debug)]
pub(crate) struct Damaged<'a> {
    pub(crate) shard: ShardId,
    pub(crate) file: &'a Path,
    pub(crate) bytes: &'a Range<u64>,
    pub(crate) offsets: &'a Range<Offset>,
    pub(crate) copy: Option<&'a Path>,
}

impl Damaged<'_> {
    pub(crate) fn emit(self, meters: &Meters) {
        let messages = self.offsets.end.0.saturating_sub(self.offsets.start.0);
        meters.quarantined.increment(1);
        meters.quarantined_bytes.increment(self.bytes.end.saturating_sub(self.bytes.start));
        meters.quarantined_messages.increment(messages);
        tracing::error!(
            shard = %self.shard,
            file = %self.file.display(),
            first_byte = self.bytes.start,
            end_byte = self.bytes.end,
            first_offset = self.offsets.start.0,
            end_offset = self.offsets.end.0,
            copy = self.copy.map(|copy| copy.display().to_string()),
            "journal is damaged: these messages cannot be read"
        );
    }
}

/// The unfinished end of the newest segment was cut off.
#[derive(Debug)]
pub(crate) struct Truncated<'a> {
    pub(crate) shard: ShardId,
    pub(crate) file: &'a Path,
    pub(crate) bytes: u64,
    pub(crate) next: Offset,
}

impl Truncated<'_> {
    pub(crate) fn emit(self, meters: &Meters) {
        meters.truncated_bytes.increment(self.bytes);
        tracing::warn!(
            shard = %self.shard,
            file = %self.file.display(),
            bytes = self.bytes,
            next_offset = self.next.0,
            "journal ended in an unfinished record, which was cut off; it had not been acknowledged"
        );
    }
}

/// A file in the journal's directory that is not the journal's.
pub(crate) fn stray(shard: ShardId, file: &str) {
    tracing::warn!(%shard, file, "a file in the journal's directory is not the journal's and is left alone");
}

/// A segment that nobody needs could not be deleted.
pub(crate) fn not_trimmed(shard: ShardId, error: &JournalError) {
    tracing::warn!(%shard, error = error.in_full(), "a segment that nobody needs stays on the disk for now");
}

/// The journal is open.
pub(crate) fn recovered(shard: ShardId, segments: usize, batches: u64, next: Offset, took: Duration) {
    tracing::info!(%shard, segments, batches, next_offset = next.0, seconds = took.as_secs_f64(), "journal is open");
}

/// A segment whose write or sync failed is left behind.
pub(crate) fn abandoned(shard: ShardId, file: &Path, durable: Offset) {
    tracing::warn!(%shard, file = %file.display(), durable_offset = durable.0, "segment failed and is left behind");
}
